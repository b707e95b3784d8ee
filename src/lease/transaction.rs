//! Writes to several items on the condition that leases are held.

use std::fmt;
use std::sync::Arc;

use crate::client::Client;
use crate::error::{Error, OptionName};
use crate::key::Key;
use crate::options::{AttributeNames, table_name};
use crate::protocol::{Unlocked, Verb};
use crate::update::{Changes, Subject, Update};
use crate::wire::{Item, Placeholders};

use super::Lease;
use super::together::{self, Part};

/// DynamoDB's limits on a transaction.
const MOST_ENTRIES: usize = 100;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Writes to up to 100 items, all of them or none, only while every lease in it is held.
///
/// Made by [`Client::transaction`]; nothing happens before [`send`](Self::send). Entries of leases
/// come with [`update`](Self::update) and [`holding`](Self::holding), those of items that are not
/// locked with the other methods. No item may have two entries, and there must be a lease.
///
/// ```no_run
/// use dynolock::{Client, Lease, Update};
///
/// # async fn run(client: Client, from: Lease, to: Lease) -> Result<(), dynolock::Error> {
/// client
///     .transaction()
///     .update(&from, Update::new().add("balance", -10).condition("balance >= :ten").value(":ten", 10))
///     .update(&to, Update::new().add("balance", 10))
///     .put("transfers", ("id", "t-1"), [("amount", 10)].into_iter().collect())
///     .send()
///     .await?;
/// # Ok(()) }
/// ```
///
/// Every item costs two write units a KB, twice as much as alone, also those that are only checked
/// and those of a transaction that is refused.
/// See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>.
#[must_use = "a transaction does nothing until it is sent"]
pub struct Transaction<'l> {
    client: Client,
    entries: Vec<Entry<'l>>,
}

enum Entry<'l> {
    Locked(&'l Lease, Option<Update>),
    Unlocked {
        table: String,
        key: Key,
        verb: Verb,
        update: Update,
    },
}

impl Client {
    /// A transaction without entries.
    ///
    /// ```no_run
    /// use dynolock::Update;
    ///
    /// # async fn run(client: dynolock::Client, lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// let transaction = client
    ///     .transaction()
    ///     .update(&lease, Update::new().set("state", "shipped"))
    ///     .update_item("stock", ("id", "bolts"), Update::new().add("count", -4));
    /// transaction.send().await?;
    /// # Ok(()) }
    /// ```
    pub fn transaction<'l>(&self) -> Transaction<'l> {
        Transaction {
            client: self.clone(),
            entries: Vec::new(),
        }
    }
}

impl<'l> Transaction<'l> {
    /// Updates the locked item, and renews the lease.
    pub fn update(mut self, lease: &'l Lease, update: Update) -> Self {
        self.entries.push(Entry::Locked(lease, Some(update)));
        self
    }

    /// Changes nothing in the locked item, but that its lease is renewed: only that it is held is
    /// asked.
    pub fn holding(mut self, lease: &'l Lease) -> Self {
        self.entries.push(Entry::Locked(lease, None));
        self
    }

    /// Puts an item that is not locked in place of whatever is there.
    ///
    /// `item` are its attributes beside the key, which may be among them. None of them may have
    /// the default name of a lock's attribute. A lock that another holds on that item is erased.
    pub fn put(self, table: impl Into<String>, key: impl Into<Key>, item: Item) -> Self {
        self.put_if(table, key, item, Update::default())
    }

    /// The same where the conditions of `conditions` hold of the item that is there; it must have
    /// nothing else.
    ///
    /// ```no_run
    /// use dynolock::{Item, Update};
    ///
    /// # async fn run(client: dynolock::Client, lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// let item = Item::from_iter([("amount", 10)]);
    /// let is_new = Update::new().condition("attribute_not_exists(id)");
    /// let transaction = client.transaction().holding(&lease);
    /// transaction.put_if("transfers", ("id", "t-1"), item, is_new).send().await?;
    /// # Ok(()) }
    /// ```
    pub fn put_if(
        self,
        table: impl Into<String>,
        key: impl Into<Key>,
        item: Item,
        conditions: Update,
    ) -> Self {
        self.unlocked(table.into(), key.into(), Verb::Put(item), conditions)
    }

    /// Updates an item that is not locked, where the conditions of `update` hold of it. It must
    /// change something, and neither the key nor what has the default name of a lock's attribute.
    pub fn update_item(
        self,
        table: impl Into<String>,
        key: impl Into<Key>,
        update: Update,
    ) -> Self {
        self.unlocked(table.into(), key.into(), Verb::Update, update)
    }

