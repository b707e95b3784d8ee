//! The one error of the crate: opaque, asked by predicates.

use std::fmt;
use std::time::Duration;

use crate::credentials::CredentialsError;
use crate::protocol::{BadAttribute, Holder, Lost};
use crate::runtime::RandomUnavailable;
use crate::wire::{Failure, FailureKind, InvalidEndpoint, InvalidValue, Item, UnexpectedAttribute};

/// What went wrong, asked by predicates.
///
/// ```no_run
/// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
/// match lock.acquire().await {
///     Ok(lease) => lease.release().await?,
///     Err(error) if error.is_held() => println!("held by {:?}", error.holder()),
///     Err(error) if error.is_unavailable() => println!("DynamoDB did not answer: {error}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(()) }
/// ```
///
/// No text of an error holds a secret or the content of an item beyond what names the lock's holder.
pub struct Error(Box<Kind>, Option<Box<Entry>>);

#[derive(Debug)]
enum Kind {
    InvalidOption {
        option: OptionName,
        problem: String,
    },
    Held(Option<Holder>),
    Lost(Lost),
    BadAttribute(BadAttribute),
    UnexpectedAttribute(UnexpectedAttribute),
    ItemNotFound,
    /// DynamoDB's refusal, the network's, or ours on its behalf.
    Failed {
        failure: Failure,
        out_of_time: bool,
    },
    ReleaseUnconfirmed(Failure),
    /// The user's condition does not hold of this item.
    ConditionFailed(Shown),
    /// A write may have been applied, and it cannot be found out any more.
    OutcomeUnknown {
        lost: Option<Lost>,
        failure: Option<Failure>,
    },
    OutOfTime,
    /// The deadline was too near when acquiring began.
    Deadline {
        left: Duration,
        needed: Duration,
    },
    Cancelled,
    Credentials(CredentialsError),
    Random(RandomUnavailable),
    NoRuntime,
    Request(String),
}

/// The entry of a transaction, or the lock of a set, that an error speaks of.
#[derive(Debug)]
struct Entry {
    at: usize,
    table: String,
    /// Of other entries.
    others: Vec<Error>,
}

/// An item that the user may look at, and that no text shows.
struct Shown(Item);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an item of {} attributes", self.0.len())
    }
}

/// The option that an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionName {
    Table,
    PartitionKey,
    SortKey,
    AttributeNames,
    Timeout,
    Lease,
    Heartbeat,
    RetryInterval,
    Owner,
    DeleteOnRelease,
    LeaseToken,
    Transaction,
    LockSet,
    Region,
    Endpoint,
    AttemptTimeout,
    ConnectTimeout,
    Backoff,
    MaxAttempts,
    Profile,
    Update,
    #[cfg(feature = "__tls")]
    RootCertificates,
    Proxy,
    Value,
}

impl fmt::Display for OptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::PartitionKey => "partition key",
            Self::SortKey => "sort key",
            Self::AttributeNames => "attribute names",
            Self::Timeout => "timeout",
            Self::Lease => "lease",
            Self::Heartbeat => "heartbeat",
            Self::RetryInterval => "retry interval",
            Self::Owner => "owner",
            Self::DeleteOnRelease => "delete on release",
            Self::LeaseToken => "lease token",
            Self::Transaction => "transaction",
            Self::LockSet => "set of locks",
            Self::Region => "region",
            Self::Endpoint => "endpoint URL",
            Self::AttemptTimeout => "attempt timeout",
            Self::ConnectTimeout => "connect timeout",
            Self::Backoff => "backoff",
            Self::MaxAttempts => "max attempts",
            Self::Profile => "profile",
            Self::Update => "update",
            #[cfg(feature = "__tls")]
            Self::RootCertificates => "root certificates",
            Self::Proxy => "proxy",
            Self::Value => "value",
        })
    }
}

impl Error {
    /// An option is out of its range, or does not go with another. Nothing was sent.
    pub fn is_invalid_option(&self) -> bool {
        matches!(*self.0, Kind::InvalidOption { .. })
    }

    /// Another holds the lock, and went on holding it until the time was up.
    ///
    /// [`holder`](Self::holder) says who.
    pub fn is_held(&self) -> bool {
        matches!(*self.0, Kind::Held(_))
    }

    /// The time for acquiring was up: the lock was held, or DynamoDB could not be asked.
    pub fn is_timeout(&self) -> bool {
        matches!(
            *self.0,
            Kind::Held(_)
                | Kind::OutOfTime
                | Kind::Failed {
                    out_of_time: true,
                    ..
                }
        )
    }

