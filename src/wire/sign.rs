//! Signature Version 4: the only file that knows how it is made.
//!
//! What is signed is put together here, for the requests that a lock sends: no query, and a path
//! that needs no encoding. The key is made by `aws_sigv4`.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ::http::{HeaderValue, Request, header};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::credentials::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs the requests to one service in one region.
pub(crate) struct Signer {
    service: Box<str>,
    region: Box<str>,
    /// The key of the last signature: it is good for a day.
    key: Mutex<Option<Key>>,
}

/// A key made of credentials for a day.
struct Key {
    credentials: Credentials,
    date: Box<str>,
    /// With the key in it already.
    mac: Hmac<Sha256>,
}

impl Key {
    fn is_of(&self, credentials: &Credentials) -> bool {
        let (ours, theirs) = (self.credentials.as_aws(), credentials.as_aws());
        ours.secret_access_key() == theirs.secret_access_key()
    }
}

impl Signer {
    pub(crate) fn new(service: &str, region: &str) -> Self {
        Self {
            service: service.into(),
            region: region.into(),
            key: Mutex::default(),
        }
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Signs a request as it stands: method, path, body, and every header but `User-Agent` and
    /// others that proxies may change. Sign last.
    ///
    /// It sets `x-amz-date`, `authorization` and, where there is a session token,
    /// `x-amz-security-token`. A request that is signed already gets a new signature instead.
    ///
    /// Errors where `Host` is missing, where there is a query or a path that is to be encoded,
    /// where a header or the credentials hold what cannot stand in a header, and where `time` is
    /// not in the years 1970 to 9999; the request is then not signed.
    /// [Signing AWS API requests](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)
    pub(crate) fn sign(
        &self,
        request: &mut Request<Bytes>,
        credentials: &Credentials,
        time: SystemTime,
    ) -> Result<(), SignError> {
        let headers = request.headers_mut();
        headers.remove(header::AUTHORIZATION);
        headers.remove("x-amz-security-token");
        let date_time = date_time(time)?;
        let date = date_time.get(..8).unwrap_or_default();
        headers.insert("x-amz-date", value("x-amz-date", &date_time)?);
        let aws = credentials.as_aws();
        if let Some(token) = aws.session_token() {
            let name = "x-amz-security-token";
            headers.insert(name, value(name, token)?);
        }

        let (request_hash, signed_headers) = canonical(request)?;
        let scope = [date, "/", &self.region, "/", &self.service, "/aws4_request"].concat();
        let to_sign = [
            ALGORITHM,
            "\n",
            &date_time,
            "\n",
            &scope,
            "\n",
            &request_hash,
        ]
        .concat();
        let signature = self.signature(credentials, date, time, to_sign.as_bytes())?;
        let authorization = [
            ALGORITHM,
            " Credential=",
            aws.access_key_id(),
            "/",
            &scope,
            ", SignedHeaders=",
            &signed_headers,
            ", Signature=",
            &signature,
        ];
        let authorization = value("authorization", &authorization.concat())?;
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, authorization);
        Ok(())
    }

    fn signature(
        &self,
        credentials: &Credentials,
        date: &str,
        time: SystemTime,
        to_sign: &[u8],
    ) -> Result<String, SignError> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match &mut *key {
            Some(key) if *key.date == *date && key.is_of(credentials) => key,
            other => {
                let secret = credentials.as_aws().secret_access_key();
                let bytes = v4::generate_signing_key(secret, time, &self.region, &self.service);
                let mac = Hmac::new_from_slice(bytes.as_ref());
                other.insert(Key {
                    credentials: credentials.clone(),
                    date: date.into(),
                    mac: mac.map_err(|_| SignError::Key)?,
                })
            }
        };
        let signature = key.mac.clone().chain_update(to_sign).finalize();
        Ok(hexadecimal(&signature.into_bytes()))
    }
}

/// Shows nothing of the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("service", &self.service)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// `20260131T235958Z`: the year has four digits.
fn date_time(time: SystemTime) -> Result<String, SignError> {
    let since = time.duration_since(UNIX_EPOCH);
    let seconds = since.map_err(|_| SignError::Time)?.as_secs();
    let time = i64::try_from(seconds).map_err(|_| SignError::Time)?;
    let time = OffsetDateTime::from_unix_timestamp(time).map_err(|_| SignError::Time)?;
    let (year, month, day) = time.to_calendar_date();
    if year > 9999 {
        return Err(SignError::Time);
    }
    let (hour, minute, second) = time.to_hms();
    let mut text = String::with_capacity(16);
    let date = u64::from(year.unsigned_abs()) * 10_000 + u64::from(u8::from(month)) * 100;
    let clock = u32::from(hour) * 10_000 + u32::from(minute) * 100 + u32::from(second);
    // Writing to a string does not fail.
    let _ = write!(text, "{:08}T{clock:06}Z", date + u64::from(day));
    Ok(text)
}

