//! Locking: waiting and not waiting, keys of every kind, options, and the local queue.

mod scene;
mod support;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dynolock::{AttributeNames, Client, Error, Key, KeyValue, Lock, Number};
use serde_json::{Value, json};

use scene::{LONG, Scene, fence, ms, soon, spawn};
use support::recorded::Step;

/// A failure of the caller's own.
#[derive(Debug)]
enum Failure {
    Work(&'static str),
    Lock(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Lock(error)
    }
}

#[tokio::test]
async fn a_lock_is_acquired_held_and_released() {
    let scene = Scene::new().await;
    let (ours, theirs) = (scene.client(), scene.rival());
    let (our_lock, their_lock) = (scene.lock(&ours, "a"), scene.lock(&theirs, "a"));
    let mut token = 0;
    for _ in 0..2 {
        for (holder, other) in [(&our_lock, &their_lock), (&their_lock, &our_lock)] {
            let lease = soon(holder.acquire()).await.expect("free");
            assert!(lease.fencing_token() > token, "tokens grow");
            token = lease.fencing_token();
            scene.assert_holds("a", &lease, "acquired").await;
            assert!(
                soon(other.try_acquire())
                    .await
                    .expect("an answer")
                    .is_none()
            );
            soon(lease.release()).await.expect("released");
            scene.assert_free("a", "released").await;
        }
    }
    assert_eq!(
        fence(&scene.item("a").await.expect("the fence stays")),
        token
    );
}

#[tokio::test]
async fn a_held_lock_is_refused_in_time_and_says_by_whom() {
    let scene = Scene::new().await;
    let theirs = soon(scene.lock(&scene.rival(), "a").owner("web-1").acquire()).await;
    let theirs = theirs.expect("free");
    let lock = scene.lock(&scene.client(), "a").timeout(ms(1000));
    let error = soon(lock.acquire()).await.expect_err("held");
    assert!(error.is_held() && error.is_timeout(), "{error:?}");
    assert!(!error.is_unavailable() && !error.is_lost() && error.code().is_none());
    let holder = error.holder().expect("a holder");
    assert_eq!(holder.version(), Some(theirs.version()));
    assert_eq!(holder.owner(), Some("web-1"));
    assert_eq!(holder.fencing_token(), Some(theirs.fencing_token()));
    assert!(error.to_string().contains("web-1"), "{error}");
    scene.assert_holds("a", &theirs, "untouched").await;
    assert!(scene.proxy.requests().len() > 1, "it waited");
}

#[tokio::test]
async fn try_acquire_is_one_request_and_none_where_our_own_client_holds() {
    let scene = Scene::new().await;
    let client = scene.client();
    let theirs = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let theirs = theirs.expect("free");
    let lock = scene.lock(&client, "a");
    assert!(soon(lock.try_acquire()).await.expect("an answer").is_none());
    assert_eq!(scene.proxy.requests().len(), 1);
    soon(theirs.release()).await.expect("released");
    let ours = soon(lock.try_acquire())
        .await
        .expect("an answer")
        .expect("free");
    assert_eq!(scene.proxy.requests().len(), 2);
    assert!(soon(lock.try_acquire()).await.expect("an answer").is_none());
    assert_eq!(scene.proxy.requests().len(), 2, "we know it ourselves");
    scene.assert_holds("a", &ours, "held").await;
}

#[tokio::test]
async fn a_waiter_gets_the_lock_once_it_is_released() {
    let scene = Scene::new().await;
    let theirs = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let theirs = theirs.expect("free");
    let lock = scene.lock(&scene.client(), "a").retry_interval(ms(20));
    let waiting = spawn(async move { lock.acquire().await });
    scene.proxy.wait_for_answers(3).await;
    let token = theirs.fencing_token();
    soon(theirs.release()).await.expect("released");
    let ours = soon(waiting).await.expect("no panic").expect("free");
    assert_eq!(ours.fencing_token(), token + 1);
    scene.assert_holds("a", &ours, "ours").await;
}

/// With an hour between tries: it is woken when the lease is due to be dead.
#[tokio::test]
async fn a_waiter_is_woken_when_a_dead_holders_lease_ends() {
    let scene = Scene::new().await;
    let theirs = soon(scene.lock(&scene.rival(), "a").lease(ms(300)).acquire()).await;
    std::mem::forget(theirs.expect("free"));
    let lock = scene
        .lock(&scene.client(), "a")
        .retry_interval(ms(3_600_000));
    let ours = soon(lock.acquire()).await.expect("dead");
    scene.assert_holds("a", &ours, "taken over").await;
}

#[tokio::test]
async fn with_runs_and_releases_whatever_the_work_says() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let token = lock.with(async |lease| {
        scene.assert_holds("a", lease, "inside").await;
        Ok::<_, Failure>(lease.fencing_token())
    });
    let token = soon(token).await.expect("done");
    scene.assert_free("a", "after success").await;
    assert_eq!(fence(&scene.item("a").await.expect("an item")), token);

