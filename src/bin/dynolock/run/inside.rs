//! Inside the guard: a process that ends the child when its lease ends, whatever becomes of the
//! command that renews it.
//!
//! It leads the child's process group, so that the group's id cannot come to mean anybody else,
//! and signals that group as its own. It has one thread, all signals blocked, and no runtime:
//! nothing but SIGKILL and SIGSTOP, which the whole group would get, keeps it from its work.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::unistd::{getpgrp, getpid, read};

use super::group::Group;
use super::plan::{LOOK, Order, Plan};
use super::words::{Lines, OVER, READY, TOLD, Tell};
use crate::clocks::Reading;
use crate::exit::Exit;

/// Without a member for this many looks in a row, an orphan has nothing left to guard.
const EMPTY_LOOKS: u32 = 10;

/// Stands guard until there is nothing to guard.
pub(crate) fn stand() -> Exit {
    // Whoever calls this by hand would else signal the processes of his shell's group, or sit
    // before a program that takes no Ctrl-C.
    let is_by_hand = getpgrp() != getpid() || std::io::stdin().is_terminal();
    if is_by_hand || SigSet::all().thread_block().is_err() {
        return Exit::USAGE;
    }
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(c"lease-guard");
    let mut guard = Guard {
        group: Group(getpgrp()),
        plan: None,
        lines: Lines::default(),
        grace: None,
        is_orphaned: false,
    };
    say(READY);
    let mut empty = 0;
    loop {
        if let Heard::Done = guard.listen() {
            return Exit::DONE;
        }
        if guard.is_orphaned && guard.plan.is_none() {
            return Exit::DONE;
        }
        guard.act();
        if guard.is_orphaned {
            empty = match guard.group.has_members() {
                Some(false) => empty + 1,
                Some(true) | None => 0,
            };
            if empty >= EMPTY_LOOKS {
                return Exit::DONE;
            }
        }
    }
}

struct Guard {
    group: Group,
    grace: Option<std::time::Duration>,
    /// Once the first lease is known.
    plan: Option<Plan>,
    lines: Lines,
    /// The command is gone, or says what makes no sense.
    is_orphaned: bool,
}

enum Heard {
    Nothing,
    Done,
}

impl Guard {
    /// Hears all that was said, or sleeps until something is due.
    fn listen(&mut self) -> Heard {
        loop {
            let pause = match &self.plan {
                Some(plan) => plan.pause(Reading::now()),
                None => LOOK,
            };
            // Rounded up: a poll that is over too soon would come again and again.
            let millis = u16::try_from(pause.as_nanos().div_ceil(1_000_000)).unwrap_or(u16::MAX);
            if self.is_orphaned {
                // Nobody speaks any more.
                let _ = poll(&mut [], PollTimeout::from(millis.min(50)));
                return Heard::Nothing;
            }
            let stdin = std::io::stdin();
            let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(millis)) {
                Ok(0) => return Heard::Nothing,
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(_) => return self.orphaned(),
            }
            let mut bytes = [0; 512];
            match read(stdin.as_fd(), &mut bytes) {
                Ok(0) => return self.orphaned(),
                Ok(length) => {
                    if let Heard::Done = self.heard(bytes.get(..length).unwrap_or_default()) {
                        return Heard::Done;
                    }
                    // There may be more; but a lease that is over is over.
                    if self.is_orphaned || length < bytes.len() {
                        return Heard::Nothing;
                    }
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(_) => return self.orphaned(),
            }
        }
    }

    fn heard(&mut self, bytes: &[u8]) -> Heard {
        for told in self.lines.feed(bytes) {
            match (told, &mut self.plan, self.grace) {
                (Ok(Tell::Done), ..) => return Heard::Done,
                (Ok(Tell::Grace(grace)), None, None) => self.grace = Some(grace),
                (Ok(Tell::Lease(deadline)), None, Some(grace)) => {
                    self.plan = Some(Plan::new(deadline, grace));
                }
                (Ok(Tell::Lease(deadline)), Some(plan), _) => plan.renewed(deadline),
                _ => return self.orphaned(),
            }
        }
        Heard::Nothing
    }

    fn orphaned(&mut self) -> Heard {
        self.is_orphaned = true;
        if let Some(plan) = &mut self.plan {
            plan.orphaned();
        }
        Heard::Nothing
    }

    fn act(&mut self) {
        match self.plan.as_mut().map(|plan| plan.due(Reading::now())) {
            Some(Order::Terminate) => {
                // Before the child can have ended by it.
                say(TOLD);
                self.group.terminate();
            }
            Some(Order::Kill) => {
                say(OVER);
                // The guard is one of the group, and does not come back from this.
                self.group.kill();
            }
            Some(Order::Nothing) | None => {}
        }
    }
}

/// Tells the command, where there still is one.
fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(line.as_bytes());
    let _ = out.flush();
}
