//! The child never works without the lock, whatever becomes of the command, the network, the lock.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::scene::{soon, until};
use crate::stage::{Stage, ended, id, kill, number, numbers, process, said, until_gone};
use crate::support::fault::Fault;
use crate::support::recorded::{Recorded, Step};
use crate::support::wall_nanos;

/// Writes its pid, then the time over and over.
const BEATS: &str = "echo $$ > pid; while :; do date +%s%N >> beats; sleep 0.02; done";
/// The same, and cannot be told to end.
const STUBBORN: &str =
    "trap '' TERM; echo $$ > pid; while :; do date +%s%N >> beats; sleep 0.02; done";

/// Waits for the lock by its expiry, without an allowance, and writes when it has it.
const NEXT: [&str; 4] = ["--max-clock-skew", "0s", "--retry-interval", "50ms"];

fn is_stopped(pid: i32) -> bool {
    matches!(process(pid), Some(('T', _)))
}

fn children(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.expect("it is there");
    let pids = children.split_whitespace().map(str::parse);
    pids.collect::<Result<_, _>>().expect("pids")
}

fn last_beat(stage: &Stage) -> i64 {
    numbers(&stage.read("beats"))
        .into_iter()
        .max()
        .expect("it has worked")
}

/// From now on DynamoDB is out of reach. What the holder had sent before has its answer.
async fn cut_off(stage: &Stage) {
    let proxy = &stage.scene.proxy;
    proxy.on(|_| Fault::DropRequest);
    // It writes one thing after the other.
    proxy.wait_for(proxy.requests().len() + 1).await;
}

/// The next holder has it after the lease and no sooner, and the old child is gone by then.
async fn next_comes_after(stage: &Stage, child: i32) {
    let expires = stage.expires().await;
    assert!(expires > wall_nanos(), "the lock outlives its holder");
    let next = said(stage.script(&NEXT, "date +%s%N > next")).await;
    assert_eq!(next.status, 0, "{next:?}");
    let start = numbers(&stage.read("next"))[0];
    assert!(start > expires, "{} ns too soon", expires - start);
    let last = last_beat(stage);
    assert!(
        last < start,
        "it worked for {} ns without the lock",
        last - start
    );
    assert_eq!(process(child), None, "gone, not only quiet");
}

#[tokio::test]
async fn a_killed_command_takes_its_child_along() {
    for script in [BEATS, STUBBORN] {
        let stage = Stage::new().await;
        let mut holder = stage
            .script(&["--lease", "2s"], script)
            .spawn()
            .expect("it runs");
        let child = stage.pid("pid").await;
        let (_, guard) = process(child).expect("it works");
        stage
            .until("beats", |beats| beats.lines().count() > 2)
            .await;
        kill(id(&holder), "KILL");
        soon(holder.wait()).await.expect("killed");
        // What it had sent is applied by then.
        until(|| stage.scene.proxy.open_connections() == 0).await;
        next_comes_after(&stage, child).await;
        until_gone(guard).await;
    }
}

#[tokio::test]
async fn a_stopped_command_loses_its_child_and_says_so_when_it_is_woken() {
    for script in [BEATS, STUBBORN] {
        let stage = Stage::new().await;
        let holder = stage
            .script(&["--lease", "2s"], script)
            .spawn()
            .expect("it runs");
        let child = stage.pid("pid").await;
        stage
            .until("beats", |beats| beats.lines().count() > 2)
            .await;
        kill(id(&holder), "STOP");
        until(|| is_stopped(id(&holder))).await;
        let is_answered = |request: &Recorded| request.answer.is_some();
        let proxy = &stage.scene.proxy;
        proxy
            .wait_until(|requests| requests.iter().all(is_answered))
            .await;
        next_comes_after(&stage, child).await;
        // Woken while another holds the lock.
        let next = stage
            .script(&NEXT, "echo > held; sleep 0.5")
            .spawn()
            .expect("it runs");
        stage.until("held", |held| !held.is_empty()).await;
        kill(id(&holder), "CONT");
        let holder = ended(holder).await;
        assert_eq!(holder.status, 74, "{holder:?}");
        assert!(holder.err.contains("lost"), "{holder:?}");
        assert_eq!(holder.err.lines().count(), 1, "{holder:?}");
        let next = ended(next).await;
        assert_eq!((next.status, next.err.as_str()), (0, ""), "undisturbed");
    }
}

