//! Acquiring: when to try, what to send, and whose lock an answer shows.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};
use crate::error::Error;
use crate::options::{AttributeNames, Terms};
use crate::wire::{Failure, FailureKind, Item, Outcome, Write};

use super::attributes::{BadAttribute, LARGEST_FENCE, LockState, without_lock};
use super::backoff::Jitter;
use super::lease::{Lease, Lost, Written, loss};
use super::retry::{RetryBudget, RetryPolicy};
use super::token::LeaseToken;
use super::watch::{Clocks, Sight, Watch};
use super::writes::{self, AcquireWrite};

/// Attempts that are remembered so that a refusal can be recognised as our own lock.
const MOST_ATTEMPTS: usize = 64;
/// A throttled waiter doubles its interval up to this.
const LONGEST_INTERVAL: Duration = Duration::from_secs(20);

/// One acquisition on its way: one version, any number of attempts.
#[derive(Debug)]
pub(crate) struct Acquire {
    version: String,
    attempts: VecDeque<Attempt>,
    /// The lease that it goes on with, in place of acquiring a free lock.
    handed_on: Option<Box<dyn HandedOn>>,
    /// The largest `expires` ever sent.
    latest: i64,
    /// Whether an attempt may have been applied, or may yet be.
    unsettled: bool,
    /// The same, of all attempts but the last.
    unsettled_before: bool,
    watch: Watch,
    failures: u32,
    throttles: u32,
    last_failure: Option<Failure>,
    next_at: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    expires: i64,
    sent: Moment,
}

/// A lease to go on with. Behind a trait, so that a program that never does has none of it.
trait HandedOn: fmt::Debug + Send {
    fn resume<'t>(&self, terms: &'t Terms, version: &str, expires: i64) -> Write<'t>;

    /// What a refusal says about its loss.
    fn lost(&self, item: Option<&Item>, names: &AttributeNames) -> Lost;
}

impl HandedOn for LeaseToken {
    fn resume<'t>(&self, terms: &'t Terms, version: &str, expires: i64) -> Write<'t> {
        writes::resume(terms, self, version, expires)
    }

    fn lost(&self, item: Option<&Item>, names: &AttributeNames) -> Lost {
        loss(item, names, self.version())
    }
}

/// What an answer means for the acquisition.
#[derive(Debug)]
pub(crate) enum Verdict {
    Acquired(Box<Acquired>),
    /// Another holds the lock; try again at `next_at`.
    Held,
    /// Try again at `next_at`.
    Again,
    Failed(Error),
}

/// A lock that is ours.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) lease: Lease,
    /// The item without the lock.
    pub(crate) item: Item,
    /// A refusal showed that an earlier attempt had been applied.
    pub(crate) recovered: bool,
}

/// What surrounds an answer.
pub(crate) struct Surroundings<'a> {
    pub(crate) terms: &'a Terms,
    /// When the answer arrived.
    pub(crate) now: Moment,
    /// Whether the wall clock is known to be off.
    pub(crate) doubtful: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) budget: &'a mut RetryBudget,
    pub(crate) jitter: &'a mut Jitter,
    /// Whether a version was given up by this client.
    pub(crate) is_abandoned: &'a dyn Fn(&str) -> bool,
}

impl Acquire {
    /// An acquisition under a version of its own. The first attempt is due at once.
    pub(crate) fn new(version: String, now: Moment) -> Self {
        Self {
            version,
            attempts: VecDeque::new(),
            handed_on: None,
            latest: 0,
            unsettled: false,
            unsettled_before: false,
            watch: Watch::default(),
            failures: 0,
            throttles: 0,
            last_failure: None,
            next_at: now.mono,
        }
    }

    /// Goes on with a lease that was handed on, under a version of its own.
    pub(crate) fn resuming(version: String, token: LeaseToken, now: Moment) -> Self {
        Self {
            latest: token.expires().iter().copied().max().unwrap_or(0),
            handed_on: Some(Box::new(token)),
            ..Self::new(version, now)
        }
    }

