//! Leader election with failover.
//!
//! Whoever holds the lock leads, and the fencing token numbers the term. The leader writes its
//! decisions with `lease.update`: each is applied only while this term lasts, and renews the
//! lease. There is no heartbeat beside it, so a leader that decides nothing any more soon is none.
//!
//! `cargo run --example leader_election [-- --endpoint-url URL --table NAME]`

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own clock and tasks"
)]

mod place;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dynolock::{Error, Lease, Lock, Update};
use place::{Outcome, Place, check};
use tokio::task::JoinSet;

/// How long a leader that is dead, or frozen, keeps the others from leading.
const LEASE: Duration = Duration::from_secs(2);
/// How often a leader decides something: several times a lease, as a heartbeat would.
const PACE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&[], story).await
}

async fn story(place: Place) -> Outcome<()> {
    let id = place.id("scheduler")?;

    println!("1. Ann leads; Bob and Cleo wait to.");
    let ann = candidate(&place, &id, "ann")?.acquire().await?;
    let mut followers = JoinSet::new();
    for name in ["bob", "cleo"] {
        let lock = candidate(&place, &id, name)?;
        followers.spawn(async move { (name, lock.acquire().await, Instant::now()) });
    }
    lead(&ann, 12).await?;
    println!("   Her decisions have kept her in office for longer than a lease lasts.");
    check(followers.try_join_next().is_none(), "nobody else leads")?;

    println!("2. Ann freezes. To the others she is dead: she neither renews nor releases.");
    let frozen = Instant::now();
    let (name, elected, since) = followers.join_next().await.ok_or("nobody is left")??;
    let second = elected?;
    println!("   {:?} later {name} leads.", since - frozen);
    check(
        since - frozen < LEASE * 2,
        "it takes a lease, and not much more",
    )?;
    check(
        second.fencing_token() > ann.fencing_token(),
        "the new term has a larger number",
    )?;
    lead(&second, 3).await?;

    println!("3. Ann thaws, and decides as if she were still leading.");
    let refused = decide(&ann).await.err().ok_or("it was applied")?;
    println!("   She is told: {refused}.");
    check(refused.is_lost(), "her term is over")?;

    println!("4. {name} resigns: the last decision and the release are one request.");
    let (last, resigned) = (decision(&second), Instant::now());
    second.commit(last).await?;
    let (name, elected, since) = followers.join_next().await.ok_or("nobody is left")??;
    let third = elected?;
    println!(
        "   {name} leads after {:?}: no lease had to end.",
        since - resigned
    );
    lead(&third, 3).await?;

    let terms = third.update_returning(decision(&third)).await?;
    let terms: Vec<u64> = terms.get_as("terms")?;
    check(
        terms.len() == 12 + 3 + 1 + 3 + 1,
        "every decision is there once",
    )?;
    check(terms.is_sorted(), "and none after its term")?;
    third.delete_item().await?;
    println!("{} decisions in three terms, in order.", terms.len());
    Ok(())
}

/// The lock as a candidate has it.
fn candidate(place: &Place, id: &str, name: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(name)
        .lease(LEASE)
        .manual_heartbeat()
        .timeout(Duration::MAX) // a follower waits for as long as it takes
        .retry_interval(Duration::from_millis(50)))
}

async fn lead(lease: &Lease, decisions: u32) -> Result<(), Error> {
    for _ in 0..decisions {
        decide(lease).await?; // an error here ends the term: stop leading, and stand again
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

async fn decide(lease: &Lease) -> Result<(), Error> {
    lease.update(decision(lease)).await
}

fn decision(lease: &Lease) -> Update {
    Update::new().append("terms", [lease.fencing_token()])
}
