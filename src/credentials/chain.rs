//! The sources that are asked one after the other, as every AWS tool does it.

use std::fmt;
use std::sync::Arc;

use super::cache::Cached;
use super::environment::from_environment;
use super::fetch::Fetch;
use super::{Credentials, CredentialsError, CredentialsSource, FixedCredentials, Trouble};
use crate::runtime::BoxFuture;
use crate::wire::{Network, Variant};

/// What the sources are set up with.
#[cfg_attr(
    not(any(feature = "credentials-web-identity", feature = "credentials-profile")),
    expect(dead_code, reason = "only STS has a region")
)]
pub(crate) struct Setting<'a> {
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    /// The profile that was named to the builder.
    pub(crate) profile: Option<&'a str>,
    pub(crate) network: &'a Network,
    pub(crate) region: &'a str,
    pub(crate) variant: Variant,
}

/// The first source that is set up: environment variables, web identity, profile, container,
/// instance metadata. A profile that was named comes before the environment variables.
///
/// Nothing is sent yet. Errors where none of them is set up, and where the first that is cannot
/// work; it lists each, with the reason.
/// [Credential providers](https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html)
pub(crate) fn default_source(
    setting: &Setting<'_>,
) -> Result<Arc<dyn CredentialsSource>, CredentialsError> {
    let mut candidates = Vec::new();
    if setting.profile.is_none() {
        match from_environment(setting.lookup) {
            Ok(credentials) => return Ok(Arc::new(FixedCredentials::new(credentials))),
            Err(error) if error.trouble() == Trouble::Absent => candidates.push(Err(error)),
            Err(error) => return Err(error),
        }
    }
    candidates.push(web_identity(setting));
    candidates.push(profile(setting));
    candidates.push(container(setting));
    candidates.push(instance_metadata(setting));
    let chain = Chain::of(candidates)?;
    let runtime = setting.network.runtime().clone();
    Ok(Arc::new(Cached::new(Arc::new(chain), runtime)))
}

/// A source, or why it is none.
type Candidate = Result<Arc<dyn Fetch>, CredentialsError>;

#[cfg(feature = "credentials-web-identity")]
fn web_identity(setting: &Setting<'_>) -> Candidate {
    use super::{sts::Sts, web_identity::WebIdentity};

    let sts = Sts::from_environment(
        setting.lookup,
        setting.network,
        Some(setting.region),
        setting.variant,
    )?;
    Ok(Arc::new(WebIdentity::from_environment(
        setting.lookup,
        sts,
    )?))
}

#[cfg(not(feature = "credentials-web-identity"))]
fn web_identity(setting: &Setting<'_>) -> Candidate {
    missing(
        setting,
        "web identity",
        &["AWS_WEB_IDENTITY_TOKEN_FILE"],
        "credentials-web-identity",
    )
}

#[cfg(feature = "credentials-profile")]
fn profile(setting: &Setting<'_>) -> Candidate {
    Ok(Arc::new(super::profile::Profile::from_environment(
        setting.lookup,
        setting.profile,
        setting.network,
        Some(setting.region),
        setting.variant,
    )?))
}

#[cfg(not(feature = "credentials-profile"))]
fn profile(setting: &Setting<'_>) -> Candidate {
    let variables = [
        "AWS_PROFILE",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    ];
    missing(setting, "profile", &variables, "credentials-profile")
}

#[cfg(feature = "credentials-container")]
fn container(setting: &Setting<'_>) -> Candidate {
    let source = super::container::Container::from_environment(setting.lookup, setting.network)?;
    Ok(Arc::new(source))
}

#[cfg(not(feature = "credentials-container"))]
fn container(setting: &Setting<'_>) -> Candidate {
    let variables = [
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    missing(setting, "container", &variables, "credentials-container")
}

#[cfg(feature = "credentials-imds")]
fn instance_metadata(setting: &Setting<'_>) -> Candidate {
    let source = super::imds::InstanceMetadata::from_environment(setting.lookup, setting.network)?;
    Ok(Arc::new(source))
}

#[cfg(not(feature = "credentials-imds"))]
fn instance_metadata(setting: &Setting<'_>) -> Candidate {
    missing(setting, "instance metadata", &[], "credentials-imds")
}

/// A source that this program is built without.
#[cfg(not(all(
    feature = "credentials-web-identity",
    feature = "credentials-profile",
    feature = "credentials-container",
    feature = "credentials-imds"
)))]
fn missing(setting: &Setting<'_>, source: &str, variables: &[&str], feature: &str) -> Candidate {
    let is_set = |name: &&&str| (setting.lookup)(name).is_some_and(|value| !value.is_empty());
    let built_without = ["this program is built without the feature ", feature];
    let reason = match variables.iter().find(is_set) {
        Some(variable) => [variable, " is set, but ", &built_without.concat()].concat(),
        None => built_without.concat(),
    };
    Err(CredentialsError::new(source, reason))
}

/// Sources in their order. One that is absent is passed over; any other speaks for all.
#[derive(Clone)]
struct Chain {
    candidates: Arc<[Candidate]>,
}

impl Chain {
    /// Errors where nothing can ever come of it.
    fn of(candidates: Vec<Candidate>) -> Result<Self, CredentialsError> {
        let mut tried = None;
        for candidate in &candidates {
            match candidate {
                Ok(_) => {
                    return Ok(Self {
                        candidates: candidates.into(),
                    });
                }
                Err(error) => {
                    let error = add(tried, error.clone());
                    if error.trouble() != Trouble::Absent {
                        return Err(error);
                    }
                    tried = Some(error);
                }
            }
        }
        Err(tried.unwrap_or_else(no_source))
    }

    async fn ask(self) -> Result<Credentials, CredentialsError> {
        let mut tried = None;
        for candidate in self.candidates.iter() {
            let got = match candidate {
                Ok(source) => source.fetch().await,
                Err(error) => Err(error.clone()),
            };
            match got {
                Ok(credentials) => return Ok(credentials),
                Err(error) => {
                    let error = add(tried, error);
                    if error.trouble() != Trouble::Absent {
                        return Err(error);
                    }
                    tried = Some(error);
                }
            }
        }
        Err(tried.unwrap_or_else(no_source))
    }
}

fn add(before: Option<CredentialsError>, error: CredentialsError) -> CredentialsError {
    match before {
        Some(before) => before.and(error),
        None => error,
    }
}

fn no_source() -> CredentialsError {
    CredentialsError::new("chain", "there is no source in it")
}

impl Fetch for Chain {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        Box::pin(self.clone().ask())
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.candidates.iter().flatten();
        f.debug_list().entries(sources).finish()
    }
}
