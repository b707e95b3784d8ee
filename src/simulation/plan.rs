//! What a seed decides about a run before it begins.

use std::time::Duration;

use serde_json::{Value, json};

use super::executor::{Clocks, Dial, EPOCH, MILLISECOND, SECOND};
use super::history::Promise;
use super::network::Weather;
use super::random::Random;

const HOUR: i64 = 3600 * SECOND as i64;
/// Nanoseconds that a clock gains or loses in a millisecond, at most: 0.4 %.
const FASTEST: i64 = 4_000;

/// What kind of world a run takes place in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Clocks agree within the skew that the locks allow for, but for steps of an hour.
    Within,
    /// Clocks are further apart than that: only the tokens are promised.
    Beyond,
    /// Like `Within`, with dyno peers among the clients.
    Dyno,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) class: Class,
    pub(super) skew: Duration,
    /// What most leases of the run last, in nanoseconds.
    pub(super) lease: u64,
    pub(super) weather: Weather,
    pub(super) nodes: Vec<NodePlan>,
    /// Attributes of each item before the run; None: there is no item.
    pub(super) items: Vec<Option<Value>>,
    /// Whether each item has attributes of the user's, which nobody ever deletes.
    pub(super) records: Vec<bool>,
    /// How many acquisitions the run has to see.
    pub(super) acquisitions: usize,
    /// How often something happens to a machine, on average.
    pub(super) trouble_every: u64,
    /// Whether the network is still bad when the clients come to an end.
    pub(super) ends_in_bad_weather: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct NodePlan {
    pub(super) dyno: bool,
    pub(super) clocks: Clocks,
    pub(super) habit: Habit,
    pub(super) workers: usize,
}

/// What may happen to a machine's clocks.
///
/// A holder believes the earlier of its two clocks. A machine that stops the one in its sleep
/// and has the other set back during the same lease would have none left to believe; so each
/// does one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// The monotonic clock may stand still.
    Suspends,
    /// The wall clock may stand still, and be set.
    IsSet,
}

impl Plan {
    pub(super) fn draw(random: &mut Random) -> Self {
        let class = match random.weighted(&[0.48, 0.2, 0.32]) {
            0 => Class::Within,
            1 => Class::Beyond,
            _ => Class::Dyno,
        };
        let skew = match random.weighted(&[0.35, 0.25, 0.15, 0.25]) {
            0 => Duration::ZERO,
            1 => Duration::from_millis(random.between(10, 90)),
            2 => Duration::from_secs(1),
            // No clock is too far off for pure observation.
            _ if class == Class::Beyond => Duration::from_millis(1),
            _ => Duration::MAX,
        };
        let lease = match random.weighted(&[0.2, 0.25, 0.25, 0.2, 0.1]) {
            0 => random.between(50, 150),
            1 => random.between(150, 400),
            2 => 500,
            3 => random.between(600, 3_000),
            _ => random.between(3_000, 10_000),
        } * MILLISECOND;
        let ours = random.between(3, 5) as usize;
        let peers = if class == Class::Dyno {
            random.between(1, 2) as usize
        } else {
            0
        };
        let mut nodes: Vec<NodePlan> = (0..ours)
            .map(|nth| node(random, class, skew, lease, nth))
            .collect();
        nodes.extend((0..peers).map(|_| dyno_node(random, class, skew)));
        let items: Vec<Option<Value>> = (0..random.between(1, 2)).map(|_| item(random)).collect();
        let records = items.iter().map(|item| {
            item.as_ref()
                .is_some_and(|item| item.get("state").is_some())
        });
        Self {
            class,
            skew,
            lease,
            weather: weather(random, lease),
            nodes,
            records: records.collect(),
            items,
            acquisitions: random.between(10, 22) as usize,
            trouble_every: random.part(lease, 0.7, 5.0),
            ends_in_bad_weather: random.chance(0.5),
        }
    }

    pub(super) fn promise(&self) -> Promise {
        match self.class {
            Class::Within | Class::Dyno => Promise::Exclusion,
            Class::Beyond => Promise::Tokens,
        }
    }

    /// How far a wall clock may be off, either way, in nanoseconds.
    pub(super) fn widest_offset(&self) -> i64 {
        widest_offset(self.class, self.skew, self.lease)
    }

    /// Whether an hour may be taken from a wall clock: dyno allows for no skew, and would take
    /// a lock before its holder knew that it was over.
    pub(super) fn may_be_set_back(&self) -> bool {
        self.class != Class::Dyno
    }

    /// Whether a wall clock may stay behind by whatever time its machine was frozen. That is
    /// more than the skew, and yet too little for anybody to notice.
    pub(super) fn may_stay_behind(&self) -> bool {
        self.class == Class::Beyond || (self.class == Class::Within && self.skew == Duration::MAX)
    }
}

