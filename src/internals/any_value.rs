//! Any attribute value, and the notations that a number can be written in.

use std::collections::BTreeMap;

use crate::wire::{AttributeValue, Item, Number, Set};

use super::input::Input;

/// Lists and maps around a value, at most. More than DynamoDB takes.
const DEEPEST: usize = 40;
/// Elements of a list, a map or a set, at most.
const MOST_ELEMENTS: usize = 6;

pub(super) fn item(input: &mut Input<'_>) -> Item {
    let attributes = input.below(MOST_ELEMENTS);
    (0..attributes)
        .map(|_| (input.text(), value(input)))
        .collect()
}

pub(super) fn value(input: &mut Input<'_>) -> AttributeValue {
    inside(input, 0)
}

/// A value inside that many lists and maps. One letter says of what type it is.
fn inside(input: &mut Input<'_>, depth: usize) -> AttributeValue {
    const TYPES: &[u8] = b"snbtfzSNBdml";
    // Past the depth there are no containers any more.
    let choices = TYPES.len() - if depth < DEEPEST { 0 } else { 3 };
    let letter = input.byte();
    let of_letter = TYPES.iter().position(|known| *known == letter);
    match TYPES[of_letter.unwrap_or(letter.into()) % choices] {
        b's' => AttributeValue::S(input.text()),
        b'n' => AttributeValue::N(number(input)),
        b'b' => AttributeValue::B(input.bytes().to_vec()),
        b't' => AttributeValue::Bool(true),
        b'f' => AttributeValue::Bool(false),
        b'z' => AttributeValue::Null,
        b'S' => AttributeValue::Ss(set(input, |input| input.text())),
        b'N' => AttributeValue::Ns(set(input, number)),
        b'B' => AttributeValue::Bs(set(input, |input| input.bytes().to_vec())),
        b'd' => {
            let levels = input.below(256) % (DEEPEST - depth + 1);
            (0..levels).fold(inside(input, depth + levels), |inner, at| match at % 2 {
                0 => AttributeValue::L(vec![inner]),
                _ => AttributeValue::M(BTreeMap::from([(String::new(), inner)])),
            })
        }
        b'm' => {
            let members = input.below(MOST_ELEMENTS);
            let members = (0..members).map(|_| (input.text(), inside(input, depth + 1)));
            AttributeValue::M(members.collect())
        }
        _ => {
            let elements = input.below(MOST_ELEMENTS);
            let elements = (0..elements).map(|_| inside(input, depth + 1));
            AttributeValue::L(elements.collect())
        }
    }
}

fn set<T: Ord>(input: &mut Input<'_>, element: impl Fn(&mut Input<'_>) -> T) -> Set<T> {
    let more = input.below(MOST_ELEMENTS);
    let mut elements = std::collections::BTreeSet::from([element(input)]);
    elements.extend((0..more).map(|_| element(input)));
    Set::new(elements).expect("one element at least, and none twice")
}

/// A number that DynamoDB takes, read from some notation of it.
fn number(input: &mut Input<'_>) -> Number {
    let negative = input.flag();
    let digits: String = input
        .bytes()
        .iter()
        .map(|byte| char::from(b'0' + byte % 10))
        .take(38)
        .collect();
    let digits = digits.trim_matches('0');
    // The power of ten of the first digit.
    let top = input.below(256) as i64 - 130;
    let decimal = Decimal {
        negative: negative && !digits.is_empty(),
        digits: digits.to_owned(),
        exponent: top + 1 - digits.len() as i64,
    };
    let text = decimal.in_odd_notation(input);
    let number: Number = text.parse().expect(&text);
    assert_eq!(number.as_str(), decimal.plain(), "{text}");
    number
}

/// `digits` times ten to the `exponent`.
pub(super) struct Decimal {
    negative: bool,
    /// Without zeros at either end; none for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a canonical text.
    pub(super) fn of(number: &Number) -> Self {
        let text = number.as_str();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = [whole.trim_start_matches('-'), fraction].concat();
        let cut = digits.trim_end_matches('0');
        Self {
            negative: text.starts_with('-'),
            exponent: (digits.len() - cut.len()) as i64 - fraction.len() as i64,
            digits: cut.trim_start_matches('0').to_owned(),
        }
    }

    /// The one text without exponent and superfluous zeros.
    fn plain(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits = &self.digits;
        if digits.is_empty() {
            return "0".to_owned();
        }
        if self.exponent >= 0 {
            return [sign, digits, &zeros(self.exponent)].concat();
        }
        // Where the point stands, counted from the first digit.
        let point = digits.len() as i64 + self.exponent;
        match usize::try_from(point) {
            Ok(point @ 1..) => [sign, &digits[..point], ".", &digits[point..]].concat(),
            _ => [sign, "0.", &zeros(-point), digits].concat(),
        }
    }

    /// A text of the same value: with signs, zeros, a point and an exponent as chosen.
    pub(super) fn in_odd_notation(&self, input: &mut Input<'_>) -> String {
        let sign = input.pick(&["", "+"]);
        let sign = if self.negative { "-" } else { sign };
        let before = zeros(input.below(4) as i64);
        let after = zeros(input.below(4) as i64);
        let mut digits = [&before, self.digits.as_str(), &after].concat();
        let mut exponent = self.exponent - after.len() as i64;
        if digits.is_empty() {
            digits.push('0');
        }
        // At least one digit stays before the point, and one comes behind it.
        let behind = input.below(digits.len());
        if behind > 0 {
            digits.insert(digits.len() - behind, '.');
            exponent += behind as i64;
        }
        let e = input.pick(&["e", "E", "e+", "E00"]);
        let exponent = match (exponent, input.flag()) {
            (0, true) => String::new(),
            (0.., _) => [e, &exponent.to_string()].concat(),
            _ => ["e", &exponent.to_string()].concat(),
        };
        [sign, &digits, &exponent].concat()
    }
}

fn zeros(count: i64) -> String {
    "0".repeat(usize::try_from(count).unwrap_or(0))
}

/// How many lists and maps stand around the innermost value of this one.
pub(super) fn containers(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::L(list) => 1 + list.iter().map(containers).max().unwrap_or(0),
        AttributeValue::M(map) => 1 + map.values().map(containers).max().unwrap_or(0),
        _ => 0,
    }
}
