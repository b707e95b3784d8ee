//! Another's lock, watched until it is free or dead.

use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};

use super::attributes::{Holder, LockState};
use super::writes::Pair;

/// A skew with which rule 1 never comes true.
const FAR: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// What is known of another's lock.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<Seen>,
    /// The pair that was last called dead.
    told: Option<Pair>,
}

/// A lock of another's, as first seen in this state.
#[derive(Debug)]
struct Seen {
    pair: Pair,
    lease: Option<Duration>,
    since: Monotonic,
    /// It is a version that this client gave up: nobody believes in it.
    abandoned: bool,
    holder: Holder,
}

/// What a look at a lock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Free,
    /// Nobody holds it any more, and this was not told of the pair before.
    Dead,
    /// The same, and it was told before.
    StillDead,
    /// When it is due to be dead unless it is renewed; `None` where no rule can tell.
    Held(Option<Monotonic>),
}

/// By what a lock is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) now: Moment,
    pub(super) skew: Duration,
    /// Whether the wall clock is known to be off.
    pub(super) doubtful: bool,
}

impl Watch {
    /// Takes note of what an answer shows.
    pub(super) fn see(
        &mut self,
        state: LockState,
        clocks: Clocks,
        is_given_up: impl FnOnce(&str) -> bool,
    ) -> Sight {
        let Some(holder) = state.holder() else {
            return Sight::Free;
        };
        let pair = Pair {
            version: state.version,
            expires: state.expires.unwrap_or(0),
        };
        let abandoned = pair.version.as_deref().is_some_and(is_given_up);
        let seen = match self.seen.take() {
            Some(seen) if seen.pair == pair => seen,
            _ => Seen {
                pair,
                lease: state.lease,
                since: clocks.now.mono,
                abandoned,
                holder,
            },
        };
        let due = seen.due(clocks);
        let seen = self.seen.insert(seen);
        match due {
            Some(due) if due <= clocks.now.mono => {
                if self.told.as_ref() == Some(&seen.pair) {
                    return Sight::StillDead;
                }
                self.told = Some(seen.pair.clone());
                Sight::Dead
            }
            due => Sight::Held(due),
        }
    }

    /// Whoever was last seen to hold it.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.seen.as_ref().map(|seen| &seen.holder)
    }

    /// The pair that has stood for too long, by rule 2.
    pub(super) fn dead_pair(&self, now: Moment) -> Option<&Pair> {
        let seen = self.seen.as_ref().filter(|seen| seen.is_dead(now));
        seen.map(|seen| &seen.pair)
    }
}

impl Seen {
    /// Rule 2: it stood unchanged for the lease that it states and 1 % more. What nobody
    /// believes in is dead at once.
    fn is_dead(&self, now: Moment) -> bool {
        self.abandoned || self.dies_unchanged_at().is_some_and(|at| at <= now.mono)
    }

    fn dies_unchanged_at(&self) -> Option<Monotonic> {
        let lease = self.lease?;
        Some(self.since.plus(lease + lease / 100))
    }

    /// When it is dead by either rule, unless it is renewed.
    fn due(&self, clocks: Clocks) -> Option<Monotonic> {
        let now = clocks.now;
        if self.abandoned {
            return Some(now.mono);
        }
        let by_wall = (!clocks.doubtful && clocks.skew < FAR).then(|| {
            let dead = Wall(self.pair.expires)
                .plus(clocks.skew)
                .0
                .saturating_add(1);
            now.mono.plus(Wall(dead).since(now.wall))
        });
        [by_wall, self.dies_unchanged_at()]
            .into_iter()
            .flatten()
            .min()
    }
}