    pub(crate) fn is_resuming(&self) -> bool {
        self.handed_on.is_some()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// When the next attempt is due.
    pub(crate) fn next_at(&self) -> Monotonic {
        self.next_at
    }

    /// Whether an attempt may have locked the item without our knowing.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Whether the lock may be left behind, where nobody waits for the last attempt any more and
    /// this came of it.
    pub(crate) fn may_have_locked(&self, last: &Outcome, names: &AttributeNames) -> bool {
        match last {
            Outcome::Applied(_) | Outcome::Unknown(_) => true,
            Outcome::NotApplied(_) => self.unsettled_before,
            Outcome::Refused(item) => self.unsettled_before || self.shows_us(item.as_ref(), names),
        }
    }

    fn shows_us(&self, item: Option<&Item>, names: &AttributeNames) -> bool {
        item.and_then(|item| LockState::of(item, names).ok())
            .is_some_and(|state| state.version.as_deref() == Some(&self.version))
    }

    /// The error of an acquisition that is given up because the time is up.
    pub(crate) fn out_of_time(&self) -> Error {
        match (self.watch.holder(), &self.last_failure) {
            (_, Some(failure)) => Error::out_of_time(Some(failure.clone())),
            (Some(holder), None) => Error::held(Some(holder.clone())),
            (None, None) => Error::out_of_time(None),
        }
    }

    /// An attempt, to be sent right away. It may have been applied from here on.
    pub(crate) fn attempt<'t>(
        &mut self,
        terms: &'t Terms,
        now: Moment,
        expiry_base: Wall,
        doubtful: bool,
    ) -> Write<'t> {
        self.latest = expiry_base
            .plus(terms.lease)
            .0
            .max(self.latest.saturating_add(1));
        self.attempts.truncate(MOST_ATTEMPTS - 1);
        self.attempts.push_front(Attempt {
            expires: self.latest,
            sent: now,
        });
        self.unsettled_before = self.unsettled;
        self.unsettled = true;
        if let Some(token) = &self.handed_on {
            return token.resume(terms, &self.version, self.latest);
        }
        writes::acquire(
            terms,
            &AcquireWrite {
                version: &self.version,
                expires: self.latest,
                unix_millis: (expiry_base.0 / 1_000_000).max(0),
                dead_before: (!doubtful).then(|| now.wall.minus(terms.max_clock_skew).0),
                seen_dead: self.watch.dead_pair(now),
            },
        )
    }

    /// Takes the outcome of the last attempt.
    pub(crate) fn answered(&mut self, outcome: Outcome, around: Surroundings<'_>) -> Verdict {
        match outcome {
            Outcome::Applied(item) => self.applied(item, around.terms),
            Outcome::Refused(item) => {
                self.unsettled = self.unsettled_before;
                self.refused(item, around)
            }
            Outcome::NotApplied(failure) => {
                self.unsettled = self.unsettled_before;
                self.failed(failure, around)
            }
            Outcome::Unknown(failure) => self.failed(failure, around),
        }
    }

    /// Takes note that an attempt could not even be made.
    pub(crate) fn not_attempted(&mut self, failure: Failure, around: Surroundings<'_>) -> Verdict {
        self.failed(failure, around)
    }

    fn applied(&mut self, item: Item, terms: &Terms) -> Verdict {
        let state = match LockState::of(&item, &terms.names) {
            Ok(state) => state,
            Err(bad) => return Verdict::Failed(bad.into()),
        };
        let ours = state.version.as_deref() == Some(&self.version);
        match self.attempts.front().copied() {
            Some(attempt) if ours && state.expires == Some(attempt.expires) => {
                self.acquired(attempt, item, &state, terms, false)
            }
            _ => Verdict::Failed(Error::request(
                "DynamoDB's answer shows another lock than the one that was written",
            )),
        }
    }

    fn refused(&mut self, item: Option<Item>, around: Surroundings<'_>) -> Verdict {
        let terms = around.terms;
        if let Some(token) = &self.handed_on
            && !self.shows_us(item.as_ref(), &terms.names)
        {
            return Verdict::Failed(token.lost(item.as_ref(), &terms.names).into());
        }
        let Some(item) = item else {
            return Verdict::Failed(if terms.existing_only {
                Error::item_not_found()
            } else {
                Error::request("DynamoDB refused the write without showing the item")
            });
        };
        let state = match readable(&item, &terms.names) {
            Ok(state) => state,
            Err(bad) => return Verdict::Failed(bad.into()),
        };
        let ours = state.version.as_deref() == Some(&self.version);
        let sent = self
            .attempts
            .iter()
            .find(|attempt| ours && state.expires == Some(attempt.expires));
        if let Some(attempt) = sent.copied() {
            return self.acquired(attempt, item, &state, terms, true);
        }
        self.failures = 0;
        self.throttles = 0;
        self.last_failure = None;
        self.held_by(state, around)
    }

    fn acquired(
        &self,
        attempt: Attempt,
        item: Item,
        state: &LockState,
        terms: &Terms,
        recovered: bool,
    ) -> Verdict {
        let Some(fence) = state.fence else {
            return Verdict::Failed(Error::request("DynamoDB's answer shows no fencing token"));
        };
        let item = without_lock(item, &terms.names);
        let deletable = item.iter().all(|(name, _)| terms.key.contains(name));
        let standing = Written::at(attempt.sent, attempt.expires, terms.lease);
        Verdict::Acquired(Box::new(Acquired {
            lease: Lease::new(
                self.version.clone(),
                fence,
                standing,
                self.latest,
                deletable,
            ),
            item,
            recovered,
        }))
    }

    /// Watches another's lock, and wakes when it is due to be dead.
    fn held_by(&mut self, state: LockState, around: Surroundings<'_>) -> Verdict {
        let (now, terms) = (around.now, around.terms);
        let clocks = Clocks {
            now,
            skew: terms.max_clock_skew,
            doubtful: around.doubtful,
        };
        let interval_ends = now
            .mono
            .plus(around.jitter.around(self.interval(around.terms)));
        let version = &self.version;
        let sight = self.watch.see(state, clocks, |other| {
            other == version || (around.is_abandoned)(other)
        });
        self.next_at = match sight {
            Sight::Dead => now.mono,
            Sight::Held(Some(due)) => interval_ends.min(due),
            // If it is free, somebody was faster in between.
            Sight::Held(None) | Sight::Free => interval_ends,
        };
        match sight {
            Sight::Dead => Verdict::Again,
            Sight::Held(_) | Sight::Free => Verdict::Held,
        }
    }

    fn failed(&mut self, failure: Failure, around: Surroundings<'_>) -> Verdict {
        if !failure.kind.is_passing() {
            return Verdict::Failed(Error::failed(failure));
        }
        self.failures = self.failures.saturating_add(1);
        let pause = if failure.kind == FailureKind::Throttled {
            self.throttles = self.throttles.saturating_add(1);
            let pause = around.jitter.around(self.interval(around.terms));
            pause.max(failure.wanted_pause())
        } else {
            let pace = around.terms.retry_interval;
            let (budget, jitter) = (around.budget, around.jitter);
            around
                .retry
                .pause(self.failures, &failure, pace, budget, jitter)
        };
        self.last_failure = Some(failure);
        self.next_at = around.now.mono.plus(pause);
        Verdict::Again
    }

    /// The retry interval, doubled for each throttling in a row.
    fn interval(&self, terms: &Terms) -> Duration {
        let doubled = terms
            .retry_interval
            .saturating_mul(1 << self.throttles.min(16));
        doubled.min(LONGEST_INTERVAL.max(terms.retry_interval))
    }
}

/// Reads the lock, and refuses one whose fencing token cannot be raised any more.
pub(super) fn readable(item: &Item, names: &AttributeNames) -> Result<LockState, BadAttribute> {
    let state = LockState::of(item, names)?;
    match state.fence {
        Some(fence) if fence > LARGEST_FENCE.unsigned_abs() => Err(BadAttribute {
            name: names.fence.clone(),
            problem: "it has reached 2^63 and cannot be raised any more",
        }),
        _ => Ok(state),
    }
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;
