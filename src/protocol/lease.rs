//! A lease: how long it holds, what renews and releases it, and when it is lost.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};
use crate::options::{AttributeNames, Limit, Terms};
use crate::wire::{Failure, FailureKind, Item, Outcome, Write};

use super::attributes::{Holder, LockState};
use super::deadline::Deadline;
use super::token::LeaseToken;
use super::writes::{self, Standing};

/// Renewals whose outcome is open, at most; `IN` takes 100 operands. Beyond, the last is resent
/// as it is, which changes nothing where it was applied.
pub(super) const MOST_PENDING: usize = 64;

/// Why a lease is lost.
///
/// ```no_run
/// use dynolock::Lost;
///
/// # async fn run(lease: dynolock::Lease) {
/// match lease.lost().await {
///     Lost::TakenOver(holder) => println!("{holder} has it now"),
///     reason => println!("lost: {reason}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// It could not be renewed in time, or its time was slept through, or the lock's
    /// [deadline](crate::Lock::deadline) has come.
    Expired,
    /// Another holds the lock, or held it last.
    TakenOver(Holder),
    /// The lock is no longer in the item: it was released by force, or the item was overwritten.
    Removed,
    /// The item is no longer in the table.
    ItemGone,
    /// The table is no longer there.
    TableGone,
    /// The credentials no longer permit writing to the table.
    AccessDenied,
    /// Another lease of its [set](crate::LeaseSet) is lost, which says why. This one may still
    /// be in its item, and is given back like one that is held.
    WithAnother,
}

impl Lost {
    /// Who has the lock now, where another took it over.
    pub fn taken_over_by(&self) -> Option<&Holder> {
        match self {
            Self::TakenOver(holder) => Some(holder),
            _ => None,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("it expired before it could be renewed"),
            Self::TakenOver(holder) => write!(f, "taken over by {holder}"),
            Self::Removed => f.write_str("the lock was removed from the item"),
            Self::ItemGone => f.write_str("the item was deleted"),
            Self::TableGone => f.write_str("the table is gone"),
            Self::AccessDenied => f.write_str("writing to the table is no longer permitted"),
            Self::WithAnother => f.write_str("another lease of its set is lost"),
        }
    }
}

/// A value of `expires` that was sent, and until when it lets us hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    expires: i64,
    lease: Duration,
    /// How long it would last without a limit.
    wanted: Duration,
    sent: Monotonic,
    deadline: Deadline,
}

impl Written {
    /// Counts from the moment before the write was sent.
    #[cfg(test)]
    pub(super) fn at(sent: Moment, expires: i64, lease: Duration) -> Self {
        Self::cut(sent, expires, lease, lease)
    }

    /// The same, where the limit may have made it shorter than it was `wanted`.
    pub(super) fn cut(sent: Moment, expires: i64, lease: Duration, wanted: Duration) -> Self {
        Self {
            expires,
            lease,
            wanted,
            sent: sent.mono,
            deadline: Deadline::after(sent, lease),
        }
    }

    pub(super) fn expires(&self) -> i64 {
        self.expires
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// Whether it ends at the limit.
    fn is_cut(&self) -> bool {
        self.lease < self.wanted
    }
}

/// One acquisition, from its first answer to its end.
#[derive(Debug)]
pub(crate) struct Lease {
    version: Arc<str>,
    fence: u64,
    /// The length of coming renewals, before the limit cuts it.
    duration: Duration,
    /// What no renewal moves the end beyond.
    limit: Limit,
    /// The last write known to stand in the item.
    standing: Written,
    /// Writes sent since, which may stand.
    pending: Vec<Written>,
    /// The largest `expires` ever sent.
    latest: i64,
    /// Whether the user has it: only then does it get lost by expiring.
    handed_out: bool,
    lost: Option<Box<Lost>>,
    /// Whether nothing but the key is in the item beside the lock.
    deletable: bool,
    release: ReleaseTries,
}

/// What is known of the attempts to release.
#[derive(Debug, Default)]
struct ReleaseTries {
    /// Whether the last one was sent while the lease was held.
    sent_while_held: bool,
    /// Whether one that was sent while the lease was held may have been applied.
    unknown: bool,
}

/// What came of a renewal.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// It stands. `recovered`: as a refusal showed.
    Done { recovered: bool },
    /// The lease is over.
    Lost(Lost),
    /// Nothing is known to have changed; another try may do.
    Failed(Failure),
}

/// What came of a release.
#[derive(Debug)]
pub(crate) enum Released {
    /// The lock is free, or was when another took it. `recovered`: as a refusal showed.
    Done { recovered: bool },
    /// It was lost before.
    Lost(Lost),
    /// Another try may do, or not.
    Failed(Failure),
}

