//! Attribute values as DynamoDB's JSON: an object with one member, whose name is the type.
//!
//! Numbers are strings, bytes are base64. Lists and maps are read and written up to 32 deep, by
//! recursion; deeper ones are an error. (DynamoDB stores a value inside 31 of them at most.)

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_core::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess};
use serde_core::ser::{self, Serialize, SerializeMap as _, Serializer};

use super::{AttributeValue, InvalidValue, Item, Kind, MAX_LEVELS, Number, Set};

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inside = 0;
        Within {
            value: self,
            inside,
        }
        .serialize(serializer)
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_members(self.iter(), 0, serializer)
    }
}

/// Something to write inside that many lists and maps.
struct Within<'a, T> {
    value: &'a T,
    inside: usize,
}

impl Serialize for Within<'_, AttributeValue> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        match self.value {
            AttributeValue::S(text) => object.serialize_entry("S", text),
            AttributeValue::N(number) => object.serialize_entry("N", number.as_str()),
            AttributeValue::B(bytes) => object.serialize_entry("B", &BASE64.encode(bytes)),
            AttributeValue::Bool(truth) => object.serialize_entry("BOOL", truth),
            AttributeValue::Null => object.serialize_entry("NULL", &true),
            AttributeValue::M(value) => {
                let inside = deeper(self.inside).map_err(ser::Error::custom)?;
                object.serialize_entry("M", &Within { value, inside })
            }
            AttributeValue::L(value) => {
                let inside = deeper(self.inside).map_err(ser::Error::custom)?;
                object.serialize_entry("L", &Within { value, inside })
            }
            AttributeValue::Ss(set) => object.serialize_entry("SS", &set.0),
            AttributeValue::Ns(set) => {
                let texts: Vec<_> = set.iter().map(Number::as_str).collect();
                object.serialize_entry("NS", &texts)
            }
            AttributeValue::Bs(set) => {
                let texts: Vec<_> = set.iter().map(|bytes| BASE64.encode(bytes)).collect();
                object.serialize_entry("BS", &texts)
            }
        }?;
        object.end()
    }
}

impl Serialize for Within<'_, BTreeMap<String, AttributeValue>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_members(self.value.iter(), self.inside, serializer)
    }
}

/// Names and values that are inside that many lists and maps.
fn write_members<'a, S: Serializer>(
    members: impl Iterator<Item = (&'a String, &'a AttributeValue)>,
    inside: usize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.map(|(name, value)| (name, Within { value, inside })))
}

impl Serialize for Within<'_, Vec<AttributeValue>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inside = self.inside;
        serializer.collect_seq(self.value.iter().map(|value| Within { value, inside }))
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ReadValue { inside: 0 }.deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A tree first: it takes names in any order, however many there are.
        let read = ReadMap { inside: 0 }.deserialize(deserializer);
        read.map(Self::from)
    }
}

/// Reads a value that is inside that many lists and maps.
struct ReadValue {
    inside: usize,
}

impl<'de> DeserializeSeed<'de> for ReadValue {
    type Value = AttributeValue;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<AttributeValue, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for ReadValue {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value: an object with one member, named for its type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<AttributeValue, A::Error> {
        let Some(tag) = object.next_key()? else {
            return Err(de::Error::custom("attribute value without a type"));
        };
        let value = match tag {
            Tag::S => AttributeValue::S(object.next_value()?),
            Tag::N => AttributeValue::N(valid(number(object.next_value()?))?),
            Tag::B => AttributeValue::B(valid(bytes(object.next_value()?))?),
            Tag::Bool => AttributeValue::Bool(object.next_value()?),
            Tag::Null => match object.next_value()? {
                true => AttributeValue::Null,
                false => return Err(de::Error::custom("attribute value NULL is false")),
            },
            Tag::M => {
                let inside = valid(deeper(self.inside))?;
                AttributeValue::M(object.next_value_seed(ReadMap { inside })?)
            }
            Tag::L => {
                let inside = valid(deeper(self.inside))?;
                AttributeValue::L(object.next_value_seed(ReadList { inside })?)
            }
            Tag::Ss => AttributeValue::Ss(valid(Set::new(object.next_value::<Vec<_>>()?))?),
            Tag::Ns => AttributeValue::Ns(valid(set(object.next_value()?, number))?),
            Tag::Bs => AttributeValue::Bs(valid(set(object.next_value()?, bytes))?),
        };
        match object.next_key::<de::IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(de::Error::custom("attribute value with more than one type")),
        }
    }
}

