//! Attribute values from any bytes.

use serde_json::Value;

use crate::wire::{AttributeValue, Item};

use super::any_value::containers;

/// What decodes is encoded again to something that decodes equal, and to the same bytes; it is
/// JSON to another reader as well, and DynamoDB's limits can be checked on it.
pub fn body(data: &[u8]) {
    let value = serde_json::from_slice::<AttributeValue>(data);
    let item = serde_json::from_slice::<Item>(data);
    if let Ok(value) = &value {
        settles(value);
        assert!(containers(value) <= 32);
        // A tree of JSON keeps the last of two equal names, and they are refused here.
        let tree: Value = serde_json::from_slice(data).expect("JSON");
        assert!(is_whole(value, &tree), "{tree}: {value:?}");
        let again: AttributeValue = serde_json::from_value(tree).expect("the same value");
        assert_eq!(&again, value);
        let _ = (value.size(), value.check());
    }
    if let Ok(item) = &item {
        settles(item);
        let _ = (item.size(), item.check());
    }
    if let (Ok(value), Ok(item)) = (&value, &item) {
        // `{"S":{"S":""}}` is an item; `{"S":""}` is a value.
        panic!("both a value and an item: {value:?} {item:?}");
    }
}

fn settles<T>(value: &T)
where
    T: serde_core::Serialize + serde_core::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let json = serde_json::to_vec(value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&json).expect("what was written can be read");
    assert_eq!(&again, value);
    assert_eq!(serde_json::to_vec(&again).expect("written again"), json);
}

/// Whether lists, maps and sets have as many elements as the JSON has.
fn is_whole(value: &AttributeValue, tree: &Value) -> bool {
    let of = |tag: &str| tree[tag].as_array().map_or(0, Vec::len);
    match value {
        AttributeValue::L(list) => {
            let mut pairs = list.iter().zip(tree["L"].as_array().into_iter().flatten());
            list.len() == of("L") && pairs.all(|(value, tree)| is_whole(value, tree))
        }
        AttributeValue::M(map) => {
            let members = tree["M"].as_object().map_or(0, serde_json::Map::len);
            let mut values = map.iter();
            map.len() == members && values.all(|(name, value)| is_whole(value, &tree["M"][name]))
        }
        AttributeValue::Ss(set) => set.len() == of("SS"),
        AttributeValue::Ns(set) => set.len() == of("NS"),
        AttributeValue::Bs(set) => set.len() == of("BS"),
        _ => true,
    }
}
