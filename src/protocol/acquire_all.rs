//! Acquiring several locks in one transaction: all of them, or none.
//!
//! One *try* is one transaction under one token, with a version for each lock. Where its outcome
//! is open it is sent again as the same bytes, for DynamoDB to tell one from two; where it is known
//! not to be applied, or half of a lease is over, another try follows, with a token and versions
//! of its own. What is held is watched across the tries, as by a single waiter.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};
use crate::error::Error;
use crate::options::Terms;
use crate::wire::{Failure, FailureKind, Item, Outcome, Reasons, Transaction};

use super::acquire::Acquired;
use super::attributes::{BadAttribute, LockState, readable};
use super::backoff::Jitter;
use super::one_try::{GivenUp, Try};
use super::retry::{RetryBudget, RetryPolicy};
use super::transaction::failure_of;
use super::watch::{Clocks, Sight, Watch};

/// A throttled waiter doubles its interval up to this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(20);

/// One acquisition of several locks on its way.
#[derive(Debug)]
pub(crate) struct AcquireAll {
    terms: Vec<Arc<Terms>>,
    watches: Vec<Watch>,
    current: Option<Try>,
    failures: u32,
    throttles: u32,
    last_failure: Option<Failure>,
    /// The locks that were held when last seen.
    held: Vec<usize>,
    next_at: Monotonic,
}

/// What an answer means for the acquisition.
#[derive(Debug)]
pub(crate) enum AllVerdict {
    /// All are locked. `recovered`: as a refusal showed.
    Locked {
        recovered: bool,
    },
    /// Another holds one; try again at `next_at`.
    Held,
    /// Try again at `next_at`.
    Again,
    Failed(Error),
}

/// What surrounds an answer to a set.
pub(crate) struct AllSurroundings<'a> {
    /// When the answer arrived.
    pub(crate) now: Moment,
    /// Whether the wall clock is known to be off by more than this.
    pub(crate) is_doubtful: &'a dyn Fn(Duration) -> bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) budget: &'a mut RetryBudget,
    pub(crate) jitter: &'a mut Jitter,
    /// Whether a version was given up by this client.
    pub(crate) is_abandoned: &'a dyn Fn(&str) -> bool,
}

impl AcquireAll {
    /// The first attempt is due at once.
    pub(crate) fn new(terms: Vec<Arc<Terms>>, now: Moment) -> Self {
        Self {
            watches: terms.iter().map(|_| Watch::default()).collect(),
            terms,
            current: None,
            failures: 0,
            throttles: 0,
            last_failure: None,
            held: Vec::new(),
            next_at: now.mono,
        }
    }

    pub(crate) fn terms(&self) -> &[Arc<Terms>] {
        &self.terms
    }

    /// When the next attempt is due.
    pub(crate) fn next_at(&self) -> Monotonic {
        self.next_at
    }

    /// Whether the next attempt must begin another try.
    pub(crate) fn wants_new_try(&self, now: Moment) -> bool {
        let current = self.current.as_ref();
        current.is_none_or(|it| it.is_sent() && (!it.is_unsettled() || self.is_half_over(now)))
    }

    /// Another try: its token, and as many versions as there are locks.
    pub(crate) fn begin(&mut self, token: String, versions: Vec<String>) {
        self.current = Some(Try::new(token, versions));
    }

    /// Ends the try. What it has locked or may have is nobody's from here on.
    pub(crate) fn give_up(&mut self) -> Option<GivenUp> {
        let last = self.current.take()?;
        Some(last.given_up(self.terms.clone()))
    }

