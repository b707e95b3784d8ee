//! The lock: an item and how to lock it.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use crate::acquire::{Patience, acquire};
use crate::client::Client;
use crate::error::Error;
use crate::key::Key;
use crate::lease::Lease;
use crate::options::{AttributeNames, Options, Terms};
use crate::protocol::{HandedOn, LeaseToken, read_lock};
use crate::runtime::{BoxFuture, First, race};

/// A lock on one item of a table.
///
/// Cheap to clone. Options have defaults, and are checked when the lock is used, before anything
/// is sent.
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn run(client: dynolock::Client) -> Result<(), dynolock::Error> {
/// let lock = client
///     .lock("jobs", ("id", "job-42"))
///     .lease(Duration::from_secs(10))
///     .timeout(Duration::from_secs(30))
///     .owner("worker-7");
/// let lease = lock.acquire().await?;
/// lease.release().await
/// # }
/// ```
#[derive(Clone)]
pub struct Lock {
    pub(crate) client: Client,
    pub(crate) options: Options,
    cancellation: Option<Cancellation>,
}

type Cancellation = Arc<dyn Fn() -> BoxFuture<()> + Send + Sync>;

impl Lock {
    pub(crate) fn new(client: Client, table: String, key: Key) -> Self {
        Self {
            client,
            options: Options::new(table, key),
            cancellation: None,
        }
    }

    /// How long to wait for the lock, local queue included: 1 ms or more, `Duration::MAX` for
    /// ever. Default 1 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// The instant of the wall clock by which everything ends: the wait, every lease, and what runs
    /// in the background. Default none. In Lambda it is a little before `context.deadline()`; see
    /// [`lambda`](crate::lambda).
    ///
    /// - **Too late**: where less is left than the length of the lease, at most 1 s, it is refused
    ///   at once ([`is_deadline`](Error::is_deadline)), before anything is sent.
    /// - **The wait** ends by as much before the deadline, so that the work and the release have
    ///   time, or at the [timeout](Self::timeout), where that is earlier; with the errors of the
    ///   timeout in either case.
    /// - **Leases** end at the deadline at the latest, whatever renews or [extends](Lease::extend)
    ///   them. So whoever is killed at the deadline leaves no lock that lasts beyond it; others
    ///   take it once they know it to be over, as any other. A lease that ends there is not
    ///   renewed any more, and is [lost](crate::Lost::Expired) then if it is still held.
    /// - **Releases and clean-up** in the background end by it; [`drain`](crate::Client::drain)
    ///   returns. What could not be released until then ends with its lease.
    ///
    /// All this takes until the deadline itself where DynamoDB does not answer: whoever has to say
    /// something after it, as a Lambda function its answer, gives an instant before its own end.
    ///
    /// It is an instant and no duration: make the lock anew, or its deadline, for each piece of work.
    /// [`holder`](Self::holder), [`wait_free`](Self::wait_free) and
    /// [`break_held`](Self::break_held) end by it too, and have until the deadline itself. A
    /// [resumed](Self::resume) lease is believed until the deadline at the latest; in the item, its
    /// expiry is never before what the former holder wrote.
    ///
    /// ```no_run
    /// use std::time::{Duration, SystemTime};
    ///
    /// # async fn run(client: dynolock::Client) -> Result<(), dynolock::Error> {
    /// let lock = client
    ///     .lock("jobs", ("id", "job-42"))
    ///     .lease(Duration::from_secs(10))
    ///     .deadline(SystemTime::now() + Duration::from_secs(25));
    /// let lease = lock.acquire().await?;
    /// lease.release().await
    /// # }
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: SystemTime) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// How long a lease lasts unless it is renewed: 10 ms to 366 days. Default 500 ms.
    ///
    /// So long does the lock stay held after its holder has died.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = lease;
        self
    }

    /// How often a lease is renewed: 1 ms or more, and shorter than the lease; a fifth sooner at
    /// most, at random, so that leases acquired together are not renewed together. Default a
    /// fifth of the lease.
    #[must_use]
    pub fn heartbeat(mut self, period: Duration) -> Self {
        self.options.heartbeat = Some(period);
        self
    }

    /// Leaves renewing to [`Lease::renew`], until [`Lease::start_heartbeat`] is called.
    #[must_use]
    pub fn manual_heartbeat(mut self) -> Self {
        self.options.automatic = false;
        self
    }

    /// How often to try while another holds the lock: 1 ms to 1 h, a fifth more or less at
    /// random. Default 100 ms.
    ///
    /// The first try is immediate. The next ones come sooner than the interval, since what is held
    /// briefly is soon free: after a tenth of it, a fifth, a half, then little less than the
    /// whole. Three that are a fifth longer follow: two tries more in all. One comes as soon as the
    /// other's lease is due to be dead.
    /// [`poll_by_reading`](Self::poll_by_reading) keeps to the interval alone.
    #[must_use]
    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.options.retry_interval = interval;
        self
    }

    /// Waits by reading: while another holds the lock, [`acquire`](Self::acquire) polls it with
    /// strongly consistent reads (`GetItem`) in place of conditional writes.
    ///
    /// A read of up to 4 KB costs one read unit, a refused write one write unit for each KB of
    /// the item: on demand about a fifth for items of up to 1 KB, and less for larger ones. It
    /// needs the permission `dynamodb:GetItem`.
    ///
    /// The first try is a write all the same, so that a free lock costs one request as ever. A
    /// read that shows the lock free, or its holder dead, is followed by a write at once. Reads
    /// come one retry interval after the other, exactly, counted from their sending: a lone
    /// waiter has the lock within one interval of its release, and a dead holder's within one
    /// interval of its end. A write that was refused because another was faster uses up the
    /// next interval. What fails for a passing reason is repeated quickly, as ever, but no longer
    /// once the lock was seen to be held.
    ///
    /// Default: off. [`try_acquire`](Self::try_acquire) does not wait, and does not read.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn run(client: dynolock::Client) -> Result<(), dynolock::Error> {
    /// let lock = client
    ///     .lock("jobs", ("id", "nightly"))
    ///     .timeout(Duration::from_secs(600))
    ///     .retry_interval(Duration::from_secs(2))
    ///     .poll_by_reading();
    /// let lease = lock.acquire().await?;
    /// lease.release().await
    /// # }
    /// ```
    #[must_use]
    pub fn poll_by_reading(mut self) -> Self {
        self.options.polling = Some(read_lock);
        self
    }

    /// How far apart the wall clocks of holders may be. Default 1 s.
    ///
    /// A lock whose expiry is past by more than this is taken over at once. Zero is dyno's
    /// behaviour. With `Duration::MAX` no wall clock is believed: a lock is taken over once it
    /// was seen unchanged for the length of its lease, which frees it in any case.
    #[must_use]
    pub fn max_clock_skew(mut self, skew: Duration) -> Self {
        self.options.max_clock_skew = skew;
        self
    }

    /// Who holds the lock, for people: 1 to 256 bytes without control characters. Default none.
    ///
    /// It is written into the item, where others read it: no secrets.
    #[must_use]
    pub fn owner(mut self, label: impl Into<String>) -> Self {
        self.options.owner = Some(label.into());
        self
    }

    /// Refuses to lock an item that does not exist, in place of creating it.
    #[must_use]
    pub fn existing_only(mut self) -> Self {
        self.options.existing_only = true;
        self
    }

    /// Deletes the item on release, where it had nothing but its key when it was locked.
    ///
    /// Attributes that others add meanwhile are deleted with it. Fencing tokens then start from
    /// the clock again. Not to be combined with [`existing_only`](Self::existing_only).
    #[must_use]
    pub fn delete_on_release(mut self) -> Self {
        self.options.delete_on_release = true;
        self
    }

    /// Other names for the lock's attributes.
    #[must_use]
    pub fn attribute_names(mut self, names: AttributeNames) -> Self {
        self.options.names = names.into();
        self
    }

    /// Gives up `acquire`, `try_acquire`, `with` and `wait_free` once the future completes that
    /// `cancelled` makes; it is called once for each of them.
    ///
    /// The error is [`Error::is_cancelled`]. What was acquired is given back in the background,
    /// as where the future is dropped.
    ///
    /// ```no_run
    /// # async fn run(client: dynolock::Client, stop: std::sync::Arc<tokio::sync::Notify>) -> Result<(), dynolock::Error> {
    /// let lock = client.lock("jobs", ("id", "job-42")).cancelled_by(move || {
    ///     let stop = stop.clone();
    ///     async move { stop.notified().await }
    /// });
    /// let lease = lock.acquire().await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn cancelled_by<F, C>(mut self, cancelled: F) -> Self
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        self.cancellation = Some(Arc::new(move || Box::pin(cancelled())));
        self
    }

    /// Checks table, key and options, as every use of the lock does. Nothing is sent.
    ///
    /// Errors: [`is_invalid_option`](Error::is_invalid_option) with the first that is out of range
    /// or does not go with another, such as a heartbeat that is not shorter than the lease.
    ///
    /// ```
    /// # let keys = dynolock::credentials::Credentials::new("AKIDEXAMPLE", "secret").unwrap();
    /// # let builder = dynolock::Client::builder().region("eu-west-1").credentials(keys);
    /// # let client = builder.endpoint_url("http://127.0.0.1:8000").build().unwrap();
    /// let error = client.lock("jobs", ("id", "")).check().unwrap_err();
    /// assert!(error.is_invalid_option());
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        self.options.parse().map(drop)
    }

    /// Acquires the lock, waiting up to the [timeout](Self::timeout).
    ///
    /// Errors: [`is_held`](Error::is_held) where another held it to the end,
    /// [`is_unavailable`](Error::is_unavailable) and [`is_throttled`](Error::is_throttled) where
    /// DynamoDB did not serve us in time; at once where an option is invalid, where the
    /// [deadline](Self::deadline) is [too near](Error::is_deadline), or where trying again is of no
    /// use (no such table, no permission, a lock that cannot be read).
    ///
    /// Dropping the future gives back in the background what may have been acquired.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// let lease = lock.acquire().await?;
    /// lease.release().await
    /// # }
    /// ```
    pub async fn acquire(&self) -> Result<Lease, Error> {
        // Only a single try ends without either.
        let lease = self
            .cancellable(self.acquire_with(Patience::Wait))
            .await??;
        lease.ok_or_else(|| Error::held(None))
    }

    /// Acquires the lock if it is free or its holder is known to be dead; `None` where it is held.
    ///
    /// One request as a rule; more only where an attempt fails for a passing reason, up to the
    /// timeout. Rule 2 of a take-over (seen unchanged for a lease) needs [`acquire`](Self::acquire).
    /// `None` at once where another task of this client has the lock or waits for it.
    ///
    /// Errors and dropping as for [`acquire`](Self::acquire).
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// match lock.try_acquire().await? {
    ///     Some(lease) => lease.release().await,
    ///     None => Ok(println!("somebody else is at it")),
    /// }
    /// # }
    /// ```
    pub async fn try_acquire(&self) -> Result<Option<Lease>, Error> {
        self.cancellable(self.acquire_with(Patience::Once)).await?
    }

    /// Acquires the lock, runs `work`, and releases.
    ///
    /// The future of `work` is dropped the moment the lease is lost, and the error says why. A
    /// panic in `work` releases, and goes on. Where `work` fails, the lock is released and its
    /// error returned. Dropping the future drops that of `work` and releases in the background.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// let token = lock
    ///     .with(async |lease| Ok::<_, dynolock::Error>(lease.fencing_token()))
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub async fn with<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Lease) -> Result<T, E>,
        E: From<Error>,
    {
        let mut cancelled = pin!(self.cancelled());
        let lease = match race(&mut cancelled, self.acquire_with(Patience::Wait)).await {
            First::A(()) => return Err(Error::cancelled().into()),
            First::B(lease) => lease?.ok_or_else(|| Error::held(None))?,
        };
        let done = {
            let stop = race(lease.lost(), &mut cancelled);
            race(stop, unwound(work(&lease))).await
        };
        match done {
            First::A(First::A(lost)) => Err(Error::from(lost).into()),
            First::A(First::B(())) => {
                // What counts is the cancellation.
                let _ = lease.release().await;
                Err(Error::cancelled().into())
            }
            First::B(Ok(Ok(value))) => {
                lease.release().await?;
                Ok(value)
            }
            First::B(Ok(Err(error))) => {
                // What counts is the work's own error.
                let _ = lease.release().await;
                Err(error)
            }
            First::B(Err(panic)) => {
                let _ = lease.release().await;
                resume_unwind(panic)
            }
        }
    }

    /// Goes on with a lease that was [handed on](Lease::into_token), often by another process.
    ///
    /// The lock must be for the same item, with the same attribute names; its other options
    /// count from here on, and the fencing token stays what it was. One request as a rule, which
    /// brings the item along. Only the first to resume a token has the lock, and only once.
    ///
    /// Errors: [`is_lost`](Error::is_lost) where the lock was resumed by another, taken over or
    /// released by force; otherwise as for [`acquire`](Self::acquire), where DynamoDB does not
    /// serve us within the timeout. Dropping the future, or an error after which it is open
    /// whether the lease was resumed, releases the lock in the background.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock, text: &str) -> Result<(), dynolock::Error> {
    /// let lease = lock.resume(&text.parse()?).await?;
    /// lease.release().await
    /// # }
    /// ```
    pub async fn resume(&self, token: &LeaseToken) -> Result<Lease, Error> {
        let resumed = self.acquire_or_resume(Patience::Wait, Some(Box::new(token.clone())));
        let lease = self.cancellable(resumed).await??;
        lease.ok_or_else(|| Error::held(None))
    }

    async fn acquire_with(&self, patience: Patience) -> Result<Option<Lease>, Error> {
        self.acquire_or_resume(patience, None).await
    }

    async fn acquire_or_resume(
        &self,
        patience: Patience,
        handed_on: Option<Box<dyn HandedOn>>,
    ) -> Result<Option<Lease>, Error> {
        let terms = Arc::new(self.options.parse()?);
        let grant = acquire(&self.client.shared, terms, patience, handed_on).await?;
        grant.map(Lease::new).transpose()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn table(&self) -> &str {
        &self.options.table
    }

    pub(crate) fn terms(&self) -> Result<Terms, Error> {
        self.options.parse()
    }

    pub(crate) async fn cancellable<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        match race(self.cancelled(), future).await {
            First::A(()) => Err(Error::cancelled()),
            First::B(done) => Ok(done),
        }
    }

    pub(crate) fn cancelled(&self) -> BoxFuture<()> {
        match &self.cancellation {
            Some(cancelled) => cancelled(),
            None => Box::pin(pending()),
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("client", &self.client)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Runs a future; a panic in it is its error.
async fn unwound<F: Future>(future: F) -> std::thread::Result<F::Output> {
    let mut future = pin!(future);
    // After a panic it is not polled again.
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}
