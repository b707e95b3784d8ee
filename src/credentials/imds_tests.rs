//! Instance metadata against servers that do what a test says.

use std::time::UNIX_EPOCH;

use super::super::Trouble::{self, Absent, Broken, Unavailable};
use super::super::remote::scripted::{
    Deed, PATIENCE, SOON, Server, assert_no_marker, network, nobody, parts, reply, text, trouble,
    variables,
};
use super::*;

const GOOD: &str = r#"{"Code":"Success","LastUpdated":"2026-01-31T12:00:00Z","Type":"AWS-HMAC",
    "AccessKeyId":"ASIA","SecretAccessKey":"XYZZY-secret","Token":"XYZZY-session",
    "Expiration":"1970-01-01T00:00:07Z"}"#;

fn from(set: &[(&str, &str)]) -> Result<InstanceMetadata, CredentialsError> {
    InstanceMetadata::from_environment(&variables(set), &network())
}

/// The service at this URL, with this limit and hardly a pause.
fn source(url: &str, limit: Duration) -> InstanceMetadata {
    let mut source = from(&[(ENDPOINT, url), (MODE, "IPv6"), (DISABLED, "false")]).unwrap();
    source.remote.limit = limit;
    source.remote.pause = Duration::from_millis(1);
    source
}

fn token() -> Deed {
    reply(200, "XYZZY-token==")
}

fn role_name() -> Deed {
    reply(200, "my_role+x@y.z")
}

fn good() -> Deed {
    reply(200, GOOD)
}

async fn failure(deeds: impl IntoIterator<Item = Deed>) -> (Trouble, String) {
    let server = Server::new(deeds);
    let error = source(&server.url, PATIENCE).fetch().await.unwrap_err();
    reason_of(&error, &server)
}

/// What is the matter, and why, without the name of the server if it is there.
fn reason_of(error: &CredentialsError, server: &Server) -> (Trouble, String) {
    let (trouble, shown) = trouble(error);
    let reason = shown.strip_prefix("no credentials: instance metadata (");
    let reason = reason.and_then(|rest| rest.strip_suffix(')')).unwrap();
    let host = format!("{}: ", server.url.trim_start_matches("http://"));
    (trouble, reason.strip_prefix(&host).unwrap_or(reason).into())
}

#[tokio::test]
async fn a_session_the_role_and_its_credentials() {
    let server = Server::new([token(), role_name(), good()]);
    let source = source(&server.url, PATIENCE);
    let got = source.fetch().await.unwrap();
    assert_eq!(parts(&got), ("ASIA", "XYZZY-secret", Some("XYZZY-session")));
    // Long expired: that is for others to judge.
    assert_eq!(got.expiry(), Some(UNIX_EPOCH + Duration::from_secs(7)));
    assert_no_marker(&format!("{source:?} {source:#?}"));

    let host = server.url.trim_start_matches("http://");
    let put = server.request();
    assert!(
        put.starts_with("PUT /latest/api/token HTTP/1.1\r\n"),
        "{put}"
    );
    assert!(
        put.contains("\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"),
        "{put}"
    );
    assert!(put.contains("\r\ncontent-length: 0\r\n"), "{put}");
    for path in ["", "my_role+x@y.z"] {
        let get = server.request();
        let start = format!("GET /latest/meta-data/iam/security-credentials/{path} HTTP/1.1\r\n");
        assert!(get.starts_with(&start), "{get}");
        assert!(
            get.contains("\r\nx-aws-ec2-metadata-token: XYZZY-token==\r\n"),
            "{get}"
        );
        assert!(get.contains(&format!("\r\nhost: {host}\r\n")), "{get}");
    }
    assert!(server.is_done());
}

#[tokio::test]
async fn each_fetch_begins_a_session() {
    let deeds = [token(), role_name(), good()];
    let server = Server::new(deeds.into_iter().chain([token(), role_name(), good()]));
    let source = source(&server.url, PATIENCE);
    source.fetch().await.unwrap();
    source.fetch().await.unwrap();
}

#[test]
fn the_variables_say_where_it_is() {
    for (set, host) in [
        (&[][..], "169.254.169.254"),
        (
            &[(MODE, "ipv4"), (ENDPOINT, ""), (DISABLED, "")],
            "169.254.169.254",
        ),
        (&[(MODE, "IPv6")], "[fd00:ec2::254]"),
        (&[(MODE, "ipv6"), (DISABLED, "False")], "[fd00:ec2::254]"),
        (
            &[(MODE, "IPv6"), (ENDPOINT, "http://127.0.0.1:1338/")],
            "127.0.0.1:1338",
        ),
    ] {
        assert_eq!(format!("{:?}", from(set).unwrap().remote), host);
    }
}

