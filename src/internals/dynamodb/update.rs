//! Update expressions: `SET` and `REMOVE`.
//!
//! [Syntax](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html)

use crate::wire::{AttributeValue, Item, Number};

use super::Request;
use super::tokens::{Operand, Tokens};

#[derive(Clone, Debug)]
pub(super) struct Update {
    sets: Vec<(String, Sum)>,
    removes: Vec<String>,
}

/// One term, or two added.
type Sum = Vec<Term>;

#[derive(Clone, Debug)]
enum Term {
    Operand(Operand),
    IfNotExists(String, Operand),
}

impl Update {
    pub(super) fn read(tokens: &mut Tokens) -> Result<Self, String> {
        let mut update = Self {
            sets: Vec::new(),
            removes: Vec::new(),
        };
        while tokens.peek().is_some() {
            if update.sets.is_empty() && tokens.next_is("SET") {
                update.sets.push(set(tokens)?);
                while tokens.next_is(",") {
                    update.sets.push(set(tokens)?);
                }
            } else if update.removes.is_empty() && tokens.next_is("REMOVE") {
                update.removes.push(tokens.name()?);
                while tokens.next_is(",") {
                    update.removes.push(tokens.name()?);
                }
            } else {
                return Err(tokens.unexpected());
            }
        }
        Ok(update)
    }

    /// The placeholders of the attributes that it changes.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> {
        let sets = self.sets.iter().map(|(target, _)| target.as_str());
        sets.chain(self.removes.iter().map(String::as_str))
    }

    /// The placeholder of the value that an attribute is set to, where it is that alone.
    pub(super) fn value_of(&self, is_it: impl Fn(&str) -> bool) -> Option<&str> {
        let (_, sum) = self.sets.iter().find(|(target, _)| is_it(target))?;
        match sum.as_slice() {
            [Term::Operand(Operand::Value(value))] => Some(value),
            _ => None,
        }
    }

    /// Everything is computed from the item as it was.
    pub(super) fn apply(
        &self,
        old: &Item,
        new: &mut Item,
        request: &Request,
    ) -> Result<(), String> {
        for (target, sum) in &self.sets {
            let mut values = sum.iter().map(|term| term.value(old, request));
            let first = values.next().ok_or("an empty sum")??;
            let total = match values.next() {
                None => first.clone(),
                Some(second) => add(first, second?)?,
            };
            new.insert(request.name(target)?, total);
        }
        for target in &self.removes {
            new.remove(request.name(target)?);
        }
        Ok(())
    }
}

impl Term {
    fn value<'a>(
        &'a self,
        old: &'a Item,
        request: &'a Request,
    ) -> Result<&'a AttributeValue, String> {
        let (present, otherwise) = match self {
            Self::Operand(operand) => (None, operand),
            Self::IfNotExists(name, operand) => (old.get(request.name(name)?), operand),
        };
        if let Some(present) = present {
            return Ok(present);
        }
        let value = request.operand(otherwise, old)?;
        value.ok_or_else(|| format!("{otherwise:?} is not in the item"))
    }
}

fn set(tokens: &mut Tokens) -> Result<(String, Sum), String> {
    let target = tokens.name()?;
    tokens.must_be("=")?;
    let mut sum = vec![term(tokens)?];
    if tokens.next_is("+") {
        sum.push(term(tokens)?);
    }
    Ok((target, sum))
}

fn term(tokens: &mut Tokens) -> Result<Term, String> {
    if !tokens.next_is("if_not_exists") {
        return Ok(Term::Operand(tokens.operand()?));
    }
    tokens.must_be("(")?;
    let name = tokens.name()?;
    tokens.must_be(",")?;
    let otherwise = tokens.operand()?;
    tokens.must_be(")")?;
    Ok(Term::IfNotExists(name, otherwise))
}

/// Whole numbers, which is all that is added here.
fn add(left: &AttributeValue, right: &AttributeValue) -> Result<AttributeValue, String> {
    let whole = |value: &AttributeValue| match value {
        AttributeValue::N(number) => number.as_str().parse::<i128>().ok(),
        _ => None,
    };
    let sum = whole(left)
        .zip(whole(right))
        .and_then(|(left, right)| left.checked_add(right));
    let sum = sum.ok_or_else(|| format!("{left:?} and {right:?} cannot be added"))?;
    let number: Number = sum
        .to_string()
        .parse()
        .map_err(|error| format!("{error}"))?;
    Ok(AttributeValue::N(number))
}
