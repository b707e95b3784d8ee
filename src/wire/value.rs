//! Attribute values, items, and the limits that DynamoDB sets to them.
//!
//! Follows <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html>
//! and <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.

mod codec;
mod item;
mod number;
#[cfg(feature = "serde")]
mod serde;
mod typed;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, btree_set};

use item::map_of;
pub use item::{Item, ItemIter};
pub use number::Number;
pub use typed::{FromAttribute, UnexpectedAttribute};

/// The value of an attribute, of one of DynamoDB's ten types.
///
/// A number is decimal text and never a float. A value that was built by hand can be nested deeper
/// or be larger than DynamoDB takes; [`check`](Self::check) tells.
///
/// # Examples
///
/// ```
/// use dynolock::AttributeValue;
///
/// let step = AttributeValue::from(2);
/// assert_eq!(step, AttributeValue::N("2.0".parse()?));
/// assert_eq!(serde_json::to_string(&step)?, r#"{"N":"2"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeValue {
    /// Text.
    S(String),
    /// A number.
    N(Number),
    /// Bytes.
    B(Vec<u8>),
    /// True or false.
    Bool(bool),
    /// Null, which is a value and not the absence of one.
    Null,
    /// A map from names to values.
    M(BTreeMap<String, AttributeValue>),
    /// A list.
    L(Vec<AttributeValue>),
    /// A set of texts.
    Ss(Set<String>),
    /// A set of numbers.
    Ns(Set<Number>),
    /// A set of byte strings.
    Bs(Set<Vec<u8>>),
}

impl AttributeValue {
    /// Bytes that the value takes in an item, by DynamoDB's rules.
    ///
    /// For numbers those rules are an approximation: a byte for two significant digits, and one more.
    /// Follows <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
    ///
    /// # Examples
    ///
    /// ```
    /// use dynolock::AttributeValue;
    ///
    /// assert_eq!(AttributeValue::from("four").size(), 4);
    /// ```
    #[must_use]
    pub fn size(&self) -> usize {
        Extent::of([self].into_iter()).size
    }

    /// Checks the value against DynamoDB's limits on nesting, names and size.
    ///
    /// The value of an attribute is on level 1, what a list or a map holds is one level below it,
    /// and there are 32 levels.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] where the value reaches below level 32, holds a name of 0 or more than
    /// 65,535 bytes, or is larger than 400 KB.
    ///
    /// # Examples
    ///
    /// ```
    /// use dynolock::AttributeValue;
    ///
    /// assert!(AttributeValue::from("short").check().is_ok());
    /// assert!(AttributeValue::from("long".repeat(200_000)).check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), InvalidValue> {
        Extent::of([self].into_iter()).check()
    }
}

macro_rules! from {
    ($($source:ty => $value:ident, $make:expr;)+) => {$(
        impl From<$source> for AttributeValue {
            fn from($value: $source) -> Self {
                $make
            }
        }
    )+};
}

from! {
    &str => text, Self::S(text.to_owned());
    &String => text, Self::S(text.clone());
    String => text, Self::S(text);
    Number => number, Self::N(number);
    &[u8] => bytes, Self::B(bytes.to_vec());
    Vec<u8> => bytes, Self::B(bytes);
    bool => truth, Self::Bool(truth);
    BTreeMap<String, AttributeValue> => map, Self::M(map);
    Item => item, Self::M(map_of(item));
    Vec<AttributeValue> => list, Self::L(list);
    Set<String> => set, Self::Ss(set);
    Set<Number> => set, Self::Ns(set);
    Set<Vec<u8>> => set, Self::Bs(set);
}

impl<const N: usize> From<&[u8; N]> for AttributeValue {
    fn from(bytes: &[u8; N]) -> Self {
        Self::B(bytes.to_vec())
    }
}

/// A set: at least one element, none of them twice.
///
/// # Examples
///
/// ```
/// use dynolock::{Number, Set};
///
/// let set = Set::new([Number::from(2), Number::from(1)])?;
/// assert!(set.contains(&Number::from(1)));
/// assert!(Set::<Number>::new([]).is_err());
/// # Ok::<(), dynolock::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set<T>(BTreeSet<T>);

