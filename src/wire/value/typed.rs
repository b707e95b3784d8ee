//! Attributes as Rust's types.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use std::str::FromStr;

use super::{AttributeValue, Item, Number, Set};
use crate::wire::printable;

impl Item {
    /// The value of an attribute as a `T`; see [`FromAttribute`] for what `T` can be.
    ///
    /// An `Option` is `None` where the item does not have the attribute.
    ///
    /// # Errors
    ///
    /// [`UnexpectedAttribute`] where the attribute is missing, or is nothing that makes a `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// use dynolock::Item;
    ///
    /// let mut item = Item::from_iter([("id", "job-42"), ("state", "new")]);
    /// item.insert("step", 2);
    ///
    /// assert_eq!(item.get_as::<&str>("state")?, "new");
    /// assert_eq!(item.get_as::<u64>("step")?, 2);
    /// assert_eq!(item.get_as::<Option<u64>>("retries")?, None);
    ///
    /// let refused = item.get_as::<u64>("state").unwrap_err();
    /// assert_eq!(
    ///     refused.to_string(),
    ///     "the attribute `state` must be a whole number within u64, and is a string (S)",
    /// );
    /// # Ok::<(), dynolock::UnexpectedAttribute>(())
    /// ```
    pub fn get_as<'a, T: FromAttribute<'a>>(
        &'a self,
        name: &str,
    ) -> Result<T, UnexpectedAttribute> {
        match self.get(name) {
            Some(value) => T::from_attribute(value),
            None => T::from_absent().ok_or_else(UnexpectedAttribute::missing),
        }
        .map_err(|error| error.inside(name))
    }
}

/// A type that an attribute's value can be read as.
///
/// | attribute | read as |
/// |---|---|
/// | S | `String`, `&str` |
/// | N | every integer of Rust's, exactly: a fraction or a number out of range is an error; [`Number`]; `f64`, the nearest |
/// | B | `Vec<u8>`, `&[u8]` |
/// | BOOL | `bool` |
/// | L | `Vec<T>` |
/// | M | `BTreeMap<String, T>`, `HashMap<String, T>`, [`Item`] |
/// | SS, NS, BS | `Set<String>`, `Set<Number>`, `Set<Vec<u8>>` |
/// | any | [`AttributeValue`], `&AttributeValue` |
/// | any, NULL, or none | `Option<T>` |
///
/// An `Option` is `None` where there is no such attribute, and where it is NULL and `T` is not
/// read from that. An attribute of another type is an error, for an `Option` too.
///
/// # Examples
///
/// ```
/// use dynolock::{AttributeValue, FromAttribute, Item, UnexpectedAttribute};
///
/// #[derive(Debug, PartialEq)]
/// enum State {
///     New,
///     Done,
/// }
///
/// impl FromAttribute<'_> for State {
///     fn from_attribute(value: &AttributeValue) -> Result<Self, UnexpectedAttribute> {
///         match <&str>::from_attribute(value)? {
///             "new" => Ok(Self::New),
///             "done" => Ok(Self::Done),
///             _ => Err(UnexpectedAttribute::new("`new` or `done`", value)),
///         }
///     }
/// }
///
/// let item = Item::from_iter([("state", "done"), ("before", "neww")]);
/// assert_eq!(item.get_as::<State>("state")?, State::Done);
/// assert_eq!(
///     item.get_as::<State>("before").unwrap_err().to_string(),
///     "the attribute `before` must be `new` or `done`, and is a string (S)",
/// );
/// # Ok::<(), UnexpectedAttribute>(())
/// ```
pub trait FromAttribute<'a>: Sized {
    /// Reads the value.
    ///
    /// # Errors
    ///
    /// [`UnexpectedAttribute`] where it makes no `Self`.
    fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute>;

    /// What an attribute stands for that the item does not have; `None`, the default, where that
    /// is an error.
    fn from_absent() -> Option<Self> {
        None
    }

    /// Reads the value as many: a list, but for `u8` bytes. So `Vec<u8>` and `Vec<T>` can both be.
    #[doc(hidden)]
    fn many(value: &'a AttributeValue) -> Result<Vec<Self>, UnexpectedAttribute> {
        let AttributeValue::L(list) = value else {
            return Err(UnexpectedAttribute::new(LIST, value));
        };
        let element = |(at, value)| {
            Self::from_attribute(value).map_err(|error| error.inside(&format!("[{at}]")))
        };
        list.iter().enumerate().map(element).collect()
    }
}

