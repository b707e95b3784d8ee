//! What a wire layer meets in production: credentials that run out, clocks that are off, answers
//! that were damaged on the way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use dynolock::Client;
use dynolock::credentials::{Credentials, CredentialsError, CredentialsFuture, CredentialsSource};

use crate::scene::{SECRET, Scene, ms, soon};
use crate::support::fault::{Answer, Fault};
use crate::support::recorded::{Recorded, Step};
use crate::support::wall_nanos;

/// A source whose key changes once it learns that the old one is over.
#[derive(Clone, Debug, Default)]
struct Rotating {
    rotated: Arc<AtomicUsize>,
    /// How often it cannot be asked before it can.
    down: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<String>>>,
}

impl CredentialsSource for Rotating {
    fn credentials(&self) -> CredentialsFuture<'_> {
        Box::pin(async {
            let down = |left: usize| left.checked_sub(1);
            let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
            if self.down.fetch_update(set, fetch, down).is_ok() {
                return Err(CredentialsError::unavailable("test", "not now"));
            }
            let id = format!("KEY{}", self.rotated.load(Ordering::SeqCst));
            Credentials::new(id, SECRET)
                .map_err(|error| CredentialsError::broken("test", error.to_string()))
        })
    }

    fn expired(&self, credentials: &Credentials) -> bool {
        let id = credentials.access_key_id().to_owned();
        self.told.lock().expect("no panic").push(id);
        self.rotated.fetch_add(1, Ordering::SeqCst);
        true
    }
}

fn with_source(scene: &Scene, source: Rotating) -> Client {
    let builder = Client::builder()
        .region("us-east-1")
        .endpoint_url(scene.proxy.url())
        .credentials_source(source)
        .backoff(ms(1), ms(20));
    builder.build().expect("a client")
}

fn signed_by(request: &Recorded) -> String {
    let header = request.message.header("authorization").unwrap_or_default();
    let after = header.split("Credential=").nth(1).unwrap_or_default();
    after.split('/').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn credentials_that_expire_while_waiting_are_replaced() {
    let scene = Scene::new().await;
    let rival = soon(scene.lock(&scene.rival(), "a").acquire()).await;
    let rival = rival.expect("free");
    let source = Rotating::default();
    let client = with_source(&scene, source.clone());
    // The third request is the first after the end of the session.
    scene.proxy.on(|request| match signed_by(request).as_str() {
        "KEY0" if request.index >= 2 => Fault::error(
            400,
            "ExpiredTokenException",
            "The security token is expired",
        ),
        _ => Fault::Pass,
    });
    let lock = scene.lock(&client, "a").retry_interval(ms(10));
    let waiting = crate::scene::spawn(async move { lock.acquire().await });
    crate::scene::until(|| source.told.lock().expect("no panic").len() == 1).await;
    soon(rival.release()).await.expect("ours");
    let lease = soon(waiting).await.expect("no panic").expect("released");
    scene.assert_holds("a", &lease, "by a new key").await;
    assert_eq!(*source.told.lock().expect("no panic"), ["KEY0"]);
    let last = scene.proxy.requests();
    assert_eq!(last.last().map(signed_by).as_deref(), Some("KEY1"));
}

#[tokio::test]
async fn a_source_that_cannot_be_asked_now_is_asked_again() {
    let scene = Scene::new().await;
    let source = Rotating::default();
    source.down.store(3, Ordering::SeqCst);
    let client = with_source(&scene, source.clone());
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("later");
    scene
        .assert_holds("a", &lease, "after three failures")
        .await;
    // Under a lease too, and at its release.
    source.down.store(2, Ordering::SeqCst);
    soon(lease.renew()).await.expect("later");
    source.down.store(2, Ordering::SeqCst);
    soon(lease.release()).await.expect("later");
    scene.assert_free("a", "released").await;
    assert_eq!(
        scene.proxy.steps(),
        [Step::Acquire, Step::Renew, Step::Release]
    );
}

#[tokio::test]
async fn a_source_that_is_down_to_the_end_is_an_error_in_time() {
    let scene = Scene::new().await;
    let source = Rotating::default();
    source.down.store(usize::MAX, Ordering::SeqCst);
    let client = with_source(&scene, source);
    let lock = scene.lock(&client, "a").timeout(ms(100));
    let error = soon(lock.acquire()).await.expect_err("no key");
    assert!(error.is_credentials() && error.is_timeout(), "{error:?}");
    assert!(error.to_string().contains("test (not now)"), "{error}");
    assert!(scene.proxy.requests().is_empty());
}

/// Never gives anything, and tells what it waits for.
#[derive(Debug)]
struct Hanging;

impl CredentialsSource for Hanging {
    fn credentials(&self) -> CredentialsFuture<'_> {
        Box::pin(std::future::pending())
    }

    fn waiting_for(&self) -> Option<CredentialsError> {
        Some(CredentialsError::unavailable("vault", "no answer yet"))
    }
}

/// However long an attempt may take, the caller's own time is the limit.
#[tokio::test]
async fn a_source_that_hangs_keeps_nobody_beyond_his_timeout() {
    let scene = Scene::new().await;
    let client = Client::builder()
        .region("us-east-1")
        .endpoint_url(scene.proxy.url())
        .credentials_source(Hanging)
        .attempt_timeout(Duration::from_secs(3600))
        .build()
        .expect("a client");
    let lock = scene.lock(&client, "a").timeout(ms(100));
    for error in [
        soon(lock.acquire()).await.err(),
        soon(lock.try_acquire()).await.err(),
    ] {
        let error = error.expect("no key");
        assert!(error.is_credentials() && error.is_timeout(), "{error:?}");
        assert!(
            error.to_string().contains("vault (no answer yet)"),
            "{error}"
        );
    }
    assert!(scene.proxy.requests().is_empty());
}

