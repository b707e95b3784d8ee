//! The lock's writes as expressions.

use crate::options::Terms;
use crate::wire::{Action, AttributeValue, Number, Placeholder, Placeholders, Returns, Write};

use super::attributes::{LARGEST_FENCE, owner_attribute};

/// The pair that rule 2 watches: as long as it stands unchanged, nobody has renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) version: Option<String>,
    pub(super) expires: i64,
}

/// What an attempt to acquire writes, and over whom.
pub(super) struct AcquireWrite<'a> {
    pub(super) version: &'a str,
    pub(super) expires: i64,
    /// Where the fence starts in an item that has none, less one.
    pub(super) unix_millis: i64,
    /// Rule 1: locks that expired before this are dead. `None` where it is off.
    pub(super) dead_before: Option<i64>,
    /// Rule 2: this pair was seen dead.
    pub(super) seen_dead: Option<&'a Pair>,
}

/// `SET` all lock attributes, where the lock is free or dead and nothing of it is unreadable.
pub(super) fn acquire<'t>(terms: &'t Terms, attempt: &AcquireWrite<'_>) -> Write<'t> {
    let names = &terms.names;
    let mut p = Placeholders::default();
    let (e, l) = (p.name(&names.expires), p.name(&names.lease_duration));
    let (v, f) = (p.name(&names.version), p.name(&names.fence));
    let o = p.name(&names.owner);
    let (zero, n) = (p.value(0_i64), p.value("N"));
    let (s, largest) = (p.value("S"), p.value(LARGEST_FENCE));

    let mut free = format!("attribute_not_exists({e}) OR {e} <= {zero}");
    if let Some(dead_before) = attempt.dead_before.filter(|instant| *instant > 0) {
        free += &format!(" OR {e} < {}", p.value(dead_before));
    }
    if let Some(pair) = attempt.seen_dead {
        let expires = p.value(pair.expires);
        free += &match &pair.version {
            Some(version) => format!(
                " OR ({v} = {} AND {e} = {expires})",
                p.value(version.as_str())
            ),
            None => format!(" OR (attribute_not_exists({v}) AND {e} = {expires})"),
        };
    }
    let mut condition = format!(
        "({free}) \
         AND (attribute_not_exists({l}) OR attribute_type({l}, {n})) \
         AND (attribute_not_exists({v}) OR attribute_type({v}, {s})) \
         AND (attribute_not_exists({o}) OR attribute_type({o}, {s})) \
         AND (attribute_not_exists({f}) OR {f} BETWEEN {zero} AND {largest})"
    );
    if terms.existing_only {
        condition += &format!(" AND attribute_exists({})", p.name(&terms.partition_name));
    }

    let mut expression = format!(
        "SET {e} = {}, {l} = {}, {v} = {}, {f} = if_not_exists({f}, {}) + {}",
        p.value(attempt.expires),
        p.value(Number::from(crate::clock::nanos(terms.lease))),
        p.value(attempt.version),
        p.value(attempt.unix_millis),
        p.value(1_i64),
    );
    match &terms.owner {
        Some(label) => {
            let owner = p.value(owner_attribute(attempt.version, label));
            expression += &format!(", {o} = {owner}");
        }
        None => expression += &format!(" REMOVE {o}"),
    }
    update(terms, expression, Returns::AllNew, condition, p)
}

/// Who writes under a lease, and which values of `expires` may stand when it does.
pub(super) struct Standing<'a> {
    pub(super) version: &'a str,
    pub(super) fence: u64,
    pub(super) expires: &'a [i64],
}

/// `SET` a later expiry and the length of the lease.
pub(super) fn renew<'t>(
    terms: &'t Terms,
    standing: &Standing<'_>,
    expires: i64,
    lease: std::time::Duration,
) -> Write<'t> {
    let mut p = Placeholders::default();
    let condition = held(terms, standing, &mut p);
    let expression = format!(
        "SET {} = {}, {} = {}",
        p.name(&terms.names.expires),
        p.value(expires),
        p.name(&terms.names.lease_duration),
        p.value(crate::clock::nanos(lease)),
    );
    update(terms, expression, Returns::Nothing, condition, p)
}

/// `REMOVE` every lock attribute but the fence.
pub(super) fn release<'t>(terms: &'t Terms, standing: &Standing<'_>) -> Write<'t> {
    let mut p = Placeholders::default();
    let condition = held(terms, standing, &mut p);
    let expression = remove(terms, &mut p);
    update(terms, expression, Returns::Nothing, condition, p)
}

/// Deletes the item.
pub(super) fn delete<'t>(terms: &'t Terms, standing: &Standing<'_>) -> Write<'t> {
    let mut placeholders = Placeholders::default();
    let condition = held(terms, standing, &mut placeholders);
    Write {
        table: &terms.table,
        key: &terms.key,
        action: Action::Delete,
        condition,
        placeholders,
    }
}

/// Gives back what an acquisition that was given up may have locked.
pub(crate) fn abandon<'t>(terms: &'t Terms, version: &str) -> Write<'t> {
    let mut p = Placeholders::default();
    let condition = format!("{} = {}", p.name(&terms.names.version), p.value(version));
    let expression = remove(terms, &mut p);
    update(terms, expression, Returns::Nothing, condition, p)
}

fn held<'t>(terms: &'t Terms, standing: &Standing<'_>, p: &mut Placeholders<'t>) -> String {
    let version = p.name(&terms.names.version);
    let version_value = p.value(standing.version);
    let fence = p.name(&terms.names.fence);
    let fence_value = p.value(AttributeValue::N(standing.fence.into()));
    let expires = p.name(&terms.names.expires);
    let values: Vec<Placeholder> = standing
        .expires
        .iter()
        .map(|value| p.value(*value))
        .collect();
    let mut list = String::new();
    for value in values {
        if !list.is_empty() {
            list += ", ";
        }
        list += &value.to_string();
    }
    format!("{version} = {version_value} AND {fence} = {fence_value} AND {expires} IN ({list})")
}

fn remove<'t>(terms: &'t Terms, p: &mut Placeholders<'t>) -> String {
    let names = &terms.names;
    format!(
        "REMOVE {}, {}, {}, {}",
        p.name(&names.expires),
        p.name(&names.lease_duration),
        p.name(&names.version),
        p.name(&names.owner),
    )
}

fn update<'t>(
    terms: &'t Terms,
    expression: String,
    returns: Returns,
    condition: String,
    placeholders: Placeholders<'t>,
) -> Write<'t> {
    Write {
        table: &terms.table,
        key: &terms.key,
        action: Action::Update {
            expression,
            returns,
        },
        condition,
        placeholders,
    }
}
