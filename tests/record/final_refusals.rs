//! What only DynamoDB can find wrong with a write: its own error, nothing written, and the lock
//! as it was.

use dynolock::{Error, Lease, Update};
use serde_json::{Value, json};

use super::{acquired, one_more, record};
use crate::scene::{Scene, soon};
use crate::support::fault::Fault;
use crate::support::recorded::Step;

/// Nearly all that an item may hold.
const NEARLY_ALL: usize = 380 * 1024;

fn half(name: &str) -> Update {
    one_more().set(name, "v".repeat(NEARLY_ALL / 2))
}

type Bad = (&'static str, fn() -> Update);

/// Updates of an item with `s`, a text, and `large`, of nearly all the size.
const BAD: &[Bad] = &[
    ("too large an item", || half("second")),
    ("a number added to a text", || one_more().add("s", 1)),
    ("an element appended to a text", || {
        one_more().append("s", [1])
    }),
    ("a set deleted from a text", || {
        let set = dynolock::Set::new(["x".to_owned()]).expect("a set");
        one_more().delete_from_set("s", set)
    }),
    ("a place in no map", || one_more().set("none.k", 1)),
    ("a place in a text", || one_more().set("s.k", 1)),
    ("a text subtracted", || {
        one_more().raw_set("t = s - :one").value(":one", 1)
    }),
];

async fn scene_with_record() -> (Scene, Value) {
    let scene = Scene::new().await;
    let large = "v".repeat(NEARLY_ALL);
    let data = json!({"s": {"S": "text"}, "large": {"S": large}});
    scene.put("a", data.clone()).await;
    (scene, data)
}

fn is_validation(error: &Error, what: &str) {
    assert_eq!(
        error.code(),
        Some("ValidationException"),
        "{what}: {error:?}"
    );
    assert!(!error.is_lost() && !error.is_outcome_unknown(), "{what}");
    assert!(
        !error.is_condition_failed() && error.item().is_none(),
        "{what}"
    );
    assert!(!error.is_unavailable() && !error.is_timeout(), "{what}");
    assert!(error.to_string().len() < 2000, "{what}");
}

async fn goes_on(scene: &Scene, lease: &Lease, data: &Value, what: &str) {
    assert_eq!(&record(scene).await, data, "{what}: nothing is written");
    scene.assert_holds("a", lease, what).await;
    soon(lease.renew()).await.expect(what);
}

#[tokio::test]
async fn what_dynamodb_refuses_is_its_error_and_the_lock_is_held() {
    let (scene, data) = scene_with_record().await;
    let lease = acquired(&scene).await;
    for (what, update) in BAD {
        let seen = scene.proxy.requests().len();
        let error = soon(lease.update(update())).await.expect_err(what);
        is_validation(&error, what);
        let answer = scene.proxy.requests()[seen]
            .answer
            .clone()
            .expect("an answer")
            .json();
        let message = answer["message"].as_str().or(answer["Message"].as_str());
        let message = message.expect("a message");
        assert!(error.to_string().contains(message), "{what}: {error}");
        assert_eq!(scene.proxy.requests().len(), seen + 1, "{what}: asked once");
        let error = soon(lease.update_returning(update()))
            .await
            .expect_err(what);
        is_validation(&error, what);
        goes_on(&scene, &lease, &data, what).await;
    }
    soon(lease.update(one_more())).await.expect("held");
    soon(lease.commit(one_more())).await.expect("held");
    assert_eq!(record(&scene).await["n"], json!({"N": "2"}));
}

#[tokio::test]
async fn a_commit_that_dynamodb_refuses_writes_nothing_and_releases() {
    let (scene, data) = scene_with_record().await;
    for (what, update) in BAD {
        let lease = acquired(&scene).await;
        let error = soon(lease.commit(update())).await.expect_err(what);
        is_validation(&error, what);
        assert_eq!(record(&scene).await, data, "{what}");
        scene.assert_free("a", what).await;
    }
}

/// An earlier attempt is open when DynamoDB refuses the write: it is kept out before the error is
/// final, so that it cannot be applied after all.
#[tokio::test]
async fn a_refusal_after_an_attempt_without_an_answer_is_final() {
    let (scene, data) = scene_with_record().await;
    let lease = acquired(&scene).await;
    for (what, update) in BAD {
        let seen = scene.proxy.requests().len();
        scene.proxy.next([Fault::ResetRequest]);
        let error = soon(lease.update(update())).await.expect_err(what);
        is_validation(&error, what);
        let steps = &scene.proxy.steps()[seen..];
        assert_eq!(steps, [Step::Renew; 3], "{what}: lost, refused, kept out");
        goes_on(&scene, &lease, &data, what).await;
        // A smaller item by now: only the lock keeps the late attempt out.
        let before = scene.item("a").await;
        let (status, answer) = scene.proxy.replay(seen).await;
        assert_eq!(status, 400, "{what}: {answer}");
        assert_eq!(scene.item("a").await, before, "{what}");
    }
}

/// The attempt without an answer comes late, when its own condition would hold.
#[tokio::test]
async fn a_failed_condition_after_an_attempt_without_an_answer_is_final() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    scene.proxy.next([Fault::ResetRequest]);
    let waits = one_more().condition("attribute_exists(go)");
    let error = soon(lease.update(waits.clone()))
        .await
        .expect_err("it does not hold");
    assert!(error.is_condition_failed(), "{error:?}");
    assert_eq!(scene.proxy.steps()[1..], [Step::Renew; 3]);
    // What others put beside the lock does not change it.
    let go = json!({
        "TableName": scene.table, "Key": {"id": {"S": "a"}},
        "UpdateExpression": "SET #go = :yes",
        "ExpressionAttributeNames": {"#go": "go"},
        "ExpressionAttributeValues": {":yes": {"BOOL": true}},
    });
    scene.engine.expect("UpdateItem", &go).await;
    let (status, answer) = scene.proxy.replay(1).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(record(&scene).await, json!({"go": {"BOOL": true}}));
    soon(lease.update(waits)).await.expect("it holds");
    assert_eq!(
        record(&scene).await,
        json!({"go": {"BOOL": true}, "n": {"N": "1"}})
    );
}

