use std::collections::BTreeMap;
use std::fmt;

use proptest::prelude::*;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::read::to_foreign;
use super::write::of_foreign;
use crate::wire::value::codec::tests::any_value;
use crate::wire::{AttributeValue, Item};

pub(super) fn item(json: &str) -> Item {
    serde_json::from_str(json).expect(json)
}

/// Bytes that say so.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Whole)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Sort {
    Small,
    Big(u8),
    Pair(u8, String),
    Wide { by: u8 },
}

#[test]
fn errors_of_the_crate_come_of_both() {
    let error = crate::Error::from(
        item(r#"{"_x":{"S":"hunter2"}}"#)
            .read::<BTreeMap<String, u8>>()
            .unwrap_err(),
    );
    assert!(error.is_unexpected_attribute() && !error.is_invalid_option());
    let error = crate::Error::from(Item::of(&BTreeMap::from([("a", f64::NAN)])).unwrap_err());
    assert!(error.is_invalid_option() && !error.is_unexpected_attribute());
    assert!(
        error
            .to_string()
            .starts_with("value: the attribute `a`: number is NaN")
    );
}

/// Fields of all kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    text: String,
    signed: i64,
    unsigned: u64,
    small: i8,
    float: f64,
    single: f32,
    letter: char,
    truth: bool,
    bytes: Bytes,
    none: Option<String>,
    list: Vec<(u16, Option<bool>)>,
    map: BTreeMap<String, Vec<i32>>,
    numbered: BTreeMap<u32, String>,
    sorts: Vec<Sort>,
    inner: Option<Box<Record>>,
}

fn any_sort() -> impl Strategy<Value = Sort> {
    prop_oneof![
        Just(Sort::Small),
        any::<u8>().prop_map(Sort::Big),
        any::<(u8, String)>().prop_map(|(a, b)| Sort::Pair(a, b)),
        any::<u8>().prop_map(|by| Sort::Wide { by }),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let names = ".{1,8}";
    let scalars = (
        any::<(String, i64, u64, i8, char, bool)>(),
        -1e100..1e100_f64,
        -1e30..1e30_f32,
    );
    let others = (
        any::<Vec<u8>>(),
        any::<Option<String>>(),
        any::<Vec<(u16, Option<bool>)>>(),
        proptest::collection::btree_map(names, any::<Vec<i32>>(), 0..4),
        any::<BTreeMap<u32, String>>(),
        proptest::collection::vec(any_sort(), 0..4),
    );
    let flat = (scalars, others).prop_map(|(scalars, others)| {
        let ((text, signed, unsigned, small, letter, truth), float, single) = scalars;
        let (bytes, none, list, map, numbered, sorts) = others;
        Record {
            text,
            signed,
            unsigned,
            small,
            float,
            single,
            letter,
            truth,
            bytes: Bytes(bytes),
            none,
            list,
            map,
            numbered,
            sorts,
            inner: None,
        }
    });
    let flat = flat.boxed();
    (flat.clone(), proptest::option::of(flat)).prop_map(|(record, inner)| Record {
        inner: inner.map(Box::new),
        ..record
    })
}

proptest! {
    #[test]
    fn what_is_mapped_there_and_back_is_the_same(value in any_value()) {
        prop_assert_eq!(of_foreign(to_foreign(&value)), Ok(value));
    }

    #[test]
    fn what_is_written_is_read_back(record in any_record()) {
        let item = Item::of(&record).unwrap();
        prop_assert_eq!(item.read(), Ok(record));
    }

    /// A value inside is a map like DynamoDB's JSON.
    #[test]
    fn values_inside_are_maps(value in any_value()) {
        let item = Item::of(&BTreeMap::from([("a", &value)]));
        if let Ok(item) = item {
            prop_assert!(matches!(item.get("a"), Some(AttributeValue::M(map)) if map.len() == 1));
            prop_assert_eq!(item.read(), Ok(BTreeMap::from([("a".to_owned(), value)])));
        } else {
            prop_assert!(Item::from_iter([("a", value)]).check().is_err());
        }
    }
}
