//! What becomes of updates in an implementation of DynamoDB.

use dynoxide::Database;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::update_tests::{key, parse};
use super::*;
use crate::wire::{Action, Operation, Placeholders, Returns, Set, Write};

fn database() -> Database {
    let database = Database::memory().unwrap();
    let table = json!({
        "TableName": "jobs",
        "AttributeDefinitions": [
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": "id", "KeyType": "HASH"},
            {"AttributeName": "seq", "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
    });
    database
        .create_table(serde_json::from_value(table).unwrap())
        .unwrap();
    database
}

fn put(database: &Database, item: Value) {
    let request = json!({"TableName": "jobs", "Item": item});
    database
        .put_item(serde_json::from_value(request).unwrap())
        .unwrap();
}

/// The item before every update.
fn item() -> Value {
    json!({
        "id": {"S": "job-42"}, "seq": {"N": "7"},
        "dynoLockVersion": {"S": "v1"}, "dynoLockFence": {"N": "3"}, "dynoLockExpires": {"N": "9"},
        "n": {"N": "5"}, "s": {"S": "text"}, "tags": {"SS": ["x", "y"]}, "a.b": {"S": "dots"},
        "l": {"L": [{"N": "1"}, {"M": {"k": {"N": "2"}}}]},
        "m": {"M": {"n": {"N": "1"}, "size": {"S": "large"}, "tags": {"SS": ["x"]}}},
    })
}

/// Writes under the lock as the protocol does, and returns the item, or the error's text.
fn write(database: &Database, update: &Update, version: &str) -> Result<Value, String> {
    let changes = parse(update).unwrap();
    let mut p = Placeholders::default();
    let mut condition = format!("{} = {}", p.name("dynoLockVersion"), p.value(version));
    let mut expression = format!("SET {} = {}", p.name("dynoLockExpires"), p.value(10));
    let rendered = changes.render(&mut p);
    if !rendered.set.is_empty() {
        expression += &format!(", {}", rendered.set);
    }
    for (keyword, clause) in [
        ("REMOVE", &rendered.remove),
        ("ADD", &rendered.add),
        ("DELETE", &rendered.delete),
    ] {
        if !clause.is_empty() {
            expression += &format!(" {keyword} {clause}");
        }
    }
    if let Some(own) = &rendered.condition {
        condition += &format!(" AND {own}");
    }
    let key = key();
    let write = Write {
        table: "jobs",
        key: &key,
        action: Action::Update {
            expression,
            returns: Returns::AllNew,
        },
        condition,
        placeholders: p,
    };
    let body = write.body().unwrap();
    let answer = database
        .update_item(serde_json::from_slice(&body).unwrap())
        .map_err(|error| format!("{error} {}", String::from_utf8_lossy(&body)))?;
    Ok(serde_json::to_value(answer).unwrap()["Attributes"].take())
}

#[test]
fn updates_do_what_they_say() {
    let s = Update::new;
    let texts = |set: &[&str]| Set::new(set.iter().map(|it| (*it).to_owned())).unwrap();
    let whole = Item::from_iter([("id", AttributeValue::from("job-42")), ("new", 1.into())]);
    // The update, and the attributes that it changes; null for those that it removes.
    let cases: Vec<(Update, Value)> = vec![
        (s(), json!({})),
        (
            s().set("new", "x").set("s", 1),
            json!({"new": {"S": "x"}, "s": {"N": "1"}}),
        ),
        (
            s().set("l[1].k", 3).set("l[9]", true),
            json!({"l": {"L": [{"N": "1"}, {"M": {"k": {"N": "3"}}}, {"BOOL": true}]}}),
        ),
        (
            s().set("m.dynoLockFence", 1)
                .remove("m.size")
                .add("m.n", 1)
                .add("m.tags", texts(&["y"])),
            json!({"m": {"M": {
                "n": {"N": "2"}, "dynoLockFence": {"N": "1"}, "tags": {"SS": ["x", "y"]}
            }}}),
        ),
        (
            s().set_if_absent("n", 1).set_if_absent("new", 1),
            json!({"new": {"N": "1"}}),
        ),
        (
            s().add("n", -7).add("new", 2).add("tags", texts(&["z"])),
            json!({"n": {"N": "-2"}, "new": {"N": "2"}, "tags": {"SS": ["x", "y", "z"]}}),
        ),
        (
            s().append("l", [3])
                .append("new", ["x", "y"])
                .append("m.new", Vec::<String>::new()),
            json!({
                "l": {"L": [{"N": "1"}, {"M": {"k": {"N": "2"}}}, {"N": "3"}]},
                "new": {"L": [{"S": "x"}, {"S": "y"}]},
                "m": {"M": {
                    "n": {"N": "1"}, "size": {"S": "large"}, "tags": {"SS": ["x"]}, "new": {"L": []}
                }},
            }),
        ),
        (
            s().remove("s")
                .remove("none")
                .remove("l[0]")
                .remove(Path::attribute("a.b")),
            json!({"s": null, "a.b": null, "l": {"L": [{"M": {"k": {"N": "2"}}}]}}),
        ),
        (
            s().delete_from_set("tags", texts(&["x", "q"]))
                .delete_from_set("m.tags", texts(&["x"])),
            json!({
                "tags": {"SS": ["y"]},
                "m": {"M": {"n": {"N": "1"}, "size": {"S": "large"}}},
            }),
        ),
        (s().set_item(&whole), json!({"new": {"N": "1"}})),
        (
            s().set("size", 1)
                .raw_set("n = n + :n, new = if_not_exists(#ab, :n), s=(n-m.n)")
                .raw_set("l = list_append(:l, l), other = l[1].k")
                .raw_remove("m.size, #ab")
                .raw_add("status :n, m.n :n")
                .raw_delete("tags :s")
                .name("#ab", "a.b")
                .value(":n", 1)
                .value(":l", AttributeValue::L(vec![0.into()]))
                .value(":s", texts(&["y"])),
            json!({
                "size": {"N": "1"}, "n": {"N": "6"}, "new": {"S": "dots"}, "s": {"N": "4"},
                "l": {"L": [{"N": "0"}, {"N": "1"}, {"M": {"k": {"N": "2"}}}]}, "other": {"N": "2"},
                "m": {"M": {"n": {"N": "2"}, "tags": {"SS": ["x"]}}}, "a.b": null,
                "status": {"N": "1"}, "tags": {"SS": ["x"]},
            }),
        ),
    ];
    let database = database();
    for (update, changed) in cases {
        put(&database, item());
        let mut expected = item();
        expected["dynoLockExpires"] = json!({"N": "10"});
        let attributes = expected.as_object_mut().unwrap();
        for (name, value) in changed.as_object().unwrap() {
            match value {
                Value::Null => attributes.remove(name),
                value => attributes.insert(name.clone(), value.clone()),
            };
        }
        assert_eq!(write(&database, &update, "v1"), Ok(expected), "{update:?}");
    }
}

#[test]
fn conditions_hold_or_refuse() {
    let cases = [
        ("n = :five", true),
        ("n = :one", false),
        ("(n = :five)", true),
        ("n = :one OR n = :five", true),
        ("(n = :one) OR (n = :five)", true),
        ("NOT n = :one", true),
        ("not(n=:one)and(n=:five)", true),
        (
            "n <> :one AND n > :one AND n >= :five AND :one < n AND :one <= n",
            true,
        ),
        ("n BETWEEN :one AND :five", true),
        ("n in (:one,:five)", true),
        ("n IN (:one, :one)", false),
        ("attribute_exists(#ab) AND attribute_not_exists(none)", true),
        ("attribute_type(m, :M) AND size(tags) > :one", true),
        ("contains(tags, :x) AND begins_with(#s, :te)", true),
        ("m.size = :x", false),
        ("l[1].k < :five AND l[ 0 ] = :one", true),
        ("dynoLockFence < :five AND id <> :x AND #v <> :x", true),
        ("((n = :one) OR (n = :five)) AND (n = :five)", true),
    ];
    let database = database();
    for (text, holds) in cases {
        let values = [
            (":five", AttributeValue::from(5)),
            (":one", 1.into()),
            (":M", "M".into()),
            (":x", "x".into()),
            (":te", "te".into()),
        ];
        let update = Update::new().set("new", 1).condition(text);
        let update = [("#ab", "a.b"), ("#s", "s"), ("#v", "dynoLockVersion")]
            .into_iter()
            .filter(|(placeholder, _)| text.contains(placeholder))
            .fold(update, |update, (placeholder, name)| {
                update.name(placeholder, name)
            });
        let update = values
            .into_iter()
            .filter(|(placeholder, _)| text.contains(placeholder))
            .fold(update, |update, (placeholder, value)| {
                update.value(placeholder, value)
            });
        put(&database, item());
        match write(&database, &update, "v1") {
            Ok(_) => assert!(holds, "{text}"),
            Err(error) => {
                assert!(!holds, "{text}: {error}");
                assert!(
                    error.contains("conditional request failed"),
                    "{text}: {error}"
                );
            }
        }
        // Whatever the user's says, the lock's refuses.
        let error = write(&database, &update, "v2").unwrap_err();
        assert!(
            error.contains("conditional request failed"),
            "{text}: {error}"
        );
    }
}

#[test]
fn the_longest_update_is_accepted() {
    let long = (0..389).fold(Update::new(), |update, at| update.set(format!("n{at}"), at));
    let database = database();
    put(&database, item());
    let written = write(&database, &long, "v1").unwrap();
    assert_eq!(written["n388"], json!({"N": "388"}));
}

/// Text of these words, which often makes what it is for.
fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 1..9).prop_map(|words| words.join(" "))
}

