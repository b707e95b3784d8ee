//! A table, a proxy before it, and clients that go through the proxy.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test uses another part of this"
)]

use std::time::Duration;

use dynolock::credentials::Credentials;
use dynolock::{Client, ClientBuilder, Lock};
use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::unique_name;

/// Long enough for a busy machine; nothing waits for it to pass.
pub const LONG: Duration = Duration::from_secs(20);
/// A lease that a test lets run out.
pub const SHORT: Duration = Duration::from_millis(400);

pub struct Scene {
    pub engine: Engine,
    pub proxy: Proxy,
    pub table: String,
}

impl Scene {
    pub async fn new() -> Self {
        let engine = Engine::of_environment().await;
        let table = unique_name("lock");
        engine.create_table(&table, ("id", "S"), None).await;
        let proxy = Proxy::to(&engine);
        Self {
            engine,
            proxy,
            table,
        }
    }

    pub fn builder(&self) -> ClientBuilder {
        builder(&self.proxy.url())
    }

    /// A client through the proxy.
    pub fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// A client that goes to the engine itself: another machine, in good weather.
    pub fn other(&self) -> Client {
        builder(self.engine.url()).build().unwrap()
    }

    /// The lock on item `a`, with a long lease and no heartbeat.
    pub fn lock(&self, client: &Client) -> Lock {
        client
            .lock(&self.table, ("id", "a"))
            .lease(LONG)
            .timeout(LONG)
            .manual_heartbeat()
    }

    pub async fn item(&self) -> Option<Value> {
        self.engine.get_item(&self.table, &key()).await
    }

    pub async fn put(&self, item: &Value) {
        self.engine.put_item(&self.table, item).await;
    }

    /// Whether the item is there and bears a version.
    pub async fn is_locked(&self) -> bool {
        self.item()
            .await
            .is_some_and(|item| item.get("dynoLockVersion").is_some())
    }

    /// The item's fencing token.
    pub async fn fence(&self) -> u64 {
        number(&self.item().await.unwrap(), "dynoLockFence")
            .parse()
            .unwrap()
    }

    /// The item's expiry.
    pub async fn expires(&self) -> i64 {
        number(&self.item().await.unwrap(), "dynoLockExpires")
            .parse()
            .unwrap()
    }
}

pub fn builder(url: &str) -> ClientBuilder {
    Client::builder()
        .region("us-east-1")
        .endpoint_url(url)
        .credentials(Credentials::new("AKIDEXAMPLE", "SECRETEXAMPLE").unwrap())
        .attempt_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
}

pub fn key() -> Value {
    json!({"id": {"S": "a"}})
}

/// The text of a number attribute.
pub fn number(item: &Value, name: &str) -> String {
    item[name]["N"]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {item}"))
        .to_owned()
}
