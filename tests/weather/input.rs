//! Bad options and keys are named before anything is sent; what only DynamoDB can know comes
//! back in its words.

use std::time::Duration;

use dynolock::{AttributeNames, Client, Lock, Number};

use crate::scene::{Scene, builder, ms, soon};
use crate::support::fault::Fault;

const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// A change of a good lock, and what the error must say.
type BadOption = (fn(Lock) -> Lock, &'static [&'static str]);

const BAD_OPTIONS: &[BadOption] = &[
    (|l| l.heartbeat(ms(500)), &["heartbeat: ", "1ms", "500ms"]),
    (|l| l.heartbeat(ms(501)), &["heartbeat: ", "1ms", "500ms"]),
    (|l| l.heartbeat(Duration::ZERO), &["heartbeat: ", "1ms"]),
    (|l| l.heartbeat(Duration::MAX), &["heartbeat: ", "500ms"]),
    (
        |l| l.lease(Duration::ZERO),
        &["lease: ", "10ms", "31622400s"],
    ),
    (|l| l.lease(Duration::from_nanos(1)), &["lease: ", "10ms"]),
    (|l| l.lease(YEAR + ms(1)), &["lease: ", "31622400s"]),
    (|l| l.lease(Duration::MAX), &["lease: ", "31622400s"]),
    (|l| l.timeout(Duration::ZERO), &["timeout: ", "1ms"]),
    (
        |l| l.retry_interval(Duration::ZERO),
        &["retry interval: ", "1ms", "3600s"],
    ),
    (
        |l| l.retry_interval(Duration::MAX),
        &["retry interval: ", "3600s"],
    ),
    (|l| l.owner(""), &["owner: ", "1 to 256"]),
    (|l| l.owner("x".repeat(257)), &["owner: ", "1 to 256"]),
    (|l| l.owner("a\nb"), &["owner: ", "control characters"]),
    (
        |l| l.existing_only().delete_on_release(),
        &["delete on release: ", "existing_only"],
    ),
    (
        |l| named(l, |n| n.fence = String::new()),
        &["attribute names: ", "1 to 255"],
    ),
    (
        |l| named(l, |n| n.owner = "x".repeat(256)),
        &["attribute names: ", "1 to 255"],
    ),
    (
        |l| named(l, |n| n.version = n.expires.clone()),
        &["attribute names: ", "dynoLockExpires", "differ"],
    ),
    (
        |l| named(l, |n| n.lease_duration = "id".into()),
        &["attribute names: ", "`id`", "key"],
    ),
];

fn named(lock: Lock, change: impl FnOnce(&mut AttributeNames)) -> Lock {
    let mut names = AttributeNames::default();
    change(&mut names);
    lock.attribute_names(names)
}

#[tokio::test]
async fn bad_options_are_named_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let good = scene.client().lock(&scene.table, ("id", "a"));
    for (change, says) in BAD_OPTIONS {
        refuses(&change(good.clone()), says).await;
    }
    assert_eq!(scene.proxy.requests().len(), 0);
}

#[tokio::test]
async fn bad_tables_and_keys_are_named_and_nothing_is_sent() {
    let scene = Scene::new().await;
    let client = scene.client();
    let long_table = "t".repeat(256);
    for table in ["", "ab", "a b", "täble", &long_table] {
        refuses(&client.lock(table, ("id", "a")), &["table: ", "3 to 255"]).await;
    }
    let table = scene.table.as_str();
    let long = "x".repeat(2049);
    let cases: [(Lock, &[&str]); 9] = [
        (
            client.lock(table, ("", "a")),
            &["partition key: ", "name", "1 to 255"],
        ),
        (
            client.lock(table, (&long[..256], "a")),
            &["partition key: ", "name", "1 to 255"],
        ),
        (
            client.lock(table, ("id", "")),
            &["partition key: ", "1 to 2048"],
        ),
        (
            client.lock(table, ("id", Vec::new())),
            &["partition key: ", "1 to 2048"],
        ),
        (
            client.lock(table, ("id", long.as_str())),
            &["partition key: ", "1 to 2048"],
        ),
        (
            client.lock(table, (("id", "a"), ("", 1))),
            &["sort key: ", "name", "1 to 255"],
        ),
        (
            client.lock(table, (("id", "a"), ("s", ""))),
            &["sort key: ", "1 to 1024"],
        ),
        (
            client.lock(table, (("id", "a"), ("s", &long[..1025]))),
            &["sort key: ", "1 to 1024"],
        ),
        (
            client.lock(table, (("id", "a"), ("id", 1))),
            &["sort key: ", "name"],
        ),
    ];
    for (lock, says) in cases {
        refuses(&lock, says).await;
    }
    assert_eq!(scene.proxy.requests().len(), 0);
}

