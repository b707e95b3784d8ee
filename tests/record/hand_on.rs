//! A lease that is handed on: to the same client, to another, as text, without a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dynolock::{Lease, LeaseToken, Lost};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{acquired, number, one_more, record, taken_over};
use crate::scene::{LONG, Scene, expires, fence, ms, nanos, soon, spawn, until};
use crate::support::recorded::Step;
use crate::support::wall_nanos;

/// A client that tries for the lock all the time, and must never get it.
struct Contender {
    tries: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    task: JoinHandle<bool>,
}

impl Contender {
    fn on(scene: &Scene) -> Self {
        let lock = scene.lock(&scene.rival(), "a");
        let (tries, enough) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stop) = (tries.clone(), enough.clone());
        let task = spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                if lock.try_acquire().await.expect("an answer").is_some() {
                    return true;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
            false
        });
        Self {
            tries,
            enough,
            task,
        }
    }

    /// Waits for tries that began after this.
    async fn has_tried(&self) {
        let seen = self.tries.load(Ordering::SeqCst);
        until(|| self.task.is_finished() || self.tries.load(Ordering::SeqCst) >= seen + 2).await;
    }

    async fn got_nothing(self) {
        self.enough.store(true, Ordering::SeqCst);
        assert!(
            !soon(self.task).await.expect("no panic"),
            "the lock was free"
        );
    }
}

async fn item(scene: &Scene) -> Value {
    scene.item("a").await.expect("an item")
}

async fn handed_on(lease: Lease) -> LeaseToken {
    soon(lease.into_token()).await.expect("held")
}

#[tokio::test]
async fn a_lease_goes_from_hand_to_hand_and_is_never_free() {
    let scene = Scene::new().await;
    let ours = scene.client();
    let lease = soon(scene.lock(&ours, "a").owner("first").acquire()).await;
    let mut lease = lease.expect("free");
    let token = lease.fencing_token();
    let contender = Contender::on(&scene);
    let mut versions = vec![lease.version().to_owned()];
    let others = [ours, scene.client(), scene.rival(), scene.client()];
    for (step, client) in others.iter().enumerate() {
        soon(lease.update(one_more())).await.expect("held");
        let before = item(&scene).await;
        let seen = scene.proxy.requests().len();
        let handed = handed_on(lease).await;
        assert_eq!(scene.proxy.requests().len(), seen, "nothing is sent");
        assert_eq!(item(&scene).await, before, "held by nobody's doing");
        contender.has_tried().await;

        assert_eq!(handed.fencing_token(), token);
        assert_eq!(handed.version(), versions[step]);
        let text = handed.to_string();
        let read: LeaseToken = text.parse().expect("a token");
        assert_eq!(read, handed);
        lease = soon(scene.lock(client, "a").owner("next").resume(&read))
            .await
            .expect("held");
        assert_eq!(lease.fencing_token(), token, "the same to other systems");
        assert!(
            !versions.iter().any(|old| old == lease.version()),
            "an identity of its own"
        );
        versions.push(lease.version().to_owned());
        let n = u32::try_from(step + 1).expect("few");
        assert_eq!(
            lease.item().get("n"),
            Some(&n.into()),
            "the item comes along"
        );
        assert_eq!(lease.item().len(), 2, "without the lock");
        let after = item(&scene).await;
        assert!(expires(&after) > expires(&before), "renewed");
        assert_eq!(
            after["dynoLockOwner"]["S"],
            format!("{} next", lease.version())
        );
        scene.assert_holds("a", &lease, "resumed").await;
        contender.has_tried().await;
        soon(lease.renew()).await.expect("held");
    }
    contender.got_nothing().await;
    soon(lease.commit(one_more())).await.expect("held");
    scene.assert_free("a", "committed").await;
    let left = item(&scene).await;
    assert_eq!((fence(&left), &left["n"]), (token, &number(5)));
}

#[tokio::test]
async fn a_resumption_is_one_request() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    let token = handed_on(lease).await;
    let lease = soon(scene.lock(&client, "a").resume(&token))
        .await
        .expect("held");
    soon(lease.release()).await.expect("held");
    let steps = [Step::Acquire, Step::Acquire, Step::Release];
    assert_eq!(scene.proxy.steps(), steps);
}

