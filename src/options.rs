//! What a user may choose about a lock, and the checked form that the rest works with.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use crate::clock::{Moment, Wall};
use crate::error::{Error, OptionName};
use crate::key::{Key, attribute_name};
use crate::wire::{Item, Prepared};

/// How long `acquire` waits by default: 1 s.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a lease lasts by default: 500 ms.
pub const DEFAULT_LEASE: Duration = Duration::from_millis(500);
/// How often a lease of the default length is renewed: every 100 ms.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_millis(100);
/// How often a waiter tries by default: every 100 ms.
pub const DEFAULT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How far apart the clocks of two holders may be by default: 1 s.
pub const DEFAULT_MAX_CLOCK_SKEW: Duration = Duration::from_secs(1);

const SHORTEST_LEASE: Duration = Duration::from_millis(10);
/// A year: longer ones are mistakes, in options as in items.
pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(366 * 24 * 3600);
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);
const LONGEST_RETRY_INTERVAL: Duration = Duration::from_secs(3600);
/// An expiry counts from so much after the wall clock without anything being wrong with it.
const CLOCK_NOISE: Duration = Duration::from_millis(50);
/// Kept before a deadline for the request, the work and the release, unless the lease is shorter.
const LONGEST_RESERVE: Duration = Duration::from_secs(1);

/// The names of the five attributes that hold the lock in its item.
///
/// The first three are dyno's, whose peers find the lock by them. Every client that shares a
/// lock must use the same names. Each has 1 to 255 bytes and differs from the others and from
/// the key's.
///
/// ```
/// use dynolock::AttributeNames;
///
/// let names = AttributeNames {
///     fence: "leaderEpoch".into(),
///     ..AttributeNames::default()
/// };
/// assert_eq!(names.expires, "dynoLockExpires");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeNames {
    /// The end of the lease (N, ns since the Unix epoch). Default `dynoLockExpires`.
    pub expires: String,
    /// The length of the lease (N, ns). Default `dynoLockLeaseDuration`.
    pub lease_duration: String,
    /// The identity of one acquisition (S). Default `dynoLockVersion`.
    pub version: String,
    /// The fencing token (N). Default `dynoLockFence`.
    pub fence: String,
    /// The owner, for people (S). Default `dynoLockOwner`.
    pub owner: String,
}

impl Default for AttributeNames {
    fn default() -> Self {
        Self {
            expires: "dynoLockExpires".into(),
            lease_duration: "dynoLockLeaseDuration".into(),
            version: "dynoLockVersion".into(),
            fence: "dynoLockFence".into(),
            owner: "dynoLockOwner".into(),
        }
    }
}

impl AttributeNames {
    /// The default ones, which nearly all locks of a process share.
    pub(crate) fn standard() -> Arc<Self> {
        static STANDARD: LazyLock<Arc<AttributeNames>> = LazyLock::new(Arc::default);
        STANDARD.clone()
    }

    pub(crate) fn all(&self) -> [&str; 5] {
        [
            &self.expires,
            &self.lease_duration,
            &self.version,
            &self.fence,
            &self.owner,
        ]
    }
}

/// The instant of the wall clock by which everything is over, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Wall>);

impl Limit {
    /// How long it is until then; for ever where there is none.
    pub(crate) fn left(self, now: Moment) -> Duration {
        self.0.map_or(Duration::MAX, |limit| limit.since(now.wall))
    }

    /// How long a lease lasts that is written at `sent` with an expiry that counts from `base`. A
    /// lease of nothing cannot be written.
    pub(crate) fn cut(self, lease: Duration, sent: Moment, base: Wall) -> Duration {
        let ahead = base.since(sent.wall);
        let left = match self.left(sent) {
            // The expiry ends there too. A clock that is known to be off may be off by more than
            // is left.
            left if ahead <= CLOCK_NOISE => left.saturating_sub(ahead),
            left => left,
        };
        lease.min(left.max(Duration::from_nanos(1)))
    }
}

