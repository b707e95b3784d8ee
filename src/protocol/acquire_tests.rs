use super::*;
use crate::clock::nanos;
use crate::options::{Limit, Options};
use crate::protocol::Backoff;
use crate::wire::{AttributeValue, Number, Operation};

#[path = "acquire_reading_tests.rs"]
mod reading;

const MS: u64 = 1_000_000;

/// `ms` on both clocks; the wall clock starts at a round instant.
fn at(ms: u64) -> Moment {
    both(ms, ms as i64)
}

fn both(mono: u64, wall: i64) -> Moment {
    Moment {
        mono: Monotonic(mono * MS),
        wall: Wall(1_000_000_000_000_000_000 + wall * 1_000_000),
    }
}

fn expires(ms: i64) -> i64 {
    both(0, ms).wall.0
}

/// Lease 500 ms, retry interval 100 ms.
fn terms(skew: Duration) -> Terms {
    let mut options = Options::new("leases".into(), ("id", "a").into());
    options.max_clock_skew = skew;
    options.parse().unwrap()
}

/// A lock in an item, as somebody left it.
fn lock(version: &str, expires: i64, lease: Duration, fence: Option<u64>) -> Item {
    let mut item = Item::default();
    item.insert("id", "a");
    item.insert("state", "new");
    item.insert("dynoLockVersion", version);
    item.insert("dynoLockExpires", expires);
    item.insert("dynoLockLeaseDuration", nanos(lease));
    if let Some(fence) = fence {
        item.insert("dynoLockFence", AttributeValue::N(Number::from(fence)));
    }
    item
}

struct Waiter {
    machine: Acquire,
    terms: Terms,
    doubtful: bool,
    abandoned: Option<&'static str>,
}

impl Waiter {
    fn new(skew: Duration) -> Self {
        let mut machine = Acquire::new("mine".into(), at(0));
        machine.waits = FIRST_WAITS.len();
        Self {
            machine,
            terms: terms(skew),
            doubtful: false,
            abandoned: None,
        }
    }

    /// Sends an attempt; gives its condition and values.
    fn attempt(&mut self, now: Moment) -> String {
        let write = self
            .machine
            .attempt(&self.terms, now, now.wall, self.doubtful);
        String::from_utf8(write.body().unwrap()).unwrap()
    }

    fn answered(&mut self, now: Moment, outcome: Outcome) -> Verdict {
        self.machine.answered(
            outcome,
            Surroundings {
                terms: &self.terms,
                now,
                doubtful: self.doubtful,
                retry: RetryPolicy {
                    backoff: Backoff {
                        base: Duration::from_millis(25),
                        cap: Duration::from_secs(1),
                    },
                    max_attempts: 3,
                },
                budget: &mut RetryBudget::default(),
                jitter: &mut Jitter::new(1),
                is_abandoned: &|version| self.abandoned == Some(version),
            },
        )
    }

    fn next_ms(&self) -> u64 {
        self.machine.next_at().0 / MS
    }
}

fn refused(item: Item) -> Outcome {
    Outcome::Refused(Some(item))
}

fn failure(kind: FailureKind) -> Failure {
    Failure::of(kind, "test")
}

fn unknown() -> Outcome {
    Outcome::Unknown(failure(FailureKind::Unavailable))
}

const LEASE: Duration = Duration::from_millis(500);
const NEVER: Duration = Duration::MAX;

/// Whether the attempt takes over the pair that was seen.
fn takes_the_pair(body: &str) -> bool {
    body.contains(" AND #0 = :")
}

#[test]
fn an_applied_attempt_counts_from_its_sending() {
    let mut waiter = Waiter::new(Duration::ZERO);
    waiter.attempt(at(10));
    assert!(waiter.machine.is_unsettled());
    let verdict = waiter.answered(
        at(200),
        Outcome::Applied(lock("mine", expires(510), LEASE, Some(7))),
    );
    let Verdict::Acquired(acquired) = verdict else {
        panic!("{verdict:?}")
    };
    assert!(!acquired.recovered);
    assert_eq!(acquired.lease.fence(), 7);
    assert_eq!(
        acquired.lease.remaining(at(200)),
        Duration::from_millis(310)
    );
    let names: Vec<_> = acquired
        .item
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names, ["id", "state"]);
}

