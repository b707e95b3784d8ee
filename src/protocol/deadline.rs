//! The end of a lease, by both clocks.

use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};

/// The end of a lease: whichever clock reaches it first is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) mono: Monotonic,
    pub(crate) wall: Wall,
}

impl Deadline {
    /// `lease` after `start`.
    pub(crate) fn after(start: Moment, lease: Duration) -> Self {
        Self {
            mono: start.mono.plus(lease),
            wall: start.wall.plus(lease),
        }
    }

    pub(crate) fn has_passed(&self, now: Moment) -> bool {
        self.remaining(now).is_zero()
    }

    /// What is left of it; zero once it has passed.
    pub(crate) fn remaining(&self, now: Moment) -> Duration {
        self.mono.since(now.mono).min(self.wall.since(now.wall))
    }

    /// The earlier of the two, by each clock.
    pub(crate) fn min(self, other: Self) -> Self {
        Self {
            mono: self.mono.min(other.mono),
            wall: self.wall.min(other.wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono: u64, wall: i64) -> Moment {
        Moment {
            mono: Monotonic(mono),
            wall: Wall(wall),
        }
    }

    #[test]
    fn either_clock_ends_it() {
        let deadline = Deadline::after(at(100, 5_000), Duration::from_nanos(10));
        assert_eq!(deadline.remaining(at(104, 5_001)), Duration::from_nanos(6));
        assert!(!deadline.has_passed(at(109, 5_009)));
        assert!(
            deadline.has_passed(at(110, 5_000)),
            "the machine slept by the wall clock only"
        );
        assert!(
            deadline.has_passed(at(100, 5_010)),
            "the monotonic clock stood still"
        );
        assert!(
            !deadline.has_passed(at(109, -1)),
            "the wall clock was set back"
        );
    }
}
