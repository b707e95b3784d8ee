//! Status, headers and bytes of an answer, and what they say became of the write.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, UNIX_EPOCH};

use ::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use ::http::{Response, StatusCode};
use bytes::Bytes;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use serde_core::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::SendError;
use super::value::Item;

/// What became of a request. `R`: what is known of a refusal; for a write to one item the item as
/// it is, `None` where there is none.
#[derive(Debug)]
pub(crate) enum Outcome<R = Option<Item>> {
    /// DynamoDB applied it; the attributes that it was asked for.
    Applied(Item),
    /// The condition was not met.
    Refused(R),
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
    /// How long to wait before the next attempt, where the server says so.
    pub(crate) retry_after: Option<Duration>,
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
    /// The source of credentials cannot be asked now.
    NoCredentials,
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
            Throttled | Conflict | ClockSkew | CredentialsExpired | Unavailable | NoCredentials
            | BadAnswer => true,
            CredentialsRejected | AccessDenied | TableNotFound | Validation | Other => false,
        }
    }
}

impl<R> From<SendError> for Outcome<R> {
    fn from(error: SendError) -> Self {
        let failure = Failure {
            kind: FailureKind::Unavailable,
            code: None,
            message: printable(&error.to_string(), LONGEST_MESSAGE),
            request_id: None,
            retry_after: None,
        };
        match error {
            SendError::NotSent(_) => Self::NotApplied(failure),
            SendError::NoAnswer(_) => Self::Unknown(failure),
        }
    }
}

/// Reads an answer to `UpdateItem` or `DeleteItem`.
pub(crate) fn outcome(answer: &Response<Bytes>) -> Outcome {
    outcome_of(
        answer,
        |body| attributes_under("Attributes", body),
        |code| code == "ConditionalCheckFailedException",
        |answer| match item_under("Item", answer.body()) {
            Ok(item) => Outcome::Refused(item),
            Err(error) => Outcome::NotApplied(unreadable(answer, &error)),
        },
    )
}

