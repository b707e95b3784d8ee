//! Transactions under leases: all or nothing, once, and only while every lease is held.

mod scene;
mod support;

use std::time::Duration;

use dynolock::{Error, Item, Lease, Lost, Update};
use serde_json::{Value, json};

use scene::{LONG, Scene, expires, ms, nanos, soon};
use support::fault::{Answer, Fault, Gate, Which};
use support::recorded::{Recorded, Step};

async fn locked(scene: &Scene, id: &str) -> Lease {
    let lease = soon(scene.lock(&scene.client(), id).acquire()).await;
    lease.expect("free")
}

/// Two accounts with a balance of 100, locked by one client.
async fn accounts(scene: &Scene) -> (dynolock::Client, Lease, Lease) {
    accounts_by(scene, scene.client(), LONG).await
}

async fn accounts_by(
    scene: &Scene,
    client: dynolock::Client,
    lease: Duration,
) -> (dynolock::Client, Lease, Lease) {
    for id in ["a", "b"] {
        scene.put(id, json!({"balance": {"N": "100"}})).await;
    }
    let one = soon(scene.lock(&client, "a").lease(lease).acquire()).await;
    let two = soon(scene.lock(&client, "b").lease(lease).acquire()).await;
    (client, one.expect("free"), two.expect("free"))
}

fn debit() -> Update {
    let update = Update::new().add("balance", -10);
    update.condition("balance >= :least").value(":least", 10)
}

fn credit() -> Update {
    Update::new().add("balance", 10)
}

async fn balance(scene: &Scene, id: &str) -> String {
    let item = scene.item(id).await.unwrap_or_default();
    item["balance"]["N"].as_str().unwrap_or("none").to_owned()
}

async fn balances(scene: &Scene) -> [String; 2] {
    [balance(scene, "a").await, balance(scene, "b").await]
}

fn transactions(scene: &Scene) -> Vec<Recorded> {
    let mut requests = scene.proxy.requests();
    requests.retain(|request| request.operation == "TransactWriteItems");
    requests
}

/// A cancelled transaction as DynamoDB reports it, of these codes.
fn cancelled(codes: &[&str]) -> Fault {
    let reasons: Vec<Value> = codes.iter().map(|code| json!({"Code": code})).collect();
    Fault::AnswerWith(cancelled_for(&reasons))
}

#[tokio::test]
async fn a_transfer_is_made_under_both_locks_and_renews_them() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let before = [nanos(from.expires_at()), nanos(to.expires_at())];
    let transaction = client.transaction().update(&from, debit());
    let transaction = transaction.update(&to, credit());
    let transaction = transaction.put(
        &scene.table,
        ("id", "t-1"),
        Item::from_iter([("amount", 10)]),
    );
    soon(transaction.send()).await.expect("sent");
    assert_eq!(balances(&scene).await, ["90", "110"]);
    let transfer = scene.item("t-1").await.expect("put");
    assert_eq!(transfer, json!({"id": {"S": "t-1"}, "amount": {"N": "10"}}));
    for (lease, id, before) in [(&from, "a", before[0]), (&to, "b", before[1])] {
        assert!(nanos(lease.expires_at()) > before, "renewed");
        scene.assert_holds(id, lease, "renewed").await;
    }
    assert_eq!(scene.proxy.requests().len(), 3, "one request");
    for (lease, id) in [(from, "a"), (to, "b")] {
        soon(lease.update(credit())).await.expect("still held");
        soon(lease.release()).await.expect("released");
        scene.assert_free(id, "released").await;
    }
}

