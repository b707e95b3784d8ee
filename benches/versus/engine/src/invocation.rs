//! Lambda's Runtime API on loopback, for one invocation of one function.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Outcome, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

/// What a function has until its invocation ends, and we wait for its answer.
const LIMIT: Duration = Duration::from_secs(10);

/// At an address of its own, so that no function of before can take the event. Dropping it ends
/// its connections.
pub struct Invocation {
    address: SocketAddr,
    outcome: Receiver<String>,
    server: AbortHandle,
}

impl Invocation {
    pub fn of(key: &str, runtime: &Handle) -> Outcome<Self> {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (told, outcome) = channel();
        let event = format!("{{\"key\":\"{key}\"}}");
        let server = runtime.spawn(accept(listener, event, told)).abort_handle();
        Ok(Self {
            address,
            outcome,
            server,
        })
    }

    /// `host:port`, as `AWS_LAMBDA_RUNTIME_API` has it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came of it, and when that was posted by the wall clock.
    pub fn outcome(&self) -> String {
        let outcome = self.outcome.recv_timeout(LIMIT);
        outcome.unwrap_or_else(|_| "{\"what\":\"nothing\"}".into())
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, event: String, told: Sender<String>) {
    let event = Arc::new(event);
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        connections.spawn(serve(stream, event.clone(), told.clone()));
    }
}

async fn serve(mut stream: TcpStream, event: Arc<String>, told: Sender<String>) {
    let mut received = Vec::new();
    let mut asked = false;
    while let Some(request) = next(&mut stream, &mut received).await {
        let posted = SystemTime::now().duration_since(UNIX_EPOCH);
        let posted = posted.unwrap_or_default();
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or_default();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = match path.rsplit('/').next().unwrap_or_default() {
            "next" if asked => std::future::pending().await,
            "next" => {
                asked = true;
                invocation(&event, posted + LIMIT)
            }
            // `response` or `error`
            what => {
                let at = posted.as_secs_f64();
                let _ = told.send(format!(
                    "{{\"what\":\"{what}\",\"at\":{at:.6},\"body\":{body}}}"
                ));
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".into()
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request as a whole; none where the connection ends.
async fn next(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<String> {
    loop {
        // What asks for an event has no body, and does not say so.
        let length = if received.starts_with(b"GET ") {
            message::head(received)
        } else {
            message::length(received)
        };
        if let Some(length) = length {
            let request = received.drain(..length).collect();
            return String::from_utf8(request).ok();
        }
        let read = stream.read_buf(received).await;
        read.ok().filter(|read| *read > 0)?;
    }
}

fn invocation(event: &str, deadline: Duration) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
         lambda-runtime-deadline-ms: {}\r\n\
         lambda-runtime-invoked-function-arn: \
         arn:aws:lambda:us-east-1:123456789012:function:versus\r\n\r\n{event}",
        event.len(),
        deadline.as_millis(),
    )
}