const CONDITION: &[&str] = &[
    "n = :x",
    "n<:x",
    "NOT",
    "AND",
    "OR",
    "(",
    ")",
    "n",
    "m.n",
    "l[1].k",
    ":x",
    "=",
    "<>",
    "BETWEEN",
    "n BETWEEN :x AND",
    "IN (",
    "n IN (:x",
    ",",
    "attribute_exists(",
    "size(tags)",
    "(n = :x)",
];

const SET: &[&str] = &[
    "new = n",
    "s = n - :x",
    "q = (m.n + n)",
    "l[1].k = if_not_exists(q, n)",
    "m.q = list_append(l, l)",
    "r =",
    ",",
    ",",
    "- :x",
    "(",
    ")",
    "n",
];

/// What the engine says to the text as it stands.
fn as_it_stands(database: &Database, part: &str, text: &str) -> Result<(), String> {
    let mut request = json!({
        "TableName": "jobs",
        "Key": {"id": {"S": "job-42"}, "seq": {"N": "7"}},
    });
    request[part] = text.into();
    if text.contains(":x") {
        request["ExpressionAttributeValues"] = json!({":x": {"N": "5"}});
    }
    let answer = database.update_item(serde_json::from_value(request).unwrap());
    answer.map(drop).map_err(|error| error.to_string())
}

