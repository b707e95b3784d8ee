//! Bad input and bad weather, each with the outcome that is promised.
//!
//! What needs skewed or jumping clocks, frozen processes or many clients is in
//! `src/simulation/`, and case by case in `src/protocol/`.

#![allow(clippy::disallowed_methods, reason = "the tasks of the tests")]

mod scene;
mod support;

use std::time::Duration;

use dynolock::{Key, Lost, Number};
use serde_json::{Value, json};

use scene::{SHORT, Scene, key};
use support::fault::{Fault, Gate, Which};
use support::recorded::Step;

#[tokio::test]
async fn bad_options_are_refused_before_anything_is_sent() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = || client.lock(&scene.table, ("id", "a"));
    let cases = [
        (lock().lease(SHORT).heartbeat(SHORT), "heartbeat"),
        (lock().lease(Duration::ZERO), "lease"),
        (lock().lease(Duration::MAX), "lease"),
        (lock().timeout(Duration::ZERO), "timeout"),
        (lock().retry_interval(Duration::ZERO), "retry interval"),
        (client.lock("", ("id", "a")), "table"),
        (client.lock("x".repeat(256), ("id", "a")), "table"),
        (client.lock(&scene.table, ("id", "")), "partition key"),
        (client.lock(&scene.table, ("", "a")), "partition key"),
        (
            client.lock(&scene.table, Key::new("id", "a").sort("s", "")),
            "sort key",
        ),
        (lock().owner(""), "owner"),
    ];
    for (lock, option) in cases {
        for error in [
            lock.acquire().await.unwrap_err(),
            lock.try_acquire().await.unwrap_err(),
        ] {
            assert!(error.is_invalid_option(), "{error}");
            assert!(error.to_string().starts_with(option), "{error}");
        }
    }
    assert!(scene.proxy.requests().is_empty());
    for number in ["NaN", "Infinity", "", "1e400", &"9".repeat(39)] {
        assert!(number.parse::<Number>().is_err(), "{number}");
    }
}

#[tokio::test]
async fn a_key_or_a_table_that_does_not_fit_is_dynamodbs_error_and_final() {
    let scene = Scene::new().await;
    let client = scene.client();
    let wrong = [
        client.lock(&scene.table, ("id", 7)),
        client.lock(&scene.table, ("other", "a")),
        client.lock(&scene.table, (("id", "a"), ("sk", "b"))),
    ];
    for lock in wrong {
        let error = lock.timeout(Duration::MAX).acquire().await.unwrap_err();
        assert_eq!(error.code(), Some("ValidationException"), "{error}");
        assert!(!error.is_held() && !error.is_timeout());
    }
    let missing = client
        .lock("no-such-table", ("id", "a"))
        .timeout(Duration::MAX);
    let error = missing.acquire().await.unwrap_err();
    assert!(error.is_table_not_found(), "{error}");
    scene.proxy.next([Fault::access_denied()]);
    let error = scene
        .lock(&client)
        .timeout(Duration::MAX)
        .acquire()
        .await
        .unwrap_err();
    assert!(error.is_access_denied() && error.code() == Some("AccessDeniedException"));
    assert_eq!(scene.proxy.requests().len(), 5, "one attempt each");
}

