//! Sequences of protocol events, at any times.

mod any_answers;
mod any_lock;
mod extremes;
mod neighbours;
mod world;

use std::time::Duration;

use crate::clock::Monotonic;
use crate::options::{Options, Terms};
use crate::protocol::{Backoff, Jitter, RetryPolicy};
use crate::wire::{Failure, FailureKind};

use super::input::Input;

/// One acquisition and its lease, where clocks and answers are whatever the input says (`a`), even
/// at the ends of time (`e`); or several clients of one lock, whose clocks keep within the
/// allowance, on a server that loses, doubles and delays (anything else).
pub fn body(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() {
        b'a' => any_answers::play(&mut input),
        b'e' => extremes::play(&mut input),
        _ => neighbours::play(&mut input),
    }
}

const LEASES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_millis(10),
    Duration::from_secs(10),
    Duration::from_secs(366 * 86_400),
];
const SKEWS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::MAX,
];
const RETRY: RetryPolicy = RetryPolicy {
    backoff: Backoff {
        base: Duration::from_millis(25),
        cap: Duration::from_secs(1),
    },
    max_attempts: 3,
};

fn terms(input: &mut Input<'_>) -> Terms {
    let mut options = Options::new("leases".into(), ("id", "a").into());
    options.lease = input.pick(&LEASES);
    options.max_clock_skew = input.pick(&SKEWS);
    match input.below(4) {
        1 => options.existing_only = true,
        2 => options.delete_on_release = true,
        3 => options.owner = Some("web-1".into()),
        _ => {}
    }
    options.parse().expect("good options")
}

/// A time that matters to a lease of this length.
fn step(lease: Duration, input: &mut Input<'_>) -> Duration {
    let ns = Duration::from_nanos(1);
    match input.below(16) {
        0 => Duration::from_millis(1),
        1 => lease / 5,
        2 => lease / 2,
        3 => lease - ns,
        4 => lease,
        5 => lease + lease / 100,
        6 => lease + lease / 100 + ns,
        7 => lease * 2,
        8 => Duration::from_secs(1),
        9 => Duration::from_secs(20),
        10 => Duration::from_secs(86_400),
        11 => Duration::from_secs(20 * 366 * 86_400),
        12 => Duration::ZERO,
        13 => ns,
        14 => Duration::from_millis(input.byte().into()),
        _ => Duration::from_nanos(input.number()),
    }
}

fn failure(input: &mut Input<'_>) -> Failure {
    use FailureKind::*;
    let kind = input.pick(&[
        Unavailable,
        Throttled,
        NoCredentials,
        Conflict,
        ClockSkew,
        CredentialsExpired,
        BadAnswer,
        CredentialsRejected,
        AccessDenied,
        TableNotFound,
        Validation,
        Other,
    ]);
    let mut failure = Failure::of(kind, "as the input says");
    if input.flag() {
        failure.retry_after = Some(Duration::from_secs(input.number()));
    }
    failure
}

/// The next attempt is neither in the past nor farther away than the longest interval.
fn check_next_at(next_at: Monotonic, now: Monotonic) {
    let latest = now.plus(Duration::from_secs(20) * 6 / 5 + Duration::from_nanos(1));
    assert!(
        now <= next_at && next_at <= latest,
        "{next_at:?} at {now:?}"
    );
}

fn jitter(input: &mut Input<'_>) -> Jitter {
    Jitter::new(input.byte().into())
}
