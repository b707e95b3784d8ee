//! The JSON that container hosts, instance metadata and credential processes answer with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Map, Value};

use super::Credentials;

/// Reads `AccessKeyId`, `SecretAccessKey`, `Expiration` and the session token, which goes by
/// `token_field` (`Token` or `SessionToken`). Expiration and token may be missing or null.
///
/// The error says what is wrong, in words that show no value.
pub(crate) fn credentials(document: &Value, token_field: &str) -> Result<Credentials, String> {
    let Value::Object(fields) = document else {
        return Err("is not a JSON object".into());
    };
    let id = text(fields, "AccessKeyId")?.ok_or("has no AccessKeyId")?;
    let secret = text(fields, "SecretAccessKey")?.ok_or("has no SecretAccessKey")?;
    let mut credentials = Credentials::new(id, secret).map_err(|error| error.to_string())?;
    if let Some(token) = text(fields, token_field)? {
        credentials = credentials
            .session_token(token)
            .map_err(|error| error.to_string())?;
    }
    Ok(match text(fields, "Expiration")? {
        Some(end) => credentials
            .expires_at(timestamp(end).ok_or("has an Expiration that is no RFC 3339 timestamp")?),
        None => credentials,
    })
}

/// A field that is a string; `None` where it is missing or null.
pub(crate) fn text<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a str>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(["has a ", name, " that is not a string"].concat()),
    }
}

/// A time such as `2026-01-31T12:00:00Z`, with or without a fraction and an offset, after 1970.
/// [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339)
pub(crate) fn timestamp(text: &str) -> Option<SystemTime> {
    let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    let seconds = u64::try_from(time.secs()).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, time.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Credentials, String> {
        credentials(&serde_json::from_str(json).unwrap(), "Token")
    }

    #[test]
    fn a_whole_document() {
        let got = read(
            r#"{"Code":"Success","AccessKeyId":"AKID","SecretAccessKey":"s","Token":"t","Expiration":"1970-01-01T00:00:07Z"}"#,
        )
        .unwrap();
        let expected = Credentials::new("AKID", "s")
            .unwrap()
            .session_token("t")
            .unwrap()
            .expires_at(UNIX_EPOCH + Duration::from_secs(7));
        assert_eq!(got, expected);
        assert_eq!(got.as_aws().session_token(), Some("t"));
    }

    #[test]
    fn token_and_end_may_be_missing_or_null() {
        for json in [
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"s"}"#,
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"s","Token":null,"Expiration":null}"#,
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"s","SessionToken":"another field"}"#,
        ] {
            assert_eq!(read(json), Ok(Credentials::new("AKID", "s").unwrap()));
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_shown() {
        for (json, problem) in [
            ("[]", "is not a JSON object"),
            ("{}", "has no AccessKeyId"),
            (r#"{"AccessKeyId":"AKID"}"#, "has no SecretAccessKey"),
            (
                r#"{"AccessKeyId":"AKID","SecretAccessKey":7}"#,
                "has a SecretAccessKey that is not a string",
            ),
            (
                r#"{"AccessKeyId":"AKID","SecretAccessKey":"XYZZY\n"}"#,
                "the secret access key has whitespace in it",
            ),
            (
                r#"{"AccessKeyId":"AKID","SecretAccessKey":"s","Token":""}"#,
                "the session token is empty",
            ),
            (
                r#"{"AccessKeyId":"AKID","SecretAccessKey":"s","Expiration":"tomorrow"}"#,
                "has an Expiration that is no RFC 3339 timestamp",
            ),
        ] {
            assert_eq!(read(json).unwrap_err(), problem);
        }
    }

    #[test]
    fn timestamps_come_in_several_forms() {
        let at = |secs, nanos| Some(UNIX_EPOCH + Duration::new(secs, nanos));
        assert_eq!(timestamp("1970-01-01T00:00:00Z"), at(0, 0));
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00"), at(0, 0));
        assert_eq!(timestamp("2026-01-31T12:00:00Z"), at(1_769_860_800, 0));
        assert_eq!(
            timestamp("2026-01-31T12:00:00.25+00:00"),
            at(1_769_860_800, 250_000_000)
        );
        for bad in ["", "1", "2026-01-31", "1969-12-31T23:59:59Z", "9999999999"] {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
    }
}
