//! Locks that nobody else wants, acquired and released again and again.
//!
//! `cycles --count N [--tasks K] [--warm W]`: N cycles in all, by K tasks, each with a key of its
//! own, after W cycles that do not count.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::{Arguments, Outcome, Peer, process};

pub async fn run<P: Peer>(peer: P, arguments: &Arguments) -> Outcome<()> {
    let count = arguments.number("count", 100)?;
    let tasks = arguments.number("tasks", 1)?.max(1);
    let warm = arguments.number("warm", 0)?;

    turns(&peer, tasks, warm).await?;
    let (started, cpu) = (Instant::now(), process::cpu()?);
    let mut times = turns(&peer, tasks, count).await?;
    let (wall, cpu) = (started.elapsed(), process::cpu()? - cpu);
    report(count, tasks, wall, cpu, &mut times);
    Ok(())
}

/// For the floor as well, which is no peer.
pub fn report(count: u64, tasks: u64, wall: Duration, cpu: Duration, times: &mut [Duration]) {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!(
        "{{\"count\":{count},\"tasks\":{tasks},\"seconds\":{},\"cpu_seconds\":{},\"median_us\":{}}}",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        median.as_secs_f64() * 1e6,
    );
}

async fn turns<P: Peer>(peer: &P, tasks: u64, count: u64) -> Outcome<Vec<Duration>> {
    let left = Rc::new(Cell::new(count));
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let (peer, left) = (peer.clone(), left.clone());
            let key = format!("cycle-{task:04}");
            tokio::task::spawn_local(async move {
                let mut times = Vec::new();
                while let Some(rest) = left.get().checked_sub(1) {
                    left.set(rest);
                    let started = Instant::now();
                    let cycle = async { P::release(peer.acquire(&key).await?).await };
                    cycle.await.map_err(|error| error.to_string())?;
                    times.push(started.elapsed());
                }
                Ok::<_, String>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.append(&mut task.await??);
    }
    Ok(times)
}
