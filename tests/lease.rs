//! The held lock: it is kept alive, says when and why it is lost, and is given back.

mod scene;
mod support;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dynolock::{Error, Lease, Lost};
use serde_json::json;

use scene::{LONG, Scene, expires, ms, nanos, soon, spawn};
use support::fault::Fault;
use support::recorded::Step;
use support::wall_nanos;

async fn acquired(scene: &Scene) -> Lease {
    let lease = soon(scene.lock(&scene.client(), "a").acquire()).await;
    lease.expect("free")
}

async fn written_lease(scene: &Scene) -> String {
    let item = scene.item("a").await.expect("an item");
    let lease = item["dynoLockLeaseDuration"]["N"].as_str();
    lease.expect("a lease").to_owned()
}

#[tokio::test]
async fn a_lease_knows_itself() {
    let scene = Scene::new().await;
    scene.put("a", json!({"mine": {"S": "x"}})).await;
    let before = wall_nanos();
    let lock = scene.lock(&scene.client(), "a").owner("us");
    let lease = soon(lock.acquire()).await.expect("free");
    assert!(lease.is_held());
    assert!(lease.remaining() > Duration::ZERO && lease.remaining() <= LONG);
    let ends = nanos(lease.expires_at()) - i64::try_from(LONG.as_nanos()).expect("short");
    assert!(
        ends >= before && ends <= wall_nanos(),
        "counted from the sending"
    );
    assert_eq!(lease.version().len(), 27, "a KSUID");
    let millis = u64::try_from(before / 1_000_000).expect("past 1970");
    assert!(lease.fencing_token() > millis, "the first is the clock's");
    let item = lease.item();
    assert_eq!(item.len(), 2, "without the lock: {item:?}");
    assert_eq!(item.get("mine"), Some(&"x".into()));
    scene.assert_holds("a", &lease, "in the item").await;
}

#[tokio::test]
async fn the_heartbeat_keeps_a_lease_beyond_its_length() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a")).timeout(LONG);
    let lease = soon(lock.lease(ms(1500)).heartbeat(ms(50)).acquire()).await;
    let lease = lease.expect("free");
    let first_end = nanos(lease.expires_at());
    let outlived = async { scene::until(|| wall_nanos() > first_end).await };
    tokio::select! {
        lost = lease.lost() => panic!("{lost}"),
        () = outlived => {}
    }
    assert!(scene.proxy.count(Step::Renew) > 3);
    scene.assert_holds("a", &lease, "renewed").await;
    soon(lease.release()).await.expect("released");
    scene.assert_free("a", "released").await;
    let renewals = scene.proxy.steps();
    assert_eq!(renewals.last(), Some(&Step::Release), "the last word");
}

#[tokio::test]
async fn a_manual_lease_is_renewed_when_it_is_told_to() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    for _ in 0..3 {
        let before = (
            lease.expires_at(),
            expires(&scene.item("a").await.expect("an item")),
        );
        soon(lease.renew()).await.expect("renewed");
        let after = (
            lease.expires_at(),
            expires(&scene.item("a").await.expect("an item")),
        );
        assert!(
            after.0 > before.0 && after.1 > before.1,
            "{before:?} {after:?}"
        );
    }
    assert_eq!(scene.proxy.count(Step::Renew), 3);
}

#[tokio::test]
async fn a_manual_lease_expires_when_it_is_not_renewed() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(200));
    let lease = soon(lock.acquire()).await.expect("free");
    let ends = nanos(lease.expires_at());
    assert_eq!(soon(lease.lost()).await, Lost::Expired);
    assert!(wall_nanos() >= ends, "not before");
    assert!(!lease.is_held());
    assert_eq!(lease.remaining(), Duration::ZERO);
    let error = soon(lease.renew()).await.expect_err("too late");
    assert_eq!(error.lost(), Some(&Lost::Expired));
    assert!(error.is_lost() && !error.is_held(), "{error:?}");
}

#[tokio::test]
async fn a_heartbeat_can_be_started_later_and_only_once() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").heartbeat(ms(30)).acquire()).await;
    let lease = lease.expect("free");
    soon(lease.renew()).await.expect("renewed");
    assert_eq!(scene.proxy.count(Step::Renew), 1);
    for _ in 0..3 {
        lease.start_heartbeat().expect("started");
    }
    scene.proxy.wait_for(6).await;
    scene.assert_holds("a", &lease, "beating").await;
    // Two at a time would show as a refusal, or as two requests under way.
    let requests = scene.proxy.requests();
    let refused = |answer: &support::fault::Answer| answer.status != 200;
    assert!(
        !requests
            .iter()
            .filter_map(|r| r.answer.as_ref())
            .any(refused)
    );
    assert_eq!(scene.proxy.connections(), 1);
}

