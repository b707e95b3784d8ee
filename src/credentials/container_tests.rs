//! The container's host against servers that do what a test says.

use std::time::UNIX_EPOCH;

use super::super::Trouble::{self, Absent, Broken, Unavailable};
use super::super::remote::scripted::{
    Deed, MARKER, PATIENCE, SOON, Server, TestFile, assert_no_marker, network, no_file, nobody,
    parts, reply, text, trouble, variables,
};
use super::*;

const GOOD: &str = r#"{"RoleArn":"arn:aws:iam::1:role/r","AccessKeyId":"AKID",
    "SecretAccessKey":"XYZZY-secret","Token":"XYZZY-session","Expiration":"1970-01-01T00:00:07Z"}"#;

fn from(set: &[(&str, &str)]) -> Result<Container, CredentialsError> {
    Container::from_environment(&variables(set), &network())
}

fn refusal(set: &[(&str, &str)]) -> (Trouble, String) {
    trouble(&from(set).unwrap_err())
}

/// The source that these variables set up, with this limit and hardly a pause.
fn source(set: &[(&str, &str)], limit: Duration) -> Container {
    let mut source = from(set).unwrap();
    source.remote.limit = limit;
    source.remote.pause = Duration::from_millis(1);
    assert_no_marker(&format!("{source:?} {source:#?}"));
    source
}

/// What comes of asking such a server.
async fn fetch(server: &Server, limit: Duration) -> Result<Credentials, CredentialsError> {
    let url = [&server.url, "/XYZZY/path?id=XYZZY"].concat();
    let set = [(FULL, &*url), (TOKEN, "Basic XYZZY-token")];
    source(&set, limit).fetch().await
}

async fn failure(deeds: impl IntoIterator<Item = Deed>) -> (Trouble, String) {
    let server = Server::new(deeds);
    let (trouble, shown) = trouble(&fetch(&server, PATIENCE).await.unwrap_err());
    let host = server.url.trim_start_matches("http://");
    let start = format!("no credentials: container ({host}: ");
    let reason = shown
        .strip_prefix(&start)
        .and_then(|rest| rest.strip_suffix(')'));
    (trouble, reason.unwrap_or_else(|| panic!("{shown}")).into())
}

