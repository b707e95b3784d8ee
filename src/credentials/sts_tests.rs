//! STS against servers that do what a test says.

use std::time::UNIX_EPOCH;

use super::super::Trouble::{self, Broken, Unavailable};
use super::super::remote::scripted::{
    Deed, PATIENCE, SOON, Server, assert_no_marker, network, nobody, parts, reply, text, trouble,
    variables,
};
use super::*;

const ARN: &str = "arn:aws:iam::123456789012:role/path/name+x";
const REGION: Option<&str> = Some("eu-west-1");

/// As STS answers, with another element of the same name where none is looked for.
fn good() -> String {
    fields(
        "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>XYZZY/secret</SecretAccessKey>\
        <SessionToken>\n XYZZY&#x2b;session==\n</SessionToken><Expiration>1970-01-01T00:00:07.5Z</Expiration>",
    )
}

fn fields(fields: &str) -> String {
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
        <AssumedRoleUser><AccessKeyId>no</AccessKeyId></AssumedRoleUser>\
        <Credentials>{fields}</Credentials></AssumeRoleResult></AssumeRoleResponse>\n"
    )
}

fn refusal(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
        <Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    )
}

fn role() -> Role {
    Role {
        arn: ARN.into(),
        session_name: None,
        external_id: None,
        duration_seconds: None,
    }
}

fn signer() -> Credentials {
    let pair = Credentials::new("AKID", "XYZZY-signer").unwrap();
    pair.session_token("XYZZY-signer-session").unwrap()
}

fn from(set: &[(&str, &str)], region: Option<&str>) -> Sts {
    Sts::from_environment(&variables(set), &network(), region, Variant::default()).unwrap()
}

/// STS at this URL, with this limit and hardly a pause.
fn sts(url: &str, limit: Duration) -> Sts {
    let mut sts = from(&[("AWS_ENDPOINT_URL_STS", url)], REGION);
    let target = sts.target.as_mut().unwrap();
    target.remote.limit = limit;
    target.remote.pause = Duration::from_millis(1);
    assert_no_marker(&format!("{sts:?} {sts:#?}"));
    sts
}

async fn by_token(sts: &Sts, role: &Role) -> Result<Credentials, CredentialsError> {
    let token = "XYZZY-head.XYZZY-body.XYZZY_sig".to_owned();
    sts.assume_role_with_web_identity(role, token).await
}

/// Both calls fail alike against such a server; what is the matter, and what is said about it.
async fn failure(deeds: impl Fn() -> Vec<Deed>) -> (Trouble, String) {
    let server = Server::new(deeds());
    let signed = sts(&server.url, PATIENCE).assume_role(&role(), &signer());
    let signed = reason_of(&signed.await.unwrap_err(), "assume role", &server);
    let server = Server::new(deeds());
    let unsigned = by_token(&sts(&server.url, PATIENCE), &role()).await;
    let unsigned = reason_of(&unsigned.unwrap_err(), "web identity", &server);
    assert_eq!(signed, unsigned);
    signed
}

fn reason_of(error: &CredentialsError, source: &str, server: &Server) -> (Trouble, String) {
    let (trouble, shown) = trouble(error);
    let host = server.url.trim_start_matches("http://");
    let start = format!("no credentials: {source} ({host}: ");
    let reason = shown
        .strip_prefix(&start)
        .and_then(|rest| rest.strip_suffix(')'));
    (trouble, reason.unwrap_or_else(|| panic!("{shown}")).into())
}