    /// The locks, each with its version in this try.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&Terms, &str)> {
        let versions = self.current.iter().flat_map(Try::versions);
        self.terms
            .iter()
            .map(|terms| &**terms)
            .zip(versions.map(String::as_str))
    }

    /// Whether an attempt may have locked the items without our knowing.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.current.as_ref().is_some_and(Try::is_unsettled)
    }

    /// The shortest of the leases that can be acquired now.
    pub(crate) fn shortest_lease(&self, now: Moment) -> Duration {
        let leases = self.terms.iter().map(|terms| terms.longest_lease(now));
        leases.min().unwrap_or_default()
    }

    /// Whether a deadline is too near for acquiring.
    pub(crate) fn is_late(&self, now: Moment) -> bool {
        self.terms.iter().any(|terms| terms.is_late(now))
    }

    /// Whether a lease of this try is half over: it would hardly be begun when it is handed out.
    pub(crate) fn is_half_over(&self, now: Moment) -> bool {
        self.half_left(now).is_zero()
    }

    /// How long it is until then.
    pub(crate) fn half_left(&self, now: Moment) -> Duration {
        let current = self.current.as_ref();
        let left = current.and_then(|current| current.half_left(now));
        left.unwrap_or_else(|| self.shortest_lease(now) / 2)
    }

    /// An attempt, to be sent right away. It may have been applied from here on.
    pub(crate) fn attempt(
        &mut self,
        now: Moment,
        expiry_base: Wall,
        is_doubtful: &dyn Fn(Duration) -> bool,
    ) -> Option<Transaction<'_>> {
        let (terms, watches) = (&self.terms, &self.watches);
        let current = self.current.as_mut()?;
        Some(current.attempt(terms, watches, now, expiry_base, is_doubtful))
    }

    /// Takes the outcome of the last attempt.
    pub(crate) fn answered(
        &mut self,
        outcome: Outcome<Reasons>,
        around: AllSurroundings<'_>,
    ) -> AllVerdict {
        if let (Outcome::Refused(_) | Outcome::NotApplied(_), Some(current)) =
            (&outcome, &mut self.current)
        {
            current.not_applied();
        }
        match outcome {
            Outcome::Applied(_) => AllVerdict::Locked { recovered: false },
            Outcome::Refused(reasons) => self.refused(reasons, around),
            Outcome::NotApplied(failure) | Outcome::Unknown(failure) => {
                self.failed(failure, around)
            }
        }
    }

    /// Takes note that an attempt could not even be made, or that nobody could look afterwards.
    pub(crate) fn failed(&mut self, failure: Failure, around: AllSurroundings<'_>) -> AllVerdict {
        if !failure.kind.is_passing() {
            return AllVerdict::Failed(Error::failed(failure));
        }
        self.failures = self.failures.saturating_add(1);
        let pause = if failure.kind == FailureKind::Throttled {
            self.throttles = self.throttles.saturating_add(1);
            let pause = around.jitter.around(self.interval());
            pause.max(failure.wanted_pause())
        } else {
            let pace = self.interval();
            let (budget, jitter) = (around.budget, around.jitter);
            around
                .retry
                .pause(self.failures, &failure, pace, budget, jitter)
        };
        self.last_failure = Some(failure);
        self.next_at = around.now.mono.plus(pause);
        AllVerdict::Again
    }

    /// Takes note that what was locked came too late, or did not stay. Another try rests first.
    pub(crate) fn in_vain(&mut self, now: Moment, jitter: &mut Jitter) {
        self.next_at = now.mono.plus(jitter.around(self.interval()));
    }

    fn refused(&mut self, reasons: Reasons, around: AllSurroundings<'_>) -> AllVerdict {
        let mut failed = Vec::new();
        let mut passing: Option<Failure> = None;
        let mut sights = Vec::new();
        for (at, reason) in reasons.into_iter().enumerate() {
            let (Some(reason), Some(terms)) = (reason, self.terms.get(at)) else {
                continue;
            };
            if !reason.is_condition() {
                let failure = failure_of(reason);
                match failure.kind {
                    kind if !kind.is_passing() => failed.push((at, Error::failed(failure))),
                    FailureKind::Throttled => passing = Some(failure),
                    _ => passing = passing.or(Some(failure)),
                }
                continue;
            }
            let state = match reason.item {
                Some(item) => readable(&item, &terms.names).map_err(Error::from),
                None if terms.existing_only => Err(Error::item_not_found()),
                None => Err(Error::request(
                    "DynamoDB refused the write without showing the item",
                )),
            };
            let ours = |state: &LockState| {
                let current = self.current.as_ref();
                current.is_some_and(|it| it.is_ours(at, state))
            };
            match state {
                Ok(state) if ours(&state) => {
                    return AllVerdict::Locked { recovered: true };
                }
                Ok(state) => sights.push((at, state)),
                Err(error) => failed.push((at, error)),
            }
        }
        if !failed.is_empty() {
            return AllVerdict::Failed(self.joined(failed));
        }
        if sights.is_empty() {
            let empty = || Failure::of(FailureKind::BadAnswer, "no lock was to blame");
            return self.failed(passing.unwrap_or_else(empty), around);
        }
        self.failures = 0;
        self.throttles = 0;
        self.last_failure = None;
        self.held_by(sights, around)
    }

    /// Watches the locks of others, and wakes when all are due to be dead.
    fn held_by(
        &mut self,
        sights: Vec<(usize, LockState)>,
        around: AllSurroundings<'_>,
    ) -> AllVerdict {
        let now = around.now;
        let interval_ends = now.mono.plus(around.jitter.around(self.interval()));
        let mut wake = now.mono;
        let mut all_dead = true;
        self.held.clear();
        for (at, state) in sights {
            let (Some(watch), Some(terms)) = (self.watches.get_mut(at), self.terms.get(at)) else {
                continue;
            };
            let skew = terms.max_clock_skew;
            let doubtful = (around.is_doubtful)(skew);
            let clocks = Clocks {
                now,
                skew,
                doubtful,
            };
            let due = match watch.see(state, clocks, around.is_abandoned) {
                Sight::Dead => continue,
                Sight::Held(due) => {
                    self.held.push(at);
                    due
                }
                Sight::StillDead => {
                    self.held.push(at);
                    None
                }
                // Somebody was faster in between.
                Sight::Free => None,
            };
            all_dead = false;
            wake = wake.max(due.unwrap_or(interval_ends));
        }
        self.next_at = wake.min(interval_ends);
        match all_dead {
            true => AllVerdict::Again,
            false => AllVerdict::Held,
        }
    }

    /// Takes what was read of a lock after all were locked; `None` where it is no longer ours.
    pub(crate) fn confirmed(
        &self,
        at: usize,
        item: Item,
        recovered: bool,
    ) -> Result<Option<Acquired>, BadAttribute> {
        match (&self.current, self.terms.get(at)) {
            (Some(current), Some(terms)) => current.confirmed(at, terms, item, recovered),
            _ => Ok(None),
        }
    }

    /// The error of an acquisition that is given up because the time is up.
    pub(crate) fn out_of_time(&self) -> Error {
        if let Some(failure) = &self.last_failure {
            return Error::out_of_time(Some(failure.clone()));
        }
        let held = self.held.iter().filter_map(|at| {
            let holder = self.watches.get(*at)?.holder()?.clone();
            Some((*at, Error::held(Some(holder))))
        });
        let held: Vec<_> = held.collect();
        match held.is_empty() {
            true => Error::out_of_time(None),
            false => self.joined(held),
        }
    }

    fn joined(&self, errors: Vec<(usize, Error)>) -> Error {
        let mut errors = errors.into_iter().map(|(at, error)| {
            let table = self.terms.get(at).map_or("", |terms| &terms.table);
            error.of_entry(at, table)
        });
        let first = errors.next();
        let first = first.unwrap_or_else(|| Error::out_of_time(None));
        first.beside(errors)
    }

    /// The longest of the retry intervals, doubled for each throttling in a row.
    fn interval(&self) -> Duration {
        let intervals = self.terms.iter().map(|terms| terms.retry_interval);
        let longest = intervals.max().unwrap_or_default();
        let doubled = longest.saturating_mul(1 << self.throttles.min(16));
        doubled.min(LONGEST_INTERVAL.max(longest))
    }
}

#[cfg(test)]
#[path = "acquire_all_tests.rs"]
mod tests;
