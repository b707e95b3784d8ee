//! Credentials of roles, from the Security Token Service.

mod answer;

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, HeaderValue};
use ::http::{Method, Response, StatusCode, Uri};
use bytes::Bytes;
use serde_json::Value;

use super::remote::{Remote, is_passing, presentable};
use super::{Credentials, CredentialsError, document};
use crate::clock::Wall;
use crate::runtime::BoxFuture;
use crate::wire::{
    Endpoint, InvalidEndpoint, Network, Service, Signer, Variant, check_region, server_date,
};

const IGNORE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
const NO_REGION: &str = "AWS_REGION is not set";
const TOKEN: &str = "SessionToken";
const FORM: &str = "application/x-www-form-urlencoded";

/// How long STS may take to answer, connecting included. It may be far away.
const LIMIT: Duration = Duration::from_secs(3);

/// STS in one region.
#[derive(Clone, Debug)]
pub(crate) struct Sts {
    /// Or why it cannot be asked. Only who asks has to know.
    target: Result<Target, Box<str>>,
}

#[derive(Clone, Debug)]
struct Target {
    remote: Remote,
    /// For signatures.
    region: Option<Box<str>>,
}

/// A role that somebody wants to have.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) arn: String,
    /// One that has the time in it by default.
    pub(crate) session_name: Option<String>,
    /// What the account of the role asks of those from other accounts.
    pub(crate) external_id: Option<String>,
    /// For how long the credentials last; the default is STS's, an hour.
    pub(crate) duration_seconds: Option<u32>,
}

/// Why the role ought to be given.
enum Proof {
    Signer(Credentials),
    Token(String),
}

impl Sts {
    /// The endpoint of `AWS_ENDPOINT_URL_STS`, of `AWS_ENDPOINT_URL`, or of the region, in this
    /// order; of the region alone where `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is `true`. Empty is
    /// unset. Sends nothing yet.
    ///
    /// What is wrong with it is an error of those who ask for a role.
    /// [Endpoints of services](https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html)
    pub(crate) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<String>,
        network: &Network,
        region: Option<&str>,
        variant: Variant,
    ) -> Result<Self, CredentialsError> {
        let target = Target::find(lookup, network, region, variant);
        Ok(Self {
            target: target.map_err(String::into),
        })
    }

    /// Gives the role to whom `signer` belongs.
    ///
    /// Broken where the role cannot be one, and where STS refuses; unavailable where it does not
    /// answer or cannot now, three times in a row.
    /// [AssumeRole](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html)
    #[cfg_attr(
        not(feature = "credentials-profile"),
        allow(dead_code, reason = "profiles ask for it")
    )]
    pub(crate) fn assume_role(
        &self,
        role: &Role,
        signer: &Credentials,
    ) -> BoxFuture<Result<Credentials, CredentialsError>> {
        self.call(role, Proof::Signer(signer.clone()))
    }

    /// Gives the role to whom an identity provider gave `token`. Not signed; otherwise the same.
    /// [AssumeRoleWithWebIdentity](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html)
    #[cfg_attr(
        not(feature = "credentials-web-identity"),
        allow(dead_code, reason = "web identity asks for it")
    )]
    pub(crate) fn assume_role_with_web_identity(
        &self,
        role: &Role,
        token: String,
    ) -> BoxFuture<Result<Credentials, CredentialsError>> {
        self.call(role, Proof::Token(token))
    }

    fn call(&self, role: &Role, proof: Proof) -> BoxFuture<Result<Credentials, CredentialsError>> {
        let (sts, role) = (self.clone(), role.clone());
        Box::pin(async move {
            let source = proof.source();
            let target = sts
                .target
                .map_err(|problem| CredentialsError::broken(source, problem))?;
            target.ask(&role, &proof).await
        })
    }

    /// Why it cannot be asked, if so.
    #[cfg(feature = "credentials-web-identity")]
    pub(crate) fn problem(&self) -> Option<&str> {
        self.target.as_ref().err().map(|problem| &**problem)
    }
}