#[tokio::test]
async fn the_options_of_who_resumes_count() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").owner("us").acquire())
        .await
        .expect("free");
    let token = handed_on(lease).await;
    let lock = client.lock(&scene.table, ("id", "a"));
    let lock = lock
        .lease(2 * LONG)
        .timeout(LONG)
        .heartbeat(ms(10))
        .existing_only();
    let lease = soon(lock.resume(&token)).await.expect("held");
    assert!(lease.remaining() > LONG);
    let after = item(&scene).await;
    assert!(
        after.get("dynoLockOwner").is_none(),
        "it has no label: {after}"
    );
    assert_eq!(
        after["dynoLockLeaseDuration"]["N"],
        (2 * LONG).as_nanos().to_string()
    );
    let seen = scene.proxy.requests().len();
    scene.proxy.wait_for(seen + 3).await;
    assert!(
        scene.proxy.count(Step::Renew) >= 3,
        "by a heartbeat of its own"
    );
    scene.assert_holds("a", &lease, "beating").await;
}

/// Another lease with the same heartbeat tells the time.
#[tokio::test]
async fn the_heartbeat_ends_when_a_lease_is_handed_on() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = |id| {
        let lock = client.lock(&scene.table, ("id", id));
        lock.lease(LONG).timeout(LONG).heartbeat(ms(10))
    };
    let lease = soon(lock("a").acquire()).await.expect("free");
    scene.proxy.wait_for(4).await;
    let watcher = lease.watcher();
    let token = handed_on(lease).await;
    assert!(!watcher.is_held());
    assert_eq!(soon(watcher.lost()).await, None);
    let seen = scene.proxy.requests().len();
    let other = soon(lock("b").acquire()).await.expect("free");
    scene.proxy.wait_for(seen + 12).await;
    let requests = scene.proxy.requests();
    let late: Vec<_> = requests[seen..]
        .iter()
        .filter(|r| r.body["Key"]["id"]["S"] == "a")
        .collect();
    assert!(late.is_empty(), "{late:#?}");
    drop(other);
    let lease = soon(lock("a").resume(&token)).await.expect("held");
    scene.assert_holds("a", &lease, "resumed").await;
}

#[tokio::test]
async fn a_token_is_resumed_once() {
    let scene = Scene::new().await;
    let client = scene.client();
    let token = handed_on(acquired(&scene).await).await;
    let lease = soon(scene.lock(&client, "a").resume(&token))
        .await
        .expect("held");
    let before = item(&scene).await;
    for other in [scene.client(), scene.rival()] {
        let error = soon(scene.lock(&other, "a").resume(&token))
            .await
            .expect_err("used");
        assert!(error.is_lost() && !error.is_timeout(), "{error:?}");
        let holder = error.holder().expect("a holder");
        assert_eq!(holder.version(), Some(lease.version()));
        assert_eq!(item(&scene).await, before);
    }
    scene.assert_holds("a", &lease, "the first has it").await;
    soon(lease.update(one_more())).await.expect("held");
    soon(lease.release()).await.expect("held");
    let error = soon(scene.lock(&client, "a").resume(&token))
        .await
        .expect_err("released");
    assert_eq!(error.lost(), Some(&Lost::Removed), "{error:?}");
    scene.assert_free("a", "nothing is revived").await;
}

/// Of all who try at once, one has it.
#[tokio::test]
async fn a_token_in_many_hands_is_resumed_by_one() {
    let scene = Scene::new().await;
    let token = handed_on(acquired(&scene).await).await;
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (lock, token) = (scene.lock(&scene.client(), "a"), token.clone());
            spawn(async move { lock.resume(&token).await })
        })
        .collect();
    let mut leases = Vec::new();
    for task in tasks {
        match soon(task).await.expect("no panic") {
            Ok(lease) => leases.push(lease),
            Err(error) => assert!(error.is_lost(), "{error:?}"),
        }
    }
    assert_eq!(leases.len(), 1);
    scene.assert_holds("a", &leases[0], "the one").await;
    assert_eq!(leases[0].fencing_token(), token.fencing_token());
}

#[tokio::test]
async fn a_token_after_a_take_over_is_lost_and_the_others_data_stands() {
    let scene = Scene::new().await;
    let token = handed_on(acquired(&scene).await).await;
    let theirs = taken_over(&scene, "a").await;
    let stands = item(&scene).await;
    let error = soon(scene.lock(&scene.client(), "a").resume(&token)).await;
    let error = error.expect_err("taken over");
    let holder = error
        .lost()
        .and_then(Lost::taken_over_by)
        .expect("a holder");
    assert_eq!(holder.version(), Some(theirs.version()));
    assert_eq!(holder.owner(), Some("them"));
    assert_eq!(item(&scene).await, stands);
    scene.assert_holds("a", &theirs, "theirs").await;
}

