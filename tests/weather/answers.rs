//! A server that cannot be reached, does not answer, or answers nonsense; answers that get lost.

use dynolock::Error;
use serde_json::json;

use crate::scene::{Scene, builder, fence, ms, soon};
use crate::support::fault::{Answer, Fault, Gate};
use crate::support::recorded::Step;
use crate::support::refusing_url;

type MakeFault = fn() -> Fault;

const TEN_MB: usize = 10 << 20;

/// Nothing is applied, as far as anybody can know.
const NOT_SERVED: &[(&str, MakeFault)] = &[
    ("dropped", || Fault::DropRequest),
    ("reset", || Fault::ResetRequest),
    ("hangs", || Fault::Hang),
    ("500", Fault::internal_error),
    ("503", Fault::unavailable),
];

/// The write is applied, and the answer does not say so.
const ANSWER_LOST: &[(&str, MakeFault)] = &[
    ("dropped", || Fault::ForwardThenDropAnswer),
    ("reset", || Fault::ForwardThenReset),
    ("hangs", || Fault::HangAfterForward),
    ("half", || Fault::HalfAnswer),
    ("no JSON", Fault::not_json),
    ("10 MB", || Fault::long_body(TEN_MB)),
    ("empty", || Fault::body(Vec::new())),
    ("500", || {
        Fault::ForwardThenAnswer(Answer::error(500, "InternalServerError", "no"))
    }),
    ("503", || {
        Fault::ForwardThenAnswer(Answer::json_text(503, "<html>no</html>"))
    }),
    ("302", || {
        Fault::ForwardThenAnswer(Answer::json_text(302, ""))
    }),
    ("429 of a proxy", || {
        Fault::ForwardThenAnswer(Answer::json_text(429, "slow down"))
    }),
];

/// Not served in time, and nothing else.
fn is_unavailability(error: &Error) -> bool {
    let not_served = error.is_unavailable() != error.is_throttled();
    not_served && error.is_timeout() && !error.is_held() && !error.is_access_denied()
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_in_time() {
    let client = builder(&refusing_url()).build().expect("a client");
    let lock = client.lock("table", ("id", "a")).timeout(ms(300));
    let error = soon(lock.acquire()).await.expect_err("nobody listens");
    assert!(is_unavailability(&error), "{error:?}");
    assert_eq!(error.code(), None);
    let error = soon(lock.try_acquire()).await.expect_err("nobody listens");
    assert!(is_unavailability(&error), "{error:?}");
    soon(client.drain()).await;
}

/// Bounded time, the right error, and nothing left behind beyond the lease.
#[tokio::test]
async fn a_server_that_fails_to_the_end_is_unavailable_in_time() {
    let scene = Scene::new().await;
    for (index, (what, fault)) in NOT_SERVED.iter().chain(ANSWER_LOST).enumerate() {
        let (id, fault) = (format!("item-{index}"), *fault);
        let client = scene.hasty_client();
        scene.proxy.on(move |_| fault());
        let lock = scene.lock(&client, &id).lease(ms(300)).timeout(ms(400));
        let error = soon(lock.acquire()).await.expect_err(what);
        assert!(is_unavailability(&error), "{what}: {error:?}");
        assert_eq!(error.is_throttled(), what.starts_with("429"), "{what}");
        // The clean-up fails like everything else, and ends with the lease.
        soon(client.drain()).await;
        scene.proxy.on(|_| Fault::Pass);
        let rival = scene.lock(&scene.rival(), &id);
        let lease = soon(rival.acquire()).await.expect("free after the lease");
        scene.assert_holds(&id, &lease, what).await;
    }
}

#[tokio::test]
async fn a_failure_that_passes_is_outlasted() {
    let scene = Scene::new().await;
    for (index, (what, fault)) in NOT_SERVED.iter().enumerate() {
        let id = format!("item-{index}");
        scene.put(&id, json!({"dynoLockFence": {"N": "41"}})).await;
        scene.proxy.next([fault(), fault()]);
        let lock = scene.lock(&scene.hasty_client(), &id);
        let lease = soon(lock.acquire()).await.expect(what);
        assert_eq!(lease.fencing_token(), 42, "{what}");
        scene.assert_holds(&id, &lease, what).await;
    }
}

#[tokio::test]
async fn throttling_and_conflicts_pass_and_are_not_held() {
    let scene = Scene::new().await;
    let client = scene.client();
    let passing: [MakeFault; 3] = [Fault::throttled, Fault::transaction_conflict, || {
        Fault::error(400, "RequestTimeTooSkewed", "Signature expired")
    }];
    for (index, fault) in passing.into_iter().enumerate() {
        let id = format!("item-{index}");
        let lock = scene.lock(&client, &id).retry_interval(ms(5));
        scene.proxy.next([fault(), fault()]);
        let lease = soon(lock.acquire()).await.expect("it passes");
        scene.proxy.next([fault(), fault()]);
        soon(lease.renew()).await.expect("it passes");
        scene.assert_holds(&id, &lease, "renewed").await;
        scene.proxy.next([fault(), fault()]);
        soon(lease.release()).await.expect("it passes");
        scene.assert_free(&id, "released").await;
    }
    assert_eq!(scene.proxy.requests().len(), 3 * 9);

    scene.proxy.on(|_| Fault::throttled());
    let lock = scene.lock(&client, "b").retry_interval(ms(5));
    let error = soon(lock.timeout(ms(1000)).acquire()).await;
    let error = error.expect_err("throttled to the end");
    assert!(error.is_throttled() && error.is_timeout(), "{error:?}");
    assert!(!error.is_held() && !error.is_unavailable(), "{error:?}");
}

/// With an hour for each attempt, only the bound on its size ends an endless answer.
#[tokio::test]
async fn an_endless_answer_is_cut_off_by_its_size() {
    let scene = Scene::new().await;
    let hour = ms(3_600_000);
    let client = builder(&scene.proxy.url()).attempt_timeout(hour).build();
    let lock = scene.lock(&client.expect("a client"), "a");
    let lock = lock.lease(hour * 2).timeout(hour * 3);
    scene.proxy.next([Fault::Endless, Fault::long_body(TEN_MB)]);
    let lease = soon(lock.acquire()).await.expect("the third try");
    scene.assert_holds("a", &lease, "recovered").await;
    assert_eq!(scene.proxy.count(Step::Acquire), 3);
}

/// Bytes keep coming, and the answer does not: the time for an attempt is for all of it.
#[tokio::test]
async fn an_answer_that_trickles_is_given_up_in_time() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::Trickle(ms(1000))]);
    let lock = scene.lock(&scene.hasty_client(), "a");
    let lease = soon(lock.acquire()).await.expect("recovered");
    scene.assert_holds("a", &lease, "by the second try").await;
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Acquire]);
}

