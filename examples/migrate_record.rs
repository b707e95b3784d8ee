//! One-at-a-time migration of a record, in two requests.
//!
//! Many workers find the same record in the old form. Each locks it, which brings it along; the
//! first one migrates it and unlocks it in one request, the others see that it is done.
//!
//! `cargo run --example migrate_record [-- --endpoint-url URL --table NAME]`

mod place;

use std::process::ExitCode;
use std::time::Duration;

use dynolock::{Error, Lock, Update};
use place::{Outcome, Place, check};
use tokio::task::JoinSet;

const OLD: u64 = 1;
const NEW: u64 = 2;
const WORKERS: usize = 8;

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&[], story).await
}

async fn story(place: Place) -> Outcome<()> {
    println!("1. A worker alone migrates a record.");
    let id = record(&place).await?;
    match place.counted().await? {
        Some((counted, relay)) => {
            let migrated = migrate(&lock(&counted, &id, "alone")?).await?;
            println!("   It took {} requests.", relay.requests());
            check(migrated, "the record was migrated")?;
            check(
                relay.requests() == 2,
                "one to read and lock, one to write and unlock",
            )?;
        }
        None => check(
            migrate(&lock(&place, &id, "alone")?).await?,
            "it was migrated",
        )?,
    }
    look_and_delete(&place, &id).await?;

    println!("2. {WORKERS} workers, each with a client of its own, come upon a record.");
    let id = record(&place).await?;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let lock = lock(&place, &id, &format!("worker-{worker}"))?;
        workers.spawn(async move { (worker, migrate_for_sure(&lock).await) });
    }
    let mut migrated_by = Vec::new();
    while let Some(worker) = workers.join_next().await {
        let (worker, migrated) = worker?;
        if migrated? {
            println!("   Worker {worker} has migrated it.");
            migrated_by.push(worker);
        }
    }
    check(migrated_by.len() == 1, "one worker has migrated it")?;
    look_and_delete(&place, &id).await?;
    println!("   The others found it done.");
    Ok(())
}

/// Migrates the record; whether there was anything to do.
async fn migrate(lock: &Lock) -> Result<bool, Error> {
    let lease = lock.acquire().await?; // the first request
    let record = lease.item();
    if record.get_as::<u64>("schema")? >= NEW {
        lease.release().await?;
        return Ok(false);
    }
    let name: &str = record.get_as("name")?;
    let (first, last) = name.split_once(' ').unwrap_or(("", name));
    let update = Update::new()
        .set("first_name", first)
        .set("last_name", last)
        .remove("name")
        .set("schema", NEW)
        .add("migrations", 1)
        // No holder of the lock can have changed it. This is for those who write without one.
        .condition("#schema = :old")
        .name("#schema", "schema")
        .value(":old", OLD);
    lease.commit(update).await?; // the second
    Ok(true)
}

/// The same, where the answer may be missing: the record tells whether it is done.
async fn migrate_for_sure(lock: &Lock) -> Result<bool, Error> {
    loop {
        match migrate(lock).await {
            // Not applied, or not known to be: look again.
            Err(error) if error.is_lost() || error.is_outcome_unknown() => continue,
            done => return done,
        }
    }
}

fn lock(place: &Place, id: &str, owner: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(owner)
        .lease(Duration::from_secs(5))
        .timeout(Duration::from_secs(20))
        .retry_interval(Duration::from_millis(50))
        .existing_only()) // never makes a record that was deleted meanwhile
}

/// A new record in the old form.
async fn record(place: &Place) -> Outcome<String> {
    let id = place.id("person")?;
    let lock = place.client()?.lock(&place.table, ("id", id.as_str()));
    let old = Update::new().set("name", "Ada Lovelace").set("schema", OLD);
    lock.acquire().await?.commit(old).await?;
    Ok(id)
}

async fn look_and_delete(place: &Place, id: &str) -> Outcome<()> {
    let lease = lock(place, id, "story")?.acquire().await?;
    let record = lease.item();
    check(record.get_as::<u64>("migrations")? == 1, "migrated once")?;
    check(
        record.get_as::<&str>("last_name")? == "Lovelace",
        "and well",
    )?;
    check(!record.contains("name"), "nothing of the old form is left")?;
    lease.delete_item().await?;
    Ok(())
}
