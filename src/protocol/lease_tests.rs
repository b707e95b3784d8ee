use super::*;
use crate::clock::{Monotonic, Wall};
use crate::options::{Limit, Options};
use crate::wire::{AttributeValue, Number, Operation};

const LEASE: Duration = Duration::from_millis(500);

/// `ms` on both clocks; the wall clock starts at a round instant.
pub(in crate::protocol) fn at(ms: u64) -> Moment {
    both(ms, ms as i64)
}

fn both(mono: u64, wall: i64) -> Moment {
    Moment {
        mono: Monotonic(mono * 1_000_000),
        wall: Wall(1_000_000_000_000_000_000 + wall * 1_000_000),
    }
}

pub(in crate::protocol) fn expires(ms: i64) -> i64 {
    both(0, ms).wall.0
}

pub(in crate::protocol) fn terms() -> Terms {
    Options::new("leases".into(), ("id", "a").into())
        .parse()
        .unwrap()
}

/// Acquired at 0 ms, for 500 ms, and handed out.
pub(in crate::protocol) fn held() -> Lease {
    let written = Written::at(at(0), expires(500), LEASE);
    let mut lease = Lease::new("v1".into(), 7, written, expires(500), false);
    lease.hand_out();
    lease
}

pub(in crate::protocol) fn applied() -> Outcome {
    Outcome::Applied(Item::default())
}

pub(in crate::protocol) fn failure(kind: FailureKind) -> Failure {
    Failure::of(kind, "test")
}

pub(in crate::protocol) fn unknown() -> Outcome {
    Outcome::Unknown(failure(FailureKind::Unavailable))
}

pub(in crate::protocol) fn throttled() -> Outcome {
    Outcome::NotApplied(failure(FailureKind::Throttled))
}

/// A refusal that shows this lock.
pub(in crate::protocol) fn shows(
    version: Option<&str>,
    fence: u64,
    expires: Option<i64>,
) -> Outcome {
    let mut item = Item::default();
    item.insert("id", "a");
    item.insert("dynoLockFence", AttributeValue::N(Number::from(fence)));
    if let Some(version) = version {
        item.insert("dynoLockVersion", version);
    }
    if let Some(expires) = expires {
        item.insert("dynoLockExpires", expires);
    }
    Outcome::Refused(Some(item))
}

pub(in crate::protocol) fn renew(
    lease: &mut Lease,
    sent: Moment,
    answered: Moment,
    outcome: Outcome,
) -> Renewed {
    let terms = terms();
    drop(lease.renewal(&terms, sent, sent.wall, lease.duration()));
    lease.renewed(answered, &terms.names, outcome)
}

fn release(lease: &mut Lease, sent: Moment, outcome: Outcome) -> Released {
    let terms = terms();
    drop(lease.release(&terms, sent));
    lease.released(&terms.names, outcome)
}

/// What the next write says may stand, in milliseconds.
pub(in crate::protocol) fn may_stand(lease: &Lease) -> Vec<i64> {
    let all = lease.may_stand();
    all.iter()
        .map(|value| (value - expires(0)) / 1_000_000)
        .collect()
}

#[test]
fn a_lease_counts_from_before_its_renewal_was_sent() {
    let mut lease = held();
    assert!(matches!(
        renew(&mut lease, at(100), at(300), applied()),
        Renewed::Done { .. }
    ));
    assert_eq!(lease.remaining(at(300)), Duration::from_millis(300));
    assert_eq!(may_stand(&lease), [600]);
    assert!(lease.lost(at(599)).is_none());
    assert_eq!(lease.lost(at(600)), Some(&Lost::Expired));
}

#[test]
fn unknown_renewals_may_stand_and_add_nothing() {
    let mut lease = held();
    assert!(matches!(
        renew(&mut lease, at(100), at(200), unknown()),
        Renewed::Failed(_)
    ));
    assert!(matches!(
        renew(&mut lease, at(210), at(220), throttled()),
        Renewed::Failed(_)
    ));
    assert_eq!(may_stand(&lease), [500, 600, 710]);
    assert_eq!(lease.remaining(at(220)), Duration::from_millis(280));
    assert!(matches!(
        renew(&mut lease, at(230), at(240), applied()),
        Renewed::Done { .. }
    ));
    assert_eq!(may_stand(&lease), [730]);
}

