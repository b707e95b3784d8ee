//! Readings of the two clocks, and the only place that reads them.
//!
//! A lease is judged by both: the monotonic clock stands still while some machines sleep,
//! and the wall clock can be set. Whichever says first that a lease is over is believed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds on the monotonic clock, since an origin of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Monotonic(pub(crate) u64);

/// Nanoseconds on the wall clock, since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wall(pub(crate) i64);

/// Both clocks, read together; the monotonic one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) mono: Monotonic,
    pub(crate) wall: Wall,
}

impl Monotonic {
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(unsigned_nanos(duration)))
    }

    /// How long from `earlier` to here; zero where `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Wall {
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    pub(crate) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// How long from `earlier` to here; zero where `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// The instant as the wall clock has it.
    pub(crate) fn of(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(nanos(since)),
            Err(before) => Self(-nanos(before.duration())),
        }
    }

    /// The same instant as the standard library has it.
    pub(crate) fn system_time(self) -> SystemTime {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        let time = if self.0 < 0 {
            UNIX_EPOCH.checked_sub(distance)
        } else {
            UNIX_EPOCH.checked_add(distance)
        };
        time.unwrap_or(UNIX_EPOCH)
    }
}

/// A duration in nanoseconds; past 292 years the largest that fits.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn unsigned_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The clocks of this machine.
#[derive(Debug)]
pub(crate) struct SystemClock {
    origin: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is the place")]
impl SystemClock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    pub(crate) fn read(&self) -> Moment {
        let mono = Monotonic(unsigned_nanos(self.origin.elapsed()));
        let wall = Wall::of(SystemTime::now());
        Moment { mono, wall }
    }

    /// The instant of a monotonic reading; `None` beyond what the platform can hold.
    pub(crate) fn instant(&self, at: Monotonic) -> Option<Instant> {
        self.origin.checked_add(Duration::from_nanos(at.0))
    }
}
