//! Keeping a lease, losing it, and what dropping does.

mod scene;
mod support;

use std::time::Duration;

use dynolock::{Error, Lost};
use serde_json::json;

use scene::{LONG, SHORT, Scene, key};
use support::fault::Fault;
use support::recorded::Step;

#[tokio::test]
async fn a_heartbeat_renews_until_the_release() {
    let scene = Scene::new().await;
    let lock = scene
        .client()
        .lock(&scene.table, ("id", "a"))
        .lease(LONG)
        .timeout(LONG);
    let lease = lock
        .heartbeat(Duration::from_millis(20))
        .acquire()
        .await
        .unwrap();
    let before = lease.expires_at();
    scene.proxy.wait_for(4).await;
    assert!(lease.expires_at() > before);
    lease.release().await.unwrap();
    let steps = scene.proxy.steps();
    assert_eq!(
        (steps[0], steps[steps.len() - 1]),
        (Step::Acquire, Step::Release)
    );
    assert!(
        steps[1..steps.len() - 1]
            .iter()
            .all(|step| *step == Step::Renew)
    );
}

#[tokio::test]
async fn a_manual_lease_starts_its_heartbeat_when_told() {
    let scene = Scene::new().await;
    let lock = scene
        .lock(&scene.client())
        .heartbeat(Duration::from_millis(20));
    let lease = lock.acquire().await.unwrap();
    assert_eq!(scene.proxy.requests().len(), 1);
    lease.start_heartbeat().unwrap();
    lease.start_heartbeat().unwrap();
    scene.proxy.wait_for(3).await;
    lease.release().await.unwrap();
}

#[tokio::test]
async fn extending_writes_the_lease_and_stays() {
    let scene = Scene::new().await;
    let lease = scene
        .lock(&scene.client())
        .lease(SHORT)
        .acquire()
        .await
        .unwrap();
    assert!(
        lease
            .extend(Duration::ZERO)
            .await
            .unwrap_err()
            .is_invalid_option()
    );
    lease.extend(LONG).await.unwrap();
    assert!(lease.remaining() > SHORT);
    let item = scene.item().await.unwrap();
    assert_eq!(
        scene::number(&item, "dynoLockLeaseDuration"),
        LONG.as_nanos().to_string()
    );
    lease.renew().await.unwrap();
    assert!(lease.remaining() > SHORT);
    lease.release().await.unwrap();
}

#[tokio::test]
async fn an_extension_must_leave_room_for_the_heartbeat() {
    let scene = Scene::new().await;
    let lock = scene
        .lock(&scene.client())
        .heartbeat(Duration::from_secs(5));
    let lease = lock.acquire().await.unwrap();
    lease.start_heartbeat().unwrap();
    let error = lease.extend(Duration::from_secs(5)).await.unwrap_err();
    assert!(error.is_invalid_option(), "{error}");
    lease.release().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_nobody_renews_expires_once() {
    let scene = Scene::new().await;
    let lease = scene
        .lock(&scene.client())
        .lease(SHORT)
        .acquire()
        .await
        .unwrap();
    let (one, two) = tokio::join!(lease.lost(), lease.lost());
    assert_eq!((&one, &two), (&Lost::Expired, &Lost::Expired));
    assert!(!lease.is_held());
    assert_eq!(lease.remaining(), Duration::ZERO);
    assert_eq!(
        lease.renew().await.unwrap_err().lost(),
        Some(&Lost::Expired)
    );
    assert_eq!(
        scene.proxy.requests().len(),
        1,
        "nothing is sent for a lost lease"
    );
    assert_eq!(
        lease.release().await.unwrap_err().lost(),
        Some(&Lost::Expired)
    );
    assert!(
        !scene.is_locked().await,
        "what nobody has taken over is given back"
    );
}

#[tokio::test]
async fn each_loss_has_its_reason() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let lose = async |what: &str| -> Lost {
        let lease = lock.acquire().await.unwrap();
        match what {
            "removed" => scene.put(&key()).await,
            "gone" => scene.engine.delete_item(&scene.table, &key()).await,
            "denied" => scene.proxy.next([Fault::access_denied()]),
            _ => scene.engine.delete_table(&scene.table).await,
        }
        let lost = lease.renew().await.unwrap_err().lost().unwrap().clone();
        assert_eq!(lease.lost().await, lost);
        let told = lease.release().await.unwrap_err();
        assert_eq!(told.lost(), Some(&lost));
        if what == "denied" {
            scene.put(&key()).await;
        }
        lost
    };
    assert_eq!(lose("removed").await, Lost::Removed);
    assert_eq!(lose("gone").await, Lost::ItemGone);
    assert_eq!(lose("denied").await, Lost::AccessDenied);
    assert_eq!(lose("table").await, Lost::TableGone);
}

