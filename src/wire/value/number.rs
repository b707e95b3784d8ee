//! DynamoDB's numbers as decimal text.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, Kind};

/// A number as DynamoDB has it: up to 38 significant digits, and never a float.
///
/// Zero, or of a magnitude from 1E-130 to 9.9999999999999999999999999999999999999E+125. The text is
/// canonical: plain decimal, no exponent, no zeros that change nothing. So numbers are equal where
/// their texts are; their order is that of their values. Follows
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>.
///
/// # Examples
///
/// ```
/// use dynolock::Number;
///
/// let number: Number = "1.50e2".parse()?;
/// assert_eq!(number.as_str(), "150");
/// assert_eq!(number, Number::from(150));
/// assert!("1.5".parse::<Number>()? < number);
/// # Ok::<(), dynolock::InvalidValue>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number(String);

/// Significant digits that fit.
const MAX_DIGITS: usize = 38;
/// Powers of ten of the first significant digit that fit.
const EXPONENTS: std::ops::RangeInclusive<i64> = -130..=125;

impl Number {
    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The exact value; `None` where it has a fraction or does not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use dynolock::Number;
    /// assert_eq!(Number::from(-3).to_i64(), Some(-3));
    /// assert_eq!("0.5".parse::<Number>()?.to_i64(), None);
    /// # Ok::<(), dynolock::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The exact value; `None` where it is negative, has a fraction or does not fit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use dynolock::Number;
    /// assert_eq!(Number::from(3).to_u64(), Some(3));
    /// assert_eq!(Number::from(-3).to_u64(), None);
    /// ```
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Bytes in an item: one for two significant digits, and one more.
    pub(super) fn size(&self) -> usize {
        let digits = || self.0.bytes().filter(u8::is_ascii_digit);
        let leading = digits().take_while(|digit| *digit == b'0').count();
        let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
        let significant = digits().count().saturating_sub(leading + trailing);
        significant.div_ceil(2) + 1
    }

    fn is_negative(&self) -> bool {
        self.0.starts_with('-')
    }

    /// Digits before the point, then the text without sign: they compare as magnitudes do.
    fn magnitude(&self) -> (usize, &str) {
        let text = self.0.strip_prefix('-').unwrap_or(&self.0);
        (text.find('.').unwrap_or(text.len()), text)
    }
}

impl FromStr for Number {
    type Err = InvalidValue;

    /// Reads `[+-]digits[.digits][e[+-]digits]`.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] for any other text, 39 or more significant digits, and a magnitude out of
    /// range.
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Ok(Self(canonical(text)?))
    }
}

fn canonical(text: &str) -> Result<String, Kind> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)),
        None => (unsigned, Some(0)),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, is_digits(fraction).then_some(fraction)),
        None => (mantissa, Some("")),
    };
    let (true, Some(fraction), Some(exponent)) = (is_digits(whole), fraction, exponent) else {
        return Err(Kind::NumberSyntax(flaw(unsigned)));
    };

    // One pass finds the first and the last significant digit, however long the text is.
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(first) = digits().position(|digit| digit != b'0') else {
        return Ok("0".to_owned());
    };
    let after = digits().rev().take_while(|digit| *digit == b'0').count();
    let count = whole.len() + fraction.len() - first - after;
    // The power of ten of the first significant digit.
    let exponent = exponent.saturating_add(whole.len() as i64 - first as i64 - 1);
    if count > MAX_DIGITS {
        return Err(Kind::NumberDigits);
    }
    if !EXPONENTS.contains(&exponent) {
        let flaw = if exponent > 0 { "large" } else { "small" };
        return Err(Kind::NumberRange(flaw));
    }
    let significant = digits().skip(first).take(count).map(char::from);

    let mut plain = String::from(if negative { "-" } else { "" });
    if exponent < 0 {
        plain.push_str("0.");
        plain.extend((exponent..-1).map(|_| '0'));
        plain.extend(significant);
        return Ok(plain);
    }
    // How many digits there are before the point; at most 126.
    let before = exponent as usize + 1;
    for (at, digit) in significant.enumerate() {
        if at == before {
            plain.push('.');
        }
        plain.push(digit);
    }
    plain.extend((count..before).map(|_| '0'));
    Ok(plain)
}

/// `None` where it is none. Where it is huge, something as good: no text is long enough to bring
/// such a number back into the range.
fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = is_digits(digits).then(|| digits.parse().unwrap_or(i64::MAX))?;
    Some(if negative { -magnitude } else { magnitude })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn flaw(unsigned: &str) -> &'static str {
    let is = |word| unsigned.eq_ignore_ascii_case(word);
    if unsigned.is_empty() {
        "empty"
    } else if is("nan") {
        "NaN"
    } else if is("inf") || is("infinity") {
        "infinite"
    } else {
        "malformed"
    }
}

