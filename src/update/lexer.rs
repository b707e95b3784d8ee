//! The words of clauses and conditions that users write.

use super::path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// An attribute, a function or a keyword.
    Word(&'t str),
    /// `#name`.
    Name(&'t str),
    /// `:value`.
    Value(&'t str),
    /// `[3]`.
    Index(usize),
    Mark(&'static str),
}

/// Operators and punctuation, the longer first.
const MARKS: [&str; 12] = [
    "<>", "<=", ">=", "=", "<", ">", "+", "-", "(", ")", ",", ".",
];

/// The tokens, each with the byte that it begins at.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let sigil = usize::from(matches!(first, '#' | ':'));
        let name = rest.bytes().skip(sigil).take_while(is_of_name).count();
        let (length, token) = match first {
            '#' | ':' if name > 0 => {
                let placeholder = rest.get(..=name).unwrap_or_default();
                let token = match first {
                    '#' => Token::Name(placeholder),
                    _ => Token::Value(placeholder),
                };
                (1 + name, token)
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                (name, Token::Word(rest.get(..name).unwrap_or_default()))
            }
            '[' => {
                let end = rest.find(']');
                let digits = end.and_then(|end| rest.get(1..end)).unwrap_or_default();
                let index = path::index(digits.trim_ascii()).ok_or_else(|| {
                    format!(
                        "the bracket at byte {at} does not hold the place in a list, up to 409600"
                    )
                })?;
                (end.unwrap_or_default() + 1, Token::Index(index))
            }
            _ => {
                let mark = MARKS.into_iter().find(|mark| rest.starts_with(mark));
                let mark = mark.ok_or_else(|| unexpected(first, at))?;
                (mark.len(), Token::Mark(mark))
            }
        };
        tokens.push((at, token));
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// What the names of placeholders consist of.
pub(super) fn is_of_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

pub(super) fn unexpected(character: char, at: usize) -> String {
    let hint = match character {
        '0'..='9' | '"' | '\'' => "; values go in by placeholders",
        _ => "",
    };
    format!("{character:?} is not expected at byte {at}{hint}")
}
