//! `TransactWriteItems` as a JSON body, and what its refusal says of each entry.

use std::fmt;

use ::http::Response;
use bytes::Bytes;
use serde_core::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_core::ser::{Serialize, SerializeMap, Serializer};

use super::expression::Placeholders;
use super::operation::{Action, Operation, Write, json};
use super::response::{
    Failure, FailureKind, LONGEST_MESSAGE, LONGEST_NAME, Outcome, kind_of, outcome_of, printable,
    under, unreadable,
};
use super::value::Item;

/// Writes that DynamoDB applies all or none:
/// [`TransactWriteItems`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
///
/// Sent again with the same token and the same content within ten minutes, it is applied once.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    pub(crate) token: &'a str,
    pub(crate) entries: Vec<Entry<'a>>,
}

/// One item of a transaction, and what becomes of it.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) table: &'a str,
    pub(crate) effect: Effect<'a>,
    pub(crate) condition: Option<String>,
    pub(crate) placeholders: Placeholders<'a>,
}

/// What a transaction does with an item.
#[derive(Debug)]
pub(crate) enum Effect<'a> {
    /// Writes the whole item.
    Put(&'a Item),
    Update {
        key: &'a Item,
        expression: String,
    },
    Delete(&'a Item),
    /// Only looks whether the condition holds.
    Check(&'a Item),
}

/// Why an entry kept its transaction from being applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// DynamoDB's code, such as `ConditionalCheckFailed`.
    pub(crate) code: Box<str>,
    pub(crate) message: Box<str>,
    /// The item as it is, where it was the condition.
    pub(crate) item: Option<Item>,
}

/// The reasons of a cancelled transaction, one for each entry; `None` where it was not to blame.
pub(crate) type Reasons = Vec<Option<Reason>>;

impl Reason {
    /// Whether the entry's condition was not met.
    pub(crate) fn is_condition(&self) -> bool {
        &*self.code == "ConditionalCheckFailed"
    }

    /// What sort of failure it is, where it is not the condition.
    pub(crate) fn kind(&self) -> FailureKind {
        match &*self.code {
            "TransactionConflict" => FailureKind::Conflict,
            "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded" => {
                FailureKind::Throttled
            }
            "ValidationError" | "ItemCollectionSizeLimitExceeded" => FailureKind::Validation,
            other => kind_of(other, &self.message),
        }
    }
}

impl<'a> From<Write<'a>> for Entry<'a> {
    fn from(write: Write<'a>) -> Self {
        Self {
            table: write.table,
            effect: match write.action {
                Action::Update { expression, .. } => Effect::Update {
                    key: write.key,
                    expression,
                },
                Action::Delete => Effect::Delete(write.key),
            },
            condition: Some(write.condition),
            placeholders: write.placeholders,
        }
    }
}

impl Operation for Transaction<'_> {
    type Refusal = Reasons;

    fn target(&self) -> &'static str {
        "DynamoDB_20120810.TransactWriteItems"
    }

    fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        json(self)
    }

    fn outcome(answer: &Response<Bytes>) -> Outcome<Reasons> {
        let outcome = outcome_of(
            answer,
            |body| under::<IgnoredAny>("", body).map(|_| Item::default()),
            |code| code == "TransactionCanceledException",
            cancelled,
        );
        match outcome {
            // The one before, or a second copy, may yet be applied.
            Outcome::NotApplied(failure)
                if failure.code.as_deref() == Some("TransactionInProgressException") =>
            {
                Outcome::Unknown(failure)
            }
            outcome => outcome,
        }
    }
}

/// A cancelled transaction is surely not applied, whatever it says.
fn cancelled(answer: &Response<Bytes>) -> Outcome<Reasons> {
    let told = under::<Vec<ReasonVisitor>>("CancellationReasons", answer.body());
    match told {
        Ok(Some(reasons)) if reasons.iter().any(|reason| reason.0.is_some()) => {
            Outcome::Refused(reasons.into_iter().map(|reason| reason.0).collect())
        }
        Ok(_) => Outcome::NotApplied(Failure::of(
            FailureKind::BadAnswer,
            "DynamoDB cancelled the transaction without a reason",
        )),
        Err(error) => Outcome::NotApplied(unreadable(answer, &error)),
    }
}