macro_rules! from_integers {
    ($($integer:ty)+) => {$(
        impl From<$integer> for Number {
            fn from(integer: $integer) -> Self {
                Self(integer.to_string())
            }
        }

        impl From<$integer> for super::AttributeValue {
            fn from(integer: $integer) -> Self {
                Self::N(integer.into())
            }
        }
    )+};
}

// An `i128` or `u128` can have 39 digits.
from_integers! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative(), other.is_negative()) {
            (false, false) => self.magnitude().cmp(&other.magnitude()),
            (true, true) => other.magnitude().cmp(&self.magnitude()),
            (negative, _) if negative => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGITS_38: &str = "12345678901234567890123456789012345678";

    fn number(text: &str) -> Number {
        text.parse().expect(text)
    }

    #[test]
    fn texts_become_canonical() {
        let ten_to_the_125 = format!("1{}", "0".repeat(125));
        let largest = format!("{}{}", "9".repeat(38), "0".repeat(88));
        let smallest = format!("0.{}1", "0".repeat(129));
        let cases = [
            ("0", "0"),
            ("-0", "0"),
            ("+0.000", "0"),
            ("-0e-99999999999999999999999", "0"),
            ("0e99999999999999999999999", "0"),
            ("1", "1"),
            ("+1", "1"),
            ("01", "1"),
            ("1.0", "1"),
            ("1e0", "1"),
            ("0.1E1", "1"),
            ("10e-1", "1"),
            ("-1.50", "-1.5"),
            ("1200", "1200"),
            ("12e2", "1200"),
            ("12.34e1", "123.4"),
            ("12.34e-1", "1.234"),
            ("12.34e-2", "0.1234"),
            ("12.34e-4", "0.001234"),
            ("-0.010", "-0.01"),
            ("101.0", "101"),
            (DIGITS_38, DIGITS_38),
            ("1.2345678901234567890123456789012345678e37", DIGITS_38),
            ("1E125", &ten_to_the_125),
            (&ten_to_the_125, &ten_to_the_125),
            ("9.9999999999999999999999999999999999999E+125", &largest),
            ("1E-130", &smallest),
            (&smallest, &smallest),
            ("0.01E+127", &ten_to_the_125),
            ("100E-132", &smallest),
            ("1e000000000000000000000000000000", "1"),
        ];
        for (text, canonical) in cases {
            assert_eq!(number(text).as_str(), canonical, "{text}");
            assert_eq!(number(canonical).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn long_texts_of_small_numbers_are_numbers() {
        let zeros = "0".repeat(100_000);
        let cases = [
            format!("{zeros}1"),
            format!("1.{zeros}"),
            format!("1{zeros}e-100000"),
            format!("0.{zeros}1e100001"),
        ];
        for text in cases {
            assert_eq!(number(&text).as_str(), "1");
        }
    }

    #[test]
    fn other_texts_are_refused_and_it_is_said_why() {
        let digits_39 = format!("{DIGITS_38}9");
        let long = "1".repeat(1_000_000);
        let cases = [
            ("", "number is empty"),
            ("-", "number is empty"),
            ("NaN", "number is NaN"),
            ("-nan", "number is NaN"),
            ("inf", "number is infinite"),
            ("-Infinity", "number is infinite"),
            (" 1", "number is malformed"),
            ("1 ", "number is malformed"),
            ("--1", "number is malformed"),
            ("+-1", "number is malformed"),
            ("1.", "number is malformed"),
            (".5", "number is malformed"),
            (".", "number is malformed"),
            ("1.2.3", "number is malformed"),
            ("1.-2", "number is malformed"),
            ("1e", "number is malformed"),
            ("1e+", "number is malformed"),
            ("1e1.5", "number is malformed"),
            ("1e1e1", "number is malformed"),
            ("e1", "number is malformed"),
            ("1_000", "number is malformed"),
            ("1,5", "number is malformed"),
            ("0x10", "number is malformed"),
            ("\u{661}", "number is malformed"),
            (&digits_39, "number has more than 38"),
            (
                "1.00000000000000000000000000000000000001",
                "number has more than 38",
            ),
            (&long, "number has more than 38"),
            ("1e126", "number is too large"),
            ("-10e125", "number is too large"),
            ("1e9223372036854775807", "number is too large"),
            ("1000e99999999999999999999999999", "number is too large"),
            ("9.99e-131", "number is too small"),
            ("0.1e-130", "number is too small"),
            ("0.001e-9223372036854775808", "number is too small"),
            ("1e-99999999999999999999999999", "number is too small"),
        ];
        for (text, reason) in cases {
            let refused = text.parse::<Number>().expect_err(text).to_string();
            assert!(refused.starts_with(reason), "{text}: {refused}");
            assert!(refused.contains("; allowed are "), "{refused}");
        }
    }

    #[test]
    fn integers_come_out_exactly_or_not_at_all() {
        let cases = [
            ("0", Some(0), Some(0)),
            ("-1", Some(-1), None),
            ("1.0", Some(1), Some(1)),
            ("1.5", None, None),
            (
                "9223372036854775807",
                Some(i64::MAX),
                Some(9_223_372_036_854_775_807),
            ),
            ("-9223372036854775808", Some(i64::MIN), None),
            ("-9223372036854775809", None, None),
            ("9223372036854775808", None, Some(9_223_372_036_854_775_808)),
            ("18446744073709551615", None, Some(u64::MAX)),
            ("18446744073709551616", None, None),
            ("1e125", None, None),
            ("1e-130", None, None),
        ];
        for (text, signed, unsigned) in cases {
            let number = number(text);
            assert_eq!(
                (number.to_i64(), number.to_u64()),
                (signed, unsigned),
                "{text}"
            );
        }
    }

    #[test]
    fn order_is_that_of_the_values() {
        let ascending = [
            "-1e125", "-10", "-9.9", "-1.5", "-1", "-0.5", "-0.05", "-1e-130", "0", "1e-130",
            "0.05", "0.5", "1", "1.5", "1.55", "2", "9.9", "10", "10.1", "12", "1e125",
        ];
        for (at, low) in ascending.iter().enumerate() {
            for (other, high) in ascending.iter().enumerate() {
                assert_eq!(
                    number(low).cmp(&number(high)),
                    at.cmp(&other),
                    "{low} {high}"
                );
            }
        }
    }

    /// Sign, significant digits and power of ten of the last of them, found another way: by
    /// moving the point to the end and cutting zeros off the text.
    fn parts(text: &str) -> (bool, String, i64) {
        let text = text.to_lowercase();
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let fraction = mantissa
            .split_once('.')
            .map_or(0, |(_, digits)| digits.len());
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let cut = digits.trim_end_matches('0');
        let exponent = exponent.parse::<i64>().unwrap() - fraction as i64;
        let exponent = exponent + (digits.len() - cut.len()) as i64;
        match cut.trim_start_matches('0') {
            "" => (false, String::new(), 0),
            cut => (mantissa.starts_with('-'), cut.to_owned(), exponent),
        }
    }

    proptest! {
        #[test]
        fn canonical_texts_keep_the_value(text in "[+-]?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
            let (_, digits, exponent) = parts(&text);
            let top = exponent + digits.len() as i64 - 1;
            let fits = digits.is_empty() || digits.len() <= 38 && (-130..=125).contains(&top);
            match text.parse::<Number>() {
                Ok(number) => {
                    prop_assert!(fits);
                    prop_assert_eq!(parts(number.as_str()), parts(&text));
                    prop_assert_eq!(number.as_str().parse::<Number>(), Ok(number.clone()));
                    prop_assert!(!number.as_str().contains(['e', 'E', '+']));
                }
                Err(_) => prop_assert!(!fits),
            }
        }

        #[test]
        fn equal_values_have_equal_texts(
            digits in "[1-9][0-9]{0,8}",
            leading in 0..40_usize,
            trailing in 0..40_usize,
            shift in -60..60_i64,
        ) {
            let plain: Number = format!("{digits}e{shift}").parse().unwrap();
            let padded = format!(
                "{}{digits}{}e{}", "0".repeat(leading), "0".repeat(trailing), shift - trailing as i64,
            );
            prop_assert_eq!(padded.parse::<Number>(), Ok(plain.clone()));
            let shifted = format!(
                "0.{}{digits}{}e{}", "0".repeat(leading), "0".repeat(trailing),
                shift + (leading + digits.len()) as i64,
            );
            prop_assert_eq!(shifted.parse::<Number>(), Ok(plain));
        }

        #[test]
        fn integers_print_sort_and_come_back_as_themselves(a: i64, b: i64, c: u64) {
            prop_assert_eq!(Number::from(a).to_string(), a.to_string());
            prop_assert_eq!(Number::from(a).as_str().parse(), Ok(Number::from(a)));
            prop_assert_eq!(Number::from(a).to_i64(), Some(a));
            prop_assert_eq!(Number::from(c).to_u64(), Some(c));
            prop_assert_eq!(Number::from(a).cmp(&Number::from(b)), a.cmp(&b));
        }

        #[test]
        fn fractions_sort_as_their_values(a in -1_000_000..1_000_000_i64, b in -1_000_000..1_000_000_i64) {
            let thousandths = |value: i64| format!("{value}e-3").parse::<Number>().unwrap();
            prop_assert_eq!(thousandths(a).cmp(&thousandths(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC*|[-+0-9.eE]{0,60}") {
            let _ = text.parse::<Number>();
        }
    }
}
