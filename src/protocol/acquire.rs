//! Acquiring: when to try, what to send, and whose lock an answer shows.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};
use crate::error::Error;
use crate::options::{AttributeNames, Terms};
use crate::wire::{Failure, FailureKind, Item, Outcome, Prepared, Read, Write};

use super::attributes::{Holder, LockState, readable, without_lock};
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
/// The first waits, in hundredths of the retry interval: what is held briefly is soon free. That
/// takes tries, for which some longer waits make up, but for two: however long the interval is.
const FIRST_WAITS: [u32; 9] = [10, 20, 50, 80, 80, 90, 120, 120, 120];

/// One acquisition on its way: one version, any number of attempts, and reads between them.
#[derive(Debug)]
pub(crate) struct Acquire {
    version: String,
    /// Whether the next request only looks.
    reading: bool,
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
    /// How often another was seen to hold the lock.
    waits: usize,
    failures: u32,
    throttles: u32,
    last_failure: Option<Failure>,
    /// When the last request was sent.
    sent_at: Monotonic,
    /// When the retry interval allows whoever reads another request.
    allowed_at: Monotonic,
    next_at: Monotonic,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    expires: i64,
    lease: Duration,
    sent: Moment,
}

/// A lease to go on with. Behind a trait, so that a program that never does has none of it.
pub(crate) trait HandedOn: fmt::Debug + Send {
    /// The largest `expires` that may stand.
    fn latest(&self) -> i64;

    fn resume<'t>(
        &self,
        terms: &'t Terms,
        version: &str,
        expires: i64,
        lease: Duration,
    ) -> Write<'t>;

    /// What a refusal says about its loss.
    fn lost(&self, item: Option<&Item>, names: &AttributeNames) -> Lost;
}

impl HandedOn for LeaseToken {
    fn latest(&self) -> i64 {
        self.expires().iter().copied().max().unwrap_or(0)
    }

    fn resume<'t>(
        &self,
        terms: &'t Terms,
        version: &str,
        expires: i64,
        lease: Duration,
    ) -> Write<'t> {
        writes::resume(terms, self, version, expires, lease)
    }

    fn lost(&self, item: Option<&Item>, names: &AttributeNames) -> Lost {
        loss(item, names, self.version())
    }
}

/// Reads a lock's attributes, and nothing else of its item.
pub(crate) fn read_lock(terms: &Terms) -> Prepared {
    Read::of(&terms.table, &terms.key, &terms.names.all()).into()
}

