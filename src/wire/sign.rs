//! Signature Version 4: the only file that knows how it is made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::http::{HeaderValue, Request, header};
use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningError, SigningSettings};
use aws_sigv4::sign::v4;
use bytes::Bytes;

use crate::credentials::Credentials;

/// The end of the year 9999: the signature has four digits for the year.
const TOO_LATE: Duration = Duration::from_secs(253_402_300_800);

/// Signs a request as it stands: method, path, body, and every header but `User-Agent`. Sign last.
///
/// It sets `x-amz-date`, `authorization` and, where there is a session token,
/// `x-amz-security-token`. A request that is signed already gets a new signature instead.
///
/// Errors where `Host` is missing, where a header or the credentials hold what cannot stand in a
/// header, and where `time` is not in the years 1970 to 9999; the request is then not signed.
/// [Signing AWS API requests](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)
pub(crate) fn sign(
    request: &mut Request<Bytes>,
    credentials: &Credentials,
    service: &str,
    region: &str,
    time: SystemTime,
) -> Result<(), SignError> {
    for ours in ["x-amz-date", "x-amz-security-token", "authorization"] {
        request.headers_mut().remove(ours);
    }
    let identity = credentials.as_aws().clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(within_four_digits(time)?)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| SignError::Incomplete)?
        .into();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().path(),
        texts(request)?.into_iter(),
        SignableBody::Bytes(request.body()),
    )?;
    let (signature, _) = http_request::sign(signable, &params)?.into_parts();

    // The library's own way to apply these panics where a value cannot stand in a header.
    for header in signature.into_parts().0 {
        let name = header.name();
        let mut value =
            HeaderValue::from_str(header.value()).map_err(|_| SignError::Header(name.into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

fn within_four_digits(time: SystemTime) -> Result<SystemTime, SignError> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) if since < TOO_LATE => Ok(time),
        _ => Err(SignError::Time),
    }
}

/// The headers as text. `Host` is among them: without it the library panics.
fn texts(request: &Request<Bytes>) -> Result<Vec<(&str, &str)>, SignError> {
    if !request.headers().contains_key(header::HOST) {
        return Err(SignError::Host);
    }
    let headers = request.headers().iter();
    headers
        .map(|(name, value)| match value.to_str() {
            Ok(text) => Ok((name.as_str(), text)),
            Err(_) => Err(SignError::Header(name.as_str().into())),
        })
        .collect()
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error("the request cannot be signed: the clock is not in the years 1970 to 9999")]
    Time,
    #[error("the request cannot be signed: it has no Host header")]
    Host,
    #[error("the request cannot be signed: not ASCII text in the header {0}")]
    Header(Box<str>),
    #[error("the request cannot be signed: a parameter is missing")]
    Incomplete,
    #[error("the request cannot be signed")]
    Signer(#[from] SigningError),
}

