use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::super::tests::{Bytes, Sort, item};
use super::*;
use crate::wire::value::codec::tests::any_value;

/// A type whose own errors tell everything.
#[derive(Debug)]
struct Chatty;

impl<'de> Deserialize<'de> for Chatty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(D::Error::custom(format!(
            "{text} is no good, expected {text}"
        )))
    }
}

/// And one that tells nothing else.
#[derive(Debug)]
struct Echo;

impl<'de> Deserialize<'de> for Echo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(String::deserialize(deserializer)?))
    }
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    One { _x: u8 },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[allow(dead_code, reason = "read only")]
enum Untagged {
    Text(String),
    Number(u64),
}

#[derive(Debug, Deserialize)]
enum Never {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    _a: Option<u8>,
    _b: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Debug, Deserialize)]
struct Flat {
    #[serde(flatten)]
    _inner: Inner,
}

#[derive(Debug, Deserialize)]
struct Inner {
    _x: u8,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "size")]
    _size: u8,
}

/// Everything that can be read wrongly.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(dead_code, reason = "read only")]
struct Odd {
    text: Option<String>,
    truth: Option<bool>,
    letter: Option<char>,
    unit: Option<()>,
    bytes: Option<Bytes>,
    float: Option<f64>,
    long: Option<i128>,
    list: Option<Vec<u8>>,
    parts: Vec<Part>,
    map: Option<BTreeMap<u8, (u8, bool)>>,
    sort: Option<Sort>,
    tagged: Option<Tagged>,
    untagged: Option<Untagged>,
    never: Option<Never>,
    strict: Option<Strict>,
    empty: Option<Empty>,
    flat: Option<Flat>,
    chatty: Option<Chatty>,
    echo: Option<Echo>,
    json: Option<serde_json::Value>,
}

