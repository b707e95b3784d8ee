//! Leases that are held together: losing one loses all.

use std::fmt;
use std::ops::Index;
use std::slice;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::clock::Moment;
use crate::error::Error;
use crate::protocol::Lost;
use crate::runtime::{all, any};

use super::core::{Core, Others};
use super::{Grant, Lease};

/// The leases of several locks that were acquired together, in the order of the locks.
///
/// Each is a [`Lease`] with a heartbeat of its own. All are lost as soon as one of them is: then
/// [`is_held`](Lease::is_held) is `false` and no write lands under any of them, and the others say
/// [`Lost::WithAnother`]. **Dropping** the set releases them in the background, also those that
/// are lost only with another.
///
/// ```no_run
/// use dynolock::Update;
///
/// # async fn run(client: dynolock::Client) -> Result<(), dynolock::Error> {
/// let (from, to) = (client.lock("accounts", ("id", "a")), client.lock("accounts", ("id", "b")));
/// let leases = client.lock_all([from, to]).acquire().await?;
/// println!("{:?} and {:?}", leases[0].item(), leases[1].item());
/// client
///     .transaction()
///     .update(&leases[0], Update::new().add("balance", -10))
///     .update(&leases[1], Update::new().add("balance", 10))
///     .send()
///     .await?;
/// leases.release().await
/// # }
/// ```
#[must_use = "dropping the set releases the locks"]
pub struct LeaseSet {
    leases: Vec<Lease>,
}

#[expect(clippy::len_without_is_empty, reason = "it never is")]
impl LeaseSet {
    pub(crate) fn new(grants: Vec<Grant>) -> Result<Self, Error> {
        // All are made before an error returns: those that are made release themselves.
        let leases: Vec<_> = grants.into_iter().map(Lease::new).collect();
        let leases = leases.into_iter().collect::<Result<Vec<_>, _>>()?;
        for lease in &leases {
            let others = leases.iter().filter(|other| !std::ptr::eq(*other, lease));
            let others = others.map(|other| Arc::downgrade(&other.core)).collect();
            // It is new, and in no other set.
            let _ = lease.core.set.set(Box::new(Siblings(others)));
        }
        Ok(Self { leases })
    }

    /// The lease of the lock that was given at this place, from 0; `None` past the last.
    pub fn get(&self, at: usize) -> Option<&Lease> {
        self.leases.get(at)
    }

    /// The leases, in the order of their locks.
    pub fn iter(&self) -> slice::Iter<'_, Lease> {
        self.leases.iter()
    }

    /// How many there are; never 0.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether all locks are still held, by both clocks, right now. Nothing is sent.
    ///
    /// Once `false`, it stays so.
    pub fn is_held(&self) -> bool {
        self.leases.iter().all(Lease::is_held)
    }

    /// How long all leases last unless they are renewed; zero once one is lost.
    pub fn remaining(&self) -> Duration {
        let each = self.leases.iter().map(Lease::remaining);
        each.min().unwrap_or_default()
    }

    /// Completes once a lease is lost, with its place and the reason, and so with the loss of all;
    /// never where they are released first.
    ///
    /// Cancel safe. Any number of tasks may wait.
    ///
    /// ```no_run
    /// # async fn run(leases: dynolock::LeaseSet) {
    /// let (at, why) = leases.lost().await;
    /// println!("stop working: lock {at}: {why}");
    /// # }
    /// ```
    pub async fn lost(&self) -> (usize, Lost) {
        let each = self.leases.iter().map(Lease::lost);
        let first = any(each.collect()).await;
        let losses = (0..).zip(&self.leases).filter_map(|(at, lease)| {
            let lost = lease.core.state().known_loss().cloned()?;
            Some((at, lost))
        });
        // The others were lost with it.
        let mut losses = losses.filter(|(_, lost)| *lost != Lost::WithAnother);
        losses.next().unwrap_or((0, first))
    }

    /// Releases all locks, all at the same time and each by a write of its own.
    ///
    /// Waits as [`Lease::release`] does. Where a release fails, the others are attempted all the
    /// same; the error is that of the first lease that is lost by itself or could not be released,
    /// [with those of the others](Error::entries). Dropping the future does not stop the releases.
    ///
    /// ```no_run
    /// # async fn run(leases: dynolock::LeaseSet) {
    /// if let Err(error) = leases.release().await {
    ///     for error in error.entries() {
    ///         println!("lock {:?}: {error}", error.entry());
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn release(self) -> Result<(), Error> {
        let tables = self.leases.iter().map(|lease| lease.core.terms.clone());
        let tables: Vec<_> = tables.collect();
        let released = self.leases.into_iter().map(Lease::release);
        let released = all(released.collect()).await;
        let each = (0..).zip(released).zip(tables);
        let errors = each.filter_map(|((at, released), terms)| {
            let error = released.err()?;
            Some(error.of_entry(at, &terms.table))
        });
        let mut errors: Vec<_> = errors.collect();
        errors.sort_by_key(|error| error.lost() == Some(&Lost::WithAnother));
        let mut errors = errors.into_iter();
        match errors.next() {
            None => Ok(()),
            Some(first) => Err(first.beside(errors)),
        }
    }
}

struct Siblings(Vec<Weak<Core>>);

impl Siblings {
    fn iter(&self) -> impl Iterator<Item = Arc<Core>> {
        self.0.iter().filter_map(Weak::upgrade)
    }
}

impl Others for Siblings {
    fn is_one_lost(&self, now: Moment) -> bool {
        self.iter().any(|other| {
            match other.releasing.load(Ordering::SeqCst) {
                // Its time may run out after the release.
                true => other.state().known_loss().is_some(),
                false => other.notice_loss(now).is_some(),
            }
        })
    }

    fn remaining(&self, now: Moment) -> Duration {
        let held = self
            .iter()
            .filter(|other| !other.releasing.load(Ordering::SeqCst));
        let each = held.map(|other| other.state().remaining(now));
        each.min().unwrap_or(Duration::MAX)
    }

    fn wake(&self) {
        for other in self.iter() {
            other.changed.notify_waiters();
            other.hurry_heartbeat();
        }
    }
}

/// Panics where there are not so many; see [`LeaseSet::get`].
impl Index<usize> for LeaseSet {
    type Output = Lease;

    fn index(&self, at: usize) -> &Lease {
        &self.leases[at]
    }
}

impl<'a> IntoIterator for &'a LeaseSet {
    type Item = &'a Lease;
    type IntoIter = slice::Iter<'a, Lease>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for LeaseSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.leases).finish()
    }
}
