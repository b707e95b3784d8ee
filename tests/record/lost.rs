//! A lease that is lost: the update of who stood still is refused, and the other's data stands.

use std::time::Duration;

use dynolock::{Error, Lease, Lost};
use serde_json::{Value, json};

use super::{acquired, number, one_more, record, taken_over};
use crate::scene::{LONG, Scene, ms, soon, spawn};
use crate::support::dyno::DynoPeer;
use crate::support::fault::{Fault, Gate};
use crate::support::recorded::{Recorded, Step};
use crate::support::wall_nanos;

const WAYS: [&str; 4] = ["update", "update_returning", "commit", "delete_item"];

/// Writes under the lease, one way or the other; it must fail.
async fn fails_to_write(lease: Lease, way: &str) -> (Error, Option<Lease>) {
    let (written, lease) = match way {
        "update" => (soon(lease.update(one_more())).await, Some(lease)),
        "update_returning" => {
            let item = soon(lease.update_returning(one_more())).await;
            (item.map(drop), Some(lease))
        }
        "commit" => (soon(lease.commit(one_more())).await, None),
        _ => (soon(lease.delete_item()).await, None),
    };
    (written.expect_err(way), lease)
}

fn is_lost_for_sure(error: &Error, way: &str) {
    assert!(error.is_lost(), "{way}: {error:?}");
    assert!(
        !error.is_condition_failed() && error.item().is_none(),
        "{way}"
    );
}

#[tokio::test]
async fn who_was_taken_over_writes_nothing_and_is_told_by_whom() {
    for way in WAYS {
        let scene = Scene::new().await;
        let lease = acquired(&scene).await;
        soon(lease.update(one_more())).await.expect("held");
        let theirs = taken_over(&scene, "a").await;
        let stands = scene.item("a").await;
        assert!(lease.is_held(), "{way}: it cannot know yet");

        let (error, lease) = fails_to_write(lease, way).await;
        is_lost_for_sure(&error, way);
        let holder = error.holder().expect("a holder");
        assert_eq!(holder.version(), Some(theirs.version()), "{way}");
        assert_eq!(holder.owner(), Some("them"), "{way}");
        assert_eq!(scene.item("a").await, stands, "{way}: theirs stands");
        scene.assert_holds("a", &theirs, way).await;
        // A copy of it may have come before them, for all that the item tells.
        assert!(error.is_outcome_unknown(), "{way}: {error:?}");
        if let Some(lease) = lease {
            knows_its_loss(&scene, lease, way).await;
        }
        let both = one_more().condition("n = :n AND #by = :them");
        let both = both.name("#by", "by").value(":n", 1).value(":them", "them");
        soon(theirs.commit(both))
            .await
            .expect("theirs all the time");
    }
}

/// Nothing is sent any more.
async fn knows_its_loss(scene: &Scene, lease: Lease, way: &str) {
    let seen = scene.proxy.requests().len();
    assert!(!lease.is_held() && lease.remaining().is_zero(), "{way}");
    let lost = soon(lease.lost()).await;
    assert!(matches!(lost, Lost::TakenOver(_)), "{way}: {lost:?}");
    let error = soon(lease.update(one_more())).await.expect_err(way);
    assert_eq!(error.lost(), Some(&lost), "{way}");
    let error = soon(lease.commit(one_more())).await.expect_err(way);
    assert_eq!(error.lost(), Some(&lost), "{way}");
    assert!(!error.is_outcome_unknown(), "{way}");
    assert_eq!(scene.proxy.requests().len(), seen, "{way}");
}

#[tokio::test]
async fn who_was_taken_over_by_a_peer_of_dyno_writes_nothing() {
    for way in WAYS {
        let scene = Scene::new().await;
        let lease = acquired(&scene).await;
        let peer = DynoPeer::new(&scene.engine, &scene.table, json!({"id": {"S": "a"}}));
        // By a clock that runs ahead of ours by more than the lease.
        let lease_nanos = i64::try_from(LONG.as_nanos()).expect("short");
        let ahead = wall_nanos() + 2 * lease_nanos;
        assert!(peer.acquire(ahead, lease_nanos, "theirs").await, "{way}");
        let stands = scene.item("a").await;
        let (error, _) = fails_to_write(lease, way).await;
        is_lost_for_sure(&error, way);
        let holder = error.holder().expect("a holder");
        assert_eq!(holder.version(), Some("theirs"), "{way}");
        assert_eq!(scene.item("a").await, stands, "{way}");
    }
}

