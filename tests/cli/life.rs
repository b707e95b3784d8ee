//! The life of a lock: acquired, seen, waited for, released, broken; with the child's own output.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::scene::soon;
use crate::stage::{Stage, ended, id, kill, number, said};
use crate::support::dyno::DynoPeer;
use crate::support::recorded::Step;
use crate::support::wall_nanos;

const HOUR: i64 = 3600 * 1_000_000_000;

#[tokio::test]
async fn a_run_from_start_to_finish_costs_two_requests() {
    let stage = Stage::new().await;
    let done = stage.said("run", &["--", "true"]).await;
    assert_eq!(
        (done.status, done.out.as_str(), done.err.as_str()),
        (0, "", "")
    );
    assert_eq!(stage.scene.proxy.steps(), [Step::Acquire, Step::Release]);
}

#[tokio::test]
async fn the_status_is_the_childs_own() {
    let stage = Stage::new().await;
    for (script, status) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 75", 75),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
    ] {
        let done = said(stage.script(&[], script)).await;
        assert_eq!((done.status, done.err.as_str()), (status, ""), "{script}");
        assert_eq!(stage.expires().await, 0, "released");
    }
}

/// However they look, and from wherever it is started.
#[tokio::test]
async fn arguments_are_the_childs_own() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let stage = Stage::new().await;
    let script = r#"printf '<%s>' "$0" "$@""#;
    let odd = OsStr::from_bytes(b"\xff \n");
    let mut command = stage.script(&[], script);
    command
        .args(["--help", "", "--", "__start", "a b"])
        .arg(odd);
    let done = command.output().await.expect("it runs");
    assert_eq!(
        done.stdout, b"<--help><><--><__start><a b><\xff \n>",
        "{done:?}"
    );

    std::fs::write(stage.file("tool"), "echo $0 $1").expect("a file");
    let chmod = std::process::Command::new("chmod")
        .arg("+x")
        .arg(stage.file("tool"))
        .status();
    assert!(chmod.expect("chmod").success());
    let done = stage.said("run", &["--", "./tool", "one"]).await;
    assert_eq!(done.out, "./tool one\n", "{done:?}");
}

/// Who has started it may not care about his own children.
#[tokio::test]
async fn the_status_is_known_though_sigchld_is_ignored() {
    let stage = Stage::new().await;
    let mut words = vec!["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_dynolock")];
    words.extend(stage.words("run", &["--", "sh", "-c", "exit 7"]));
    let command = stage.program("env", &stage.scene.proxy.url(), &words);
    let done = said(command).await;
    assert_eq!((done.status, done.err.as_str()), (7, ""), "{done:?}");
}

#[tokio::test]
async fn the_child_sees_what_it_needs() {
    let stage = Stage::new().await;
    let script = "echo $DYNOLOCK_FENCING_TOKEN; echo $DYNOLOCK_VERSION; echo $DYNOLOCK_TABLE; \
                  echo $DYNOLOCK_KEY; echo ${DYNOLOCK_SORT_KEY-none}";
    let mut command = stage.script(&["--owner", "web-7"], &format!("{script}; sleep 0.3"));
    command.env("DYNOLOCK_SORT_KEY", "of an outer lock");
    let child = command.spawn().expect("it runs");
    let item = stage.until_locked().await;
    let done = ended(child).await;
    let version = item["dynoLockVersion"]["S"].as_str().expect("a version");
    assert_eq!(item["dynoLockOwner"]["S"], format!("{version} web-7"));
    let token = number(&item, "dynoLockFence");
    let table = &stage.scene.table;
    assert_eq!(
        done.out,
        format!("{token}\n{version}\n{table}\nid=a\nnone\n")
    );

    stage
        .scene
        .engine
        .create_table(&format!("{table}-2"), ("p", "N"), Some(("s", "B")))
        .await;
    let words = [
        "run",
        "-t",
        &format!("{table}-2"),
        "-k",
        "n:p=42",
        "--sort-key",
        "b:s=3q2+7w==",
        "--delete-on-release",
        "--",
        "sh",
        "-c",
        script,
    ];
    let done = said(stage.bare(&words)).await;
    assert!(done.out.ends_with("\nn:p=42\nb:s=3q2+7w==\n"), "{done:?}");
    let key = json!({"p": {"N": "42"}, "s": {"B": "3q2+7w=="}});
    assert_eq!(
        stage
            .scene
            .engine
            .get_item(&format!("{table}-2"), &key)
            .await,
        None,
        "deleted"
    );
}