    /// Deletes an item that is not locked, if it is there. A lock that another holds on it is
    /// erased.
    pub fn delete(self, table: impl Into<String>, key: impl Into<Key>) -> Self {
        self.delete_if(table, key, Update::default())
    }

    /// The same where the conditions of `conditions` hold of it; it must have nothing else.
    pub fn delete_if(
        self,
        table: impl Into<String>,
        key: impl Into<Key>,
        conditions: Update,
    ) -> Self {
        self.unlocked(table.into(), key.into(), Verb::Delete, conditions)
    }

    /// Changes nothing in an item that is not locked: only that the conditions of `conditions`
    /// hold of it is asked; it must have some, and nothing else.
    ///
    /// ```no_run
    /// use dynolock::Update;
    ///
    /// # async fn run(client: dynolock::Client, lease: dynolock::Lease) -> Result<(), dynolock::Error> {
    /// let open = Update::new().condition("#s = :open").name("#s", "state").value(":open", "open");
    /// client
    ///     .transaction()
    ///     .update(&lease, Update::new().set("state", "shipped"))
    ///     .check("accounts", ("id", "acme"), open)
    ///     .send()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn check(self, table: impl Into<String>, key: impl Into<Key>, conditions: Update) -> Self {
        self.unlocked(table.into(), key.into(), Verb::Check, conditions)
    }

    fn unlocked(mut self, table: String, key: Key, verb: Verb, update: Update) -> Self {
        self.entries.push(Entry::Unlocked {
            table,
            key,
            verb,
            update,
        });
        self
    }

    /// Sends the transaction.
    ///
    /// `Ok` means: applied, exactly once, while all its leases were held, and all of them renewed,
    /// counted from the first attempt. What fails for a passing reason, such as a conflict with
    /// another transaction, is sent again, always with the same content and client token, and
    /// never applied twice: until a third of a lease is left where it is known not to be applied,
    /// until a lease ends otherwise. Errors, each with its [`entry`](Error::entry) and those of
    /// [all that are to blame](Error::entries):
    ///
    /// - [`is_invalid_option`](Error::is_invalid_option), before anything is sent: no lease, more
    ///   than 100 entries or 4 MB, an item that has two entries, a lease of another client, or an
    ///   update that is refused;
    /// - [`is_condition_failed`](Error::is_condition_failed): the condition of an entry does not
    ///   hold of its [`item`](Error::item);
    /// - [`is_lost`](Error::is_lost): a lease is lost;
    /// - [`is_outcome_unknown`](Error::is_outcome_unknown): with all leases lost, or DynamoDB out
    ///   of reach, nobody can tell whether it was applied;
    /// - any other: DynamoDB refused it, such as an item that grows past 400 KB.
    ///
    /// But for the unknown outcome nothing was written, and every lease that is not lost is held.
    /// Heartbeats of these leases wait until the transaction is settled, as it renews them.
    ///
    /// Dropping the future leaves it open whether the transaction is applied; once at most, and
    /// not after the next write of any of its leases. Then the leases can be used as before.
    pub async fn send(self) -> Result<(), Error> {
        let parts = self.checked()?;
        let client = &self.client.shared;
        if !client.runtime.is_running() {
            return Err(Error::no_runtime());
        }
        together::send(client, &parts).await
    }

    fn checked(&self) -> Result<Vec<Part<'l>>, Error> {
        let count = self.entries.len();
        if !(1..=MOST_ENTRIES).contains(&count) {
            let problem = format!("it has {count} entries; 1 to {MOST_ENTRIES} are allowed");
            return Err(invalid(problem));
        }
        let is_lock = |entry: &Entry<'_>| matches!(entry, Entry::Locked(..));
        if !self.entries.iter().any(is_lock) {
            return Err(invalid("no entry is under a lease"));
        }
        let mut parts: Vec<Part<'l>> = Vec::new();
        let mut bytes = 0_usize;
        for (at, entry) in self.entries.iter().enumerate() {
            let of_entry = |error: Error| error.of_entry(at, entry.table());
            let (part, size) = self.part(entry).map_err(of_entry)?;
            let same = |other: &Part<'_>| is_same_item(other, &part);
            if let Some(first) = parts.iter().position(same) {
                let problem = format!("entry {first} is of the same item");
                return Err(of_entry(invalid(problem)));
            }
            bytes = bytes.saturating_add(size);
            parts.push(part);
        }
        if bytes > MOST_BYTES {
            let problem = format!("it has {bytes} bytes; up to {MOST_BYTES} are allowed");
            return Err(invalid(problem));
        }
        Ok(parts)
    }

    /// An entry, checked, and how many bytes it brings along.
    fn part(&self, entry: &Entry<'l>) -> Result<(Part<'l>, usize), Error> {
        match entry {
            Entry::Locked(lease, update) => {
                if !Arc::ptr_eq(&lease.core.client, &self.client.shared) {
                    return Err(invalid("the lease is another client's"));
                }
                let changes = update.as_ref().map(|update| lease.checked(update));
                let changes = changes.transpose()?;
                let size = changes
                    .as_ref()
                    .map_or(0, |changes| Extent::of(changes).size);
                let size = size + lease.core.terms.key.size();
                Ok((Part::Locked(&lease.core, changes), size))
            }
            Entry::Unlocked {
                table,
                key,
                verb,
                update,
            } => {
                let (table, key) = (table_name(table)?, key.parse()?);
                let names = &AttributeNames::default();
                let changes = update.parse(&Subject { key: &key, names })?;
                let extent = Extent::of(&changes);
                let (verb, size) = match verb {
                    Verb::Put(item) => {
                        let item = whole(item, &key, names)?;
                        let size = item.size();
                        (Verb::Put(item), size)
                    }
                    Verb::Update => (Verb::Update, key.size()),
                    Verb::Delete => (Verb::Delete, key.size()),
                    Verb::Check => (Verb::Check, key.size()),
                };
                extent.check(&verb)?;
                let size = size + extent.size;
                let unlocked = Unlocked {
                    table,
                    key,
                    verb,
                    changes,
                };
                Ok((Part::Unlocked(unlocked), size))
            }
        }
    }
}

