//! Several locks at once: all or none, lost together, given back together.

mod scene;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dynolock::{Client, Key, LeaseSet, LockSet, Lost, Number, Update};
use serde_json::{Value, json};

use scene::{LONG, Scene, fence, is_free, ms, soon, spawn, until};
use support::fault::{Answer, Fault, Gate};
use support::recorded::{Recorded, Step};
use support::wall_nanos;

fn set(scene: &Scene, client: &Client, ids: &[&str]) -> LockSet {
    client.lock_all(ids.iter().map(|id| scene.lock(client, id)))
}

async fn acquired(scene: &Scene, client: &Client, ids: &[&str]) -> LeaseSet {
    let leases = soon(set(scene, client, ids).acquire()).await;
    leases.expect("free")
}

fn transactions(scene: &Scene) -> Vec<Recorded> {
    let mut requests = scene.proxy.requests();
    requests.retain(|request| request.operation == "TransactWriteItems");
    requests
}

fn is_transaction(request: &Recorded) -> bool {
    request.operation == "TransactWriteItems"
}

fn cancelled(codes: &[&str]) -> Fault {
    let reasons: Vec<Value> = codes.iter().map(|code| json!({"Code": code})).collect();
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": reasons,
    });
    Fault::AnswerWith(Answer::json_text(400, &body.to_string()))
}

async fn assert_all_hold(scene: &Scene, leases: &LeaseSet, ids: &[&str]) {
    for (lease, id) in leases.iter().zip(ids) {
        scene.assert_holds(id, lease, id).await;
    }
}

async fn assert_all_free(scene: &Scene, ids: &[&str]) {
    for id in ids {
        scene.assert_free(id, id).await;
    }
}

const ABC: [&str; 3] = ["a", "b", "c"];

#[tokio::test]
async fn a_set_is_acquired_held_and_released() {
    let scene = Scene::new().await;
    scene
        .put(
            "b",
            json!({"mine": {"S": "x"}, "dynoLockFence": {"N": "7"}}),
        )
        .await;
    let client = scene.client();
    let before = wall_nanos();
    let leases = acquired(&scene, &client, &ABC).await;
    assert_eq!((leases.len(), leases.iter().count()), (3, 3));
    assert!(leases.is_held() && leases.get(3).is_none());
    assert!(leases.remaining() > Duration::ZERO && leases.remaining() <= LONG);
    assert_eq!(leases[1].fencing_token(), 8);
    assert_eq!(leases[1].item().get("mine"), Some(&"x".into()));
    assert_eq!(leases[1].item().len(), 2, "without the lock");
    let millis = u64::try_from(before / 1_000_000).expect("past 1970");
    assert!(leases[0].fencing_token() > millis);
    let versions: std::collections::BTreeSet<_> = leases.iter().map(|it| it.version()).collect();
    assert_eq!(versions.len(), 3, "each its own");
    assert_all_hold(&scene, &leases, &ABC).await;
    let operations: Vec<_> = scene
        .proxy
        .requests()
        .iter()
        .map(|it| it.operation.clone())
        .collect();
    assert_eq!(
        operations,
        ["TransactWriteItems", "GetItem", "GetItem", "GetItem"]
    );
    assert!(
        scene.proxy.requests()[1..]
            .iter()
            .all(|it| it.body["ConsistentRead"] == true)
    );
    for lease in &leases {
        soon(lease.update(Update::new().set("step", 1)))
            .await
            .expect("held");
    }
    soon(leases.release()).await.expect("released");
    assert_all_free(&scene, &ABC).await;
    assert_eq!(scene.proxy.count(Step::Release), 3);
}

#[tokio::test]
async fn each_lock_keeps_its_own_options() {
    let scene = Scene::new().await;
    let client = scene.client();
    let locks = client.lock_all([
        scene.lock(&client, "a").owner("us").lease(LONG / 2),
        scene.lock(&client, "b").delete_on_release(),
    ]);
    let leases = soon(locks.acquire()).await.expect("free");
    let item = scene.item("a").await.expect("an item");
    let owner = format!("{} us", leases[0].version());
    assert_eq!(item["dynoLockOwner"]["S"], owner);
    assert_eq!(item["dynoLockLeaseDuration"]["N"], "60000000000");
    assert!(leases.remaining() <= LONG / 2);
    assert!(leases[1].remaining() <= LONG / 2, "it ends with the other");
    soon(leases.release()).await.expect("released");
    assert_eq!(scene.item("b").await, None);
    let both = client.lock_all([
        scene.lock(&client, "b"),
        scene.lock(&client, "x").existing_only(),
    ]);
    let error = soon(both.acquire()).await.expect_err("not there");
    assert!(error.is_item_not_found(), "{error:?}");
    assert_eq!(error.entry(), Some(1));
    assert_eq!(scene.item("b").await, None, "none is locked");
}

