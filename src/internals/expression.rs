//! Expressions from any names and values.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::clock::{Moment, Monotonic, Wall};
use crate::key::{Key, KeyValue};
use crate::options::{AttributeNames, Options, Terms};
use crate::protocol::{
    Acquire, Backoff, Jitter, RetryBudget, RetryPolicy, Surroundings, Verdict, abandon,
};
use crate::wire::{
    Action, AttributeValue, Failure, FailureKind, Item, Operation, Outcome, Placeholders, Returns,
    Write,
};

use super::any_value;
use super::dynamodb::{Answer, Request};
use super::input::Input;

/// Placeholders are valid and never collide; and every write that a lock with these options
/// makes keeps DynamoDB's rules, and does to an item what it is meant to.
pub fn body(data: &[u8]) {
    let mut input = Input::new(data);
    placeholders(&mut input);
    let options = options(&mut input);
    match options.parse() {
        Ok(terms) => writes(&terms, &mut input),
        Err(error) => assert!(error.is_invalid_option(), "{error}"),
    }
}

fn placeholders(input: &mut Input<'_>) {
    let names: Vec<String> = (0..input.below(6)).map(|_| input.text()).collect();
    let values: Vec<_> = (0..input.below(6))
        .map(|_| any_value::value(input))
        .collect();
    let mut all = Placeholders::default();
    let mut used = Vec::new();
    for name in &names {
        used.push((all.name(name).to_string(), Value::from(name.as_str())));
    }
    for value in &values {
        let placeholder = all.value(value.clone()).to_string();
        let Ok(value) = serde_json::to_value(value) else {
            return;
        };
        used.push((placeholder, value));
    }
    let key = Item::new();
    let terms: Vec<_> = used
        .iter()
        .map(|(placeholder, _)| placeholder.as_str())
        .collect();
    let write = Write {
        table: "jobs",
        key: &key,
        action: Action::Update {
            expression: String::new(),
            returns: Returns::Nothing,
        },
        condition: terms.join(" "),
        placeholders: all,
    };
    let body = write.body().expect("values that can be written");
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let mut defined = 0;
    for map in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        defined += body[map].as_object().map_or(0, |map| map.len());
    }
    for (at, (placeholder, meant)) in used.iter().enumerate() {
        let (sigil, map) = match at < names.len() {
            true => ('#', "ExpressionAttributeNames"),
            false => (':', "ExpressionAttributeValues"),
        };
        let word = placeholder.strip_prefix(sigil).expect("its sigil");
        assert!(!word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(&body[map][placeholder], meant, "{placeholder}");
    }
    let distinct: std::collections::BTreeSet<_> =
        used.iter().map(|(placeholder, _)| placeholder).collect();
    assert_eq!(distinct.len(), defined);
}

fn options(input: &mut Input<'_>) -> Options {
    let mut key = Key::new(input.text(), key_value(input));
    if input.flag() {
        key = key.sort(input.text(), key_value(input));
    }
    let mut options = Options::new("jobs".into(), key);
    let mut name = |name: &mut String| {
        if input.flag() {
            *name = input.text();
        }
    };
    let AttributeNames {
        expires,
        lease_duration,
        version,
        fence,
        owner,
    } = Arc::make_mut(&mut options.names);
    for it in [expires, lease_duration, version, fence, owner] {
        name(it);
    }
    options.owner = input.flag().then(|| input.text());
    options.existing_only = input.flag();
    options.delete_on_release = input.flag();
    options.max_clock_skew = input.pick(&[Duration::ZERO, Duration::from_secs(1), Duration::MAX]);
    options
}

fn key_value(input: &mut Input<'_>) -> KeyValue {
    match input.below(3) {
        0 => KeyValue::S(input.text()),
        1 => KeyValue::B(input.bytes().to_vec()),
        _ => KeyValue::from(input.number()),
    }
}

