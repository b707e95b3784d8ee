//! Many of them at once, on one key.

use std::sync::Arc;

use crate::scene::spawn;
use crate::stage::{Stage, ended};

#[tokio::test]
async fn eight_processes_count_to_two_hundred() {
    let stage = Arc::new(Stage::new().await);
    std::fs::write(stage.file("f"), "0\n").expect("a file");
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let stage = stage.clone();
            spawn(async move {
                for _ in 0..25 {
                    let script = "n=$(cat f); sleep 0.01; echo $((n+1)) > f";
                    let options = ["--lease", "30s", "--retry-interval", "50ms"];
                    let mut command = stage.script(&options, script);
                    let child = command.spawn().expect("it runs");
                    let output = child.wait_with_output().await.expect("an end");
                    assert!(output.status.success(), "{output:?}");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no panic");
    }
    assert_eq!(stage.read("f"), "200\n");
}

#[tokio::test]
async fn two_hundred_at_once_are_sent_away() {
    let stage = Stage::new().await;
    stage.held_by_another().await;
    let crowd: Vec<_> = (0..200)
        .map(|_| {
            let mut one = stage.script(&["--no-wait"], "echo > worked");
            one.spawn().expect("it runs")
        })
        .collect();
    for one in crowd {
        assert_eq!(ended(one).await.status, 75);
    }
    assert!(!stage.file("worked").exists());
}

#[tokio::test]
async fn two_hundred_at_once_have_their_turns() {
    let stage = Stage::new().await;
    std::fs::write(stage.file("f"), "0\n").expect("a file");
    let options = ["--lease", "60s", "--retry-interval", "1s"];
    let script = "n=$(cat f); sleep 0.01; echo $((n+1)) > f";
    let crowd: Vec<_> = (0..200)
        .map(|_| stage.script(&options, script).spawn().expect("it runs"))
        .collect();
    for one in crowd {
        let one = ended(one).await;
        assert_eq!((one.status, one.err.as_str()), (0, ""));
    }
    assert_eq!(stage.read("f"), "200\n");
    assert_eq!(stage.expires().await, 0, "released");
}
