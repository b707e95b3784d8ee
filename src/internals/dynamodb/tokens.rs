//! Words, signs and placeholders of an expression.

use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Sign(&'static str),
    /// `#name`
    Name(String),
    /// `:value`
    Value(String),
}

/// What a condition compares and an update computes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Operand {
    Name(String),
    Value(String),
}

pub(super) struct Tokens {
    tokens: Vec<Token>,
    at: usize,
}

impl Tokens {
    pub(super) fn of(expression: &str) -> Result<Self, String> {
        const SIGNS: [&str; 10] = ["<=", ">=", "<>", "=", "<", ">", "(", ")", ",", "+"];
        let mut tokens = Vec::new();
        let mut rest = expression.trim_start();
        while let Some(first) = rest.chars().next() {
            let after = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                tokens.push(Token::Sign(sign));
                &rest[sign.len()..]
            } else {
                let placeholder = matches!(first, '#' | ':');
                let word = &rest[usize::from(placeholder)..];
                let length = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let (word, after) = word.split_at(length.unwrap_or(word.len()));
                if word.is_empty() {
                    return Err(format!("unknown sign at {rest:?}"));
                }
                let written = [first.to_string().as_str(), word].concat();
                tokens.push(match first {
                    '#' => Token::Name(written),
                    ':' => Token::Value(written),
                    _ => Token::Word(word.to_owned()),
                });
                after
            };
            rest = after.trim_start();
        }
        Ok(Self { tokens, at: 0 })
    }

    /// All placeholders, each once.
    pub(super) fn placeholders(self) -> BTreeSet<String> {
        let placeholders = self.tokens.into_iter().filter_map(|token| match token {
            Token::Name(text) | Token::Value(text) => Some(text),
            Token::Word(_) | Token::Sign(_) => None,
        });
        placeholders.collect()
    }

    /// Reads to the end.
    pub(super) fn all<T>(
        mut self,
        read: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let whole = read(&mut self)?;
        match self.peek() {
            None => Ok(whole),
            Some(_) => Err(self.unexpected()),
        }
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Steps over a word or a sign, where it is the next token.
    pub(super) fn next_is(&mut self, text: &str) -> bool {
        let is = match self.peek() {
            Some(Token::Word(word)) => word == text,
            Some(Token::Sign(sign)) => *sign == text,
            _ => false,
        };
        self.at += usize::from(is);
        is
    }

    pub(super) fn must_be(&mut self, text: &str) -> Result<(), String> {
        match self.next_is(text) {
            true => Ok(()),
            false => Err(format!("{text} was expected: {}", self.unexpected())),
        }
    }

    pub(super) fn name(&mut self) -> Result<String, String> {
        match self.operand()? {
            Operand::Name(name) => Ok(name),
            Operand::Value(value) => Err(format!("{value} stands where a name must")),
        }
    }

    pub(super) fn operand(&mut self) -> Result<Operand, String> {
        let operand = match self.peek() {
            Some(Token::Name(name)) => Operand::Name(name.clone()),
            Some(Token::Value(value)) => Operand::Value(value.clone()),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(operand)
    }

    pub(super) fn unexpected(&self) -> String {
        format!("unexpected {:?} in {:?}", self.peek(), self.tokens)
    }
}