    /// The lock's [deadline](crate::Lock::deadline) was too near to begin with, and nothing was
    /// sent. The text says how much time is left, and how much is needed.
    ///
    /// Where the time runs out later, while the lock is waited for, the error
    /// [is a timeout](Self::is_timeout).
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// match lock.acquire().await {
    ///     Err(error) if error.is_deadline() => println!("left for the next invocation: {error}"),
    ///     lease => lease?.release().await?,
    /// }
    /// # Ok(()) }
    /// ```
    pub fn is_deadline(&self) -> bool {
        matches!(*self.0, Kind::Deadline { .. })
    }

    /// The lease is lost; [`lost`](Self::lost) says why.
    ///
    /// A write under it was not applied, unless the error [says](Self::is_outcome_unknown) that
    /// this is not known.
    pub fn is_lost(&self) -> bool {
        self.lost().is_some()
    }

    /// A write may have been applied or not, and may yet be where nobody has written since.
    ///
    /// Lock the item again and look: whatever comes late, it cannot come after the next holder's
    /// first write.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(*self.0, Kind::OutcomeUnknown { .. })
    }

    /// The condition of an [`Update`](crate::Update) does not hold, and nothing was written. The
    /// lock was held. [`item`](Self::item) is what the condition was held against.
    pub fn is_condition_failed(&self) -> bool {
        matches!(*self.0, Kind::ConditionFailed(_))
    }

    /// The item of which a condition did not hold, without the lock's attributes.
    pub fn item(&self) -> Option<&Item> {
        match &*self.0 {
            Kind::ConditionFailed(item) => Some(&item.0),
            _ => None,
        }
    }

    /// A lock attribute in the item has the wrong type or unreadable content.
    ///
    /// The item was left as it is.
    pub fn is_bad_attribute(&self) -> bool {
        matches!(*self.0, Kind::BadAttribute(_))
    }

    /// An attribute of the item is missing, or is of another type than the program reads.
    ///
    /// The text names the attribute and what it must be, and shows nothing of its content.
    ///
    /// ```
    /// fn step(item: &dynolock::Item) -> Result<u64, dynolock::Error> {
    ///     Ok(item.get_as("step")?)
    /// }
    ///
    /// let error = step(&dynolock::Item::new()).unwrap_err();
    /// assert!(error.is_unexpected_attribute());
    /// assert_eq!(error.to_string(), "the attribute `step` is missing");
    /// ```
    pub fn is_unexpected_attribute(&self) -> bool {
        matches!(*self.0, Kind::UnexpectedAttribute(_))
    }

    /// There is no such item, and the lock was told to lock existing items only.
    pub fn is_item_not_found(&self) -> bool {
        matches!(*self.0, Kind::ItemNotFound)
    }

    /// There is no such table (or it is being created or deleted).
    pub fn is_table_not_found(&self) -> bool {
        self.failure()
            .is_some_and(|failure| failure.kind == FailureKind::TableNotFound)
    }

    /// The credentials do not permit the operation.
    pub fn is_access_denied(&self) -> bool {
        self.failure()
            .is_some_and(|failure| failure.kind == FailureKind::AccessDenied)
    }

    /// There are no usable credentials, or DynamoDB did not accept them.
    pub fn is_credentials(&self) -> bool {
        matches!(*self.0, Kind::Credentials(_))
            || self.failure().is_some_and(|failure| {
                matches!(
                    failure.kind,
                    FailureKind::CredentialsRejected
                        | FailureKind::CredentialsExpired
                        | FailureKind::NoCredentials
                )
            })
    }

    /// DynamoDB asked to slow down until the time was up.
    pub fn is_throttled(&self) -> bool {
        self.failure()
            .is_some_and(|failure| failure.kind == FailureKind::Throttled)
    }

    /// DynamoDB could not be reached or did not answer properly; another try may do.
    pub fn is_unavailable(&self) -> bool {
        self.failure().is_some_and(|failure| {
            matches!(
                failure.kind,
                FailureKind::Unavailable | FailureKind::BadAnswer
            )
        })
    }

    /// Which entry of a [`Transaction`](crate::Transaction) or which lock of a
    /// [`LockSet`](crate::LockSet) the error speaks of, counted from 0 in the order in which they
    /// were given; `None` where it speaks of none.
    ///
    /// ```no_run
    /// # async fn run(locks: dynolock::LockSet) {
    /// if let Err(error) = locks.acquire().await
    ///     && error.is_held()
    /// {
    ///     println!("lock {:?} in {:?} is held: {:?}", error.entry(), error.table(), error.holder());
    /// }
    /// # }
    /// ```
    pub fn entry(&self) -> Option<usize> {
        self.1.as_ref().map(|entry| entry.at)
    }

    /// The table of that entry or lock, as it was given.
    pub fn table(&self) -> Option<&str> {
        self.1.as_ref().map(|entry| entry.table.as_str())
    }

    /// An error for each [`entry`](Self::entry) that is to blame: this one first, which counts
    /// most. Empty where the error speaks of none.
    ///
    /// ```no_run
    /// # async fn run(transaction: dynolock::Transaction<'_>) {
    /// if let Err(error) = transaction.send().await {
    ///     for error in error.entries() {
    ///         println!("{:?}: {error}", error.entry());
    ///     }
    /// }
    /// # }
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = &Self> {
        let entry = self.1.as_deref();
        let others = entry.into_iter().flat_map(|entry| &entry.others);
        entry.map(|_| self).into_iter().chain(others)
    }

    /// The user's own cancellation future completed first.
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.0, Kind::Cancelled)
    }

    /// Who holds the lock, where the error is that another does.
    pub fn holder(&self) -> Option<&Holder> {
        match &*self.0 {
            Kind::Held(holder) => holder.as_ref(),
            _ => self.lost()?.taken_over_by(),
        }
    }

    /// Why the lease is lost, where that is the error.
    pub fn lost(&self) -> Option<&Lost> {
        match &*self.0 {
            Kind::Lost(lost) => Some(lost),
            Kind::OutcomeUnknown { lost, .. } => lost.as_ref(),
            _ => None,
        }
    }

    /// DynamoDB's error code, such as `ValidationException`.
    pub fn code(&self) -> Option<&str> {
        self.failure().and_then(|failure| failure.code.as_deref())
    }

    /// The id that DynamoDB gave the failed request; AWS support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        self.failure()
            .and_then(|failure| failure.request_id.as_deref())
    }

    fn failure(&self) -> Option<&Failure> {
        match &*self.0 {
            Kind::Failed { failure, .. } | Kind::ReleaseUnconfirmed(failure) => Some(failure),
            Kind::OutcomeUnknown { failure, .. } => failure.as_ref(),
            _ => None,
        }
    }

    fn of(kind: Kind) -> Self {
        Self(Box::new(kind), None)
    }

    /// The same, of one entry of a transaction or of one lock of a set.
    pub(crate) fn of_entry(self, at: usize, table: &str) -> Self {
        let (table, others) = (table.to_owned(), Vec::new());
        Self(self.0, Some(Box::new(Entry { at, table, others })))
    }

    /// The same, beside the errors of other entries.
    pub(crate) fn beside(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        if let Some(entry) = &mut self.1 {
            entry.others.extend(others);
        }
        self
    }

    pub(crate) fn invalid_option(option: OptionName, problem: impl Into<String>) -> Self {
        Self::of(Kind::InvalidOption {
            option,
            problem: problem.into(),
        })
    }

    pub(crate) fn held(holder: Option<Holder>) -> Self {
        Self::of(Kind::Held(holder))
    }

    pub(crate) fn item_not_found() -> Self {
        Self::of(Kind::ItemNotFound)
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self::of(Kind::Failed {
            failure,
            out_of_time: false,
        })
    }

    /// The time is up, and this was the last thing that failed; `None` where nothing was tried.
    pub(crate) fn out_of_time(last: Option<Failure>) -> Self {
        Self::of(match last {
            Some(failure) => Kind::Failed {
                failure,
                out_of_time: true,
            },
            None => Kind::OutOfTime,
        })
    }

    /// The deadline is `left` away, and `needed` is more.
    pub(crate) fn deadline(left: Duration, needed: Duration) -> Self {
        Self::of(Kind::Deadline { left, needed })
    }

    pub(crate) fn release_unconfirmed(failure: Failure) -> Self {
        Self::of(Kind::ReleaseUnconfirmed(failure))
    }

    pub(crate) fn condition_failed(item: Item) -> Self {
        Self::of(Kind::ConditionFailed(Shown(item)))
    }

    /// The lease is lost with a write under way that may have been applied.
    pub(crate) fn lost_in_writing(lost: Lost) -> Self {
        Self::of(Kind::OutcomeUnknown {
            lost: Some(lost),
            failure: None,
        })
    }

    /// A write may have been applied, and this keeps us from finding out.
    pub(crate) fn outcome_unknown(failure: Failure) -> Self {
        Self::of(Kind::OutcomeUnknown {
            lost: None,
            failure: Some(failure),
        })
    }

    pub(crate) fn cancelled() -> Self {
        Self::of(Kind::Cancelled)
    }

    pub(crate) fn no_runtime() -> Self {
        Self::of(Kind::NoRuntime)
    }

    pub(crate) fn request(problem: impl Into<String>) -> Self {
        Self::of(Kind::Request(problem.into()))
    }
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Self::of(Kind::Lost(lost))
    }
}