#[test]
fn a_setting_that_is_wrong_is_named() {
    let clear = "AWS_EC2_METADATA_SERVICE_ENDPOINT is a plain http URL whose host is neither \
        loopback nor link-local: credentials come from there by https only";
    for (set, trouble, reason) in [
        (
            &[(DISABLED, "true")][..],
            Absent,
            "switched off by AWS_EC2_METADATA_DISABLED",
        ),
        (
            &[(DISABLED, "True"), (MODE, "XYZZY")],
            Absent,
            "switched off by AWS_EC2_METADATA_DISABLED",
        ),
        (
            &[(MODE, "XYZZY")],
            Broken,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is neither IPv4 nor IPv6",
        ),
        (&[(ENDPOINT, "http://10.0.0.1")], Broken, clear),
        (&[(ENDPOINT, "http://imds.example:1338")], Broken, clear),
        (
            &[(ENDPOINT, "http://u:XYZZY@127.0.0.1")],
            Broken,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT cannot be used: \
            the endpoint URL \"http://127.0.0.1\" has a user name or password in it",
        ),
    ] {
        let shown = format!("no credentials: instance metadata ({reason})");
        assert_eq!(
            super::super::remote::scripted::trouble(&from(set).unwrap_err()),
            (trouble, shown)
        );
    }
}

#[tokio::test]
async fn a_session_that_is_not_known_is_begun_anew_once() {
    let unknown = || reply(401, "XYZZY");
    let new = || reply(200, "XYZZY-new");
    for (first, count) in [
        (vec![token(), unknown()], 2),
        (vec![token(), role_name(), unknown()], 3),
    ] {
        let server = Server::new(first.into_iter().chain([new(), role_name(), good()]));
        source(&server.url, PATIENCE).fetch().await.unwrap();
        for _ in 0..count {
            assert!(!server.request().contains("XYZZY-new"));
        }
        assert!(server.request().starts_with("PUT "));
        for _ in 0..2 {
            assert!(
                server
                    .request()
                    .contains("x-aws-ec2-metadata-token: XYZZY-new\r\n")
            );
        }
        assert!(server.is_done());
    }
    let got = failure([token(), unknown(), new(), role_name(), unknown()]).await;
    assert_eq!(
        got,
        (Broken, "does not accept the token that it gave out".into())
    );
}

#[tokio::test]
async fn what_is_no_instance_with_a_role_is_absent() {
    let no_role = "no role is attached to the instance";
    let other = "what answers does not speak IMDSv2";
    for (deeds, reason) in [
        (vec![token(), reply(404, "XYZZY")], no_role),
        (vec![token(), reply(200, "")], no_role),
        (vec![token(), reply(200, " \r\n")], no_role),
        (vec![reply(403, "XYZZY")], "switched off for this instance"),
        (vec![reply(404, "XYZZY")], other),
        (vec![reply(405, "XYZZY")], other),
    ] {
        assert_eq!(failure(deeds).await, (Absent, reason.into()));
    }
    let url = nobody();
    let (trouble, shown) = trouble(&source(&url, PATIENCE).fetch().await.unwrap_err());
    let start = format!("no credentials: instance metadata (no connection to {url}/: ");
    assert!(trouble == Absent && shown.starts_with(&start), "{shown}");
}

#[tokio::test]
async fn a_hang_names_the_hop_limit() {
    let slow = || Deed::Trickle(text(200, "", "XYZZY-token"));
    for deeds in [
        [Deed::Hang, Deed::Hang, Deed::Hang],
        [slow(), slow(), slow()],
    ] {
        let server = Server::new(deeds);
        let error = source(&server.url, SOON).fetch().await.unwrap_err();
        let (trouble, shown) = reason_of(&error, &server);
        assert_eq!(trouble, Unavailable);
        let reason = "no answer: nothing whole within 60 ms; in a container this is usually the \
            hop limit in the metadata options of the instance, which is 1 and has to be 2";
        assert_eq!(shown, reason);
    }
}

