//! The operations of the low-level API as JSON bodies.

use serde_core::ser::{Serialize, SerializeMap, Serializer};

use ::http::Response;
use bytes::Bytes;

use super::expression::Placeholders;
use super::response::{Outcome, attributes_under, outcome_of};
use super::value::Item;

/// One call of the API: what is sent, and how its answer is read.
pub(crate) trait Operation {
    /// What is known where the condition was not met.
    type Refusal;

    /// The value of the `X-Amz-Target` header.
    fn target(&self) -> &'static str;

    /// The request's body. Fails only on attribute values that break DynamoDB's own rules.
    fn body(&self) -> Result<Vec<u8>, serde_json::Error>;

    /// What an answer says.
    fn outcome(answer: &Response<Bytes>) -> Outcome<Self::Refusal>;
}

/// One conditional write to one item: an [`UpdateItem`] or a [`DeleteItem`].
///
/// [`UpdateItem`]: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html
/// [`DeleteItem`]: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html
#[derive(Debug)]
pub(crate) struct Write<'a> {
    pub(crate) table: &'a str,
    pub(crate) key: &'a Item,
    pub(crate) action: Action,
    pub(crate) condition: String,
    pub(crate) placeholders: Placeholders<'a>,
}

/// What a write does where its condition holds.
#[derive(Debug)]
pub(crate) enum Action {
    /// Changes attributes by an update expression.
    Update {
        expression: String,
        returns: Returns,
    },
    /// Deletes the item.
    Delete,
}

/// Which attributes an applied update brings back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returns {
    Nothing,
    /// The whole item, as it is after the write.
    AllNew,
}

impl Operation for Write<'_> {
    /// The item as it is; `None` where there is none.
    type Refusal = Option<Item>;

    fn target(&self) -> &'static str {
        match self.action {
            Action::Update { .. } => "DynamoDB_20120810.UpdateItem",
            Action::Delete => "DynamoDB_20120810.DeleteItem",
        }
    }

    fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        json(self)
    }

    fn outcome(answer: &Response<Bytes>) -> Outcome {
        super::response::outcome(answer)
    }
}

/// The JSON of a body. Most of an acquisition's fits at once.
pub(super) fn json(body: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, body)?;
    Ok(json)
}

/// Reads one item, strongly consistently:
/// [`GetItem`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html).
///
/// An answer without an item is an item without attributes.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    table: &'a str,
    key: &'a Item,
    /// The attributes to bring, as a list; empty: all.
    projection: String,
    placeholders: Placeholders<'a>,
}

impl<'a> Read<'a> {
    /// The whole item, or only the `attributes` where there are some.
    pub(crate) fn of(table: &'a str, key: &'a Item, attributes: &[&'a str]) -> Self {
        let mut placeholders = Placeholders::default();
        let mut projection = String::new();
        for name in attributes {
            if !projection.is_empty() {
                projection += ", ";
            }
            projection += &placeholders.name(name).to_string();
        }
        Self {
            table,
            key,
            projection,
            placeholders,
        }
    }
}

/// A request of which only the bytes are left, and how its answer is read: for what only some
/// programs send, so that the others have nothing of it.
pub(crate) struct Prepared {
    pub(crate) target: &'static str,
    pub(crate) body: Result<Vec<u8>, serde_json::Error>,
    pub(crate) outcome: fn(&Response<Bytes>) -> Outcome,
}

impl From<Read<'_>> for Prepared {
    fn from(read: Read<'_>) -> Self {
        Self {
            target: read.target(),
            body: read.body(),
            outcome: <Read<'_> as Operation>::outcome,
        }
    }
}

impl Operation for Read<'_> {
    /// There is no condition, and no refusal: the type is that of writes, for which all of this
    /// is compiled anyway.
    type Refusal = Option<Item>;

    fn target(&self) -> &'static str {
        "DynamoDB_20120810.GetItem"
    }

    fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        json(self)
    }

    fn outcome(answer: &Response<Bytes>) -> Outcome<Self::Refusal> {
        outcome_of(
            answer,
            |body| attributes_under("Item", body),
            // No code is a refusal's.
            |_| false,
            |_| Outcome::Refused(None),
        )
    }
}