impl Lease {
    pub(super) fn new(
        version: String,
        fence: u64,
        standing: Written,
        latest: i64,
        deletable: bool,
    ) -> Self {
        Self {
            version: version.into(),
            fence,
            duration: standing.wanted,
            limit: Limit::default(),
            standing,
            pending: Vec::new(),
            latest,
            handed_out: false,
            lost: None,
            deletable,
            release: ReleaseTries::default(),
        }
    }

    /// The same, which no write lets last beyond the limit.
    pub(super) fn within(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The same, for whoever keeps it.
    pub(crate) fn shared_version(&self) -> Arc<str> {
        self.version.clone()
    }

    pub(crate) fn fence(&self) -> u64 {
        self.fence
    }

    /// The length of coming renewals, before the limit cuts it.
    pub(crate) fn duration(&self) -> Duration {
        self.duration
    }

    /// The length that was written last.
    pub(crate) fn length(&self) -> Duration {
        self.last_written().lease
    }

    /// Whether a renewal could move its end. It cannot where it ends at the limit already,
    /// whichever of the writes stands.
    pub(crate) fn can_last_longer(&self) -> bool {
        !self.standing.is_cut() || self.pending.iter().any(|written| !written.is_cut())
    }

    /// When the write was sent that is known to stand.
    pub(crate) fn sent_at(&self) -> Monotonic {
        self.standing.sent
    }

    /// From now on the lease is believed, and can be lost.
    pub(crate) fn hand_out(&mut self) {
        self.handed_out = true;
    }

    /// When it ends unless renewed. A write whose outcome is open may have shortened it.
    pub(crate) fn deadline(&self) -> Deadline {
        self.pending
            .iter()
            .fold(self.standing.deadline, |earliest, written| {
                earliest.min(written.deadline)
            })
    }

    /// What is left of it.
    pub(crate) fn remaining(&self, now: Moment) -> Duration {
        if self.lost.is_some() {
            return Duration::ZERO;
        }
        self.deadline().remaining(now)
    }

    /// Whether and why it is lost. Once lost, it stays so.
    pub(crate) fn lost(&mut self, now: Moment) -> Option<&Lost> {
        if self.lost.is_none() && self.handed_out && self.deadline().has_passed(now) {
            self.lost = Some(Box::new(Lost::Expired));
        }
        self.lost.as_deref()
    }

    /// Why it is lost, where that is known already.
    pub(crate) fn known_loss(&self) -> Option<&Lost> {
        self.lost.as_deref()
    }

    /// It is lost, because another lease is that it is held together with.
    pub(crate) fn lose_with_another(&mut self) {
        self.lose(Lost::WithAnother);
    }

    /// What another process needs to go on with it.
    pub(crate) fn token(&self) -> LeaseToken {
        LeaseToken::new((*self.version).to_owned(), self.fence, self.may_stand())
    }

    /// A renewal by `duration`, to be sent right away. Its outcome is open from here on.
    pub(crate) fn renewal<'t>(
        &mut self,
        terms: &'t Terms,
        now: Moment,
        expiry_base: Wall,
        duration: Duration,
    ) -> Write<'t> {
        let may_stand = self.may_stand();
        let last = if self.pending.len() < MOST_PENDING {
            self.write_anew(now, expiry_base, duration)
        } else {
            self.last_written()
        };
        writes::renew(
            terms,
            &self.standing_for(&may_stand),
            last.expires,
            last.lease,
        )
    }

    /// Takes the outcome of the last renewal.
    pub(crate) fn renewed(
        &mut self,
        now: Moment,
        names: &AttributeNames,
        outcome: Outcome,
    ) -> Renewed {
        // What comes after the deadline revives nothing.
        self.lost(now);
        let result = match outcome {
            Outcome::Applied(_) => {
                self.settle(self.latest);
                Renewed::Done { recovered: false }
            }
            Outcome::Refused(item) => match self.ours_among(item.as_ref(), names) {
                Some(expires) => {
                    self.settle(expires);
                    Renewed::Done { recovered: true }
                }
                None => Renewed::Lost(self.lose(loss(item.as_ref(), names, &self.version))),
            },
            Outcome::NotApplied(failure) => match failure.kind {
                FailureKind::TableNotFound => Renewed::Lost(self.lose(Lost::TableGone)),
                FailureKind::AccessDenied => Renewed::Lost(self.lose(Lost::AccessDenied)),
                _ => Renewed::Failed(failure),
            },
            Outcome::Unknown(failure) => Renewed::Failed(failure),
        };
        match &self.lost {
            Some(lost) => Renewed::Lost((**lost).clone()),
            None => result,
        }
    }

    /// A release, to be sent right away.
    pub(crate) fn release<'t>(&mut self, terms: &'t Terms, now: Moment) -> Write<'t> {
        self.release.sent_while_held = self.lost(now).is_none();
        let may_stand = self.may_stand();
        let standing = self.standing_for(&may_stand);
        if self.deletable && terms.delete_on_release {
            writes::delete(terms, &standing)
        } else {
            writes::release(terms, &standing)
        }
    }

    /// Takes the outcome of the last release.
    pub(crate) fn released(&mut self, names: &AttributeNames, outcome: Outcome) -> Released {
        match outcome {
            Outcome::Applied(_) if self.release.sent_while_held || self.release.unknown => {
                Released::Done { recovered: false }
            }
            Outcome::Applied(_) => Released::Lost(self.lose(Lost::Expired)),
            Outcome::Refused(_) if self.release.unknown => Released::Done { recovered: true },
            Outcome::Refused(item)
                if self.release.sent_while_held && self.shows_our_release(item.as_ref(), names) =>
            {
                Released::Done { recovered: true }
            }
            Outcome::Refused(item) => {
                Released::Lost(self.lose(loss(item.as_ref(), names, &self.version)))
            }
            Outcome::NotApplied(failure) => Released::Failed(failure),
            Outcome::Unknown(failure) => {
                self.release.unknown |= self.release.sent_while_held;
                Released::Failed(failure)
            }
        }
    }

    /// A later `expires` than any before, which may stand from here on.
    pub(super) fn write_anew(
        &mut self,
        now: Moment,
        expiry_base: Wall,
        duration: Duration,
    ) -> Written {
        let lease = self.limit.cut(duration, now, expiry_base);
        self.latest = expiry_base.plus(lease).0.max(self.latest.saturating_add(1));
        self.duration = duration;
        let written = Written::cut(now, self.latest, lease, duration);
        self.pending.push(written);
        written
    }

    pub(super) fn last_written(&self) -> Written {
        *self.pending.last().unwrap_or(&self.standing)
    }

    /// How many writes may stand beside the one that is known to.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// There is more in the item now than key and lock.
    pub(super) fn keep_item(&mut self) {
        self.deletable = false;
    }

    /// The write of this `expires` stands; what was sent before it can no longer be applied.
    pub(super) fn settle(&mut self, expires: i64) {
        if let Some(written) = self
            .pending
            .iter()
            .find(|written| written.expires == expires)
        {
            self.standing = *written;
        }
        self.pending.retain(|written| written.expires > expires);
    }

    pub(super) fn lose(&mut self, lost: Lost) -> Lost {
        (**self.lost.get_or_insert_with(|| Box::new(lost))).clone()
    }

    pub(super) fn may_stand(&self) -> Vec<i64> {
        let pending = self.pending.iter().map(|written| written.expires);
        std::iter::once(self.standing.expires)
            .chain(pending)
            .collect()
    }

    pub(super) fn standing_for<'a>(&'a self, expires: &'a [i64]) -> Standing<'a> {
        Standing {
            version: &self.version,
            fence: self.fence,
            expires,
        }
    }

    /// The `expires` of a refusal's item, where it is one that we sent.
    pub(super) fn ours_among(&self, item: Option<&Item>, names: &AttributeNames) -> Option<i64> {
        let state = LockState::of(item?, names).ok()?;
        let ours =
            state.version.as_deref() == Some(&self.version) && state.fence == Some(self.fence);
        let sent = |expires: &i64| self.may_stand().contains(expires);
        state.expires.filter(|expires| ours && sent(expires))
    }

    /// Our fence without a version: released by us, and by nobody else, who would have raised it.
    pub(super) fn shows_our_release(&self, item: Option<&Item>, names: &AttributeNames) -> bool {
        item.and_then(|item| LockState::of(item, names).ok())
            .is_some_and(|state| {
                state.version.is_none()
                    && state.expires.is_none()
                    && state.fence == Some(self.fence)
            })
    }
}

/// What a refusal says about the loss of the lease of `version`.
pub(super) fn loss(item: Option<&Item>, names: &AttributeNames, version: &str) -> Lost {
    let Some(item) = item else {
        return Lost::ItemGone;
    };
    match LockState::of(item, names) {
        Ok(state)
            if state
                .version
                .as_deref()
                .is_some_and(|other| other != version) =>
        {
            Lost::TakenOver(Holder::last(state))
        }
        _ => Lost::Removed,
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
pub(super) mod tests;
