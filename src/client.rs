//! The client: signs, sends, and keeps what its locks share.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::builder::ClientBuilder;
use crate::clock::{Moment, Monotonic};
use crate::credentials::{Credentials, CredentialsSource};
use crate::error::Error;
use crate::heart::Hearts;
use crate::key::Key;
use crate::lock::Lock;
use crate::protocol::{ClockTrust, Jitter, RetryBudget, RetryPolicy};
use crate::queue::Queues;
use crate::runtime::{BoxFuture, Event, First, Runtime, both, race};
use crate::wire::{
    Endpoint, Failure, FailureKind, Item, Operation, Outcome, Prepared, Progress, SendError,
    Signer, Transport, request, server_date,
};

/// Versions given up that are remembered, so that they can be taken over at once.
const MOST_ABANDONED: usize = 256;

/// A connection to DynamoDB in one region, with one set of credentials.
///
/// Cheap to clone; clones share connections, and tasks that want the same lock through them
/// queue up locally. Dropping the last clone closes the connections. Needs a Tokio runtime with
/// I/O and time enabled from the first `acquire` on, not before.
///
/// ```no_run
/// # async fn run() -> Result<(), dynolock::Error> {
/// let client = dynolock::Client::from_env()?;
/// let lease = client.lock("jobs", ("id", "job-42")).acquire().await?;
/// lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones of a client, its locks and its leases share.
pub(crate) struct Shared {
    pub(crate) runtime: Arc<dyn Runtime>,
    transport: Arc<dyn Transport>,
    endpoint: Endpoint,
    signer: Signer,
    credentials: Arc<dyn CredentialsSource>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    budget: Mutex<RetryBudget>,
    trust: Mutex<ClockTrust>,
    /// Whether it was told that the clock is off.
    clock_is_off: AtomicBool,
    pub(crate) queues: Arc<Queues>,
    pub(crate) hearts: Hearts,
    abandoned: Mutex<VecDeque<String>>,
    /// How many releases and clean-ups run in the background.
    background: watch::Sender<usize>,
}

/// What a client is made of.
pub(crate) struct Parts {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) endpoint: Endpoint,
    pub(crate) region: String,
    pub(crate) credentials: Arc<dyn CredentialsSource>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) retry: RetryPolicy,
}

/// An answer, or that none came.
pub(crate) struct Answer<R = Option<Item>> {
    pub(crate) outcome: Outcome<R>,
    pub(crate) arrived: Moment,
}

impl Client {
    /// A client configured as every AWS tool is: by the environment. Short for
    /// `Client::builder().environment().build()`; see [`ClientBuilder::environment`].
    pub fn from_env() -> Result<Self, Error> {
        Self::builder().environment().build()
    }

