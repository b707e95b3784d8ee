//! All checks of an update, on the way to [`Changes`].

use crate::error::{Error, OptionName};
use crate::options::AttributeNames;
use crate::wire::{AttributeValue, Item};

use super::changes::{Changes, Element, length};
use super::path::Steps;
use super::raw::Reader;
use super::{Change, Clause, Update, Verb};

/// Bytes of an expression.
const MAX_EXPRESSION: usize = 4096;
/// Operators and functions of an expression.
const MAX_OPERATORS: usize = 300;
/// Bytes of all names and values that placeholders stand for.
const MAX_SUBSTITUTED: usize = 2 * 1024 * 1024;

/// What the lock's own part of a write takes of these limits, at most.
mod reserved {
    pub(super) const UPDATE_BYTES: usize = 200;
    pub(super) const UPDATE_OPERATORS: usize = 4;
    pub(super) const CONDITION_BYTES: usize = 900;
    pub(super) const CONDITION_OPERATORS: usize = 16;
    pub(super) const PLACEHOLDERS: usize = 100;
    pub(super) const SUBSTITUTED: usize = 8 * 1024;
}

/// The item that an update is for: its key and its lock are off limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a Item,
    pub(crate) names: &'a AttributeNames,
}

impl Update {
    /// Checks everything that can be checked without asking DynamoDB.
    pub(crate) fn parse(&self, subject: &Subject<'_>) -> Result<Changes, Error> {
        let changes = self.changes(subject);
        changes.map_err(|problem| Error::invalid_option(OptionName::Update, problem))
    }

    fn changes(&self, subject: &Subject<'_>) -> Result<Changes, String> {
        let mut changes = Changes::default();
        let mut reader = Reader::new(self)?;
        for (placeholder, value) in reader.values() {
            changes.keep(value, placeholder)?;
        }
        for change in &self.changes {
            match change {
                Change::Raw(clause, text) => {
                    let actions = reader.clause(*clause, text);
                    let actions = actions.map_err(|it| format!("{}: {it}", clause.keyword()))?;
                    changes.clause(*clause).extend(actions);
                }
                Change::Path(verb, path, value) => {
                    let steps = path.steps()?;
                    if *verb != Verb::SetAttribute || !subject.has_in_key(steps, value)? {
                        changes.act(*verb, steps, value)?;
                    }
                }
            }
        }
        for text in &self.conditions {
            let condition = reader.condition(text);
            let condition = condition.map_err(|it| format!("condition: {it}"))?;
            if changes.has_condition() {
                changes.condition.push(Element::Keyword("AND"));
            }
            changes.condition.extend(condition);
        }
        reader.finish()?;
        subject.check(&changes)?;
        check_operands(&changes)?;
        check_conflicts(&changes)?;
        check_limits(&changes)?;
        Ok(changes)
    }
}

impl Changes {
    /// Copies a value, once for all attempts, and returns the element that stands for it.
    fn keep(&mut self, value: &AttributeValue, what: &str) -> Result<Element, String> {
        value
            .check()
            .map_err(|invalid| format!("`{what}`: {invalid}"))?;
        self.values.push(value.clone());
        Ok(Element::Value(self.values.len() - 1))
    }

    fn act(&mut self, verb: Verb, steps: &Steps, value: &AttributeValue) -> Result<(), String> {
        use Element::{Function, Mark};

        let path = Element::Path(steps.clone());
        if verb == Verb::Remove {
            self.remove.push(vec![path]);
            return Ok(());
        }
        let value = self.keep(value, &steps.to_string())?;
        let (open, close, comma) = (Mark("("), Mark(")"), Mark(","));
        match verb {
            Verb::Add => self.add.push(vec![path, value]),
            Verb::DeleteFromSet => self.delete.push(vec![path, value]),
            Verb::SetIfAbsent => self.set.push(vec![
                path.clone(),
                Mark("="),
                Function("if_not_exists"),
                open,
                path,
                comma,
                value,
                close,
            ]),
            Verb::Append => {
                let empty = self.keep(&AttributeValue::L(Vec::new()), "")?;
                self.set.push(vec![
                    path.clone(),
                    Mark("="),
                    Function("list_append"),
                    open.clone(),
                    Function("if_not_exists"),
                    open,
                    path,
                    comma.clone(),
                    empty,
                    close.clone(),
                    comma,
                    value,
                    close,
                ]);
            }
            Verb::Set | Verb::SetAttribute | Verb::Remove => {
                self.set.push(vec![path, Mark("="), value]);
            }
        }
        Ok(())
    }

    fn actions(&self) -> impl Iterator<Item = (Clause, &[Element])> {
        self.clauses()
            .flat_map(|(clause, actions)| actions.iter().map(move |it| (clause, it.as_slice())))
    }
}

