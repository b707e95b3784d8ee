//! Profiles in the shared config and credentials files.

mod files;
mod merged;
mod parse;
mod resolve;
mod settings;

use std::fmt;
use std::sync::Arc;

#[cfg(any(test, feature = "__internals"))]
use self::files::Text;
use self::files::{Lookup, Selected, Texts};
use self::resolve::{Base, Plan, resolve};
pub(crate) use self::settings::Settings;
#[cfg(feature = "credentials-container")]
use super::container::Container;
use super::environment::from_environment;
use super::fetch::Fetch;
#[cfg(feature = "credentials-imds")]
use super::imds::InstanceMetadata;
use super::remote::presentable;
use super::sts::Sts;
#[cfg(feature = "credentials-web-identity")]
use super::web_identity::WebIdentity;
use super::{Credentials, CredentialsError, Trouble};
use crate::runtime::BoxFuture;
use crate::wire::{Network, Variant};

const SOURCE: &str = "profile";
/// The credentials of one profile. Both files are read anew at each fetch: they are rotated.
/// [Shared files](https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html)
pub(crate) struct Profile {
    selected: Selected,
    means: Arc<Means>,
}

impl Profile {
    /// The profile `chosen`, or else `AWS_PROFILE`, or else `default`, in the files
    /// `AWS_CONFIG_FILE`, or else `~/.aws/config`, and `AWS_SHARED_CREDENTIALS_FILE`, or else
    /// `~/.aws/credentials`.
    ///
    /// Errors where a variable names a file in a home that is not known. What a profile may lead
    /// to (`STS`, container, instance metadata) need not be set up, unless it does so.
    pub(crate) fn from_environment(
        lookup: Lookup<'_>,
        chosen: Option<&str>,
        network: &Network,
        region: Option<&str>,
        variant: Variant,
    ) -> Result<Self, CredentialsError> {
        let selected = Selected::from_environment(lookup, chosen)?;
        let sts = sts(&selected, lookup, network, region, variant);
        Ok(Self {
            selected,
            means: Arc::new(Means {
                environment: from_environment(lookup),
                #[cfg(feature = "credentials-container")]
                container: Container::from_environment(lookup, network),
                #[cfg(feature = "credentials-imds")]
                instance_metadata: InstanceMetadata::from_environment(lookup, network),
                sts,
                #[cfg(feature = "credentials-process")]
                runtime: network.runtime().clone(),
            }),
        })
    }
}

impl Fetch for Profile {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        let (selected, means) = (self.selected.clone(), self.means.clone());
        Box::pin(async move {
            let plan = plan(&selected, &selected.read().await?)?;
            let got = means.carry_out(plan).await;
            got.map_err(|error| within(&selected.name, &error))
        })
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Profile").field(&self.selected.name).finish()
    }
}

/// What the profile says about the client, read at once.
///
/// The choice of profile and files is that of [`Profile::from_environment`]. Nothing where there
/// is no profile `default`. Errors where another does not exist, and where a file or a setting
/// cannot be read, naming file and line. It blocks for as long as the file system does.
pub(crate) fn settings(
    lookup: Lookup<'_>,
    chosen: Option<&str>,
) -> Result<Settings, CredentialsError> {
    let selected = Selected::from_environment(lookup, chosen)?;
    let texts = selected.read_now()?;
    let merged = texts.merged()?;
    match selected.check(&merged, &texts) {
        Ok(()) => settings::of_profile(&merged, &selected.name, ignored(lookup)),
        Err(error) if error.trouble() == Trouble::Absent => Ok(Settings::default()),
        Err(error) => Err(error),
    }
}

/// What the environment says about endpoint URLs that are configured; `None` where nothing.
fn ignored(lookup: Lookup<'_>) -> Option<bool> {
    settings::truth(&lookup("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")?)
}

/// Takes both files apart and resolves a profile, as far as that goes without fetching.
#[cfg(any(test, feature = "__internals"))]
pub(crate) fn check_text(
    config: &str,
    credentials: &str,
    profile: &str,
) -> Result<(), CredentialsError> {
    let text = |name: &str, content: &str| Text {
        name: name.into(),
        content: content.into(),
    };
    let texts = Texts {
        config: text("config", config),
        credentials: text("credentials", credentials),
    };
    let merged = texts.merged()?;
    settings::of_profile(&merged, profile, None)?;
    resolve(&merged, profile).map(drop)
}