#[test]
fn a_refusal_that_shows_our_version_counts_from_the_attempt_that_it_shows() {
    let mut waiter = Waiter::new(Duration::ZERO);
    waiter.attempt(at(0));
    assert!(matches!(
        waiter.answered(at(100), unknown()),
        Verdict::Again
    ));
    waiter.attempt(at(130));
    let verdict = waiter.answered(at(140), refused(lock("mine", expires(500), LEASE, Some(7))));
    let Verdict::Acquired(acquired) = verdict else {
        panic!("{verdict:?}")
    };
    assert!(acquired.recovered);
    assert_eq!(
        acquired.lease.remaining(at(140)),
        Duration::from_millis(360)
    );
}

#[test]
fn rule_1_wakes_the_waiter_when_the_expiry_is_past_by_the_skew() {
    let mut waiter = Waiter::new(Duration::from_millis(20));
    waiter.attempt(at(0));
    let other = refused(lock("other", expires(50), Duration::from_secs(60), None));
    assert!(matches!(waiter.answered(at(10), other), Verdict::Held));
    assert_eq!(waiter.next_ms(), 70);
    let body = waiter.attempt(at(71));
    assert!(
        body.contains(" OR #0 < :4") && body.contains(&expires(51).to_string()),
        "{body}"
    );
    assert!(!takes_the_pair(&body));
}

#[test]
fn what_is_held_briefly_is_tried_for_soon() {
    let mut waiter = Waiter::new(NEVER);
    waiter.machine = Acquire::new("mine".into(), at(0));
    let other = || {
        let long = Duration::from_secs(3600);
        refused(lock("other", expires(3_600_000), long, None))
    };
    let mut now = 1000;
    for wait in [10, 20, 50, 80, 80, 90, 120, 120, 120, 100, 100] {
        waiter.attempt(at(now));
        assert!(matches!(waiter.answered(at(now), other()), Verdict::Held));
        let next = waiter.next_ms();
        let around = wait * 4 / 5..=wait * 6 / 5;
        assert!(around.contains(&(next - now)), "{wait}: {}", next - now);
        now = next;
    }
    // So many tries more than by the interval alone.
    let more = FIRST_WAITS.len() as f64 - f64::from(FIRST_WAITS.iter().sum::<u32>()) / 100.0;
    assert!((2.0..=2.5).contains(&more), "{more}");
}

#[test]
fn rule_2_takes_over_what_stood_unchanged_for_its_lease_and_one_percent() {
    let mut waiter = Waiter::new(NEVER);
    let other = || refused(lock("other", expires(1_000_000), LEASE, None));
    waiter.attempt(at(0));
    assert!(matches!(waiter.answered(at(40), other()), Verdict::Held));
    // Since 40 ms, when the answer arrived, not since 0: dead at 545 ms.
    assert!(!takes_the_pair(&waiter.attempt(at(500))));
    assert!(matches!(waiter.answered(at(510), other()), Verdict::Held));
    assert_eq!(waiter.next_ms(), 545);
    assert!(!takes_the_pair(&waiter.attempt(at(544))));
    assert!(matches!(waiter.answered(at(544), other()), Verdict::Held));
    let body = waiter.attempt(at(545));
    assert!(
        takes_the_pair(&body) && body.contains("\"other\""),
        "{body}"
    );
    assert!(!body.contains(" OR #0 < "), "rule 1 is off: {body}");
}

#[test]
fn a_renewal_starts_rule_2_anew() {
    let mut waiter = Waiter::new(NEVER);
    waiter.attempt(at(0));
    waiter.answered(at(0), refused(lock("other", expires(500), LEASE, None)));
    waiter.attempt(at(400));
    waiter.answered(at(400), refused(lock("other", expires(900), LEASE, None)));
    assert!(!takes_the_pair(&waiter.attempt(at(904))));
    assert!(takes_the_pair(&waiter.attempt(at(905))));
}

#[test]
fn an_absurd_lease_switches_rule_2_off() {
    for lease in ["0", "-1", "99999999999999999999999999999999999999"] {
        let mut waiter = Waiter::new(NEVER);
        let mut item = lock("other", expires(500), LEASE, None);
        item.insert("dynoLockLeaseDuration", lease.parse::<Number>().unwrap());
        waiter.attempt(at(0));
        assert!(matches!(
            waiter.answered(at(0), refused(item)),
            Verdict::Held
        ));
        assert!(
            !takes_the_pair(&waiter.attempt(at(u32::MAX.into()))),
            "{lease}"
        );
    }
}

#[test]
fn a_doubtful_clock_switches_rule_1_off() {
    let mut waiter = Waiter::new(Duration::ZERO);
    waiter.doubtful = true;
    let body = waiter.attempt(at(0));
    assert!(!body.contains(" OR #0 < "), "{body}");
    waiter.answered(at(0), refused(lock("other", expires(-5000), LEASE, None)));
    assert!(
        (80..=120).contains(&waiter.next_ms()),
        "it waits for rule 2"
    );
}

