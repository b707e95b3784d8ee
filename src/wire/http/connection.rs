//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::sync::oneshot;

use super::network::Stream;
use super::reason;
use crate::runtime::Runtime;

/// A connection, as whoever sends on it has it. Dropping it closes the connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Says nothing, and ends when nobody drives the connection any more.
    driven: oneshot::Receiver<Infallible>,
}

impl Connection {
    /// A new one, driven by a task. Errors say why there is none.
    pub(super) async fn over(stream: Stream, runtime: &dyn Runtime) -> Result<Self, String> {
        let (sender, connection) = http1::handshake(stream).await.map_err(reason)?;
        let (driver, driven) = oneshot::channel();
        let driving = Box::pin(async move {
            // How it ends, the sender learns.
            drop(connection.await);
            drop(driver);
        });
        match runtime.spawn(driving) {
            Ok(()) => Ok(Self { sender, driven }),
            Err(_) => Err("no runtime runs here".into()),
        }
    }

    /// Sends a request; gives the head of the answer, and the connection if it may serve again.
    ///
    /// hyper can overlook a request that is handed over at the very moment when the connection
    /// ends, and then neither sends nor refuses it while there is a sender
    /// (<https://github.com/hyperium/hyper/issues/4122>). So the sender goes with the driver.
    pub(super) async fn send(
        self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Option<Self>), TrySendError<Request<Full<Bytes>>>> {
        let Self { mut sender, driven } = self;
        let answer = sender.try_send_request(request);
        let (answer, left) = while_driven(answer, sender, driven).await;
        Ok((
            answer?,
            left.map(|(sender, driven)| Self { sender, driven }),
        ))
    }

    /// Whether it can take a request, once that is known; it may take its time to tidy up.
    pub(super) async fn is_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// Waits for an answer, and drops the sender when the driver has ended without one. Gives back what
/// is left of the two.
async fn while_driven<A: Future, S>(
    answer: A,
    sender: S,
    mut driven: oneshot::Receiver<Infallible>,
) -> (A::Output, Option<(S, oneshot::Receiver<Infallible>)>) {
    let mut answer = pin!(answer);
    let first = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => Pin::new(&mut driven).poll(cx).map(|_| None),
    });
    match first.await {
        Some(answer) => {
            // Whoever waited shall not be woken, nor kept, by a connection that is idle now.
            let _ = Pin::new(&mut driven).poll(&mut Context::from_waker(Waker::noop()));
            (answer, Some((sender, driven)))
        }
        None => {
            drop(sender);
            (answer.await, None)
        }
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
