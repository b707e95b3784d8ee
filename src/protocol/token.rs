//! A lease on its way from one process to another.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, OptionName};

/// The format of the text. Another one is refused, not guessed at.
const FORMAT: &str = "dynolock1";
/// As many values of `expires` as a condition can name.
const MOST_EXPIRES: usize = 100;

/// A held lease on its way to another process: made by [`Lease::into_token`], turned into a lease
/// again by [`Lock::resume`].
///
/// Its text has no spaces and goes into a JSON string as it is: the input of a Step Functions
/// state, a message, an environment variable. It is no secret as such, since only whoever may
/// write to the table can use it, but the first to resume it has the lock.
///
/// [`Lease::into_token`]: crate::Lease::into_token
/// [`Lock::resume`]: crate::Lock::resume
///
/// ```
/// use dynolock::LeaseToken;
///
/// let text = "dynolock1.3MUpXBZ4TgdVLh6uxqu5KX0eGLD.1795415039215.1795415040215000000";
/// let token: LeaseToken = text.parse()?;
/// assert_eq!(token.fencing_token(), 1_795_415_039_215);
/// assert_eq!(token.to_string(), text);
/// assert!("3MUpXBZ4TgdVLh6uxqu5KX0eGLD".parse::<LeaseToken>().is_err());
/// # Ok::<(), dynolock::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseToken {
    version: String,
    fence: u64,
    /// The values of `expires` that may stand; at least one.
    expires: Vec<i64>,
}

impl LeaseToken {
    /// `expires`: the values that may stand in the item.
    pub(super) fn new(version: String, fence: u64, expires: Vec<i64>) -> Self {
        Self {
            version,
            fence,
            expires,
        }
    }

    /// The fencing token, which stays the same when the lease is handed on.
    pub fn fencing_token(&self) -> u64 {
        self.fence
    }

    /// The identity of the acquisition that is handed on. Whoever resumes it gets a new one.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn expires(&self) -> &[i64] {
        &self.expires
    }
}

/// `dynolock1.VERSION.FENCE.EXPIRES`, the last with `_` between several.
impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT}.{}.{}.", self.version, self.fence)?;
        for (nth, expires) in self.expires.iter().enumerate() {
            let before = if nth == 0 { "" } else { "_" };
            write!(f, "{before}{expires}")?;
        }
        Ok(())
    }
}

/// Errors are [`is_invalid_option`](Error::is_invalid_option).
impl FromStr for LeaseToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| {
            Error::invalid_option(
                OptionName::LeaseToken,
                "it is not the text of a lease that was handed on",
            )
        })
    }
}

fn parse(text: &str) -> Option<LeaseToken> {
    let mut parts = text.split('.');
    if parts.next()? != FORMAT {
        return None;
    }
    let version = parts.next().filter(|version| is_plain(version))?;
    let fence = parts.next()?.parse().ok()?;
    let expires = parts.next()?.split('_').map(|number| number.parse().ok());
    let expires: Vec<i64> = expires.collect::<Option<_>>()?;
    let token = LeaseToken::new(version.to_owned(), fence, expires);
    // There is one text for each.
    let is_canonical = parts.next().is_none() && token.to_string() == text;
    (is_canonical && token.expires.len() <= MOST_EXPIRES).then_some(token)
}

/// What a version of ours looks like.
fn is_plain(version: &str) -> bool {
    (1..=64).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_says_all(
            version in "[0-9A-Za-z]{27}",
            fence: u64,
            expires in prop::collection::vec(any::<i64>(), 1..100),
        ) {
            let token = LeaseToken::new(version, fence, expires);
            prop_assert_eq!(token.to_string().parse::<LeaseToken>().unwrap(), token);
        }

        #[test]
        fn no_text_panics(text in "(dynolock1)?[.0-9A-Za-z_+-]{0,60}") {
            if let Ok(token) = text.parse::<LeaseToken>() {
                prop_assert_eq!(token.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let many = "1_".repeat(100);
        let long = "v".repeat(65);
        let cases = [
            "",
            "dynolock1",
            "dynolock1.v.1",
            "dynolock1.v.1.",
            "dynolock1..1.2",
            "dynolock1.v w.1.2",
            "dynolock1.v.-1.2",
            "dynolock1.v.+1.2",
            "dynolock1.v.01.2",
            "dynolock1.v.1.2_",
            "dynolock1.v.1.2.3",
            "dynolock1.v.18446744073709551616.2",
            "dynolock1.v.1.9223372036854775808",
            "dynolock2.v.1.2",
            " dynolock1.v.1.2",
            &format!("dynolock1.v.1.{many}1"),
            &format!("dynolock1.{long}.1.2"),
        ];
        for text in cases {
            let error = text.parse::<LeaseToken>().unwrap_err();
            assert!(error.is_invalid_option(), "{text}: {error}");
            assert!(error.to_string().starts_with("lease token: "), "{error}");
        }
        "dynolock1.v.1.2_-3".parse::<LeaseToken>().unwrap();
    }
}