impl Serialize for Read<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("TableName", self.table)?;
        map.serialize_entry("Key", self.key)?;
        map.serialize_entry("ConsistentRead", &true)?;
        if !self.projection.is_empty() {
            map.serialize_entry("ProjectionExpression", &self.projection)?;
            map.serialize_entry("ExpressionAttributeNames", &self.placeholders.names())?;
        }
        map.end()
    }
}

impl Serialize for Write<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("TableName", self.table)?;
        map.serialize_entry("Key", self.key)?;
        if let Action::Update {
            expression,
            returns,
        } = &self.action
        {
            map.serialize_entry("UpdateExpression", expression)?;
            if *returns == Returns::AllNew {
                map.serialize_entry("ReturnValues", "ALL_NEW")?;
            }
        }
        map.serialize_entry("ConditionExpression", &self.condition)?;
        map.serialize_entry("ExpressionAttributeNames", &self.placeholders.names())?;
        if let Some(values) = self.placeholders.values() {
            map.serialize_entry("ExpressionAttributeValues", &values)?;
        }
        map.serialize_entry("ReturnValuesOnConditionCheckFailure", "ALL_OLD")?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Item {
        [("id", "job-42")].into_iter().collect()
    }

    #[test]
    fn update_item_has_these_bytes() {
        let key = key();
        let mut placeholders = Placeholders::default();
        let (name, value) = (placeholders.name("n"), placeholders.value("v"));
        let write = Write {
            table: "jobs",
            key: &key,
            action: Action::Update {
                expression: format!("SET {name} = {value}"),
                returns: Returns::AllNew,
            },
            condition: format!("attribute_not_exists({name})"),
            placeholders,
        };
        assert_eq!(write.target(), "DynamoDB_20120810.UpdateItem");
        assert_eq!(
            String::from_utf8(write.body().unwrap()).unwrap(),
            concat!(
                r##"{"TableName":"jobs","Key":{"id":{"S":"job-42"}},"UpdateExpression":"SET #0 = :0","##,
                r##""ReturnValues":"ALL_NEW","ConditionExpression":"attribute_not_exists(#0)","##,
                r##""ExpressionAttributeNames":{"#0":"n"},"ExpressionAttributeValues":{":0":{"S":"v"}},"##,
                r##""ReturnValuesOnConditionCheckFailure":"ALL_OLD"}"##,
            )
        );
    }

    #[test]
    fn get_item_has_these_bytes() {
        let key = key();
        let text = |read: &Read<'_>| String::from_utf8(read.body().unwrap()).unwrap();
        let whole = Read::of("jobs", &key, &[]);
        assert_eq!(whole.target(), "DynamoDB_20120810.GetItem");
        assert_eq!(
            text(&whole),
            r#"{"TableName":"jobs","Key":{"id":{"S":"job-42"}},"ConsistentRead":true}"#
        );
        assert_eq!(
            text(&Read::of("jobs", &key, &["size", "a.b"])),
            concat!(
                r##"{"TableName":"jobs","Key":{"id":{"S":"job-42"}},"ConsistentRead":true,"##,
                r##""ProjectionExpression":"#0, #1","ExpressionAttributeNames":{"#0":"size","#1":"a.b"}}"##,
            )
        );
    }

    #[test]
    fn an_item_that_is_not_there_has_no_attributes() {
        let read = |body: &'static str| Read::outcome(&Response::new(Bytes::from(body)));
        let item = read(r#"{"Item":{"id":{"S":"a"}}}"#);
        assert!(matches!(item, Outcome::Applied(it) if it == Item::from_iter([("id", "a")])));
        assert!(matches!(read("{}"), Outcome::Applied(it) if it.is_empty()));
        assert!(matches!(read(r#"{"Item":7}"#), Outcome::Unknown(_)));
    }

    #[test]
    fn delete_item_has_these_bytes() {
        let key = key();
        let mut placeholders = Placeholders::default();
        let name = placeholders.name("n");
        let write = Write {
            table: "jobs",
            key: &key,
            action: Action::Delete,
            condition: format!("attribute_exists({name})"),
            placeholders,
        };
        assert_eq!(write.target(), "DynamoDB_20120810.DeleteItem");
        assert_eq!(
            String::from_utf8(write.body().unwrap()).unwrap(),
            concat!(
                r##"{"TableName":"jobs","Key":{"id":{"S":"job-42"}},"ConditionExpression":"attribute_exists(#0)","##,
                r##""ExpressionAttributeNames":{"#0":"n"},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}"##,
            )
        );
    }
}
