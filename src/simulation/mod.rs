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
//! or touches another's lock; that nothing is called lost or failed without a reason; and that
//! every call comes back.

mod executor;
mod history;
mod network;
mod peer;
mod plan;
mod random;
mod run;
mod scenario;
mod server;
mod trouble;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use run::{Report, run};

/// From this many runs on, every kind of event has to have happened often.
const MANY_RUNS: u64 = 5_000;
const OFTEN: u64 = 1_000;

/// What the runs have to have seen. A dyno peer that takes over from us is not among it: dyno
/// computes its `now` once, and so hardly ever sees an expiry.
const EVENTS: [&str; 35] = [
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
    "cleaned up",
    "acquired a free lock",
    "took over by rule 1 (expired)",
    "took over by rule 2 (observed)",
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
    let database = server::database();
    let mut totals = BTreeMap::new();
    for seed_of_run in seeds {
        let report = run_caught(seed_of_run, &database, seed.is_some());
        if let Some(violation) = &report.violation {
            panic!(
                "{}\n\n{}\n{violation}\nagain: DYNOLOCK_SIMULATION_SEED={seed_of_run} cargo test --lib simulation -- --nocapture",
                report.lines.join("\n"),
                report.plan,
            );
        }
        for (what, count) in report.counts {
            *totals.entry(what).or_insert(0) += count;
        }
    }
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
        assert_eq!(first.violation, None);
        assert_eq!(
            (first.digest, first.polls, first.time),
            (second.digest, second.polls, second.time)
        );
    }
}

/// A panic in a run is reported with its seed.
fn run_caught(seed: u64, database: &dynoxide::Database, print: bool) -> Report {
    match catch_unwind(AssertUnwindSafe(|| run(seed, database, print))) {
        Ok(report) => report,
        Err(panic) => {
            eprintln!("in the run with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn print(totals: &BTreeMap<&'static str, u64>) {
    println!("{:<48} {:>10}", "what happened", "times");
    for (what, count) in totals {
        println!("{what:<48} {count:>10}");
    }
}

#[expect(clippy::disallowed_methods, reason = "how a developer asks for a run")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
