//! Credentials that were fetched, kept until it is time to fetch anew.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::fetch::Fetch;
use super::{Credentials, CredentialsError, CredentialsFuture, CredentialsSource};
use crate::clock::{Moment, Monotonic, Wall};
use crate::runtime::{First, Runtime, race};

/// How long before their end credentials are fetched anew, and by how much that varies.
const AHEAD: Duration = Duration::from_secs(300);
const AHEAD_JITTER: Duration = Duration::from_secs(60);

/// Keys without an end are looked at again now and then: files are rotated by hand as well.
const WITHOUT_END: Duration = Duration::from_secs(900);

/// The pause after a fetch while there are credentials to work with.
const PAUSE: Duration = Duration::from_secs(30);

/// The pause after a fetch that left nothing to work with.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// No source needs longer: a process may take a minute, and has roles behind it perhaps.
const LONGEST_FETCH: Duration = Duration::from_secs(180);

/// Keeps what a source gave, and asks it again five to six minutes before the end (or when two
/// thirds of a shorter life are over).
///
/// One fetch runs at a time, in a task of its own: no caller waits for it while the old
/// credentials are good, its failure does then not matter, and dropping a caller does not stop it.
/// Credentials that are past their end are given out where they came like that, or while the
/// source cannot be asked: the clock here may be wrong, and AWS knows.
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
                Step::UseAndFetch(credentials, fetch) => {
                    // Where no runtime runs, the next call tries again.
                    let _ = self.shared.fetch(fetch);
                    return Ok(credentials);
                }
                Step::Fail(error) => return Err(error),
                Step::Fetch(fetch) => self.shared.fetch(fetch)?,
                Step::Await => {}
            }
            // Fails only where the sender is gone, and it is ours.
            let _ = ended.changed().await;
            self.shared.state().fetched()
        })
    }

    fn expired(&self, credentials: &Credentials) -> bool {
        let now = self.shared.runtime.now();
        self.shared.state().expired(credentials, now);
        true
    }

    fn waiting_for(&self) -> Option<CredentialsError> {
        self.shared.source.waiting_for()
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
    fn fetch(self: &Arc<Self>, id: FetchId) -> Result<(), CredentialsError> {
        let fetching = Fetching {
            shared: self.clone(),
            id,
        };
        let task = Box::pin(async move {
            let shared = fetching.shared.clone();
            let limit = shared.runtime.now().mono.plus(LONGEST_FETCH);
            let limit = shared.runtime.sleep_until(limit);
            fetching.ended(match race(shared.source.fetch(), limit).await {
                First::A(result) => result,
                First::B(()) => Err(CredentialsError::unavailable(
                    "cache",
                    "the source did not answer within three minutes",
                )),
            });
        });
        // Where no runtime runs, the task is dropped, and so ends the fetch.
        self.runtime.spawn(task).map_err(|_| given_up())
    }
}

/// A fetch under way. However it ends, whoever waits for it goes on.
struct Fetching {
    shared: Arc<Shared>,
    id: FetchId,
}

impl Fetching {
    fn ended(self, result: Result<Credentials, CredentialsError>) {
        let now = self.shared.runtime.now();
        // Without random bits all clients of a fleet ask at the same time, which is no fault.
        let jitter = match self.shared.runtime.random() {
            Ok([bits, ..]) => f64::from(bits) / 256.0,
            Err(_) => 0.0,
        };
        self.shared.state().ended(self.id, result, now, jitter);
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        let now = self.shared.runtime.now();
        // Does nothing where the fetch has come to its end.
        self.shared
            .state()
            .ended(self.id, Err(given_up()), now, 0.0);
        self.shared.ended.send_modify(|ended| *ended += 1);
    }
}

fn given_up() -> CredentialsError {
    CredentialsError::unavailable("cache", "they were being fetched, and that was broken off")
}

/// Tells one fetch from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FetchId(u64);

/// What is known, and what to do next. It reads no clock.
#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Why the last fetch brought nothing.
    error: Option<CredentialsError>,
    /// The fetch under way, and when it is given up where nobody polls its runtime any more.
    fetching: Option<(FetchId, Monotonic)>,
    fetches: u64,
    /// Nothing is fetched before.
    pause_ends: Monotonic,
    /// What AWS took for expired, and how often a fetch has brought it again.
    refused: Option<Credentials>,
    repeated: u32,
}