    let failed = lock.with(async |_| Err::<(), _>(Failure::Work("broken")));
    let failed = soon(failed).await.expect_err("the work's own error");
    assert!(matches!(failed, Failure::Work("broken")), "{failed:?}");
    scene.assert_free("a", "after failure").await;
}

#[tokio::test]
async fn with_drops_the_work_when_the_lease_is_lost() {
    struct Dropped<'a>(&'a Cell<bool>);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.timeout(LONG).lease(LONG).heartbeat(ms(30));
    let dropped = Cell::new(false);
    let work = lock.with(async |_| {
        let _on_drop = Dropped(&dropped);
        scene.put("a", json!({"mine": {"S": "x"}})).await;
        std::future::pending::<Result<(), Failure>>().await
    });
    let error = soon(work).await.expect_err("removed");
    assert!(dropped.get());
    let Failure::Lock(error) = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.lost(), Some(&dynolock::Lost::Removed));
}

#[tokio::test]
async fn existing_only_creates_nothing() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").existing_only();
    let error = soon(lock.acquire()).await.expect_err("absent");
    assert!(error.is_item_not_found(), "{error:?}");
    assert!(!error.is_held() && !error.is_timeout(), "{error:?}");
    assert!(
        soon(lock.try_acquire())
            .await
            .expect_err("absent")
            .is_item_not_found()
    );
    assert_eq!(scene.item("a").await, None);
    assert_eq!(scene.proxy.requests().len(), 2, "no second try");

    scene.put("a", json!({"state": {"S": "new"}})).await;
    let lease = soon(lock.acquire()).await.expect("it is there");
    assert_eq!(lease.item().get("state"), Some(&"new".into()));
    soon(lease.release()).await.expect("released");
}

#[tokio::test]
async fn release_by_delete_deletes_what_is_only_a_lock() {
    let scene = Scene::new().await;
    let client = scene.client();
    for (id, before, after) in [
        ("absent", None, false),
        (
            "fence only",
            Some(json!({"dynoLockFence": {"N": "7"}})),
            false,
        ),
        ("a record", Some(json!({"state": {"S": "new"}})), true),
    ] {
        if let Some(item) = before {
            scene.put(id, item).await;
        }
        let lock = scene.lock(&client, id).owner("us").delete_on_release();
        let lease = soon(lock.acquire()).await.expect("free");
        soon(lease.release()).await.expect("released");
        assert_eq!(scene.item(id).await.is_some(), after, "{id}");
        scene.assert_free(id, "released").await;
    }
    let record = scene.item("a record").await.expect("kept");
    assert_eq!(record["state"]["S"], "new");
}

/// Whether another client finds the lock held; the first try of each is one request.
async fn is_held(client: &Client, table: &str, key: impl Into<Key>) -> bool {
    let lock = client.lock(table, key).lease(LONG).timeout(LONG);
    let lease = soon(lock.try_acquire()).await.expect("an answer");
    let held = lease.is_none();
    drop(lease);
    soon(client.drain()).await;
    held
}