#[test]
fn what_is_dead_already_is_tried_at_once_but_only_once() {
    let mut waiter = Waiter::new(Duration::ZERO);
    let dead = || refused(lock("other", expires(-1), LEASE, None));
    waiter.attempt(at(0));
    assert!(matches!(waiter.answered(at(5), dead()), Verdict::Free));
    assert_eq!(waiter.next_ms(), 5);
    waiter.attempt(at(5));
    assert!(matches!(waiter.answered(at(6), dead()), Verdict::Held));
    assert!(waiter.next_ms() >= 86);
}

#[test]
fn a_version_that_was_given_up_is_taken_over_at_once() {
    let mut waiter = Waiter::new(NEVER);
    waiter.abandoned = Some("other");
    waiter.attempt(at(0));
    let verdict = waiter.answered(at(5), refused(lock("other", expires(9000), LEASE, None)));
    assert!(matches!(verdict, Verdict::Free));
    assert!(takes_the_pair(&waiter.attempt(at(5))));
}

#[test]
fn our_version_with_an_expiry_that_we_never_sent_is_no_lock_of_ours() {
    let mut waiter = Waiter::new(NEVER);
    waiter.attempt(at(0));
    let verdict = waiter.answered(at(5), refused(lock("mine", expires(77), LEASE, Some(7))));
    assert!(matches!(verdict, Verdict::Free));
    assert!(takes_the_pair(&waiter.attempt(at(5))));
}

#[test]
fn throttling_doubles_the_interval_and_a_refusal_resets_it() {
    let mut waiter = Waiter::new(NEVER);
    let other = || refused(lock("other", expires(500), Duration::from_secs(60), None));
    for (answered, around) in [(0, 200), (1000, 400), (2000, 800)] {
        waiter.attempt(at(answered));
        let throttled = Outcome::NotApplied(failure(FailureKind::Throttled));
        assert!(matches!(
            waiter.answered(at(answered), throttled),
            Verdict::Again
        ));
        let pause = waiter.next_ms() - answered;
        assert!(
            (around * 4 / 5..=around * 6 / 5).contains(&pause),
            "{pause}"
        );
    }
    waiter.attempt(at(3000));
    waiter.answered(at(3000), other());
    assert!((3080..=3120).contains(&waiter.next_ms()));
}

#[test]
fn a_lock_that_cannot_be_read_is_an_error_that_names_it() {
    let cases: [(&str, AttributeValue); 4] = [
        ("dynoLockExpires", AttributeValue::S("soon".into())),
        ("dynoLockVersion", AttributeValue::Null),
        (
            "dynoLockFence",
            AttributeValue::N(Number::from(1_u64 << 63)),
        ),
        ("dynoLockFence", AttributeValue::N(Number::from(-1))),
    ];
    for (name, value) in cases {
        let mut waiter = Waiter::new(NEVER);
        let mut item = lock("other", expires(500), LEASE, Some(1));
        item.insert(name, value);
        waiter.attempt(at(0));
        let Verdict::Failed(error) = waiter.answered(at(0), refused(item)) else {
            panic!("{name}")
        };
        assert!(
            error.is_bad_attribute() && error.to_string().contains(name),
            "{error}"
        );
    }
}

#[test]
fn a_refusal_without_an_item_is_an_item_that_does_not_exist() {
    let mut waiter = Waiter::new(NEVER);
    waiter.terms.existing_only = true;
    waiter.attempt(at(0));
    let Verdict::Failed(error) = waiter.answered(at(0), Outcome::Refused(None)) else {
        panic!()
    };
    assert!(error.is_item_not_found());
}

#[test]
fn only_what_may_have_been_applied_must_be_cleaned_up() {
    let names = AttributeNames::default();
    let mut waiter = Waiter::new(NEVER);
    let other = lock("other", expires(500), LEASE, None);
    waiter.attempt(at(0));
    assert!(waiter.machine.may_have_locked(&unknown(), &names));
    assert!(
        !waiter
            .machine
            .may_have_locked(&refused(other.clone()), &names)
    );
    waiter.answered(at(0), refused(other.clone()));
    assert!(!waiter.machine.is_unsettled());
    waiter.attempt(at(100));
    waiter.answered(at(110), unknown());
    waiter.attempt(at(200));
    waiter.answered(at(210), refused(other.clone()));
    assert!(waiter.machine.is_unsettled(), "the second may yet arrive");
    waiter.attempt(at(300));
    assert!(waiter.machine.may_have_locked(&refused(other), &names));
}

