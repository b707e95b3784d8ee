//! Many leases held at once.
//!
//! `many --leases N --seconds S`: acquires N, holds them for S seconds, and counts those that are
//! still held then. They are not released: they end with the table.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::{Arguments, Outcome, Peer, process};

/// How many acquisitions are under way at once.
const AT_ONCE: u64 = 32;

pub async fn run<P: Peer>(peer: P, arguments: &Arguments) -> Outcome<()> {
    let leases = arguments.number("leases", 10_000)?;
    let seconds = arguments.number("seconds", 180)?;

    // A process is idle when it has worked before: its connection is there.
    P::release(peer.acquire("idle").await?).await?;
    let idle = process::memory()?;

    let started = Instant::now();
    let held = acquire_all(&peer, leases).await?;
    let acquiring = started.elapsed();

    let (started, cpu) = (Instant::now(), process::cpu()?);
    let mut memory = process::memory()?;
    while started.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory = memory.max(process::memory()?);
    }
    let (wall, cpu) = (started.elapsed(), process::cpu()? - cpu);
    let lost = held.iter().filter(|lease| !P::is_held(lease)).count();
    println!(
        "{{\"leases\":{leases},\"seconds\":{},\"cpu_seconds\":{},\"acquiring_seconds\":{},\
         \"idle_kib\":{idle},\"memory_kib\":{memory},\"lost\":{lost}}}",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        acquiring.as_secs_f64(),
    );
    std::process::exit(0)
}

async fn acquire_all<P: Peer>(peer: &P, count: u64) -> Outcome<Vec<P::Lease>> {
    let next = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (peer, next) = (peer.clone(), next.clone());
            tokio::task::spawn_local(async move {
                let mut held = Vec::new();
                while next.get() < count {
                    let key = format!("lease-{:05}", next.replace(next.get() + 1));
                    held.push(
                        peer.acquire(&key)
                            .await
                            .map_err(|error| error.to_string())?,
                    );
                }
                Ok::<_, String>(held)
            })
        })
        .collect();
    let mut held = Vec::new();
    for task in tasks {
        held.append(&mut task.await??);
    }
    Ok(held)
}
