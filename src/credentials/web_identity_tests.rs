//! Web identity against a server in place of STS.

use super::super::Trouble::{self, Absent, Broken};
use super::super::remote::scripted::{
    Server, TestFile, assert_no_marker, network, no_file, parts, reply, trouble, variables,
};
use super::*;
use crate::wire::Variant;

const ARN: &str = "arn:aws:iam::123456789012:role/name";
const GOOD: &str = "<R><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>XYZZY</SecretAccessKey>\
    <SessionToken>XYZZY-session</SessionToken></Credentials></R>";

fn sts(url: &str) -> Sts {
    let set = [("AWS_ENDPOINT_URL_STS", url)];
    Sts::from_environment(&variables(&set), &network(), None, Variant::default()).unwrap()
}

fn from(set: &[(&str, &str)], url: &str) -> Result<WebIdentity, CredentialsError> {
    WebIdentity::from_environment(&variables(set), sts(url))
}

fn refusal(set: &[(&str, &str)]) -> (Trouble, String) {
    trouble(&from(set, "http://127.0.0.1").unwrap_err())
}

fn of_file(file: &TestFile, server: &Server) -> WebIdentity {
    let set = [(TOKEN_FILE, file.name()), (ROLE, ARN), (SESSION, "me")];
    let identity = from(&set, &server.url).unwrap();
    assert_no_marker(&format!("{identity:?} {identity:#?}"));
    identity
}

#[tokio::test]
async fn the_token_file_is_read_anew_at_each_fetch() {
    let server = Server::new([reply(200, GOOD), reply(200, GOOD), reply(200, GOOD)]);
    let file = TestFile::new("XYZZY-first");
    let identity = of_file(&file, &server);
    for (content, sent) in [
        ("XYZZY-first", "XYZZY-first"),
        ("XYZZY-second\n", "XYZZY-second"),
        ("XYZZY-third\r\n", "XYZZY-third"),
    ] {
        file.replace(content);
        let got = identity.fetch().await.unwrap();
        assert_eq!(parts(&got), ("ASIA", "XYZZY", Some("XYZZY-session")));
        let request = server.request();
        let (_, form) = request.split_once("\r\n\r\n").unwrap();
        let expected = format!(
            "Version=2011-06-15&Action=AssumeRoleWithWebIdentity\
            &RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fname&RoleSessionName=me\
            &WebIdentityToken={sent}"
        );
        assert_eq!(form, expected);
    }
}

#[test]
fn without_a_token_file_it_is_absent_and_without_a_role_broken() {
    let neither = "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not set";
    let no_role = "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not";
    let no_file = "AWS_ROLE_ARN is set but AWS_WEB_IDENTITY_TOKEN_FILE is not";
    for (set, trouble, problem) in [
        (&[][..], Absent, neither),
        (&[(TOKEN_FILE, ""), (ROLE, "")], Absent, neither),
        (&[(SESSION, "XYZZY")], Absent, neither),
        (&[(TOKEN_FILE, "/XYZZY")], Broken, no_role),
        (&[(TOKEN_FILE, "/XYZZY"), (ROLE, "")], Broken, no_role),
        (&[(ROLE, "XYZZY")], Absent, no_file),
    ] {
        let shown = format!("no credentials: web identity ({problem})");
        assert_eq!(refusal(set), (trouble, shown));
    }
}

#[test]
fn a_role_or_a_session_that_cannot_be_one_is_named() {
    let session = "AWS_ROLE_SESSION_NAME is not 2 to 64 letters, digits and characters of _+=,.@-";
    let unprintable = "AWS_ROLE_ARN has characters in it that are not printable ASCII";
    for (role, name, problem) in [
        ("XYZZY", "me", "AWS_ROLE_ARN does not begin with arn:"),
        ("arn:XYZZY\n", "me", unprintable),
        (ARN, "XYZZY&", session),
        (ARN, "XYZZY\r\n", session),
    ] {
        let got = refusal(&[(TOKEN_FILE, "/t"), (ROLE, role), (SESSION, name)]);
        assert_eq!(
            got,
            (Broken, format!("no credentials: web identity ({problem})"))
        );
    }
}

#[test]
fn an_sts_that_cannot_be_asked_matters_only_where_it_is_needed() {
    let error = from(&[], "XYZZY").unwrap_err();
    assert_eq!(error.trouble(), Absent);
    let error = from(&[(TOKEN_FILE, "/t"), (ROLE, ARN)], "nowhere").unwrap_err();
    let (trouble, shown) = trouble(&error);
    assert_eq!(trouble, Broken);
    let start = "no credentials: web identity (AWS_ENDPOINT_URL_STS cannot be used: ";
    assert!(shown.starts_with(start), "{shown}");
}

#[tokio::test]
async fn a_broken_token_file_is_named_and_nothing_sent() {
    let server = Server::new([]);
    let no_token = "has a line break, a space or another character that no token has";
    for (content, problem) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b" \t\n", "is empty"),
        (b"XYZZY\nXYZZY", no_token),
        (b"XYZZY\n\n", no_token),
        (b"XYZZY XYZZY", no_token),
        (b"XYZZY\0", no_token),
        (b"XYZZY\xc3\xa9", no_token),
        (b"XYZZY\xff", "is not UTF-8 text"),
    ] {
        let file = TestFile::new(content);
        let error = of_file(&file, &server).fetch().await.unwrap_err();
        let shown = format!(
            "no credentials: web identity (the token file {} {problem})",
            file.name()
        );
        assert_eq!(trouble(&error), (Broken, shown));
    }
    let path = no_file();
    let set = [(TOKEN_FILE, path.to_str().unwrap()), (ROLE, ARN)];
    let error = from(&set, &server.url).unwrap().fetch().await.unwrap_err();
    let (trouble, shown) = trouble(&error);
    assert_eq!(trouble, Broken);
    let start = format!(
        "no credentials: web identity (the token file {} cannot be read: ",
        path.display()
    );
    assert!(shown.starts_with(&start), "{shown}");
    assert!(server.is_done());
}

#[tokio::test]
async fn what_sts_refuses_is_shown_without_the_token() {
    let refusal = "<ErrorResponse><Error><Code>InvalidIdentityToken</Code>\
        <Message>No provider for XYZZY-token</Message></Error></ErrorResponse>";
    let server = Server::new([reply(400, refusal)]);
    let file = TestFile::new("XYZZY-token\n");
    let error = of_file(&file, &server).fetch().await.unwrap_err();
    let (trouble, shown) = trouble(&error);
    assert_eq!(trouble, Broken);
    assert!(
        shown.ends_with("InvalidIdentityToken: No provider for )"),
        "{shown}"
    );
}
