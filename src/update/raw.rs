//! Reads the clauses and conditions that users write.
//!
//! What is read consists of paths, values that were given, and the keywords, functions and marks
//! that are known here. Nothing else can get into an expression, and parentheses are balanced, so
//! that a condition in parentheses cannot reach beyond them.

use std::iter::Peekable;

use crate::wire::AttributeValue;

use super::changes::{Action, Element};
use super::lexer::{Token, is_of_name, tokens, unexpected};
use super::path::{Step, Steps};
use super::{Clause, Update};

/// Operands of one `IN`, at most.
const MAX_IN: usize = 100;

const CLAUSES: [&str; 4] = ["SET", "REMOVE", "ADD", "DELETE"];
const KEYWORDS: [&str; 5] = ["AND", "OR", "NOT", "BETWEEN", "IN"];
const UPDATE_FUNCTIONS: &[&str] = &["if_not_exists", "list_append"];
const CONDITION_FUNCTIONS: &[&str] = &[
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
];

/// What a text is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Clause,
    Condition,
}

impl Dialect {
    /// What a word is, where it is no attribute. `opens`: a parenthesis follows.
    fn word(self, word: &str, opens: bool) -> Result<Option<Element>, String> {
        let functions = match self {
            Self::Clause => UPDATE_FUNCTIONS,
            Self::Condition => CONDITION_FUNCTIONS,
        };
        let same = |known: &&str| known.eq_ignore_ascii_case(word);
        match self {
            Self::Clause if CLAUSES.iter().any(same) => Err(format!(
                "`{word}` begins a clause; each clause is given on its own, without the keyword"
            )),
            Self::Condition if KEYWORDS.iter().any(same) => {
                Ok(KEYWORDS.into_iter().find(same).map(Element::Keyword))
            }
            _ if !opens => Ok(None),
            _ => match functions.iter().find(|known| **known == word) {
                Some(function) => Ok(Some(Element::Function(function))),
                None => Err(format!(
                    "`{word}` is no function here; there are {}",
                    functions.join(", ")
                )),
            },
        }
    }

    fn has(self, mark: &str) -> bool {
        match mark {
            "(" | ")" | "," | "=" => true,
            "+" | "-" => self == Self::Clause,
            "<>" | "<" | "<=" | ">" | ">=" => self == Self::Condition,
            _ => false,
        }
    }
}

/// Reads texts, and keeps account of the placeholders in them.
pub(super) struct Reader<'u> {
    names: Given<'u, String>,
    values: Given<'u, AttributeValue>,
}

impl<'u> Reader<'u> {
    pub(super) fn new(update: &'u Update) -> Result<Self, String> {
        Ok(Self {
            names: Given::new('#', &update.names)?,
            values: Given::new(':', &update.values)?,
        })
    }

    /// The values that were given, by the numbers that elements have for them.
    pub(super) fn values(&self) -> impl Iterator<Item = (&'u str, &'u AttributeValue)> {
        self.values
            .0
            .iter()
            .map(|entry| (entry.placeholder, entry.content))
    }

    /// Every placeholder that was given must have been found in some text.
    pub(super) fn finish(&self) -> Result<(), String> {
        match self.names.unused().or_else(|| self.values.unused()) {
            Some(placeholder) => Err(format!("`{placeholder}` is given but not used")),
            None => Ok(()),
        }
    }

    /// The actions of a clause.
    pub(super) fn clause(&mut self, clause: Clause, text: &str) -> Result<Vec<Action>, String> {
        let elements = self.elements(Dialect::Clause, text)?;
        if clause == Clause::Set {
            structure(&elements, text, true)?;
        }
        let actions = split(elements);
        for (place, action) in actions.iter().enumerate() {
            let is_well_formed = match (clause, action.as_slice()) {
                (Clause::Set, [Element::Path(_), Element::Mark("="), value @ ..]) => {
                    !value.is_empty() && !value.contains(&Element::Mark("="))
                }
                (Clause::Remove, [Element::Path(_)]) => true,
                (Clause::Add | Clause::Delete, [Element::Path(_), Element::Value(_)]) => true,
                _ => false,
            };
            if !is_well_formed {
                let form = match clause {
                    Clause::Set => "path = value",
                    Clause::Remove => "path",
                    Clause::Add | Clause::Delete => "path :value",
                };
                return Err(format!("action {} is not of the form `{form}`", place + 1));
            }
        }
        Ok(actions)
    }