#[test]
fn a_refusal_that_shows_our_own_write_is_a_renewal() {
    let mut lease = held();
    let shown = shows(Some("v1"), 7, Some(expires(600)));
    let renewed = renew(&mut lease, at(100), at(150), shown);
    assert!(matches!(renewed, Renewed::Done { recovered: true }));
    assert_eq!(lease.remaining(at(150)), Duration::from_millis(450));
}

#[test]
fn a_refusal_that_shows_an_older_write_of_ours_counts_from_that_one() {
    let mut lease = held();
    assert!(matches!(
        renew(&mut lease, at(100), at(200), unknown()),
        Renewed::Failed(_)
    ));
    let shown = shows(Some("v1"), 7, Some(expires(600)));
    assert!(matches!(
        renew(&mut lease, at(300), at(310), shown),
        Renewed::Done { .. }
    ));
    assert_eq!(lease.remaining(at(310)), Duration::from_millis(290));
    assert_eq!(
        may_stand(&lease),
        [600, 800],
        "the last one may still be applied"
    );
}

#[test]
fn losses_have_their_reasons() {
    let another = |lost: &Lost| {
        lost.taken_over_by()
            .and_then(|by| by.version().map(str::to_owned))
    };
    let cases = [
        (
            shows(Some("v2"), 8, Some(expires(900))),
            "taken over by (version v2)",
        ),
        (shows(Some("v2"), 8, Some(0)), "taken over by (version v2)"),
        (shows(None, 8, None), "the lock was removed from the item"),
        (
            shows(Some("v1"), 8, Some(expires(500))),
            "the lock was removed from the item",
        ),
        (
            shows(Some("v1"), 7, Some(expires(1))),
            "the lock was removed from the item",
        ),
        (Outcome::Refused(None), "the item was deleted"),
        (
            Outcome::NotApplied(failure(FailureKind::TableNotFound)),
            "the table is gone",
        ),
        (
            Outcome::NotApplied(failure(FailureKind::AccessDenied)),
            "writing to the table is no longer permitted",
        ),
    ];
    for (outcome, reason) in cases {
        let mut lease = held();
        let Renewed::Lost(lost) = renew(&mut lease, at(100), at(110), outcome) else {
            panic!("{reason} is no loss");
        };
        assert_eq!(lost.to_string(), reason);
        assert_eq!(another(&lost).is_some(), reason.starts_with("taken over"));
        assert_eq!(lease.lost(at(9999)), Some(&lost), "the first reason stays");
        assert_eq!(lease.remaining(at(110)), Duration::ZERO);
    }
}

#[test]
fn an_answer_after_the_deadline_revives_nothing() {
    let mut lease = held();
    let late = renew(&mut lease, at(100), at(500), applied());
    assert!(matches!(late, Renewed::Lost(Lost::Expired)));
    assert!(lease.lost(at(501)).is_some());
}

#[test]
fn either_clock_ends_a_lease_for_good() {
    let mut slept = held();
    assert_eq!(slept.lost(both(10, 3_600_000)), Some(&Lost::Expired));
    assert!(
        slept.lost(both(20, 20)).is_some(),
        "the wall clock coming back changes nothing"
    );
    let mut set_back = held();
    assert!(set_back.lost(both(499, -3_600_000)).is_none());
    assert!(set_back.lost(both(500, -3_600_000)).is_some());
}

#[test]
fn a_lease_that_nobody_has_is_not_lost_by_time() {
    let written = Written::at(at(0), expires(500), LEASE);
    let mut lease = Lease::new("v1".into(), 7, written, expires(500), false);
    assert!(lease.lost(at(800)).is_none());
    assert!(matches!(
        renew(&mut lease, at(800), at(900), applied()),
        Renewed::Done { .. }
    ));
    assert_eq!(lease.remaining(at(900)), Duration::from_millis(400));
}

