//! The test support does what it says: engine, proxy and dyno peer.

mod support;

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use support::dynamodb::DynamoDb;
use support::dyno::DynoPeer;
use support::dyno_wire;
use support::engine::Engine;
use support::fault::{Answer, Fault, Gate, Which};
use support::http;
use support::proxy::Proxy;
use support::recorded::Step;
use support::{refusing_url, unique_name, wall_nanos};

const SECOND: i64 = 1_000_000_000;

/// A server, a fresh table on it, and a proxy before it.
struct Scene {
    proxy: Proxy,
    engine: Engine,
    table: String,
}

impl Scene {
    async fn new() -> Self {
        let engine = Engine::of_environment().await;
        let table = unique_name("support");
        engine.create_table(&table, ("id", "S"), None).await;
        let proxy = Proxy::to(&engine);
        Self {
            proxy,
            engine,
            table,
        }
    }

    /// Adds one to a number: counts how often it is applied.
    fn increment(&self) -> Value {
        json!({
            "TableName": self.table,
            "Key": {"id": {"S": "counter"}},
            "UpdateExpression": "ADD #n :one",
            "ExpressionAttributeNames": {"#n": "n"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "ALL_NEW",
        })
    }

    /// How often `increment` was applied.
    async fn count(&self) -> usize {
        let item = self
            .engine
            .get_item(&self.table, &json!({"id": {"S": "counter"}}))
            .await;
        item.map_or(0, |item| {
            let count = item["n"]["N"].as_str().expect("a number");
            count.parse().expect("a small number")
        })
    }

    /// Sends an increment through the proxy.
    async fn send(&self) -> io::Result<http::Message> {
        let proxied = DynamoDb::at(&self.proxy.url());
        let request = proxied.request("UpdateItem", &self.increment());
        http::exchange(proxied.authority(), &request).await
    }
}

#[tokio::test]
async fn the_engine_keeps_items() {
    let engine = Engine::of_environment().await;
    let table = unique_name("support");
    engine
        .create_table(&table, ("id", "S"), Some(("at", "N")))
        .await;
    let key = json!({"id": {"S": "a"}, "at": {"N": "1"}});
    let item = json!({"id": {"S": "a"}, "at": {"N": "1"}, "x": {"BOOL": true}});
    assert_eq!(engine.get_item(&table, &key).await, None);
    engine.put_item(&table, &item).await;
    assert_eq!(engine.get_item(&table, &key).await, Some(item));
    engine.delete_item(&table, &key).await;
    assert_eq!(engine.get_item(&table, &key).await, None);
    engine.delete_table(&table).await;
    let (status, answer) = engine
        .call("GetItem", &json!({"TableName": table, "Key": key}))
        .await;
    assert_eq!(status, 400);
    let code = answer["__type"].as_str().expect("an error");
    assert!(code.ends_with("#ResourceNotFoundException"), "{code}");
}

#[tokio::test]
async fn embedded_engines_are_apart_and_end_when_dropped() {
    let one = Engine::embedded().await;
    let other = Engine::embedded().await;
    one.create_table("apart", ("id", "S"), None).await;
    other.create_table("apart", ("id", "S"), None).await;
    let authority = one.authority().to_owned();
    drop(one);
    let error = TcpStream::connect(authority)
        .await
        .expect_err("it has ended");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let error = TcpStream::connect(http::authority(&refusing_url())).await;
    let error = error.expect_err("nothing listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

/// The server must not depend on the runtime of the test.
#[tokio::test(start_paused = true)]
async fn an_engine_answers_while_the_clock_of_the_test_stands() {
    let scene = Scene::new().await;
    scene.send().await.expect("an answer");
    scene.proxy.wait_for_answers(1).await;
    assert_eq!(scene.count().await, 1);
}

/// What the client sees of a fault.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Answer {
        status: u16,
        n: Option<String>,
    },
    /// The connection ended before the answer did.
    Broken,
}

impl Seen {
    fn n(n: &str) -> Self {
        Self::answer(200, Some(n))
    }

    fn answer(status: u16, n: Option<&str>) -> Self {
        let n = n.map(str::to_owned);
        Self::Answer { status, n }
    }