/// The field of a form.
fn field<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let (_, form) = request.split_once("\r\n\r\n").unwrap();
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[tokio::test]
async fn assume_role_is_signed_for_sts_in_the_region() {
    let server = Server::new([reply(200, &good())]);
    let role = Role {
        session_name: Some("me@here".into()),
        external_id: Some("a:b/c=d".into()),
        duration_seconds: Some(900),
        ..role()
    };
    let got = sts(&server.url, PATIENCE)
        .assume_role(&role, &signer())
        .await
        .unwrap();
    assert_eq!(
        parts(&got),
        ("ASIA", "XYZZY/secret", Some("XYZZY+session=="))
    );
    assert_eq!(got.expiry(), Some(UNIX_EPOCH + Duration::from_millis(7500)));

    let request = server.request();
    let host = server.url.trim_start_matches("http://");
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains(&format!("\r\nhost: {host}\r\n")),
        "{request}"
    );
    assert!(
        request.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\nx-amz-security-token: XYZZY-signer-session\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: AWS4-HMAC-SHA256 Credential=AKID/"),
        "{request}"
    );
    assert!(request.contains("/eu-west-1/sts/aws4_request"), "{request}");
    let (_, form) = request.split_once("\r\n\r\n").unwrap();
    let expected = "Version=2011-06-15&Action=AssumeRole\
        &RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fpath%2Fname%2Bx\
        &RoleSessionName=me%40here&DurationSeconds=900&ExternalId=a%3Ab%2Fc%3Dd";
    assert_eq!(form, expected);
    assert!(server.is_done());
}

#[tokio::test]
async fn web_identity_is_not_signed() {
    let server = Server::new([reply(200, &good())]);
    by_token(&sts(&server.url, PATIENCE), &role())
        .await
        .unwrap();
    let request = server.request();
    assert_eq!(field(&request, "Action"), Some("AssumeRoleWithWebIdentity"));
    assert_eq!(
        field(&request, "WebIdentityToken"),
        Some("XYZZY-head.XYZZY-body.XYZZY_sig")
    );
    assert!(
        !request.contains("authorization") && !request.contains("x-amz-"),
        "{request}"
    );
    for name in ["DurationSeconds", "ExternalId"] {
        assert_eq!(field(&request, name), None);
    }
    // By default the session has the time in its name, in milliseconds.
    let session = field(&request, "RoleSessionName").unwrap();
    let time = session.strip_prefix("dynolock-").unwrap();
    assert!(time.len() == 13 && time.parse::<u64>().is_ok(), "{session}");
}

#[tokio::test]
async fn every_byte_of_a_field_arrives() {
    let server = Server::new([reply(200, &good())]);
    let token = "a-._~ +/=&%\u{e9}\n\0".to_owned();
    let sts = sts(&server.url, PATIENCE);
    sts.assume_role_with_web_identity(&role(), token)
        .await
        .unwrap();
    let sent = "a-._~%20%2B%2F%3D%26%25%C3%A9%0A%00";
    assert_eq!(field(&server.request(), "WebIdentityToken"), Some(sent));
}

#[test]
fn the_endpoint_is_that_of_the_variable_or_of_the_region() {
    const STS: (&str, &str) = ("AWS_ENDPOINT_URL_STS", "http://sts.local:4566");
    const ALL: (&str, &str) = ("AWS_ENDPOINT_URL", "http://all.local");
    let of_region = "sts.eu-west-1.amazonaws.com";
    for (set, host) in [
        (&[STS, ALL][..], "sts.local:4566"),
        (&[ALL], "all.local"),
        (&[("AWS_ENDPOINT_URL_STS", ""), ALL], "all.local"),
        (&[STS, ALL, (IGNORE, "false")], "sts.local:4566"),
        (&[], of_region),
        (&[STS, ALL, (IGNORE, "true")], of_region),
        (&[STS, ALL, (IGNORE, "TRUE")], of_region),
    ] {
        let sts = from(set, REGION);
        match (host == of_region, cfg!(feature = "__tls")) {
            (true, false) => assert!(sts.target.unwrap_err().contains(of_region)),
            _ => assert_eq!(format!("{:?}", sts.target.unwrap().remote), host),
        }
    }
}

#[cfg(feature = "__tls")]
#[test]
fn fips_and_dual_stack_have_endpoints_of_their_own() {
    let variant = Variant {
        fips: true,
        dual_stack: true,
    };
    let sts = Sts::from_environment(&|_| None, &network(), REGION, variant).unwrap();
    let remote = sts.target.unwrap().remote;
    assert_eq!(format!("{remote:?}"), "sts-fips.eu-west-1.api.aws");
}