impl Target {
    fn find(
        lookup: &dyn Fn(&str) -> Option<String>,
        network: &Network,
        region: Option<&str>,
        variant: Variant,
    ) -> Result<Self, String> {
        let set = |name: &'static str| match lookup(name) {
            Some(url) if !url.is_empty() => Some((name, url)),
            _ => None,
        };
        let is_ignored = set(IGNORE).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let configured = || set("AWS_ENDPOINT_URL_STS").or_else(|| set("AWS_ENDPOINT_URL"));
        let configured = if is_ignored { None } else { configured() };
        let invalid = |error: InvalidEndpoint| error.to_string();
        if let Some(region) = region {
            check_region(region).map_err(invalid)?;
        }
        let endpoint = match (configured, region) {
            (Some((name, url)), _) => Endpoint::parse(&url)
                .map_err(|error| [name, " cannot be used: ", &error.to_string()].concat())?,
            (None, Some(region)) => {
                Endpoint::of_region(Service::Sts, region, variant).map_err(invalid)?
            }
            (None, None) => return Err(["STS is asked in a region, and ", NO_REGION].concat()),
        };
        Ok(Self {
            remote: Remote::new("STS", &endpoint, network, LIMIT)?,
            region: region.map(Box::from),
        })
    }

    async fn ask(&self, role: &Role, proof: &Proof) -> Result<Credentials, CredentialsError> {
        let remote = self.remote.on_behalf_of(proof.source());
        let (form, region) = match self.prepare(role, proof) {
            Ok(prepared) => prepared,
            Err(problem) => return Err(CredentialsError::broken(proof.source(), problem)),
        };
        // How far STS is ahead of our clock, in nanoseconds.
        let ahead = AtomicI64::new(0);
        let request = || {
            let mut request = remote.request(Method::POST, Uri::default());
            let headers = request.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
            *request.body_mut() = form.clone();
            if let Proof::Signer(credentials) = proof {
                let mut now = remote.runtime.now().wall;
                now.0 = now.0.saturating_add(ahead.load(Ordering::Relaxed));
                let signer = Signer::new("sts", region);
                let signed = signer.sign(&mut request, credentials, now.system_time());
                signed.map_err(|error| error.to_string())?;
            }
            Ok(request)
        };
        let mut answer = remote.ask(&request, is_worth_another).await;
        if let (Ok(refusal), Proof::Signer(_)) = (&answer, proof)
            && let Some(by) = clock_is_behind(refusal, remote.runtime.now().wall)
        {
            ahead.store(by, Ordering::Relaxed);
            answer = remote.ask(&request, is_worth_another).await;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Err(remote.unavailable(&error.to_string())),
        };
        if answer.status() != StatusCode::OK {
            let said = presentable(&reason(&answer), proof.secret());
            return Err(remote.refused(&answer, is_worth_another, &said));
        }
        match answer::children(answer.body(), "Credentials") {
            // Whatever STS gives is temporary.
            Some(fields) if !fields.contains_key(TOKEN) => Err(["has no ", TOKEN].concat()),
            Some(fields) => document::credentials(&Value::Object(fields), TOKEN),
            None => Err("is no XML with Credentials in it".into()),
        }
        .map_err(|problem| remote.broken(&["the answer ", &problem].concat()))
    }

    /// The body to send, and the region for the signature.
    fn prepare(&self, role: &Role, proof: &Proof) -> Result<(Bytes, &str), String> {
        role.check()?;
        let region = match (&self.region, proof) {
            (Some(region), _) => region,
            (None, Proof::Token(_)) => "",
            (None, Proof::Signer(_)) => {
                return Err(["the request is signed for a region, and ", NO_REGION].concat());
            }
        };
        let session = match &role.session_name {
            Some(name) => name.clone(),
            None => {
                let milliseconds = self.remote.runtime.now().wall.0 / 1_000_000;
                ["dynolock-", &milliseconds.to_string()].concat()
            }
        };
        let mut form = ["Version=2011-06-15&Action=", proof.action()].concat();
        push(&mut form, "RoleArn", &role.arn);
        push(&mut form, "RoleSessionName", &session);
        if let Some(seconds) = role.duration_seconds {
            push(&mut form, "DurationSeconds", &seconds.to_string());
        }
        if let Some(id) = &role.external_id {
            push(&mut form, "ExternalId", id);
        }
        if let Proof::Token(token) = proof {
            push(&mut form, "WebIdentityToken", token);
        }
        Ok((form.into(), region))
    }
}

