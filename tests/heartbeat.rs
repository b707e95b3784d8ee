//! Heartbeats: of many leases of one client, and in whatever runtime the client is used.

mod scene;
mod support;

use dynolock::{Client, Lease};

use scene::{LONG, Scene, expires, ms, soon};

async fn acquired(scene: &Scene, client: &Client, id: &str) -> Lease {
    let lock = scene.lock(client, id).lease(LONG).heartbeat(ms(300));
    let lease = soon(lock.acquire()).await.expect("free");
    lease.start_heartbeat().expect("a runtime is there");
    lease
}

/// Waits until the item shows a later end than it does now.
async fn until_renewed(scene: &Scene, id: &str) {
    let before = expires(&scene.item(id).await.expect("an item"));
    scene.until_item(id, |item| expires(item) > before).await;
}

/// More than are renewed at once.
#[tokio::test]
async fn all_leases_of_a_client_are_renewed_again_and_again() {
    let scene = Scene::new().await;
    let client = scene.client();
    let mut leases = Vec::new();
    for n in 0..40 {
        leases.push(acquired(&scene, &client, &n.to_string()).await);
    }
    for _ in 0..2 {
        let mut ends = Vec::new();
        for n in 0..40 {
            ends.push(expires(&scene.item(&n.to_string()).await.expect("an item")));
        }
        for (n, before) in (0..).zip(ends) {
            let id = i32::to_string(&n);
            scene.until_item(&id, |item| expires(item) > before).await;
        }
    }
    assert!(leases.iter().all(Lease::is_held));
}

#[tokio::test]
async fn the_next_lease_is_renewed_after_all_before_it_were_released() {
    let scene = Scene::new().await;
    let client = scene.client();
    for id in ["a", "b", "a"] {
        let lease = acquired(&scene, &client, id).await;
        until_renewed(&scene, id).await;
        soon(lease.release()).await.expect("released");
    }
}

/// A client may be shared by threads that have a runtime each.
#[tokio::test]
async fn leases_are_renewed_in_their_own_runtimes() {
    let scene = Scene::new().await;
    // A connection that the other runtime no longer drives costs an attempt.
    let client = scene.hasty_client();
    let first = scene.lock(&client, "a").lease(LONG).heartbeat(ms(300));
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (tell, told) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let lease = runtime.block_on(first.acquire()).expect("free");
        let here = runtime.enter();
        lease.start_heartbeat().expect("a runtime is there");
        tell.send(()).expect("the test waits");
        // From here on nobody drives this runtime, though it is there.
        let _ = gone.recv();
        drop(here);
        drop(runtime);
        drop(lease);
    });
    soon(told).await.expect("acquired");
    let _lease = acquired(&scene, &client, "b").await;
    until_renewed(&scene, "b").await;
    drop(go);
    thread.join().expect("no panic");
    until_renewed(&scene, "b").await;
    let again = acquired(&scene, &client, "c").await;
    until_renewed(&scene, "c").await;
    soon(again.release()).await.expect("released");
}