#[tokio::test]
async fn keys_are_strings_numbers_or_bytes() {
    let number = |text: &str| KeyValue::from(text.parse::<Number>().expect("a number"));
    let cases: [(&str, KeyValue, Vec<KeyValue>, KeyValue, Value); 3] = [
        (
            "S",
            "ä".into(),
            vec!["ä".into()],
            "b".into(),
            json!({"S": "ä"}),
        ),
        (
            "N",
            number("1"),
            vec![number("1.0"), number("10e-1"), 1.into()],
            number("-1"),
            json!({"N": "1"}),
        ),
        (
            "B",
            vec![0, 255].into(),
            vec![[0, 255].as_slice().into()],
            vec![0].into(),
            json!({"B": "AP8="}),
        ),
    ];
    for (kind, key, same, other, wire) in cases {
        let scene = Scene::with_keys(("k", kind), None).await;
        let (ours, theirs) = (scene.client(), scene.rival());
        let lock = ours
            .lock(&scene.table, ("k", key))
            .lease(LONG)
            .timeout(LONG);
        let lease = soon(lock.acquire()).await.expect("free");
        assert_eq!(lease.item().len(), 1, "{kind}");
        let item = scene
            .engine
            .get_item(&scene.table, &json!({"k": wire}))
            .await;
        let item = item.expect("under its key");
        assert_eq!(item["dynoLockVersion"]["S"], lease.version(), "{kind}");
        for key in same {
            assert!(
                is_held(&theirs, &scene.table, ("k", key.clone())).await,
                "{key:?}"
            );
            assert!(
                is_held(&ours, &scene.table, ("k", key.clone())).await,
                "{key:?}"
            );
        }
        assert!(
            !is_held(&theirs, &scene.table, ("k", other.clone())).await,
            "{kind}"
        );
        assert!(!is_held(&ours, &scene.table, ("k", other)).await, "{kind}");
        soon(lease.release()).await.expect("released");
    }
}

#[tokio::test]
async fn sort_keys_tell_items_apart() {
    let scene = Scene::with_keys(("tenant", "S"), Some(("seq", "N"))).await;
    let (ours, theirs) = (scene.client(), scene.rival());
    let key = |seq: i32| (("tenant", "acme"), ("seq", seq));
    let lock = ours.lock(&scene.table, key(1)).lease(LONG).timeout(LONG);
    let lease = soon(lock.acquire()).await.expect("free");
    for client in [&ours, &theirs] {
        assert!(is_held(client, &scene.table, key(1)).await);
        assert!(!is_held(client, &scene.table, key(2)).await);
        let exact = Key::new("tenant", "acme").sort("seq", "1.00".parse::<Number>().expect("one"));
        assert!(is_held(client, &scene.table, exact).await);
    }
    assert_eq!(lease.item().len(), 2);
    soon(lease.release()).await.expect("released");
}

#[tokio::test]
async fn the_attributes_may_have_other_names() {
    let scene = Scene::new().await;
    let names = AttributeNames {
        expires: "lock.expires".into(),
        lease_duration: "size".into(),
        version: "#v".into(),
        fence: ":f".into(),
        owner: "Öwner".into(),
    };
    let named = |client| {
        scene
            .lock(client, "a")
            .owner("us")
            .attribute_names(names.clone())
    };
    let (ours, theirs) = (scene.client(), scene.rival());
    let lease = soon(named(&ours).acquire()).await.expect("free");
    soon(lease.renew()).await.expect("renewed");
    let item = scene.item("a").await.expect("an item");
    assert_eq!(item["#v"]["S"], lease.version());
    assert_eq!(item[":f"]["N"], lease.fencing_token().to_string());
    assert_eq!(item["size"]["N"], "120000000000");
    assert_eq!(item["Öwner"]["S"], format!("{} us", lease.version()));
    assert!(item["lock.expires"]["N"].is_string());
    assert_eq!(lease.item().len(), 1);
    assert!(
        soon(named(&theirs).try_acquire())
            .await
            .expect("an answer")
            .is_none()
    );
    soon(lease.release()).await.expect("released");
    let item = scene.item("a").await.expect("the fence stays");
    assert_eq!(
        item.as_object().map(serde_json::Map::len),
        Some(2),
        "{item}"
    );
}

#[tokio::test]
async fn the_owner_is_written_and_taken_away() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let lease = soon(lock.clone().owner("us").acquire())
        .await
        .expect("free");
    let item = scene.item("a").await.expect("an item");
    assert_eq!(
        item["dynoLockOwner"]["S"],
        format!("{} us", lease.version())
    );
    soon(lease.release()).await.expect("released");
    scene
        .put("a", json!({"dynoLockOwner": {"S": "stale label"}}))
        .await;
    let lease = soon(lock.acquire()).await.expect("free");
    let item = scene.item("a").await.expect("an item");
    assert!(item.get("dynoLockOwner").is_none(), "{item}");
    soon(lease.release()).await.expect("released");
}

