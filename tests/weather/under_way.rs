//! Acquisitions that are given up with a request under way are given back.

use dynolock::{Lease, Lock};
use serde_json::json;

use crate::scene::{LONG, Scene, dropped_after, fence, ms, soon};
use crate::support::fault::{Fault, Gate};
use crate::support::recorded::Step;

#[tokio::test]
async fn a_dropped_acquire_is_given_back_whenever_its_request_arrives() {
    let scene = Scene::new().await;
    let client = scene.client();
    type Ways = [(&'static str, fn(Gate) -> Fault); 2];
    let ways: Ways = [
        ("request late", Fault::Delay),
        ("answer late", Fault::DelayAnswer),
    ];
    for (what, fault) in ways {
        let gate = Gate::closed();
        let seen = scene.proxy.requests().len();
        scene.put(what, json!({"dynoLockFence": {"N": "41"}})).await;
        scene.proxy.next([fault(gate.clone())]);
        let lock = scene.lock(&client, what);
        dropped_after(lock.acquire(), scene.proxy.wait_for(seen + 1)).await;
        gate.open();
        soon(client.drain()).await;
        let item = scene.item(what).await.expect("the fence stays");
        assert_eq!(fence(&item), 42, "{what}: it was acquired");
        scene.assert_free(what, "given back").await;
        assert_eq!(
            scene.proxy.requests().len(),
            seen + 2,
            "{what}: by one request"
        );
        let other = soon(scene.lock(&scene.rival(), what).try_acquire()).await;
        assert!(other.expect("an answer").is_some(), "{what}: free at once");
    }
}

#[tokio::test]
async fn a_dropped_with_and_a_dropped_try_acquire_are_given_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    for id in ["with", "try"] {
        let gate = Gate::closed();
        let seen = scene.proxy.requests().len();
        scene.proxy.next([Fault::Delay(gate.clone())]);
        let lock = scene.lock(&client, id);
        let under_way = scene.proxy.wait_for(seen + 1);
        if id == "with" {
            let work =
                async |_: &Lease| -> Result<(), dynolock::Error> { panic!("it must not run") };
            dropped_after(lock.with(work), under_way).await;
        } else {
            dropped_after(lock.try_acquire(), under_way).await;
        }
        gate.open();
        soon(client.drain()).await;
        assert!(scene.item(id).await.is_some(), "{id}: it was acquired");
        scene.assert_free(id, "given back").await;
    }
}

#[tokio::test]
async fn an_acquire_that_times_out_with_its_request_under_way_is_given_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    let gate = Gate::closed();
    scene.proxy.next([Fault::Delay(gate.clone())]);
    let lock = scene.lock(&client, "a").timeout(ms(100));
    let error = soon(lock.acquire()).await.expect_err("the time is up");
    assert!(error.is_timeout() && !error.is_held(), "{error:?}");
    gate.open();
    soon(client.drain()).await;
    assert!(scene.item("a").await.is_some(), "it was acquired");
    scene.assert_free("a", "given back").await;
}

#[tokio::test]
async fn a_cancelled_acquire_is_given_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    let (gate, stop) = (Gate::closed(), Gate::closed());
    scene.proxy.next([Fault::Delay(gate.clone())]);
    let stopped = stop.clone();
    let lock = scene.lock(&client, "a").cancelled_by(move || {
        let stopped = stopped.clone();
        async move { stopped.opened().await }
    });
    let stopping = async {
        scene.proxy.wait_for(1).await;
        stop.open();
    };
    let (error, ()) = tokio::join!(soon(lock.acquire()), stopping);
    let error = error.expect_err("cancelled");
    assert!(error.is_cancelled() && !error.is_timeout(), "{error:?}");
    gate.open();
    soon(client.drain()).await;
    assert!(scene.item("a").await.is_some(), "it was acquired");
    scene.assert_free("a", "given back").await;
}

/// The clean-up is not served either: the lock ends with its lease, and the clean-up too.
#[tokio::test]
async fn a_lock_that_cannot_be_given_back_ends_with_its_lease() {
    let scene = Scene::new().await;
    let client = scene.hasty_client();
    let lock = scene.lock(&client, "a").lease(ms(300));
    scene.proxy.on(|request| match request.step() {
        Step::Acquire => Fault::HangAfterForward,
        _ => Fault::DropRequest,
    });
    dropped_after(lock.acquire(), scene.proxy.wait_for_answers(1)).await;
    soon(client.drain()).await;
    let left = scene.item("a").await.expect("an item");
    assert!(left.get("dynoLockVersion").is_some(), "nobody released it");
    let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    scene
        .assert_holds("a", &other.expect("its time is over"), "after the lease")
        .await;
}

/// A request that arrives after its clean-up locks once more, and nobody believes in it: the
/// same client takes it over at once.
#[tokio::test]
async fn an_abandoned_request_that_arrives_after_all_is_taken_over_at_once() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.proxy.next([Fault::DropRequest, Fault::Hang]);
    let lock = scene.lock(&client, "a");
    dropped_after(lock.acquire(), scene.proxy.wait_for(2)).await;
    scene.proxy.close_connections();
    soon(client.drain()).await;
    scene.assert_free("a", "nothing arrived so far").await;

    let (status, _) = scene.proxy.replay(0).await;
    assert_eq!(status, 200, "it locks, for its whole lease");
    let other = soon(scene.lock(&scene.rival(), "a").try_acquire()).await;
    assert!(other.expect("an answer").is_none(), "others cannot know");
    let ours = soon(lock.try_acquire()).await.expect("an answer");
    scene
        .assert_holds("a", &ours.expect("ours to take"), "taken over")
        .await;
}

/// What was never sent needs no clean-up.
#[tokio::test]
async fn a_dropped_waiter_sends_nothing_more() {
    let scene = Scene::new().await;
    let held = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let held = held.expect("free");
    let client = scene.client();
    let waiting: Lock = scene.lock(&client, "a").retry_interval(LONG);
    dropped_after(waiting.acquire(), async {
        scene.proxy.wait_for_answers(1).await;
        // Let the answer reach the waiter.
        tokio::task::yield_now().await;
    })
    .await;
    soon(client.drain()).await;
    scene.assert_holds("a", &held, "untouched").await;
}