#[tokio::test]
async fn every_kind_of_entry_does_what_it_says() {
    let scene = Scene::new().await;
    for id in ["put", "update", "delete", "delete_if", "check"] {
        scene.put(id, json!({"n": {"N": "1"}})).await;
    }
    let client = scene.client();
    let own = soon(scene.lock(&client, "own").acquire())
        .await
        .expect("free");
    let table = scene.table.as_str();
    let one = || Update::new().condition("n = :one").value(":one", 1);
    let new = || Update::new().condition("attribute_not_exists(id)");
    let with_key = Item::from_iter([("id", "new")]);
    let transaction = client
        .transaction()
        .holding(&own)
        .put(table, ("id", "put"), Item::from_iter([("m", 2)]))
        .put_if(table, ("id", "new"), with_key, new())
        .update_item(table, ("id", "update"), one().add("n", 1))
        .delete(table, ("id", "delete"))
        .delete_if(table, ("id", "delete_if"), one())
        .check(table, ("id", "check"), one());
    let shown = format!("{transaction:?}");
    assert!(
        shown.contains("Put") && !shown.contains("update\""),
        "{shown}"
    );
    soon(transaction.send()).await.expect("sent");
    let left = |id: &'static str| async { scene.item(id).await.map(|item| item["n"].clone()) };
    assert_eq!(left("put").await, Some(Value::Null), "in place of it");
    assert_eq!(left("new").await, Some(Value::Null));
    assert_eq!(left("update").await, Some(json!({"N": "2"})));
    assert_eq!(left("delete").await, None);
    assert_eq!(left("delete_if").await, None);
    assert_eq!(left("check").await, Some(json!({"N": "1"})));
    scene.assert_holds("own", &own, "only held").await;
}

#[tokio::test]
async fn a_lease_that_is_only_held_leaves_an_empty_item_to_be_deleted() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client, "a").delete_on_release();
    for (update, deleted) in [(false, true), (true, false)] {
        let lease = soon(lock.acquire()).await.expect("free");
        let transaction = client.transaction();
        let transaction = match update {
            true => transaction.update(&lease, Update::new().set("n", 1)),
            false => transaction.holding(&lease),
        };
        soon(transaction.send()).await.expect("sent");
        soon(lease.release()).await.expect("released");
        assert_eq!(scene.item("a").await.is_none(), deleted);
    }
}

#[tokio::test]
async fn a_failed_condition_names_its_entry_and_its_item_and_nothing_is_written() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let table = scene.table.as_str();
    scene.put("x", json!({"n": {"N": "7"}})).await;
    let free = |n: i32| Update::new().condition("n = :n").value(":n", n);
    // One of them, and both.
    let cases = [(1000, 7, vec![0]), (10, 8, vec![2]), (1000, 8, vec![0, 2])];
    for (least, n, expected) in cases {
        let update = Update::new().add("balance", -10);
        let update = update.condition("balance >= :n").value(":n", least);
        let transaction = client.transaction().update(&from, update);
        let transaction = transaction
            .update(&to, credit())
            .check(table, ("id", "x"), free(n));
        let error = soon(transaction.send()).await.expect_err("refused");
        assert!(error.is_condition_failed(), "{error:?}");
        assert!(!error.is_lost() && !error.is_outcome_unknown());
        assert_eq!(error.entry(), expected.first().copied(), "{error}");
        assert_eq!(error.table(), Some(table));
        let entries: Vec<_> = error.entries().map(|it| it.entry().expect("one")).collect();
        assert_eq!(entries, expected, "{error:?}");
        for error in error.entries() {
            let item = error.item().expect("the item");
            match error.entry() {
                Some(0) => assert_eq!(item.get("balance"), Some(&100.into())),
                _ => assert_eq!(item.get("n"), Some(&7.into())),
            }
            let lock = item.iter().find(|(name, _)| name.starts_with("dynoLock"));
            assert_eq!(lock, None);
        }
        assert!(error.to_string().contains("the condition"), "{error}");
        assert!(!format!("{error:?} {error}").contains("100"), "no content");
    }
    assert_eq!(balances(&scene).await, ["100", "100"]);
    // The leases go on.
    soon(from.renew()).await.expect("held");
    let transaction = client.transaction().update(&from, debit());
    soon(transaction.update(&to, credit()).send())
        .await
        .expect("sent");
    assert_eq!(balances(&scene).await, ["90", "110"]);
}

