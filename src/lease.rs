//! The held lock: keeps it alive, says when it is lost, gives it back.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, oneshot};

use crate::client::Shared;
use crate::clock::{Moment, Monotonic};
use crate::error::Error;
use crate::options::{Terms, checked_lease, heartbeat};
use crate::protocol::{self, Acquired, Jitter, Lost, Released, Renewed};
use crate::queue::{Life, Turn};
use crate::runtime::{Event, First, race};
use crate::wire::{Failure, FailureKind, Item};

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

struct Core {
    client: Arc<Shared>,
    terms: Arc<Terms>,
    item: Item,
    version: String,
    fence: u64,
    state: Mutex<protocol::Lease>,
    /// One write at a time.
    writing: tokio::sync::Mutex<()>,
    /// The deadline has moved, or the lease is over.
    changed: Notify,
    /// It is lost, or being released: no heartbeat any more.
    over: AtomicBool,
    releasing: AtomicBool,
    beating: AtomicBool,
    turn: Mutex<Option<Turn>>,
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

impl Core {
    fn state(&self) -> MutexGuard<'_, protocol::Lease> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether and why the lease is lost. The first to see it passes on the turn.
    fn lost(&self, now: Moment) -> Option<Lost> {
        let lost = self.notice_loss(now)?;
        self.pass_on_turn();
        Some(lost)
    }

    /// The same for the queue itself, which takes the turn away. The first to see it lets the
    /// others know.
    fn notice_loss(&self, now: Moment) -> Option<Lost> {
        let lost = self.state().lost(now).cloned()?;
        if !self.over.swap(true, Ordering::SeqCst) {
            let version = &self.version;
            self.client.runtime.note(Event::Lost {
                version,
                why: &lost,
            });
            self.client.abandon(&self.version);
            self.changed.notify_waiters();
        }
        Some(lost)
    }

    fn pass_on_turn(&self) {
        let turn = self
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(turn);
    }

    /// Renews until it is done or the lease is lost.
    async fn renew(&self, extended: Option<Duration>) -> Result<(), Lost> {
        let mut jitter = Jitter::new(self.fence);
        let mut failures = 0;
        loop {
            let renewed = {
                let _writing = self.writing.lock().await;
                if let Some(lost) = self.lost(self.client.runtime.now()) {
                    return Err(lost);
                }
                let duration = extended.unwrap_or_else(|| self.state().duration());
                let ends = self.ends();
                renew_once(&self.client, &self.terms, &self.state, duration, ends).await
            };
            if let Some(lost) = self.lost(self.client.runtime.now()) {
                return Err(lost);
            }
            match renewed {
                Renewed::Done { recovered } => {
                    let version = &self.version;
                    let renewed = Event::Renewed { version, recovered };
                    self.client.runtime.note(renewed);
                    self.changed.notify_waiters();
                    return Ok(());
                }
                Renewed::Lost(lost) => return Err(lost),
                Renewed::Failed(failure) => {
                    failures += 1;
                    let pause = self.pause(failures, &failure, &mut jitter);
                    let runtime = &self.client.runtime;
                    runtime.sleep_until(runtime.now().mono.plus(pause)).await;
                }
            }
        }
    }

    /// When the lease ends unless it is renewed.
    fn ends(&self) -> Monotonic {
        let now = self.client.runtime.now();
        now.mono.plus(self.state().remaining(now))
    }

    /// How long to wait after failures. Whoever wants more patience than the lease has gets a
    /// third of what is left, so that there is time for another attempt.
    fn pause(&self, failures: u32, failure: &Failure, jitter: &mut Jitter) -> Duration {
        let client = &self.client;
        let pause = client.pause(failures, failure, self.terms.heartbeat, jitter);
        let remaining = self.state().remaining(client.runtime.now());
        let most = (remaining / 3).max(client.retry.backoff.base);
        pause.min(most).min(remaining)
    }

    /// The heartbeat task.
    async fn beat(self: Arc<Self>, mut jitter: Jitter) {
        let mut failures = 0;
        let mut due = self.state().sent_at().plus(self.terms.heartbeat);
        loop {
            if !self.waited_until(due).await {
                return;
            }
            let renewed = {
                let _writing = self.writing.lock().await;
                let now = self.client.runtime.now();
                if self.over.load(Ordering::SeqCst) || self.lost(now).is_some() {
                    return;
                }
                let duration = self.state().duration();
                let ends = self.ends();
                renew_once(&self.client, &self.terms, &self.state, duration, ends).await
            };
            let now = self.client.runtime.now();
            match renewed {
                Renewed::Done { recovered } => {
                    let version = &self.version;
                    let renewed = Event::Renewed { version, recovered };
                    self.client.runtime.note(renewed);
                    failures = 0;
                    self.changed.notify_waiters();
                    due = self.state().sent_at().plus(self.terms.heartbeat);
                }
                Renewed::Lost(_) => {}
                Renewed::Failed(failure) => {
                    failures += 1;
                    let pause = self.pause(failures, &failure, &mut jitter);
                    due = now.mono.plus(pause);
                }
            }
        }
    }

