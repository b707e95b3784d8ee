//! Tables: made, described, and tried out without a trace.

mod scene;
mod support;

use dynolock::{Access, KeyType, TableKey};
use serde_json::json;

use scene::{Scene, soon};
use support::fault::Fault;
use support::unique_name;

const EVERY: [Access; 3] = [Access::Read, Access::Update, Access::Delete];

#[tokio::test]
async fn a_table_is_made_once_and_described() {
    let scene = Scene::new().await;
    let table = scene.client().table(unique_name("made"));
    let error = soon(table.describe()).await.expect_err("not there yet");
    assert!(error.is_table_not_found(), "{error}");
    let key = TableKey::new("id", KeyType::S).sort("seq", KeyType::N);
    assert!(soon(table.create(&key)).await.expect("made"));
    let other = TableKey::new("id", KeyType::B);
    assert!(!soon(table.create(&other)).await.expect("an answer"));
    let described = soon(async {
        loop {
            let described = table.describe().await.expect("there");
            if described.is_active() {
                return described;
            }
        }
    });
    assert_eq!(described.await.key(), Some(&key), "left as it was");
    for access in EVERY {
        let tried = table.try_access(access, (("id", "a"), ("seq", 7)));
        soon(tried).await.expect("allowed");
    }
}

/// An answer that was lost is asked for again, and the table that it made is not another's.
#[tokio::test]
async fn what_fails_for_a_passing_reason_is_tried_again() {
    let scene = Scene::new().await;
    let client = scene.hasty_client();
    let table = client.table(unique_name("made"));
    scene.proxy.next([
        Fault::ForwardThenDropAnswer,
        Fault::Pass,
        Fault::DropRequest,
    ]);
    let key = TableKey::new("id", KeyType::S);
    assert!(!soon(table.create(&key)).await.expect("an answer"));
    assert!(soon(table.describe()).await.is_ok());
    assert_eq!(scene.proxy.requests().len(), 4);
}

#[tokio::test]
async fn trying_changes_nothing_whatever_is_there() {
    let scene = Scene::new().await;
    let item = json!({"id": {"S": "a"}, "dynoLockExpires": {"N": "7"}, "x": {"S": "y"}});
    scene.put("a", item.clone()).await;
    let table = scene.client().table(&scene.table);
    for access in EVERY {
        for id in ["a", "none"] {
            soon(table.try_access(access, ("id", id)))
                .await
                .expect("allowed");
        }
        // It does not fit the table.
        let tried = soon(table.try_access(access, ("id", 7))).await;
        let error = tried.expect_err("a number");
        assert_eq!(error.code(), Some("ValidationException"), "{error}");
        let tried = soon(table.try_access(access, ("id", ""))).await;
        assert!(tried.expect_err("empty").is_invalid_option());
    }
    assert_eq!(scene.item("a").await, Some(item));
    assert_eq!(scene.item("none").await, None);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let scene = Scene::new().await;
    let table = scene.client().table(&scene.table);
    scene
        .proxy
        .on(|_| Fault::error(400, "AccessDeniedException", "no"));
    for access in EVERY {
        let tried = soon(table.try_access(access, ("id", "a"))).await;
        assert!(tried.expect_err("denied").is_access_denied());
    }
    assert!(
        soon(table.describe())
            .await
            .expect_err("denied")
            .is_access_denied()
    );
    let key = TableKey::new("id", KeyType::S);
    assert!(
        soon(table.create(&key))
            .await
            .expect_err("denied")
            .is_access_denied()
    );
}

#[tokio::test]
async fn bad_names_are_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let key = TableKey::new("id", KeyType::S);
    let error = soon(scene.client().table("x").create(&key)).await;
    assert!(error.expect_err("too short").is_invalid_option());
    let twice = key.sort("id", KeyType::S);
    let error = soon(scene.client().table("locks").create(&twice)).await;
    assert!(error.expect_err("twice").is_invalid_option());
    assert_eq!(scene.proxy.requests().len(), 0);
}

#[tokio::test]
async fn the_clock_is_compared_with_the_servers() {
    let scene = Scene::new().await;
    let client = scene.client();
    assert_eq!(client.clock_difference(), None, "nothing was asked yet");
    scene.proxy.on(|_| {
        Fault::Rewrite(Box::new(|answer| {
            let old = "Sat, 29 Feb 2020 00:00:00 GMT";
            answer
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
            answer.headers.push(("date".into(), old.into()));
        }))
    });
    soon(client.table(&scene.table).describe())
        .await
        .expect("there");
    let off = client.clock_difference().expect("a date");
    assert!(
        off > std::time::Duration::from_secs(365 * 24 * 3600),
        "{off:?}"
    );
}
