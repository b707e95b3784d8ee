//! The server of a comparison: an embedded DynamoDB engine in memory, or another that is named,
//! with relays before it that count, and TLS.
//!
//! `engine --ca FILE [--upstream HOST:PORT]` writes the certificate of its authority to FILE and
//! prints one line of JSON with its addresses. Then it answers each line of its standard input by
//! one of JSON, and ends with it:
//!
//! - `reset`: forgets what has been counted;
//! - `counts N`: requests and bytes through relay N;
//! - `record FILE`: writes the first two requests through relay 0 to FILE;
//! - `gaps`: how regularly each lease has been renewed through relay 0;
//! - `invoke KEY`: serves a Lambda function that is yet to start one invocation for KEY;
//! - `outcome`: waits for its answer; says what it was and when it came.

mod invocation;
mod relay;
mod tls;

use std::fmt::Write;
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use common::Outcome;
use invocation::Invocation;
use relay::Relay;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};

/// One for each process of a hand-over.
const RELAYS: usize = 2;

fn main() -> ExitCode {
    common::conclude(run())
}

fn run() -> Outcome<()> {
    let (mut authority, mut upstream) = (None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option without a value")?;
        match &*name {
            "--ca" => authority = Some(value),
            "--upstream" => upstream = Some(value.parse()?),
            _ => return Err(format!("no such option: {name}").into()),
        }
    }
    let authority = authority.ok_or("--ca is missing")?;

    let upstream = match upstream {
        Some(upstream) => upstream,
        None => start_engine()?,
    };
    let runtime = runtime()?;
    let relays: Vec<_> = (0..RELAYS).map(|_| Arc::new(Relay::default())).collect();
    let mut urls = String::new();
    for relay in &relays {
        let (listener, address) = listener(&runtime)?;
        runtime.spawn(relay::serve(relay.clone(), listener, upstream));
        write!(urls, ",\"http://{address}\"")?;
    }
    let (listener, encrypted) = listener(&runtime)?;
    let acceptor = tls::acceptor(Path::new(&authority))?;
    runtime.spawn(tls::serve(acceptor, listener, upstream));
    let mut desk = Desk {
        relays,
        runtime: runtime.handle().clone(),
        invocation: None,
    };
    drive(runtime);

    let urls = urls.trim_start_matches(',');
    println!(
        "{{\"url\":\"http://{upstream}\",\"tls\":\"https://{encrypted}\",\"relays\":[{urls}]}}"
    );
    for command in std::io::stdin().lock().lines() {
        println!("{}", desk.answer(&command?)?);
    }
    Ok(())
}

/// Where the driver asks.
struct Desk {
    relays: Vec<Arc<Relay>>,
    /// Of what serves.
    runtime: Handle,
    invocation: Option<Invocation>,
}

impl Desk {
    fn answer(&mut self, command: &str) -> Outcome<String> {
        let words: Vec<_> = command.split_whitespace().collect();
        match words[..] {
            ["reset"] => {
                self.relays.iter().for_each(|relay| relay.reset());
                Ok("{}".into())
            }
            ["counts", number] => {
                let relay = self.relays.get(number.parse::<usize>()?);
                Ok(relay.ok_or("no such relay")?.counts())
            }
            ["record", file] => {
                std::fs::write(file, self.relays[0].first_requests())?;
                Ok("{}".into())
            }
            ["gaps"] => Ok(self.relays[0].gaps()),
            ["invoke", key] => {
                let invocation = Invocation::of(key, &self.runtime)?;
                let address = invocation.address();
                self.invocation = Some(invocation);
                Ok(format!("{{\"api\":\"{address}\"}}"))
            }
            ["outcome"] => {
                let invocation = self.invocation.as_ref();
                Ok(invocation.ok_or("nothing was invoked")?.outcome())
            }
            _ => Err(format!("no such command: {command}").into()),
        }
    }
}

/// On a thread of its own, as everything that serves.
fn start_engine() -> Outcome<SocketAddr> {
    let database = dynoxide::Database::memory()?;
    let runtime = runtime()?;
    let (listener, address) = listener(&runtime)?;
    runtime.spawn(dynoxide::server::serve_on(listener, database));
    drive(runtime);
    Ok(address)
}

fn runtime() -> Outcome<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// Runs what has been spawned, as long as this process lives.
fn drive(runtime: Runtime) {
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
}

fn listener(runtime: &Runtime) -> Outcome<(TcpListener, SocketAddr)> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
