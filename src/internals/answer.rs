//! Any answer: status, headers and body.

use ::http::{HeaderName, HeaderValue, Response};
use bytes::Bytes;
use serde_json::Value;

use crate::wire::{Failure, FailureKind, Item, Outcome, outcome, server_date};

/// The data is an answer as HTTP writes it: a status, headers, an empty line, a body. Where
/// `x-amz-crc32` is `right`, it is put right.
///
/// What comes of it is what its status allows, bounded and printable; and what it says in
/// well-formed JSON is what comes of it.
pub fn body(data: &[u8]) {
    let Some(answer) = read(data) else { return };
    let found = outcome(&answer);
    fits_the_status(&answer, &found);
    if is_damaged(&answer) {
        assert!(
            matches!(found, Outcome::Unknown(_)),
            "{answer:?}: {found:?}"
        );
    }
    if let Outcome::NotApplied(failure) | Outcome::Unknown(failure) = &found {
        presentable(failure);
    }
    if !is_damaged(&answer)
        && let Ok(Value::Object(body)) = serde_json::from_slice(answer.body())
    {
        let body = Value::Object(body);
        let whole = answer_with(&answer, body.to_string());
        says_so(&whole, &body, &outcome(&whole));
        if let (Outcome::Applied(one), Outcome::Applied(other)) = (&found, &outcome(&whole)) {
            assert_eq!(one, other);
        }
    }
    // Without its last brace, what was an answer is none any more.
    if let Outcome::Applied(_) | Outcome::Refused(Some(_)) = found {
        let cut = answer.body().trim_ascii_end().strip_suffix(b"}");
        let cut = answer_with(&answer, cut.expect("an object").to_vec());
        let found = outcome(&cut);
        assert!(
            matches!(found, Outcome::Unknown(_) | Outcome::NotApplied(_)),
            "{cut:?}: {found:?}"
        );
    }
    if let Some(date) = server_date(&answer) {
        assert!((0..253_402_300_800).contains(&date), "{date}");
    }
}

fn read(data: &[u8]) -> Option<Response<Bytes>> {
    let mut lines = data.split_inclusive(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?).ok()?.trim();
    let mut builder = Response::builder().status(status.parse::<u16>().ok()?);
    let mut read = 0;
    for line in lines.by_ref() {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        read += 1;
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        let name = HeaderName::from_bytes(name);
        if let (Ok(name), Ok(value), ..100) = (name, HeaderValue::from_bytes(value), read) {
            builder = builder.header(name, value);
        }
    }
    let body: Vec<u8> = lines.flatten().copied().collect();
    let mut answer = builder.body(body.into()).ok()?;
    if answer.headers().get(SUM).is_some_and(|sum| sum == "right") {
        put_sum_right(&mut answer);
    }
    Some(answer)
}

const SUM: &str = "x-amz-crc32";

fn put_sum_right(answer: &mut Response<Bytes>) {
    let sum = HeaderValue::from(crc32(answer.body()));
    answer.headers_mut().insert(SUM, sum);
}

/// [RFC 1952](https://www.rfc-editor.org/rfc/rfc1952#section-8), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let low = sum & 1;
            sum = (sum >> 1) ^ (low * 0xedb8_8320);
        }
    }
    !sum
}

/// Whether the headers speak against the body.
fn is_damaged(answer: &Response<Bytes>) -> bool {
    let text = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().unwrap_or("\0"))
    };
    let sum = text(SUM).is_some_and(|sum| sum.parse() != Ok(crc32(answer.body())));
    let encoded = text("content-encoding").is_some_and(|encoding| encoding != "identity");
    let kind = text("content-type").filter(|_| answer.status() == 200);
    let kind = kind.map(|kind| {
        kind.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase()
    });
    let json = ["application/x-amz-json-1.0", "application/json"];
    sum || encoded || kind.is_some_and(|kind| !json.contains(&kind.as_str()))
}