#[cfg(test)]
#[path = "sign_published_tests.rs"]
mod published_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const AWS: &str = "dynamodb.eu-central-1.amazonaws.com";

    // Both signatures were made by botocore 1.44.5 (`botocore.auth.SigV4Auth`), from the same
    // headers, body, key and time.
    const BARE: &str = "AWS4-HMAC-SHA256 \
        Credential=AKIDEXAMPLE/20260131/eu-central-1/dynamodb/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
        Signature=e0a2d74fa61406414f8cd431f9ad3acd2dea30d40fd4749b9c83b3e142179c58";
    const WITH_TOKEN: &str = "AWS4-HMAC-SHA256 \
        Credential=AKIDEXAMPLE/20260131/eu-central-1/dynamodb/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
        Signature=b75c16057b2a47b95916ba1e186f3c17e8342b0f87fd049bd9287a833b6e9c76";

    fn request(host: &str) -> Request<Bytes> {
        Request::post("/")
            .header("host", host)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.UpdateItem")
            .header("user-agent", "dynolock")
            .body(Bytes::from(
                r#"{"TableName":"jobs","Key":{"id":{"S":"ключ"}}}"#,
            ))
            .unwrap()
    }

    fn key(secret: &str) -> Credentials {
        Credentials::new("AKIDEXAMPLE", secret).unwrap()
    }

    /// 2026-01-31T23:59:58Z and a part of a second, which does not count.
    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_769_903_998_999)
    }

    fn signed(mut request: Request<Bytes>, credentials: &Credentials) -> Request<Bytes> {
        sign(
            &mut request,
            credentials,
            "dynamodb",
            "eu-central-1",
            time(),
        )
        .unwrap();
        request
    }

    fn authorization(request: Request<Bytes>, credentials: &Credentials) -> String {
        let request = signed(request, credentials);
        request.headers()["authorization"].to_str().unwrap().into()
    }

    #[test]
    fn it_signs_as_botocore_does() {
        let request = signed(request(AWS), &key(SECRET));
        assert_eq!(request.headers()["authorization"], BARE);
        assert_eq!(request.headers()["x-amz-date"], "20260131T235958Z");
        assert_eq!(request.headers().len(), 6);
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let credentials = key(SECRET).session_token("FwoGZXIvYXdzE==").unwrap();
        let request = signed(request("localhost:8000"), &credentials);
        assert_eq!(request.headers()["authorization"], WITH_TOKEN);
        assert_eq!(request.headers()["x-amz-security-token"], "FwoGZXIvYXdzE==");
        assert_eq!(request.headers().len(), 7);
    }

    #[test]
    fn whatever_changes_changes_the_signature() {
        let other_secret = key(&SECRET.replace("bPxR", "bPxS"));
        assert_ne!(authorization(request(AWS), &other_secret), BARE);

        let mut other_body = request(AWS);
        *other_body.body_mut() = Bytes::from_static(b"{}");
        assert_ne!(authorization(other_body, &key(SECRET)), BARE);

        let mut other_target = request(AWS);
        let target = HeaderValue::from_static("DynamoDB_20120810.DeleteItem");
        other_target.headers_mut().insert("x-amz-target", target);
        assert_ne!(authorization(other_target, &key(SECRET)), BARE);

        let other_host = request("dynamodb.eu-central-2.amazonaws.com");
        assert_ne!(authorization(other_host, &key(SECRET)), BARE);
    }

    #[test]
    fn signing_again_replaces_the_signature() {
        let credentials = key("another").session_token("old").unwrap();
        let once = signed(request(AWS), &credentials);
        let again = signed(once, &key(SECRET));
        assert_eq!(again.headers()["authorization"], BARE);
        assert_eq!(again.headers().len(), 6);
    }

    #[test]
    fn signed_headers_are_not_shown() {
        let credentials = key(SECRET).session_token("t0ken").unwrap();
        let shown = format!("{:?}", signed(request(AWS), &credentials));
        assert!(
            !shown.contains("t0ken") && !shown.contains("Signature="),
            "{shown}"
        );
    }

    #[test]
    fn what_cannot_be_signed_is_an_error() {
        let sign_at = |mut request: Request<Bytes>, time| {
            let outcome = sign(&mut request, &key(SECRET), "dynamodb", "eu-central-1", time);
            assert!(!request.headers().contains_key("authorization"));
            outcome.unwrap_err().to_string()
        };
        let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        sign(
            &mut request(AWS),
            &key(SECRET),
            "dynamodb",
            "eu-central-1",
            last,
        )
        .unwrap();
        for time in [
            last + Duration::from_secs(1),
            UNIX_EPOCH - Duration::from_secs(1),
        ] {
            let error = sign_at(request(AWS), time);
            assert!(error.contains("years 1970 to 9999"), "{error}");
        }
        let mut without_host = request(AWS);
        without_host.headers_mut().remove("host");
        let error = sign_at(without_host, time());
        assert!(error.contains("no Host header"), "{error}");

        let mut opaque = request(AWS);
        let value = HeaderValue::from_bytes(b"\xff").unwrap();
        opaque.headers_mut().insert("x-odd", value);
        let error = sign_at(opaque, time());
        assert!(error.contains("x-odd"), "{error}");
    }
}
