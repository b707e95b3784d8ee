//! The lock's writes as expressions.

use std::time::Duration;

use crate::options::{AttributeNames, Terms};
use crate::update::{Changes, Rendered};
use crate::wire::{Action, AttributeValue, Number, Placeholder, Placeholders, Returns, Write};

use super::attributes::{LARGEST_FENCE, owner_attribute};
use super::token::LeaseToken;

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
    /// The length that is stated.
    pub(super) lease: Duration,
    /// Where the fence starts in an item that has none, less one.
    pub(super) unix_millis: i64,
    /// Rule 1: locks that expired before this are dead. `None` where it is off.
    pub(super) dead_before: Option<i64>,
    /// Rule 2: this pair was seen dead.
    pub(super) seen_dead: Option<&'a Pair>,
}

/// The lock's attributes in a write by somebody who does not hold it, and what they are held
/// against.
struct Attributes {
    e: Placeholder,
    l: Placeholder,
    v: Placeholder,
    f: Placeholder,
    o: Placeholder,
    zero: Placeholder,
    n: Placeholder,
    s: Placeholder,
    largest: Placeholder,
}

impl Attributes {
    fn of<'t>(names: &'t AttributeNames, p: &mut Placeholders<'t>) -> Self {
        Self {
            e: p.name(&names.expires),
            l: p.name(&names.lease_duration),
            v: p.name(&names.version),
            f: p.name(&names.fence),
            o: p.name(&names.owner),
            zero: p.value(0_i64),
            n: p.value("N"),
            s: p.value("S"),
            largest: p.value(LARGEST_FENCE),
        }
    }

    /// The pair stands as it was seen.
    fn stands(&self, pair: &Pair, p: &mut Placeholders<'_>) -> String {
        let expires = p.value(pair.expires);
        match &pair.version {
            Some(version) => {
                let version = p.value(version.as_str());
                format!("{} = {version} AND {} = {expires}", self.v, self.e)
            }
            None => format!(
                "attribute_not_exists({}) AND {} = {expires}",
                self.v, self.e
            ),
        }
    }

    /// The condition, and nothing of the lock is unreadable, and its fence can be raised.
    fn readable(&self, condition: &str) -> String {
        format!(
            "({condition}) \
             AND (attribute_not_exists({l}) OR attribute_type({l}, {n})) \
             AND (attribute_not_exists({v}) OR attribute_type({v}, {s})) \
             AND (attribute_not_exists({o}) OR attribute_type({o}, {s})) \
             AND (attribute_not_exists({f}) OR {f} BETWEEN {zero} AND {largest})",
            l = self.l,
            v = self.v,
            o = self.o,
            f = self.f,
            n = self.n,
            s = self.s,
            zero = self.zero,
            largest = self.largest,
        )
    }
}

/// `SET` all lock attributes, where the lock is free or dead and nothing of it is unreadable.
pub(super) fn acquire<'t>(terms: &'t Terms, attempt: &AcquireWrite<'_>) -> Write<'t> {
    let mut p = Placeholders::default();
    let lock = Attributes::of(&terms.names, &mut p);
    let mut free = format!(
        "attribute_not_exists({e}) OR {e} <= {}",
        lock.zero,
        e = lock.e
    );
    if let Some(dead_before) = attempt.dead_before.filter(|instant| *instant > 0) {
        free += &format!(" OR {} < {}", lock.e, p.value(dead_before));
    }
    if let Some(pair) = attempt.seen_dead {
        // Parentheses that change nothing are an error to DynamoDB.
        free += &format!(" OR ({})", lock.stands(pair, &mut p));
    }
    let mut condition = lock.readable(&free);
    if terms.existing_only {
        condition += &format!(" AND attribute_exists({})", p.name(terms.partition_name()));
    }

    let mut expression = format!(
        "SET {} = {}, {} = {}, {} = {}, {f} = if_not_exists({f}, {}) + {}",
        lock.e,
        p.value(attempt.expires),
        lock.l,
        p.value(Number::from(crate::clock::nanos(attempt.lease))),
        lock.v,
        p.value(attempt.version),
        p.value(attempt.unix_millis),
        p.value(1_i64),
        f = lock.f,
    );
    expression += &owner(terms, attempt.version, &mut p);
    update_item(terms, expression, Returns::AllNew, condition, p)
}