/// The same answer with another body, whole by its headers.
fn answer_with(answer: &Response<Bytes>, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut other = answer.clone();
    *other.body_mut() = body.into();
    if other.headers().contains_key(SUM) {
        put_sum_right(&mut other);
    }
    other
}

/// Only a 200 is applied, and nothing else than a 4xx is surely not.
fn fits_the_status(answer: &Response<Bytes>, found: &Outcome) {
    let status = answer.status();
    let fits = match found {
        Outcome::Applied(_) => status == 200,
        Outcome::Refused(_) | Outcome::NotApplied(_) => status.is_client_error(),
        Outcome::Unknown(failure) => status.is_client_error() || failure.kind.is_passing(),
    };
    assert!(fits, "{status}: {found:?}");
    if let Outcome::Refused(_) = found {
        let mut texts = answer.headers().values().map(HeaderValue::as_bytes);
        let code: &[u8] = b"ConditionalCheckFailedException";
        let has = |text: &[u8]| text.windows(code.len()).any(|part| part == code);
        // An escape may stand for any of its letters.
        assert!(
            has(answer.body()) || answer.body().contains(&b'\\') || texts.any(has),
            "{answer:?}"
        );
    }
}

fn presentable(failure: &Failure) {
    let texts = [
        (Some(&failure.message), 1024),
        (failure.code.as_ref(), 128),
        (failure.request_id.as_ref(), 128),
    ];
    for (text, longest) in texts {
        let Some(text) = text else { continue };
        assert!(text.len() <= longest, "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(failure.to_string().len() < 1400);
    if let Some(problem) = failure.message.strip_prefix("an unreadable answer: ") {
        // It says what is wrong where, and nothing of what is in the item.
        assert!(problem.len() < 150, "{problem}");
    }
    assert!(failure.wanted_pause() <= std::time::Duration::from_secs(20));
}

/// `body` is well-formed JSON without a name that comes twice; so there is one right reading.
fn says_so(answer: &Response<Bytes>, body: &Value, found: &Outcome) {
    let status = answer.status();
    let item_under = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(item) => serde_json::from_value::<Item>(item.clone()).map(Some),
    };
    if status == 200 {
        match (item_under("Attributes"), found) {
            (Ok(item), Outcome::Applied(attributes)) => {
                assert_eq!(attributes, &item.unwrap_or_default());
            }
            (Err(_), Outcome::Unknown(_)) => {}
            _ => panic!("{body}: {found:?}"),
        }
        return;
    }
    let bare = |text: &str| {
        let text = text.rsplit('#').next().unwrap_or_default();
        text.split(':').next().unwrap_or_default().trim().to_owned()
    };
    let header = answer.headers().get("x-amzn-errortype");
    let header = header.and_then(|value| value.to_str().ok()).map(bare);
    let code = body.get("__type").and_then(Value::as_str).map(bare);
    let code = code.filter(|code| !code.is_empty()).or(header);
    let code = code.filter(|code| !code.is_empty());
    match (code.as_deref(), found) {
        (None, Outcome::Unknown(failure)) => assert!(failure.code.is_none()),
        (Some("ConditionalCheckFailedException"), found) if status.is_client_error() => {
            match (item_under("Item"), found) {
                (Ok(item), Outcome::Refused(shown)) => assert_eq!(shown, &item),
                (Err(_), Outcome::NotApplied(failure)) => {
                    assert_eq!(failure.kind, FailureKind::BadAnswer);
                }
                _ => panic!("{body}: {found:?}"),
            }
        }
        (Some(code), Outcome::NotApplied(failure) | Outcome::Unknown(failure)) => {
            let shown = failure.code.as_deref().expect("the code is kept");
            let shown = shown.trim_end();
            assert!(
                code.replace(char::is_control, " ").starts_with(shown),
                "{code:?} {shown:?}"
            );
        }
        _ => panic!("{body}: {found:?}"),
    }
}
