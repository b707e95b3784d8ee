//! A lease lock on any item of any DynamoDB table: small, quick to start, with fencing tokens,
//! and without an AWS SDK.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! # async fn run() -> Result<(), dynolock::Error> {
//! let client = dynolock::Client::from_env()?;
//! let lock = client.lock("jobs", ("id", "job-42")).lease(Duration::from_secs(10));
//!
//! let lease = lock.acquire().await?; // waits, up to the timeout
//! println!("mine, with token {}: {:?}", lease.fencing_token(), lease.item());
//! lease.release().await?;
//! # Ok(()) }
//! ```
//!
//! # In scope
//!
//! - At most one holder at a time, as long as wall clocks differ by no more than
//!   [`max_clock_skew`](Lock::max_clock_skew), or by any amount where that is `Duration::MAX`.
//! - Fencing tokens that grow with every acquisition, whatever the clocks do.
//! - A lease that is renewed by itself, and [lost](Lease::lost) at the latest at its deadline: a
//!   holder that cannot prove that it still holds is told so.
//! - Requests and answers that are lost, late or doubled: they never revive a lock, shorten a
//!   lease, or count as success or failure by mistake.
//! - Sharing tables with programs that use the `lock` package of dyno (Go).
//!
//! # Out of scope
//!
//! - Exclusion across Regions of an eventually consistent global table.
//! - Protection of the item against writers that do not ask for the lock; `PutItem` on the item
//!   erases the lock.
//! - Runtimes other than Tokio.
//!
//! [`guide`] says which call to use when, what each guarantees and what it costs; [`lambda`] what to
//! set in AWS Lambda. The README shows
//! table layout, permissions and the way from dyno; DESIGN.md says why it is built as it is.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(
    any(feature = "webpki-roots", feature = "native-roots"),
    not(feature = "__tls")
))]
compile_error!(
    "dynolock: the features `webpki-roots` and `native-roots` say whom TLS believes, and there is \
     no TLS: add `ring` or `aws-lc-rs`"
);
#[cfg(all(feature = "__tls", not(any(feature = "ring", feature = "aws-lc-rs"))))]
compile_error!("dynolock: the feature `__tls` is not for users: choose `ring` or `aws-lc-rs`");

mod acquire;
mod acquire_all;
mod builder;
mod client;
mod clock;
pub mod credentials;
mod error;
pub mod guide;
mod heart;
#[cfg(any(test, feature = "__internals"))]
#[doc(hidden)]
pub mod internals;
mod key;
pub mod lambda;
mod lease;
mod lock;
mod lock_set;
mod look;
mod options;
mod protocol;
mod queue;
mod runtime;
#[cfg(test)]
mod simulation;
mod table;
#[cfg(feature = "tracing")]
mod telemetry;
mod update;
mod version;
mod wire;

pub use builder::ClientBuilder;
pub use client::Client;
pub use error::Error;
pub use key::{Key, KeyValue};
pub use lease::{Condition, Lease, LeaseSet, Transaction, Watcher};
pub use lock::Lock;
pub use lock_set::LockSet;
pub use options::{
    AttributeNames, DEFAULT_HEARTBEAT, DEFAULT_LEASE, DEFAULT_MAX_CLOCK_SKEW,
    DEFAULT_RETRY_INTERVAL, DEFAULT_TIMEOUT,
};
pub use protocol::{Holder, LeaseToken, Lost};
pub use table::{Access, KeyType, Table, TableDescription, TableKey};
pub use update::{Path, Update};
pub use wire::{
    AttributeValue, FromAttribute, InvalidValue, Item, ItemIter, Number, Set, UnexpectedAttribute,
};
#[cfg(feature = "__tls")]
pub use wire::{InvalidRoots, RootCertificates};

/// The example of the README runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