/// The end of an acquisition's expression: sets the owner, or removes that of another.
fn owner<'t>(terms: &'t Terms, version: &str, p: &mut Placeholders<'t>) -> String {
    let o = p.name(&terms.names.owner);
    match &terms.owner {
        Some(label) => format!(", {o} = {}", p.value(owner_attribute(version, label))),
        None => format!(" REMOVE {o}"),
    }
}

/// Goes on with a lease that was handed on, under another version. The fence stays.
pub(super) fn resume<'t>(
    terms: &'t Terms,
    token: &LeaseToken,
    version: &str,
    expires: i64,
    lease: Duration,
) -> Write<'t> {
    let mut p = Placeholders::default();
    let standing = Standing {
        version: token.version(),
        fence: token.fencing_token(),
        expires: token.expires(),
    };
    let condition = held(terms, &standing, &mut p);
    let mut expression = format!(
        "SET {} = {}, {} = {}, {} = {}",
        p.name(&terms.names.expires),
        p.value(expires),
        p.name(&terms.names.lease_duration),
        p.value(crate::clock::nanos(lease)),
        p.name(&terms.names.version),
        p.value(version),
    );
    expression += &owner(terms, version, &mut p);
    update_item(terms, expression, Returns::AllNew, condition, p)
}

/// `REMOVE` every lock attribute but the fence, which is raised: nobody takes it for a release
/// of his own.
pub(super) fn break_held<'t>(terms: &'t Terms, seen: &Pair, unix_millis: i64) -> Write<'t> {
    let mut p = Placeholders::default();
    let lock = Attributes::of(&terms.names, &mut p);
    let stands = lock.stands(seen, &mut p);
    let condition = lock.readable(&stands);
    let expression = format!(
        "SET {f} = if_not_exists({f}, {}) + {} {}",
        p.value(unix_millis),
        p.value(1_i64),
        remove(terms, &mut p),
        f = lock.f,
    );
    update_item(terms, expression, Returns::Nothing, condition, p)
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
    update_item(terms, expression, Returns::Nothing, condition, p)
}

/// The user's changes, beside a later expiry and the length of the lease.
pub(super) fn update<'t>(
    terms: &'t Terms,
    standing: &Standing<'_>,
    expires: i64,
    lease: std::time::Duration,
    changes: &'t Changes,
    returns: Returns,
) -> Write<'t> {
    let mut p = Placeholders::default();
    let condition = held(terms, standing, &mut p);
    let set = format!(
        "{} = {}, {} = {}",
        p.name(&terms.names.expires),
        p.value(expires),
        p.name(&terms.names.lease_duration),
        p.value(crate::clock::nanos(lease)),
    );
    let rendered = changes.render(&mut p);
    let (expression, theirs) = joined(rendered, &set, "");
    update_item(terms, expression, returns, both(condition, theirs), p)
}

/// The user's changes, and `REMOVE` every lock attribute but the fence.
pub(super) fn commit<'t>(
    terms: &'t Terms,
    standing: &Standing<'_>,
    changes: &'t Changes,
) -> Write<'t> {
    let mut p = Placeholders::default();
    let condition = held(terms, standing, &mut p);
    let remove = lock_attributes(terms, &mut p);
    let rendered = changes.render(&mut p);
    let (expression, theirs) = joined(rendered, "", &remove);
    update_item(
        terms,
        expression,
        Returns::Nothing,
        both(condition, theirs),
        p,
    )
}

/// The lock's condition, and after it the user's.
fn both(held: String, theirs: Option<String>) -> String {
    match theirs {
        Some(theirs) => [&held, " AND ", &theirs].concat(),
        None => held,
    }
}

