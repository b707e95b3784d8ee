//! Sharing a table with dyno peers, whose recorded requests are sent as a Go program sends them.

mod scene;
mod support;

use std::time::Duration;

use dynolock::{Lease, Lost};
use serde_json::{Value, json};

use scene::{LONG, Scene, expires, ms, nanos, soon, spawn};
use support::dyno::DynoPeer;
use support::dyno_wire;
use support::wall_nanos;

const SECOND: i64 = 1_000_000_000;
/// Of a peer that outlives the test.
const HOUR: i64 = 3600 * SECOND;

fn peer(scene: &Scene) -> DynoPeer {
    DynoPeer::new(&scene.engine, &scene.table, json!({"id": {"S": "a"}}))
}

fn lease_nanos(lease: Duration) -> i64 {
    i64::try_from(lease.as_nanos()).expect("short")
}

async fn item(scene: &Scene) -> Value {
    scene.item("a").await.expect("an item")
}

async fn acquired(scene: &Scene) -> Lease {
    let lease = soon(scene.lock(&scene.client(), "a").acquire()).await;
    lease.expect("free")
}

#[tokio::test]
async fn a_peer_that_holds_is_seen_as_the_holder() {
    let scene = Scene::new().await;
    let now = wall_nanos();
    assert!(
        peer(&scene)
            .acquire(now, HOUR, "3MUpXBZ4TgdVLh6uxqu5KX0eGLD")
            .await
    );
    let before = item(&scene).await;
    let lock = scene.lock(&scene.client(), "a");
    assert!(soon(lock.try_acquire()).await.expect("an answer").is_none());
    let lock = lock.timeout(ms(1000)).retry_interval(ms(20));
    let error = soon(lock.acquire()).await.expect_err("held");
    assert!(error.is_held(), "{error:?}");
    let holder = error.holder().expect("a holder");
    assert_eq!(holder.version(), Some("3MUpXBZ4TgdVLh6uxqu5KX0eGLD"));
    assert_eq!((holder.owner(), holder.fencing_token()), (None, None));
    assert_eq!(nanos(holder.expires_at()), now + HOUR);
    assert!(holder.acquired_at().is_some(), "dyno's versions are KSUIDs");
    assert_eq!(item(&scene).await, before, "untouched");
}

#[tokio::test]
async fn a_peers_release_frees_the_lock_at_once() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);
    assert!(peer.release("theirs").await);
    assert_eq!(
        expires(&item(&scene).await),
        0,
        "with its version still there"
    );
    let lock = scene.lock(&scene.client(), "a");
    let lease = soon(lock.try_acquire()).await.expect("an answer");
    let lease = lease.expect("free");
    scene.assert_holds("a", &lease, "after the release").await;
    assert_eq!(scene.proxy.requests().len(), 1, "at the first try");
    assert!(!lease.item().contains("dynoLockVersion"));
}

#[tokio::test]
async fn a_waiter_gets_the_lock_when_a_peer_releases() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);
    let lock = scene.lock(&scene.client(), "a").retry_interval(ms(20));
    let waiting = spawn(async move { lock.acquire().await });
    scene.proxy.wait_for_answers(2).await;
    assert!(peer.release("theirs").await);
    let lease = soon(waiting).await.expect("no panic").expect("released");
    scene.assert_holds("a", &lease, "after the release").await;
}

/// It expires in an hour, by a lease that is stated as much shorter: observation counts from the
/// last change that was seen.
#[tokio::test]
async fn a_peer_that_renews_is_alive_and_one_that_stops_is_dead() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let lease = lease_nanos(ms(2000));
    let start = wall_nanos() + HOUR;
    assert!(peer.acquire(start, lease, "theirs").await);
    let lock = scene.lock(&scene.client(), "a").retry_interval(ms(20));
    let waiting = spawn(async move { lock.acquire().await });
    let mut last = 0;
    for beat in 1..=10 {
        last = wall_nanos();
        let seen = scene.proxy.requests().len();
        assert!(
            peer.heartbeat(start + beat, lease, "theirs").await,
            "beat {beat}"
        );
        // Every beat is seen by an attempt that began after it.
        scene.proxy.wait_for_answers(seen + 2).await;
        assert!(!waiting.is_finished(), "beat {beat}");
    }
    let ours = soon(waiting).await.expect("no panic").expect("dead");
    assert!(wall_nanos() - last >= lease, "seen unchanged for its lease");
    scene.assert_holds("a", &ours, "by rule 2").await;
    assert!(
        !peer.heartbeat(start + 11, HOUR, "theirs").await,
        "it learns"
    );
    assert!(!peer.release("theirs").await);
    scene
        .assert_holds("a", &ours, "theirs changed nothing")
        .await;
}