#[tokio::test]
async fn a_lease_that_was_taken_over_is_named_and_nothing_is_written() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    scene.put_lock("b", 60_000_000_000, "60000000000").await;
    let transaction = client.transaction().update(&from, debit());
    let error = soon(transaction.update(&to, credit()).send()).await;
    let error = error.expect_err("lost");
    assert!(error.is_lost() && !error.is_outcome_unknown(), "{error:?}");
    assert_eq!(error.entry(), Some(1));
    let holder = error.holder().expect("a holder");
    assert_eq!(holder.version(), Some("another"));
    assert!(!to.is_held() && from.is_held());
    assert_eq!(balance(&scene, "a").await, "100");
    // Before anything is sent the next time.
    let sent = scene.proxy.requests().len();
    let transaction = client.transaction().update(&from, debit()).holding(&to);
    let error = soon(transaction.send()).await.expect_err("lost");
    assert_eq!((error.entry(), error.is_lost()), (Some(1), true));
    assert_eq!(scene.proxy.requests().len(), sent);
    soon(from.release()).await.expect("released");
}

#[tokio::test]
async fn a_conflict_is_tried_again_with_the_same_bytes() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let in_progress = Fault::error(400, "TransactionInProgressException", "busy");
    scene.proxy.next([
        cancelled(&["None", "TransactionConflict"]),
        cancelled(&["ThrottlingError", "TransactionConflict"]),
        Fault::throttled(),
        in_progress,
    ]);
    let transaction = client.transaction().update(&from, debit());
    soon(transaction.update(&to, credit()).send())
        .await
        .expect("sent");
    assert_eq!(balances(&scene).await, ["90", "110"]);
    let sent = transactions(&scene);
    assert_eq!(sent.len(), 5);
    for request in &sent {
        assert_eq!(request.message.body, sent[0].message.body);
    }
    let token = sent[0].body["ClientRequestToken"].as_str();
    assert_eq!(token.expect("a token").len(), 27);
    // The next one has another.
    soon(client.transaction().holding(&from).send())
        .await
        .expect("sent");
    let sent = transactions(&scene);
    assert_ne!(sent[5].body["ClientRequestToken"].as_str(), token);
}

#[tokio::test]
async fn a_conflict_that_lasts_costs_no_lease() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts_by(&scene, scene.hasty_client(), ms(3000)).await;
    scene.proxy.on(|request| match request.operation.as_str() {
        "TransactWriteItems" => cancelled(&["None", "TransactionConflict"]),
        _ => Fault::Pass,
    });
    let transaction = client.transaction().update(&from, debit());
    let error = soon(transaction.update(&to, credit()).send()).await;
    let error = error.expect_err("busy");
    assert!(!error.is_held() && !error.is_lost(), "{error:?}");
    assert!(!error.is_outcome_unknown());
    assert_eq!(error.code(), Some("TransactionConflict"));
    assert_eq!(error.entry(), Some(1));
    for lease in [from, to] {
        soon(lease.renew()).await.expect("held");
    }
    assert_eq!(balances(&scene).await, ["100", "100"]);
}

#[tokio::test]
async fn what_dynamodb_refuses_is_not_tried_again() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    scene.proxy.next([cancelled(&["None", "ValidationError"])]);
    let transaction = client.transaction().update(&from, debit());
    let error = soon(transaction.update(&to, credit()).send()).await;
    let error = error.expect_err("refused");
    assert_eq!(error.code(), Some("ValidationError"), "{error:?}");
    assert_eq!(error.entry(), Some(1));
    assert_eq!(transactions(&scene).len(), 1);
    scene.proxy.next([Fault::access_denied()]);
    let error = soon(client.transaction().holding(&from).send()).await;
    let error = error.expect_err("denied");
    assert!(
        error.is_access_denied() && error.entry().is_none(),
        "{error:?}"
    );
    // As DynamoDB says it: an item of the wrong type.
    let text = Update::new().set("balance", "text");
    soon(to.update(text)).await.expect("updated");
    let transaction = client.transaction().update(&from, debit());
    let error = soon(transaction.update(&to, credit()).send()).await;
    let error = error.expect_err("a text is no number");
    assert!(error.code().is_some(), "{error:?}");
    assert_eq!(balance(&scene, "a").await, "100");
    for lease in [&from, &to] {
        soon(lease.renew()).await.expect("held");
    }
}

