//! Requests that are delivered twice, or late: `expires` never moves back, nothing is revived,
//! and nobody believes wrongly.

use dynolock::Lease;
use serde_json::Value;

use crate::scene::{LONG, Scene, expires, fence, soon};
use crate::support::fault::{Fault, Which};
use crate::support::recorded::Step;

const BOTH: [Which; 2] = [Which::First, Which::Second];

/// Delivers a request once more, which must be refused and change nothing.
async fn refused_again(scene: &Scene, index: usize, what: &str) {
    let before = scene.item("a").await;
    let (status, answer) = scene.proxy.replay(index).await;
    assert_eq!(status, 400, "{what}: {answer}");
    assert_eq!(scene.item("a").await, before, "{what}");
}

async fn acquired(scene: &Scene) -> Lease {
    let lease = soon(scene.lock(&scene.client(), "a").acquire()).await;
    lease.expect("free")
}

async fn item(scene: &Scene) -> Value {
    scene.item("a").await.expect("an item")
}

#[tokio::test]
async fn a_doubled_acquire_is_one_acquisition() {
    for which in BOTH {
        let scene = Scene::new().await;
        let first = acquired(&scene).await;
        let token = first.fencing_token();
        soon(first.release()).await.expect("released");
        scene.proxy.next([Fault::ForwardTwice(which)]);
        let lease = acquired(&scene).await;
        assert_eq!(lease.fencing_token(), token + 1, "{which:?}");
        scene.assert_holds("a", &lease, "once").await;
    }
}

#[tokio::test]
async fn a_doubled_renewal_is_one_renewal() {
    for which in BOTH {
        let scene = Scene::new().await;
        let lease = acquired(&scene).await;
        for _ in 0..2 {
            let before = expires(&item(&scene).await);
            scene.proxy.next([Fault::ForwardTwice(which)]);
            soon(lease.renew()).await.expect("renewed");
            assert!(expires(&item(&scene).await) > before, "{which:?}");
            scene.assert_holds("a", &lease, "renewed").await;
        }
        assert_eq!(scene.proxy.count(Step::Renew), 2, "{which:?}: not repeated");
    }
}

#[tokio::test]
async fn a_doubled_release_is_one_release() {
    for which in BOTH {
        for delete in [false, true] {
            let scene = Scene::new().await;
            let mut lock = scene.lock(&scene.client(), "a");
            if delete {
                lock = lock.delete_on_release();
            }
            let lease = soon(lock.acquire()).await.expect("free");
            scene.proxy.next([Fault::ForwardTwice(which)]);
            let released = soon(lease.release()).await;
            scene.assert_free("a", "released").await;
            // A deleted item remembers nothing: here the first answer would have to be had.
            if !(delete && which == Which::Second) {
                released.unwrap_or_else(|error| panic!("{which:?} {delete}: {error}"));
            }
        }
    }
}

#[tokio::test]
async fn a_renewal_late_after_newer_ones_moves_nothing_back() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    scene.proxy.next([Fault::DropRequest, Fault::Pass]);
    soon(lease.renew()).await.expect("at the second try");
    refused_again(&scene, 1, "overtaken by its own retry").await;
    soon(lease.renew()).await.expect("renewed");
    soon(lease.extend(2 * LONG)).await.expect("extended");
    for index in 1..=4 {
        refused_again(&scene, index, "overtaken").await;
    }
    soon(lease.renew()).await.expect("renewed");
    scene.assert_holds("a", &lease, "in order").await;
}

#[tokio::test]
async fn an_acquire_late_after_its_renewals_moves_nothing_back() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::DropRequest]);
    let lease = acquired(&scene).await;
    refused_again(&scene, 0, "the attempt that got lost").await;
    soon(lease.renew()).await.expect("renewed");
    refused_again(&scene, 0, "the attempt that got lost").await;
    refused_again(&scene, 1, "the attempt that was applied").await;
    soon(lease.renew()).await.expect("renewed");
    scene.assert_holds("a", &lease, "in order").await;
}

#[tokio::test]
async fn writes_late_after_the_release_revive_nothing() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    scene.proxy.next([Fault::DropRequest]);
    soon(lease.renew()).await.expect("at the second try");
    soon(lease.release()).await.expect("released");
    for index in 1..=3 {
        refused_again(&scene, index, "after the release").await;
        scene.assert_free("a", "after the release").await;
    }
}

/// The item is free, so the late acquire is applied: as a lock of its own, in which nobody
/// believes, under a fence of its own, which the late renewals do not fit.
#[tokio::test]
async fn an_acquire_late_after_its_release_is_nobodys_lock() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client, "a");
    let lease = soon(lock.acquire()).await.expect("free");
    let token = lease.fencing_token();
    soon(lease.renew()).await.expect("renewed");
    soon(lease.release()).await.expect("released");

    let (status, _) = scene.proxy.replay(0).await;
    assert_eq!(status, 200);
    assert_eq!(fence(&item(&scene).await), token + 1);
    refused_again(&scene, 1, "the renewal of the lease that was released").await;
    refused_again(&scene, 2, "its release").await;
    let next = soon(lock.try_acquire()).await.expect("an answer");
    let next = next.expect("its own abandoned version keeps nobody out");
    assert_eq!(next.fencing_token(), token + 2);
    scene.assert_holds("a", &next, "taken over at once").await;
}

#[tokio::test]
async fn writes_late_after_anothers_acquisition_leave_it_alone() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::DropRequest]);
    let lease = acquired(&scene).await;
    scene.proxy.next([Fault::DropRequest]);
    soon(lease.renew()).await.expect("at the second try");
    soon(lease.release()).await.expect("released");
    let token = fence(&item(&scene).await);

    let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let other = other.expect("free");
    assert_eq!(other.fencing_token(), token + 1);
    assert_eq!(scene.proxy.requests().len(), 5);
    for index in 0..5 {
        refused_again(&scene, index, "under another").await;
        scene.assert_holds("a", &other, "under another").await;
    }
    soon(other.release()).await.expect("released");
    for index in 2..5 {
        refused_again(&scene, index, "after another").await;
    }
}

/// A clean-up that comes late finds its own version only.
#[tokio::test]
async fn a_clean_up_late_after_anothers_acquisition_leaves_it_alone() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    scene.proxy.next([Fault::DropRequest]);
    drop(lease);
    soon(client.drain()).await;
    let release = scene.last(Step::Release);
    let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let other = other.expect("free");
    refused_again(&scene, release, "late").await;
    refused_again(&scene, release - 1, "late").await;
    scene.assert_holds("a", &other, "under another").await;
}
