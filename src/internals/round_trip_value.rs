//! Any attribute value, written and read back.

use crate::wire::{AttributeValue, Item};

use super::input::Input;
use super::{any_value, odd_json};

/// It comes back exactly, also from JSON with spaces, escapes and odd numbers; nested deeper
/// than 32, it is an error to write.
pub fn body(data: &[u8]) {
    let mut input = Input::new(data);
    let item = any_value::item(&mut input);
    let value = any_value::value(&mut input);
    for (_, value) in &item {
        round_trip(value, &mut input);
    }
    round_trip(&value, &mut input);

    let deepest = item.iter().map(|(_, value)| any_value::containers(value));
    let written = serde_json::to_vec(&item);
    match deepest.max().unwrap_or(0) {
        0..=32 => {
            let json = written.expect("an item that is not too deep");
            assert_eq!(serde_json::from_slice::<Item>(&json).expect("read"), item);
        }
        _ => assert!(written.is_err()),
    }
}

fn round_trip(value: &AttributeValue, input: &mut Input<'_>) {
    let written = serde_json::to_string(value);
    let odd = odd_json::write(value, input);
    let read = |json: &str| serde_json::from_str::<AttributeValue>(json);
    if any_value::containers(value) > 32 {
        assert!(written.is_err());
        assert!(value.check().is_err());
        assert!(read(&odd).is_err(), "{odd}");
        return;
    }
    let json = written.expect("a value that is not too deep");
    assert_eq!(&read(&json).expect(&json), value);
    assert_eq!(&read(&odd).expect(&odd), value, "{odd}");
}
