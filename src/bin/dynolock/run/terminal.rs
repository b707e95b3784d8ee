//! The terminal, lent to the child's process group while the child runs.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::group::Group;

/// A terminal that is lent; taken back when it is dropped.
pub(super) struct Lent(Pid);

impl Lent {
    /// Lends the terminal that is our input to `group`, where we have it in the foreground: reading
    /// from it and Ctrl-C are then the child's, as in a shell. Not in front of a pipe, whose
    /// reader may want the terminal as well, such as a pager.
    pub(super) fn to(group: Group) -> Option<Self> {
        let own = getpgrp();
        if !stdin().is_terminal() || is_piped() || tcgetpgrp(stdin()) != Ok(own) {
            return None;
        }
        give(group.0).then_some(Self(own))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give(self.0);
    }
}

fn is_piped() -> bool {
    let stdout = stdout();
    let kind = stdout.as_fd().try_clone_to_owned().ok();
    let kind = kind.and_then(|fd| File::from(fd).metadata().ok());
    kind.is_some_and(|kind| kind.file_type().is_fifo())
}

/// Puts a group into the foreground. From the background that would stop us, were SIGTTOU not
/// blocked meanwhile.
fn give(group: Pid) -> bool {
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    if stop.thread_block().is_err() {
        return false;
    }
    let given = tcsetpgrp(stdin(), group).is_ok();
    let _ = stop.thread_unblock();
    given
}