#[tokio::test]
async fn whatever_is_lost_on_the_way_it_is_applied_once() {
    type Weather = fn() -> Vec<Fault>;
    let weathers: [(&str, Weather, usize); 8] = [
        ("lost request", || vec![Fault::DropRequest], 2),
        ("reset", || vec![Fault::ResetRequest], 2),
        ("lost answer", || vec![Fault::ForwardThenDropAnswer], 2),
        ("half an answer", || vec![Fault::HalfAnswer], 2),
        ("no answer", || vec![Fault::HangAfterForward], 2),
        (
            "500 after all",
            || {
                vec![Fault::ForwardThenAnswer(Answer::error(
                    500,
                    "InternalServerError",
                    "no",
                ))]
            },
            2,
        ),
        ("doubled", || vec![Fault::ForwardTwice(Which::First)], 1),
        (
            "doubled, second",
            || vec![Fault::ForwardTwice(Which::Second)],
            1,
        ),
    ];
    for (what, weather, requests) in weathers {
        let scene = Scene::new().await;
        let (client, from, to) = accounts_by(&scene, scene.hasty_client(), LONG).await;
        scene.proxy.next(weather());
        let transaction = client.transaction().update(&from, debit());
        let sent = soon(transaction.update(&to, credit()).send()).await;
        sent.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(balances(&scene).await, ["90", "110"], "{what}");
        let sent = transactions(&scene);
        assert_eq!(sent.len(), requests, "{what}");
        assert_eq!(
            sent[0].message.body,
            sent[requests - 1].message.body,
            "{what}"
        );
        // Late copies change nothing, also where DynamoDB had forgotten the token.
        soon(from.renew()).await.expect("held");
        let mut late = sent[0].body.clone();
        late["ClientRequestToken"] = json!("another");
        let (status, answer) = scene.engine.call("TransactWriteItems", &late).await;
        assert_eq!(status, 400, "{what}: {answer}");
        assert_eq!(balances(&scene).await, ["90", "110"], "{what}");
        for (lease, id) in [(from, "a"), (to, "b")] {
            scene.assert_holds(id, &lease, what).await;
            soon(lease.release()).await.expect(what);
        }
    }
}

/// The lock in the item of an entry once the transaction was applied.
fn lock_after(entry: &Value) -> Value {
    let update = &entry["Update"];
    let expression = update["UpdateExpression"].as_str().expect("an update");
    let mut placeholders = expression
        .split([' ', ','])
        .filter(|it| it.starts_with(':'));
    let values = &update["ExpressionAttributeValues"];
    json!({
        "dynoLockVersion": values[":0"],
        "dynoLockFence": values[":1"],
        "dynoLockExpires": values[placeholders.next().expect("the expiry")],
    })
}

fn refused(item: &Value) -> Value {
    json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": item})
}

fn cancelled_for(reasons: &[Value]) -> Answer {
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": reasons,
    });
    Answer::json_text(400, &body.to_string())
}

