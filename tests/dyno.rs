//! Sharing a table with dyno peers, who speak by their recorded requests.

mod scene;
mod support;

use std::time::Duration;

use scene::{LONG, Scene, key};
use support::dyno::DynoPeer;
use support::wall_nanos;

const SECOND: i64 = 1_000_000_000;
const VERSION: &str = "3MUqy7204PG3sIFbscIb5CA8Jpe";

#[tokio::test]
async fn a_dyno_holder_is_seen_as_such_until_it_releases() {
    let scene = Scene::new().await;
    let peer = DynoPeer::new(&scene.engine, &scene.table, key());
    assert!(peer.acquire(wall_nanos(), 20 * SECOND, VERSION).await);
    let lock = scene
        .lock(&scene.client())
        .timeout(Duration::from_millis(250));
    let error = lock.acquire().await.unwrap_err();
    let holder = error.holder().unwrap();
    assert!(error.is_held());
    assert_eq!((holder.version(), holder.owner()), (Some(VERSION), None));
    assert!(peer.heartbeat(wall_nanos(), 20 * SECOND, VERSION).await);
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(peer.release(VERSION).await);
    let lease = lock.try_acquire().await.unwrap().expect("released by dyno");
    assert!(
        !peer.heartbeat(wall_nanos(), SECOND, VERSION).await,
        "a late heartbeat"
    );
    assert!(lease.renew().await.is_ok());
    lease.release().await.unwrap();
}

#[tokio::test]
async fn a_dead_dyno_holder_is_taken_over_by_observation() {
    let scene = Scene::new().await;
    let peer = DynoPeer::new(&scene.engine, &scene.table, key());
    // Its clock is an hour ahead of ours.
    assert!(
        peer.acquire(wall_nanos() + 3600 * SECOND, SECOND / 3, VERSION)
            .await
    );
    let lock = scene.lock(&scene.client());
    assert!(lock.try_acquire().await.unwrap().is_none());
    let lease = lock.acquire().await.unwrap();
    assert!(!peer.heartbeat(wall_nanos(), SECOND, VERSION).await);
    lease.release().await.unwrap();
}

#[tokio::test]
async fn a_dyno_holder_long_dead_is_taken_over_at_once() {
    let scene = Scene::new().await;
    let peer = DynoPeer::new(&scene.engine, &scene.table, key());
    assert!(
        peer.acquire(wall_nanos() - 60 * SECOND, SECOND, VERSION)
            .await
    );
    let lease = scene
        .lock(&scene.client())
        .try_acquire()
        .await
        .unwrap()
        .unwrap();
    lease.release().await.unwrap();
}

#[tokio::test]
async fn dyno_is_kept_out_while_we_hold_and_let_in_when_we_release() {
    let scene = Scene::new().await;
    let peer = DynoPeer::new(&scene.engine, &scene.table, key());
    let lock = scene.lock(&scene.client());
    let lease = lock.acquire().await.unwrap();
    assert!(!peer.acquire(wall_nanos(), SECOND, VERSION).await);
    lease.renew().await.unwrap();
    assert!(!peer.acquire(wall_nanos(), SECOND, VERSION).await);
    lease.release().await.unwrap();
    assert!(peer.acquire(wall_nanos(), 20 * SECOND, VERSION).await);
    assert!(lock.try_acquire().await.unwrap().is_none());
}

#[tokio::test]
async fn a_lease_that_dyno_took_over_is_lost_with_its_version() {
    let scene = Scene::new().await;
    let peer = DynoPeer::new(&scene.engine, &scene.table, key());
    let lease = scene.lock(&scene.client()).acquire().await.unwrap();
    let token = lease.fencing_token();
    // A peer whose clock is a minute ahead finds our lease over.
    assert!(
        peer.acquire(wall_nanos() + 60 * SECOND, SECOND, VERSION)
            .await
    );
    let error = lease.renew().await.unwrap_err();
    assert_eq!(error.holder().unwrap().version(), Some(VERSION));
    assert_eq!(lease.lost().await, error.lost().unwrap().clone());
    assert!(lease.release().await.unwrap_err().is_lost());
    assert!(
        scene.is_locked().await,
        "nothing was released under the peer"
    );
    assert!(peer.release(VERSION).await);
    let lease = scene
        .lock(&scene.other())
        .timeout(LONG)
        .acquire()
        .await
        .unwrap();
    assert!(lease.fencing_token() > token, "dyno leaves the fence alone");
    lease.release().await.unwrap();
}
