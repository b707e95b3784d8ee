//! The held lock: keeps it alive, says when it is lost, gives it back.

mod core;

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;

use crate::client::Shared;
use crate::error::Error;
use crate::options::{Terms, checked_lease, heartbeat};
use crate::protocol::{Acquired, Lost};
use crate::queue::Turn;
use crate::runtime::{First, race};
use crate::wire::{Failure, FailureKind, Item};

use self::core::Core;
pub(crate) use self::core::renew_once;

/// How many attempts' time `release` waits for; then it goes on in the background.
const RELEASE_PATIENCE: u32 = 3;
/// `lost` looks at the wall clock this many times a lease: the monotonic one may have slept.
const LOOKS_PER_LEASE: u32 = 8;

/// A held lock.
///
/// Unless the lock was made with [`manual_heartbeat`](crate::Lock::manual_heartbeat), a task
/// renews it until it is released, dropped or lost. **Dropping** a lease releases it in the
/// background, where a runtime runs; otherwise the lock ends with the lease. It never panics.
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
            version: lease.version().to_owned(),
            fence: lease.fence(),
            item,
            state: Mutex::new(lease),
            writing: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            over: AtomicBool::new(false),
            releasing: AtomicBool::new(false),
            beating: AtomicBool::new(false),
            turn: Mutex::new(None),
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
            None => self.core.state().remaining(now),
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
        let core = &self.core;
        let runtime = &core.client.runtime;
        loop {
            let mut changed = pin!(core.changed.notified());
            changed.as_mut().enable();
            let now = runtime.now();
            if let Some(lost) = core.lost(now) {
                return lost;
            }
            let (remaining, lease) = {
                let state = core.state();
                (state.remaining(now), state.duration())
            };
            let look = (lease / LOOKS_PER_LEASE).max(Duration::from_millis(1));
            let wake_at = now.mono.plus(remaining.min(look));
            race(changed, runtime.sleep_until(wake_at)).await;
        }
    }

    /// Renews the lease by its length from now. The heartbeat does this by itself.
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

    /// Makes the lease last `duration` from now, and as long after each later renewal.
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
        if self.core.beating.load(Ordering::SeqCst) {
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
        let jitter = core.client.jitter()?;
        if core.beating.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let beat = Box::pin(core.clone().beat(jitter));
        core.client
            .runtime
            .spawn(beat)
            .map_err(|_| Error::no_runtime())
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
        let core = self.core.clone();
        let Some(released) = core.clone().release_in_background() else {
            return Ok(());
        };
        let runtime = &core.client.runtime;
        let patience = core.client.attempt_timeout.saturating_mul(RELEASE_PATIENCE);
        let time_is_up = runtime.sleep_until(runtime.now().mono.plus(patience));
        match race(released, time_is_up).await {
            First::A(Ok(result)) => result,
            First::A(Err(_)) => Err(Error::no_runtime()),
            First::B(()) => Err(Error::release_unconfirmed(Failure::of(
                FailureKind::Unavailable,
                "no answer yet; the release goes on in the background",
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