    /// A builder with nothing set.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// Opens the connection ahead of the first call, and fetches the credentials.
    ///
    /// Without it the first `acquire` does both. Errors where DynamoDB cannot be reached within
    /// the connect timeout, or where no credentials can be had, for which it waits as long as
    /// their source needs; the client can be used all the same.
    /// Dropping the future gives the connection up. Call it while a Lambda function initializes:
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), dynolock::Error> {
    /// let client = dynolock::Client::from_env()?;
    /// client.connect().await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if !shared.runtime.is_running() {
            return Err(Error::no_runtime());
        }
        // A source of ours ends by itself.
        let patience = shared.runtime.now().mono.plus(Duration::from_secs(3600));
        let (connected, credentials) =
            both(shared.transport.connect(), shared.credentials(patience)).await;
        connected.map_err(|error| {
            Error::failed(Failure::of(FailureKind::Unavailable, error.to_string()))
        })?;
        credentials.map_err(Error::failed)?;
        Ok(())
    }

    /// A lock on one item. Nothing is sent, and nothing is checked before it is used.
    ///
    /// ```no_run
    /// # fn run(client: &dynolock::Client) {
    /// let lock = client.lock("jobs", ("id", "job-42"));
    /// let other = client.lock("events", (("tenant", "acme"), ("seq", 7)));
    /// # }
    /// ```
    pub fn lock(&self, table: impl Into<String>, key: impl Into<Key>) -> Lock {
        Lock::new(self.clone(), table.into(), key.into())
    }

    /// The endpoint that requests go to, such as `https://dynamodb.eu-west-1.amazonaws.com/`.
    ///
    /// ```no_run
    /// # fn run(client: &dynolock::Client) {
    /// println!("asks {} in {}", client.endpoint_url(), client.region());
    /// # }
    /// ```
    pub fn endpoint_url(&self) -> String {
        self.shared.endpoint.uri().to_string()
    }

    /// The region that requests are signed for.
    ///
    /// ```
    /// # let keys = dynolock::credentials::Credentials::new("AKIDEXAMPLE", "secret").unwrap();
    /// # let builder = dynolock::Client::builder().credentials(keys);
    /// # let builder = builder.endpoint_url("http://127.0.0.1:8000");
    /// let client = builder.region("eu-west-1").build().unwrap();
    /// assert_eq!(client.region(), "eu-west-1");
    /// ```
    pub fn region(&self) -> &str {
        self.shared.signer.region()
    }

    /// Waits until no release or clean-up of this client runs in the background any more.
    ///
    /// They come from leases that were dropped and acquisitions that were given up; each ends
    /// with its lease at the latest. Call it before a process ends or a Lambda function answers.
    /// Dropping the future cancels nothing.
    ///
    /// ```no_run
    /// # async fn run(client: dynolock::Client, lease: dynolock::Lease) {
    /// drop(lease);
    /// client.drain().await;
    /// # }
    /// ```
    pub async fn drain(&self) {
        let mut running = self.shared.background.subscribe();
        // Fails only where the sender is gone, and it is ours.
        let _ = running.wait_for(|running| *running == 0).await;
    }

    pub(crate) fn of(parts: Parts) -> Self {
        Self {
            shared: Arc::new(Shared {
                trust: Mutex::new(ClockTrust::new(parts.runtime.now())),
                runtime: parts.runtime,
                transport: parts.transport,
                endpoint: parts.endpoint,
                signer: Signer::new("dynamodb", &parts.region),
                credentials: parts.credentials,
                attempt_timeout: parts.attempt_timeout,
                retry: parts.retry,
                clock_is_off: AtomicBool::new(false),
                budget: Mutex::default(),
                queues: Arc::default(),
                hearts: Hearts::default(),
                abandoned: Mutex::default(),
                background: watch::Sender::new(0),
            }),
        }
    }

    /// A client in a world of the caller's: other clocks, other tasks, another network.
    #[cfg(test)]
    pub(crate) fn in_world(
        runtime: Arc<dyn Runtime>,
        transport: Arc<dyn Transport>,
        attempt_timeout: Duration,
    ) -> Self {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret").unwrap();
        Self::builder()
            .region("us-east-1")
            .endpoint_url("http://127.0.0.1:1")
            .credentials(credentials)
            .attempt_timeout(attempt_timeout)
            .build_in(runtime, |_, _| Ok(transport))
            .unwrap()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.shared.endpoint.uri().to_string())
            .field("region", &self.shared.signer.region())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn trust(&self) -> MutexGuard<'_, ClockTrust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Credentials, waited for until the caller has no more time.
    pub(crate) async fn credentials(&self, until: Monotonic) -> Result<Credentials, Failure> {
        let got = self.credentials.credentials();
        let failure = match race(got, self.runtime.sleep_until(until)).await {
            First::A(Ok(credentials)) => return Ok(credentials),
            First::A(Err(error)) => {
                let kind = match error.is_passing() {
                    true => FailureKind::NoCredentials,
                    false => FailureKind::CredentialsRejected,
                };
                Failure::of(kind, error.to_string())
            }
            First::B(()) => {
                let late = "the source of credentials did not answer in time";
                let late = match self.credentials.waiting_for() {
                    Some(waiting) => [late, ": ", &waiting.to_string()].concat(),
                    None => late.into(),
                };
                Failure::of(FailureKind::NoCredentials, late)
            }
        };
        self.note_failure(&failure, false);
        Err(failure)
    }

    /// Signs and sends an operation that was made at `sent`.
    ///
    /// Dropping the future leaves the outcome unknown.
    pub(crate) fn send<O: Operation<Refusal: Send + 'static>>(
        self: &Arc<Self>,
        operation: &O,
        credentials: &Credentials,
        sent: Moment,
        timeout: Duration,
        skew: Duration,
    ) -> BoxFuture<Answer<O::Refusal>> {
        let request = request(&self.endpoint, operation.target(), operation.body());
        self.send_request(request, O::outcome, credentials, sent, timeout, skew)
    }

    /// The same for what was prepared before.
    pub(crate) fn send_prepared(
        self: &Arc<Self>,
        prepared: Prepared,
        credentials: &Credentials,
        sent: Moment,
        timeout: Duration,
        skew: Duration,
    ) -> BoxFuture<Answer> {
        let request = request(&self.endpoint, prepared.target, prepared.body);
        self.send_request(request, prepared.outcome, credentials, sent, timeout, skew)
    }

    /// The same for the request that an operation is: compiled once for all whose refusals are
    /// of one type.
    fn send_request<R: Send + 'static>(
        self: &Arc<Self>,
        request: Result<http::Request<bytes::Bytes>, String>,
        read: fn(&http::Response<bytes::Bytes>) -> Outcome<R>,
        credentials: &Credentials,
        sent: Moment,
        timeout: Duration,
        skew: Duration,
    ) -> BoxFuture<Answer<R>> {
        let signed = request.and_then(|mut request| {
            let time = self.trust().signing_time(sent).system_time();
            self.signer
                .sign(&mut request, credentials, time)
                .map_err(|error| error.to_string())?;
            Ok(request)
        });
        let (shared, credentials) = (self.clone(), credentials.clone());
        Box::pin(async move {
            let mut outcome = match signed {
                Ok(request) => shared.exchange(request, sent, timeout, skew, read).await,
                Err(problem) => {
                    let problem = ["the request could not be made: ", &problem].concat();
                    Outcome::NotApplied(Failure::of(FailureKind::Other, problem))
                }
            };
            match &mut outcome {
                Outcome::Applied(_) | Outcome::Refused(_) => shared.budget().succeeded(),
                Outcome::NotApplied(failure) => {
                    if failure.blames_credentials()
                        && !shared.credentials.expired(&credentials)
                        && failure.kind == FailureKind::CredentialsExpired
                    {
                        // There will never be others.
                        failure.kind = FailureKind::CredentialsRejected;
                    }
                    shared.note_failure(failure, false);
                }
                Outcome::Unknown(failure) => shared.note_failure(failure, true),
            }
            Answer {
                outcome,
                arrived: shared.runtime.now(),
            }
        })
    }

    async fn exchange<R>(
        &self,
        mut request: http::Request<bytes::Bytes>,
        sent: Moment,
        timeout: Duration,
        skew: Duration,
        read: fn(&http::Response<bytes::Bytes>) -> Outcome<R>,
    ) -> Outcome<R> {
        let limit = self.runtime.sleep_until(sent.mono.plus(timeout));
        let progress = Progress::default();
        request.extensions_mut().insert(progress.clone());
        match race(self.transport.send(request), limit).await {
            First::A(Ok(answer)) => {
                let arrived = self.runtime.now();
                let outcome = read(&answer);
                // A damaged answer does not tell the time either.
                let is_damaged =
                    matches!(&outcome, Outcome::Unknown(it) if it.kind == FailureKind::BadAnswer);
                if !is_damaged && let Some(date) = server_date(&answer) {
                    self.compare_clocks(sent, arrived, date, skew);
                }
                outcome
            }
            First::A(Err(error)) => error.into(),
            First::B(()) => {
                let limit = timeout.as_millis().to_string();
                if progress.is_connecting() {
                    let problem = ["no connection within ", &limit, " ms"].concat();
                    return SendError::NotSent(problem).into();
                }
                SendError::NoAnswer(["within ", &limit, " ms"].concat()).into()
            }
        }
    }

    /// Takes note of the server's time, in Unix seconds.
    fn compare_clocks(&self, sent: Moment, arrived: Moment, date: i64, skew: Duration) {
        let is_off = {
            let mut trust = self.trust();
            trust.observe(sent, arrived, date, skew);
            trust.is_contradicted(arrived, skew)
        };
        if is_off && !self.clock_is_off.swap(true, Ordering::Relaxed) {
            let by_seconds = date.saturating_sub(arrived.wall.0 / 1_000_000_000);
            self.runtime.note(Event::ClockOff { by_seconds });
        }
    }

    fn note_failure(&self, failure: &Failure, unknown: bool) {
        self.runtime.note(Event::AttemptFailed {
            kind: &failure.kind,
            code: failure.code.as_deref(),
            request_id: failure.request_id.as_deref(),
            unknown,
        });
    }

    /// How long to wait after `failures` failures in a row; see [`RetryPolicy::pause`].
    pub(crate) fn pause(
        &self,
        failures: u32,
        failure: &Failure,
        pace: Duration,
        jitter: &mut Jitter,
    ) -> Duration {
        self.retry
            .pause(failures, failure, pace, &mut self.budget(), jitter)
    }

    pub(crate) fn budget(&self) -> MutexGuard<'_, RetryBudget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Random numbers that spread requests over time.
    pub(crate) fn jitter(&self) -> Result<Jitter, Error> {
        let [a, b, c, d, e, f, g, h, ..] = self.runtime.random()?;
        Ok(Jitter::new(u64::from_le_bytes([a, b, c, d, e, f, g, h])))
    }

    /// Remembers a version that nobody believes in any more.
    pub(crate) fn abandon(&self, version: &str) {
        let mut abandoned = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if abandoned.len() >= MOST_ABANDONED {
            abandoned.pop_front();
        }
        abandoned.push_back(version.to_owned());
    }

    pub(crate) fn is_abandoned(&self, version: &str) -> bool {
        let abandoned = self
            .abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        abandoned.iter().any(|known| known == version)
    }

    /// Runs a release or a clean-up that `drain` waits for. Where no runtime runs, it is dropped.
    pub(crate) fn in_background(self: &Arc<Self>, work: BoxFuture<()>) {
        let running = Running::new(self.clone());
        let counted = Box::pin(async move {
            work.await;
            drop(running);
        });
        drop(self.runtime.spawn(counted));
    }
}

/// One piece of background work, counted until it is dropped.
struct Running(Arc<Shared>);

impl Running {
    fn new(shared: Arc<Shared>) -> Self {
        shared.background.send_modify(|running| *running += 1);
        Self(shared)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.background.send_modify(|running| *running -= 1);
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
