//! Answers, and what is made of them.

use proptest::prelude::*;

use super::*;

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Bytes> {
    Response::builder()
        .status(status)
        .header("x-amzn-requestid", "REQ1")
        .body(body.into())
        .unwrap()
}

fn item(json: &str) -> Item {
    serde_json::from_str(json).unwrap()
}

/// The outcome in short: its form, its kind, its code and its message.
fn short(answer: &Response<Bytes>) -> (&'static str, FailureKind, String, String) {
    let (form, failure) = match outcome(answer) {
        Outcome::NotApplied(failure) => ("not applied", failure),
        Outcome::Unknown(failure) => ("unknown", failure),
        other => panic!("{other:?}"),
    };
    assert_eq!(failure.request_id.as_deref(), Some("REQ1"));
    let code = failure.code.unwrap_or_default().into();
    (form, failure.kind, code, failure.message.into())
}

#[test]
fn applied_brings_the_attributes() {
    for (body, expected) in [
        ("{}", "{}"),
        (r#"{"Attributes":{}}"#, "{}"),
        (r#"{"Attributes":null}"#, "{}"),
        (r#"{"Attributes":{"a":{"N":"1"}}}"#, r#"{"a":{"N":"1"}}"#),
        (
            r#" {"ConsumedCapacity":{"x":[1.5]},"Attributes":{"a":{"S":"é"}}} "#,
            r#"{"a":{"S":"é"}}"#,
        ),
    ] {
        let Outcome::Applied(attributes) = outcome(&answer(200, body)) else {
            panic!("{body}");
        };
        assert_eq!(attributes, item(expected));
    }
}

#[test]
fn an_unreadable_success_is_unknown() {
    for body in [
        "",
        "null",
        "[]",
        "{",
        "{}}",
        r#"{"Attributes":{"a":{"N":"1"}}"#,
        r#"{"Attributes":[]}"#,
        r#"{"Attributes":{"a":1}}"#,
        "<html>",
        "\u{feff}{}",
    ] {
        let (form, kind, code, message) = short(&answer(200, body));
        assert_eq!(
            (form, kind),
            ("unknown", FailureKind::BadAnswer),
            "{body:?}"
        );
        assert_eq!(code, "");
        assert!(message.starts_with("an unreadable answer: "), "{message}");
    }
    let deep = ["{\"x\":", &"[".repeat(100_000)].concat();
    assert_eq!(short(&answer(200, deep)).1, FailureKind::BadAnswer);
}

#[test]
fn a_refusal_brings_the_item() {
    const REFUSAL: &str = r#""__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed""#;
    let refusal = |rest: &str| answer(400, ["{", rest, REFUSAL, "}"].concat());
    for (rest, expected) in [
        ("", None),
        (r#""Item":null,"#, None),
        (r#""Item":{},"#, Some("{}")),
        (r#""Item":{"id":{"S":"1"}},"#, Some(r#"{"id":{"S":"1"}}"#)),
    ] {
        let Outcome::Refused(found) = outcome(&refusal(rest)) else {
            panic!("{rest}");
        };
        assert_eq!(found, expected.map(item));
    }
    let (form, kind, _, message) = short(&refusal(r#""Item":{"id":{}},"#));
    assert_eq!((form, kind), ("not applied", FailureKind::BadAnswer));
    assert!(message.starts_with("an unreadable answer: "), "{message}");
}

/// As DynamoDB Local 1.25.1 refused an acquire of dyno v1.2.4.
#[test]
fn the_recorded_refusal_is_a_refusal_without_an_item() {
    let recorded = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","Message":"The conditional request failed"}"#;
    assert!(matches!(
        outcome(&answer(400, recorded)),
        Outcome::Refused(None)
    ));
}

#[test]
fn every_code_has_its_kind() {
    use FailureKind::*;
    const SKEWED: &str = "Signature expired: 20260131T000000Z is now earlier than \
        20260131T000500Z (20260131T001000Z - 5 min.)";
    const EARLY: &str = "Signature not yet current: 20260131T000000Z is still later than \
        20260130T235500Z (20260130T235000Z + 5 min.)";
    const WRONG: &str = "The request signature we calculated does not match the signature you \
        provided. Check your AWS Secret Access Key and signing method.";
    for (code, message, kind, form, passing) in [
        (
            "ProvisionedThroughputExceededException",
            "m",
            Throttled,
            "not applied",
            true,
        ),
        ("ThrottlingException", "m", Throttled, "not applied", true),
        ("Throttling", "m", Throttled, "not applied", true),
        ("RequestLimitExceeded", "m", Throttled, "not applied", true),
        (
            "LimitExceededException",
            "m",
            Throttled,
            "not applied",
            true,
        ),
        (
            "TooManyRequestsException",
            "m",
            Throttled,
            "not applied",
            true,
        ),
        (
            "TransactionConflictException",
            "m",
            Conflict,
            "not applied",
            true,
        ),
        (
            "TransactionInProgressException",
            "m",
            Conflict,
            "not applied",
            true,
        ),
        (
            "ReplicatedWriteConflictException",
            "m",
            Conflict,
            "not applied",
            true,
        ),
        ("RequestTimeTooSkewed", "m", ClockSkew, "not applied", true),
        ("RequestExpired", "m", ClockSkew, "not applied", true),
        (
            "InvalidSignatureException",
            SKEWED,
            ClockSkew,
            "not applied",
            true,
        ),
        (
            "InvalidSignatureException",
            EARLY,
            ClockSkew,
            "not applied",
            true,
        ),
        (
            "InvalidSignatureException",
            WRONG,
            CredentialsRejected,
            "not applied",
            false,
        ),
        (
            "ExpiredTokenException",
            "m",
            CredentialsExpired,
            "not applied",
            true,
        ),
        (
            "UnrecognizedClientException",
            "m",
            CredentialsRejected,
            "not applied",
            false,
        ),
        (
            "MissingAuthenticationTokenException",
            "m",
            CredentialsRejected,
            "not applied",
            false,
        ),
        (
            "IncompleteSignatureException",
            "m",
            CredentialsRejected,
            "not applied",
            false,
        ),
        (
            "AccessDeniedException",
            "m",
            AccessDenied,
            "not applied",
            false,
        ),
        (
            "ResourceNotFoundException",
            "m",
            TableNotFound,
            "not applied",
            false,
        ),
        ("ValidationException", "m", Validation, "not applied", false),
        (
            "SerializationException",
            "m",
            Validation,
            "not applied",
            false,
        ),
        (
            "ItemCollectionSizeLimitExceededException",
            "m",
            Other,
            "not applied",
            false,
        ),
        ("NeverHeardOfIt", "m", Other, "not applied", false),
        ("InternalServerError", "m", Unavailable, "unknown", true),
        ("ServiceUnavailable", "m", Unavailable, "unknown", true),
    ] {
        let body = serde_json::json!({ "__type": format!("any#{code}"), "message": message });
        let found = short(&answer(400, body.to_string()));
        assert_eq!(found, (form, kind, code.to_owned(), message.to_owned()));
        assert_eq!(kind.is_passing(), passing);
    }
}

#[test]
fn a_server_that_fails_leaves_it_unknown() {
    use FailureKind::*;
    let refusal = r#"{"__type":"ConditionalCheckFailedException"}"#;
    let throttled = r#"{"__type":"ThrottlingException"}"#;
    for (status, body, kind) in [
        (
            500,
            r#"{"__type":"x#InternalServerError","message":"m"}"#,
            Unavailable,
        ),
        (500, "", Unavailable),
        (503, "<html>busy</html>", Unavailable),
        (503, throttled, Throttled),
        (500, refusal, Unavailable),
        (500, r#"{"__type":"ValidationException"}"#, Unavailable),
        (302, refusal, BadAnswer),
    ] {
        let (form, found, ..) = short(&answer(status, body));
        assert_eq!((form, found), ("unknown", kind), "{status} {body}");
    }
}

#[test]
fn an_answer_that_is_not_dynamodbs_is_unknown() {
    for (status, body, kind, message) in [
        (
            404,
            "<html>\r\n\x1b[31mno</html>\n",
            FailureKind::BadAnswer,
            "status 404 without an error of DynamoDB's: <html>   [31mno</html>",
        ),
        (
            301,
            "",
            FailureKind::BadAnswer,
            "status 301 without an error of DynamoDB's: ",
        ),
        (
            204,
            "",
            FailureKind::BadAnswer,
            "status 204 without an error of DynamoDB's: ",
        ),
        (
            101,
            "",
            FailureKind::BadAnswer,
            "status 101 without an error of DynamoDB's: ",
        ),
        (
            429,
            "slow",
            FailureKind::Throttled,
            "status 429 without an error of DynamoDB's: slow",
        ),
        (
            400,
            "{}",
            FailureKind::BadAnswer,
            "status 400 without an error of DynamoDB's: {}",
        ),
        (
            400,
            r#"{"__type":7}"#,
            FailureKind::BadAnswer,
            r#"status 400 without an error of DynamoDB's: {"__type":7}"#,
        ),
        (
            400,
            r##"{"__type":"a#"}"##,
            FailureKind::BadAnswer,
            r##"status 400 without an error of DynamoDB's: {"__type":"a#"}"##,
        ),
        (
            400,
            r#"{"__type":"ValidationException"}x"#,
            FailureKind::BadAnswer,
            r#"status 400 without an error of DynamoDB's: {"__type":"ValidationException"}x"#,
        ),
    ] {
        let expected = ("unknown", kind, String::new(), message.to_owned());
        assert_eq!(short(&answer(status, body)), expected);
    }
    let (_, _, _, message) = short(&answer(403, "é\u{fffd}".repeat(100_000)));
    assert!(message.len() < 200, "{message}");
}

#[test]
fn the_code_may_stand_in_the_header() {
    for (header, code) in [
        ("ValidationException", "ValidationException"),
        (
            "ValidationException:http://internal.amazon.com/coral/",
            "ValidationException",
        ),
        ("com.amazon#ValidationException", "ValidationException"),
    ] {
        let mut answer = answer(400, r#"{"message":"no"}"#);
        let value = header.parse().unwrap();
        answer.headers_mut().insert("x-amzn-errortype", value);
        let expected = (
            "not applied",
            FailureKind::Validation,
            code.into(),
            "no".into(),
        );
        assert_eq!(short(&answer), expected);
    }
}

#[test]
fn what_is_kept_is_bounded() {
    let body = serde_json::json!({ "__type": "C".repeat(5000), "message": "é\n".repeat(5000) });
    let (_, _, code, message) = short(&answer(400, body.to_string()));
    assert_eq!((code.len(), message.len()), (128, 1023));
    assert!(!message.contains('\n'));
}

#[test]
fn nothing_sent_is_not_applied_and_no_answer_is_unknown() {
    let not_sent: Outcome = SendError::NotSent("refused".into()).into();
    let Outcome::NotApplied(failure) = not_sent else {
        panic!();
    };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(&*failure.message, "not sent: refused");
    let no_answer: Outcome = SendError::NoAnswer("reset".into()).into();
    let Outcome::Unknown(failure) = no_answer else {
        panic!();
    };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(&*failure.message, "no answer: reset");
}

#[test]
fn the_date_is_read() {
    for (text, expected) in [
        ("Thu, 15 Mar 2012 23:56:23 GMT", Some(1_331_855_783)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("yesterday", None),
        ("", None),
    ] {
        let mut answer = answer(200, "{}");
        answer.headers_mut().insert("date", text.parse().unwrap());
        assert_eq!(server_date(&answer), expected);
    }
    assert_eq!(server_date(&answer(200, "{}")), None);
}

proptest! {
    #[test]
    fn any_bytes_have_an_outcome(
        status in 100u16..1000,
        body in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..120,
    ) {
        let _ = outcome(&answer(status, body));
        let whole = r#"{"__type":"x#ConditionalCheckFailedException","Item":{"a":{"S":"é"}},"message":"m"}"#;
        let part = whole.as_bytes().get(..cut).unwrap_or(whole.as_bytes());
        let found = outcome(&answer(400, part.to_vec()));
        prop_assert_eq!(matches!(found, Outcome::Refused(Some(_))), part.len() == whole.len());
    }
}

fn with(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut answer = answer(status, body.to_owned());
    for (name, value) in headers {
        let name = ::http::HeaderName::try_from(*name).unwrap();
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

#[test]
fn a_checksum_that_fits_is_good_and_any_other_makes_the_outcome_unknown() {
    // The CRC-32 of "{}", as Python's zlib.crc32 has it.
    const RIGHT: &str = "2745614147";
    let applied = with(200, &[("x-amz-crc32", RIGHT)], "{}");
    assert!(matches!(outcome(&applied), Outcome::Applied(_)));
    for wrong in [
        "2745614148",
        "0",
        "-1",
        "",
        "0xa3a6f2c3",
        "é",
        "2745614147.0",
    ] {
        let (form, kind, _, message) = short(&with(200, &[("x-amz-crc32", wrong)], "{}"));
        assert_eq!((form, kind), ("unknown", FailureKind::BadAnswer), "{wrong}");
        assert!(message.contains("checksum"), "{message}");
    }
    let refusal = r#"{"__type":"x#ConditionalCheckFailedException","message":"no"}"#;
    let (form, ..) = short(&with(400, &[("x-amz-crc32", "1")], refusal));
    assert_eq!(form, "unknown");
}

#[test]
fn an_unreadable_answer_does_not_quote_the_item() {
    for body in [
        r#"{"Attributes":"XYZZY"}"#,
        r#"{"Attributes":{"a":"XYZZY"}}"#,
        r#"{"Attributes":{"a":{"XYZZY":"x"}}}"#,
        r#"{"Attributes":{"a":{"N":"XYZZY"}}}"#,
        r#"{"Attributes":{"a":{"B":"XYZZY, expected !"}}}"#,
    ] {
        let (form, _, _, message) = short(&answer(200, body));
        assert_eq!(form, "unknown", "{body}");
        assert!(!message.contains("XYZZY"), "{body}: {message}");
    }
}

#[test]
fn a_success_must_be_json_as_it_is() {
    for good in [
        "application/x-amz-json-1.0",
        "application/json",
        "Application/X-Amz-JSON-1.0; charset=utf-8",
    ] {
        let answer = with(200, &[("content-type", good)], "{}");
        assert!(matches!(outcome(&answer), Outcome::Applied(_)), "{good}");
    }
    for (name, bad) in [
        ("content-type", "text/html"),
        ("content-type", ""),
        ("content-type", "application/x-amz-json"),
        ("content-encoding", "gzip"),
    ] {
        let (form, kind, ..) = short(&with(200, &[(name, bad)], "{}"));
        assert_eq!((form, kind), ("unknown", FailureKind::BadAnswer), "{bad}");
    }
    let plain = with(200, &[("content-encoding", "identity")], "{}");
    assert!(matches!(outcome(&plain), Outcome::Applied(_)));
}

#[test]
fn the_server_says_how_long_to_wait() {
    let body = r#"{"__type":"ThrottlingException"}"#;
    let date = ("date", "Sat, 31 Jan 2026 12:00:00 GMT");
    for (headers, expected) in [
        (&[][..], None),
        (&[("retry-after", "7")], Some(Duration::from_secs(7))),
        (&[("retry-after", " 0 ")], Some(Duration::ZERO)),
        (
            &[("x-amz-retry-after", "1500")],
            Some(Duration::from_millis(1500)),
        ),
        (
            &[("x-amz-retry-after", "20"), ("retry-after", "7")],
            Some(Duration::from_millis(20)),
        ),
        (
            &[("retry-after", "Sat, 31 Jan 2026 12:00:05 GMT"), date],
            Some(Duration::from_secs(5)),
        ),
        (
            &[("retry-after", "Sat, 31 Jan 2026 11:00:00 GMT"), date],
            None,
        ),
        (&[("retry-after", "Sat, 31 Jan 2026 12:00:05 GMT")], None),
        (&[("retry-after", "-1")], None),
        (&[("retry-after", "soon")], None),
    ] {
        let Outcome::NotApplied(failure) = outcome(&with(400, headers, body)) else {
            panic!("{headers:?}");
        };
        assert_eq!(failure.retry_after, expected, "{headers:?}");
    }
}
