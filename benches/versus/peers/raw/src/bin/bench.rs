//! `cycles`, one after the other; there is nothing here that could wait or renew.

use std::process::ExitCode;
use std::time::Instant;

use common::{Arguments, Outcome, cycles, process};
use versus_raw::Raw;

fn main() -> ExitCode {
    common::conclude(run())
}

fn run() -> Outcome<()> {
    let arguments = Arguments::read()?;
    let (count, warm) = (
        arguments.number("count", 100)?,
        arguments.number("warm", 0)?,
    );
    let mut raw = Raw::connect()?;
    for _ in 0..warm {
        raw.cycle()?;
    }
    let (started, cpu) = (Instant::now(), process::cpu()?);
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        raw.cycle()?;
        times.push(started.elapsed());
    }
    let (wall, cpu) = (started.elapsed(), process::cpu()? - cpu);
    cycles::report(count, 1, wall, cpu, &mut times);
    Ok(())
}