/// Reads a map's members inside that many lists and maps, this one counted.
struct ReadMap {
    inside: usize,
}

impl<'de> DeserializeSeed<'de> for ReadMap {
    type Value = BTreeMap<String, AttributeValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> de::Visitor<'de> for ReadMap {
    type Value = BTreeMap<String, AttributeValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attribute values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside;
        let mut map = BTreeMap::new();
        while let Some(name) = object.next_key()? {
            let value = object.next_value_seed(ReadValue { inside })?;
            if map.insert(name, value).is_some() {
                return Err(de::Error::custom("attribute name comes twice"));
            }
        }
        Ok(map)
    }
}

/// Reads a list's elements inside that many lists and maps, this one counted.
struct ReadList {
    inside: usize,
}

impl<'de> DeserializeSeed<'de> for ReadList {
    type Value = Vec<AttributeValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> de::Visitor<'de> for ReadList {
    type Value = Vec<AttributeValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of attribute values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let inside = self.inside;
        let mut list = Vec::new();
        while let Some(value) = array.next_element_seed(ReadValue { inside })? {
            list.push(value);
        }
        Ok(list)
    }
}

/// The type of a value, as its name on the wire says.
enum Tag {
    S,
    N,
    B,
    Bool,
    Null,
    M,
    L,
    Ss,
    Ns,
    Bs,
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(ReadTag)
    }
}

struct ReadTag;

impl de::Visitor<'_> for ReadTag {
    type Value = Tag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type of an attribute value")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Tag, E> {
        Ok(match name {
            "S" => Tag::S,
            "N" => Tag::N,
            "B" => Tag::B,
            "BOOL" => Tag::Bool,
            "NULL" => Tag::Null,
            "M" => Tag::M,
            "L" => Tag::L,
            "SS" => Tag::Ss,
            "NS" => Tag::Ns,
            "BS" => Tag::Bs,
            _ => return Err(E::custom("attribute value of unknown type")),
        })
    }
}

/// How many lists and maps surround what one of them holds, given how many surround itself.
fn deeper(inside: usize) -> Result<usize, InvalidValue> {
    if inside < MAX_LEVELS {
        Ok(inside + 1)
    } else {
        Err(Kind::Levels.into())
    }
}

fn number(text: String) -> Result<Number, InvalidValue> {
    text.parse()
}

fn bytes(text: String) -> Result<Vec<u8>, InvalidValue> {
    BASE64.decode(text).map_err(|_| Kind::Base64.into())
}

fn set<T: Ord>(
    texts: Vec<String>,
    element: fn(String) -> Result<T, InvalidValue>,
) -> Result<Set<T>, InvalidValue> {
    let elements: Result<Vec<T>, _> = texts.into_iter().map(element).collect();
    Set::new(elements?)
}

