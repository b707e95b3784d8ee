//! Acquiring, waiting and releasing, on a real server.

#![allow(clippy::disallowed_methods, reason = "the tasks of the tests")]

mod scene;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dynolock::{AttributeNames, AttributeValue, Error, Key, Number};
use serde_json::json;

use scene::{LONG, SHORT, Scene, key, number};
use support::recorded::Step;

#[tokio::test]
async fn an_uncontended_acquire_and_release_are_exactly_two_requests() {
    let scene = Scene::new().await;
    let lease = scene.lock(&scene.client()).acquire().await.unwrap();
    assert!(lease.is_held());
    assert_eq!(scene.fence().await, lease.fencing_token());
    lease.release().await.unwrap();
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Release]);
    assert_eq!(scene.proxy.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn a_renewal_is_one_request() {
    let scene = Scene::new().await;
    let lease = scene.lock(&scene.client()).acquire().await.unwrap();
    let before = scene.expires().await;
    lease.renew().await.unwrap();
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Renew]);
    assert!(scene.expires().await > before);
    lease.release().await.unwrap();
}

#[tokio::test]
async fn the_item_comes_with_the_lock_and_stays_clean_after_it() {
    let scene = Scene::new().await;
    let record = json!({"id": {"S": "a"}, "state": {"S": "new"}, "tries": {"N": "3"}});
    scene.put(&record).await;
    let lease = scene
        .lock(&scene.client())
        .owner("web-1")
        .acquire()
        .await
        .unwrap();
    assert_eq!(
        lease.item().get("state"),
        Some(&AttributeValue::from("new"))
    );
    assert_eq!(lease.item().len(), 3, "no lock attributes");
    let locked = scene.item().await.unwrap();
    assert_eq!(
        locked["dynoLockOwner"]["S"],
        format!("{} web-1", lease.version())
    );
    lease.release().await.unwrap();
    let mut released = scene.item().await.unwrap();
    released
        .as_object_mut()
        .unwrap()
        .remove("dynoLockFence")
        .unwrap();
    assert_eq!(released, record);
}

#[tokio::test]
async fn tokens_grow_with_every_acquisition() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let mut last = 0;
    for _ in 0..5 {
        let lease = lock.acquire().await.unwrap();
        assert!(lease.fencing_token() > last);
        last = lease.fencing_token();
        lease.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_held_lock_is_none_or_an_error_that_names_the_holder() {
    let scene = Scene::new().await;
    let lease = scene
        .lock(&scene.other())
        .owner("web-1")
        .acquire()
        .await
        .unwrap();
    let lock = scene
        .lock(&scene.client())
        .timeout(Duration::from_millis(300));
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert_eq!(scene.proxy.steps().len(), 1, "one attempt");
    let error = lock.acquire().await.unwrap_err();
    assert!(error.is_held() && error.is_timeout() && !error.is_unavailable());
    let holder = error.holder().unwrap();
    assert_eq!(holder.owner(), Some("web-1"));
    assert_eq!(holder.version(), Some(lease.version()));
    assert_eq!(holder.fencing_token(), Some(lease.fencing_token()));
    assert!(holder.acquired_at().is_some());
    lease.release().await.unwrap();
    lock.try_acquire()
        .await
        .unwrap()
        .unwrap()
        .release()
        .await
        .unwrap();
}

#[tokio::test]
async fn tasks_of_one_client_queue_up_and_only_the_first_asks_dynamodb() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let (running, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (lock, running, done) = (lock.clone(), running.clone(), done.clone());
            tokio::spawn(async move {
                let lease = lock.acquire().await.unwrap();
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                lease.release().await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), 8);
    assert_eq!(scene.proxy.requests().len(), 16, "nobody asked in vain");
}

#[tokio::test]
async fn a_leaked_lease_blocks_its_own_client_no_longer_than_it_lasts() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client()).lease(SHORT);
    std::mem::forget(lock.acquire().await.unwrap());
    assert!(lock.try_acquire().await.unwrap().is_none());
    let lease = lock.acquire().await.unwrap();
    assert!(lease.is_held());
    lease.release().await.unwrap();
}