#[tokio::test]
async fn input_and_output_are_the_childs() {
    let stage = Stage::new().await;
    let mut command = stage.script(&[], "cat; printf '\\000\\377' | wc -c; echo oops >&2");
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"one\ntwo").await.expect("it reads");
    drop(stdin);
    let done = ended(child).await;
    assert_eq!(
        (done.out.as_str(), done.err.as_str()),
        ("one\ntwo2\n", "oops\n")
    );
    // Nobody keeps the output open once the child is done, and a closed input is no harm.
    let done = said(stage.script(&[], "exec 0<&-; exec 1>&-; exit 4")).await;
    assert_eq!((done.status, done.err.as_str()), (4, ""));
}

#[tokio::test]
async fn a_full_disk_is_not_taken_for_done() {
    let stage = Stage::new().await;
    let full = || {
        Stdio::from(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("it is there"),
        )
    };
    let mut command = stage.script(&[], "/bin/echo x 2>/dev/null || exit 12");
    let done = said_with(command.stdout(full())).await;
    assert_eq!(done, 12, "the child's own affair");
    let mut command = stage.script(&["-v"], "exit 3");
    assert_eq!(
        said_with(command.stderr(full())).await,
        3,
        "our own messages are nobody's"
    );
    assert_eq!(stage.expires().await, 0);
    for words in [
        stage.words("status", &[]),
        vec!["man"],
        vec!["completions", "bash"],
        vec!["--local"],
        vec!["--help"],
    ] {
        let mut command = stage.bare(&words);
        assert_eq!(said_with(command.stdout(full())).await, 71, "{words:?}");
    }
}

async fn said_with(command: &mut tokio::process::Command) -> i32 {
    let mut child = command.spawn().expect("a process");
    let status = soon(child.wait()).await.expect("an end");
    status.code().expect("a status")
}

#[tokio::test]
async fn a_held_lock_is_not_acquired() {
    let stage = Stage::new().await;
    stage.held_by_another().await;
    let before = stage.scene.item("a").await;
    for (options, status) in [
        (vec!["--no-wait"], 75),
        (vec!["--no-wait", "-E", "0"], 0),
        (vec!["--timeout", "1s"], 75),
        (vec!["--timeout", "300ms", "--conflict-exit-code", "9"], 9),
    ] {
        let done = said(stage.script(&options, "echo > worked")).await;
        assert_eq!(done.status, status, "{done:?}");
        assert!(
            done.err.contains("held by") && done.err.lines().count() == 1,
            "{done:?}"
        );
    }
    assert!(!stage.file("worked").exists());
    assert_eq!(stage.scene.item("a").await, before);
}

#[tokio::test]
async fn existing_only_makes_no_item() {
    let stage = Stage::new().await;
    let done = said(stage.script(&["--existing-only"], "echo > worked")).await;
    assert_eq!(done.status, 75, "{done:?}");
    assert_eq!(stage.scene.item("a").await, None);
    assert!(!stage.file("worked").exists());
}

#[tokio::test]
async fn verbose_tells_the_life_of_the_lock() {
    let stage = Stage::new().await;
    let done = said(stage.script(&["-v", "--lease", "1s"], "sleep 0.5")).await;
    for word in [
        "acquired",
        "fence=",
        "renewed",
        "ended with status 0",
        "released",
    ] {
        assert!(done.err.contains(word), "{word}: {done:?}");
    }
    assert!(
        done.err.lines().all(|line| line.starts_with("dynolock: ")),
        "{done:?}"
    );
    assert!(!done.err.contains(crate::scene::SECRET));
}

#[tokio::test]
async fn status_tells_free_from_held() {
    let stage = Stage::new().await;
    let free = stage.said("status", &[]).await;
    assert_eq!((free.status, free.err.as_str()), (0, ""));
    assert!(free.out.ends_with("id=a: free\n"), "{free:?}");
    let json = stage.said("status", &["--json"]).await;
    let parsed: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(
        parsed,
        json!({"table": stage.scene.table, "key": "id=a", "state": "free"})
    );

    let holder = stage
        .script(&["--owner", "web-7", "--lease", "60s"], "sleep 60")
        .spawn()
        .expect("it runs");
    let item = stage.until_locked().await;
    let held = stage.said("status", &[]).await;
    assert_eq!(held.status, 75);
    let version = item["dynoLockVersion"]["S"].as_str().expect("a version");
    for word in [
        "held",
        "web-7",
        version,
        item["dynoLockExpires"]["N"].as_str().expect("an expiry"),
        "token",
    ] {
        assert!(held.out.contains(word), "{word}: {held:?}");
    }
    let json = stage.said("status", &["--json"]).await;
    assert_eq!(json.status, 75);
    let parsed: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(parsed["state"], "held");
    assert_eq!(parsed["owner"], "web-7");
    assert_eq!(parsed["version"], version);
    // As they are: a reader that has numbers as floats would round them.
    assert_eq!(parsed["expires"], item["dynoLockExpires"]["N"]);
    assert_eq!(parsed["fencing_token"], item["dynoLockFence"]["N"]);
    kill(id(&holder), "TERM");
    ended(holder).await;

    stage.scene.put_lock("a", -HOUR, "1000000000").await;
    let expired = stage.said("status", &[]).await;
    assert_eq!(expired.status, 0);
    assert!(
        expired.out.contains("expired") && expired.out.contains("ago"),
        "{expired:?}"
    );
}

