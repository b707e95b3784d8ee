use super::*;
use crate::protocol::Renewed;
use crate::protocol::lease::tests::{
    applied, at, expires, failure, held, may_stand, renew, shows, terms, throttled, unknown,
};
use crate::update::{Subject, Update};
use crate::wire::Operation;

fn changes(update: Update) -> Changes {
    let terms = terms();
    let subject = Subject {
        key: &terms.key,
        names: &terms.names,
    };
    update.parse(&subject).unwrap()
}

fn body(write: &Write<'_>) -> serde_json::Value {
    serde_json::from_slice(&write.body().unwrap()).unwrap()
}

/// The values of `expires`, in milliseconds, on whose condition a write is.
fn condition(write: &Write<'_>) -> Vec<i64> {
    let body = body(write);
    let condition = body["ConditionExpression"].as_str().unwrap();
    let list = condition.split(" IN (").nth(1).unwrap();
    let list = list.split(')').next().unwrap();
    let value = |name: &str| body["ExpressionAttributeValues"][name]["N"].as_str();
    let nanos = list
        .split(", ")
        .map(|name| value(name).unwrap().parse::<i64>().unwrap());
    nanos
        .map(|nanos| (nanos - expires(0)) / 1_000_000)
        .collect()
}

/// One attempt, sent at `ms` and answered 10 ms later.
fn update(lease: &mut Lease, change: &mut Change, ms: u64, outcome: Outcome) -> Changed {
    let (terms, changes) = (terms(), changes(Update::new().add("n", 1)));
    let sent = at(ms);
    drop(lease.update(change, &changes, Returns::Nothing, &terms, sent, sent.wall));
    lease.updated(change, at(ms + 10), &terms.names, outcome)
}

fn fence_off(lease: &mut Lease, change: &mut Change, ms: u64, outcome: Outcome) -> Fenced {
    let (terms, sent) = (terms(), at(ms));
    drop(lease.fence_off(change, &terms, sent, sent.wall));
    lease.fenced_off(change, at(ms + 10), &terms.names, outcome)
}

fn commit(lease: &mut Lease, change: &mut Change, outcome: Outcome) -> Changed {
    let (terms, changes) = (terms(), changes(Update::new().add("n", 1)));
    drop(lease.commit(change, &changes, &terms));
    lease.committed(change, &terms.names, outcome)
}

fn ours(ms: i64) -> Outcome {
    shows(Some("v1"), 7, Some(expires(ms)))
}

#[test]
fn an_update_renews_the_lease_from_before_it_was_sent() {
    let mut lease = held();
    let mut change = lease.change();
    let done = update(&mut lease, &mut change, 100, applied());
    assert!(matches!(
        done,
        Changed::Done {
            recovered: false,
            ..
        }
    ));
    assert_eq!(may_stand(&lease), [600]);
    assert_eq!(lease.remaining(at(110)).as_millis(), 490);
}

#[test]
fn every_attempt_keeps_the_others_out() {
    let (terms, changes) = (terms(), changes(Update::new().add("n", 1)));
    let mut lease = held();
    // A renewal whose outcome is open may stand before the update.
    renew(&mut lease, at(50), at(60), unknown());
    let mut change = lease.change();
    let mut conditions = Vec::new();
    for ms in [100, 110, 120] {
        let sent = at(ms);
        let returns = Returns::Nothing;
        let write = lease.update(&mut change, &changes, returns, &terms, sent, sent.wall);
        conditions.push(condition(&write));
        drop(write);
        lease.updated(&mut change, sent, &terms.names, unknown());
    }
    assert_eq!(conditions, vec![vec![500, 550]; 3]);
    assert_eq!(may_stand(&lease), [500, 550, 600, 610, 620]);
    assert!(change.is_unsettled());
}

#[test]
fn a_refusal_that_shows_an_attempt_shows_that_it_was_applied() {
    let mut lease = held();
    let mut change = lease.change();
    update(&mut lease, &mut change, 100, unknown());
    let done = update(&mut lease, &mut change, 200, ours(600));
    let Changed::Done { recovered, item } = done else {
        panic!("{done:?}")
    };
    assert!(recovered);
    assert_eq!(item, Item::from_iter([("id", "a")]), "without the lock");
    assert_eq!(lease.remaining(at(210)).as_millis(), 390);
}