#[tokio::test]
async fn what_cannot_be_asked_fails_for_those_who_ask() {
    let url = [("AWS_ENDPOINT_URL_STS", "http://u:XYZZY@sts.local")];
    let all = [("AWS_ENDPOINT_URL", "sts.local")];
    for (sts, problem) in [
        (
            from(&url, REGION),
            "AWS_ENDPOINT_URL_STS cannot be used: the endpoint URL \"http://sts.local\" has a user name or password in it",
        ),
        (
            from(&all, REGION),
            "AWS_ENDPOINT_URL cannot be used: the endpoint URL \"sts.local\" has no scheme: it begins with http:// or https://",
        ),
        (
            from(&[], None),
            "STS is asked in a region, and AWS_REGION is not set",
        ),
        (
            from(
                &[("AWS_ENDPOINT_URL_STS", "http://sts.local")],
                Some("x.y/"),
            ),
            "the region \"x.y/\" is not 1 to 63 lower-case letters, digits and inner hyphens",
        ),
    ] {
        let by_token = by_token(&sts, &role()).await.unwrap_err();
        assert_eq!(
            trouble(&by_token),
            (Broken, format!("no credentials: web identity ({problem})"))
        );
        let signed = sts.assume_role(&role(), &signer()).await.unwrap_err();
        assert_eq!(
            trouble(&signed),
            (Broken, format!("no credentials: assume role ({problem})"))
        );
    }
}

#[tokio::test]
async fn without_a_region_nothing_can_be_signed() {
    let server = Server::new([reply(200, &good())]);
    let sts = from(&[("AWS_ENDPOINT_URL", &server.url)], None);
    let error = sts.assume_role(&role(), &signer()).await.unwrap_err();
    let problem = "the request is signed for a region, and AWS_REGION is not set";
    assert_eq!(
        trouble(&error),
        (Broken, format!("no credentials: assume role ({problem})"))
    );
    assert!(server.is_done());
    by_token(&sts, &role()).await.unwrap();
}

#[tokio::test]
async fn a_role_that_cannot_be_one_is_not_sent() {
    let server = Server::new([]);
    let sts = sts(&server.url, PATIENCE);
    let arn = |arn: &str| Role {
        arn: arn.into(),
        ..role()
    };
    let named = |name: &str| Role {
        session_name: Some(name.into()),
        ..role()
    };
    let external = |id: &str| Role {
        external_id: Some(id.into()),
        ..role()
    };
    let lasting = |seconds| Role {
        duration_seconds: Some(seconds),
        ..role()
    };
    let session = "the role session name is not 2 to 64 letters, digits and characters of _+=,.@-";
    let id = "the external id is not 2 to 1224 letters, digits and characters of _+=,.@:/-";
    let duration = "the duration of the role is not 900 to 43200 seconds";
    let unprintable = "the role ARN has characters in it that are not printable ASCII";
    for (role, problem) in [
        (arn(""), "the role ARN does not begin with arn:"),
        (arn("XYZZY"), "the role ARN does not begin with arn:"),
        (arn("arn:XYZZY x"), unprintable),
        (arn("arn:XYZZY\r\nx: y"), unprintable),
        (arn("arn:XYZZY\u{e9}"), unprintable),
        (
            arn(&"arn:".repeat(513)),
            "the role ARN is longer than 2048 characters",
        ),
        (named(""), session),
        (named("x"), session),
        (named("XYZZY/"), session),
        (named("XYZZY\n"), session),
        (named(&"x".repeat(65)), session),
        (external("x"), id),
        (external("XYZZY x"), id),
        (external(&"x".repeat(1225)), id),
        (lasting(899), duration),
        (lasting(43_201), duration),
    ] {
        let error = by_token(&sts, &role).await.unwrap_err();
        let shown = format!("no credentials: web identity ({problem})");
        assert_eq!(trouble(&error), (Broken, shown));
    }
    assert!(server.is_done());
    // The longest and the shortest are good.
    for role in [
        arn(&"arn:".repeat(512)),
        named("x_"),
        named(&"x".repeat(64)),
        external(&"x".repeat(1224)),
        lasting(900),
        lasting(43_200),
    ] {
        assert_eq!(role.check(), Ok(()));
    }
}

