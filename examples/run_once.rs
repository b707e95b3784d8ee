//! A cron job that must run once a slot, though many machines are told to run it.
//!
//! Whoever gets the lock looks into the item which slot was run last, runs this one where it was
//! not, and commits it with the release. Whoever finds the lock held looks again later, in case
//! the machine that has it dies. A run that dies half way was none, and is begun anew: what it
//! does must bear that.
//!
//! `cargo run --example run_once [-- --endpoint-url URL --table NAME]`

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own tasks"
)]

mod place;

use std::process::ExitCode;
use std::time::Duration;

use dynolock::{Error, Lock, Update};
use place::{Outcome, Place, check};
use tokio::task::JoinSet;

const MACHINES: usize = 5;
const SLOTS: u64 = 4;
/// The slot in which a machine dies.
const UNLUCKY: u64 = 3;
/// How often a machine looks again at a slot that is being run elsewhere.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What came of a slot on one machine.
enum Slot {
    RunHere,
    RunBefore,
    /// Another machine is at it, or died at it.
    Busy,
}

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&[], story).await
}

async fn story(place: Place) -> Outcome<()> {
    let id = place.id("nightly-report")?;
    let machines: Vec<Lock> = (0..MACHINES)
        .map(|machine| lock(&place, &id, &format!("machine-{machine}")))
        .collect::<Outcome<_>>()?;

    for slot in 1..=SLOTS {
        println!("Slot {slot}: {MACHINES} machines are told to run it.");
        if slot == UNLUCKY {
            let dying = lock(&place, &id, "machine-x")?.manual_heartbeat();
            let lease = dying.try_acquire().await?.ok_or("the lock is not free")?;
            println!("   A sixth one was faster, and dies: no heartbeat, no release.");
            std::mem::forget(lease);
        }
        let mut told = JoinSet::new();
        for (machine, lock) in machines.iter().cloned().enumerate() {
            told.spawn(async move { (machine, on_time(&lock, slot).await) });
        }
        let mut run_by = Vec::new();
        while let Some(machine) = told.join_next().await {
            let (machine, run_here) = machine?;
            if run_here? {
                println!("   Machine {machine} has run it.");
                run_by.push(machine);
            }
        }
        check(run_by.len() == 1, "one machine has run it")?;
    }

    let lease = lock(&place, &id, "story")?.acquire().await?;
    let runs: Vec<u64> = lease.item().get_as("runs")?;
    println!("The item has these runs: {runs:?}.");
    check(runs.into_iter().eq(1..=SLOTS), "each slot was run once")?;
    lease.delete_item().await?;
    Ok(())
}

/// What cron starts on each machine. Whether the slot was run here.
async fn on_time(lock: &Lock, slot: u64) -> Result<bool, Error> {
    loop {
        match run(lock, slot).await {
            Ok(Slot::RunHere) => return Ok(true),
            Ok(Slot::RunBefore) => return Ok(false),
            Ok(Slot::Busy) => {}
            // The item tells whether it was run: look again.
            Err(error) if error.is_lost() || error.is_outcome_unknown() => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn run(lock: &Lock, slot: u64) -> Result<Slot, Error> {
    let Some(lease) = lock.try_acquire().await? else {
        return Ok(Slot::Busy);
    };
    if lease.item().get_as::<Option<u64>>("last")? >= Some(slot) {
        lease.release().await?;
        return Ok(Slot::RunBefore);
    }
    report(slot).await;
    let update = Update::new().set("last", slot).append("runs", [slot]);
    lease.commit(update).await?;
    Ok(Slot::RunHere)
}

/// The work. A heartbeat keeps the lock meanwhile.
async fn report(_slot: u64) {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn lock(place: &Place, id: &str, machine: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(machine)
        // A single try frees the lock of a dead machine when its lease is over by the wall clock,
        // and the second that clocks may be apart.
        .lease(Duration::from_secs(1))
        .timeout(Duration::from_secs(5)))
}