#[tokio::test]
async fn a_held_lock_is_named_and_no_other_is_taken() {
    let scene = Scene::new().await;
    let theirs = scene.lock(&scene.rival(), "b").owner("web-1");
    let theirs = soon(theirs.acquire()).await.expect("free");
    let client = scene.client();
    let locks = ABC.map(|id| scene.lock(&client, id).timeout(ms(700)));
    let locks = client.lock_all(locks);
    assert!(
        soon(locks.try_acquire())
            .await
            .expect("an answer")
            .is_none()
    );
    assert_eq!(scene.proxy.requests().len(), 1, "one try");
    let error = soon(locks.acquire()).await.expect_err("held");
    assert!(error.is_held() && error.is_timeout(), "{error:?}");
    assert_eq!(
        (error.entry(), error.table()),
        (Some(1), Some(&*scene.table))
    );
    let holder = error.holder().expect("a holder");
    assert_eq!(holder.version(), Some(theirs.version()));
    assert_eq!(holder.owner(), Some("web-1"));
    let text = error.to_string();
    assert!(text.contains("entry 1") && text.contains("web-1"), "{text}");
    assert!(transactions(&scene).len() > 2, "it waited");
    for id in ["a", "c"] {
        assert_eq!(scene.item(id).await, None, "nothing is left behind");
    }
    scene.assert_holds("b", &theirs, "untouched").await;
    // Two of them: both are named.
    let rival = scene.rival();
    let _more = soon(scene.lock(&rival, "c").acquire()).await.expect("free");
    let error = soon(locks.acquire()).await.expect_err("held");
    let entries: Vec<_> = error.entries().map(|it| it.entry()).collect();
    assert_eq!(entries, [Some(1), Some(2)]);
    assert!(error.entries().all(|it| it.holder().is_some()));
    assert_eq!(scene.item("a").await, None);
}

#[tokio::test]
async fn a_waiter_gets_the_set_once_all_are_free() {
    let scene = Scene::new().await;
    let rival = scene.rival();
    let one = soon(scene.lock(&rival, "a").acquire()).await.expect("free");
    let two = soon(scene.lock(&rival, "c").acquire()).await.expect("free");
    let client = scene.client();
    let waiting = spawn({
        let locks = set(&scene, &client, &ABC);
        async move { locks.acquire().await }
    });
    scene.proxy.wait_for(2).await;
    soon(one.release()).await.expect("released");
    scene.proxy.wait_for(4).await;
    assert!(!waiting.is_finished());
    assert_eq!(
        scene.item("b").await,
        None,
        "while it waits it holds nothing"
    );
    soon(two.release()).await.expect("released");
    let leases = soon(waiting).await.expect("no panic").expect("free");
    assert_all_hold(&scene, &leases, &ABC).await;
}

