//! The child under its lease: started, signalled, ended.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use dynolock::{Lost, Watcher};
use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::guard::{Guard, Said, within};
use super::plan::Deadline;
use super::signals::Signals;
use super::start::start;
use super::terminal::Lent;
use super::{Run, group::Group};
use crate::clocks::{Reading, unix_nanos};
use crate::exit::Exit;
use crate::say::Voice;

/// How often is looked whether those that the child left behind are gone.
const LOOK: Duration = Duration::from_millis(10);
/// How long those may take where nobody can see whether they are gone.
const BLIND: Duration = Duration::from_millis(100);
/// How long those may take at most.
const LONGEST: Duration = Duration::from_secs(10);

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Without our doing.
    ByItself(Exit),
    /// It could not be started, or not be guarded.
    NotRun(Exit),
    /// The lease was lost, or about to be.
    Lost,
}

/// How it ended, and whether others may have the lock now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) ended: Ended,
    /// Nothing that has worked under the lock is left.
    pub(super) may_release: bool,
    /// It died of SIGINT.
    pub(super) is_interrupted: bool,
    /// And that did not come through us: it had the terminal.
    pub(super) by_terminal: bool,
}

impl From<Ended> for Done {
    fn from(ended: Ended) -> Self {
        Self {
            ended,
            may_release: true,
            is_interrupted: false,
            by_terminal: false,
        }
    }
}

/// A child that runs, and all that has to be heeded meanwhile.
pub(super) struct Child<'a> {
    lease: Watcher,
    guard: Guard,
    group: Group,
    signals: &'a mut Signals,
    voice: &'a Voice,
    name: String,
    /// The end of the lease that the guard was told.
    told: SystemTime,
    terminal: Option<Lent>,
    /// It is stopped until it has the terminal.
    wants_terminal: bool,
    /// It had a SIGINT from us.
    passed_interrupt: bool,
    ended: Option<Ended>,
    is_over: bool,
    guard_is_gone: bool,
}

enum Event {
    Signal(Signal),
    Renewed(SystemTime),
    Lost(Lost),
    Guard(Said),
}

impl<'a> Child<'a> {
    /// Runs `program` until it and all of its process group have ended.
    pub(super) async fn run(
        run: &Run,
        program: &Path,
        lease: Watcher,
        signals: &'a mut Signals,
        voice: &'a Voice,
    ) -> Done {
        let (mut guard, told, until) = match guard(run, &lease).await {
            Ok(guarded) => guarded,
            Err(error) => {
                voice.say(format_args!(
                    "no guard could be started, so nothing is run: {error}"
                ));
                return Ended::NotRun(Exit::SYSTEM).into();
            }
        };
        let group = guard.group;
        let terminal = Lent::to(group);
        let mut process = match start(run, program, until, &lease, &mut guard) {
            Ok(process) => process,
            Err(why) => {
                drop(terminal);
                guard.dismiss().await;
                return why.say(run, program, voice).into();
            }
        };
        let mut child = Self {
            lease,
            guard,
            group,
            signals,
            voice,
            name: run.subject.to_string(),
            told,
            terminal,
            wants_terminal: false,
            passed_interrupt: false,
            ended: None,
            is_over: false,
            guard_is_gone: false,
        };
        let id = process.id();
        let status = child.tend(process.wait(), id).await;
        if child.ended.is_none() && !child.lease.is_held() {
            // It ended by the end of its lease, and that is heard only now.
            child.lose(&Lost::Expired);
        }
        let is_clear = child.clear(run.grace).await;
        let had_terminal = child.terminal.take().is_some();
        let is_interrupted = status
            .as_ref()
            .is_ok_and(|status| status.signal() == Some(Signal::SIGINT as i32));
        let ended = child.ended.unwrap_or_else(|| child.ended_by_itself(status));
        if !child.guard_is_gone {
            child.guard.dismiss().await;
        }
        if !is_clear && ended != Ended::Lost {
            voice.say(format_args!(
                "{}: what the command has left behind cannot be ended, so the lock is not released: \
                 it ends with its lease",
                run.subject
            ));
        }
        Done {
            ended,
            may_release: is_clear,
            is_interrupted: is_interrupted && matches!(ended, Ended::ByItself(_)),
            by_terminal: had_terminal && !child.passed_interrupt,
        }
    }

