//! Status, headers and bytes of an answer, and what they say became of the write.

use std::fmt;
use std::time::UNIX_EPOCH;

use ::http::{Response, StatusCode};
use bytes::Bytes;
use serde_core::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::SendError;
use super::value::Item;

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// DynamoDB applied it; the attributes that it was asked to return.
    Applied(Item),
    /// The condition was not met; the item as it is, `None` where there is none.
    Refused(Option<Item>),
    /// Surely not applied.
    NotApplied(Failure),
    /// It may have been applied, or may still be.
    Unknown(Failure),
}

/// What went wrong, in DynamoDB's words where it has said any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// DynamoDB's name for the error, such as `ValidationException`.
    pub(crate) code: Option<Box<str>>,
    /// Printable, and at most 1 KiB.
    pub(crate) message: Box<str>,
    /// What AWS support asks for.
    pub(crate) request_id: Option<Box<str>>,
}

/// The sort of a failure: it says whether the same request, signed anew, may fare better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Too many requests for the table, the key or the account.
    Throttled,
    /// Another write of the same item was in flight. Says nothing about the condition.
    Conflict,
    /// The signature bears a time too far from the server's.
    ClockSkew,
    /// The session token is past its end; a fresh one will do.
    CredentialsExpired,
    /// No connection, no answer, or an answer that DynamoDB cannot serve now.
    Unavailable,
    /// The answer is not one of DynamoDB's.
    BadAnswer,
    /// The key, the token or the signature is not accepted.
    CredentialsRejected,
    /// The credentials are good, but do not allow this.
    AccessDenied,
    /// There is no such table, or it is not active yet.
    TableNotFound,
    /// The request does not fit the table or DynamoDB's rules.
    Validation,
    /// Any other code of DynamoDB's.
    Other,
}

impl FailureKind {
    /// Whether another try may fare better.
    pub(crate) fn is_passing(self) -> bool {
        use FailureKind::*;
        match self {
            Throttled | Conflict | ClockSkew | CredentialsExpired | Unavailable | BadAnswer => true,
            CredentialsRejected | AccessDenied | TableNotFound | Validation | Other => false,
        }
    }
}

impl From<SendError> for Outcome {
    fn from(error: SendError) -> Self {
        let failure = Failure {
            kind: FailureKind::Unavailable,
            code: None,
            message: printable(&error.to_string(), LONGEST_MESSAGE),
            request_id: None,
        };
        match error {
            SendError::NotSent(_) => Self::NotApplied(failure),
            SendError::NoAnswer(_) => Self::Unknown(failure),
        }
    }
}

/// Reads an answer to `UpdateItem` or `DeleteItem`.
///
/// Only DynamoDB's own word counts: 200 with a readable body is applied, an error code of
/// DynamoDB's below 500 is not applied, and everything else is unknown.
/// [Error handling](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html)
pub(crate) fn outcome(answer: &Response<Bytes>) -> Outcome {
    if answer.status() == StatusCode::OK {
        return match item_under("Attributes", answer.body()) {
            Ok(attributes) => Outcome::Applied(attributes.unwrap_or_default()),
            Err(error) => Outcome::Unknown(unreadable(answer, &error)),
        };
    }
    let fault = Fault::of(answer);
    let Some(code) = fault.code.as_deref() else {
        return Outcome::Unknown(foreign(answer));
    };
    let kind = kind_of(code, &fault.message);
    let failure = |kind| Failure {
        kind,
        code: Some(printable(code, LONGEST_NAME)),
        message: printable(&fault.message, LONGEST_MESSAGE),
        request_id: request_id(answer),
    };
    if !answer.status().is_client_error() {
        // Whatever the code: a server that fails cannot promise that it has not applied a write.
        return Outcome::Unknown(failure(match kind {
            FailureKind::Throttled => kind,
            _ if answer.status().is_server_error() => FailureKind::Unavailable,
            _ => FailureKind::BadAnswer,
        }));
    }
    if code == "ConditionalCheckFailedException" {
        return match item_under("Item", answer.body()) {
            Ok(item) => Outcome::Refused(item),
            Err(error) => Outcome::NotApplied(unreadable(answer, &error)),
        };
    }
    match kind {
        FailureKind::Unavailable => Outcome::Unknown(failure(kind)),
        _ => Outcome::NotApplied(failure(kind)),
    }
}

