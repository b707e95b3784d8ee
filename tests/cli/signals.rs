//! Signals: passed on to the child, or the end of the wait.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::scene::soon;
use crate::stage::{Stage, ended, id, kill, said};

#[tokio::test]
async fn signals_are_passed_on_to_the_whole_group() {
    let stage = Stage::new().await;
    for name in ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH"] {
        let script = format!(
            "exec 2> /dev/null; trap 'echo child >> {name}; kill $!; exit 42' {name}; echo > ready-{name}; \
             sleep 60 & while :; do sleep 0.01; done"
        );
        let holder = stage.script(&[], &script).spawn().expect("it runs");
        stage
            .until(&format!("ready-{name}"), |ready| !ready.is_empty())
            .await;
        kill(id(&holder), name);
        let holder = ended(holder).await;
        assert_eq!((holder.status, holder.err.as_str()), (42, ""), "{name}");
        assert_eq!(stage.read(name), "child\n", "{name}");
        assert_eq!(stage.expires().await, 0, "released");
    }
}

#[tokio::test]
async fn a_child_that_dies_by_a_signal_is_told_as_a_shell_tells_it() {
    let stage = Stage::new().await;
    let holder = stage
        .script(&[], "echo > ready; sleep 60")
        .spawn()
        .expect("it runs");
    stage.until("ready", |ready| !ready.is_empty()).await;
    kill(id(&holder), "HUP");
    assert_eq!(
        ended(holder).await.status,
        129,
        "as where the terminal is closed"
    );
    assert_eq!(stage.expires().await, 0);
}

#[tokio::test]
async fn a_waiter_gives_up_cleanly() {
    for (name, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let stage = Stage::new().await;
        stage.held_by_another().await;
        let before = stage.scene.item("a").await;
        let waiter = stage.script(&[], "echo > worked").spawn().expect("it runs");
        stage.scene.proxy.wait_for_answers(2).await;
        kill(id(&waiter), name);
        let waiter = ended(waiter).await;
        assert_eq!((waiter.status, waiter.err.as_str()), (status, ""));
        assert_eq!(stage.scene.item("a").await, before, "untouched");
        assert!(!stage.file("worked").exists());
    }
}

/// The request under way may have locked it.
#[tokio::test]
async fn a_lock_half_acquired_is_given_back() {
    use crate::support::fault::{Fault, Gate};
    let stage = Stage::new().await;
    let gate = Gate::closed();
    stage.scene.proxy.next([Fault::DelayAnswer(gate.clone())]);
    let mut waiter = stage
        .script(&["-v", "--lease", "60s"], "echo > worked")
        .spawn()
        .expect("it runs");
    stage.until_locked().await;
    kill(id(&waiter), "TERM");
    let mut lines = BufReader::new(waiter.stderr.take().expect("a pipe")).lines();
    let heard = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if line.contains("SIGTERM") {
                return;
            }
        }
        panic!("it does not say that it was told to end");
    };
    soon(heard).await;
    gate.open();
    assert_eq!(ended(waiter).await.status, 143);
    assert_eq!(stage.expires().await, 0, "given back");
    assert!(!stage.file("worked").exists());
}

/// As under `nohup`: the child inherits that it is ignored.
#[tokio::test]
async fn an_ignored_signal_stays_ignored() {
    let stage = Stage::new().await;
    let words = stage.words("run", &["--", "sh", "-c", "echo > ready; sleep 1; exit 9"]);
    let mut command = tokio::process::Command::new("sh");
    command
        .args([
            "-c",
            "trap '' HUP; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_dynolock"),
        ])
        .args(words);
    let set = stage.bare(&[]);
    for (name, value) in set.as_std().get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
        .current_dir(stage.file(""))
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    let holder = command.kill_on_drop(true).spawn().expect("it runs");
    stage.until("ready", |ready| !ready.is_empty()).await;
    kill(id(&holder), "HUP");
    assert_eq!(ended(holder).await.status, 9);
}

/// It would end `yes | head` otherwise only by an error.
#[tokio::test]
async fn a_broken_pipe_ends_the_child_as_usual() {
    let stage = Stage::new().await;
    let done = said(stage.script(&[], "kill -s PIPE $$; echo alive")).await;
    assert_eq!((done.status, done.out.as_str()), (141, ""), "{done:?}");
}

/// By which a shell knows that its script is interrupted.
#[tokio::test]
async fn sigint_is_died_of() {
    use std::os::unix::process::ExitStatusExt;

    let stage = Stage::new().await;
    let mut child = stage.script(&[], "kill -s INT $$");
    let ended = soon(child.status()).await.expect("an end");
    assert_eq!(ended.signal(), Some(2), "{ended}");
    assert_eq!(stage.expires().await, 0, "released");

    stage.held_by_another().await;
    let mut waiter = stage.script(&[], "true").spawn().expect("it runs");
    let answers = stage.scene.proxy.requests().len();
    stage.scene.proxy.wait_for_answers(answers + 2).await;
    kill(id(&waiter), "INT");
    let ended = soon(waiter.wait()).await.expect("an end");
    assert_eq!(ended.signal(), Some(2), "{ended}");
}