fn valid<T, E: de::Error>(value: Result<T, InvalidValue>) -> Result<T, E> {
    value.map_err(E::custom)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<AttributeValue, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn number(text: &str) -> Number {
        text.parse().expect(text)
    }

    fn set<T: Ord, const N: usize>(elements: [T; N]) -> Set<T> {
        Set::new(elements).expect("a set")
    }

    /// `{"L":[{"M":{"n":` and so on, that many of them, around a text.
    fn nested_json(containers: usize) -> String {
        let opened = |at| {
            if at % 2 == 0 {
                r#"{"L":["#
            } else {
                r#"{"M":{"n":"#
            }
        };
        let closed = |at| if at % 2 == 0 { "]}" } else { "}}" };
        let mut json: String = (0..containers).map(opened).collect();
        json.push_str(r#"{"S":"leaf"}"#);
        json.extend((0..containers).rev().map(closed));
        json
    }

    fn nested(containers: usize) -> AttributeValue {
        (0..containers)
            .rev()
            .fold("leaf".into(), |inner, at| match at % 2 {
                0 => AttributeValue::L(vec![inner]),
                _ => Item::from_iter([("n", inner)]).into(),
            })
    }

    #[test]
    fn golden_json_of_all_types() {
        let cases: [(AttributeValue, &str); 21] = [
            ("".into(), r#"{"S":""}"#),
            (
                "h\u{e4} \"\\\n\u{1F512}".into(),
                "{\"S\":\"h\u{e4} \\\"\\\\\\n\u{1F512}\"}",
            ),
            (42.into(), r#"{"N":"42"}"#),
            (number("-1.5e-3").into(), r#"{"N":"-0.0015"}"#),
            (
                1_795_415_746_571_454_429_i64.into(),
                r#"{"N":"1795415746571454429"}"#,
            ),
            (b"".into(), r#"{"B":""}"#),
            (b"\0".into(), r#"{"B":"AA=="}"#),
            (b"\xff\xfe\xfd".into(), r#"{"B":"//79"}"#),
            (true.into(), r#"{"BOOL":true}"#),
            (false.into(), r#"{"BOOL":false}"#),
            (AttributeValue::Null, r#"{"NULL":true}"#),
            (Item::new().into(), r#"{"M":{}}"#),
            (
                Item::from_iter([("b", 1), ("a", 2)]).into(),
                r#"{"M":{"a":{"N":"2"},"b":{"N":"1"}}}"#,
            ),
            (Vec::<AttributeValue>::new().into(), r#"{"L":[]}"#),
            (
                vec!["x".into(), AttributeValue::Null].into(),
                r#"{"L":[{"S":"x"},{"NULL":true}]}"#,
            ),
            (
                AttributeValue::L(vec![AttributeValue::L(vec![1.into()])]),
                r#"{"L":[{"L":[{"N":"1"}]}]}"#,
            ),
            (
                set(["b".to_owned(), "a".to_owned()]).into(),
                r#"{"SS":["a","b"]}"#,
            ),
            (set([String::new()]).into(), r#"{"SS":[""]}"#),
            (
                set([number("10"), number("9"), number("-1")]).into(),
                r#"{"NS":["-1","9","10"]}"#,
            ),
            (
                set([b"b".to_vec(), b"a".to_vec()]).into(),
                r#"{"BS":["YQ==","Yg=="]}"#,
            ),
            (set([Vec::new()]).into(), r#"{"BS":[""]}"#),
        ];
        for (value, json) in cases {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(read(json), Ok(value), "{json}");
        }
    }

    #[test]
    fn an_item_is_an_object_of_values() {
        let item = Item::from_iter([("id", AttributeValue::from("x")), ("step", 2.into())]);
        let json = r#"{"id":{"S":"x"},"step":{"N":"2"}}"#;
        assert_eq!(serde_json::to_string(&item).unwrap(), json);
        assert_eq!(serde_json::from_str::<Item>(json).unwrap(), item);
        assert_eq!(serde_json::from_str::<Item>("{}").unwrap(), Item::new());
        for json in [
            "[]",
            "null",
            r#"{"a":1}"#,
            r#"{"a":{"S":"x"},"a":{"S":"y"}}"#,
        ] {
            assert!(serde_json::from_str::<Item>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn numbers_are_read_as_their_values() {
        assert_eq!(read(r#"{"N":"1.0"}"#), Ok(1.into()));
        assert_eq!(read(r#"{"N":"1E2"}"#), Ok(100.into()));
        let order = read(r#"{"NS":["2.50","-1"]}"#);
        assert_eq!(order, Ok(set([number("-1"), number("2.5")]).into()));
    }

    #[test]
    fn escapes_and_spaces_in_the_json_change_nothing() {
        assert_eq!(read(r#" { "\u0053" : "\u0061" } "#), Ok("a".into()));
        assert_eq!(read(r#"{"N":"\u0031"}"#), Ok(1.into()));
        assert_eq!(read(r#"{"B":"\/\/79"}"#), Ok(b"\xff\xfe\xfd".into()));
    }

    #[test]
    fn other_json_is_refused_and_it_is_said_why() {
        let cases = [
            ("", "EOF"),
            ("null", "an attribute value"),
            (r#""x""#, "an attribute value"),
            ("[]", "an attribute value"),
            ("{}", "without a type"),
            (r#"{"X":"x"}"#, "unknown type"),
            (r#"{"s":"x"}"#, "unknown type"),
            (r#"{"":"x"}"#, "unknown type"),
            (r#"{"Bool":true}"#, "unknown type"),
            (r#"{"S":"x","N":"1"}"#, "more than one type"),
            (r#"{"S":"x","S":"x"}"#, "more than one type"),
            (r#"{"S":"x","X":[]}"#, "more than one type"),
            (r#"{"S":1}"#, "expected a string"),
            (r#"{"S":null}"#, "expected a string"),
            (r#"{"S":"\ud800"}"#, "hex escape"),
            (r#"{"N":1}"#, "expected a string"),
            (r#"{"N":"x"}"#, "number is malformed"),
            (r#"{"N":"NaN"}"#, "number is NaN"),
            (r#"{"N":"1e126"}"#, "number is too large"),
            (
                r#"{"N":"123456789012345678901234567890123456789"}"#,
                "38 significant",
            ),
            (r#"{"B":[1]}"#, "expected a string"),
            (r#"{"B":"AA"}"#, "not base64"),
            (r#"{"B":"AA="}"#, "not base64"),
            (r#"{"B":"AB=="}"#, "not base64"),
            (r#"{"B":"AA==="}"#, "not base64"),
            (r#"{"B":"A A="}"#, "not base64"),
            (r#"{"B":"__79"}"#, "not base64"),
            (r#"{"BOOL":"true"}"#, "expected a boolean"),
            (r#"{"BOOL":1}"#, "expected a boolean"),
            (r#"{"NULL":false}"#, "NULL is false"),
            (r#"{"NULL":null}"#, "expected a boolean"),
            (r#"{"M":[]}"#, "an object of attribute values"),
            (r#"{"M":{"a":{"S":"x"},"a":{"S":"x"}}}"#, "name comes twice"),
            (r#"{"M":{"a":"x"}}"#, "an attribute value"),
            (r#"{"L":{}}"#, "an array of attribute values"),
            (r#"{"L":["x"]}"#, "an attribute value"),
            (r#"{"L":[{}]}"#, "without a type"),
            (r#"{"SS":[]}"#, "set is empty"),
            (r#"{"NS":[]}"#, "set is empty"),
            (r#"{"BS":[]}"#, "set is empty"),
            (r#"{"SS":"x"}"#, "expected a sequence"),
            (r#"{"SS":[1]}"#, "expected a string"),
            (r#"{"SS":["a","b","a"]}"#, "set has an element twice"),
            (r#"{"NS":[1]}"#, "expected a string"),
            (r#"{"NS":["1","1.0"]}"#, "set has an element twice"),
            (r#"{"NS":["0","-0"]}"#, "set has an element twice"),
            (r#"{"NS":["x"]}"#, "number is malformed"),
            (r#"{"BS":["YQ==","YQ=="]}"#, "set has an element twice"),
            (r#"{"BS":["YQ"]}"#, "not base64"),
            (r#"{"S":"x"}}"#, "trailing"),
            (r#"{"S":"x""#, "EOF"),
            (r#"{"S":"x",}"#, "trailing comma"),
        ];
        for (json, reason) in cases {
            let refused = read(json).expect_err(json);
            assert!(refused.contains(reason), "{json}: {refused}");
        }
    }

    #[test]
    fn lists_and_maps_nest_up_to_32_deep() {
        for containers in [0, 1, 31, 32] {
            let (value, json) = (nested(containers), nested_json(containers));
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(read(&json), Ok(value.clone()));
            let answer = format!(r#"{{"a":{json}}}"#);
            let item: Item = serde_json::from_str(&answer).unwrap();
            assert_eq!(item.get("a"), Some(&value));
            assert_eq!(serde_json::to_string(&item).unwrap(), answer);
        }
        for containers in [33, 34, 100, 10_000] {
            let refused = read(&nested_json(containers)).expect_err("too deep");
            assert!(
                refused.contains("nested too deep"),
                "{containers}: {refused}"
            );
            let refused = read(&nested_json(containers).replace('}', "")).expect_err("too deep");
            assert!(
                refused.contains("nested too deep"),
                "{containers}: {refused}"
            );
        }
        // Deep enough to show that writing stops, not so deep that dropping it fails.
        for containers in [33, 34, 3_000] {
            let refused = serde_json::to_string(&nested(containers)).expect_err("too deep");
            assert!(refused.to_string().contains("nested too deep"), "{refused}");
            let item = Item::from_iter([("a", nested(containers))]);
            assert!(serde_json::to_string(&item).is_err());
        }
    }

    pub(in super::super) fn any_number() -> impl Strategy<Value = Number> {
        ("-?[0-9]{1,38}", -100..80_i64)
            .prop_map(|(digits, exponent)| number(&format!("{digits}e{exponent}")))
    }

    pub(in super::super) fn any_value() -> impl Strategy<Value = AttributeValue> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
        let leaf = prop_oneof![
            any::<String>().prop_map(AttributeValue::S),
            any_number().prop_map(AttributeValue::N),
            bytes().prop_map(AttributeValue::B),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null),
            proptest::collection::btree_set(any::<String>(), 1..5)
                .prop_map(|set| AttributeValue::Ss(Set(set))),
            proptest::collection::btree_set(any_number(), 1..5)
                .prop_map(|set| AttributeValue::Ns(Set(set))),
            proptest::collection::btree_set(bytes(), 1..5)
                .prop_map(|set| AttributeValue::Bs(Set(set))),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(AttributeValue::L),
                proptest::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            let json = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(&serde_json::from_slice::<AttributeValue>(&json).unwrap(), &value);
            let item = Item::from_iter([("a", value.clone()), ("", value)]);
            let json = serde_json::to_vec(&item).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Item>(&json).unwrap(), item);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = serde_json::from_slice::<Item>(&bytes);
            let _ = serde_json::from_slice::<AttributeValue>(&bytes);
        }

        /// What is nearly right; and what is taken for right is written and read as the same.
        #[test]
        fn damaged_json_is_read_without_panic(
            value in any_value(),
            at: prop::sample::Index,
            piece in r#"[{}\[\]":,0-9a-zA-Z]{0,3}|"(S|N|B|BOOL|NULL|M|L|SS|NS|BS)":?|true"#,
            removed in 0..4_usize,
        ) {
            let mut json = serde_json::to_vec(&value).unwrap();
            let start = at.index(json.len());
            let end = json.len().min(start + removed);
            json.splice(start..end, piece.bytes());
            if let Ok(value) = serde_json::from_slice::<AttributeValue>(&json) {
                let json = serde_json::to_vec(&value).unwrap();
                prop_assert_eq!(serde_json::from_slice::<AttributeValue>(&json).unwrap(), value);
            }
        }
    }
}
