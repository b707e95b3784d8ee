//! Tables as JSON bodies: made, described, and tried out without changing anything.

use ::http::Response;
use bytes::Bytes;
use serde_core::de::Error as _;
use serde_json::{Value, json};

use super::expression::Placeholders;
use super::operation::{Action, Operation, Prepared, Read, Returns, Write};
use super::response::{Outcome, outcome_of};
use super::value::Item;

/// [`CreateTable`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html),
/// paid by request. `keys` are name and type, the partition key first.
pub(crate) fn create(table: &str, keys: &[(&str, &str)]) -> Prepared {
    let roles = ["HASH", "RANGE"];
    let schema = keys.iter().zip(roles);
    let schema = schema.map(|((name, _), role)| json!({"AttributeName": name, "KeyType": role}));
    let types = keys
        .iter()
        .map(|(name, kind)| json!({"AttributeName": name, "AttributeType": kind}));
    prepared(
        "DynamoDB_20120810.CreateTable",
        &json!({
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": schema.collect::<Value>(),
            "AttributeDefinitions": types.collect::<Value>(),
        }),
    )
}

/// [`DescribeTable`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html).
pub(crate) fn describe(table: &str) -> Prepared {
    prepared(
        "DynamoDB_20120810.DescribeTable",
        &json!({"TableName": table}),
    )
}

/// A read of the key alone.
pub(crate) fn probe_read(table: &str, key: &Item) -> Prepared {
    let names: Vec<_> = key.iter().map(|(name, _)| name.as_str()).collect();
    Read::of(table, key, &names).into()
}

/// A write on a condition that no item meets.
pub(crate) fn probe_write(table: &str, key: &Item, deletes: bool) -> Prepared {
    let mut placeholders = Placeholders::default();
    let name = key.iter().next().map_or("", |(name, _)| name.as_str());
    let name = placeholders.name(name);
    let action = match deletes {
        true => Action::Delete,
        false => Action::Update {
            expression: format!("REMOVE {}", placeholders.name("dynoLockExpires")),
            returns: Returns::Nothing,
        },
    };
    let write = Write {
        table,
        key,
        action,
        condition: format!("attribute_exists({name}) AND attribute_not_exists({name})"),
        placeholders,
    };
    Prepared {
        target: write.target(),
        body: write.body(),
        outcome: <Write<'_> as Operation>::outcome,
    }
}

fn prepared(target: &'static str, body: &Value) -> Prepared {
    Prepared {
        target,
        body: serde_json::to_vec(body),
        outcome,
    }
}

/// The table as an item of these attributes, all strings, as far as the answer has them: `status`,
/// and of each key `HASH` or `RANGE`, its name, and `HASH type` or `RANGE type`.
fn outcome(answer: &Response<Bytes>) -> Outcome {
    outcome_of(
        answer,
        described,
        // No code is a refusal's.
        |_| false,
        |_| Outcome::Refused(None),
    )
}

fn described(body: &[u8]) -> Result<Item, serde_json::Error> {
    let answer: Value = serde_json::from_slice(body)?;
    let table = answer
        .get("Table")
        .or_else(|| answer.get("TableDescription"));
    let Some(status) = table.and_then(|table| table["TableStatus"].as_str()) else {
        return Err(serde_json::Error::custom("no table is in it"));
    };
    let mut item = Item::new();
    item.insert("status", status);
    let list = |name: &str| {
        table
            .and_then(|table| table[name].as_array())
            .into_iter()
            .flatten()
    };
    for key in list("KeySchema") {
        let (Some(name), Some(role)) = (key["AttributeName"].as_str(), key["KeyType"].as_str())
        else {
            continue;
        };
        item.insert(role, name);
        let kind = list("AttributeDefinitions").find(|it| it["AttributeName"] == name);
        if let Some(kind) = kind.and_then(|it| it["AttributeType"].as_str()) {
            item.insert(format!("{role} type"), kind);
        }
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(prepared: Prepared) -> String {
        String::from_utf8(prepared.body.unwrap()).unwrap()
    }

    #[test]
    fn create_table_has_these_bytes() {
        let create = create("locks", &[("id", "S"), ("seq", "N")]);
        assert_eq!(create.target, "DynamoDB_20120810.CreateTable");
        let body: Value = serde_json::from_str(&text(create)).unwrap();
        assert_eq!(
            body,
            json!({
                "TableName": "locks",
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [
                    {"AttributeName": "id", "KeyType": "HASH"},
                    {"AttributeName": "seq", "KeyType": "RANGE"},
                ],
                "AttributeDefinitions": [
                    {"AttributeName": "id", "AttributeType": "S"},
                    {"AttributeName": "seq", "AttributeType": "N"},
                ],
            })
        );
    }

    #[test]
    fn a_description_is_read() {
        let read = |body: &'static str| outcome(&Response::new(Bytes::from(body)));
        let table = concat!(
            r#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"#,
            r#""AttributeDefinitions":[{"AttributeName":"other","AttributeType":"N"},"#,
            r#"{"AttributeName":"id","AttributeType":"S"}],"ItemCount":7}}"#
        );
        let expected = Item::from_iter([("status", "ACTIVE"), ("HASH", "id"), ("HASH type", "S")]);
        assert!(matches!(read(table), Outcome::Applied(it) if it == expected));
        let created = r#"{"TableDescription":{"TableStatus":"CREATING"}}"#;
        assert!(matches!(read(created), Outcome::Applied(it) if it.len() == 1));
        for odd in [
            "{}",
            "[]",
            "7",
            r#"{"Table":7}"#,
            r#"{"Table":{"TableStatus":7}}"#,
            "",
        ] {
            assert!(matches!(read(odd), Outcome::Unknown(_)), "{odd}");
        }
        let odd = r#"{"Table":{"TableStatus":"X","KeySchema":[7,{"KeyType":"HASH"}]}}"#;
        assert!(matches!(read(odd), Outcome::Applied(it) if it.len() == 1));
    }

    #[test]
    fn a_write_that_is_tried_out_changes_nothing() {
        let key = Item::from_iter([("id", "a")]);
        for deletes in [false, true] {
            let body = text(probe_write("locks", &key, deletes));
            let condition = r##""attribute_exists(#0) AND attribute_not_exists(#0)""##;
            assert!(body.contains(condition), "{body}");
        }
    }
}