    /// A condition in parentheses.
    pub(super) fn condition(&mut self, text: &str) -> Result<Vec<Element>, String> {
        let elements = self.elements(Dialect::Condition, text)?;
        let is_enclosed = structure(&elements, text, false)?;
        let mut condition: Vec<_> = elements.into_iter().map(|(_, element)| element).collect();
        if !is_enclosed {
            condition.insert(0, Element::Mark("("));
            condition.push(Element::Mark(")"));
        }
        Ok(condition)
    }

    fn elements(&mut self, dialect: Dialect, text: &str) -> Result<Vec<(usize, Element)>, String> {
        let mut elements = Vec::new();
        let mut tokens = tokens(text)?.into_iter().peekable();
        while let Some((at, token)) = tokens.next() {
            let opens = matches!(tokens.peek(), Some((_, Token::Mark("("))));
            let element = match token {
                Token::Word(word) => match dialect.word(word, opens)? {
                    Some(element) => element,
                    None => self.path(word.to_owned(), &mut tokens)?,
                },
                Token::Name(alias) => {
                    let name = self.names.find(alias)?.1.clone();
                    self.path(name, &mut tokens)?
                }
                Token::Value(placeholder) => Element::Value(self.values.find(placeholder)?.0),
                Token::Mark(mark) if dialect.has(mark) => Element::Mark(mark),
                Token::Mark(_) | Token::Index(_) => return Err(misplaced(text, at)),
            };
            elements.push((at, element));
        }
        if elements.is_empty() {
            return Err("there is nothing in it".to_owned());
        }
        Ok(elements)
    }

    /// The path that begins with that name.
    fn path<'t>(
        &mut self,
        name: String,
        tokens: &mut Peekable<impl Iterator<Item = (usize, Token<'t>)>>,
    ) -> Result<Element, String> {
        let mut steps = vec![Step::Name(name)];
        loop {
            match tokens.peek() {
                Some((_, Token::Index(index))) => steps.push(Step::Index(*index)),
                Some((at, Token::Mark("."))) => {
                    let at = *at;
                    tokens.next();
                    let name = match tokens.peek() {
                        Some((_, Token::Word(word))) => (*word).to_owned(),
                        Some((_, Token::Name(alias))) => self.names.find(alias)?.1.clone(),
                        _ => return Err(format!("a name is missing after the dot at byte {at}")),
                    };
                    steps.push(Step::Name(name));
                }
                _ => return Ok(Element::Path(Steps(steps))),
            }
            tokens.next();
        }
    }
}

/// What a parenthesis is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Plain,
    /// A function's arguments.
    Arguments,
    /// The operands of `IN`, so far.
    In(usize),
}