#[tokio::test]
async fn lock_attributes_that_cannot_be_read_are_named_and_left_alone() {
    let scene = Scene::new().await;
    let far = "99999999999999999999999999999999999999";
    let cases = [
        ("dynoLockExpires", json!({"S": "soon"})),
        ("dynoLockExpires", json!({"N": far})),
        ("dynoLockExpires", json!({"N": "9223372036854775807.5"})),
        ("dynoLockLeaseDuration", json!({"S": "long"})),
        ("dynoLockVersion", json!({"N": "1"})),
        ("dynoLockOwner", json!({"N": "1"})),
        ("dynoLockFence", json!({"S": "x"})),
        ("dynoLockFence", json!({"N": "-1"})),
        ("dynoLockFence", json!({"N": "9223372036854775808"})),
    ];
    let lock = scene.lock(&scene.client());
    for (name, value) in cases {
        let mut item = key();
        item[name] = value;
        scene.put(&item).await;
        let error = lock.acquire().await.unwrap_err();
        assert!(error.is_bad_attribute(), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(scene.item().await.unwrap(), item, "untouched");
    }
}

#[tokio::test]
async fn locks_with_odd_numbers_are_free_or_held_as_the_design_says() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let held = |expires: &str, lease: Value| {
        let mut item = key();
        item["dynoLockExpires"] = json!({"N": expires});
        item["dynoLockVersion"] = json!({"S": "other"});
        item["dynoLockLeaseDuration"] = lease;
        item
    };
    for expires in [
        "0",
        "-1",
        "-99999999999999999999999999999999999999",
        "1",
        "1.5",
    ] {
        scene.put(&held(expires, json!({"N": "-7"}))).await;
        let lease = lock.try_acquire().await.unwrap().expect(expires);
        lease.release().await.unwrap();
    }
    for lease in ["0", "-1", "1.5", "99999999999999999999999999999999999999"] {
        scene
            .put(&held("9000000000000000000", json!({"N": lease})))
            .await;
        let error = lock.clone().timeout(SHORT).acquire().await.unwrap_err();
        assert!(error.is_held(), "nobody may take it over: {error}");
    }
    let mut item = held("1", json!({"N": "5"}));
    item["dynoLockFence"] = json!({"N": "9223372036854775807"});
    scene.put(&item).await;
    let lease = lock.acquire().await.unwrap();
    assert_eq!(lease.fencing_token(), 1 << 63);
    lease.renew().await.unwrap();
    lease.release().await.unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_in_bounded_time() {
    let client = scene::builder(&support::refusing_url()).build().unwrap();
    let error = client
        .lock("jobs", ("id", "a"))
        .acquire()
        .await
        .unwrap_err();
    assert!(
        error.is_unavailable() && error.is_timeout() && !error.is_held(),
        "{error}"
    );
    assert!(
        client
            .lock("jobs", ("id", "a"))
            .try_acquire()
            .await
            .unwrap_err()
            .is_unavailable()
    );
    client.drain().await;
}

/// A fault and its name.
type NamedFault = (&'static str, fn() -> Fault);

#[tokio::test]
async fn bad_answers_are_recovered_from_and_leave_one_increment() {
    let faults: [NamedFault; 13] = [
        ("answer lost", || Fault::ForwardThenDropAnswer),
        ("reset after it", || Fault::ForwardThenReset),
        ("reset before it", || Fault::ResetRequest),
        ("not delivered", || Fault::DropRequest),
        ("half an answer", || Fault::HalfAnswer),
        ("no JSON", Fault::not_json),
        ("10 MB", || Fault::long_body(10 << 20)),
        ("500", Fault::internal_error),
        ("503", Fault::unavailable),
        ("throttled", Fault::throttled),
        ("conflict", Fault::transaction_conflict),
        ("delivered twice", || Fault::ForwardTwice(Which::First)),
        ("delivered twice, second answer", || {
            Fault::ForwardTwice(Which::Second)
        }),
    ];
    for (what, fault) in faults {
        let scene = Scene::new().await;
        let mut before = key();
        before["dynoLockFence"] = json!({"N": "41"});
        scene.put(&before).await;
        let lock = scene.lock(&scene.client());
        scene.proxy.next([fault()]);
        let lease = lock
            .acquire()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(lease.fencing_token(), 42, "{what}: one increment");
        assert_eq!(scene.fence().await, 42, "{what}");
        scene.proxy.next([fault()]);
        lease
            .renew()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        scene.proxy.next([fault()]);
        lease
            .release()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!scene.is_locked().await, "{what}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_nothing_is_left_behind() {
    let scene = Scene::new().await;
    let client = scene
        .builder()
        .attempt_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    scene.proxy.next([Fault::HangAfterForward]);
    let lease = scene.lock(&client).acquire().await.unwrap();
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Acquire]);
    assert_eq!(
        scene.proxy.connections(),
        2,
        "the next goes over another connection"
    );
    lease.release().await.unwrap();

    scene.proxy.on(|_| Fault::Hang);
    let lock = scene.lock(&client).lease(SHORT).timeout(SHORT);
    assert!(lock.acquire().await.unwrap_err().is_unavailable());
    client.drain().await;
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn a_dropped_acquisition_is_given_back_in_the_background() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client);
    let gate = Gate::closed();
    scene.proxy.next([Fault::DelayAnswer(gate.clone())]);
    let mut acquiring = Box::pin(lock.acquire());
    tokio::select! {
        _ = &mut acquiring => panic!("it was not held up"),
        () = scene.proxy.wait_for_answers(1) => {}
    }
    drop(acquiring);
    assert!(scene.is_locked().await);
    gate.open();
    client.drain().await;
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn an_acquisition_out_of_time_is_given_back_in_the_background() {
    let scene = Scene::new().await;
    let client = scene.client();
    let gate = Gate::closed();
    scene.proxy.next([Fault::DelayAnswer(gate.clone())]);
    let error = scene
        .lock(&client)
        .timeout(SHORT)
        .acquire()
        .await
        .unwrap_err();
    assert!(error.is_timeout() && !error.is_held(), "{error}");
    gate.open();
    client.drain().await;
    assert!(!scene.is_locked().await);
}

#[tokio::test]
async fn a_release_whose_answer_got_lost_is_done_though_another_has_come() {
    let scene = Scene::new().await;
    let client = scene
        .builder()
        .attempt_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let lease = scene.lock(&client).acquire().await.unwrap();
    scene.proxy.next([Fault::HangAfterForward]);
    let releasing = tokio::spawn(lease.release());
    scene.proxy.wait_for_answers(2).await;
    let other = scene.lock(&scene.other()).acquire().await.unwrap();
    releasing.await.unwrap().unwrap();
    other.renew().await.unwrap();
    other.release().await.unwrap();
}

#[tokio::test]
async fn heartbeats_that_all_fail_lose_the_lease_at_its_deadline() {
    let scene = Scene::new().await;
    let lock = scene
        .lock(&scene.client())
        .lease(SHORT)
        .heartbeat(SHORT / 8);
    let lease = lock.acquire().await.unwrap();
    scene.proxy.on(|_| Fault::internal_error());
    lease.start_heartbeat().unwrap();
    scene.proxy.wait_for(2).await;
    assert!(lease.is_held(), "one failure is no loss");
    assert_eq!(lease.lost().await, Lost::Expired);
    scene.proxy.on(|_| Fault::Pass);
    let other = scene.lock(&scene.other()).acquire().await.unwrap();
    assert!(lease.release().await.unwrap_err().is_lost());
    other.renew().await.unwrap();
    other.release().await.unwrap();
}

#[tokio::test]
async fn late_copies_of_old_requests_change_nothing() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client());
    let lease = lock.acquire().await.unwrap();
    lease.renew().await.unwrap();
    lease.renew().await.unwrap();
    let now = scene.item().await;
    for old in 0..3 {
        assert_eq!(
            scene.proxy.replay(old).await.0,
            400,
            "request {old} applies again"
        );
        assert_eq!(scene.item().await, now);
    }
    lease.release().await.unwrap();
    let released = scene.item().await;
    for old in 1..4 {
        assert_eq!(
            scene.proxy.replay(old).await.0,
            400,
            "request {old} revives"
        );
        assert_eq!(scene.item().await, released);
    }
    let other = scene.lock(&scene.other()).acquire().await.unwrap();
    let held = scene.item().await;
    for old in 0..4 {
        assert_eq!(
            scene.proxy.replay(old).await.0,
            400,
            "request {old} harms another"
        );
        assert_eq!(scene.item().await, held);
    }
    assert!(other.is_held());
    other.release().await.unwrap();
}

