//! A proxy between the client under test and a DynamoDB, which spoils the conversation as told.
//!
//! It records every request before anything happens to it. Each request then meets a [`Fault`],
//! chosen by the test: from a list ([`Proxy::next`]) or by a closure ([`Proxy::on`]).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::background::Background;
use super::dynamodb::DynamoDb;
use super::fault::{Answer, Fault, Which};
use super::http::{self, Message};
use super::recorded::{Recorded, Step};

/// How long a test waits for requests that do not come before it fails. Real time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running proxy; dropping it closes every connection. Drop it before the engine behind it:
/// a request that finds nothing there fails the test.
pub struct Proxy {
    shared: Arc<Shared>,
    server: Background,
}

struct Shared {
    database: DynamoDb,
    state: Mutex<State>,
    /// Told of every request and every answer.
    changed: watch::Sender<()>,
    held: watch::Sender<bool>,
    closed: watch::Sender<()>,
}

struct State {
    requests: Vec<Recorded>,
    connections: usize,
    open: usize,
    next: VecDeque<Fault>,
    decide: Box<dyn FnMut(&Recorded) -> Fault + Send>,
}

impl Proxy {
    /// Starts a proxy to `database` that passes everything on until told otherwise.
    pub fn to(database: &DynamoDb) -> Self {
        let state = State {
            requests: Vec::new(),
            connections: 0,
            open: 0,
            next: VecDeque::new(),
            decide: Box::new(|_| Fault::Pass),
        };
        let shared = Arc::new(Shared {
            database: database.clone(),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            held: watch::Sender::new(false),
            closed: watch::Sender::new(()),
        });
        let server = Background::serve("proxy", {
            let shared = Arc::clone(&shared);
            |listener| accept(shared, listener)
        });
        Self { shared, server }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on `decide` chooses what happens to each request, in the order of arrival.
    pub fn on(&self, decide: impl FnMut(&Recorded) -> Fault + Send + 'static) {
        self.shared.state().decide = Box::new(decide);
    }

    /// The requests that come next meet these, one each; then [`on`](Self::on) decides again.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().next.extend(faults);
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.clone()
    }

    /// What the requests so far mean to a lock.
    pub fn steps(&self) -> Vec<Step> {
        self.shared
            .state()
            .requests
            .iter()
            .map(Recorded::step)
            .collect()
    }

