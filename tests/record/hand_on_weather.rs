//! Handing on in bad weather: lost answers, late writes of the former holder, futures dropped.

use dynolock::{Error, LeaseToken, Lost};
use serde_json::json;

use super::faults::FAULTS;
use super::{acquired, one_more, record};
use crate::scene::{LONG, Scene, dropped_after, ms, soon};
use crate::support::fault::{Fault, Gate};
use crate::support::recorded::Step;

#[tokio::test]
async fn a_resumption_succeeds_whatever_gets_lost() {
    let scene = Scene::new().await;
    for (index, (what, fault)) in FAULTS.iter().enumerate() {
        let id = format!("item-{index}");
        scene.put(&id, json!({"n": {"N": "1"}})).await;
        let client = scene.hasty_client();
        let lock = scene
            .lock(&client, &id)
            .retry_interval(ms(5))
            .heartbeat(ms(5));
        let lease = soon(lock.acquire()).await.expect(what);
        let token = soon(lease.into_token()).await.expect(what);
        scene.proxy.next([fault()]);
        let lease = soon(lock.resume(&token)).await.expect(what);
        assert_eq!(lease.fencing_token(), token.fencing_token(), "{what}");
        assert_eq!(lease.item().get("n"), Some(&1.into()), "{what}");
        assert_eq!(lease.item().len(), 2, "{what}: without the lock");
        scene.assert_holds(&id, &lease, what).await;
        soon(lease.update(one_more())).await.expect(what);
        soon(lease.release()).await.expect(what);
        scene.assert_free(&id, what).await;
    }
}

#[tokio::test]
async fn late_writes_of_the_former_holder_are_refused() {
    let scene = Scene::new().await;
    let lease = acquired(&scene).await;
    let drop_next = || scene.proxy.next([Fault::DropRequest]);
    drop_next();
    soon(lease.renew()).await.expect("at the second try");
    drop_next();
    soon(lease.update(one_more()))
        .await
        .expect("at the second try");
    // The last one before it is handed on gets no answer, and arrives when another has it.
    let seen = scene.proxy.requests().len();
    scene.proxy.next([Fault::Hang]);
    dropped_after(lease.renew(), scene.proxy.wait_for(seen + 1)).await;
    let token = soon(lease.into_token()).await.expect("held");
    let text = token.to_string();
    let lock = scene.lock(&scene.client(), "a");
    let lease = soon(lock.resume(&text.parse().expect("a token")))
        .await
        .expect("held");
    let last = scene.last(Step::Acquire);
    let before = scene.item("a").await;
    for index in 0..last {
        let (status, answer) = scene.proxy.replay(index).await;
        assert_eq!(status, 400, "{index}: {answer}");
        assert_eq!(scene.item("a").await, before, "{index}");
    }
    scene.assert_holds("a", &lease, "in order").await;
    soon(lease.update(one_more())).await.expect("held");
    assert_eq!(record(&scene).await, json!({"n": {"N": "2"}}));
}

/// A renewal without an answer may have been applied before it is handed on, or after, but before
/// it is resumed: whoever resumes it knows of both values.
#[tokio::test]
async fn a_renewal_that_arrives_on_the_way_does_not_shut_the_next_one_out() {
    for arrives in [false, true] {
        let scene = Scene::new().await;
        let lease = acquired(&scene).await;
        let gate = Gate::closed();
        scene.proxy.next([Fault::Delay(gate.clone())]);
        dropped_after(lease.renew(), scene.proxy.wait_for(2)).await;
        let token = soon(lease.into_token()).await.expect("held");
        if arrives {
            gate.open();
            scene.proxy.wait_for_answers(2).await;
        }
        let lock = scene.lock(&scene.client(), "a");
        let lease = soon(lock.resume(&token)).await.expect("held");
        scene.assert_holds("a", &lease, "resumed").await;
        gate.open();
        scene.proxy.wait_for_answers(3).await;
        scene.assert_holds("a", &lease, "whenever it arrives").await;
        soon(lease.commit(one_more())).await.expect("held");
    }
}

#[tokio::test]
async fn handing_on_waits_for_the_renewal_under_way() {
    let scene = Scene::new().await;
    let client = scene.client();
    let gate = Gate::closed();
    scene.proxy.next([Fault::Pass, Fault::Delay(gate.clone())]);
    let lock = client.lock(&scene.table, ("id", "a")).heartbeat(ms(1));
    let lock = lock.lease(LONG).timeout(LONG);
    let lease = soon(lock.acquire()).await.expect("free");
    scene.proxy.wait_for(2).await;
    let mut handing = std::pin::pin!(lease.into_token());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(handing.as_mut().poll(&mut context).is_pending());
    gate.open();
    let token = soon(handing).await.expect("held");
    let beats = scene.proxy.count(Step::Renew);
    let lease = soon(scene.lock(&client, "a").resume(&token))
        .await
        .expect("held");
    assert_eq!(scene.proxy.count(Step::Renew), beats, "it was the last");
    soon(lease.release()).await.expect("held");
}

