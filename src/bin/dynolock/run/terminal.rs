//! The terminal, lent to the child's process group while the child runs.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::group::Group;

/// A terminal that is lent; taken back when it is dropped.
pub(super) struct Lent {
    terminal: File,
    own: Pid,
}

impl Lent {
    /// Lends the terminal that is our input to `group`, where we have it in the foreground: reading
    /// from it and Ctrl-C are then the child's, as in a shell. Not in front of a pipe, whose
    /// reader may want the terminal as well, such as a pager.
    pub(super) fn to(group: Group) -> Option<Self> {
        if !stdin().is_terminal() || is_piped() {
            return None;
        }
        Self::to_whoever_asks(group)
    }

    /// The same for a child that has asked for it, whatever our input and output are.
    pub(super) fn to_whoever_asks(group: Group) -> Option<Self> {
        let terminal = terminal()?;
        let own = getpgrp();
        if tcgetpgrp(&terminal) != Ok(own) {
            return None;
        }
        give(&terminal, group.0).then_some(Self { terminal, own })
    }

    /// Lends it once more, should we have it back. Whether `group` has it now.
    pub(super) fn again(&self, group: Group) -> bool {
        match tcgetpgrp(&self.terminal) {
            Ok(with) if with == self.own => give(&self.terminal, group.0),
            with => with == Ok(group.0),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give(&self.terminal, self.own);
    }
}

/// The terminal of the session.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

fn is_piped() -> bool {
    let stdout = stdout();
    let kind = stdout.as_fd().try_clone_to_owned().ok();
    let kind = kind.and_then(|fd| File::from(fd).metadata().ok());
    kind.is_some_and(|kind| kind.file_type().is_fifo())
}

/// Puts a group into the foreground. From the background that would stop us, were SIGTTOU not
/// blocked meanwhile.
fn give(terminal: &File, group: Pid) -> bool {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    if stop.thread_block().is_err() {
        return false;
    }
    let given = tcsetpgrp(terminal, group).is_ok();
    let _ = stop.thread_unblock();
    given
}