#[tokio::test]
async fn a_refused_commit_after_an_attempt_without_an_answer_is_final() {
    let scene = Scene::new().await;
    for fault in [Fault::ResetRequest, Fault::internal_error()] {
        let lease = acquired(&scene).await;
        let seen = scene.proxy.requests().len();
        scene.proxy.next([fault]);
        let waits = one_more().condition("attribute_exists(go)");
        let error = soon(lease.commit(waits))
            .await
            .expect_err("it does not hold");
        assert!(error.is_condition_failed(), "{error:?}");
        scene.assert_free("a", "released").await;
        assert_eq!(scene.proxy.steps()[seen..], [Step::Release; 3]);
        let before = scene.item("a").await;
        let (status, answer) = scene.proxy.replay(seen).await;
        assert_eq!(status, 400, "{answer}");
        assert_eq!(scene.item("a").await, before);
    }
}

#[tokio::test]
async fn a_permission_that_is_gone_is_an_error_and_not_a_loss() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    scene.proxy.next([Fault::access_denied()]);
    let error = soon(lease.update(one_more())).await.expect_err("denied");
    assert!(error.is_access_denied() && !error.is_lost(), "{error:?}");
    assert!(!error.is_outcome_unknown(), "{error:?}");
    soon(lease.update(one_more()))
        .await
        .expect("permitted again");

    // An attempt before it is open, and the one that would keep it out is denied as well.
    let denied = Fault::access_denied;
    scene
        .proxy
        .next([Fault::ForwardThenReset, denied(), denied()]);
    let error = soon(lease.update(one_more())).await.expect_err("denied");
    assert!(error.is_outcome_unknown() && !error.is_lost(), "{error:?}");
    assert!(error.is_access_denied(), "{error:?}");
    assert_eq!(
        record(&scene).await,
        json!({"n": {"N": "2"}}),
        "it was applied"
    );
    soon(lease.update(one_more()))
        .await
        .expect("permitted again");
    assert_eq!(record(&scene).await, json!({"n": {"N": "3"}}));
    scene.assert_holds("a", &lease, "all the same").await;
}