impl From<BadAttribute> for Error {
    fn from(bad: BadAttribute) -> Self {
        Self::of(Kind::BadAttribute(bad))
    }
}

impl From<UnexpectedAttribute> for Error {
    fn from(unexpected: UnexpectedAttribute) -> Self {
        Self::of(Kind::UnexpectedAttribute(unexpected))
    }
}

impl From<InvalidValue> for Error {
    fn from(invalid: InvalidValue) -> Self {
        Self::invalid_option(OptionName::Value, invalid.to_string())
    }
}

impl From<CredentialsError> for Error {
    fn from(error: CredentialsError) -> Self {
        Self::of(Kind::Credentials(error))
    }
}

impl From<RandomUnavailable> for Error {
    fn from(error: RandomUnavailable) -> Self {
        Self::of(Kind::Random(error))
    }
}

impl From<InvalidEndpoint> for Error {
    fn from(error: InvalidEndpoint) -> Self {
        Self::invalid_option(OptionName::Endpoint, error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = &self.1 {
            write!(f, "entry {} (table {}): ", entry.at, entry.table)?;
        }
        match &*self.0 {
            Kind::InvalidOption { option, problem } => write!(f, "{option}: {problem}"),
            Kind::Held(Some(holder)) => write!(f, "the lock is held by {holder}"),
            Kind::Held(None) => f.write_str("the lock is held by another task of this client"),
            Kind::Lost(lost) => write!(f, "the lease is lost: {lost}"),
            Kind::BadAttribute(bad) => write!(f, "{bad}"),
            Kind::UnexpectedAttribute(unexpected) => write!(f, "{unexpected}"),
            Kind::ItemNotFound => {
                f.write_str("there is no such item, and only existing items may be locked")
            }
            Kind::Failed {
                failure,
                out_of_time: false,
            } => write!(f, "{failure}"),
            Kind::Failed {
                failure,
                out_of_time: true,
            } => {
                write!(f, "the lock could not be acquired in time: {failure}")
            }
            Kind::ReleaseUnconfirmed(failure) => write!(
                f,
                "the release could not be confirmed, and the lock ends with its lease at the latest: {failure}"
            ),
            Kind::ConditionFailed(_) => {
                f.write_str("the condition of the update does not hold, and nothing was written")
            }
            Kind::OutcomeUnknown { lost, failure } => {
                f.write_str("it is not known whether the write was applied")?;
                match (lost, failure) {
                    (Some(lost), _) => write!(f, ": the lease is lost: {lost}"),
                    (None, Some(failure)) => write!(f, ": {failure}"),
                    (None, None) => Ok(()),
                }
            }
            Kind::OutOfTime => f.write_str("the lock could not be acquired in time"),
            Kind::Deadline { left, needed } => match (left.is_zero(), needed.is_zero()) {
                (false, _) => write!(
                    f,
                    "too little time is left before the deadline: {left:?}, of {needed:?} that are needed"
                ),
                (true, false) => write!(f, "the deadline has passed, and {needed:?} are needed"),
                (true, true) => f.write_str("the deadline has passed"),
            },
            Kind::Cancelled => f.write_str("cancelled"),
            Kind::Credentials(error) => write!(f, "{error}"),
            Kind::Random(error) => write!(f, "{error}"),
            Kind::NoRuntime => f.write_str("no Tokio runtime is running here"),
            Kind::Request(problem) => write!(f, "the request could not be made: {problem}"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = f.debug_tuple("Error");
        error.field(&self.0);
        if let Some(entry) = &self.1 {
            error.field(entry);
        }
        error.finish()
    }
}

impl std::error::Error for Error {}