#[tokio::test]
async fn the_queue_of_this_client_comes_first() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "b").acquire())
        .await
        .expect("free");
    let sent = scene.proxy.requests().len();
    let locks = set(&scene, &client, &ABC);
    assert!(soon(locks.try_acquire()).await.expect("at once").is_none());
    let hasty = client.lock_all(ABC.map(|id| scene.lock(&client, id).timeout(ms(50))));
    let error = soon(hasty.acquire()).await.expect_err("held by ourselves");
    assert!(error.is_held() && error.holder().is_none(), "{error:?}");
    assert_eq!(error.entry(), Some(1));
    assert_eq!(scene.proxy.requests().len(), sent, "nothing was sent");
    // Its turns were given back.
    drop(
        soon(scene.lock(&client, "a").try_acquire())
            .await
            .expect("free")
            .expect("free"),
    );
    soon(client.drain()).await;
    let waiting = spawn(async move { locks.acquire().await });
    soon(lease.release()).await.expect("released");
    let leases = soon(waiting).await.expect("no panic").expect("free");
    // And the turns belong to the leases.
    assert!(
        soon(scene.lock(&client, "c").try_acquire())
            .await
            .expect("an answer")
            .is_none()
    );
    soon(leases.release()).await.expect("released");
    assert!(
        soon(scene.lock(&client, "c").try_acquire())
            .await
            .expect("an answer")
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sets_in_any_order_do_not_deadlock() {
    let scene = Arc::new(Scene::new().await);
    let clients = [scene.client(), scene.rival()];
    let inside = Arc::new(AtomicUsize::new(0));
    let orders = [
        ["a", "b", "c"],
        ["c", "b", "a"],
        ["b", "a", "c"],
        ["b", "c", "a"],
    ];
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let client = clients[task % 2].clone();
            let order = orders[task % 4];
            let locks = order.map(|id| scene.lock(&client, id).retry_interval(ms(20)));
            // Every other is of two only.
            let locks = client.lock_all(locks.into_iter().take(2 + task % 2));
            let inside = inside.clone();
            spawn(async move {
                for _ in 0..3 {
                    let leases = soon(locks.acquire()).await.expect("in the end");
                    if order.iter().take(2 + task % 2).any(|id| *id == "b") {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "alone");
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                    soon(leases.release()).await.expect("released");
                }
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.expect("no panic");
    }
    for id in ABC {
        assert!(is_free(&scene.item(id).await.expect("an item")));
    }
}

#[tokio::test]
async fn a_conflict_is_waited_out_and_is_not_held() {
    let scene = Scene::new().await;
    let client = scene.client();
    let conflict = || cancelled(&["None", "TransactionConflict", "None"]);
    scene
        .proxy
        .next([conflict(), cancelled(&["ThrottlingError"]), conflict()]);
    let leases = acquired(&scene, &client, &ABC).await;
    assert_all_hold(&scene, &leases, &ABC).await;
    let tokens: std::collections::BTreeSet<_> = transactions(&scene)
        .iter()
        .map(|it| it.body["ClientRequestToken"].to_string())
        .collect();
    assert_eq!(tokens.len(), 4, "a new try each time");
    soon(leases.release()).await.expect("released");
    scene.proxy.next([conflict()]);
    let leases = soon(set(&scene, &client, &ABC).try_acquire())
        .await
        .expect("an answer");
    drop(leases.expect("not held"));
    scene.proxy.on(|request| match is_transaction(request) {
        true => cancelled(&["None", "TransactionConflict"]),
        false => Fault::Pass,
    });
    soon(client.drain()).await;
    let locks = ABC.map(|id| scene.lock(&client, id).timeout(ms(300)));
    let error = soon(client.lock_all(locks).acquire()).await;
    let error = error.expect_err("busy");
    assert!(error.is_timeout() && !error.is_held(), "{error:?}");
    assert_eq!(error.code(), Some("TransactionConflict"));
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_one_acquisition() {
    type Weather = fn() -> Fault;
    let weathers: [(&str, Weather); 4] = [
        ("lost request", || Fault::DropRequest),
        ("lost answer", || Fault::ForwardThenDropAnswer),
        ("half an answer", || Fault::HalfAnswer),
        ("500", || {
            Fault::ForwardThenAnswer(Answer::error(500, "InternalServerError", "no"))
        }),
    ];
    for (what, weather) in weathers {
        let scene = Scene::new().await;
        let client = scene.client();
        scene.put("a", json!({"dynoLockFence": {"N": "7"}})).await;
        scene.proxy.next([weather()]);
        let leases = acquired(&scene, &client, &ABC).await;
        assert_eq!(leases[0].fencing_token(), 8, "{what}");
        let sent = transactions(&scene);
        assert_eq!(sent.len(), 2, "{what}");
        assert_eq!(sent[0].message.body, sent[1].message.body, "{what}");
        assert_all_hold(&scene, &leases, &ABC).await;
        soon(client.drain()).await;
        assert_all_hold(&scene, &leases, &ABC).await;
        soon(leases.release()).await.expect(what);
    }
}

#[tokio::test]
async fn an_open_try_that_takes_half_a_lease_is_given_up_for_another() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.put("a", json!({"dynoLockFence": {"N": "7"}})).await;
    scene.proxy.next([Fault::HangAfterForward]);
    let locks = ABC.map(|id| scene.lock(&client, id).lease(ms(2000)));
    let leases = soon(client.lock_all(locks).acquire()).await;
    let leases = leases.expect("at the second try");
    let sent = transactions(&scene);
    assert!(sent.len() >= 2);
    let token = |request: &Recorded| request.body["ClientRequestToken"].to_string();
    assert_ne!(token(&sent[0]), token(&sent[1]), "another try");
    soon(client.drain()).await;
    assert_all_hold(&scene, &leases, &ABC).await;
    assert!(leases[0].fencing_token() > 8, "the first had locked it too");
    soon(leases.release()).await.expect("released");
    assert_all_free(&scene, &ABC).await;
}

/// Nobody believes in the old versions, so that the next try need not wait until they are gone.
#[tokio::test]
async fn a_try_that_was_given_up_does_not_keep_the_next_one_out() {
    let scene = Scene::new().await;
    let client = scene.client();
    let mut attempts = 0;
    scene.proxy.on(move |request| {
        attempts += usize::from(is_transaction(request));
        match request.operation.as_str() {
            "TransactWriteItems" if attempts == 1 => Fault::HangAfterForward,
            "UpdateItem" => Fault::Hang,
            _ => Fault::Pass,
        }
    });
    let locks = ABC.map(|id| scene.lock(&client, id).lease(ms(2000)));
    let leases = soon(client.lock_all(locks).acquire()).await;
    let leases = leases.expect("taken over");
    assert_eq!(transactions(&scene).len(), 3, "open, refused, taken over");
    assert_all_hold(&scene, &leases, &ABC).await;
    scene.proxy.on(|_| Fault::Pass);
    scene.proxy.close_connections();
    soon(client.drain()).await;
    assert_all_hold(&scene, &leases, &ABC).await;
}

#[tokio::test]
async fn reads_that_take_half_a_lease_hand_nothing_out() {
    let scene = Scene::new().await;
    let client = scene.client();
    let mut reads = 0;
    scene.proxy.on(move |request| {
        reads += usize::from(request.operation == "GetItem");
        match request.operation == "GetItem" && reads == 3 {
            true => Fault::Hang,
            false => Fault::Pass,
        }
    });
    let locks = ABC.map(|id| scene.lock(&client, id).lease(ms(2000)));
    let leases = soon(client.lock_all(locks).acquire()).await;
    let leases = leases.expect("at the second try");
    assert!(leases.remaining() > ms(800), "{:?}", leases.remaining());
    soon(client.drain()).await;
    assert_all_hold(&scene, &leases, &ABC).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_given_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.proxy.on(|request| match request.operation.as_str() {
        "GetItem" => Fault::access_denied(),
        _ => Fault::Pass,
    });
    let error = soon(set(&scene, &client, &ABC).acquire()).await;
    let error = error.expect_err("denied");
    assert!(
        error.is_access_denied() && error.entry() == Some(0),
        "{error:?}"
    );
    soon(client.drain()).await;
    assert_all_free(&scene, &ABC).await;
    // Spoiled locks: one that the condition refuses, and one that only reading shows.
    scene.proxy.on(|_| Fault::Pass);
    for spoiled in [
        json!({"dynoLockVersion": {"N": "1"}}),
        json!({"dynoLockFence": {"N": "1.5"}}),
    ] {
        scene.put("b", spoiled.clone()).await;
        let error = soon(set(&scene, &client, &ABC).acquire()).await;
        let error = error.expect_err("spoiled");
        assert!(error.is_bad_attribute(), "{spoiled}: {error:?}");
        assert_eq!(error.entry(), Some(1));
        soon(client.drain()).await;
        for id in ["a", "c"] {
            assert!(
                is_free(&scene.item(id).await.unwrap_or_default()),
                "{spoiled}"
            );
        }
    }
}

#[tokio::test]
async fn losing_one_loses_all_and_gives_the_others_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    let locks = ABC.map(|id| scene.lock(&client, id).heartbeat(ms(50)));
    let leases = soon(client.lock_all(locks).acquire()).await.expect("free");
    for lease in &leases {
        lease.start_heartbeat().expect("started");
    }
    let watcher = leases[2].watcher();
    scene.put_lock("b", 60_000_000_000, "60000000000").await;
    let (at, lost) = soon(leases.lost()).await;
    assert_eq!(at, 1);
    assert_eq!(
        lost.taken_over_by().and_then(|it| it.version()),
        Some("another")
    );
    assert!(!leases.is_held() && leases.remaining().is_zero());
    for at in [0, 2] {
        assert!(!leases[at].is_held());
        assert_eq!(leases[at].remaining(), Duration::ZERO);
        assert_eq!(soon(leases[at].lost()).await, Lost::WithAnother);
        let error = soon(leases[at].update(Update::new().set("n", 1))).await;
        assert_eq!(error.expect_err("lost").lost(), Some(&Lost::WithAnother));
    }
    assert!(!watcher.is_held());
    assert_eq!(soon(watcher.lost()).await, Some(Lost::WithAnother));
    // They are still in their items, and are given back.
    assert!(!is_free(&scene.item("a").await.expect("an item")));
    let error = soon(leases.release()).await.expect_err("lost");
    assert_eq!(error.entry(), Some(1), "{error:?}");
    assert!(error.holder().is_some());
    let lost: Vec<_> = error
        .entries()
        .map(|it| (it.entry(), it.lost().cloned()))
        .collect();
    assert_eq!(
        lost[1..],
        [
            (Some(0), Some(Lost::WithAnother)),
            (Some(2), Some(Lost::WithAnother)),
        ]
    );
    for id in ["a", "c"] {
        scene.assert_free(id, "given back").await;
    }
    let item = scene.item("b").await.expect("an item");
    assert_eq!(item["dynoLockVersion"]["S"], "another", "left alone");
}

#[tokio::test]
async fn a_sibling_is_judged_by_the_clock_right_then() {
    let scene = Scene::new().await;
    let client = scene.client();
    let short = scene.lock(&client, "b").lease(ms(400));
    let locks = client.lock_all([scene.lock(&client, "a"), short]);
    let leases = soon(locks.acquire()).await.expect("free");
    assert!(leases[0].remaining() <= ms(400));
    // Nobody watches; time goes by without any task of ours.
    std::thread::sleep(leases[1].remaining() + ms(5));
    assert!(!leases[0].is_held(), "asked first");
    let error = soon(leases[0].renew()).await.expect_err("lost");
    assert_eq!(error.lost(), Some(&Lost::WithAnother));
    assert_eq!(soon(leases.lost()).await, (1, Lost::Expired));
    drop(leases);
    soon(client.drain()).await;
    assert_all_free(&scene, &["a", "b"]).await;

    // Somebody watches: the end of the other wakes.
    let short = scene.lock(&client, "b").lease(ms(400));
    let locks = client.lock_all([scene.lock(&client, "a"), short]);
    let leases = soon(locks.acquire()).await.expect("free");
    assert_eq!(soon(leases[0].lost()).await, Lost::WithAnother);
    // Its turn is passed on though it is still in the item: its version is nobody's.
    let next = soon(scene.lock(&client, "a").try_acquire())
        .await
        .expect("an answer");
    scene
        .assert_holds("a", &next.expect("taken over at once"), "next")
        .await;
}

#[tokio::test]
async fn released_leases_do_not_lose_each_other() {
    let scene = Scene::new().await;
    let client = scene.client();
    let locks = ABC.map(|id| scene.lock(&client, id).lease(ms(1500)));
    let leases = soon(client.lock_all(locks).acquire()).await.expect("free");
    let watchers: Vec<_> = leases.iter().map(|it| it.watcher()).collect();
    soon(leases.release()).await.expect("released");
    until(|| watchers.iter().all(|it| it.remaining().is_zero())).await;
    // Past the end that the leases would have had.
    let end = wall_nanos() + 1_600_000_000;
    until(|| wall_nanos() > end).await;
    for watcher in watchers {
        assert_eq!(soon(watcher.lost()).await, None, "given back, not lost");
    }
}

#[tokio::test]
async fn dropping_gives_all_back() {
    let scene = Scene::new().await;
    let client = scene.client();
    drop(acquired(&scene, &client, &ABC).await);
    soon(client.drain()).await;
    assert_all_free(&scene, &ABC).await;
    assert_eq!(scene.proxy.count(Step::Release), 3);

    // Before the transaction arrives, before its answer does, and while the items are read.
    type Weather = fn(Gate) -> Vec<Fault>;
    let moments: [(&str, Weather, usize); 3] = [
        ("request", |gate| vec![Fault::Delay(gate)], 1),
        ("answer", |gate| vec![Fault::DelayAnswer(gate)], 1),
        ("reads", |gate| vec![Fault::Pass, Fault::Delay(gate)], 2),
    ];
    for (what, weather, requests) in moments {
        let scene = Scene::new().await;
        let client = scene.client();
        let gate = Gate::closed();
        scene.proxy.next(weather(gate.clone()));
        let locks = set(&scene, &client, &ABC);
        {
            let acquiring = locks.acquire();
            tokio::select! {
                leases = acquiring => panic!("{what}: {leases:?}"),
                () = scene.proxy.wait_for(requests) => {}
            }
        }
        gate.open();
        soon(client.drain()).await;
        assert_all_free(&scene, &ABC).await;
        // And the local turns.
        let leases = soon(locks.try_acquire()).await.expect("an answer");
        assert!(leases.is_some(), "{what}");
    }
}

#[tokio::test]
async fn the_dead_in_a_set_are_taken_over() {
    let scene = Scene::new().await;
    let client = scene.client();
    // By its expiry; at once, also by a single try.
    scene.put_lock("b", -5_000_000_000, "500000000").await;
    let leases = soon(set(&scene, &client, &ABC).try_acquire()).await;
    let leases = leases.expect("an answer").expect("dead");
    assert_all_hold(&scene, &leases, &ABC).await;
    soon(leases.release()).await.expect("released");
    // Two by standing unchanged for their leases, whatever their clocks say.
    scene.put_lock("b", 3_600_000_000_000, "600000000").await;
    scene.put_lock("c", 3_600_000_000_000, "300000000").await;
    let locks = ABC.map(|id| scene.lock(&client, id).max_clock_skew(Duration::MAX));
    let before = wall_nanos();
    let leases = soon(client.lock_all(locks).acquire()).await.expect("dead");
    assert!(wall_nanos() - before >= 600_000_000);
    assert_all_hold(&scene, &leases, &ABC).await;
    let tokens = leases.iter().map(|it| it.fencing_token());
    let items = [
        scene.item("a").await,
        scene.item("b").await,
        scene.item("c").await,
    ];
    let fences = items.map(|item| fence(&item.expect("an item")));
    assert!(tokens.eq(fences));
}

#[tokio::test]
async fn cancelling_one_lock_cancels_the_set() {
    let scene = Scene::new().await;
    let rival = scene.rival();
    let _theirs = soon(scene.lock(&rival, "b").acquire()).await.expect("free");
    let client = scene.client();
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopping = stop.clone();
    let cancellable = scene.lock(&client, "b").cancelled_by(move || {
        let stop = stopping.clone();
        async move { stop.notified().await }
    });
    let locks = client.lock_all([scene.lock(&client, "a"), cancellable]);
    let waiting = spawn(async move { locks.acquire().await });
    scene.proxy.wait_for(1).await;
    stop.notify_one();
    let error = soon(waiting)
        .await
        .expect("no panic")
        .expect_err("cancelled");
    assert!(error.is_cancelled(), "{error:?}");
}

#[tokio::test]
async fn bad_sets_are_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let (client, rival) = (scene.client(), scene.rival());
    let lock = |id: &str| scene.lock(&client, id);
    let number = |text: &str| {
        let number: Number = text.parse().expect("a number");
        client.lock(&scene.table, Key::new("n", number))
    };
    let arn = format!(
        "arn:aws:dynamodb:us-east-1:123456789012:table/{}",
        scene.table
    );
    let ids: Vec<_> = (0..101).map(|n| format!("i{n}")).collect();
    let names = dynolock::AttributeNames {
        version: "other".into(),
        ..Default::default()
    };
    let cases = [
        (vec![], "set of locks: it has 0 locks; 1 to 100", None),
        (
            ids.iter().map(|id| lock(id)).collect(),
            "it has 101 locks",
            None,
        ),
        (
            vec![lock("a"), lock("b"), lock("a")],
            "lock 0 is of the same item",
            Some(2),
        ),
        (
            vec![number("1"), number("1.0")],
            "lock 0 is of the same item",
            Some(1),
        ),
        (
            vec![lock("a"), client.lock(arn, ("id", "a"))],
            "lock 0 is of the same item",
            Some(1),
        ),
        (
            vec![lock("a"), lock("a").attribute_names(names)],
            "the same item",
            Some(1),
        ),
        (
            vec![lock("a"), scene.lock(&rival, "b")],
            "another client's",
            Some(1),
        ),
        (
            vec![lock("a"), lock("b").lease(ms(1))],
            "lease: 1ms is out of range",
            Some(1),
        ),
        (vec![lock("a"), lock("")], "partition key: ", Some(1)),
    ];
    for (locks, expected, entry) in cases {
        let locks = client.lock_all(locks);
        for error in [
            soon(locks.acquire()).await.expect_err(expected),
            soon(locks.try_acquire()).await.expect_err(expected),
        ] {
            assert!(error.is_invalid_option(), "{expected}: {error:?}");
            assert!(error.to_string().contains(expected), "{expected}: {error}");
            assert_eq!(error.entry(), entry, "{expected}");
        }
    }
    assert_eq!(scene.proxy.requests().len(), 0);
    let all: Vec<_> = ids.iter().take(100).map(String::as_str).collect();
    let leases = acquired(&scene, &client, &all).await;
    assert_eq!(leases.len(), 100);
    assert!(scene.proxy.connections() <= 10);
    soon(leases.release()).await.expect("released");
}

