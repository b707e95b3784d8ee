//! Beside peers of dyno, which know nothing of fences and write the whole lock: the record is
//! unharmed by them, and they by our writes.

use dynolock::Update;
use serde_json::{Value, json};

use super::{acquired, number, one_more, record};
use crate::scene::{Scene, expires, soon};
use crate::support::dyno::DynoPeer;
use crate::support::wall_nanos;

const SECOND: i64 = 1_000_000_000;
/// Of a peer that outlives the test.
const HOUR: i64 = 3600 * SECOND;

fn peer(scene: &Scene) -> DynoPeer {
    DynoPeer::new(&scene.engine, &scene.table, json!({"id": {"S": "a"}}))
}

async fn item(scene: &Scene) -> Value {
    scene.item("a").await.expect("an item")
}

#[tokio::test]
async fn a_peer_waits_while_we_update_and_acquires_after_our_commit() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let lease = acquired(&scene).await;
    for n in 1..=3 {
        soon(lease.update(one_more())).await.expect("held");
        let up_to_the_end = expires(&item(&scene).await);
        assert!(!peer.acquire(wall_nanos(), HOUR, "theirs").await, "{n}");
        assert!(!peer.acquire(up_to_the_end, HOUR, "theirs").await, "{n}");
        assert!(!peer.heartbeat(wall_nanos(), HOUR, "theirs").await, "{n}");
        assert!(!peer.release("theirs").await, "{n}");
        assert_eq!(record(&scene).await, json!({"n": number(n)}));
    }
    let nested = Update::new().set("m", dynolock::Item::from_iter([("k", 1)]));
    soon(lease.commit(nested.append("log", ["x"])))
        .await
        .expect("held");
    let ours = record(&scene).await;

    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await, "free");
    assert_eq!(record(&scene).await, ours, "it writes its lock alone");
    assert!(peer.heartbeat(wall_nanos(), HOUR, "theirs").await);
    assert_eq!(record(&scene).await, ours);
    let lock = scene.lock(&scene.client(), "a");
    assert!(soon(lock.try_acquire()).await.expect("an answer").is_none());
    assert!(peer.release("theirs").await);
    assert_eq!(record(&scene).await, ours);
    let lease = soon(lock.try_acquire())
        .await
        .expect("an answer")
        .expect("free");
    assert_eq!(lease.item().get("n"), Some(&3.into()));
    soon(lease.update(one_more())).await.expect("held");
    assert_eq!(record(&scene).await["n"], number(4));
}

/// A deleted item has no lock to wait for.
#[tokio::test]
async fn a_peer_acquires_what_we_deleted() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let lease = acquired(&scene).await;
    soon(lease.update(one_more())).await.expect("held");
    soon(lease.delete_item()).await.expect("held");
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);
    assert_eq!(record(&scene).await, json!({}), "a fresh item");
}

#[tokio::test]
async fn a_peer_waits_while_a_lease_is_handed_on() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let token = soon(acquired(&scene).await.into_token())
        .await
        .expect("held");
    assert!(!peer.acquire(wall_nanos(), HOUR, "theirs").await);
    let lock = scene.lock(&scene.client(), "a");
    let lease = soon(lock.resume(&token)).await.expect("held");
    assert!(!peer.acquire(wall_nanos(), HOUR, "theirs").await);
    soon(lease.commit(one_more())).await.expect("held");
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);

    // And where the peer was faster, the token is worth nothing, though the fence is ours still.
    assert!(peer.release("theirs").await);
    let token = soon(acquired(&scene).await.into_token())
        .await
        .expect("held");
    let past = expires(&item(&scene).await) + 1;
    assert!(peer.acquire(past, HOUR, "again theirs").await);
    let stands = item(&scene).await;
    let error = soon(lock.resume(&token)).await.expect_err("taken over");
    let holder = error.holder().expect("a holder");
    assert_eq!(holder.version(), Some("again theirs"));
    assert_eq!(item(&scene).await, stands);
}
