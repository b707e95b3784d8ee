//! Writes whose future is dropped with the request under way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use dynolock::{Lease, Lost};
use serde_json::json;

use super::{acquired, number, one_more, record};
use crate::scene::{Scene, dropped_after, ms, soon};
use crate::support::fault::{Fault, Gate};
use crate::support::recorded::{Recorded, Step};

type MakeFault = fn(Gate) -> Fault;

/// What happens to the request of a future that is dropped, and how often it is applied in the end.
const LATE: [(&str, MakeFault, u64); 3] = [
    ("never arrives", |_| Fault::Hang, 0),
    ("arrives too late", Fault::Delay, 0),
    ("was applied", Fault::DelayAnswer, 1),
];

/// Drops an update with its request under way: once it has come, or once it was applied.
async fn dropped_update(scene: &Scene, lease: &Lease, fault: Fault, applied: bool) {
    let seen = scene.proxy.requests().len();
    scene.proxy.next([fault]);
    let has_come = move |requests: &[Recorded]| match requests.get(seen) {
        Some(request) => !applied || request.answer.is_some(),
        None => false,
    };
    dropped_after(lease.update(one_more()), scene.proxy.wait_until(has_come)).await;
}

#[tokio::test]
async fn a_dropped_update_is_applied_at_most_once_and_the_next_one_works() {
    for (what, fault, applied) in LATE {
        let scene = Scene::new().await;
        let lease = acquired(&scene).await;
        let gate = Gate::closed();
        dropped_update(&scene, &lease, fault(gate.clone()), applied == 1).await;
        assert!(lease.is_held(), "{what}");
        soon(lease.update(one_more())).await.expect(what);
        assert_eq!(record(&scene).await["n"], number(applied + 1), "{what}");
        gate.open();
        let (status, answer) = scene.proxy.replay(1).await;
        assert_eq!(status, 400, "{what}: {answer}");
        scene.assert_holds("a", &lease, what).await;
        soon(lease.update(one_more())).await.expect(what);
        assert_eq!(record(&scene).await["n"], number(applied + 2), "{what}");
        soon(lease.release()).await.expect(what);
        scene.assert_free("a", what).await;
    }
}

#[tokio::test]
async fn after_a_dropped_update_every_end_of_the_lease_works() {
    for (what, fault, applied) in LATE {
        for end in ["commit", "release", "drop", "delete_item", "into_token"] {
            let scene = Scene::new().await;
            let client = scene.client();
            let lease = soon(scene.lock(&client, "a").acquire())
                .await
                .expect("free");
            let gate = Gate::closed();
            dropped_update(&scene, &lease, fault(gate.clone()), applied == 1).await;
            match end {
                "commit" => soon(lease.commit(one_more())).await.expect(what),
                "release" => soon(lease.release()).await.expect(what),
                "drop" => drop(lease),
                "delete_item" => soon(lease.delete_item()).await.expect(what),
                _ => {
                    let token = soon(lease.into_token()).await.expect(what);
                    let lease = soon(scene.lock(&client, "a").resume(&token)).await;
                    soon(lease.expect(what).release()).await.expect(what);
                }
            }
            soon(client.drain()).await;
            gate.open();
            let (status, answer) = scene.proxy.replay(1).await;
            assert_eq!(status, 400, "{what}, {end}: {answer}");
            let item = scene.item("a").await;
            assert_eq!(item.is_none(), end == "delete_item", "{what}, {end}");
            let n = applied + u64::from(end == "commit");
            if let Some(item) = item {
                scene.assert_free("a", end).await;
                let expected = (n > 0).then(|| number(n));
                assert_eq!(item.get("n").cloned(), expected, "{what}, {end}");
            }
        }
    }
}

/// More of them than a condition can name: from some point on a renewal must come first, which
/// is dropped here as well.
#[tokio::test]
async fn many_dropped_updates_are_applied_once_each_or_not_at_all() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let mut applied = 0;
    for nth in 0..100 {
        let arrives = nth % 3 == 0;
        let fault = match arrives {
            true => Fault::DelayAnswer(Gate::closed()),
            false => Fault::Hang,
        };
        dropped_update(&scene, &lease, fault, arrives).await;
        let requests = scene.proxy.requests();
        let last = requests.last().expect("a request");
        let adds = last.expression("UpdateExpression").contains("ADD");
        assert_eq!(adds, nth < 64, "{nth}");
        applied += u64::from(adds && arrives);
        assert_eq!(record(&scene).await["n"], number(applied), "{nth}");
    }
    soon(lease.update(one_more())).await.expect("held");
    assert_eq!(record(&scene).await["n"], number(applied + 1));
    for index in 1..=100 {
        let (status, answer) = scene.proxy.replay(index).await;
        assert_eq!(status, 400, "{index}: {answer}");
    }
    soon(lease.commit(one_more())).await.expect("held");
    assert_eq!(record(&scene).await["n"], number(applied + 2));
    scene.assert_free("a", "committed").await;
}