#[tokio::test]
async fn a_lease_taken_over_says_by_whom() {
    let scene = Scene::new().await;
    let lease = scene
        .lock(&scene.client())
        .lease(SHORT)
        .acquire()
        .await
        .unwrap();
    let other = scene
        .lock(&scene.other())
        .owner("web-2")
        .acquire()
        .await
        .unwrap();
    assert_eq!(
        lease.lost().await,
        Lost::Expired,
        "it is lost before another can have it"
    );
    drop(lease);
    let another = scene
        .lock(&scene.client())
        .timeout(SHORT)
        .acquire()
        .await
        .unwrap_err();
    assert_eq!(another.holder().unwrap().owner(), Some("web-2"));
    other.release().await.unwrap();
}

#[tokio::test]
async fn a_dropped_lease_is_released_in_the_background() {
    let scene = Scene::new().await;
    let client = scene.client();
    drop(scene.lock(&client).acquire().await.unwrap());
    client.drain().await;
    assert!(!scene.is_locked().await);
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Release]);
    client.drain().await;
}

#[tokio::test]
async fn whoever_comes_after_a_drop_waits_for_its_release() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    for _ in 0..3 {
        drop(lock.acquire().await.unwrap());
    }
    lock.acquire().await.unwrap().release().await.unwrap();
    assert_eq!(scene.proxy.requests().len(), 8, "nobody asked in vain");
}

#[tokio::test]
async fn a_lease_may_be_dropped_outside_of_the_runtime() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = scene.lock(&client).acquire().await.unwrap();
    std::thread::spawn(move || drop(lease)).join().unwrap();
    client.drain().await;
    assert!(!scene.is_locked().await);
}

#[test]
fn a_lease_may_outlive_its_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (scene, client, lease) = runtime.block_on(async {
        let scene = Scene::new().await;
        let client = scene.client();
        let lease = scene.lock(&client).acquire().await.unwrap();
        (scene, client, lease)
    });
    drop(runtime);
    drop(lease);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        client.drain().await;
        assert!(scene.is_locked().await, "it could not be sent");
    });
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let client = scene::builder("http://127.0.0.1:9").build().unwrap();
    let lock = client.lock("jobs", ("id", "a"));
    let mut acquiring = std::pin::pin!(lock.acquire());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = acquiring.as_mut().poll(&mut context) else {
        panic!("it waits for what never comes");
    };
    assert!(error.to_string().contains("no Tokio runtime"), "{error}");
}

#[tokio::test]
async fn a_release_waits_for_the_renewal_under_way() {
    let scene = Scene::new().await;
    let lease = scene.lock(&scene.client()).acquire().await.unwrap();
    let gate = support::fault::Gate::closed();
    scene.proxy.next([Fault::DelayAnswer(gate.clone())]);
    let renewal = async { lease.renew().await };
    let mut renewal = Box::pin(renewal);
    tokio::select! {
        _ = &mut renewal => panic!("it was not held up"),
        () = scene.proxy.wait_for(2) => {}
    }
    drop(renewal);
    gate.open();
    lease.release().await.unwrap();
    assert_eq!(
        scene.proxy.steps(),
        [Step::Acquire, Step::Renew, Step::Release]
    );
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn a_dropped_with_drops_the_work_and_releases() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client);
    let mut with = Box::pin(lock.with(async |_| std::future::pending::<Result<(), Error>>().await));
    tokio::select! {
        _ = &mut with => panic!("it cannot end"),
        () = scene.proxy.wait_for_answers(1) => {}
    }
    drop(with);
    client.drain().await;
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client);
    let lease = lock.acquire().await.unwrap();
    let shown = format!("{client:?} {lock:?} {lease:?} {:?}", scene.builder());
    assert!(!shown.contains("SECRETEXAMPLE"), "{shown}");
    let request = scene.proxy.requests().remove(0).message.bytes();
    assert!(!String::from_utf8_lossy(&request).contains("SECRETEXAMPLE"));
    scene.put(&json!({"id": {"S": "a"}})).await;
    let error = lease.release().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("SECRETEXAMPLE"));
}
