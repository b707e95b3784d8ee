//! The smallest program that locks an item: the measure of the crate's size.
//!
//! `minimal TABLE KEY` locks the item of `TABLE` whose partition key `id` is `KEY`, holds it for a
//! second, and releases it. Region, endpoint and credentials come from the environment.

use std::process::ExitCode;
use std::time::Duration;

/// So long it waits for the lock, or for a server: it ends within a second where there is none.
const PATIENCE: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(table), Some(key)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: minimal TABLE KEY");
        return ExitCode::from(64);
    };
    match hold(table, key).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            // By returning, it would wait for a name that is still being looked up.
            std::process::exit(1)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a program of its own")]
async fn hold(table: String, key: String) -> Result<(), dynolock::Error> {
    let client = dynolock::Client::from_env()?;
    let lock = client.lock(table, ("id", key)).timeout(PATIENCE);
    let lease = lock.acquire().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    lease.release().await
}
