//! At a terminal: the child has it while it runs. `script` makes one, and types what it is given.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::scene::soon;
use crate::stage::{Stage, as_from_a_shell, id, kill, process, until_gone};

/// `run` of a script at a terminal of its own: `RUN` in the shell line `around`.
fn at_a_terminal(stage: &Stage, around: &str, script: &str) -> Command {
    let words = stage.words("run", &["--lease", "2s", "--", "sh", "-c"]);
    let words = words.iter().map(|word| format!("'{word}' "));
    let words: String = words.collect();
    let run = format!("'{}' {words} \"$SCRIPT\"", env!("CARGO_BIN_EXE_dynolock"));
    let run = around.replace("RUN", &run);
    let mut command = as_from_a_shell("script");
    command.args(["-qec", &run, "/dev/null"]);
    for (name, value) in stage.bare(&[]).as_std().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .env("SCRIPT", script)
        .env("SHELL", "/bin/sh")
        .current_dir(stage.file(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Types `keys` once the child is ready, and waits for the end: its status and the screen.
async fn typed(stage: &Stage, script: &str, keys: &[u8]) -> (i32, String) {
    typed_around(stage, "RUN", script, keys).await
}

async fn typed_around(stage: &Stage, around: &str, script: &str, keys: &[u8]) -> (i32, String) {
    let mut screen = at_a_terminal(stage, around, script)
        .spawn()
        .expect("script");
    let mut keyboard = screen.stdin.take().expect("a pipe");
    stage.until("ready", |ready| !ready.is_empty()).await;
    keyboard.write_all(keys).await.expect("it reads");
    let ended = soon(screen.wait_with_output()).await.expect("an end");
    drop(keyboard);
    let shown = String::from_utf8_lossy(&ended.stdout).into_owned();
    (ended.status.code().expect("a status"), shown)
}

#[tokio::test]
async fn the_child_reads_from_the_terminal() {
    let stage = Stage::new().await;
    let (status, shown) = typed(&stage, "echo > ready; read -r x; echo \"<$x>\"", b"hello\n").await;
    assert!(status == 0 && shown.contains("<hello>"), "{status} {shown}");
    assert_eq!(stage.expires().await, 0, "released");
}

/// Not lent to begin with, in front of a pipe; lent to a child that asks.
#[tokio::test]
async fn the_child_reads_from_the_terminal_in_front_of_a_pipe() {
    let stage = Stage::new().await;
    let script = "echo > ready; read -r x; echo \"<$x>\"";
    let (status, shown) = typed_around(&stage, "RUN | cat", script, b"hello\n").await;
    assert!(status == 0 && shown.contains("<hello>"), "{status} {shown}");
    assert_eq!(stage.expires().await, 0, "released");
}

/// It says that it waits, and goes on once it is in the foreground.
#[tokio::test]
async fn a_job_in_the_background_goes_on_in_the_foreground() {
    let stage = Stage::new().await;
    let script = "echo > ready; read -r x; echo \"<$x>\"";
    let around = "set -m; RUN 2> err & while ! grep -q fg err; do sleep 0.05; done; fg";
    let (status, shown) = typed_around(&stage, around, script, b"hello\n").await;
    let err = stage.read("err");
    assert!(status == 0 && shown.contains("<hello>"), "{shown} {err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert_eq!(stage.expires().await, 0, "released");
}

#[tokio::test]
async fn ctrl_c_is_the_childs() {
    let stage = Stage::new().await;
    let script = "trap 'exit 3' INT; echo > ready; while :; do sleep 0.01; done";
    let (status, shown) = typed(&stage, script, b"\x03").await;
    assert_eq!(status, 3, "{shown}");
    assert_eq!(stage.expires().await, 0, "released");
}

/// A script that is interrupted does not go on, as it would not without a lock.
#[tokio::test]
async fn ctrl_c_ends_the_script_around_it() {
    for shell in ["sh", "bash"] {
        let stage = Stage::new().await;
        let around =
            format!("{shell} -c 'for n in 1 2 3; do \"$@\"; echo next; done' - RUN; echo left");
        let script = "echo > ready; exec sleep 60";
        let (_, shown) = typed_around(&stage, &around, script, b"\x03").await;
        assert!(!shown.contains("next"), "{shown}");
        assert_eq!(stage.expires().await, 0, "released");
    }
}

#[tokio::test]
async fn ctrl_z_does_not_stop_it() {
    let stage = Stage::new().await;
    let script = "echo > ready; sleep 1; exit 4";
    let (status, shown) = typed(&stage, script, b"\x1a").await;
    assert_eq!(status, 4, "{shown}");
    assert!(shown.contains("not stopped"), "{shown}");
}

#[tokio::test]
async fn a_closed_terminal_ends_it() {
    let stage = Stage::new().await;
    let mut screen = at_a_terminal(&stage, "RUN", "echo $$ > ready; sleep 60")
        .spawn()
        .expect("script");
    let child = stage.pid("ready").await;
    assert!(process(child).is_some());
    kill(id(&screen), "KILL");
    soon(screen.wait()).await.expect("killed");
    until_gone(child).await;
    stage
        .scene
        .until_item("a", |item| item.get("dynoLockExpires").is_none())
        .await;
}
