//! Programs that do what a test says.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::UNIX_EPOCH;

use tokio::sync::oneshot;

use super::*;
use crate::clock::{Moment, Monotonic};
use crate::credentials::Trouble;
use crate::runtime::{BoxFuture, RandomUnavailable, Tokio};

/// What waits for the other side waits this long, and then the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn ran(command: &str) -> Result<Credentials, String> {
    let ran = run(command, &Tokio::new()).await;
    ran.map_err(|error| {
        assert_eq!(error.trouble(), Trouble::Broken);
        error.to_string()
    })
}

fn failed(problem: &str) -> Result<Credentials, String> {
    Err(format!("no credentials: credential_process ({problem})"))
}

/// A command that prints this, which has no apostrophe in it.
fn print(text: &str) -> String {
    format!("printf %s '{text}'")
}

#[tokio::test]
async fn reads_what_is_printed() {
    let pair = r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s"}"#;
    let credentials = Credentials::new("AKID", "s").unwrap();
    assert_eq!(ran(&print(pair)).await, Ok(credentials.clone()));
    let all = r#"{"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "s",
        "SessionToken": "t", "Expiration": "1970-01-01T00:00:07+00:00", "AccountId": "1"}"#;
    let end = UNIX_EPOCH + Duration::from_secs(7);
    let expected = credentials.session_token("t").unwrap().expires_at(end);
    assert_eq!(ran(&print(all)).await, Ok(expected));
}

#[tokio::test]
async fn the_command_line_is_the_shells() {
    // Quotes, a backslash, a pipe, more commands than one; and there is nothing to read.
    let command = r#"cat && id="A B" && printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"a\\\\b"}' "$(echo $id | tr -d \ )""#;
    let expected = Credentials::new("AB", r"a\b").unwrap();
    assert_eq!(ran(command).await, Ok(expected));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_it_says_on_standard_error_is_dropped() {
    let credentials = print(r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s"}"#);
    let command = ["[ /dev/fd/2 -ef /dev/null ] && ", &credentials].concat();
    assert_eq!(
        ran(&command).await,
        Ok(Credentials::new("AKID", "s").unwrap())
    );
}

#[tokio::test]
async fn what_is_printed_wrongly_is_not_shown() {
    const BAD: [(&str, &str); 11] = [
        ("", "printed no JSON document"),
        ("XYZZY", "printed no JSON document"),
        (
            r#"{"Version":1,"SecretAccessKey":"XYZZY""#,
            "printed no JSON document",
        ),
        ("[]", "printed no Version"),
        (
            r#"{"AccessKeyId":"AKID","SecretAccessKey":"XYZZY"}"#,
            "printed no Version",
        ),
        (
            r#"{"Version":2,"SecretAccessKey":"XYZZY"}"#,
            "printed a Version other than 1",
        ),
        (
            r#"{"Version":"1","SecretAccessKey":"XYZZY"}"#,
            "printed a Version other than 1",
        ),
        (
            r#"{"Version":1,"SecretAccessKey":"XYZZY"}"#,
            "printed a document that has no AccessKeyId",
        ),
        (
            r#"{"Version":1,"AccessKeyId":"AKID"}"#,
            "printed a document that has no SecretAccessKey",
        ),
        (
            r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"XYZZY "}"#,
            "printed a document that the secret access key has whitespace in it",
        ),
        (
            r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"XYZZY","Expiration":"XYZZY"}"#,
            "printed a document that has an Expiration that is no RFC 3339 timestamp",
        ),
    ];
    for (printed, problem) in BAD {
        assert_eq!(ran(&print(printed)).await, failed(problem), "{printed}");
    }
    assert_eq!(
        ran(r"printf '\377'").await,
        failed("printed no JSON document")
    );
}

