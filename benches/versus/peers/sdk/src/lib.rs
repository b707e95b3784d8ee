//! The AWS SDK, with the conditional writes that one would write by hand.

mod client;
mod lease;

pub use client::from_environment;
pub use lease::{Lease, Sdk};