/// Told at once, since nobody renews any more, and not only when the lease is nearly over.
#[tokio::test]
async fn the_child_of_a_killed_command_may_clean_up() {
    let stage = Stage::new().await;
    let script =
        "trap 'date +%s%N > told; exit 0' TERM; echo > ready; while :; do sleep 0.01; done";
    let mut holder = stage
        .script(&["--lease", "20s"], script)
        .spawn()
        .expect("it runs");
    stage.until("ready", |ready| !ready.is_empty()).await;
    kill(id(&holder), "KILL");
    soon(holder.wait()).await.expect("killed");
    let told = stage.until("told", |told| told.ends_with('\n')).await;
    let grace = 4_000_000_000;
    assert!(
        numbers(&told)[0] < stage.expires().await - grace,
        "not only when the lease is nearly over"
    );
}

/// DynamoDB is out of reach for longer than the lease.
#[tokio::test]
async fn a_child_is_told_before_the_lease_ends_and_killed_at_its_end() {
    let stage = Stage::new().await;
    let script = "trap 'date +%s%N >> told' TERM; echo $$ > pid; \
                  while :; do date +%s%N >> beats; sleep 0.02; done";
    let options = ["--lease", "2s", "--heartbeat", "300ms", "--grace", "1s"];
    let holder = stage.script(&options, script).spawn().expect("it runs");
    let child = stage.pid("pid").await;
    cut_off(&stage).await;
    let expires = stage.expires().await;
    until_gone(child).await;
    let told = numbers(&stage.read("told"));
    assert_eq!(told.len(), 1, "once");
    assert!(told[0] < expires, "told {} ns too late", told[0] - expires);
    assert!(told[0] > expires - 1_200_000_000, "not before the grace");
    let last = last_beat(&stage);
    assert!(last > told[0], "it ignores that, and works on");
    assert!(
        last < expires,
        "it worked for {} ns without the lock",
        last - expires
    );
    let holder = ended(holder).await;
    assert_eq!(holder.status, 74, "{holder:?}");
    assert!(holder.err.contains("could not be renewed"), "{holder:?}");
}

#[tokio::test]
async fn a_child_that_ends_when_it_is_told_has_lost_the_lock_all_the_same() {
    let stage = Stage::new().await;
    let script =
        "exec 2> /dev/null; trap 'exit 0' TERM; echo $$ > pid; while :; do sleep 0.01; done";
    let options = ["--lease", "1s", "--grace", "500ms"];
    let holder = stage.script(&options, script).spawn().expect("it runs");
    stage.pid("pid").await;
    cut_off(&stage).await;
    let holder = ended(holder).await;
    assert_eq!(holder.status, 74, "{holder:?}");
    assert_eq!(holder.err.lines().count(), 1, "{holder:?}");
}

#[tokio::test]
async fn a_lock_that_is_taken_over_ends_the_child_at_once() {
    let stage = Stage::new().await;
    let holder = stage
        .script(&["--lease", "600s", "--heartbeat", "100ms"], STUBBORN)
        .spawn()
        .expect("it runs");
    let child = stage.pid("pid").await;
    stage.held_by_another().await;
    until_gone(child).await;
    let holder = ended(holder).await;
    assert_eq!(holder.status, 74, "{holder:?}");
    assert!(holder.err.contains("another"), "{holder:?}");
    let item = stage.scene.item("a").await.expect("an item");
    assert_eq!(item["dynoLockVersion"]["S"], "another", "left alone");
}