#[tokio::test]
async fn a_failure_shows_its_status_alone() {
    let good = print(r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s"}"#);
    let command = [&good, "; echo XYZZY >&2; exit 3"].concat();
    assert_eq!(
        ran(&command).await,
        failed("failed with exit status: 3; run it by hand to see why")
    );
    let command = "no-such-command --secret XYZZY";
    assert_eq!(
        ran(command).await,
        failed("failed with exit status: 127; run it by hand to see why")
    );
    assert_eq!(
        ran("kill -9 $$").await,
        failed("failed with signal: 9 (SIGKILL); run it by hand to see why")
    );
    assert_eq!(
        ran("\0").await.unwrap_err().split(':').nth(2),
        Some(" nul byte found in provided data)")
    );
}

#[tokio::test]
async fn there_is_an_end_to_what_is_read() {
    let good = r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s"}"#;
    let padded = |length| format!("printf %{length}s '{good}'");
    assert!(ran(&padded(LONGEST)).await.is_ok());
    let problem = "printed more than 64 KiB";
    assert_eq!(ran(&padded(LONGEST + 1)).await, failed(problem));
    assert_eq!(ran("exec yes XYZZY").await, failed(problem));
}

#[tokio::test]
async fn a_program_that_does_not_end_is_killed() {
    let (started, alarm) = oneshot::channel();
    let program = Program::new("limit");
    let gone = program.watch(started);
    let world = Alarm {
        rings: Mutex::new(Some(alarm)),
        at: Mutex::default(),
    };
    let error = run(&program.command(), &world).await.unwrap_err();
    let message = "no credentials: credential_process (did not end within 60 s)";
    assert_eq!(error.to_string(), message);
    assert_eq!(error.trouble(), Trouble::Unavailable);
    assert_eq!(*world.at.lock().unwrap(), Monotonic(60_000_000_000));
    gone.recv_timeout(PATIENCE).expect("it is still there");
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_is_killed() {
    let (started, seen) = oneshot::channel();
    let program = Program::new("dropped");
    let gone = program.watch(started);
    let command = program.command();
    let runtime = Tokio::new();
    match race(run(&command, &runtime), seen).await {
        First::A(ended) => panic!("{ended:?}"),
        First::B(seen) => seen.unwrap(),
    }
    gone.recv_timeout(PATIENCE).expect("it is still there");
}

/// A program that holds a pipe open for as long as it lives, which is longer than the patience.
struct Program {
    pipe: PathBuf,
}

impl Program {
    fn new(test: &str) -> Self {
        let name = format!("dynolock-process-{}-{test}", std::process::id());
        let pipe = std::env::temp_dir().join(name);
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        Self { pipe }
    }

    fn command(&self) -> String {
        format!("exec 3>'{}'; exec sleep 60", self.pipe.display())
    }

    /// Tells when the program has started, and in what it gives back, when it is gone.
    fn watch(&self, started: oneshot::Sender<()>) -> mpsc::Receiver<()> {
        let (ended, gone) = mpsc::channel();
        let pipe = self.pipe.clone();
        thread::spawn(move || {
            // Opens once the program has opened it, and reads to its end once it is closed.
            let mut pipe = fs::OpenOptions::new().read(true).open(pipe).unwrap();
            started.send(()).unwrap();
            assert_eq!(pipe.read_to_end(&mut Vec::new()).unwrap(), 0);
            let _ = ended.send(());
        });
        gone
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.pipe);
    }
}

/// A world in which time stands still until the test lets the alarm ring.
struct Alarm {
    rings: Mutex<Option<oneshot::Receiver<()>>>,
    at: Mutex<Monotonic>,
}

impl Runtime for Alarm {
    fn now(&self) -> Moment {
        Moment::default()
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<()> {
        *self.at.lock().unwrap() = at;
        let rings = self.rings.lock().unwrap().take().unwrap();
        Box::pin(async { rings.await.unwrap() })
    }

    fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
        Err(task)
    }

    fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
        Err(RandomUnavailable("not for this test".into()))
    }

    fn is_running(&self) -> bool {
        true
    }
}
