//! `examples/lambda.rs` in a Lambda of our own: invoked, refused, frozen and thawed.

#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock and the processes of the tests, not of the library"
)]

mod api;
mod function;
#[path = "../scene/mod.rs"]
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use dynolock::Update;
use serde_json::Value;

use api::{Outcome, RuntimeApi, Told, from_now};
use function::{Change, Function, run_with};
use scene::{LONG, Scene, nanos, soon};
use support::fault::{Fault, Gate};
use support::recorded::{Recorded, Step};
use support::refusing_url;

const SHIPPED: [Step; 3] = [Step::Acquire, Step::Renew, Step::Release];

fn answer(outcome: &Outcome) -> &Value {
    match &outcome.told {
        Told::Answered(answer) => answer,
        failed @ Told::Failed { .. } => panic!("not shipped: {failed:?}"),
    }
}

#[track_caller]
fn assert_failed(outcome: &Outcome, expected_kind: &str, words: &str) {
    match &outcome.told {
        Told::Failed { kind, message } => {
            assert_eq!(kind, expected_kind, "{message}");
            assert!(message.contains(words), "{message}");
        }
        Told::Answered(answer) => panic!("it was shipped: {answer}"),
    }
}

fn steps(requests: &[Recorded]) -> Vec<Step> {
    requests.iter().map(Recorded::step).collect()
}

#[tokio::test]
async fn an_invocation_locks_works_commits_and_answers() {
    let function = Function::started().await;
    let proxy = &function.scene.proxy;
    assert_eq!((proxy.connections(), proxy.requests().len()), (1, 0));

    function.order("order-1").await;
    let id = function.invoke("order-1", from_now(LONG));
    let outcome = function.outcome(&id).await;
    let first = answer(&outcome);
    assert_eq!(first["order"], "order-1");
    assert_eq!(first["parcels"], 1);
    // As it stood when the answer came: all done, and nothing under way.
    assert_eq!(steps(&outcome.requests), SHIPPED);
    assert!(outcome.requests.iter().all(|it| it.answer.is_some()));
    let item = function.scene.item("order-1").await.expect("an item");
    assert_eq!(item["state"]["S"], "shipped");
    assert_eq!(item["parcels"]["N"], "1");
    function.scene.assert_free("order-1", "answered").await;

    // The same again finds it done. All over the connection of the start.
    let id = function.invoke("order-1", from_now(LONG));
    let outcome = function.outcome(&id).await;
    let second = answer(&outcome);
    assert_eq!(second["parcels"], 1);
    assert!(second["token"].as_u64() > first["token"].as_u64());
    assert_eq!(
        steps(&outcome.requests)[3..],
        [Step::Acquire, Step::Release]
    );
    assert_eq!((proxy.connections(), proxy.requests().len()), (1, 5));
}

#[tokio::test]
async fn an_invocation_with_too_little_time_is_refused_and_sends_nothing() {
    let function = Function::started().await;
    function.order("order-1").await;
    let before = function.scene.item("order-1").await;
    for left in [900, 0] {
        let id = function.invoke("order-1", from_now(Duration::from_millis(left)));
        let outcome = function.outcome(&id).await;
        assert_failed(&outcome, "TooLittleTime", "deadline");
    }
    assert!(function.scene.proxy.requests().is_empty());
    assert_eq!(function.scene.item("order-1").await, before);

    let id = function.invoke("order-1", from_now(LONG));
    assert_eq!(answer(&function.outcome(&id).await)["parcels"], 1);
}

/// Whoever is killed at its deadline leaves a lock that is over by then.
#[tokio::test]
async fn what_an_invocation_writes_ends_at_its_deadline() {
    let function = Function::started().await;
    function.order("order-1").await;
    // Less than the lease of 10 s.
    let deadline = from_now(Duration::from_secs(8));
    let id = function.invoke("order-1", deadline);
    let outcome = function.outcome(&id).await;
    assert_eq!(answer(&outcome)["parcels"], 1);
    for request in &outcome.requests[..2] {
        let numbers = request.body["ExpressionAttributeValues"].as_object();
        let numbers = numbers.into_iter().flat_map(|it| it.values());
        let numbers = numbers.filter_map(|it| it["N"].as_str()?.parse::<i64>().ok());
        let latest = numbers.filter(|it| *it != i64::MAX).max();
        let latest = latest.expect("an expiry");
        // Two writes are told apart by a nanosecond.
        assert!(latest <= nanos(deadline) + 1, "{:?}", request.body);
        assert!(
            latest > nanos(deadline) - 1_000_000_000,
            "{:?}",
            request.body
        );
    }
}

