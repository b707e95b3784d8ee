//! Waiting by reading: what is sent next, and when.

use super::*;

/// An hour, in ms: a lease that does not end here.
const HOUR: i64 = 3_600_000;

impl Waiter {
    /// A waiter that polls by reading, every 100 ms.
    fn that_reads(skew: Duration) -> Self {
        let mut waiter = Self::new(skew);
        waiter.terms.polling = Some(read_lock);
        waiter
    }

    /// One that looks before it tries.
    fn that_looks(skew: Duration) -> Self {
        let mut waiter = Self::that_reads(skew);
        waiter.machine = Acquire::reading("mine".into(), at(0));
        waiter
    }

    /// Sends what is due; whether it is a read.
    fn send(&mut self, now: Moment) -> bool {
        match self.machine.read(&self.terms, now) {
            Some(read) => {
                assert_eq!(read.target, "DynamoDB_20120810.GetItem");
                true
            }
            None => {
                self.attempt(now);
                false
            }
        }
    }
}

fn held(ms: i64) -> Item {
    lock("other", expires(ms), Duration::from_secs(HOUR as u64), None)
}

fn free() -> Item {
    Item::from_iter([("id", "a")])
}

fn read(item: Item) -> Outcome {
    Outcome::Applied(item)
}

/// A waiter whose first attempt, sent at 0, was refused by another's lock.
fn waiting() -> Waiter {
    let mut waiter = Waiter::that_reads(NEVER);
    assert!(!waiter.send(at(0)), "the first is an attempt");
    let verdict = waiter.answered(at(30), refused(held(HOUR)));
    assert!(matches!(verdict, Verdict::Held));
    waiter
}

#[test]
fn a_waiter_reads_every_interval_from_the_sending_of_the_last() {
    let mut waiter = waiting();
    for (due, answered) in [(100, 190), (200, 201), (300, 300), (400, 470)] {
        assert_eq!(waiter.next_ms(), due);
        assert!(waiter.send(at(due)), "{due}");
        let verdict = waiter.answered(at(answered), read(held(HOUR)));
        assert!(matches!(verdict, Verdict::Held), "{due}");
    }
    // A late one is not made up for.
    assert!(waiter.send(at(730)));
    waiter.answered(at(740), read(held(HOUR)));
    assert_eq!(waiter.next_ms(), 830);
}

#[test]
fn what_a_read_shows_to_be_free_or_dead_is_written_to_at_once() {
    let mut released_by_dyno = free();
    released_by_dyno.insert("dynoLockExpires", 0_i64);
    released_by_dyno.insert("dynoLockVersion", "theirs");
    let dead = lock("another", expires(-5000), LEASE, None);
    for (what, item) in [
        ("no such item", Item::default()),
        ("free", free()),
        ("released by a peer", released_by_dyno),
        ("past", dead),
    ] {
        let mut waiter = Waiter::that_reads(Duration::ZERO);
        waiter.send(at(0));
        waiter.answered(at(10), refused(held(HOUR)));
        assert!(waiter.send(at(100)), "{what}");
        let verdict = waiter.answered(at(130), read(item));
        assert!(matches!(verdict, Verdict::Free), "{what}: {verdict:?}");
        assert_eq!(waiter.next_ms(), 130, "{what}");
        assert!(!waiter.send(at(130)), "{what}: an attempt");
    }
}

#[test]
fn an_attempt_that_comes_too_late_uses_up_the_next_interval() {
    let mut waiter = waiting();
    assert!(waiter.send(at(100)));
    waiter.answered(at(130), read(free()));
    assert!(!waiter.send(at(130)));
    let verdict = waiter.answered(at(150), refused(held(2 * HOUR)));
    assert!(matches!(verdict, Verdict::Held));
    assert_eq!(waiter.next_ms(), 300, "two intervals after the read");
    assert!(waiter.send(at(300)), "it reads again");
    waiter.answered(at(310), read(held(2 * HOUR)));
    assert_eq!(waiter.next_ms(), 400);
}

/// However it goes, no more requests than intervals have begun, and one.
#[test]
fn never_more_requests_than_the_interval_allows() {
    for pattern in 0..1 << 6_u32 {
        let mut waiter = waiting();
        let mut now = 30;
        for (requests, step) in (1..).zip(0..12) {
            now = waiter.next_ms().max(now);
            assert!(
                requests <= now / 100 + 2,
                "{pattern:b}: {requests} by {now}"
            );
            let is_free = pattern >> (step % 6) & 1 == 1;
            let reads = waiter.send(at(now));
            now += 7;
            match reads {
                true if is_free => waiter.answered(at(now), read(free())),
                true => waiter.answered(at(now), read(held(HOUR))),
                false => waiter.answered(at(now), refused(held(HOUR + step))),
            };
        }
    }
}