/// Drives a lock through every kind of write.
fn writes(terms: &Terms, input: &mut Input<'_>) {
    let version = input.text();
    let names = &terms.names;
    let mut acquire = Acquire::new(version.clone(), Moment::default());
    let now = moment(input);
    let mut item = (input.flag() || terms.existing_only).then(|| {
        let mut item = any_value::item(input);
        item.extend(terms.key.clone());
        for name in names.all() {
            item.remove(name);
        }
        item
    });
    if input.flag() {
        let mut taken = item.clone().unwrap_or_default();
        spoil(&mut taken, names, input);
        unreadable_locks_stay(terms, &mut acquire, now, &taken);
    }

    let write = acquire.attempt(terms, now, now.wall, input.flag());
    let request = Request::of(&write).expect("an acquire");
    assert_eq!(request.key(), &terms.key);
    let before = item.clone();
    let Ok(Answer::Applied(locked)) = request.apply(&mut item) else {
        panic!("a free lock is taken: {request:?}");
    };
    assert_eq!(without(&locked, names.all()), {
        let mut before = before.unwrap_or_default();
        before.extend(terms.key.clone());
        before
    });
    assert_eq!(locked.get(&names.version), Some(&version.as_str().into()));
    assert_eq!(locked.contains(&names.owner), terms.owner.is_some());
    let Verdict::Acquired(acquired) = answered(&mut acquire, terms, now, Outcome::Applied(locked))
    else {
        panic!("it is ours");
    };

    let mut lease = acquired.lease;
    for _ in 0..input.below(100) {
        let write = lease.renewal(terms, now, now.wall, terms.lease);
        let request = Request::of(&write).expect("a renewal");
        assert!(matches!(request.apply(&mut item), Ok(Answer::Applied(_))));
        let failure = Failure::of(FailureKind::Unavailable, "");
        lease.renewed(now, names, Outcome::Unknown(failure));
    }
    let request = Request::of(&lease.release(terms, now)).expect("a release");
    let deleted = acquired
        .item
        .iter()
        .all(|(name, _)| terms.key.contains(name));
    assert_eq!(request.is_delete(), deleted && terms.delete_on_release);
    let mut released = item.clone();
    assert!(matches!(
        request.apply(&mut released),
        Ok(Answer::Applied(_))
    ));
    if let Some(released) = released {
        assert_eq!(
            released.get(&names.fence),
            item.as_ref().and_then(|item| item.get(&names.fence))
        );
        assert_eq!(without(&released, [names.fence.as_str()]), acquired.item);
    }

    let request = Request::of(&abandon(terms, &version)).expect("giving back");
    assert!(matches!(request.apply(&mut item), Ok(Answer::Applied(_))));
    assert_eq!(
        without(&item.expect("it stays"), [names.fence.as_str()]),
        acquired.item
    );
}

/// Gives one lock attribute, at least, a type that it cannot have.
fn spoil(item: &mut Item, names: &AttributeNames, input: &mut Input<'_>) {
    let all = names.all();
    let spoilt = input.below(all.len());
    for (at, name) in all.into_iter().enumerate() {
        let is_text = name == names.version || name == names.owner;
        match any_value::value(input) {
            AttributeValue::N(_) if at == spoilt && !is_text => item.insert(name, "0"),
            AttributeValue::S(_) if at == spoilt && is_text => item.insert(name, 0),
            value if at == spoilt || input.flag() => item.insert(name, value),
            _ => None,
        };
    }
}

/// What is not a lock's is never overwritten, whatever else of it is free or seen dead.
fn unreadable_locks_stay(terms: &Terms, acquire: &mut Acquire, now: Moment, taken: &Item) {
    for _ in 0..2 {
        let write = acquire.attempt(terms, now, now.wall, false);
        let request = Request::of(&write).expect("an acquire");
        let mut item = Some(taken.clone());
        let answer = request.apply(&mut item);
        assert!(matches!(answer, Ok(Answer::Refused(_))), "{taken:?}");
        let refused = Outcome::Refused(Some(taken.clone()));
        let verdict = answered(acquire, terms, now, refused);
        let Verdict::Failed(error) = verdict else {
            panic!("{taken:?}: {verdict:?}");
        };
        assert!(error.is_bad_attribute(), "{error}");
    }
}

fn answered(acquire: &mut Acquire, terms: &Terms, now: Moment, outcome: Outcome) -> Verdict {
    let around = Surroundings {
        terms,
        now,
        doubtful: false,
        retry: RetryPolicy {
            backoff: Backoff {
                base: Duration::ZERO,
                cap: Duration::ZERO,
            },
            max_attempts: 1,
        },
        budget: &mut RetryBudget::default(),
        jitter: &mut Jitter::new(0),
        is_abandoned: &|_| false,
    };
    acquire.answered(outcome, around)
}

fn moment(input: &mut Input<'_>) -> Moment {
    // From 1970, before which nothing is signed, and 250 years of nanoseconds on.
    let wall = input.number() % (250 * 365 * 86_400 * 1_000_000_000);
    Moment {
        mono: Monotonic(0),
        wall: Wall(wall as i64),
    }
}

fn without<'a>(item: &Item, names: impl IntoIterator<Item = &'a str>) -> Item {
    let mut item = item.clone();
    for name in names {
        item.remove(name);
    }
    item
}