#[tokio::test]
async fn a_dropped_handing_on_releases() {
    let scene = Scene::new().await;
    let client = scene.client();
    let gate = Gate::closed();
    scene.proxy.next([Fault::Pass, Fault::Delay(gate.clone())]);
    let lock = client.lock(&scene.table, ("id", "a")).heartbeat(ms(1));
    let lock = lock.lease(LONG).timeout(LONG);
    let lease = soon(lock.acquire()).await.expect("free");
    scene.proxy.wait_for(2).await;
    dropped_after(lease.into_token(), tokio::task::yield_now()).await;
    gate.open();
    soon(client.drain()).await;
    scene.assert_free("a", "released").await;
    let polled = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    drop(polled.into_token());
    soon(client.drain()).await;
    scene.assert_free("a", "never polled").await;
}

#[tokio::test]
async fn a_lost_lease_cannot_be_handed_on() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a").lease(ms(100));
    let lease = soon(lock.acquire()).await.expect("free");
    assert_eq!(soon(lease.lost()).await, Lost::Expired);
    let error = soon(lease.into_token()).await.expect_err("too late");
    assert_eq!(error.lost(), Some(&Lost::Expired), "{error:?}");
}

#[tokio::test]
async fn a_dropped_resumption_releases_whenever_it_arrives() {
    type MakeFault = fn(Gate) -> Fault;
    for fault in [Fault::Delay as MakeFault, Fault::DelayAnswer] {
        let scene = Scene::new().await;
        let client = scene.client();
        let token = soon(acquired(&scene).await.into_token())
            .await
            .expect("held");
        let seen = scene.proxy.requests().len();
        let gate = Gate::closed();
        scene.proxy.next([fault(gate.clone())]);
        let lock = scene.lock(&client, "a");
        dropped_after(lock.resume(&token), scene.proxy.wait_for(seen + 1)).await;
        gate.open();
        soon(client.drain()).await;
        scene.assert_free("a", "given back").await;
        let error = soon(lock.resume(&token)).await.expect_err("given back");
        assert!(error.is_lost(), "{error:?}");
    }
}

/// A resumption that was surely not applied leaves the token good.
#[tokio::test]
async fn a_resumption_that_was_not_applied_can_be_tried_again() {
    let scene = Scene::new().await;
    let client = scene.client();
    let token = soon(acquired(&scene).await.into_token())
        .await
        .expect("held");
    let before = scene.item("a").await;
    let lock = scene.lock(&client, "a").retry_interval(ms(5));
    type Is = fn(&Error) -> bool;
    let errors: [(Fault, Is); 2] = [
        (Fault::access_denied(), Error::is_access_denied),
        (
            Fault::error(400, "UnrecognizedClientException", "no"),
            Error::is_credentials,
        ),
    ];
    for (fault, is_it) in errors {
        scene.proxy.next([fault]);
        let error = soon(lock.resume(&token)).await.expect_err("not applied");
        assert!(is_it(&error) && !error.is_lost(), "{error:?}");
    }
    scene.proxy.on(|_| Fault::throttled());
    let error = soon(lock.clone().timeout(ms(200)).resume(&token)).await;
    let error = error.expect_err("throttled to the end");
    assert!(error.is_throttled() && error.is_timeout(), "{error:?}");
    scene.proxy.on(|_| Fault::Pass);
    soon(client.drain()).await;
    assert_eq!(scene.item("a").await, before, "still on its way");
    let lease = soon(lock.resume(&token)).await.expect("held");
    scene.assert_holds("a", &lease, "at last").await;
}

#[tokio::test]
async fn a_bad_option_at_a_resumption_is_named_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let client = scene.client();
    let token = soon(acquired(&scene).await.into_token())
        .await
        .expect("held");
    let seen = scene.proxy.requests().len();
    let error = soon(scene.lock(&client, "a").owner("").resume(&token)).await;
    assert!(error.expect_err("no label").is_invalid_option());
    for text in [
        "",
        "dynolock1",
        "dynolock2.v.1.2",
        "dynolock1.v.1.2 ",
        &format!("{token}_"),
    ] {
        let error = text.parse::<LeaseToken>().expect_err(text);
        assert!(error.is_invalid_option(), "{error:?}");
        assert!(error.to_string().starts_with("lease token: "), "{error}");
    }
    assert_eq!(scene.proxy.requests().len(), seen);
    let lease = soon(scene.lock(&client, "a").resume(&token)).await;
    drop(lease.expect("held all the time"));
}
