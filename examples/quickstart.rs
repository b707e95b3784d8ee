//! The life of a lock, in plain words, on a real DynamoDB engine.
//!
//! `cargo run --example quickstart` starts an embedded engine on a free loopback port.
//! `cargo run --example quickstart -- --endpoint-url URL --table NAME` uses another DynamoDB; the
//! table's partition key must be the string `id`, and region and credentials come from the
//! environment. Each step is checked; the exit status says whether all came true.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own clock and tasks"
)]

mod place;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dynolock::{Lock, Lost};
use place::{Outcome, Place, check};

/// How long a lease lasts here, and how long a dead holder blocks the others.
const LEASE: Duration = Duration::from_millis(600);

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&[], life_of_a_lock).await
}

async fn life_of_a_lock(place: Place) -> Outcome<()> {
    // Two clients, as if on two machines.
    let id = place.id("quickstart")?;
    let ann = lock(&place, &id, "ann")?;
    let bob = lock(&place, &id, "bob")?;

    println!("1. Ann locks the item.");
    let lease = ann.acquire().await?;
    let first_token = lease.fencing_token();
    println!("   She has it, with fencing token {first_token}.");
    check(lease.is_held(), "Ann holds the lock")?;
    check(
        bob.try_acquire().await?.is_none(),
        "Bob cannot have it at the same time",
    )?;

    println!("2. A heartbeat extends her lease, without any doing of hers.");
    let (begun, end) = (Instant::now(), lease.expires_at());
    while lease.expires_at() == end && begun.elapsed() < LEASE * 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    check(lease.expires_at() > end, "the lease ends later than before")?;
    println!("   {:?} are left again.", lease.remaining());

    println!("3. Bob waits for the lock. Ann releases it.");
    let waiting = tokio::spawn({
        let bob = bob.clone();
        async move { bob.acquire().await }
    });
    lease.release().await?;
    let lease = waiting.await??;
    println!("   Bob has it, with token {}.", lease.fencing_token());
    check(
        lease.fencing_token() > first_token,
        "Bob's token is larger than Ann's",
    )?;
    let refused = ann.clone().timeout(LEASE / 4).acquire().await.err();
    let holder = refused.and_then(|error| Some(error.holder()?.owner()?.to_owned()));
    check(
        holder.as_deref() == Some("bob"),
        "Ann is told that Bob holds it",
    )?;
    lease.release().await?;

    println!("4. Ann locks the item and dies: no heartbeat, no release.");
    let dead = ann.clone().manual_heartbeat().acquire().await?;
    let (died, dead_token) = (Instant::now(), dead.fencing_token());
    std::mem::forget(dead);
    let lease = bob.acquire().await?;
    println!(
        "   Bob took it over {:?} later, when her lease was over.",
        died.elapsed()
    );
    check(
        died.elapsed() > LEASE / 2,
        "Bob had to wait for her lease to end",
    )?;
    check(
        lease.fencing_token() > dead_token,
        "and his token is larger than hers",
    )?;
    lease.release().await?;

    println!("5. Ann locks it, does not renew, and Bob takes over.");
    let idle = ann.clone().manual_heartbeat().acquire().await?;
    let lost = idle.lost().await;
    println!("   Ann is told: {lost}.");
    check(
        lost == Lost::Expired,
        "the lease is lost because it expired",
    )?;
    check(!idle.is_held(), "and she knows that she holds it no longer")?;
    let lease = bob.acquire().await?;
    check(
        idle.renew().await.is_err(),
        "Ann cannot renew what she lost",
    )?;
    check(
        idle.release().await.is_err(),
        "and releasing it says so too",
    )?;
    check(lease.is_held(), "Bob still has it")?;

    println!("6. Bob releases it, and the lock is free at once.");
    lease.release().await?;
    let last = ann
        .try_acquire()
        .await?
        .ok_or("the lock is not free after its release")?;
    last.release().await?;
    println!("All of it happened.");
    Ok(())
}

/// The lock as one machine has it.
fn lock(place: &Place, id: &str, owner: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(owner)
        .lease(LEASE)
        .timeout(Duration::from_secs(20))
        .retry_interval(Duration::from_millis(50))
        .delete_on_release())
}