#[tokio::test]
async fn a_late_acquire_on_a_free_lock_is_believed_by_nobody_and_ends() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client()).lease(SHORT);
    let lease = lock.acquire().await.unwrap();
    let token = lease.fencing_token();
    lease.release().await.unwrap();
    assert_eq!(scene.proxy.replay(0).await.0, 200);
    let next = scene.lock(&scene.other()).acquire().await.unwrap();
    assert!(next.fencing_token() > token);
    next.release().await.unwrap();
}

#[tokio::test]
async fn a_throttled_waiter_slows_down() {
    let scene = Scene::new().await;
    scene.proxy.on(|_| Fault::throttled());
    let lock = scene
        .lock(&scene.client())
        .timeout(Duration::from_millis(500));
    let error = lock
        .retry_interval(Duration::from_millis(50))
        .acquire()
        .await
        .unwrap_err();
    assert!(
        error.is_throttled() && error.is_timeout() && !error.is_held(),
        "{error}"
    );
    // At once, then after 100, 200, 400 ms, a fifth less at least.
    assert!(scene.proxy.requests().len() <= 4);
}

#[tokio::test]
async fn a_clock_that_the_server_contradicts_takes_nothing_over_by_itself() {
    let scene = Scene::new().await;
    let mut item = key();
    // Expired an hour ago by our clock; by the server's it has an hour to go.
    let hour = 3600 * 1_000_000_000;
    item["dynoLockExpires"] = json!({"N": (support::wall_nanos() - hour).to_string()});
    item["dynoLockVersion"] = json!({"S": "other"});
    item["dynoLockLeaseDuration"] = json!({"N": (2 * hour).to_string()});
    let lock = scene.lock(&scene.client()).timeout(SHORT);
    scene.put(&json!({"id": {"S": "a"}})).await;
    let date = "Thu, 01 Jan 2015 00:00:00 GMT";
    scene.proxy.on(move |_| Fault::header("date", date));
    lock.acquire().await.unwrap().release().await.unwrap();
    scene.put(&item).await;
    assert!(lock.acquire().await.unwrap_err().is_held());
    // Without the contradiction it is dead.
    let lease = scene
        .lock(&scene.other())
        .try_acquire()
        .await
        .unwrap()
        .unwrap();
    lease.release().await.unwrap();
}
