//! What a lease does while it is held: renews, notices its loss, gives the lock back.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{MutexGuard, Notify, oneshot};

use super::heartbeat::Heartbeat;
use crate::client::Shared;
use crate::clock::{Moment, Monotonic};
use crate::error::Error;
use crate::options::Terms;
use crate::protocol::{self, Jitter, Lost, Released, Renewed};
use crate::queue::{Life, Turn};
use crate::runtime::{Event, First, race};
use crate::wire::{Failure, FailureKind, Item};

/// `lost` looks at the wall clock this many times a lease: the monotonic one may have slept.
const LOOKS_PER_LEASE: u32 = 8;

pub(super) struct Core {
    pub(super) client: Arc<Shared>,
    pub(super) terms: Arc<Terms>,
    pub(super) item: Item,
    pub(super) version: Arc<str>,
    pub(super) fence: u64,
    pub(super) state: Mutex<protocol::Lease>,
    /// One write at a time.
    pub(super) writing: tokio::sync::Mutex<()>,
    /// The deadline has moved, or the lease is over.
    pub(super) changed: Notify,
    /// It is lost, or being released: no heartbeat any more.
    pub(super) over: AtomicBool,
    pub(super) releasing: AtomicBool,
    pub(super) heartbeat: Mutex<Option<Heartbeat>>,
    pub(super) turn: Mutex<Option<Turn>>,
    /// The others of the set that it belongs to.
    pub(super) set: OnceLock<Box<dyn Others>>,
}

/// The other leases of a set. Behind a trait, so that a program without sets has nothing of it.
pub(super) trait Others: Send + Sync {
    /// Whether one of them is lost. One that was given back is not.
    fn is_one_lost(&self, now: Moment) -> bool;

    /// How long all of them last that were not given back.
    fn remaining(&self, now: Moment) -> Duration;

    /// Lets whoever waits for a loss look again.
    fn wake(&self);
}

/// Whether a lease is held, and if not, why.
pub(super) enum Standing {
    Held,
    Lost(Lost),
    /// Released, dropped or handed on.
    GivenBack,
}

impl Core {
    pub(super) fn state(&self) -> std::sync::MutexGuard<'_, protocol::Lease> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether and why the lease is lost. The first to see it passes on the turn.
    pub(super) fn lost(&self, now: Moment) -> Option<Lost> {
        let lost = self.notice_any_loss(now)?;
        self.pass_on_turn();
        Some(lost)
    }

    /// The same for the queue itself, which takes the turn away.
    fn notice_any_loss(&self, now: Moment) -> Option<Lost> {
        match self.notice_loss(now) {
            None if self.set.get().is_some_and(|others| others.is_one_lost(now)) => {
                self.state().lose_with_another();
                self.notice_loss(now)
            }
            lost => lost,
        }
    }

    /// How long it lasts unless it is renewed, and its set with it.
    pub(super) fn remaining(&self, now: Moment) -> Duration {
        let own = self.state().remaining(now);
        match self.set.get() {
            Some(others) => own.min(others.remaining(now)),
            None => own,
        }
    }

    pub(super) fn standing(&self, now: Moment) -> Standing {
        let lost = match self.releasing.load(Ordering::SeqCst) {
            // Its time may run out after the release.
            true => match self.state().known_loss() {
                Some(lost) => Some(lost.clone()),
                None => return Standing::GivenBack,
            },
            false => self.lost(now),
        };
        lost.map_or(Standing::Held, Standing::Lost)
    }

