//! Servers that do what a test says, and what the tests of the sources have in common.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::credentials::{Credentials, CredentialsError, Trouble};
use crate::runtime::Tokio;
use crate::wire::Network;

/// What waits for the other side waits this long, and then the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A limit that a hanging server runs into.
pub(crate) const SOON: Duration = Duration::from_millis(60);

/// No value with this in it may show anywhere.
pub(crate) const MARKER: &str = "XYZZY";

/// What a server does with one request.
pub(crate) enum Deed {
    /// Sends this, whole.
    Send(String),
    /// Sends this a byte at a time, slowly.
    Trickle(String),
    /// Says nothing until the client has gone.
    Hang,
    /// Closes the connection.
    Close,
}

/// An answer of this status.
pub(crate) fn reply(status: u16, body: &str) -> Deed {
    Deed::Send(text(status, "", body))
}

/// A whole answer; each of `headers` ends in a line break.
pub(crate) fn text(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\n\r\n{body}")
}

/// On loopback. After the last deed it hangs.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Receiver<String>,
}

impl Server {
    pub(crate) fn new(deeds: impl IntoIterator<Item = Deed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = channel();
        let deeds: Vec<_> = deeds.into_iter().collect();
        thread::spawn(move || serve(&listener, deeds, &seen));
        Self { url, requests }
    }

    /// The next request that came, whole.
    pub(crate) fn request(&self) -> String {
        let request = self.requests.recv_timeout(PATIENCE);
        request.expect("a request")
    }

    /// Every request that came has been looked at.
    pub(crate) fn is_done(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

fn serve(listener: &TcpListener, deeds: Vec<Deed>, seen: &Sender<String>) {
    let mut deeds = deeds.into_iter();
    while let Ok((mut stream, _)) = listener.accept() {
        while let Some(request) = receive(&mut stream) {
            if seen.send(request).is_err() {
                return;
            }
            match deeds.next().unwrap_or(Deed::Hang) {
                Deed::Send(text) => drop(stream.write_all(text.as_bytes())),
                Deed::Trickle(text) => trickle(&mut stream, &text),
                Deed::Hang => drop(stream.read(&mut [0])),
                Deed::Close => break,
            }
        }
    }
}

/// Reads one request; `None` where the client has gone.
fn receive(stream: &mut TcpStream) -> Option<String> {
    let mut got = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&got);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if length.map_or(0, |length| length.parse().unwrap()) == body.len() {
                return Some(text.into_owned());
            }
        }
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => got.push(byte[0]),
            _ => return None,
        }
    }
}

/// Sends a byte whenever the client has been silent for a while, and ends when it has gone.
fn trickle(stream: &mut TcpStream, text: &str) {
    let pace = Some(Duration::from_millis(5));
    stream.set_read_timeout(pace).unwrap();
    for byte in text.bytes() {
        match stream.read(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => return,
        }
        if stream.write_all(&[byte]).is_err() {
            return;
        }
    }
    stream.set_read_timeout(None).unwrap();
}

/// A port where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) fn network() -> Network {
    Network::plain(Arc::new(Tokio::new()), PATIENCE)
}

/// An environment of these variables.
pub(crate) fn variables(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'static {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let set: Vec<_> = set.iter().map(owned).collect();
    move |name| {
        let found = set.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    }
}

/// What is the matter, and how it reads; no marker is in it.
pub(crate) fn trouble(error: &CredentialsError) -> (Trouble, String) {
    let shown = error.to_string();
    assert_no_marker(&shown);
    assert_no_marker(&format!("{error:?} {error:#?}"));
    assert!(!shown.contains(|c: char| c.is_control()), "{shown:?}");
    (error.trouble(), shown)
}

pub(crate) fn assert_no_marker(shown: &str) {
    assert!(!shown.contains(MARKER), "{shown}");
}

/// Key id, secret and token.
pub(crate) fn parts(credentials: &Credentials) -> (&str, &str, Option<&str>) {
    let credentials = credentials.as_aws();
    (
        credentials.access_key_id(),
        credentials.secret_access_key(),
        credentials.session_token(),
    )
}

/// A file that is there as long as this.
pub(crate) struct TestFile {
    pub(crate) path: PathBuf,
}

impl TestFile {
    pub(crate) fn new(content: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dynolock-credentials-{}-{nth}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self { path }
    }

    pub(crate) fn replace(&self, content: &str) {
        std::fs::write(&self.path, content).unwrap();
    }

    pub(crate) fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// A path where there is no file.
pub(crate) fn no_file() -> PathBuf {
    Path::new(&std::env::temp_dir()).join("dynolock-credentials-none")
}
