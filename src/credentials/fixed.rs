//! Credentials that somebody has already, and that stay.

use super::{Credentials, CredentialsFuture, CredentialsSource};

/// A source that always gives the same credentials, also past their end.
///
/// ```
/// use dynolock::credentials::{Credentials, CredentialsSource, FixedCredentials};
///
/// let source = FixedCredentials::new(Credentials::new("AKIDEXAMPLE", "secret")?);
/// let shared: std::sync::Arc<dyn CredentialsSource> = std::sync::Arc::new(source);
/// # Ok::<(), dynolock::credentials::InvalidCredentials>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedCredentials {
    credentials: Credentials,
}

impl FixedCredentials {
    /// Keeps the credentials to give them out.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials }
    }
}

impl CredentialsSource for FixedCredentials {
    fn credentials(&self) -> CredentialsFuture<'_> {
        Box::pin(std::future::ready(Ok(self.credentials.clone())))
    }

    fn expired(&self, _: &Credentials) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_the_same_every_time() {
        let credentials = Credentials::new("AKID", "secret").unwrap();
        let source = FixedCredentials::new(credentials.clone());
        for _ in 0..2 {
            assert_eq!(source.credentials().await, Ok(credentials.clone()));
        }
        assert!(!format!("{source:?}").contains("secret"));
    }
}