/// Nobody else can have it before the lease ends: the child may clean up, but is told at once.
#[tokio::test]
async fn a_renewal_that_is_not_allowed_ends_the_child_in_order() {
    let stage = Stage::new().await;
    let script = "exec 2> /dev/null; trap 'date +%s%N > told; exit 0' TERM; echo $$ > pid; \
                  while :; do sleep 0.01; done";
    let options = ["--lease", "30s", "--heartbeat", "100ms"];
    let holder = stage.script(&options, script).spawn().expect("it runs");
    stage.pid("pid").await;
    stage.scene.proxy.on(|request| match request.step() {
        Step::Renew => Fault::error(400, "AccessDeniedException", "no"),
        _ => Fault::Pass,
    });
    let holder = ended(holder).await;
    assert_eq!(holder.status, 74, "{holder:?}");
    assert_eq!(holder.err.lines().count(), 1, "{holder:?}");
    assert_eq!(numbers(&stage.read("told")).len(), 1);
}

/// So short that its end may come before the child, or after it, or that it is never had because the
/// server takes longer to answer; but never is there a child without a lock.
#[tokio::test]
async fn the_shortest_leases_are_no_child_without_a_lock() {
    let stage = Stage::new().await;
    let script = "for n in 1 2 3 4 5 6 7 8 9 10; do date +%s%N >> beats; sleep 0.02; done";
    for lease in ["10ms", "20ms", "40ms"] {
        let options = ["--lease", lease, "--timeout", "5s"];
        let done = said(stage.script(&options, script)).await;
        assert!(matches!(done.status, 0 | 69 | 74 | 75), "{lease}: {done:?}");
        let requests = stage.scene.proxy.requests();
        let ends = requests.iter().map(largest_number).max().expect("it asked");
        let last = numbers(&stage.read("beats")).into_iter().max();
        assert!(
            last.is_none_or(|last| last < ends),
            "{lease}: {last:?} {ends}"
        );
    }
}

