use proptest::prelude::*;

use super::*;
use crate::wire::value::codec::tests::{any_number, any_value};

fn number(text: &str) -> AttributeValue {
    AttributeValue::N(text.parse().expect(text))
}

fn list(values: impl IntoIterator<Item = AttributeValue>) -> AttributeValue {
    AttributeValue::L(values.into_iter().collect())
}

/// One value of each type.
fn one_of_each() -> [(AttributeValue, &'static str); 10] {
    let text = String::from("hunter2");
    [
        ("hunter2".into(), STRING),
        (number("7"), NUMBER),
        (b"hunter2".into(), BINARY),
        (true.into(), BOOLEAN),
        (AttributeValue::Null, NULL),
        (Item::from_iter([("a", 7)]).into(), MAP),
        (list([7.into()]), LIST),
        (Set::new([text.clone()]).unwrap().into(), STRING_SET),
        (Set::new([Number::from(7)]).unwrap().into(), NUMBER_SET),
        (Set::new([text.into_bytes()]).unwrap().into(), BINARY_SET),
    ]
}

/// The type reads those of the ten types, and says of the others what it wants.
fn reads_only<T>(types: &[&str], wanted: &str)
where
    T: for<'a> FromAttribute<'a> + std::fmt::Debug,
{
    for (value, of_type) in one_of_each() {
        let item = Item::from_iter([("step", value)]);
        let read = item.get_as::<T>("step");
        if types.contains(&of_type) {
            assert!(read.is_ok(), "{of_type}: {read:?}");
            continue;
        }
        let error = read.expect_err(of_type);
        let text = format!("the attribute `step` must be {wanted}, and is {of_type}");
        assert_eq!(error.to_string(), text);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn every_type_reads_its_own_kind_and_no_other() {
    reads_only::<String>(&[STRING], STRING);
    reads_only::<Number>(&[NUMBER], NUMBER);
    reads_only::<f64>(&[NUMBER], NUMBER);
    reads_only::<Vec<u8>>(&[BINARY], BINARY);
    reads_only::<bool>(&[BOOLEAN], BOOLEAN);
    reads_only::<Item>(&[MAP], MAP);
    reads_only::<BTreeMap<String, i32>>(&[MAP], MAP);
    reads_only::<HashMap<String, i32>>(&[MAP], MAP);
    reads_only::<Vec<i32>>(&[LIST], LIST);
    reads_only::<Set<String>>(&[STRING_SET], STRING_SET);
    reads_only::<Set<Number>>(&[NUMBER_SET], NUMBER_SET);
    reads_only::<Set<Vec<u8>>>(&[BINARY_SET], BINARY_SET);
    reads_only::<Option<String>>(&[STRING, NULL], STRING);
    reads_only::<Option<Vec<u8>>>(&[BINARY, NULL], BINARY);
    reads_only::<AttributeValue>(&one_of_each().map(|(_, of_type)| of_type), "");

    macro_rules! integers {
        ($($integer:ident)+) => {$(
            let wanted = concat!("a whole number within ", stringify!($integer));
            reads_only::<$integer>(&[NUMBER], wanted);
            reads_only::<Option<$integer>>(&[NUMBER, NULL], wanted);
        )+};
    }
    integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }
}

#[test]
fn what_is_borrowed_is_the_items_own() {
    let mut item = Item::from_iter([("text", "new")]);
    item.insert("bytes", b"xyz");
    assert_eq!(item.get_as::<&str>("text"), Ok("new"));
    assert_eq!(item.get_as::<&[u8]>("bytes"), Ok(&b"xyz"[..]));
    assert_eq!(item.get_as::<Vec<u8>>("bytes"), Ok(b"xyz".to_vec()));
    let text = item.get_as::<&AttributeValue>("text").unwrap();
    assert!(std::ptr::eq(text, item.get("text").unwrap()));
    assert!(item.get_as::<&str>("bytes").is_err());
    assert!(item.get_as::<&[u8]>("text").is_err());
}

#[test]
fn an_attribute_that_is_not_there_is_missing_or_none() {
    let item = Item::from_iter([("null", AttributeValue::Null)]);
    let missing = item.get_as::<u64>("step").unwrap_err();
    assert_eq!(missing.to_string(), "the attribute `step` is missing");
    assert!(item.get_as::<AttributeValue>("step").is_err());
    assert!(item.get_as::<&AttributeValue>("step").is_err());
    assert_eq!(item.get_as::<Option<u64>>("step"), Ok(None));
    assert_eq!(item.get_as::<Option<Vec<u64>>>("step"), Ok(None));
    assert_eq!(item.get_as::<Option<Option<u64>>>("step"), Ok(None));
    // NULL is none, but for types that have it.
    assert_eq!(item.get_as::<Option<u64>>("null"), Ok(None));
    assert_eq!(item.get_as::<Option<Option<u64>>>("null"), Ok(Some(None)));
    let null = item.get_as::<Option<AttributeValue>>("null");
    assert_eq!(null, Ok(Some(AttributeValue::Null)));
}

#[test]
fn integers_are_exact_or_an_error() {
    macro_rules! integers {
        ($($integer:ident)+) => {$(
            for (text, read) in [
                (<$integer>::MIN.to_string(), Some(<$integer>::MIN)),
                (<$integer>::MAX.to_string(), Some(<$integer>::MAX)),
                ("7.000e0".into(), Some(7)),
                ("-0".into(), Some(0)),
                ("0.5".into(), None),
                ("1e-130".into(), None),
                ("1e125".into(), None),
                ("-1e125".into(), None),
                ("340282366920938463463374607431768211460".into(), None),
            ] {
                // A number has 38 digits; the bounds of 128 bits have 39.
                let Ok(number) = text.parse::<Number>() else {
                    assert!(<$integer>::BITS == 128 || text.starts_with("3402"), "{text}");
                    continue;
                };
                let item = Item::from_iter([("n", number)]);
                let found = item.get_as::<$integer>("n");
                assert_eq!(found.clone().ok(), read, "{text}");
                let error = found.err().map(|error| error.to_string());
                let wanted = concat!(
                    "the attribute `n` must be a whole number within ",
                    stringify!($integer),
                    ", and is another number (N)",
                );
                assert_eq!(error.as_deref(), read.is_none().then_some(wanted), "{text}");
            }
        )+};
    }
    integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

    let read = |text| {
        Item::from_iter([("n", number(text))])
            .get_as::<i16>("n")
            .ok()
    };
    let beyond = ["32768", "-32769", "65535"];
    assert_eq!(beyond.map(read), [None; 3]);
    let negative = Item::from_iter([("n", -1)]);
    assert!(negative.get_as::<u128>("n").is_err());
    let large = Item::from_iter([("n", number("170141183460469231731687303715884105720e0"))]);
    assert_eq!(large.get_as::<i128>("n"), Ok(i128::MAX - 7));
}

#[test]
fn floats_are_the_nearest() {
    for (text, float) in [
        ("0", 0.0),
        ("-1.5", -1.5),
        ("0.1", 0.1),
        ("0.1000000000000000055511151231257827", 0.1),
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("1e125", 1e125),
        ("-1e-130", -1e-130),
    ] {
        let item = Item::from_iter([("n", number(text))]);
        assert_eq!(item.get_as::<f64>("n"), Ok(float), "{text}");
    }
}

#[test]
fn lists_and_maps_are_read_whole() {
    let parts = list([1.into(), AttributeValue::Null, 3.into()]);
    let sizes = Item::from_iter([("a", list([])), ("b", parts)]);
    let item = Item::from_iter([("sizes", sizes.clone())]);
    let read: BTreeMap<String, Vec<Option<u8>>> = item.get_as("sizes").unwrap();
    let whole = [
        ("a".to_owned(), vec![]),
        ("b".to_owned(), vec![Some(1), None, Some(3)]),
    ];
    assert_eq!(read, BTreeMap::from(whole.clone()));
    let read: HashMap<String, Vec<Option<u8>>> = item.get_as("sizes").unwrap();
    assert_eq!(read, HashMap::from(whole));
    assert_eq!(item.get_as::<Item>("sizes"), Ok(sizes));
    let bytes = Item::from_iter([("l", list([b"a".into(), b"".into()]))]);
    assert_eq!(bytes.get_as::<Vec<&[u8]>>("l"), Ok(vec![&b"a"[..], b""]));
    assert_eq!(bytes.get_as("l"), Ok(vec![b"a".to_vec(), vec![]]));
}

#[test]
fn errors_name_the_place() {
    let part = |size: AttributeValue| Item::from_iter([("size", size)]).into();
    let parts = list([part(1.into()), part(2.into()), part("hunter2".into())]);
    let nested = list([list([]), list([1.into(), "hunter2".into()])]);
    let item = Item::from_iter([
        ("parts", parts),
        ("nested", nested),
        ("a\nb", true.into()),
        ("long", Item::from_iter([("n".repeat(9_000), 1)]).into()),
    ]);
    type Parts<T> = Vec<BTreeMap<String, T>>;
    let cases = [
        (
            item.get_as::<Parts<u64>>("parts").err(),
            "`parts[2].size` must be a whole number within u64, and is a string (S)",
        ),
        (
            item.get_as::<Option<Parts<Option<bool>>>>("parts").err(),
            "`parts[0].size` must be a boolean (BOOL), and is a number (N)",
        ),
        (
            item.get_as::<Vec<Vec<i8>>>("nested").err(),
            "`nested[1][1]` must be a whole number within i8, and is a string (S)",
        ),
        (
            item.get_as::<u8>("a\nb").err(),
            "`a b` must be a whole number within u8, and is a boolean (BOOL)",
        ),
    ];
    for (error, text) in cases {
        let error = error.expect(text);
        assert_eq!(error.to_string(), format!("the attribute {text}"));
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let long = item.get_as::<BTreeMap<String, bool>>("long").unwrap_err();
    assert!(long.to_string().len() < 400, "{long}");
    let bare = bool::from_attribute(&AttributeValue::Null).unwrap_err();
    let text = "the value must be a boolean (BOOL), and is null (NULL)";
    assert_eq!(bare.to_string(), text);
}

#[test]
fn an_error_of_the_crate_comes_of_it() {
    let item = Item::from_iter([("step", "hunter2")]);
    let error = crate::Error::from(item.get_as::<u64>("step").unwrap_err());
    assert!(error.is_unexpected_attribute());
    assert!(!error.is_bad_attribute() && !error.is_invalid_option());
    let text = "the attribute `step` must be a whole number within u64, and is a string (S)";
    assert_eq!(error.to_string(), text);
    assert!(!format!("{error:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        text: String,
        signed: i64,
        unsigned: u64,
        truth: bool,
        number in any_number(),
        bytes: Vec<u8>,
        list: Vec<i32>,
        map: BTreeMap<String, String>,
        any in any_value(),
    ) {
        let mut item = Item::new();
        item.insert("text", text.as_str());
        item.insert("signed", signed);
        item.insert("unsigned", unsigned);
        item.insert("truth", truth);
        item.insert("number", number.clone());
        item.insert("bytes", bytes.clone());
        item.insert("list", list.iter().map(|i| (*i).into()).collect::<Vec<AttributeValue>>());
        item.insert("map", map.clone().into_iter().collect::<Item>());
        item.insert("any", any.clone());
        prop_assert_eq!(item.get_as("text"), Ok(text));
        prop_assert_eq!(item.get_as("signed"), Ok(signed));
        prop_assert_eq!(item.get_as("signed"), Ok(i128::from(signed)));
        prop_assert_eq!(item.get_as::<u64>("signed").ok(), u64::try_from(signed).ok());
        prop_assert_eq!(item.get_as::<i8>("signed").ok(), i8::try_from(signed).ok());
        prop_assert_eq!(item.get_as("unsigned"), Ok(unsigned));
        prop_assert_eq!(item.get_as("truth"), Ok(truth));
        prop_assert_eq!(item.get_as("number"), Ok(number));
        prop_assert_eq!(item.get_as("bytes"), Ok(bytes));
        prop_assert_eq!(item.get_as("list"), Ok(list));
        prop_assert_eq!(item.get_as("map"), Ok(map));
        prop_assert_eq!(item.get_as("any"), Ok(Some(any.clone())));
        prop_assert_eq!(item.get_as("any"), Ok(any));
    }

    /// Any value read as anything is read or refused.
    #[test]
    fn any_value_is_read_without_panic(value in any_value()) {
        type Tree = BTreeMap<String, Vec<Option<HashMap<String, Vec<i128>>>>>;
        let _ = Tree::from_attribute(&value);
        let _ = Vec::<Tree>::from_attribute(&value);
    }
}