#[tokio::test]
async fn what_passes_is_asked_again_and_signed_anew() {
    let passing = [
        reply(500, ""),
        reply(503, &refusal("ServiceUnavailable", "")),
        reply(429, ""),
        reply(400, &refusal("IDPCommunicationError", "")),
        reply(400, &refusal("Throttling", "")),
        reply(400, &refusal("ThrottlingException", "")),
        reply(400, &refusal("RequestLimitExceeded", "")),
        Deed::Close,
    ];
    for first in passing {
        let server = Server::new([first, reply(502, "XYZZY"), reply(200, &good())]);
        let sts = sts(&server.url, PATIENCE);
        sts.assume_role(&role(), &signer()).await.unwrap();
        for _ in 0..3 {
            assert!(server.request().contains("\r\nauthorization: "));
        }
        assert!(server.is_done());
    }
}

#[tokio::test]
async fn what_does_not_pass_is_unavailable() {
    let busy = || reply(400, &refusal("Throttling", "Rate exceeded"));
    let got = failure(|| vec![busy(), busy(), busy()]).await;
    let shown = "answered with status 400: Throttling: Rate exceeded";
    assert_eq!(got, (Unavailable, shown.into()));
    let got = failure(|| {
        vec![
            reply(500, "XYZZY"),
            reply(500, "XYZZY"),
            reply(500, "XYZZY"),
        ]
    })
    .await;
    assert_eq!(got, (Unavailable, "answered with status 500".into()));
    let (trouble, shown) = failure(|| vec![Deed::Close, Deed::Close, Deed::Close]).await;
    assert!(
        trouble == Unavailable && shown.starts_with("no answer: "),
        "{shown}"
    );
}

#[tokio::test]
async fn nobody_there_a_hang_and_a_trickle_are_unavailable() {
    let error = by_token(&sts(&nobody(), PATIENCE), &role())
        .await
        .unwrap_err();
    let (kind, shown) = trouble(&error);
    assert!(
        kind == Unavailable && shown.contains(": not sent: no connection to "),
        "{shown}"
    );
    let slow = || Deed::Trickle(text(200, "", &good()));
    for deeds in [
        [Deed::Hang, Deed::Hang, Deed::Hang],
        [slow(), slow(), slow()],
    ] {
        let server = Server::new(deeds);
        let error = by_token(&sts(&server.url, SOON), &role())
            .await
            .unwrap_err();
        let got = reason_of(&error, "web identity", &server);
        assert_eq!(
            got,
            (Unavailable, "no answer: nothing whole within 60 ms".into())
        );
    }
}

#[tokio::test]
async fn a_refusal_is_broken_and_names_its_code() {
    for code in [
        "AccessDenied",
        "ValidationError",
        "InvalidIdentityToken",
        "ExpiredTokenException",
        "MalformedPolicyDocument",
        "SignatureDoesNotMatch",
    ] {
        let got = failure(|| vec![reply(403, &refusal(code, "no &lt;b&gt;\n&#27;"))]).await;
        let shown = format!("answered with status 403: {code}: no <b>");
        assert_eq!((got.0, got.1.trim_end()), (Broken, &*shown));
    }
}

#[tokio::test]
async fn a_refusal_without_code_shows_its_status_alone() {
    for (status, body) in [
        (400, ""),
        (403, "<html><body>XYZZY</body></html>"),
        (404, "XYZZY"),
        (403, "<ErrorResponse><Error><Code>XYZZY</Code>"),
        (204, ""),
        (202, "<Credentials>XYZZY</Credentials>"),
    ] {
        let got = failure(|| vec![reply(status, body)]).await;
        assert_eq!(got, (Broken, format!("answered with status {status}")));
    }
}