#[tokio::test]
async fn an_extended_lease_lasts_longer_and_stays_so() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    assert_eq!(written_lease(&scene).await, "120000000000");
    soon(lease.extend(4 * LONG)).await.expect("extended");
    assert!(lease.remaining() > 3 * LONG);
    assert_eq!(written_lease(&scene).await, "480000000000");
    scene.assert_holds("a", &lease, "extended").await;
    soon(lease.renew()).await.expect("renewed");
    assert!(lease.remaining() > 3 * LONG);
    assert_eq!(written_lease(&scene).await, "480000000000");
    soon(lease.extend(LONG)).await.expect("shortened");
    assert!(lease.remaining() <= LONG);
    assert_eq!(written_lease(&scene).await, "120000000000");
    soon(lease.release()).await.expect("released");
}

#[tokio::test]
async fn an_extension_out_of_range_is_refused_and_sends_nothing() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").heartbeat(ms(60_000));
    let lease = soon(lock.acquire()).await.expect("free");
    for duration in [Duration::ZERO, ms(9), Duration::MAX] {
        let error = soon(lease.extend(duration)).await.expect_err("absurd");
        assert!(error.is_invalid_option(), "{error:?}");
        assert!(error.to_string().starts_with("lease: "), "{error}");
    }
    assert_eq!(scene.proxy.requests().len(), 1);
    soon(lease.extend(ms(30_000)))
        .await
        .expect("no heartbeat runs");
    let error = lease.start_heartbeat().expect_err("too slow for it");
    assert!(error.to_string().starts_with("heartbeat: "), "{error}");
    soon(lease.extend(LONG)).await.expect("extended");
    lease.start_heartbeat().expect("started");
    let error = soon(lease.extend(ms(30_000))).await.expect_err("beating");
    assert!(error.to_string().starts_with("heartbeat: "), "{error}");
    scene.assert_holds("a", &lease, "as before").await;
}

/// The heartbeat notices a loss by itself; the reason is the same for all who ask.
async fn is_lost_as(scene: &Scene, lease: Lease, expected: &Lost) {
    let (one, two) = tokio::join!(soon(lease.lost()), soon(lease.lost()));
    assert_eq!((&one, &two), (expected, expected));
    assert!(!lease.is_held());
    assert_eq!(lease.remaining(), Duration::ZERO);
    let error = soon(lease.renew()).await.expect_err("lost");
    assert_eq!(error.lost(), Some(expected));
    let before = scene.proxy.count(Step::Release);
    let error = soon(lease.release()).await.expect_err("lost");
    assert_eq!(error.lost(), Some(expected));
    assert_eq!(
        scene.proxy.count(Step::Release),
        before,
        "nothing to release"
    );
}

async fn beating(scene: &Scene) -> Lease {
    let lock = scene.lock(&scene.client(), "a").heartbeat(ms(50));
    let lease = soon(lock.acquire()).await.expect("free");
    lease.start_heartbeat().expect("started");
    lease
}

#[tokio::test]
async fn a_lease_that_was_taken_over_says_by_whom() {
    let scene = Scene::new().await;
    let lease = beating(&scene).await;
    let token = lease.fencing_token() + 1;
    let thief = json!({
        "dynoLockVersion": {"S": "thief"},
        "dynoLockOwner": {"S": "thief web-7"},
        "dynoLockExpires": {"N": "1893456000000000000"},
        "dynoLockFence": {"N": token.to_string()},
    });
    scene.put("a", thief).await;
    let lost = soon(lease.lost()).await;
    let holder = lost.taken_over_by().expect("by another");
    assert_eq!(holder.version(), Some("thief"));
    assert_eq!(holder.owner(), Some("web-7"));
    assert_eq!(holder.fencing_token(), Some(token));
    assert_eq!(nanos(holder.expires_at()), 1_893_456_000_000_000_000);
    assert!(lost.to_string().contains("web-7"), "{lost}");
    let stands = scene.item("a").await;
    is_lost_as(&scene, lease, &lost).await;
    assert_eq!(scene.item("a").await, stands);
}

#[tokio::test]
async fn a_lease_whose_lock_was_removed_is_lost() {
    let scene = Scene::new().await;
    let lease = beating(&scene).await;
    scene.put("a", json!({"mine": {"S": "overwritten"}})).await;
    is_lost_as(&scene, lease, &Lost::Removed).await;
}