#[tokio::test]
async fn a_transfer_by_a_set_and_a_transaction() {
    let scene = Scene::new().await;
    for id in ["a", "b"] {
        scene.put(id, json!({"balance": {"N": "100"}})).await;
    }
    let client = scene.client();
    let leases = acquired(&scene, &client, &["a", "b"]).await;
    let transaction = client.transaction();
    let transaction = transaction.update(&leases[0], Update::new().add("balance", -10));
    let transaction = transaction.update(&leases[1], Update::new().add("balance", 10));
    soon(transaction.send()).await.expect("sent");
    soon(leases.release()).await.expect("released");
    let balance = async |id| scene.item(id).await.expect("an item")["balance"]["N"].clone();
    assert_eq!(
        (balance("a").await, balance("b").await),
        (json!("90"), json!("110"))
    );
}

/// Nobody looks at the set, whose other lock was held for a short time only.
#[tokio::test]
async fn a_waiter_in_the_queue_notices_that_a_set_is_lost_by_its_other_lock() {
    let scene = Scene::new().await;
    let client = scene.client();
    let short = scene.lock(&client, "a").lease(ms(1000));
    let locks = [short, scene.lock(&client, "b")];
    let leases = soon(client.lock_all(locks).acquire()).await.expect("free");
    let waiting = soon(scene.lock(&client, "b").acquire()).await;
    let lease = waiting.expect("the set is lost");
    assert!(lease.fencing_token() > leases[1].fencing_token());
    assert!(!leases.is_held());
    scene.assert_holds("b", &lease, "taken over").await;
}

/// The same where the set has heartbeats, the next of which is far away.
#[tokio::test]
async fn a_set_that_is_lost_passes_on_its_turns_at_once() {
    let scene = Scene::new().await;
    let client = scene.client();
    let locks = ["a", "b"].map(|id| {
        let lock = scene.lock(&client, id).lease(LONG * 10);
        lock.heartbeat(LONG * 5)
    });
    let leases = soon(client.lock_all(locks).acquire()).await.expect("free");
    for lease in &leases {
        lease.start_heartbeat().expect("started");
    }
    let lock = scene.lock(&client, "b");
    let waiting = spawn(async move { lock.acquire().await });
    // It waits in the queue once it is polled.
    tokio::task::yield_now().await;
    scene.put_lock("a", 60_000_000_000, "60000000000").await;
    soon(leases[0].renew()).await.expect_err("taken over");
    let lease = soon(waiting).await.expect("no panic");
    let lease = lease.expect("the set is lost");
    scene.assert_holds("b", &lease, "taken over").await;
}