#[tokio::test]
async fn the_skew_decides_which_clocks_are_believed() {
    let scene = Scene::new().await;
    let client = scene.client();
    let minute = 60_000_000_000;
    for (past, skew, taken) in [
        (1, Duration::ZERO, true),
        (minute, ms(1000), true),
        (minute, ms(3_600_000), false),
        (minute, Duration::MAX, false),
        (-minute, Duration::ZERO, false),
    ] {
        scene.put_lock("a", -past, "0").await;
        let lock = scene.lock(&client, "a").max_clock_skew(skew);
        let lease = soon(lock.try_acquire()).await.expect("an answer");
        assert_eq!(lease.is_some(), taken, "{past} {skew:?}");
        drop(lease);
        soon(client.drain()).await;
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Locks, writes its number down, releases.
fn in_turn(lock: Lock, number: usize, order: &Arc<Mutex<Vec<usize>>>) -> Waiting {
    let order = order.clone();
    let mut future: Waiting = Box::pin(async move {
        let lease = lock.acquire().await.expect("in time");
        order.lock().expect("no panic").push(number);
        lease.release().await.expect("released");
    });
    // The first poll takes the place in the queue.
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
    future
}

#[tokio::test]
async fn tasks_of_one_client_queue_up_first_come_first_served() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let holder = soon(lock.acquire()).await.expect("free");
    let order = Arc::default();
    let waiting: Vec<_> = (0..8).map(|n| in_turn(lock.clone(), n, &order)).collect();
    // One of them gives up.
    let mut waiting: Vec<_> = waiting.into_iter().map(Some).collect();
    drop(waiting[3].take());
    let tasks: Vec<_> = waiting.into_iter().flatten().rev().map(spawn).collect();
    assert!(soon(lock.try_acquire()).await.expect("an answer").is_none());
    assert_eq!(
        scene.proxy.requests().len(),
        1,
        "nobody in the queue asks DynamoDB"
    );
    soon(holder.release()).await.expect("released");
    for task in tasks {
        soon(task).await.expect("no panic");
    }
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 4, 5, 6, 7]);
    let steps = scene.proxy.steps();
    assert_eq!(steps.len(), 16, "two requests each: {steps:?}");
    assert_eq!(scene.proxy.count(Step::Acquire), 8);
}

#[tokio::test]
async fn a_task_that_waits_in_the_queue_times_out() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    let holder = soon(lock.acquire()).await.expect("free");
    let error = soon(lock.clone().timeout(ms(50)).acquire())
        .await
        .expect_err("held");
    assert!(error.is_held() && error.is_timeout(), "{error:?}");
    assert!(error.holder().is_none(), "a task of ours");
    assert_eq!(scene.proxy.requests().len(), 1);
    scene.assert_holds("a", &holder, "untouched").await;
}

#[tokio::test]
async fn a_leaked_or_lost_lease_blocks_the_queue_no_longer_than_it_lives() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(300));
    std::mem::forget(soon(lock.acquire()).await.expect("free"));
    let lost = soon(lock.acquire()).await.expect("its life is over");
    let next = soon(scene.lock(&scene.client(), "a").acquire()).await;
    scene
        .assert_holds("a", &next.expect("dead"), "another client")
        .await;
    drop(lost);

    // A heartbeat would keep a leaked one alive; the loss ends it.
    let client = scene.client();
    let lock = client.lock(&scene.table, ("id", "b")).heartbeat(ms(50));
    let lock = lock.lease(LONG).timeout(LONG);
    std::mem::forget(soon(lock.acquire()).await.expect("free"));
    scene.put("b", json!({})).await;
    let next = soon(lock.acquire()).await.expect("the queue goes on");
    scene.assert_holds("b", &next, "after the loss").await;
}

#[tokio::test]
async fn different_locks_of_one_client_do_not_wait_for_each_other() {
    let scene = Scene::new().await;
    let client = scene.client();
    let (a, b) = (scene.lock(&client, "a"), scene.lock(&client, "b"));
    let a = soon(a.acquire()).await.expect("free");
    let b = soon(b.acquire()).await.expect("free");
    assert_ne!(a.version(), b.version());
    soon(a.release()).await.expect("released");
    soon(b.release()).await.expect("released");
}
