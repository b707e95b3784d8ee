//! An item with any lock in it, or something like one.

use std::time::Duration;

use crate::clock::nanos;
use crate::options::{AttributeNames, Terms};
use crate::wire::{AttributeValue, Item, Number};

use super::super::any_value;
use super::super::input::Input;

/// What an item may show of us.
pub(super) struct Ours<'a> {
    pub(super) version: &'a str,
    /// Values of `expires` that were sent, the last first.
    pub(super) sent: &'a [i64],
    pub(super) fence: u64,
}

/// An item whose lock attributes are ours, another's, missing, or spoilt.
pub(super) fn item(terms: &Terms, ours: &Ours<'_>, input: &mut Input<'_>) -> Item {
    let names = &terms.names;
    let mut item = terms.key.clone();
    if input.flag() {
        item.insert("state", "new");
    }
    let version = match input.below(5) {
        0 => Some(ours.version.into()),
        1 => Some("other".into()),
        2 => None,
        3 => Some("another".into()),
        _ => Some(any_value::value(input)),
    };
    let mut put = |name: &str, value: Option<AttributeValue>| {
        if let Some(value) = value {
            item.insert(name, value);
        }
    };
    put(&names.version, version);
    let now = ours.sent.first().copied().unwrap_or(0);
    let lease = nanos(terms.lease);
    let expires = match input.below(8) {
        at @ 0..3 => ours
            .sent
            .get(at)
            .or(ours.sent.last())
            .map(|sent| (*sent).into()),
        3 => None,
        4 => Some(0.into()),
        5 => Some(now.saturating_sub(lease).into()),
        6 => Some((input.number() as i64).into()),
        _ => Some(any_value::value(input)),
    };
    put(&names.expires, expires);
    let stated = match input.below(4) {
        0 => Some(lease.into()),
        1 => None,
        2 => Some((input.number() as i64).into()),
        _ => Some(any_value::value(input)),
    };
    put(&names.lease_duration, stated);
    let fence = match input.below(6) {
        0 => Some(Number::from(ours.fence).into()),
        1 => Some(Number::from(ours.fence.saturating_add(1)).into()),
        2 => None,
        3 => Some(Number::from(i64::MAX as u64 + 1).into()),
        4 => Some(Number::from(input.number()).into()),
        _ => Some(any_value::value(input)),
    };
    put(&names.fence, fence);
    match input.below(6) {
        1 => put(&names.owner, Some([ours.version, " web-1"].concat().into())),
        2 => put(&names.owner, Some(any_value::value(input))),
        _ => {}
    }
    item
}

/// The lock of an item as the documentation has it, read apart from the library's own reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) version: Option<String>,
    pub(super) expires: Option<i64>,
    pub(super) lease: Option<Duration>,
    pub(super) fence: Option<u64>,
}

/// `None` where an attribute is not what a lock's can be.
pub(super) fn shown(item: &Item, names: &AttributeNames) -> Option<Shown> {
    let number = |name: &str| match item.get(name) {
        None => Some(None),
        Some(AttributeValue::N(number)) => Some(Some(number.as_str())),
        Some(_) => None,
    };
    let text = |name: &str| match item.get(name) {
        None => Some(None),
        Some(AttributeValue::S(text)) => Some(Some(text.clone())),
        Some(_) => None,
    };
    text(&names.owner)?;
    let expires = match number(&names.expires)? {
        Some(text) if text.starts_with('-') => Some(text.parse().unwrap_or(-1)),
        Some(text) => Some(text.parse().ok()?),
        None => None,
    };
    let fence = match number(&names.fence)? {
        Some(text) => Some(text.parse().ok().filter(|fence| *fence <= 1 << 63)?),
        None => None,
    };
    let lease = number(&names.lease_duration)?.and_then(|text| text.parse().ok());
    let lease = lease.filter(|ns| (1..=366 * 86_400 * 1_000_000_000).contains(ns));
    Some(Shown {
        version: text(&names.version)?,
        expires,
        lease: lease.map(Duration::from_nanos),
        fence,
    })
}
