//! Values of arguments: durations, keys, numbers.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dynolock::{KeyValue, Number};

use crate::exit::Exit;

/// `500ms`, `30s`, `5m`, `1h`, `1d`; also `1.5s`, and several in a row: `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let hint = "a number and ms, s, m, h or d, such as 500ms, 30s or 1h30m";
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while let Some(end) = rest.find(|c: char| !c.is_ascii_digit() && c != '.') {
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let millis = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 60e3,
            "h" => 3600e3,
            "d" => 86_400e3,
            _ => return Err(format!("the unit `{unit}` is unknown; it must be {hint}")),
        };
        let number: f64 = number.parse().map_err(|_| format!("it must be {hint}"))?;
        let part = Duration::try_from_secs_f64(number * millis / 1e3);
        let part = part.map_err(|_| "it is too long".to_owned())?;
        sum = sum.checked_add(part).ok_or("it is too long")?;
        rest = after;
    }
    match rest {
        "" if !text.is_empty() => Ok(sum),
        "0" if text == "0" => Ok(sum),
        _ => Err(format!("the unit is missing; it must be {hint}")),
    }
}

/// A duration as [`duration`] reads it.
pub(crate) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 1000, millis / 1000) {
        (0, seconds) if seconds % 3600 == 0 && seconds > 0 => format!("{}h", seconds / 3600),
        (0, seconds) if seconds % 60 == 0 && seconds > 0 => format!("{}m", seconds / 60),
        (0, seconds) => format!("{seconds}s"),
        (_, _) => format!("{millis}ms"),
    }
}

/// One attribute of a key: its name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPart {
    pub(crate) name: String,
    pub(crate) value: KeyValue,
}

/// `id=job-1`, `n:seq=7`, `b:hash=3q2+7w==`; `s:n:a=x` for a name that begins as a type does.
pub(crate) fn key_part(text: &str) -> Result<KeyPart, String> {
    let (kind, rest) = match text.split_once(':') {
        Some((kind @ ("s" | "n" | "b"), rest)) => (kind, rest),
        _ => ("s", text),
    };
    let hint = "name=value for a string, n:name=42 for a number, or b:name=BASE64 for bytes";
    let Some((name, value)) = rest.split_once('=') else {
        return Err(format!("there is no `=`; it must be {hint}"));
    };
    if name.is_empty() {
        return Err(format!("the name is empty; it must be {hint}"));
    }
    let value = match kind {
        "n" => {
            let number = value.parse::<Number>();
            KeyValue::N(number.map_err(|error| format!("`{value}` is no number: {error}"))?)
        }
        "b" => {
            let bytes = STANDARD.decode(value);
            KeyValue::B(bytes.map_err(|error| format!("`{value}` is not base64: {error}"))?)
        }
        _ => KeyValue::S(value.to_owned()),
    };
    let is_empty = match &value {
        KeyValue::S(text) => text.is_empty(),
        KeyValue::B(bytes) => bytes.is_empty(),
        KeyValue::N(_) => false,
    };
    if is_empty {
        return Err("the value is empty, which DynamoDB does not allow in a key".into());
    }
    Ok(KeyPart {
        name: name.to_owned(),
        value,
    })
}

impl KeyPart {
    /// The attribute without its value.
    pub(crate) fn key_name(&self) -> KeyName {
        KeyName {
            name: self.name.clone(),
            kind: match self.value {
                KeyValue::S(_) => 'S',
                KeyValue::N(_) => 'N',
                KeyValue::B(_) => 'B',
            },
        }
    }
}

impl fmt::Display for KeyPart {
    /// As [`key_part`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.value {
            KeyValue::S(text) => {
                let explicit = matches!(name.split_once(':'), Some(("s" | "n" | "b", _)));
                write!(f, "{}{name}={text}", if explicit { "s:" } else { "" })
            }
            KeyValue::N(number) => write!(f, "n:{name}={}", number.as_str()),
            KeyValue::B(bytes) => write!(f, "b:{name}={}", STANDARD.encode(bytes)),
        }
    }
}

/// A status to exit with.
pub(crate) fn exit_status(text: &str) -> Result<Exit, String> {
    let status = text.parse().map(Exit);
    status.map_err(|_| "it must be a whole number from 0 to 255".into())
}

