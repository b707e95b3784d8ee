//! What goes over the wire: how many requests, over how many connections, and nothing that is
//! not to be seen.

mod scene;
mod support;

use dynolock::Client;
use dynolock::credentials::{Credentials, FixedCredentials};

use scene::{LONG, SECRET, Scene, builder, ms, soon};
use support::fault::Fault;
use support::recorded::Step;

const TOKEN: &str = "TokenThatIsOnlyForTheServer9876543210";

#[tokio::test]
async fn an_uncontended_acquire_and_release_are_exactly_two_requests() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    // With a heartbeat, which is not due yet.
    let lock = lock.lease(LONG).timeout(LONG);
    for _ in 0..3 {
        let before = scene.proxy.requests().len();
        let lease = soon(lock.acquire()).await.expect("free");
        soon(lease.release()).await.expect("released");
        let steps = scene.proxy.steps().split_off(before);
        assert_eq!(steps, [Step::Acquire, Step::Release]);
    }
    let lease = soon(lock.try_acquire()).await.expect("an answer");
    soon(lease.expect("free").release())
        .await
        .expect("released");
    assert_eq!(scene.proxy.requests().len(), 8);
}

#[tokio::test]
async fn each_way_to_lock_and_release_is_two_requests() {
    let scene = Scene::new().await;
    let client = scene.client();
    let lock = scene.lock(&client, "a");
    let with = lock.with(async |_| Ok::<_, dynolock::Error>(()));
    soon(with).await.expect("done");
    assert_eq!(scene.proxy.steps(), [Step::Acquire, Step::Release]);

    drop(soon(lock.acquire()).await.expect("free"));
    soon(client.drain()).await;
    assert_eq!(scene.proxy.requests().len(), 4);

    let lease = soon(scene.lock(&client, "b").delete_on_release().acquire()).await;
    soon(lease.expect("free").release())
        .await
        .expect("released");
    let operations: Vec<_> = scene.proxy.requests();
    assert_eq!(operations.len(), 6);
    assert_eq!(operations[5].operation, "DeleteItem");
}

#[tokio::test]
async fn a_renewal_is_exactly_one_request() {
    let scene = Scene::new().await;
    let lease = soon(scene.lock(&scene.client(), "a").acquire()).await;
    let lease = lease.expect("free");
    for count in 1..=3 {
        soon(lease.renew()).await.expect("renewed");
        assert_eq!(scene.proxy.count(Step::Renew), count);
    }
    soon(lease.extend(2 * LONG)).await.expect("extended");
    let steps = scene.proxy.steps();
    assert_eq!(steps[1..], [Step::Renew; 4]);
    // What is asked about a lease is answered without asking.
    let _ = (lease.item(), lease.fencing_token(), lease.version());
    let _ = (lease.expires_at(), lease.remaining(), lease.is_held());
    assert_eq!(scene.proxy.requests().len(), 5);
}

#[tokio::test]
async fn the_heartbeat_sends_renewals_only() {
    let scene = Scene::new().await;
    let lock = scene.client().lock(&scene.table, ("id", "a"));
    let lock = lock.lease(LONG).timeout(LONG).heartbeat(ms(20));
    let lease = soon(lock.acquire()).await.expect("free");
    scene.proxy.wait_for(5).await;
    soon(lease.release()).await.expect("released");
    let steps = scene.proxy.steps();
    let (first, last) = (steps.first(), steps.last());
    assert_eq!((first, last), (Some(&Step::Acquire), Some(&Step::Release)));
    let between = &steps[1..steps.len() - 1];
    assert!(between.iter().all(|step| *step == Step::Renew), "{steps:?}");
}