/// The end of the lease that a request writes: no number in it is as large.
fn largest_number(request: &Recorded) -> i64 {
    let values = request.body["ExpressionAttributeValues"].as_object();
    let values = values.into_iter().flat_map(|values| values.values());
    let numbers = values.filter_map(|value| value["N"].as_str()?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// `run`, stopped while its guard starts; and the guard, which waits.
async fn stopped_before_the_child(lease: &str) -> (Stage, Child, i32) {
    loop {
        let stage = Stage::new().await;
        let script = "echo > worked; sleep 9";
        let (holder, guard) = stopped_at_child(&stage, 1, lease, script).await;
        // The guard alone: nothing is started while it is stopped.
        if children(id(&holder)).len() == 1 {
            return (stage, holder, guard);
        }
        // The stop came too late; once more.
        kill(id(&holder), "KILL");
        until_gone(guard).await;
    }
}

/// `run` of a script, stopped when it has begun to start its nth process; and the guard, which is
/// the first.
async fn stopped_at_child(stage: &Stage, nth: u32, lease: &str, script: &str) -> (Child, i32) {
    let stop = format!(
        "echo > stopper; read -r p; set --; \
         while [ $# -lt {nth} ]; do read -r c < /proc/$p/task/$p/children; set -- $c; done; \
         kill -STOP $p; echo $1 > guard"
    );
    let mut stopper = Command::new("sh")
        .args(["-c", &stop])
        .current_dir(stage.file(""))
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    stage.until("stopper", |ready| !ready.is_empty()).await;
    let holder = stage
        .script(&["--lease", lease], script)
        .spawn()
        .expect("it runs");
    let mut stdin = stopper.stdin.take().expect("a pipe");
    let line = format!("{}\n", id(&holder));
    stdin.write_all(line.as_bytes()).await.expect("it reads");
    let guard = stage.pid("guard").await;
    soon(stopper.wait()).await.expect("it is done");
    until(|| is_stopped(id(&holder))).await;
    (holder, guard)
}

#[tokio::test]
async fn nothing_is_started_after_the_lease() {
    let (stage, holder, _) = stopped_before_the_child("2s").await;
    let ends = stage.expires().await;
    until(|| wall_nanos() > ends).await;
    kill(id(&holder), "CONT");
    let holder = ended(holder).await;
    assert_eq!(holder.status, 74, "{holder:?}");
    assert!(
        holder.err.contains("before the command could start"),
        "{holder:?}"
    );
    assert_eq!(holder.err.lines().count(), 1, "{holder:?}");
    assert!(!stage.file("worked").exists());
}

/// Stopped in the midst of a start, or just after it.
#[tokio::test]
async fn a_start_that_was_stopped_does_not_outlive_the_lease() {
    for _ in 0..3 {
        let stage = Stage::new().await;
        let script = "trap '' TERM; while :; do date +%s%N >> beats; sleep 0.02; done";
        let (holder, _) = stopped_at_child(&stage, 2, "1s", script).await;
        let ends = stage.expires().await;
        // The guard, which had been told of the lease before, and what it ends.
        for child in children(id(&holder)) {
            until_gone(child).await;
        }
        until(|| wall_nanos() > ends).await;
        let before = stage.read("beats");
        kill(id(&holder), "CONT");
        let holder = ended(holder).await;
        assert_eq!(holder.status, 74, "{holder:?}");
        assert_eq!(stage.read("beats"), before, "nothing after it was woken");
        assert!(
            numbers(&before)
                .into_iter()
                .all(|beat| beat < ends + 100_000_000)
        );
    }
}

#[tokio::test]
async fn nothing_is_started_without_a_guard() {
    let (stage, holder, guard) = stopped_before_the_child("600s").await;
    kill(guard, "KILL");
    until_gone(guard).await;
    kill(id(&holder), "CONT");
    let holder = ended(holder).await;
    assert_eq!(holder.status, 71, "{holder:?}");
    assert!(holder.err.contains("guard"), "{holder:?}");
    assert!(!stage.file("worked").exists());
    assert_eq!(stage.expires().await, 0, "released");
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_the_child_runs() {
    let stage = Stage::new().await;
    let holder = stage
        .script(&["--lease", "1s"], "sleep 3; exit 5")
        .spawn()
        .expect("it runs");
    let first = number(&stage.until_locked().await, "dynoLockExpires");
    let holder = ended(holder).await;
    assert_eq!((holder.status, holder.err.as_str()), (5, ""));
    assert!(
        wall_nanos() > first + 1_500_000_000,
        "longer than its first lease"
    );
    assert_eq!(stage.expires().await, 0, "released");
}

#[tokio::test]
async fn nothing_runs_without_a_guard() {
    let stage = Stage::new().await;
    let holder = stage
        .script(&["--lease", "600s"], STUBBORN)
        .spawn()
        .expect("it runs");
    let child = stage.pid("pid").await;
    let (_, guard) = process(child).expect("it works");
    assert_ne!(guard, child);
    kill(guard, "KILL");
    until_gone(child).await;
    let holder = ended(holder).await;
    assert_eq!(holder.status, 71, "{holder:?}");
    assert!(holder.err.contains("guard"), "{holder:?}");
    assert_eq!(stage.expires().await, 0, "released");
}

/// `pkill dynolock` ends the command, and leaves the guard to end the child.
#[tokio::test]
async fn the_guard_is_not_named_as_the_command() {
    let stage = Stage::new().await;
    let holder = stage.script(&[], BEATS).spawn().expect("it runs");
    let (_, guard) = process(stage.pid("pid").await).expect("it works");
    for name in ["comm", "cmdline"] {
        let name = std::fs::read_to_string(format!("/proc/{guard}/{name}")).expect("it stands");
        assert!(
            name.starts_with("lease-guard") && !name.contains("dynolock"),
            "{name}"
        );
    }
    kill(id(&holder), "TERM");
    assert_eq!(ended(holder).await.status, 143);
}

/// A guard that is stopped with the child's group keeps nobody from ending it.
#[tokio::test]
async fn a_stopped_group_ends_too() {
    let stage = Stage::new().await;
    let options = ["--lease", "1s", "--heartbeat", "300ms"];
    let holder = stage.script(&options, STUBBORN).spawn().expect("it runs");
    let child = stage.pid("pid").await;
    let (_, guard) = process(child).expect("it works");
    kill(guard, "STOP");
    cut_off(&stage).await;
    let expires = stage.expires().await;
    until_gone(child).await;
    assert!(last_beat(&stage) < expires + 100_000_000);
    assert_eq!(ended(holder).await.status, 74);
}

#[tokio::test]
async fn the_guard_goes_with_the_command() {
    let stage = Stage::new().await;
    let script = "read -r _ _ _ _ group _ < /proc/self/stat; echo $group > group";
    assert_eq!(said(stage.script(&[], script)).await.status, 0);
    let guard = stage.pid("group").await;
    until_gone(guard).await;
}

/// Beyond reach, as the help says.
#[tokio::test]
async fn who_leaves_the_group_lives_on() {
    let stage = Stage::new().await;
    let script = "setsid sleep 60 > /dev/null 2>&1 & echo $! > pid; \
                  while [ \"$(cut -d' ' -f5 /proc/$!/stat)\" != $! ]; do :; done";
    let holder = said(stage.script(&[], script)).await;
    assert_eq!(holder.status, 0, "{holder:?}");
    let away = stage.pid("pid").await;
    assert!(process(away).is_some());
    assert_eq!(stage.expires().await, 0, "released");
    kill(away, "KILL");
}

/// What the child leaves behind in its group has worked under the lock, and ends with it.
#[tokio::test]
async fn what_is_left_behind_is_ended_before_the_release() {
    for (stubborn, grace) in [("", "5s"), ("trap '' TERM;", "300ms")] {
        let stage = Stage::new().await;
        let script = format!(
            "sh -c \"{stubborn} echo \\$\\$ > pid; while :; do date +%s%N >> beats; sleep 0.02; done\" & \
             while ! [ -s beats ]; do :; done; exit 3"
        );
        let options = ["--lease", "60s", "--grace", grace];
        let holder = said(stage.script(&options, &script)).await;
        assert_eq!((holder.status, holder.err.as_str()), (3, ""));
        let left = stage.pid("pid").await;
        assert_eq!(process(left), None);
        assert_eq!(stage.expires().await, 0, "released");
    }
}

/// The end of the lease is a loss, whoever sees it first.
#[tokio::test]
async fn without_a_grace_the_end_is_a_loss() {
    for _ in 0..3 {
        let stage = Stage::new().await;
        let options = ["--lease", "600ms", "--grace", "0s"];
        let holder = stage.script(&options, STUBBORN).spawn().expect("it runs");
        let child = stage.pid("pid").await;
        cut_off(&stage).await;
        let holder = ended(holder).await;
        assert_eq!(holder.status, 74, "{holder:?}");
        assert_eq!(holder.err.lines().count(), 1, "{holder:?}");
        until_gone(child).await;
    }
}

/// What the command starts becomes its child only before the end of the lease, on both clocks.
#[tokio::test]
async fn a_start_that_comes_too_late_runs_nothing() {
    let stage = Stage::new().await;
    let (past, ahead) = ("1", i64::MAX.to_string());
    for (mono, wall, status) in [
        (past, ahead.as_str(), 74),
        (&ahead, past, 74),
        (past, past, 74),
        (&ahead, &ahead, 7),
    ] {
        let start = ["__start", mono, wall, "/bin/sh", "sh", "-c"];
        let done = said(stage.bare(&[&start[..], &["echo > worked; exit 7"]].concat())).await;
        assert_eq!(done.status, status, "{done:?}");
        assert_eq!(done.err.contains("--lease"), status == 74, "{done:?}");
        assert_eq!(stage.file("worked").exists(), status == 7);
    }
    for bad in [&["__start"][..], &["__start", "1", "x", "sh", "sh"]] {
        assert_eq!(said(stage.bare(bad)).await.status, 64);
    }
}

#[tokio::test]
async fn a_guard_by_hand_does_nothing() {
    let stage = Stage::new().await;
    let guard = said(stage.bare(&["__guard"])).await;
    assert_eq!((guard.status, guard.out.as_str()), (64, ""));
}
