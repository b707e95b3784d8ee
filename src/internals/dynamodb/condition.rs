//! Condition expressions.
//!
//! [Syntax](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html)

use std::cmp::Ordering;

use crate::wire::{AttributeValue, Item};

use super::Request;
use super::tokens::{Operand, Tokens};

/// Operands of `IN`, at most.
const LONGEST_LIST: usize = 100;

#[derive(Clone, Debug)]
pub(in super::super) enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Exists { name: String, exists: bool },
    HasType(String, Operand),
    Compare(Operand, &'static str, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
}

impl Condition {
    pub(super) fn read(tokens: &mut Tokens) -> Result<Self, String> {
        let mut either = vec![Self::both(tokens)?];
        while tokens.next_is("OR") {
            either.push(Self::both(tokens)?);
        }
        Ok(Self::Or(either))
    }

    fn both(tokens: &mut Tokens) -> Result<Self, String> {
        let mut both = vec![Self::one(tokens)?];
        while tokens.next_is("AND") {
            both.push(Self::one(tokens)?);
        }
        Ok(Self::And(both))
    }

    fn one(tokens: &mut Tokens) -> Result<Self, String> {
        if tokens.next_is("(") {
            let inner = Self::read(tokens)?;
            tokens.must_be(")")?;
            return Ok(inner);
        }
        for (function, exists) in [("attribute_exists", true), ("attribute_not_exists", false)] {
            if tokens.next_is(function) {
                tokens.must_be("(")?;
                let name = tokens.name()?;
                tokens.must_be(")")?;
                return Ok(Self::Exists { name, exists });
            }
        }
        if tokens.next_is("attribute_type") {
            tokens.must_be("(")?;
            let name = tokens.name()?;
            tokens.must_be(",")?;
            let of = tokens.operand()?;
            tokens.must_be(")")?;
            return Ok(Self::HasType(name, of));
        }
        let left = tokens.operand()?;
        if tokens.next_is("BETWEEN") {
            let low = tokens.operand()?;
            tokens.must_be("AND")?;
            return Ok(Self::Between(left, low, tokens.operand()?));
        }
        if tokens.next_is("IN") {
            tokens.must_be("(")?;
            let mut list = vec![tokens.operand()?];
            while tokens.next_is(",") {
                list.push(tokens.operand()?);
            }
            tokens.must_be(")")?;
            return match list.len() {
                ..=LONGEST_LIST => Ok(Self::In(left, list)),
                length => Err(format!("IN with {length} operands")),
            };
        }
        for sign in ["=", "<>", "<=", "<", ">=", ">"] {
            if tokens.next_is(sign) {
                return Ok(Self::Compare(left, sign, tokens.operand()?));
            }
        }
        Err(tokens.unexpected())
    }

    pub(super) fn holds(&self, item: &Item, request: &Request) -> Result<bool, String> {
        let value = |operand| request.operand(operand, item);
        Ok(match self {
            Self::Or(parts) => {
                let mut holds = false;
                for part in parts {
                    holds |= part.holds(item, request)?;
                }
                holds
            }
            Self::And(parts) => {
                let mut holds = true;
                for part in parts {
                    holds &= part.holds(item, request)?;
                }
                holds
            }
            Self::Exists { name, exists } => item.contains(request.name(name)?) == *exists,
            Self::HasType(name, of) => {
                let Some(AttributeValue::S(of)) = value(of)? else {
                    return Err("attribute_type with something that is no type".into());
                };
                item.get(request.name(name)?)
                    .is_some_and(|it| type_of(it) == of)
            }
            Self::Compare(left, sign, right) => {
                let order = order(value(left)?, value(right)?);
                match *sign {
                    "=" => order == Some(Ordering::Equal),
                    "<>" => order != Some(Ordering::Equal),
                    "<" => order == Some(Ordering::Less),
                    "<=" => order.is_some_and(Ordering::is_le),
                    ">" => order == Some(Ordering::Greater),
                    _ => order.is_some_and(Ordering::is_ge),
                }
            }
            Self::Between(operand, low, high) => {
                let (low, high) = (value(low)?, value(high)?);
                order(low, value(operand)?).is_some_and(Ordering::is_le)
                    && order(value(operand)?, high).is_some_and(Ordering::is_le)
            }
            Self::In(operand, list) => {
                let mut holds = false;
                for other in list {
                    holds |= order(value(operand)?, value(other)?) == Some(Ordering::Equal);
                }
                holds
            }
        })
    }

    /// The operands that it lists by `IN` for a name.
    pub(super) fn listed(&self, is_it: &dyn Fn(&str) -> bool) -> Vec<&str> {
        match self {
            Self::Or(parts) | Self::And(parts) => {
                parts.iter().flat_map(|part| part.listed(is_it)).collect()
            }
            Self::In(Operand::Name(name), list) if is_it(name) => {
                let values = list.iter().map(|operand| match operand {
                    Operand::Name(text) | Operand::Value(text) => text.as_str(),
                });
                values.collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Only what is of one type compares, and nothing compares with what is missing.
fn order(left: Option<&AttributeValue>, right: Option<&AttributeValue>) -> Option<Ordering> {
    match (left?, right?) {
        (AttributeValue::N(left), AttributeValue::N(right)) => Some(left.cmp(right)),
        (AttributeValue::S(left), AttributeValue::S(right)) => Some(left.cmp(right)),
        (AttributeValue::B(left), AttributeValue::B(right)) => Some(left.cmp(right)),
        (left, right) => (left == right).then_some(Ordering::Equal),
    }
}

fn type_of(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => "S",
        AttributeValue::N(_) => "N",
        AttributeValue::B(_) => "B",
        AttributeValue::Bool(_) => "BOOL",
        AttributeValue::Null => "NULL",
        AttributeValue::M(_) => "M",
        AttributeValue::L(_) => "L",
        AttributeValue::Ss(_) => "SS",
        AttributeValue::Ns(_) => "NS",
        AttributeValue::Bs(_) => "BS",
    }
}
