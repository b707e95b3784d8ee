//! Transactions of the user's under leases: their writes to other items, and whom an answer blames.
//!
//! Under each lease a transaction does what an update does (see [`change`](super::change)): its
//! condition is that `expires` is as it was, and it leaves another. All its attempts are the same
//! bytes under the same token. So it is applied once at most, also where DynamoDB has forgotten
//! the token, and one item that shows the new `expires` shows that all of it was applied.

use crate::update::Changes;
use crate::wire::{Effect, Entry, Failure, Item, Placeholders, Reason};

use super::change::Changed;
use super::writes::joined;

/// A write to an item that is not locked.
#[derive(Debug)]
pub(crate) struct Unlocked {
    pub(crate) table: String,
    pub(crate) key: Item,
    pub(crate) verb: Verb,
    /// For anything but an update there is no more than a condition in it.
    pub(crate) changes: Changes,
}

/// What becomes of an item that is not locked.
#[derive(Debug)]
pub(crate) enum Verb {
    /// The whole item, key included.
    Put(Item),
    Update,
    Delete,
    Check,
}

impl Unlocked {
    pub(crate) fn entry(&self) -> Entry<'_> {
        let mut placeholders = Placeholders::default();
        let (expression, condition) = joined(self.changes.render(&mut placeholders), "", "");
        let key = &self.key;
        Entry {
            table: &self.table,
            effect: match &self.verb {
                Verb::Put(item) => Effect::Put(item),
                Verb::Update => Effect::Update { key, expression },
                Verb::Delete => Effect::Delete(key),
                Verb::Check => Effect::Check(key),
            },
            condition,
            placeholders,
        }
    }
}

/// What the reasons of a cancelled transaction come to.
#[derive(Debug)]
pub(crate) enum Cancelled {
    /// An earlier attempt was applied, as an item shows.
    Applied,
    /// It was not applied, because of these entries: what counts most comes first.
    Blamed(Vec<(usize, Changed)>),
}

impl Cancelled {
    /// Of what each entry with a reason shows.
    pub(crate) fn of(mut blamed: Vec<(usize, Changed)>) -> Self {
        let shows_ours = |(_, why): &(usize, Changed)| matches!(why, Changed::Done { .. });
        if blamed.iter().any(shows_ours) {
            return Self::Applied;
        }
        blamed.sort_by_key(|(_, why)| weight(why));
        Self::Blamed(blamed)
    }
}

/// A loss ends everything; a condition is the user's own word; what passes says least.
fn weight(why: &Changed) -> u8 {
    match why {
        Changed::Done { .. } | Changed::Lost(_) => 0,
        Changed::ConditionFailed(_) => 1,
        Changed::Failed(failure) if !failure.kind.is_passing() => 2,
        Changed::Failed(_) => 3,
    }
}

/// A reason other than a condition, as a failure.
pub(crate) fn failure_of(reason: Reason) -> Failure {
    Failure {
        code: Some(reason.code.clone()),
        ..Failure::of(reason.kind(), reason.message)
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
