//! What the integration tests and the quickstart stand on: a DynamoDB to talk to, a proxy that
//! spoils the conversation as told, and a dyno peer. Nothing here uses the library under test.
//!
//! Engine and proxy run on threads of their own with runtimes of their own, so that a test may
//! pause or starve its runtime without stopping the other side.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test uses another part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock, the environment and the tasks of the tests, not of the library"
)]

pub mod background;
pub mod dynamodb;
pub mod dyno;
pub mod dyno_wire;
pub mod engine;
pub mod example;
pub mod fault;
pub mod http;
pub mod proxy;
pub mod recorded;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A name that no other test, process or earlier run uses: on a shared server tables stay.
pub fn unique_name(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    format!("{prefix}-{pid}-{}-{count}", wall_nanos())
}

/// The wall clock, in nanoseconds since the Unix epoch.
pub fn wall_nanos() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    i64::try_from(since.as_nanos()).expect("the clock is before 2262")
}

/// A URL on loopback where nothing listens: connections are refused.
pub fn refusing_url() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound port").port();
    format!("http://127.0.0.1:{port}")
}
