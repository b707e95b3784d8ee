//! What a profile says beside its credentials.

use super::merged::{Found, Merged};
use crate::credentials::CredentialsError;

/// What a client takes from the profile where nothing nearer says it.
/// [Settings](https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) region: Option<String>,
    /// Where DynamoDB is: as the services section has it, or else the profile for all services.
    pub(crate) endpoint_url: Option<String>,
    pub(crate) fips: Option<bool>,
    pub(crate) dual_stack: Option<bool>,
    /// The path of a file with root certificates.
    pub(crate) ca_bundle: Option<String>,
}

/// Reads the settings of a profile that exists.
///
/// `ignored` is what the environment says about endpoint URLs, which comes before the profile.
/// Errors where a switch is neither true nor false, and where a services section is missing.
pub(super) fn of_profile(
    merged: &Merged<'_>,
    name: &str,
    ignored: Option<bool>,
) -> Result<Settings, CredentialsError> {
    let text = |key| Ok(merged.get(name, key)?.map(|found| found.value.to_owned()));
    Ok(Settings {
        region: text("region")?,
        endpoint_url: endpoint_url(merged, name, "dynamodb", ignored)?,
        fips: switch(merged, name, "use_fips_endpoint")?,
        dual_stack: switch(merged, name, "use_dualstack_endpoint")?,
        ca_bundle: text("ca_bundle")?,
    })
}

/// The URL for a service, named as in a services section; `None` where none is to be used.
/// [Service-specific endpoints](https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html)
pub(super) fn endpoint_url(
    merged: &Merged<'_>,
    name: &str,
    service: &str,
    ignored: Option<bool>,
) -> Result<Option<String>, CredentialsError> {
    const URL: &str = "endpoint_url";
    let in_profile = switch(merged, name, "ignore_configured_endpoint_urls")?;
    if ignored.or(in_profile) == Some(true) {
        return Ok(None);
    }
    let mut found = None;
    if let Some(services) = merged.get(name, "services")? {
        found = match merged.service(services.value, service, URL) {
            Some(found) => found?,
            None => {
                let problem = ["there is no section [services ", services.value, "]"];
                return Err(services.broken(&problem.concat()));
            }
        };
    }
    if found.is_none() {
        found = merged.get(name, URL)?;
    }
    Ok(found.map(|found| found.value.to_owned()))
}

fn switch(merged: &Merged<'_>, name: &str, key: &str) -> Result<Option<bool>, CredentialsError> {
    match merged.get(name, key)? {
        None => Ok(None),
        Some(found) => match truth(found.value) {
            Some(truth) => Ok(Some(truth)),
            None => Err(neither(&found, key)),
        },
    }
}

fn neither(found: &Found<'_>, key: &str) -> CredentialsError {
    found.broken(&[key, " is neither true nor false"].concat())
}

/// `true` and `false`, in any case.
pub(super) fn truth(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
