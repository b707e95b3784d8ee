//! Ends by SIGINT, as the command did.
//!
//! A shell that is interrupted goes on with its script unless the program that it has waited for
//! died of SIGINT: one that exits, with whatever status, has dealt with it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;

use super::guard::own_program;
use crate::exit::Exit;

/// The hidden subcommand.
pub(crate) const NAME: &str = "__interrupt";

/// Interrupts our own group, as Ctrl-C would have done had it not lent the terminal.
pub(super) fn interrupt_group() {
    // By 0, which is always that group: by its id, 1 in a container, it would be everybody.
    let _ = kill(Pid::from_raw(0), Signal::SIGINT);
}

/// Ends this process; comes back only where that cannot be. The signal is caught here, for as long
/// as this program runs: so it runs this program once more.
pub(super) fn end() {
    if let Ok(own) = own_program() {
        let _ = Command::new(own).arg(NAME).exec();
    }
}

/// What is run then.
pub(crate) fn die() -> Exit {
    let _ = raise(Signal::SIGINT);
    // It is ignored.
    Exit::signal(Signal::SIGINT as i32)
}
