//! What a lease's end means to whoever works under it. Pure: time comes in as an argument.

use std::time::Duration;

use crate::clocks::Reading;

/// The clocks are looked at this often at least: the wall clock may be set, and timers may sleep
/// with the machine.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// The end of a lease on both clocks; the one that says so first is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) mono: u64,
    pub(crate) wall: i64,
}

impl Deadline {
    /// Of a lease that was known to last `remaining` more some time after `before` was read, and
    /// to end at `wall`.
    pub(crate) fn of(before: Reading, remaining: Duration, wall: i64) -> Self {
        let remaining = u64::try_from(remaining.as_nanos()).unwrap_or(u64::MAX);
        Self {
            mono: before.mono.saturating_add(remaining),
            wall,
        }
    }

    /// How long it is until then; zero once it is past.
    pub(crate) fn left(self, now: Reading) -> Duration {
        let mono = self.mono.saturating_sub(now.mono);
        let wall = i128::from(self.wall) - i128::from(now.wall);
        let wall = u64::try_from(wall.max(0)).unwrap_or(u64::MAX);
        Duration::from_nanos(mono.min(wall))
    }
}

/// What is to be done to the child's process group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Nothing,
    /// SIGTERM. Said once.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// The guard's mind: how long the child may live.
///
/// Once it was told to end, there is no way back: a lease that is renewed after all gives it no
/// more time, since what it then does is to clean up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    deadline: Deadline,
    grace: Duration,
    orphaned: bool,
    told: bool,
}

impl Plan {
    /// `grace` before the deadline the child is told to end.
    pub(crate) fn new(deadline: Deadline, grace: Duration) -> Self {
        Self {
            deadline,
            grace,
            orphaned: false,
            told: false,
        }
    }

    /// The lease was renewed: this is its end now.
    pub(crate) fn renewed(&mut self, deadline: Deadline) {
        if !self.told && !self.orphaned {
            self.deadline = deadline;
        }
    }

    /// Nobody renews any more.
    pub(crate) fn orphaned(&mut self) {
        self.orphaned = true;
    }

    /// What is due. `Terminate` comes once, and after it `Kill` alone.
    pub(crate) fn due(&mut self, now: Reading) -> Order {
        let left = self.deadline.left(now);
        if left.is_zero() {
            Order::Kill
        } else if !self.told && (self.orphaned || left <= self.grace) {
            self.told = true;
            Order::Terminate
        } else {
            Order::Nothing
        }
    }

    /// How long to sleep before the next look.
    pub(crate) fn pause(&self, now: Reading) -> Duration {
        let left = self.deadline.left(now);
        match self.told {
            true => left.min(LOOK),
            false if self.orphaned => Duration::ZERO,
            false => left.saturating_sub(self.grace).min(LOOK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const EPOCH: i64 = 1_800_000_000_000_000_000;

    /// `mono` and `wall` seconds after the start.
    fn at(mono: u64, wall: i64) -> Reading {
        Reading {
            mono: 50 * S + mono * S,
            wall: EPOCH + wall * 1_000_000_000,
        }
    }

    /// Of a lease of `seconds` from the start.
    fn ends(seconds: u64) -> Deadline {
        let length = Duration::from_secs(seconds);
        let wall = at(0, 0).wall + i64::try_from(length.as_nanos()).unwrap();
        Deadline::of(at(0, 0), length, wall)
    }

    fn plan() -> Plan {
        Plan::new(ends(10), Duration::from_secs(2))
    }

    #[test]
    fn the_child_is_told_once_and_then_killed() {
        let mut plan = plan();
        assert_eq!(plan.due(at(0, 0)), Order::Nothing);
        assert_eq!(plan.due(at(7, 7)), Order::Nothing);
        assert_eq!(plan.due(at(8, 8)), Order::Terminate);
        assert_eq!(plan.due(at(9, 9)), Order::Nothing);
        assert_eq!(plan.due(at(10, 10)), Order::Kill);
        assert_eq!(plan.due(at(11, 11)), Order::Kill);
    }

    #[test]
    fn whoever_wakes_too_late_kills_at_once() {
        assert_eq!(plan().due(at(60, 60)), Order::Kill);
    }

    #[test]
    fn the_earlier_clock_is_believed() {
        assert_eq!(
            plan().due(at(0, 8)),
            Order::Terminate,
            "the wall clock was set"
        );
        assert_eq!(plan().due(at(0, 10)), Order::Kill);
        assert_eq!(plan().due(at(10, 0)), Order::Kill, "it was set back");
        assert_eq!(plan().due(at(10, -3600)), Order::Kill);
    }

    #[test]
    fn a_renewal_gives_more_time_until_the_child_was_told() {
        let mut renewed = plan();
        renewed.renewed(ends(15));
        assert_eq!(renewed.due(at(10, 10)), Order::Nothing);
        assert_eq!(renewed.due(at(13, 13)), Order::Terminate);
        renewed.renewed(ends(30));
        assert_eq!(renewed.due(at(15, 15)), Order::Kill, "no way back");
    }

    #[test]
    fn a_line_that_is_read_late_gives_no_time() {
        let mut plan = plan();
        // Written at 5 s of a lease that ends at 12, read at 20.
        plan.renewed(ends(12));
        assert_eq!(plan.due(at(20, 20)), Order::Kill);
    }

    #[test]
    fn an_orphan_tells_the_child_at_once_and_kills_at_the_known_end() {
        let mut plan = plan();
        plan.orphaned();
        assert_eq!(plan.pause(at(1, 1)), Duration::ZERO);
        assert_eq!(plan.due(at(1, 1)), Order::Terminate);
        plan.renewed(ends(30));
        assert_eq!(plan.due(at(9, 9)), Order::Nothing);
        assert_eq!(plan.due(at(10, 10)), Order::Kill);
    }

    #[test]
    fn pauses_end_where_something_is_due() {
        let mut plan = plan();
        assert_eq!(plan.pause(at(0, 0)), LOOK);
        assert_eq!(plan.pause(at(8, 8)), Duration::ZERO);
        plan.due(at(8, 8));
        assert_eq!(plan.pause(at(8, 8)), LOOK);
        assert_eq!(plan.pause(at(10, 10)), Duration::ZERO);
        assert_eq!(plan.pause(at(99, 99)), Duration::ZERO);
    }

    #[test]
    fn absurd_times_are_no_panic() {
        let far = Deadline::of(
            Reading {
                mono: u64::MAX,
                wall: i64::MAX,
            },
            Duration::MAX,
            i64::MAX,
        );
        let past = Reading {
            mono: 0,
            wall: i64::MIN,
        };
        assert!(far.left(past) > Duration::from_secs(1));
        assert_eq!(
            far.left(Reading {
                mono: u64::MAX,
                wall: i64::MAX
            }),
            Duration::ZERO
        );
    }
}