/// Keys that never change are refused for good: waiting for others would be in vain.
#[tokio::test]
async fn fixed_credentials_that_have_expired_fail_at_once() {
    let scene = Scene::new().await;
    scene.proxy.on(|_| {
        Fault::error(
            400,
            "ExpiredTokenException",
            "The security token is expired",
        )
    });
    let lock = scene.lock(&scene.client(), "a");
    let error = soon(lock.acquire()).await.expect_err("over");
    assert!(error.is_credentials() && !error.is_timeout(), "{error:?}");
    assert_eq!(error.code(), Some("ExpiredTokenException"));
    assert_eq!(scene.proxy.steps(), [Step::Acquire]);
}

/// The server wants to be left alone for an hour, and the lease is over long before.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the time of the test, not of the library"
)]
async fn a_clean_up_ends_with_the_lease_whatever_the_server_wants() {
    let scene = Scene::new().await;
    scene.proxy.on(|request| {
        if request.index == 0 {
            return Fault::ForwardThenDropAnswer;
        }
        let mut answer = Answer::error(400, "ThrottlingException", "slow down");
        answer
            .headers
            .push(("retry-after".to_owned(), "3600".to_owned()));
        Fault::AnswerWith(answer)
    });
    let client = scene.client();
    let lock = scene.lock(&client, "a").lease(ms(300)).timeout(ms(200));
    soon(lock.acquire()).await.expect_err("throttled");
    // What the server wants is bounded by 20 s; half of it is long after the lease.
    let drained = tokio::time::timeout(Duration::from_secs(10), client.drain()).await;
    drained.expect("it ends with the lease");
}

/// The time in `x-amz-date`, in seconds since midnight.
fn signed_at(request: &Recorded) -> u64 {
    let date = request.message.header("x-amz-date").expect("signed");
    let clock = date.split('T').nth(1).expect("a time");
    let part = |at: usize| clock[at..at + 2].parse::<u64>().expect("digits");
    part(0) * 3600 + part(2) * 60 + part(4)
}

/// The server says twenty minutes later or earlier than we do, and refuses signatures that do not.
#[tokio::test]
async fn a_clock_twenty_minutes_off_is_corrected_in_signatures() {
    const DAY: u64 = 86_400;
    for off in [1200_i64, -1200] {
        let scene = Scene::new().await;
        let now = move || wall_nanos() + off * 1_000_000_000;
        let date = move || {
            let since = Duration::from_nanos(now().unsigned_abs());
            httpdate::fmt_http_date(UNIX_EPOCH + since)
        };
        let seconds = move || now().unsigned_abs() / 1_000_000_000 % DAY;
        let apart = move |request: &Recorded| {
            let apart = signed_at(request).abs_diff(seconds());
            apart.min(DAY - apart)
        };
        scene.proxy.on(move |request| {
            if apart(request) <= 60 {
                return Fault::header("date", &date());
            }
            let message = "Signature expired: 20260131T000000Z is now earlier than …";
            let mut answer = Answer::error(400, "InvalidSignatureException", message);
            answer.headers.push(("date".to_owned(), date()));
            Fault::AnswerWith(answer)
        });
        let client = scene.client();
        let lease = soon(scene.lock(&client, "a").acquire())
            .await
            .expect("corrected");
        soon(lease.release()).await.expect("remembered");
        let steps = scene.proxy.steps();
        assert_eq!(
            steps,
            [Step::Acquire, Step::Acquire, Step::Release],
            "{off}"
        );
        scene.assert_free("a", "released").await;
    }
}

/// A wrong sum tells nothing of what became of the write: it was applied.
#[tokio::test]
async fn an_answer_with_a_wrong_checksum_is_unknown_and_recovered_from() {
    let scene = Scene::new().await;
    scene.proxy.on(|request| match request.index {
        0 | 2 | 4 => Fault::header("x-amz-crc32", "1"),
        _ => Fault::Pass,
    });
    let lease = soon(scene.lock(&scene.client(), "a").acquire()).await;
    let lease = lease.expect("recovered");
    scene.assert_holds("a", &lease, "after a bad sum").await;
    soon(lease.renew()).await.expect("recovered");
    scene.assert_holds("a", &lease, "after another").await;
    soon(lease.release()).await.expect("recovered");
    scene.assert_free("a", "released").await;
    use Step::{Acquire, Release, Renew};
    let steps = [Acquire, Acquire, Renew, Renew, Release, Release];
    assert_eq!(scene.proxy.steps(), steps);
}

/// One connection, made before anything is asked.
#[tokio::test]
async fn connecting_ahead_saves_the_first_attempt_its_connection() {
    let scene = Scene::new().await;
    let client = scene.client();
    soon(client.connect()).await.expect("it is there");
    assert!(scene.proxy.requests().is_empty(), "nothing is asked yet");
    let lease = soon(scene.lock(&client, "a").acquire())
        .await
        .expect("free");
    soon(lease.release()).await.expect("ours");
    let connections: Vec<_> = scene
        .proxy
        .requests()
        .iter()
        .map(|r| r.connection)
        .collect();
    assert_eq!(connections, [0, 0]);
}

#[tokio::test]
async fn connecting_ahead_to_nobody_is_unavailable() {
    let builder = crate::scene::builder(&crate::support::refusing_url());
    let error = soon(builder.build().expect("a client").connect()).await;
    let error = error.expect_err("nobody listens");
    assert!(error.is_unavailable(), "{error:?}");
}
