//! The held lock: keeps it alive, says when it is lost, gives it back.

mod condition;
mod core;
mod hand_on;
mod heartbeat;
mod set;
mod together;
mod transaction;
mod watcher;
mod write;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use crate::client::Shared;
use crate::error::Error;
use crate::options::{Terms, checked_lease, heartbeat};
use crate::protocol::{Acquired, Lost};
use crate::queue::Turn;
use crate::runtime::{First, race};
use crate::update::{Changes, Subject, Update};
use crate::wire::{Failure, FailureKind, Item, Returns};

pub use self::condition::Condition;
pub(crate) use self::core::renew_once;
use self::core::{Core, GivenBack};
pub use self::set::LeaseSet;
pub use self::transaction::Transaction;
pub(crate) use self::transaction::is_same_table;
pub use self::watcher::Watcher;
use self::write::Last;

/// How many attempts' time `release` waits for; then it goes on in the background.
const RELEASE_PATIENCE: u32 = 3;

/// A held lock.
///
/// Unless the lock was made with [`manual_heartbeat`](crate::Lock::manual_heartbeat), a task of
/// the client renews it, in the runtime that it was acquired in, until it is released, dropped or
/// lost. **Dropping** a lease releases it in the background, where a runtime runs; otherwise the
/// lock ends with the lease. It never panics.
/// A leaked lease (`std::mem::forget`) is renewed for ever.
///
/// ```no_run
/// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
/// let lease = lock.acquire().await?;
/// println!("held with token {} for {:?}", lease.fencing_token(), lease.remaining());
/// lease.release().await?;
/// # Ok(()) }
/// ```
#[must_use = "dropping a lease releases the lock"]
pub struct Lease {
    core: Arc<Core>,
}

/// A lock that was acquired, on its way to its holder.
pub(crate) struct Grant {
    pub(crate) client: Arc<Shared>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) acquired: Acquired,
    pub(crate) turn: Option<Turn>,
}

impl Lease {
    pub(crate) fn new(grant: Grant) -> Result<Self, Error> {
        let Acquired { lease, item, .. } = grant.acquired;
        let core = Arc::new(Core {
            version: lease.shared_version(),
            fence: lease.fence(),
            item,
            state: Mutex::new(lease),
            writing: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            over: AtomicBool::new(false),
            releasing: AtomicBool::new(false),
            heartbeat: Mutex::new(None),
            turn: Mutex::new(None),
            set: OnceLock::new(),
            client: grant.client,
            terms: grant.terms,
        });
        if let Some(turn) = grant.turn {
            let life: Weak<Core> = Arc::downgrade(&core);
            turn.belongs_to(life);
            *core.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        }
        let lease = Self { core };
        if lease.core.terms.automatic {
            lease.start_heartbeat()?;
        }
        Ok(lease)
    }

    /// The item as it was when it was locked, without the lock's own attributes.
    ///
    /// Reading it costs nothing: the write that locked it brought it along.
    ///
    /// ```no_run
    /// # fn run(lease: &dynolock::Lease) {
    /// if lease.item().get("state") == Some(&"done".into()) {
    ///     println!("nothing left to do");
    /// }
    /// # }
    /// ```
    pub fn item(&self) -> &Item {
        &self.core.item
    }

