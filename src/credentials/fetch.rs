//! What a source that fetches is, and how it asks over HTTP.

use std::fmt;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;

use super::{Credentials, CredentialsError};
use crate::runtime::{BoxFuture, First, Runtime, race};
use crate::wire::Transport;

/// A source that fetches credentials, anew at each call. Who asks keeps them (`cache.rs`).
///
/// The future is complete in itself: it borrows nothing, ends within a time that the source
/// sets, and can be dropped at any point.
pub(crate) trait Fetch: Send + Sync + fmt::Debug + 'static {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>>;
}

/// One request, and its answer within `limit`. The error has no secret in it.
pub(crate) async fn ask(
    transport: &dyn Transport,
    runtime: &dyn Runtime,
    request: Request<Bytes>,
    limit: Duration,
) -> Result<Response<Bytes>, String> {
    let alarm = runtime.sleep_until(runtime.now().mono.plus(limit));
    match race(transport.send(request), alarm).await {
        First::A(Ok(answer)) => Ok(answer),
        First::A(Err(error)) => Err(error.to_string()),
        First::B(()) => {
            let limit = limit.as_millis().to_string();
            Err(["no answer within ", &limit, " ms"].concat())
        }
    }
}
