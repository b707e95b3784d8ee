//! A process that acquires and releases when it is told to, so that others can be measured
//! against it.
//!
//! `hold` reads lines: `acquire KEY`, `release`, or `hold KEY MICROSECONDS`, which does both. To
//! each it answers by `{"acquired":T}` and `{"released":T}` with the wall clock in seconds, taken
//! as soon as the answer is there. It ends with its standard input.

use std::io::BufRead;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::{Outcome, Peer};

pub async fn run<P: Peer>(peer: P) -> Outcome<()> {
    let mut commands = commands();
    let mut held = None;
    while let Some(command) = commands.recv().await {
        let words: Vec<_> = command.split_whitespace().collect();
        match words[..] {
            ["acquire", key] => {
                held = Some(peer.acquire(key).await?);
                say("acquired")?;
            }
            ["release"] => {
                P::release(held.take().ok_or("nothing is held")?).await?;
                say("released")?;
            }
            ["hold", key, time] => {
                let lease = peer.acquire(key).await?;
                say("acquired")?;
                tokio::time::sleep(Duration::from_micros(time.parse()?)).await;
                P::release(lease).await?;
                say("released")?;
            }
            _ => return Err(format!("no such command: {command}").into()),
        }
    }
    Ok(())
}

/// The lines of standard input, read by a thread of its own: heartbeats must go on meanwhile.
fn commands() -> mpsc::UnboundedReceiver<String> {
    let (say, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if say.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn say(what: &str) -> Outcome<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    println!("{{\"{what}\":{}}}", now.as_secs_f64());
    Ok(())
}