#[test]
fn what_cannot_be_read_is_named_and_not_shown() {
    const UNREADABLE: &str = "readable as the type that stands for it";
    let unreadable = |place: &str, found: &str| format!("`{place}` must be {UNREADABLE}{found}");
    let cases = [
        (
            r#"{"text":{"N":"98765"}}"#,
            "`text` must be a string (S), and is a number (N)",
        ),
        (
            r#"{"truth":{"S":"hunter2"}}"#,
            "`truth` must be a boolean (BOOL), and is a string (S)",
        ),
        (
            r#"{"letter":{"S":"hunter2"}}"#,
            "`letter` must be a single character (S), and is a string (S)",
        ),
        (
            r#"{"unit":{"S":"hunter2"}}"#,
            "`unit` must be null (NULL), and is a string (S)",
        ),
        (
            r#"{"bytes":{"S":"hunter2"}}"#,
            "`bytes` must be binary (B), and is a string (S)",
        ),
        (
            r#"{"float":{"S":"hunter2"}}"#,
            "`float` must be a number (N), and is a string (S)",
        ),
        (
            r#"{"long":{"N":"98765"}}"#,
            "`long` must be read as an integer of up to 64 bits, and is a number (N)",
        ),
        (
            r#"{"list":{"B":"aHVudGVyMg=="}}"#,
            "`list` must be a list (L) or a set, and is binary (B)",
        ),
        (
            r#"{"list":{"L":[{"N":"1"},{"N":"98765"}]}}"#,
            "`list[1]` must be a whole number that fits, and is another number (N)",
        ),
        (
            r#"{"list":{"NS":["1","98765"]}}"#,
            "`list[1]` must be a whole number that fits, and is another number (N)",
        ),
        (r#"{"list":{"SS":["hunter2"]}}"#, "`list[0]` must be u8"),
        (
            r#"{"parts":{"L":[{"M":{"size":{"N":"1"}}},{"M":{}}]}}"#,
            "`parts[1].size` is missing",
        ),
        (
            r#"{"parts":{"L":[{"M":{"size":{"S":"hunter2"}}}]}}"#,
            "`parts[0].size` must be a number (N), and is a string (S)",
        ),
        (
            r#"{"parts":{"L":[{"NULL":true}]}}"#,
            "`parts[0]` must be a map (M), and is null (NULL)",
        ),
        (
            r#"{"map":{"M":{"name":{"L":[]}}}}"#,
            "`map.?` must be a number (N)",
        ),
        (
            r#"{"map":{"M":{"1":{"L":[{"N":"98765"}]}}}}"#,
            "`map.1[0]` must be a whole number that fits, and is another number (N)",
        ),
        (
            r#"{"map":{"M":{"1":{"L":[]}}}}"#,
            "`map.1` must be a tuple of size 2, and is a list (L)",
        ),
        (
            r#"{"sort":{"S":"hunter2"}}"#,
            "`sort` must be one of `Small`, `Big`, `Pair`, `Wide`, and is a string (S)",
        ),
        (
            r#"{"sort":{"N":"98765"}}"#,
            "`sort` must be a string (S) or a map (M), and is a number (N)",
        ),
        (
            r#"{"sort":{"M":{}}}"#,
            "`sort` must be a map (M) with one member, and is a map (M)",
        ),
        (
            r#"{"sort":{"M":{"Big":{"N":"98765"}}}}"#,
            "`sort.Big` must be a whole number that fits, and is another number (N)",
        ),
        (
            r#"{"sort":{"M":{"Pair":{"L":[{"N":"1"},{"N":"98765"}]}}}}"#,
            "`sort.Pair[1]` must be a string (S), and is a number (N)",
        ),
        (
            r#"{"sort":{"M":{"Wide":{"M":{}}}}}"#,
            "`sort.Wide.by` is missing",
        ),
        (
            r#"{"tagged":{"M":{"type":{"S":"hunter2"}}}}"#,
            "`tagged.type` must be `One`, and is a string (S)",
        ),
        (
            r#"{"tagged":{"M":{"type":{"S":"One"},"_x":{"S":"hunter2"}}}}"#,
            "`tagged.?` must be u8",
        ),
        (
            r#"{"flat":{"M":{"_x":{"S":"hunter2"}}}}"#,
            "`flat.?` must be u8",
        ),
        (r#"{"flat":{"M":{}}}"#, "`flat._x` is missing"),
        (
            r#"{"strict":{"M":{"no":{"S":"hunter2"}}}}"#,
            "`strict.no` must be named `_a` or `_b`",
        ),
        (
            r#"{"empty":{"M":{"no":{"S":"hunter2"}}}}"#,
            "`empty.no` must be absent",
        ),
        (
            r#"{"json":{"B":"aHVudGVyMg=="}}"#,
            "`json` must be any valid JSON value, and is binary (B)",
        ),
        (
            r#"{"json":{"L":[{"B":"aHVudGVyMg=="}]}}"#,
            "`json[0]` must be any valid JSON value, and is binary (B)",
        ),
        (
            r#"{"untagged":{"BOOL":true}}"#,
            &unreadable("untagged", ", and is a boolean (BOOL)"),
        ),
        (
            r#"{"never":{"S":"hunter2"}}"#,
            &unreadable("never", ", and is a string (S)"),
        ),
        (
            r#"{"never":{"S":"a, expected hunter2"}}"#,
            &unreadable("never", ", and is a string (S)"),
        ),
        (
            r#"{"chatty":{"S":"hunter2"}}"#,
            &unreadable("chatty", ", and is a string (S)"),
        ),
    ];
    for (json, text) in cases {
        let error = item(json).read::<Odd>().expect_err(json);
        assert_eq!(error.to_string(), format!("the attribute {text}"), "{json}");
        let error = format!("{error:?}");
        assert!(
            !error.contains("hunter2") && !error.contains("98765"),
            "{error}"
        );
    }
}

#[test]
fn an_item_is_read_as_what_a_map_makes() {
    let source = item(r#"{"a":{"N":"1"},"b":{"N":"2"}}"#);
    let map = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(source.read(), Ok(map.clone()));
    #[derive(Debug, PartialEq, Deserialize)]
    struct Around(Option<BTreeMap<String, u8>>);
    assert_eq!(source.read(), Ok(Around(Some(map))));
    assert_eq!(item(r#"{"Big":{"N":"1"}}"#).read(), Ok(Sort::Big(1)));

    let whole = |error: UnexpectedAttribute| error.to_string();
    assert_eq!(
        source.read::<u64>().map_err(whole).unwrap_err(),
        "the value must be a number (N), and is a map (M)",
    );
    assert_eq!(
        source.read::<Inner>().map_err(whole).unwrap_err(),
        "the attribute `_x` is missing",
    );
    assert_eq!(
        item(r#"{"_x":{"S":"hunter2"}}"#)
            .read::<Flat>()
            .map_err(whole)
            .unwrap_err(),
        "the attribute `?` must be u8",
    );
}

#[test]
fn what_is_nested_too_deep_is_not_read() {
    let nested = |levels: usize| {
        let lists = (1..levels).fold(AttributeValue::Null, |inner, _| vec![inner].into());
        Item::from_iter([("a", lists)])
    };
    assert!(nested(32).read::<serde_json::Value>().is_ok());
    let error = nested(33).read::<serde_json::Value>().unwrap_err();
    let text = "the value must be nested no deeper than 32 levels";
    assert_eq!(error.to_string(), text);
}

proptest! {
    /// Whatever an attribute holds: an error about it shows none of it.
    #[test]
    fn no_content_gets_into_an_error(
        name in prop::sample::select(vec![
            "truth", "letter", "unit", "bytes", "float", "long", "list", "parts", "map", "sort",
            "tagged", "untagged", "never", "strict", "empty", "flat", "chatty", "echo",
        ]),
        around in 0..4_usize,
        pieces in proptest::collection::vec(prop::sample::select(vec![
            ", expected ", "`", "\"", ", there are no variants", "invalid type: ", "missing field `",
            "unknown field `", "Failed to parse '", "\n", "}", " ",
        ]), 0..6),
        at: prop::sample::Index,
    ) {
        let mut pieces = pieces;
        pieces.insert(at.index(pieces.len() + 1), "hunter2");
        let text = AttributeValue::from(pieces.concat());
        let value = match around {
            0 => text,
            1 => vec![text].into(),
            2 => Set::new([pieces.concat()]).unwrap().into(),
            _ => {
                let names = ["_x", "type", "Big", "Wide", "Pair", "_a", "size"];
                Item::from_iter([(names[at.index(names.len())], text)]).into()
            }
        };
        if let Err(error) = Item::from_iter([(name, value)]).read::<Odd>() {
            prop_assert!(!format!("{error} {error:?}").contains("hunter2"), "{}", error);
        }
    }

    #[test]
    fn any_item_is_read_without_panic(value in any_value(), name in "[a-z]{1,8}|text|parts|sort|json|flat") {
        let item = Item::from_iter([(name, value)]);
        let _ = item.read::<Odd>();
        let _ = item.read::<BTreeMap<String, Sort>>();
        let _ = item.read::<serde_json::Value>();
    }
}
