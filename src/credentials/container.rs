//! Credentials that a container's host has for it: ECS, EKS Pod Identity, Lambda SnapStart.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, HeaderValue};
use ::http::{Method, StatusCode, Uri};
use serde_json::Value;

use super::fetch::Fetch;
use super::remote::{Remote, is_passing, is_safe, presentable, without_line_break};
use super::{Credentials, CredentialsError, document, file};
use crate::runtime::BoxFuture;
use crate::wire::{Endpoint, Network};

const SOURCE: &str = "container";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

/// Where the agent of ECS is.
const AGENT: &str = "http://169.254.170.2";

/// How long the host may take to answer. It is next door, but may have to ask AWS first.
const LIMIT: Duration = Duration::from_secs(5);

/// Asks the host that `AWS_CONTAINER_CREDENTIALS_*_URI` names, with the token of
/// `AWS_CONTAINER_AUTHORIZATION_TOKEN*`.
///
/// [Container credentials](https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html)
#[derive(Clone)]
pub(crate) struct Container {
    remote: Remote,
    /// Whoever knows it can ask, so it is not shown.
    path: Uri,
    token: Token,
}

/// What the host is to know us by.
#[derive(Clone, Debug)]
enum Token {
    None,
    Text(HeaderValue),
    /// Read anew at each fetch: it is replaced from time to time.
    File(PathBuf),
}

impl Container {
    /// Sends nothing and reads no file yet; empty is unset.
    ///
    /// Errors where neither URI is set, where the one that is set cannot be a URI, or would bring
    /// credentials in the clear from another host than a loopback or link-local one, and where the
    /// token cannot stand in a header.
    pub(crate) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<String>,
        network: &Network,
    ) -> Result<Self, CredentialsError> {
        let set = |name| lookup(name).filter(|value| !value.is_empty());
        let (endpoint, path) = match (set(RELATIVE), set(FULL)) {
            (Some(path), _) if path.starts_with('/') => (endpoint(AGENT)?, uri(RELATIVE, &path)?),
            (Some(_), _) => return Err(broken(RELATIVE, "does not begin with a /")),
            (None, Some(url)) => split(&url)?,
            (None, None) => {
                let problem = ["neither ", RELATIVE, " nor ", FULL, " is set"].concat();
                return Err(CredentialsError::new(SOURCE, problem));
            }
        };
        let remote = Remote::new(SOURCE, &endpoint, network, LIMIT);
        Ok(Self {
            remote: remote.map_err(|problem| CredentialsError::broken(SOURCE, problem))?,
            path,
            token: match (set(TOKEN_FILE), set(TOKEN)) {
                (Some(file), _) => Token::File(file.into()),
                (None, Some(text)) => Token::Text(header(TOKEN, &text)?),
                (None, None) => Token::None,
            },
        })
    }

    async fn ask(self) -> Result<Credentials, CredentialsError> {
        let remote = &self.remote;
        let token = self.token.read().await?;
        let request = || {
            let mut request = remote.request(Method::GET, self.path.clone());
            if let Some(token) = &token {
                request.headers_mut().insert(AUTHORIZATION, token.clone());
            }
            Ok(request)
        };
        let answer = match remote.ask(&request, is_passing).await {
            Ok(answer) => answer,
            Err(error) => return Err(remote.unavailable(&error.to_string())),
        };
        let document: Option<Value> = serde_json::from_slice(answer.body()).ok();
        if answer.status() != StatusCode::OK {
            let token = token.as_ref().and_then(|token| token.to_str().ok());
            let said =
                document.map_or_else(String::new, |said| reason(&said, token.unwrap_or_default()));
            return Err(remote.refused(&answer, is_passing, &said));
        }
        match document {
            Some(document) => document::credentials(&document, "Token"),
            None => Err("is not JSON".into()),
        }
        .map_err(|problem| remote.broken(&["the answer ", &problem].concat()))
    }
}

impl Fetch for Container {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        Box::pin(self.clone().ask())
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("remote", &self.remote)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl Token {
    async fn read(&self) -> Result<Option<HeaderValue>, CredentialsError> {
        let path = match self {
            Self::None => return Ok(None),
            Self::Text(text) => return Ok(Some(text.clone())),
            Self::File(path) => path,
        };
        let name = ["the token file ", &presentable(&path.to_string_lossy(), "")].concat();
        match file::read(path.clone()).await {
            Ok(text) => header(&name, without_line_break(&text)).map(Some),
            Err(error) => Err(broken(&name, &error.to_string())),
        }
    }
}

fn header(name: &str, text: &str) -> Result<HeaderValue, CredentialsError> {
    if text.trim_ascii().is_empty() {
        return Err(broken(name, "is empty"));
    }
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    match HeaderValue::from_str(text) {
        Ok(mut value) if text.bytes().all(is_plain) => {
            value.set_sensitive(true);
            Ok(value)
        }
        _ => {
            let problem = "has a line break or another character that cannot stand in a header";
            Err(broken(name, problem))
        }
    }
}

/// Takes a URL apart into the host and what to ask it for.
fn split(url: &str) -> Result<(Endpoint, Uri), CredentialsError> {
    // No part of a password may come into an error.
    if url.contains('@') {
        return Err(broken(FULL, "has a user name or password in it"));
    }
    let host = url.find("://").map_or(0, |colon| colon + 3);
    let rest = url.get(host..).unwrap_or_default();
    let path = rest
        .find(['/', '?', '#'])
        .map_or(url.len(), |end| host + end);
    let (base, path) = url.split_at(path);
    let endpoint = endpoint(base)?;
    if !is_safe(&endpoint) {
        let problem = "is a plain http URL whose host is neither loopback nor link-local: \
            credentials come from there by https only";
        return Err(broken(FULL, problem));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((endpoint, uri(FULL, &[slash, path].concat())?))
}

fn endpoint(url: &str) -> Result<Endpoint, CredentialsError> {
    Endpoint::parse(url)
        .map_err(|error| broken(FULL, &["cannot be used: ", &error.to_string()].concat()))
}

fn uri(name: &str, path: &str) -> Result<Uri, CredentialsError> {
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match path.parse() {
        Ok(uri) if is_plain => Ok(uri),
        _ => Err(broken(
            name,
            "has a character that cannot stand in the path of a URL",
        )),
    }
}

/// What a refusal gives as its reason.
fn reason(refusal: &Value, token: &str) -> String {
    let mut said = String::new();
    for field in ["code", "message"] {
        if let Some(Value::String(text)) = refusal.get(field) {
            said.push_str(": ");
            said.push_str(text);
        }
    }
    presentable(&said, token)
}

fn broken(name: &str, problem: &str) -> CredentialsError {
    CredentialsError::broken(SOURCE, [name, " ", problem].concat())
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