/// The update expression, in which what the lock needs comes before what the user wants, and the
/// user's condition.
pub(super) fn joined(rendered: Rendered, set: &str, remove: &str) -> (String, Option<String>) {
    let mut expression = String::new();
    let clauses = [
        ("SET", set, &rendered.set),
        ("REMOVE", remove, &rendered.remove),
        ("ADD", "", &rendered.add),
        ("DELETE", "", &rendered.delete),
    ];
    for (keyword, ours, theirs) in clauses {
        let parts = [ours, theirs].into_iter().filter(|part| !part.is_empty());
        for (nth, part) in parts.enumerate() {
            let before = match (nth, expression.is_empty()) {
                (0, true) => [keyword, " "].concat(),
                (0, false) => [" ", keyword, " "].concat(),
                _ => ", ".to_owned(),
            };
            expression += &before;
            expression += part;
        }
    }
    (expression, rendered.condition)
}

/// `REMOVE` every lock attribute but the fence.
pub(super) fn release<'t>(terms: &'t Terms, standing: &Standing<'_>) -> Write<'t> {
    let mut p = Placeholders::default();
    let condition = held(terms, standing, &mut p);
    let expression = remove(terms, &mut p);
    update_item(terms, expression, Returns::Nothing, condition, p)
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
    update_item(terms, expression, Returns::Nothing, condition, p)
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
    ["REMOVE ", &lock_attributes(terms, p)].concat()
}

/// Every lock attribute but the fence, as a list.
fn lock_attributes<'t>(terms: &'t Terms, p: &mut Placeholders<'t>) -> String {
    let names = &terms.names;
    format!(
        "{}, {}, {}, {}",
        p.name(&names.expires),
        p.name(&names.lease_duration),
        p.name(&names.version),
        p.name(&names.owner),
    )
}