#[tokio::test]
async fn wait_waits_and_takes_nothing() {
    let stage = Stage::new().await;
    assert_eq!(stage.said("wait", &[]).await.status, 0, "free");
    stage.held_by_another().await;
    let before = stage.scene.item("a").await;
    let late = stage.said("wait", &["--timeout", "1s"]).await;
    assert_eq!(late.status, 75, "{late:?}");
    let late = stage.said("wait", &["--timeout", "1s", "-E", "1"]).await;
    assert_eq!(late.status, 1);
    assert_eq!(stage.scene.item("a").await, before);
    let waiter = stage
        .on_item("wait", &["--retry-interval", "20ms"])
        .spawn()
        .expect("it runs");
    let seen = stage.scene.proxy.requests().len();
    stage.scene.proxy.wait_for_answers(seen + 2).await;
    stage
        .scene
        .engine
        .delete_item(&stage.scene.table, &stage.key())
        .await;
    assert_eq!(ended(waiter).await.status, 0);
}

#[tokio::test]
async fn a_stuck_lock_is_broken_and_a_living_one_is_not() {
    let stage = Stage::new().await;
    let free = stage
        .said("release", &["--force", "--version", "v", "--expires", "1"])
        .await;
    assert_eq!(free.status, 0, "{free:?}");
    stage.held_by_another().await;
    let expires = stage.expires().await;
    let (stale, now) = ((expires - 1).to_string(), expires.to_string());
    for (version, expires) in [("another", &stale), ("other", &now)] {
        let kept = stage
            .said(
                "release",
                &["--force", "--version", version, "--expires", expires],
            )
            .await;
        assert_eq!(kept.status, 75, "{kept:?}");
        assert!(kept.err.contains("not broken"), "{kept:?}");
        assert_eq!(stage.expires().await.to_string(), now);
    }
    let broken = stage
        .said(
            "release",
            &["--force", "--version", "another", "--expires", &now],
        )
        .await;
    assert_eq!((broken.status, broken.err.as_str()), (0, ""));
    assert_eq!(stage.expires().await, 0);
    // It can be had at once.
    assert_eq!(
        stage.said("run", &["--no-wait", "--", "true"]).await.status,
        0
    );
    let timid = stage
        .said("release", &["--version", "v", "--expires", "1"])
        .await;
    assert_eq!(timid.status, 64, "without --force");
}

#[tokio::test]
async fn a_dyno_peer_and_the_command_exclude_each_other() {
    let stage = Stage::new().await;
    let peer = DynoPeer::new(&stage.scene.engine, &stage.scene.table, stage.key());
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);
    let done = stage.said("run", &["--no-wait", "--", "true"]).await;
    assert_eq!(done.status, 75, "theirs");
    let waiter = stage
        .script(&["--lease", "60s"], "echo > ready; sleep 60")
        .spawn()
        .expect("it runs");
    stage.scene.proxy.wait_for_answers(3).await;
    assert!(!stage.file("ready").exists());
    assert!(peer.release("theirs").await);
    stage.until("ready", |ready| !ready.is_empty()).await;
    assert!(!peer.acquire(wall_nanos(), HOUR, "again").await, "ours");
    assert!(!peer.heartbeat(wall_nanos(), HOUR, "theirs").await);
    kill(id(&waiter), "TERM");
    assert_eq!(ended(waiter).await.status, 143);
    assert!(peer.acquire(wall_nanos(), HOUR, "again").await, "free");
}

#[tokio::test]
async fn a_failed_release_keeps_the_childs_status() {
    use crate::support::fault::Fault;
    let stage = Stage::new().await;
    let holder = stage.script(&["--lease", "1s"], "echo > ready; read -r _ < go; exit 6");
    let fifo = std::process::Command::new("mkfifo")
        .arg(stage.file("go"))
        .status();
    assert!(fifo.expect("mkfifo").success());
    let mut holder = holder;
    let holder = holder.spawn().expect("it runs");
    stage.until("ready", |ready| !ready.is_empty()).await;
    stage.scene.proxy.on(|request| match request.step() {
        Step::Release => Fault::DropRequest,
        _ => Fault::Pass,
    });
    std::fs::write(stage.file("go"), "\n").expect("it reads");
    let done = ended(holder).await;
    assert_eq!(done.status, 6, "{done:?}");
    assert!(
        done.err.contains("could not be confirmed") && done.err.lines().count() == 1,
        "{done:?}"
    );
}
