//! Credentials that were fetched, kept until it is time to fetch anew.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::fetch::Fetch;
use super::{Credentials, CredentialsError, CredentialsFuture, CredentialsSource};
use crate::clock::{Moment, Monotonic, Wall};
use crate::runtime::Runtime;

/// How long before their end credentials are fetched anew, and by how much that varies.
const AHEAD: Duration = Duration::from_secs(300);
const AHEAD_JITTER: Duration = Duration::from_secs(60);

/// The pause after a fetch while there are credentials to work with.
const PAUSE: Duration = Duration::from_secs(30);

/// The pause after a fetch that left nothing to work with.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// Keeps what a source gave, and asks it again five to six minutes before the end (or when two
/// thirds of a shorter life are over).
///
/// One fetch runs at a time, in a task of its own: no caller waits for it while the old
/// credentials are good, its failure does then not matter, and dropping a caller does not stop it.
/// Credentials that are past their end when they arrive are given out all the same: the clock here
/// may be wrong, and AWS knows.
pub(crate) struct Cached {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn Fetch>,
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
    /// Counts the fetches that have ended.
    ended: watch::Sender<u64>,
}

impl Cached {
    pub(crate) fn new(source: Arc<dyn Fetch>, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            shared: Arc::new(Shared {
                source,
                runtime,
                state: Mutex::default(),
                ended: watch::Sender::new(0),
            }),
        }
    }
}

impl CredentialsSource for Cached {
    fn credentials(&self) -> CredentialsFuture<'_> {
        Box::pin(async {
            let mut ended = self.shared.ended.subscribe();
            let step = self.shared.state().next(self.shared.runtime.now());
            match step {
                Step::Use(credentials) => return Ok(credentials),
                Step::UseAndFetch(credentials) => {
                    // Where no runtime runs, the next call tries again.
                    let _ = self.shared.fetch();
                    return Ok(credentials);
                }
                Step::Fail(error) => return Err(error),
                Step::Fetch => self.shared.fetch()?,
                Step::Await => {}
            }
            // Fails only where the sender is gone, and it is ours.
            let _ = ended.changed().await;
            self.shared.state().fetched()
        })
    }

    fn expired(&self, credentials: &Credentials) {
        let now = self.shared.runtime.now();
        self.shared.state().expired(credentials, now);
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shared.source, f)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a fetch. The state knows of it already.
    fn fetch(self: &Arc<Self>) -> Result<(), CredentialsError> {
        let fetching = Fetching(self.clone());
        let task = Box::pin(async move {
            let result = fetching.0.source.fetch().await;
            fetching.ended(result);
        });
        // Where no runtime runs, the task is dropped, and so ends the fetch.
        self.runtime.spawn(task).map_err(|_| given_up())
    }
}

/// A fetch under way. However it ends, whoever waits for it goes on.
struct Fetching(Arc<Shared>);

impl Fetching {
    fn ended(self, result: Result<Credentials, CredentialsError>) {
        let now = self.0.runtime.now();
        // Without random bits all clients of a fleet ask at the same time, which is no fault.
        let jitter = match self.0.runtime.random() {
            Ok([bits, ..]) => f64::from(bits) / 256.0,
            Err(_) => 0.0,
        };
        self.0.state().ended(result, now, jitter);
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.fetching {
            state.ended(Err(given_up()), self.0.runtime.now(), 0.0);
        }
        drop(state);
        self.0.ended.send_modify(|ended| *ended += 1);
    }
}

fn given_up() -> CredentialsError {
    CredentialsError::unavailable("cache", "the runtime stopped while they were fetched")
}

/// What is known, and what to do next. It reads no clock.
#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Why the last fetch brought nothing.
    error: Option<CredentialsError>,
    fetching: bool,
    /// Nothing is fetched before.
    pause_ends: Monotonic,
}

struct Held {
    credentials: Credentials,
    ends: Option<Wall>,
    fetch_from: Option<Wall>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Use(Credentials),
    /// Good for now, and a fetch is due: the caller starts it.
    UseAndFetch(Credentials),
    /// The caller starts a fetch and waits.
    Fetch,
    /// A fetch is under way.
    Await,
    Fail(CredentialsError),
}

impl State {
    fn next(&mut self, now: Moment) -> Step {
        let may_fetch = !self.fetching && now.mono >= self.pause_ends;
        if let Some(held) = &self.held {
            let credentials = || held.credentials.clone();
            let is_over = held.ends.is_some_and(|ends| now.wall >= ends);
            if !is_over && may_fetch && held.fetch_from.is_some_and(|from| now.wall >= from) {
                self.fetching = true;
                return Step::UseAndFetch(credentials());
            }
            // Past their end, and no other could be had: they came like this, or AWS will say.
            if !is_over || (!may_fetch && !self.fetching && self.error.is_none()) {
                return Step::Use(credentials());
            }
        }
        if self.fetching {
            return Step::Await;
        }
        match &self.error {
            Some(error) if !may_fetch => Step::Fail(error.clone()),
            _ => {
                self.fetching = true;
                Step::Fetch
            }
        }
    }

    fn ended(&mut self, result: Result<Credentials, CredentialsError>, now: Moment, jitter: f64) {
        self.fetching = false;
        let has_good = |held: &Held| held.ends.is_none_or(|ends| now.wall < ends);
        let pause = match result {
            Ok(credentials) => {
                self.error = None;
                self.held = Some(Held::new(credentials, now, jitter));
                PAUSE
            }
            Err(error) => {
                self.error = Some(error);
                match self.held.as_ref().is_some_and(has_good) {
                    true => PAUSE,
                    false => SHORT_PAUSE,
                }
            }
        };
        self.pause_ends = now.mono.plus(pause);
    }

    /// What whoever waited for a fetch gets.
    fn fetched(&self) -> Result<Credentials, CredentialsError> {
        match (&self.error, &self.held) {
            (None, Some(held)) => Ok(held.credentials.clone()),
            (Some(error), _) => Err(error.clone()),
            (None, None) => Err(given_up()),
        }
    }

    fn expired(&mut self, credentials: &Credentials, now: Moment) {
        let is_held = |held: &Held| held.credentials == *credentials;
        if self.held.as_ref().is_some_and(is_held) {
            self.held = None;
            self.pause_ends = self.pause_ends.min(now.mono.plus(SHORT_PAUSE));
        }
    }
}

impl Held {
    fn new(credentials: Credentials, now: Moment, jitter: f64) -> Self {
        let ends = credentials.expiry().map(wall);
        let fetch_from = ends.map(|ends| {
            let ahead = AHEAD + AHEAD_JITTER.mul_f64(jitter);
            ends.minus(ahead.min(ends.since(now.wall) / 3))
        });
        Self {
            credentials,
            ends,
            fetch_from,
        }
    }
}

fn wall(time: SystemTime) -> Wall {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Wall(0).plus(since),
        Err(before) => Wall(0).minus(before.duration()),
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
