//! A lease lock on any DynamoDB item.
#![expect(dead_code, reason = "the lock that uses this comes next")]

mod clock;
pub mod credentials;
mod runtime;
mod version;
mod wire;

pub use wire::{AttributeValue, InvalidValue, Item, Number, Set};