#[tokio::test]
async fn a_refusal_that_shows_a_token_ends_there() {
    for (message, shown) in [
        (
            "the token XYZZY-head.XYZZY-body.XYZZY_sig is bad",
            "the token ",
        ),
        ("cannot decode &quot;XYZZY-body&quot;", "cannot decode \""),
        (
            "canonical: x-amz-security-token:XYZZY-signer-session\nhost",
            "canonical: x-amz-security-token:",
        ),
    ] {
        let deed = || reply(403, &refusal("Refused", message));
        let server = Server::new([deed()]);
        let sts = sts(&server.url, PATIENCE);
        let got = match message.starts_with("canonical") {
            true => reason_of(
                &sts.assume_role(&role(), &signer()).await.unwrap_err(),
                "assume role",
                &server,
            ),
            false => reason_of(
                &by_token(&sts, &role()).await.unwrap_err(),
                "web identity",
                &server,
            ),
        };
        assert_eq!(
            got,
            (
                Broken,
                format!("answered with status 403: Refused: {shown}")
            )
        );
    }
    let long = refusal("Refused", &"m".repeat(100_000));
    let (_, shown) = failure(|| vec![reply(403, &long)]).await;
    assert!(shown.len() < 600, "{}", shown.len());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::new([]);
    let location = format!("location: {}/XYZZY\r\n", elsewhere.url);
    let got = failure(|| vec![Deed::Send(text(307, &location, ""))]).await;
    let shown = "answered with status 307, a redirect, which is never followed";
    assert_eq!(got, (Broken, shown.into()));
    assert!(elsewhere.is_done());
}

#[tokio::test]
async fn rubbish_is_broken_and_not_shown() {
    const PAIR: &str = "<AccessKeyId>A</AccessKeyId><SecretAccessKey>XYZZY</SecretAccessKey>";
    let no_xml = "is no XML with Credentials in it";
    for (body, problem) in [
        (String::new(), no_xml),
        ("XYZZY".into(), no_xml),
        (r#"{"Credentials":"XYZZY"}"#.into(), no_xml),
        (good().replace("</Credentials>", "XYZZY"), no_xml),
        (
            ["<!DOCTYPE a [<!ENTITY b 'XYZZY'>]>", &good()].concat(),
            no_xml,
        ),
        (good().replace("Credentials", "Other"), no_xml),
        (
            fields("<SessionToken>t</SessionToken>"),
            "has no AccessKeyId",
        ),
        (
            fields("<AccessKeyId>A</AccessKeyId><SessionToken>t</SessionToken>"),
            "has no SecretAccessKey",
        ),
        (fields(""), "has no SessionToken"),
        (fields(PAIR), "has no SessionToken"),
        (
            fields(&[PAIR, "<SessionToken/>"].concat()),
            "the session token is empty",
        ),
        (
            fields(&[PAIR, "<SessionToken>XYZZY&#10;x: y</SessionToken>"].concat()),
            "the session token has whitespace in it",
        ),
        (
            fields(
                &[
                    PAIR,
                    "<SessionToken>t</SessionToken><Expiration>XYZZY</Expiration>",
                ]
                .concat(),
            ),
            "has an Expiration that is no RFC 3339 timestamp",
        ),
    ] {
        let got = failure(|| vec![reply(200, &body)]).await;
        assert_eq!(got, (Broken, format!("the answer {problem}")));
    }
}

/// The year 2100, as far as STS is concerned: the signature is dated by its clock, once.
#[tokio::test]
async fn a_clock_that_is_off_is_corrected_in_the_signature() {
    const DATE: &str = "date: Fri, 31 Dec 2100 00:00:00 GMT\r\n";
    let expired = refusal("SignatureDoesNotMatch", "Signature expired: earlier than …");
    let refused = || Deed::Send(text(403, DATE, &expired));
    let server = Server::new([refused(), Deed::Send(text(200, DATE, &good()))]);
    let got = sts(&server.url, PATIENCE).assume_role(&role(), &signer());
    assert_eq!(got.await.unwrap().access_key_id(), "ASIA");
    assert!(!server.request().contains("x-amz-date: 2100123"));
    let second = server.request();
    assert!(second.contains("x-amz-date: 21001231T0000"), "{second}");

    // Whoever refuses it twice does not mean the clock.
    let server = Server::new([refused(), refused()]);
    let got = sts(&server.url, PATIENCE).assume_role(&role(), &signer());
    let error = got.await.unwrap_err();
    assert_eq!(error.trouble(), Broken);
    let (_, _) = (server.request(), server.request());
    assert!(server.is_done(), "a third request");
}
