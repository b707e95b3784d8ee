//! The locked item as a record: written under the lock, written and released in one request,
//! watched, and handed on.

#[path = "../scene/mod.rs"]
mod scene;
#[path = "../support/mod.rs"]
mod support;

mod condition;
mod dyno;
mod ends;
mod faults;
mod final_refusals;
mod hand_on;
mod hand_on_weather;
mod input;
mod late;
mod limits;
mod lost;
mod under_way;
mod updates;
mod watcher;

use dynolock::{Lease, Update};
use serde_json::{Value, json};

use scene::{Scene, soon};

/// The item `a`, locked for longer than the test takes, without a heartbeat.
async fn acquired(scene: &Scene) -> Lease {
    let lease = soon(scene.lock(&scene.client(), "a").acquire()).await;
    lease.expect("free")
}

/// The lock of another client that finds our expiry past, as where we stood still for long. It
/// writes `by`.
async fn taken_over(scene: &Scene, id: &str) -> Lease {
    let request = json!({
        "TableName": scene.table,
        "Key": {"id": {"S": id}},
        "UpdateExpression": "SET dynoLockExpires = :past",
        "ExpressionAttributeValues": {":past": {"N": "1"}},
    });
    scene.engine.expect("UpdateItem", &request).await;
    let lock = scene.lock(&scene.rival(), id).owner("them");
    let lease = soon(lock.try_acquire()).await.expect("an answer");
    let lease = lease.expect("it is dead to others");
    let theirs = Update::new().set("by", "them");
    soon(lease.update(theirs)).await.expect("it is theirs");
    lease
}

/// What the item `a` holds beside key and lock.
async fn record(scene: &Scene) -> Value {
    data(&scene.item("a").await.expect("an item"))
}

/// What is left of an item without key and lock; sets in order.
fn data(item: &Value) -> Value {
    let mut data = item.clone();
    if let Some(attributes) = data.as_object_mut() {
        attributes.retain(|name, _| name != "id" && !name.starts_with("dynoLock"));
    }
    sort_sets(&mut data);
    data
}

fn sort_sets(value: &mut Value) {
    let Some(map) = value.as_object_mut() else {
        return;
    };
    for (tag, inner) in map.iter_mut() {
        match inner.as_array_mut() {
            Some(elements) if ["SS", "NS", "BS"].contains(&tag.as_str()) => {
                elements.sort_by_key(ToString::to_string);
            }
            Some(elements) => elements.iter_mut().for_each(sort_sets),
            None => sort_sets(inner),
        }
    }
}

/// Adds one to `n`: to be applied once.
fn one_more() -> Update {
    Update::new().add("n", 1)
}

/// A number as DynamoDB writes it.
fn number(n: impl ToString) -> Value {
    json!({"N": n.to_string()})
}
