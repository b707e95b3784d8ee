//! skeleton

mod acquire;
mod client;
mod clock;
pub mod credentials;
mod error;
mod key;
mod lease;
mod lock;
mod options;
mod protocol;
mod queue;
mod runtime;
mod version;
mod wire;

pub use client::{Client, ClientBuilder};
pub use error::Error;
pub use key::{Key, KeyValue};
pub use lease::Lease;
pub use lock::Lock;
pub use options::{
    AttributeNames, DEFAULT_HEARTBEAT, DEFAULT_LEASE, DEFAULT_MAX_CLOCK_SKEW,
    DEFAULT_RETRY_INTERVAL, DEFAULT_TIMEOUT,
};
pub use protocol::{Holder, Lost};
pub use wire::{AttributeValue, InvalidValue, Item, Number, Set};