#[tokio::test]
async fn an_order_that_another_holds_is_waited_for_and_left_alone() {
    let function = Function::started().await;
    function.order("order-1").await;
    let scene = &function.scene;
    let lock = scene.lock(&scene.rival(), "order-1").owner("another");
    let theirs = soon(lock.acquire()).await.expect("free");

    let id = function.invoke("order-1", from_now(LONG));
    let outcome = function.outcome(&id).await;
    assert_failed(&outcome, "HeldByAnother", "another");
    assert!(outcome.requests.iter().all(|it| it.answer.is_some()));
    assert!(outcome.requests.len() > 1, "it waited");
    scene.assert_holds("order-1", &theirs, "untouched").await;

    let id = function.invoke("order-1", from_now(LONG));
    scene.proxy.wait_for(outcome.requests.len() + 1).await;
    soon(theirs.release()).await.expect("ours");
    assert_eq!(answer(&function.outcome(&id).await)["parcels"], 1);
}

#[tokio::test]
async fn an_order_that_is_not_there_is_no_order() {
    let function = Function::started().await;
    let id = function.invoke("order-1", from_now(LONG));
    let outcome = function.outcome(&id).await;
    assert_failed(&outcome, "NoSuchOrder", "there is no such item");
    assert!(function.scene.item("order-1").await.is_none());
}

/// Where the lease is only dropped, its release runs in the background.
#[tokio::test]
async fn what_fails_midway_is_released_before_the_answer() {
    let function = Function::started().await;
    function.order("order-1").await;
    let scene = &function.scene;
    scene.proxy.on(|request| match request.step() {
        Step::Renew => Fault::access_denied(),
        _ => Fault::Pass,
    });
    let id = function.invoke("order-1", from_now(LONG));
    let outcome = function.outcome(&id).await;
    assert_failed(&outcome, "NotShipped", "not authorized");
    assert_eq!(steps(&outcome.requests), SHIPPED);
    let released = outcome.requests.last().expect("requests");
    assert!(released.answer.is_some(), "it was waited for");
    scene.assert_free("order-1", "released").await;
    let item = scene.item("order-1").await.expect("an item");
    assert_eq!(item["state"]["S"], "paid");
}