#[tokio::test]
async fn the_full_uri_is_asked_with_the_token() {
    let server = Server::new([reply(200, GOOD)]);
    let got = fetch(&server, PATIENCE).await.unwrap();
    assert_eq!(parts(&got), ("AKID", "XYZZY-secret", Some("XYZZY-session")));
    // Long expired: that is for others to judge.
    assert_eq!(got.expiry(), Some(UNIX_EPOCH + Duration::from_secs(7)));
    let request = server.request();
    let host = server.url.trim_start_matches("http://");
    assert!(
        request.starts_with("GET /XYZZY/path?id=XYZZY HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("\r\nhost: {host}\r\n")),
        "{request}"
    );
    assert!(
        request.contains("\r\nauthorization: Basic XYZZY-token\r\n"),
        "{request}"
    );
    assert!(server.is_done());
}

#[tokio::test]
async fn without_a_token_no_authorization_is_sent() {
    let server = Server::new([reply(200, GOOD)]);
    let got = source(&[(FULL, &server.url), (TOKEN, "")], PATIENCE)
        .fetch()
        .await;
    got.unwrap();
    let request = server.request();
    assert!(request.starts_with("GET / HTTP/1.1\r\n"), "{request}");
    assert!(!request.contains("authorization"), "{request}");
}

#[tokio::test]
async fn the_relative_uri_wins_and_goes_to_the_agent() {
    let set = [(RELATIVE, "/v2/XYZZY?a=1"), (FULL, "http://[::1]/no")];
    let mut source = source(&set, PATIENCE);
    assert_eq!(format!("{:?}", source.remote), "169.254.170.2");
    assert_eq!(source.path, "/v2/XYZZY?a=1");
    // The agent's address is not ours to have, so another stands in.
    let server = Server::new([reply(200, GOOD)]);
    let near = from(&[(FULL, &server.url)]).unwrap();
    source.remote = near.remote;
    source.fetch().await.unwrap();
    assert!(
        server
            .request()
            .starts_with("GET /v2/XYZZY?a=1 HTTP/1.1\r\n")
    );
}

#[test]
fn without_a_uri_it_is_absent() {
    let neither = "no credentials: container (neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor \
        AWS_CONTAINER_CREDENTIALS_FULL_URI is set)";
    for set in [&[][..], &[(RELATIVE, ""), (FULL, "")], &[(TOKEN, "XYZZY")]] {
        assert_eq!(refusal(set), (Absent, neither.into()));
    }
}

#[test]
fn a_uri_that_cannot_be_used_is_named_before_anything_is_sent() {
    let in_path = "has a character that cannot stand in the path of a URL";
    let in_front = "has a user name or password in it";
    for (variable, value, problem) in [
        (RELATIVE, "XYZZY", "does not begin with a /"),
        (
            RELATIVE,
            "http://127.0.0.1/XYZZY",
            "does not begin with a /",
        ),
        (RELATIVE, "/XYZZY path", in_path),
        (RELATIVE, "/XYZZY\r\nx: y", in_path),
        (RELATIVE, "/XYZZY#here", in_path),
        (RELATIVE, "/XYZZYé", in_path),
        (FULL, "http://127.0.0.1/XYZZY\n", in_path),
        (FULL, "https://example.com#XYZZY", in_path),
        (FULL, "http://XYZZY@127.0.0.1/", in_front),
        (FULL, "http://u:XYZZY@127.0.0.1/", in_front),
        (FULL, "http://u:X/XYZZY@127.0.0.1/", in_front),
        (
            FULL,
            "/XYZZY",
            "cannot be used: the endpoint URL \"\" has no scheme",
        ),
        (
            FULL,
            "ftp://127.0.0.1/XYZZY",
            "has another scheme than http and https",
        ),
        (FULL, "http:///XYZZY", "has no valid host"),
        (FULL, "http://127.0.0.1:99999/XYZZY", "has no valid port"),
        (FULL, "http://127.0.0.1\r\nx:1/XYZZY", "has no valid"),
    ] {
        let (trouble, shown) = refusal(&[(variable, value)]);
        assert_eq!(trouble, Broken);
        let start = format!("no credentials: container ({variable} ");
        assert!(
            shown.starts_with(&start) && shown.contains(problem),
            "{shown}"
        );
    }
}

#[test]
fn in_the_clear_only_from_nearby() {
    for url in [
        "http://10.0.0.1/XYZZY",
        "http://example.com/",
        "http://[fd00::1]/",
        "http://1.1",
    ] {
        let (trouble, shown) = refusal(&[(FULL, url)]);
        assert_eq!(trouble, Broken);
        let problem = "AWS_CONTAINER_CREDENTIALS_FULL_URI is a plain http URL whose host is \
            neither loopback nor link-local";
        assert!(shown.contains(problem), "{shown}");
    }
    for url in [
        "http://169.254.170.23/v1/credentials",
        "http://[fd00:ec2::23]/v1",
        "http://localhost",
    ] {
        from(&[(FULL, url)]).unwrap();
    }
    // By TLS from anywhere, where there is TLS.
    let anywhere = from(&[(FULL, "https://credentials.example:8443/get")]);
    assert_eq!(anywhere.is_ok(), cfg!(feature = "__tls"));
}

#[test]
fn a_token_that_cannot_be_sent_is_named() {
    for (token, problem) in [
        (" ", "is empty"),
        (
            "XYZZY\n",
            "has a line break or another character that cannot stand in a header",
        ),
        (
            "XYZZY\r\nx-injected: 1",
            "has a line break or another character that cannot stand in a header",
        ),
        (
            "XYZZY\u{e9}",
            "has a line break or another character that cannot stand in a header",
        ),
    ] {
        let got = refusal(&[(FULL, "http://[::1]"), (TOKEN, token)]);
        assert_eq!(
            got,
            (
                Broken,
                format!("no credentials: container ({TOKEN} {problem})")
            )
        );
    }
}

#[tokio::test]
async fn the_token_file_wins_and_is_read_anew() {
    let server = Server::new([reply(200, GOOD), reply(200, GOOD), reply(200, GOOD)]);
    let file = TestFile::new("XYZZY-first");
    let set = [
        (FULL, &*server.url),
        (TOKEN_FILE, file.name()),
        (TOKEN, "no"),
    ];
    let source = source(&set, PATIENCE);
    for (content, sent) in [
        ("XYZZY-first", "XYZZY-first"),
        ("XYZZY-second\n", "XYZZY-second"),
        ("XYZZY-third\r\n", "XYZZY-third"),
    ] {
        file.replace(content);
        source.fetch().await.unwrap();
        let request = server.request();
        assert!(
            request.contains(&format!("\r\nauthorization: {sent}\r\n")),
            "{request}"
        );
    }
}

#[tokio::test]
async fn a_broken_token_file_is_named_and_nothing_sent() {
    let server = Server::new([]);
    let no_header = "has a line break or another character that cannot stand in a header";
    for (content, problem) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b" \r\n", "is empty"),
        (b"XYZZY\n\n", no_header),
        (b"XYZZY\nx-injected: 1", no_header),
        (b"XYZZY\0", no_header),
        (b"XYZZY\xff", "is not UTF-8 text"),
    ] {
        let file = TestFile::new(content);
        let set = [(FULL, &*server.url), (TOKEN_FILE, file.name())];
        let error = source(&set, PATIENCE).fetch().await.unwrap_err();
        let shown = format!(
            "no credentials: container (the token file {} {problem})",
            file.name()
        );
        assert_eq!(trouble(&error), (Broken, shown));
    }
    let missing = no_file();
    let set = [
        (FULL, &*server.url),
        (TOKEN_FILE, missing.to_str().unwrap()),
    ];
    let (trouble, shown) = trouble(&source(&set, PATIENCE).fetch().await.unwrap_err());
    assert_eq!(trouble, Broken);
    let start = format!(
        "no credentials: container (the token file {} cannot be read",
        missing.display()
    );
    assert!(shown.starts_with(&start), "{shown}");
    assert!(server.is_done());
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    for first in [reply(500, ""), reply(429, "XYZZY"), Deed::Close] {
        let server = Server::new([first, reply(503, "busy"), reply(200, GOOD)]);
        fetch(&server, PATIENCE).await.unwrap();
        let requests = [server.request(), server.request(), server.request()];
        assert!(requests.iter().all(|request| *request == requests[0]));
        assert!(server.is_done());
    }
}

