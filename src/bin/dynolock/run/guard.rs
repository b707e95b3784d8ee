//! The guard as the command sees it: started before the child, told each new deadline, sent away
//! when the child is gone.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use super::group::Group;
use super::plan::Deadline;
use super::words::{OVER, READY, TOLD, Tell};

/// The hidden subcommand.
pub(crate) const NAME: &str = "__guard";

/// What its process is called.
const PROCESS: &str = "lease-guard";

/// How long a guard may take to be ready, and to go.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Guard {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    /// Dropped: nobody renews any more.
    tell: Option<watch::Sender<Tell>>,
    pub(super) group: Group,
}

/// What a guard has to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It has told the child to end.
    Told,
    /// It has killed the child, and itself with it.
    Over,
    /// It is gone.
    Gone,
}

impl Guard {
    /// Starts a guard in a new process group, and waits until it watches over `deadline`.
    pub(super) async fn start(deadline: Deadline, grace: Duration) -> io::Result<Self> {
        let mut command = Command::new(own_program()?);
        command
            // Whoever ends all that is named as the command shall not end the guard with it.
            .arg0(PROCESS)
            .arg(NAME)
            .env_clear()
            // It keeps no file system busy, and nobody's output open.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut process = command.spawn()?;
        let (id, stdin, stdout) = (process.id(), process.stdin.take(), process.stdout.take());
        let id = id.and_then(|id| i32::try_from(id).ok());
        let (Some(id), Some(mut stdin), Some(stdout)) = (id, stdin, stdout) else {
            return Err(io::Error::other("it ended at once"));
        };
        let mut said = BufReader::new(stdout).lines();
        let ready = async {
            stdin
                .write_all(Tell::Grace(grace).line().as_bytes())
                .await?;
            stdin
                .write_all(Tell::Lease(deadline).line().as_bytes())
                .await?;
            said.next_line().await
        };
        match within(PATIENCE, ready).await {
            Some(Ok(Some(line))) if line == READY.trim_end() => {}
            Some(Err(error)) => return Err(error),
            Some(Ok(_)) => return Err(io::Error::other("it ended at once")),
            None => return Err(io::Error::other("it does not get ready")),
        }
        let (tell, told) = watch::channel(Tell::Lease(deadline));
        write(stdin, told);
        Ok(Self {
            process,
            said,
            tell: Some(tell),
            group: Group(Pid::from_raw(id)),
        })
    }

    /// The lease ends then. Never waits for the guard.
    pub(super) fn tell(&self, deadline: Deadline) {
        if let Some(tell) = &self.tell {
            tell.send_replace(Tell::Lease(deadline));
        }
    }

    /// Nobody renews any more: the guard does by itself what is left to do.
    pub(super) fn let_go(&mut self) {
        self.tell = None;
    }

    /// The next that it says. Cancel safe.
    pub(super) async fn said(&mut self) -> Said {
        match self.said.next_line().await {
            Ok(Some(line)) if line == TOLD.trim_end() => Said::Told,
            Ok(Some(line)) if line == OVER.trim_end() => Said::Over,
            _ => Said::Gone,
        }
    }

    /// Whether it has ended. If so, its group's id is free from now on.
    pub(super) fn is_gone(&mut self) -> bool {
        !matches!(self.process.try_wait(), Ok(None))
    }

    /// Sends it away, once nothing is left in its group.
    pub(super) async fn dismiss(mut self) {
        if let Some(tell) = self.tell.take() {
            tell.send_replace(Tell::Done);
        }
        if within(PATIENCE, self.process.wait()).await.is_none() {
            // It is stopped, or worse.
            self.group.kill();
            let _ = within(PATIENCE, self.process.wait()).await;
        }
    }
}

/// Writes what there is to tell, in a task of its own: a guard that does not read keeps up nobody.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
fn write(mut stdin: ChildStdin, mut told: watch::Receiver<Tell>) {
    tokio::spawn(async move {
        while told.changed().await.is_ok() {
            let line = told.borrow_and_update().line();
            if stdin.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
}

/// The future's output, if it comes in time.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
pub(super) async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(time, future).await.ok()
}

/// This very program, though its file may have been replaced since it was started.
pub(super) fn own_program() -> io::Result<std::path::PathBuf> {
    let own = std::path::Path::new("/proc/self/exe");
    match own.exists() {
        true => Ok(own.into()),
        false => std::env::current_exe(),
    }
}
