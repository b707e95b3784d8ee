//! Items whose lock attributes are not as we would write them.

use dynolock::{Lease, Lock};
use serde_json::{Value, json};

use crate::scene::{Scene, fence, ms, soon};
use crate::support::fault::{Answer, Fault};
use crate::support::wall_nanos;

const HOUR: i64 = 3_600_000_000_000;

fn n(digits: impl ToString) -> Value {
    json!({"N": digits.to_string()})
}

#[tokio::test]
async fn wrong_types_and_unreadable_content_are_named_and_left_alone() {
    let scene = Scene::new().await;
    let client = scene.client();
    let wrong_types = |types: &[Value], names: &[&str]| -> Vec<(String, Value)> {
        let pairs = names.iter().flat_map(|name| {
            types
                .iter()
                .map(|value| ((*name).to_owned(), value.clone()))
        });
        pairs.collect()
    };
    let others = [
        json!({"BOOL": true}),
        json!({"NULL": true}),
        json!({"B": "AAAA"}),
        json!({"L": []}),
    ];
    let mut cases = wrong_types(
        &others,
        &["Expires", "LeaseDuration", "Version", "Fence", "Owner"],
    );
    let text = json!({"S": "1"});
    cases.extend(wrong_types(&[text], &["Expires", "LeaseDuration", "Fence"]));
    cases.extend(wrong_types(&[n(1)], &["Version", "Owner"]));
    let beyond = [
        "9223372036854775808",
        "1e100",
        "99999999999999999999999999999999999999",
    ];
    cases.extend(wrong_types(&beyond.map(n), &["Expires", "Fence"]));
    let fraction = format!("{}.5", wall_nanos() + HOUR);
    cases.extend(wrong_types(&[n(fraction)], &["Expires"]));
    cases.extend(wrong_types(&[n(-1)], &["Fence"]));

    for (index, (name, value)) in cases.into_iter().enumerate() {
        let id = format!("item-{index}");
        let name = format!("dynoLock{name}");
        let what = format!("{name} {value}");
        scene
            .put(&id, json!({&name: value, "mine": {"S": "x"}}))
            .await;
        let before = scene.item(&id).await;
        let error = soon(scene.lock(&client, &id).acquire()).await;
        let error = error.expect_err(&what);
        assert!(error.is_bad_attribute(), "{what}: {error:?}");
        assert!(!error.is_held() && !error.is_timeout(), "{what}: {error:?}");
        assert!(error.to_string().contains(&name), "{what}: {error}");
        client.drain().await;
        assert_eq!(scene.item(&id).await, before, "{what}");
        assert_eq!(scene.proxy.requests().len(), index + 1, "{what}: one try");
    }
}

/// No condition can ask whether a number is whole: the write is taken back.
#[tokio::test]
async fn a_fractional_fence_is_named_and_leaves_no_lock() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.put("a", json!({"dynoLockFence": n("1.5")})).await;
    let error = soon(scene.lock(&client, "a").acquire()).await;
    let error = error.expect_err("not a fence");
    assert!(error.is_bad_attribute(), "{error:?}");
    assert!(error.to_string().contains("dynoLockFence"), "{error}");
    soon(client.drain()).await;
    scene.assert_free("a", "taken back").await;
}

#[tokio::test]
async fn a_refusal_with_a_number_of_39_digits_is_no_answer() {
    let scene = Scene::new().await;
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": {"id": {"S": "a"}, "dynoLockExpires": n("1".repeat(39))},
    });
    let body = body.to_string();
    scene
        .proxy
        .on(move |_| Fault::AnswerWith(Answer::json_text(400, &body)));
    let lock = scene.lock(&scene.hasty_client(), "a").timeout(ms(1500));
    let error = soon(lock.acquire()).await.expect_err("unreadable");
    assert!(error.is_timeout() && error.is_unavailable(), "{error:?}");
    assert!(!error.is_held(), "{error:?}");
}