#[tokio::test]
async fn a_dropped_commit_is_done_all_the_same() {
    let ways: [(&str, MakeFault); 3] = [
        ("request late", Fault::Delay),
        ("answer late", Fault::DelayAnswer),
        ("answer lost", |_| Fault::ForwardThenReset),
    ];
    for (what, fault) in ways {
        let scene = Scene::new().await;
        let client = scene.client();
        let lock = scene.lock(&client, "a");
        let lease = soon(lock.acquire()).await.expect("free");
        let gate = Gate::closed();
        scene.proxy.next([fault(gate.clone())]);
        dropped_after(lease.commit(one_more()), scene.proxy.wait_for(2)).await;
        gate.open();
        soon(client.drain()).await;
        assert_eq!(record(&scene).await, json!({"n": {"N": "1"}}), "{what}");
        scene.assert_free("a", what).await;
        let next = soon(lock.try_acquire()).await.expect("an answer");
        assert!(next.is_some(), "{what}: the queue goes on");
    }
}

#[tokio::test]
async fn a_dropped_deletion_is_done_all_the_same() {
    for fault in [Fault::Delay as MakeFault, Fault::DelayAnswer] {
        let scene = Scene::new().await;
        let client = scene.client();
        let lease = soon(scene.lock(&client, "a").acquire())
            .await
            .expect("free");
        let gate = Gate::closed();
        scene.proxy.next([fault(gate.clone())]);
        dropped_after(lease.delete_item(), scene.proxy.wait_for(2)).await;
        gate.open();
        soon(client.drain()).await;
        assert_eq!(scene.item("a").await, None);
    }
}

/// It was never begun: the lease is dropped with it, and writes nothing.
#[tokio::test]
async fn a_commit_that_is_never_polled_only_releases() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    drop(lease.commit(one_more()));
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    drop(lease.delete_item());
    soon(client.drain()).await;
    assert_eq!(record(&scene).await, json!({}));
    let pair = [Step::Acquire, Step::Release];
    assert_eq!(scene.proxy.steps(), [pair, pair].concat());
}

/// A commit waits for the renewal that is under way, and does not overtake it.
#[tokio::test]
async fn a_commit_waits_for_the_heartbeat_under_way() {
    let scene = Scene::new().await;
    let client = scene.client();
    let gate = Gate::closed();
    scene.proxy.next([Fault::Pass, Fault::Delay(gate.clone())]);
    let lock = client
        .lock(&scene.table, ("id", "a"))
        .heartbeat(crate::scene::ms(1));
    let lock = lock.lease(crate::scene::LONG).timeout(crate::scene::LONG);
    let lease = soon(lock.acquire()).await.expect("free");
    scene.proxy.wait_for(2).await;
    let mut committing = std::pin::pin!(lease.commit(one_more()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(committing.as_mut().poll(&mut context).is_pending());
    gate.open();
    soon(committing).await.expect("held");
    let steps = [Step::Acquire, Step::Renew, Step::Release];
    assert_eq!(scene.proxy.steps(), steps);
    assert_eq!(record(&scene).await["n"], number(1));
}

/// It keeps the turn to write for as long as it is not dropped; the others learn of the loss that
/// this leads to.
#[tokio::test]
async fn an_update_that_nobody_polls_hides_no_loss() {
    for other in ["update", "renew", "transaction"] {
        let scene = Scene::new().await;
        let client = scene.client();
        let lock = scene.lock(&client, "a").lease(ms(300));
        let lease = soon(lock.acquire()).await.expect("free");
        scene.proxy.on(|_| Fault::Hang);
        let mut idle = pin!(lease.update(one_more()));
        let begun = poll_fn(|cx| Poll::Ready(idle.as_mut().poll(cx).is_pending())).await;
        assert!(begun, "{other}");
        let lost = match other {
            "update" => soon(lease.update(one_more())).await,
            "renew" => soon(lease.renew()).await,
            _ => soon(client.transaction().holding(&lease).send()).await,
        };
        let error = lost.expect_err(other);
        assert_eq!(error.lost(), Some(&Lost::Expired), "{other}: {error:?}");
        assert!(!error.is_outcome_unknown(), "{other}: it was not sent");
    }
}