/// STS, which is where the profile says, unless a variable says it.
fn sts(
    selected: &Selected,
    lookup: Lookup<'_>,
    network: &Network,
    region: Option<&str>,
    variant: Variant,
) -> Result<Sts, CredentialsError> {
    const URL: &str = "AWS_ENDPOINT_URL_STS";
    let is_set = |name| lookup(name).is_some_and(|value| !value.is_empty());
    let mut url = None;
    if !is_set(URL) && !is_set("AWS_ENDPOINT_URL") {
        let texts = selected.read_now()?;
        url = settings::endpoint_url(&texts.merged()?, &selected.name, "sts", ignored(lookup))?;
    }
    let with_profile = |name: &str| match &url {
        Some(url) if name == URL => Some(url.clone()),
        _ => lookup(name),
    };
    Sts::from_environment(&with_profile, network, region, variant)
}
fn plan(selected: &Selected, texts: &Texts) -> Result<Plan, CredentialsError> {
    let merged = texts.merged()?;
    selected.check(&merged, texts)?;
    resolve(&merged, &selected.name)
}

/// What a plan is carried out with; where it is not set up, why.
struct Means {
    environment: Result<Credentials, CredentialsError>,
    #[cfg(feature = "credentials-container")]
    container: Result<Container, CredentialsError>,
    #[cfg(feature = "credentials-imds")]
    instance_metadata: Result<InstanceMetadata, CredentialsError>,
    sts: Result<Sts, CredentialsError>,
    #[cfg(feature = "credentials-process")]
    runtime: Arc<dyn crate::runtime::Runtime>,
}

impl Means {
    async fn carry_out(&self, plan: Plan) -> Result<Credentials, CredentialsError> {
        let mut credentials = match plan.base {
            Base::Keys(keys) => keys,
            Base::Environment => self.environment.clone()?,
            #[cfg(feature = "credentials-container")]
            Base::Container => fetch(&self.container).await?,
            #[cfg(feature = "credentials-imds")]
            Base::InstanceMetadata => fetch(&self.instance_metadata).await?,
            #[cfg(feature = "credentials-web-identity")]
            Base::WebIdentity { role, token_file } => {
                let sts = self.sts.clone()?;
                WebIdentity::new(role, token_file.into(), sts)
                    .fetch()
                    .await?
            }
            #[cfg(feature = "credentials-process")]
            Base::Process(command) => super::process::run(&command, &*self.runtime).await?,
        };
        for role in &plan.roles {
            let sts = self.sts.clone()?;
            credentials = sts.assume_role(role, &credentials).await?;
        }
        Ok(credentials)
    }
}

#[cfg(any(feature = "credentials-container", feature = "credentials-imds"))]
async fn fetch(
    source: &Result<impl Fetch, CredentialsError>,
) -> Result<Credentials, CredentialsError> {
    match source {
        Ok(source) => source.fetch().await,
        Err(error) => Err(error.clone()),
    }
}

/// The error of what a profile leads to. It is never absent: the profile asked for it.
fn within(profile: &str, error: &CredentialsError) -> CredentialsError {
    let whole = error.to_string();
    let reason = whole.strip_prefix("no credentials: ").unwrap_or(&whole);
    let problem = ["the profile ", profile, " leads to ", reason].concat();
    match error.trouble() {
        Trouble::Unavailable => CredentialsError::unavailable(SOURCE, presentable(&problem, "")),
        Trouble::Absent | Trouble::Broken => broken(&problem),
    }
}

/// There is nothing, which is no mistake.
fn absent(problem: &str) -> CredentialsError {
    CredentialsError::new(SOURCE, presentable(problem, ""))
}

fn broken(problem: &str) -> CredentialsError {
    CredentialsError::broken(SOURCE, presentable(problem, ""))
}

#[cfg(test)]
mod tests;
