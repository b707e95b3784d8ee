//! One try to acquire several locks: one transaction under one token, sent once or more often.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Moment, Wall};
use crate::options::Terms;
use crate::wire::{Item, Outcome, Reasons, Transaction};

use super::acquire::Acquired;
use super::attributes::{BadAttribute, LockState, without_lock};
use super::deadline::Deadline;
use super::lease::{Lease, Written};
use super::watch::Watch;
use super::writes::{self, AcquireWrite, Pair};

/// A try on its way.
#[derive(Debug)]
pub(super) struct Try {
    token: String,
    versions: Vec<String>,
    /// What the first sending has written, and all others repeat.
    sent: Option<Sent>,
    /// Whether an attempt may have been applied, or may yet be.
    unsettled: bool,
    /// The same, of all attempts but the last.
    unsettled_before: bool,
}

#[derive(Debug)]
struct Sent {
    at: Moment,
    unix_millis: i64,
    locks: Vec<SentLock>,
}

#[derive(Debug)]
struct SentLock {
    expires: i64,
    lease: Duration,
    dead_before: Option<i64>,
    seen_dead: Option<Pair>,
}

/// A try that was given up: what it has locked or may have is to be given back.
#[derive(Debug)]
pub(crate) struct GivenUp {
    terms: Vec<Arc<Terms>>,
    last: Try,
}

impl Try {
    /// As many versions as there are locks.
    pub(super) fn new(token: String, versions: Vec<String>) -> Self {
        Self {
            token,
            versions,
            sent: None,
            unsettled: false,
            unsettled_before: false,
        }
    }

    pub(super) fn versions(&self) -> &[String] {
        &self.versions
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether an attempt may have locked the items without our knowing.
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// What is left of the first half of the shortest lease; `None` before it was sent.
    pub(super) fn half_left(&self, now: Moment) -> Option<Duration> {
        let sent = self.sent.as_ref()?;
        let shortest = sent.locks.iter().map(|lock| lock.lease).min()?;
        Some(Deadline::after(sent.at, shortest / 2).remaining(now))
    }

    /// An attempt, to be sent right away. It may have been applied from here on.
    pub(super) fn attempt<'t>(
        &'t mut self,
        terms: &'t [Arc<Terms>],
        watches: &[Watch],
        now: Moment,
        expiry_base: Wall,
        is_doubtful: &dyn Fn(Duration) -> bool,
    ) -> Transaction<'t> {
        self.unsettled_before = self.unsettled;
        self.unsettled = true;
        let sent = self.sent.get_or_insert_with(|| Sent {
            at: now,
            unix_millis: (expiry_base.0 / 1_000_000).max(0),
            locks: terms
                .iter()
                .zip(watches)
                .map(|(terms, watch)| SentLock {
                    expires: expiry_base.plus(terms.lease_from(now, expiry_base)).0,
                    lease: terms.lease_from(now, expiry_base),
                    dead_before: (!is_doubtful(terms.max_clock_skew))
                        .then(|| now.wall.minus(terms.max_clock_skew).0),
                    seen_dead: watch.dead_pair(now).cloned(),
                })
                .collect(),
        });
        let each = terms.iter().zip(&self.versions).zip(&sent.locks);
        let entries = each.map(|((terms, version), lock)| {
            let attempt = AcquireWrite {
                version,
                expires: lock.expires,
                lease: lock.lease,
                unix_millis: sent.unix_millis,
                dead_before: lock.dead_before,
                seen_dead: lock.seen_dead.as_ref(),
            };
            writes::acquire(terms, &attempt).into()
        });
        Transaction {
            token: &self.token,
            entries: entries.collect(),
        }
    }

    /// The last attempt was surely not applied.
    pub(super) fn not_applied(&mut self) {
        self.unsettled = self.unsettled_before;
    }

    /// Whether a lock is as this try has written it.
    pub(super) fn is_ours(&self, at: usize, state: &LockState) -> bool {
        let sent = self.sent.as_ref().and_then(|sent| sent.locks.get(at));
        sent.is_some_and(|lock| {
            state.version.is_some()
                && state.version.as_ref() == self.versions.get(at)
                && state.expires == Some(lock.expires)
        })
    }

    /// The lock that an item shows, where it is as this try has written it.
    pub(super) fn confirmed(
        &self,
        at: usize,
        terms: &Terms,
        item: Item,
        recovered: bool,
    ) -> Result<Option<Acquired>, BadAttribute> {
        let state = LockState::of(&item, &terms.names)?;
        let ours = self.is_ours(at, &state);
        let sent = self.sent.as_ref();
        let lock = sent.and_then(|sent| sent.locks.get(at));
        let (true, Some(sent), Some(lock), Some(version), Some(expires), Some(fence)) =
            (ours, sent, lock, state.version, state.expires, state.fence)
        else {
            return Ok(None);
        };
        let item = without_lock(item, &terms.names);
        let deletable = item.iter().all(|(name, _)| terms.key.contains(name));
        let standing = Written::cut(sent.at, expires, lock.lease, terms.lease);
        Ok(Some(Acquired {
            lease: Lease::new(version, fence, standing, expires, deletable).within(terms.limit),
            item,
            recovered,
        }))
    }

    pub(super) fn given_up(self, terms: Vec<Arc<Terms>>) -> GivenUp {
        GivenUp { terms, last: self }
    }
}

impl GivenUp {
    /// The locks, each with its version.
    pub(crate) fn locks(&self) -> impl Iterator<Item = (&Terms, &str)> {
        let versions = self.last.versions.iter().map(String::as_str);
        self.terms.iter().map(|terms| &**terms).zip(versions)
    }

    /// Whether locks may be left behind, where this came of the last attempt.
    pub(crate) fn may_have_locked(&self, last: &Outcome<Reasons>) -> bool {
        match last {
            Outcome::Applied(_) | Outcome::Unknown(_) => true,
            Outcome::NotApplied(_) => self.last.unsettled_before,
            Outcome::Refused(reasons) => {
                let mut each = reasons.iter().zip(&self.terms).enumerate();
                let shows_us = each.any(|(at, (reason, terms))| {
                    let item = reason.as_ref().and_then(|reason| reason.item.as_ref());
                    item.and_then(|item| LockState::of(item, &terms.names).ok())
                        .is_some_and(|state| self.last.is_ours(at, &state))
                });
                self.last.unsettled_before || shows_us
            }
        }
    }
}
