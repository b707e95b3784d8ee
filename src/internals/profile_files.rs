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
            assert!(
                name.contains(secret) || !shown.contains(secret),
                "{shown:?}"
            );
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

/// Values of secret settings in the alphabet of real ones, so long and in the file but once that
/// no word of ours or of the file can be meant.
fn secrets(text: &str) -> impl Iterator<Item = &str> {
    let values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim().to_lowercase();
        let secret = ["aws_secret_access_key", "aws_session_token"].contains(&key.as_str());
        let real = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        Some(value.trim()).filter(|value| secret && value.len() >= 16 && value.bytes().all(real))
    });
    values.filter(|value| text.matches(value).count() == 1)
}
