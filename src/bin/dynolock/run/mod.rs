//! `dynolock run`: acquires, runs the child under a guard, releases.

mod child;
mod group;
pub(crate) mod guard;
pub(crate) mod inside;
pub(crate) mod interrupt;
mod plan;
mod program;
mod signals;
pub(crate) mod start;
mod terminal;
mod words;

use std::ffi::OsString;
use std::time::Duration;

use dynolock::{Client, Error, Lease, Lock};
use nix::sys::signal::Signal;

use self::child::{Child, Ended};
use self::guard::within;
use self::signals::Signals;
use crate::args::{Place, Subject, Wait};
use crate::clocks::{Reading, unix_nanos};
use crate::exit::Exit;
use crate::place;
use crate::say::Voice;

/// How long a release that was not answered may go on.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `run` was told.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) place: Place,
    pub(crate) subject: Subject,
    pub(crate) wait: Wait,
    pub(crate) lease: Duration,
    pub(crate) heartbeat: Duration,
    /// SIGTERM comes so long before the end of a lease.
    pub(crate) grace: Duration,
    pub(crate) max_clock_skew: Duration,
    pub(crate) retry_interval: Duration,
    pub(crate) owner: Option<String>,
    pub(crate) delete_on_release: bool,
    pub(crate) existing_only: bool,
    /// The status where the lock was not acquired in time.
    pub(crate) conflict: Exit,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

/// Runs the command under the lock.
pub(crate) async fn run(run: &Run, voice: &Voice) -> Exit {
    #[expect(
        clippy::disallowed_methods,
        reason = "the library's rule; this is a program"
    )]
    let path = std::env::var_os("PATH");
    let program = match program::find(&run.program, path.as_deref()) {
        Ok(program) => program,
        Err(cannot) => {
            voice.say(cannot.problem);
            return cannot.exit;
        }
    };
    let (client, lock) = match place::client(&run.place) {
        Ok(client) => (client.clone(), lock(run, &client)),
        Err(problem) => return problem.say(voice),
    };
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            voice.say(format_args!("signals cannot be caught: {error}"));
            return Exit::SYSTEM;
        }
    };
    let acquired = tokio::select! {
        biased;
        signal = signals.end() => Err(signal),
        acquired = acquire(run, &client, &lock) => Ok(acquired),
    };
    let lease = match acquired {
        Ok(Ok(Some(lease))) => lease,
        Ok(Ok(None)) => {
            voice.say(format_args!("{} is held by another", run.subject));
            return run.conflict;
        }
        Ok(Err(error)) => return place::Problem::of(&error, run.conflict, &run.subject).say(voice),
        Err(signal) => {
            voice.tell(format_args!(
                "{signal}: the lock is not waited for any more"
            ));
            // What may have been acquired is given back, unless we are asked once more.
            tokio::select! {
                () = client.drain() => {}
                _ = signals.end() => {}
            }
            return ended_by(signal, voice);
        }
    };
    let until = lease.watcher();
    let done = Child::run(run, &program, until, &mut signals, voice).await;
    let released = match done.may_release {
        true => release(lease, &client, run, done.ended, voice).await,
        // Held by nobody's doing, to the end of its lease.
        false => match lease.into_token().await {
            Ok(_) => Released::Unconfirmed,
            Err(_) => Released::Lost,
        },
    };
    if done.is_interrupted && released != Released::Lost {
        if done.by_terminal {
            interrupt::interrupt_group();
        }
        return ended_by(Signal::SIGINT, voice);
    }
    match done.ended {
        // The child is done, and another may have been at it meanwhile.
        Ended::ByItself(_) if released == Released::Lost => Exit::LOST,
        Ended::ByItself(exit) | Ended::NotRun(exit) => exit,
        Ended::Lost => Exit::LOST,
    }
}

/// The status where a signal was the end; by SIGINT this process ends itself.
fn ended_by(signal: Signal, voice: &Voice) -> Exit {
    if signal == Signal::SIGINT {
        voice.finish();
        interrupt::end();
    }
    Exit::signal(signal as i32)
}

fn lock(run: &Run, client: &Client) -> Lock {
    let mut lock = client
        .lock(&run.subject.table, run.subject.key())
        .timeout(run.wait.timeout())
        .lease(run.lease)
        .heartbeat(run.heartbeat)
        .max_clock_skew(run.max_clock_skew)
        .retry_interval(run.retry_interval);
    if let Some(owner) = &run.owner {
        lock = lock.owner(owner);
    }
    if run.delete_on_release {
        lock = lock.delete_on_release();
    }
    if run.existing_only {
        lock = lock.existing_only();
    }
    lock
}

/// Acquires; `None` where another holds it, and it was to be tried once.
async fn acquire(run: &Run, client: &Client, lock: &Lock) -> Result<Option<Lease>, Error> {
    lock.check()?;
    if let Wait::ForEver = run.wait {
        // Who waits for ever still wants to know that there is nobody to ask.
        place::reach(client).await?;
    }
    match run.wait {
        Wait::Once => lock.try_acquire().await,
        Wait::ForEver | Wait::UpTo(_) => lock.acquire().await.map(Some),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Released {
    Done,
    /// It was lost before.
    Lost,
    /// It ends with its lease.
    Unconfirmed,
}

async fn release(
    lease: Lease,
    client: &Client,
    run: &Run,
    ended: Ended,
    voice: &Voice,
) -> Released {
    let ends = unix_nanos(lease.expires_at());
    let Err(error) = lease.release().await else {
        return Released::Done;
    };
    if error.is_lost() {
        // What was lost before the child ended was said then.
        if ended != Ended::Lost {
            voice.say(format_args!("{}: {error}", run.subject));
        }
        return Released::Lost;
    }
    // It goes on in the background, and would end with the process.
    let left = ends.saturating_sub(Reading::now().wall);
    let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
    let _ = within(left.min(PATIENCE), client.drain()).await;
    if ended != Ended::Lost {
        voice.say(format_args!("{}: {error}", run.subject));
    }
    Released::Unconfirmed
}
