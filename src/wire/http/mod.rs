//! HTTP/1.1 connections to one endpoint: the only place that knows how they are made.

mod connection;
#[cfg(feature = "__tls")]
mod cryptography;
mod network;
mod proxy;
#[cfg(feature = "__tls")]
mod tls;

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::sync::oneshot;

use self::connection::Connection;
pub(crate) use self::network::Network;
use self::network::Route;
pub(crate) use self::proxy::Proxies;
#[cfg(all(test, feature = "__tls"))]
pub(crate) use self::tls::tests as tls_tests;
#[cfg(feature = "__tls")]
pub use self::tls::{InvalidRoots, RootCertificates};
use super::{Progress, SendError, Transport};
use crate::clock::Moment;
use crate::runtime::{BoxFuture, Runtime};

/// An answer is refused beyond this. An item of 400 KB is up to 2.8 MB as JSON, and a transaction's
/// refusal shows items of up to 4 MB.
const LONGEST_ANSWER: usize = 32 << 20;

/// A connection that was idle for longer is not trusted: the server may have left it.
const IDLE_FOR: Duration = Duration::from_secs(20);

/// More idle connections than this are not kept.
const IDLE_AT_MOST: usize = 32;

/// How long a connection may take to tidy up after its last answer. It is usually done.
const READY_WITHIN: Duration = Duration::from_millis(10);

/// Sends requests to one endpoint, over connections that are kept and used again.
///
/// A request has its path alone as URI, and a `Host` header. There is no limit to the number of
/// requests under way; each has a connection to itself. Redirects are not followed.
/// Dropping a future of [`Transport::send`] closes its connection.
pub(crate) struct HttpTransport {
    shared: Arc<Shared>,
}

struct Shared {
    network: Network,
    route: Route,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Moment,
}

impl HttpTransport {
    /// Connects to nothing yet.
    fn new(network: Network, route: Route) -> Self {
        Self {
            shared: Arc::new(Shared {
                network,
                route,
                idle: Mutex::default(),
            }),
        }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<Result<Response<Bytes>, SendError>> {
        let shared = self.shared.clone();
        let progress = request.extensions().get::<Progress>().cloned();
        let progress = progress.unwrap_or_default();
        Box::pin(async move { shared.exchange(request.map(Full::new), &progress).await })
    }

    fn connect(&self) -> BoxFuture<Result<(), SendError>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.check_runtime()?;
            let connection = match shared.reuse().await {
                Some(connection) => connection,
                None => shared.connect_for_good().await?,
            };
            shared.keep(connection);
            Ok(())
        })
    }
}

impl Shared {
    /// One request and its answer.
    ///
    /// A kept connection may turn out to be closed. A request that hyper hands back has not been
    /// begun, so it may go out on a new connection; any other may have arrived.
    async fn exchange(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
        progress: &Progress,
    ) -> Result<Response<Bytes>, SendError> {
        self.check_runtime()?;
        let mut kept = self.reuse().await;
        loop {
            let is_new = kept.is_none();
            let connection = match kept.take() {
                Some(connection) => connection,
                None => {
                    progress.connecting(true);
                    let connection = self.connect_for_good().await?;
                    progress.connecting(false);
                    connection
                }
            };
            match connection.send(request).await {
                Ok((answer, connection)) => {
                    let whole = read(answer).await?;
                    connection.into_iter().for_each(|it| self.keep(it));
                    return Ok(whole);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    Some(_) => return Err(SendError::NotSent(reason(error.into_error()))),
                    None => return Err(SendError::NoAnswer(reason(error.into_error()))),
                },
            }
        }
    }

    fn check_runtime(&self) -> Result<(), SendError> {
        if self.runtime().is_running() {
            return Ok(());
        }
        Err(SendError::NotSent("no runtime runs here".into()))
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.network.runtime()
    }