/// How far the server is ahead, in nanoseconds, where it refuses and its `Date` is more than a
/// minute from our clock: the refusal may be of the signature's time.
fn clock_is_behind(answer: &Response<Bytes>, now: Wall) -> Option<i64> {
    const TOLERANCE: u64 = 60 * 1_000_000_000;
    if !answer.status().is_client_error() {
        return None;
    }
    let date = server_date(answer)?.checked_mul(1_000_000_000)?;
    let ahead = date.checked_sub(now.0)?;
    (ahead.unsigned_abs() > TOLERANCE).then_some(ahead)
}

impl Role {
    /// Errors where STS would surely refuse it. The error says what is wrong, and shows no value.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = |part: &str, problem: &str| Err([part, " ", problem].concat());
        if let Err(problem) = check_arn(&self.arn) {
            return wrong("the role ARN", problem);
        }
        if let Some(Err(problem)) = self.session_name.as_deref().map(check_session_name) {
            return wrong("the role session name", problem);
        }
        if let Some(id) = &self.external_id
            && !is_made_of(id, 2..=1224, b"_+=,.@:/-")
        {
            let problem = "is not 2 to 1224 letters, digits and characters of _+=,.@:/-";
            return wrong("the external id", problem);
        }
        match self.duration_seconds {
            Some(seconds) if !(900..=43_200).contains(&seconds) => {
                wrong("the duration of the role", "is not 900 to 43200 seconds")
            }
            _ => Ok(()),
        }
    }
}

/// Errors unless it can be the ARN of a role.
pub(crate) fn check_arn(arn: &str) -> Result<(), &'static str> {
    let is_plain = arn.bytes().all(|byte| byte.is_ascii_graphic());
    if !arn.starts_with("arn:") {
        Err("does not begin with arn:")
    } else if !is_plain {
        Err("has characters in it that are not printable ASCII")
    } else if arn.len() > 2048 {
        Err("is longer than 2048 characters")
    } else {
        Ok(())
    }
}

/// Errors unless it can be the name of a session.
pub(crate) fn check_session_name(name: &str) -> Result<(), &'static str> {
    if is_made_of(name, 2..=64, b"_+=,.@-") {
        Ok(())
    } else {
        Err("is not 2 to 64 letters, digits and characters of _+=,.@-")
    }
}

fn is_made_of(text: &str, length: RangeInclusive<usize>, beside: &[u8]) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || beside.contains(&byte);
    length.contains(&text.len()) && text.bytes().all(fits)
}

impl Proof {
    /// The source of credentials that errors name.
    fn source(&self) -> &'static str {
        match self {
            Self::Signer(_) => "assume role",
            Self::Token(_) => "web identity",
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::Signer(_) => "AssumeRole",
            Self::Token(_) => "AssumeRoleWithWebIdentity",
        }
    }

    /// What STS gets to see, and others must not.
    fn secret(&self) -> &str {
        match self {
            Self::Signer(signer) => signer.as_aws().session_token().unwrap_or_default(),
            Self::Token(token) => token,
        }
    }
}

/// Adds a field to a form.
/// [Percent-encoding](https://www.rfc-editor.org/rfc/rfc3986#section-2.1)
fn push(form: &mut String, name: &str, value: &str) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    form.push('&');
    form.push_str(name);
    form.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            form.push(char::from(byte));
            continue;
        }
        form.push('%');
        for digit in [byte >> 4, byte & 15] {
            form.extend(DIGITS.get(usize::from(digit)));
        }
    }
}

/// A refusal that passes, by its status or by its code.
fn is_worth_another(answer: &Response<Bytes>) -> bool {
    const CODES: [&str; 8] = [
        "IDPCommunicationError",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    ];
    if is_passing(answer) {
        return true;
    }
    let refusal = match answer.status() {
        StatusCode::OK => None,
        _ => answer::children(answer.body(), "Error"),
    };
    let code = refusal.as_ref().and_then(|error| error.get("Code"));
    code.and_then(Value::as_str)
        .is_some_and(|code| CODES.contains(&code))
}

/// Code and message of a refusal, as far as it has them.
fn reason(answer: &Response<Bytes>) -> String {
    let mut said = String::new();
    let error = answer::children(answer.body(), "Error").unwrap_or_default();
    for name in ["Code", "Message"] {
        if let Some(Value::String(text)) = error.get(name) {
            said.push_str(": ");
            said.push_str(text);
        }
    }
    said
}

#[cfg(test)]
#[path = "sts_tests.rs"]
mod tests;