#[tokio::test]
async fn a_hang_later_on_is_unavailable() {
    for before in [vec![token()], vec![token(), role_name()]] {
        let hangs = [Deed::Hang, Deed::Hang, Deed::Hang];
        let server = Server::new(before.into_iter().chain(hangs));
        let limit = Duration::from_millis(300);
        let error = source(&server.url, limit).fetch().await.unwrap_err();
        let reason = "no answer: nothing whole within 300 ms";
        assert_eq!(reason_of(&error, &server), (Unavailable, reason.into()));
    }
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let busy = || reply(503, "XYZZY");
    let server = Server::new([
        busy(),
        Deed::Close,
        token(),
        reply(429, ""),
        role_name(),
        busy(),
        busy(),
        good(),
    ]);
    source(&server.url, PATIENCE).fetch().await.unwrap();
    let got = failure([busy(), busy(), busy()]).await;
    assert_eq!(
        got,
        (
            Unavailable,
            "answered with status 503 when asked for a token".into()
        )
    );
    let got = failure([token(), busy(), busy(), busy()]).await;
    assert_eq!(
        got,
        (
            Unavailable,
            "answered with status 503 when asked for the role".into()
        )
    );
}

#[tokio::test]
async fn a_refusal_is_broken() {
    let what = "answered with status 400 when asked for";
    for (deeds, asked) in [
        (vec![reply(400, "XYZZY")], "a token"),
        (vec![token(), reply(400, "XYZZY")], "the role"),
        (
            vec![token(), role_name(), reply(400, "XYZZY")],
            "credentials",
        ),
    ] {
        assert_eq!(failure(deeds).await, (Broken, format!("{what} {asked}")));
    }
    let got = failure([token(), role_name(), reply(404, GOOD)]).await;
    assert_eq!(
        got,
        (
            Broken,
            "answered with status 404 when asked for credentials".into()
        )
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::new([]);
    let location = format!("location: {}/XYZZY\r\n", elsewhere.url);
    let redirect = || Deed::Send(text(302, &location, ""));
    for deeds in [
        vec![redirect()],
        vec![token(), redirect()],
        vec![token(), role_name(), redirect()],
    ] {
        let (trouble, shown) = failure(deeds).await;
        let start = "answered with status 302, a redirect, which is never followed";
        assert!(trouble == Broken && shown.starts_with(start), "{shown}");
    }
    assert!(elsewhere.is_done());
}

#[tokio::test]
async fn a_token_that_cannot_be_one_is_broken() {
    for body in [
        "",
        "\n",
        "XYZZY\n",
        "XYZZY\r\nx-injected: 1",
        "<html>XYZZY here</html>",
        "XYZZYé",
    ] {
        let got = failure([reply(200, body)]).await;
        assert_eq!(got, (Broken, "the token cannot be one".into()));
    }
}

#[tokio::test]
async fn the_name_of_the_role_goes_into_a_path_only_if_it_can_be_one() {
    let long = "x".repeat(65);
    for name in [
        "XYZZY role",
        "XYZZY/role",
        "XYZZY?role",
        "XYZZY%2Frole",
        "<XYZZY>",
        "XYZZY\0",
        "é",
        &long,
    ] {
        let got = failure([token(), reply(200, name)]).await;
        assert_eq!(got, (Broken, "the name of the role cannot be one".into()));
    }
    // The first is taken, as everybody does.
    let server = Server::new([token(), reply(200, "\nfirst\r\nsecond\n"), good()]);
    source(&server.url, PATIENCE).fetch().await.unwrap();
    let requests = [server.request(), server.request(), server.request()];
    assert!(
        requests[2].contains("/security-credentials/first HTTP/1.1"),
        "{}",
        requests[2]
    );
}

#[tokio::test]
async fn rubbish_is_broken_and_not_shown() {
    for (body, problem) in [
        ("", "the answer is not JSON"),
        ("XYZZY", "the answer is not JSON"),
        (r#"{"AccessKeyId":"XYZZY"#, "the answer is not JSON"),
        (r#"["XYZZY"]"#, "the answer is not a JSON object"),
        (
            r#"{"Code":"Success","Message":"XYZZY"}"#,
            "the answer has no AccessKeyId",
        ),
        (
            r#"{"AccessKeyId":"A","SecretAccessKey":"XYZZY "}"#,
            "the answer the secret access key has whitespace in it",
        ),
        (r#"{"Code":"Failed"}"#, "has no credentials: Failed: "),
        (
            r#"{"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role","AccessKeyId":"XYZZY"}"#,
            "has no credentials: AssumeRoleUnauthorizedAccess: EC2 cannot assume the role",
        ),
        (
            r#"{"Code":"Failed","Message":"for XYZZY-token=="}"#,
            "has no credentials: Failed: for ",
        ),
    ] {
        assert_eq!(
            failure([token(), role_name(), reply(200, body)]).await,
            (Broken, problem.into())
        );
    }
    // Other services than EC2's may give no code.
    let server = Server::new([
        token(),
        role_name(),
        reply(200, &GOOD.replace("Code", "Other")),
    ]);
    source(&server.url, PATIENCE).fetch().await.unwrap();
}
