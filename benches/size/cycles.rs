//! Locks and releases an item again and again: the measure of the crate's instructions.
//!
//! `cycles TABLE KEY COUNT` locks the item of `TABLE` whose partition key `id` is `KEY`, and
//! releases it, COUNT times. Region, endpoint and credentials come from the environment.

use std::process::ExitCode;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (table, key, count) = (arguments.next(), arguments.next(), arguments.next());
    let count = count.and_then(|count| count.parse().ok());
    let (Some(table), Some(key), Some(count)) = (table, key, count) else {
        eprintln!("usage: cycles TABLE KEY COUNT");
        return ExitCode::from(64);
    };
    match cycle(table, key, count).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn cycle(table: String, key: String, count: u64) -> Result<(), dynolock::Error> {
    let builder = dynolock::Client::builder().environment();
    let client = builder.attempt_timeout(Duration::from_secs(60)).build()?;
    // No heartbeat is due and no attempt given up, however slow the machine is.
    let lock = client.lock(table, ("id", key)).lease(Duration::from_secs(60));
    for _ in 0..count {
        lock.acquire().await?.release().await?;
    }
    Ok(())
}
