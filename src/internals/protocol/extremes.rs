//! Clocks that jump anywhere, back as well, to the ends of what they can count: nothing
//! overflows, and what is lost stays lost.

use crate::clock::{Moment, Monotonic, Wall};
use crate::options::Terms;
use crate::protocol::{Acquire, ClockTrust, Jitter, Lease, RetryBudget, Surroundings, Verdict};
use crate::wire::{Item, Outcome};

use super::super::dynamodb::Request;
use super::super::input::Input;
use super::any_lock::{self, Ours};
use super::{RETRY, failure, step, terms};

pub(super) fn play(input: &mut Input<'_>) {
    let terms = terms(input);
    let mut trust = ClockTrust::new(moment(input));
    let mut machine = Acquire::new("mine".into(), moment(input));
    let mut lease: Option<Lease> = None;
    let mut lost = None;
    let mut budget = RetryBudget::default();
    while !input.is_over() {
        let (sent, now) = (moment(input), moment(input));
        let skew = terms.max_clock_skew;
        if input.flag() {
            trust.observe(sent, now, input.number() as i64, skew);
        }
        let (base, doubtful) = (trust.expiry_base(now), trust.is_doubtful(now, skew));
        let _ = trust.signing_time(now).system_time();
        let Some(lease) = &mut lease else {
            let write = machine.attempt(&terms, sent, base, doubtful);
            Request::of(&write).expect("an acquire");
            let around = Surroundings {
                terms: &terms,
                now,
                doubtful,
                retry: RETRY,
                budget: &mut budget,
                jitter: &mut Jitter::new(0),
                is_abandoned: &|version| version == "another",
            };
            let outcome = outcome(&terms, base, input);
            if let Verdict::Acquired(acquired) = machine.answered(outcome, around) {
                let mut acquired = acquired.lease;
                acquired.hand_out();
                lease = Some(acquired);
            }
            let _ = (machine.next_at(), machine.out_of_time());
            continue;
        };
        if lost.is_some() {
            assert_eq!(lease.lost(sent), lost.as_ref());
        }
        if input.flag() {
            let duration = step(terms.lease, input);
            let write = lease.renewal(&terms, sent, base, duration);
            Request::of(&write).expect("a renewal");
            lease.renewed(now, &terms.names, outcome(&terms, base, input));
        } else {
            Request::of(&lease.release(&terms, sent)).expect("a release");
            lease.released(&terms.names, outcome(&terms, base, input));
        }
        let _ = (lease.deadline(), lease.remaining(now));
        lost = lease.lost(now).cloned();
    }
}

/// Any readings, and among them the first and the last.
fn moment(input: &mut Input<'_>) -> Moment {
    let (mono, wall) = match input.below(6) {
        0 => (0, i64::MIN),
        1 => (u64::MAX, i64::MAX),
        2 => (0, i64::MAX),
        3 => (u64::MAX, 0),
        _ => (input.number(), input.number() as i64),
    };
    Moment {
        mono: Monotonic(mono),
        wall: Wall(wall),
    }
}

fn outcome(terms: &Terms, base: Wall, input: &mut Input<'_>) -> Outcome {
    let sent = [base.plus(terms.lease).0];
    let ours = Ours {
        version: "mine",
        sent: &sent,
        fence: 7,
    };
    let shown = |input: &mut Input<'_>| -> Item { any_lock::item(terms, &ours, input) };
    match input.below(4) {
        0 => Outcome::Applied(shown(input)),
        1 => Outcome::Refused(Some(shown(input))),
        2 => Outcome::NotApplied(failure(input)),
        _ => Outcome::Unknown(failure(input)),
    }
}
