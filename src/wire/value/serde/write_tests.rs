use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::super::tests::{Bytes, Sort, item};
use super::*;

/// A type whose own errors tell everything.
struct Chatty;

impl Serialize for Chatty {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("hunter2"))
    }
}

#[test]
fn types_are_written_as_dynamodbs() {
    #[derive(Serialize)]
    struct All {
        text: &'static str,
        letter: char,
        whole: i64,
        float: f64,
        single: f32,
        zero: f64,
        truth: bool,
        unit: (),
        none: Option<u8>,
        some: Option<u8>,
        bytes: Bytes,
        list: Vec<u8>,
        pair: (u8, bool),
        map: BTreeMap<u8, u8>,
        sorts: [Sort; 2],
        #[serde(with = "serde_dynamo::string_set")]
        texts: Vec<&'static str>,
        #[serde(with = "serde_dynamo::number_set")]
        numbers: Vec<f64>,
        #[serde(with = "serde_dynamo::binary_set")]
        binaries: Vec<Bytes>,
    }
    let written = Item::of(&All {
        text: "new",
        letter: 'x',
        whole: i64::MIN,
        float: 1e-7,
        single: 0.1,
        zero: -0.0,
        truth: true,
        unit: (),
        none: None,
        some: Some(3),
        bytes: Bytes(b"xyz".into()),
        list: vec![1, 2],
        pair: (1, false),
        map: BTreeMap::from([(7, 8)]),
        sorts: [Sort::Small, Sort::Wide { by: 2 }],
        texts: vec!["b", "a"],
        numbers: vec![2.0, 0.5],
        binaries: vec![Bytes(b"xyz".into())],
    });
    let expected = item(
        r#"{
            "text": {"S": "new"},
            "letter": {"S": "x"},
            "whole": {"N": "-9223372036854775808"},
            "float": {"N": "0.0000001"},
            "single": {"N": "0.1"},
            "zero": {"N": "0"},
            "truth": {"BOOL": true},
            "unit": {"NULL": true},
            "none": {"NULL": true},
            "some": {"N": "3"},
            "bytes": {"B": "eHl6"},
            "list": {"L": [{"N": "1"}, {"N": "2"}]},
            "pair": {"L": [{"N": "1"}, {"BOOL": false}]},
            "map": {"M": {"7": {"N": "8"}}},
            "sorts": {"L": [{"S": "Small"}, {"M": {"Wide": {"M": {"by": {"N": "2"}}}}}]},
            "texts": {"SS": ["a", "b"]},
            "numbers": {"NS": ["0.5", "2"]},
            "binaries": {"BS": ["eHl6"]}
        }"#,
    );
    assert_eq!(written, Ok(expected));

    #[derive(Serialize)]
    struct Flattened {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    let rest = BTreeMap::from([("b".to_owned(), 2)]);
    let both = Item::from_iter([("a", 1), ("b", 2)]);
    assert_eq!(Item::of(&Flattened { a: 1, rest }), Ok(both));
}

#[test]
fn what_dynamodb_does_not_hold_is_refused() {
    #[derive(Serialize)]
    struct Parts<T> {
        parts: Vec<BTreeMap<&'static str, T>>,
    }
    /// It is at a place that the errors must name.
    fn refused<T: Serialize>(size: T) -> String {
        let parts = vec![BTreeMap::new(), BTreeMap::from([("size", size)])];
        Item::of(&Parts { parts }).unwrap_err().to_string()
    }
    #[derive(Serialize)]
    struct Texts<T: Serialize>(#[serde(with = "serde_dynamo::string_set")] T);
    #[derive(Serialize)]
    struct Numbers<T: Serialize>(#[serde(with = "serde_dynamo::number_set")] T);
    #[derive(Serialize)]
    struct Binaries<T: Serialize>(#[serde(with = "serde_dynamo::binary_set")] T);

    let here = "the attribute `parts[1].size`: ";
    let elements = "set has elements of another type; allowed are sequences of";
    let cases = [
        (refused(f64::NAN), here, "number is NaN; allowed"),
        (refused(f32::INFINITY), here, "number is infinite; allowed"),
        (refused(1e200), here, "number is too large; allowed"),
        (refused(5e-324), here, "number is too small; allowed"),
        (refused(1_i128), here, "integer has 128 bits; allowed"),
        (refused(1_u128), here, "integer has 128 bits; allowed"),
        (refused(Texts([""; 0])), here, "set is empty; allowed"),
        (refused(Numbers([0; 0])), here, "set is empty; allowed"),
        (
            refused(Binaries::<[Bytes; 0]>([])),
            here,
            "set is empty; allowed",
        ),
        (
            refused(Texts(["a", "a"])),
            here,
            "set has an element twice; allowed",
        ),
        (
            refused(Numbers([0.0, -0.0])),
            here,
            "set has an element twice; allowed",
        ),
        (refused(Texts([1, 2])), here, elements),
        (refused(Numbers(["hunter2"])), here, elements),
        (refused(Binaries(["hunter2"])), here, elements),
        (refused(Texts("hunter2")), here, elements),
        (
            refused(Numbers([0.0, f64::NAN])),
            "the attribute `parts[1].size[1]`: ",
            "number is NaN; allowed",
        ),
        // Nothing of these gets as far as a place.
        (
            refused(BTreeMap::from([(vec![1], 1)])),
            "",
            "map has a key that is no text; allowed",
        ),
        (
            refused(BTreeMap::from([(BTreeMap::from([("a", 1)]), 1)])),
            "",
            "map has a key that is no text; allowed",
        ),
        (
            refused(BTreeMap::from([(Bytes(b"hunter2".into()), 1)])),
            "",
            "map has a key that is no text; allowed",
        ),
        (
            refused(BTreeMap::from([((1, 2), 1)])),
            "",
            "map has a key that is no text; allowed",
        ),
        (
            refused(BTreeMap::from([('x', Chatty)])),
            "",
            "value refuses to be written; allowed",
        ),
        (refused("x".repeat(500_000)), "", "size is 500"),
        (
            refused(BTreeMap::from([("", 1)])),
            "",
            "attribute name has 0 bytes; allowed",
        ),
    ];
    for (at, (text, place, flaw)) in cases.into_iter().enumerate() {
        let rest = text.strip_prefix(place);
        assert!(
            rest.is_some_and(|rest| rest.starts_with(flaw)),
            "{at}: {text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }

    let deep = (0..40).fold(
        serde_json::json!(1),
        |inner, _| serde_json::json!({ "a": inner }),
    );
    let deep = Item::of(&deep).unwrap_err().to_string();
    assert!(
        deep.starts_with("lists and maps are nested too deep"),
        "{deep}"
    );
}

#[test]
fn only_a_map_is_an_item() {
    fn refused<T: Serialize + ?Sized>(value: &T) -> String {
        Item::of(value).unwrap_err().to_string()
    }
    #[derive(Serialize)]
    struct Unit;
    let refusals = [
        refused("hunter2"),
        refused(&7),
        refused(&()),
        refused(&Unit),
        refused(&None::<BTreeMap<String, u8>>),
        refused(&[1, 2]),
        refused(&Bytes(b"hunter2".into())),
        refused(&Sort::Small),
    ];
    for text in refusals {
        assert!(
            text.starts_with("value is not written as a map; allowed are"),
            "{text}"
        );
    }
    assert_eq!(Item::of(&Sort::Big(1)), Ok(Item::from_iter([("Big", 1)])));
    assert_eq!(
        Item::of(&Some(BTreeMap::from([("a", 1)]))),
        Ok(Item::from_iter([("a", 1)]))
    );
}
