//! The user's own condition: its own kind of error, and no way around the lock.

use dynolock::{AttributeValue, Error, Item, Update};
use serde_json::json;

use super::{acquired, one_more, record, taken_over};
use crate::scene::{Scene, soon};
use crate::support::recorded::Step;

/// Holds of no item here.
fn impossible() -> Update {
    let update = one_more().set("s", "written");
    update
        .condition("n = :n AND s = :s")
        .value(":n", 99)
        .value(":s", "x")
}

fn assert_condition_failed(error: &Error, item: &Item) {
    assert!(error.is_condition_failed(), "{error:?}");
    assert_eq!(error.item(), Some(item));
    assert!(!error.is_lost() && !error.is_outcome_unknown(), "{error:?}");
    assert!(!error.is_held() && !error.is_invalid_option(), "{error:?}");
    assert_eq!(error.code(), None);
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("condition"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

fn whole() -> Item {
    let n = AttributeValue::from(1);
    Item::from_iter([("id", "a".into()), ("n", n), ("s", "secret".into())])
}

#[tokio::test]
async fn a_condition_that_fails_shows_the_item_and_the_lock_is_held() {
    let scene = Scene::new().await;
    scene
        .put("a", json!({"n": {"N": "1"}, "s": {"S": "secret"}}))
        .await;
    let lease = acquired(&scene).await;
    let before = scene.item("a").await;
    for returning in [false, true] {
        let error = match returning {
            false => soon(lease.update(impossible())).await.err(),
            true => soon(lease.update_returning(impossible())).await.err(),
        };
        assert_condition_failed(&error.expect("it does not hold"), &whole());
        assert_eq!(scene.item("a").await, before, "nothing is written");
        scene.assert_holds("a", &lease, "all the same").await;
    }
    assert_eq!(scene.proxy.requests().len(), 3, "asked once each");
    soon(lease.renew()).await.expect("held");
    let holds = one_more().condition("n = :n").value(":n", 1);
    soon(lease.update(holds)).await.expect("held");
    soon(lease.commit(one_more())).await.expect("held");
    assert_eq!(
        record(&scene).await,
        json!({"n": {"N": "3"}, "s": {"S": "secret"}})
    );
}

#[tokio::test]
async fn of_several_conditions_all_must_hold() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let both = |first, second| {
        let update = one_more().condition(first).condition(second);
        update.value(":b", true)
    };
    let (yes, no) = (
        "n = :b OR attribute_exists(id)",
        "n = :b OR attribute_not_exists(id)",
    );
    for (first, second) in [(yes, no), (no, yes)] {
        let error = soon(lease.update(both(first, second))).await;
        assert!(error.expect_err("not both").is_condition_failed());
    }
    soon(lease.update(both(yes, yes))).await.expect("both");
    assert_eq!(record(&scene).await, json!({"n": {"N": "1"}}));
}

#[tokio::test]
async fn a_commit_whose_condition_fails_writes_nothing_and_releases() {
    let scene = Scene::new().await;
    scene
        .put("a", json!({"n": {"N": "1"}, "s": {"S": "secret"}}))
        .await;
    let lease = acquired(&scene).await;
    let error = soon(lease.commit(impossible())).await;
    assert_condition_failed(&error.expect_err("it does not hold"), &whole());
    scene.assert_free("a", "released all the same").await;
    assert_eq!(
        record(&scene).await,
        json!({"n": {"N": "1"}, "s": {"S": "secret"}})
    );
    let steps = [Step::Acquire, Step::Release, Step::Release];
    assert_eq!(scene.proxy.steps(), steps, "refused, then given back");
    let next = soon(scene.lock(&scene.rival(), "a").try_acquire()).await;
    assert!(next.expect("an answer").is_some());
}

#[tokio::test]
async fn a_commit_whose_condition_fails_deletes_what_was_only_a_lock() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").delete_on_release();
    let lease = soon(lock.acquire()).await.expect("free");
    let error = soon(lease.commit(impossible())).await;
    let alone = Item::from_iter([("id", "a")]);
    assert_condition_failed(&error.expect_err("it does not hold"), &alone);
    assert_eq!(scene.item("a").await, None);
}

/// It holds of every item, and the lock is another's.
#[tokio::test]
async fn a_condition_with_or_does_not_get_around_the_lock() {
    let always = [
        "a = :x OR attribute_exists(id)",
        "(a = :x) OR (attribute_exists(id))",
        "NOT a = :x OR attribute_exists(id) OR a = :x",
    ];
    for condition in always {
        for commits in [false, true] {
            let scene = Scene::new().await;
            let lease = acquired(&scene).await;
            let theirs = taken_over(&scene, "a").await;
            let before = scene.item("a").await;
            let update = one_more().condition(condition).value(":x", 1);
            let error = match commits {
                false => soon(lease.update(update)).await,
                true => soon(lease.commit(update)).await,
            };
            let error = error.expect_err(condition);
            assert!(error.is_lost() && !error.is_condition_failed(), "{error:?}");
            assert_eq!(scene.item("a").await, before, "{condition}");
            scene.assert_holds("a", &theirs, condition).await;
        }
    }
}

/// A text that would close the parentheses around it is refused before anything is sent.
#[tokio::test]
async fn a_condition_cannot_close_the_parentheses_around_it() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let texts = [
        "attribute_exists(id)) OR (attribute_exists(id)",
        "id = id) OR attribute_exists(id",
        ") OR (",
        "attribute_exists(id",
        "attribute_exists(id))",
    ];
    for text in texts {
        let error = soon(lease.update(one_more().condition(text))).await;
        let error = error.expect_err(text);
        assert!(error.is_invalid_option(), "{error:?}");
    }
    assert_eq!(scene.proxy.requests().len(), 1);
}
