use super::*;
use crate::options::AttributeNames;
use crate::protocol::lease::tests::{applied, at, expires, held, may_stand, shows, terms, unknown};
use crate::protocol::{Lease, Lost};
use crate::update::{Subject, Update};
use crate::wire::{FailureKind, Operation, Outcome, Transaction};

fn lost() -> Changed {
    Changed::Lost(Lost::Removed)
}

fn condition() -> Changed {
    Changed::ConditionFailed(Item::default())
}

fn failed(kind: FailureKind) -> Changed {
    Changed::Failed(Failure::of(kind, "test"))
}

fn done() -> Changed {
    Changed::Done {
        recovered: true,
        item: Item::default(),
    }
}

#[test]
fn one_that_was_applied_shows_that_all_were() {
    for other in [lost(), condition(), failed(FailureKind::Validation)] {
        let both = [
            vec![(0, done()), (1, other)],
            vec![(3, lost()), (4, done())],
        ];
        for blamed in both {
            assert!(matches!(Cancelled::of(blamed), Cancelled::Applied));
        }
    }
}

#[test]
fn what_counts_most_comes_first_and_equals_stay_in_order() {
    let conflict = || failed(FailureKind::Conflict);
    let blamed = vec![
        (0, conflict()),
        (1, failed(FailureKind::Validation)),
        (2, condition()),
        (3, failed(FailureKind::Throttled)),
        (4, lost()),
        (5, condition()),
    ];
    let Cancelled::Blamed(blamed) = Cancelled::of(blamed) else {
        panic!("nothing was applied")
    };
    let order: Vec<_> = blamed.iter().map(|(at, _)| *at).collect();
    assert_eq!(order, [4, 2, 5, 1, 0, 3]);
}

#[test]
fn a_reason_keeps_its_code_and_words() {
    let reason = Reason {
        code: "TransactionConflict".into(),
        message: "ongoing".into(),
        item: None,
    };
    let failure = failure_of(reason);
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert_eq!(failure.to_string(), "TransactionConflict: ongoing");
}

