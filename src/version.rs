//! The version of an acquisition: a KSUID, as dyno writes it.
//!
//! Twenty bytes, big-endian: seconds since 2014-05-13T16:53:20Z, then 128 random bits. They are
//! written in base 62 (`0-9A-Za-z`), padded to 27 characters, so that later versions sort later.
//! Follows <https://github.com/segmentio/ksuid>.

/// Unix time of second zero.
const EPOCH: i64 = 1_400_000_000;
/// Characters of a KSUID.
const LENGTH: usize = 27;
/// The 20 bytes as an integer, most significant limb first: seconds, then the random bits.
type Limbs = [u32; 5];

/// Writes a KSUID for a moment in Unix seconds.
///
/// A moment outside 2014 to 2150, which is all that fits, becomes the nearest that does.
pub(crate) fn ksuid(unix_seconds: i64, random: [u8; 16]) -> String {
    let seconds = unix_seconds.saturating_sub(EPOCH).max(0);
    let random = u128::from_be_bytes(random);
    let mut limbs: Limbs = [
        u32::try_from(seconds).unwrap_or(u32::MAX),
        (random >> 96) as u32,
        (random >> 64) as u32,
        (random >> 32) as u32,
        random as u32,
    ];
    let mut digits = [0; LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = divide_by_62(&mut limbs);
    }
    digits.into_iter().map(character).collect()
}

/// Reads the Unix time in seconds from a KSUID; `None` where `text` is none.
pub(crate) fn ksuid_time(text: &str) -> Option<u64> {
    if text.len() != LENGTH {
        return None;
    }
    let mut limbs: Limbs = [0; 5];
    for byte in text.bytes() {
        multiply_by_62_and_add(&mut limbs, digit(byte)?)?;
    }
    let [seconds, ..] = limbs;
    Some(EPOCH.unsigned_abs() + u64::from(seconds))
}

/// Leaves the quotient, returns the remainder.
fn divide_by_62(limbs: &mut Limbs) -> u8 {
    let mut remainder = 0;
    for limb in limbs {
        let part = (remainder << 32) | u64::from(*limb);
        // Both fit: the remainder carried in is below 62.
        *limb = (part / 62) as u32;
        remainder = part % 62;
    }
    remainder as u8
}

/// `None` on overflow.
fn multiply_by_62_and_add(limbs: &mut Limbs, digit: u8) -> Option<()> {
    let mut carry = u64::from(digit);
    for limb in limbs.iter_mut().rev() {
        let part = u64::from(*limb) * 62 + carry;
        *limb = part as u32;
        carry = part >> 32;
    }
    (carry == 0).then_some(())
}

fn character(digit: u8) -> char {
    char::from(match digit {
        0..=9 => b'0' + digit,
        10..=35 => b'A' + (digit - 10),
        _ => b'a' + (digit - 36),
    })
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'Z' => Some(byte - b'A' + 10),
        b'a'..=b'z' => Some(byte - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: &str = "aWgEPTl1tmebfsQzFP4bxwgy80V";

    /// The example in the KSUID project's README, and both ends of the range.
    #[test]
    fn published_examples() {
        let cases = [
            (
                "0ujtsYcgvSTl8PAuAdqWYSMnLOv",
                107_608_047,
                0xB5A1_CD34_B5F9_9D11_54FB_6853_345C_9735,
            ),
            ("000000000000000000000000000", 0, 0),
            (MAX, i64::from(u32::MAX), u128::MAX),
        ];
        for (text, seconds, random) in cases {
            assert_eq!(ksuid(EPOCH + seconds, random.to_be_bytes()), text);
            assert_eq!(ksuid_time(text), u64::try_from(EPOCH + seconds).ok());
        }
    }

    /// Versions that dyno v1.2.4 wrote, with the end of the lease, in seconds, that went with each.
    #[test]
    fn versions_written_by_dyno_tell_when_they_were_made() {
        let cases = [
            ("3MUqy7204PG3sIFbscIb5CA8Jpe", 1_795_415_746, 1),
            ("3MUqyG9mKSN9sRZsCmDiXfa72no", 1_795_415_747, 1),
            ("3MUpXBZ4TgdVLh6uxqu5KX0eGLD", 1_795_415_039, 2),
        ];
        for (version, expires, window) in cases {
            let made = ksuid_time(version).expect(version);
            assert!(
                made <= expires && expires - made <= window,
                "{version} made {made}, expires {expires}"
            );
        }
    }

    #[test]
    fn moments_outside_the_range_become_the_nearest_inside() {
        let last = EPOCH + i64::from(u32::MAX);
        let cases = [
            (i64::MIN, EPOCH),
            (-1, EPOCH),
            (EPOCH - 1, EPOCH),
            (last + 1, last),
            (i64::MAX, last),
        ];
        for (given, nearest) in cases {
            assert_eq!(ksuid(given, [7; 16]), ksuid(nearest, [7; 16]), "{given}");
        }
    }

    #[test]
    fn other_texts_are_no_version() {
        let cases = [
            "",
            "0ujtsYcgvSTl8PAuAdqWYSMnLO",
            "0ujtsYcgvSTl8PAuAdqWYSMnLOv0",
            "0ujtsYcgvSTl8PAuAdqWYSMnLO-",
            "0ujtsYcgvSTl8PAuAdqWYSMnL\u{e4}",
            // One more than the largest, and the largest text of 27 characters.
            "aWgEPTl1tmebfsQzFP4bxwgy80W",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ];
        for text in cases {
            assert_eq!(ksuid_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_time_comes_back(seconds: u32, random: [u8; 16]) {
            let moment = EPOCH + i64::from(seconds);
            let text = ksuid(moment, random);
            prop_assert_eq!(text.len(), LENGTH);
            prop_assert_eq!(ksuid_time(&text), u64::try_from(moment).ok());
        }

        #[test]
        fn texts_sort_as_the_bytes_do(a: (u32, [u8; 16]), b: (u32, [u8; 16])) {
            let text = |(seconds, random)| ksuid(EPOCH + i64::from(seconds), random);
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}|[0-9A-Za-z]{27}") {
            // Most texts of 27 digits fit; those above the largest do not.
            let expected = text.len() == LENGTH
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && text.as_str() <= MAX;
            prop_assert_eq!(ksuid_time(&text).is_some(), expected);
        }
    }
}
