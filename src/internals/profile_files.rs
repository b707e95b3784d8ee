//! Configuration and credentials files, and the JSON that credentials come in.

use serde_json::Value;

use crate::credentials::{document, profile};

/// The data is a configuration file, a credentials file and the name of a profile, with a line
/// `---` between them.
pub fn body(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(3, "\n---\n");
    let mut part = || parts.next().unwrap_or_default();
    let (config, credentials, name) = (part(), part(), part());
    if let Err(error) = profile::check_text(config, credentials, name.trim_end()) {
        let shown = error.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
        for secret in secrets(config).chain(secrets(credentials)) {
            if name.contains(secret) || !shown.contains(secret) {
                continue;
            }
            // A secret can be made of our own words; those stay where it is another.
            let other = |file: &str| file.replace(secret, &"Q".repeat(secret.len()));
            let again = profile::check_text(&other(config), &other(credentials), name.trim_end());
            let again = again.err().map(|error| error.to_string());
            assert!(again.is_some_and(|it| it.contains(secret)), "{shown:?}");
        }
    }

    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    for field in ["Token", "SessionToken"] {
        if let Err(error) = document::credentials(&value, field) {
            // In words of our own: nothing of the document is repeated.
            assert!(error.len() < 100 && error.is_ascii(), "{error}");
        }
    }
}

/// Values of secret settings, so long and in the file but once that no other word can be meant.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim().to_lowercase();
        let secret = ["aws_secret_access_key", "aws_session_token"].contains(&key.as_str());
        Some(value.trim()).filter(|value| secret && value.len() >= 8)
    });
    values.filter(|value| text.matches(value).count() == 1)
}