#[test]
fn a_refusal_of_what_stood_before_is_the_users_condition() {
    let mut lease = held();
    let mut change = lease.change();
    let refused = update(&mut lease, &mut change, 100, ours(500));
    assert!(matches!(refused, Changed::ConditionFailed(_)));
    assert!(!change.is_unsettled());
    assert!(lease.lost(at(120)).is_none());
    // A second copy of it may yet come where the item has changed by then.
    assert_eq!(may_stand(&lease), [500, 600]);
}

#[test]
fn passing_failures_leave_it_unsettled_only_where_it_may_have_been_applied() {
    let mut lease = held();
    let mut change = lease.change();
    let failed = update(&mut lease, &mut change, 100, throttled());
    assert!(matches!(failed, Changed::Failed(_)));
    assert!(!change.is_unsettled());
    update(&mut lease, &mut change, 110, unknown());
    assert!(change.is_unsettled());
}

#[test]
fn another_holder_means_lost() {
    let mut lease = held();
    let mut change = lease.change();
    let other = shows(Some("v2"), 8, Some(expires(900)));
    let lost = update(&mut lease, &mut change, 100, other);
    assert!(
        matches!(&lost, Changed::Lost(Lost::TakenOver(holder)) if holder.version() == Some("v2")),
        "{lost:?}"
    );
    assert!(
        change.is_unsettled(),
        "this may have been its second copy, and the first one came before the other"
    );
    let mut lease = held();
    let forbidden = Outcome::NotApplied(failure(FailureKind::AccessDenied));
    let mut change = lease.change();
    let failed = update(&mut lease, &mut change, 100, forbidden);
    assert!(
        matches!(failed, Changed::Failed(_)),
        "an attribute of the user's"
    );
    assert!(lease.lost(at(110)).is_none());
}

#[test]
fn an_answer_after_the_deadline_is_a_write_and_no_renewal() {
    let (terms, changes) = (terms(), changes(Update::new().add("n", 1)));
    let mut lease = held();
    let mut change = lease.change();
    let sent = at(450);
    drop(lease.update(
        &mut change,
        &changes,
        Returns::Nothing,
        &terms,
        sent,
        sent.wall,
    ));
    let done = lease.updated(&mut change, at(500), &terms.names, applied());
    assert!(matches!(done, Changed::Done { .. }));
    assert_eq!(lease.lost(at(500)), Some(&Lost::Expired));
}

#[test]
fn a_fence_is_refused_where_an_attempt_was_applied() {
    let (terms, mut lease) = (terms(), held());
    let mut change = lease.change();
    update(&mut lease, &mut change, 100, unknown());
    let write = lease.fence_off(&mut change, &terms, at(200), at(200).wall);
    assert_eq!(condition(&write), [500]);
    drop(write);
    let fenced = lease.fenced_off(&mut change, at(210), &terms.names, ours(600));
    assert!(matches!(fenced, Fenced::Applied(_)));
    assert_eq!(lease.remaining(at(210)).as_millis(), 390);
}

#[test]
fn a_fence_keeps_late_attempts_out() {
    let (terms, mut lease) = (terms(), held());
    let mut change = lease.change();
    update(&mut lease, &mut change, 100, unknown());
    let fenced = fence_off(&mut lease, &mut change, 200, unknown());
    assert!(matches!(fenced, Fenced::Failed(_)));
    // The earlier fence may stand; the attempt still may not.
    let write = lease.fence_off(&mut change, &terms, at(220), at(220).wall);
    assert_eq!(condition(&write), [500, 700]);
    drop(write);
    let fenced = lease.fenced_off(&mut change, at(230), &terms.names, applied());
    assert!(matches!(fenced, Fenced::Done));
    assert!(!change.is_unsettled());
    assert_eq!(may_stand(&lease), [720]);
}

#[test]
fn many_attempts_stay_within_what_a_condition_can_name() {
    let mut lease = held();
    for ms in 0..200 {
        renew(&mut lease, at(ms), at(ms), unknown());
    }
    assert!(lease.is_crowded());
    let mut change = lease.change();
    for ms in 200..300 {
        update(&mut lease, &mut change, ms, unknown());
    }
    for ms in 300..400 {
        fence_off(&mut lease, &mut change, ms, unknown());
    }
    assert!(may_stand(&lease).len() <= 100);
    assert!(matches!(
        renew(&mut lease, at(400), at(401), applied()),
        Renewed::Done { .. }
    ));
    assert!(!lease.is_crowded());
}

