//! The table that locks are in: made, described, tried out.

use std::fmt;
use std::time::Duration;

use crate::client::Client;
use crate::error::{Error, OptionName};
use crate::key::{Key, attribute_name};
use crate::options::table_name;
use crate::wire::{Item, Outcome, Prepared, create, describe, probe_read, probe_write};

/// How long is tried where it fails for a passing reason.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often.
const INTERVAL: Duration = Duration::from_millis(500);

/// A table, made by [`Client::table`]: for programs that set up or check what their locks need.
///
/// A lock needs no more than a table that is there; this is not on its way.
///
/// ```no_run
/// use dynolock::{KeyType, TableKey};
///
/// # async fn run(client: dynolock::Client) -> Result<(), dynolock::Error> {
/// let table = client.table("locks");
/// table.create(&TableKey::new("id", KeyType::S)).await?;
/// while !table.describe().await?.is_active() {
///     tokio::time::sleep(std::time::Duration::from_secs(1)).await;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
}

/// The type of an attribute of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyType {
    /// A string.
    S,
    /// A number.
    N,
    /// Binary.
    B,
}

/// What a table's key is made of: names and types.
///
/// ```
/// use dynolock::{KeyType, TableKey};
///
/// let key = TableKey::new("tenant", KeyType::S).sort("seq", KeyType::N);
/// assert_eq!(key.to_string(), "tenant:S and seq:N");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableKey {
    partition: (String, KeyType),
    sort: Option<(String, KeyType)>,
}

/// What DynamoDB says of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescription {
    status: String,
    key: Option<TableKey>,
}

/// A permission that a lock may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// `dynamodb:GetItem`
    Read,
    /// `dynamodb:UpdateItem`
    Update,
    /// `dynamodb:DeleteItem`
    Delete,
}

impl Client {
    /// A table, to set up or to check. Nothing is sent, and nothing is checked before it is used.
    ///
    /// ```no_run
    /// # async fn run(client: &dynolock::Client) -> Result<(), dynolock::Error> {
    /// println!("{}", client.table("locks").describe().await?.status());
    /// # Ok(()) }
    /// ```
    pub fn table(&self, name: impl Into<String>) -> Table {
        Table {
            client: self.clone(),
            name: name.into(),
        }
    }

    /// How far the wall clock is off at least, as far as the last answer of DynamoDB tells: its
    /// `Date` counts seconds, and a clock within that is not off. Never negative: a clock that is
    /// behind and one that is ahead are off alike. `None` before the first answer.
    ///
    /// ```no_run
    /// # fn run(client: &dynolock::Client) {
    /// if let Some(off) = client.clock_difference() && off > dynolock::DEFAULT_MAX_CLOCK_SKEW {
    ///     println!("set the clock: it is off by {off:?}");
    /// }
    /// # }
    /// ```
    pub fn clock_difference(&self) -> Option<Duration> {
        let now = self.shared.runtime.now();
        self.shared.trust().difference(now)
    }
}

