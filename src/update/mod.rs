//! What a user wants to change in a locked item, and its checked form, which the protocol makes
//! part of the lock's own write.

mod changes;
mod lexer;
mod parse;
mod path;
mod raw;

use std::fmt;

use crate::wire::{AttributeValue, Item};

pub(crate) use changes::{Changes, Rendered};
pub(crate) use parse::Subject;
pub use path::Path;

/// Changes to the attributes of a locked item, and conditions on them.
///
/// ```
/// use dynolock::{Path, Set, Update};
///
/// let update = Update::new()
///     .set("state", "running")
///     .set("result.files[0].name", "report.pdf")
///     .set_if_absent("created", 1_767_225_600)
///     .add("attempts", 1)
///     .append("log", ["started"])
///     .remove(Path::attribute("last.error"))
///     .delete_from_set("open", Set::new(["step 1".to_owned()])?)
///     .condition("attribute_exists(#owner) AND NOT contains(tags, :frozen)")
///     .name("#owner", "team.owner")
///     .value(":frozen", "frozen");
/// # Ok::<(), dynolock::InvalidValue>(())
/// ```
///
/// All changes are made at once, on the item as it was before: what one change sets, another does
/// not see. An attribute that is not mentioned stays as it is. An update without any change writes
/// nothing of the user's; it may have conditions all the same.
///
/// # Errors
///
/// Nothing is checked here. Whoever takes the update checks it as a whole and before anything is
/// sent, and returns an error with [`is_invalid_option`](crate::Error::is_invalid_option) that
/// names the path or the placeholder, and never a value, where
///
/// - a path is malformed (see [`Path`]);
/// - it begins at an attribute of the key, or at one of the five of the lock;
/// - two changes are of the same path or of overlapping ones: `a` and `a.b`, `a.b` and `a[0]`;
/// - a value breaks DynamoDB's rules (see [`AttributeValue::check`]);
/// - a raw clause or a condition is not well-formed, or a placeholder in it was not given, or one
///   was given that is in none of them;
/// - the update takes more than 3,896 bytes as an expression, or all conditions more than 3,196, or
///   there are more than 296 or 284 operators and functions in them, or more than 100 operands in
///   one `IN`, or names and values together have more than 2,088,960 bytes.
///
/// The limits are
/// [AWS's](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html), less
/// what the lock needs itself. A name or a value counts 4 bytes in an expression, so that some 380
/// attributes can be set at once.
///
/// What only DynamoDB can tell comes back as its error: a path into a map that the item does not
/// have, an `add` to a text, an item that would be larger than 400 KB.
#[derive(Clone, Default)]
#[must_use = "an update does nothing until it is sent under a lease"]
pub struct Update {
    changes: Vec<Change>,
    conditions: Vec<String>,
    names: Vec<(String, String)>,
    values: Vec<(String, AttributeValue)>,
}

#[derive(Clone)]
enum Change {
    /// The value is not used where the verb needs none.
    Path(Verb, Path, AttributeValue),
    Raw(Clause, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Set,
    /// Sets an attribute of an item, unless it is one of the key.
    SetAttribute,
    SetIfAbsent,
    Append,
    Remove,
    Add,
    DeleteFromSet,
}

/// The clauses of an update expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clause {
    Set,
    Remove,
    Add,
    Delete,
}

impl Clause {
    fn keyword(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Remove => "REMOVE",
            Self::Add => "ADD",
            Self::Delete => "DELETE",
        }
    }
}

impl Update {
    /// An update that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value at the path, whatever was there.
    ///
    /// The maps and lists around it must be there. A place behind the end of a list is its end.
    pub fn set(self, path: impl Into<Path>, value: impl Into<AttributeValue>) -> Self {
        self.change(Verb::Set, path.into(), value.into())
    }

    /// Sets the value at the path, unless there is one.
    pub fn set_if_absent(self, path: impl Into<Path>, value: impl Into<AttributeValue>) -> Self {
        self.change(Verb::SetIfAbsent, path.into(), value.into())
    }

    /// Adds to a number, or elements to a set; a missing number counts as 0, a missing set as
    /// empty.
    ///
    /// The value must be a number, which may be negative, or a set. AWS's reference speaks of
    /// attributes only, but DynamoDB takes nested paths as well.
    pub fn add(self, path: impl Into<Path>, number_or_set: impl Into<AttributeValue>) -> Self {
        self.change(Verb::Add, path.into(), number_or_set.into())
    }

    /// Removes the value at the path, if there is one. Elements behind it in a list move up.
    pub fn remove(self, path: impl Into<Path>) -> Self {
        self.change(Verb::Remove, path.into(), AttributeValue::Null)
    }

    /// Appends the values to the list at the path; a missing list counts as empty.
    ///
    /// Where there are no values, a list stays as it is, and a missing one is made.
    pub fn append(
        self,
        path: impl Into<Path>,
        values: impl IntoIterator<Item = impl Into<AttributeValue>>,
    ) -> Self {
        let list = values.into_iter().map(Into::into).collect();
        self.change(Verb::Append, path.into(), AttributeValue::L(list))
    }

    /// Deletes the elements from the set at the path. A set that becomes empty is removed.
    ///
    /// The value must be a set. Nested paths are fine, as for [`add`](Self::add).
    pub fn delete_from_set(self, path: impl Into<Path>, set: impl Into<AttributeValue>) -> Self {
        self.change(Verb::DeleteFromSet, path.into(), set.into())
    }

