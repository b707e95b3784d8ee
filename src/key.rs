//! The primary key of the item that is locked.

use crate::error::{Error, OptionName};
use crate::wire::{AttributeValue, Item, Number};

/// The primary key of an item: a partition key and, where the table has one, a sort key.
///
/// ```
/// use dynolock::Key;
///
/// let simple: Key = ("id", "job-42").into();
/// let composite = Key::new("tenant", "acme").sort("seq", 7);
/// assert_eq!(composite, (("tenant", "acme"), ("seq", 7)).into());
/// ```
///
/// Numbers are compared as numbers: `1` and `1.0` name the same item. Names and values are
/// checked when the lock is first used: names have 1 to 255 bytes, a partition key 1 to 2048
/// bytes, a sort key 1 to 1024
/// ([AWS's limits](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    partition: (String, KeyValue),
    sort: Option<(String, KeyValue)>,
}

/// The value of a key attribute: a string, a number or bytes.
///
/// ```
/// use dynolock::{KeyValue, Number};
///
/// assert_eq!(KeyValue::from(1), KeyValue::N("1.0".parse::<Number>()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// A string of 1 byte or more.
    S(String),
    /// A number.
    N(Number),
    /// Binary of 1 byte or more.
    B(Vec<u8>),
}

impl Key {
    /// A key that is a partition key alone.
    pub fn new(name: impl Into<String>, value: impl Into<KeyValue>) -> Self {
        Self {
            partition: (name.into(), value.into()),
            sort: None,
        }
    }

    /// The same key with a sort key.
    #[must_use]
    pub fn sort(mut self, name: impl Into<String>, value: impl Into<KeyValue>) -> Self {
        self.sort = Some((name.into(), value.into()));
        self
    }

    /// The name of the partition key.
    pub(crate) fn partition_name(&self) -> &str {
        &self.partition.0
    }

    /// The key as DynamoDB takes it, checked against its limits.
    pub(crate) fn parse(&self) -> Result<Item, Error> {
        let mut item = Item::default();
        let (name, value) = &self.partition;
        item.insert(
            attribute_name(OptionName::PartitionKey, name)?,
            bounded(OptionName::PartitionKey, value, 2048)?,
        );
        if let Some((name, value)) = &self.sort {
            if *name == self.partition.0 {
                return Err(Error::invalid_option(
                    OptionName::SortKey,
                    "must have another name than the partition key",
                ));
            }
            item.insert(
                attribute_name(OptionName::SortKey, name)?,
                bounded(OptionName::SortKey, value, 1024)?,
            );
        }
        item.shrink_to_fit();
        Ok(item)
    }
}

/// An attribute's name of 1 to 255 bytes.
pub(crate) fn attribute_name(option: OptionName, name: &str) -> Result<String, Error> {
    match name.len() {
        1..=255 => Ok(name.to_owned()),
        length => Err(Error::invalid_option(
            option,
            format!("the attribute's name has {length} bytes; 1 to 255 are allowed"),
        )),
    }
}

fn bounded(option: OptionName, value: &KeyValue, most: usize) -> Result<AttributeValue, Error> {
    let (length, value) = match value {
        KeyValue::S(text) => (text.len(), AttributeValue::S(text.clone())),
        KeyValue::B(bytes) => (bytes.len(), AttributeValue::B(bytes.clone())),
        KeyValue::N(number) => return Ok(AttributeValue::N(number.clone())),
    };
    if (1..=most).contains(&length) {
        Ok(value)
    } else {
        Err(Error::invalid_option(
            option,
            format!("the value has {length} bytes; 1 to {most} are allowed"),
        ))
    }
}

impl<N: Into<String>, V: Into<KeyValue>> From<(N, V)> for Key {
    fn from((name, value): (N, V)) -> Self {
        Self::new(name, value)
    }
}

impl<N, V, M, W> From<((N, V), (M, W))> for Key
where
    N: Into<String>,
    V: Into<KeyValue>,
    M: Into<String>,
    W: Into<KeyValue>,
{
    fn from(((name, value), (sort_name, sort_value)): ((N, V), (M, W))) -> Self {
        Self::new(name, value).sort(sort_name, sort_value)
    }
}

impl From<&str> for KeyValue {
    fn from(text: &str) -> Self {
        Self::S(text.to_owned())
    }
}

impl From<String> for KeyValue {
    fn from(text: String) -> Self {
        Self::S(text)
    }
}

impl From<Number> for KeyValue {
    fn from(number: Number) -> Self {
        Self::N(number)
    }
}

impl From<Vec<u8>> for KeyValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::B(bytes)
    }
}

impl From<&[u8]> for KeyValue {
    fn from(bytes: &[u8]) -> Self {
        Self::B(bytes.to_vec())
    }
}

macro_rules! key_from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for KeyValue {
            fn from(number: $integer) -> Self {
                Self::N(number.into())
            }
        }
    )*};
}

key_from_integers!(i32, i64, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_one_key() {
        let one = Key::new("n", "1.0".parse::<Number>().unwrap());
        assert_eq!(one, Key::new("n", 1));
        assert_eq!(one.parse().unwrap(), Key::new("n", 1_u64).parse().unwrap());
    }

    #[test]
    fn keys_out_of_range_are_refused_by_name() {
        let long = "x".repeat(2049);
        let cases: [(Key, &str); 8] = [
            (
                Key::new("", "v"),
                "partition key: the attribute's name has 0 bytes",
            ),
            (
                Key::new("x".repeat(256), "v"),
                "partition key: the attribute's name has 256",
            ),
            (
                Key::new("id", ""),
                "partition key: the value has 0 bytes; 1 to 2048",
            ),
            (
                Key::new("id", long.as_str()),
                "partition key: the value has 2049 bytes",
            ),
            (
                Key::new("id", Vec::new()),
                "partition key: the value has 0 bytes",
            ),
            (
                Key::new("id", "v").sort("", "w"),
                "sort key: the attribute's name has 0",
            ),
            (
                Key::new("id", "v").sort("s", &long[..1025]),
                "sort key: the value has 1025 bytes; 1 to 1024",
            ),
            (
                Key::new("id", "v").sort("id", "w"),
                "sort key: must have another name",
            ),
        ];
        for (key, expected) in cases {
            let error = key.parse().unwrap_err();
            assert!(error.is_invalid_option());
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn the_longest_keys_are_accepted() {
        let longest = "x".repeat(2048);
        Key::new("x".repeat(255), longest.as_str())
            .sort("s", vec![0; 1024])
            .parse()
            .unwrap();
    }
}