#[test]
fn expires_never_repeats_and_never_moves_back() {
    let mut lease = held();
    let terms = terms();
    let mut last = lease.latest;
    for sent in [
        both(10, 0),
        both(20, -3_600_000),
        both(20, -3_600_000),
        both(30, 1),
    ] {
        drop(lease.renewal(&terms, sent, sent.wall, LEASE));
        assert!(lease.latest > last);
        last = lease.latest;
    }
}

#[test]
fn a_write_that_may_shorten_the_lease_counts_at_once() {
    let mut lease = held();
    let terms = terms();
    drop(lease.renewal(&terms, at(100), at(100).wall, Duration::from_millis(50)));
    assert_eq!(lease.remaining(at(100)), Duration::from_millis(50));
    assert!(matches!(
        lease.renewed(at(120), &terms.names, unknown()),
        Renewed::Failed(_)
    ));
    assert_eq!(lease.remaining(at(120)), Duration::from_millis(30));
}

#[test]
fn endless_failures_stay_within_what_a_condition_can_name() {
    let mut lease = held();
    for _ in 0..500 {
        assert!(matches!(
            renew(&mut lease, at(100), at(101), unknown()),
            Renewed::Failed(_)
        ));
    }
    assert!(lease.may_stand().len() <= 100);
    assert!(matches!(
        renew(&mut lease, at(110), at(111), applied()),
        Renewed::Done { .. }
    ));
    assert_eq!(lease.may_stand().len(), 1);
}

#[test]
fn a_release_is_done_when_applied_or_shown_to_be() {
    assert!(matches!(
        release(&mut held(), at(10), applied()),
        Released::Done { recovered: false }
    ));
    let shown = shows(None, 7, None);
    assert!(matches!(
        release(&mut held(), at(10), shown),
        Released::Done { recovered: true }
    ));
}

#[test]
fn a_release_whose_answer_was_lost_is_done_even_where_another_has_come() {
    let mut lease = held();
    assert!(matches!(
        release(&mut lease, at(10), unknown()),
        Released::Failed(_)
    ));
    let shown = shows(Some("v2"), 8, Some(expires(900)));
    assert!(matches!(
        release(&mut lease, at(20), shown),
        Released::Done { recovered: true }
    ));
}

#[test]
fn a_release_that_was_surely_not_applied_does_not_vouch_for_a_later_refusal() {
    let mut lease = held();
    assert!(matches!(
        release(&mut lease, at(10), throttled()),
        Released::Failed(_)
    ));
    let shown = shows(Some("v2"), 8, Some(expires(900)));
    assert!(matches!(
        release(&mut lease, at(20), shown),
        Released::Lost(Lost::TakenOver(_))
    ));
}

#[test]
fn a_release_sent_too_late_is_a_loss() {
    assert!(matches!(
        release(&mut held(), at(500), applied()),
        Released::Lost(Lost::Expired)
    ));
    let mut lease = held();
    assert!(matches!(
        release(&mut lease, at(500), unknown()),
        Released::Failed(_)
    ));
    let shown = shows(None, 7, None);
    assert!(matches!(
        release(&mut lease, at(510), shown),
        Released::Lost(_)
    ));
    assert!(matches!(
        release(&mut held(), at(10), Outcome::Refused(None)),
        Released::Lost(Lost::ItemGone)
    ));
}

#[test]
fn only_an_item_of_nothing_but_its_key_is_deleted() {
    let mut options = Options::new("leases".into(), ("id", "a").into());
    options.delete_on_release = true;
    let terms = options.parse().unwrap();
    for (deletable, target) in [
        (true, "DynamoDB_20120810.DeleteItem"),
        (false, "DynamoDB_20120810.UpdateItem"),
    ] {
        let written = Written::at(at(0), expires(500), LEASE);
        let mut lease = Lease::new("v1".into(), 7, written, expires(500), deletable);
        assert_eq!(lease.release(&terms, at(1)).target(), target);
    }
}

/// Acquired at 0 ms for 500 ms, with nothing after 800 ms.
fn limited() -> Lease {
    held().within(Limit(Some(at(800).wall)))
}