#[tokio::test]
async fn the_connection_is_kept_and_reused() {
    let scene = Scene::new().await;
    let client = scene.client();
    for id in ["a", "b", "c"] {
        let lock = scene.lock(&client.clone(), id);
        let lease = soon(lock.acquire()).await.expect("free");
        soon(lease.renew()).await.expect("renewed");
        soon(lease.release()).await.expect("released");
    }
    scene.proxy.next([Fault::throttled()]);
    let lock = scene.lock(&client, "d").retry_interval(ms(5));
    let lease = soon(lock.acquire()).await.expect("after an error answer");
    soon(lease.release()).await.expect("released");
    assert_eq!(scene.proxy.requests().len(), 12);
    assert_eq!(scene.proxy.connections(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let scene = Scene::new().await;
    let lock = scene.lock(&scene.client(), "a");
    for _ in 0..3 {
        let lease = soon(lock.acquire()).await.expect("free");
        scene.proxy.close_connections();
        soon(lease.renew()).await.expect("over another connection");
        scene.assert_holds("a", &lease, "renewed").await;
        scene.proxy.close_connections();
        soon(lease.release())
            .await
            .expect("over another connection");
        scene.assert_free("a", "released").await;
    }
    assert!(scene.proxy.connections() > 3);
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_followed_over_another_connection() {
    let scene = Scene::new().await;
    scene.proxy.next([Fault::Hang]);
    let lease = soon(scene.lock(&scene.hasty_client(), "a").acquire()).await;
    let lease = lease.expect("at the second try");
    scene.assert_holds("a", &lease, "acquired").await;
    let requests = scene.proxy.requests();
    assert_ne!(requests[0].connection, requests[1].connection);
}

fn with_a_token(scene: &Scene) -> Client {
    let credentials = Credentials::new("AKIDTEST", SECRET).expect("credentials");
    let credentials = credentials.session_token(TOKEN).expect("a token");
    let builder = builder(&scene.proxy.url()).credentials(credentials);
    builder.build().expect("a client")
}

#[tokio::test]
async fn requests_are_signed_and_hold_no_secret() {
    let scene = Scene::new().await;
    let client = with_a_token(&scene);
    let lease = soon(scene.lock(&client, "a").owner("us").acquire()).await;
    let lease = lease.expect("free");
    soon(lease.renew()).await.expect("renewed");
    soon(lease.release()).await.expect("released");
    for request in scene.proxy.requests() {
        let header = |name: &str| request.message.header(name).unwrap_or_default().to_owned();
        let authorization = header("authorization");
        assert!(
            authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/"),
            "{authorization}"
        );
        assert!(
            authorization.contains("/us-east-1/dynamodb/aws4_request"),
            "{authorization}"
        );
        assert!(
            authorization.contains("x-amz-security-token"),
            "the token is signed: {authorization}"
        );
        assert_eq!(header("x-amz-security-token"), TOKEN);
        assert_eq!(header("content-type"), "application/x-amz-json-1.0");
        let bytes = request.message.bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(SECRET), "{text}");
        let shown = text.replace(&format!("x-amz-security-token: {TOKEN}"), "");
        assert!(!shown.contains(TOKEN), "elsewhere: {shown}");
    }
}

#[tokio::test]
async fn no_debug_and_no_error_shows_a_secret() {
    let scene = Scene::new().await;
    let credentials = Credentials::new("AKIDTEST", SECRET).expect("credentials");
    let credentials = credentials.session_token(TOKEN).expect("a token");
    let builder = builder(&scene.proxy.url()).credentials(credentials.clone());
    let mut shown = vec![
        format!("{credentials:?}"),
        format!("{:?}", FixedCredentials::new(credentials)),
        format!("{builder:?}"),
    ];
    let client = with_a_token(&scene);
    let lock = scene.lock(&client, "a");
    shown.extend([format!("{client:?}"), format!("{lock:?}")]);
    let lease = soon(lock.acquire()).await.expect("free");
    shown.push(format!("{lease:?}"));
    soon(lease.release()).await.expect("released");

    let code = "UnrecognizedClientException";
    scene.proxy.next([Fault::error(400, code, "not valid")]);
    let error = soon(lock.acquire()).await.expect_err("refused");
    shown.extend([format!("{error:?}"), error.to_string()]);
    let bad = Credentials::new("AKIDTEST", format!("{SECRET}\n"));
    if let Err(error) = bad {
        shown.extend([format!("{error:?}"), error.to_string()]);
    }
    for text in shown {
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
    }
}
