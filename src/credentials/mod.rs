//! Who signs: access keys, and where they come from.
//!
//! One file a source. What a source reads is passed in, so that parsing stays pure.

mod cache;
mod chain;
#[cfg(feature = "credentials-container")]
mod container;
#[cfg(any(
    feature = "credentials-container",
    feature = "credentials-imds",
    feature = "credentials-process",
    feature = "credentials-web-identity",
    feature = "credentials-profile",
    test
))]
pub(crate) mod document;
mod environment;
mod fetch;
#[cfg(any(
    feature = "__tls",
    feature = "credentials-container",
    feature = "credentials-web-identity",
    feature = "credentials-profile"
))]
mod file;
mod fixed;
#[cfg(feature = "credentials-imds")]
mod imds;
#[cfg(feature = "credentials-process")]
mod process;
#[cfg(feature = "credentials-profile")]
pub(crate) mod profile;
mod provided;
#[cfg(any(
    feature = "credentials-container",
    feature = "credentials-imds",
    feature = "credentials-web-identity",
    feature = "credentials-profile"
))]
mod remote;
#[cfg(any(feature = "credentials-web-identity", feature = "credentials-profile"))]
mod sts;
#[cfg(feature = "credentials-web-identity")]
mod web_identity;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

pub(crate) use cache::Cached;
pub(crate) use chain::{Setting, default_source};
#[cfg(feature = "__tls")]
pub(crate) use file::read_bytes_now as read_file;
pub use fixed::FixedCredentials;
#[cfg(feature = "credentials-profile")]
pub(crate) use profile::settings;
pub(crate) use provided::Provided;

/// An AWS access key: its id, its secret, and for a temporary one the session token and its end.
///
/// `Debug` shows the id alone; the secret and the token are wiped from memory when dropped.
/// [AWS security credentials](https://docs.aws.amazon.com/IAM/latest/UserGuide/security-creds.html)
///
/// ```
/// use dynolock::credentials::Credentials;
///
/// let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI")?.session_token("FwoGZXIvYXdzE")?;
/// assert_eq!(credentials.access_key_id(), "AKIDEXAMPLE");
/// assert!(!format!("{credentials:?}").contains("wJalrXUtnFEMI"));
/// # Ok::<(), dynolock::credentials::InvalidCredentials>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    inner: aws_credential_types::Credentials,
}

impl Credentials {
    /// Takes a key id and its secret as they are, without a session token and without an end.
    ///
    /// # Errors
    /// Where one of them is empty or has whitespace or anything else that is not printable ASCII.
    pub fn new(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<String>,
    ) -> Result<Self, InvalidCredentials> {
        let (id, secret) = (access_key_id.into(), secret_access_key.into());
        check(&id, "access key id")?;
        check(&secret, "secret access key")?;
        Ok(Self::assemble(id, secret, None, None))
    }

    /// Adds the session token that belongs to a temporary key.
    ///
    /// # Errors
    /// Where it is empty or has whitespace or anything else that is not printable ASCII.
    ///
    /// ```
    /// # use dynolock::credentials::Credentials;
    /// let error = Credentials::new("AKIDEXAMPLE", "secret")?.session_token("broken\n").unwrap_err();
    /// assert_eq!(error.to_string(), "the session token has whitespace in it");
    /// # Ok::<(), dynolock::credentials::InvalidCredentials>(())
    /// ```
    pub fn session_token(self, token: impl Into<String>) -> Result<Self, InvalidCredentials> {
        let token = token.into();
        check(&token, "session token")?;
        let old = &self.inner;
        let (id, secret) = (old.access_key_id().into(), old.secret_access_key().into());
        Ok(Self::assemble(id, secret, Some(token), old.expiry()))
    }

    /// States when these stop being accepted. Without it they are taken to last for ever.
    ///
    /// ```
    /// # use dynolock::credentials::Credentials;
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// let end = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    /// let credentials = Credentials::new("AKIDEXAMPLE", "secret")?.expires_at(end);
    /// assert_eq!(credentials.expiry(), Some(end));
    /// # Ok::<(), dynolock::credentials::InvalidCredentials>(())
    /// ```
    #[must_use]
    pub fn expires_at(mut self, end: SystemTime) -> Self {
        *self.inner.expiry_mut() = Some(end);
        self
    }

    /// The id of the key, which is no secret.
    pub fn access_key_id(&self) -> &str {
        self.inner.access_key_id()
    }

