//! `dynolock table`: made, and checked before anybody relies on it.

use std::time::Duration;

use crate::stage::{Stage, said};
use crate::support::fault::Fault;
use crate::support::unique_name;

#[tokio::test]
async fn a_table_is_made_once_and_locks_work_in_it() {
    let stage = Stage::new().await;
    let table = unique_name("made");
    for _ in 0..2 {
        let made = said(stage.bare(&[
            "table",
            "create",
            "-t",
            &table,
            "--partition-key",
            "id",
            "--sort-key",
            "n:N",
        ]))
        .await;
        assert_eq!((made.status, made.err.as_str()), (0, ""));
    }
    let words = [
        "run",
        "-t",
        &table,
        "-k",
        "id=a",
        "--sort-key",
        "n:n=1",
        "--",
        "true",
    ];
    assert_eq!(said(stage.bare(&words)).await.status, 0);
    let other =
        said(stage.bare(&["table", "create", "-t", &table, "--partition-key", "id:N"])).await;
    assert_eq!(other.status, 64);
    assert!(other.err.contains("id:S and n:N"), "{other:?}");
}

#[tokio::test]
async fn a_good_table_passes_and_nothing_is_written() {
    let stage = Stage::new().await;
    let table = stage.scene.table.clone();
    for words in [
        vec!["table", "check", "-t", &table, "--partition-key", "id:S"],
        vec!["table", "check", "-t", &table],
    ] {
        let good = said(stage.bare(&words)).await;
        assert_eq!((good.status, good.err.as_str()), (0, ""), "{good:?}");
        for line in [
            "ok    endpoint",
            "ACTIVE",
            "id:S",
            "UpdateItem: allowed",
            "GetItem: allowed",
            "DeleteItem: allowed",
        ] {
            assert!(good.out.contains(line), "{line}: {good:?}");
        }
        assert!(!good.out.contains("FAIL"), "{good:?}");
    }
    let scan = serde_json::json!({"TableName": table});
    let left = stage.scene.engine.expect("Scan", &scan).await;
    assert_eq!(left["Count"], 0);
}

#[tokio::test]
async fn what_would_not_work_is_named() {
    let stage = Stage::new().await;
    let table = stage.scene.table.clone();
    let check = ["table", "check", "-t", &table, "--partition-key", "id:S"];
    let other =
        said(stage.bare(&["table", "check", "-t", &table, "--partition-key", "id:N"])).await;
    assert_eq!(other.status, 1);
    assert!(
        other.out.contains("FAIL  key: it is id:S, not id:N"),
        "{other:?}"
    );

    let missing = said(stage.bare(&["table", "check", "-t", "no-such-table"])).await;
    assert_eq!(missing.status, 1);
    assert!(
        missing
            .out
            .contains("dynolock table create --table no-such-table"),
        "{missing:?}"
    );

    let away = said(stage.at(&crate::support::refusing_url(), &check)).await;
    assert_eq!(away.status, 1);
    assert!(away.out.contains("FAIL  endpoint"), "{away:?}");

    let mut command = stage.bare(&check);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let nobody = said(command).await;
    assert_eq!(nobody.status, 69, "{nobody:?}");

    for (denied, mark) in [
        ("DescribeTable", "--"),
        ("UpdateItem", "FAIL"),
        ("DeleteItem", "--"),
        ("GetItem", "FAIL"),
    ] {
        stage
            .scene
            .proxy
            .on(move |request| match request.operation == denied {
                true => Fault::error(400, "AccessDeniedException", "no"),
                false => Fault::Pass,
            });
        let done = said(stage.bare(&check)).await;
        assert_eq!(done.status, i32::from(mark == "FAIL"), "{done:?}");
        let line = done.out.lines().find(|line| line.contains(denied));
        assert!(
            line.is_some_and(|line| line.starts_with(mark)),
            "{denied}: {done:?}"
        );
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told() {
    let stage = Stage::new().await;
    stage.scene.proxy.on(|_| {
        Fault::Rewrite(Box::new(|answer| {
            let late = std::time::SystemTime::now() + Duration::from_secs(600);
            answer
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
            answer.headers.push(("date".into(), date(late)));
        }))
    });
    let done = said(stage.bare(&["table", "check", "-t", &stage.scene.table])).await;
    assert_eq!(done.status, 1, "{done:?}");
    assert!(done.out.contains("FAIL  clock"), "{done:?}");
}

/// As an HTTP header has it.
fn date(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).expect("later");
    let written = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}", since.as_secs()),
            "+%a, %d %b %Y %H:%M:%S GMT",
        ])
        .env("LC_ALL", "C")
        .output();
    let written = written.expect("date").stdout;
    String::from_utf8(written).expect("text").trim().to_owned()
}