#[tokio::test]
async fn a_lease_whose_item_is_gone_is_lost() {
    let scene = Scene::new().await;
    let lease = beating(&scene).await;
    let key = json!({"id": {"S": "a"}});
    scene.engine.delete_item(&scene.table, &key).await;
    is_lost_as(&scene, lease, &Lost::ItemGone).await;
    assert_eq!(scene.item("a").await, None, "not created again");
}

#[tokio::test]
async fn a_lease_whose_table_is_gone_is_lost() {
    let scene = Scene::new().await;
    let lease = beating(&scene).await;
    scene.engine.delete_table(&scene.table).await;
    is_lost_as(&scene, lease, &Lost::TableGone).await;
}

#[tokio::test]
async fn a_lease_whose_permission_is_gone_is_lost() {
    let scene = Scene::new().await;
    let lease = beating(&scene).await;
    scene.proxy.on(|_| Fault::access_denied());
    is_lost_as(&scene, lease, &Lost::AccessDenied).await;
}

#[tokio::test]
async fn a_loss_at_the_release_is_told() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    scene.put("a", json!({})).await;
    let error = soon(lease.release()).await.expect_err("removed");
    assert_eq!(error.lost(), Some(&Lost::Removed));
}

#[tokio::test]
async fn renewals_and_release_never_overlap() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.lease(LONG).timeout(LONG).heartbeat(ms(1));
    let lease = Arc::new(soon(lock.acquire()).await.expect("free"));
    let renewing: Vec<_> = (0..4)
        .map(|_| {
            let lease = lease.clone();
            spawn(async move { lease.renew().await })
        })
        .collect();
    for task in renewing {
        soon(task).await.expect("no panic").expect("renewed");
    }
    scene.proxy.wait_for(20).await;
    let lease = Arc::into_inner(lease).expect("nobody else has it");
    soon(lease.release()).await.expect("released");
    let requests = scene.proxy.requests();
    let statuses = requests.iter().map(|r| r.answer.as_ref().map(|a| a.status));
    assert!(
        statuses.into_iter().all(|status| status == Some(200)),
        "one after the other"
    );
    assert_eq!(requests.last().map(|r| r.step()), Some(Step::Release));
    assert_eq!(scene.proxy.connections(), 1);
    scene.assert_free("a", "released").await;
}

#[tokio::test]
async fn a_dropped_lease_is_released_in_the_background() {
    let scene = Scene::new().await;
    let client = scene.client();
    drop(
        soon(scene.lock(&client, "a").acquire())
            .await
            .expect("free"),
    );
    soon(client.drain()).await;
    scene.assert_free("a", "drained").await;
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Release]);
}

/// The thread has no runtime; the one that the client was used in does the work.
#[tokio::test]
async fn a_lease_dropped_in_another_thread_is_released() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    let thread = std::thread::spawn(move || drop(lease));
    thread.join().expect("it does not panic");
    soon(client.drain()).await;
    scene.assert_free("a", "drained").await;
}

/// Nothing is left that could release: no panic, `drain` returns, and the lock ends with its lease.
#[tokio::test]
async fn a_lease_that_outlives_its_runtime_ends_with_its_time() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client, "a").lease(ms(400));
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let lease = runtime.block_on(lock.acquire()).expect("free");
        drop(runtime);
        let version = lease.version().to_owned();
        drop(lease);
        version
    });
    let version = thread.join().expect("it does not panic");
    soon(client.drain()).await;
    let item = scene.item("a").await.expect("an item");
    assert_eq!(item["dynoLockVersion"]["S"], version, "nobody released it");
    let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    scene
        .assert_holds("a", &other.expect("dead"), "after its time")
        .await;
    // The client's first runtime is gone; it works in another all the same.
    let ours = soon(scene.lock(&client, "b").acquire()).await;
    soon(ours.expect("free").release()).await.expect("released");
}

#[test]
fn outside_of_a_runtime_acquire_is_an_error() {
    let client = scene::builder("http://127.0.0.1:1")
        .build()
        .expect("a client");
    let lock = client.lock("table", ("id", "a"));
    let mut acquiring = std::pin::pin!(lock.acquire());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match acquiring.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error)) => {
            assert!(error.to_string().contains("runtime"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_panic_in_with_releases_and_goes_on() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let task = spawn(async move {
        let work = async |_: &Lease| -> Result<(), Error> { panic!("in the work") };
        lock.with(work).await
    });
    let panic = soon(task).await.expect_err("it goes on").into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the work"));
    scene.assert_free("a", "released before").await;
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Release]);
}