/// Rule 2 counts from the arrival of the read that first showed it.
#[test]
fn a_dead_holder_is_seen_at_the_first_read_after_its_end() {
    let mut waiter = waiting();
    let other = || read(lock("another", expires(HOUR), LEASE, None));
    for (sent, answered) in [(100, 140), (200, 240), (300, 340), (400, 440), (500, 540)] {
        assert!(waiter.send(at(sent)));
        let verdict = waiter.answered(at(answered), other());
        assert!(matches!(verdict, Verdict::Held), "{sent}: {verdict:?}");
        assert_eq!(waiter.next_ms(), sent + 100, "no wake between reads");
    }
    assert!(waiter.send(at(600)));
    // Unchanged since 140 for 500 ms and 1 %.
    assert!(matches!(waiter.answered(at(645), other()), Verdict::Free));
    let body = waiter.attempt(at(645));
    assert!(takes_the_pair(&body), "{body}");
}

/// The attempt was refused all the same, as where a doubt about the clock came between.
#[test]
fn what_stays_dead_is_written_to_every_interval() {
    let mut waiter = Waiter::that_reads(Duration::ZERO);
    let dead = || lock("other", expires(-1), LEASE, None);
    waiter.send(at(0));
    assert!(matches!(
        waiter.answered(at(5), refused(dead())),
        Verdict::Free
    ));
    assert!(!waiter.send(at(5)));
    for due in [200, 300, 400] {
        let verdict = waiter.answered(at(due - 90), refused(dead()));
        assert!(matches!(verdict, Verdict::Held));
        assert_eq!(waiter.next_ms(), due);
        assert!(!waiter.send(at(due)), "{due}");
    }
    waiter.answered(at(410), refused(held(HOUR)));
    assert_eq!(waiter.next_ms(), 500);
    assert!(waiter.send(at(500)), "somebody has it: it reads again");
}

#[test]
fn a_failed_request_is_repeated_as_what_it_was() {
    let unavailable = || failure(FailureKind::Unavailable);
    let outcomes: [fn(Failure) -> Outcome; 2] = [Outcome::NotApplied, Outcome::Unknown];
    for outcome in outcomes {
        let mut waiter = waiting();
        assert!(waiter.send(at(100)));
        let verdict = waiter.answered(at(110), outcome(unavailable()));
        assert!(matches!(verdict, Verdict::Again));
        assert!(waiter.send(at(200)), "still a read");
        waiter.answered(at(210), read(free()));
        waiter.send(at(210));
        waiter.answered(at(220), outcome(unavailable()));
        assert_eq!(waiter.next_ms(), 300, "in the place that it took");
        assert!(!waiter.send(at(300)), "still an attempt");
        waiter.answered(at(310), outcome(unavailable()));
        assert_eq!(waiter.next_ms(), 400, "and then one an interval");
    }
}

#[test]
fn throttled_reads_double_the_interval_and_an_answer_resets_it() {
    let mut waiter = waiting();
    for (sent, around) in [(100, 200), (1000, 400), (2000, 800)] {
        assert!(waiter.send(at(sent)));
        let throttled = Outcome::NotApplied(failure(FailureKind::Throttled));
        waiter.answered(at(sent), throttled);
        let pause = waiter.next_ms() - sent;
        assert!(
            (around * 4 / 5..=around * 6 / 5).contains(&pause),
            "{pause}"
        );
    }
    assert!(waiter.machine.out_of_time().is_throttled());
    waiter.send(at(3000));
    waiter.answered(at(3010), read(held(HOUR)));
    assert_eq!(waiter.next_ms(), 3100);
    assert!(waiter.machine.out_of_time().is_held());
}

/// Never more requests than one an interval, in bad weather either.
#[test]
fn a_read_that_fails_is_not_repeated_before_its_interval() {
    let mut waiter = waiting();
    for due in [100, 200] {
        assert_eq!(waiter.next_ms(), due);
        assert!(waiter.send(at(due)));
        let verdict = waiter.answered(at(due + 1), unknown());
        assert!(matches!(verdict, Verdict::Again));
    }
    // Throttling makes it slower, as any other waiter.
    assert!(waiter.send(at(300)));
    let throttled = Outcome::NotApplied(failure(FailureKind::Throttled));
    assert!(matches!(
        waiter.answered(at(301), throttled),
        Verdict::Again
    ));
    assert!(waiter.next_ms() > 400);
}