/// DynamoDB remembers a token for ten minutes. After that the items tell.
#[tokio::test]
async fn an_item_that_shows_its_new_expiry_shows_that_all_was_applied() {
    for shown in [0, 1] {
        let scene = Scene::new().await;
        let (client, from, to) = accounts(&scene).await;
        let mut attempts = 0;
        scene.proxy.on(move |request| {
            if request.operation != "TransactWriteItems" {
                return Fault::Pass;
            }
            attempts += 1;
            if attempts == 1 {
                return Fault::ForwardThenDropAnswer;
            }
            let mut reasons = [json!({"Code": "None"}), json!({"Code": "None"})];
            reasons[shown] = refused(&lock_after(&request.body["TransactItems"][shown]));
            Fault::AnswerWith(cancelled_for(&reasons))
        });
        let transaction = client.transaction().update(&from, debit());
        let sent = soon(transaction.update(&to, credit()).send()).await;
        sent.unwrap_or_else(|error| panic!("{shown}: {error:?}"));
        assert_eq!(balances(&scene).await, ["90", "110"]);
        assert_eq!(transactions(&scene).len(), 2);
        for (lease, id) in [(from, "a"), (to, "b")] {
            scene.assert_holds(id, &lease, "applied").await;
            soon(lease.release()).await.expect("released");
        }
    }
}

#[tokio::test]
async fn the_servers_refuse_what_was_applied_under_another_token() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let transaction = client.transaction().update(&from, debit());
    soon(transaction.update(&to, credit()).send())
        .await
        .expect("sent");
    let mut again = transactions(&scene)[0].body.clone();
    again["ClientRequestToken"] = json!("forgotten");
    let (status, refusal) = scene.engine.call("TransactWriteItems", &again).await;
    assert_eq!(status, 400);
    for (at, id) in [(0, "a"), (1, "b")] {
        let reason = &refusal["CancellationReasons"][at];
        assert_eq!(reason["Code"], "ConditionalCheckFailed", "{refusal}");
        let item = scene.item(id).await.expect("an item");
        assert_eq!(expires(&reason["Item"]), expires(&item));
    }
    // With the same one it is as if it had just been applied.
    let (status, _) = scene.proxy.replay(transactions(&scene)[0].index).await;
    assert_eq!(status, 200);
    assert_eq!(balances(&scene).await, ["90", "110"]);
}

#[tokio::test]
async fn a_refusal_after_an_unknown_attempt_keeps_the_late_one_out() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let held_back = || {
        Update::new()
            .add("balance", 1)
            .condition("ready = :yes")
            .value(":yes", true)
    };
    // Refused, but nobody knows; then refused, and known.
    scene.proxy.next([Fault::ForwardThenDropAnswer]);
    let transaction = client.transaction().update(&from, held_back());
    let error = soon(transaction.update(&to, credit()).send()).await;
    let error = error.expect_err("refused");
    assert!(error.is_condition_failed(), "{error:?}");
    assert_eq!(error.entry(), Some(0));
    assert_eq!(scene.proxy.steps().last(), Some(&Step::Renew), "kept out");
    let first = transactions(&scene)[0].index;
    soon(from.update(Update::new().set("ready", true)))
        .await
        .expect("held");
    let (status, answer) = scene.proxy.replay(first).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(balances(&scene).await, ["100", "100"]);
    soon(to.renew()).await.expect("held");
}

#[tokio::test]
async fn the_keeping_out_finds_what_was_applied() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    // It is applied, and the second answer is wrong about it.
    scene.proxy.next([
        Fault::ForwardThenDropAnswer,
        cancelled(&["None", "ValidationError"]),
    ]);
    let transaction = client.transaction().update(&from, debit());
    soon(transaction.update(&to, credit()).send())
        .await
        .expect("applied");
    assert_eq!(balances(&scene).await, ["90", "110"]);
    for lease in [from, to] {
        soon(lease.release()).await.expect("released");
    }
}