impl Table {
    /// Creates the table, paid by request; `false` where there is one of this name, whatever its
    /// key. It may take some seconds until it [is active](TableDescription::is_active).
    ///
    /// Needs the permission `dynamodb:CreateTable`. What fails for a passing reason is tried again
    /// for 10 s. Dropping the future leaves open whether the table is created.
    /// [`CreateTable`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html)
    pub async fn create(&self, key: &TableKey) -> Result<bool, Error> {
        let keys = key.parse()?;
        let keys: Vec<_> = keys
            .iter()
            .map(|(name, kind)| (*name, kind.name()))
            .collect();
        match self.ask(|table| create(table, &keys)).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ResourceInUseException") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What DynamoDB says of the table; the error [is](Error::is_table_not_found) that there is
    /// none.
    ///
    /// Needs the permission `dynamodb:DescribeTable`. What fails for a passing reason is tried
    /// again for 10 s. Dropping the future leaves nothing behind.
    /// [`DescribeTable`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html)
    pub async fn describe(&self) -> Result<TableDescription, Error> {
        let described = self.ask(describe).await?;
        Ok(TableDescription::of(&described.unwrap_or_default()))
    }

    /// Whether a request of that kind is allowed and fits the table's key: it is sent, and changes
    /// nothing, as it is on a condition that no item meets.
    ///
    /// Errors with what DynamoDB has against it, such as
    /// [a missing permission](Error::is_access_denied). What fails for a passing reason is tried
    /// again for 10 s. Dropping the future leaves nothing behind.
    ///
    /// ```no_run
    /// use dynolock::Access;
    ///
    /// # async fn run(client: dynolock::Client) {
    /// let tried = client.table("locks").try_access(Access::Update, ("id", "job-42")).await;
    /// if let Err(error) = tried {
    ///     println!("locking would not work: {error}");
    /// }
    /// # }
    /// ```
    pub async fn try_access(&self, access: Access, key: impl Into<Key>) -> Result<(), Error> {
        let key = key.into().parse()?;
        let asked = self.ask(|table| match access {
            Access::Read => probe_read(table, &key),
            Access::Update => probe_write(table, &key, false),
            Access::Delete => probe_write(table, &key, true),
        });
        asked.await.map(drop)
    }

    /// Sends a request until it is answered; `None` where its condition was not met.
    async fn ask(&self, make: impl Fn(&str) -> Prepared) -> Result<Option<Item>, Error> {
        let table = table_name(&self.name)?;
        let shared = &self.client.shared;
        let runtime = &shared.runtime;
        if !runtime.is_running() {
            return Err(Error::no_runtime());
        }
        let until = runtime.now().mono.plus(PATIENCE);
        let mut jitter = shared.jitter()?;
        let mut failures = 0;
        loop {
            let outcome = match shared.credentials(until).await {
                Ok(credentials) => {
                    let (sent, timeout) = (runtime.now(), shared.attempt_timeout);
                    let skew = crate::options::DEFAULT_MAX_CLOCK_SKEW;
                    let answer =
                        shared.send_prepared(make(&table), &credentials, sent, timeout, skew);
                    answer.await.outcome
                }
                Err(failure) => Outcome::NotApplied(failure),
            };
            let failure = match outcome {
                Outcome::Applied(item) => return Ok(Some(item)),
                Outcome::Refused(_) => return Ok(None),
                Outcome::NotApplied(failure) | Outcome::Unknown(failure) => failure,
            };
            failures += 1;
            let pause = shared.pause(failures, &failure, INTERVAL, &mut jitter);
            let again = runtime.now().mono.plus(pause);
            if !failure.kind.is_passing() || again >= until {
                return Err(Error::failed(failure));
            }
            runtime.sleep_until(again).await;
        }
    }
}

impl KeyType {
    fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::S, Self::N, Self::B]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl TableKey {
    /// A partition key alone.
    pub fn new(name: impl Into<String>, kind: KeyType) -> Self {
        Self {
            partition: (name.into(), kind),
            sort: None,
        }
    }

    /// The same with a sort key.
    #[must_use]
    pub fn sort(mut self, name: impl Into<String>, kind: KeyType) -> Self {
        self.sort = Some((name.into(), kind));
        self
    }

    /// Name and type of the partition key.
    pub fn partition_key(&self) -> (&str, KeyType) {
        (&self.partition.0, self.partition.1)
    }

    /// Name and type of the sort key, where there is one.
    pub fn sort_key(&self) -> Option<(&str, KeyType)> {
        self.sort
            .as_ref()
            .map(|(name, kind)| (name.as_str(), *kind))
    }

    fn parse(&self) -> Result<Vec<(&str, KeyType)>, Error> {
        attribute_name(OptionName::PartitionKey, &self.partition.0)?;
        let mut keys = vec![self.partition_key()];
        if let Some(sort) = self.sort_key() {
            attribute_name(OptionName::SortKey, sort.0)?;
            if sort.0 == self.partition.0 {
                return Err(Error::invalid_option(
                    OptionName::SortKey,
                    "must have another name than the partition key",
                ));
            }
            keys.push(sort);
        }
        Ok(keys)
    }
}

impl fmt::Display for TableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, kind) = &self.partition;
        write!(f, "{name}:{}", kind.name())?;
        match &self.sort {
            Some((name, kind)) => write!(f, " and {name}:{}", kind.name()),
            None => Ok(()),
        }
    }
}

impl TableDescription {
    fn of(described: &Item) -> Self {
        let text = |name: &str| described.get_as::<&str>(name).ok();
        let key = |role: &str| {
            let kind = KeyType::of(text(&format!("{role} type"))?)?;
            Some((text(role)?.to_owned(), kind))
        };
        Self {
            status: text("status").unwrap_or("UNKNOWN").to_owned(),
            key: key("HASH").map(|partition| TableKey {
                partition,
                sort: key("RANGE"),
            }),
        }
    }

    /// Its status in DynamoDB's words, such as `CREATING`.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// Whether items can be read and written.
    pub fn is_active(&self) -> bool {
        // Being changed, it serves as ever.
        matches!(self.status.as_str(), "ACTIVE" | "UPDATING")
    }

    /// Its key; `None` where the answer shows none.
    pub fn key(&self) -> Option<&TableKey> {
        self.key.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_status_and_key() {
        let read =
            |pairs: &[(&str, &str)]| TableDescription::of(&pairs.iter().copied().collect::<Item>());
        let table = read(&[
            ("status", "ACTIVE"),
            ("HASH", "id"),
            ("HASH type", "S"),
            ("RANGE", "seq"),
            ("RANGE type", "N"),
        ]);
        assert!(table.is_active());
        let key = TableKey::new("id", KeyType::S).sort("seq", KeyType::N);
        assert_eq!(table.key(), Some(&key));
        let creating = read(&[("status", "CREATING"), ("HASH", "id"), ("HASH type", "X")]);
        assert_eq!((creating.is_active(), creating.key()), (false, None));
        assert_eq!(read(&[]).status(), "UNKNOWN");
    }

    #[test]
    fn keys_out_of_range_are_refused() {
        for key in [
            TableKey::new("", KeyType::S),
            TableKey::new("x".repeat(256), KeyType::S),
            TableKey::new("id", KeyType::S).sort("", KeyType::S),
            TableKey::new("id", KeyType::S).sort("id", KeyType::N),
        ] {
            assert!(key.parse().unwrap_err().is_invalid_option(), "{key}");
        }
    }
}
