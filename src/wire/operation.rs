//! The operations of the low-level API as JSON bodies.

use serde_core::ser::{Serialize, SerializeMap, Serializer};

use super::expression::Placeholders;
use super::value::Item;

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

impl Write<'_> {
    /// The value of the `X-Amz-Target` header.
    pub(crate) fn target(&self) -> &'static str {
        match self.action {
            Action::Update { .. } => "DynamoDB_20120810.UpdateItem",
            Action::Delete => "DynamoDB_20120810.DeleteItem",
        }
    }

    /// The request's body. Fails only on attribute values that break DynamoDB's own rules.
    pub(crate) fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
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