#[tokio::test]
async fn what_one_lost_lease_leaves_open_another_one_settles() {
    for applied in [true, false] {
        let scene = Scene::new().await;
        let (client, from, to) = accounts(&scene).await;
        let stolen = json!({
            "dynoLockVersion": {"S": "another"},
            "dynoLockExpires": {"N": "1795415039214849567"},
        });
        let first = match applied {
            true => Fault::ForwardThenDropAnswer,
            false => Fault::DropRequest,
        };
        let reasons = [refused(&stolen), json!({"Code": "None"})];
        scene
            .proxy
            .next([first, Fault::AnswerWith(cancelled_for(&reasons))]);
        let transaction = client.transaction().update(&from, debit());
        let sent = soon(transaction.update(&to, credit()).send()).await;
        match (applied, sent) {
            (true, Ok(())) => assert_eq!(balances(&scene).await, ["90", "110"]),
            (false, Err(error)) => {
                assert!(error.is_lost() && !error.is_outcome_unknown(), "{error:?}");
                assert_eq!(error.entry(), Some(0));
                assert_eq!(balances(&scene).await, ["100", "100"]);
            }
            (applied, sent) => panic!("{applied}: {sent:?}"),
        }
        assert!(to.is_held() && !from.is_held());
        scene.assert_holds("b", &to, "settled").await;
    }
}

#[tokio::test]
async fn a_late_attempt_after_the_lease_leaves_the_next_holder_alone() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts_by(&scene, scene.hasty_client(), ms(1200)).await;
    scene.proxy.on(|request| match request.operation.as_str() {
        "TransactWriteItems" => Fault::DropRequest,
        _ => Fault::Hang,
    });
    let transaction = client.transaction().update(&from, debit());
    let error = soon(transaction.update(&to, credit()).send()).await;
    let error = error.expect_err("nothing gets through");
    assert!(error.is_outcome_unknown() && error.is_lost(), "{error:?}");
    assert_eq!(error.lost(), Some(&Lost::Expired));
    assert!(error.entry().is_some());
    let rival = scene.rival();
    let lock = scene.lock(&rival, "a").max_clock_skew(Duration::ZERO);
    let next = soon(lock.acquire()).await.expect("expired");
    for request in transactions(&scene) {
        let (status, answer) = scene.proxy.replay(request.index).await;
        assert_eq!(status, 400, "{answer}");
    }
    assert_eq!(balances(&scene).await, ["100", "100"]);
    scene.assert_holds("a", &next, "the next").await;
}

#[tokio::test]
async fn a_dropped_transaction_is_kept_out_by_the_next_write() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let gate = Gate::closed();
    scene.proxy.next([Fault::Delay(gate.clone())]);
    {
        let transaction = client.transaction().update(&from, debit());
        let sending = transaction.update(&to, credit()).send();
        tokio::select! {
            sent = sending => panic!("{sent:?}"),
            () = scene.proxy.wait_until(|it| it.iter().any(|it| it.operation == "TransactWriteItems")) => {}
        }
    }
    soon(to.renew()).await.expect("held");
    gate.open();
    scene.proxy.wait_for_answers(4).await;
    assert_eq!(balances(&scene).await, ["100", "100"]);
    for lease in [from, to] {
        soon(lease.release()).await.expect("held");
    }
}

#[tokio::test]
async fn transactions_and_renewals_of_the_same_leases_wait_for_one_another() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    for lease in [&from, &to] {
        lease.start_heartbeat().expect("started");
    }
    let one_way = || async {
        for _ in 0..5 {
            let transaction = client.transaction().update(&from, credit());
            soon(transaction.update(&to, credit()).send())
                .await
                .expect("sent");
        }
    };
    let other_way = || async {
        for _ in 0..5 {
            let transaction = client.transaction().update(&to, credit());
            soon(transaction.update(&from, credit()).send())
                .await
                .expect("sent");
        }
    };
    let alone = || async {
        for _ in 0..5 {
            soon(from.update(credit())).await.expect("updated");
            soon(to.renew()).await.expect("renewed");
        }
    };
    tokio::join!(one_way(), other_way(), alone(), one_way());
    assert_eq!(balances(&scene).await, ["300", "250"]);
    let refused = |request: &Recorded| request.answer.as_ref().is_some_and(|it| it.status != 200);
    assert!(
        !scene.proxy.requests().iter().any(refused),
        "no two at once"
    );
}

