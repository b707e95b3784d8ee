//! Many of them at once, on one key.

use std::sync::Arc;

use crate::scene::spawn;
use crate::stage::{Stage, ended, said};

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
async fn two_hundred_at_once_come_one_by_one() {
    let stage = Stage::new().await;
    std::fs::write(stage.file("f"), "0\n").expect("a file");
    let options = ["--lease", "60s", "--no-wait"];
    // A crowd on a held lock is sent away, each with the status that says so.
    stage.held_by_another().await;
    let crowd: Vec<_> = (0..200)
        .map(|_| {
            stage
                .script(&options, "echo > worked")
                .spawn()
                .expect("it runs")
        })
        .collect();
    for one in crowd {
        assert_eq!(ended(one).await.status, 75);
    }
    assert!(!stage.file("worked").exists());
    stage
        .scene
        .engine
        .delete_item(&stage.scene.table, &stage.key())
        .await;
    // On a free one it has its turn, or is sent away; nobody gets lost, and nobody is doubled.
    let crowd: Vec<_> = (0..200)
        .map(|_| {
            let script = "n=$(cat f); sleep 0.01; echo $((n+1)) > f";
            stage.script(&options, script).spawn().expect("it runs")
        })
        .collect();
    let mut turns = 0;
    for one in crowd {
        match ended(one).await.status {
            0 => turns += 1,
            status => assert_eq!(status, 75),
        }
    }
    assert!(turns > 0);
    assert_eq!(stage.read("f"), format!("{turns}\n"));
    assert_eq!(stage.expires().await, 0);
    assert_eq!(said(stage.script(&["--no-wait"], "true")).await.status, 0);
}