/// A header that no `Debug` shows.
fn value(name: &str, text: &str) -> Result<HeaderValue, SignError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| SignError::Header(name.into()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The hash of the canonical request, and the names of the headers in it.
fn canonical(request: &Request<Bytes>) -> Result<(String, String), SignError> {
    if !request.headers().contains_key(header::HOST) {
        return Err(SignError::Host);
    }
    let uri = request.uri();
    if uri.query().is_some() || !is_plain(uri.path()) {
        return Err(SignError::Path);
    }
    let mut headers = Vec::with_capacity(request.headers().len());
    for (name, value) in request.headers() {
        let text = value.to_str();
        let text = text.map_err(|_| SignError::Header(name.as_str().into()))?;
        if !is_left_out(name) {
            headers.push((name.as_str(), text));
        }
    }
    // Several of one name stay in their order.
    headers.sort_by_key(|(name, _)| *name);

    let mut whole = String::with_capacity(512);
    whole.extend([request.method().as_str(), "\n", uri.path(), "\n\n"]);
    let mut names = String::new();
    let mut last = "";
    for (name, text) in headers {
        if name == last {
            // The line goes on.
            whole.pop();
            whole.push(',');
        } else {
            let before = if last.is_empty() { "" } else { ";" };
            names.extend([before, name]);
            whole.extend([name, ":"]);
            last = name;
        }
        let mut between = "";
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            whole.extend([between, word]);
            between = " ";
        }
        whole.push('\n');
    }
    whole.extend(["\n", &names, "\n", &hash(request.body())]);
    Ok((hash(whole.as_bytes()), names))
}

/// What proxies on the way may change.
fn is_left_out(name: &header::HeaderName) -> bool {
    *name == header::USER_AGENT
        || *name == header::TRANSFER_ENCODING
        || name.as_str() == "x-amzn-trace-id"
}

/// Whether a path is its own canonical form.
fn is_plain(path: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.starts_with('/')
        && path.bytes().all(is_unreserved)
        && !path.contains("//")
        && !path.contains("/.")
}

/// SHA-256, in lower-case hexadecimal.
fn hash(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
    text
}

/// Why a request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error("the request cannot be signed: the clock is not in the years 1970 to 9999")]
    Time,
    #[error("the request cannot be signed: it has no Host header")]
    Host,
    #[error("the request cannot be signed: it has a query, or a path that is to be encoded")]
    Path,
    #[error("the request cannot be signed: not ASCII text in the header {0}")]
    Header(Box<str>),
    #[error("the request cannot be signed: the key cannot be used")]
    Key,
}

#[cfg(test)]
#[path = "sign_published_tests.rs"]
mod published_tests;

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    fn signer() -> Signer {
        Signer::new("dynamodb", "eu-central-1")
    }

    /// 2026-01-31T23:59:58Z and a part of a second, which does not count.
    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_769_903_998_999)
    }

    fn signed(mut request: Request<Bytes>, credentials: &Credentials) -> Request<Bytes> {
        signer().sign(&mut request, credentials, time()).unwrap();
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

    /// The key of a signer is that of its last day and secret, and of no other.
    #[test]
    fn a_signer_signs_as_a_new_one_would() {
        let (used, day) = (signer(), Duration::from_secs(24 * 3600));
        let other = SECRET.replace("bPxR", "bPxS");
        let cases = [
            (SECRET, time()),
            (SECRET, time()),
            (&*other, time()),
            (&*other, time() + day),
            (SECRET, time() + day),
            (SECRET, time() - day),
            (SECRET, time()),
        ];
        for (secret, time) in cases {
            let signed = |signer: &Signer| {
                let mut request = request(AWS);
                signer.sign(&mut request, &key(secret), time).unwrap();
                request.headers()["authorization"].clone()
            };
            assert_eq!(signed(&used), signed(&signer()));
        }
        assert!(!format!("{used:?}").contains(SECRET));
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
            let outcome = signer().sign(&mut request, &key(SECRET), time);
            assert!(!request.headers().contains_key("authorization"));
            outcome.unwrap_err().to_string()
        };
        let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        signer()
            .sign(&mut request(AWS), &key(SECRET), last)
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

        for path in ["/?a=b", "/a//b", "/a/../b", "/%41", "example.com:80"] {
            let mut other = request(AWS);
            *other.uri_mut() = path.parse().expect(path);
            let error = sign_at(other, time());
            assert!(error.contains("path"), "{path}: {error}");
        }

        let mut opaque = request(AWS);
        let value = HeaderValue::from_bytes(b"\xff").unwrap();
        opaque.headers_mut().insert("x-odd", value);
        let error = sign_at(opaque, time());
        assert!(error.contains("x-odd"), "{error}");
    }
}