    /// A kept connection that is still good, the last used first.
    async fn reuse(&self) -> Option<Connection> {
        if self.idle().is_empty() {
            return None;
        }
        // Lets the runtime look at its sockets. After a pause of the whole program it has not yet
        // seen which connections the server has closed meanwhile.
        tokio::task::yield_now().await;
        loop {
            let mut connection = self.take()?;
            let alarm = self.alarm(READY_WITHIN);
            if let Some(true) = within(alarm, connection.is_ready()).await {
                return Some(connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Connection> {
        let now = self.runtime().now();
        let mut idle = self.idle();
        let last = idle.pop()?;
        // The monotonic clock stands still while some machines sleep.
        let unused = now
            .mono
            .since(last.since.mono)
            .max(now.wall.since(last.since.wall));
        if unused > IDLE_FOR {
            // The others have been here for longer.
            idle.clear();
            return None;
        }
        Some(last.connection)
    }

    fn keep(&self, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let since = self.runtime().now();
        let mut idle = self.idle();
        if idle.len() >= IDLE_AT_MOST {
            idle.remove(0);
        }
        idle.push(Idle { connection, since });
    }

    /// A new connection. Who stops waiting for it leaves it to the next request: an attempt may
    /// have less time than a handshake needs.
    async fn connect_for_good(self: &Arc<Self>) -> Result<Connection, SendError> {
        let (tell, told) = oneshot::channel();
        let shared = self.clone();
        let connecting = Box::pin(async move {
            if let Err(Ok(unwanted)) = tell.send(shared.connect().await) {
                shared.keep(unwanted);
            }
        });
        let nowhere = || self.no_connection(&[": no runtime runs here"]);
        self.runtime().spawn(connecting).map_err(|_| nowhere())?;
        told.await.unwrap_or_else(|_| Err(nowhere()))
    }

    /// A new connection, ready for its first request.
    async fn connect(&self) -> Result<Connection, SendError> {
        let connecting = async {
            let stream = self.network.dial(&self.route).await?;
            Connection::over(stream, &**self.runtime()).await
        };
        let limit = self.network.connect_timeout();
        match within(self.alarm(limit), connecting).await {
            Some(Ok(connected)) => Ok(connected),
            Some(Err(reason)) => Err(self.no_connection(&[": ", &reason])),
            None => {
                let limit = limit.as_millis().to_string();
                Err(self.no_connection(&[" within ", &limit, " ms"]))
            }
        }
    }

    fn no_connection(&self, why: &[&str]) -> SendError {
        let address = self.route.to_string();
        SendError::NotSent(["no connection to ", &address, &why.concat()].concat())
    }

    fn alarm(&self, after: Duration) -> BoxFuture<()> {
        let now = self.runtime().now();
        self.runtime().sleep_until(now.mono.plus(after))
    }
}

/// Reads the whole body, up to the limit. One that breaks off is an error.
async fn read(answer: Response<Incoming>) -> Result<Response<Bytes>, SendError> {
    let too_long = || SendError::NoAnswer("it is longer than 32 MiB".into());
    let (head, mut body) = answer.into_parts();
    let announced = body.size_hint().lower();
    let announced = usize::try_from(announced).map_err(|_| too_long())?;
    if announced > LONGEST_ANSWER {
        return Err(too_long());
    }
    // What is announced need not come.
    let mut whole = Vec::with_capacity(announced.min(1 << 20));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| SendError::NoAnswer(reason(error)))?;
        // Whatever is not data is a trailer, which nobody asked for.
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > LONGEST_ANSWER {
                return Err(too_long());
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(Response::from_parts(head, whole.into()))
}

/// Runs a future until the alarm goes off; `None` where it did.
async fn within<T>(mut alarm: BoxFuture<()>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => alarm.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// What an error and those behind it say.
fn reason(error: impl Into<Box<dyn Error + Send + Sync>>) -> String {
    const LONGEST: usize = 512;
    let error = error.into();
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(cause) = behind {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        behind = cause.source();
    }
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
    }
    text
}

#[cfg(test)]
mod tests;