fn is_read(update: Update, text: &str) -> bool {
    let update = match text.contains(":x") {
        true => update.value(":x", 5),
        false => update,
    };
    parse(&update).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_condition_gets_around_the_lock(text in text(CONDITION)) {
        thread_local!(static DATABASE: Database = database());
        let update = Update::new().set("new", 1).condition(text.as_str()).value(":x", 5);
        if text.contains(":x") && is_read(Update::new().condition(text.as_str()), &text) {
            DATABASE.with(|database| {
                put(database, item());
                assert!(write(database, &update, "another").is_err());
            });
        }
    }

    #[test]
    fn every_condition_of_dynamodb_is_read(text in text(CONDITION)) {
        thread_local!(static DATABASE: Database = database());
        let answer = DATABASE.with(|database| {
            put(database, item());
            as_it_stands(database, "ConditionExpression", &text)
        });
        if answer.is_ok() || answer.is_err_and(|it| it.contains("conditional request failed")) {
            prop_assert!(is_read(Update::new().condition(text.as_str()), &text));
        }
    }

    #[test]
    fn every_clause_of_dynamodb_is_read(text in text(SET)) {
        thread_local!(static DATABASE: Database = database());
        let answer = DATABASE.with(|database| {
            put(database, item());
            as_it_stands(database, "UpdateExpression", &format!("SET {text}"))
        });
        if answer.is_ok() {
            prop_assert!(is_read(Update::new().raw_set(text.as_str()), &text));
        }
    }
}