fn update_item<'t>(
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::options::Options;
    use crate::wire::Operation;

    fn terms(change: impl FnOnce(&mut Options)) -> Terms {
        let mut options = Options::new("leases".into(), ("id", "job-42").into());
        change(&mut options);
        options.parse().unwrap()
    }

    fn body(write: &Write<'_>) -> serde_json::Value {
        serde_json::from_slice(&write.body().unwrap()).unwrap()
    }

    const HELD: Standing<'_> = Standing {
        version: "v1",
        fence: 7,
        expires: &[1000, 2000],
    };

    #[test]
    fn acquire_has_these_bytes() {
        let terms = terms(|options| options.owner = Some("web-1".into()));
        let write = acquire(
            &terms,
            &AcquireWrite {
                version: "v2",
                expires: 5000,
                lease: terms.lease,
                unix_millis: 3,
                dead_before: Some(4000),
                seen_dead: Some(&Pair {
                    version: Some("v1".into()),
                    expires: 4500,
                }),
            },
        );
        assert_eq!(
            String::from_utf8(write.body().unwrap()).unwrap(),
            concat!(
                r##"{"TableName":"leases","Key":{"id":{"S":"job-42"}},"##,
                r##""UpdateExpression":"SET #0 = :7, #1 = :8, #2 = :9, #3 = if_not_exists(#3, :10) + :11, #4 = :12","##,
                r##""ReturnValues":"ALL_NEW","##,
                r##""ConditionExpression":"(attribute_not_exists(#0) OR #0 <= :0 OR #0 < :4 OR (#2 = :6 AND #0 = :5)) "##,
                r##"AND (attribute_not_exists(#1) OR attribute_type(#1, :1)) "##,
                r##"AND (attribute_not_exists(#2) OR attribute_type(#2, :2)) "##,
                r##"AND (attribute_not_exists(#4) OR attribute_type(#4, :2)) "##,
                r##"AND (attribute_not_exists(#3) OR #3 BETWEEN :0 AND :3)","##,
                r##""ExpressionAttributeNames":{"#0":"dynoLockExpires","#1":"dynoLockLeaseDuration","#2":"dynoLockVersion","#3":"dynoLockFence","#4":"dynoLockOwner"},"##,
                r##""ExpressionAttributeValues":{":0":{"N":"0"},":1":{"S":"N"},":2":{"S":"S"},":3":{"N":"9223372036854775807"},":4":{"N":"4000"},":5":{"N":"4500"},":6":{"S":"v1"},"##,
                r##"":7":{"N":"5000"},":8":{"N":"500000000"},":9":{"S":"v2"},":10":{"N":"3"},":11":{"N":"1"},":12":{"S":"v2 web-1"}},"##,
                r##""ReturnValuesOnConditionCheckFailure":"ALL_OLD"}"##,
            )
        );
    }

    #[test]
    fn rule_1_is_left_out_where_it_is_off_or_before_1970() {
        for dead_before in [None, Some(0), Some(-5)] {
            let terms = terms(|options| options.existing_only = true);
            let write = acquire(
                &terms,
                &AcquireWrite {
                    version: "v2",
                    expires: 5000,
                    lease: terms.lease,
                    unix_millis: 3,
                    dead_before,
                    seen_dead: None,
                },
            );
            let body = body(&write);
            let condition = body["ConditionExpression"].as_str().unwrap();
            assert!(
                condition.starts_with("(attribute_not_exists(#0) OR #0 <= :0) AND"),
                "{condition}"
            );
            assert!(
                condition.ends_with(" AND attribute_exists(#5)"),
                "{condition}"
            );
            assert_eq!(body["ExpressionAttributeNames"]["#5"], "id");
            let update = body["UpdateExpression"].as_str().unwrap();
            assert!(update.ends_with(" REMOVE #4"), "{update}");
        }
    }

    #[test]
    fn every_write_under_a_lease_names_version_fence_and_what_may_stand() {
        let terms = terms(|_| {});
        let condition = "#0 = :0 AND #1 = :1 AND #2 IN (:2, :3)";
        for write in [
            renew(&terms, &HELD, 3000, Duration::from_secs(1)),
            release(&terms, &HELD),
            delete(&terms, &HELD),
        ] {
            let body = body(&write);
            assert_eq!(body["ConditionExpression"], condition);
            let names = &body["ExpressionAttributeNames"];
            assert_eq!(
                [&names["#0"], &names["#1"], &names["#2"]],
                ["dynoLockVersion", "dynoLockFence", "dynoLockExpires"]
            );
            let values = &body["ExpressionAttributeValues"];
            assert_eq!(values[":0"]["S"], "v1");
            assert_eq!(values[":1"]["N"], "7");
            assert_eq!([&values[":2"]["N"], &values[":3"]["N"]], ["1000", "2000"]);
            assert_eq!(body["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
        }
    }

    #[test]
    fn a_renewal_states_the_lease_and_a_release_leaves_the_fence() {
        let terms = terms(|_| {});
        let renewal = body(&renew(&terms, &HELD, 3000, Duration::from_secs(1)));
        assert_eq!(renewal["UpdateExpression"], "SET #2 = :4, #3 = :5");
        assert_eq!(
            renewal["ExpressionAttributeNames"]["#3"],
            "dynoLockLeaseDuration"
        );
        assert_eq!(renewal["ExpressionAttributeValues"][":4"]["N"], "3000");
        assert_eq!(
            renewal["ExpressionAttributeValues"][":5"]["N"],
            "1000000000"
        );
        let release = body(&release(&terms, &HELD));
        assert_eq!(release["UpdateExpression"], "REMOVE #2, #3, #0, #4");
        assert_eq!(
            delete(&terms, &HELD).target(),
            "DynamoDB_20120810.DeleteItem"
        );
    }

    #[test]
    fn an_abandoned_version_is_removed_wherever_it_stands() {
        let terms = terms(|_| {});
        let body = body(&abandon(&terms, "v1"));
        assert_eq!(body["ConditionExpression"], "#0 = :0");
        assert_eq!(body["UpdateExpression"], "REMOVE #1, #2, #0, #3");
    }
}
