//! dyno peers: they send what the Go package was recorded to send, and believe what it believes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use serde_json::{Value, json};

use super::executor::{MILLISECOND, NodeId, NodeRuntime};
use super::history::{self, Belief, Hold, HoldId, Item};
use super::random::Random;
use super::scenario::Stage;
use super::server::{KEY, TABLE};
use crate::runtime::Runtime;
use crate::wire::Transport;

const RECORDED: &str = include_str!("../../tests/data/dyno-lock-wire.json");

/// dyno asks again this often, and waits as long before it asks for the first time.
const RETRY: u64 = 100 * MILLISECOND;

/// One Go process that locks.
pub(super) struct Peer {
    pub(super) stage: Arc<Stage>,
    pub(super) node: NodeId,
    pub(super) runtime: Arc<NodeRuntime>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) random: Random,
}

/// Until when the peer believes to hold, by its wall clock.
struct Believes {
    runtime: Arc<NodeRuntime>,
    until: AtomicI64,
}

impl Belief for Believes {
    fn is_held(&self) -> bool {
        self.runtime.now().wall.0 < self.until.load(Ordering::Relaxed)
    }
}

impl Peer {
    /// Acquires, holds and releases until the run is over.
    pub(super) async fn run(mut self) {
        while !self.stage.is_over() {
            let lease = self.stage.lease();
            let pause = self.random.part(lease, 0.0, 0.8);
            self.runtime.sleep(pause).await;
            let item = self.random.between(0, self.stage.items() as u64 - 1) as usize;
            let version = format!("dyno{:023x}", self.random.next());
            let called = self.stage.world.now();
            let Some(expires) = self.acquire(item, &version, lease).await else {
                continue;
            };
            let belief = Arc::new(Believes {
                runtime: Arc::clone(&self.runtime),
                until: AtomicI64::new(expires),
            });
            // Its expiry was computed before it began to wait, and may be past already.
            if !belief.is_held() {
                continue;
            }
            let hold = Hold {
                item,
                node: self.node,
                version: version.clone(),
                token: None,
                called,
                belief: Arc::clone(&belief) as Arc<dyn Belief>,
            };
            let id = history::begin(&self.stage.world, hold);
            self.hold(item, &version, lease, id, &belief).await;
            history::end(&self.stage.world, id);
        }
    }

    /// Asks with the same request, and the same `now`, until it is granted or the time is up.
    async fn acquire(&mut self, item: Item, version: &str, lease: u64) -> Option<i64> {
        let now = self.runtime.now().wall.0;
        let expires = now + lease as i64;
        let mut body = recorded(0);
        let values = &mut body["ExpressionAttributeValues"];
        values[":0"] = json!({"N": now.to_string()});
        values[":2"] = json!({"N": lease.to_string()});
        values[":3"] = json!({"N": expires.to_string()});
        values[":4"] = json!({"S": version});
        let tries = self.random.between(1, 5);
        for _ in 0..tries {
            self.runtime.sleep(RETRY.min(lease)).await;
            if self.send(item, body.clone()).await {
                return Some(expires);
            }
        }
        None
    }

    async fn hold(&mut self, item: Item, version: &str, lease: u64, id: HoldId, belief: &Believes) {
        let beats = self.random.between(0, 12);
        for _ in 0..beats {
            self.runtime.sleep(lease / 5).await;
            let expires = self.runtime.now().wall.0 + lease as i64;
            if !self.write(item, version, expires).await {
                // One failed heartbeat, and dyno gives the lock up.
                belief.until.store(i64::MIN, Ordering::Relaxed);
                break;
            }
            if belief.is_held() {
                belief.until.store(expires, Ordering::Relaxed);
            }
            history::check(&self.stage.world, item, "a dyno peer renewed");
        }
        if self.random.chance(0.3) {
            // Its heartbeats end, its belief does not.
            let until = belief.until.load(Ordering::Relaxed);
            let left = until.saturating_sub(self.runtime.now().wall.0);
            self.runtime.sleep(u64::try_from(left).unwrap_or(0)).await;
            return;
        }
        history::end(&self.stage.world, id);
        self.write(item, version, 0).await;
    }

    /// A heartbeat, or with an expiry of 0 a release.
    async fn write(&mut self, item: Item, version: &str, expires: i64) -> bool {
        let mut body = recorded(if expires == 0 { 3 } else { 1 });
        let values = &mut body["ExpressionAttributeValues"];
        values[":0"] = json!({"S": version});
        values[":1"] = json!({"N": expires.to_string()});
        self.send(item, body).await
    }

    async fn send(&self, item: Item, mut body: Value) -> bool {
        body["TableName"] = json!(TABLE);
        body["Key"] = json!({KEY: {"S": self.stage.key(item)}});
        let request = http::Request::builder()
            .header("x-amz-target", "DynamoDB_20120810.UpdateItem")
            .body(Bytes::from(body.to_string()))
            .expect("a valid request");
        let answer = self.transport.send(request).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }
}

/// A recorded request: 0 acquires, 1 renews, 3 releases.
///
/// A release has its placeholders in the order of the first heartbeat, not of the second.
fn recorded(call: usize) -> Value {
    let recorded: Value = serde_json::from_str(RECORDED).expect("valid JSON");
    recorded["calls"][call]["request"].clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_requests_are_those_that_the_peer_replays() {
        let texts = |call: usize| {
            let body = recorded(call);
            let text = |name: &str| {
                let mut text = body[name].as_str().unwrap_or_default().to_owned();
                for (placeholder, name) in body["ExpressionAttributeNames"]
                    .as_object()
                    .into_iter()
                    .flatten()
                {
                    text = text.replace(placeholder, name.as_str().unwrap_or_default());
                }
                text
            };
            (text("ConditionExpression"), text("UpdateExpression"))
        };
        let (condition, update) = texts(0);
        assert_eq!(
            condition,
            "((attribute_not_exists (dynoLockExpires)) OR (dynoLockExpires < :0)) OR (dynoLockExpires = :1)"
        );
        assert_eq!(
            update,
            "SET dynoLockLeaseDuration = :2, dynoLockExpires = :3, dynoLockVersion = :4\n"
        );
        for call in [1, 3] {
            let (condition, update) = texts(call);
            assert_eq!(condition, "dynoLockVersion = :0");
            assert_eq!(update, "SET dynoLockExpires = :1\n");
        }
    }
}