    fn of(answer: io::Result<http::Message>) -> Self {
        let Ok(answer) = answer else {
            return Self::Broken;
        };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let n = body["Attributes"]["n"]["N"].as_str();
        Self::answer(answer.status().expect("a status"), n)
    }
}

#[tokio::test]
async fn faults_apply_and_answer_as_told() {
    let made_up = || Answer::json_text(200, r#"{"Attributes":{"n":{"N":"77"}}}"#);
    let cases = [
        ("pass", Fault::Pass, 1, Seen::n("1")),
        ("drop request", Fault::DropRequest, 0, Seen::Broken),
        ("reset request", Fault::ResetRequest, 0, Seen::Broken),
        ("drop answer", Fault::ForwardThenDropAnswer, 1, Seen::Broken),
        ("reset answer", Fault::ForwardThenReset, 1, Seen::Broken),
        ("half answer", Fault::HalfAnswer, 1, Seen::Broken),
        (
            "answer with",
            Fault::AnswerWith(made_up()),
            0,
            Seen::n("77"),
        ),
        (
            "forward, answer",
            Fault::ForwardThenAnswer(made_up()),
            1,
            Seen::n("77"),
        ),
        (
            "twice, first",
            Fault::ForwardTwice(Which::First),
            2,
            Seen::n("1"),
        ),
        (
            "twice, second",
            Fault::ForwardTwice(Which::Second),
            2,
            Seen::n("2"),
        ),
        ("no JSON", Fault::not_json(), 1, Seen::answer(200, None)),
        (
            "long body",
            Fault::long_body(10_000_000),
            1,
            Seen::answer(200, None),
        ),
        (
            "a header",
            Fault::header("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            1,
            Seen::n("1"),
        ),
        ("throttled", Fault::throttled(), 0, Seen::answer(400, None)),
        (
            "conflict",
            Fault::transaction_conflict(),
            0,
            Seen::answer(400, None),
        ),
        ("denied", Fault::access_denied(), 0, Seen::answer(400, None)),
        ("500", Fault::internal_error(), 0, Seen::answer(500, None)),
        ("503", Fault::unavailable(), 0, Seen::answer(503, None)),
    ];
    for (name, fault, applied, seen) in cases {
        let scene = Scene::new().await;
        scene.proxy.next([fault]);
        assert_eq!(Seen::of(scene.send().await), seen, "{name}");
        assert_eq!(scene.count().await, applied, "{name}");
        // One fault for one request: the next passes.
        assert_eq!(
            Seen::of(scene.send().await),
            Seen::n(&(applied + 1).to_string()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn rewritten_answers_are_what_was_asked_for() {
    let scene = Scene::new().await;
    scene.proxy.next([
        Fault::header("Date", "x"),
        Fault::long_body(1000),
        Fault::throttled(),
    ]);
    let dated = scene.send().await.expect("an answer");
    assert_eq!(dated.header("date"), Some("x"));
    let count = |message: &http::Message, header: &str| {
        let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(header);
        message.headers.iter().filter(named).count()
    };
    assert_eq!(count(&dated, "date"), 1);
    assert_eq!(count(&dated, "content-length"), 1);
    let long = scene.send().await.expect("an answer");
    assert_eq!(long.body.len(), 1000);
    assert_eq!(
        serde_json::from_slice::<Value>(&long.body).expect("JSON"),
        json!({})
    );
    let throttled = scene.send().await.expect("an answer");
    let body: Value = serde_json::from_slice(&throttled.body).expect("JSON");
    let code = body["__type"].as_str().expect("a code");
    assert!(code.ends_with("#ProvisionedThroughputExceededException"));
}

#[tokio::test]
async fn what_hangs_does_not_answer() {
    for (fault, applied) in [(Fault::Hang, 0), (Fault::HangAfterForward, 1)] {
        let scene = Scene::new().await;
        scene.proxy.next([fault]);
        let seen = tokio::select! {
            biased;
            answer = scene.send() => Some(Seen::of(answer)),
            () = async {
                scene.proxy.wait_for(1).await;
                scene.proxy.wait_for_answers(applied).await;
            } => None,
        };
        assert_eq!(seen, None);
        assert_eq!(scene.count().await, applied);
    }
}

#[tokio::test]
async fn a_delayed_request_arrives_though_its_client_has_gone() {
    let scene = Scene::new().await;
    let gate = Gate::closed();
    scene.proxy.next([Fault::Delay(gate.clone())]);
    tokio::select! {
        biased;
        answer = scene.send() => panic!("it must wait, but answered {answer:?}"),
        () = scene.proxy.wait_for(1) => {}
    }
    assert_eq!(scene.count().await, 0);
    gate.open();
    scene.proxy.wait_for_answers(1).await;
    assert_eq!(scene.count().await, 1);
}

#[tokio::test]
async fn a_delayed_answer_waits_for_its_gate() {
    let scene = Scene::new().await;
    let gate = Gate::closed();
    scene.proxy.next([Fault::DelayAnswer(gate.clone())]);
    let (seen, ()) = tokio::join!(async { Seen::of(scene.send().await) }, async {
        scene.proxy.wait_for_answers(1).await;
        scene
            .engine
            .delete_item(&scene.table, &json!({"id": {"S": "counter"}}))
            .await;
        gate.open();
    });
    assert_eq!(seen, Seen::n("1"), "the answer of before the deletion");
    assert_eq!(scene.count().await, 0);
}

#[tokio::test]
async fn held_requests_are_seen_and_wait() {
    let scene = Scene::new().await;
    scene.proxy.hold();
    let (seen, ()) = tokio::join!(async { Seen::of(scene.send().await) }, async {
        scene.proxy.wait_for(1).await;
        assert_eq!(scene.count().await, 0);
        scene.proxy.release();
    });
    assert_eq!(seen, Seen::n("1"));
}

#[tokio::test]
async fn a_dropped_request_can_be_delivered_late_and_again() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::DropRequest]);
    assert_eq!(Seen::of(scene.send().await), Seen::Broken);
    assert_eq!(scene.proxy.requests()[0].answer, None);
    for n in ["1", "2"] {
        let (status, answer) = scene.proxy.replay(0).await;
        assert_eq!((status, &answer["Attributes"]["n"]["N"]), (200, &json!(n)));
    }
    assert_eq!(scene.count().await, 2);
    assert_eq!(scene.proxy.requests().len(), 1);
}

#[tokio::test]
async fn an_endless_body_does_not_end() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::Endless]);
    let proxied = DynamoDb::at(&scene.proxy.url());
    let mut stream = TcpStream::connect(proxied.authority())
        .await
        .expect("a proxy");
    let request = proxied.request("UpdateItem", &scene.increment());
    stream.write_all(&request.bytes()).await.expect("sent");
    let mut start = vec![0; 16 << 20];
    stream
        .read_exact(&mut start)
        .await
        .expect("16 MiB, and no end");
    assert!(start.starts_with(b"HTTP/1.1 200 "));
}

#[tokio::test]
async fn connections_are_told_apart_and_can_be_closed() {
    let scene = Scene::new().await;
    let proxied = DynamoDb::at(&scene.proxy.url());
    let request = proxied.request("UpdateItem", &scene.increment());
    let stream = TcpStream::connect(proxied.authority())
        .await
        .expect("a proxy");
    let mut kept = BufReader::new(stream);
    for _ in 0..2 {
        kept.get_mut()
            .write_all(&request.bytes())
            .await
            .expect("sent");
        let answer = http::read(&mut kept).await.expect("read");
        assert_eq!(answer.expect("an answer").status().expect("a status"), 200);
    }
    scene.send().await.expect("an answer");
    let connections: Vec<_> = scene
        .proxy
        .requests()
        .iter()
        .map(|r| r.connection)
        .collect();
    assert_eq!(connections, [0, 0, 1]);
    assert_eq!(scene.proxy.connections(), 2);
    scene.proxy.close_connections();
    assert_eq!(http::read(&mut kept).await.expect("an orderly end"), None);
    scene.send().await.expect("later connections are served");
}

#[tokio::test]
async fn a_closure_decides_by_what_it_sees() {
    let scene = Scene::new().await;
    scene.proxy.on(
        |request| match (request.index, request.operation.as_str()) {
            (1, "UpdateItem") => Fault::DropRequest,
            _ => Fault::Pass,
        },
    );
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(Seen::of(scene.send().await));
    }
    assert_eq!(seen, [Seen::n("1"), Seen::Broken, Seen::n("2")]);
    let request = &scene.proxy.requests()[1];
    assert_eq!(request.body, scene.increment());
    assert_eq!(request.expression("UpdateExpression"), "ADD n :one");
}

