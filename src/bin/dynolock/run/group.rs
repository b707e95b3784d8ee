//! A process group: signals to it, and who is left in it.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The group of the child and the guard. Its leader is the guard, so its id stays taken for as
/// long as the guard was not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group(pub(crate) Pid);

impl Group {
    /// Sends a signal to all of them. Where nobody is left, there is nobody to reach.
    pub(crate) fn signal(self, signal: Signal) -> Result<(), Errno> {
        match killpg(self.0, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Tells all of them to end; a stopped one is woken, so that it can.
    pub(crate) fn terminate(self) {
        // What cannot be told will be killed.
        let _ = self.signal(Signal::SIGTERM);
        let _ = self.signal(Signal::SIGCONT);
    }

    pub(crate) fn kill(self) {
        // Fails only for processes of other users, which are beyond reach.
        let _ = self.signal(Signal::SIGKILL);
    }

    /// Whether anybody but its leader lives in it; `None` where that cannot be seen: `/proc` is not
    /// there, is that of other processes, or hides some.
    pub(crate) fn has_members(self) -> Option<bool> {
        self.has_member(is_alive)
    }

    /// Whether `member` waits, as after `vfork`, for one it has begun to start, and somebody in the
    /// group is stopped: it would neither stop nor go on.
    pub(crate) fn is_stuck(self, member: i32) -> bool {
        let stat = read(&format!("/proc/{member}/stat"));
        let waits = stat.is_some_and(|stat| matches!(state_and_group(&stat), Some(("D", _))));
        waits && self.has_member(|state| state == "T") == Some(true)
    }

    fn has_member(self, is_wanted: impl Fn(&str) -> bool) -> Option<bool> {
        let processes = std::fs::read_dir("/proc").ok()?;
        let mut seen = false;
        for process in processes.flatten() {
            let name = process.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if let Some(stat) = read(&format!("/proc/{pid}/stat"))
                && let Some((state, group)) = state_and_group(&stat)
            {
                seen |= pid == self.0.as_raw() && pid == group;
                if group == self.0.as_raw() && pid != group && is_wanted(state) {
                    return Some(true);
                }
            }
        }
        let hides = || read("/proc/self/mountinfo").is_none_or(|mounts| hides_processes(&mounts));
        (seen && !hides()).then_some(false)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is the command's own reading of /proc"
)]
pub(super) fn read(path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned())
}

fn is_alive(state: &str) -> bool {
    !matches!(state, "Z" | "X" | "x")
}

/// Whether the `/proc` in this list of mounts shows some processes to some users alone.
fn hides_processes(mountinfo: &str) -> bool {
    let of_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    let options = mountinfo.lines().filter(of_proc);
    let mut options = options.flat_map(|line| line.split([' ', ',']));
    options.any(|option| match option.split_once('=') {
        Some(("hidepid", how)) => !matches!(how, "0" | "off"),
        Some(("subset", _)) => true,
        _ => false,
    })
}

/// The third and fifth field of `/proc/PID/stat`. The second, the program's name, is in brackets
/// and may hold anything.
fn state_and_group(stat: &str) -> Option<(&str, i32)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some((state, group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_its_state_and_group() {
        let stat = "812 (sh) S 811 700 9 0 -1 4194560";
        assert_eq!(state_and_group(stat), Some(("S", 700)));
        let odd = "812 (a ) Z 1 2 (b) R 1 42 9";
        assert_eq!(state_and_group(odd), Some(("R", 42)));
        for broken in [
            "",
            "812",
            "812 (sh)",
            "812 (sh) S",
            "812 (sh) S 1",
            "812 (sh) S 1 x",
        ] {
            assert_eq!(state_and_group(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_proc_that_hides_processes_is_known() {
        let mounts = |options: &str| {
            format!(
                "22 1 8:1 / / rw - ext4 /dev/root rw\n\
                 24 22 0:21 / /proc rw,nosuid - proc proc rw{options}\n"
            )
        };
        for open in ["", ",gid=4", ",hidepid=0", ",hidepid=off"] {
            assert!(!hides_processes(&mounts(open)), "{open}");
        }
        for hiding in [",hidepid=2", ",hidepid=invisible", ",gid=4,subset=pid"] {
            assert!(hides_processes(&mounts(hiding)), "{hiding}");
        }
    }

    #[test]
    fn the_dead_do_not_count() {
        assert!(is_alive("S") && is_alive("T") && is_alive("D"));
        assert!(!is_alive("Z") && !is_alive("X"));
    }
}
