//! The client: signs, sends, and keeps what its locks share.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Moment;
use crate::credentials::{Credentials, CredentialsSource, FixedCredentials, from_environment};
use crate::error::{Error, OptionName};
use crate::key::Key;
use crate::lock::Lock;
use crate::protocol::{Backoff, ClockTrust, Jitter};
use crate::queue::Queues;
use crate::runtime::{BoxFuture, First, Runtime, Tokio, race};
use crate::wire::{
    Endpoint, Failure, FailureKind, Network, Outcome, SendError, Service, Transport, Variant,
    Write, check_region, outcome, request, server_date, sign,
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

/// Configures a [`Client`].
///
/// ```
/// use std::time::Duration;
/// use dynolock::{Client, credentials::Credentials};
///
/// let client = Client::builder()
///     .region("eu-west-1")
///     .endpoint_url("http://127.0.0.1:8000")
///     .credentials(Credentials::new("AKIDEXAMPLE", "secret")?)
///     .attempt_timeout(Duration::from_millis(500))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    region: Option<String>,
    endpoint_url: Option<String>,
    credentials: Option<Arc<dyn CredentialsSource>>,
    attempt_timeout: Duration,
    connect_timeout: Duration,
    backoff: Backoff,
}

/// What the clones of a client, its locks and its leases share.
pub(crate) struct Shared {
    pub(crate) runtime: Arc<dyn Runtime>,
    transport: Arc<dyn Transport>,
    endpoint: Endpoint,
    region: String,
    credentials: Arc<dyn CredentialsSource>,
    pub(crate) attempt_timeout: Duration,
    pub(crate) backoff: Backoff,
    trust: Mutex<ClockTrust>,
    pub(crate) queues: Arc<Queues>,
    abandoned: Mutex<VecDeque<String>>,
    /// How many releases and clean-ups run in the background.
    background: watch::Sender<usize>,
}

/// An answer, or that none came.
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) arrived: Moment,
}

impl Client {
    /// A client configured as every AWS tool is: by environment variables.
    ///
    /// Region: `AWS_REGION`, else `AWS_DEFAULT_REGION`. Endpoint: `AWS_ENDPOINT_URL_DYNAMODB`,
    /// else `AWS_ENDPOINT_URL`, else the region's. Credentials: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. See the
    /// [AWS reference](https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html).
    ///
    /// Nothing is sent, and no file is read. Errors where the region or the credentials are
    /// missing or malformed.
    pub fn from_env() -> Result<Self, Error> {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        let lookup = |name: &str| std::env::var(name).ok();
        Self::builder().environment(&lookup)?.build()
    }

    /// A builder with nothing set.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            region: None,
            endpoint_url: None,
            credentials: None,
            attempt_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            backoff: Backoff {
                base: Duration::from_millis(25),
                cap: Duration::from_secs(1),
            },
        }
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

    /// A client in a world of the caller's: other clocks, other tasks, another network.
    #[cfg(test)]
    pub(crate) fn in_world(
        runtime: Arc<dyn Runtime>,
        transport: Arc<dyn Transport>,
        attempt_timeout: Duration,
    ) -> Self {
        let credentials = Credentials::new("AKIDEXAMPLE", "secret").unwrap();
        let builder = ClientBuilder {
            attempt_timeout,
            ..Self::builder()
        };
        builder
            .region("us-east-1")
            .endpoint_url("http://127.0.0.1:1")
            .credentials(credentials)
            .build_in(runtime, |_, _, _| Ok(transport))
            .unwrap()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.shared.endpoint.uri().to_string())
            .field("region", &self.shared.region)
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    /// The region, such as `eu-west-1`. It is part of the signature, so it is needed with an
    /// endpoint URL too.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The endpoint, such as `http://127.0.0.1:8000`, in place of the region's own.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.endpoint_url = Some(url.into());
        self
    }

    /// Credentials that stay the same.
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.credentials_source(FixedCredentials::new(credentials))
    }

    /// A source of credentials, asked before each attempt.
    pub fn credentials_source(mut self, source: impl CredentialsSource) -> Self {
        self.credentials = Some(Arc::new(source));
        self
    }

    /// How long one attempt may take, from sending to the whole answer. Default 1 s.
    ///
    /// Under a lease it is a third of the lease at most, so that there is time for another.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// How long connecting may take: name, TCP and TLS. Default 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The pauses between attempts that fail for a passing reason: before the n-th retry a
    /// random time up to `base` doubled n − 1 times, at most `cap`. Default 25 ms and 1 s.
    ///
    /// There is no limit to their number; the acquire timeout and the lease set the end.
    /// See [exponential backoff and jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.backoff = Backoff { base, cap };
        self
    }

    /// Makes the client. Nothing is sent.
    ///
    /// Errors where the region or the credentials are missing, or an option is malformed.
    pub fn build(self) -> Result<Client, Error> {
        self.build_in(Arc::new(Tokio::new()), |endpoint, timeout, runtime| {
            Ok(Network::new(runtime, timeout).to(endpoint)?)
        })
    }

    fn environment(mut self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        self.region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        self.endpoint_url = set("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| set("AWS_ENDPOINT_URL"));
        Ok(self.credentials(from_environment(lookup)?))
    }

    fn build_in(
        self,
        runtime: Arc<dyn Runtime>,
        transport: impl FnOnce(
            &Endpoint,
            Duration,
            Arc<dyn Runtime>,
        ) -> Result<Arc<dyn Transport>, Error>,
    ) -> Result<Client, Error> {
        let region = self.region.ok_or_else(|| {
            Error::invalid_option(
                OptionName::Region,
                "none is given; set AWS_REGION or AWS_DEFAULT_REGION, or name one to the builder",
            )
        })?;
        check_region(&region)
            .map_err(|error| Error::invalid_option(OptionName::Region, error.to_string()))?;
        let endpoint = match &self.endpoint_url {
            Some(url) => Endpoint::parse(url)?,
            None => Endpoint::of_region(Service::DynamoDb, &region, Variant::default())?,
        };
        let credentials = self.credentials.ok_or_else(|| {
            crate::credentials::CredentialsError::new("builder", "none were given")
        })?;
        let attempt_timeout = timeout(OptionName::AttemptTimeout, self.attempt_timeout)?;
        let connect_timeout = timeout(OptionName::ConnectTimeout, self.connect_timeout)?;
        if self.backoff.base.is_zero() || self.backoff.base > self.backoff.cap {
            return Err(Error::invalid_option(
                OptionName::Backoff,
                "the base must be more than zero and at most the cap",
            ));
        }
        let transport = transport(&endpoint, connect_timeout, runtime.clone())?;
        Ok(Client {
            shared: Arc::new(Shared {
                trust: Mutex::new(ClockTrust::new(runtime.now())),
                runtime,
                transport,
                endpoint,
                region,
                credentials,
                attempt_timeout,
                backoff: self.backoff,
                queues: Arc::default(),
                abandoned: Mutex::default(),
                background: watch::Sender::new(0),
            }),
        })
    }
}

