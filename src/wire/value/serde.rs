//! Items from and to types that implement serde's traits, by way of `serde_dynamo`.
//!
//! Its messages, and those of serde, quote what they found. None of them gets out of here: what was
//! wanted is cut out of it, and the rest said in our own words.

mod read;
mod write;

use std::borrow::Cow;

use serde_path_to_error::Segment;

/// As a part of a place.
fn step(segment: &Segment) -> Cow<'_, str> {
    match segment {
        Segment::Seq { index } => bracketed(*index).into(),
        Segment::Map { key } | Segment::Enum { variant: key } => key.into(),
        Segment::Unknown => SOMEWHERE.into(),
    }
}

/// A step that is not known.
const SOMEWHERE: &str = "?";

fn bracketed(index: usize) -> String {
    format!("[{index}]")
}

#[cfg(test)]
#[path = "serde_tests.rs"]
mod tests;