impl Serialize for Transaction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("ClientRequestToken", self.token)?;
        map.serialize_entry("TransactItems", &self.entries)?;
        map.end()
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let action = match self.effect {
            Effect::Put(_) => "Put",
            Effect::Update { .. } => "Update",
            Effect::Delete(_) => "Delete",
            Effect::Check(_) => "ConditionCheck",
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(action, &Content(self))?;
        map.end()
    }
}

/// What an entry says under the name of its action.
struct Content<'a>(&'a Entry<'a>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let entry = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("TableName", entry.table)?;
        match &entry.effect {
            Effect::Put(item) => map.serialize_entry("Item", item)?,
            Effect::Update { key, expression } => {
                map.serialize_entry("Key", key)?;
                map.serialize_entry("UpdateExpression", expression)?;
            }
            Effect::Delete(key) | Effect::Check(key) => map.serialize_entry("Key", key)?,
        }
        if let Some(condition) = &entry.condition {
            map.serialize_entry("ConditionExpression", condition)?;
            map.serialize_entry("ReturnValuesOnConditionCheckFailure", "ALL_OLD")?;
        }
        if let Some(names) = entry.placeholders.some_names() {
            map.serialize_entry("ExpressionAttributeNames", &names)?;
        }
        if let Some(values) = entry.placeholders.values() {
            map.serialize_entry("ExpressionAttributeValues", &values)?;
        }
        map.end()
    }
}

/// Reads one of `CancellationReasons`; a reason «None» is none.
struct ReasonVisitor(Option<Reason>);

impl<'de> Deserialize<'de> for ReasonVisitor {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Self(None))
    }
}

impl<'de> Visitor<'de> for ReasonVisitor {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reason of a cancelled transaction")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let (mut code, mut message, mut item) = (None::<String>, None::<String>, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "Code" => code = map.next_value()?,
                "Message" => message = map.next_value()?,
                "Item" => item = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Self(code.filter(|code| code != "None").map(|code| {
            Reason {
                code: printable(&code, LONGEST_NAME),
                message: printable(&message.unwrap_or_default(), LONGEST_MESSAGE),
                item,
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use ::http::StatusCode;

    use super::*;

    fn answer(status: StatusCode, body: &str) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *answer.status_mut() = status;
        answer
    }

    fn refused(reasons: &str) -> Outcome<Reasons> {
        let body = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "Message":"cancelled","CancellationReasons":{reasons}}}"#
        );
        Transaction::outcome(&answer(StatusCode::BAD_REQUEST, &body))
    }

    #[test]
    fn a_transaction_has_these_bytes() {
        let (key, item) = (
            Item::from_iter([("id", "a")]),
            Item::from_iter([("id", "b")]),
        );
        let mut named = Placeholders::default();
        let (name, value) = (named.name("n"), named.value(1));
        let mut checked = Placeholders::default();
        let condition = format!("attribute_exists({})", checked.name("id"));
        let transaction = Transaction {
            token: "token",
            entries: vec![
                Entry {
                    table: "one",
                    effect: Effect::Update {
                        key: &key,
                        expression: format!("SET {name} = {value}"),
                    },
                    condition: Some(format!("attribute_not_exists({name})")),
                    placeholders: named,
                },
                Entry {
                    table: "two",
                    effect: Effect::Put(&item),
                    condition: None,
                    placeholders: Placeholders::default(),
                },
                Entry {
                    table: "two",
                    effect: Effect::Check(&key),
                    condition: Some(condition),
                    placeholders: checked,
                },
            ],
        };
        assert_eq!(transaction.target(), "DynamoDB_20120810.TransactWriteItems");
        assert_eq!(
            String::from_utf8(transaction.body().unwrap()).unwrap(),
            concat!(
                r##"{"ClientRequestToken":"token","TransactItems":["##,
                r##"{"Update":{"TableName":"one","Key":{"id":{"S":"a"}},"UpdateExpression":"SET #0 = :0","##,
                r##""ConditionExpression":"attribute_not_exists(#0)","ReturnValuesOnConditionCheckFailure":"ALL_OLD","##,
                r##""ExpressionAttributeNames":{"#0":"n"},"ExpressionAttributeValues":{":0":{"N":"1"}}}},"##,
                r##"{"Put":{"TableName":"two","Item":{"id":{"S":"b"}}}},"##,
                r##"{"ConditionCheck":{"TableName":"two","Key":{"id":{"S":"a"}},"ConditionExpression":"attribute_exists(#0)","##,
                r##""ReturnValuesOnConditionCheckFailure":"ALL_OLD","ExpressionAttributeNames":{"#0":"id"}}}]}"##,
            )
        );
    }

