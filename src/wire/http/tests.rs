//! Connections against servers that do what a test says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use super::super::{Endpoint, InvalidEndpoint};
use super::*;
use crate::clock::{Monotonic, SystemClock};
use crate::runtime::RandomUnavailable;

/// What waits for the other side waits this long, and then the test has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The real world, but that the monotonic and the wall clock can be put forward.
pub(super) struct World {
    clock: SystemClock,
    mono_ahead: AtomicU64,
    wall_ahead: AtomicU64,
}

impl Runtime for World {
    fn now(&self) -> Moment {
        let now = self.clock.read();
        let ahead = |by: &AtomicU64| Duration::from_secs(by.load(Ordering::Relaxed));
        Moment {
            mono: now.mono.plus(ahead(&self.mono_ahead)),
            wall: now.wall.plus(ahead(&self.wall_ahead)),
        }
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<()> {
        let end = tokio::time::Instant::now() + at.since(self.now().mono);
        Box::pin(tokio::time::sleep_until(end))
    }

    fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => drop(handle.spawn(task)),
            Err(_) => return Err(task),
        }
        Ok(())
    }

    fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
        Err(RandomUnavailable("not for this test".into()))
    }

    fn is_running(&self) -> bool {
        tokio::runtime::Handle::try_current().is_ok()
    }
}

pub(super) fn world() -> Arc<World> {
    Arc::new(World {
        clock: SystemClock::new(),
        mono_ahead: AtomicU64::new(0),
        wall_ahead: AtomicU64::new(0),
    })
}

/// A server that does what the test says, on a thread of its own.
struct Server {
    url: String,
    ended: mpsc::Receiver<thread::Result<()>>,
}

impl Server {
    fn run(script: impl FnOnce(TcpListener) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let script = std::panic::AssertUnwindSafe(|| script(listener));
            end.send(std::panic::catch_unwind(script))
        });
        Self { url, ended }
    }

    /// One connection, to which the server does `script`.
    fn once(script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        Self::run(|listener| script(accept(&listener)))
    }

    fn client(&self) -> HttpTransport {
        self.client_in(world())
    }

    fn client_in(&self, world: Arc<World>) -> HttpTransport {
        let endpoint = Endpoint::parse(&self.url).unwrap();
        direct(world, &endpoint)
    }

    /// The script has come to its end without a panic.
    fn ended(self) {
        let ended = self.ended.recv_timeout(PATIENCE);
        ended.expect("the server hangs").expect("the server fails");
    }
}

fn to(
    world: Arc<World>,
    connect_timeout: Duration,
    endpoint: &Endpoint,
) -> Result<HttpTransport, InvalidEndpoint> {
    let network = Network::plain(world, connect_timeout);
    let route = network.route(endpoint)?;
    Ok(HttpTransport::new(network, route))
}

fn direct(world: Arc<World>, endpoint: &Endpoint) -> HttpTransport {
    to(world, PATIENCE, endpoint).unwrap()
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Reads one request; gives its body.
fn receive(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    loop {
        let text = String::from_utf8(got.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("\r\nhost: test"), "{head}");
            let length = format!("\r\ncontent-length: {}", body.len());
            if head.contains(&length) {
                return body.to_owned();
            }
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole request");
        got.push(byte[0]);
    }
}

fn answer(stream: &mut TcpStream, body: &str) {
    let length = body.len();
    send(
        stream,
        &format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"),
    );
}

fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

/// The client has closed the connection, and has sent nothing before.
fn closed(mut stream: TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0, "more came");
}

pub(super) fn request(body: &str) -> Request<Bytes> {
    Request::post("/")
        .header("host", "test")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap()
}

async fn ask(client: &HttpTransport, body: &str) -> Result<String, SendError> {
    let sending = client.send(request(body));
    let answer = within(client.shared.alarm(PATIENCE), sending).await;
    let answer = answer.expect("the client hangs")?;
    Ok(String::from_utf8(answer.into_body().into()).unwrap())
}