/// An attribute that is missing, or that is not what the program wants to read.
///
/// The text names the attribute with its place (`parts[2].size`), and never shows its content.
/// `?` makes it an [`Error`](crate::Error) for which
/// [`is_unexpected_attribute`](crate::Error::is_unexpected_attribute) holds.
///
/// # Examples
///
/// ```
/// use dynolock::{AttributeValue, Item};
///
/// let parts: Vec<AttributeValue> = vec![1.into(), "two".into()];
/// let item = Item::from_iter([("parts", parts)]);
/// assert_eq!(
///     item.get_as::<Vec<u8>>("parts").unwrap_err().to_string(),
///     "the attribute `parts` must be binary (B), and is a list (L)",
/// );
/// assert_eq!(
///     item.get_as::<Vec<i8>>("parts").unwrap_err().to_string(),
///     "the attribute `parts[1]` must be a whole number within i8, and is a string (S)",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnexpectedAttribute {
    /// The way to it through lists and maps; empty for the value itself.
    place: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Missing,
    Unfit {
        wanted: Cow<'static, str>,
        /// `None` where it is not known.
        found: Option<&'static str>,
    },
}

impl UnexpectedAttribute {
    /// For an implementation of [`FromAttribute`]: the value is not what is `wanted`.
    ///
    /// `wanted` completes "must be …"; of the value only the type gets into the error.
    #[must_use]
    pub fn new(wanted: impl Into<Cow<'static, str>>, value: &AttributeValue) -> Self {
        Self::unfit(wanted.into(), Some(type_of(value)))
    }

    pub(super) fn unfit(wanted: Cow<'static, str>, found: Option<&'static str>) -> Self {
        Self {
            place: String::new(),
            problem: Problem::Unfit { wanted, found },
        }
    }

    pub(super) fn missing() -> Self {
        Self {
            place: String::new(),
            problem: Problem::Missing,
        }
    }

    /// The same, seen from the list or map around it.
    pub(super) fn inside(mut self, step: &str) -> Self {
        self.place = joined(step, &self.place);
        self
    }
}

impl fmt::Display for UnexpectedAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str("the value")?,
            place => write!(f, "the attribute `{place}`")?,
        }
        match &self.problem {
            Problem::Missing => f.write_str(" is missing"),
            Problem::Unfit { wanted, found } => {
                write!(f, " must be {wanted}")?;
                found.map_or(Ok(()), |found| write!(f, ", and is {found}"))
            }
        }
    }
}

impl std::error::Error for UnexpectedAttribute {}

/// A place below another: `step` is a name, or an index in brackets.
pub(super) fn joined(step: &str, place: &str) -> String {
    /// Bytes of a name that are shown.
    const LONGEST: usize = 255;
    let dot = if place.is_empty() || place.starts_with('[') {
        ""
    } else {
        "."
    };
    [&printable(step, LONGEST), dot, place].concat()
}

pub(super) const STRING: &str = "a string (S)";
pub(super) const NUMBER: &str = "a number (N)";
pub(super) const OTHER_NUMBER: &str = "another number (N)";
pub(super) const BINARY: &str = "binary (B)";
pub(super) const BOOLEAN: &str = "a boolean (BOOL)";
pub(super) const NULL: &str = "null (NULL)";
pub(super) const MAP: &str = "a map (M)";
pub(super) const LIST: &str = "a list (L)";
const STRING_SET: &str = "a string set (SS)";
const NUMBER_SET: &str = "a number set (NS)";
const BINARY_SET: &str = "a binary set (BS)";

pub(super) fn type_of(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => STRING,
        AttributeValue::N(_) => NUMBER,
        AttributeValue::B(_) => BINARY,
        AttributeValue::Bool(_) => BOOLEAN,
        AttributeValue::Null => NULL,
        AttributeValue::M(_) => MAP,
        AttributeValue::L(_) => LIST,
        AttributeValue::Ss(_) => STRING_SET,
        AttributeValue::Ns(_) => NUMBER_SET,
        AttributeValue::Bs(_) => BINARY_SET,
    }
}

