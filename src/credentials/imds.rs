//! Credentials of the role of an EC2 instance, from its metadata service, version 2.

use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, HeaderValue};
use ::http::{Method, Response, StatusCode, Uri};
use bytes::Bytes;
use serde_json::Value;

use super::fetch::Fetch;
use super::remote::{Remote, is_passing, is_safe, presentable};
use super::{Credentials, CredentialsError, document};
use crate::runtime::BoxFuture;
use crate::wire::{Endpoint, Network, SendError};

const SOURCE: &str = "instance metadata";
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";

const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";

const TOKEN_PATH: &str = "/latest/api/token";
const ROLES_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const LIFE: &str = "x-aws-ec2-metadata-token-ttl-seconds";
/// Six hours, the longest that there is.
const LONGEST_LIFE: &str = "21600";

const HOP_LIMIT: &str = "in a container this is usually the hop limit in the metadata options of \
    the instance, which is 1 and has to be 2";

/// How long the service may take to answer. It is on the same machine.
const LIMIT: Duration = Duration::from_secs(1);

/// Asks the metadata service for a session, for the role, and for the role's credentials. Version
/// 1, which does without a session, is never spoken.
///
/// [Security credentials from instance metadata](https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html)
#[derive(Clone, Debug)]
pub(crate) struct InstanceMetadata {
    remote: Remote,
}