    /// Sets every attribute of the item.
    ///
    /// Attributes of the key are passed over, and must be those of the locked item. Attributes
    /// that the locked item has and this one lacks stay as they are.
    ///
    /// ```
    /// use dynolock::{Item, Update};
    ///
    /// let item = Item::from_iter([("id", "job-42"), ("state", "done")]);
    /// let update = Update::new().set_item(&item);
    /// ```
    pub fn set_item(self, item: &Item) -> Self {
        item.iter().fold(self, |update, (name, value)| {
            update.change(Verb::SetAttribute, Path::attribute(name), value.clone())
        })
    }

    /// Sets every field of a value, as [`set_item`](Self::set_item) does with what
    /// [`Item::of`](crate::Item::of) makes of it. A key among the fields is passed over.
    ///
    /// An [`Item`](crate::Item) is for [`set_item`](Self::set_item): to serde it is its JSON.
    ///
    /// Errors where the value is no struct or map, or holds what DynamoDB cannot.
    ///
    /// ```
    /// use dynolock::Update;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Job {
    ///     id: &'static str,
    ///     step: u32,
    /// }
    ///
    /// let update = Update::new().set_all(&Job { id: "job-42", step: 3 })?;
    /// # Ok::<(), dynolock::Error>(())
    /// ```
    #[cfg(feature = "serde")]
    #[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
    pub fn set_all<T: serde_core::Serialize + ?Sized>(
        self,
        value: &T,
    ) -> Result<Self, crate::Error> {
        Ok(self.set_item(&Item::of(value)?))
    }

    /// Adds actions to the `SET` clause, with commas between them: `path = value`.
    ///
    /// A raw clause is for what has no method here. It is written as
    /// [in DynamoDB](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html),
    /// without the keyword, with placeholders that [`name`](Self::name) and [`value`](Self::value)
    /// give. Other names stand for themselves, reserved words included, but for the four keywords
    /// of clauses.
    ///
    /// The key and the lock's attributes must not occur in it, not even to be read.
    ///
    /// ```
    /// use dynolock::Update;
    ///
    /// let update = Update::new()
    ///     .raw_set("balance = balance - :fee, #last = if_not_exists(history[0], :none)")
    ///     .name("#last", "last.entry")
    ///     .value(":fee", 3)
    ///     .value(":none", "none");
    /// ```
    pub fn raw_set(self, actions: impl Into<String>) -> Self {
        self.raw(Clause::Set, actions.into())
    }

    /// Adds paths to the `REMOVE` clause, with commas between them. See [`raw_set`](Self::raw_set).
    pub fn raw_remove(self, paths: impl Into<String>) -> Self {
        self.raw(Clause::Remove, paths.into())
    }

    /// Adds actions to the `ADD` clause, with commas between them: `path :value`. See
    /// [`raw_set`](Self::raw_set).
    pub fn raw_add(self, actions: impl Into<String>) -> Self {
        self.raw(Clause::Add, actions.into())
    }

    /// Adds actions to the `DELETE` clause, with commas between them: `path :value`. See
    /// [`raw_set`](Self::raw_set).
    pub fn raw_delete(self, actions: impl Into<String>) -> Self {
        self.raw(Clause::Delete, actions.into())
    }

    /// Makes the update depend on a
    /// [condition](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html)
    /// beside the lock's own.
    ///
    /// Of several, all must hold. Each is taken as a whole: `x OR y` does not get around the
    /// others, nor around the lock. It may ask for every attribute, the key and the lock's
    /// included. Parentheses directly inside parentheses are refused, as DynamoDB does.
    pub fn condition(mut self, expression: impl Into<String>) -> Self {
        self.conditions.push(expression.into());
        self
    }

    /// Says which name a placeholder such as `#c` stands for, in raw clauses and conditions.
    ///
    /// The name is taken as it is, dots included. A placeholder may be given again only with the
    /// same name.
    pub fn name(mut self, placeholder: impl Into<String>, name: impl Into<String>) -> Self {
        self.names.push((placeholder.into(), name.into()));
        self
    }

    /// Says which value a placeholder such as `:n` stands for, in raw clauses and conditions.
    ///
    /// A placeholder may be given again only with an equal value.
    pub fn value(
        mut self,
        placeholder: impl Into<String>,
        value: impl Into<AttributeValue>,
    ) -> Self {
        self.values.push((placeholder.into(), value.into()));
        self
    }

    fn change(mut self, verb: Verb, path: Path, value: AttributeValue) -> Self {
        self.changes.push(Change::Path(verb, path, value));
        self
    }

    fn raw(mut self, clause: Clause, text: String) -> Self {
        self.changes.push(Change::Raw(clause, text));
        self
    }
}

/// Shows paths and what is done there, never a value.
impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .names
            .iter()
            .map(|(placeholder, _)| placeholder)
            .collect();
        let values: Vec<_> = self
            .values
            .iter()
            .map(|(placeholder, _)| placeholder)
            .collect();
        f.debug_struct("Update")
            .field("changes", &self.changes)
            .field("conditions", &self.conditions.len())
            .field("names", &names)
            .field("values", &values)
            .finish()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(verb, path, _) => write!(f, "{verb:?}({path})"),
            Self::Raw(clause, _) => write!(f, "Raw({})", clause.keyword()),
        }
    }
}

#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod update_tests;