/// The `expires` and the length that a write sets, in milliseconds.
fn written(write: &Write<'_>) -> (i64, u64) {
    let body: serde_json::Value = serde_json::from_slice(&write.body().unwrap()).unwrap();
    let update = body["UpdateExpression"].as_str().unwrap();
    let number = |name: &str| -> i64 {
        let names = body["ExpressionAttributeNames"].as_object().unwrap();
        let (name, _) = names.iter().find(|(_, value)| *value == name).unwrap();
        let (_, rest) = update.split_once(&format!("{name} = ")).unwrap();
        let value = rest.split([',', ' ']).next().unwrap();
        let digits = body["ExpressionAttributeValues"][value]["N"].as_str();
        digits.unwrap().parse().unwrap()
    };
    let after_start = number("dynoLockExpires") - expires(0);
    let length = u64::try_from(number("dynoLockLeaseDuration")).unwrap();
    (after_start / 1_000_000, length / 1_000_000)
}

#[test]
fn no_write_lets_a_lease_last_beyond_the_limit() {
    let (mut lease, terms) = (limited(), terms());
    // When it is sent, for how long; `expires` and length as written, when it ends.
    let cases = [
        (100, 500, (600, 500), 600),
        (200, 10_000, (800, 600), 800),
        (400, 500, (800, 400), 800),
        (700, 500, (800, 100), 800),
        (799, 1_000_000, (800, 1), 800),
    ];
    for (sent, wanted, (sets, states), ends) in cases {
        let duration = Duration::from_millis(wanted);
        let write = lease.renewal(&terms, at(sent), at(sent).wall, duration);
        assert_eq!(written(&write), (sets, states), "sent at {sent}");
        let answered = at(sent);
        let renewed = lease.renewed(answered, &terms.names, applied());
        assert!(matches!(renewed, Renewed::Done { .. }), "sent at {sent}");
        assert_eq!(lease.deadline().wall, at(ends).wall, "sent at {sent}");
        assert_eq!(lease.duration(), duration, "what was wanted stays wanted");
        assert_eq!(lease.length(), Duration::from_millis(states));
    }
    assert!(lease.lost(at(799)).is_none());
    assert_eq!(lease.lost(at(800)), Some(&Lost::Expired));
}

/// Each write has an `expires` of its own all the same.
#[test]
fn writes_at_the_limit_are_told_apart() {
    let mut lease = limited();
    renew(&mut lease, at(350), at(360), applied());
    for sent in [400, 500, 600] {
        renew(&mut lease, at(sent), at(sent + 10), unknown());
    }
    let limit = expires(800);
    assert_eq!(lease.may_stand(), [limit, limit + 1, limit + 2, limit + 3]);
    let shown = shows(Some("v1"), 7, Some(limit + 1));
    let renewed = renew(&mut lease, at(700), at(710), shown);
    assert!(matches!(renewed, Renewed::Done { recovered: true }));
    assert_eq!(lease.lost(at(800)), Some(&Lost::Expired));
}

#[test]
fn a_renewal_is_of_use_until_the_end_is_the_limit_whichever_write_stands() {
    let mut lease = limited();
    assert!(lease.can_last_longer(), "500 ms, of 800");
    renew(&mut lease, at(400), at(410), unknown());
    assert!(lease.can_last_longer(), "it is not known to stand");
    renew(&mut lease, at(450), at(460), applied());
    assert!(!lease.can_last_longer());
    renew(&mut lease, at(500), at(510), unknown());
    assert!(!lease.can_last_longer(), "either ends there");
    // Made shorter by hand, with an outcome that is open.
    let (terms, short) = (terms(), Duration::from_millis(100));
    drop(lease.renewal(&terms, at(520), at(520).wall, short));
    assert!(lease.can_last_longer());
    assert_eq!(lease.remaining(at(520)), short);
    assert!(held().can_last_longer(), "without a limit always");
}

/// A write that is begun past the limit, as after a jump of the clock, does not reach beyond it.
#[test]
fn a_clock_that_jumps_past_the_limit_leaves_nothing() {
    let (mut lease, terms) = (limited(), terms());
    let late = both(100, 5_000);
    drop(lease.renewal(&terms, late, late.wall, LEASE));
    assert!(lease.remaining(late).is_zero());
    assert_eq!(lease.lost(late), Some(&Lost::Expired));
}
