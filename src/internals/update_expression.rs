//! Clauses and conditions as users write them.

use crate::options::AttributeNames;
use crate::update::{Path, Subject, Update};
use crate::wire::{Item, Placeholders};

/// The first letter says which part of an update the rest is.
///
/// What is accepted is balanced, stays within its clause or its own parentheses, begins no path
/// of a clause at the key or the lock, and is no longer than DynamoDB allows.
pub fn body(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut rest = text.chars();
    let part = rest.next().unwrap_or_default();
    let text = rest.as_str();
    assert_eq!(Path::from(text).to_string(), text);

    let (update, limit) = match part {
        's' => (Update::new().raw_set(text), 3896),
        'r' => (Update::new().raw_remove(text), 3896),
        'a' => (Update::new().raw_add(text), 3896),
        'd' => (Update::new().raw_delete(text), 3896),
        _ => (Update::new().condition(text), 3196),
    };
    // A last condition uses every placeholder that the text may use.
    let update = update
        .condition("#k = #f AND #n = :x")
        .name("#k", "id")
        .name("#f", "dynoLockFence")
        .name("#n", "nested")
        .value(":x", 1);
    let (key, names) = (
        Item::from_iter([("id", "job-42")]),
        AttributeNames::default(),
    );
    let subject = Subject {
        key: &key,
        names: &names,
    };
    let changes = match update.parse(&subject) {
        Ok(changes) => changes,
        Err(error) => return assert!(error.is_invalid_option(), "{error}"),
    };

    let mut placeholders = Placeholders::default();
    let forbidden: Vec<String> = std::iter::once("id")
        .chain(names.all())
        .map(|name| placeholders.name(name).to_string())
        .collect();
    let rendered = changes.render(&mut placeholders);
    for clause in [
        &rendered.set,
        &rendered.remove,
        &rendered.add,
        &rendered.delete,
    ] {
        assert!(is_balanced(clause), "{clause}");
        assert!(clause.len() <= limit, "{} bytes", clause.len());
        assert!(
            !clause.contains(char::is_uppercase),
            "a keyword in {clause}"
        );
        for root in roots(clause) {
            assert!(!forbidden.iter().any(|name| name == root), "{clause}");
        }
    }
    let condition = rendered.condition.expect("the last one");
    assert!(condition.len() <= limit, "{} bytes", condition.len());
    let own = condition
        .strip_suffix(")")
        .and_then(|it| it.rsplit_once("(#0=#4 AND "));
    let (own, _) = own.expect("the last one, in parentheses");
    if let Some(own) = own.strip_suffix(" AND ") {
        let inner = own.strip_prefix("(").and_then(|it| it.strip_suffix(")"));
        assert!(inner.is_some_and(is_balanced), "{condition}");
    } else {
        assert_eq!(own, "");
    }
}

/// Whether parentheses are balanced and none closes what was not opened.
fn is_balanced(text: &str) -> bool {
    let mut depth = 0_i32;
    for character in text.chars() {
        depth += i32::from(character == '(') - i32::from(character == ')');
        if depth < 0 {
            return false;
        }
    }
    depth == 0
}

/// The placeholders of names that paths begin with.
fn roots(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices('#').map(|(at, _)| at);
    starts.filter(|at| !text[..*at].ends_with('.')).map(|at| {
        let digits = text[at + 1..].find(|c: char| !c.is_ascii_digit());
        digits.map_or(&text[at..], |digits| &text[at..=at + digits])
    })
}

#[test]
fn the_body_sees_what_it_looks_for() {
    assert_eq!(roots("#0.#1=f(#23,:4)").collect::<Vec<_>>(), ["#0", "#23"]);
    assert!(is_balanced("(a)(b)") && is_balanced(""));
    assert!(!is_balanced(")(") && !is_balanced("(("));
}