/// Checks that operands and operators alternate, and that parentheses are balanced and not
/// redundant. Returns whether one pair is around everything.
fn structure(elements: &[(usize, Element)], text: &str, is_list: bool) -> Result<bool, String> {
    let mut open: Vec<(usize, Group)> = Vec::new();
    let mut wants_operand = true;
    // Where the group began that has just been closed.
    let mut closed = None;
    for (place, (at, element)) in elements.iter().enumerate() {
        let just_closed = closed.take();
        let fits = match element {
            Element::Path(_) | Element::Value(_) => std::mem::take(&mut wants_operand),
            Element::Function(_) | Element::Keyword("NOT") => wants_operand,
            Element::Mark("(") => {
                let before = place.checked_sub(1).and_then(|place| elements.get(place));
                let group = match before {
                    Some((_, Element::Function(_))) => Group::Arguments,
                    Some((_, Element::Keyword("IN"))) => Group::In(1),
                    _ => Group::Plain,
                };
                open.push((place, group));
                wants_operand
            }
            Element::Mark(")") => match open.pop() {
                Some((began, _)) if !wants_operand => {
                    if just_closed == Some(began + 1) {
                        return Err(format!(
                            "the parentheses that end at byte {at} are redundant"
                        ));
                    }
                    closed = Some(began);
                    true
                }
                _ => false,
            },
            Element::Mark(",") => {
                let is_between = match open.last_mut() {
                    Some((_, Group::In(operands))) => {
                        *operands += 1;
                        if *operands > MAX_IN {
                            return Err(format!("`IN` has more than {MAX_IN} operands"));
                        }
                        true
                    }
                    Some((_, group)) => *group == Group::Arguments,
                    None => is_list,
                };
                !std::mem::replace(&mut wants_operand, true) && is_between
            }
            Element::Keyword("IN") => {
                let opens = matches!(elements.get(place + 1), Some((_, Element::Mark("("))));
                !std::mem::replace(&mut wants_operand, true) && opens
            }
            Element::Keyword(_) | Element::Mark(_) => !std::mem::replace(&mut wants_operand, true),
        };
        if !fits {
            return Err(misplaced(text, *at));
        }
    }
    if !open.is_empty() {
        return Err("a parenthesis is not closed".to_owned());
    }
    if wants_operand {
        return Err("it ends too early".to_owned());
    }
    Ok(closed == Some(0))
}

fn misplaced(text: &str, at: usize) -> String {
    let rest = text.get(at..).unwrap_or_default();
    unexpected(rest.chars().next().unwrap_or_default(), at)
}

/// Splits at the commas that are in no parentheses.
fn split(elements: Vec<(usize, Element)>) -> Vec<Action> {
    let mut actions = vec![Action::new()];
    let mut depth = 0_usize;
    for (_, element) in elements {
        match element {
            Element::Mark("(") => depth += 1,
            Element::Mark(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        match actions.last_mut() {
            Some(last) if depth > 0 || element != Element::Mark(",") => last.push(element),
            _ => actions.push(Action::new()),
        }
    }
    actions
}

/// What was given for placeholders of one sort, each once.
struct Given<'u, T>(Vec<Entry<'u, T>>);

struct Entry<'u, T> {
    placeholder: &'u str,
    content: &'u T,
    is_used: bool,
}

impl<'u, T: PartialEq> Given<'u, T> {
    fn new(sigil: char, given: &'u [(String, T)]) -> Result<Self, String> {
        let mut entries: Vec<Entry<'u, T>> = Vec::with_capacity(given.len());
        for (placeholder, content) in given {
            let is_placeholder = placeholder
                .strip_prefix(sigil)
                .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| is_of_name(&byte)));
            if !is_placeholder {
                return Err(format!(
                    "`{placeholder}` is no placeholder: `{sigil}`, then letters, digits or underscores"
                ));
            }
            match entries
                .iter()
                .find(|entry| entry.placeholder == placeholder)
            {
                Some(entry) if entry.content == content => {}
                Some(_) => return Err(format!("`{placeholder}` is given twice")),
                None => entries.push(Entry {
                    placeholder,
                    content,
                    is_used: false,
                }),
            }
        }
        Ok(Self(entries))
    }

    /// The number and the content of a placeholder, which is used by this.
    fn find(&mut self, placeholder: &str) -> Result<(usize, &'u T), String> {
        let mut entries = self.0.iter_mut().enumerate();
        match entries.find(|(_, entry)| entry.placeholder == placeholder) {
            Some((number, entry)) => {
                entry.is_used = true;
                Ok((number, entry.content))
            }
            None => Err(format!("`{placeholder}` is not given")),
        }
    }

    fn unused(&self) -> Option<&'u str> {
        let unused = self.0.iter().find(|entry| !entry.is_used);
        unused.map(|entry| entry.placeholder)
    }
}