impl InstanceMetadata {
    /// Reads `AWS_EC2_METADATA_DISABLED`, `AWS_EC2_METADATA_SERVICE_ENDPOINT` and
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE`; empty is unset. Sends nothing yet.
    ///
    /// Errors where it is disabled, where a value is none that there is, and where the endpoint
    /// would bring credentials in the clear from another host than a loopback or link-local one.
    /// [IMDS credential provider](https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html)
    pub(crate) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<String>,
        network: &Network,
    ) -> Result<Self, CredentialsError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        match set(DISABLED) {
            Some(value) if value.eq_ignore_ascii_case("true") => {
                return Err(absent(&["switched off by ", DISABLED].concat()));
            }
            _ => {}
        }
        let mode = match set(MODE) {
            Some(mode) if mode.eq_ignore_ascii_case("IPv6") => IPV6,
            Some(mode) if !mode.eq_ignore_ascii_case("IPv4") => {
                return Err(broken(MODE, "is neither IPv4 nor IPv6"));
            }
            _ => IPV4,
        };
        let url = set(ENDPOINT).unwrap_or_else(|| mode.into());
        let endpoint = Endpoint::parse(&url).map_err(|error| {
            broken(ENDPOINT, &["cannot be used: ", &error.to_string()].concat())
        })?;
        if !is_safe(&endpoint) {
            let problem = "is a plain http URL whose host is neither loopback nor link-local: \
                credentials come from there by https only";
            return Err(broken(ENDPOINT, problem));
        }
        match Remote::new(SOURCE, &endpoint, network, LIMIT) {
            Ok(mut remote) => {
                remote.only_if_present = true;
                Ok(Self { remote })
            }
            Err(problem) => Err(CredentialsError::broken(SOURCE, problem)),
        }
    }

    async fn ask(self) -> Result<Credentials, CredentialsError> {
        // A session may end early, as when the instance is moved; a new one does not.
        match self.within_a_session().await? {
            Some(credentials) => Ok(credentials),
            None => match self.within_a_session().await? {
                Some(credentials) => Ok(credentials),
                None => Err(self
                    .remote
                    .broken("does not accept the token that it gave out")),
            },
        }
    }

    /// `None` where the service does not know the session.
    async fn within_a_session(&self) -> Result<Option<Credentials>, CredentialsError> {
        let remote = &self.remote;
        let token = self.token().await?;
        let answer = self.get(ROLES_PATH, &token).await?;
        let role = match answer.status() {
            StatusCode::OK => role(answer.body()).map_err(|problem| remote.broken(problem))?,
            StatusCode::UNAUTHORIZED => return Ok(None),
            StatusCode::NOT_FOUND => None,
            _ => return Err(remote.refused(&answer, is_passing, " when asked for the role")),
        };
        let Some(role) = role else {
            return Err(absent("no role is attached to the instance"));
        };
        let answer = self.get(&[ROLES_PATH, role].concat(), &token).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Ok(None),
            _ => return Err(remote.refused(&answer, is_passing, " when asked for credentials")),
        }
        match credentials(answer.body(), token.to_str().unwrap_or_default()) {
            Ok(credentials) => Ok(Some(credentials)),
            Err(problem) => Err(remote.broken(&problem)),
        }
    }

    /// Begins a session.
    async fn token(&self) -> Result<HeaderValue, CredentialsError> {
        let remote = &self.remote;
        let request = || {
            let mut request = remote.request(Method::PUT, Uri::from_static(TOKEN_PATH));
            let life = HeaderValue::from_static(LONGEST_LIFE);
            request.headers_mut().insert(LIFE, life);
            // Some that stand in for the service wait for a body otherwise.
            request.headers_mut().insert(CONTENT_LENGTH, 0.into());
            Ok(request)
        };
        let answer = match remote.ask(&request, is_passing).await {
            Ok(answer) => answer,
            // Most machines are no instances.
            Err(SendError::NotSent(problem)) => return Err(absent(&problem)),
            Err(error) => {
                let problem = [&error.to_string(), "; ", HOP_LIMIT].concat();
                return Err(remote.unavailable(&problem));
            }
        };
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(absent("switched off for this instance")),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                return Err(absent("what answers does not speak IMDSv2"));
            }
            _ => return Err(remote.refused(&answer, is_passing, " when asked for a token")),
        }
        let body = answer.body();
        let is_plain = !body.is_empty() && body.iter().all(u8::is_ascii_graphic);
        match HeaderValue::from_bytes(body) {
            Ok(mut token) if is_plain => {
                token.set_sensitive(true);
                Ok(token)
            }
            _ => Err(remote.broken("the token cannot be one")),
        }
    }

    async fn get(
        &self,
        path: &str,
        token: &HeaderValue,
    ) -> Result<Response<Bytes>, CredentialsError> {
        let remote = &self.remote;
        let request = || {
            let uri = path.parse().map_err(|_| "the path cannot be one")?;
            let mut request = remote.request(Method::GET, uri);
            request.headers_mut().insert(TOKEN, token.clone());
            Ok(request)
        };
        let answer = remote.ask(&request, is_passing).await;
        answer.map_err(|error| remote.unavailable(&error.to_string()))
    }
}

impl Fetch for InstanceMetadata {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        Box::pin(self.clone().ask())
    }
}

/// The name of the role in a list of at most one; `None` where the list is empty.
fn role(list: &[u8]) -> Result<Option<&str>, &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    let list = std::str::from_utf8(list).unwrap_or("?").trim_ascii();
    match list.lines().next() {
        None => Ok(None),
        Some(name) if name.len() <= 64 && name.bytes().all(fits) => Ok(Some(name)),
        Some(_) => Err("the name of the role cannot be one"),
    }
}

fn credentials(answer: &[u8], token: &str) -> Result<Credentials, String> {
    let about = |problem: String| ["the answer ", &problem].concat();
    let Ok(document) = serde_json::from_slice::<Value>(answer) else {
        return Err(about("is not JSON".into()));
    };
    let code = document.get("Code").and_then(Value::as_str);
    if let Some(code) = code
        && code != "Success"
    {
        let message = document.get("Message").and_then(Value::as_str);
        let said = [code, ": ", message.unwrap_or_default()].concat();
        return Err(["has no credentials: ", &presentable(&said, token)].concat());
    }
    document::credentials(&document, "Token").map_err(about)
}

fn absent(problem: &str) -> CredentialsError {
    CredentialsError::new(SOURCE, problem)
}

fn broken(name: &str, problem: &str) -> CredentialsError {
    CredentialsError::broken(SOURCE, [name, " ", problem].concat())
}

#[cfg(test)]
#[path = "imds_tests.rs"]
mod tests;
