//! Leases that cannot be renewed, and clocks that cannot be believed.

use std::time::{Duration, UNIX_EPOCH};

use dynolock::{Lease, Lost};

use crate::scene::{Scene, ms, nanos, soon, spawn, until};
use crate::support::fault::{Fault, Gate};
use crate::support::recorded::Step;
use crate::support::wall_nanos;

/// A fault and its name.
type NamedFault = (&'static str, fn() -> Fault);

const HOUR: i64 = 3_600_000_000_000;

fn assert_lost_for_good(lease: &Lease, what: &str) {
    assert!(!lease.is_held(), "{what}");
    assert_eq!(lease.remaining(), Duration::ZERO, "{what}");
}

#[tokio::test]
async fn every_heartbeat_fails_until_the_deadline() {
    let scene = Scene::new().await;
    let failures: [NamedFault; 7] = [
        ("dropped", || Fault::DropRequest),
        ("reset", || Fault::ResetRequest),
        ("hangs", || Fault::Hang),
        ("500", Fault::internal_error),
        ("503", Fault::unavailable),
        ("throttled", Fault::throttled),
        ("conflict", Fault::transaction_conflict),
    ];
    for (id, fault) in failures {
        scene.proxy.on(move |request| match request.step() {
            Step::Renew => fault(),
            _ => Fault::Pass,
        });
        let lock = scene.client().lock(&scene.table, ("id", id));
        let lock = lock.timeout(ms(60_000)).lease(ms(800)).heartbeat(ms(100));
        let lease = soon(lock.acquire()).await.expect(id);
        let (ends, renewals) = (lease.expires_at(), scene.proxy.count(Step::Renew));
        let (one, two) = tokio::join!(soon(lease.lost()), soon(lease.lost()));
        assert_eq!((one, two), (Lost::Expired, Lost::Expired), "{id}");
        assert!(wall_nanos() >= nanos(ends), "{id}: not before the deadline");
        assert!(
            scene.proxy.count(Step::Renew) > renewals,
            "{id}: it was tried"
        );
        assert_lost_for_good(&lease, id);

        // Once: nothing brings it back, and nothing is released under another.
        scene.proxy.on(|_| Fault::Pass);
        let other = soon(scene.lock(&scene.rival(), id).acquire()).await;
        let other = other.expect("dead");
        let renewed = soon(lease.renew()).await.expect_err("lost");
        assert_eq!(renewed.lost(), Some(&Lost::Expired), "{id}");
        assert_eq!(soon(lease.lost()).await, Lost::Expired, "{id}");
        let released = soon(lease.release()).await.expect_err("lost");
        assert_eq!(released.lost(), Some(&Lost::Expired), "{id}");
        scene.assert_holds(id, &other, id).await;
    }
}

/// Nobody waits for the loss; it is there for whoever asks, and dropping releases nobody.
#[tokio::test]
async fn a_lease_expires_unwatched_and_its_drop_spares_the_next_holder() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").lease(ms(200)).acquire()).await;
    let lease = lease.expect("free");
    let other = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let other = other.expect("dead");
    assert_lost_for_good(&lease, "unwatched");
    drop(lease);
    soon(client.drain()).await;
    scene.assert_holds("a", &other, "not ours to release").await;
}

#[tokio::test]
async fn an_expired_lock_that_nobody_took_is_given_back_and_reported_as_lost() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(100));
    let lease = soon(lock.acquire()).await.expect("free");
    assert_eq!(soon(lease.lost()).await, Lost::Expired);
    let error = soon(lease.release()).await.expect_err("too late");
    assert_eq!(error.lost(), Some(&Lost::Expired));
    scene.assert_free("a", "given back").await;
}

/// The renewal is applied, but its answer comes after the deadline: too late to believe it.
#[tokio::test]
async fn an_answer_after_the_deadline_revives_nothing() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(300));
    let lease = soon(lock.acquire()).await.expect("free");
    let gate = Gate::closed();
    let late = gate.clone();
    scene.proxy.on(move |request| match request.step() {
        Step::Renew => Fault::DelayAnswer(late.clone()),
        _ => Fault::Pass,
    });
    let opening = async {
        let lost = soon(lease.lost()).await;
        gate.open();
        lost
    };
    let (renewed, lost) = tokio::join!(soon(lease.renew()), opening);
    assert_eq!(lost, Lost::Expired);
    assert!(renewed.expect_err("too late").is_lost());
    assert_lost_for_good(&lease, "the answer has come");
}

/// An acquire whose answer comes after its lease is renewed before it is handed out.
#[tokio::test]
async fn an_acquire_that_arrives_too_late_is_renewed_or_begun_anew() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(2000));
    let gate = Gate::closed();
    scene.proxy.next([Fault::DelayAnswer(gate.clone())]);
    let acquiring = spawn(async move { lock.acquire().await });
    scene.proxy.wait_for_answers(1).await;
    let written = scene.item("a").await.expect("an item");
    let past_the_middle = crate::scene::expires(&written) - 900_000_000;
    until(|| wall_nanos() > past_the_middle).await;
    gate.open();
    let lease = soon(acquiring).await.expect("no panic").expect("acquired");
    assert!(
        scene.proxy.requests().len() > 1,
        "not without another write"
    );
    assert!(nanos(lease.expires_at()) > crate::scene::expires(&written));
    soon(lease.release()).await.expect("in time");
}

/// The whole runtime stands still, as a frozen process does: whoever asks first, hears it.
#[tokio::test]
async fn a_blocked_process_has_lost_its_lease_before_anybody_asks() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.timeout(ms(60_000)).lease(ms(200));
    let lease = soon(lock.acquire()).await.expect("free");
    // Time must pass, and nothing else may run meanwhile.
    std::thread::sleep(ms(250));
    assert_lost_for_good(&lease, "thawed");
    assert_eq!(soon(lease.lost()).await, Lost::Expired);
}

/// The server's clock and ours are an hour apart: rule 1 is off, whoever is wrong.
#[tokio::test]
async fn a_server_whose_date_contradicts_our_clock_switches_rule_1_off() {
    let scene = Scene::new().await;
    for (id, off) in [("ahead", HOUR), ("behind", -HOUR)] {
        let date = UNIX_EPOCH + Duration::from_nanos((wall_nanos() + off).unsigned_abs());
        let date = httpdate::fmt_http_date(date);
        scene.proxy.on(move |_| Fault::header("date", &date));
        let client = scene.client();
        let first = soon(scene.lock(&client, "other").acquire()).await;
        drop(first.expect("free"));
        soon(client.drain()).await;

        scene.put_lock(id, -60_000_000_000, "0").await;
        let lock = scene.lock(&client, id);
        let single = soon(lock.try_acquire()).await.expect("an answer");
        assert!(
            single.is_none(),
            "{id}: dead by our clock, which is in doubt"
        );
        // Rule 2 needs no wall clock.
        scene.put_lock(id, -60_000_000_000, "100000000").await;
        let lease = soon(lock.acquire()).await.expect("seen unchanged");
        scene.assert_holds(id, &lease, "by observation").await;
    }
    scene.proxy.on(|_| Fault::Pass);
    scene.put_lock("c", -60_000_000_000, "0").await;
    let lease = soon(scene.lock(&scene.client(), "c").try_acquire()).await;
    assert!(
        lease.expect("an answer").is_some(),
        "dead by a clock without doubt"
    );
}
