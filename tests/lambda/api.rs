//! Lambda's Runtime API, as much of it as a function asks for.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::background::Background;
use crate::support::http::{self, Message};
use crate::support::recorded::Recorded;

/// A running Runtime API. Dropping it closes every connection.
pub(crate) struct RuntimeApi {
    shared: Arc<Shared>,
    server: Background,
}

/// What a function made of an invocation.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    pub(crate) told: Told,
    /// When this came.
    pub(crate) at: SystemTime,
    /// The requests to DynamoDB, as they stood when this came.
    pub(crate) requests: Vec<Recorded>,
}

#[derive(Clone, Debug)]
pub(crate) enum Told {
    Answered(Value),
    Failed { kind: String, message: String },
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// What has been sent to DynamoDB so far.
    requests: Box<dyn Fn() -> Vec<Recorded> + Send + Sync>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Message>,
    invocations: usize,
    asked: usize,
    outcomes: Vec<Outcome>,
}

impl RuntimeApi {
    pub(crate) fn new(requests: impl Fn() -> Vec<Recorded> + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            requests: Box::new(requests),
        });
        let server = Background::serve("runtime-api", {
            let shared = Arc::clone(&shared);
            |listener| accept(shared, listener)
        });
        Self { shared, server }
    }

    /// `host:port`, as `AWS_LAMBDA_RUNTIME_API` has it.
    pub(crate) fn authority(&self) -> String {
        http::authority(&self.server.url())
    }

    /// Hands out an invocation to whoever asks for the next one. Its request id.
    pub(crate) fn invoke(&self, event: &Value, deadline: SystemTime) -> String {
        let since = deadline.duration_since(UNIX_EPOCH).expect("past 1970");
        let mut state = self.shared.state();
        state.invocations += 1;
        let id = format!("8476a536-e9f4-11e8-9739-{:012}", state.invocations);
        let headers = [
            ("content-type", "application/json"),
            ("lambda-runtime-aws-request-id", id.as_str()),
            ("lambda-runtime-deadline-ms", &since.as_millis().to_string()),
            (
                "lambda-runtime-invoked-function-arn",
                "arn:aws:lambda:us-east-1:123456789012:function:ship",
            ),
        ];
        let headers = headers.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        state.waiting.push_back(Message {
            start: "HTTP/1.1 200 OK".into(),
            headers,
            body: event.to_string().into_bytes(),
        });
        drop(state);
        self.shared.changed.send_replace(());
        id
    }

    /// How often the next invocation was asked for: once after the function has initialized, and
    /// once after each outcome.
    pub(crate) fn asked(&self) -> usize {
        self.shared.state().asked
    }

    /// What became of an invocation, where that is known.
    pub(crate) fn outcome(&self, id: &str) -> Option<Outcome> {
        let state = self.shared.state();
        state.outcomes.iter().find(|it| it.id == id).cloned()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Message {
        let mut changed = self.changed.subscribe();
        self.state().asked += 1;
        loop {
            if let Some(invocation) = self.state().waiting.pop_front() {
                return invocation;
            }
            changed.changed().await.expect("it is ours");
        }
    }

    fn take(&self, id: &str, what: &str, message: &Message) {
        let body: Value = serde_json::from_slice(&message.body).expect("JSON");
        let told = match what {
            "response" => Told::Answered(body),
            "error" => Told::Failed {
                kind: body["errorType"].as_str().unwrap_or_default().into(),
                message: body["errorMessage"].as_str().unwrap_or_default().into(),
            },
            other => panic!("an invocation has no {other}"),
        };
        let outcome = Outcome {
            id: id.into(),
            told,
            at: SystemTime::now(),
            requests: (self.requests)(),
        };
        self.state().outcomes.push(outcome);
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a connection");
                open.spawn(serve(Arc::clone(&shared), stream));
            }
            Some(ended) = open.join_next() => {
                if let Err(panic) = ended {
                    std::panic::resume_unwind(panic.into_panic());
                }
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(message)) = http::read(&mut stream).await {
        let mut start = message.start.split(' ');
        let (method, path) = (start.next(), start.next().unwrap_or_default());
        let path = path.strip_prefix("/2018-06-01/runtime/").unwrap_or(path);
        let parts: Vec<&str> = path.split('/').collect();
        let answer = match (method, parts.as_slice()) {
            (Some("GET"), ["invocation", "next"]) => shared.next().await,
            (Some("POST"), ["invocation", id, what]) => {
                shared.take(id, what, &message);
                accepted()
            }
            (Some("POST"), ["init", "error"]) => accepted(),
            other => panic!("the Runtime API knows no {other:?}"),
        };
        if stream.get_mut().write_all(&answer.bytes()).await.is_err() {
            return;
        }
    }
}

fn accepted() -> Message {
    Message {
        start: "HTTP/1.1 202 Accepted".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: br#"{"status":"OK"}"#.to_vec(),
    }
}

/// An instant from now.
pub(crate) fn from_now(duration: Duration) -> SystemTime {
    SystemTime::now() + duration
}