/// A lock's options as they were given.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) table: String,
    pub(crate) key: Key,
    pub(crate) names: Arc<AttributeNames>,
    pub(crate) timeout: Duration,
    pub(crate) deadline: Option<SystemTime>,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) automatic: bool,
    pub(crate) retry_interval: Duration,
    /// How the lock is read while another holds it, where it is to be.
    pub(crate) polling: Option<fn(&Terms) -> Prepared>,
    pub(crate) max_clock_skew: Duration,
    pub(crate) owner: Option<String>,
    pub(crate) existing_only: bool,
    pub(crate) delete_on_release: bool,
}

/// A lock's options, checked.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) table: String,
    pub(crate) key: Item,
    /// Which attribute of the key is the partition key.
    pub(crate) partition: usize,
    pub(crate) names: Arc<AttributeNames>,
    pub(crate) timeout: Duration,
    pub(crate) limit: Limit,
    pub(crate) lease: Duration,
    /// Shorter than the lease.
    pub(crate) heartbeat: Duration,
    pub(crate) automatic: bool,
    pub(crate) retry_interval: Duration,
    /// How the lock is read while another holds it, where it is to be.
    pub(crate) polling: Option<fn(&Terms) -> Prepared>,
    pub(crate) max_clock_skew: Duration,
    pub(crate) owner: Option<String>,
    pub(crate) existing_only: bool,
    pub(crate) delete_on_release: bool,
}

impl Terms {
    pub(crate) fn partition_name(&self) -> &str {
        let mut names = self.key.iter().map(|(name, _)| name);
        names.nth(self.partition).map_or("", String::as_str)
    }

    /// What tells this lock from others of the same client.
    pub(crate) fn queue(&self) -> Arc<str> {
        format!("{}\n{}\n{:?}", self.table, self.names.version, self.key).into()
    }

    /// How long a lease lasts that is written at `sent` with an expiry that counts from `base`.
    pub(crate) fn lease_from(&self, sent: Moment, base: Wall) -> Duration {
        self.limit.cut(self.lease, sent, base)
    }

    /// How long whatever was acquired until now can last.
    pub(crate) fn longest_lease(&self, now: Moment) -> Duration {
        self.lease.min(self.limit.left(now))
    }

    /// What acquiring leaves of the time before the deadline.
    fn reserve(&self) -> Duration {
        self.lease.min(LONGEST_RESERVE)
    }

    /// How long an attempt to acquire may take that is sent now: not longer than the lease, and
    /// giving back what came of it has time as well.
    pub(crate) fn attempt_from(&self, sent: Moment) -> Duration {
        let left = self.limit.left(sent);
        self.lease.min(left.saturating_sub(self.reserve() / 2))
    }

    /// Whether the deadline is too near for acquiring.
    pub(crate) fn is_late(&self, now: Moment) -> bool {
        self.limit.left(now) < self.reserve()
    }

    /// How long acquiring may take from now on. Errors where the deadline leaves no time at all.
    pub(crate) fn patience(&self, now: Moment) -> Result<Duration, Error> {
        self.patience_with(self.reserve(), now)
    }

    /// The same for a request that leaves nothing behind.
    pub(crate) fn patience_to_look(&self, now: Moment) -> Result<Duration, Error> {
        self.patience_with(Duration::ZERO, now)
    }

    fn patience_with(&self, reserve: Duration, now: Moment) -> Result<Duration, Error> {
        let left = self.limit.left(now);
        match left.checked_sub(reserve) {
            Some(rest) if !left.is_zero() => Ok(self.timeout.min(rest)),
            _ => Err(Error::deadline(left, reserve)),
        }
    }
}

impl Options {
    pub(crate) fn new(table: String, key: Key) -> Self {
        Self {
            table,
            key,
            names: AttributeNames::standard(),
            timeout: DEFAULT_TIMEOUT,
            deadline: None,
            lease: DEFAULT_LEASE,
            heartbeat: None,
            automatic: true,
            retry_interval: DEFAULT_RETRY_INTERVAL,
            polling: None,
            max_clock_skew: DEFAULT_MAX_CLOCK_SKEW,
            owner: None,
            existing_only: false,
            delete_on_release: false,
        }
    }

