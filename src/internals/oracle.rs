//! Questions that other implementations answer as well, as JSON.
//!
//! `examples/oracle.rs` reads them line by line; `.ci/oracles/` asks, and compares.

use std::time::{Duration, UNIX_EPOCH};

use ::http::{HeaderName, HeaderValue, Request};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::wire::{AttributeValue, Endpoint, Item, Service, Set, Signer, Variant};

/// Answers one question. Where there is no answer, it is an `error`.
pub fn answer(question: &str) -> String {
    let answer = serde_json::from_str::<Value>(question)
        .map_err(|error| error.to_string())
        .and_then(|question| match text(&question, "ask")? {
            "decode" => decode(&question),
            "encode" => encode(&question),
            "sign" => signature(&question),
            "endpoint" => endpoint(&question),
            other => Err(format!("nobody knows {other}")),
        });
    answer
        .unwrap_or_else(|error| json!({ "error": error }))
        .to_string()
}

/// An item in DynamoDB's JSON, described.
fn decode(question: &Value) -> Result<Value, String> {
    let item: Item =
        serde_json::from_str(text(question, "json")?).map_err(|error| error.to_string())?;
    Ok(json!({ "item": description(&item.into()) }))
}

/// A described item, in DynamoDB's JSON.
fn encode(question: &Value) -> Result<Value, String> {
    let AttributeValue::M(item) = described(&question["item"])? else {
        return Err("an item was expected".into());
    };
    let json = serde_json::to_string(&Item::from(item)).map_err(|error| error.to_string())?;
    Ok(json!({ "json": json }))
}

/// A type and its content, in other words than DynamoDB's: bytes are hexadecimal, and a map is a
/// list of pairs.
fn description(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!(["text", text]),
        AttributeValue::N(number) => json!(["number", number.as_str()]),
        AttributeValue::B(bytes) => json!(["bytes", hexadecimal(bytes)]),
        AttributeValue::Bool(truth) => json!(["truth", truth]),
        AttributeValue::Null => json!(["null"]),
        AttributeValue::M(map) => {
            let pairs = map
                .iter()
                .map(|(name, value)| json!([name, description(value)]));
            json!(["map", pairs.collect::<Vec<_>>()])
        }
        AttributeValue::L(list) => {
            json!(["list", list.iter().map(description).collect::<Vec<_>>()])
        }
        AttributeValue::Ss(set) => json!(["texts", set.iter().collect::<Vec<_>>()]),
        AttributeValue::Ns(set) => {
            let texts = set.iter().map(|number| number.as_str());
            json!(["numbers", texts.collect::<Vec<_>>()])
        }
        AttributeValue::Bs(set) => {
            let texts = set.iter().map(|bytes| hexadecimal(bytes));
            json!(["byte strings", texts.collect::<Vec<_>>()])
        }
    }
}

fn described(description: &Value) -> Result<AttributeValue, String> {
    let content = &description[1];
    let string = || {
        content
            .as_str()
            .ok_or_else(|| format!("no text: {content}"))
    };
    let all = || {
        content
            .as_array()
            .ok_or_else(|| format!("no list: {content}"))
    };
    fn set<T: Ord>(
        elements: &[Value],
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Set<T>, String> {
        let read = |element: &Value| read(element.as_str().ok_or("no text")?);
        let elements: Result<Vec<T>, String> = elements.iter().map(read).collect();
        Set::new(elements?).map_err(|error| error.to_string())
    }
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok(match description[0].as_str() {
        Some("text") => AttributeValue::S(string()?.to_owned()),
        Some("number") => AttributeValue::N(number(string()?)?),
        Some("bytes") => AttributeValue::B(bytes(string()?)?),
        Some("truth") => AttributeValue::Bool(content.as_bool().ok_or("neither true nor false")?),
        Some("null") => AttributeValue::Null,
        Some("map") => {
            let pair = |pair: &Value| {
                let name = pair[0].as_str().ok_or("no name")?;
                Ok((name.to_owned(), described(&pair[1])?))
            };
            AttributeValue::M(all()?.iter().map(pair).collect::<Result<_, String>>()?)
        }
        Some("list") => AttributeValue::L(
            all()?
                .iter()
                .map(described)
                .collect::<Result<_, String>>()?,
        ),
        Some("texts") => AttributeValue::Ss(set(all()?, |text| Ok(text.to_owned()))?),
        Some("numbers") => AttributeValue::Ns(set(all()?, number)?),
        Some("byte strings") => AttributeValue::Bs(set(all()?, bytes)?),
        _ => return Err(format!("nobody knows {description}")),
    })
}

/// The headers that signing adds to a request.
fn signature(question: &Value) -> Result<Value, String> {
    let mut request = Request::builder()
        .method(text(question, "method")?)
        .uri(text(question, "path")?)
        .body(Bytes::from(bytes(text(question, "body")?)?))
        .map_err(|error| error.to_string())?;
    for header in question["headers"].as_array().into_iter().flatten() {
        let (name, value) = (header[0].as_str(), header[1].as_str());
        let name = HeaderName::from_bytes(name.unwrap_or_default().as_bytes());
        let value = HeaderValue::from_str(value.unwrap_or_default());
        request.headers_mut().append(
            name.map_err(|error| error.to_string())?,
            value.map_err(|error| error.to_string())?,
        );
    }
    let mut credentials = Credentials::new(text(question, "id")?, text(question, "secret")?)
        .map_err(|error| error.to_string())?;
    if let Some(token) = question["token"].as_str() {
        credentials = credentials
            .session_token(token)
            .map_err(|error| error.to_string())?;
    }
    let seconds = question["seconds"].as_u64().ok_or("no seconds")?;
    let signer = Signer::new(text(question, "service")?, text(question, "region")?);
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let signed = signer.sign(&mut request, &credentials, time);
    signed.map_err(|error| error.to_string())?;
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    Ok(json!({
        "authorization": header("authorization"),
        "x-amz-date": header("x-amz-date"),
        "x-amz-security-token": header("x-amz-security-token"),
    }))
}

fn endpoint(question: &Value) -> Result<Value, String> {
    let service = match text(question, "service")? {
        "dynamodb" => Service::DynamoDb,
        #[cfg(any(
            feature = "credentials-web-identity",
            feature = "credentials-profile",
            test
        ))]
        "sts" => Service::Sts,
        other => return Err(format!("nobody knows {other}")),
    };
    let variant = Variant {
        fips: question["fips"] == true,
        dual_stack: question["dual_stack"] == true,
    };
    let endpoint = Endpoint::of_region(service, text(question, "region")?, variant)
        .map_err(|error| error.to_string())?;
    Ok(json!({ "url": endpoint.uri().to_string() }))
}

fn text<'a>(question: &'a Value, name: &str) -> Result<&'a str, String> {
    question[name].as_str().ok_or_else(|| format!("no {name}"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| digit.try_into().ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| format!("not hexadecimal: {text}"))?;
    Ok(digits
        .chunks(2)
        .map(|pair| pair[0] * 16 + pair[1])
        .collect())
}