#[expect(clippy::len_without_is_empty, reason = "it never is")]
impl<T: Ord> Set<T> {
    /// Gathers the elements.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] where there is none, or one comes twice. Numbers are the same where their
    /// values are: `1` and `1.0`.
    pub fn new(elements: impl IntoIterator<Item = T>) -> Result<Self, InvalidValue> {
        let mut set = BTreeSet::new();
        for element in elements {
            if !set.insert(element) {
                return Err(Kind::SetDouble.into());
            }
        }
        if set.is_empty() {
            return Err(Kind::SetEmpty.into());
        }
        Ok(Self(set))
    }

    /// Whether the set has the element.
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.0.contains(element)
    }

    /// The elements, in order.
    pub fn iter(&self) -> btree_set::Iter<'_, T> {
        self.0.iter()
    }

    /// How many elements there are; never 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> IntoIterator for Set<T> {
    type Item = T;
    type IntoIter = btree_set::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = btree_set::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A value that DynamoDB would refuse; its text says what is wrong and what is allowed.
///
/// # Examples
///
/// ```
/// use dynolock::Number;
///
/// let refused = "NaN".parse::<Number>().unwrap_err();
/// assert!(refused.to_string().starts_with("number is NaN"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct InvalidValue(#[from] Kind);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Kind {
    #[error("number is {0}; allowed are decimal digits with sign, point and exponent")]
    NumberSyntax(&'static str),
    #[error("number has more than 38 significant digits; allowed are 1 to 38")]
    NumberDigits,
    #[error("number is too {0}; allowed are 0 and magnitudes from 1E-130 to 9.99E+125")]
    NumberRange(&'static str),
    #[error("set is empty; allowed are 1 or more elements")]
    SetEmpty,
    #[error("set has an element twice; allowed is each once")]
    SetDouble,
    #[error("binary value is not base64; allowed is the standard alphabet, padded")]
    Base64,
    #[error("lists and maps are nested too deep; allowed are {MAX_LEVELS} levels")]
    Levels,
    #[error("attribute name has {0} bytes; allowed are 1 to {MAX_NAME}")]
    Name(usize),
    #[error("size is {0} bytes; allowed are up to {MAX_SIZE}")]
    Size(usize),
    #[cfg(feature = "serde")]
    #[error("the attribute `{0}`: {1}")]
    At(String, Box<Kind>),
    #[cfg(feature = "serde")]
    #[error("{0}")]
    Unwritable(&'static str),
}

/// How deep a value may reach, the attribute's own value being on level 1.
const MAX_LEVELS: usize = 32;
/// Bytes in the name of an attribute that is not a key.
const MAX_NAME: usize = 65_535;
/// Bytes in an item: 400 KB.
const MAX_SIZE: usize = 400 * 1024;

/// What values take, in bytes and levels.
///
/// Measured with a stack of its own, since what is measured may be nested without limit.
#[derive(Default)]
struct Extent {
    size: usize,
    levels: usize,
    bad_name: Option<usize>,
}

impl Extent {
    /// Of the values of attributes, without those attributes' names.
    fn of<'a>(values: impl Iterator<Item = &'a AttributeValue>) -> Self {
        let mut extent = Self::default();
        let mut stack: Vec<_> = values.map(|value| (value, 1)).collect();
        while let Some((value, level)) = stack.pop() {
            extent.levels = extent.levels.max(level);
            extent.size += match value {
                AttributeValue::S(text) => text.len(),
                AttributeValue::N(number) => number.size(),
                AttributeValue::B(bytes) => bytes.len(),
                AttributeValue::Bool(_) | AttributeValue::Null => 1,
                AttributeValue::Ss(set) => set.iter().map(String::len).sum(),
                AttributeValue::Ns(set) => set.iter().map(Number::size).sum(),
                AttributeValue::Bs(set) => set.iter().map(Vec::len).sum(),
                AttributeValue::L(list) => {
                    stack.extend(list.iter().map(|value| (value, level + 1)));
                    3 + list.len()
                }
                AttributeValue::M(map) => {
                    for (name, value) in map {
                        extent.add_name(name);
                        stack.push((value, level + 1));
                    }
                    3 + map.len()
                }
            };
        }
        extent
    }

    fn add_name(&mut self, name: &str) {
        self.size += name.len();
        if name.is_empty() || name.len() > MAX_NAME {
            self.bad_name = Some(name.len());
        }
    }

    fn check(&self) -> Result<(), InvalidValue> {
        if self.levels > MAX_LEVELS {
            return Err(Kind::Levels.into());
        }
        if let Some(length) = self.bad_name {
            return Err(Kind::Name(length).into());
        }
        if self.size > MAX_SIZE {
            return Err(Kind::Size(self.size).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text inside that many lists and maps.
    fn nested(containers: usize) -> AttributeValue {
        (0..containers).fold(AttributeValue::from("leaf"), |inner, at| {
            if at % 2 == 0 {
                AttributeValue::L(vec![inner])
            } else {
                Item::from_iter([("n", inner)]).into()
            }
        })
    }

    fn number(text: &str) -> Number {
        text.parse().expect(text)
    }

    #[test]
    fn sizes_are_dynamodbs() {
        let cases: [(AttributeValue, usize); 17] = [
            ("".into(), 0),
            ("h\u{e4}".into(), 3),
            (b"abc".into(), 3),
            (true.into(), 1),
            (AttributeValue::Null, 1),
            (0.into(), 1),
            (7.into(), 2),
            (27.into(), 2),
            ((-27).into(), 2),
            (270_000.into(), 2),
            (number("0.00271").into(), 3),
            (number("12345678901234567890123456789012345678").into(), 20),
            (Vec::<AttributeValue>::new().into(), 3),
            (vec!["xy".into(), AttributeValue::Null].into(), 3 + 3 + 2),
            (Item::from_iter([("ab", "xyz")]).into(), 3 + 2 + 1 + 3),
            (
                Set::new(["a".to_owned(), "bc".to_owned()]).unwrap().into(),
                3,
            ),
            (
                Set::new([number("1"), number("222")]).unwrap().into(),
                2 + 3,
            ),
        ];
        for (value, size) in cases {
            assert_eq!(value.size(), size, "{value:?}");
        }
        assert_eq!(Item::new().size(), 0);
        assert_eq!(
            Item::from_iter([("id", "abc"), ("flag", "")]).size(),
            2 + 3 + 4
        );
    }

    #[test]
    fn limits_are_checked_at_the_boundary() {
        let text = |bytes| AttributeValue::from("x".repeat(bytes));
        let named = |bytes| Item::from_iter([("n".repeat(bytes), true)]);
        let cases: [(AttributeValue, Option<Kind>); 12] = [
            (AttributeValue::Null, None),
            (nested(31), None),
            (nested(32), Some(Kind::Levels)),
            (nested(3_000), Some(Kind::Levels)),
            (text(MAX_SIZE), None),
            (text(MAX_SIZE + 1), Some(Kind::Size(409_601))),
            (vec![text(MAX_SIZE - 4)].into(), None),
            (vec![text(MAX_SIZE - 3)].into(), Some(Kind::Size(409_601))),
            (named(1).into(), None),
            (named(65_535).into(), None),
            (named(65_536).into(), Some(Kind::Name(65_536))),
            (
                AttributeValue::L(vec![named(0).into()]),
                Some(Kind::Name(0)),
            ),
        ];
        for (value, refused) in cases {
            let refused = refused.map_or(Ok(()), |kind| Err(InvalidValue(kind)));
            assert_eq!(value.check(), refused);
        }
        for (bytes, refused) in [(0, true), (1, false), (65_535, false), (65_536, true)] {
            assert_eq!(named(bytes).check().is_err(), refused, "{bytes}");
        }
        let item = |bytes| Item::from_iter([("name", text(bytes))]);
        assert_eq!(item(MAX_SIZE - 4).check(), Ok(()));
        assert!(item(MAX_SIZE - 3).check().is_err());
        assert_eq!(Item::from_iter([("a", nested(31))]).check(), Ok(()));
        assert!(Item::from_iter([("a", nested(32))]).check().is_err());
    }

    #[test]
    fn refusals_name_the_value_and_what_is_allowed() {
        let cases = [
            (
                nested(32).check(),
                "lists and maps are nested too deep; allowed are 32 levels",
            ),
            (
                AttributeValue::B(vec![0; 500_000]).check(),
                "size is 500000 bytes; allowed are up to 409600",
            ),
        ];
        for (refused, text) in cases {
            assert_eq!(refused.unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn sets_have_an_element_and_none_twice() {
        let set = Set::new(["b".to_owned(), String::new()]).unwrap();
        assert_eq!(
            (set.len(), set.contains("b"), set.contains("c")),
            (2, true, false)
        );
        assert_eq!(set.iter().collect::<Vec<_>>(), ["", "b"]);
        assert_eq!(Set::<String>::new([]), Err(InvalidValue(Kind::SetEmpty)));
        let doubles = Set::new([number("1"), number("2"), number("1.0")]);
        assert_eq!(doubles, Err(InvalidValue(Kind::SetDouble)));
    }
}
