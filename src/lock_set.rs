//! Several locks that are acquired together.

use std::fmt;
use std::sync::Arc;

use crate::acquire::Patience;
use crate::acquire_all::acquire_all;
use crate::client::Client;
use crate::error::{Error, OptionName};
use crate::lease::{LeaseSet, is_same_table};
use crate::lock::Lock;
use crate::options::Terms;
use crate::runtime::{First, any, race};

/// DynamoDB's limit on a transaction.
const MOST_LOCKS: usize = 100;

/// Several locks that are acquired together, all or none, made by [`Client::lock_all`].
///
/// Cheap to clone. Each lock keeps its own lease, heartbeat, owner and other options. For the set
/// counts the shortest [`timeout`](Lock::timeout) and the longest
/// [`retry_interval`](Lock::retry_interval) among them, from the first wait on; it waits until the earliest
/// [`deadline`](Lock::deadline), and is given up where one of them is
/// [cancelled](Lock::cancelled_by).
///
/// ```no_run
/// # async fn run(client: dynolock::Client) -> Result<(), dynolock::Error> {
/// let locks = client.lock_all(["a", "b"].map(|id| client.lock("accounts", ("id", id))));
/// let leases = locks.acquire().await?;
/// leases.release().await
/// # }
/// ```
///
/// # No deadlock
///
/// Two tasks deadlock where each holds a lock and waits for that of the other. A set takes all its
/// locks in one transaction, and none where one of them is held: while it waits it holds nothing
/// that others could wait for. The turns among the tasks of one client, which a set does take one
/// by one, it takes in one order for all, that of tables and keys. So sets may overlap in any way
/// and be given in any order.
///
/// That does not cover locks which a task holds *already*, from another set or by themselves, while
/// it waits for this one: put all into one set, or expect that the wait ends with its timeout.
/// Nor is a set fair against single locks: it waits until all of them are free at the same moment.
///
/// # Costs
///
/// A try is one transaction: two write units a KB for every item, also where it is refused, and
/// also for locks that [poll by reading](Lock::poll_by_reading), which a set does not. What
/// was acquired is then read, strongly consistently, for one read unit per 4 KB and item: it needs
/// the permission `dynamodb:GetItem` beside `dynamodb:UpdateItem`. Renewals and releases are single
/// writes as ever. Leases should be long against several round trips: what half of a lease does not
/// suffice for is given back and tried again. A set of one lock costs more than the [`Lock`] alone.
#[derive(Clone)]
pub struct LockSet {
    client: Client,
    locks: Vec<Lock>,
}

impl Client {
    /// Locks that are acquired together, all or none. Nothing is sent, and nothing is checked
    /// before they are used.
    ///
    /// ```no_run
    /// # fn run(client: &dynolock::Client) {
    /// let locks = client.lock_all([
    ///     client.lock("accounts", ("id", "acme")).owner("billing"),
    ///     client.lock("invoices", (("tenant", "acme"), ("seq", 7))),
    /// ]);
    /// # }
    /// ```
    pub fn lock_all(&self, locks: impl IntoIterator<Item = Lock>) -> LockSet {
        LockSet {
            client: self.clone(),
            locks: locks.into_iter().collect(),
        }
    }
}

impl LockSet {
    /// Acquires all locks, waiting up to the shortest of their timeouts.
    ///
    /// Every lease counts from the first sending of the transaction that locked it; where half of
    /// a lease is over before all items are read, the locks are given back and it is tried again.
    /// A conflict with other transactions or writes is waited out, with jitter, and is not "held".
    ///
    /// Errors as for [`Lock::acquire`], with the place of the lock in [`Error::entry`]:
    /// [`is_held`](Error::is_held) says which lock was held and [by whom](Error::holder), and
    /// [`entries`](Error::entries) name all that were. At once and before anything is sent
    /// [`is_invalid_option`](Error::is_invalid_option), where there is no lock or more than 100,
    /// where two are of the same item, where one is another client's, or where an option is
    /// invalid; and [`is_deadline`](Error::is_deadline), where the deadline of one is too near. [`is_bad_attribute`](Error::is_bad_attribute), where the lock in an item cannot be
    /// read; then all are given back.
    ///
    /// Dropping the future gives back in the background what may have been acquired.
    ///
    /// ```no_run
    /// # async fn run(locks: dynolock::LockSet) -> Result<(), dynolock::Error> {
    /// match locks.acquire().await {
    ///     Ok(leases) => leases.release().await,
    ///     Err(error) if error.is_held() => {
    ///         println!("lock {:?} is held by {:?}", error.entry(), error.holder());
    ///         Ok(())
    ///     }
    ///     Err(error) => Err(error),
    /// }
    /// # }
    /// ```
    pub async fn acquire(&self) -> Result<LeaseSet, Error> {
        // Only a single try ends without either.
        let leases = self.acquire_with(Patience::Wait).await?;
        leases.ok_or_else(|| Error::held(None))
    }

    /// Acquires all locks if they are free or their holders known to be dead; `None` where one is
    /// held. As [`Lock::try_acquire`], errors and dropping as for [`acquire`](Self::acquire).
    ///
    /// ```no_run
    /// # async fn run(locks: dynolock::LockSet) -> Result<(), dynolock::Error> {
    /// match locks.try_acquire().await? {
    ///     Some(leases) => leases.release().await,
    ///     None => Ok(println!("somebody else is at one of them")),
    /// }
    /// # }
    /// ```
    pub async fn try_acquire(&self) -> Result<Option<LeaseSet>, Error> {
        self.acquire_with(Patience::Once).await
    }

    async fn acquire_with(&self, patience: Patience) -> Result<Option<LeaseSet>, Error> {
        let terms = self.checked()?;
        let cancelled = any(self.locks.iter().map(Lock::cancelled).collect());
        let acquired = acquire_all(&self.client.shared, terms, patience);
        match race(cancelled, acquired).await {
            First::A(()) => Err(Error::cancelled()),
            First::B(grants) => grants?.map(LeaseSet::new).transpose(),
        }
    }

    fn checked(&self) -> Result<Vec<Arc<Terms>>, Error> {
        let count = self.locks.len();
        if !(1..=MOST_LOCKS).contains(&count) {
            let problem = format!("it has {count} locks; 1 to {MOST_LOCKS} are allowed");
            return Err(invalid(problem));
        }
        let mut all: Vec<Arc<Terms>> = Vec::new();
        for (at, lock) in self.locks.iter().enumerate() {
            let of_entry = |error: Error| error.of_entry(at, lock.table());
            if !Arc::ptr_eq(&lock.client().shared, &self.client.shared) {
                return Err(of_entry(invalid("the lock is another client's")));
            }
            let terms = lock.terms().map_err(of_entry)?;
            let same = |other: &Arc<Terms>| {
                is_same_table(&other.table, &terms.table) && other.key == terms.key
            };
            if let Some(first) = all.iter().position(same) {
                let problem = format!("lock {first} is of the same item");
                return Err(of_entry(invalid(problem)));
            }
            all.push(Arc::new(terms));
        }
        Ok(all)
    }
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid_option(OptionName::LockSet, problem)
}

impl fmt::Debug for LockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockSet")
            .field("locks", &self.locks)
            .finish_non_exhaustive()
    }
}
