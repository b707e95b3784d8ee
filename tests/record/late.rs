//! Writes that are delivered twice or late: after the next write of the lease, after its end and
//! under another's lease they are refused and change nothing.

use dynolock::{Lease, Update};

use super::{acquired, number, one_more, record};
use crate::scene::{LONG, Scene, soon};
use crate::support::fault::Fault;
use crate::support::recorded::Step;

/// Delivers every request of ours since `first` once more: each must be refused and change
/// nothing.
async fn refused_again(scene: &Scene, first: usize, what: &str) {
    let before = scene.item("a").await;
    for index in first..scene.proxy.requests().len() {
        let (status, answer) = scene.proxy.replay(index).await;
        assert_eq!(status, 400, "{what}, {index}: {answer}");
        assert_eq!(scene.item("a").await, before, "{what}, {index}");
    }
}

async fn updated(lease: &Lease) {
    soon(lease.update(one_more())).await.expect("held");
}

#[tokio::test]
async fn an_update_late_after_the_next_write_is_refused() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    // The first copy got lost, the second was applied.
    scene.proxy.next([Fault::DropRequest]);
    updated(&lease).await;
    refused_again(&scene, 1, "overtaken by its own retry").await;
    updated(&lease).await;
    refused_again(&scene, 1, "after the next update").await;
    soon(lease.renew()).await.expect("held");
    refused_again(&scene, 1, "after a renewal").await;
    soon(lease.extend(2 * LONG)).await.expect("held");
    refused_again(&scene, 1, "after an extension").await;
    assert_eq!(record(&scene).await["n"], number(2));
    scene.assert_holds("a", &lease, "in order").await;
}

#[tokio::test]
async fn writes_late_after_the_end_of_their_lease_are_refused() {
    for end in ["release", "commit", "drop", "hand on"] {
        let scene = Scene::new().await;
        let client = scene.client();
        let lease = soon(scene.lock(&client, "a").acquire())
            .await
            .expect("free");
        scene.proxy.next([Fault::DropRequest]);
        updated(&lease).await;
        scene.proxy.next([Fault::DropRequest]);
        match end {
            "release" => soon(lease.release()).await.expect("held"),
            "commit" => soon(lease.commit(one_more())).await.expect("held"),
            "drop" => drop(lease),
            _ => {
                let token = soon(lease.into_token()).await.expect("held");
                let lease = soon(scene.lock(&client, "a").resume(&token)).await;
                soon(lease.expect("held").release()).await.expect("held");
            }
        }
        soon(client.drain()).await;
        scene.assert_free("a", end).await;
        refused_again(&scene, 1, end).await;

        let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
        let other = other.expect("free");
        refused_again(&scene, 0, end).await;
        updated(&other).await;
        refused_again(&scene, 0, end).await;
        scene.assert_holds("a", &other, end).await;
        soon(other.commit(one_more())).await.expect("held");
        refused_again(&scene, 1, end).await;
    }
}

#[tokio::test]
async fn a_deletion_late_after_its_first_copy_deletes_nothing_new() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::Pass, Fault::DropRequest]);
    soon(acquired(&scene).await.delete_item())
        .await
        .expect("held");
    assert_eq!(scene.proxy.requests().len(), 3);
    refused_again(&scene, 1, "nothing there").await;
    let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let other = other.expect("free");
    updated(&other).await;
    refused_again(&scene, 1, "under another's").await;
    soon(other.release()).await.expect("held");
    refused_again(&scene, 1, "of another's").await;
    assert_eq!(record(&scene).await["n"], number(1));
}

/// The same client locks the item again: its version is another.
#[tokio::test]
async fn an_update_late_under_the_next_lease_of_the_same_client_is_refused() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client, "a");
    let lease = soon(lock.acquire()).await.expect("free");
    scene.proxy.next([Fault::DropRequest]);
    updated(&lease).await;
    soon(lease.commit(one_more())).await.expect("held");
    let lease = soon(lock.acquire()).await.expect("free");
    updated(&lease).await;
    let last = scene.last(Step::Acquire);
    let before = scene.item("a").await;
    for index in 0..last {
        let (status, answer) = scene.proxy.replay(index).await;
        assert_eq!(status, 400, "{index}: {answer}");
    }
    assert_eq!(scene.item("a").await, before);
    soon(lease.commit(Update::new().set("s", "x")))
        .await
        .expect("held");
    assert_eq!(record(&scene).await["n"], number(3));
}
