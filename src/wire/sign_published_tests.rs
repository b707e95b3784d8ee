//! AWS's published examples of Signature Version 4, those of them that have no query
//! and a path that is its own canonical form.
//!
//! [The test suite](https://github.com/awslabs/aws-c-auth/tree/main/tests/aws-signing-test-suite/v4)

use std::time::Duration;

use super::*;

const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

/// Name; method, path, headers beside `Host`, and the body behind an empty line; session token;
/// signed headers; signature.
type Case = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
);

const CASES: [Case; 11] = [
    (
        "get-vanilla",
        "GET /",
        None,
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "post-vanilla",
        "POST /",
        None,
        "host;x-amz-date",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
    (
        "get-unreserved",
        "GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        None,
        "host;x-amz-date",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    (
        "get-header-value-trim",
        "GET /\nMy-Header1: value1\nMy-Header2: \"a   b   c\"",
        None,
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-header-key-duplicate",
        "GET /\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1",
        None,
        "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-header-value-order",
        "GET /\nMy-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2",
        None,
        "host;my-header1;x-amz-date",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    (
        "post-header-key-sort",
        "POST /\nMy-Header1:value1",
        None,
        "host;my-header1;x-amz-date",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-header-value-case",
        "POST /\nMy-Header1:VALUE1",
        None,
        "host;my-header1;x-amz-date",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    (
        "get-vanilla-with-session-token",
        "GET /",
        Some(TOKEN),
        "host;x-amz-date;x-amz-security-token",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST /\nContent-Type:application/x-www-form-urlencoded\nContent-Length:13\n\
         X-Amz-Content-Sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e\n\
         \nParam1=value1",
        None,
        "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
    (
        "post-x-www-form-urlencoded-parameters",
        "POST /\nContent-Type:application/x-www-form-urlencoded; charset=utf-8\n\
         Content-Length:13\n\
         X-Amz-Content-Sha256:9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e\n\
         \nParam1=value1",
        None,
        "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
    ),
];

fn request(text: &'static str) -> Request<Bytes> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "example.amazonaws.com");
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        request = request.header(name, value);
    }
    request.body(Bytes::from_static(body.as_bytes())).unwrap()
}

#[test]
fn published_examples_have_their_signatures() {
    // 2015-08-30T12:36:00Z
    let time = UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    for (name, text, token, signed, signature) in CASES {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let mut key = Credentials::new("AKIDEXAMPLE", secret).unwrap();
        if let Some(token) = token {
            key = key.session_token(token).unwrap();
        }
        let mut request = request(text);
        let signer = Signer::new("service", "us-east-1");
        signer.sign(&mut request, &key, time).unwrap();
        assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders={signed}, Signature={signature}"
        );
        let found = request.headers()["authorization"].to_str().unwrap();
        assert_eq!(found, expected, "{name}");
    }
}
