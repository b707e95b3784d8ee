//! DynamoDB or the credentials are of no use: a line that says what to do, and its status.

use std::time::Duration;

use crate::scene::SECRET;
use crate::stage::{Said, Stage, said};
use crate::support::fault::Fault;
use crate::support::refusing_url;

fn assert_says(done: &Said, status: i32, words: &[&str]) {
    assert_eq!(done.status, status, "{done:?}");
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
    for word in words {
        assert!(done.err.contains(word), "{word}: {done:?}");
    }
    assert!(!done.err.contains(SECRET), "{done:?}");
}

#[tokio::test]
async fn without_a_server() {
    let stage = Stage::new().await;
    for words in [
        stage.words("run", &["--timeout", "300ms", "--", "true"]),
        stage.words("status", &["--timeout", "300ms"]),
        stage.words("wait", &["--timeout", "300ms"]),
    ] {
        let done = said(stage.at(&refusing_url(), &words)).await;
        assert_says(&done, 69, &["--endpoint-url"]);
    }
    // Who waits for ever is told so in the end.
    let begun = std::time::Instant::now();
    let words = stage.words("run", &["--", "true"]);
    let done = said(stage.at(&refusing_url(), &words)).await;
    assert_says(&done, 69, &["--endpoint-url"]);
    assert!(
        begun.elapsed() > Duration::from_secs(5),
        "it was tried for a while"
    );
}

#[tokio::test]
async fn without_credentials() {
    let stage = Stage::new().await;
    for words in [
        stage.words("run", &["--", "true"]),
        stage.words("run", &["--no-wait", "--", "true"]),
        stage.words("status", &[]),
    ] {
        let mut command = stage.bare(&words);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        assert_says(
            &said(command).await,
            69,
            &["AWS_PROFILE", "AWS_ACCESS_KEY_ID"],
        );
    }
    assert_eq!(stage.scene.proxy.requests().len(), 0);
}

#[tokio::test]
async fn without_a_region() {
    let stage = Stage::new().await;
    let mut command = stage.on_item("status", &[]);
    command.env_remove("AWS_REGION");
    assert_says(&said(command).await, 64, &["AWS_REGION", "--region"]);
    let mut command = stage.on_item("status", &["--region", "eu-west-1"]);
    command.env_remove("AWS_REGION");
    assert_eq!(said(command).await.status, 0);
}

#[tokio::test]
async fn without_the_table() {
    let stage = Stage::new().await;
    for words in [
        ["run", "-t", "no-such-table", "-k", "id=a", "--", "true"].as_slice(),
        &["status", "-t", "no-such-table", "-k", "id=a"],
        &["wait", "-t", "no-such-table", "-k", "id=a"],
    ] {
        let done = said(stage.bare(words)).await;
        assert_says(
            &done,
            64,
            &["dynolock table create --table no-such-table --partition-key id"],
        );
    }
    let words = [
        "status",
        "-t",
        "gone",
        "-k",
        "n:id=4",
        "--sort-key",
        "seq=7",
    ];
    let key = "table create --table gone --partition-key id:N --sort-key seq";
    assert_says(&said(stage.bare(&words)).await, 64, &[key]);
    let done = said(stage.bare(&["status", "-t", &stage.scene.table, "-k", "name=a"])).await;
    assert_says(&done, 64, &["dynolock table check"]);
}

#[tokio::test]
async fn without_leave() {
    let stage = Stage::new().await;
    for (code, words) in [
        ("UnrecognizedClientException", ["AWS_PROFILE"]),
        ("AccessDeniedException", ["dynolock table check"]),
    ] {
        stage.scene.proxy.on(move |_| Fault::error(400, code, "no"));
        let done = stage.said("run", &["--", "true"]).await;
        assert_says(&done, 69, &words);
        let done = stage.said("status", &[]).await;
        assert_says(&done, 69, &words);
    }
}

/// What nobody has answered is not held by another: `-E 0` shall not make an outage a success.
#[tokio::test]
async fn without_an_answer() {
    let stage = Stage::new().await;
    stage.scene.proxy.on(|_| Fault::Hang);
    for words in [
        ["run", "-E", "0", "--timeout", "200ms", "--", "true"].as_slice(),
        &["wait", "-E", "0", "--timeout", "200ms"],
        &["status", "--timeout", "200ms"],
    ] {
        let done = stage.said(words[0], &words[1..]).await;
        assert_says(&done, 69, &["in time", "--endpoint-url"]);
    }
}

#[tokio::test]
async fn an_error_page_is_no_lock() {
    let stage = Stage::new().await;
    stage
        .scene
        .proxy
        .on(|_| Fault::error(500, "InternalServerError", "later"));
    let done = stage
        .said("run", &["--timeout", "500ms", "--", "true"])
        .await;
    assert_says(&done, 69, &["in time"]);
}