impl Entry<'_> {
    fn table(&self) -> &str {
        match self {
            Self::Locked(lease, _) => &lease.core.terms.table,
            Self::Unlocked { table, .. } => table,
        }
    }
}

/// What there is in an update.
struct Extent {
    changes: bool,
    conditions: bool,
    /// Bytes of its values.
    size: usize,
}

impl Extent {
    fn of(changes: &Changes) -> Self {
        let mut placeholders = Placeholders::default();
        changes.render(&mut placeholders);
        Self {
            changes: !changes.is_empty(),
            conditions: changes.has_condition(),
            size: placeholders.size(),
        }
    }

    fn check(&self, verb: &Verb) -> Result<(), Error> {
        match verb {
            Verb::Update if !self.changes => Err(invalid("the update changes nothing")),
            Verb::Check if !self.conditions => Err(invalid("there is no condition to check")),
            Verb::Put(_) | Verb::Delete | Verb::Check if self.changes => Err(invalid(
                "there may be conditions only, and there are changes",
            )),
            _ => Ok(()),
        }
    }
}

/// The item with its key.
fn whole(item: &Item, key: &Item, names: &AttributeNames) -> Result<Item, Error> {
    for name in names.all() {
        if item.contains(name) {
            let problem = format!("`{name}` is a lock's attribute, and the item is not locked");
            return Err(invalid(problem));
        }
    }
    let mut whole = item.clone();
    for (name, value) in key {
        if let Some(other) = whole.insert(name, value.clone())
            && other != *value
        {
            let problem = format!("the item has another value of the key's attribute `{name}`");
            return Err(invalid(problem));
        }
    }
    match whole.check() {
        Ok(()) => Ok(whole),
        Err(problem) => Err(invalid(problem.to_string())),
    }
}

fn is_same_item(one: &Part<'_>, two: &Part<'_>) -> bool {
    one.key() == two.key() && is_same_table(one.table(), two.table())
}

/// A transaction stays within one account and Region, so that a name and an ARN that ends in it
/// are one table.
pub(crate) fn is_same_table(one: &str, two: &str) -> bool {
    fn name(table: &str) -> Option<&str> {
        table.rsplit('/').next()
    }
    name(one) == name(two)
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid_option(OptionName::Transaction, problem)
}

/// Shows tables and what becomes of their items, never a key or a value.
impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, update) = match self {
            Self::Locked(_, Some(update)) => ("Update", Some(update)),
            Self::Locked(_, None) => ("Holding", None),
            Self::Unlocked { verb, update, .. } => {
                let verb = match verb {
                    Verb::Put(_) => "Put",
                    Verb::Update => "UpdateItem",
                    Verb::Delete => "Delete",
                    Verb::Check => "Check",
                };
                (verb, Some(update))
            }
        };
        let mut entry = f.debug_tuple(verb);
        entry.field(&self.table());
        if let Some(update) = update {
            entry.field(update);
        }
        entry.finish()
    }
}
