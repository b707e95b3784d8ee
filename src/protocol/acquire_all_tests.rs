use super::*;
use crate::clock::{Monotonic, Wall, nanos};
use crate::options::{Limit, Options};
use crate::protocol::Backoff;
use crate::wire::{AttributeValue, Number, Operation, Reason};

const MS: u64 = 1_000_000;

/// `ms` on both clocks; the wall clock starts at a round instant.
fn at(ms: u64) -> Moment {
    Moment {
        mono: Monotonic(ms * MS),
        wall: Wall(1_000_000_000_000_000_000 + (ms * MS) as i64),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two locks: a lease of 500 ms and one of 1 s, retry intervals of 100 and 200 ms.
fn terms() -> Vec<Arc<Terms>> {
    let lock = |id: &str, change: fn(&mut Options)| {
        let mut options = Options::new("leases".into(), ("id", id).into());
        options.max_clock_skew = Duration::ZERO;
        change(&mut options);
        Arc::new(options.parse().unwrap())
    };
    vec![
        lock("a", |_| {}),
        lock("b", |options| {
            options.lease = ms(1000);
            options.retry_interval = ms(200);
        }),
    ]
}

struct Waiter {
    machine: AcquireAll,
    tries: u32,
    abandoned: Option<&'static str>,
    doubtful: bool,
}

impl Waiter {
    fn new() -> Self {
        Self {
            machine: AcquireAll::new(terms(), at(0)),
            tries: 0,
            abandoned: None,
            doubtful: false,
        }
    }

    /// Sends an attempt, of another try where one is wanted; gives its body.
    fn attempt(&mut self, now: Moment) -> String {
        if self.machine.wants_new_try(now) {
            drop(self.machine.give_up());
            self.tries += 1;
            let nth = self.tries;
            let versions = vec![format!("a{nth}"), format!("b{nth}")];
            self.machine.begin(format!("token{nth}"), versions);
        }
        let doubtful = self.doubtful;
        let transaction = self.machine.attempt(now, now.wall, &|_| doubtful);
        String::from_utf8(transaction.unwrap().body().unwrap()).unwrap()
    }

    fn answered(&mut self, now: Moment, outcome: Outcome<Reasons>) -> AllVerdict {
        let around = AllSurroundings {
            now,
            is_doubtful: &|_| self.doubtful,
            retry: RetryPolicy {
                backoff: Backoff {
                    base: ms(25),
                    cap: ms(1000),
                },
                max_attempts: 3,
            },
            budget: &mut RetryBudget::default(),
            jitter: &mut Jitter::new(1),
            is_abandoned: &|version| self.abandoned == Some(version),
        };
        self.machine.answered(outcome, around)
    }

    fn next_ms(&self) -> u64 {
        self.machine.next_at().0 / MS
    }
}

fn lock(version: &str, expires: Moment, lease: Duration) -> Item {
    let mut item = Item::from_iter([("id", "a"), ("state", "new")]);
    item.insert("dynoLockVersion", version);
    item.insert("dynoLockExpires", expires.wall.0);
    item.insert("dynoLockLeaseDuration", nanos(lease));
    item.insert("dynoLockFence", AttributeValue::N(Number::from(7)));
    item
}

fn condition(item: Item) -> Option<Reason> {
    let code = "ConditionalCheckFailed".into();
    let message = "".into();
    let item = Some(item);
    Some(Reason {
        code,
        message,
        item,
    })
}

fn reason(code: &str) -> Option<Reason> {
    let (code, message, item) = (code.into(), "".into(), None);
    Some(Reason {
        code,
        message,
        item,
    })
}

fn unknown() -> Outcome<Reasons> {
    Outcome::Unknown(Failure::of(FailureKind::Unavailable, "test"))
}

fn applied() -> Outcome<Reasons> {
    Outcome::Applied(Item::default())
}

#[test]
fn an_open_try_is_repeated_as_it_was_until_half_of_a_lease_is_over() {
    let mut waiter = Waiter::new();
    let first = waiter.attempt(at(10));
    assert!(matches!(
        waiter.answered(at(20), unknown()),
        AllVerdict::Again
    ));
    assert!(waiter.machine.is_unsettled());
    for now in [60, 120, 259] {
        assert_eq!(waiter.attempt(at(now)), first, "{now}");
        assert!(matches!(
            waiter.answered(at(now), unknown()),
            AllVerdict::Again
        ));
    }
    assert_eq!(waiter.machine.half_left(at(259)), ms(1));
    let second = waiter.attempt(at(260));
    assert!(
        second.contains(r#""ClientRequestToken":"token2""#),
        "{second}"
    );
    assert!(second.contains(r#"{"S":"a2"}"#) && second.contains(r#"{"S":"b2"}"#));
    assert!(!second.contains(r#"{"S":"a1"}"#));
    assert_eq!(waiter.machine.half_left(at(300)), ms(210));
}

#[test]
fn a_settled_try_is_followed_by_another() {
    let settled: [fn() -> Outcome<Reasons>; 3] = [
        || Outcome::NotApplied(Failure::of(FailureKind::Throttled, "test")),
        || Outcome::Refused(vec![reason("TransactionConflict"), None]),
        || Outcome::Refused(vec![None, condition(lock("other", at(9_000), ms(1000)))]),
    ];
    for outcome in settled {
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        waiter.answered(at(10), outcome());
        assert!(!waiter.machine.is_unsettled());
        assert!(waiter.attempt(at(50)).contains("token2"));
        // What was open before stays open.
        let mut waiter = Waiter::new();
        let first = waiter.attempt(at(0));
        waiter.answered(at(5), unknown());
        waiter.attempt(at(6));
        waiter.answered(at(10), outcome());
        assert!(waiter.machine.is_unsettled());
        assert_eq!(waiter.attempt(at(50)), first);
    }
}

#[test]
fn leases_count_from_the_first_sending() {
    let mut waiter = Waiter::new();
    waiter.attempt(at(10));
    waiter.answered(at(20), unknown());
    waiter.attempt(at(100));
    let verdict = waiter.answered(at(150), applied());
    assert!(matches!(verdict, AllVerdict::Locked { recovered: false }));
    let read = |place, version: &str, ends: u64| {
        let item = lock(version, at(ends), ms(500));
        waiter.machine.confirmed(place, item, false).unwrap()
    };
    let one = read(0, "a1", 510).unwrap();
    assert_eq!(one.lease.remaining(at(150)), ms(360));
    assert_eq!((one.lease.fence(), one.lease.version()), (7, "a1"));
    assert_eq!(one.item, Item::from_iter([("id", "a"), ("state", "new")]));
    let two = read(1, "b1", 1010).unwrap();
    assert_eq!(two.lease.remaining(at(150)), ms(860));
    // What is not as it was written is not ours.
    assert!(read(0, "b1", 510).is_none() && read(0, "a1", 511).is_none());
    assert!(read(0, "a2", 510).is_none() && read(2, "a1", 510).is_none());
    let empty = waiter.machine.confirmed(0, Item::default(), false);
    assert!(empty.unwrap().is_none());
    let mut spoiled = lock("a1", at(510), ms(500));
    spoiled.insert("dynoLockFence", "x");
    let bad = waiter.machine.confirmed(0, spoiled, false).unwrap_err();
    assert_eq!(bad.name, "dynoLockFence");
}

#[test]
fn a_refusal_that_shows_one_lock_of_ours_shows_all() {
    for place in 0..2 {
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        waiter.answered(at(10), unknown());
        waiter.attempt(at(20));
        let (version, ends) = [("a1", at(500)), ("b1", at(1000))][place];
        let mut reasons = vec![None, None];
        reasons[place] = condition(lock(version, ends, ms(500)));
        reasons[1 - place] = reason("TransactionConflict");
        let verdict = waiter.answered(at(30), Outcome::Refused(reasons));
        assert!(
            matches!(verdict, AllVerdict::Locked { recovered: true }),
            "{verdict:?}"
        );
    }
}

#[test]
fn it_wakes_when_the_last_of_the_dying_is_dead() {
    let held = |one: Option<Reason>, two: Option<Reason>| {
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        let verdict = waiter.answered(at(10), Outcome::Refused(vec![one, two]));
        (verdict, waiter.next_ms())
    };
    let dies_at = |at_ms: u64| condition(lock("other", at(at_ms), ms(60_000)));
    // By their expiry, to the nanosecond after it.
    let (verdict, next) = held(dies_at(30), None);
    assert!(matches!(verdict, AllVerdict::Held));
    assert_eq!(next, 30);
    assert_eq!(held(dies_at(30), dies_at(70)).1, 70);
    assert_eq!(held(dies_at(70), dies_at(30)).1, 70);
    // One that lives on: by the longest interval, a fifth more or less.
    let (verdict, next) = held(dies_at(30), dies_at(60_000));
    assert!(matches!(verdict, AllVerdict::Held));
    assert!((170..=250).contains(&next), "{next}");
    // All dead, and only some.
    let (verdict, next) = held(dies_at(5), dies_at(6));
    assert!(matches!(verdict, AllVerdict::Again));
    assert_eq!(next, 10);
    let (verdict, next) = held(dies_at(5), dies_at(50));
    assert!(matches!(verdict, AllVerdict::Held));
    assert_eq!(next, 50);
}

#[test]
fn what_stood_unchanged_for_its_lease_is_taken_over_in_a_later_try() {
    let mut waiter = Waiter::new();
    waiter.doubtful = true;
    let refused = || Outcome::Refused(vec![None, condition(lock("other", at(60_000), ms(300)))]);
    waiter.attempt(at(0));
    assert!(matches!(
        waiter.answered(at(10), refused()),
        AllVerdict::Held
    ));
    let takes = |body: &str| body.contains(r#"{"S":"other"}"#);
    assert!(!takes(&waiter.attempt(at(200))));
    assert!(matches!(
        waiter.answered(at(210), refused()),
        AllVerdict::Held
    ));
    // 1 % more, for clocks that run at different rates.
    assert_eq!(waiter.next_ms(), 313);
    assert!(!takes(&waiter.attempt(at(312))));
    waiter.answered(at(312), refused());
    let body = waiter.attempt(at(313));
    assert!(takes(&body), "{body}");
    // A repetition says the same, though more is known.
    waiter.answered(at(320), unknown());
    assert_eq!(waiter.attempt(at(330)), body);
}

#[test]
fn an_abandoned_version_is_taken_over_at_once() {
    let mut waiter = Waiter::new();
    waiter.abandoned = Some("given-up");
    waiter.attempt(at(0));
    let old = condition(lock("given-up", at(60_000), ms(60_000)));
    let verdict = waiter.answered(at(10), Outcome::Refused(vec![old, None]));
    assert!(matches!(verdict, AllVerdict::Again));
    assert_eq!(waiter.next_ms(), 10);
    assert!(waiter.attempt(at(10)).contains(r#"{"S":"given-up"}"#));
}

#[test]
fn the_clock_is_not_believed_while_it_is_doubtful() {
    let dead_before = at(40).wall.0.to_string();
    for doubtful in [false, true] {
        let mut waiter = Waiter::new();
        waiter.doubtful = doubtful;
        assert_eq!(waiter.attempt(at(40)).contains(&dead_before), !doubtful);
    }
}

#[test]
fn what_is_final_names_its_lock_and_counts_more_than_what_is_held() {
    let spoiled = || {
        let mut item = lock("other", at(60_000), ms(500));
        item.insert("dynoLockVersion", 1);
        condition(item)
    };
    let held = || condition(lock("other", at(60_000), ms(500)));
    type Is = fn(&Error) -> bool;
    let gone = || {
        let mut reason = held();
        reason.as_mut().unwrap().item = None;
        reason
    };
    let cases: [(Reasons, usize, Is); 4] = [
        (vec![held(), spoiled()], 1, Error::is_bad_attribute),
        (
            vec![spoiled(), reason("TransactionConflict")],
            0,
            Error::is_bad_attribute,
        ),
        (
            vec![held(), reason("AccessDenied")],
            1,
            Error::is_access_denied,
        ),
        (vec![None, gone()], 1, |error| {
            error.to_string().contains("without showing")
        }),
    ];
    for (reasons, entry, is) in cases {
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        let verdict = waiter.answered(at(10), Outcome::Refused(reasons));
        let AllVerdict::Failed(error) = verdict else {
            panic!("{verdict:?}")
        };
        assert!(is(&error), "{error:?}");
        assert_eq!(
            (error.entry(), error.table()),
            (Some(entry), Some("leases"))
        );
    }
}

#[test]
fn conflicts_back_off_and_throttling_doubles_the_interval() {
    let mut waiter = Waiter::new();
    let conflict = || Outcome::Refused(vec![None, reason("TransactionConflict")]);
    for most in [25, 50] {
        waiter.attempt(at(1000));
        assert!(matches!(
            waiter.answered(at(1000), conflict()),
            AllVerdict::Again
        ));
        assert!((1000..=1000 + most).contains(&waiter.next_ms()));
    }
    let mixed = || {
        Outcome::Refused(vec![
            reason("TransactionConflict"),
            reason("ThrottlingError"),
        ])
    };
    let mut pauses = Vec::new();
    for _ in 0..3 {
        waiter.attempt(at(1000));
        waiter.answered(at(1000), mixed());
        pauses.push(waiter.next_ms() - 1000);
    }
    for (pause, mean) in pauses.into_iter().zip([400, 800, 1600]) {
        assert!(
            (mean * 4 / 5..=mean * 6 / 5).contains(&pause),
            "{pause} {mean}"
        );
    }
    let error = waiter.machine.out_of_time();
    assert!(error.is_throttled() && error.is_timeout() && !error.is_held());
    // A refusal is an answer.
    waiter.attempt(at(1000));
    let held = condition(lock("other", at(60_000), ms(60_000)));
    waiter.answered(
        at(1000),
        Outcome::Refused(vec![held, reason("ThrottlingError")]),
    );
    assert!(
        (1160..=1240).contains(&waiter.next_ms()),
        "{}",
        waiter.next_ms()
    );
    assert!(waiter.machine.out_of_time().is_held());
}

#[test]
fn the_error_names_the_locks_that_were_held_last() {
    let mut waiter = Waiter::new();
    assert!(waiter.machine.out_of_time().is_timeout());
    let held = |version| condition(lock(version, at(60_000), ms(500)));
    waiter.attempt(at(0));
    waiter.answered(at(1), Outcome::Refused(vec![held("one"), held("two")]));
    let error = waiter.machine.out_of_time();
    let named = |error: &Error| -> Vec<_> {
        let version = |it: &Error| it.holder().and_then(|it| it.version()).map(str::to_owned);
        error
            .entries()
            .map(|it| (it.entry(), version(it)))
            .collect()
    };
    assert_eq!(
        named(&error),
        [
            (Some(0), Some("one".to_owned())),
            (Some(1), Some("two".to_owned()))
        ]
    );
    waiter.attempt(at(100));
    waiter.answered(at(101), Outcome::Refused(vec![None, held("three")]));
    let error = waiter.machine.out_of_time();
    assert_eq!(named(&error), [(Some(1), Some("three".to_owned()))]);
    let text = error.to_string();
    assert_eq!(
        text,
        "entry 1 (table leases): the lock is held by (version three)"
    );
}

#[test]
fn a_try_that_is_given_up_knows_whether_it_may_have_locked() {
    let held = || condition(lock("other", at(60_000), ms(500)));
    let ours = || condition(lock("a1", at(500), ms(500)));
    let failure = || Failure::of(FailureKind::Throttled, "test");
    let cases = [
        (applied(), true, true),
        (unknown(), true, true),
        (Outcome::NotApplied(failure()), false, true),
        (Outcome::Refused(vec![held(), None]), false, true),
        (Outcome::Refused(vec![ours(), None]), true, true),
        (Outcome::Refused(vec![None, ours()]), false, true),
    ];
    for (outcome, alone, after_unknown) in cases {
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        let given_up = waiter.machine.give_up().unwrap();
        assert_eq!(given_up.may_have_locked(&outcome), alone, "{outcome:?}");
        let locks: Vec<_> = given_up.locks().map(|(_, version)| version).collect();
        assert_eq!(locks, ["a1", "b1"]);
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        waiter.answered(at(1), unknown());
        waiter.attempt(at(2));
        let given_up = waiter.machine.give_up().unwrap();
        assert_eq!(
            given_up.may_have_locked(&outcome),
            after_unknown,
            "{outcome:?}"
        );
    }
}

#[test]
fn reasons_that_fit_no_lock_do_no_harm() {
    let cases = [
        vec![],
        vec![None, None],
        vec![None, None, reason("TransactionConflict")],
    ];
    for reasons in cases {
        let mut waiter = Waiter::new();
        waiter.attempt(at(0));
        let verdict = waiter.answered(at(1), Outcome::Refused(reasons));
        assert!(matches!(verdict, AllVerdict::Again), "{verdict:?}");
        assert!(waiter.next_ms() >= 1);
    }
}

#[test]
fn each_lease_of_a_set_ends_at_its_own_limit() {
    let limited = |limits: [Option<u64>; 2]| {
        let mut all = terms();
        for (terms, limit) in all.iter_mut().zip(limits) {
            Arc::get_mut(terms).unwrap().limit = Limit(limit.map(|limit| at(limit).wall));
        }
        all
    };
    // Limits; when the leases end that count from 100 ms; half of the shortest of them.
    let cases = [
        ([None, None], [600, 1100], 250),
        ([Some(2000), Some(800)], [600, 800], 250),
        ([Some(400), Some(5000)], [400, 1100], 150),
        ([Some(150), Some(150)], [150, 150], 25),
    ];
    for (limits, ends, half) in cases {
        let mut waiter = Waiter::new();
        waiter.machine = AcquireAll::new(limited(limits), at(0));
        let body = waiter.attempt(at(100));
        for end in ends {
            let written = format!(r#"{{"N":"{}"}}"#, at(end).wall.0);
            assert!(body.contains(&written), "{limits:?}: {body}");
            let stated = format!(r#"{{"N":"{}"}}"#, (end - 100) * MS);
            assert!(body.contains(&stated), "{limits:?}: {body}");
        }
        assert_eq!(waiter.machine.half_left(at(100)), ms(half), "{limits:?}");
        assert!(waiter.machine.is_half_over(at(100 + half)), "{limits:?}");
        for (nth, (name, end)) in ["a1", "b1"].into_iter().zip(ends).enumerate() {
            let item = lock(name, at(end), ms(end - 100));
            let confirmed = waiter.machine.confirmed(nth, item, false).unwrap();
            let lease = confirmed.expect("as it was written").lease;
            assert_eq!(lease.deadline().wall, at(end).wall, "{limits:?}");
        }
    }
}

#[test]
fn a_set_is_late_where_one_of_its_limits_is_near() {
    let mut all = terms();
    // The reserves are the leases: 500 ms, and 1 s at the most.
    Arc::get_mut(&mut all[0]).unwrap().limit = Limit(Some(at(10_000).wall));
    Arc::get_mut(&mut all[1]).unwrap().limit = Limit(Some(at(2000).wall));
    let machine = AcquireAll::new(all, at(0));
    assert!(!machine.is_late(at(1000)));
    assert!(machine.is_late(at(1001)));
}
