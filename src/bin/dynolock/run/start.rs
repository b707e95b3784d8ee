//! The start of the child: never without a lock and a guard.
//!
//! The command can be stopped at any moment, in the midst of starting a process too, and be woken
//! when the lease and its guard are over. So what is started is this binary once more, as a member
//! of the guard's group: it reads the clocks, and becomes the child only before the deadline that
//! the guard knows. What had joined the group by then is killed with it; what joins later sees
//! that it is late. (A dead guard's group can be joined until the guard is waited for.)

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use dynolock::Watcher;
use nix::errno::Errno;
use nix::unistd::execv;
use tokio::process::{Child, Command};

use super::Run;
use super::guard::{Guard, own_program};
use super::plan::Deadline;
use super::program::not_started;
use crate::clocks::Reading;
use crate::exit::Exit;
use crate::say::{Voice, say_here};

use super::child::Ended;

/// The hidden subcommand. Its arguments: the deadline's two clocks, the program's file, and its
/// arguments from the one on that is its name.
pub(crate) const NAME: &str = "__start";

/// Why there is no child.
pub(super) enum NotStarted {
    Lost,
    Unguarded,
    Refused(io::Error),
}

impl NotStarted {
    /// What keeps a child from being started, or has made its start fail.
    fn why(lease: &Watcher, until: Deadline, guard: &mut Guard) -> Option<Self> {
        // A guard ends with the lease that it knows.
        if !lease.is_held() || until.left(Reading::now()).is_zero() {
            Some(Self::Lost)
        } else if guard.is_gone() {
            Some(Self::Unguarded)
        } else {
            None
        }
    }

    pub(super) fn say(self, run: &Run, program: &Path, voice: &Voice) -> Ended {
        match self {
            Self::Lost => {
                voice.say(format_args!(
                    "{}: the lock was lost before the command could start; a longer --lease gives \
                     it more time",
                    run.subject
                ));
                Ended::Lost
            }
            Self::Unguarded => {
                voice.say(format_args!(
                    "{}: the guard process is gone, so the command was not started: it never runs \
                     unguarded",
                    run.subject
                ));
                Ended::NotRun(Exit::SYSTEM)
            }
            // The command's arguments, which these contain.
            Self::Refused(error) if error.raw_os_error() == Some(Errno::E2BIG as i32) => {
                let cannot = not_started(program, &error);
                voice.say(cannot.problem);
                Ended::NotRun(cannot.exit)
            }
            Self::Refused(error) => {
                voice.say(format_args!(
                    "{}: no process could be started: {error}",
                    run.subject
                ));
                Ended::NotRun(Exit::SYSTEM)
            }
        }
    }
}

/// Starts the child, which is to be guarded until then. Where it is known to be no use, nothing is
/// started.
pub(super) fn start(
    run: &Run,
    program: &Path,
    until: Deadline,
    lease: &Watcher,
    guard: &mut Guard,
) -> Result<Child, NotStarted> {
    if let Some(why) = NotStarted::why(lease, until, guard) {
        return Err(why);
    }
    spawn(run, program, until, lease, guard).map_err(|error| {
        let why = NotStarted::why(lease, until, guard);
        why.unwrap_or(NotStarted::Refused(error))
    })
}

fn spawn(
    run: &Run,
    program: &Path,
    until: Deadline,
    lease: &Watcher,
    guard: &Guard,
) -> io::Result<Child> {
    let mut command = Command::new(own_program()?);
    command
        .arg(NAME)
        .args([until.mono.to_string(), until.wall.to_string()])
        .arg(program)
        .arg(&run.program)
        .args(&run.arguments)
        .env("DYNOLOCK_FENCING_TOKEN", lease.fencing_token().to_string())
        .env("DYNOLOCK_VERSION", lease.version())
        .env("DYNOLOCK_TABLE", &run.subject.table)
        .env("DYNOLOCK_KEY", run.subject.partition.to_string())
        .process_group(guard.group.0.as_raw());
    match &run.subject.sort {
        Some(sort) => command.env("DYNOLOCK_SORT_KEY", sort.to_string()),
        None => command.env_remove("DYNOLOCK_SORT_KEY"),
    };
    command.spawn()
}

/// Becomes the child, unless the deadline is past. Comes back only where nothing was run.
pub(crate) fn become_child(arguments: &[OsString]) -> Exit {
    let [mono, wall, program, name, arguments @ ..] = arguments else {
        return Exit::USAGE;
    };
    let (Some(mono), Some(wall)) = (number(mono), number(wall)) else {
        return Exit::USAGE;
    };
    let file = Path::new(program);
    if (Deadline { mono, wall }).left(Reading::now()).is_zero() {
        say_here(&format!(
            "{}: not started, since the lease would have ended before; a longer --lease gives it \
             more time",
            file.display()
        ));
        return Exit::LOST;
    }
    if let Err(error) = has_usual_signals() {
        say_here(&format!(
            "{}: it could not be started: {error}",
            file.display()
        ));
        return Exit::SYSTEM;
    }
    let error = execute(program, name, arguments);
    let cannot = not_started(file, &error);
    say_here(&cannot.problem);
    cannot.exit
}

/// Rust ignores SIGPIPE, and what is ignored stays so in the program that a process becomes. What
/// is caught does not.
fn has_usual_signals() -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().build()?;
    let _inside = runtime.enter();
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::pipe()).map(drop)
}

/// Becomes the program, or says why not. A text that names no interpreter is one for the shell, as
/// in a shell; not so any other file that the system cannot run, which is why this is not left to
/// the C library.
fn execute(program: &OsStr, name: &OsStr, arguments: &[OsString]) -> io::Error {
    let own = std::iter::once(name).chain(arguments.iter().map(OsString::as_os_str));
    match become_program(program, own) {
        Errno::ENOEXEC if is_text(Path::new(program)) => {
            let shell = OsStr::new("/bin/sh");
            let script = arguments.iter().map(OsString::as_os_str);
            become_program(shell, [shell, program].into_iter().chain(script)).into()
        }
        error => error.into(),
    }
}

fn become_program<'a>(program: &OsStr, arguments: impl Iterator<Item = &'a OsStr>) -> Errno {
    // None of them has a zero byte: each was an argument of this process.
    let text = |it: &OsStr| CString::new(it.as_bytes()).map_err(|_| Errno::EINVAL);
    let become_it = || {
        let arguments = arguments.map(text).collect::<Result<Vec<_>, _>>()?;
        execv(&text(program)?, &arguments)
    };
    match become_it() {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// Its first line has no zero byte: so says POSIX of what a shell may take for a script.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
fn is_text(program: &Path) -> bool {
    let mut start = [0; 256];
    let read = std::fs::File::open(program).and_then(|mut file| file.read(&mut start));
    let start = read.map(|length| start.get(..length).unwrap_or_default());
    let line = start.map(|start| start.split(|&byte| byte == b'\n').next());
    matches!(line, Ok(Some(line)) if !line.contains(&0))
}

fn number<T: std::str::FromStr>(text: &OsStr) -> Option<T> {
    text.to_str()?.parse().ok()
}