    /// Sleeps until `due`, waking at times to look at the clocks; `false` once the lease is over.
    async fn waited_until(&self, due: Monotonic) -> bool {
        let runtime = &self.client.runtime;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = runtime.now();
            if self.over.load(Ordering::SeqCst) || self.lost(now).is_some() {
                return false;
            }
            if now.mono >= due {
                return true;
            }
            let ends = now.mono.plus(self.state().remaining(now));
            race(changed, runtime.sleep_until(due.min(ends))).await;
        }
    }

    /// Starts the release; `None` where it was started before.
    fn release_in_background(self: Arc<Self>) -> Option<oneshot::Receiver<Result<(), Error>>> {
        if self.releasing.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let core = Releasing(self.clone());
        self.client.in_background(Box::pin(async move {
            let result = core.0.release().await;
            drop(core);
            // Nobody may be listening any more.
            let _ = tell.send(result);
        }));
        Some(told)
    }

    async fn release(&self) -> Result<(), Error> {
        let runtime = &self.client.runtime;
        let lost_before = self.lost(runtime.now());
        // Ends the heartbeat, once the renewal under way has its answer.
        self.over.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
        match lost_before {
            // An expired lock that nobody has taken over is given back as well.
            None | Some(Lost::Expired) => {}
            Some(lost) => return Err(lost.into()),
        }
        let _writing = self.writing.lock().await;
        let mut jitter = Jitter::new(self.fence);
        let mut failures = 0;
        loop {
            let released = self.release_once().await;
            let failure = match released {
                Released::Done { recovered } => {
                    let version = &self.version;
                    runtime.note(Event::Released { version, recovered });
                    return Ok(());
                }
                Released::Lost(lost) => {
                    let version = &self.version;
                    let why = &lost;
                    runtime.note(Event::Lost { version, why });
                    return Err(lost.into());
                }
                Released::Failed(failure) => failure,
            };
            if let Some(lost) = lost_before {
                return Err(lost.into());
            }
            let now = runtime.now();
            if !failure.kind.is_passing() {
                return Err(Error::failed(failure));
            }
            failures += 1;
            let pause = self.pause(failures, &failure, &mut jitter);
            runtime.sleep_until(now.mono.plus(pause)).await;
            if self.state().remaining(now).is_zero() {
                return Err(Error::release_unconfirmed(failure));
            }
        }
    }

    async fn release_once(&self) -> Released {
        // A lease that is over is given back all the same, in the time of one attempt.
        let now = self.client.runtime.now().mono;
        let until = self.ends().max(now.plus(self.attempt_timeout()));
        let credentials = match self.client.credentials(until).await {
            Ok(credentials) => credentials,
            Err(failure) => return Released::Failed(failure),
        };
        let sent = self.client.runtime.now();
        let (skew, timeout) = (self.terms.max_clock_skew, self.attempt_timeout());
        let answer = {
            let mut state = self.state();
            let write = state.release(&self.terms, sent);
            self.client.send(&write, &credentials, sent, timeout, skew)
        };
        let outcome = answer.await.outcome;
        self.state().released(&self.terms.names, outcome)
    }

    fn attempt_timeout(&self) -> Duration {
        self.client.attempt_timeout.min(self.state().duration() / 3)
    }
}

/// A release under way. However it ends, the turn is passed on.
struct Releasing(Arc<Core>);

impl Drop for Releasing {
    fn drop(&mut self) {
        let core = &self.0;
        if !core.over.swap(true, Ordering::SeqCst) {
            core.changed.notify_waiters();
        }
        core.client.abandon(&core.version);
        core.pass_on_turn();
    }
}

impl Life for Core {
    // Called by the queue under its lock: must not call back.
    fn ends(&self, now: Moment) -> Option<Monotonic> {
        match self.notice_loss(now) {
            Some(_) => None,
            None => Some(now.mono.plus(self.state().remaining(now))),
        }
    }
}

/// One renewal and its answer; none is begun from `until` on. The caller sees to it that nothing else is being written.
///
/// Dropping the future leaves the outcome open, as the state knows.
pub(crate) async fn renew_once(
    client: &Arc<Shared>,
    terms: &Terms,
    state: &Mutex<protocol::Lease>,
    duration: Duration,
    until: Monotonic,
) -> Renewed {
    let credentials = match client.credentials(until).await {
        Ok(credentials) => credentials,
        Err(failure) => return Renewed::Failed(failure),
    };
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = client.runtime.now();
    if sent.mono >= until {
        let late = "the credentials came when it was too late to renew";
        return Renewed::Failed(Failure::of(FailureKind::NoCredentials, late));
    }
    let base = client.trust().expiry_base(sent);
    let answer = {
        let mut state = lock();
        let timeout = client.attempt_timeout.min(state.duration() / 3);
        let write = state.renewal(terms, sent, base, duration);
        client.send(&write, &credentials, sent, timeout, terms.max_clock_skew)
    };
    let answer = answer.await;
    lock().renewed(answer.arrived, &terms.names, answer.outcome)
}