/// The server's `Date`, in Unix seconds; `None` where it gives none that can be read.
pub(crate) fn server_date(answer: &Response<Bytes>) -> Option<i64> {
    let text = header(answer, "date")?;
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// The codes of
/// [DynamoDB](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html)
/// and those [common to AWS](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html).
fn kind_of(code: &str, message: &str) -> FailureKind {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "TooManyRequestsException" => FailureKind::Throttled,

        "TransactionConflictException"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException" => FailureKind::Conflict,

        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => FailureKind::ClockSkew,
        // One code for two faults: the message begins «Signature expired: …» or «Signature not
        // yet current: …» where it is the clock.
        "InvalidSignatureException"
            if message.contains("Signature expired")
                || message.contains("Signature not yet current") =>
        {
            FailureKind::ClockSkew
        }

        "ExpiredTokenException" | "ExpiredToken" => FailureKind::CredentialsExpired,

        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => FailureKind::CredentialsRejected,

        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => {
            FailureKind::AccessDenied
        }

        "ResourceNotFoundException" => FailureKind::TableNotFound,

        "ValidationException" | "ValidationError" | "SerializationException" => {
            FailureKind::Validation
        }

        "InternalServerError"
        | "InternalServerErrorException"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => FailureKind::Unavailable,

        _ => FailureKind::Other,
    }
}

/// What an error's body and headers name.
#[derive(Default)]
struct Fault {
    code: Option<String>,
    message: String,
}

impl Fault {
    fn of(answer: &Response<Bytes>) -> Self {
        let mut json = serde_json::Deserializer::from_slice(answer.body());
        let mut fault = match json.deserialize_map(FaultVisitor) {
            Ok(fault) if json.end().is_ok() => fault,
            _ => Self::default(),
        };
        if fault.code.is_none() {
            fault.code = header(answer, "x-amzn-errortype").and_then(bare_code);
        }
        fault
    }
}

struct FaultVisitor;

impl<'de> Visitor<'de> for FaultVisitor {
    type Value = Fault;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of DynamoDB's")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fault, A::Error> {
        let mut fault = Fault::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "__type" => fault.code = map.next_value::<Value>()?.as_str().and_then(bare_code),
                "message" | "Message" => {
                    if let Value::String(message) = map.next_value()? {
                        fault.message = message;
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fault)
    }
}

/// `prefix#Code:suffix` is a `Code`; `None` where nothing is left.
fn bare_code(text: &str) -> Option<String> {
    let code = text.rsplit('#').next()?;
    let code = code.split(':').next()?.trim();
    (!code.is_empty()).then(|| code.to_owned())
}

/// The item under one key of a JSON object; `None` where the key is missing or null.
fn item_under(key: &'static str, body: &[u8]) -> Result<Option<Item>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let item = ItemUnder(key).deserialize(&mut json)?;
    json.end()?;
    Ok(item)
}

struct ItemUnder(&'static str);

impl<'de> DeserializeSeed<'de> for ItemUnder {
    type Value = Option<Item>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Item>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ItemUnder {
    type Value = Option<Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of DynamoDB's")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Item>, A::Error> {
        let mut item = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                item = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(item)
    }
}

/// An answer that ought to be readable and is not.
fn unreadable(answer: &Response<Bytes>, error: &serde_json::Error) -> Failure {
    bad_answer(answer, &["an unreadable answer: ", &error.to_string()])
}

/// An answer that DynamoDB has not given.
fn foreign(answer: &Response<Bytes>) -> Failure {
    const EXCERPT: usize = 120;
    let start = answer.body().get(..4 * EXCERPT);
    let start = String::from_utf8_lossy(start.unwrap_or(answer.body()));
    let excerpt = printable(start.trim(), EXCERPT);
    let status = answer.status();
    let mut failure = bad_answer(
        answer,
        &[
            "status ",
            status.as_str(),
            " without an error of DynamoDB's: ",
            &excerpt,
        ],
    );
    if status == StatusCode::TOO_MANY_REQUESTS {
        failure.kind = FailureKind::Throttled;
    } else if status.is_server_error() {
        failure.kind = FailureKind::Unavailable;
    }
    failure
}

fn bad_answer(answer: &Response<Bytes>, message: &[&str]) -> Failure {
    Failure {
        kind: FailureKind::BadAnswer,
        code: None,
        message: printable(&message.concat(), LONGEST_MESSAGE),
        request_id: request_id(answer),
    }
}

fn request_id(answer: &Response<Bytes>) -> Option<Box<str>> {
    header(answer, "x-amzn-requestid").map(|id| printable(id, LONGEST_NAME))
}

fn header<'a>(answer: &'a Response<Bytes>, name: &'static str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

const LONGEST_MESSAGE: usize = 1024;
const LONGEST_NAME: usize = 128;

/// The text without control characters, and cut off at `longest` bytes.
fn printable(text: &str, longest: usize) -> Box<str> {
    let mut kept = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if kept.len() + c.len_utf8() > longest {
            break;
        }
        kept.push(c);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
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
        let Outcome::NotApplied(failure) = SendError::NotSent("refused".into()).into() else {
            panic!();
        };
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert_eq!(&*failure.message, "not sent: refused");
        let Outcome::Unknown(failure) = SendError::NoAnswer("reset".into()).into() else {
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
}
