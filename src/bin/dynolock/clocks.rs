//! Readings of two clocks that two processes of one machine read alike.
//!
//! The library's own readings count from an origin of its process; these can be handed to another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Since the machine was started. It goes on while the machine sleeps, where it can.
    pub(crate) mono: u64,
    /// Since the Unix epoch.
    pub(crate) wall: i64,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::CLOCK_MONOTONIC;

impl Reading {
    /// Reads both clocks, the monotonic one first. One that cannot be read is past every deadline.
    pub(crate) fn now() -> Self {
        let read = |id| clock_gettime(id).ok().map(Duration::from);
        let mono = read(STEADY).and_then(|since| u64::try_from(since.as_nanos()).ok());
        let wall = read(ClockId::CLOCK_REALTIME);
        let wall = wall.and_then(|since| i64::try_from(since.as_nanos()).ok());
        Self {
            mono: mono.unwrap_or(u64::MAX),
            wall: wall.unwrap_or(i64::MAX),
        }
    }
}

/// Nanoseconds since the Unix epoch, within 64 bits.
pub(crate) fn unix_nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}
