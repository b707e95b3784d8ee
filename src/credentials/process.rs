//! Programs that print credentials: `credential_process` in a profile.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::document;
use super::{Credentials, CredentialsError};
use crate::runtime::{First, Runtime, race};

const SOURCE: &str = "credential_process";

/// How long a program may run. Some ask a server, or a person in a browser.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program may print at most.
const LONGEST: u64 = 64 * 1024;

/// Runs a command line and reads the credentials that it prints.
///
/// The command line is the shell's: `sh -c`, or `cmd.exe /C` on Windows. The program has no input,
/// what it says on standard error is dropped, and it is killed where it runs for longer than a
/// minute or nobody waits for it any more (what it has started itself may live on). No error shows
/// the command line or anything that was printed.
/// [Process credentials](https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html)
pub(super) async fn run(
    command: &str,
    runtime: &dyn Runtime,
) -> Result<Credentials, CredentialsError> {
    let alarm = runtime.sleep_until(runtime.now().mono.plus(LIMIT));
    match race(output(command), alarm).await {
        First::A(Ok(printed)) => credentials(&printed),
        First::A(Err(problem)) => Err(problem),
        First::B(()) => Err(CredentialsError::unavailable(
            SOURCE,
            "did not end within 60 s",
        )),
    }
}

async fn output(command: &str) -> Result<Vec<u8>, CredentialsError> {
    let mut child = shell(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| broken(["cannot be started: ", &error.to_string()].concat()))?;
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(LONGEST + 1).read_to_end(&mut printed).await;
        read.map_err(|error| broken(["cannot be read from: ", &error.to_string()].concat()))?;
    }
    if printed.len() as u64 > LONGEST {
        return Err(broken("printed more than 64 KiB"));
    }
    match child.wait().await {
        Ok(status) if status.success() => Ok(printed),
        Ok(status) => {
            let status = status.to_string();
            let hint = "; run it by hand to see why";
            Err(broken(["failed with ", &status, hint].concat()))
        }
        Err(error) => Err(broken(
            ["cannot be waited for: ", &error.to_string()].concat(),
        )),
    }
}

#[cfg(not(windows))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    shell
}

/// `cmd.exe` strips the outer pair of quotes, and knows no other quoting.
#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    shell.arg("/C").raw_arg(["\"", command, "\""].concat());
    shell
}

fn credentials(printed: &[u8]) -> Result<Credentials, CredentialsError> {
    // The error could show what was printed.
    let document: Value =
        serde_json::from_slice(printed).map_err(|_| broken("printed no JSON document"))?;
    match document.get("Version").map(Value::as_u64) {
        Some(Some(1)) => {}
        Some(_) => return Err(broken("printed a Version other than 1")),
        None => return Err(broken("printed no Version")),
    }
    document::credentials(&document, "SessionToken")
        .map_err(|problem| broken(["printed a document that ", &problem].concat()))
}

fn broken(problem: impl Into<String>) -> CredentialsError {
    CredentialsError::broken(SOURCE, problem)
}

#[cfg(all(test, not(windows)))]
#[path = "process_tests.rs"]
mod tests;