    fn ended_by_itself(&self, status: io::Result<ExitStatus>) -> Ended {
        match status {
            Ok(status) => {
                let exit = Exit::of_child(status.code(), status.signal());
                self.voice
                    .tell(format_args!("the command ended with status {}", exit.0));
                Ended::ByItself(exit)
            }
            Err(error) => {
                self.voice
                    .say(format_args!("the command's status cannot be had: {error}"));
                Ended::ByItself(Exit::SYSTEM)
            }
        }
    }

    /// Does what there is to do until `done` completes.
    async fn tend<F: Future>(&mut self, done: F, child: Option<u32>) -> F::Output {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                biased;
                // First: a loss that ended the child is not the child's own end.
                event = self.next() => self.act(event),
                output = &mut done => return output,
                () = pause(LOOK * 10), if child.is_some() => {
                    self.wake_if_stopped(child);
                }
            }
        }
    }

    async fn next(&mut self) -> Event {
        let (lease, is_over) = (&self.lease, self.is_over);
        tokio::select! {
            biased;
            lost = lease.lost(), if !is_over => match lost {
                Some(lost) => Event::Lost(lost),
                // It is released after this alone.
                None => Event::Lost(Lost::Expired),
            },
            Some(ends) = lease.renewed(self.told), if !is_over => Event::Renewed(ends),
            said = self.guard.said(), if !self.guard_is_gone => Event::Guard(said),
            signal = self.signals.next() => Event::Signal(signal),
        }
    }

    fn act(&mut self, event: Event) {
        match event {
            Event::Renewed(ends) => {
                self.told = ends;
                self.guard.tell(deadline(&self.lease, ends));
            }
            Event::Lost(lost) => {
                self.is_over = true;
                self.lose(&lost);
            }
            Event::Guard(Said::Told) => self.told_to_end(),
            Event::Guard(Said::Over) => self.over(),
            Event::Guard(Said::Gone) => {
                self.guard_is_gone = true;
                self.group.kill();
                if !self.lease.is_held() {
                    self.is_over = true;
                    self.lose(&Lost::Expired);
                }
                if self.ended.is_none() {
                    self.voice.say(format_args!(
                        "{}: the guard process is gone, so the command was killed: \
                         it never runs unguarded",
                        self.name
                    ));
                    self.ended = Some(Ended::NotRun(Exit::SYSTEM));
                }
            }
            Event::Signal(Signal::SIGTSTP) => self.voice.say(format_args!(
                "{}: not stopped, since the lock would be lost",
                self.name
            )),
            Event::Signal(signal) => {
                self.voice.tell(format_args!("{signal} is passed on"));
                self.passed_interrupt |= signal == Signal::SIGINT;
                if let Err(error) = self.group.signal(signal) {
                    self.voice
                        .say(format_args!("{signal} could not be passed on: {error}"));
                }
            }
        }
    }

    fn lose(&mut self, lost: &Lost) {
        if self.ended != Some(Ended::Lost) {
            self.voice.say(format_args!(
                "{}: the lock is lost, and the command ends: {lost}",
                self.name
            ));
        }
        self.ended = Some(Ended::Lost);
        if is_still_ours(lost) {
            // Nobody can have it before the lease ends.
            self.guard.let_go();
        } else {
            self.group.kill();
        }
    }

    fn told_to_end(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(Ended::Lost);
            self.voice.say(format_args!(
                "{}: the lease could not be renewed, and the command is told to end",
                self.name
            ));
        }
    }

    /// A renewal may have come since, too late for the guard to hear of.
    fn over(&mut self) {
        if self.ended.is_none() {
            self.ended = Some(Ended::Lost);
            self.voice.say(format_args!(
                "{}: the lease was not renewed in time, and the command was killed",
                self.name
            ));
        }
    }

    /// Nobody else would be there to wake it: a shell knows of us alone. Ctrl-Z stops what has the
    /// terminal, and reading from it what has it not.
    fn wake_if_stopped(&mut self, child: Option<u32>) {
        let child = child.and_then(|child| i32::try_from(child).ok());
        let Some(child) = child else { return };
        match stopped_by(child) {
            Some(Signal::SIGTSTP) => self.not_stopped(),
            Some(Signal::SIGTTIN | Signal::SIGTTOU) => self.asked_for_terminal(),
            // Brought to the foreground since.
            _ if self.wants_terminal => {
                self.lend();
            }
            // Stopped in the midst of a start, which is no stop that anybody is told of.
            _ if self.terminal.is_some() && self.group.is_stuck(child) => self.not_stopped(),
            _ => {}
        }
    }

    fn not_stopped(&self) {
        self.voice.say(format_args!(
            "{}: not stopped, since the lock would be lost",
            self.name
        ));
        self.wake();
    }

    /// Lends it, or says once what it waits for.
    fn asked_for_terminal(&mut self) {
        if self.lend() || self.wants_terminal {
            return;
        }
        self.wants_terminal = true;
        self.voice.say(format_args!(
            "{}: the command is stopped, as it wants the terminal: bring it to the foreground (fg), \
             or end it; the lock is held meanwhile",
            self.name
        ));
    }

    /// Lends the terminal, if it is ours to lend, and wakes the child.
    fn lend(&mut self) -> bool {
        let group = self.group;
        if self.terminal.is_none() {
            self.terminal = Lent::to_whoever_asks(group);
        }
        if !self.terminal.as_ref().is_some_and(|it| it.again(group)) {
            return false;
        }
        self.wants_terminal = false;
        self.wake();
        true
    }

    fn wake(&self) {
        let _: Result<(), Errno> = self.group.signal(Signal::SIGCONT);
    }

    /// Ends those of the group that the child has left behind: they too worked under the lock.
    /// Whether all are gone, as far as can be seen.
    async fn clear(&mut self, grace: Duration) -> bool {
        let group = self.group;
        if group.has_members() == Some(false) {
            return true;
        }
        if !self.guard_is_gone {
            group.terminate();
            let patience = grace.min(LONGEST);
            self.tend(within(patience, gone(group)), None).await;
            if group.has_members() == Some(false) {
                return true;
            }
            // The guard with them.
            self.guard_is_gone = true;
            group.kill();
        }
        // They were killed, here or when the guard was gone. Its id is taken until it is waited for.
        let _ = within(LONGEST, gone(group)).await;
        group.has_members() != Some(true)
    }
}