/// A number of nanoseconds, as `status` shows it.
pub(crate) fn nanos(text: &str) -> Result<i64, String> {
    let nanos = text.parse().ok().filter(|nanos: &i64| *nanos > 0);
    nanos.ok_or_else(|| "it must be nanoseconds, as `dynolock status` shows under `expires`".into())
}

/// The name of an attribute of a table's key, and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyName {
    pub(crate) name: String,
    pub(crate) kind: char,
}

impl fmt::Display for KeyName {
    /// As [`key_name`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            'S' if !self.name.contains(':') => write!(f, "{}", self.name),
            kind => write!(f, "{}:{kind}", self.name),
        }
    }
}

/// `id`, `id:S`, `seq:N`, `hash:B`.
pub(crate) fn key_name(text: &str) -> Result<KeyName, String> {
    let (name, kind) = match text.rsplit_once(':') {
        Some((name, kind)) => (name, kind),
        None => (text, "S"),
    };
    let kind = match kind {
        "S" | "s" => 'S',
        "N" | "n" => 'N',
        "B" | "b" => 'B',
        _ => {
            return Err(format!(
                "the type `{kind}` is unknown; it must be S, N or B, as in id:S"
            ));
        }
    };
    match name {
        "" => Err("the name is empty; it must be as in id or id:S".into()),
        _ => Ok(KeyName {
            name: name.to_owned(),
            kind,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("500ms", ms(500)),
            ("30s", ms(30_000)),
            ("5m", ms(300_000)),
            ("1h", ms(3_600_000)),
            ("1d", ms(86_400_000)),
            ("1.5s", ms(1500)),
            ("1h30m", ms(5_400_000)),
            ("0s", ms(0)),
            ("0", ms(0)),
            ("0.001s", ms(1)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            "5",
            "s",
            "ms",
            "-5s",
            "+5s",
            "5 s",
            "5S",
            "5sec",
            "5s3",
            ".s",
            "1..5s",
            "1e3s",
            "inf",
            "NaN",
            "99999999999999999999999d",
            "1s-",
            "ü",
            "5µs",
            " 5s",
            "0x5s",
            "00",
            ".",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["500ms", "30s", "5m", "1h", "90s", "0s", "1500ms", "24h"] {
            assert_eq!(show(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn keys_are_read_and_shown_alike() {
        for (text, name, value) in [
            ("id=job-1", "id", "job-1".into()),
            ("id=a=b:c", "id", "a=b:c".into()),
            ("n:seq=7", "seq", KeyValue::from(7)),
            ("b:h=3q2+7w==", "h", vec![0xde, 0xad, 0xbe, 0xef].into()),
            ("s:n:x=1", "n:x", "1".into()),
            ("x:y=1", "x:y", "1".into()),
        ] {
            let part = key_part(text).unwrap();
            assert_eq!((part.name.as_str(), &part.value), (name, &value), "{text}");
            assert_eq!(part.to_string(), text);
        }
        assert_eq!(key_part("n:seq=7.0"), key_part("n:seq=7"));
    }

    #[test]
    fn malformed_keys_say_why() {
        for (text, expected) in [
            ("", "there is no `=`"),
            ("id", "there is no `=`"),
            ("=x", "the name is empty"),
            ("n:=1", "the name is empty"),
            ("id=", "the value is empty"),
            ("b:h=", "the value is empty"),
            ("n:seq=", "is no number"),
            ("n:seq=x", "`x` is no number"),
            ("b:h=!", "is not base64"),
        ] {
            let error = key_part(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(exit_status("0"), Ok(Exit(0)));
        assert_eq!(exit_status("255"), Ok(Exit(255)));
        for text in ["", "-1", "256", "x", "1.0", " 1"] {
            assert!(exit_status(text).is_err(), "{text}");
        }
        assert_eq!(nanos("1795415039214849567"), Ok(1_795_415_039_214_849_567));
        for text in ["", "0", "-1", "9223372036854775808", "1e9", "2026-11-25"] {
            assert!(nanos(text).is_err(), "{text}");
        }
    }

    #[test]
    fn key_names_have_a_type() {
        let name = |name: &str, kind| {
            Ok(KeyName {
                name: name.into(),
                kind,
            })
        };
        assert_eq!(key_name("id"), name("id", 'S'));
        assert_eq!(key_name("id:N"), name("id", 'N'));
        assert_eq!(key_name("a:b:s"), name("a:b", 'S'));
        for text in ["", ":S", "id:", "id:SS", "a:c"] {
            assert!(key_name(text).is_err(), "{text}");
        }
    }
}