#[tokio::test]
async fn what_does_not_pass_is_unavailable() {
    let busy = || reply(503, r#"{"code":"Busy","message":"come back"}"#);
    let got = failure([busy(), busy(), busy()]).await;
    assert_eq!(
        got,
        (
            Unavailable,
            "answered with status 503: Busy: come back".into()
        )
    );
    let (trouble, shown) = failure([Deed::Close, Deed::Close, Deed::Close]).await;
    assert!(
        trouble == Unavailable && shown.starts_with("no answer: "),
        "{shown}"
    );
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let url = nobody();
    let error = source(&[(FULL, &url)], PATIENCE).fetch().await.unwrap_err();
    let (trouble, shown) = trouble(&error);
    assert_eq!(trouble, Unavailable);
    assert!(shown.contains(": not sent: no connection to "), "{shown}");
}

#[tokio::test]
async fn a_hang_and_a_trickle_end_at_the_limit() {
    let slow = || Deed::Trickle(text(200, "", GOOD));
    for deeds in [
        [Deed::Hang, Deed::Hang, Deed::Hang],
        [slow(), slow(), slow()],
    ] {
        let server = Server::new(deeds);
        let (trouble, shown) = trouble(&fetch(&server, SOON).await.unwrap_err());
        assert_eq!(trouble, Unavailable);
        assert!(
            shown.ends_with(": no answer: nothing whole within 60 ms)"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_shown_without_the_token() {
    let (id, token) = ("the id ", r#"the token \"Basic XYZZY-token\" is bad\r\n"#);
    for (status, body, reason) in [
        (
            400,
            r#"{"code":"NoId","message":"no id in it"}"#,
            ": NoId: no id in it",
        ),
        (
            401,
            &format!(r#"{{"message":"{token}"}}"#),
            r#": the token ""#,
        ),
        (
            403,
            &format!(r#"{{"code":"{id}\u0058YZZY-token","message":"m"}}"#),
            ": the id ",
        ),
        (404, r#"{"code":7,"message":["XYZZY"]}"#, ""),
        (404, "<html>XYZZY</html>", ""),
        (404, "", ""),
        (204, "", ""),
        (201, GOOD, ""),
    ] {
        let got = failure([reply(status, body)]).await;
        assert_eq!(
            got,
            (Broken, format!("answered with status {status}{reason}"))
        );
    }
    let long = format!(r#"{{"message":"{}"}}"#, "m".repeat(100_000));
    let (_, shown) = failure([reply(400, &long)]).await;
    assert!(shown.len() < 600, "{}", shown.len());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::new([reply(200, GOOD)]);
    let location = format!("location: {}/{MARKER}\r\n", elsewhere.url);
    for status in [301, 302, 307, 308] {
        let got = failure([Deed::Send(text(status, &location, ""))]).await;
        let shown = format!("answered with status {status}, a redirect, which is never followed");
        assert_eq!(got, (Broken, shown));
    }
    assert!(elsewhere.is_done());
}

#[tokio::test]
async fn rubbish_is_broken_and_not_shown() {
    for (body, problem) in [
        ("", "is not JSON"),
        ("XYZZY", "is not JSON"),
        (r#"{"AccessKeyId":"XYZZY"#, "is not JSON"),
        (r#"["XYZZY"]"#, "is not a JSON object"),
        (r#"{"Message":"XYZZY"}"#, "has no AccessKeyId"),
        (
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"XYZZY\n"}"#,
            "the secret access key has whitespace in it",
        ),
        (
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"XYZZY","Token":"XYZZY\r\nx: y"}"#,
            "the session token has whitespace in it",
        ),
        (
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"XYZZY","Expiration":"XYZZY"}"#,
            "has an Expiration that is no RFC 3339 timestamp",
        ),
    ] {
        assert_eq!(
            failure([reply(200, body)]).await,
            (Broken, format!("the answer {problem}"))
        );
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        failure([reply(200, &deep)]).await,
        (Broken, "the answer is not JSON".into())
    );
}
