//! Requests and answers that are lost, doubled or spoiled: each write is applied exactly once,
//! and known to be.

use dynolock::{AttributeValue, Lock, Update};
use serde_json::json;

use super::{number, one_more};
use crate::scene::{Scene, fence, ms, soon};
use crate::support::fault::{Answer, Fault, Which};
use crate::support::recorded::Step;

type MakeFault = fn() -> Fault;

/// What can happen to a write that is sent again after it, or need not be.
pub(super) const FAULTS: &[(&str, MakeFault)] = &[
    ("answer dropped", || Fault::ForwardThenDropAnswer),
    ("answer reset", || Fault::ForwardThenReset),
    ("answer hangs", || Fault::HangAfterForward),
    ("half an answer", || Fault::HalfAnswer),
    ("no JSON", Fault::not_json),
    ("500 after it was applied", || {
        Fault::ForwardThenAnswer(Answer::error(500, "InternalServerError", "no"))
    }),
    ("503 after it was applied", || {
        Fault::ForwardThenAnswer(Answer::json_text(503, "<html>no</html>"))
    }),
    ("request dropped", || Fault::DropRequest),
    ("request reset", || Fault::ResetRequest),
    ("request hangs", || Fault::Hang),
    ("500", Fault::internal_error),
    ("503", Fault::unavailable),
    ("throttled", Fault::throttled),
    ("conflict", Fault::transaction_conflict),
    ("doubled", || Fault::ForwardTwice(Which::First)),
    ("doubled, second answer", || {
        Fault::ForwardTwice(Which::Second)
    }),
];

/// Several in a row, as on a bad day.
fn bad_day() -> Vec<Fault> {
    vec![
        Fault::DropRequest,
        Fault::throttled(),
        Fault::ForwardThenReset,
        Fault::internal_error(),
        Fault::ResetRequest,
        Fault::ForwardThenDropAnswer,
    ]
}

/// A lock on the item that is soon tried again, however often it failed.
fn lock(scene: &Scene, id: &str) -> Lock {
    let lock = scene.lock(&scene.hasty_client(), id);
    lock.heartbeat(ms(5))
}

/// Each fault alone, and all of a bad day.
fn weathers() -> impl Iterator<Item = (&'static str, Vec<Fault>)> {
    let alone = FAULTS.iter().map(|(what, fault)| (*what, vec![fault()]));
    alone.chain([("a bad day", bad_day())])
}

#[tokio::test]
async fn an_add_is_applied_exactly_once_whatever_gets_lost() {
    let scene = Scene::new().await;
    for (index, (what, faults)) in weathers().enumerate() {
        let id = format!("item-{index}");
        let lease = soon(lock(&scene, &id).acquire()).await;
        let lease = lease.expect(what);
        scene.proxy.next(faults);
        soon(lease.update(one_more())).await.expect(what);
        let item = scene.item(&id).await.expect("an item");
        assert_eq!(item["n"], number(1), "{what}");
        scene.assert_holds(&id, &lease, what).await;
        soon(lease.update(one_more())).await.expect(what);
        soon(lease.renew()).await.expect(what);
        soon(lease.release()).await.expect(what);
        let item = scene.item(&id).await.expect("an item");
        assert_eq!(item["n"], number(2), "{what}");
        scene.assert_free(&id, what).await;
    }
}

#[tokio::test]
async fn an_update_that_returns_brings_the_item_after_one_application() {
    let scene = Scene::new().await;
    for (index, (what, faults)) in weathers().enumerate() {
        let id = format!("item-{index}");
        let lock = lock(&scene, &id).owner("us");
        let lease = soon(lock.acquire()).await.expect(what);
        scene.proxy.next(faults);
        let update = one_more().append("log", ["x"]);
        let item = soon(lease.update_returning(update)).await.expect(what);
        assert_eq!(item.len(), 3, "{what}: {item:?}");
        assert_eq!(item.get("n"), Some(&1.into()), "{what}");
        let log = AttributeValue::L(vec!["x".into()]);
        assert_eq!(item.get("log"), Some(&log), "{what}");
        soon(lease.release()).await.expect(what);
    }
}

