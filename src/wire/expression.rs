//! Condition and update expressions: names and values go in by placeholder only.
//!
//! Placeholders are numbered by the builder (`#0`, `:0`), so they can neither collide with one
//! another nor with a reserved word, whatever the attributes are called.
//! See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html>.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_core::ser::{Serialize, SerializeMap, Serializer};

use super::value::AttributeValue;

/// The names and values that an operation's expressions refer to.
#[derive(Debug, Default)]
pub(crate) struct Placeholders<'a> {
    names: Vec<&'a str>,
    values: Vec<Cow<'a, AttributeValue>>,
}

impl<'a> Placeholders<'a> {
    /// The placeholder of an attribute's name; the same name has one placeholder.
    pub(crate) fn name(&mut self, name: &'a str) -> Placeholder {
        let at = self.names.iter().position(|known| *known == name);
        let number = at.unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        Placeholder { sigil: '#', number }
    }

    /// The placeholder of a value.
    pub(crate) fn value(&mut self, value: impl Into<AttributeValue>) -> Placeholder {
        self.push(Cow::Owned(value.into()))
    }

    /// The placeholder of a value that stays where it is.
    pub(crate) fn borrowed(&mut self, value: &'a AttributeValue) -> Placeholder {
        self.push(Cow::Borrowed(value))
    }

    fn push(&mut self, value: Cow<'a, AttributeValue>) -> Placeholder {
        self.values.push(value);
        Placeholder {
            sigil: ':',
            number: self.values.len() - 1,
        }
    }

    /// Bytes of all values.
    pub(crate) fn size(&self) -> usize {
        self.values.iter().map(|value| value.size()).sum()
    }

    /// `ExpressionAttributeNames`, as a JSON object.
    pub(super) fn names(&self) -> Names<'_> {
        Names(&self.names)
    }

    /// The same, where there is a name; DynamoDB refuses an empty object.
    pub(super) fn some_names(&self) -> Option<Names<'_>> {
        (!self.names.is_empty()).then_some(Names(&self.names))
    }

    /// `ExpressionAttributeValues`, as a JSON object; `None` where there is no value, since
    /// DynamoDB refuses an empty object.
    pub(super) fn values(&self) -> Option<Values<'_>> {
        (!self.values.is_empty()).then_some(Values(&self.values))
    }
}

/// What stands for a name or a value inside an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder {
    sigil: char,
    number: usize,
}

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char(self.sigil)?;
        self.number.fmt(f)
    }
}

pub(super) struct Names<'a>(&'a [&'a str]);

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        numbered(serializer, '#', self.0)
    }
}

pub(super) struct Values<'a>(&'a [Cow<'a, AttributeValue>]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        numbered(serializer, ':', self.0)
    }
}

fn numbered<S: Serializer, T: Serialize>(
    serializer: S,
    sigil: char,
    entries: &[T],
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(entries.len()))?;
    for (number, entry) in entries.iter().enumerate() {
        map.serialize_entry(&Placeholder { sigil, number }.to_string(), entry)?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_placeholder_and_every_value_its_own() {
        let mut placeholders = Placeholders::default();
        let first = placeholders.name("a");
        let second = placeholders.name("b");
        assert_eq!(placeholders.name("a"), first);
        assert_ne!(first, second);
        let one = placeholders.value("x");
        let two = placeholders.value("x");
        assert_eq!([one.to_string(), two.to_string()], [":0", ":1"]);
        assert_eq!(
            serde_json::to_string(&placeholders.names()).unwrap(),
            r##"{"#0":"a","#1":"b"}"##
        );
        assert_eq!(
            serde_json::to_string(&placeholders.values().unwrap()).unwrap(),
            r#"{":0":{"S":"x"},":1":{"S":"x"}}"#
        );
    }

    #[test]
    fn names_that_look_like_placeholders_stay_names() {
        let mut placeholders = Placeholders::default();
        let odd: Vec<_> = ["#1", ":0", "#0", "a.b", "SET", "\"", ""]
            .into_iter()
            .map(|name| placeholders.name(name).to_string())
            .collect();
        assert_eq!(odd, ["#0", "#1", "#2", "#3", "#4", "#5", "#6"]);
    }

    #[test]
    fn a_value_can_be_borrowed() {
        let kept = AttributeValue::from("kept");
        let mut placeholders = Placeholders::default();
        assert_eq!(placeholders.value("own").to_string(), ":0");
        assert_eq!(placeholders.borrowed(&kept).to_string(), ":1");
        assert!(
            matches!(placeholders.values[1], Cow::Borrowed(value) if std::ptr::eq(value, &kept))
        );
        assert_eq!(
            serde_json::to_string(&placeholders.values().unwrap()).unwrap(),
            r#"{":0":{"S":"own"},":1":{"S":"kept"}}"#
        );
    }

    #[test]
    fn no_value_is_no_object() {
        assert!(Placeholders::default().values().is_none());
    }
}
