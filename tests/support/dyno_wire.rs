//! The requests of a dyno v1.2.4 lock, made from its recorded traffic.
//!
//! The recording is the template: only table, key, version and times are put in. The numbers in
//! it show dyno's arithmetic. An acquire compares with `now` and writes `now + lease`; a heartbeat
//! writes `now + lease` too, with the `now` of the heartbeat, and nothing else; a release writes 0
//! and leaves the other attributes as they are.

use serde_json::{Value, json};

const RECORDING: &str = include_str!("../data/dyno-lock-wire.json");

/// The operation of every request of a dyno lock.
pub const OPERATION: &str = "UpdateItem";

/// The body that dyno sends to acquire, at `now` (Unix ns), for a lease of `lease` ns.
pub fn acquire(table: &str, key: &Value, now: i64, lease: i64, version: &str) -> Value {
    let mut body = recorded("acquire (free item)", table, key);
    let values = &mut body["ExpressionAttributeValues"];
    put(values, ":0", number(now));
    put(values, ":2", number(lease));
    put(values, ":3", number(now + lease));
    put(values, ":4", json!({"S": version}));
    body
}

/// The body that dyno sends to renew, at `now` (Unix ns), a lease of `lease` ns.
pub fn heartbeat(table: &str, key: &Value, now: i64, lease: i64, version: &str) -> Value {
    let mut body = recorded("heartbeat", table, key);
    let values = &mut body["ExpressionAttributeValues"];
    put(values, ":0", json!({"S": version}));
    put(values, ":1", number(now + lease));
    body
}

/// The body that dyno sends to release.
pub fn release(table: &str, key: &Value, version: &str) -> Value {
    let mut body = recorded("release", table, key);
    put(
        &mut body["ExpressionAttributeValues"],
        ":0",
        json!({"S": version}),
    );
    body
}

/// A recorded item, `held` or `released`.
pub fn item(name: &str) -> Value {
    recording()["items"][name].clone()
}

/// The first recorded request of that step, for another table and key.
fn recorded(step: &str, table: &str, key: &Value) -> Value {
    let recording = recording();
    let calls = recording["calls"].as_array().into_iter().flatten();
    let call = calls.into_iter().find(|call| call["step"] == step);
    let call = call.unwrap_or_else(|| panic!("the recording has no step {step}"));
    assert_eq!(
        call["x-amz-target"],
        format!("DynamoDB_20120810.{OPERATION}")
    );
    let mut body = call["request"].clone();
    put(&mut body, "TableName", json!(table));
    put(&mut body, "Key", key.clone());
    body
}

fn recording() -> Value {
    serde_json::from_str(RECORDING).expect("the recording is JSON")
}

/// Replaces what the template has there; a template without it is not the one expected.
fn put(template: &mut Value, name: &str, value: Value) {
    let place = template.get_mut(name);
    *place.unwrap_or_else(|| panic!("the recording has no {name}")) = value;
}

fn number(n: i64) -> Value {
    json!({"N": n.to_string()})
}