#[tokio::test]
#[should_panic(expected = "a server of the test support panicked")]
async fn a_panic_in_a_closure_fails_the_test() {
    let scene = Scene::new().await;
    scene
        .proxy
        .on(|request| panic!("a wrong request: {}", request.operation));
    assert_eq!(Seen::of(scene.send().await), Seen::Broken);
}

#[tokio::test]
async fn steps_are_recognised() {
    let names = json!({"#1": "dynoLockExpires", "#10": "dynoLockVersion", "#2": "step"});
    let cases = [
        ("UpdateItem", "SET #1 = :1, #10 = :2", Step::Acquire),
        ("UpdateItem", "SET #1 = :1", Step::Renew),
        ("UpdateItem", "SET #1=:1, #2 = :2", Step::Renew),
        ("UpdateItem", "REMOVE #1, #10", Step::Release),
        ("UpdateItem", "SET #2 = :2 REMOVE #10, #1", Step::Release),
        ("UpdateItem", "REMOVE #2", Step::Other),
        ("UpdateItem", "SET #2 = :2", Step::Other),
        ("DeleteItem", "", Step::Release),
        ("GetItem", "", Step::Other),
    ];
    let scene = Scene::new().await;
    scene.proxy.on(|_| Fault::internal_error());
    let proxied = DynamoDb::at(&scene.proxy.url());
    for (index, (operation, update, step)) in cases.into_iter().enumerate() {
        let body = json!({"UpdateExpression": update, "ExpressionAttributeNames": names});
        let (status, _) = proxied.call(operation, &body).await;
        assert_eq!(status, 500);
        assert_eq!(scene.proxy.steps()[index], step, "{operation} {update}");
    }
    assert_eq!(scene.proxy.count(Step::Renew), 2);
}

