//! A lock seen from outside: waiting by reading, who holds it, waiting until it is free, and
//! taking it away.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock of the tests, not of the library"
)]

mod scene;
mod support;

use std::time::{Duration, SystemTime};

use dynolock::Lost;
use serde_json::json;

use scene::{Scene, fence, ms, soon, spawn};
use support::fault::{Answer, Fault};

impl Scene {
    /// How many requests of this operation came by.
    fn operations(&self, name: &str) -> usize {
        let requests = self.proxy.requests();
        requests.iter().filter(|it| it.operation == name).count()
    }

    async fn until_operations(&self, name: &str, count: usize) {
        soon(async {
            while self.operations(name) < count {
                tokio::time::sleep(ms(2)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_waiter_by_reading_writes_only_where_it_may_have_the_lock() {
    let scene = Scene::new().await;
    let theirs = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let theirs = theirs.expect("free");
    let lock = scene.lock(&scene.client(), "a").poll_by_reading();
    let lock = lock.retry_interval(ms(20));
    let waiting = spawn(async move { lock.acquire().await });
    scene.until_operations("GetItem", 5).await;
    assert_eq!(scene.operations("UpdateItem"), 1, "the first attempt only");
    let read = scene.proxy.requests().into_iter().next_back();
    let read = read.expect("a request").body;
    assert_eq!(read["ConsistentRead"], true);
    let names = read["ExpressionAttributeNames"].as_object();
    assert_eq!(names.expect("a projection").len(), 5);
    let token = theirs.fencing_token();
    soon(theirs.release()).await.expect("released");
    let lease = soon(waiting).await.expect("no panic").expect("free");
    assert_eq!(lease.fencing_token(), token + 1);
    assert_eq!(scene.operations("UpdateItem"), 2, "and the one that locked");
    scene.assert_holds("a", &lease, "acquired").await;
}

#[tokio::test]
async fn a_waiter_by_reading_takes_over_what_is_dead() {
    let scene = Scene::new().await;
    for (id, expires_in, skew) in [
        ("expired", 150_000_000, Duration::ZERO),
        ("unchanged", 3_600_000_000_000, Duration::MAX),
    ] {
        scene.put_lock(id, expires_in, "200000000").await;
        let lock = scene.lock(&scene.client(), id).poll_by_reading();
        let lock = lock.retry_interval(ms(20)).max_clock_skew(skew);
        let lease = soon(lock.acquire()).await.expect(id);
        scene.assert_holds(id, &lease, id).await;
    }
    assert!(scene.operations("GetItem") > 0);
}

#[tokio::test]
async fn a_reader_without_permission_or_an_unreadable_lock_ends_at_once() {
    let scene = Scene::new().await;
    scene
        .put("bad", json!({"dynoLockExpires": {"S": "soon"}}))
        .await;
    let bad = scene.lock(&scene.client(), "bad");
    for error in [
        soon(bad.holder()).await.map(drop).expect_err("unreadable"),
        soon(bad.wait_free()).await.expect_err("unreadable"),
    ] {
        assert!(error.is_bad_attribute(), "{error}");
        assert!(error.to_string().contains("dynoLockExpires"), "{error}");
    }
    let denied = Fault::AnswerWith(Answer::error(400, "AccessDeniedException", "not yours"));
    scene.proxy.next([denied]);
    let error = soon(scene.lock(&scene.client(), "a").holder()).await;
    assert!(error.expect_err("denied").is_access_denied());
}

#[tokio::test]
async fn the_holder_is_shown_and_left_alone() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    assert_eq!(
        soon(lock.holder()).await.expect("an answer"),
        None,
        "absent"
    );
    let before = SystemTime::now() - ms(1000);
    let theirs = soon(scene.lock(&scene.rival(), "a").owner("web-1").acquire()).await;
    let theirs = theirs.expect("free");
    let seen = scene.item("a").await;
    let holder = soon(lock.holder()).await.expect("an answer");
    let holder = holder.expect("held");
    assert_eq!(holder.version(), Some(theirs.version()));
    assert_eq!(holder.owner(), Some("web-1"));
    assert_eq!(holder.fencing_token(), Some(theirs.fencing_token()));
    // What is written counts from the latest time that the holder knows of, what it believes
    // from its own clock.
    let after = holder.expires_at().duration_since(theirs.expires_at());
    assert!(after.expect("not before") < ms(1000));
    assert!(holder.acquired_at().expect("a KSUID") >= before);
    assert_eq!(scene.item("a").await, seen, "untouched");
    soon(theirs.release()).await.expect("released");
    assert_eq!(soon(lock.holder()).await.expect("an answer"), None);
    // A dyno peer's, and one whose lease is past.
    scene.put_lock("past", -3_600_000_000_000, "1").await;
    let past = soon(scene.lock(&scene.client(), "past").holder()).await;
    let past = past.expect("an answer").expect("still in the item");
    assert_eq!(past.version(), Some("another"));
    assert_eq!((past.owner(), past.fencing_token()), (None, None));
    assert!(past.expires_at() < SystemTime::now());
    assert_eq!(scene.operations("UpdateItem"), 0);
}

#[tokio::test]
async fn whoever_waits_for_a_free_lock_does_not_take_it() {
    let scene = Scene::new().await;
    let theirs = soon(scene.lock(&scene.rival(), "a").owner("web-1").acquire()).await;
    let theirs = theirs.expect("free");
    let lock = scene.lock(&scene.client(), "a").retry_interval(ms(20));
    let error = soon(lock.clone().timeout(ms(100)).wait_free()).await;
    let error = error.expect_err("held");
    assert!(error.is_held() && error.is_timeout(), "{error}");
    assert_eq!(error.holder().and_then(|it| it.owner()), Some("web-1"));
    let waiting = spawn(async move { lock.wait_free().await });
    let reads = scene.operations("GetItem");
    scene.until_operations("GetItem", reads + 2).await;
    soon(theirs.release()).await.expect("released");
    soon(waiting).await.expect("no panic").expect("free");
    scene.assert_free("a", "waited for").await;
    assert_eq!(scene.operations("UpdateItem"), 0);
}

#[tokio::test]
async fn a_lock_is_taken_away_and_its_holder_finds_out() {
    let scene = Scene::new().await;
    let operator = scene.lock(&scene.client(), "a");
    let theirs = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let theirs = theirs.expect("free");
    let holder = soon(operator.holder()).await.expect("an answer");
    let holder = holder.expect("held");
    // Renewed since: not what was seen.
    soon(theirs.renew()).await.expect("held");
    assert!(!soon(operator.break_held(&holder)).await.expect("an answer"));
    scene.assert_holds("a", &theirs, "untouched").await;
    let holder = soon(operator.holder()).await.expect("an answer");
    let holder = holder.expect("held");
    assert!(soon(operator.break_held(&holder)).await.expect("an answer"));
    let item = scene.item("a").await.expect("the fence stays");
    assert_eq!(fence(&item), theirs.fencing_token() + 1);
    scene.assert_free("a", "broken").await;
    // Again is too late.
    assert!(!soon(operator.break_held(&holder)).await.expect("an answer"));
    let error = soon(theirs.renew()).await.expect_err("broken");
    assert_eq!(error.lost(), Some(&Lost::Removed));
    assert!(!theirs.is_held());
    let next = soon(operator.acquire()).await.expect("free");
    assert_eq!(next.fencing_token(), theirs.fencing_token() + 2);
}

#[tokio::test]
async fn a_lock_is_broken_once_where_the_answer_is_lost() {
    let scene = Scene::new().await;
    let operator = scene.lock(&scene.hasty_client(), "a");
    let theirs = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let theirs = theirs.expect("free");
    let holder = soon(operator.holder()).await.expect("an answer");
    let holder = holder.expect("held");
    scene.proxy.next([Fault::ForwardThenDropAnswer]);
    assert!(soon(operator.break_held(&holder)).await.expect("an answer"));
    let item = scene.item("a").await.expect("the fence stays");
    assert_eq!(fence(&item), theirs.fencing_token() + 1, "once");
}