/// What an answer means for the acquisition.
#[derive(Debug)]
pub(crate) enum Verdict {
    Acquired(Box<Acquired>),
    /// Another holds the lock; try again at `next_at`.
    Held,
    /// Nobody holds the lock any more; the next attempt is due at once.
    Free,
    /// It failed for a passing reason; try again at `next_at`.
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
            reading: false,
            attempts: VecDeque::new(),
            handed_on: None,
            latest: 0,
            unsettled: false,
            unsettled_before: false,
            watch: Watch::default(),
            waits: 0,
            failures: 0,
            throttles: 0,
            last_failure: None,
            sent_at: now.mono,
            allowed_at: now.mono,
            next_at: now.mono,
        }
    }

    /// Goes on with a lease that was handed on, under a version of its own.
    pub(crate) fn resuming(version: String, lease: Box<dyn HandedOn>, now: Moment) -> Self {
        Self {
            latest: lease.latest(),
            handed_on: Some(lease),
            ..Self::new(version, now)
        }
    }

    /// The same, to look before any attempt.
    pub(crate) fn reading(version: String, now: Moment) -> Self {
        Self {
            reading: true,
            ..Self::new(version, now)
        }
    }

    pub(crate) fn is_resuming(&self) -> bool {
        self.handed_on.is_some()
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether the next request is a read, and no attempt.
    pub(crate) fn is_reading(&self) -> bool {
        self.reading
    }

    /// Whoever was last seen to hold the lock.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.watch.holder()
    }

    /// When the next request is due.
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
        let lease = terms.lease_from(now, expiry_base);
        self.latest = expiry_base.plus(lease).0.max(self.latest.saturating_add(1));
        self.sent_at = now.mono;
        self.attempts.truncate(MOST_ATTEMPTS - 1);
        self.attempts.push_front(Attempt {
            expires: self.latest,
            lease,
            sent: now,
        });
        self.unsettled_before = self.unsettled;
        self.unsettled = true;
        if let Some(token) = &self.handed_on {
            return token.resume(terms, &self.version, self.latest, lease);
        }
        writes::acquire(
            terms,
            &AcquireWrite {
                version: &self.version,
                expires: self.latest,
                lease,
                unix_millis: (expiry_base.0 / 1_000_000).max(0),
                dead_before: (!doubtful).then(|| now.wall.minus(terms.max_clock_skew).0),
                seen_dead: self.watch.dead_pair(now),
            },
        )
    }

    /// A look at the lock, to be sent right away. It changes nothing.
    pub(crate) fn read(&mut self, terms: &Terms, now: Moment) -> Option<Prepared> {
        let read = terms.polling.filter(|_| self.reading)?;
        self.sent_at = now.mono;
        Some(read(terms))
    }

    /// Takes the outcome of the last request.
    pub(crate) fn answered(&mut self, outcome: Outcome, around: Surroundings<'_>) -> Verdict {
        match outcome {
            Outcome::Applied(item) if self.reading => self.shown(Some(item), around),
            Outcome::Applied(item) => self.applied(item, around.terms),
            Outcome::Refused(item) => {
                self.unsettled = self.unsettled_before;
                self.shown(item, around)
            }
            Outcome::NotApplied(failure) => {
                self.unsettled = self.unsettled_before;
                self.keep_pace_when_waiting(around.terms);
                self.failed(failure, around)
            }
            Outcome::Unknown(failure) => {
                self.keep_pace_when_waiting(around.terms);
                self.failed(failure, around)
            }
        }
    }

    /// Takes note that a request could not even be made.
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

    /// A refusal or a read shows how the lock stands.
    fn shown(&mut self, item: Option<Item>, around: Surroundings<'_>) -> Verdict {
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
        // A read brings nothing but the lock: what it shows of ours is yet to be written over.
        let ours = !self.reading && state.version.as_deref() == Some(&self.version);
        let sent = self
            .attempts
            .iter()
            .find(|attempt| ours && state.expires == Some(attempt.expires));
        if let Some(attempt) = sent.copied() {
            return self.acquired(attempt, item, &state, terms, true);
        }
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
        let standing = Written::cut(attempt.sent, attempt.expires, attempt.lease, terms.lease);
        Verdict::Acquired(Box::new(Acquired {
            lease: Lease::new(
                self.version.clone(),
                fence,
                standing,
                self.latest,
                deletable,
            )
            .within(terms.limit),
            item,
            recovered,
        }))
    }

    /// Watches another's lock: when to ask again, and how.
    fn held_by(&mut self, state: LockState, around: Surroundings<'_>) -> Verdict {
        self.failures = 0;
        self.throttles = 0;
        self.last_failure = None;
        let (now, terms) = (around.now, around.terms);
        let clocks = Clocks {
            now,
            skew: terms.max_clock_skew,
            doubtful: around.doubtful,
        };
        let version = &self.version;
        let sight = self.watch.see(state, clocks, |other| {
            other == version || (around.is_abandoned)(other)
        });
        let (at_once, by_writing, due) = match sight {
            Sight::Dead => (true, true, None),
            // An attempt was refused all the same; reads would say no more.
            Sight::StillDead => (false, true, None),
            // If a refusal shows it free, somebody was faster in between.
            Sight::Free => (self.reading, self.reading, None),
            Sight::Held(due) => (false, false, due),
        };
        if terms.polling.is_some() {
            self.reading = !by_writing;
            self.keep_pace(terms);
        }
        if at_once {
            self.next_at = now.mono;
            return Verdict::Free;
        }
        self.next_at = if terms.polling.is_some() {
            self.allowed_at
        } else {
            let wait = around.jitter.around(self.next_wait(terms.retry_interval));
            let wait_ends = now.mono.plus(wait);
            due.map_or(wait_ends, |due| wait_ends.min(due))
        };
        Verdict::Held
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
        self.next_at = around.now.mono.plus(pause).max(self.allowed_at);
        Verdict::Again
    }

    /// How long to wait for another's lock: the interval in the end, and mostly less at first.
    fn next_wait(&mut self, interval: Duration) -> Duration {
        let hundredths = FIRST_WAITS.get(self.waits).copied().unwrap_or(100);
        self.waits = self.waits.saturating_add(1);
        // No further than an hour, which is the longest interval.
        interval * hundredths / 100
    }

    /// One request an interval, for whoever reads. What is sent at once is taken from the next.
    fn keep_pace(&mut self, terms: &Terms) {
        let last = self.allowed_at.max(self.sent_at);
        self.allowed_at = last.plus(terms.retry_interval);
    }

    /// The same of a request that failed, which is not repeated quickly once the lock was seen to
    /// be held. One that was sent at once has its place taken from the next interval already.
    fn keep_pace_when_waiting(&mut self, terms: &Terms) {
        let in_its_place = self.sent_at >= self.allowed_at;
        if terms.polling.is_some() && self.watch.holder().is_some() && in_its_place {
            self.keep_pace(terms);
        }
    }

    /// The retry interval, doubled for each throttling in a row.
    fn interval(&self, terms: &Terms) -> Duration {
        let doubled = terms
            .retry_interval
            .saturating_mul(1 << self.throttles.min(16));
        doubled.min(LONGEST_INTERVAL.max(terms.retry_interval))
    }
}

#[cfg(test)]
#[path = "acquire_tests.rs"]
mod tests;
