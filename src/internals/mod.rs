//! What `fuzz/` and the comparisons with other implementations call. Not for users: it changes
//! without notice.
//!
//! One file a fuzz target, each with a `body` that panics where something is not as it must be.
//! The targets themselves are one line each, in `fuzz/fuzz_targets/`; their corpus is replayed
//! by the tests here.
#![allow(missing_docs, reason = "not for users")]

pub mod answer;
pub mod decode_value;
pub mod expression;
pub mod oracle;
#[cfg(feature = "credentials-profile")]
pub mod profile_files;
pub mod protocol;
pub mod round_trip_value;
pub mod update_expression;

mod any_value;
mod dynamodb;
mod input;
mod odd_json;
#[cfg(test)]
mod replay;
