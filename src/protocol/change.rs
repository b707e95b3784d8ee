//! Writes of the user's under a lease: when one was applied, and that it never is twice.
//!
//! Every attempt of a write has the condition that `expires` is as it was before the first one,
//! and leaves another. So whichever comes first keeps all the others out, however late or often
//! they come, and a refusal that shows the `expires` of an attempt shows that it was applied.

use crate::clock::{Moment, Wall};
use crate::options::{AttributeNames, Terms};
use crate::update::Changes;
use crate::wire::{Failure, FailureKind, Item, Outcome, Returns, Write};

use super::attributes::without_lock;
use super::lease::{Lease, Lost, MOST_PENDING, Written, loss};
use super::writes;

/// Attempts of one write with an `expires` of their own; later ones are sent as the last.
const MOST_ATTEMPTS: usize = 16;

/// One write of the user's on its way.
#[derive(Debug)]
pub(crate) struct Change {
    /// What `expires` may have been before it.
    base: Vec<i64>,
    /// What its attempts set.
    attempts: Vec<i64>,
    /// What was set to keep its attempts out.
    fences: Vec<i64>,
    /// Whether an attempt may have been applied, or may yet be.
    unsettled: bool,
}

/// What came of an attempt to write under a lease.
#[derive(Debug)]
pub(crate) enum Changed {
    /// It was applied, once. The item after it, without the lock, as far as it was asked for.
    Done { recovered: bool, item: Item },
    /// It was not applied, because the user's condition does not hold of this item.
    ConditionFailed(Item),
    /// The lease is lost.
    Lost(Lost),
    /// Nothing is known to have changed.
    Failed(Failure),
}

/// What came of an attempt to keep the earlier ones out.
#[derive(Debug)]
pub(crate) enum Fenced {
    /// None of them was applied, and none can be any more.
    Done,
    /// One was applied before. The item after it.
    Applied(Item),
    Lost(Lost),
    Failed(Failure),
}

impl Change {
    /// Whether it may have been applied without our knowing.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled
    }
}

impl Lease {
    /// Whether so many writes are open that a renewal has to settle them first.
    pub(crate) fn is_crowded(&self) -> bool {
        self.pending() >= MOST_PENDING
    }

    /// A write of the user's. Nothing else may be written before it has come to its end.
    pub(crate) fn change(&self) -> Change {
        Change {
            base: self.may_stand(),
            attempts: Vec::new(),
            fences: Vec::new(),
            unsettled: false,
        }
    }

