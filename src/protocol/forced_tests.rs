use super::*;
use crate::options::Options;
use crate::wire::{AttributeValue, FailureKind, Number, Operation};

fn terms() -> Terms {
    let options = Options::new("leases".into(), ("id", "a").into());
    options.parse().unwrap()
}

/// An item with a lock: version, expiry and fence, as far as they are there.
fn item(version: Option<&str>, expires: Option<i64>, fence: Option<u64>) -> Item {
    let mut item = Item::from_iter([("id", "a")]);
    if let Some(version) = version {
        item.insert("dynoLockVersion", version);
    }
    if let Some(expires) = expires {
        item.insert("dynoLockExpires", expires);
    }
    if let Some(fence) = fence {
        item.insert("dynoLockFence", AttributeValue::N(Number::from(fence)));
    }
    item
}

fn holder(version: Option<&str>, fence: Option<u64>) -> Holder {
    let state = LockState::of(
        &item(version, Some(5000), fence),
        &AttributeNames::default(),
    );
    state.unwrap().holder().unwrap()
}

fn unknown() -> Outcome {
    Outcome::Unknown(Failure::of(FailureKind::Unavailable, "test"))
}

fn body(holder: &Holder) -> serde_json::Value {
    let terms = terms();
    let write = ForcedRelease::of(holder, 3).attempt(&terms);
    serde_json::from_slice(&write.body().unwrap()).unwrap()
}

#[test]
fn it_is_conditional_on_what_was_seen_and_raises_the_fence() {
    let seen = holder(Some("v1"), Some(7));
    let terms = terms();
    let write = ForcedRelease::of(&seen, 3).attempt(&terms);
    assert_eq!(
        String::from_utf8(write.body().unwrap()).unwrap(),
        concat!(
            r##"{"TableName":"leases","Key":{"id":{"S":"a"}},"##,
            r##""UpdateExpression":"SET #3 = if_not_exists(#3, :6) + :7 REMOVE #0, #1, #2, #4","##,
            r##""ConditionExpression":"(#2 = :5 AND #0 = :4) "##,
            r##"AND (attribute_not_exists(#1) OR attribute_type(#1, :1)) "##,
            r##"AND (attribute_not_exists(#2) OR attribute_type(#2, :2)) "##,
            r##"AND (attribute_not_exists(#4) OR attribute_type(#4, :2)) "##,
            r##"AND (attribute_not_exists(#3) OR #3 BETWEEN :0 AND :3)","##,
            r##""ExpressionAttributeNames":{"#0":"dynoLockExpires","#1":"dynoLockLeaseDuration","#2":"dynoLockVersion","#3":"dynoLockFence","#4":"dynoLockOwner"},"##,
            r##""ExpressionAttributeValues":{":0":{"N":"0"},":1":{"S":"N"},":2":{"S":"S"},":3":{"N":"9223372036854775807"},":4":{"N":"5000"},":5":{"S":"v1"},"##,
            r##"":6":{"N":"3"},":7":{"N":"1"}},"##,
            r##""ReturnValuesOnConditionCheckFailure":"ALL_OLD"}"##,
        )
    );
}

#[test]
fn a_holder_without_a_version_must_still_have_none() {
    let body = body(&holder(None, None));
    let condition = body["ConditionExpression"].as_str().unwrap();
    let pair = "(attribute_not_exists(#2) AND #0 = :4) AND ";
    assert!(condition.starts_with(pair), "{condition}");
}

#[test]
fn a_refusal_says_what_has_become_of_it() {
    let broken = || Forced::Broken;
    let changed = || Forced::Changed;
    // What the refusal shows, and what it means at first and after an unknown attempt.
    let cases: [(&str, Option<Item>, Forced, Forced); 9] = [
        ("ours", Some(item(None, None, Some(8))), changed(), broken()),
        (
            "released",
            Some(item(None, None, Some(7))),
            changed(),
            changed(),
        ),
        (
            "released since",
            Some(item(None, None, Some(9))),
            changed(),
            changed(),
        ),
        (
            "renewed",
            Some(item(Some("v1"), Some(6000), Some(7))),
            changed(),
            changed(),
        ),
        (
            "taken over",
            Some(item(Some("v2"), Some(6000), Some(8))),
            changed(),
            changed(),
        ),
        (
            "by dyno",
            Some(item(Some("v2"), Some(0), Some(8))),
            changed(),
            changed(),
        ),
        (
            "and freed",
            Some(item(None, Some(0), Some(8))),
            changed(),
            changed(),
        ),
        (
            "overwritten",
            Some(item(None, None, None)),
            changed(),
            changed(),
        ),
        ("gone", None, changed(), changed()),
    ];
    let seen = holder(Some("v1"), Some(7));
    let names = AttributeNames::default();
    for (what, shown, at_first, after_unknown) in cases {
        let mut forced = ForcedRelease::of(&seen, 3);
        let told = forced.answered(Outcome::Refused(shown.clone()), &names);
        assert_eq!(told, at_first, "{what}");

        let mut forced = ForcedRelease::of(&seen, 3);
        assert!(matches!(
            forced.answered(unknown(), &names),
            Forced::Failed(_)
        ));
        assert!(forced.is_unsettled());
        let told = forced.answered(Outcome::Refused(shown), &names);
        assert_eq!(told, after_unknown, "{what}, after an unknown attempt");
    }
}

#[test]
fn where_there_was_no_fence_it_starts_from_the_clock() {
    let seen = holder(Some("dyno"), None);
    let names = AttributeNames::default();
    for (fence, expected) in [
        (4, Forced::Broken),
        (3, Forced::Changed),
        (1, Forced::Changed),
    ] {
        let mut forced = ForcedRelease::of(&seen, 3);
        forced.answered(unknown(), &names);
        let shown = Outcome::Refused(Some(item(None, None, Some(fence))));
        assert_eq!(forced.answered(shown, &names), expected, "{fence}");
    }
}

#[test]
fn what_surely_was_not_applied_leaves_nothing_open() {
    let seen = holder(Some("v1"), Some(7));
    let names = AttributeNames::default();
    let mut forced = ForcedRelease::of(&seen, 3);
    let throttled = Failure::of(FailureKind::Throttled, "test");
    let told = forced.answered(Outcome::NotApplied(throttled), &names);
    assert!(matches!(told, Forced::Failed(_)) && !forced.is_unsettled());
    let told = forced.answered(Outcome::Refused(Some(item(None, None, Some(8)))), &names);
    assert_eq!(told, Forced::Changed, "somebody else's doing");
    let told = forced.answered(Outcome::Applied(Item::default()), &names);
    assert_eq!(told, Forced::Broken);
}

#[test]
fn a_lock_that_cannot_be_read_is_named() {
    let seen = holder(Some("v1"), Some(7));
    let names = AttributeNames::default();
    let cases = [
        (
            "dynoLockFence",
            AttributeValue::N(Number::from(1_u64 << 63)),
        ),
        ("dynoLockFence", "x".into()),
        ("dynoLockOwner", AttributeValue::Null),
        ("dynoLockLeaseDuration", "x".into()),
    ];
    for (name, value) in cases {
        let mut shown = item(Some("v1"), Some(5000), None);
        shown.insert(name, value);
        let mut forced = ForcedRelease::of(&seen, 3);
        let told = forced.answered(Outcome::Refused(Some(shown)), &names);
        assert!(matches!(told, Forced::Unreadable(bad) if bad.name == name));
    }
}