#[tokio::test]
async fn bad_input_is_refused_before_anything_is_sent() {
    let scene = Scene::with_keys(("id", "S"), None).await;
    let client = scene.client();
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    let other = locked(&scene, "b").await;
    let table = scene.table.clone();
    let arn = format!("arn:aws:dynamodb:us-east-1:123456789012:table/{table}");
    let (t, arn) = (table.as_str(), arn.as_str());
    let sent = scene.proxy.requests().len();
    let begin = || client.transaction();
    let with = || client.transaction().holding(&lease);
    let some = || Update::new().condition("n = :n").value(":n", 1);
    let change = || Update::new().set("n", 1);
    let number = |text: &str| text.parse::<dynolock::Number>().expect("a number");
    let many = |count: usize| {
        let ids = (0..count).map(|n| format!("i{n}"));
        ids.fold(with(), |all, id| all.delete(t, ("id", id)))
    };
    let large = |count: usize| {
        let item = || Item::from_iter([("blob", "x".repeat(399_000))]);
        let ids = (0..count).map(|n| format!("i{n}"));
        ids.fold(with(), |all, id| all.put(t, ("id", id), item()))
    };
    let item = |name: &str| Item::from_iter([(name, "x")]);
    let cases = [
        (begin(), "transaction: it has 0 entries; 1 to 100", None),
        (
            begin().delete(t, ("id", "x")),
            "no entry is under a lease",
            None,
        ),
        (many(100), "it has 101 entries; 1 to 100 are allowed", None),
        (
            with().holding(&lease),
            "entry 0 is of the same item",
            Some(1),
        ),
        (
            with().update(&lease, change()),
            "entry 0 is of the same item",
            Some(1),
        ),
        (
            with().delete(t, ("id", "a")),
            "entry 0 is of the same item",
            Some(1),
        ),
        (
            with().delete(arn, ("id", "a")),
            "entry 0 is of the same item",
            Some(1),
        ),
        (
            with()
                .delete(t, ("n", number("1")))
                .delete(t, ("n", number("1.0"))),
            "entry 1 is of the same item",
            Some(2),
        ),
        (
            with()
                .put(t, ("id", "x"), Item::new())
                .check(t, ("id", "x"), some()),
            "entry 1 is of the same item",
            Some(2),
        ),
        (
            with().holding(&other),
            "the lease is another client's",
            Some(1),
        ),
        (large(11), "bytes; up to 4194304 are allowed", None),
        (
            with().put(t, ("id", "x"), item("dynoLockFence")),
            "`dynoLockFence` is a lock's",
            Some(1),
        ),
        (
            with()
                .put(t, ("id", "x"), item("id"))
                .delete(t, ("id", "y")),
            "",
            None,
        ),
        (
            with().put(t, ("id", "y"), item("id")),
            "another value of the key's attribute `id`",
            Some(1),
        ),
        (
            with().put(t, ("id", "x"), item("")),
            "name has 0 bytes",
            Some(1),
        ),
        (
            with().put_if(t, ("id", "x"), Item::new(), change()),
            "conditions only",
            Some(1),
        ),
        (
            with().delete_if(t, ("id", "x"), change()),
            "conditions only",
            Some(1),
        ),
        (
            with().check(t, ("id", "x"), some().set("n", 1)),
            "conditions only",
            Some(1),
        ),
        (
            with().check(t, ("id", "x"), Update::new()),
            "no condition to check",
            Some(1),
        ),
        (
            with().update_item(t, ("id", "x"), some()),
            "the update changes nothing",
            Some(1),
        ),
        (
            with().update_item(t, ("id", "x"), Update::new().set("id", 1)),
            "update: ",
            Some(1),
        ),
        (
            with().update_item(t, ("id", "x"), Update::new().set("dynoLockVersion", 1)),
            "update: `dynoLockVersion`",
            Some(1),
        ),
        (
            begin().update(&lease, Update::new().set("id", 1)),
            "update: ",
            Some(0),
        ),
        (with().delete("x", ("id", "x")), "table: ", Some(1)),
        (with().delete(t, ("id", "")), "partition key: ", Some(1)),
    ];
    for (transaction, expected, entry) in cases {
        if expected.is_empty() {
            soon(transaction.send())
                .await
                .expect("the key may be in it");
            continue;
        }
        let error = soon(transaction.send()).await.expect_err(expected);
        assert!(error.is_invalid_option(), "{expected}: {error:?}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(error.entry(), entry, "{expected}: {error:?}");
    }
    assert_eq!(scene.proxy.requests().len(), sent + 1);
    soon(many(99).send()).await.expect("100 entries");
    // A name and an ARN are one table; two locks may have the same key in two.
    let items = large(10).send();
    soon(items).await.expect("just below 4 MB");
}

#[tokio::test]
async fn the_future_can_be_spawned() {
    let scene = Scene::new().await;
    let (client, from, to) = accounts(&scene).await;
    let task = scene::spawn(async move {
        let transaction = client.transaction().update(&from, debit());
        transaction.update(&to, credit()).send().await?;
        Ok::<_, Error>((from, to))
    });
    let leases = soon(task).await.expect("no panic").expect("sent");
    assert!(leases.0.is_held() && leases.1.is_held());
}

fn names(condition: &dynolock::Condition) -> Value {
    condition
        .names()
        .map(|(alias, name)| (alias.to_owned(), json!(name)))
        .collect()
}

fn values(condition: &dynolock::Condition) -> Value {
    let json = |value| serde_json::to_value(value).expect("JSON");
    condition
        .values()
        .map(|(alias, value)| (alias.to_owned(), json(value)))
        .collect()
}

/// A client of the caller's own.
#[tokio::test]
async fn the_condition_of_a_lease_holds_until_the_lock_goes_on() {
    let scene = Scene::new().await;
    let lease = locked(&scene, "a").await;
    let held = lease.condition();
    assert_eq!(held.table(), scene.table);
    assert_eq!(
        serde_json::to_value(held.key()).expect("JSON"),
        json!({"id": {"S": "a"}})
    );
    assert!(!format!("{held:?}").contains(lease.version()));
    let token = lease.fencing_token();
    let transaction = |n: u32| {
        json!({
            "ClientRequestToken": format!("{token}-{n}"),
            "TransactItems": [
                {"ConditionCheck": {
                    "TableName": held.table(),
                    "Key": held.key(),
                    "ConditionExpression": held.expression(),
                    "ExpressionAttributeNames": names(&held),
                    "ExpressionAttributeValues": values(&held),
                }},
                {"Put": {"TableName": held.table(), "Item": {"id": {"S": format!("x{n}")}}}},
            ],
        })
    };
    let mut update = json!({
        "TableName": held.table(),
        "Key": held.key(),
        "UpdateExpression": "SET mine = :x",
        "ConditionExpression": format!("({}) OR mine = :never", held.expression()),
        "ExpressionAttributeNames": names(&held),
        "ExpressionAttributeValues": values(&held),
    });
    update["ExpressionAttributeValues"][":x"] = json!({"S": "x"});
    update["ExpressionAttributeValues"][":never"] = json!({"S": "never"});
    let call = async |n: u32| {
        scene
            .engine
            .call("TransactWriteItems", &transaction(n))
            .await
            .0
    };
    assert_eq!(call(1).await, 200);
    soon(lease.renew()).await.expect("renewed");
    assert_eq!(call(2).await, 200, "renewed");
    scene.engine.expect("UpdateItem", &update).await;
    soon(lease.release()).await.expect("released");
    assert_eq!(call(3).await, 400, "released");
    assert_eq!(scene.engine.call("UpdateItem", &update).await.0, 400);
    assert!(scene.item("x2").await.is_some() && scene.item("x3").await.is_none());
    let next = locked(&scene, "a").await;
    assert_eq!(call(4).await, 400, "another's");
    assert_ne!(next.condition(), held);
}
