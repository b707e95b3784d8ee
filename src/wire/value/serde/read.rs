//! An item as a type that implements `Deserialize`.

use std::borrow::Cow;

use serde_core::de::DeserializeOwned;
use serde_dynamo::AttributeValue as Foreign;
use serde_path_to_error::{Path, Segment};

use super::super::typed::{
    BINARY, BOOLEAN, LIST, MAP, NULL, NUMBER, OTHER_NUMBER, STRING, UnexpectedAttribute, type_of,
};
use super::super::{AttributeValue, Item, MAX_LEVELS, Number, Set};
use super::{SOMEWHERE, step};

impl Item {
    /// The item as a `T`, by `T`'s `Deserialize` and [`serde_dynamo`].
    ///
    /// Attributes that `T` does not have are passed over, unless it denies them. A number is read as
    /// an integer of up to 64 bits, exactly, or as the nearest float; for others there is
    /// [`get_as`](Self::get_as). Bytes need a type that asks for them, such as `serde_bytes`'. An
    /// [`AttributeValue`] inside `T` is read from a map like DynamoDB's JSON.
    ///
    /// [`serde_dynamo`]: https://docs.rs/serde_dynamo
    ///
    /// # Errors
    ///
    /// [`UnexpectedAttribute`] where an attribute is missing or does not make what `T` has in its
    /// place. It names the attribute; for what serde reads in two steps (tagged and untagged
    /// enums, `flatten`) the one around it, as `parts.?`.
    ///
    /// # Examples
    ///
    /// ```
    /// use dynolock::Item;
    ///
    /// #[derive(Debug, PartialEq, serde::Deserialize)]
    /// struct Job {
    ///     state: String,
    ///     step: Option<u64>,
    /// }
    ///
    /// let mut item = Item::from_iter([("id", "job-42"), ("state", "new")]);
    /// let job: Job = item.read()?;
    /// assert_eq!(job, Job { state: "new".into(), step: None });
    ///
    /// item.insert("step", "two");
    /// assert_eq!(
    ///     item.read::<Job>().unwrap_err().to_string(),
    ///     "the attribute `step` must be a number (N), and is a string (S)",
    /// );
    /// # Ok::<(), dynolock::UnexpectedAttribute>(())
    /// ```
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, UnexpectedAttribute> {
        // What is read is read by recursion, and an item made by hand is nested without limit.
        if self.extent().levels > MAX_LEVELS {
            let wanted = format!("nested no deeper than {MAX_LEVELS} levels");
            return Err(UnexpectedAttribute::unfit(wanted.into(), None));
        }
        let foreign = members_to_foreign(self.iter());
        serde_path_to_error::deserialize(serde_dynamo::Deserializer::from_attribute_value(foreign))
            .map_err(|error| unexpected(self, error.path(), &error.inner().to_string()))
    }
}

pub(super) fn to_foreign(value: &AttributeValue) -> Foreign {
    let numbers = |set: &Set<Number>| set.iter().map(Number::to_string).collect();
    match value {
        AttributeValue::S(text) => Foreign::S(text.clone()),
        AttributeValue::N(number) => Foreign::N(number.to_string()),
        AttributeValue::B(bytes) => Foreign::B(bytes.clone()),
        AttributeValue::Bool(truth) => Foreign::Bool(*truth),
        AttributeValue::Null => Foreign::Null(true),
        AttributeValue::M(map) => members_to_foreign(map.iter()),
        AttributeValue::L(list) => Foreign::L(list.iter().map(to_foreign).collect()),
        AttributeValue::Ss(set) => Foreign::Ss(set.iter().cloned().collect()),
        AttributeValue::Ns(set) => Foreign::Ns(numbers(set)),
        AttributeValue::Bs(set) => Foreign::Bs(set.iter().cloned().collect()),
    }
}

fn members_to_foreign<'a>(
    members: impl Iterator<Item = (&'a String, &'a AttributeValue)>,
) -> Foreign {
    let member = |(name, value): (&String, _)| (name.clone(), to_foreign(value));
    Foreign::M(members.map(member).collect())
}