    /// Completes once the lease is lost, with the reason, or is given back.
    pub(super) async fn over(&self) -> Option<Lost> {
        let runtime = &self.client.runtime;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = runtime.now();
            match self.standing(now) {
                Standing::Held => {}
                Standing::Lost(lost) => return Some(lost),
                Standing::GivenBack => return None,
            }
            let (remaining, lease) = (self.remaining(now), self.state().length());
            let look = (lease / LOOKS_PER_LEASE).max(Duration::from_millis(1));
            let wake_at = now.mono.plus(remaining.min(look));
            race(changed, runtime.sleep_until(wake_at)).await;
        }
    }

    /// Completes once the lease ends at another time than `seen`, with that time; `None` once it
    /// is over.
    pub(super) async fn moved(&self, seen: SystemTime) -> Option<SystemTime> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.standing(self.client.runtime.now()) {
                Standing::Held => {}
                Standing::Lost(_) | Standing::GivenBack => return None,
            }
            // As the caller has it: it may be coarser than our nanoseconds.
            let ends = self.state().deadline().wall.system_time();
            if ends != seen {
                return Some(ends);
            }
            match race(changed, self.over()).await {
                First::A(()) => {}
                First::B(_) => return None,
            }
        }
    }

    /// A loss of this lease alone. The first to see it lets the others of its set know.
    pub(super) fn notice_loss(&self, now: Moment) -> Option<Lost> {
        let lost = self.state().lost(now).cloned()?;
        if !self.over.swap(true, Ordering::SeqCst) {
            let version = &self.version;
            self.client.runtime.note(Event::Lost {
                version,
                why: &lost,
            });
            self.client.abandon(&self.version);
            self.end_heartbeat();
            self.changed.notify_waiters();
            if let Some(others) = self.set.get() {
                others.wake();
            }
        }
        Some(lost)
    }

    /// Completes with the reason once the lease is lost; never where it is given back first.
    pub(super) async fn loss(&self) -> Lost {
        match self.over().await {
            Some(lost) => lost,
            // It is consumed by what gives it back.
            None => pending().await,
        }
    }

    /// Waits until nothing else is being written, for as long as the lease is held: what is
    /// written may be in a future that nobody polls any more.
    pub(super) async fn turn_to_write(&self) -> Result<MutexGuard<'_, ()>, Lost> {
        match race(self.writing.lock(), self.loss()).await {
            First::A(writing) => Ok(writing),
            First::B(lost) => Err(lost),
        }
    }

    pub(super) fn pass_on_turn(&self) {
        let turn = self
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(turn);
    }

    /// Renews until it is done or the lease is lost.
    pub(super) async fn renew(&self, extended: Option<Duration>) -> Result<(), Lost> {
        let mut jitter = Jitter::new(self.fence);
        let mut failures = 0;
        loop {
            let renewed = {
                let _writing = self.turn_to_write().await?;
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
    pub(super) fn ends(&self) -> Monotonic {
        let now = self.client.runtime.now();
        now.mono.plus(self.state().remaining(now))
    }

    /// How long to wait after failures. Whoever wants more patience than the lease has gets a
    /// third of what is left, so that there is time for another attempt.
    pub(super) fn pause(&self, failures: u32, failure: &Failure, jitter: &mut Jitter) -> Duration {
        let client = &self.client;
        let pause = client.pause(failures, failure, self.terms.heartbeat, jitter);
        let remaining = self.state().remaining(client.runtime.now());
        let most = (remaining / 3).max(client.retry.backoff.base);
        pause.min(most).min(remaining)
    }

    /// Starts the release; `None` where the lock is being given back already.
    pub(super) fn release_in_background(self: Arc<Self>) -> Option<GivenBack> {
        let core = self.clone();
        self.give_back(async move { core.release().await.map(drop) })
    }

    /// Starts what gives the lock back; `None` where that was started before.
    pub(super) fn give_back<F>(self: Arc<Self>, work: F) -> Option<GivenBack>
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        if self.releasing.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let core = Releasing(self.clone());
        self.client.in_background(Box::pin(async move {
            let result = work.await;
            drop(core);
            // Nobody may be listening any more.
            let _ = tell.send(result);
        }));
        Some(told)
    }

    /// Ends the heartbeat, once the renewal under way has its answer.
    pub(super) fn stop(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.end_heartbeat();
        self.changed.notify_waiters();
    }

    /// Releases; whether it took a refusal to know.
    pub(super) async fn release(&self) -> Result<bool, Error> {
        let runtime = &self.client.runtime;
        let lost_before = self.lost(runtime.now());
        self.stop();
        match lost_before {
            // An expired lock that nobody has taken over is given back as well.
            None | Some(Lost::Expired | Lost::WithAnother) => {}
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
                    return Ok(recovered);
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
        let now = self.client.runtime.now();
        let until = self.ends().max(now.mono.plus(self.attempt_timeout(now)));
        let credentials = match self.client.credentials(until).await {
            Ok(credentials) => credentials,
            Err(failure) => return Released::Failed(failure),
        };
        let sent = self.client.runtime.now();
        if self.terms.limit.left(sent).is_zero() {
            let late = "nothing is sent after the deadline";
            return Released::Failed(Failure::of(FailureKind::Unavailable, late));
        }
        let (skew, timeout) = (self.terms.max_clock_skew, self.attempt_timeout(sent));
        let answer = {
            let mut state = self.state();
            let write = state.release(&self.terms, sent);
            self.client.send(&write, &credentials, sent, timeout, skew)
        };
        let outcome = answer.await.outcome;
        self.state().released(&self.terms.names, outcome)
    }

    /// How long to wait for the answer to what is sent now.
    pub(super) fn attempt_timeout(&self, now: Moment) -> Duration {
        attempt_timeout(&self.client, &self.terms, &self.state(), now)
    }
}

/// What came of giving the lock back, once it is known.
pub(super) type GivenBack = oneshot::Receiver<Result<(), Error>>;

/// A release under way. However it ends, the turn is passed on.
struct Releasing(Arc<Core>);

impl Drop for Releasing {
    fn drop(&mut self) {
        let core = &self.0;
        if !core.over.load(Ordering::SeqCst) {
            core.stop();
        }
        core.client.abandon(&core.version);
        core.pass_on_turn();
    }
}

impl Life for Core {
    // Called by the queue under its lock: must not call back.
    fn ends(&self, now: Moment) -> Option<Monotonic> {
        match self.notice_any_loss(now) {
            Some(_) => None,
            None => Some(now.mono.plus(self.remaining(now))),
        }
    }
}

/// A third of the lease at most, so that another attempt has time, and no longer than to the
/// deadline.
fn attempt_timeout(
    client: &Shared,
    terms: &Terms,
    state: &protocol::Lease,
    now: Moment,
) -> Duration {
    let left = terms.limit.left(now);
    client.attempt_timeout.min(state.length() / 3).min(left)
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
        let timeout = attempt_timeout(client, terms, &state, sent);
        let write = state.renewal(terms, sent, base, duration);
        client.send(&write, &credentials, sent, timeout, terms.max_clock_skew)
    };
    let answer = answer.await;
    lock().renewed(answer.arrived, &terms.names, answer.outcome)
}
