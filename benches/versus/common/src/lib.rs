//! What the programs of all peers share: one trait that a peer implements, and the programs over it.
//!
//! A program prints one line of JSON, or one line on standard error and ends with a status other
//! than zero.

mod arguments;
pub mod cycles;
mod many;
pub mod message;
pub mod process;
mod station;

use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

pub use arguments::Arguments;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often a waiter asks, in every peer.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// A way to lock an item.
pub trait Peer: Clone + 'static {
    type Lease: 'static;

    /// A client, from what the environment says.
    fn connect(terms: Rc<Terms>) -> impl Future<Output = Outcome<Self>>;

    /// Connects ahead of the first lock, where the peer can.
    fn get_ready(&self) -> impl Future<Output = Outcome<()>> {
        async { Ok(()) }
    }

    /// Waits for the lock of `key`, at most as long as the terms say.
    fn acquire(&self, key: &str) -> impl Future<Output = Outcome<Self::Lease>>;

    fn is_held(lease: &Self::Lease) -> bool;

    /// Gives the lock back, and waits for the answer.
    fn release(lease: Self::Lease) -> impl Future<Output = Outcome<()>>;
}

/// What is asked of every lock of a program.
pub struct Terms {
    pub table: String,
    pub lease: Duration,
    pub heartbeat: Duration,
    /// How long an acquisition waits.
    pub timeout: Duration,
}

/// The smallest program: a client from scratch, one lock acquired and released.
///
/// `cold TABLE KEY [MILLISECONDS]`; it waits no longer than that for the lock.
pub fn cold<P: Peer>() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(table), Some(key)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: cold TABLE KEY [MILLISECONDS]");
        return ExitCode::from(64);
    };
    run(async {
        // Shorter than a second, so that it ends within one where nobody answers.
        let timeout = arguments.next().map_or(Ok(800), |text| text.parse())?;
        let terms = Terms {
            table,
            lease: Duration::from_secs(60),
            heartbeat: Duration::from_secs(20),
            timeout: Duration::from_millis(timeout),
        };
        let peer = P::connect(Rc::new(terms)).await?;
        P::release(peer.acquire(&key).await?).await
    })
}

/// Everything else that is measured: `bench cycles | hold | many` with options.
pub fn bench<P: Peer>() -> ExitCode {
    run(async {
        let arguments = Arguments::read()?;
        let terms = Terms {
            table: arguments.text("table")?.to_owned(),
            lease: arguments.milliseconds("lease", 60_000)?,
            heartbeat: arguments.milliseconds("heartbeat", 20_000)?,
            timeout: arguments.milliseconds("timeout", 10_000)?,
        };
        let peer = P::connect(Rc::new(terms)).await?;
        match arguments.command() {
            "cycles" => cycles::run(peer, &arguments).await,
            "hold" => station::run(peer).await,
            "many" => many::run(peer, &arguments).await,
            other => Err(format!("no such command: {other}").into()),
        }
    })
}

/// Runs a program on one thread.
pub fn run(program: impl Future<Output = Outcome<()>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = tokio::task::LocalSet::new().block_on(&runtime, program);
            // By dropping it, it would wait for a name that is still being looked up.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    conclude(outcome)
}

/// Ends a program with what came of it.
pub fn conclude(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