/// Zero, negative and before 1970 are free; long past is dead; each at the first try.
#[tokio::test]
async fn free_and_dead_locks_are_had_at_the_first_try() {
    let scene = Scene::new().await;
    let client = scene.client();
    let now = wall_nanos();
    let past_fraction = format!("{}.5", now - HOUR);
    let cases = [
        "0",
        "-1",
        "-0.5",
        "-1e30",
        "-9223372036854775809",
        "1",
        &past_fraction,
    ];
    for (index, expires) in cases.into_iter().enumerate() {
        let id = format!("item-{index}");
        let held = json!({
            "dynoLockExpires": n(expires),
            "dynoLockLeaseDuration": n(-5),
            "dynoLockVersion": {"S": "another"},
        });
        scene.put(&id, held).await;
        let lease = had_at_once(&scene.lock(&client, &id), expires).await;
        scene.assert_holds(&id, &lease, expires).await;
        assert_eq!(
            scene.proxy.requests().len(),
            2 * index + 1,
            "{expires}: one request"
        );
        soon(lease.release()).await.expect("released");
    }
}

async fn had_at_once(lock: &Lock, what: &str) -> Lease {
    let lease = soon(lock.try_acquire()).await.expect(what);
    lease.unwrap_or_else(|| panic!("{what}: it should be free"))
}

/// Rule 1 is not met, and rule 2 has no lease to watch for.
#[tokio::test]
async fn a_live_lock_without_a_believable_lease_is_not_taken_over() {
    let scene = Scene::new().await;
    let leases = ["0", "-1", "-1e20", "0.5", "31622400000000001", "1e125"];
    for (index, stated) in leases.into_iter().enumerate() {
        let id = format!("item-{index}");
        scene.put_lock(&id, HOUR, stated).await;
        let before = scene.item(&id).await;
        let lock = scene.lock(&scene.client(), &id).retry_interval(ms(20));
        let seen = scene.proxy.requests().len();
        tokio::select! {
            acquired = lock.acquire() => panic!("{stated}: {acquired:?}"),
            () = scene.proxy.wait_for_answers(seen + 5) => {}
        }
        assert_eq!(scene.item(&id).await, before, "{stated}");
    }
    let lock = scene.lock(&scene.client(), "item-0").timeout(ms(1000));
    let error = soon(lock.acquire()).await.expect_err("held to the end");
    assert!(error.is_held() && error.is_timeout(), "{error:?}");
    let holder = error.holder().expect("a holder");
    assert_eq!(holder.version(), Some("another"));
}

/// However far in the future it expires, it was seen unchanged for its lease.
#[tokio::test]
async fn an_expiry_far_in_the_future_is_taken_over_by_observation_only() {
    let scene = Scene::new().await;
    scene.put_lock("a", i64::MAX, "200000000").await;
    let lock = scene.lock(&scene.client(), "a");
    let single = soon(lock.try_acquire()).await.expect("an answer");
    assert!(single.is_none(), "one look observes nothing");
    let lease = soon(lock.acquire()).await.expect("seen dead");
    scene.assert_holds("a", &lease, "taken over").await;
}

/// Past, but not by more than the skew that is allowed for, and no lease to watch for.
#[tokio::test]
async fn an_expiry_past_within_the_skew_is_not_taken_over() {
    let scene = Scene::new().await;
    scene.put_lock("a", -1_000_000, "0").await;
    let lock = scene
        .lock(&scene.client(), "a")
        .max_clock_skew(ms(3_600_000));
    let single = soon(lock.try_acquire()).await.expect("an answer");
    assert!(single.is_none(), "within the skew");
    let believing = lock.max_clock_skew(ms(0));
    let lease = had_at_once(&believing, "no skew allowed for").await;
    scene.assert_holds("a", &lease, "no skew allowed for").await;
}

#[tokio::test]
async fn fences_up_to_the_largest_are_raised_and_no_further() {
    let scene = Scene::new().await;
    let client = scene.client();
    let largest = 1_u64 << 63;
    for before in [0, 41, largest - 2, largest - 1] {
        scene.put("a", json!({"dynoLockFence": n(before)})).await;
        let lease = had_at_once(&scene.lock(&client, "a"), "in range").await;
        assert_eq!(lease.fencing_token(), before + 1);
        soon(lease.renew()).await.expect("renewed");
        scene.assert_holds("a", &lease, "raised").await;
        soon(lease.release()).await.expect("released");
        let item = scene.item("a").await.expect("the fence stays");
        assert_eq!(fence(&item), before + 1);
    }
    let error = soon(scene.lock(&client, "a").acquire()).await;
    let error = error.expect_err("it cannot be raised");
    assert!(error.is_bad_attribute(), "{error:?}");
    assert!(error.to_string().contains("dynoLockFence"), "{error}");
    let item = scene.item("a").await.expect("untouched");
    assert_eq!(fence(&item), largest);
}