#[tokio::test]
async fn a_lease_lost_between_two_updates_keeps_the_first() {
    type Losing = fn(&Scene, &str) -> (&'static str, Value);
    let put: Losing = |scene, _| {
        let item = json!({"id": {"S": "a"}, "n": {"N": "7"}});
        ("PutItem", json!({"TableName": scene.table, "Item": item}))
    };
    let removed: Losing = |scene, _| {
        let remove = "REMOVE dynoLockVersion, dynoLockExpires, dynoLockLeaseDuration";
        let key = json!({"id": {"S": "a"}});
        let request = json!({"TableName": scene.table, "Key": key, "UpdateExpression": remove});
        ("UpdateItem", request)
    };
    let deleted: Losing = |scene, _| {
        let key = json!({"id": {"S": "a"}});
        ("DeleteItem", json!({"TableName": scene.table, "Key": key}))
    };
    let no_table: Losing = |scene, _| ("DeleteTable", json!({"TableName": scene.table}));
    let cases = [
        (put, Lost::Removed, Some(7)),
        (removed, Lost::Removed, Some(1)),
        (deleted, Lost::ItemGone, None),
        (no_table, Lost::TableGone, None),
    ];
    for (losing, expected, n) in cases {
        let scene = Scene::new().await;
        let lease = acquired(&scene).await;
        soon(lease.update(one_more())).await.expect("held");
        let (operation, request) = losing(&scene, "a");
        scene.engine.expect(operation, &request).await;
        let error = soon(lease.update(one_more())).await.expect_err("lost");
        assert_eq!(error.lost(), Some(&expected), "{error:?}");
        let is_known = expected == Lost::TableGone;
        assert_eq!(error.is_outcome_unknown(), !is_known, "{error:?}");
        assert_eq!(soon(lease.lost()).await, expected);
        if expected != Lost::TableGone {
            let item = scene.item("a").await;
            assert_eq!(item.map(|item| item["n"].clone()), n.map(number));
        }
    }
}

/// By its own clock; nothing is sent, and what was locked is given back.
#[tokio::test]
async fn a_lease_that_ran_out_writes_nothing() {
    for way in WAYS {
        let scene = Scene::new().await;
        let client = scene.client();
        let lock = scene.lock(&client, "a").lease(ms(200));
        let lease = soon(lock.acquire()).await.expect("free");
        assert_eq!(soon(lease.lost()).await, Lost::Expired);
        let (error, lease) = fails_to_write(lease, way).await;
        assert_eq!(error.lost(), Some(&Lost::Expired), "{way}");
        assert!(!error.is_outcome_unknown(), "{way}: {error:?}");
        drop(lease);
        soon(client.drain()).await;
        assert_eq!(record(&scene).await, json!({}), "{way}");
        let writes = scene.proxy.count(Step::Renew);
        assert_eq!(writes, 0, "{way}");
    }
}

/// The network stands still with the write in it until the lease has run out and another has
/// come, whose data stands.
#[tokio::test]
async fn a_write_in_the_network_when_the_lease_ran_out_is_refused() {
    for way in WAYS {
        let scene = Scene::new().await;
        let client = scene.client();
        let lock = scene.lock(&client, "a").lease(ms(1500));
        let lease = soon(lock.acquire()).await.expect("free");
        let gate = Gate::closed();
        let delayed = gate.clone();
        scene.proxy.on(move |_| Fault::Delay(delayed.clone()));
        let (error, lease) = fails_to_write(lease, way).await;
        is_lost_for_sure(&error, way);
        assert!(
            error.is_outcome_unknown(),
            "{way}: it may come yet: {error:?}"
        );
        // Its release is in the network as well.
        drop(lease);

        let theirs = scene
            .lock(&scene.rival(), "a")
            .max_clock_skew(Duration::ZERO);
        let theirs = soon(theirs.acquire()).await.expect("dead");
        soon(theirs.update(one_more())).await.expect("theirs");
        let stands = scene.item("a").await;
        gate.open();
        soon(client.drain()).await;
        let all_answered = |requests: &[Recorded]| requests.iter().all(|r| r.answer.is_some());
        scene.proxy.wait_until(all_answered).await;
        let requests = scene.proxy.requests();
        assert!(requests.len() > 1, "{way}");
        for request in &requests[1..] {
            let status = request.answer.as_ref().map(|answer| answer.status);
            assert_eq!(status, Some(400), "{way}: {request:#?}");
        }
        assert_eq!(scene.item("a").await, stands, "{way}");
        scene.assert_holds("a", &theirs, way).await;
    }
}

/// It was applied, and its answer lost; then another came. The item no longer tells, and neither
/// do we.
#[tokio::test]
async fn a_write_without_an_answer_before_a_take_over_is_unknown() {
    for way in WAYS {
        let scene = Scene::new().await;
        scene.put("a", json!({"kept": {"S": "x"}})).await;
        let lease = acquired(&scene).await;
        let gate = Gate::closed();
        scene
            .proxy
            .next([Fault::ForwardThenReset, Fault::Delay(gate.clone())]);
        let way_back = way;
        let writing = spawn(async move { fails_to_write(lease, way_back).await.0 });
        scene.proxy.wait_for(3).await;
        let theirs = match way {
            "update" | "update_returning" => taken_over(&scene, "a").await,
            _ => {
                let lock = scene.lock(&scene.rival(), "a");
                soon(lock.acquire()).await.expect("free")
            }
        };
        let stands = scene.item("a").await.expect("theirs");
        gate.open();
        let error = soon(writing).await.expect("no panic");
        is_lost_for_sure(&error, way);
        assert!(error.is_outcome_unknown(), "{way}: {error:?}");
        let holder = error.holder().expect("a holder");
        assert_eq!(holder.version(), Some(theirs.version()), "{way}");
        assert_eq!(scene.item("a").await.as_ref(), Some(&stands), "{way}");
        let kept = stands.get("kept").is_some();
        assert_eq!(kept, way != "delete_item", "{way}: it was applied");
    }
}
