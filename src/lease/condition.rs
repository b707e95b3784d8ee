//! The condition that a lease is held, for writes that others make.

use std::fmt;

use crate::wire::{AttributeValue, Item};

use super::Lease;

const VERSION: &str = "dynolock_version";
const FENCE: &str = "dynolock_fence";

/// The condition that a lock is still the one of a [`Lease`]: a fragment for expressions of the
/// caller's own, made with any client.
///
/// Put it into the `ConditionExpression` of a write to the locked item, or of a `ConditionCheck`
/// on it in a transaction with other items, with its names and values among the write's. Its
/// placeholders begin with `#dynolock_` and `:dynolock_`. It is joined to others by `AND` as it is;
/// beside an `OR` it needs parentheses.
///
/// It holds of the item until the lock is released or taken over: a lease that is renewed keeps
/// it, and one that expired keeps it while nobody has come after it. So a write that arrives late
/// is refused once the lock has gone on, and until then it harms nobody. It says nothing of how
/// often a write arrives: as it holds again after the write, give a transaction a client request
/// token of its own, or a condition that the write itself makes false. [`Lease::update`] and
/// [`Transaction`](crate::Transaction) see to that by themselves.
///
/// ```no_run
/// # fn check(table: &str, key: &dynolock::Item, expression: &str) {}
/// # async fn run(lease: dynolock::Lease) {
/// let held = lease.condition();
/// assert_eq!(
///     held.expression(),
///     "#dynolock_version = :dynolock_version AND #dynolock_fence = :dynolock_fence",
/// );
/// for (placeholder, name) in held.names() {
///     println!("{placeholder} stands for the attribute {name}");
/// }
/// check(held.table(), held.key(), &format!("({}) AND size(notes) < :most", held.expression()));
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Condition {
    table: String,
    key: Item,
    expression: String,
    names: [(String, String); 2],
    values: [(String, AttributeValue); 2],
}

impl Lease {
    /// The condition that the lock is still this lease's, for writes made with another client.
    ///
    /// Nothing is sent. It can be had of a lease that is lost, and will not hold where another
    /// has the lock.
    ///
    /// ```no_run
    /// # fn run(lease: &dynolock::Lease) {
    /// let held = lease.condition();
    /// println!("in {}: {}", held.table(), held.expression());
    /// # }
    /// ```
    pub fn condition(&self) -> Condition {
        let (core, terms) = (&self.core, &self.core.terms);
        let name = |alias, name: &str| (format!("#{alias}"), name.to_owned());
        let value = |alias, value| (format!(":{alias}"), value);
        Condition {
            table: terms.table.clone(),
            key: terms.key.clone(),
            expression: format!("#{VERSION} = :{VERSION} AND #{FENCE} = :{FENCE}"),
            names: [
                name(VERSION, &terms.names.version),
                name(FENCE, &terms.names.fence),
            ],
            values: [
                value(VERSION, AttributeValue::from(&*core.version)),
                value(FENCE, AttributeValue::N(core.fence.into())),
            ],
        }
    }
}

impl Condition {
    /// The condition expression.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Its placeholders of names, with the attribute that each stands for.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.names.iter();
        names.map(|(placeholder, name)| (placeholder.as_str(), name.as_str()))
    }

    /// Its placeholders of values, with the value that each stands for.
    pub fn values(&self) -> impl Iterator<Item = (&str, &AttributeValue)> {
        let values = self.values.iter();
        values.map(|(placeholder, value)| (placeholder.as_str(), value))
    }

    /// The table of the locked item, as it was given: its name or its ARN.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The key of the locked item.
    pub fn key(&self) -> &Item {
        &self.key
    }
}

/// Shows the expression, neither key nor values.
impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("table", &self.table)
            .field("expression", &self.expression)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}
