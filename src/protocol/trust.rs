//! How far our own wall clock can be believed.

use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall, nanos};

/// Two readings differ by this much without anything having jumped.
const READING_NOISE: Duration = Duration::from_millis(50);
/// The resolution of the `Date` header.
const SECOND: i128 = 1_000_000_000;
/// The year 2200. A later `Date` is a mistake: an expiry that counts from it would soon be the
/// largest there is, and each renewal must write a larger one.
const LATEST_DATE: i64 = 7_258_118_400;
/// Signatures are dated by the server's clock once ours is this far off; AWS allows 5 minutes.
const SIGNING_TOLERANCE: i128 = 60 * SECOND;

/// What is known against the wall clock: the server's `Date`, and jumps against the monotonic
/// clock.
///
/// Only doubt is drawn from it: rule 1 of a take-over is switched off, and an expiry is written
/// later than the wall clock alone would have it, never earlier. A jump is forgiven once an
/// answer that came after it bears a `Date` that the wall clock agrees with.
#[derive(Debug)]
pub(crate) struct ClockTrust {
    /// The last reading in which nothing spoke against the wall clock.
    baseline: Moment,
    server: Option<ServerTime>,
}

/// A `Date` header: stamped between `sent` and `arrived`, cut to whole seconds.
#[derive(Clone, Copy, Debug)]
struct ServerTime {
    sent: Monotonic,
    arrived: Monotonic,
    /// What our own clock said then.
    wall: Wall,
    date: Wall,
}

/// Bounds of the true time, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Bounds {
    earliest: i128,
    latest: i128,
}

impl ClockTrust {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            baseline: now,
            server: None,
        }
    }

    /// Takes note of an answer's `Date` (Unix seconds).
    pub(crate) fn observe(&mut self, sent: Moment, arrived: Moment, date: i64, skew: Duration) {
        if date >= LATEST_DATE {
            return;
        }
        self.server = Some(ServerTime {
            sent: sent.mono,
            arrived: arrived.mono,
            wall: arrived.wall,
            date: Wall(date.saturating_mul(1_000_000_000)),
        });
        if !self.is_contradicted(arrived, skew.min(Duration::from_secs(1))) {
            self.baseline = arrived;
        }
    }

    /// Whether the wall clock is known to be off by more than `skew`.
    pub(crate) fn is_doubtful(&self, now: Moment, skew: Duration) -> bool {
        self.has_jumped(now, skew.max(READING_NOISE)) || self.is_contradicted(now, skew)
    }

    /// The wall time that an expiry counts from: never before the true time, as far as either
    /// the clock, its past, or the server knows it.
    pub(crate) fn expiry_base(&self, now: Moment) -> Wall {
        let earliest = self
            .server
            .map_or(i128::MIN, |server| server.bounds(now).earliest);
        let base = i128::from(now.wall.0).max(self.expected(now)).max(earliest);
        Wall(i64::try_from(base).unwrap_or(i64::MAX))
    }

    /// The wall time to sign with.
    pub(crate) fn signing_time(&self, now: Moment) -> Wall {
        let wall = i128::from(now.wall.0);
        let Some(server) = self.server else {
            return now.wall;
        };
        let gone_by = i128::from(now.wall.0) - i128::from(server.wall.0);
        if (gone_by - elapsed(server.arrived, now.mono)).abs() > SIGNING_TOLERANCE {
            // The machine was suspended or the clock was set: what the server said is no guide.
            return now.wall;
        }
        let bounds = server.bounds(now);
        if wall + SIGNING_TOLERANCE < bounds.earliest || wall - SIGNING_TOLERANCE > bounds.latest {
            let middle = i128::midpoint(bounds.earliest, bounds.latest);
            return i64::try_from(middle).map_or(now.wall, Wall);
        }
        now.wall
    }

    /// The wall clock as it would be had it kept pace with the monotonic one.
    fn expected(&self, now: Moment) -> i128 {
        i128::from(self.baseline.wall.0) + elapsed(self.baseline.mono, now.mono)
    }

    fn has_jumped(&self, now: Moment, tolerance: Duration) -> bool {
        (i128::from(now.wall.0) - self.expected(now)).abs() > i128::from(nanos(tolerance))
    }

    /// Whether the server's time speaks against ours by more than the skew and its second.
    pub(crate) fn is_contradicted(&self, now: Moment, skew: Duration) -> bool {
        let Some(server) = self.server else {
            return false;
        };
        let bounds = server.bounds(now);
        let (wall, skew) = (i128::from(now.wall.0), i128::from(nanos(skew)));
        wall + skew < bounds.earliest || wall - skew > bounds.latest
    }

    /// How far the wall clock is off at least by the server's time; `None` where none is known.
    pub(crate) fn difference(&self, now: Moment) -> Option<Duration> {
        let bounds = self.server?.bounds(now);
        let wall = i128::from(now.wall.0);
        let off = (bounds.earliest - wall).max(wall - bounds.latest).max(0);
        Some(Duration::from_nanos(u64::try_from(off).unwrap_or(u64::MAX)))
    }
}

impl ServerTime {
    fn bounds(&self, now: Moment) -> Bounds {
        let date = i128::from(self.date.0);
        Bounds {
            earliest: date + elapsed(self.arrived, now.mono),
            latest: date + SECOND + elapsed(self.sent, now.mono),
        }
    }
}

