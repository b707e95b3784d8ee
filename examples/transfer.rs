//! Transfers between two records under both locks.
//!
//! A set of locks is acquired all at once or not at all, so that transfers in both directions
//! never wait for one another for ever. Both records are written in one transaction, on the
//! condition that both locks are held.
//!
//! `cargo run --example transfer [-- --endpoint-url URL --table NAME]`

mod place;

use std::process::ExitCode;
use std::time::Duration;

use dynolock::{Client, Error, Lock, Update};
use place::{Outcome, Place, check};
use tokio::task::JoinSet;

const TELLERS: u64 = 6;
const TRANSFERS: u64 = 5;
/// What each account begins with: less than some transfers want to take.
const BEGIN: u64 = 30;

/// What came of a transfer.
#[derive(PartialEq, Eq)]
enum Transfer {
    Made,
    NotEnough,
    /// It was made as a whole or not at all, and nobody can tell any more.
    Unknown,
}

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&[], story).await
}

async fn story(place: Place) -> Outcome<()> {
    let accounts = [place.id("acme")?, place.id("bolt")?];
    let client = place.client()?;
    for id in &accounts {
        let lease = lock(&client, &place, id, "story").acquire().await?;
        lease.commit(Update::new().set("balance", BEGIN)).await?;
    }

    println!("{TELLERS} tellers transfer in both directions, {TRANSFERS} times each.");
    let mut tellers = JoinSet::new();
    for teller in 0..TELLERS {
        let (place, accounts, client) = (place.clone(), accounts.clone(), place.client()?);
        tellers.spawn(async move {
            let owner = format!("teller-{teller}");
            let [mut from, mut to] = accounts.map(|id| lock(&client, &place, &id, &owner));
            if teller % 2 == 1 {
                std::mem::swap(&mut from, &mut to); // given in another order
            }
            let mut outcomes = Vec::new();
            for nth in 1..=TRANSFERS {
                outcomes.push(transfer(&client, &from, &to, 3 * nth + teller).await?);
            }
            Ok::<_, Error>(outcomes)
        });
    }
    let mut outcomes = Vec::new();
    while let Some(teller) = tellers.join_next().await {
        outcomes.extend(teller??);
    }
    let count = |wanted| {
        outcomes
            .iter()
            .filter(|outcome| **outcome == wanted)
            .count()
    };
    let (made, unknown) = (count(Transfer::Made), count(Transfer::Unknown));
    println!(
        "   {made} were made, for {} there was not enough.",
        count(Transfer::NotEnough)
    );

    let both = accounts
        .each_ref()
        .map(|id| lock(&client, &place, id, "story"));
    let leases = client.lock_all(both).acquire().await?;
    let mut sum = 0;
    for lease in &leases {
        let (balance, booked): (u64, usize) = (
            lease.item().get_as("balance")?,
            lease.item().get_as("booked")?,
        );
        println!("   An account has {balance}, after {booked} transfers.");
        check(
            booked >= made && booked <= made + unknown,
            "each is booked once",
        )?;
        sum += balance;
    }
    check(sum == 2 * BEGIN, "the sum is what it was")?;
    check(made > 0, "there were transfers")?;
    leases.release().await?;
    for id in &accounts {
        let lease = lock(&client, &place, id, "story").acquire().await?;
        lease.delete_item().await?;
    }
    Ok(())
}

async fn transfer(client: &Client, from: &Lock, to: &Lock, amount: u64) -> Result<Transfer, Error> {
    let leases = client
        .lock_all([from.clone(), to.clone()])
        .acquire()
        .await?;
    let balance = |at: usize| leases[at].item().get_as::<u64>("balance");
    let (from, to) = (balance(0)?, balance(1)?);
    let Some(less) = from.checked_sub(amount) else {
        leases.release().await?;
        return Ok(Transfer::NotEnough);
    };
    let booked = |balance: u64| Update::new().set("balance", balance).add("booked", 1);
    let sent = client
        .transaction()
        .update(&leases[0], booked(less))
        .update(&leases[1], booked(to + amount))
        .send()
        .await;
    match sent {
        Ok(()) => {}
        Err(error) if error.is_outcome_unknown() => return Ok(Transfer::Unknown),
        Err(error) => return Err(error), // not made; dropping the leases releases them
    }
    // Made, whatever comes of the release: at the latest the locks end with their leases.
    let _ = leases.release().await;
    Ok(Transfer::Made)
}

fn lock(client: &Client, place: &Place, id: &str, owner: &str) -> Lock {
    client
        .lock(&place.table, ("id", id))
        .owner(owner)
        .lease(Duration::from_secs(5))
        .timeout(Duration::from_secs(40))
        .retry_interval(Duration::from_millis(30))
}