/// A black hole, to all that it sends or to all but the first: it gives up while there is time for
/// its answer.
#[tokio::test]
async fn where_nothing_answers_the_invocation_still_does_in_time() {
    for unheard in [Step::Acquire, Step::Renew] {
        let function = Function::started().await;
        function.order("order-1").await;
        function.scene.proxy.on(move |request| {
            let heard = unheard == Step::Renew && request.step() == Step::Acquire;
            if heard { Fault::Pass } else { Fault::Hang }
        });
        let deadline = from_now(Duration::from_millis(2500));
        let id = function.invoke("order-1", deadline);
        let outcome = function.outcome(&id).await;
        let Told::Failed { kind, message } = &outcome.told else {
            panic!("{unheard:?}: {outcome:?}");
        };
        assert!(
            ["NotShipped", "TooLittleTime", "LeaseLost"].contains(&kind.as_str()),
            "{unheard:?}: {kind}: {message}"
        );
        let sent = steps(&outcome.requests);
        assert!(sent.contains(&unheard), "{unheard:?}: {sent:?}");
        assert!(outcome.at < deadline, "{unheard:?}: {message}");

        // Nor does what is left behind go beyond it; the environment is as good as before.
        function.scene.proxy.on(|_| Fault::Pass);
        let id = function.invoke("order-1", from_now(LONG));
        assert_eq!(answer(&function.outcome(&id).await)["parcels"], 1);
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_an_error_that_says_so() {
    let function = Function::started_with(&[("TABLE", Some("nothing"))]).await;
    let id = function.invoke("order-1", from_now(LONG));
    let outcome = function.outcome(&id).await;
    assert_failed(&outcome, "NotShipped", "ResourceNotFoundException");
}

/// Its write is on the way when it is frozen, and arrives when another has the lock.
#[tokio::test]
async fn a_function_that_is_frozen_beyond_its_lease_writes_nothing_more() {
    let function = Function::started().await;
    function.order("order-1").await;
    let (scene, gate) = (&function.scene, Gate::closed());
    let held_back = gate.clone();
    scene.proxy.on(move |request| match request.step() {
        Step::Renew => Fault::Delay(held_back.clone()),
        _ => Fault::Pass,
    });
    let id = function.invoke("order-1", from_now(LONG));
    let is_writing = |requests: &[Recorded]| steps(requests).contains(&Step::Renew);
    scene.proxy.wait_until(is_writing).await;
    function.freeze().await;

    let lock = scene.lock(&scene.rival(), "order-1").owner("another");
    let lock = lock.max_clock_skew(Duration::ZERO);
    let theirs = soon(lock.acquire()).await.expect("its lease ends");
    let update = Update::new().set("state", "cancelled");
    soon(theirs.update(update)).await.expect("ours");

    gate.open();
    let answers = |requests: &[Recorded]| requests.iter().all(|it| it.answer.is_some());
    scene.proxy.wait_until(answers).await;
    for request in scene.proxy.requests() {
        let answer = request.answer.as_ref().expect("it was answered");
        if request.step() == Step::Renew {
            let code = answer.json()["__type"].to_string();
            assert!(code.contains("ConditionalCheckFailed"), "{code}");
        }
    }
    function.thaw().await;

    let outcome = function.outcome(&id).await;
    assert_failed(&outcome, "LeaseLost", "the lease is lost");
    assert!(outcome.requests.iter().all(|it| it.answer.is_some()));
    scene.assert_holds("order-1", &theirs, "theirs").await;
    let item = scene.item("order-1").await.expect("an item");
    assert_eq!(item["state"]["S"], "cancelled");
    assert!(item.get("parcels").is_none(), "{item}");

    // The environment is as good as before.
    scene.proxy.on(|_| Fault::Pass);
    function.order("order-2").await;
    let id = function.invoke("order-2", from_now(LONG));
    assert_eq!(answer(&function.outcome(&id).await)["parcels"], 1);
}

/// The invocation is there already when it thaws, together with the ends of its connections.
#[tokio::test]
async fn connections_that_were_closed_in_the_freeze_cost_no_request() {
    let function = Function::started().await;
    let proxy = &function.scene.proxy;
    for (nth, order) in ["order-1", "order-2", "order-3"].into_iter().enumerate() {
        function.order(order).await;
        function.freeze().await;
        proxy.close_connections();
        scene::until(|| proxy.open_connections() == 0).await;
        let id = function.invoke(order, from_now(LONG));
        function.thaw().await;
        let outcome = function.outcome(&id).await;
        assert_eq!(answer(&outcome)["parcels"], 1);
        assert_eq!(steps(&outcome.requests)[nth * 3..], SHIPPED);
        assert_eq!(proxy.connections(), nth + 2, "one for each thaw");
    }
}

#[tokio::test]
async fn a_bad_environment_is_one_clear_line_and_a_status() {
    let scene = Scene::new().await;
    let api = RuntimeApi::new(Vec::new);
    let refusing = refusing_url();
    let keys = ("AWS_ACCESS_KEY_ID", None);
    let cases: [(&[Change<'_>], &str); 8] = [
        (&[("AWS_REGION", None)], "region"),
        (&[keys, ("AWS_SECRET_ACCESS_KEY", None)], "credentials"),
        (&[("AWS_SECRET_ACCESS_KEY", None)], "AWS_SECRET_ACCESS_KEY"),
        (
            &[("AWS_ENDPOINT_URL_DYNAMODB", Some("localhost:8000"))],
            "endpoint URL",
        ),
        (
            &[("AWS_ENDPOINT_URL_DYNAMODB", Some("http://[::1"))],
            "endpoint URL",
        ),
        (
            &[("AWS_ENDPOINT_URL_DYNAMODB", Some(&refusing))],
            "127.0.0.1",
        ),
        (&[("TABLE", None)], "TABLE is not set"),
        (&[("AWS_LAMBDA_RUNTIME_API", None)], "this runs in Lambda"),
    ];
    for (changes, words) in cases {
        let (output, took) = run_with(&api, &scene, changes).await;
        assert!(took < Duration::from_secs(1), "{changes:?}: {took:?}");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{changes:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{changes:?}: {said}");
        assert!(said.contains(words), "{changes:?}: {said}");
        assert!(output.stdout.is_empty(), "{changes:?}");
    }
    assert_eq!(api.asked(), 0);
    assert!(scene.proxy.requests().is_empty());
}