/// The share of a lease in a transaction that was sent at `ms`.
fn share(lease: &mut Lease, ms: u64) -> super::super::Change {
    let terms = terms();
    let mut change = lease.change();
    let write = lease.hold(&mut change, &terms, at(ms), at(ms).wall);
    let body = String::from_utf8(write.body().unwrap()).unwrap();
    assert!(
        body.contains(r##""UpdateExpression":"SET #2 = :"##),
        "{body}"
    );
    assert!(body.contains(r##"#2 IN ("##), "{body}");
    change
}

#[test]
fn a_lease_that_is_only_held_is_renewed_by_it() {
    let mut lease = held();
    let mut change = share(&mut lease, 100);
    assert_eq!(may_stand(&lease), [500, 600], "open from here on");
    assert_eq!(lease.remaining(at(200)).as_millis(), 300);
    let names = AttributeNames::default();
    let told = lease.updated(&mut change, at(300), &names, applied());
    assert!(matches!(
        told,
        Changed::Done {
            recovered: false,
            ..
        }
    ));
    assert_eq!(may_stand(&lease), [600]);
    assert_eq!(
        lease.remaining(at(300)).as_millis(),
        300,
        "from its sending"
    );
}

#[test]
fn a_refusal_tells_the_share_from_what_was_before_and_from_others() {
    let names = AttributeNames::default();
    type Expected = fn(&Changed) -> bool;
    let cases: [(Outcome, Expected); 5] = [
        (shows(Some("v1"), 7, Some(expires(600))), |it| {
            matches!(
                it,
                Changed::Done {
                    recovered: true,
                    ..
                }
            )
        }),
        (shows(Some("v1"), 7, Some(expires(500))), |it| {
            matches!(it, Changed::ConditionFailed(_))
        }),
        (shows(Some("v1"), 8, Some(expires(500))), |it| {
            matches!(it, Changed::Lost(_))
        }),
        (shows(Some("v2"), 8, Some(expires(900))), |it| {
            matches!(it, Changed::Lost(Lost::TakenOver(_)))
        }),
        (Outcome::Refused(None), |it| {
            matches!(it, Changed::Lost(Lost::ItemGone))
        }),
    ];
    for (outcome, expected) in cases {
        let what = format!("{outcome:?}");
        let mut lease = held();
        let mut change = share(&mut lease, 100);
        let told = lease.updated(&mut change, at(200), &names, outcome);
        assert!(expected(&told), "{what}: {told:?}");
    }
}

#[test]
fn applied_after_the_deadline_is_applied_and_revives_nothing() {
    let names = AttributeNames::default();
    for outcome in [applied(), shows(Some("v1"), 7, Some(expires(600)))] {
        let mut lease = held();
        let mut change = share(&mut lease, 100);
        let told = lease.updated(&mut change, at(550), &names, outcome);
        assert!(matches!(told, Changed::Done { .. }), "{told:?}");
        assert_eq!(lease.known_loss(), Some(&Lost::Expired));
        assert!(lease.remaining(at(550)).is_zero());
    }
}

#[test]
fn an_open_share_may_stand_in_the_next_writes() {
    let names = AttributeNames::default();
    let mut lease = held();
    let mut change = share(&mut lease, 100);
    lease.updated(&mut change, at(200), &names, unknown());
    let terms = terms();
    let next = lease.renewal(&terms, at(210), at(210).wall, lease.duration());
    let body = String::from_utf8(next.body().unwrap()).unwrap();
    for expires in [expires(500), expires(600)] {
        assert!(body.contains(&expires.to_string()), "{body}");
    }
}

#[test]
fn entries_of_items_that_are_not_locked_have_these_bytes() {
    let key = Item::from_iter([("id", "x")]);
    let update = || Update::new().set("n", 1).condition("n < :m").value(":m", 9);
    let only = || Update::new().condition("n < :m").value(":m", 9);
    let item = Item::from_iter([("id", "x"), ("m", "y")]);
    let cases = [
        (
            Verb::Put(item.clone()),
            Update::new(),
            r##"{"Put":{"TableName":"t","Item":{"id":{"S":"x"},"m":{"S":"y"}}}}"##,
        ),
        (
            Verb::Delete,
            Update::new(),
            r##"{"Delete":{"TableName":"t","Key":{"id":{"S":"x"}}}}"##,
        ),
        (
            Verb::Check,
            only(),
            concat!(
                r##"{"ConditionCheck":{"TableName":"t","Key":{"id":{"S":"x"}},"ConditionExpression":"(#0<:0)","##,
                r##""ReturnValuesOnConditionCheckFailure":"ALL_OLD","ExpressionAttributeNames":{"#0":"n"},"##,
                r##""ExpressionAttributeValues":{":0":{"N":"9"}}}}"##,
            ),
        ),
        (
            Verb::Update,
            update(),
            concat!(
                r##"{"Update":{"TableName":"t","Key":{"id":{"S":"x"}},"UpdateExpression":"SET #0=:0","##,
                r##""ConditionExpression":"(#0<:1)","ReturnValuesOnConditionCheckFailure":"ALL_OLD","##,
                r##""ExpressionAttributeNames":{"#0":"n"},"ExpressionAttributeValues":{":0":{"N":"1"},":1":{"N":"9"}}}}"##,
            ),
        ),
    ];
    for (verb, update, expected) in cases {
        let names = &AttributeNames::default();
        let changes = update.parse(&Subject { key: &key, names }).unwrap();
        let unlocked = Unlocked {
            table: "t".into(),
            key: key.clone(),
            verb,
            changes,
        };
        let entries = vec![unlocked.entry()];
        let body = Transaction {
            token: "k",
            entries,
        }
        .body()
        .unwrap();
        let body = String::from_utf8(body).unwrap();
        let expected = [
            r#"{"ClientRequestToken":"k","TransactItems":["#,
            expected,
            "]}",
        ]
        .concat();
        assert_eq!(body, expected);
    }
}