/// With the recorded arguments, the recorded bytes' meaning comes out: the arithmetic is dyno's.
#[test]
fn dyno_requests_are_the_recorded_ones() {
    const RECORDING: &str = include_str!("data/dyno-lock-wire.json");
    let recording: Value = serde_json::from_str(RECORDING).expect("JSON");
    let mut steps = Vec::new();
    for call in recording["calls"].as_array().expect("calls") {
        let request = &call["request"];
        let key = &request["Key"];
        let values = &request["ExpressionAttributeValues"];
        let number = |name: &str| -> i64 {
            let digits = values[name]["N"].as_str().expect("a number");
            digits.parse().expect("an i64")
        };
        let text = |name: &str| values[name]["S"].as_str().expect("a string");
        let step = call["step"].as_str().expect("a step");
        let made = match step {
            "acquire (free item)" | "acquire (item is held)" => {
                let (now, lease) = (number(":0"), number(":2"));
                dyno_wire::acquire("leases", key, now, lease, text(":4"))
            }
            "heartbeat" => {
                dyno_wire::heartbeat("leases", key, number(":1") - SECOND, SECOND, text(":0"))
            }
            "release" => dyno_wire::release("leases", key, text(":0")),
            other => panic!("an unknown step: {other}"),
        };
        assert_eq!(&made, request, "{step}");
        steps.push(step);
    }
    assert_eq!(steps.len(), 5, "{steps:?}");
}

#[tokio::test]
async fn a_dyno_peer_holds_renews_loses_and_releases() {
    let engine = Engine::of_environment().await;
    let table = unique_name("support");
    engine.create_table(&table, ("key", "S"), None).await;
    let key = json!({"key": {"S": "g1"}});
    let peer = DynoPeer::new(&engine, &table, key.clone());
    let now = wall_nanos();
    let held = |expires: i64, version: &str| {
        Some(json!({
            "key": {"S": "g1"},
            "dynoLockExpires": {"N": expires.to_string()},
            "dynoLockLeaseDuration": {"N": SECOND.to_string()},
            "dynoLockVersion": {"S": version},
        }))
    };
    let attributes = |item: Value| -> Vec<String> {
        let item = item.as_object().expect("an item");
        let mut names: Vec<_> = item.keys().cloned().collect();
        names.sort();
        names
    };

    assert!(peer.acquire(now, SECOND, "A").await);
    let item = engine.get_item(&table, &key).await;
    assert_eq!(item, held(now + SECOND, "A"));
    assert_eq!(
        attributes(item.expect("an item")),
        attributes(dyno_wire::item("held"))
    );

    assert!(
        !peer.acquire(now + SECOND, SECOND, "B").await,
        "not yet past"
    );
    assert!(peer.heartbeat(now + 1, SECOND, "A").await);
    assert_eq!(
        engine.get_item(&table, &key).await,
        held(now + 1 + SECOND, "A")
    );
    assert!(!peer.heartbeat(now + 1, SECOND, "B").await);
    assert!(!peer.release("B").await);

    assert!(
        peer.acquire(now + 2 + SECOND, SECOND, "B").await,
        "past by 1 ns"
    );
    assert!(!peer.heartbeat(now + 2, SECOND, "A").await);
    assert!(!peer.release("A").await);
    assert!(peer.release("B").await);
    let released = engine.get_item(&table, &key).await;
    assert_eq!(released, held(0, "B"), "the version stays");
    assert_eq!(
        dyno_wire::item("released")["dynoLockExpires"],
        json!({"N": "0"})
    );

    assert!(
        peer.heartbeat(now, SECOND, "B").await,
        "a late heartbeat revives, as dyno's does"
    );
    assert!(peer.release("B").await);
    assert!(peer.acquire(now, SECOND, "C").await, "0 is free");
}