impl Subject<'_> {
    /// Whether it is an attribute of the key as it is, which need not be written.
    fn has_in_key(&self, steps: &Steps, value: &AttributeValue) -> Result<bool, String> {
        match steps.attribute().and_then(|name| self.key.get(name)) {
            Some(own) if own == value => Ok(true),
            Some(_) => Err(format!(
                "`{steps}` is an attribute of the key, and has another value in the locked item"
            )),
            None => Ok(false),
        }
    }

    /// Checks the paths, of which those in clauses must not begin at the key or the lock.
    fn check(&self, changes: &Changes) -> Result<(), String> {
        for (_, action) in changes.actions() {
            for steps in paths(action) {
                steps.check()?;
                let name = steps.attribute().unwrap_or_default();
                let owner = match () {
                    () if self.key.contains(name) => "key",
                    () if self.names.all().contains(&name) => "lock",
                    () => continue,
                };
                return Err(format!(
                    "`{name}` is an attribute of the {owner}; only a condition may have it"
                ));
            }
        }
        paths(&changes.condition).try_for_each(Steps::check)
    }
}

fn paths(elements: &[Element]) -> impl Iterator<Item = &Steps> {
    elements.iter().filter_map(|element| match element {
        Element::Path(steps) => Some(steps),
        _ => None,
    })
}

/// `ADD` takes numbers and sets, `DELETE` sets.
fn check_operands(changes: &Changes) -> Result<(), String> {
    use AttributeValue::{Bs, N, Ns, Ss};

    for (clause, action) in changes.actions() {
        let (Clause::Add | Clause::Delete, [Element::Path(path), Element::Value(number)]) =
            (clause, action)
        else {
            continue;
        };
        match (clause, changes.values.get(*number)) {
            (_, Some(Ss(_) | Ns(_) | Bs(_))) | (Clause::Add, Some(N(_))) => {}
            (Clause::Add, _) => {
                return Err(format!("`{path}`: only numbers and sets can be added"));
            }
            _ => return Err(format!("`{path}`: only sets can be deleted from a set")),
        }
    }
    Ok(())
}

fn check_conflicts(changes: &Changes) -> Result<(), String> {
    let targets = changes
        .actions()
        .filter_map(|(_, action)| paths(action).next());
    let mut targets: Vec<_> = targets.collect();
    // In order, a path is followed by those inside it, and keys of a map by places in a list.
    targets.sort_unstable();
    for pair in targets.windows(2) {
        if let [one, two] = pair
            && one.conflicts(two)
        {
            return Err(match one == two {
                true => format!("`{one}` is changed twice"),
                false => format!("`{one}` and `{two}` cannot both be changed: they overlap"),
            });
        }
    }
    Ok(())
}

fn check_limits(changes: &Changes) -> Result<(), String> {
    let condition = changes.condition.as_slice();
    let all = || {
        changes
            .actions()
            .map(|(_, action)| action)
            .chain([condition])
    };

    let mut names: Vec<_> = all().flat_map(paths).flat_map(Steps::names).collect();
    names.sort_unstable();
    names.dedup();
    // `#999`, or one byte more.
    let numbers = names.len().max(changes.values.len()) + reserved::PLACEHOLDERS;
    let placeholder = if numbers <= 1000 { 4 } else { 5 };

    let clauses = changes.clauses().filter(|(_, actions)| !actions.is_empty());
    let clauses = clauses.map(|(clause, actions)| {
        let lengths = actions.iter().map(|it| length(it, placeholder) + ",".len());
        clause.keyword().len() + "  ".len() + lengths.sum::<usize>()
    });
    let is_operator = |element: &&Element| match element {
        Element::Function(_) | Element::Keyword(_) => true,
        Element::Mark(mark) => !matches!(*mark, "(" | ")" | ","),
        Element::Path(_) | Element::Value(_) => false,
    };
    let operators = |elements: &[Element]| elements.iter().filter(is_operator).count();
    // The `=` of an assignment is none.
    let assignments = changes.set.len();
    let in_update: usize = changes.actions().map(|(_, action)| operators(action)).sum();

    let name_bytes: usize = names.iter().map(|name| name.len()).sum();
    let value_bytes: usize = changes.values.iter().map(AttributeValue::size).sum();
    let limits = [
        (
            "bytes in the update expression",
            clauses.sum(),
            MAX_EXPRESSION - reserved::UPDATE_BYTES,
        ),
        (
            "bytes in the condition",
            length(condition, placeholder),
            MAX_EXPRESSION - reserved::CONDITION_BYTES,
        ),
        (
            "operators and functions in the update expression",
            in_update - assignments.min(in_update),
            MAX_OPERATORS - reserved::UPDATE_OPERATORS,
        ),
        (
            "operators and functions in the condition",
            operators(condition),
            MAX_OPERATORS - reserved::CONDITION_OPERATORS,
        ),
        (
            "bytes of names and values",
            name_bytes + value_bytes,
            MAX_SUBSTITUTED - reserved::SUBSTITUTED,
        ),
    ];
    for (what, count, most) in limits {
        if count > most {
            return Err(format!(
                "{count} {what}; up to {most} are allowed beside the lock's"
            ));
        }
    }
    Ok(())
}
