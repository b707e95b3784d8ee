//! From a profile to a plan: whose keys to begin with, and which roles to take on with them.

use super::merged::{Found, Merged};
use super::{absent, broken};
use crate::credentials::sts::{Role, check_arn, check_session_name};
use crate::credentials::{Credentials, CredentialsError};

/// More roles in a row than this are taken for a mistake. Each is a request to STS.
const MOST_ROLES: usize = 16;

/// What STS may be asked for.
/// [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html)
const DURATIONS: std::ops::RangeInclusive<u32> = 900..=43_200;

const NO_SSO: &str = "is not supported: use credential_process = aws configure export-credentials --format process --profile ...";

/// How a profile's credentials are come by.
pub(super) struct Plan {
    pub(super) base: Base,
    /// Taken on in this order, each signed for by what came before.
    pub(super) roles: Vec<Role>,
}

/// The credentials at the beginning.
pub(super) enum Base {
    Keys(Credentials),
    Environment,
    #[cfg(feature = "credentials-container")]
    Container,
    #[cfg(feature = "credentials-imds")]
    InstanceMetadata,
    #[cfg(feature = "credentials-web-identity")]
    WebIdentity {
        role: Role,
        token_file: String,
    },
    /// The command of a `credential_process`, which may have a secret in it.
    #[cfg(feature = "credentials-process")]
    Process(String),
}

/// Makes the plan for a profile that exists.
///
/// Of what a profile may have, the first counts: `role_arn` with `web_identity_token_file`;
/// `role_arn` with `source_profile` or `credential_source`; IAM Identity Center (which is an
/// error here, unless there are keys or a `credential_process`); keys; `credential_process`;
/// `credential_source`. In a profile that another names as its source, keys come first of all.
/// That is the order of the AWS CLI and botocore; the SDK for Rust takes
/// `credential_process` before keys.
/// [Precedence](https://docs.aws.amazon.com/cli/latest/userguide/cli-chap-configure.html#configure-precedence),
/// [assume role](https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html)
///
/// Errors where the profile has no credentials (absent), and where something is wrong with it or
/// with one that it leads to.
pub(super) fn resolve(merged: &Merged<'_>, name: &str) -> Result<Plan, CredentialsError> {
    let mut profile = Profile { merged, name };
    let mut visited = vec![name];
    let mut roles = Vec::new();
    let base = loop {
        if visited.len() > 1
            && let Some(keys) = profile.keys()?
        {
            break Some(Base::Keys(keys));
        }
        let Some(role) = profile.role_with_source()? else {
            break profile.base()?;
        };
        roles.push(role);
        let next = match (
            profile.get("source_profile")?,
            profile.get("credential_source")?,
        ) {
            (Some(_), Some(source)) => {
                return Err(
                    source.broken(&profile.says("has both source_profile and credential_source"))
                );
            }
            (None, None) => {
                let problem = "has role_arn, but neither source_profile nor credential_source nor web_identity_token_file";
                return Err(profile.broken(problem));
            }
            (None, Some(source)) => break Some(named(&source)?),
            (Some(next), None) => next,
        };
        if next.value == profile.name {
            break profile.base()?;
        }
        if visited.contains(&next.value) {
            visited.push(next.value);
            let problem = ["the source profiles go in circles: ", &visited.join(" -> ")];
            return Err(next.broken(&problem.concat()));
        }
        if !merged.has_profile(next.value) {
            let problem = [
                "there is no profile ",
                next.value,
                " to be the source of ",
                profile.name,
            ];
            return Err(next.broken(&problem.concat()));
        }
        if visited.len() == MOST_ROLES {
            return Err(next.broken(&profile.says("is one too many in a row of source profiles")));
        }
        visited.push(next.value);
        profile.name = next.value;
    };
    roles.reverse();
    match base {
        Some(base) => Ok(Plan { base, roles }),
        None if roles.is_empty() => Err(absent(&profile.says("has no credentials"))),
        None => Err(profile.broken("is a source profile, but has no credentials")),
    }
}

/// One profile of the two files.
struct Profile<'a> {
    merged: &'a Merged<'a>,
    name: &'a str,
}

