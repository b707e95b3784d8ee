//! The sources that are asked one after the other, as every AWS tool does it.

use std::sync::Arc;
#[cfg(any(feature = "__chain", test))]
use std::{
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

#[cfg(any(feature = "__chain", test))]
use super::Credentials;
use super::environment::from_environment;
use super::fetch::Fetch;
use super::{CredentialsError, CredentialsSource, FixedCredentials, Trouble};
#[cfg(any(feature = "__chain", test))]
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
/// instance metadata. A profile that was named comes before what variables say.
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
        candidates.push(web_identity(setting));
    }
    candidates.push(profile(setting));
    candidates.push(container(setting));
    candidates.push(instance_metadata(setting));
    check(&candidates)?;
    in_turn(candidates, setting)
}

#[cfg(feature = "__chain")]
fn in_turn(
    candidates: Vec<Candidate>,
    setting: &Setting<'_>,
) -> Result<Arc<dyn CredentialsSource>, CredentialsError> {
    let chain = Arc::new(Chain::of(candidates));
    let runtime = setting.network.runtime().clone();
    Ok(Arc::new(super::cache::Cached::new(chain, runtime)))
}

/// No source that is asked is built in.
#[cfg(not(feature = "__chain"))]
fn in_turn(
    _: Vec<Candidate>,
    _: &Setting<'_>,
) -> Result<Arc<dyn CredentialsSource>, CredentialsError> {
    Err(no_source())
}

/// Errors where nothing can ever come of it.
fn check(candidates: &[Candidate]) -> Result<(), CredentialsError> {
    let mut tried = None;
    for candidate in candidates {
        match candidate {
            Ok(_) => return Ok(()),
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
    missing(setting, "profile", &["AWS_PROFILE"], "credentials-profile")
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

/// A source that this program is built without. Where it is set up, another must not step in for
/// it in silence: it may have other permissions.
#[cfg(not(all(
    feature = "credentials-web-identity",
    feature = "credentials-profile",
    feature = "credentials-container",
    feature = "credentials-imds"
)))]
fn missing(setting: &Setting<'_>, source: &str, variables: &[&str], feature: &str) -> Candidate {
    let is_set = |name: &&&str| (setting.lookup)(name).is_some_and(|value| !value.is_empty());
    let built_without = ["this program is built without the feature ", feature];
    Err(match variables.iter().find(is_set) {
        Some(variable) => {
            let reason = [variable, " is set, but ", &built_without.concat()].concat();
            CredentialsError::broken(source, reason)
        }
        None => CredentialsError::new(source, built_without.concat()),
    })
}

/// Sources in their order. One that is absent is passed over; any other speaks for all, and once
/// it has given something, for good: a file that is caught half written must not change who we are.
#[derive(Clone)]
#[cfg(any(feature = "__chain", test))]
struct Chain {
    candidates: Arc<[Candidate]>,
    /// The place of the source that has given something.
    chosen: Arc<OnceLock<usize>>,
    /// What a fetch under way has tried, and what it waits for.
    waiting: Arc<Mutex<Option<CredentialsError>>>,
}

#[cfg(any(feature = "__chain", test))]
impl Chain {
    fn of(candidates: Vec<Candidate>) -> Self {
        Self {
            candidates: candidates.into(),
            chosen: Arc::default(),
            waiting: Arc::default(),
        }
    }

    async fn ask(self) -> Result<Credentials, CredentialsError> {
        if let Some(Ok(source)) = self.chosen.get().and_then(|at| self.candidates.get(*at)) {
            return source.fetch().await.map_err(|error| match error.trouble() {
                // It was there, and may be again.
                Trouble::Absent => error.and(CredentialsError::unavailable(
                    "chain",
                    "it had credentials before",
                )),
                Trouble::Broken | Trouble::Unavailable => error,
            });
        }
        let mut tried = None;
        for (at, candidate) in self.candidates.iter().enumerate() {
            let got = match candidate {
                Ok(source) => {
                    self.waits_for(tried.clone(), source);
                    source.fetch().await
                }
                Err(error) => Err(error.clone()),
            };
            match got {
                Ok(credentials) => {
                    // Another fetch may have come to another end; the first counts.
                    let _ = self.chosen.set(at);
                    self.waits_for_nothing();
                    return Ok(credentials);
                }
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

    fn waits_for(&self, tried: Option<CredentialsError>, source: &Arc<dyn Fetch>) {
        let name = format!("{source:?}");
        let waiting = add(tried, CredentialsError::unavailable(name, "no answer yet"));
        *self.waiting() = Some(waiting);
    }

    fn waits_for_nothing(&self) {
        *self.waiting() = None;
    }

    fn waiting(&self) -> MutexGuard<'_, Option<CredentialsError>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(any(feature = "__chain", test))]
impl Fetch for Chain {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        Box::pin(self.clone().ask())
    }

    fn waiting_for(&self) -> Option<CredentialsError> {
        self.waiting().clone()
    }
}

#[cfg(any(feature = "__chain", test))]
impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.candidates.iter().flatten();
        f.debug_list().entries(sources).finish()
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