    /// Reads the item as it was when it was locked into a type of the caller's, the key included;
    /// see [`Item::read`](crate::Item::read).
    ///
    /// ```no_run
    /// #[derive(serde::Deserialize)]
    /// struct Job {
    ///     step: u32,
    /// }
    ///
    /// # fn run(lease: &dynolock::Lease) -> Result<(), dynolock::Error> {
    /// let job: Job = lease.read()?;
    /// println!("at step {}", job.step);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn read<T: serde_core::de::DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(self.core.item.read()?)
    }

    /// The fencing token: larger with every acquisition of this item, for as long as its fence
    /// attribute survives. Give it to systems that can refuse a smaller one.
    ///
    /// ```no_run
    /// # fn write(record: &str, token: u64) {}
    /// # fn run(lease: &dynolock::Lease) {
    /// write("state", lease.fencing_token());
    /// # }
    /// ```
    pub fn fencing_token(&self) -> u64 {
        self.core.fence
    }

    /// The identity of this acquisition, a [KSUID](https://github.com/segmentio/ksuid).
    pub fn version(&self) -> &str {
        &self.core.version
    }

    /// When the lease ends unless it is renewed, by the wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.core.state().deadline().wall.system_time()
    }

    /// How long the lease lasts unless it is renewed; zero once it is lost.
    ///
    /// The monotonic and the wall clock are asked; the one that leaves less is believed.
    pub fn remaining(&self) -> Duration {
        let now = self.core.client.runtime.now();
        match self.core.lost(now) {
            Some(_) => Duration::ZERO,
            None => self.core.remaining(now),
        }
    }

    /// Whether the lock is still held, by both clocks, right now. Nothing is sent.
    ///
    /// Once `false`, it stays so.
    ///
    /// ```no_run
    /// # fn run(lease: &dynolock::Lease) {
    /// while lease.is_held() {
    ///     // A piece of work, short against `lease.remaining()`.
    /// }
    /// # }
    /// ```
    pub fn is_held(&self) -> bool {
        self.core.lost(self.core.client.runtime.now()).is_none()
    }

    /// Completes with the reason once the lease is lost; never where it is released first.
    ///
    /// Cancel safe. Any number of tasks may wait. Without anybody waiting the lease is lost all
    /// the same.
    ///
    /// ```no_run
    /// # async fn run(lease: dynolock::Lease) {
    /// println!("stop working: {}", lease.lost().await);
    /// # }
    /// ```
    pub async fn lost(&self) -> Lost {
        self.core.loss().await
    }

    /// Renews the lease by its length from now, or until the lock's
    /// [deadline](crate::Lock::deadline). The heartbeat does this by itself.
    ///
    /// Failures that may pass are retried for as long as the lease lasts. Errors where the lease
    /// is lost. Dropping the future leaves open whether the renewal took place; the lease is
    /// counted as if it had not.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// let lease = lock.manual_heartbeat().acquire().await?;
    /// for step in 0..10 {
    ///     println!("step {step}");
    ///     lease.renew().await?;
    /// }
    /// lease.release().await
    /// # }
    /// ```
    pub async fn renew(&self) -> Result<(), Error> {
        Ok(self.core.renew(None).await?)
    }

    /// Makes the lease last `duration` from now, and as long after each later renewal; not beyond
    /// the lock's [deadline](crate::Lock::deadline).
    ///
    /// `duration` must be in a lease's range (10 ms to 366 days) and, where a heartbeat runs,
    /// longer than its period. Otherwise as [`renew`](Self::renew).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn run(lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// lease.extend(Duration::from_secs(60)).await?; // a longer step comes
    /// # Ok(()) }
    /// ```
    pub async fn extend(&self, duration: Duration) -> Result<(), Error> {
        let duration = checked_lease(duration)?;
        if self.core.has_heartbeat() {
            heartbeat(Some(self.core.terms.heartbeat), duration)?;
        }
        Ok(self.core.renew(Some(duration)).await?)
    }

    /// Starts the heartbeat of a lease that has none yet; more calls change nothing.
    ///
    /// Errors where the heartbeat period is not shorter than an extended lease, or no Tokio
    /// runtime is running.
    pub fn start_heartbeat(&self) -> Result<(), Error> {
        let core = &self.core;
        heartbeat(Some(core.terms.heartbeat), core.state().duration())?;
        core.start_heartbeat()
    }

    /// Releases the lock.
    ///
    /// Waits for a renewal under way, then for DynamoDB's answer, for three attempts' time at
    /// most; the release then goes on in the background until the lease ends. Errors where the
    /// lease was lost before, or where the release could not be confirmed. Dropping the future
    /// does not stop the release.
    ///
    /// ```no_run
    /// # async fn run(lease: dynolock::Lease) {
    /// if let Err(error) = lease.release().await {
    ///     println!("not ours to the end: {error}");
    /// }
    /// # }
    /// ```
    pub async fn release(self) -> Result<(), Error> {
        let released = self.core.clone().release_in_background();
        let unconfirmed = |failure| Error::release_unconfirmed(failure);
        self.given_back(released, unconfirmed).await
    }

    /// Updates the item, only while the lock is held, and renews the lease in the same request.
    ///
    /// `Ok` means: applied, exactly once, under this lease. What fails for a passing reason is
    /// sent again until the lease ends, and never applied twice. Errors:
    ///
    /// - [`is_invalid_option`](Error::is_invalid_option): the update is refused before anything
    ///   is sent;
    /// - [`is_condition_failed`](Error::is_condition_failed): its own condition does not hold;
    ///   the lock is held all the same;
    /// - [`is_lost`](Error::is_lost): the lease is lost. The update was not applied, unless
    ///   [`is_outcome_unknown`](Error::is_outcome_unknown) says that this is not known, as where
    ///   DynamoDB's answer shows another's lock: it cannot show what was there before;
    /// - any other: DynamoDB refused it, such as an item that grows past 400 KB; nothing was
    ///   written, and the lock is held.
    ///
    /// Dropping the future leaves it open whether the update is applied; at most once, and not
    /// after the next write of this lease. Renewals wait while an update is under way, as it
    /// renews.
    ///
    /// ```no_run
    /// use dynolock::Update;
    ///
    /// # async fn run(lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// lease.update(Update::new().set("step", 2).add("attempts", 1)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn update(&self, update: Update) -> Result<(), Error> {
        let changes = self.checked(&update)?;
        self.core.update(&changes, Returns::Nothing).await.map(drop)
    }

    /// The same as [`update`](Self::update), and returns the item as it is afterwards, without
    /// the lock's attributes. It costs nothing more.
    ///
    /// ```no_run
    /// use dynolock::Update;
    ///
    /// # async fn run(lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// let item = lease.update_returning(Update::new().add("count", 1)).await?;
    /// println!("now {:?}", item.get("count"));
    /// # Ok(()) }
    /// ```
    pub async fn update_returning(&self, update: Update) -> Result<Item, Error> {
        let changes = self.checked(&update)?;
        self.core.update(&changes, Returns::AllNew).await
    }

    /// Updates the item and releases the lock, in one request: all of it, or nothing.
    ///
    /// Errors as for [`update`](Self::update); where the update was not applied, the lock is
    /// released all the same, and an update that is refused before anything is sent gives the
    /// lock back in the background. Waits for three attempts' time at most; the commit then goes
    /// on in the background until the lease ends, and the error
    /// [is unknown](Error::is_outcome_unknown). So it is where another holds the lock by the
    /// time an answer comes: the item no longer tells. Dropping the future does not stop the
    /// commit.
    ///
    /// A fence without a lock counts as our own commit. Whoever takes a lock away by hand must
    /// raise the fence, as [`break_held`](crate::Lock::break_held) does.
    ///
    /// ```no_run
    /// use dynolock::Update;
    ///
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// // Two requests in all: one reads and locks, one writes and releases.
    /// let lease = lock.acquire().await?;
    /// let done = lease.item().get("state") == Some(&"done".into());
    /// if !done {
    ///     lease.commit(Update::new().set("state", "done")).await?;
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn commit(self, update: Update) -> Result<(), Error> {
        let changes = self.checked(&update)?;
        let committed = self.core.end_in_background(Last::Commit(changes));
        self.given_back(committed, Error::outcome_unknown).await
    }

    /// Deletes the item, and the lock with it. Fencing tokens then start from the clock again.
    ///
    /// An item that is gone already is deleted. Otherwise as [`commit`](Self::commit).
    ///
    /// ```no_run
    /// # async fn run(lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// lease.delete_item().await?;
    /// # Ok(()) }
    /// ```
    pub async fn delete_item(self) -> Result<(), Error> {
        self.check_runtime()?;
        let deleted = self.core.end_in_background(Last::Delete);
        self.given_back(deleted, Error::outcome_unknown).await
    }

    fn checked(&self, update: &Update) -> Result<Changes, Error> {
        self.check_runtime()?;
        let terms = &self.core.terms;
        update.parse(&Subject {
            key: &terms.key,
            names: &terms.names,
        })
    }

    fn check_runtime(&self) -> Result<(), Error> {
        match self.core.client.runtime.is_running() {
            true => Ok(()),
            false => Err(Error::no_runtime()),
        }
    }

    /// Waits until the lock is given back, for some attempts' time.
    async fn given_back(
        &self,
        given_back: Option<GivenBack>,
        unconfirmed: fn(Failure) -> Error,
    ) -> Result<(), Error> {
        let Some(given_back) = given_back else {
            return Ok(());
        };
        let client = &self.core.client;
        let patience = client.attempt_timeout.saturating_mul(RELEASE_PATIENCE);
        let time_is_up = client.runtime.now().mono.plus(patience);
        match race(given_back, client.runtime.sleep_until(time_is_up)).await {
            First::A(Ok(result)) => result,
            First::A(Err(_)) => Err(Error::no_runtime()),
            First::B(()) => Err(unconfirmed(Failure::of(
                FailureKind::Unavailable,
                "no answer yet; it goes on in the background",
            ))),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.core.clone().release_in_background());
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("version", &self.core.version)
            .field("fencing_token", &self.core.fence)
            .finish_non_exhaustive()
    }
}
