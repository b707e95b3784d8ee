//! Locks with a deadline: what is refused, what ends by it, and what is left behind then.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock of the tests, not of the library"
)]

mod scene;
mod support;

use std::time::{Duration, SystemTime};

use dynolock::{Error, Lease, Lock, Lost, Update};
use serde_json::Value;

use scene::{LONG, Scene, expires, ms, nanos, soon};
use support::fault::Fault;
use support::recorded::{Recorded, Step};
use support::wall_nanos;

fn from_now(duration: Duration) -> SystemTime {
    SystemTime::now() + duration
}

fn stated_lease(item: &Value) -> u128 {
    let digits = item["dynoLockLeaseDuration"]["N"].as_str();
    digits
        .and_then(|digits| digits.parse().ok())
        .expect("a number")
}

/// The `expires` that a request sets: the largest number in it that can be a time.
fn written(request: &Recorded) -> i64 {
    let values = request.body["ExpressionAttributeValues"].as_object();
    let numbers = values.into_iter().flat_map(|values| values.values());
    let numbers = numbers.filter_map(|value| value["N"].as_str()?.parse().ok());
    let times = numbers.filter(|number| *number != i64::MAX);
    times.max().expect("an expiry")
}

#[track_caller]
fn assert_too_near(what: &str, error: &Error) {
    assert!(error.is_deadline(), "{what}: {error}");
    assert!(!error.is_timeout() && !error.is_held(), "{what}: {error}");
    assert!(error.to_string().contains("deadline"), "{what}: {error}");
}

#[tokio::test]
async fn too_near_a_deadline_is_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let client = scene.client();
    let far = scene.lock(&client, "a");
    let near = far.clone().deadline(from_now(ms(900)));
    let past = far.clone().deadline(from_now(ms(0)));
    let token = "dynolock1.3MUpXBZ4TgdVLh6uxqu5KX0eGLD.1795415039215.1795415040215000000";
    let token = token.parse().expect("a token");

    assert_too_near("acquire", &soon(near.acquire()).await.expect_err("near"));
    assert_too_near("try", &soon(near.try_acquire()).await.expect_err("near"));
    assert_too_near(
        "resume",
        &soon(near.resume(&token)).await.expect_err("near"),
    );
    let with = near.with(async |_| Ok::<_, Error>(()));
    assert_too_near("with", &soon(with).await.expect_err("near"));
    assert_too_near("holder", &soon(past.holder()).await.expect_err("past"));
    assert_too_near(
        "wait_free",
        &soon(past.wait_free()).await.expect_err("past"),
    );

    let other = scene.lock(&client, "b");
    let error = soon(client.lock_all([other, near]).acquire()).await;
    let error = error.expect_err("near");
    assert_too_near("lock_all", &error);
    assert_eq!(
        (error.entry(), error.table()),
        (Some(1), Some(&*scene.table))
    );
    assert!(scene.proxy.requests().is_empty());
}

/// A look leaves nothing behind, and may use the time to the end.
#[tokio::test]
async fn near_a_deadline_a_lock_may_still_be_looked_at() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let theirs = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let theirs = theirs.expect("free");
    // Refused to whoever would acquire it, for its lease of two minutes.
    let deadline = from_now(ms(900));
    let lock = lock.deadline(deadline);
    let holder = soon(lock.holder()).await.expect("an answer");
    assert_eq!(holder.expect("held").version(), Some(theirs.version()));
    let error = soon(lock.wait_free()).await.expect_err("held");
    assert!(error.is_held() && error.is_timeout(), "{error}");
    assert!(wall_nanos() >= nanos(deadline), "it waited to the end");
}

/// The turn among the tasks of the client is not asked for either.
#[tokio::test]
async fn too_near_a_deadline_does_not_queue_up() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let ours = soon(lock.acquire()).await.expect("free");
    let near = lock.clone().deadline(from_now(ms(0)));
    assert_too_near("queued", &soon(near.acquire()).await.expect_err("near"));
    assert_too_near("tried", &soon(near.try_acquire()).await.expect_err("near"));
    scene.assert_holds("a", &ours, "untouched").await;
}