fn timeout(option: OptionName, timeout: Duration) -> Result<Duration, Error> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(3600));
    if (least..=most).contains(&timeout) {
        Ok(timeout)
    } else {
        Err(Error::invalid_option(
            option,
            format!("{timeout:?} is out of range; {least:?} to {most:?} are allowed"),
        ))
    }
}

impl Shared {
    pub(crate) fn trust(&self) -> MutexGuard<'_, ClockTrust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Credentials for one attempt, within the time that one attempt has.
    pub(crate) async fn credentials(&self) -> Result<Credentials, Failure> {
        let limit = self.runtime.now().mono.plus(self.attempt_timeout);
        match race(
            self.credentials.credentials(),
            self.runtime.sleep_until(limit),
        )
        .await
        {
            First::A(Ok(credentials)) => Ok(credentials),
            First::A(Err(error)) => Err(Failure::of(
                FailureKind::CredentialsRejected,
                error.to_string(),
            )),
            First::B(()) => Err(Failure::of(
                FailureKind::Unavailable,
                "the source of credentials did not answer in time",
            )),
        }
    }

    /// Signs and sends a write that was made at `sent`.
    ///
    /// Dropping the future leaves the outcome unknown.
    pub(crate) fn send(
        self: &Arc<Self>,
        write: &Write<'_>,
        credentials: &Credentials,
        sent: Moment,
        timeout: Duration,
        skew: Duration,
    ) -> BoxFuture<Answer> {
        let signed = request(&self.endpoint, write).and_then(|mut request| {
            let time = self.trust().signing_time(sent).system_time();
            sign(&mut request, credentials, "dynamodb", &self.region, time)
                .map_err(|error| error.to_string())?;
            Ok(request)
        });
        let shared = self.clone();
        Box::pin(async move {
            let outcome = match signed {
                Ok(request) => shared.exchange(request, sent, timeout, skew).await,
                Err(problem) => {
                    let problem = ["the request could not be made: ", &problem].concat();
                    Outcome::NotApplied(Failure::of(FailureKind::Other, problem))
                }
            };
            Answer {
                outcome,
                arrived: shared.runtime.now(),
            }
        })
    }

    async fn exchange(
        &self,
        request: http::Request<bytes::Bytes>,
        sent: Moment,
        timeout: Duration,
        skew: Duration,
    ) -> Outcome {
        let limit = self.runtime.sleep_until(sent.mono.plus(timeout));
        match race(self.transport.send(request), limit).await {
            First::A(Ok(answer)) => {
                let arrived = self.runtime.now();
                self.trust()
                    .observe(sent, arrived, server_date(&answer), skew);
                outcome(&answer)
            }
            First::A(Err(error)) => error.into(),
            First::B(()) => {
                let limit = timeout.as_millis().to_string();
                SendError::NoAnswer(["within ", &limit, " ms"].concat()).into()
            }
        }
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