async fn refuses(lock: &Lock, says: &[&str]) {
    let with = lock.with(async |_| Ok::<_, dynolock::Error>(()));
    let errors = [
        soon(lock.acquire()).await.expect_err("a bad option"),
        soon(lock.try_acquire()).await.expect_err("a bad option"),
        soon(with).await.expect_err("a bad option"),
    ];
    for error in errors {
        assert!(error.is_invalid_option(), "{error:?}");
        assert!(!error.is_held() && !error.is_timeout(), "{error:?}");
        let text = error.to_string();
        for part in says {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}

#[test]
fn numbers_that_are_none_for_dynamodb_cannot_be_made() {
    let digits = |count| "1".repeat(count);
    for text in ["NaN", "inf", "", "1e", "0x1", "1_000", "1e126", &digits(39)] {
        let error = text.parse::<Number>().expect_err(text);
        assert!(!error.to_string().is_empty());
    }
    for text in ["1", "1.0", "-0", "1e125", &digits(38)] {
        text.parse::<Number>().expect(text);
    }
    let error = digits(39).parse::<Number>().expect_err("39 digits");
    assert!(error.to_string().contains("38"), "{error}");
}

#[test]
fn a_client_with_bad_options_is_not_built() {
    let good = || builder("http://127.0.0.1:1");
    let no_region = Client::builder().endpoint_url("http://127.0.0.1:1");
    let cases = [
        (no_region, "region: "),
        (good().region(""), "region: "),
        (good().region("eu west 1"), "region: "),
        (good().endpoint_url(""), "endpoint URL: "),
        (good().endpoint_url("ftp://127.0.0.1"), "endpoint URL: "),
        (good().attempt_timeout(Duration::ZERO), "attempt timeout: "),
        (good().attempt_timeout(Duration::MAX), "attempt timeout: "),
        (good().connect_timeout(Duration::ZERO), "connect timeout: "),
        (good().backoff(ms(2), ms(1)), "backoff: "),
    ];
    for (builder, says) in cases {
        let error = builder.build().expect_err(says);
        assert!(error.is_invalid_option(), "{error:?}");
        assert!(error.to_string().starts_with(says), "{error}");
    }
    let none = Client::builder().region("eu-west-1").build();
    assert!(none.expect_err("no credentials").is_credentials());
}

#[tokio::test]
async fn keys_that_do_not_fit_the_table_are_dynamodbs_error() {
    let scene = Scene::new().await;
    let client = scene.client();
    let table = scene.table.as_str();
    let locks = [
        client.lock(table, ("id", 1)),
        client.lock(table, ("id", vec![1])),
        client.lock(table, ("other", "a")),
        client.lock(table, (("id", "a"), ("seq", 1))),
    ];
    for (index, lock) in locks.into_iter().enumerate() {
        let error = soon(lock.acquire()).await.expect_err("it does not fit");
        assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
        final_in_its_words(&scene, &error, index);
    }
}

#[tokio::test]
async fn a_missing_sort_key_is_dynamodbs_error() {
    let scene = Scene::with_keys(("id", "S"), Some(("seq", "N"))).await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let error = soon(lock.acquire()).await.expect_err("no sort key");
    assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
    final_in_its_words(&scene, &error, 0);
}

#[tokio::test]
async fn a_missing_table_is_dynamodbs_error() {
    let scene = Scene::new().await;
    let lock = scene.client().lock("no-such-table", ("id", "a"));
    let error = soon(lock.acquire()).await.expect_err("no such table");
    assert!(error.is_table_not_found(), "{error:?}");
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
    final_in_its_words(&scene, &error, 0);
}

/// Not "held", not retried, and with the message that DynamoDB gave.
fn final_in_its_words(scene: &Scene, error: &dynolock::Error, index: usize) {
    assert!(!error.is_held() && !error.is_timeout(), "{error:?}");
    let requests = scene.proxy.requests();
    assert_eq!(requests.len(), index + 1, "no second try");
    let answer = requests[index].answer.as_ref().expect("an answer").json();
    let message = answer["message"].as_str().or(answer["Message"].as_str());
    let message = message.expect("a message");
    assert!(error.to_string().contains(message), "{error} / {message}");
}

#[tokio::test]
async fn no_permission_and_bad_credentials_are_not_retried() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let codes = [
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
    ];
    for (index, code) in codes.into_iter().enumerate() {
        scene.proxy.next([Fault::error(400, code, "in its words")]);
        let error = soon(lock.acquire()).await.expect_err(code);
        assert_eq!(scene.proxy.requests().len(), index + 1, "{code}");
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.request_id(), Some("TESTREQUEST"));
        assert!(error.to_string().contains("in its words"), "{error}");
        assert_eq!(error.is_access_denied(), index == 0, "{code}");
        assert_eq!(error.is_credentials(), index > 0, "{code}");
        assert!(!error.is_held() && !error.is_timeout(), "{error:?}");
    }
    assert_eq!(scene.item("a").await, None);
}