fn resuming() -> Waiter {
    let text = format!("dynolock1.theirs.7.{}_{}", expires(400), expires(900));
    let token: LeaseToken = text.parse().unwrap();
    Waiter {
        machine: Acquire::resuming("mine".into(), Box::new(token), at(0)),
        ..Waiter::new(NEVER)
    }
}

#[test]
fn a_lease_is_gone_on_with_under_another_version_and_the_same_fence() {
    let mut waiter = resuming();
    let body: serde_json::Value = serde_json::from_str(&waiter.attempt(at(10))).unwrap();
    assert_eq!(
        body["ConditionExpression"],
        "#0 = :0 AND #1 = :1 AND #2 IN (:2, :3)"
    );
    assert_eq!(
        body["UpdateExpression"],
        "SET #2 = :4, #3 = :5, #0 = :6 REMOVE #4"
    );
    let values = &body["ExpressionAttributeValues"];
    assert_eq!([&values[":0"]["S"], &values[":6"]["S"]], ["theirs", "mine"]);
    assert_eq!(values[":1"]["N"], "7");
    // Later than any that may stand.
    assert_eq!(values[":4"]["N"], (expires(900) + 1).to_string());
    assert_eq!(body["ReturnValues"], "ALL_NEW");
    let shown = lock("mine", expires(900) + 1, LEASE, Some(7));
    let verdict = waiter.answered(at(20), Outcome::Applied(shown));
    let Verdict::Acquired(acquired) = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(acquired.lease.fence(), 7);
    assert_eq!(
        acquired.lease.remaining(at(20)),
        Duration::from_millis(490),
        "from the sending"
    );
}

#[test]
fn a_resumption_is_known_by_its_version() {
    let mut waiter = resuming();
    waiter.attempt(at(10));
    assert!(matches!(waiter.answered(at(20), unknown()), Verdict::Again));
    waiter.attempt(at(30));
    let shown = lock("mine", expires(900) + 1, LEASE, Some(7));
    let verdict = waiter.answered(at(40), refused(shown));
    assert!(matches!(verdict, Verdict::Acquired(acquired) if acquired.recovered));
}

#[test]
fn what_another_has_cannot_be_resumed() {
    let cases = [
        Some(lock("another", expires(5000), LEASE, Some(7))),
        Some(lock("another", expires(100), LEASE, Some(8))),
        Some(Item::from_iter([("id", "a")])),
        None,
    ];
    for item in cases {
        let mut waiter = resuming();
        waiter.attempt(at(10));
        let verdict = waiter.answered(at(20), Outcome::Refused(item));
        assert!(
            matches!(&verdict, Verdict::Failed(error) if error.is_lost()),
            "{verdict:?}"
        );
        assert!(!waiter.machine.is_unsettled());
    }
}

#[test]
fn a_lease_ends_at_the_limit_whichever_attempt_acquired_it() {
    let mut waiter = Waiter::new(Duration::ZERO);
    waiter.terms.limit = Limit(Some(at(1000).wall));
    // When it is sent; `expires` and the length as written.
    let attempts = [(0, 500, 500), (600, 1000, 400), (700, 1000, 300)];
    let mut sent = Vec::new();
    for (now, sets, states) in attempts {
        let body = waiter.attempt(at(now));
        let sets = match sent.last() {
            // No two attempts write the same.
            Some(last) if *last >= expires(sets) => last + 1,
            _ => expires(sets),
        };
        assert!(body.contains(&format!(r#"{{"N":"{sets}"}}"#)), "{body}");
        assert!(
            body.contains(&format!(r#"{{"N":"{states}000000"}}"#)),
            "{body}"
        );
        sent.push(sets);
        let answered = waiter.answered(at(now + 10), unknown());
        assert!(matches!(answered, Verdict::Again), "{answered:?}");
    }
    for (nth, expected_end, can_last_longer) in [(0, 500, true), (1, 1000, false), (2, 1000, false)]
    {
        let item = lock("mine", sent[nth], LEASE, Some(1));
        let verdict = waiter.answered(at(720), refused(item));
        let Verdict::Acquired(acquired) = verdict else {
            panic!("attempt {nth}: {verdict:?}");
        };
        let lease = acquired.lease;
        assert_eq!(lease.deadline().wall.0, expires(expected_end), "{nth}");
        assert_eq!(lease.can_last_longer(), can_last_longer, "{nth}");
        assert_eq!(lease.duration(), LEASE, "{nth}: what renewals ask for");
    }
}
