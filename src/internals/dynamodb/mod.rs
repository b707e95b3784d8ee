//! As much of DynamoDB as the lock's writes meet, made from its documentation and apart from
//! the code that builds them: its rules for a request, and one item that requests change.
//!
//! [Expressions](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html)

mod condition;
mod tokens;
mod update;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::wire::{AttributeValue, Item, Operation, Write};
use condition::Condition;
use tokens::{Operand, Tokens};
use update::Update;

/// Bytes in an expression, at most.
const LONGEST_EXPRESSION: usize = 4096;

/// A request that keeps all of DynamoDB's rules.
#[derive(Clone, Debug)]
pub(super) struct Request {
    key: Item,
    condition: Condition,
    /// `None`: the item is deleted.
    update: Option<Update>,
    all_new: bool,
    names: BTreeMap<String, String>,
    values: BTreeMap<String, AttributeValue>,
}

/// What the one item answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Applied(Item),
    Refused(Option<Item>),
}

impl Request {
    /// Reads a write as it goes over the wire. Errors where DynamoDB would answer with a
    /// `ValidationException`, or the request holds what nobody here knows.
    pub(super) fn of(write: &Write<'_>) -> Result<Self, String> {
        let body = write.body().map_err(|error| error.to_string())?;
        let mut body: Map<String, Value> =
            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let mut take = |name: &str| body.remove(name);
        let names: BTreeMap<String, String> =
            read(take("ExpressionAttributeNames"))?.unwrap_or_default();
        let values = read::<Item>(take("ExpressionAttributeValues"))?;
        let condition = text(take("ConditionExpression"))?;
        let update = take("UpdateExpression").map(|update| text(Some(update)));
        let update = update.transpose()?;
        let request = Self {
            key: read(take("Key"))?.ok_or("no Key")?,
            condition: Tokens::of(&condition)?.all(Condition::read)?,
            update: match &update {
                Some(update) => Some(Tokens::of(update)?.all(Update::read)?),
                None => None,
            },
            all_new: match take("ReturnValues") {
                None => false,
                Some(Value::String(what)) if what == "ALL_NEW" => true,
                other => return Err(format!("ReturnValues: {other:?}")),
            },
            names,
            values: values.clone().unwrap_or_default().into_iter().collect(),
        };
        text(take("TableName"))?;
        let shown = text(take("ReturnValuesOnConditionCheckFailure"))?;
        if shown != "ALL_OLD" {
            return Err(format!("a refusal shows {shown}"));
        }
        if !body.is_empty() {
            return Err(format!("more than is known: {body:?}"));
        }
        if values.is_some_and(|values| values.is_empty()) {
            return Err("ExpressionAttributeValues must not be empty".into());
        }
        let deletes = write.target().ends_with(".DeleteItem");
        if deletes != request.update.is_none() {
            return Err("the operation and the expressions do not fit".into());
        }
        request.check(&condition, update.as_deref().unwrap_or_default())?;
        Ok(request)
    }

    fn check(&self, condition: &str, update: &str) -> Result<(), String> {
        for expression in [condition, update] {
            if expression.len() > LONGEST_EXPRESSION {
                return Err(format!("{} bytes in an expression", expression.len()));
            }
        }
        let mut used = Tokens::of(condition)?.placeholders();
        used.extend(Tokens::of(update)?.placeholders());
        let defined: Vec<&String> = self.names.keys().chain(self.values.keys()).collect();
        let mut expected: Vec<&String> = defined.clone();
        expected.sort();
        if used.iter().collect::<Vec<_>>() != expected {
            return Err(format!("used are {used:?}, defined are {defined:?}"));
        }
        for name in self.names.values() {
            if !(1..=65_535).contains(&name.len()) {
                return Err("the name of an attribute is empty or too long".into());
            }
        }
        let distinct: std::collections::BTreeSet<_> = self.names.values().collect();
        if distinct.len() != self.names.len() {
            return Err(format!("a name has two placeholders: {:?}", self.names));
        }
        for value in self
            .values
            .values()
            .chain(self.key.iter().map(|(_, value)| value))
        {
            value.check().map_err(|error| error.to_string())?;
        }
        let mut targets = Vec::new();
        for target in self.update.iter().flat_map(Update::targets) {
            let name = self.name(target)?;
            if targets.contains(&name) {
                return Err(format!("{name} is changed twice"));
            }
            if self.key.contains(name) {
                return Err(format!("{name} is a part of the key"));
            }
            targets.push(name);
        }
        Ok(())
    }

    /// Applies the request to the item with its key, if its condition holds.
    pub(super) fn apply(&self, item: &mut Option<Item>) -> Result<Answer, String> {
        let old = item.clone().unwrap_or_default();
        if !self.condition.holds(&old, self)? {
            return Ok(Answer::Refused(item.clone()));
        }
        let Some(update) = &self.update else {
            *item = None;
            return Ok(Answer::Applied(Item::new()));
        };
        let mut new = old.clone();
        new.extend(self.key.clone());
        update.apply(&old, &mut new, self)?;
        *item = Some(new.clone());
        Ok(Answer::Applied(if self.all_new {
            new
        } else {
            Item::new()
        }))
    }

    pub(super) fn key(&self) -> &Item {
        &self.key
    }

    /// What an update sets an attribute to, where that is a value of the request.
    pub(super) fn sets(&self, name: &str) -> Option<&AttributeValue> {
        let update = self.update.as_ref()?;
        self.values
            .get(update.value_of(|target| self.names.get(target).is_some_and(|it| it == name))?)
    }

    pub(super) fn is_delete(&self) -> bool {
        self.update.is_none()
    }

    /// The values that the condition lists for an attribute by `IN`.
    pub(super) fn listed(&self, name: &str) -> Vec<&AttributeValue> {
        let is_it = |placeholder: &str| self.names.get(placeholder).is_some_and(|it| it == name);
        let listed = self.condition.listed(&is_it).into_iter();
        listed
            .filter_map(|placeholder| self.values.get(placeholder))
            .collect()
    }

    fn name(&self, placeholder: &str) -> Result<&str, String> {
        let name = self.names.get(placeholder).map(String::as_str);
        name.ok_or_else(|| format!("{placeholder} is not defined"))
    }

    /// What an operand stands for; `None` for an attribute that is missing.
    fn operand<'a>(
        &'a self,
        operand: &Operand,
        item: &'a Item,
    ) -> Result<Option<&'a AttributeValue>, String> {
        match operand {
            Operand::Name(name) => Ok(item.get(self.name(name)?)),
            Operand::Value(value) => {
                let value = self.values.get(value);
                Ok(Some(
                    value.ok_or_else(|| format!("{operand:?} is not defined"))?,
                ))
            }
        }
    }
}

fn read<T: serde_core::de::DeserializeOwned>(value: Option<Value>) -> Result<Option<T>, String> {
    let read = value.map(serde_json::from_value).transpose();
    read.map_err(|error| error.to_string())
}

fn text(value: Option<Value>) -> Result<String, String> {
    match value {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        other => Err(format!("a text was expected: {other:?}")),
    }
}
