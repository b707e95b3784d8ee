//! The signals that are passed on to the child, or that end the wait for the lock.

use std::io;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::group::read;

/// What is caught. The rest has its usual effect.
const CAUGHT: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGTSTP,
];

/// Caught signals, in the order in which they came.
pub(super) struct Signals(mpsc::UnboundedReceiver<Signal>);

impl Signals {
    /// Catches them from now on. One that is ignored, as under `nohup`, stays so: for the child
    /// too, which inherits that.
    #[expect(
        clippy::disallowed_methods,
        reason = "the library's rule; this is a program"
    )]
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = read("/proc/self/status").map_or(0, |status| ignored(&status));
        let (tell, told) = mpsc::unbounded_channel();
        for caught in CAUGHT {
            let number = caught as i32;
            if ignored >> (number - 1) & 1 == 1 {
                continue;
            }
            let mut stream = signal(SignalKind::from_raw(number))?;
            let tell = tell.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && tell.send(caught).is_ok() {}
            });
        }
        Ok(Self(told))
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(signal) => signal,
            // All of them are ignored.
            None => std::future::pending().await,
        }
    }

    /// The next one that asks to end.
    pub(super) async fn end(&mut self) -> Signal {
        loop {
            match self.next().await {
                Signal::SIGWINCH => {}
                // What it does to whoever does not catch it.
                Signal::SIGTSTP => {
                    let _ = nix::sys::signal::raise(Signal::SIGSTOP);
                }
                signal => return signal,
            }
        }
    }
}

/// The mask of ignored signals in `/proc/self/status`; none where it is not there.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read() {
        let status =
            "Name:\tcat\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001007\nSigCgt:\t1\n";
        assert_eq!(ignored(status), 0x1007);
        for none in ["", "SigIgn:\t", "SigIgn:\tzz", "SigIgn: 11112222333344445"] {
            assert_eq!(ignored(none), 0, "{none}");
        }
    }
}