/// Reads an answer to any operation.
///
/// Only DynamoDB's own word counts, and only whole: 200 with a readable body is applied, an error code of
/// DynamoDB's below 500 is not applied, and everything else is unknown.
/// [Error handling](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html)
pub(super) fn outcome_of<R>(
    answer: &Response<Bytes>,
    applied: fn(&[u8]) -> Result<Item, serde_json::Error>,
    is_refusal: fn(&str) -> bool,
    refused: fn(&Response<Bytes>) -> Outcome<R>,
) -> Outcome<R> {
    if let Err(damage) = intact(answer) {
        return Outcome::Unknown(bad_answer(answer, &[damage]));
    }
    if answer.status() == StatusCode::OK {
        return match applied(answer.body()) {
            Ok(attributes) => Outcome::Applied(attributes),
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
        retry_after: retry_after(answer),
    };
    if !answer.status().is_client_error() {
        // Whatever the code: a server that fails cannot promise that it has not applied a write.
        return Outcome::Unknown(failure(match kind {
            FailureKind::Throttled => kind,
            _ if answer.status().is_server_error() => FailureKind::Unavailable,
            _ => FailureKind::BadAnswer,
        }));
    }
    if is_refusal(code) {
        return refused(answer);
    }
    match kind {
        FailureKind::Unavailable => Outcome::Unknown(failure(kind)),
        _ => Outcome::NotApplied(failure(kind)),
    }
}

/// Whether the answer is what DynamoDB has sent, as far as its headers tell: JSON, as it is, with
/// the [CRC-32](https://www.rfc-editor.org/rfc/rfc1952#section-8) that `x-amz-crc32` states.
/// Proxies and middleboxes need not keep the headers, so none of them must be there.
fn intact(answer: &Response<Bytes>) -> Result<(), &'static str> {
    static SUM: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);
    if let Some(stated) = answer.headers().get("x-amz-crc32") {
        let stated = stated.to_str().ok().and_then(|text| text.parse().ok());
        if stated != Some(SUM.checksum(answer.body())) {
            return Err("the checksum x-amz-crc32 does not fit the answer");
        }
    }
    if let Some(encoding) = answer.headers().get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err("the answer has a Content-Encoding, which was not asked for");
    }
    let is_json = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        ["application/x-amz-json-1.0", "application/json"]
            .iter()
            .any(|json| kind.eq_ignore_ascii_case(json))
    };
    // An error of whoever is in between says more by its status than by its type.
    if answer.status() == StatusCode::OK
        && answer.headers().contains_key(CONTENT_TYPE)
        && !header(answer, "content-type").is_some_and(is_json)
    {
        return Err("the answer is not JSON by its Content-Type");
    }
    Ok(())
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
pub(super) fn kind_of(code: &str, message: &str) -> FailureKind {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "BandwidthLimitExceeded"
        | "PriorRequestNotComplete"
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

/// A string; whatever else is there is passed over.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<String>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<String>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
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
                "__type" => {
                    let code = map.next_value::<Text>()?.0;
                    fault.code = code.as_deref().and_then(bare_code);
                }
                "message" | "Message" => {
                    if let Some(message) = map.next_value::<Text>()?.0 {
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
pub(super) fn item_under(
    key: &'static str,
    body: &[u8],
) -> Result<Option<Item>, serde_json::Error> {
    under(key, body)
}

/// The same; no attributes where the key is missing or null.
pub(super) fn attributes_under(key: &'static str, body: &[u8]) -> Result<Item, serde_json::Error> {
    item_under(key, body).map(Option::unwrap_or_default)
}

/// What is under one key of a JSON object; `None` where the key is missing or null.
pub(super) fn under<T: DeserializeOwned>(
    key: &'static str,
    body: &[u8],
) -> Result<Option<T>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let found = json.deserialize_map(Under(key, PhantomData))?;
    json.end()?;
    Ok(found)
}

struct Under<T>(&'static str, PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Under<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of DynamoDB's")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// An answer that ought to be readable and is not.
pub(super) fn unreadable(answer: &Response<Bytes>, error: &serde_json::Error) -> Failure {
    // What was found is named before what was expected, and may be content of the item.
    let text = error.to_string();
    let expected = text.rfind(", expected ").and_then(|at| text.get(at + 2..));
    bad_answer(
        answer,
        &["an unreadable answer: ", expected.unwrap_or(&text)],
    )
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

pub(super) fn bad_answer(answer: &Response<Bytes>, message: &[&str]) -> Failure {
    Failure {
        kind: FailureKind::BadAnswer,
        code: None,
        message: printable(&message.concat(), LONGEST_MESSAGE),
        request_id: request_id(answer),
        retry_after: retry_after(answer),
    }
}

fn request_id(answer: &Response<Bytes>) -> Option<Box<str>> {
    header(answer, "x-amzn-requestid").map(|id| printable(id, LONGEST_NAME))
}

/// What the server wants: seconds or a date in `Retry-After`
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)), the date by its own
/// clock; or milliseconds in `x-amz-retry-after`, which comes first.
fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let number = |name| header(answer, name)?.trim().parse::<u64>().ok();
    if let Some(millis) = number("x-amz-retry-after") {
        return Some(Duration::from_millis(millis));
    }
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(header(answer, "retry-after")?).ok()?;
    let now = httpdate::parse_http_date(header(answer, "date")?).ok()?;
    until.duration_since(now).ok()
}

fn header<'a>(answer: &'a Response<Bytes>, name: &'static str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

pub(super) const LONGEST_MESSAGE: usize = 1024;
pub(super) const LONGEST_NAME: usize = 128;

/// The text without control characters, and cut off at `longest` bytes.
pub(crate) fn printable(text: &str, longest: usize) -> Box<str> {
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
#[path = "response_tests.rs"]
mod tests;
