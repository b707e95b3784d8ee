//! What most integration tests begin with: a DynamoDB, a table of its own, a proxy before it,
//! and clients of the library.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test uses another part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock and the tasks of the tests, not of the library"
)]

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynolock::credentials::Credentials;
use dynolock::{Client, ClientBuilder, Lease, Lock};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::engine::Engine;
use crate::support::proxy::Proxy;
use crate::support::recorded::Step;
use crate::support::{unique_name, wall_nanos};

/// Never in the traffic, nor in any `Debug`.
pub const SECRET: &str = "SecretThatNobodyMaySee0123456789abcdefgh";
/// Longer than any test takes.
pub const LONG: Duration = Duration::from_secs(120);
/// Real time after which a test fails where something does not come.
const PATIENCE: Duration = Duration::from_secs(60);

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A server, a fresh table with the partition key `id` (S) on it, and a proxy before it.
pub struct Scene {
    // Dropped first: what it forwards needs the engine.
    pub proxy: Proxy,
    pub engine: Engine,
    pub table: String,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with_keys(("id", "S"), None).await
    }

    pub async fn with_keys(partition_key: (&str, &str), sort_key: Option<(&str, &str)>) -> Self {
        let engine = Engine::of_environment().await;
        let table = unique_name("lock");
        engine.create_table(&table, partition_key, sort_key).await;
        Self {
            proxy: Proxy::to(&engine),
            engine,
            table,
        }
    }

    /// A client behind the proxy that is patient with each attempt: a slow machine makes no
    /// second one.
    pub fn client(&self) -> Client {
        let builder = builder(&self.proxy.url()).attempt_timeout(LONG / 3);
        builder.build().expect("a client")
    }

    /// A client behind the proxy that soon gives up an attempt without an answer.
    pub fn hasty_client(&self) -> Client {
        let builder = builder(&self.proxy.url()).attempt_timeout(ms(500));
        builder.backoff(ms(1), ms(20)).build().expect("a client")
    }

    /// A client of another process, whose requests the proxy does not see.
    pub fn rival(&self) -> Client {
        let builder = builder(self.engine.url()).attempt_timeout(LONG / 3);
        builder.build().expect("a client")
    }

    /// A long lock on the item `id`, patient, without a heartbeat.
    pub fn lock(&self, client: &Client, id: &str) -> Lock {
        let lock = client.lock(&self.table, ("id", id));
        lock.lease(LONG).timeout(LONG).manual_heartbeat()
    }

    pub async fn item(&self, id: &str) -> Option<Value> {
        let key = json!({"id": {"S": id}});
        self.engine.get_item(&self.table, &key).await
    }

    /// Puts an item with these attributes beside its key.
    pub async fn put(&self, id: &str, attributes: Value) {
        let mut item = attributes;
        item["id"] = json!({"S": id});
        self.engine.put_item(&self.table, &item).await;
    }

    /// Puts a lock of another's, `expires_in` from now, for a stated lease.
    pub async fn put_lock(&self, id: &str, expires_in: i64, lease: &str) {
        let expires = wall_nanos().saturating_add(expires_in);
        let lock = json!({
            "dynoLockExpires": {"N": expires.to_string()},
            "dynoLockLeaseDuration": {"N": lease},
            "dynoLockVersion": {"S": "another"},
        });
        self.put(id, lock).await;
    }

    /// Waits until the item is as told.
    pub async fn until_item(&self, id: &str, enough: impl Fn(&Value) -> bool) -> Value {
        soon(async {
            loop {
                let item = self.item(id).await.unwrap_or_default();
                if enough(&item) {
                    return item;
                }
                tokio::time::sleep(ms(5)).await;
            }
        })
        .await
    }

    /// The index of the last request of that step.
    pub fn last(&self, step: Step) -> usize {
        let steps = self.proxy.steps();
        let last = steps.iter().rposition(|seen| *seen == step);
        last.unwrap_or_else(|| panic!("no {step:?} among {steps:?}"))
    }

    /// That the lock is free, and left nothing but its fence.
    pub async fn assert_free(&self, id: &str, what: &str) {
        let item = self.item(id).await.unwrap_or_default();
        assert!(is_free(&item), "{what}: {item}");
    }

    /// That the lease is the one in the item, and nothing else has written since.
    pub async fn assert_holds(&self, id: &str, lease: &Lease, what: &str) {
        // A heartbeat may move the expiry on between the two looks.
        let known = nanos(lease.expires_at());
        let item = self.item(id).await.unwrap_or_default();
        assert!(lease.is_held(), "{what}");
        assert_eq!(item["dynoLockVersion"]["S"], lease.version(), "{what}");
        assert_eq!(fence(&item), lease.fencing_token(), "{what}");
        assert!(expires(&item) >= known, "{what}");
    }
}

pub fn builder(url: &str) -> ClientBuilder {
    let credentials = Credentials::new("AKIDTEST", SECRET).expect("credentials");
    Client::builder()
        .region("us-east-1")
        .endpoint_url(url)
        .credentials(credentials)
}

/// Waits for what must come, but not for ever.
pub async fn soon<F: Future>(future: F) -> F::Output {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.expect("it comes within a minute")
}

/// Waits for a condition without an event of its own.
pub async fn until(enough: impl Fn() -> bool) {
    soon(async {
        while !enough() {
            tokio::time::sleep(ms(2)).await;
        }
    })
    .await;
}

/// Drops the future once `then` has completed; it must not be done before.
pub async fn dropped_after<T: std::fmt::Debug>(future: impl Future<Output = T>, then: impl Future) {
    let mut future = pin!(future);
    tokio::select! {
        biased;
        done = &mut future => panic!("it must not be done: {done:?}"),
        _ = then => {}
    }
}

pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

/// Whether no lock attribute but the fence is left.
pub fn is_free(item: &Value) -> bool {
    let lock = ["Expires", "LeaseDuration", "Version", "Owner"];
    let mut names = lock.iter().map(|name| format!("dynoLock{name}"));
    names.all(|name| item.get(&name).is_none())
}

pub fn expires(item: &Value) -> i64 {
    number(item, "dynoLockExpires")
}

pub fn fence(item: &Value) -> u64 {
    number(item, "dynoLockFence")
}

pub fn nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).expect("past 1970");
    i64::try_from(since.as_nanos()).expect("before 2262")
}

fn number<T: std::str::FromStr>(item: &Value, name: &str) -> T {
    let digits = item[name]["N"].as_str();
    let number = digits.and_then(|digits| digits.parse().ok());
    number.unwrap_or_else(|| panic!("no number {name} in {item}"))
}