#[test]
fn an_updated_item_is_not_deleted_on_release() {
    let written = Written::at(at(0), expires(500), std::time::Duration::from_millis(500));
    let mut lease = Lease::new("v1".into(), 7, written, expires(500), true);
    let mut options = crate::options::Options::new("leases".into(), ("id", "a").into());
    options.delete_on_release = true;
    let terms = options.parse().unwrap();
    assert!(
        lease
            .release(&terms, at(10))
            .target()
            .ends_with("DeleteItem")
    );
    let mut change = lease.change();
    update(&mut lease, &mut change, 20, unknown());
    assert!(
        lease
            .release(&terms, at(40))
            .target()
            .ends_with("UpdateItem")
    );
}

#[test]
fn a_commit_is_known_by_its_release() {
    let freed = || shows(None, 7, None);
    let cases = [
        (applied(), "done", false),
        (freed(), "recovered", false),
        (ours(500), "condition", false),
        (shows(Some("v2"), 8, Some(expires(900))), "lost", true),
        (shows(None, 8, None), "lost", true),
        (Outcome::Refused(None), "lost", true),
        (throttled(), "failed", false),
        (unknown(), "failed", true),
    ];
    for (outcome, expected, unsettled) in cases {
        let text = format!("{outcome:?}");
        let mut lease = held();
        let mut change = lease.change();
        let found = match commit(&mut lease, &mut change, outcome) {
            Changed::Done {
                recovered: false, ..
            } => "done",
            Changed::Done {
                recovered: true, ..
            } => "recovered",
            Changed::ConditionFailed(_) => "condition",
            Changed::Lost(_) => "lost",
            Changed::Failed(_) => "failed",
        };
        assert_eq!(
            (found, change.is_unsettled()),
            (expected, unsettled),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_there_is_deleted() {
    let terms = terms();
    let mut lease = held();
    let mut change = lease.change();
    assert!(
        lease
            .delete(&change, &terms)
            .target()
            .ends_with("DeleteItem")
    );
    let gone = lease.deleted(&mut change, &terms.names, Outcome::Refused(None));
    assert!(matches!(
        gone,
        Changed::Done {
            recovered: true,
            ..
        }
    ));
    let freed = lease.deleted(&mut change, &terms.names, shows(None, 7, None));
    assert!(matches!(freed, Changed::Lost(_)), "{freed:?}");
}

#[test]
fn clauses_of_lock_and_user_share_an_expression() {
    let terms = terms();
    let all = changes(
        Update::new()
            .set("state", "done")
            .remove("note")
            .add("n", 1)
            .condition("n < :most OR attribute_not_exists(n)")
            .value(":most", 9),
    );
    let mut lease = held();
    let mut change = lease.change();
    let update = body(&lease.update(
        &mut change,
        &all,
        Returns::AllNew,
        &terms,
        at(0),
        at(0).wall,
    ));
    assert_eq!(update["ReturnValues"], "ALL_NEW");
    let expression = update["UpdateExpression"].as_str().unwrap();
    let clauses: Vec<&str> = ["SET ", " REMOVE ", " ADD "]
        .into_iter()
        .filter(|keyword| expression.contains(keyword))
        .collect();
    assert_eq!(clauses.len(), 3, "{expression}");
    assert_eq!(expression.matches('=').count(), 3, "{expression}");
    let condition = update["ConditionExpression"].as_str().unwrap();
    let (held, users) = condition.split_once(") AND (").unwrap();
    assert!(
        held.contains(" IN (") && users.ends_with(')'),
        "{condition}"
    );

    let change = lease.change();
    let commit = body(&lease.commit(&change, &all, &terms));
    let expression = commit["UpdateExpression"].as_str().unwrap();
    let removed = expression.split(" REMOVE ").nth(1).unwrap();
    let removed = removed.split(" ADD ").next().unwrap();
    assert_eq!(
        removed.split(", ").count(),
        5,
        "four of the lock's and one of the user's"
    );
}

#[test]
fn a_commit_of_nothing_is_a_release() {
    let (terms, nothing) = (terms(), changes(Update::new()));
    let mut lease = held();
    let change = lease.change();
    let commit = body(&lease.commit(&change, &nothing, &terms));
    let release = body(&lease.release(&terms, at(0)));
    assert_eq!(commit, release);
}
