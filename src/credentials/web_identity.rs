//! A role for whom an identity provider vouches, as in EKS and in CI systems.

use std::path::PathBuf;

use super::fetch::Fetch;
use super::remote::{presentable, without_line_break};
use super::sts::{Role, Sts, check_arn, check_session_name};
use super::{Credentials, CredentialsError, file};
use crate::runtime::BoxFuture;

const SOURCE: &str = "web identity";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const SESSION: &str = "AWS_ROLE_SESSION_NAME";

/// Takes the token in a file to STS, for credentials of a role.
///
/// [Assume role with web identity](https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html)
#[derive(Clone, Debug)]
pub(crate) struct WebIdentity {
    role: Role,
    /// Read anew at each fetch: the token lives for minutes or hours, and is replaced.
    token_file: PathBuf,
    sts: Sts,
}

impl WebIdentity {
    /// Reads `AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN` and `AWS_ROLE_SESSION_NAME`; empty is
    /// unset. Reads no file and sends nothing yet.
    ///
    /// Errors where neither of the first two is set, where one of them is missing, where the role
    /// or the session cannot be one, and where STS cannot be asked.
    pub(crate) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<String>,
        sts: Sts,
    ) -> Result<Self, CredentialsError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let (token_file, arn) = match (set(TOKEN_FILE), set(ROLE)) {
            (Some(file), Some(arn)) => (file, arn),
            (Some(_), None) => return Err(broken(TOKEN_FILE, &but_not(ROLE))),
            // A role alone may be meant for another tool.
            (None, Some(_)) => {
                let problem = [ROLE, " is set but ", TOKEN_FILE, " is not"].concat();
                return Err(CredentialsError::new(SOURCE, problem));
            }
            (None, None) => {
                let problem = [TOKEN_FILE, " and ", ROLE, " are not set"].concat();
                return Err(CredentialsError::new(SOURCE, problem));
            }
        };
        check_arn(&arn).map_err(|problem| broken(ROLE, problem))?;
        let session_name = set(SESSION);
        if let Some(name) = &session_name {
            check_session_name(name).map_err(|problem| broken(SESSION, problem))?;
        }
        if let Some(problem) = sts.problem() {
            return Err(CredentialsError::broken(SOURCE, problem));
        }
        let role = Role {
            arn,
            session_name,
            external_id: None,
            duration_seconds: None,
        };
        Ok(Self::new(role, token_file.into(), sts))
    }

    /// The same from elsewhere. What is wrong with the role shows when it is asked for.
    pub(crate) fn new(role: Role, token_file: PathBuf, sts: Sts) -> Self {
        Self {
            role,
            token_file,
            sts,
        }
    }

    async fn token(&self) -> Result<String, CredentialsError> {
        let path = presentable(&self.token_file.to_string_lossy(), "");
        let name = ["the token file ", &path].concat();
        let text = match file::read(self.token_file.clone()).await {
            Ok(text) => text,
            Err(error) => return Err(broken(&name, &error.to_string())),
        };
        let token = without_line_break(&text);
        if token.trim_ascii().is_empty() {
            Err(broken(&name, "is empty"))
        } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = "has a line break, a space or another character that no token has";
            Err(broken(&name, problem))
        } else {
            Ok(token.into())
        }
    }
}

impl Fetch for WebIdentity {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        let identity = self.clone();
        Box::pin(async move {
            let token = identity.token().await?;
            let sts = identity.sts;
            sts.assume_role_with_web_identity(&identity.role, token)
                .await
        })
    }
}

fn but_not(other: &str) -> String {
    ["is set but ", other, " is not"].concat()
}

fn broken(name: &str, problem: &str) -> CredentialsError {
    CredentialsError::broken(SOURCE, [name, " ", problem].concat())
}

#[cfg(test)]
#[path = "web_identity_tests.rs"]
mod tests;
