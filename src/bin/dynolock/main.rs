//! `dynolock`, the command: a lock for programs that are not written in Rust.
//!
//! It stands on the library's public API alone. `args/` says what there is to say, `run/` runs a
//! command under a lock and a guard, `look.rs` and `table.rs` are for operators.

#[cfg(not(unix))]
compile_error!("dynolock: the command needs process groups and signals as Unix has them");

mod args;
mod clocks;
mod exit;
mod help;
mod look;
mod place;
mod run;
mod say;
mod table;

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::Task;
use crate::exit::Exit;
use crate::say::Voice;

fn main() {
    let (task, is_verbose) = match args::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => std::process::exit(i32::from(refused(&error).0)),
    };
    let exit = match task {
        Task::Guard => run::inside::stand(),
        Task::Start(arguments) => run::start::become_child(&arguments),
        Task::Interrupt => run::interrupt::die(),
        task => with_a_voice(task, is_verbose),
    };
    std::process::exit(i32::from(exit.0));
}

fn with_a_voice(task: Task, is_verbose: bool) -> Exit {
    let voice = Voice::new(is_verbose);
    voice.listen();
    let exit = perform(task, &voice);
    voice.finish();
    exit
}

/// Help and version go to stdout; what is wrong goes to stderr, with the status that says so.
fn refused(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (true, _) => Exit::USAGE,
        (false, Ok(())) => Exit::DONE,
        (false, Err(_)) => Exit::SYSTEM,
    }
}

fn perform(task: Task, voice: &Voice) -> Exit {
    match task {
        Task::Local => print(help::LOCAL.as_bytes(), Exit::DONE, voice),
        Task::Completions(shell) => {
            let script = help::completions(&mut args::command(), shell);
            print(&script, Exit::DONE, voice)
        }
        Task::Man => match help::man(args::command()) {
            Ok(page) => print(&page, Exit::DONE, voice),
            Err(error) => {
                voice.say(error);
                Exit::SYSTEM
            }
        },
        // They were answered before.
        Task::Guard | Task::Start(_) | Task::Interrupt => Exit::USAGE,
        task => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(ask(task, voice)),
                Err(error) => {
                    voice.say(format_args!(
                        "the operating system gives too little: {error}"
                    ));
                    Exit::SYSTEM
                }
            }
        }
    }
}

async fn ask(task: Task, voice: &Voice) -> Exit {
    // Whoever has started us may ignore SIGCHLD, which is inherited, and then nobody learns how a
    // child ended. What is caught is not ignored.
    if let Err(error) = signal(SignalKind::child()) {
        voice.say(format_args!("signals cannot be caught: {error}"));
        return Exit::SYSTEM;
    }
    match task {
        Task::Run(run) => run::run(&run, voice).await,
        Task::Status { look, json } => look::status(&look, json, voice).await,
        Task::Wait { look, conflict } => look::wait(&look, conflict, voice).await,
        Task::Release {
            look,
            version,
            expires,
        } => look::release(&look, &version, expires, voice).await,
        Task::Create(table) => table::create(&table, voice).await,
        Task::Check(table) => table::check(&table, voice).await,
        Task::Completions(_)
        | Task::Man
        | Task::Local
        | Task::Guard
        | Task::Start(_)
        | Task::Interrupt => Exit::USAGE,
    }
}

/// Writes what was asked for to stdout. Where that fails, nobody may take it for done.
pub(crate) fn print(text: &[u8], exit: Exit, voice: &Voice) -> Exit {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => exit,
        Err(error) => {
            voice.say(format_args!("the output could not be written: {error}"));
            Exit::SYSTEM
        }
    }
}
