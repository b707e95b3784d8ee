//! What the tests of the command begin with: a DynamoDB, a table, a folder, and the built binary.

#![allow(unreachable_pub, reason = "as the rest of what tests stand on")]

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::scene::{Scene, soon, until};
use crate::support::unique_name;

/// A scene, and a folder that the children write to.
pub struct Stage {
    pub scene: Scene,
    folder: PathBuf,
}

/// What a command has said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Stage {
    pub async fn new() -> Self {
        let folder = std::env::temp_dir().join(unique_name("dynolock"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let scene = Scene::new().await;
        Self { scene, folder }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Waits until a file holds what is wanted.
    pub async fn until(&self, name: &str, enough: impl Fn(&str) -> bool) -> String {
        until(|| enough(&self.read(name))).await;
        self.read(name)
    }

    /// The pid that a child has written to a file as a line.
    pub async fn pid(&self, name: &str) -> i32 {
        let text = self.until(name, |text| text.ends_with('\n')).await;
        text.trim().parse().expect("a pid")
    }

    /// The binary with these arguments, in the folder, behind the proxy.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        self.at(&self.scene.proxy.url(), arguments)
    }

    /// The same at another endpoint.
    pub fn at(&self, url: &str, arguments: &[&str]) -> Command {
        self.program(env!("CARGO_BIN_EXE_dynolock"), url, arguments)
    }

    /// Another program in its environment, which may call it.
    pub fn program(&self, program: &str, url: &str, arguments: &[&str]) -> Command {
        let mut command = as_from_a_shell(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("AWS_ENDPOINT_URL_DYNAMODB", url)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", crate::scene::SECRET)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// `SUBCOMMAND --table T --key id=a OPTIONS`.
    pub fn on_item(&self, subcommand: &str, options: &[&str]) -> Command {
        self.bare(&self.words(subcommand, options))
    }

    /// The arguments of that.
    pub fn words<'a>(&'a self, subcommand: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec![subcommand, "--table", &self.scene.table, "--key", "id=a"];
        words.extend(options);
        words
    }

    /// Runs it to its end.
    pub async fn said(&self, subcommand: &str, options: &[&str]) -> Said {
        said(self.on_item(subcommand, options)).await
    }

    /// `run` with these options and a shell script.
    pub fn script(&self, options: &[&str], script: &str) -> Command {
        let mut words = options.to_vec();
        words.extend(["--", "sh", "-c", script]);
        self.on_item("run", &words)
    }

    /// The expiry in the item, by its last renewal; 0 where it is free.
    pub async fn expires(&self) -> i64 {
        let item = self.scene.item("a").await.unwrap_or_default();
        number(&item, "dynoLockExpires")
    }

    pub async fn until_locked(&self) -> Value {
        self.scene
            .until_item("a", |item| number(item, "dynoLockExpires") > 0)
            .await
    }

    /// Another's lock, long enough for the test.
    pub async fn held_by_another(&self) {
        self.scene
            .put_lock("a", 3600 * 1_000_000_000, "3600000000000")
            .await;
    }

    pub fn key(&self) -> Value {
        json!({"id": {"S": "a"}})
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub fn number(item: &Value, name: &str) -> i64 {
    let number = item[name]["N"].as_str();
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Runs a command to its end.
pub async fn said(mut command: Command) -> Said {
    let child = command.spawn().expect("a process");
    ended(child).await
}

/// What came of a running one.
pub async fn ended(child: Child) -> Said {
    let output = soon(child.wait_with_output()).await.expect("an end");
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    // As a shell says it.
    let by_signal = || status.signal().map(|signal| 128 + signal);
    let status = status.code().or_else(by_signal).expect("an end");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said {
        status,
        out: text(stdout),
        err: text(stderr),
    }
}

pub fn id(child: &Child) -> i32 {
    let id = child.id().expect("it runs");
    i32::try_from(id).expect("a pid")
}

pub fn kill(pid: i32, signal: &str) {
    let status = std::process::Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("kill").success(), "kill -{signal} {pid}");
}

/// State and process group of a process; `None` where it is gone, or dead and not waited for.
pub fn process(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let stat = stat.ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    (state != 'Z' && state != 'X').then_some((state, group))
}

/// Waits until a process is gone.
pub async fn until_gone(pid: i32) {
    until(|| process(pid).is_none()).await;
}

/// A program that ignores no signal from the start, as one does that a script runs in the
/// background, or under `nohup`, these tests' runner among them.
pub fn as_from_a_shell(program: &str) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal", program]);
    command
}

/// The numbers in a text, a line each.
pub fn numbers(text: &str) -> Vec<i64> {
    text.lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect()
}