/// Nobody waits yet: what costs a free lock is not an interval, but a quick second try.
#[test]
fn a_first_attempt_that_fails_is_repeated_quickly() {
    let mut waiter = Waiter::that_reads(NEVER);
    waiter.send(at(0));
    waiter.answered(at(5), unknown());
    assert!(waiter.next_ms() < 100, "{}", waiter.next_ms());
}

#[test]
fn a_read_that_is_not_permitted_ends_it() {
    let mut waiter = waiting();
    waiter.send(at(100));
    let denied = Outcome::NotApplied(failure(FailureKind::AccessDenied));
    let verdict = waiter.answered(at(110), denied);
    assert!(matches!(verdict, Verdict::Failed(error) if error.is_access_denied()));
}

#[test]
fn a_lock_that_cannot_be_read_is_named_by_a_read_too() {
    let mut waiter = waiting();
    waiter.send(at(100));
    let mut item = held(HOUR);
    item.insert(
        "dynoLockFence",
        AttributeValue::N(Number::from(1_u64 << 63)),
    );
    let Verdict::Failed(error) = waiter.answered(at(110), read(item)) else {
        panic!()
    };
    assert!(error.is_bad_attribute() && error.to_string().contains("dynoLockFence"));
}

#[test]
fn reads_leave_what_is_to_be_cleaned_up_as_it_was() {
    let mut waiter = waiting();
    assert!(!waiter.machine.is_unsettled());
    for outcome in [read(held(HOUR)), unknown()] {
        waiter.send(at(100));
        assert!(!waiter.machine.is_unsettled(), "under way");
        waiter.answered(at(110), outcome);
        assert!(!waiter.machine.is_unsettled());
    }
    // An attempt that is still on its way may yet be applied, whatever the reads show.
    let mut waiter = Waiter::that_reads(NEVER);
    waiter.send(at(0));
    waiter.answered(at(5), unknown());
    waiter.send(at(20));
    waiter.answered(at(25), refused(held(HOUR)));
    for outcome in [
        read(held(HOUR)),
        Outcome::NotApplied(failure(FailureKind::Throttled)),
        unknown(),
    ] {
        assert!(waiter.send(at(1000)));
        waiter.answered(at(1010), outcome);
        assert!(waiter.machine.is_unsettled());
    }
}

/// A late attempt of ours was applied after all: there is no item in a read to hand out.
#[test]
fn our_own_lock_in_a_read_is_written_over() {
    let mut waiter = Waiter::that_reads(NEVER);
    waiter.send(at(0));
    waiter.answered(at(10), unknown());
    waiter.send(at(20));
    waiter.answered(at(30), refused(held(HOUR)));
    assert!(waiter.send(at(120)));
    let ours = || lock("mine", expires(500), LEASE, Some(7));
    let verdict = waiter.answered(at(130), read(ours()));
    assert!(matches!(verdict, Verdict::Free), "{verdict:?}");
    let body = waiter.attempt(at(130));
    assert!(takes_the_pair(&body), "{body}");
    let verdict = waiter.answered(at(140), refused(ours()));
    assert!(matches!(verdict, Verdict::Acquired(acquired) if acquired.recovered));
}

#[test]
fn a_look_reads_first_and_says_who_holds_it() {
    let cases = [
        (Item::default(), None, false),
        (free(), None, false),
        (held(HOUR), Some("other"), true),
        // Past its end, and shown all the same.
        (
            lock("other", expires(-9000), LEASE, None),
            Some("other"),
            false,
        ),
    ];
    for (item, version, is_held) in cases {
        let mut waiter = Waiter::that_looks(Duration::ZERO);
        assert_eq!(waiter.next_ms(), 0);
        assert!(waiter.send(at(0)));
        let verdict = waiter.answered(at(10), read(item));
        assert_eq!(matches!(verdict, Verdict::Held), is_held, "{verdict:?}");
        assert_eq!(matches!(verdict, Verdict::Free), !is_held, "{verdict:?}");
        let holder = waiter.machine.holder();
        assert_eq!(holder.and_then(Holder::version), version);
        assert!(!waiter.machine.is_unsettled());
    }
}