#[tokio::test]
async fn a_wait_ends_before_the_deadline_with_the_errors_of_the_timeout() {
    let scene = Scene::new().await;
    let theirs = soon(scene.lock(&scene.rival(), "a").owner("web-1").acquire()).await;
    let theirs = theirs.expect("free");
    let deadline = from_now(ms(1500));
    let lock = scene.lock(&scene.client(), "a").lease(ms(500));
    let lock = lock.deadline(deadline);
    let error = soon(lock.acquire()).await.expect_err("held");
    assert!(error.is_held() && error.is_timeout(), "{error}");
    assert!(!error.is_deadline(), "{error}");
    assert!(error.to_string().contains("web-1"), "{error}");
    assert!(wall_nanos() >= nanos(deadline) - 501_000_000, "not sooner");
    assert!(scene.proxy.requests().len() > 1, "it waited");
    scene.assert_holds("a", &theirs, "untouched").await;

    // And in the queue of this client.
    let client = scene.client();
    let ours = soon(scene.lock(&client, "b").acquire())
        .await
        .expect("free");
    let lock = scene.lock(&client, "b").lease(ms(500));
    let error = soon(lock.deadline(from_now(ms(1500))).acquire()).await;
    assert!(error.expect_err("held").is_held());
    scene.assert_holds("b", &ours, "untouched").await;
}

/// Two minutes, had it no deadline.
async fn held_until(scene: &Scene, lock: Lock, deadline: SystemTime) -> Lease {
    let lease = soon(lock.deadline(deadline).acquire()).await.expect("free");
    assert!(lease.expires_at() <= deadline);
    let item = scene.item("a").await.expect("an item");
    assert!(expires(&item) <= nanos(deadline), "{item}");
    assert!(stated_lease(&item) < 4_000_000_000, "{item}");
    lease
}

#[tokio::test]
async fn nothing_moves_the_end_of_a_lease_beyond_the_deadline() {
    let scene = Scene::new().await;
    let client = scene.client();
    let deadline = from_now(ms(4000));
    let lease = held_until(&scene, scene.lock(&client, "a"), deadline).await;
    soon(lease.renew()).await.expect("held");
    soon(lease.extend(LONG * 2)).await.expect("held");
    soon(lease.update(Update::new().set("step", 1)))
        .await
        .expect("held");
    let transaction = client
        .transaction()
        .update(&lease, Update::new().add("step", 1));
    soon(transaction.send()).await.expect("held");
    assert!(lease.expires_at() <= deadline);
    let item = scene.item("a").await.expect("an item");
    // Five writes, each a nanosecond after the one before.
    assert!(expires(&item) <= nanos(deadline) + 4, "{item}");
    assert!(stated_lease(&item) < 4_000_000_000, "{item}");
    scene.assert_holds("a", &lease, "held").await;

    assert_eq!(soon(lease.lost()).await, Lost::Expired);
    assert!(!lease.is_held());
    let sent = scene.proxy.requests().len();
    let error = soon(lease.release()).await.expect_err("too late");
    assert_eq!(error.lost(), Some(&Lost::Expired));
    soon(client.drain()).await;
    assert_eq!(
        scene.proxy.requests().len(),
        sent,
        "nothing after the deadline"
    );
    // Nobody has to wait for the two minutes.
    let theirs = scene
        .lock(&scene.rival(), "a")
        .max_clock_skew(Duration::ZERO);
    let theirs = soon(theirs.try_acquire()).await.expect("an answer");
    scene
        .assert_holds("a", &theirs.expect("over"), "taken over")
        .await;
}

/// A handed-on lease ends by the deadline of whoever resumes it.
#[tokio::test]
async fn a_resumed_lease_ends_at_the_deadline() {
    let scene = Scene::new().await;
    let lease = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let token = soon(lease.expect("free").into_token()).await.expect("held");
    let deadline = from_now(ms(3000));
    let lock = scene.lock(&scene.client(), "a").deadline(deadline);
    let lease = soon(lock.resume(&token)).await.expect("handed on");
    assert!(lease.expires_at() <= deadline);
    let item = scene.item("a").await.expect("an item");
    assert!(stated_lease(&item) < 3_000_000_000, "{item}");
    assert_eq!(soon(lease.lost()).await, Lost::Expired);
}

