//! What Linux knows of this process.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// The time that its threads have run.
pub fn cpu() -> Outcome<Duration> {
    let mut total = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let statistics = fs::read_to_string(thread?.path().join("schedstat"))?;
        let running = statistics.split(' ').next().unwrap_or_default();
        total += running.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

/// Its memory, in KiB (`VmRSS`).
pub fn memory() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}
