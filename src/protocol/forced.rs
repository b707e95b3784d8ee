//! The forced release: taking a lock away from whoever was seen to hold it.

use crate::options::{AttributeNames, Terms};
use crate::wire::{Failure, Item, Outcome, Write};

use super::attributes::{BadAttribute, Holder, LockState, readable};
use super::writes;

/// One forced release on its way: one write, sent as it is until its outcome is known.
#[derive(Debug)]
pub(crate) struct ForcedRelease<'h> {
    holder: &'h Holder,
    /// Where the fence starts in an item that has none, less one.
    unix_millis: i64,
    /// Whether an attempt may have been applied, or may yet be.
    unsettled: bool,
}

/// What came of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Forced {
    /// The lock is free, and its fence was raised.
    Broken,
    /// It no longer stands as it was seen.
    Changed,
    /// It cannot be read, and was left alone.
    Unreadable(BadAttribute),
    /// Nothing is known to have changed.
    Failed(Failure),
}

impl<'h> ForcedRelease<'h> {
    pub(crate) fn of(holder: &'h Holder, unix_millis: i64) -> Self {
        Self {
            holder,
            unix_millis,
            unsettled: false,
        }
    }

    /// Whether an attempt may have been applied without our knowing.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// An attempt. Each is the same: no second one can be applied, since the first takes away
    /// what it is conditional on.
    pub(crate) fn attempt<'t>(&self, terms: &'t Terms) -> Write<'t> {
        writes::break_held(terms, &self.holder.pair(), self.unix_millis)
    }

    /// Takes the outcome of the last attempt.
    pub(crate) fn answered(&mut self, outcome: Outcome, names: &AttributeNames) -> Forced {
        match outcome {
            Outcome::Applied(_) => Forced::Broken,
            Outcome::Refused(item) => self.refused(item.as_ref(), names),
            Outcome::NotApplied(failure) => Forced::Failed(failure),
            Outcome::Unknown(failure) => {
                self.unsettled = true;
                Forced::Failed(failure)
            }
        }
    }

    fn refused(&self, item: Option<&Item>, names: &AttributeNames) -> Forced {
        let Some(item) = item else {
            return Forced::Changed;
        };
        match readable(item, names) {
            Ok(state) if self.unsettled && self.is_ours(&state) => Forced::Broken,
            Ok(_) => Forced::Changed,
            Err(bad) => Forced::Unreadable(bad),
        }
    }

    /// Whether the lock stands as an attempt leaves it: a release by its holder leaves the fence.
    fn is_ours(&self, state: &LockState) -> bool {
        let fence = self.holder.fencing_token();
        let start = fence.unwrap_or(self.unix_millis.unsigned_abs());
        state.version.is_none() && state.expires.is_none() && state.fence == start.checked_add(1)
    }
}

#[cfg(test)]
#[path = "forced_tests.rs"]
mod tests;