/// The condition holds before the write and not after it: an attempt that finds itself applied
/// must not take that for a failed condition.
#[tokio::test]
async fn a_condition_that_the_write_itself_ends_is_no_failure() {
    let scene = Scene::new().await;
    for (index, (what, faults)) in weathers().enumerate() {
        let id = format!("item-{index}");
        let lease = soon(lock(&scene, &id).acquire()).await.expect(what);
        scene.proxy.next(faults);
        let update = one_more().condition("attribute_not_exists(n)");
        soon(lease.update(update)).await.expect(what);
        let (_, again) = weathers().nth(index).expect("it was there");
        scene.proxy.next(again);
        let update = one_more().condition("n = :n").value(":n", 1);
        soon(lease.commit(update)).await.expect(what);
        let item = scene.item(&id).await.expect("an item");
        assert_eq!(item["n"], number(2), "{what}");
    }
}

#[tokio::test]
async fn a_commit_is_applied_exactly_once_whatever_gets_lost() {
    let scene = Scene::new().await;
    for (index, (what, faults)) in weathers().enumerate() {
        let id = format!("item-{index}");
        let lease = soon(lock(&scene, &id).acquire()).await;
        let lease = lease.expect(what);
        let token = lease.fencing_token();
        scene.proxy.next(faults);
        soon(lease.commit(one_more())).await.expect(what);
        let item = scene.item(&id).await.expect("an item");
        assert_eq!(item["n"], number(1), "{what}");
        assert_eq!(fence(&item), token, "{what}");
        scene.assert_free(&id, what).await;
        let next = soon(scene.lock(&scene.rival(), &id).try_acquire()).await;
        let next = next.expect("an answer").expect("free");
        assert_eq!(next.item().get("n"), Some(&1.into()), "{what}");
    }
}

#[tokio::test]
async fn a_record_is_deleted_whatever_gets_lost() {
    let scene = Scene::new().await;
    for (index, (what, faults)) in weathers().enumerate() {
        let id = format!("item-{index}");
        scene.put(&id, json!({"n": {"N": "1"}})).await;
        let lease = soon(lock(&scene, &id).acquire()).await;
        let lease = lease.expect(what);
        scene.proxy.next(faults);
        soon(lease.delete_item()).await.expect(what);
        assert_eq!(scene.item(&id).await, None, "{what}");
    }
}

/// Whether it was deleted by us cannot be told, and need not be.
#[tokio::test]
async fn a_record_that_is_gone_is_deleted() {
    let scene = Scene::new().await;
    let lease = super::acquired(&scene).await;
    let key = json!({"id": {"S": "a"}});
    scene.engine.delete_item(&scene.table, &key).await;
    soon(lease.delete_item()).await.expect("it is gone");
    assert_eq!(scene.item("a").await, None);
}

/// More attempts than have an expiry of their own.
#[tokio::test]
async fn an_update_is_sent_again_for_as_long_as_the_lease_lasts() {
    let scene = Scene::new().await;
    let lease = soon(lock(&scene, "a").acquire()).await.expect("free");
    for (round, last) in [(1, Fault::ForwardThenReset), (2, Fault::Pass)] {
        let never = (0..40).map(|nth| match nth % 3 {
            0 => Fault::DropRequest,
            1 => Fault::throttled(),
            _ => Fault::internal_error(),
        });
        let seen = scene.proxy.count(Step::Renew);
        scene.proxy.next(never.chain([last]));
        soon(lease.update(one_more())).await.expect("at last");
        let sent = scene.proxy.count(Step::Renew) - seen;
        assert!(sent > 40, "{sent}");
        let item = scene.item("a").await.expect("an item");
        assert_eq!(item["n"], number(round));
        scene.assert_holds("a", &lease, "renewed").await;
    }
    soon(lease.commit(Update::new())).await.expect("held");
    scene.assert_free("a", "committed").await;
}