/// A guard, and the end of the lease that it knows.
///
/// One that took so long to start that it would tell the child to end at once gives way to another,
/// where the lease was renewed meanwhile.
async fn guard(run: &Run, lease: &Watcher) -> io::Result<(Guard, SystemTime, Deadline)> {
    const TRIES: u32 = 5;
    let mut tries = 1;
    loop {
        let told = lease.expires_at();
        let until = deadline(lease, told);
        let guard = Guard::start(until, run.grace).await?;
        let is_late = until.left(Reading::now()) <= run.grace;
        if !is_late || lease.expires_at() == told || tries == TRIES {
            return Ok((guard, told, until));
        }
        tries += 1;
        guard.dismiss().await;
    }
}

/// Completes when nobody but its leader is left in a group.
async fn gone(group: Group) {
    loop {
        match group.has_members() {
            Some(false) => return,
            Some(true) => pause(LOOK).await,
            None => return pause(BLIND).await,
        }
    }
}

/// The signal that has stopped a child of ours, told once.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn stopped_by(child: i32) -> Option<Signal> {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
    match waitid(Id::Pid(nix::unistd::Pid::from_raw(child)), flags) {
        Ok(WaitStatus::Stopped(_, signal)) => Some(signal),
        _ => None,
    }
}

/// Not to be learnt elsewhere without reaping it.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn stopped_by(_: i32) -> Option<Signal> {
    None
}

/// When the lease ends, which lasts until `ends` by the wall clock.
fn deadline(lease: &Watcher, ends: SystemTime) -> Deadline {
    let before = Reading::now();
    Deadline::of(before, lease.remaining(), unix_nanos(ends))
}

/// Whether nobody else can hold the lock before the lease ends: only its renewal is refused.
fn is_still_ours(lost: &Lost) -> bool {
    matches!(lost, Lost::AccessDenied)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
