//! What ends a lease with a write: the price of it, and what is left in the item.

use dynolock::{Item, Update};
use serde_json::json;

use super::{acquired, number, one_more, record};
use crate::scene::{LONG, Scene, fence, ms, soon};
use crate::support::recorded::Step;

#[tokio::test]
async fn a_read_modify_write_is_exactly_two_requests() {
    let scene = Scene::new().await;
    let client = scene.client();
    // With a heartbeat, which is not due yet.
    let lock = client.lock(&scene.table, ("id", "a")).owner("us");
    let lock = lock.lease(LONG).timeout(LONG);
    for round in 1..=3 {
        let lease = soon(lock.acquire()).await.expect("free");
        let n = lease.item().get("n").cloned();
        assert_eq!(
            n,
            (round > 1).then(|| (round - 1).into()),
            "read by locking"
        );
        let token = lease.fencing_token();
        soon(lease.commit(Update::new().set("n", round)))
            .await
            .expect("held");
        let item = scene.item("a").await.expect("an item");
        let left = json!({
            "id": {"S": "a"}, "n": number(round), "dynoLockFence": number(token),
        });
        assert_eq!(item, left, "nothing of the lock but its fence");
    }
    soon(client.drain()).await;
    let pair = [Step::Acquire, Step::Release];
    assert_eq!(scene.proxy.steps(), [pair; 3].concat());
    let requests = scene.proxy.requests();
    assert!(requests.iter().all(|r| r.operation == "UpdateItem"));
    assert_eq!(scene.proxy.connections(), 1);
}

#[tokio::test]
async fn deleting_a_record_is_exactly_two_requests() {
    let scene = Scene::new().await;
    let client = scene.client();
    scene.put("a", json!({"n": {"N": "1"}})).await;
    let lease = acquired(&scene).await;
    let token = lease.fencing_token();
    soon(lease.delete_item()).await.expect("held");
    assert_eq!(scene.item("a").await, None, "record, lock and fence");
    soon(client.drain()).await;
    assert_eq!(scene.proxy.requests().len(), 2);
    assert_eq!(scene.proxy.requests()[1].operation, "DeleteItem");
    let next = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    assert!(next.fencing_token() > token, "the clock goes on");
}

#[tokio::test]
async fn a_commit_of_nothing_is_a_release() {
    let scene = Scene::new().await;
    scene.put("a", json!({"n": {"N": "1"}})).await;
    let lease = acquired(&scene).await;
    soon(lease.commit(Update::new())).await.expect("held");
    scene.assert_free("a", "released").await;
    assert_eq!(record(&scene).await, json!({"n": {"N": "1"}}));
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Release]);
}

#[tokio::test]
async fn who_waits_comes_next_and_sees_what_was_committed() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client, "a");
    let lease = soon(lock.acquire()).await.expect("free");
    let (here, there) = (lock.clone(), scene.lock(&scene.rival(), "a"));
    let there = there.retry_interval(ms(5));
    let count = |lock: dynolock::Lock| {
        crate::scene::spawn(async move {
            let lease = lock.acquire().await.expect("in time");
            let seen = lease.item().get("n").cloned();
            lease.commit(one_more()).await.expect("held");
            seen.expect("it was committed before")
        })
    };
    let tasks = [count(here), count(there)];
    soon(lease.commit(one_more())).await.expect("held");
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(soon(task).await.expect("no panic"));
    }
    seen.sort();
    assert_eq!(seen, [1.into(), 2.into()]);
    assert_eq!(record(&scene).await, json!({"n": {"N": "3"}}));
}

#[tokio::test]
async fn a_lock_that_deletes_on_release_keeps_what_its_lease_has_written() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = |id| scene.lock(&client, id).delete_on_release();
    let lease = soon(lock("updated").acquire()).await.expect("free");
    soon(lease.update(one_more())).await.expect("held");
    soon(lease.release()).await.expect("released");
    let lease = soon(lock("dropped").acquire()).await.expect("free");
    soon(lease.update(one_more())).await.expect("held");
    drop(lease);
    let lease = soon(lock("committed").acquire()).await.expect("free");
    soon(lease.commit(one_more())).await.expect("held");
    let lease = soon(lock("handed on").acquire()).await.expect("free");
    soon(lease.update(one_more())).await.expect("held");
    let token = soon(lease.into_token()).await.expect("held");
    let lease = soon(lock("handed on").resume(&token)).await.expect("held");
    soon(lease.release()).await.expect("released");
    soon(client.drain()).await;
    for id in ["updated", "dropped", "committed", "handed on"] {
        let item = scene.item(id).await.unwrap_or_default();
        assert_eq!(item["n"], number(1), "{id}");
        scene.assert_free(id, id).await;
    }

    let lease = soon(lock("nothing").acquire()).await.expect("free");
    let token = soon(lease.into_token()).await.expect("held");
    let lease = soon(lock("nothing").resume(&token)).await.expect("held");
    soon(lease.release()).await.expect("released");
    assert_eq!(
        scene.item("nothing").await,
        None,
        "there was nothing to keep"
    );
}

#[tokio::test]
async fn a_lock_on_existing_items_writes_and_ends_as_any_other() {
    let scene = Scene::new().await;
    let client = scene.client();
    for id in ["a", "b"] {
        scene.put(id, json!({"n": {"N": "1"}})).await;
    }
    let lock = |id| scene.lock(&client, id).existing_only();
    let lease = soon(lock("a").acquire()).await.expect("free");
    let token = lease.fencing_token();
    soon(lease.update(one_more())).await.expect("held");
    soon(lease.commit(one_more())).await.expect("held");
    let item = scene.item("a").await.expect("an item");
    assert_eq!((&item["n"], fence(&item)), (&number(3), token));
    let lease = soon(lock("b").acquire()).await.expect("free");
    assert_eq!(
        lease.item(),
        &Item::from_iter([("id", "b".into()), ("n", dynolock::AttributeValue::from(1))])
    );
    soon(lease.delete_item()).await.expect("held");
    let error = soon(lock("b").acquire()).await.expect_err("deleted");
    assert!(error.is_item_not_found(), "{error:?}");
}