/// What went wrong at that place of the item.
fn unexpected(item: &Item, path: &Path, text: &str) -> UnexpectedAttribute {
    let value = value_at(item, path);
    let found = match path.iter().next() {
        Some(_) => value.map(type_of),
        None => Some(MAP),
    };
    let expected = expected(text).filter(|expected| !match value {
        Some(value) => is_content(expected, value),
        None => item.iter().any(|(_, value)| is_content(expected, value)),
    });
    let missing = quoted(text, "missing field `").filter(|_| found == Some(MAP));
    let error = if let Some(name) = missing {
        UnexpectedAttribute::missing().inside(name)
    } else if text.starts_with("unknown field `") {
        let known = expected.map_or("absent".into(), |known| ["named ", known].concat());
        UnexpectedAttribute::unfit(known.into(), None)
    } else if text.starts_with("Failed to parse '") {
        UnexpectedAttribute::unfit("a whole number that fits".into(), Some(OTHER_NUMBER))
    } else if is_of_a_part(text, found) {
        UnexpectedAttribute::unfit(wanted(text, expected), None).inside(SOMEWHERE)
    } else {
        UnexpectedAttribute::unfit(wanted(text, expected), found)
    };
    let steps = path.iter().rev();
    steps.fold(error, |error, segment| error.inside(&step(segment)))
}

/// What is at that place; `None` where it is the item itself, in a set, or a name.
fn value_at<'a>(item: &'a Item, path: &Path) -> Option<&'a AttributeValue> {
    let mut segments = path.iter();
    let mut value = match segments.next()? {
        Segment::Map { key } | Segment::Enum { variant: key } => item.get(key)?,
        _ => return None,
    };
    for segment in segments {
        value = match (segment, value) {
            (Segment::Map { key } | Segment::Enum { variant: key }, AttributeValue::M(map)) => {
                map.get(key)?
            }
            (Segment::Seq { index }, AttributeValue::L(list)) => list.get(*index)?,
            _ => return None,
        };
    }
    Some(value)
}

fn quoted<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.strip_suffix('`')
}

/// The end of a message of serde's own, behind what was found, which is content.
fn expected(text: &str) -> Option<&str> {
    const STARTS: [&str; 5] = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant `",
        "unknown field `",
    ];
    let (_, expected) = text.rsplit_once(", expected ")?;
    let is_serdes = STARTS.iter().any(|start| text.starts_with(start));
    // A type without variants or fields expects nothing; what was found is last then.
    (is_serdes && !expected.contains("`, there are no ")).then_some(expected)
}

/// Whether the text was made of what the value holds: a type may say in serde's words what it likes.
fn is_content(text: &str, value: &AttributeValue) -> bool {
    /// Bytes; what is shorter may be in any text.
    const SHORTEST: usize = 4;
    let of = |held: &str| held.contains(text) || held.len() >= SHORTEST && text.contains(held);
    match value {
        AttributeValue::S(held) => of(held),
        AttributeValue::N(held) => of(held.as_str()),
        AttributeValue::M(map) => map.values().any(|value| is_content(text, value)),
        AttributeValue::L(list) => list.iter().any(|value| is_content(text, value)),
        AttributeValue::Ss(set) => set.iter().any(|held| of(held)),
        AttributeValue::Ns(set) => set.iter().any(|held| of(held.as_str())),
        AttributeValue::B(_)
        | AttributeValue::Bs(_)
        | AttributeValue::Bool(_)
        | AttributeValue::Null => false,
    }
}

/// Whether serde speaks of something inside what was found: it has read that in two steps, and the
/// place is known of the first only.
fn is_of_a_part(text: &str, found: Option<&str>) -> bool {
    let of_single = text.starts_with("invalid type: ") || text.starts_with("invalid value: ");
    let of_many = ["invalid type: map", "invalid type: sequence"];
    let of_many = of_many.iter().any(|start| text.starts_with(start));
    of_single && !of_many && matches!(found, Some(MAP | LIST))
}

/// What is wanted in place of what was found.
fn wanted(text: &str, expected: Option<&str>) -> Cow<'static, str> {
    match text {
        "Expected string" => STRING.into(),
        "Expected num" => NUMBER.into(),
        "Expected binary data" => BINARY.into(),
        "Expected bool" => BOOLEAN.into(),
        "Expected unit" | "Expected unit struct" => NULL.into(),
        "Expected map" => MAP.into(),
        "Expected seq" => "a list (L) or a set".into(),
        "Expected char" => "a single character (S)".into(),
        "Expected enum" => "a string (S) or a map (M)".into(),
        "Expected an item with a single key" => "a map (M) with one member".into(),
        "i128 is not supported" | "u128 is not supported" => {
            "read as an integer of up to 64 bits".into()
        }
        _ => match expected {
            Some(expected) => expected.to_owned().into(),
            None => "readable as the type that stands for it".into(),
        },
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