#[tokio::test]
async fn with_runs_releases_and_hands_on_what_came_out() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let token = lock
        .with(async |lease| {
            assert!(scene.is_locked().await);
            Ok::<_, Error>(lease.fencing_token())
        })
        .await
        .unwrap();
    assert_eq!(token, scene.fence().await);
    assert!(!scene.is_locked().await);

    #[derive(Debug)]
    enum Mine {
        Own,
        Lock(#[expect(dead_code, reason = "shown by Debug")] Error),
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self::Lock(error)
        }
    }
    let failed = lock.with(async |_| Err::<(), _>(Mine::Own)).await;
    assert!(matches!(failed, Err(Mine::Own)), "{failed:?}");
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn a_panic_inside_with_still_releases() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let task = tokio::spawn(async move {
        lock.with(async |lease| -> Result<(), Error> {
            assert!(lease.is_held());
            panic!("as it must");
        })
        .await
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn with_drops_the_work_when_the_lease_is_lost() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client()).lease(SHORT);
    let error = lock
        .with(async |_| std::future::pending::<Result<(), Error>>().await)
        .await
        .unwrap_err();
    assert_eq!(error.lost(), Some(&dynolock::Lost::Expired));
}

#[tokio::test]
async fn a_cancellation_future_ends_the_waiting() {
    let scene = Scene::new().await;
    let lease = scene.lock(&scene.other()).acquire().await.unwrap();
    let stop = Arc::new(tokio::sync::Notify::new());
    let lock = scene.lock(&scene.client()).cancelled_by({
        let stop = stop.clone();
        move || {
            let stop = stop.clone();
            async move { stop.notified().await }
        }
    });
    let waiting = tokio::spawn(async move { lock.acquire().await });
    scene.proxy.wait_for(1).await;
    stop.notify_one();
    assert!(waiting.await.unwrap().unwrap_err().is_cancelled());
    lease.release().await.unwrap();
}

#[tokio::test]
async fn keys_of_every_type_lock_one_item_each() {
    let scene = Scene::new().await;
    for (name, partition, sort) in [("n", "N", "S"), ("b", "B", "N")] {
        let table = support::unique_name(name);
        scene
            .engine
            .create_table(&table, ("pk", partition), Some(("sk", sort)))
            .await;
        let one: Number = "1.0".parse().unwrap();
        let keys: [Key; 2] = if partition == "N" {
            [
                (("pk", 1), ("sk", "x")).into(),
                (("pk", one), ("sk", "x")).into(),
            ]
        } else {
            let bytes: &[u8] = &[0, 255];
            [
                (("pk", bytes), ("sk", 1)).into(),
                (("pk", vec![0, 255]), ("sk", one)).into(),
            ]
        };
        let (client, other) = (scene.client(), scene.other());
        let lease = client
            .lock(&table, keys[0].clone())
            .lease(LONG)
            .acquire()
            .await
            .unwrap();
        assert!(
            other
                .lock(&table, keys[1].clone())
                .try_acquire()
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            client
                .lock(&table, keys[1].clone())
                .try_acquire()
                .await
                .unwrap()
                .is_none()
        );
        lease.release().await.unwrap();
        let lease = other
            .lock(&table, keys[1].clone())
            .try_acquire()
            .await
            .unwrap()
            .unwrap();
        lease.release().await.unwrap();
    }
}

#[tokio::test]
async fn only_existing_items_are_locked_where_that_is_asked_for() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client()).existing_only();
    assert!(lock.acquire().await.unwrap_err().is_item_not_found());
    assert_eq!(scene.item().await, None);
    scene.put(&key()).await;
    lock.acquire().await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn release_by_delete_spares_items_with_anything_in_them() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client()).delete_on_release();
    lock.acquire().await.unwrap().release().await.unwrap();
    assert_eq!(scene.item().await, None);
    scene
        .put(&json!({"id": {"S": "a"}, "state": {"S": "new"}}))
        .await;
    lock.acquire().await.unwrap().release().await.unwrap();
    assert_eq!(scene.item().await.unwrap()["state"]["S"], "new");
}

#[tokio::test]
async fn the_attributes_can_have_other_names_even_reserved_ones() {
    let scene = Scene::new().await;
    let names = AttributeNames {
        expires: "ttl".into(),
        lease_duration: "SIZE".into(),
        version: "a.b".into(),
        fence: ":0".into(),
        owner: "#0".into(),
    };
    let lock = scene
        .lock(&scene.client())
        .attribute_names(names)
        .owner("web-1");
    let lease = lock.acquire().await.unwrap();
    lease.renew().await.unwrap();
    let item = scene.item().await.unwrap();
    assert_eq!(number(&item, ":0"), lease.fencing_token().to_string());
    assert_eq!(item["a.b"]["S"], lease.version());
    assert_eq!(lease.item().len(), 1);
    lease.release().await.unwrap();
    assert_eq!(scene.item().await.unwrap().as_object().unwrap().len(), 2);
}