macro_rules! from_one_type {
    ($($target:ty: $variant:ident($held:ident) => $made:expr, $wanted:expr;)+) => {$(
        impl<'a> FromAttribute<'a> for $target {
            fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute> {
                match value {
                    AttributeValue::$variant($held) => Ok($made),
                    other => Err(UnexpectedAttribute::new($wanted, other)),
                }
            }
        }
    )+};
}

from_one_type! {
    String: S(text) => text.clone(), STRING;
    &'a str: S(text) => text, STRING;
    Number: N(number) => number.clone(), NUMBER;
    &'a [u8]: B(bytes) => bytes, BINARY;
    bool: Bool(truth) => *truth, BOOLEAN;
    Item: M(map) => map.clone().into(), MAP;
    Set<String>: Ss(set) => set.clone(), STRING_SET;
    Set<Number>: Ns(set) => set.clone(), NUMBER_SET;
    Set<Vec<u8>>: Bs(set) => set.clone(), BINARY_SET;
}

macro_rules! from_integers {
    ($($integer:ident $({ $many:item })?)+) => {$(
        impl FromAttribute<'_> for $integer {
            fn from_attribute(value: &AttributeValue) -> Result<Self, UnexpectedAttribute> {
                parsed(value, concat!("a whole number within ", stringify!($integer)))
            }

            $($many)?
        }
    )+};
}

from_integers! {
    i8 i16 i32 i64 i128 isize u16 u32 u64 u128 usize
    u8 {
        fn many(value: &AttributeValue) -> Result<Vec<u8>, UnexpectedAttribute> {
            <&[u8]>::from_attribute(value).map(<[u8]>::to_vec)
        }
    }
}

impl FromAttribute<'_> for f64 {
    fn from_attribute(value: &AttributeValue) -> Result<Self, UnexpectedAttribute> {
        parsed(value, NUMBER)
    }
}

/// The number by its text, which has neither exponent nor superfluous zeros.
fn parsed<T: FromStr>(
    value: &AttributeValue,
    wanted: &'static str,
) -> Result<T, UnexpectedAttribute> {
    let AttributeValue::N(number) = value else {
        return Err(UnexpectedAttribute::new(wanted, value));
    };
    let unfit = |_| UnexpectedAttribute::unfit(wanted.into(), Some(OTHER_NUMBER));
    number.as_str().parse().map_err(unfit)
}

impl<'a> FromAttribute<'a> for &'a AttributeValue {
    fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute> {
        Ok(value)
    }
}

impl FromAttribute<'_> for AttributeValue {
    fn from_attribute(value: &AttributeValue) -> Result<Self, UnexpectedAttribute> {
        Ok(value.clone())
    }
}

impl<'a, T: FromAttribute<'a>> FromAttribute<'a> for Option<T> {
    fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute> {
        match T::from_attribute(value) {
            Err(_) if matches!(value, AttributeValue::Null) => Ok(None),
            read => read.map(Some),
        }
    }

    fn from_absent() -> Option<Self> {
        Some(None)
    }
}

impl<'a, T: FromAttribute<'a>> FromAttribute<'a> for Vec<T> {
    fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute> {
        T::many(value)
    }
}

impl<'a, T: FromAttribute<'a>> FromAttribute<'a> for BTreeMap<String, T> {
    fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute> {
        members(value)
    }
}

impl<'a, T: FromAttribute<'a>, H: BuildHasher + Default> FromAttribute<'a>
    for HashMap<String, T, H>
{
    fn from_attribute(value: &'a AttributeValue) -> Result<Self, UnexpectedAttribute> {
        members(value)
    }
}

fn members<'a, T: FromAttribute<'a>, M: FromIterator<(String, T)>>(
    value: &'a AttributeValue,
) -> Result<M, UnexpectedAttribute> {
    let AttributeValue::M(map) = value else {
        return Err(UnexpectedAttribute::new(MAP, value));
    };
    let member = |(name, value): (&String, _)| {
        let member = T::from_attribute(value).map_err(|error| error.inside(name));
        member.map(|member| (name.clone(), member))
    };
    map.iter().map(member).collect()
}

#[cfg(test)]
#[path = "typed_tests.rs"]
mod tests;