    /// When these stop being accepted; `None` where they last, or nobody said.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.inner.expiry()
    }

    /// Takes over what a provider of the SDKs gives.
    fn from_aws(other: &aws_credential_types::Credentials) -> Result<Self, InvalidCredentials> {
        let mut credentials = Self::new(other.access_key_id(), other.secret_access_key())?;
        if let Some(token) = other.session_token() {
            credentials = credentials.session_token(token)?;
        }
        Ok(match other.expiry() {
            Some(end) => credentials.expires_at(end),
            None => credentials,
        })
    }

    /// The same as the signer has it.
    pub(crate) fn as_aws(&self) -> &aws_credential_types::Credentials {
        &self.inner
    }

    fn assemble(
        id: String,
        secret: String,
        token: Option<String>,
        end: Option<SystemTime>,
    ) -> Self {
        Self {
            inner: aws_credential_types::Credentials::new(id, secret, token, end, "dynolock"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id())
            .finish_non_exhaustive()
    }
}

fn check(value: &str, part: &'static str) -> Result<(), InvalidCredentials> {
    let problem = if value.is_empty() {
        "is empty"
    } else if value.contains(char::is_whitespace) {
        "has whitespace in it"
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        "has characters in it that are not printable ASCII"
    } else {
        return Ok(());
    };
    Err(InvalidCredentials { part, problem })
}

/// A part of the credentials cannot be what AWS has issued. It names the part, never its value.
///
/// ```
/// use dynolock::credentials::Credentials;
///
/// let error = Credentials::new("", "secret").unwrap_err();
/// assert_eq!(error.to_string(), "the access key id is empty");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {part} {problem}")]
pub struct InvalidCredentials {
    part: &'static str,
    problem: &'static str,
}

/// What [`CredentialsSource::credentials`] gives back.
pub type CredentialsFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Credentials, CredentialsError>> + Send + 'a>>;

/// Somewhere that credentials come from. Asked before every attempt, so it keeps what it has.
///
/// A source that fetches (from a file, a metadata service, STS) caches what it got and fetches
/// anew before [`Credentials::expiry`]. The future may be dropped at any point.
///
/// ```
/// use dynolock::credentials::{Credentials, CredentialsError, CredentialsFuture, CredentialsSource};
///
/// #[derive(Debug)]
/// struct Vault;
///
/// impl CredentialsSource for Vault {
///     fn credentials(&self) -> CredentialsFuture<'_> {
///         Box::pin(async {
///             Credentials::new("AKIDEXAMPLE", "secret")
///                 .map_err(|error| CredentialsError::new("vault", error.to_string()))
///         })
///     }
/// }
/// ```
pub trait CredentialsSource: Send + Sync + fmt::Debug + 'static {
    /// Gives credentials to sign one attempt with.
    ///
    /// # Errors
    /// Where the source has none, with the reason.
    fn credentials(&self) -> CredentialsFuture<'_>;

    /// Learns that AWS took credentials of this source for expired, or does not know them. One
    /// that keeps them fetches anew. Gives whether there may be others, which is so by default;
    /// where not, nobody waits for them.
    fn expired(&self, credentials: &Credentials) -> bool {
        let _ = credentials;
        true
    }

    /// What a call under way has tried so far and is waiting for, for the error of whoever cannot
    /// wait any longer. `None`, the default, where there is nothing to tell.
    fn waiting_for(&self) -> Option<CredentialsError> {
        None
    }
}

/// No source had credentials. It lists each source that was tried, and why it had nothing.
///
/// ```
/// use dynolock::credentials::CredentialsError;
///
/// let error = CredentialsError::new("environment", "AWS_ACCESS_KEY_ID is not set")
///     .and(CredentialsError::unavailable("vault", "no answer within 1000 ms"));
/// assert_eq!(
///     error.to_string(),
///     "no credentials: environment (AWS_ACCESS_KEY_ID is not set), vault (no answer within 1000 ms)",
/// );
/// assert!(error.is_passing());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsError {
    tried: Vec<(Box<str>, Box<str>)>,
    /// That of the last source tried.
    trouble: Trouble,
}

/// What is the matter with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not set up here; the next may be asked.
    Absent,
    /// It is set up, and wrongly so, or it refuses.
    Broken,
    /// It cannot be asked now; another try may do.
    Unavailable,
}

impl CredentialsError {
    /// One source, by name, and why it has nothing: it is not set up, so others may be asked.
    ///
    /// The reason must not hold a secret. That goes for all of these.
    pub fn new(source: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(Trouble::Absent, source, reason)
    }

