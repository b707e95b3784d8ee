//! A watcher sees what becomes of a lease, and changes nothing about it.

use dynolock::{Lost, Watcher};
use serde_json::json;

use super::{acquired, one_more};
use crate::scene::{LONG, Scene, ms, soon, spawn};
use crate::support::dyno::DynoPeer;
use crate::support::fault::{Fault, Gate};
use crate::support::recorded::Step;
use crate::support::wall_nanos;

fn assert_over(watcher: &Watcher, what: &str) {
    assert!(!watcher.is_held(), "{what}");
    assert!(watcher.remaining().is_zero(), "{what}");
}

#[tokio::test]
async fn a_watcher_sees_a_lease_that_is_held() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let watcher = lease.watcher();
    let other = watcher.clone();
    for watcher in [&watcher, &other] {
        assert!(watcher.is_held());
        assert_eq!(watcher.version(), lease.version());
        assert_eq!(watcher.fencing_token(), lease.fencing_token());
        assert_eq!(watcher.expires_at(), lease.expires_at());
        assert!(watcher.remaining() <= LONG && !watcher.remaining().is_zero());
    }
    let before = watcher.expires_at();
    soon(lease.update(one_more())).await.expect("held");
    assert!(watcher.expires_at() > before, "an update renews");
    assert_eq!(watcher.expires_at(), lease.expires_at());
    drop((watcher, other));
    scene
        .assert_holds("a", &lease, "watchers come and go")
        .await;
    assert_eq!(scene.proxy.requests().len(), 2, "looking costs nothing");
}

#[tokio::test]
async fn a_watcher_is_told_of_every_new_end() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let watcher = lease.watcher();
    let first = watcher.expires_at();
    // What has changed before the call is not missed.
    soon(lease.renew()).await.expect("held");
    let second = soon(watcher.renewed(first)).await.expect("held");
    assert_eq!(second, lease.expires_at());
    assert!(second > first);
    let waiting = spawn({
        let watcher = watcher.clone();
        async move { watcher.renewed(second).await }
    });
    soon(lease.update(one_more())).await.expect("held");
    assert_eq!(
        soon(waiting).await.expect("no panic"),
        Some(lease.expires_at()),
        "an update renews"
    );
    let ends = lease.expires_at();
    soon(lease.release()).await.expect("held");
    assert_eq!(soon(watcher.renewed(ends)).await, None, "it is over");

    let lease = soon(scene.lock(&scene.client(), "b").lease(ms(200)).acquire()).await;
    let watcher = lease.expect("free").watcher();
    assert_eq!(soon(watcher.renewed(watcher.expires_at())).await, None);
}

#[tokio::test]
async fn a_watcher_sees_a_loss_and_its_reason() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.lease(LONG).timeout(LONG).heartbeat(ms(20));
    let lease = soon(lock.acquire()).await.expect("free");
    let watcher = lease.watcher();
    let watching = spawn({
        let watcher = watcher.clone();
        async move { watcher.lost().await }
    });
    // At once, by a clock far ahead: a heartbeat in between would see less.
    let peer = DynoPeer::new(&scene.engine, &scene.table, json!({"id": {"S": "a"}}));
    let lease_nanos = i64::try_from(LONG.as_nanos()).expect("short");
    let ahead = wall_nanos() + 3 * lease_nanos;
    assert!(peer.acquire(ahead, lease_nanos, "theirs").await);
    let lost = soon(watching).await.expect("no panic").expect("a reason");
    let holder = lost.taken_over_by().expect("a holder");
    assert_eq!(holder.version(), Some("theirs"));
    assert_over(&watcher, "lost");
    assert_eq!(soon(lease.lost()).await, lost);
    // The reason stays when the lease is gone.
    assert!(soon(lease.release()).await.is_err());
    assert_eq!(soon(watcher.lost()).await, Some(lost));
    assert_over(&watcher, "released after the loss");
}