fn elapsed(from: Monotonic, to: Monotonic) -> i128 {
    i128::from(to.0) - i128::from(from.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKEW: Duration = Duration::from_secs(1);
    const NOON: i64 = 1_800_000_000;

    /// `mono` and `wall` in milliseconds, `wall` after noon.
    fn at(mono: u64, wall: i64) -> Moment {
        Moment {
            mono: Monotonic(mono * 1_000_000),
            wall: Wall(NOON * 1_000_000_000 + wall * 1_000_000),
        }
    }

    #[test]
    fn a_steady_clock_is_believed() {
        let trust = ClockTrust::new(at(0, 0));
        assert!(!trust.is_doubtful(at(3_600_000, 3_600_900), SKEW));
        assert!(
            !trust.is_doubtful(at(5, 6), Duration::ZERO),
            "noise between two readings"
        );
    }

    #[test]
    fn a_jump_is_doubted_until_the_server_agrees() {
        let hour = 3_600_000;
        for (wall, date) in [(hour, NOON + 3600), (-hour, NOON - 3600)] {
            let mut trust = ClockTrust::new(at(0, 0));
            assert!(trust.is_doubtful(at(1, wall), SKEW));
            assert!(!trust.is_doubtful(at(1, wall), Duration::MAX));
            trust.observe(at(1, wall), at(2, wall), NOON, SKEW);
            assert!(
                trust.is_doubtful(at(2, wall), SKEW),
                "the server says that the new time is wrong"
            );
            trust.observe(at(1, wall), at(2, wall), date, SKEW);
            assert!(!trust.is_doubtful(at(2, wall), SKEW));
        }
    }

    #[test]
    fn a_contradiction_needs_more_than_skew_and_the_headers_second() {
        // The server stamped noon, between 0 and 200 ms by our monotonic clock.
        for (wall, doubtful) in [
            (-1001, true),
            (-999, false),
            (0, false),
            (2199, false),
            (2201, true),
        ] {
            let mut trust = ClockTrust::new(at(200, wall));
            trust.observe(at(0, wall - 200), at(200, wall), NOON, SKEW);
            assert_eq!(trust.is_doubtful(at(200, wall), SKEW), doubtful, "{wall}");
        }
    }

    #[test]
    fn the_difference_allows_for_the_headers_second() {
        assert_eq!(ClockTrust::new(at(0, 0)).difference(at(0, 0)), None);
        for (wall, off) in [(-1500, 1500), (0, 0), (1200, 0), (2200, 1000)] {
            let mut trust = ClockTrust::new(at(200, wall));
            trust.observe(at(0, wall - 200), at(200, wall), NOON, SKEW);
            let difference = trust.difference(at(200, wall));
            assert_eq!(difference, Some(Duration::from_millis(off)), "{wall}");
        }
    }

    #[test]
    fn a_date_that_no_server_can_have_is_passed_over() {
        let mut trust = ClockTrust::new(at(0, 0));
        trust.observe(at(0, 0), at(0, 0), 253_402_300_799, SKEW);
        assert!(!trust.is_doubtful(at(0, 0), SKEW));
        assert_eq!(trust.expiry_base(at(0, 0)), at(0, 0).wall);
        assert_eq!(trust.signing_time(at(0, 0)), at(0, 0).wall);
    }

    #[test]
    fn a_clock_that_stood_still_is_doubted() {
        let mut trust = ClockTrust::new(at(0, 0));
        trust.observe(at(0, 0), at(10, 10), NOON, SKEW);
        assert!(
            trust.is_doubtful(at(20, 600_000), SKEW),
            "ten minutes of sleep"
        );
    }

    #[test]
    fn an_expiry_counts_from_the_latest_time_that_anything_vouches_for() {
        let mut trust = ClockTrust::new(at(0, 0));
        let base = |trust: &ClockTrust, now| trust.expiry_base(now).0 / 1_000_000 - NOON * 1000;
        assert_eq!(base(&trust, at(50, 60)), 60);
        assert_eq!(
            base(&trust, at(50, -3_600_000)),
            50,
            "the clock was set back"
        );
        trust.observe(at(50, 60), at(60, 60), NOON + 10, SKEW);
        assert_eq!(base(&trust, at(70, 70)), 10_010, "the server is ahead");
    }

    #[test]
    fn signatures_follow_the_server_where_the_clock_is_far_off() {
        let mut trust = ClockTrust::new(at(0, 0));
        assert_eq!(trust.signing_time(at(5, 5)), at(5, 5).wall);
        trust.observe(at(0, 0), at(0, 0), NOON + 30, SKEW);
        assert_eq!(
            trust.signing_time(at(5, 5)),
            at(5, 5).wall,
            "within what AWS allows"
        );
        trust.observe(at(0, 0), at(0, 0), NOON + 1200, SKEW);
        assert_eq!(trust.signing_time(at(5, 5)).0 / 1_000_000_000, NOON + 1200);
        trust.observe(at(0, 0), at(0, 0), NOON - 1200, SKEW);
        assert_eq!(trust.signing_time(at(5, 5)).0 / 1_000_000_000, NOON - 1200);
    }

    #[test]
    fn signatures_follow_our_clock_after_a_suspend() {
        let mut trust = ClockTrust::new(at(0, 0));
        trust.observe(at(0, 0), at(0, 0), NOON, SKEW);
        // The monotonic clock stood still for ten minutes.
        let woken = at(5, 600_000);
        assert_eq!(trust.signing_time(woken), woken.wall);
        // A clock that is really wrong is corrected by the next answer.
        trust.observe(woken, woken, NOON, SKEW);
        assert_eq!(trust.signing_time(woken).0 / 1_000_000_000, NOON);
    }
}
