//! DynamoDB's JSON over signed HTTP: the few operations that a lock needs.

mod endpoint;
mod expression;
mod http;
mod operation;
mod response;
mod sign;
mod table;
mod transaction;
mod value;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

pub(crate) use endpoint::{Endpoint, InvalidEndpoint, Service, Variant, check_region};
pub(crate) use expression::{Placeholder, Placeholders};
pub(crate) use http::Network;
pub(crate) use http::Proxies;
#[cfg(all(test, feature = "__tls"))]
pub(crate) use http::tls_tests;
#[cfg(feature = "__tls")]
pub use http::{InvalidRoots, RootCertificates};
pub(crate) use operation::{Action, Operation, Prepared, Read, Returns, Write};
#[cfg(any(test, feature = "__internals"))]
pub(crate) use response::outcome;
pub(crate) use response::{Failure, FailureKind, Outcome, printable, server_date};
pub(crate) use sign::Signer;
pub(crate) use table::{create, describe, probe_read, probe_write};
pub(crate) use transaction::{Effect, Entry, Reason, Reasons, Transaction};
pub use value::{
    AttributeValue, FromAttribute, InvalidValue, Item, ItemIter, Number, Set, UnexpectedAttribute,
};

use crate::runtime::BoxFuture;

/// Sends one signed request and brings the whole answer, or says how far it came.
///
/// Dropping the future abandons the request; whether DynamoDB has seen it is then unknown.
pub(crate) trait Transport: Send + Sync + 'static {
    fn send(
        &self,
        request: ::http::Request<Bytes>,
    ) -> BoxFuture<Result<::http::Response<Bytes>, SendError>>;

    /// Opens a connection ahead of the first request, where there is none.
    fn connect(&self) -> BoxFuture<Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// How far a request has come, for whoever stops waiting for it. Goes along as an extension.
///
/// A transport that says nothing leaves it open whether the request was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicBool>);

impl Progress {
    /// There is no connection yet: surely nothing was sent.
    pub(crate) fn is_connecting(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn connecting(&self, connecting: bool) {
        self.0.store(connecting, Ordering::SeqCst);
    }
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Surely no byte of the request reached DynamoDB.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have been applied.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

impl Failure {
    /// A failure of our own side, in our own words.
    pub(crate) fn of(kind: FailureKind, message: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            code: None,
            message: message.into(),
            request_id: None,
            retry_after: None,
        }
    }

    /// Whether other credentials may fare better: these are over, or AWS does not know them.
    pub(crate) fn blames_credentials(&self) -> bool {
        self.kind == FailureKind::CredentialsExpired
            || matches!(
                self.code.as_deref(),
                Some("UnrecognizedClientException" | "InvalidClientTokenId")
            )
    }

    /// For how long the server wants to be left alone, within reason.
    pub(crate) fn wanted_pause(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(20);
        self.retry_after.unwrap_or_default().min(LONGEST)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{code}: {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        match &self.request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// The request for an operation's target and body, not yet signed.
pub(crate) fn request(
    endpoint: &Endpoint,
    target: &'static str,
    body: Result<Vec<u8>, serde_json::Error>,
) -> Result<::http::Request<Bytes>, String> {
    let body = body.map_err(|error| error.to_string())?;
    ::http::Request::post("/")
        .header("host", endpoint.host())
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", target)
        .body(body.into())
        .map_err(|error| error.to_string())
}
