//! A dyno v1.2.4 lock on an item: what a Go program on the same table sends, step by step.

use serde_json::Value;

use super::dynamodb::DynamoDb;
use super::dyno_wire;

/// A dyno peer. It does nothing by itself: the test sends each step, at the time that it states.
pub struct DynoPeer {
    database: DynamoDb,
    table: String,
    key: Value,
}

impl DynoPeer {
    /// A peer on `database`, or through a proxy with [`DynamoDb::at`] its URL.
    pub fn new(database: &DynamoDb, table: &str, key: Value) -> Self {
        Self {
            database: database.clone(),
            table: table.to_owned(),
            key,
        }
    }

    /// One attempt at `now` (Unix ns) for `lease` ns; whether it was granted.
    pub async fn acquire(&self, now: i64, lease: i64, version: &str) -> bool {
        let body = dyno_wire::acquire(&self.table, &self.key, now, lease, version);
        self.send(body).await
    }

    /// One heartbeat at `now` (Unix ns) for `lease` ns; whether the item still has the version.
    pub async fn heartbeat(&self, now: i64, lease: i64, version: &str) -> bool {
        let body = dyno_wire::heartbeat(&self.table, &self.key, now, lease, version);
        self.send(body).await
    }

    /// One release; whether the item still had the version.
    pub async fn release(&self, version: &str) -> bool {
        let body = dyno_wire::release(&self.table, &self.key, version);
        self.send(body).await
    }

    /// Sends a step; anything but success and a failed condition is a broken test.
    async fn send(&self, body: Value) -> bool {
        let (status, answer) = self.database.call(dyno_wire::OPERATION, &body).await;
        let refused = answer["__type"]
            .as_str()
            .is_some_and(|code| code.ends_with("#ConditionalCheckFailedException"));
        assert!(status == 200 || refused, "{body} answered {answer}");
        !refused
    }
}