fn widest_offset(class: Class, skew: Duration, lease: u64) -> i64 {
    let skew = i64::try_from(skew.as_nanos())
        .unwrap_or(i64::MAX)
        .min(2 * HOUR);
    match class {
        Class::Within => (skew - room_for_rates(class, skew, lease).unwrap_or(0)) / 2,
        Class::Dyno => skew / 2,
        Class::Beyond => skew * 4 + 2 * lease as i64,
    }
}

/// What of the skew is kept for slow monotonic clocks; None where it is too small.
///
/// A holder whose wall clock stands still, or was set back, has only the monotonic one to go by.
/// Is that slow, it believes a little longer than others' wall clocks grant it.
fn room_for_rates(class: Class, skew: i64, lease: u64) -> Option<i64> {
    let longest = lease as i64 * 8;
    let room = longest * FASTEST / 1_000_000;
    (class == Class::Within && skew > 2 * room).then_some(room)
}

fn node(random: &mut Random, class: Class, skew: Duration, lease: u64, nth: usize) -> NodePlan {
    let widest = widest_offset(class, skew, lease);
    // Some at the two ends of what is allowed, where a mistake shows first.
    let offset = match nth {
        0 if random.chance(0.7) => widest,
        1 if random.chance(0.7) => -widest,
        _ => random.signed(-widest, widest),
    };
    let wall = Dial::new(
        EPOCH + i128::from(offset),
        wall_rate(random, offset, widest),
    );
    let habit = random.pick(&[Habit::Suspends, Habit::IsSet]);
    let skew = i64::try_from(skew.as_nanos()).unwrap_or(i64::MAX);
    let may_be_slow = habit == Habit::Suspends
        || class == Class::Beyond
        || room_for_rates(class, skew, lease).is_some();
    let slowest = if may_be_slow { -FASTEST } else { 0 };
    NodePlan {
        dyno: false,
        clocks: Clocks {
            mono: mono(random, slowest),
            wall,
        },
        habit,
        workers: random.pick(&[1, 1, 1, 2, 3]),
    }
}

/// A dyno peer takes a lock the moment it expires by its own clock, whatever skew we allow for.
/// So it excludes only while its clock is not ahead of any of ours: it gets the slowest.
fn dyno_node(random: &mut Random, class: Class, skew: Duration) -> NodePlan {
    let widest = widest_offset(class, skew, 0);
    let clocks = Clocks {
        mono: mono(random, -FASTEST),
        wall: Dial::new(EPOCH - i128::from(widest), 0),
    };
    NodePlan {
        dyno: true,
        clocks,
        habit: Habit::Suspends,
        workers: 1,
    }
}

fn mono(random: &mut Random, slowest: i64) -> Dial {
    Dial::new(
        i128::from(random.between(0, 1 << 50)),
        random.signed(slowest, FASTEST),
    )
}

/// A rate with which the clock stays within the offset for an hour, which no run lasts.
fn wall_rate(random: &mut Random, offset: i64, widest: i64) -> i64 {
    let fastest = (widest.unsigned_abs() / 3_600_000).min(FASTEST as u64) as i64;
    let rate = random.signed(0, fastest);
    if offset > 0 { -rate } else { rate }
}

fn item(random: &mut Random) -> Option<Value> {
    let long_ago = (EPOCH - i128::from(HOUR)).to_string();
    match random.weighted(&[0.4, 0.4, 0.1, 0.1]) {
        0 => None,
        1 => Some(json!({"state": {"S": "ready"}, "parts": {"L": [{"N": "1"}, {"NULL": true}]}})),
        2 => Some(json!({
            "state": {"S": "ready"},
            "dynoLockExpires": {"N": "0"},
            "dynoLockLeaseDuration": {"N": "1000000000"},
            "dynoLockVersion": {"S": "3MUpXBZ4TgdVLh6uxqu5KX0eGLD"},
        })),
        _ => Some(json!({
            "dynoLockExpires": {"N": long_ago},
            "dynoLockLeaseDuration": {"N": "50000000"},
            "dynoLockVersion": {"S": "3MUpXBZ4TgdVLh6uxqu5KX0eGLD"},
        })),
    }
}

fn weather(random: &mut Random, lease: u64) -> Weather {
    // A run has some faults often, and others hardly ever.
    let mut often = |usual: f64| usual * random.pick(&[0.0, 0.5, 1.0, 1.0, 2.0, 4.0]);
    let mut weather = Weather {
        not_sent: often(0.012),
        request_lost: often(0.02),
        request_slow: often(0.08),
        request_late: often(0.025),
        doubled: often(0.04),
        answer_lost: often(0.03),
        answer_slow: often(0.08),
        answer_late: often(0.025),
        error_before: often(0.012),
        error_after: often(0.015),
        throttled: often(0.012),
        conflict: often(0.012),
        ..Weather::clear(lease)
    };
    weather.date = match random.weighted(&[0.9, 0.05, 0.05]) {
        0 => Some(0),
        1 => None,
        _ => Some(random.pick(&[-1800, -10, 10, 1800])),
    };
    weather.checks_signatures = weather.date == Some(0) && random.chance(0.5);
    weather
}
