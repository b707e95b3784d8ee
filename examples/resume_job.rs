//! A job that goes on from its last committed step after a crash.
//!
//! The record of the job is the lock: each step is written with `lease.update`, the last one with
//! `lease.commit`. The process that does it is killed twice; the next one waits until the lease of
//! the dead one is over, finds the job where it was, and goes on. No step is there twice or
//! missing. What a step does *outside* of the record may well happen twice, where the process
//! dies between doing and writing: it must be harmless, or bear the fencing token.
//!
//! `cargo run --example resume_job [-- --endpoint-url URL --table NAME]`

#![expect(clippy::disallowed_methods, reason = "a program of its own")]

mod place;

use std::process::ExitCode;
use std::time::Duration;

use dynolock::{Lock, Update};
use place::{Outcome, Place, check};

const STEPS: u64 = 6;
/// How long the job stands still after a crash.
const LEASE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&["--job"], async |place| match place.option("--job") {
        Some(id) => work(lock(&place, id)?).await,
        None => story(&place).await,
    })
    .await
}

/// Does the job, or what is left of it.
async fn work(lock: Lock) -> Outcome<()> {
    let lease = lock.acquire().await?;
    let item = lease.item();
    if item.get_as::<Option<&str>>("state")? == Some("done") {
        lease.release().await?;
        return Ok(());
    }
    let begun = item.get_as::<Option<u64>>("step")?.unwrap_or(0);
    println!("goes on after step {begun}");
    for step in begun + 1..STEPS {
        let update = written(step, compute(step).await);
        // Where the lease is lost, the error ends this process: the job is another's now.
        lease.update(update).await?;
        println!("step {step}");
    }
    let last = written(STEPS, compute(STEPS).await);
    lease.commit(last.set("state", "done")).await?;
    println!("step {STEPS}");
    Ok(())
}

/// A step and its result, written together.
fn written(step: u64, result: u64) -> Update {
    Update::new().set("step", step).append("results", [result])
}

async fn compute(step: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(150)).await;
    step * step
}

async fn story(place: &Place) -> Outcome<()> {
    let id = place.id("job")?;

    println!("1. A process does the job. It is killed after step 2.");
    check(
        !run(place, &id, Some("step 2"))?,
        "it did not come to its end",
    )?;
    println!("2. Another goes on, and is killed after step 4.");
    check(
        !run(place, &id, Some("step 4"))?,
        "it did not come to its end",
    )?;
    println!("3. A third one goes on.");
    check(run(place, &id, None)?, "it came to its end")?;
    println!("4. Where the job is done, there is nothing to do.");
    check(run(place, &id, None)?, "it came to its end")?;

    let lease = lock(place, &id)?.acquire().await?;
    let results: Vec<u64> = lease.item().get_as("results")?;
    println!("The record has these results: {results:?}.");
    let expected: Vec<u64> = (1..=STEPS).map(|step| step * step).collect();
    check(results == expected, "each step is there once, in order")?;
    lease.delete_item().await?;
    Ok(())
}

fn lock(place: &Place, id: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(format!("process {}", std::process::id()))
        .lease(LEASE) // kept by a heartbeat, however long a step takes
        .timeout(Duration::from_secs(20)))
}

/// Runs the job in a process of its own, and kills it when it says `kill_after`. Whether it came to
/// its end.
fn run(place: &Place, id: &str, kill_after: Option<&str>) -> Outcome<bool> {
    let mut process = place.start(&[("--job", id)])?;
    while let Some(line) = process.line() {
        println!("   {line}");
        if Some(line.as_str()) == kill_after {
            process.kill()?;
        }
    }
    process.wait()
}