    #[test]
    fn reasons_belong_to_entries() {
        let told = refused(
            r#"[{"Code":"None"},{"Code":"ConditionalCheckFailed","Message":"no","Item":{"a":{"S":"x"}}},
            {"Code":"TransactionConflict","Message":"busy"},{"Code":null}]"#,
        );
        let Outcome::Refused(reasons) = told else {
            panic!("{told:?}")
        };
        assert_eq!(reasons.len(), 4);
        assert_eq!((&reasons[0], &reasons[3]), (&None, &None));
        let condition = reasons[1].as_ref().unwrap();
        assert!(condition.is_condition());
        assert_eq!(condition.item, Some(Item::from_iter([("a", "x")])));
        let conflict = reasons[2].as_ref().unwrap();
        assert_eq!(
            (conflict.is_condition(), conflict.kind()),
            (false, FailureKind::Conflict)
        );
    }

    #[test]
    fn a_reason_says_whether_to_try_again() {
        let kinds = [
            ("TransactionConflict", FailureKind::Conflict),
            ("ThrottlingError", FailureKind::Throttled),
            ("ProvisionedThroughputExceeded", FailureKind::Throttled),
            ("ValidationError", FailureKind::Validation),
            ("ItemCollectionSizeLimitExceeded", FailureKind::Validation),
            ("AccessDenied", FailureKind::AccessDenied),
            ("SomethingNew", FailureKind::Other),
        ];
        for (code, kind) in kinds {
            let reason = Reason {
                code: code.into(),
                message: "".into(),
                item: None,
            };
            assert_eq!(reason.kind(), kind, "{code}");
        }
    }

    #[test]
    fn a_cancelled_transaction_is_never_unknown() {
        for reasons in ["[]", "null", r#"[{"Code":"None"}]"#, "7", r#"[{"Code":7}]"#] {
            let told = refused(reasons);
            assert!(
                matches!(told, Outcome::NotApplied(_)),
                "{reasons}: {told:?}"
            );
        }
    }

    #[test]
    fn what_else_is_answered() {
        let ok = Transaction::outcome(&answer(StatusCode::OK, "{}"));
        assert!(matches!(ok, Outcome::Applied(_)), "{ok:?}");
        let in_progress = r#"{"__type":"x#TransactionInProgressException"}"#;
        let told = Transaction::outcome(&answer(StatusCode::BAD_REQUEST, in_progress));
        assert!(
            matches!(&told, Outcome::Unknown(it) if it.kind == FailureKind::Conflict),
            "{told:?}"
        );
        let told = Transaction::outcome(&answer(StatusCode::OK, "not json"));
        assert!(matches!(told, Outcome::Unknown(_)), "{told:?}");
        let told = Transaction::outcome(&answer(StatusCode::INTERNAL_SERVER_ERROR, in_progress));
        assert!(matches!(told, Outcome::Unknown(_)), "{told:?}");
    }
}
