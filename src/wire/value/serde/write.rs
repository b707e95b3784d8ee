//! An item of a type that implements `Serialize`.

use serde_core::ser::Serialize;
use serde_dynamo::AttributeValue as Foreign;
use serde_path_to_error::Path;

use super::super::typed::joined;
use super::super::{AttributeValue, InvalidValue, Item, Kind, Number, Set};
use super::{bracketed, step};

impl Item {
    /// The item that a struct or a map is, by its `Serialize` and [`serde_dynamo`].
    ///
    /// `None` becomes NULL, a sequence a list; a set is one by
    /// `#[serde(with = "serde_dynamo::string_set")]` and the like. An [`AttributeValue`] or an
    /// [`Item`] inside becomes a map like DynamoDB's JSON.
    ///
    /// [`serde_dynamo`]: https://docs.rs/serde_dynamo
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] where `value` is no struct or map, or holds what DynamoDB does not: a number
    /// like NaN or 1E200, an empty set, an integer of 128 bits, a map whose keys are no texts;
    /// and where the item breaks a limit that [`check`](Self::check) knows. The text names the
    /// attribute, as far as known.
    ///
    /// # Examples
    ///
    /// ```
    /// use dynolock::{AttributeValue, Item};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Job {
    ///     state: &'static str,
    ///     ratio: f64,
    /// }
    ///
    /// let item = Item::of(&Job { state: "new", ratio: 0.5 })?;
    /// assert_eq!(item.get("ratio"), Some(&AttributeValue::N("0.5".parse()?)));
    ///
    /// let refused = Item::of(&Job { state: "new", ratio: f64::NAN }).unwrap_err();
    /// assert!(refused.to_string().starts_with("the attribute `ratio`: number is NaN"));
    /// # Ok::<(), dynolock::InvalidValue>(())
    /// ```
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, InvalidValue> {
        // serde_dynamo panics on a map whose keys are sequences, maps or bytes; serde_json says no.
        serde_json::to_writer(std::io::sink(), value)
            .map_err(|error| unwritable(&error.to_string()))?;
        let foreign = serde_path_to_error::serialize(value, serde_dynamo::Serializer)
            .map_err(|error| at_path(error.path(), unwritable(&error.inner().to_string())))?;
        let AttributeValue::M(attributes) = of_foreign(foreign)? else {
            return Err(Kind::Unwritable(NO_MAP).into());
        };
        let item = Self::from(attributes);
        item.check()?;
        Ok(item)
    }
}

/// The value, where DynamoDB holds such; otherwise why not, and at which place.
pub(super) fn of_foreign(value: Foreign) -> Result<AttributeValue, Kind> {
    Ok(match value {
        Foreign::S(text) => AttributeValue::S(text),
        Foreign::N(text) => AttributeValue::N(number(&text)?),
        Foreign::B(bytes) => AttributeValue::B(bytes),
        Foreign::Bool(truth) => AttributeValue::Bool(truth),
        Foreign::Null(_) => AttributeValue::Null,
        Foreign::M(map) => {
            let member = |(name, value): (String, _)| match of_foreign(value) {
                Ok(value) => Ok((name, value)),
                Err(kind) => Err(at(&name, kind)),
            };
            AttributeValue::M(map.into_iter().map(member).collect::<Result<_, _>>()?)
        }
        Foreign::L(list) => AttributeValue::L(each(list, of_foreign)?),
        Foreign::Ss(set) => Set::new(set).map_err(kind)?.into(),
        Foreign::Ns(set) => Set::new(each(set, |text| number(&text))?)
            .map_err(kind)?
            .into(),
        Foreign::Bs(set) => Set::new(set).map_err(kind)?.into(),
    })
}

fn number(text: &str) -> Result<Number, Kind> {
    text.parse().map_err(kind)
}

fn kind(InvalidValue(kind): InvalidValue) -> Kind {
    kind
}

fn each<S, T>(list: Vec<S>, of: fn(S) -> Result<T, Kind>) -> Result<Vec<T>, Kind> {
    let numbered = list.into_iter().enumerate();
    numbered
        .map(|(index, element)| of(element).map_err(|kind| at(&bracketed(index), kind)))
        .collect()
}

/// What is wrong, seen from the list or map around it.
fn at(step: &str, kind: Kind) -> Kind {
    match kind {
        Kind::At(place, kind) => Kind::At(joined(step, &place), kind),
        kind => Kind::At(joined(step, ""), Box::new(kind)),
    }
}

fn at_path(path: &Path, kind: Kind) -> Kind {
    let steps = path.iter().rev();
    steps.fold(kind, |kind, segment| at(&step(segment), kind))
}

const NO_MAP: &str =
    "value is not written as a map; allowed are structs, and maps with texts as keys";

/// Why serde did not write it.
fn unwritable(text: &str) -> Kind {
    Kind::Unwritable(match text {
        "key must be a string" | "Key must be a string" => {
            "map has a key that is no text; allowed are strings, characters, integers, booleans and variants without content"
        }
        "i128 is not supported" | "u128 is not supported" => {
            "integer has 128 bits; allowed are up to 64"
        }
        "String set element does not serialize to string"
        | "Number set element does not serialize to number"
        | "Binary set element does not serialize to binary"
        | "Not a set-like sequence" => {
            "set has elements of another type; allowed are sequences of strings, of numbers or of bytes"
        }
        _ => "value refuses to be written; allowed is what serde_json and serde_dynamo both take",
    })
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