/// Nobody renews it on the way: it is free for others in time, and until then it can be resumed.
#[tokio::test]
async fn a_token_on_its_way_for_longer_than_its_lease_is_lost_to_whoever_comes_first() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(300));
    let lease = soon(lock.acquire()).await.expect("free");
    let token = handed_on(lease).await;
    let theirs = scene
        .lock(&scene.rival(), "a")
        .max_clock_skew(std::time::Duration::ZERO);
    let theirs = soon(theirs.acquire()).await.expect("dead");
    assert!(theirs.fencing_token() > token.fencing_token());
    let error = soon(lock.resume(&token)).await.expect_err("too late");
    assert!(error.is_lost(), "{error:?}");
    scene.assert_holds("a", &theirs, "theirs").await;

    let lock = scene.lock(&scene.client(), "b").lease(ms(100));
    let lease = soon(lock.acquire()).await.expect("free");
    let ends = lease.expires_at();
    let token = handed_on(lease).await;
    let ends = nanos(ends);
    until(|| wall_nanos() > ends).await;
    let lock = lock.lease(LONG);
    let lease = soon(lock.resume(&token)).await.expect("nobody has come");
    assert_eq!(lease.fencing_token(), token.fencing_token());
    scene.assert_holds("b", &lease, "resumed").await;
}

#[tokio::test]
async fn a_token_is_for_its_own_item() {
    let scene = Scene::new().await;
    let client = scene.client();
    let token = handed_on(acquired(&scene).await).await;
    scene.put("other", json!({"n": {"N": "1"}})).await;
    for (id, expected) in [("none", Lost::ItemGone), ("other", Lost::Removed)] {
        let before = scene.item(id).await;
        let error = soon(scene.lock(&client, id).resume(&token))
            .await
            .expect_err(id);
        assert_eq!(error.lost(), Some(&expected), "{error:?}");
        assert_eq!(scene.item(id).await, before, "{id}");
    }
    let lease = soon(scene.lock(&client, "a").resume(&token))
        .await
        .expect("its own");
    soon(lease.release()).await.expect("held");
    assert_eq!(record(&scene).await, json!({}));
}

/// Watchers of the old lease saw it given back; those of the new one see the new one.
#[tokio::test]
async fn a_resumed_lease_is_lost_and_watched_as_any_other() {
    let scene = Scene::new().await;
    let first = acquired(&scene).await;
    let old = first.watcher();
    let token = handed_on(first).await;
    let lease = soon(scene.lock(&scene.client(), "a").resume(&token))
        .await
        .expect("held");
    let watcher = lease.watcher();
    assert!(watcher.is_held() && !old.is_held());
    let theirs = taken_over(&scene, "a").await;
    let stands = item(&scene).await;
    let error = soon(lease.update(one_more()))
        .await
        .expect_err("taken over");
    assert!(error.is_lost(), "{error:?}");
    assert!(soon(watcher.lost()).await.is_some());
    assert_eq!(soon(old.lost()).await, None);
    assert_eq!(item(&scene).await, stands);
    scene.assert_holds("a", &theirs, "theirs").await;
}

/// Whoever waits for the lock in the same client waits behind the lease, not before it.
#[tokio::test]
async fn a_waiter_of_the_same_client_keeps_no_lease_from_being_resumed() {
    let scene = Scene::new().await;
    let token = handed_on(acquired(&scene).await).await;
    let client = scene.client();
    let waiter = scene.lock(&client, "a");
    let waiting = spawn(async move { waiter.acquire().await });
    scene.proxy.wait_for(2).await;
    let lease = soon(scene.lock(&client, "a").resume(&token)).await;
    let lease = lease.expect("held");
    soon(lease.update(one_more())).await.expect("held");
    let fence = lease.fencing_token();
    soon(lease.release()).await.expect("held");
    let next = soon(waiting).await.expect("no panic").expect("free");
    assert_eq!(next.fencing_token(), fence + 1);
    assert_eq!(next.item().get_as::<u64>("n").expect("a number"), 1);
}
