//! Read-modify-write of one item by many processes, some of which are killed.
//!
//! Each worker is a process of its own: it locks the item, which brings the count along, and
//! writes count + 1 and unlocks in one request. Beside the count, which would show an update that
//! was lost or came late, each worker has an attribute of its own that is added to. Workers are
//! killed (SIGKILL) at random moments and replaced. In the end the item is compared with what the
//! workers have told: every commit they were told of is there, once, and nothing else but commits
//! of which nobody was told.
//!
//! `cargo run --example read_modify_write [-- --seed NUMBER] [--endpoint-url URL --table NAME]`

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own clock and processes"
)]

mod place;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dynolock::{Error, Lock, Update};
use place::process::Process;
use place::{Outcome, Place, check};

const WORKERS: usize = 4;
const KILLS: usize = 12;
const CYCLES_ALONE: u64 = 20;
/// How long the lock of a killed worker blocks the others.
const LEASE: Duration = Duration::from_millis(500);
const TIME_LIMIT: Duration = Duration::from_secs(50);

#[tokio::main]
async fn main() -> ExitCode {
    place::run(&["--seed", "--worker", "--id"], async |place| {
        match (place.option("--worker"), place.option("--id")) {
            (Some(name), Some(id)) => work(&lock(&place, id, name)?, name).await,
            _ => story(&place).await,
        }
    })
    .await
}

/// A worker: counts until its standard input ends, and says what comes of each commit.
async fn work(lock: &Lock, name: &str) -> Outcome<()> {
    let stop = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let stop = stop.clone();
        move || {
            let _ = std::io::stdin().read(&mut [0]);
            stop.store(true, Ordering::SeqCst);
        }
    });
    while !stop.load(Ordering::SeqCst) {
        let said = match count_up(lock, name, || println!("committing")).await {
            Ok(()) => "done",
            Err(error) if error.is_outcome_unknown() => "unknown",
            Err(error) if error.is_lost() => "lost", // before it could be applied
            Err(error) => return Err(error.into()),
        };
        println!("{said}");
    }
    Ok(())
}

/// One cycle: two requests, where nobody else is at it.
async fn count_up(lock: &Lock, name: &str, before_commit: impl FnOnce()) -> Result<(), Error> {
    let lease = lock.acquire().await?;
    let count = lease.item().get_as::<Option<u64>>("count")?.unwrap_or(0);
    before_commit();
    let update = Update::new().set("count", count + 1).add(name, 1);
    lease.commit(update).await
}

fn lock(place: &Place, id: &str, worker: &str) -> Outcome<Lock> {
    Ok(place
        .client()?
        .lock(&place.table, ("id", id))
        .owner(worker)
        .lease(LEASE)
        .timeout(Duration::from_secs(30))
        .retry_interval(Duration::from_millis(20)))
}

/// What a worker has told of its commits.
#[derive(Default)]
struct Told {
    done: u64,
    /// Begun, and nobody was told what came of it.
    unknown: u64,
}

impl Told {
    /// In all its life, which ends here.
    fn by(worker: Process, is_killed: bool) -> Outcome<Self> {
        let mut told = Self::default();
        while let Some(line) = worker.line() {
            match line.as_str() {
                "committing" => told.unknown += 1,
                "done" => (told.done, told.unknown) = (told.done + 1, told.unknown - 1),
                "lost" => told.unknown -= 1,
                _ => {} // "unknown": it stays so
            }
        }
        check(
            worker.wait()? != is_killed,
            "only those fail that are killed",
        )?;
        Ok(told)
    }
}

async fn story(place: &Place) -> Outcome<()> {
    println!("1. A worker alone counts to {CYCLES_ALONE}.");
    alone(place).await?;

    let seed = match place.option("--seed") {
        Some(seed) => seed.parse()?,
        None => u64::from(std::process::id()),
    };
    println!(
        "2. {WORKERS} processes count; {KILLS} times one is killed and replaced (--seed {seed})."
    );
    let id = place.id("counter")?;
    let told = in_turmoil(place, &id, &mut Random(seed))?;

    let lease = lock(place, &id, "story")?.acquire().await?;
    let item = lease.item();
    let (mut done, mut unknown, mut applied) = (0, 0, 0);
    for (name, told) in &told {
        let by_it = item.get_as::<Option<u64>>(name)?.unwrap_or(0);
        check(by_it >= told.done, "no commit that was reported is missing")?;
        check(by_it <= told.done + told.unknown, "none was applied twice")?;
        done += told.done;
        unknown += told.unknown;
        applied += by_it;
    }
    let count: u64 = item.get_as("count")?;
    println!("   {done} commits were reported, {unknown} are unknown; the counter is {count}.");
    check(count == applied, "no commit has overwritten another")?;
    check(done > 0, "there were commits")?;
    lease.delete_item().await?;
    Ok(())
}

/// Counts requests, on a relay in between.
async fn alone(place: &Place) -> Outcome<()> {
    let Some((counted, relay)) = place.counted().await? else {
        println!("   Encrypted requests are not counted.");
        return Ok(());
    };
    let id = place.id("alone")?;
    // So long that no heartbeat comes in between.
    let lock = lock(&counted, &id, "alone")?.lease(Duration::from_secs(60));
    for _ in 0..CYCLES_ALONE {
        count_up(&lock, "alone", || {}).await?;
    }
    let requests = relay.requests() as u64;
    let lease = lock.acquire().await?;
    check(
        lease.item().get_as::<u64>("count")? == CYCLES_ALONE,
        "it counts",
    )?;
    lease.delete_item().await?;
    println!("   It took {requests} requests.");
    check(requests == 2 * CYCLES_ALONE, "a cycle takes two requests")
}

/// What each worker has told in the end.
fn in_turmoil(place: &Place, id: &str, random: &mut Random) -> Outcome<BTreeMap<String, Told>> {
    let begun = Instant::now();
    let start = |number: usize| {
        let name = format!("worker{number}");
        let process = place.start(&[("--worker", &name), ("--id", id)])?;
        Outcome::Ok((name, process))
    };
    let mut told = BTreeMap::new();
    let mut workers = (0..WORKERS).map(start).collect::<Outcome<Vec<_>>>()?;
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(50 + random.below(600)));
        let unlucky = &mut workers[random.below(WORKERS as u64) as usize];
        let (name, mut process) = std::mem::replace(unlucky, start(WORKERS + kill)?);
        process.kill()?;
        told.insert(name, Told::by(process, true)?);
        check(begun.elapsed() < TIME_LIMIT, "it goes on in time")?;
    }
    for (name, mut process) in workers {
        process.tell_to_stop();
        told.insert(name, Told::by(process, false)?);
    }
    Ok(told)
}

/// Numbers that a seed decides (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}
