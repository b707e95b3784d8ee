//! Providers made for the AWS SDKs.

use std::fmt;
use std::sync::Arc;

use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError as ProviderError;

use super::fetch::Fetch;
use super::{Credentials, CredentialsError};
use crate::runtime::BoxFuture;

/// What a provider says is shown up to here, in bytes.
const LONGEST_SHOWN: usize = 512;

/// A provider as a source.
pub(crate) struct Provided<P>(Arc<P>);

impl<P> Provided<P> {
    pub(crate) fn new(provider: P) -> Self {
        Self(Arc::new(provider))
    }
}

impl<P: ProvideCredentials + 'static> Fetch for Provided<P> {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        let provider = self.0.clone();
        Box::pin(async move {
            match provider.provide_credentials().await {
                Ok(credentials) => Credentials::from_aws(&credentials)
                    .map_err(|invalid| CredentialsError::broken("provider", invalid.to_string())),
                Err(error) => Err(of_provider(&error)),
            }
        })
    }
}

fn of_provider(error: &ProviderError) -> CredentialsError {
    let mut reason = error.to_string();
    let mut behind = std::error::Error::source(error);
    while let Some(cause) = behind {
        reason.push_str(": ");
        reason.push_str(&cause.to_string());
        behind = cause.source();
    }
    let reason = crate::wire::printable(&reason, LONGEST_SHOWN);
    match error {
        ProviderError::CredentialsNotLoaded(_) | ProviderError::InvalidConfiguration(_) => {
            CredentialsError::broken("provider", reason)
        }
        _ => CredentialsError::unavailable("provider", reason),
    }
}

impl<P: fmt::Debug> fmt::Debug for Provided<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provided")
    }
}
