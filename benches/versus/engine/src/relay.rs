//! A relay that passes bytes on as they are, and keeps account of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What stands before the key's value in a request of any of the peers.
const BEFORE_KEY: &[u8] = br#""key":{"S":"lease-"#;

#[derive(Default)]
pub struct Relay(Mutex<Account>);

#[derive(Default)]
struct Account {
    requests: u64,
    /// From the client.
    sent: u64,
    /// By the server.
    received: u64,
    /// The first two.
    recorded: Vec<Vec<u8>>,
    leases: HashMap<Vec<u8>, Renewals>,
}

struct Renewals {
    count: u64,
    last: Instant,
    longest_gap: Duration,
}

impl Relay {
    pub fn reset(&self) {
        *self.account() = Account::default();
    }

    pub fn counts(&self) -> String {
        let account = self.account();
        format!(
            "{{\"requests\":{},\"sent\":{},\"received\":{}}}",
            account.requests, account.sent, account.received
        )
    }

    pub fn first_requests(&self) -> Vec<u8> {
        self.account().recorded.concat()
    }

    /// Over all leases: how many there are, how often the least renewed one was, the longest time
    /// between two requests for one, and the longest since the last.
    pub fn gaps(&self) -> String {
        let account = self.account();
        let leases = account.leases.values();
        let fewest = leases.clone().map(|lease| lease.count - 1).min();
        let longest = leases.clone().map(|lease| lease.longest_gap).max();
        let open = leases.map(|lease| lease.last.elapsed()).max();
        format!(
            "{{\"leases\":{},\"fewest_renewals\":{},\"longest_gap\":{},\"longest_open\":{}}}",
            account.leases.len(),
            fewest.unwrap_or_default(),
            longest.unwrap_or_default().as_secs_f64(),
            open.unwrap_or_default().as_secs_f64(),
        )
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn note(&mut self, request: &[u8]) {
        self.requests += 1;
        if self.recorded.len() < 2 {
            self.recorded.push(request.to_vec());
        }
        let now = Instant::now();
        if let Some(key) = lease(request) {
            let first = Renewals {
                count: 0,
                last: now,
                longest_gap: Duration::ZERO,
            };
            let lease = self.leases.entry(key.to_vec()).or_insert(first);
            lease.longest_gap = lease.longest_gap.max(now - lease.last);
            lease.last = now;
            lease.count += 1;
        }
    }
}

/// What tells the lease of a request from others.
fn lease(request: &[u8]) -> Option<&[u8]> {
    let mut windows = request.windows(BEFORE_KEY.len());
    let start = windows.position(|window| window == BEFORE_KEY)? + BEFORE_KEY.len();
    request[start..].split(|byte| *byte == b'"').next()
}

pub async fn serve(relay: Arc<Relay>, listener: TcpListener, upstream: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        let relay = relay.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(upstream).await else {
                return;
            };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let requests = relay.clone();
            let mut pending = Vec::new();
            tokio::spawn(pass(from_client, to_server, move |bytes| {
                let mut account = requests.account();
                account.sent += bytes.len() as u64;
                pending.extend_from_slice(bytes);
                while let Some(length) = message::length(&pending) {
                    account.note(&pending[..length]);
                    pending.drain(..length);
                }
            }));
            pass(from_server, to_client, move |bytes| {
                relay.account().received += bytes.len() as u64;
            })
            .await;
        });
    }
}

/// Until one side ends, which the other is told.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut note: impl FnMut(&[u8]),
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        note(&buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
