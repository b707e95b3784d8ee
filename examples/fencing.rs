//! The fencing token given to another system.
//!
//! A holder that stands still (a debugger, a long collection of garbage, a suspended machine) may
//! go on when its lease is long over, between looking at `is_held` and writing. DynamoDB refuses
//! its writes to the item. Any other system does so only where it is given the token, remembers
//! the largest one, and refuses smaller ones: that is all it has to do.
//!
//! `cargo run --example fencing [-- --endpoint-url URL --table NAME]`

mod place;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use dynolock::{Lock, Update};
use place::{Outcome, Place, check};
use tokio::sync::oneshot;

const LEASE: Duration = Duration::from_secs(1);

/// Another system: a store of one text.
#[derive(Default)]
struct Store(Mutex<(u64, String)>);

impl Store {
    /// Writes, unless somebody with a larger token has written before.
    fn write(&self, token: u64, text: &str) -> Result<(), u64> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if token < kept.0 {
            return Err(kept.0);
        }
        *kept = (token, text.to_owned());
        Ok(())
    }

    /// What a store without tokens does.
    fn write_unfenced(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = text.to_owned();
    }

    fn read(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.clone()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&[], story).await
}

async fn story(place: Place) -> Outcome<()> {
    let id = place.id("store")?;
    let (fenced, unfenced) = (Arc::new(Store::default()), Arc::new(Store::default()));

    println!("1. Ann has the lock, and her machine stands still.");
    let (has_lock, ann_has_lock) = oneshot::channel();
    let (thaw, thawed) = mpsc::channel();
    let ann = std::thread::spawn({
        let lock = lock(&place, &id, "ann")?;
        let stores = (fenced.clone(), unfenced.clone());
        // A runtime of her own, which stands still with her, heartbeat and all.
        let machine = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        move || machine.block_on(ann(lock, has_lock, thawed, stores))
    });
    ann_has_lock.await?;

    println!("2. Bob takes the lock over, and writes with his token.");
    let bob = lock(&place, &id, "bob")?.acquire().await?;
    let wrote = fenced.write(bob.fencing_token(), "bob's");
    check(wrote.is_ok(), "Bob's token is the largest so far")?;
    unfenced.write_unfenced("bob's");
    bob.update(Update::new().set("text", "bob's")).await?;

    thaw.send(())?; // Bob's lease is kept by its heartbeat meanwhile
    let ended = tokio::task::spawn_blocking(|| ann.join()).await?;
    ended.map_err(|_| "Ann panicked")??;
    println!("4. What is there now?");
    println!("   In the store that knows tokens: {}.", fenced.read());
    println!("   In the one that does not: {}.", unfenced.read());
    let item = bob.update_returning(Update::new().add("reads", 1)).await?;
    println!("   In the locked item: {}.", item.get_as::<&str>("text")?);
    check(
        fenced.read() == "bob's",
        "the token has protected the store",
    )?;
    check(
        unfenced.read() == "ann's",
        "without it Bob's text is overwritten",
    )?;
    check(
        item.get_as::<&str>("text")? == "bob's",
        "the item protects itself",
    )?;
    bob.delete_item().await?;
    Ok(())
}

/// What Ann does on her machine.
async fn ann(
    lock: Lock,
    has_lock: oneshot::Sender<()>,
    thawed: mpsc::Receiver<()>,
    (fenced, unfenced): (Arc<Store>, Arc<Store>),
) -> Outcome<()> {
    let lease = lock.acquire().await?;
    let token = lease.fencing_token();
    has_lock.send(()).map_err(|()| "nobody listens")?;
    check(lease.is_held(), "Ann holds the lock")?;

    thawed.recv()?; // the whole thread stands still, just after she has looked

    println!("3. Ann goes on, as if nothing had happened.");
    unfenced.write_unfenced("ann's");
    let refused = fenced.write(token, "ann's").err();
    let seen = refused.ok_or("the store took the smaller token")?;
    println!("   The store refuses her token {token}: it has seen {seen}.");
    check(!lease.is_held(), "a second look tells her")?;
    let refused = lease.update(Update::new().set("text", "ann's")).await;
    let refused = refused.err().ok_or("her update was applied")?;
    println!("   DynamoDB refuses her update: {refused}.");
    check(refused.is_lost(), "the lease is lost")
}

fn lock(place: &Place, id: &str, owner: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(owner)
        .lease(LEASE)
        .timeout(Duration::from_secs(20)))
}