#[tokio::test]
async fn a_watcher_sees_a_lease_run_out_and_be_removed() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(200));
    let lease = soon(lock.acquire()).await.expect("free");
    let watcher = lease.watcher();
    assert_eq!(soon(watcher.lost()).await, Some(Lost::Expired));
    assert_over(&watcher, "expired");
    drop(lease);
    assert_eq!(soon(watcher.lost()).await, Some(Lost::Expired));

    let lease = soon(scene.lock(&scene.client(), "b").acquire()).await;
    let lease = lease.expect("free");
    let watcher = lease.watcher();
    scene.put("b", json!({})).await;
    assert!(watcher.is_held(), "it cannot know yet");
    soon(lease.update(one_more()))
        .await
        .expect_err("overwritten");
    assert_eq!(soon(watcher.lost()).await, Some(Lost::Removed));
    assert_over(&watcher, "overwritten");
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_not_lost_to_its_watchers() {
    for end in [
        "release",
        "drop",
        "commit",
        "delete_item",
        "into_token",
        "failed commit",
    ] {
        let scene = Scene::new().await;
        let client = scene.client();
        let lease = soon(scene.lock(&client, "a").acquire())
            .await
            .expect("free");
        let watcher = lease.watcher();
        let watching = spawn({
            let watcher = watcher.clone();
            async move { watcher.lost().await }
        });
        tokio::task::yield_now().await;
        match end {
            "release" => soon(lease.release()).await.expect("held"),
            "drop" => drop(lease),
            "commit" => soon(lease.commit(one_more())).await.expect("held"),
            "delete_item" => soon(lease.delete_item()).await.expect("held"),
            "into_token" => drop(soon(lease.into_token()).await.expect("held")),
            _ => {
                let update = one_more().condition("attribute_exists(none)");
                let error = soon(lease.commit(update)).await.expect_err(end);
                assert!(error.is_condition_failed(), "{error:?}");
            }
        }
        assert_over(&watcher, end);
        assert_eq!(soon(watching).await.expect("no panic"), None, "{end}");
        soon(client.drain()).await;
        assert_over(&watcher, end);
        assert_eq!(soon(watcher.lost()).await, None, "{end}: later too");
    }
}

#[tokio::test]
async fn a_watcher_sees_the_end_when_it_begins() {
    for end in ["release", "commit", "delete_item"] {
        let scene = Scene::new().await;
        let client = scene.client();
        let lease = soon(scene.lock(&client, "a").acquire())
            .await
            .expect("free");
        let watcher = lease.watcher();
        let gate = Gate::closed();
        scene.proxy.next([Fault::Delay(gate.clone())]);
        let ending = spawn(async move {
            match end {
                "release" => lease.release().await,
                "commit" => lease.commit(one_more()).await,
                _ => lease.delete_item().await,
            }
        });
        scene.proxy.wait_for(2).await;
        assert_over(&watcher, end);
        assert_eq!(soon(watcher.lost()).await, None, "{end}");
        gate.open();
        soon(ending).await.expect("no panic").expect("held");
    }
}

#[tokio::test]
async fn a_watcher_does_not_keep_the_lock() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = client.lock(&scene.table, ("id", "a")).heartbeat(ms(10));
    let lock = lock.lease(LONG).timeout(LONG);
    let lease = soon(lock.acquire()).await.expect("free");
    let watcher = lease.watcher();
    scene.proxy.wait_for(3).await;
    drop(lease);
    soon(client.drain()).await;
    scene.assert_free("a", "dropped").await;
    assert_eq!(scene.proxy.steps().last(), Some(&Step::Release));
    // Neither for others, nor in the queue.
    let other = soon(scene.lock(&scene.rival(), "a").try_acquire()).await;
    soon(other.expect("an answer").expect("free").release())
        .await
        .expect("held");
    let next = soon(lock.try_acquire())
        .await
        .expect("an answer")
        .expect("free");
    assert_ne!(next.version(), watcher.version());
    assert_over(&watcher, "another lease");
}

#[tokio::test]
async fn a_watcher_outlives_client_and_runtime_of_its_lease() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let lease = runtime.block_on(lock.acquire()).expect("free");
        let watcher = lease.watcher();
        drop(runtime);
        drop(lease);
        watcher
    });
    let watcher = thread.join().expect("it does not panic");
    assert_over(&watcher, "dropped");
    assert_eq!(soon(watcher.lost()).await, None);
}

#[tokio::test]
async fn a_watcher_shows_no_more_than_the_lease() {
    let scene = Scene::new().await;
    scene.put("a", json!({"s": {"S": "secret"}})).await;
    let lease = acquired(&scene).await;
    let shown = format!("{:?}", lease.watcher());
    assert!(
        shown.contains(lease.version()) && !shown.contains("secret"),
        "{shown}"
    );
}