async fn no_answer(client: &HttpTransport) -> String {
    match ask(client, "{}").await {
        Err(SendError::NoAnswer(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

async fn not_sent(client: &HttpTransport) -> String {
    match ask(client, "{}").await {
        Err(SendError::NotSent(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn idle(client: &HttpTransport) -> usize {
    client.shared.idle.lock().unwrap().len()
}

/// Until hyper has seen the end of every idle connection.
async fn all_seen_closed(client: &HttpTransport) {
    let begin = client.shared.runtime().now().mono;
    while !client
        .shared
        .idle
        .lock()
        .unwrap()
        .iter()
        .all(|it| it.connection.is_closed())
    {
        let waited = client.shared.runtime().now().mono.since(begin);
        assert!(waited < PATIENCE, "the connection stays open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again() {
    let server = Server::once(|mut stream| {
        for nth in 0..100 {
            assert_eq!(receive(&mut stream), format!("q{nth}"));
            answer(&mut stream, &format!("a{nth}"));
        }
        closed(stream);
    });
    let client = server.client();
    for nth in 0..100 {
        let answer = ask(&client, &format!("q{nth}")).await.unwrap();
        assert_eq!(answer, format!("a{nth}"));
    }
    drop(client);
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_used_connection_is_the_next() {
    let (go_on, may_go_on) = mpsc::channel();
    let server = Server::run(move |listener| {
        let (mut one, mut other) = (accept(&listener), accept(&listener));
        receive(&mut one);
        receive(&mut other);
        answer(&mut one, "one");
        may_go_on.recv_timeout(PATIENCE).unwrap();
        answer(&mut other, "other");
        receive(&mut other);
        answer(&mut other, "again");
    });
    let client = server.client();
    let mut both = tokio::task::JoinSet::new();
    both.spawn(client.send(request("{}")));
    both.spawn(client.send(request("{}")));
    let first = both.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(first.body(), "one");
    go_on.send(()).unwrap();
    let second = both.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(second.body(), "other");
    assert_eq!(ask(&client, "{}").await.unwrap(), "again");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn not_too_many_connections_are_kept() {
    const AT_ONCE: usize = IDLE_AT_MOST + 8;
    let server = Server::run(|listener| {
        let mut open: Vec<_> = (0..AT_ONCE).map(|_| accept(&listener)).collect();
        for stream in &mut open {
            receive(stream);
        }
        for stream in &mut open {
            answer(stream, "");
        }
        open.into_iter().for_each(closed);
    });
    let client = server.client();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        all.spawn(client.send(request("{}")));
    }
    while let Some(done) = all.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(idle(&client), IDLE_AT_MOST);
    drop(client);
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_has_closed_is_not_used() {
    let server = Server::run(|listener| {
        for nth in ["one", "other"] {
            let mut stream = accept(&listener);
            receive(&mut stream);
            answer(&mut stream, nth);
        }
    });
    let client = server.client();
    assert_eq!(ask(&client, "{}").await.unwrap(), "one");
    all_seen_closed(&client).await;
    assert_eq!(ask(&client, "{}").await.unwrap(), "other");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_answer_closes_is_not_used() {
    let server = Server::run(|listener| {
        let mut open = Vec::new();
        for head in ["HTTP/1.1 200 OK\r\nconnection: close", "HTTP/1.0 200 OK"] {
            let mut stream = accept(&listener);
            receive(&mut stream);
            send(
                &mut stream,
                &format!("{head}\r\ncontent-length: 2\r\n\r\nok"),
            );
            open.push(stream);
        }
        let mut stream = accept(&listener);
        receive(&mut stream);
        answer(&mut stream, "last");
        open.into_iter().for_each(closed);
    });
    let client = server.client();
    assert_eq!(ask(&client, "{}").await.unwrap(), "ok");
    assert_eq!(ask(&client, "{}").await.unwrap(), "ok");
    assert_eq!(ask(&client, "{}").await.unwrap(), "last");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_for_long_is_not_used() {
    let at_limit = IDLE_FOR.as_secs() - 1;
    for (mono, wall) in [(2, 0), (0, 2), (2, 2)] {
        let server = Server::run(|listener| {
            let mut old = accept(&listener);
            for nth in ["one", "still"] {
                receive(&mut old);
                answer(&mut old, nth);
            }
            let mut new = accept(&listener);
            receive(&mut new);
            answer(&mut new, "new");
            closed(old);
        });
        let world = world();
        let client = server.client_in(world.clone());
        let pass = |clock: &AtomicU64, seconds| clock.fetch_add(seconds, Ordering::Relaxed);
        assert_eq!(ask(&client, "{}").await.unwrap(), "one");
        pass(&world.mono_ahead, at_limit);
        pass(&world.wall_ahead, at_limit);
        assert_eq!(ask(&client, "{}").await.unwrap(), "still");
        pass(&world.mono_ahead, mono * at_limit);
        pass(&world.wall_ahead, wall * at_limit);
        assert_eq!(ask(&client, "{}").await.unwrap(), "new");
        server.ended();
    }
}

/// The server closes each connection after its answer, without a word, while the client sends
/// on. What gets lost in between is unknown to the client, but nothing arrives twice.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_sent_twice() {
    let server = Server::run(|listener| {
        let mut seen = std::collections::HashSet::new();
        while !seen.contains("last") {
            let mut stream = accept(&listener);
            // A connection that was opened and not needed has no request.
            if stream.peek(&mut [0]).unwrap_or(0) > 0 {
                let body = receive(&mut stream);
                answer(&mut stream, &body);
                assert!(seen.insert(body), "sent twice");
            }
        }
    });
    let client = server.client();
    let mut answered = 0;
    for nth in 0..500 {
        match ask(&client, &nth.to_string()).await {
            Ok(body) => {
                assert_eq!(body, nth.to_string());
                answered += 1;
            }
            Err(SendError::NoAnswer(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(answered >= 250, "{answered}");
    all_seen_closed(&client).await;
    assert_eq!(ask(&client, "last").await.unwrap(), "last");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_answer_is_none() {
    for text in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n{} ",
        "HTTP/1.1 200 OK\r\ncontent-length: 9223372036854775807\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
        "\x16\x03\x01 this is not HTTP\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
    ] {
        let server = Server::once(move |mut stream| {
            receive(&mut stream);
            send(&mut stream, text);
            stream.shutdown(Shutdown::Write).unwrap();
            closed(stream);
        });
        let client = server.client();
        assert!(!no_answer(&client).await.is_empty(), "{text:?}");
        assert_eq!(idle(&client), 0);
        server.ended();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_no_answer() {
    for text in ["", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{"] {
        let server = Server::once(move |mut stream| {
            let mut part = [0; 20];
            stream.read_exact(&mut part).unwrap();
            send(&mut stream, text);
            // What is left unread makes a reset of the close.
        });
        let client = server.client();
        no_answer(&client).await;
        assert_eq!(idle(&client), 0);
        server.ended();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_is_cut_off() {
    for (head, part) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n",
            "x".repeat(1 << 16),
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1 << 16)),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            format!("10000\r\n{}\r\n", "x".repeat(1 << 16)),
        ),
        (
            "HTTP/1.1 200 OK\r\n",
            format!("x-more: {}\r\n", "x".repeat(1 << 16)),
        ),
    ] {
        let server = Server::once(move |mut stream| {
            receive(&mut stream);
            send(&mut stream, head);
            // It goes on until the client has had enough.
            while stream.write_all(part.as_bytes()).is_ok() {}
        });
        let client = server.client();
        no_answer(&client).await;
        assert_eq!(idle(&client), 0);
        server.ended();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_answer_is_read() {
    let server = Server::once(|mut stream| {
        for more in [0, 1] {
            receive(&mut stream);
            let body = "x".repeat(LONGEST_ANSWER + more);
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            send(&mut stream, &head);
            let _ = stream.write_all(body.as_bytes());
        }
    });
    let client = server.client();
    assert_eq!(ask(&client, "{}").await.unwrap().len(), LONGEST_ANSWER);
    assert_eq!(no_answer(&client).await, "it is longer than 32 MiB");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_closes_the_connection() {
    for text in ["", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{"] {
        let (hang, hangs) = tokio::sync::oneshot::channel();
        let server = Server::once(move |mut stream| {
            receive(&mut stream);
            send(&mut stream, text);
            hang.send(()).unwrap();
            closed(stream);
        });
        let client = server.client();
        let mut sending = client.send(request("{}"));
        let mut hangs = pin!(hangs);
        poll_fn(|cx| {
            assert!(sending.as_mut().poll(cx).is_pending());
            hangs.as_mut().poll(cx)
        })
        .await
        .unwrap();
        drop(sending);
        assert_eq!(idle(&client), 0);
        server.ended();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_given_back_as_it_is() {
    let server = Server::once(|mut stream| {
        receive(&mut stream);
        send(
            &mut stream,
            "HTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\n\
             content-length: 4\r\n\r\nmove",
        );
        receive(&mut stream);
        answer(&mut stream, "here");
    });
    let client = server.client();
    let answer = client.send(request("{}")).await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], "http://127.0.0.1:1/");
    assert_eq!(answer.body(), "move");
    assert_eq!(ask(&client, "{}").await.unwrap(), "here");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let endpoint = Endpoint::parse(&url).unwrap();
    let client = direct(world(), &endpoint);
    let reason = not_sent(&client).await;
    assert!(
        reason.starts_with(&format!("no connection to {url}/: ")),
        "{reason}"
    );
    assert!(reason.contains("refused"), "{reason}");
}

#[test]
fn without_a_runtime_nothing_is_sent() {
    let endpoint = Endpoint::parse("http://127.0.0.1:1").unwrap();
    let client = direct(world(), &endpoint);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let sent = client.send(request("{}")).as_mut().poll(&mut cx);
    assert!(matches!(sent, Poll::Ready(Err(SendError::NotSent(_)))));
}

#[cfg(all(feature = "__tls", feature = "webpki-roots"))]
mod with_tls {
    use super::*;

    fn client(server: &Server, connect_timeout: Duration) -> HttpTransport {
        let url = server.url.replace("http:", "https:");
        let endpoint = Endpoint::parse(&url).unwrap();
        to(world(), connect_timeout, &endpoint).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_without_tls_gets_no_request() {
        let server = Server::once(|mut stream| {
            // The kind of a record that opens a TLS handshake.
            let mut first = [0];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(first, [22]);
            send(
                &mut stream,
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            );
        });
        let reason = not_sent(&client(&server, PATIENCE)).await;
        assert!(reason.contains("https://127.0.0.1"), "{reason}");
        assert!(reason.contains("corrupt message"), "{reason}");
        server.ended();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_handshake_that_hangs_is_given_up() {
        let server = Server::once(|mut stream| {
            let mut hello = Vec::new();
            stream.read_to_end(&mut hello).unwrap();
            assert_eq!(hello[0], 22);
        });
        let reason = not_sent(&client(&server, Duration::from_millis(50))).await;
        assert!(reason.ends_with("within 50 ms"), "{reason}");
        server.ended();
    }
}

#[cfg(not(feature = "__tls"))]
#[test]
fn without_tls_an_endpoint_that_needs_it_is_an_error() {
    let endpoint = Endpoint::parse("https://db.example").unwrap();
    let error = to(world(), PATIENCE, &endpoint).err().unwrap();
    assert!(error.to_string().contains("built without"), "{error}");
}

#[tokio::test]
async fn a_connection_is_opened_ahead_and_then_used() {
    let (go_on, may_go_on) = mpsc::channel();
    let server = Server::run(move |listener| {
        let mut only = accept(&listener);
        may_go_on.recv_timeout(PATIENCE).unwrap();
        assert_eq!(receive(&mut only), "{}");
        answer(&mut only, "done");
    });
    let client = server.client();
    client.connect().await.unwrap();
    assert_eq!(idle(&client), 1);
    // A second call finds it there.
    client.connect().await.unwrap();
    assert_eq!(idle(&client), 1);
    go_on.send(()).unwrap();
    assert_eq!(ask(&client, "{}").await.unwrap(), "done");
    server.ended();
}

#[tokio::test]
async fn connecting_ahead_says_why_it_cannot() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = direct(world(), &Endpoint::parse(&url).unwrap());
    let error = client.connect().await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
}

/// The whole program stands still, as a frozen Lambda function does: its runtime has no chance to
/// see what came of its connections before the next request is made.
#[tokio::test]
async fn a_connection_that_was_closed_during_a_freeze_costs_no_attempt() {
    let (close, may_close) = mpsc::channel();
    let (closed, has_closed) = mpsc::channel();
    let server = Server::run(move |listener| {
        let mut first = accept(&listener);
        receive(&mut first);
        answer(&mut first, "before");
        may_close.recv_timeout(PATIENCE).unwrap();
        drop(first);
        closed.send(()).unwrap();
        let mut second = accept(&listener);
        receive(&mut second);
        answer(&mut second, "after");
    });
    let client = server.client();
    assert_eq!(ask(&client, "{}").await.unwrap(), "before");
    assert_eq!(idle(&client), 1);
    // Blocks the only thread.
    close.send(()).unwrap();
    has_closed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(ask(&client, "{}").await.unwrap(), "after");
    server.ended();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_megabyte_of_headers_is_refused() {
    let server = Server::once(|mut stream| {
        receive(&mut stream);
        let line = format!("x-{}: {}\r\n", "a".repeat(10), "b".repeat(10_000));
        // The client may hang up in the middle of it.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        for _ in 0..100 {
            if stream.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
        let _ = stream.write_all(b"content-length: 2\r\n\r\n{}");
    });
    let client = server.client();
    let reason = no_answer(&client).await;
    assert!(reason.contains("too large"), "{reason}");
    assert_eq!(idle(&client), 0);
    server.ended();
}