impl<'a> Profile<'a> {
    fn get(&self, key: &str) -> Result<Option<Found<'a>>, CredentialsError> {
        self.merged.get(self.name, key)
    }

    fn says(&self, problem: &str) -> String {
        ["the profile ", self.name, " ", problem].concat()
    }

    fn broken(&self, problem: &str) -> CredentialsError {
        broken(&self.says(problem))
    }

    /// The pair of keys, and perhaps their token.
    fn keys(&self) -> Result<Option<Credentials>, CredentialsError> {
        const ID: &str = "aws_access_key_id";
        const SECRET: &str = "aws_secret_access_key";
        let half = |found: Found<'_>, has: &str, lacks: &str| {
            let problem = ["has ", has, " but no ", lacks].concat();
            Err(found.broken(&self.says(&problem)))
        };
        let (id, secret) = match (self.get(ID)?, self.get(SECRET)?) {
            (None, None) => return Ok(None),
            (Some(id), Some(secret)) => (id, secret),
            (Some(id), None) => return half(id, ID, SECRET),
            (None, Some(secret)) => return half(secret, SECRET, ID),
        };
        let keys = Credentials::new(id.value, secret.value);
        let keys = keys.map_err(|invalid| id.broken(&invalid.to_string()))?;
        match self.get("aws_session_token")? {
            None => Ok(Some(keys)),
            Some(token) => match keys.session_token(token.value) {
                Ok(keys) => Ok(Some(keys)),
                Err(invalid) => Err(token.broken(&invalid.to_string())),
            },
        }
    }

    /// The role, unless it is one by web identity, which needs no keys to begin with.
    fn role_with_source(&self) -> Result<Option<Role>, CredentialsError> {
        if self.get("web_identity_token_file")?.is_some() {
            return Ok(None);
        }
        self.role()
    }

    fn role(&self) -> Result<Option<Role>, CredentialsError> {
        let Some(arn) = self.get("role_arn")? else {
            return Ok(None);
        };
        check_arn(arn.value).map_err(|problem| arn.broken(&["role_arn ", problem].concat()))?;
        let session = self.get("role_session_name")?;
        if let Some(session) = session {
            check_session_name(session.value)
                .map_err(|problem| session.broken(&["role_session_name ", problem].concat()))?;
        }
        if let Some(serial) = self.get("mfa_serial")? {
            return Err(
                serial.broken("mfa_serial is not supported: nobody can be asked for a code")
            );
        }
        let duration_seconds = match self.get("duration_seconds")? {
            None => None,
            Some(found) => match found.value.parse() {
                Ok(seconds) if DURATIONS.contains(&seconds) => Some(seconds),
                _ => return Err(found.broken("duration_seconds is not a number from 900 to 43200")),
            },
        };
        Ok(Some(Role {
            arn: arn.value.to_owned(),
            session_name: session.map(owned),
            external_id: self.get("external_id")?.map(owned),
            duration_seconds,
        }))
    }

    /// What the profile has without regard to a source; `None` where that is nothing.
    fn base(&self) -> Result<Option<Base>, CredentialsError> {
        if let Some(file) = self.get("web_identity_token_file")? {
            return match self.role()? {
                Some(role) => web_identity(role, &file).map(Some),
                None => Err(file.broken(&self.says("has web_identity_token_file but no role_arn"))),
            };
        }
        let command = self.get("credential_process")?;
        let keys = self.keys()?;
        for key in [
            "sso_session",
            "sso_start_url",
            "sso_account_id",
            "sso_role_name",
        ] {
            match (self.get(key)?, &command) {
                // Tools write keys beside it for those who have no single sign-on.
                _ if keys.is_some() => {}
                (Some(_), Some(command)) => return process(command).map(Some),
                (Some(found), None) => return Err(found.broken(&[key, " ", NO_SSO].concat())),
                (None, _) => {}
            }
        }
        if let Some(keys) = keys {
            return Ok(Some(Base::Keys(keys)));
        }
        if let Some(command) = command {
            return process(&command).map(Some);
        }
        if let Some(found) = self.get("login_session")? {
            return Err(found.broken(&["login_session ", NO_SSO].concat()));
        }
        match self.get("credential_source")? {
            Some(source) => named(&source).map(Some),
            None => Ok(None),
        }
    }
}

fn owned(found: Found<'_>) -> String {
    found.value.to_owned()
}

/// What a `credential_source` names.
fn named(source: &Found<'_>) -> Result<Base, CredentialsError> {
    match source.value {
        "Environment" => Ok(Base::Environment),
        #[cfg(feature = "credentials-container")]
        "EcsContainer" => Ok(Base::Container),
        #[cfg(not(feature = "credentials-container"))]
        "EcsContainer" => Err(without(source, "credentials-container")),
        #[cfg(feature = "credentials-imds")]
        "Ec2InstanceMetadata" => Ok(Base::InstanceMetadata),
        #[cfg(not(feature = "credentials-imds"))]
        "Ec2InstanceMetadata" => Err(without(source, "credentials-imds")),
        _ => Err(source.broken(
            "credential_source is none of Environment, Ec2InstanceMetadata and EcsContainer",
        )),
    }
}

#[cfg(feature = "credentials-process")]
fn process(command: &Found<'_>) -> Result<Base, CredentialsError> {
    Ok(Base::Process(command.value.to_owned()))
}

#[cfg(not(feature = "credentials-process"))]
fn process(command: &Found<'_>) -> Result<Base, CredentialsError> {
    Err(without(command, "credentials-process"))
}

#[cfg(feature = "credentials-web-identity")]
fn web_identity(role: Role, file: &Found<'_>) -> Result<Base, CredentialsError> {
    let token_file = file.value.to_owned();
    Ok(Base::WebIdentity { role, token_file })
}

#[cfg(not(feature = "credentials-web-identity"))]
fn web_identity(_: Role, file: &Found<'_>) -> Result<Base, CredentialsError> {
    Err(without(file, "credentials-web-identity"))
}

/// What the profile asks for, this program is built without.
#[cfg(not(all(
    feature = "credentials-container",
    feature = "credentials-imds",
    feature = "credentials-process",
    feature = "credentials-web-identity"
)))]
fn without(found: &Found<'_>, feature: &str) -> CredentialsError {
    let problem = [
        "this needs the feature ",
        feature,
        ", which this program is built without",
    ];
    found.broken(&problem.concat())
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