#[tokio::test]
async fn a_lost_answer_to_an_acquire_is_recovered_with_one_increment() {
    let scene = Scene::new().await;
    for (index, (what, fault)) in ANSWER_LOST.iter().enumerate() {
        let id = format!("item-{index}");
        let before = json!({"dynoLockFence": {"N": "41"}, "mine": {"S": "x"}});
        scene.put(&id, before).await;
        scene.proxy.next([fault()]);
        let lock = scene.lock(&scene.hasty_client(), &id).owner("us");
        let lease = soon(lock.acquire()).await.expect(what);
        assert_eq!(lease.fencing_token(), 42, "{what}");
        assert_eq!(lease.item().get("mine"), Some(&"x".into()), "{what}");
        assert_eq!(lease.item().len(), 2, "{what}: the item without the lock");
        scene.assert_holds(&id, &lease, what).await;
        soon(lease.release()).await.expect(what);
        let item = scene.item(&id).await.expect("an item");
        assert_eq!(fence(&item), 42, "{what}");
    }
}

/// The first answer gets lost; an attempt that hangs stands between it and the recovery.
#[tokio::test]
async fn a_recovered_acquire_counts_from_the_attempt_that_was_applied() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::ForwardThenReset, Fault::Hang]);
    let lock = scene.lock(&scene.hasty_client(), "a");
    let lease = soon(lock.acquire()).await.expect("recovered");
    let item = scene.item("a").await.expect("an item");
    let requests = scene.proxy.requests();
    let written = &requests[0].body["ExpressionAttributeValues"];
    let written = written.as_object().expect("values");
    let expires = &item["dynoLockExpires"];
    assert!(written.values().any(|value| value == expires), "{expires}");
    scene
        .assert_holds("a", &lease, "not from the last attempt")
        .await;
}

#[tokio::test]
async fn a_lost_answer_to_a_renewal_is_recovered() {
    let scene = Scene::new().await;
    for (index, (what, fault)) in ANSWER_LOST.iter().chain(NOT_SERVED).enumerate() {
        let id = format!("item-{index}");
        let lock = scene.lock(&scene.hasty_client(), &id);
        let lease = soon(lock.acquire()).await.expect(what);
        scene.proxy.next([fault()]);
        soon(lease.renew()).await.expect(what);
        scene.assert_holds(&id, &lease, what).await;
        soon(lease.renew()).await.expect(what);
        scene.assert_holds(&id, &lease, what).await;
        soon(lease.release()).await.expect(what);
        scene.assert_free(&id, what).await;
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_release_is_a_success_all_the_same() {
    let scene = Scene::new().await;
    for delete in [false, true] {
        for (index, (what, fault)) in ANSWER_LOST.iter().chain(NOT_SERVED).enumerate() {
            let id = format!("item-{index}-{delete}");
            let mut lock = scene.lock(&scene.hasty_client(), &id);
            if delete {
                lock = lock.delete_on_release();
            }
            let lease = soon(lock.acquire()).await.expect(what);
            scene.proxy.next([fault()]);
            soon(lease.release()).await.expect(what);
            scene.assert_free(&id, what).await;
            assert_eq!(scene.item(&id).await.is_none(), delete, "{what}");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_release_is_a_success_though_another_has_acquired() {
    let scene = Scene::new().await;
    for (id, delete) in [("a", false), ("b", true)] {
        let mut lock = scene.lock(&scene.client(), id);
        if delete {
            lock = lock.delete_on_release();
        }
        let lease = soon(lock.acquire()).await.expect("free");
        let gate = Gate::closed();
        let faults = [Fault::ForwardThenReset, Fault::Delay(gate.clone())];
        scene.proxy.next(faults);
        let meanwhile = async {
            let releases = |requests: &[crate::support::recorded::Recorded]| {
                let ours = requests.iter().filter(|r| r.step() == Step::Release);
                ours.filter(|r| r.body["Key"]["id"]["S"] == id).count()
            };
            scene.proxy.wait_until(|all| releases(all) == 2).await;
            let other = soon(scene.lock(&scene.rival(), id).acquire()).await;
            gate.open();
            other.expect("it is free")
        };
        let (released, other) = tokio::join!(soon(lease.release()), meanwhile);
        released.expect("it was released");
        scene
            .assert_holds(id, &other, "the other's lock stands")
            .await;
    }
}