#[tokio::test]
async fn a_peer_long_dead_is_taken_over_at_the_first_try() {
    let scene = Scene::new().await;
    assert!(
        peer(&scene)
            .acquire(wall_nanos() - HOUR, SECOND, "theirs")
            .await
    );
    let lease = soon(scene.lock(&scene.client(), "a").try_acquire()).await;
    let lease = lease.expect("an answer").expect("dead");
    scene.assert_holds("a", &lease, "by rule 1").await;
    assert_eq!(scene.proxy.requests().len(), 1);
}

#[tokio::test]
async fn a_peer_is_refused_while_we_hold_and_renew() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let lease = acquired(&scene).await;
    for _ in 0..3 {
        assert!(!peer.acquire(wall_nanos(), SECOND, "theirs").await);
        assert!(!peer.heartbeat(wall_nanos(), SECOND, "theirs").await);
        assert!(!peer.release("theirs").await);
        scene.assert_holds("a", &lease, "ours").await;
        soon(lease.renew()).await.expect("renewed");
    }
    let up_to_the_end = expires(&item(&scene).await);
    assert!(!peer.acquire(up_to_the_end, SECOND, "theirs").await);
}

#[tokio::test]
async fn a_peer_acquires_after_our_release() {
    for delete in [false, true] {
        let scene = Scene::new().await;
        let mut lock = scene.lock(&scene.client(), "a").owner("us");
        if delete {
            lock = lock.delete_on_release();
        }
        let lease = soon(lock.acquire()).await.expect("free");
        soon(lease.release()).await.expect("released");
        let now = wall_nanos();
        assert!(peer(&scene).acquire(now, HOUR, "theirs").await);
        let item = item(&scene).await;
        assert_eq!(item["dynoLockVersion"]["S"], "theirs");
        assert_eq!(expires(&item), now + HOUR);
    }
}

#[tokio::test]
async fn a_peer_takes_over_once_our_lease_is_past_and_we_know_who_it_was() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let lease = acquired(&scene).await;
    // By a clock that runs ahead of ours by more than the lease: peers allow for no skew.
    let past = expires(&item(&scene).await) + 1;
    assert!(peer.acquire(past, 2 * lease_nanos(LONG), "theirs").await);
    let taken = item(&scene).await;
    let error = soon(lease.renew()).await.expect_err("taken over");
    let lost = error.lost().expect("lost");
    let holder = lost.taken_over_by().expect("by the peer");
    assert_eq!(holder.version(), Some("theirs"));
    assert_eq!(holder.owner(), None);
    assert!(!lease.is_held());
    let lost = soon(lease.lost()).await;
    assert!(matches!(lost, Lost::TakenOver(_)), "{lost:?}");
    assert!(soon(lease.release()).await.expect_err("lost").is_lost());
    assert_eq!(item(&scene).await, taken, "theirs stands");
}

/// Our fence stays in the item under a peer, so that tokens go on growing.
#[tokio::test]
async fn fencing_tokens_grow_across_peers() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    let lock = scene.lock(&scene.client(), "a").owner("us");
    let lease = soon(lock.acquire()).await.expect("free");
    let token = lease.fencing_token();
    soon(lease.release()).await.expect("released");
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);
    let single = soon(lock.try_acquire()).await.expect("an answer");
    assert!(single.is_none(), "held by the peer");
    assert!(peer.release("theirs").await);
    let lease = soon(lock.acquire()).await.expect("free");
    assert_eq!(lease.fencing_token(), token + 1);
}

/// Ours is gone from the item, so a peer's late heartbeat cannot revive its own.
#[tokio::test]
async fn a_peers_late_heartbeat_finds_nothing_to_revive_after_our_turn() {
    let scene = Scene::new().await;
    let peer = peer(&scene);
    assert!(peer.acquire(wall_nanos(), HOUR, "theirs").await);
    assert!(peer.release("theirs").await);
    let lease = acquired(&scene).await;
    soon(lease.release()).await.expect("released");
    assert!(!peer.heartbeat(wall_nanos(), HOUR, "theirs").await);
    scene.assert_free("a", "nothing to revive").await;
}

/// The items of the recording itself.
#[tokio::test]
async fn the_recorded_items_are_read() {
    let scene = Scene::with_keys(("key", "S"), None).await;
    let client = scene.client();
    for (name, free) in [("held", false), ("released", true)] {
        let item = dyno_wire::item(name);
        scene.engine.put_item(&scene.table, &item).await;
        let key = item["key"]["S"].as_str().expect("a key");
        let lock = client.lock(&scene.table, ("key", key));
        // No wall clock is believed: the recording is old.
        let lock = lock.max_clock_skew(Duration::MAX).timeout(LONG);
        let lease = soon(lock.try_acquire()).await.expect("an answer");
        assert_eq!(lease.is_some(), free, "{name}");
        drop(lease);
        soon(client.drain()).await;
    }
}
