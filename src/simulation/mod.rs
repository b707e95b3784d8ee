//! Many clients on virtual time, in bad weather, against an embedded DynamoDB engine.
//!
//! What runs here is the client's own code, from `Lock::acquire` down to the signed request;
//! only clocks, tasks, chance and the network are ours. Everything that a run does follows
//! from its seed, so that one that fails can be replayed with its whole trace:
//!
//! ```text
//! DYNOLOCK_SIMULATION_SEED=4711 cargo test --lib simulation -- --nocapture
//! DYNOLOCK_SIMULATION_RUNS=5000 cargo test --lib simulation -- --nocapture
//! DYNOLOCK_SIMULATION_RUNS=5000 DYNOLOCK_SIMULATION_FIRST_SEED=5001 cargo test --lib simulation
//! ```
//!
//! What is checked, at every write that the server applies and at every moment at which a
//! client learns something: that at most one believes to hold a lock, asked by its own clocks;
//! that fencing tokens increase; that no write moves an expiry back, revives what was released,
//! or touches another's lock; that nothing is called lost or failed without a reason; that a
//! user's write lands once at most, under the lease that it was made under, and as its caller was
//! told; that no lease lasts beyond its lock's deadline; and that every call comes back.

mod executor;
mod history;
mod ledger;
mod network;
mod peer;
mod plan;
mod random;
mod run;
mod scenario;
mod server;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use run::{Report, run};

/// From this many runs on, every kind of event has to have happened often.
const MANY_RUNS: u64 = 5_000;
const OFTEN: u64 = 1_000;
/// No run takes so long that nothing is heard of any for this time, unless one hangs.
const SILENCE: Duration = Duration::from_secs(180);

/// What many runs have to have seen: each fault, each recovery, each way to get a lock.
const EVENTS: [&str; 52] = [
    "held under a deadline",
    "deadline too near",
    "request not sent",
    "request lost",
    "request late",
    "request doubled",
    "late or second copy applied",
    "late or second copy refused",
    "answer lost",
    "answer slow",
    "answer late",
    "500 before the write",
    "500 after the write",
    "throttled",
    "transaction conflict",
    "signature refused",
    "cut off",
    "cut off from answers",
    "paused",
    "suspended (monotonic clock still)",
    "frozen (wall clock still)",
    "crashed",
    "restarted",
    "wall clock set forward",
    "wall clock set back",
    "wall clock set a little",
    "acquire dropped",
    "lease dropped",
    "lease leaked",
    "lease lost",
    "recovered: acquire",
    "recovered: renewal",
    "recovered: release",
    "renewed before handed out",
    "cleaned up",
    "acquired a free lock",
    "took over by rule 1 (expired)",
    "took over by rule 2 (observed)",
    "took over its own version",
    "took over from dyno",
    "update applied",
    "update with an unknown outcome",
    "update dropped",
    "condition of an update failed",
    "commit applied",
    "item deleted under its lock",
    "recovered: update",
    "resumed a lease that was handed on",
    "set acquired",
    "transaction applied",
    "transaction answered again",
    "transaction refused",
];

#[test]
fn histories_are_safe() {
    let seed = number("DYNOLOCK_SIMULATION_SEED");
    let runs = number("DYNOLOCK_SIMULATION_RUNS").unwrap_or(300);
    let first = number("DYNOLOCK_SIMULATION_FIRST_SEED").unwrap_or(1);
    let seeds = match seed {
        Some(seed) => seed..seed + 1,
        None => first..first + runs,
    };
    let totals = run_all(seeds, seed.is_some());
    print(&totals);
    if seed.is_none() && runs >= MANY_RUNS {
        for event in EVENTS {
            let count = totals.get(event).copied().unwrap_or(0);
            assert!(
                count >= OFTEN,
                "too rare to mean anything: {count} x {event}"
            );
        }
    }
}

#[test]
fn a_seed_determines_its_history() {
    let database = server::database();
    for seed in 1..=12 {
        let first = run(seed, &database, false);
        let second = run(seed, &database, false);
        let story = |report: &Report| {
            (
                report.digest,
                report.polls,
                report.time,
                report.violation.clone(),
            )
        };
        assert_eq!(story(&first), story(&second), "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    let database = server::database();
    let digests: BTreeSet<u64> = (1..=20)
        .map(|seed| run(seed, &database, false).digest)
        .collect();
    assert_eq!(digests.len(), 20);
}

/// What a thread has to say: that it began a run, or ended one.
enum Word {
    Began(u64),
    Ended(u64, Result<Box<Report>, ()>),
}

/// Runs every seed, on as many threads as there are cores; fails with the first bad one.
///
/// A run knows nothing of other threads: each has a database of its own.
fn run_all(seeds: Range<u64>, is_printed: bool) -> BTreeMap<&'static str, u64> {
    let next = AtomicU64::new(seeds.start);
    let (tell, told) = channel();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (tell, next) = (tell.clone(), &next);
            scope.spawn(move || run_some(next, seeds.end, is_printed, &tell));
        }
        drop(tell);
        let totals = listen(&told);
        // The other threads need not go on once one has failed.
        next.store(seeds.end, Ordering::Relaxed);
        totals
    })
    .unwrap_or_else(|failure| panic!("{failure}"))
}

fn run_some(next: &AtomicU64, end: u64, is_printed: bool, tell: &Sender<Word>) {
    let database = server::database();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || tell.send(Word::Began(seed)).is_err() {
            return;
        }
        let report = catch_unwind(AssertUnwindSafe(|| {
            Box::new(run(seed, &database, is_printed))
        }));
        if tell.send(Word::Ended(seed, report.map_err(drop))).is_err() {
            return;
        }
    }
}

fn listen(told: &Receiver<Word>) -> Result<BTreeMap<&'static str, u64>, String> {
    let mut totals = BTreeMap::new();
    let mut under_way = BTreeSet::new();
    loop {
        match told.recv_timeout(SILENCE) {
            Ok(Word::Began(seed)) => {
                under_way.insert(seed);
            }
            Ok(Word::Ended(seed, Ok(report))) => {
                under_way.remove(&seed);
                if let Some(violation) = &report.violation {
                    let lines = report.lines.join("\n");
                    return Err(format!(
                        "{lines}\n\n{}\n{violation}\n{}",
                        report.plan,
                        again(seed)
                    ));
                }
                for (what, count) in report.counts {
                    *totals.entry(what).or_insert(0) += count;
                }
            }
            Ok(Word::Ended(seed, Err(()))) => {
                return Err(format!("a run panicked\n{}", again(seed)));
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return Ok(totals),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                // A thread that hangs cannot be ended, and would keep the test from failing.
                let text = format!("a run hangs: one of the seeds {under_way:?}\n");
                let _ = std::io::stderr().write_all(text.as_bytes());
                std::process::abort();
            }
        }
    }
}

fn again(seed: u64) -> String {
    format!("again: DYNOLOCK_SIMULATION_SEED={seed} cargo test --lib simulation -- --nocapture")
}

fn print(totals: &BTreeMap<&'static str, u64>) {
    println!("{:<40} {:>10}", "what happened", "times");
    for (what, count) in totals {
        println!("{what:<40} {count:>10}");
    }
}

#[expect(clippy::disallowed_methods, reason = "how a developer asks for a run")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