struct Held {
    credentials: Credentials,
    ends: Option<Wall>,
    fetch_from: Wall,
    /// They were past their end when they came.
    came_late: bool,
    /// AWS took them for expired.
    refused: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Use(Credentials),
    /// Good for now, and a fetch is due: the caller starts it.
    UseAndFetch(Credentials, FetchId),
    /// The caller starts a fetch and waits.
    Fetch(FetchId),
    /// A fetch is under way.
    Await,
    Fail(CredentialsError),
}

impl State {
    fn next(&mut self, now: Moment) -> Step {
        let in_flight = self.fetching.is_some_and(|(_, until)| now.mono < until);
        let may_fetch = !in_flight && now.mono >= self.pause_ends;
        let Some(held) = &self.held else {
            return match &self.error {
                _ if in_flight => Step::Await,
                Some(error) if !may_fetch => Step::Fail(error.clone()),
                _ => Step::Fetch(self.begin(now)),
            };
        };
        let credentials = held.credentials.clone();
        let is_good = !held.refused && !held.is_over(now);
        let is_due = !is_good || now.wall >= held.fetch_from;
        // Past their end, and no others to be had: AWS may still take them, and says so.
        let for_want_of_others = !held.refused
            && (held.came_late
                || self
                    .error
                    .as_ref()
                    .is_some_and(CredentialsError::is_passing));
        let is_usable = is_good || for_want_of_others;
        match &self.error {
            _ if is_due && may_fetch && is_usable => {
                Step::UseAndFetch(credentials, self.begin(now))
            }
            _ if is_due && may_fetch => Step::Fetch(self.begin(now)),
            _ if in_flight && !is_usable => Step::Await,
            Some(error) if !is_usable && !held.refused => Step::Fail(error.clone()),
            _ => Step::Use(credentials),
        }
    }

    fn begin(&mut self, now: Moment) -> FetchId {
        self.fetches += 1;
        let id = FetchId(self.fetches);
        self.fetching = Some((id, now.mono.plus(LONGEST_FETCH + PAUSE)));
        id
    }

    /// Takes what a fetch has brought; one that was given up meanwhile brings nothing.
    fn ended(
        &mut self,
        id: FetchId,
        result: Result<Credentials, CredentialsError>,
        now: Moment,
        jitter: f64,
    ) {
        if self.fetching.is_none_or(|(current, _)| current != id) {
            return;
        }
        self.fetching = None;
        let pause = match result {
            Ok(credentials) => {
                let pause = self.pause_after(&credentials);
                self.error = None;
                self.held = Some(Held::new(credentials, now, jitter));
                pause
            }
            Err(error) => {
                self.error = Some(error);
                let left = |held: &Held| held.ends.map(|ends| ends.since(now.wall));
                match &self.held {
                    Some(held) if !held.refused => left(held).unwrap_or(PAUSE).min(PAUSE),
                    _ => SHORT_PAUSE,
                }
                .max(SHORT_PAUSE)
            }
        };
        self.pause_ends = now.mono.plus(pause);
    }

    /// A source that hands out what AWS has refused is asked more and more seldom.
    fn pause_after(&mut self, fetched: &Credentials) -> Duration {
        if self.refused.as_ref() != Some(fetched) {
            self.refused = None;
            self.repeated = 0;
            return PAUSE;
        }
        let pause = SHORT_PAUSE.saturating_mul(1 << self.repeated.min(5));
        self.repeated = self.repeated.saturating_add(1);
        pause.min(PAUSE)
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
        let Some(held) = &mut self.held else { return };
        if held.credentials != *credentials {
            return;
        }
        held.refused = true;
        if self.refused.as_ref() != Some(credentials) {
            self.refused = Some(credentials.clone());
            self.pause_ends = now.mono;
        }
    }
}

impl Held {
    fn new(credentials: Credentials, now: Moment, jitter: f64) -> Self {
        let ends = credentials.expiry().map(wall);
        let ahead = AHEAD + AHEAD_JITTER.mul_f64(jitter);
        let fetch_from = match ends {
            Some(ends) => ends.minus(ahead.min(ends.since(now.wall) / 3)),
            None => now.wall.plus(WITHOUT_END),
        };
        Self {
            came_late: ends.is_some_and(|ends| now.wall >= ends),
            credentials,
            ends,
            fetch_from,
            refused: false,
        }
    }

    fn is_over(&self, now: Moment) -> bool {
        self.ends.is_some_and(|ends| now.wall >= ends)
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