#[tokio::test]
async fn heartbeats_end_with_the_one_that_reaches_the_deadline() {
    let scene = Scene::new().await;
    let deadline = from_now(ms(4000));
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.lease(ms(2000)).heartbeat(ms(100)).deadline(deadline);
    let lease = soon(lock.acquire()).await.expect("free");
    assert_eq!(soon(lease.lost()).await, Lost::Expired);
    let noise = 50_000_000;
    assert!(wall_nanos() >= nanos(deadline) - noise, "kept to the end");
    let requests = scene.proxy.requests();
    let last = requests.last().expect("requests");
    assert!(requests.len() > 2, "it was renewed");
    assert_eq!(written(last), nanos(deadline));
    let reach = requests.iter().filter(|it| written(it) >= nanos(deadline));
    assert_eq!(reach.count(), 1, "{:?}", scene.proxy.steps());
}

#[tokio::test]
async fn each_lock_of_a_set_ends_at_its_own_deadline() {
    let scene = Scene::new().await;
    let client = scene.client();
    let deadlines = [ms(5000), LONG].map(from_now);
    let locks = ["a", "b"].into_iter().zip(deadlines);
    let locks =
        locks.map(|(id, deadline)| scene.lock(&client, id).lease(LONG * 2).deadline(deadline));
    let leases = soon(client.lock_all(locks).acquire()).await.expect("free");
    for ((lease, deadline), id) in leases.iter().zip(deadlines).zip(["a", "b"]) {
        assert!(lease.expires_at() <= deadline, "{id}");
        let item = scene.item(id).await.expect("an item");
        assert_eq!(expires(&item), nanos(deadline), "{id}");
    }
    soon(leases.release()).await.expect("held");

    // The wait ends by the earlier one.
    let theirs = soon(scene.lock(&scene.rival(), "b").acquire()).await;
    let theirs = theirs.expect("free");
    let deadlines = [ms(2500), LONG].map(from_now);
    let locks = ["a", "b"].into_iter().zip(deadlines);
    let locks =
        locks.map(|(id, deadline)| scene.lock(&client, id).lease(ms(500)).deadline(deadline));
    let error = soon(client.lock_all(locks).acquire())
        .await
        .expect_err("held");
    assert!(error.is_held() && error.entry() == Some(1), "{error}");
    scene.assert_holds("b", &theirs, "untouched").await;
    soon(client.drain()).await;
    scene.assert_free("a", "none without the other").await;
}

/// What may have been acquired when the time was up is given back before the deadline.
#[tokio::test]
async fn a_given_up_acquisition_leaves_no_lock_behind() {
    let scene = Scene::new().await;
    scene.proxy.on(|request| match request.step() {
        Step::Acquire => Fault::HangAfterForward,
        _ => Fault::Pass,
    });
    let client = scene.client();
    for lock in [false, true] {
        let deadline = from_now(ms(2500));
        let one = scene.lock(&client, "a").deadline(deadline);
        let error = match lock {
            true => soon(one.acquire()).await.expect_err("no answer"),
            false => soon(one.try_acquire()).await.expect_err("no answer"),
        };
        assert!(error.is_timeout() && !error.is_deadline(), "{error}");
        soon(client.drain()).await;
        scene.assert_free("a", "given back").await;
    }
}

/// A release that gets no answer is not waited for beyond the deadline.
#[tokio::test]
async fn a_release_ends_by_the_deadline() {
    let scene = Scene::new().await;
    scene.proxy.on(|request| match request.step() {
        Step::Release => Fault::Hang,
        _ => Fault::Pass,
    });
    let client = scene.client();
    let deadline = from_now(ms(2500));
    let lease = held_until(&scene, scene.lock(&client, "a"), deadline).await;
    let error = soon(lease.release()).await.expect_err("no answer");
    assert!(!error.is_lost(), "{error}");
    soon(client.drain()).await;
    let theirs = scene
        .lock(&scene.rival(), "a")
        .max_clock_skew(Duration::ZERO);
    let theirs = soon(theirs.acquire()).await.expect("over");
    scene.assert_holds("a", &theirs, "taken over").await;
}