    /// A source that is set up, but wrongly, or that refuses: no other is asked in its place.
    ///
    /// ```
    /// use dynolock::credentials::CredentialsError;
    ///
    /// assert!(!CredentialsError::broken("vault", "no such role").is_passing());
    /// ```
    pub fn broken(source: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(Trouble::Broken, source, reason)
    }

    /// A source that cannot be asked now. Whoever waits for a lock asks again.
    pub fn unavailable(source: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(Trouble::Unavailable, source, reason)
    }

    fn of(trouble: Trouble, source: impl Into<String>, reason: impl Into<String>) -> Self {
        // What files, variables and servers say is repeated in it.
        let one_line = |text: String| text.replace(char::is_control, " ").into();
        Self {
            tried: vec![(one_line(source.into()), one_line(reason.into()))],
            trouble,
        }
    }

    /// This error, followed by what the sources after it had to say.
    #[must_use]
    pub fn and(mut self, later: Self) -> Self {
        self.tried.extend(later.tried);
        self.trouble = later.trouble;
        self
    }

    /// Whether another try may fare better.
    pub fn is_passing(&self) -> bool {
        self.trouble == Trouble::Unavailable
    }

    /// What is the matter with the last source tried.
    pub(crate) fn trouble(&self) -> Trouble {
        self.trouble
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no credentials")?;
        for (nth, (source, reason)) in self.tried.iter().enumerate() {
            f.write_str(if nth == 0 { ": " } else { ", " })?;
            f.write_str(source)?;
            f.write_str(" (")?;
            f.write_str(reason)?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for CredentialsError {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn debug_shows_the_key_id_alone() {
        let credentials = Credentials::new("AKIDEXAMPLE", "top-secret")
            .unwrap()
            .session_token("my-token")
            .unwrap()
            .expires_at(UNIX_EPOCH);
        assert_eq!(
            format!("{credentials:?}"),
            r#"Credentials { access_key_id: "AKIDEXAMPLE", .. }"#
        );
        assert!(!format!("{credentials:#?}").contains("secret"));
    }

    #[test]
    fn a_token_and_an_end_join_in_either_order() {
        let end = UNIX_EPOCH + Duration::from_secs(7);
        let bare = || Credentials::new("AKID", "secret").unwrap();
        let one = bare().session_token("token").unwrap().expires_at(end);
        let other = bare().expires_at(end).session_token("token").unwrap();
        for credentials in [one, other] {
            assert_eq!(credentials.access_key_id(), "AKID");
            assert_eq!(credentials.as_aws().secret_access_key(), "secret");
            assert_eq!(credentials.as_aws().session_token(), Some("token"));
            assert_eq!(credentials.expiry(), Some(end));
        }
        assert_eq!(bare().expiry(), None);
        assert_eq!(bare().as_aws().session_token(), None);
    }

    #[test]
    fn an_error_is_one_line() {
        let error = CredentialsError::broken("a\nb", "two\r\nlines\u{1b}[0m");
        assert_eq!(error.to_string(), "no credentials: a b (two  lines [0m)");
    }

    #[test]
    fn bad_parts_are_named_and_not_shown() {
        const CASES: [(&str, &str, &str); 8] = [
            ("", "s", "the access key id is empty"),
            ("AKID", "", "the secret access key is empty"),
            ("AKID\n", "s", "the access key id has whitespace in it"),
            (
                "AKID",
                "XYZZY ",
                "the secret access key has whitespace in it",
            ),
            (
                "AKID",
                "XY\u{a0}ZZY",
                "the secret access key has whitespace in it",
            ),
            (
                "AK\0ID",
                "s",
                "the access key id has characters in it that are not printable ASCII",
            ),
            (
                "AKID",
                "XYZZY\u{7f}",
                "the secret access key has characters in it that are not printable ASCII",
            ),
            (
                "AKID",
                "XYZZÝ",
                "the secret access key has characters in it that are not printable ASCII",
            ),
        ];
        for (id, secret, message) in CASES {
            let error = Credentials::new(id, secret).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(!format!("{error:?}").contains("XY"));
        }
        let good = Credentials::new("AKID", "s").unwrap();
        let error = good.clone().session_token("").unwrap_err();
        assert_eq!(error.to_string(), "the session token is empty");
        let error = good.session_token("a\tb").unwrap_err();
        assert_eq!(error.to_string(), "the session token has whitespace in it");
    }
}
