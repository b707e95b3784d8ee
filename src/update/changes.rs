//! A checked update, and how it becomes expressions.

use std::fmt::Write;

use crate::wire::{AttributeValue, Placeholder, Placeholders};

use super::Clause;
use super::path::{Step, Steps};

/// An update that was checked. It can be rendered as often as there are attempts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(super) set: Vec<Action>,
    pub(super) remove: Vec<Action>,
    pub(super) add: Vec<Action>,
    pub(super) delete: Vec<Action>,
    /// All conditions, each in parentheses.
    pub(super) condition: Vec<Element>,
    /// What [`Element::Value`] counts.
    pub(super) values: Vec<AttributeValue>,
}

/// What is between two commas of a clause; it begins with the path that it changes.
pub(super) type Action = Vec<Element>;

/// A piece of an expression. Names and values are there as such, and become placeholders later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Path(Steps),
    Value(usize),
    Keyword(&'static str),
    Function(&'static str),
    /// An operator, a parenthesis or a comma.
    Mark(&'static str),
}

/// The contents of the clauses, without their keywords, and of the condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rendered {
    /// Actions with commas between them; empty where there are none. So are the next three.
    pub(crate) set: String,
    pub(crate) remove: String,
    pub(crate) add: String,
    pub(crate) delete: String,
    /// Parts in parentheses with `AND` between them, to be joined to others by `AND` as it is:
    /// DynamoDB refuses parentheses around nothing but parentheses.
    pub(crate) condition: Option<String>,
}

impl Changes {
    /// Whether nothing is written: the update has a condition at most.
    pub(crate) fn is_empty(&self) -> bool {
        self.clauses().all(|(_, actions)| actions.is_empty())
    }

    pub(crate) fn has_condition(&self) -> bool {
        !self.condition.is_empty()
    }

    /// The expressions, with the placeholders that `placeholders` gives to names and values.
    pub(crate) fn render<'a>(&'a self, placeholders: &mut Placeholders<'a>) -> Rendered {
        let mut pen = Pen {
            placeholders,
            values: self.values.iter().map(|value| (value, None)).collect(),
        };
        Rendered {
            set: pen.actions(&self.set),
            remove: pen.actions(&self.remove),
            add: pen.actions(&self.add),
            delete: pen.actions(&self.delete),
            condition: self.has_condition().then(|| pen.text(&self.condition)),
        }
    }

    pub(super) fn clauses(&self) -> impl Iterator<Item = (Clause, &Vec<Action>)> {
        [
            (Clause::Set, &self.set),
            (Clause::Remove, &self.remove),
            (Clause::Add, &self.add),
            (Clause::Delete, &self.delete),
        ]
        .into_iter()
    }

    pub(super) fn clause(&mut self, clause: Clause) -> &mut Vec<Action> {
        match clause {
            Clause::Set => &mut self.set,
            Clause::Remove => &mut self.remove,
            Clause::Add => &mut self.add,
            Clause::Delete => &mut self.delete,
        }
    }
}

struct Pen<'p, 'a> {
    placeholders: &'p mut Placeholders<'a>,
    /// Values, and their placeholders once they have one.
    values: Vec<(&'a AttributeValue, Option<Placeholder>)>,
}

impl<'a> Pen<'_, 'a> {
    fn actions(&mut self, actions: &'a [Action]) -> String {
        let mut text = String::new();
        for action in actions {
            if !text.is_empty() {
                text.push(',');
            }
            self.write(&mut text, action);
        }
        text
    }

    fn text(&mut self, elements: &'a [Element]) -> String {
        let mut text = String::new();
        self.write(&mut text, elements);
        text
    }

    // Writing to a `String` cannot fail.
    fn write(&mut self, text: &mut String, elements: &'a [Element]) {
        for (gap, element) in with_gaps(elements) {
            text.push_str(gap);
            match element {
                Element::Path(steps) => self.path(text, steps),
                Element::Value(number) => {
                    if let Some((value, known)) = self.values.get_mut(*number) {
                        let placeholder =
                            known.get_or_insert_with(|| self.placeholders.borrowed(value));
                        let _ = write!(text, "{placeholder}");
                    }
                }
                Element::Keyword(word) | Element::Function(word) | Element::Mark(word) => {
                    text.push_str(word);
                }
            }
        }
    }

    fn path(&mut self, text: &mut String, steps: &'a Steps) {
        for (at, step) in steps.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            let _ = match step {
                Step::Name(name) => write!(text, "{dot}{}", self.placeholders.name(name)),
                Step::Index(index) => write!(text, "[{index}]"),
            };
        }
    }
}

/// Bytes of the elements, where each placeholder has `placeholder` bytes.
pub(super) fn length(elements: &[Element], placeholder: usize) -> usize {
    let lengths = with_gaps(elements).map(|(gap, element)| {
        let length = match element {
            Element::Path(steps) => path_length(steps, placeholder),
            Element::Value(_) => placeholder,
            Element::Keyword(word) | Element::Function(word) | Element::Mark(word) => word.len(),
        };
        gap.len() + length
    });
    lengths.sum()
}

fn path_length(steps: &Steps, placeholder: usize) -> usize {
    let lengths = steps.0.iter().map(|step| match step {
        Step::Name(_) => ".".len() + placeholder,
        Step::Index(index) => "[0]".len() + index.checked_ilog10().unwrap_or(0) as usize,
    });
    lengths.sum::<usize>().saturating_sub(".".len())
}

/// Every element, and the space before it.
///
/// There is one only where two elements would grow together, and around keywords: what is saved
/// is room for more actions.
fn with_gaps(elements: &[Element]) -> impl Iterator<Item = (&'static str, &Element)> {
    let before = std::iter::once(None).chain(elements.iter().map(Some));
    before.zip(elements).map(|(before, element)| {
        let needs_gap = match (before, element) {
            (None, _) => false,
            (Some(Element::Keyword(_)), _) | (_, Element::Keyword(_)) => true,
            (Some(Element::Mark(_)), _) | (_, Element::Mark(_)) => false,
            _ => true,
        };
        (if needs_gap { " " } else { "" }, element)
    })
}