    /// Checks everything that can be checked without asking DynamoDB.
    pub(crate) fn parse(&self) -> Result<Terms, Error> {
        let key = self.key.parse()?;
        check_names(&self.names, &key)?;
        let lease = checked_lease(self.lease)?;
        Ok(Terms {
            table: table_name(&self.table)?,
            partition: key
                .iter()
                .position(|(name, _)| name == self.key.partition_name())
                .unwrap_or(0),
            key,
            names: self.names.clone(),
            timeout: within(
                OptionName::Timeout,
                self.timeout,
                SHORTEST_PERIOD,
                Duration::MAX,
            )?,
            limit: Limit(self.deadline.map(Wall::of)),
            lease,
            heartbeat: heartbeat(self.heartbeat, lease)?,
            automatic: self.automatic,
            retry_interval: within(
                OptionName::RetryInterval,
                self.retry_interval,
                SHORTEST_PERIOD,
                LONGEST_RETRY_INTERVAL,
            )?,
            polling: self.polling,
            max_clock_skew: self.max_clock_skew,
            owner: self.owner.as_deref().map(owner_label).transpose()?,
            existing_only: self.existing_only,
            delete_on_release: delete_on_release(self.delete_on_release, self.existing_only)?,
        })
    }
}

/// A lease's length within the allowed range.
pub(crate) fn checked_lease(lease: Duration) -> Result<Duration, Error> {
    within(OptionName::Lease, lease, SHORTEST_LEASE, LONGEST_LEASE)
}

/// A heartbeat period shorter than the lease; by default a fifth of it.
pub(crate) fn heartbeat(period: Option<Duration>, lease: Duration) -> Result<Duration, Error> {
    let Some(period) = period else {
        return Ok(lease / 5);
    };
    if (SHORTEST_PERIOD..lease).contains(&period) {
        Ok(period)
    } else {
        Err(Error::invalid_option(
            OptionName::Heartbeat,
            format!(
                "{period:?} is not between {SHORTEST_PERIOD:?} and the lease of {lease:?}, which must be longer"
            ),
        ))
    }
}

fn within(
    option: OptionName,
    duration: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, Error> {
    if (least..=most).contains(&duration) {
        Ok(duration)
    } else {
        Err(Error::invalid_option(
            option,
            format!("{duration:?} is out of range; {least:?} to {most:?} are allowed"),
        ))
    }
}

/// A table's name (3 to 255 of `a-z A-Z 0-9 _ - .`) or its ARN.
pub(crate) fn table_name(table: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let good = if table.starts_with("arn:") {
        table.len() <= 1024 && table.chars().all(|c| plain(c) || matches!(c, ':' | '/'))
    } else {
        (3..=255).contains(&table.len()) && table.chars().all(plain)
    };
    if good {
        Ok(table.to_owned())
    } else {
        Err(Error::invalid_option(
            OptionName::Table,
            "must be 3 to 255 of the characters a-z, A-Z, 0-9, '_', '-' and '.', or a table's ARN",
        ))
    }
}

fn check_names(names: &AttributeNames, key: &Item) -> Result<(), Error> {
    let all = names.all();
    for (at, name) in all.iter().enumerate() {
        attribute_name(OptionName::AttributeNames, name)?;
        if all.iter().take(at).any(|earlier| earlier == name) {
            return Err(Error::invalid_option(
                OptionName::AttributeNames,
                format!("`{name}` stands for two of them; the five must differ"),
            ));
        }
        if key.contains(name) {
            return Err(Error::invalid_option(
                OptionName::AttributeNames,
                format!("`{name}` is an attribute of the key"),
            ));
        }
    }
    Ok(())
}

fn owner_label(label: &str) -> Result<String, Error> {
    if (1..=256).contains(&label.len()) && !label.chars().any(char::is_control) {
        Ok(label.to_owned())
    } else {
        Err(Error::invalid_option(
            OptionName::Owner,
            "must have 1 to 256 bytes and no control characters",
        ))
    }
}

fn delete_on_release(delete: bool, existing_only: bool) -> Result<bool, Error> {
    if delete && existing_only {
        return Err(Error::invalid_option(
            OptionName::DeleteOnRelease,
            "cannot be combined with `existing_only`: nobody could lock the item again",
        ));
    }
    Ok(delete)
}

#[cfg(test)]
#[path = "options_tests.rs"]
mod tests;