    /// An attempt at an update that renews the lease as well, to be sent right away.
    pub(crate) fn update<'t>(
        &mut self,
        change: &mut Change,
        changes: &'t Changes,
        returns: Returns,
        terms: &'t Terms,
        now: Moment,
        expiry_base: Wall,
    ) -> Write<'t> {
        self.keep_item();
        let written = self.attempted(change, now, expiry_base);
        let (expires, lease) = (written.expires(), written.lease());
        let standing = self.standing_for(&change.base);
        writes::update(terms, &standing, expires, lease, changes, returns)
    }

    /// The same without any change of the user's.
    pub(crate) fn hold<'t>(
        &mut self,
        change: &mut Change,
        terms: &'t Terms,
        now: Moment,
        expiry_base: Wall,
    ) -> Write<'t> {
        let written = self.attempted(change, now, expiry_base);
        let standing = self.standing_for(&change.base);
        writes::renew(terms, &standing, written.expires(), written.lease())
    }

    /// Takes the outcome of the last attempt at an update. Where the lease is lost, the item
    /// cannot tell whether it was applied before, not even of the first attempt: whoever could
    /// take the lock from a holder that believes in it could do so after the write as well.
    pub(crate) fn updated(
        &mut self,
        change: &mut Change,
        now: Moment,
        names: &AttributeNames,
        outcome: Outcome,
    ) -> Changed {
        // What comes after the deadline revives nothing; it was applied all the same.
        self.lost(now);
        match outcome {
            Outcome::Applied(item) => {
                if let Some(expires) = change.attempts.last() {
                    self.settle(*expires);
                }
                let item = without_lock(item, names);
                let recovered = false;
                Changed::Done { recovered, item }
            }
            Outcome::Refused(item) => match self.ours_among(item.as_ref(), names) {
                Some(expires) if change.attempts.contains(&expires) => {
                    self.settle(expires);
                    let item = without_lock(item.unwrap_or_default(), names);
                    let recovered = true;
                    Changed::Done { recovered, item }
                }
                Some(_) => Changed::ConditionFailed(without_lock(item.unwrap_or_default(), names)),
                None => {
                    // An earlier copy may have come before whoever came since.
                    change.unsettled = true;
                    Changed::Lost(self.lose(loss(item.as_ref(), names, self.version())))
                }
            },
            Outcome::NotApplied(failure) if failure.kind == FailureKind::TableNotFound => {
                Changed::Lost(self.lose(Lost::TableGone))
            }
            Outcome::NotApplied(failure) => Changed::Failed(failure),
            Outcome::Unknown(failure) => {
                change.unsettled = true;
                Changed::Failed(failure)
            }
        }
    }

    /// A renewal that is refused where an attempt was applied, and keeps them out where none was.
    pub(crate) fn fence_off<'t>(
        &mut self,
        change: &mut Change,
        terms: &'t Terms,
        now: Moment,
        expiry_base: Wall,
    ) -> Write<'t> {
        // What an earlier one of these has set is no attempt of the write.
        let mut base = change.base.clone();
        base.extend(&change.fences);
        let written = match self.next(change.fences.len(), now, expiry_base) {
            Some(written) => {
                change.fences.push(written.expires());
                written
            }
            None => self.last_written(),
        };
        let standing = self.standing_for(&base);
        writes::renew(terms, &standing, written.expires(), written.lease())
    }

    /// Takes the outcome of the last [`fence_off`](Self::fence_off).
    pub(crate) fn fenced_off(
        &mut self,
        change: &mut Change,
        now: Moment,
        names: &AttributeNames,
        outcome: Outcome,
    ) -> Fenced {
        self.lost(now);
        match outcome {
            Outcome::Applied(_) => {
                if let Some(expires) = change.fences.last() {
                    self.settle(*expires);
                }
                change.unsettled = false;
                Fenced::Done
            }
            Outcome::Refused(item) => match self.ours_among(item.as_ref(), names) {
                Some(expires) => {
                    self.settle(expires);
                    change.unsettled = false;
                    match change.attempts.contains(&expires) {
                        true => Fenced::Applied(without_lock(item.unwrap_or_default(), names)),
                        false => Fenced::Done,
                    }
                }
                None => Fenced::Lost(self.lose(loss(item.as_ref(), names, self.version()))),
            },
            Outcome::NotApplied(failure) if failure.kind == FailureKind::TableNotFound => {
                Fenced::Lost(self.lose(Lost::TableGone))
            }
            Outcome::NotApplied(failure) | Outcome::Unknown(failure) => Fenced::Failed(failure),
        }
    }

    /// An attempt at a last write that releases as well, to be sent right away.
    pub(crate) fn commit<'t>(
        &mut self,
        change: &Change,
        changes: &'t Changes,
        terms: &'t Terms,
    ) -> Write<'t> {
        writes::commit(terms, &self.standing_for(&change.base), changes)
    }

    /// An attempt at deleting the item, to be sent right away.
    pub(crate) fn delete<'t>(&mut self, change: &Change, terms: &'t Terms) -> Write<'t> {
        writes::delete(terms, &self.standing_for(&change.base))
    }

    /// Takes the outcome of the last attempt at a commit. Where the lease is lost and another has
    /// come since, the item cannot tell whether it was applied before.
    pub(crate) fn committed(
        &mut self,
        change: &mut Change,
        names: &AttributeNames,
        outcome: Outcome,
    ) -> Changed {
        let recovered = true;
        self.ended(change, names, outcome, |lease, item| {
            let released = lease.shows_our_release(item.as_ref(), names);
            released.then(|| Changed::Done {
                recovered,
                item: Item::default(),
            })
        })
    }

    /// Takes the outcome of the last attempt at deleting: what is not there is deleted.
    pub(crate) fn deleted(
        &mut self,
        change: &mut Change,
        names: &AttributeNames,
        outcome: Outcome,
    ) -> Changed {
        self.ended(change, names, outcome, |_, item| {
            item.is_none().then(|| Changed::Done {
                recovered: true,
                item: Item::default(),
            })
        })
    }

    fn ended(
        &mut self,
        change: &mut Change,
        names: &AttributeNames,
        outcome: Outcome,
        shows_done: impl FnOnce(&Self, &Option<Item>) -> Option<Changed>,
    ) -> Changed {
        match outcome {
            Outcome::Applied(_) => Changed::Done {
                recovered: false,
                item: Item::default(),
            },
            Outcome::Refused(item) => {
                if let Some(done) = shows_done(self, &item) {
                    return done;
                }
                if self.ours_among(item.as_ref(), names).is_some() {
                    let item = item.unwrap_or_default();
                    return Changed::ConditionFailed(without_lock(item, names));
                }
                // An earlier copy may have freed the lock for whoever came since.
                change.unsettled = true;
                Changed::Lost(self.lose(loss(item.as_ref(), names, self.version())))
            }
            Outcome::NotApplied(failure) => Changed::Failed(failure),
            Outcome::Unknown(failure) => {
                change.unsettled = true;
                Changed::Failed(failure)
            }
        }
    }

    fn attempted(&mut self, change: &mut Change, now: Moment, expiry_base: Wall) -> Written {
        match self.next(change.attempts.len(), now, expiry_base) {
            Some(written) => {
                change.attempts.push(written.expires());
                written
            }
            None => self.last_written(),
        }
    }

    /// A new `expires`, unless there are too many of them.
    fn next(&mut self, attempts: usize, now: Moment, expiry_base: Wall) -> Option<Written> {
        if attempts >= MOST_ATTEMPTS {
            return None;
        }
        Some(self.write_anew(now, expiry_base, self.duration()))
    }
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