    /// How many requests of that step have come.
    pub fn count(&self, step: Step) -> usize {
        self.steps()
            .into_iter()
            .filter(|seen| *seen == step)
            .count()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many of them are open.
    pub fn open_connections(&self) -> usize {
        self.shared.state().open
    }

    /// Completes once `count` requests have come. Panics after a minute of real time.
    ///
    /// The request may not have been forwarded yet; see [`wait_until`](Self::wait_until).
    pub async fn wait_for(&self, count: usize) {
        self.wait_until(|requests| requests.len() >= count).await;
    }

    /// Completes once `count` requests have been answered by the DynamoDB behind.
    pub async fn wait_for_answers(&self, count: usize) {
        let answered = |request: &&Recorded| request.answer.is_some();
        self.wait_until(|requests| requests.iter().filter(answered).count() >= count)
            .await;
    }

    /// Completes once `enough` holds. Panics after a minute of real time.
    pub async fn wait_until(&self, enough: impl Fn(&[Recorded]) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        // On the runtime of the proxy: the caller's clock may be paused.
        let patience = self.server.handle().spawn(tokio::time::sleep(PATIENCE));
        let waiting = async {
            while !enough(&self.shared.state().requests) {
                changed.changed().await.expect("the proxy runs");
            }
        };
        tokio::select! {
            biased;
            () = waiting => {}
            _ = &mut { patience } => panic!("not seen in time: {:#?}", self.requests()),
        }
    }

    /// Delivers a recorded request once more, as it was: doubled, or late after the answer to it
    /// was refused. Returns what DynamoDB says to it.
    pub async fn replay(&self, index: usize) -> (u16, Value) {
        let request = self.shared.state().requests.get(index).cloned();
        let request = request.unwrap_or_else(|| panic!("there was no request {index}"));
        let answer = self.shared.deliver(&request.message).await;
        (answer.status, answer.json())
    }

    /// Holds back all requests that come from now on, after recording them.
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets go what [`hold`](Self::hold) held back.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Closes all open connections; requests that hang or are delayed on them are never delivered.
    pub fn close_connections(&self) {
        self.shared.closed.send_replace(());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a request down and decides about it.
    fn record(&self, connection: usize, message: &Message) -> (usize, Fault) {
        let mut state = self.state();
        let state = &mut *state;
        let index = state.requests.len();
        state
            .requests
            .push(Recorded::new(index, connection, message.clone()));
        let fault = match state.next.pop_front() {
            Some(fault) => fault,
            None => (state.decide)(&state.requests[index]),
        };
        self.changed.send_replace(());
        (index, fault)
    }

    /// Forwards a recorded request and writes the answer down.
    async fn forward(&self, index: usize) -> Answer {
        let message = self.state().requests[index].message.clone();
        let answer = self.deliver(&message).await;
        self.state().requests[index].answer = Some(answer.clone());
        self.changed.send_replace(());
        answer
    }

    async fn deliver(&self, request: &Message) -> Answer {
        let answer = http::exchange(self.database.authority(), request).await;
        let answer = answer.and_then(Answer::received);
        answer.unwrap_or_else(|error| panic!("behind the proxy: {error}"))
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.expect("a connection");
                let connection = {
                    let mut state = shared.state();
                    state.connections += 1;
                    state.open += 1;
                    state.connections - 1
                };
                let closed = shared.closed.subscribe();
                open.spawn(serve(Arc::clone(&shared), connection, stream, closed));
            }
            Some(ended) = open.join_next() => {
                shared.state().open -= 1;
                // An assertion in a test's closure, or nothing behind the proxy.
                if let Err(panic) = ended {
                    std::panic::resume_unwind(panic.into_panic());
                }
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    connection: usize,
    stream: TcpStream,
    mut closed: watch::Receiver<()>,
) {
    let mut stream = BufReader::new(stream);
    let conversation = async {
        while let Ok(Some(message)) = http::read(&mut stream).await {
            let (index, fault) = shared.record(connection, &message);
            let mut held = shared.held.subscribe();
            held.wait_for(|held| !held).await.expect("the proxy runs");
            // Where writing fails, the client has gone: nothing is left to spoil.
            match answer(&shared, index, fault, stream.get_mut()).await {
                Ok(After::NextRequest) => {}
                Ok(After::Close) | Err(_) => break,
            }
        }
    };
    tokio::select! {
        () = conversation => {}
        _ = closed.changed() => {}
    }
}

enum After {
    NextRequest,
    Close,
}

async fn answer(
    shared: &Shared,
    index: usize,
    fault: Fault,
    client: &mut TcpStream,
) -> io::Result<After> {
    let answer = match fault {
        Fault::Pass => shared.forward(index).await,
        Fault::DropRequest => return Ok(After::Close),
        Fault::ResetRequest => {
            client.set_zero_linger()?;
            return Ok(After::Close);
        }
        Fault::ForwardThenDropAnswer => {
            shared.forward(index).await;
            return Ok(After::Close);
        }
        Fault::ForwardThenReset => {
            shared.forward(index).await;
            client.set_zero_linger()?;
            return Ok(After::Close);
        }
        Fault::Hang => std::future::pending().await,
        Fault::HangAfterForward => {
            shared.forward(index).await;
            std::future::pending().await
        }
        Fault::Delay(gate) => {
            gate.opened().await;
            shared.forward(index).await
        }
        Fault::DelayAnswer(gate) => {
            let answer = shared.forward(index).await;
            gate.opened().await;
            answer
        }
        Fault::AnswerWith(answer) => answer,
        Fault::ForwardThenAnswer(answer) => {
            shared.forward(index).await;
            answer
        }
        Fault::ForwardTwice(which) => {
            let first = shared.forward(index).await;
            let second = shared.forward(index).await;
            match which {
                Which::First => first,
                Which::Second => second,
            }
        }
        Fault::Rewrite(rewrite) => {
            let mut answer = shared.forward(index).await;
            rewrite(&mut answer);
            answer
        }
        Fault::HalfAnswer => {
            let answer = shared.forward(index).await.message();
            let bytes = answer.bytes();
            let half = bytes.len() - answer.body.len().div_ceil(2);
            client.write_all(&bytes[..half]).await?;
            return Ok(After::Close);
        }
        Fault::Endless => return endless(client).await,
        Fault::Trickle(pause) => {
            for byte in shared.forward(index).await.message().bytes() {
                tokio::time::sleep(pause).await;
                client.write_all(&[byte]).await?;
            }
            return Ok(After::Close);
        }
    };
    client.write_all(&answer.message().bytes()).await?;
    Ok(After::NextRequest)
}

/// Writes a body without end, until the client has had enough.
async fn endless(client: &mut TcpStream) -> io::Result<After> {
    let head = Answer::json_text(200, "")
        .message()
        .head(&[("transfer-encoding", "chunked")]);
    client.write_all(&head).await?;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    loop {
        client.write_all(&chunk).await?;
    }
}
