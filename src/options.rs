//! What a user may choose about a lock, and the checked form that the rest works with.

use std::time::Duration;

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

/// A lock's options as they were given.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) table: String,
    pub(crate) key: Key,
    pub(crate) names: AttributeNames,
    pub(crate) timeout: Duration,
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
    pub(crate) partition_name: String,
    pub(crate) names: AttributeNames,
    pub(crate) timeout: Duration,
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
    /// What tells this lock from others of the same client.
    pub(crate) fn queue(&self) -> String {
        format!("{}\n{}\n{:?}", self.table, self.names.version, self.key)
    }
}

impl Options {
    pub(crate) fn new(table: String, key: Key) -> Self {
        Self {
            table,
            key,
            names: AttributeNames::default(),
            timeout: DEFAULT_TIMEOUT,
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
            partition_name: self.key.partition_name().to_owned(),
            key,
            names: self.names.clone(),
            timeout: within(
                OptionName::Timeout,
                self.timeout,
                SHORTEST_PERIOD,
                Duration::MAX,
            )?,
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
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new("jobs".into(), ("id", "job-42").into())
    }

    #[test]
    fn the_defaults_are_those_of_dyno() {
        let terms = options().parse().unwrap();
        assert_eq!(terms.timeout, DEFAULT_TIMEOUT);
        assert_eq!(terms.lease, DEFAULT_LEASE);
        assert_eq!(terms.heartbeat, DEFAULT_HEARTBEAT);
        assert!(terms.automatic);
    }

    #[test]
    fn a_longer_lease_has_a_longer_heartbeat_period() {
        let mut options = options();
        options.lease = Duration::from_secs(10);
        assert_eq!(options.parse().unwrap().heartbeat, Duration::from_secs(2));
    }

    #[test]
    fn bad_options_are_named_with_their_range() {
        let ms = Duration::from_millis;
        let named = |set: fn(&mut AttributeNames)| {
            let mut names = AttributeNames::default();
            set(&mut names);
            Options { names, ..options() }
        };
        let cases = [
            (
                Options {
                    lease: ms(0),
                    ..options()
                },
                "lease: 0ns is out of range; 10ms to",
            ),
            (
                Options {
                    lease: Duration::MAX,
                    ..options()
                },
                "lease: ",
            ),
            (
                Options {
                    heartbeat: Some(ms(500)),
                    ..options()
                },
                "heartbeat: 500ms is not between 1ms and the lease of 500ms",
            ),
            (
                Options {
                    heartbeat: Some(ms(0)),
                    ..options()
                },
                "heartbeat: 0ns",
            ),
            (
                Options {
                    heartbeat: Some(Duration::MAX),
                    ..options()
                },
                "heartbeat: ",
            ),
            (
                Options {
                    retry_interval: ms(0),
                    ..options()
                },
                "retry interval: 0ns is out of range; 1ms to 3600s",
            ),
            (
                Options {
                    retry_interval: Duration::MAX,
                    ..options()
                },
                "retry interval: ",
            ),
            (
                Options {
                    timeout: ms(0),
                    ..options()
                },
                "timeout: 0ns is out of range; 1ms to",
            ),
            (
                Options {
                    table: String::new(),
                    ..options()
                },
                "table: must be 3 to 255",
            ),
            (
                Options {
                    table: "x".repeat(256),
                    ..options()
                },
                "table: ",
            ),
            (
                Options {
                    table: "jobs!".into(),
                    ..options()
                },
                "table: ",
            ),
            (
                Options {
                    owner: Some(String::new()),
                    ..options()
                },
                "owner: must have 1 to 256 bytes",
            ),
            (
                Options {
                    owner: Some("a\nb".into()),
                    ..options()
                },
                "owner: ",
            ),
            (
                Options {
                    delete_on_release: true,
                    existing_only: true,
                    ..options()
                },
                "delete on release: cannot be combined",
            ),
            (
                named(|names| names.fence = String::new()),
                "attribute names: the attribute's name has 0 bytes; 1 to 255",
            ),
            (
                named(|names| names.fence = "x".repeat(256)),
                "attribute names: the attribute's name has 256 bytes",
            ),
            (
                named(|names| names.fence = names.owner.clone()),
                "attribute names: `dynoLockOwner` stands for two",
            ),
            (
                named(|names| names.version = "id".into()),
                "attribute names: `id` is an attribute of the key",
            ),
        ];
        for (options, expected) in cases {
            let error = options.parse().unwrap_err();
            assert!(error.is_invalid_option());
            assert!(
                error.to_string().contains(expected),
                "{error} has no {expected:?}"
            );
        }
    }

    #[test]
    fn a_table_may_be_named_by_its_arn() {
        let mut options = options();
        options.table = "arn:aws:dynamodb:eu-west-1:123456789012:table/jobs".into();
        options.parse().unwrap();
    }
}
