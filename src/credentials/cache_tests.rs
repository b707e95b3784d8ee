use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::runtime::{BoxFuture, Tokio};

const HOUR: u64 = 3600;

fn at(seconds: u64) -> Moment {
    Moment {
        mono: Monotonic::default().plus(Duration::from_secs(seconds)),
        wall: Wall(0).plus(Duration::from_secs(1_800_000_000 + seconds)),
    }
}

fn key(id: &str, ends: u64) -> Credentials {
    Credentials::new(id, "secret")
        .unwrap()
        .expires_at(at(ends).wall.system_time())
}

fn unavailable() -> CredentialsError {
    CredentialsError::unavailable("test", "down")
}

/// The state, and the fetch that it last asked for.
#[derive(Default)]
struct Cache {
    state: State,
    asked: Option<FetchId>,
}

/// A step, without the name of the fetch.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Use(&'static str),
    UseAndFetch(&'static str),
    Fetch,
    Await,
    Fail,
}

use Seen::{Await, Fail, Use, UseAndFetch};

fn name(credentials: &Credentials) -> &'static str {
    match credentials.access_key_id() {
        "A" => "A",
        "B" => "B",
        other => panic!("{other}"),
    }
}

impl Cache {
    fn next(&mut self, second: u64) -> Seen {
        match self.state.next(at(second)) {
            Step::Use(credentials) => Use(name(&credentials)),
            Step::UseAndFetch(credentials, id) => {
                self.asked = Some(id);
                UseAndFetch(name(&credentials))
            }
            Step::Fetch(id) => {
                self.asked = Some(id);
                Seen::Fetch
            }
            Step::Await => Await,
            Step::Fail(_) => Fail,
        }
    }

    fn brings(&mut self, credentials: Credentials, second: u64) {
        let id = self.asked.unwrap();
        self.state.ended(id, Ok(credentials), at(second), 0.5);
    }

    fn fails(&mut self, error: CredentialsError, second: u64) {
        let id = self.asked.unwrap();
        self.state.ended(id, Err(error), at(second), 0.5);
    }

    fn expired(&mut self, credentials: &Credentials, second: u64) {
        self.state.expired(credentials, at(second));
    }
}

/// Holds `A`, fetched at 0.
fn holding(ends: u64) -> Cache {
    let mut cache = Cache::default();
    assert_eq!(cache.next(0), Seen::Fetch);
    cache.brings(key("A", ends), 0);
    cache
}

#[test]
fn the_first_call_fetches_and_others_wait_for_it() {
    let mut cache = Cache::default();
    assert_eq!(cache.next(0), Seen::Fetch);
    assert_eq!(cache.next(0), Await);
    cache.brings(key("A", HOUR), 1);
    assert_eq!(cache.next(1), Use("A"));
    assert_eq!(cache.state.fetched(), Ok(key("A", HOUR)));
}

/// In the middle of the jitter: five and a half minutes.
const DUE: u64 = HOUR - 330;

#[test]
fn a_fetch_begins_ahead_of_the_end_and_nobody_waits_for_it() {
    let mut cache = holding(HOUR);
    assert_eq!(cache.next(DUE - 1), Use("A"));
    assert_eq!(cache.next(DUE), UseAndFetch("A"));
    // One at a time.
    assert_eq!(cache.next(DUE + 1), Use("A"));
    cache.brings(key("B", 2 * HOUR), DUE + 2);
    assert_eq!(cache.next(DUE + 2), Use("B"));
}

#[test]
fn the_jitter_is_a_minute() {
    for (jitter, due) in [(0.0, HOUR - 300), (1.0, HOUR - 360)] {
        let mut cache = Cache::default();
        assert_eq!(cache.next(0), Seen::Fetch);
        let id = cache.asked.unwrap();
        cache.state.ended(id, Ok(key("A", HOUR)), at(0), jitter);
        assert_eq!(cache.next(due - 1), Use("A"));
        assert_eq!(cache.next(due), UseAndFetch("A"));
    }
}

#[test]
fn a_short_life_is_used_for_two_thirds() {
    let mut cache = holding(90);
    assert_eq!(cache.next(59), Use("A"));
    assert_eq!(cache.next(60), UseAndFetch("A"));
}

#[test]
fn a_failed_early_fetch_fails_nobody_and_is_not_repeated_at_once() {
    let mut cache = holding(HOUR);
    assert_eq!(cache.next(DUE), UseAndFetch("A"));
    cache.fails(unavailable(), DUE);
    assert_eq!(cache.next(DUE + 29), Use("A"));
    assert_eq!(cache.next(DUE + 30), UseAndFetch("A"));
    // The pause is no longer than what is left.
    cache.fails(unavailable(), HOUR - 3);
    assert_eq!(cache.next(HOUR - 1), Use("A"));
    // Past their end they are tried while the source is down; AWS says whether it takes them.
    assert_eq!(cache.next(HOUR), UseAndFetch("A"));
    cache.fails(unavailable(), HOUR);
    assert_eq!(cache.next(HOUR), Use("A"));
    assert_eq!(cache.next(HOUR + 1), UseAndFetch("A"));
    cache.expired(&key("A", HOUR), HOUR + 1);
    assert_eq!(cache.next(HOUR + 1), Await);
    cache.fails(unavailable(), HOUR + 1);
    assert_eq!(cache.next(HOUR + 2), Seen::Fetch);
}

#[test]
fn without_anything_to_work_with_a_failure_is_told_and_soon_repeated() {
    let mut cache = Cache::default();
    assert_eq!(cache.next(0), Seen::Fetch);
    cache.fails(unavailable(), 0);
    assert_eq!(cache.state.fetched(), Err(unavailable()));
    assert_eq!(cache.next(0), Fail);
    assert_eq!(cache.next(1), Seen::Fetch);
}

#[test]
fn past_their_end_a_source_that_is_broken_leaves_nothing() {
    let mut cache = holding(HOUR);
    assert_eq!(cache.next(HOUR), Seen::Fetch);
    cache.fails(CredentialsError::broken("test", "gone"), HOUR);
    assert_eq!(cache.next(HOUR), Fail);
}

#[test]
fn a_source_that_hands_out_the_old_ones_again_is_not_stormed() {
    let mut cache = holding(HOUR);
    let fetches = (DUE..HOUR)
        .filter(|&second| match cache.next(second) {
            UseAndFetch("A") => {
                cache.brings(key("A", HOUR), second);
                true
            }
            step => {
                assert_eq!(step, Use("A"));
                false
            }
        })
        .count();
    assert!((2..=11).contains(&fetches), "{fetches}");
}

#[test]
fn what_arrives_past_its_end_is_tried_all_the_same() {
    let mut cache = Cache::default();
    assert_eq!(cache.next(100), Seen::Fetch);
    cache.brings(key("A", 50), 100);
    assert_eq!(cache.state.fetched(), Ok(key("A", 50)));
    assert_eq!(cache.next(129), Use("A"));
    assert_eq!(cache.next(130), UseAndFetch("A"));
    assert_eq!(cache.next(130), Use("A"));
}

#[test]
fn what_aws_takes_for_expired_is_fetched_anew_at_once() {
    let mut cache = holding(HOUR);
    cache.expired(&key("B", HOUR), 10);
    assert_eq!(cache.next(10), Use("A"));
    cache.expired(&key("A", HOUR), 10);
    assert_eq!(cache.next(10), Seen::Fetch);
    // Others that were under way are refused as well.
    cache.expired(&key("A", HOUR), 10);
    assert_eq!(cache.next(10), Await);
    cache.brings(key("B", 2 * HOUR), 11);
    assert_eq!(cache.next(11), Use("B"));
}

/// A clock that is wrong at AWS, or a source that keeps old keys: it is asked ever more seldom,
/// while AWS is asked as often as somebody wants a lock.
#[test]
fn a_source_that_hands_out_what_was_refused_is_not_stormed() {
    let mut cache = holding(HOUR);
    let mut fetched_at = Vec::new();
    for second in 0..120 {
        match cache.next(second) {
            Use("A") => {}
            Seen::Fetch => {
                fetched_at.push(second);
                cache.brings(key("A", HOUR), second);
            }
            step => panic!("{step:?}"),
        }
        for _ in 0..5 {
            cache.expired(&key("A", HOUR), second);
        }
    }
    assert_eq!(fetched_at, [1, 2, 4, 8, 16, 32, 62, 92]);
}

#[test]
fn keys_without_an_end_are_looked_at_again_after_a_quarter_of_an_hour() {
    let mut cache = Cache::default();
    assert_eq!(cache.next(0), Seen::Fetch);
    cache.brings(Credentials::new("A", "secret").unwrap(), 0);
    assert_eq!(cache.next(899), Use("A"));
    assert_eq!(cache.next(900), UseAndFetch("A"));
    cache.fails(unavailable(), 900);
    assert_eq!(cache.next(100_000), UseAndFetch("A"));
}

/// Its runtime is not polled any more, perhaps.
#[test]
fn a_fetch_that_never_ends_is_given_up_and_its_late_result_passed_over() {
    let mut cache = holding(HOUR);
    assert_eq!(cache.next(HOUR), Seen::Fetch);
    let lost = cache.asked.unwrap();
    assert_eq!(cache.next(HOUR + 209), Await);
    assert_eq!(cache.next(HOUR + 210), Seen::Fetch);
    cache
        .state
        .ended(lost, Err(unavailable()), at(HOUR + 210), 0.5);
    assert_eq!(cache.next(HOUR + 210), Await);
    cache.brings(key("B", 2 * HOUR), HOUR + 211);
    assert_eq!(cache.next(HOUR + 211), Use("B"));
}

/// Gives a new key at each call, once the test lets it.
#[derive(Debug)]
struct Counting {
    calls: AtomicUsize,
    go: Arc<tokio::sync::Semaphore>,
}

impl Fetch for Counting {
    fn fetch(&self) -> BoxFuture<Result<Credentials, CredentialsError>> {
        let nth = self.calls.fetch_add(1, Ordering::SeqCst);
        let go = self.go.clone();
        Box::pin(async move {
            go.acquire().await.unwrap().forget();
            Credentials::new(format!("KEY{nth}"), "secret").map_err(|_| unavailable())
        })
    }
}

fn counting() -> (Arc<Counting>, Arc<tokio::sync::Semaphore>, Arc<Cached>) {
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let source = Arc::new(Counting {
        calls: AtomicUsize::new(0),
        go: go.clone(),
    });
    let cached = Cached::new(source.clone(), Arc::new(Tokio::new()));
    (source, go, Arc::new(cached))
}

#[tokio::test]
async fn callers_share_one_fetch() {
    let (source, go, cached) = counting();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let cached = cached.clone();
        callers.spawn(async move { cached.credentials().await });
    }
    while source.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    go.add_permits(100);
    while let Some(got) = callers.join_next().await {
        assert_eq!(got.unwrap().unwrap().access_key_id(), "KEY0");
    }
    assert_eq!(source.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_that_is_dropped_does_not_stop_the_fetch() {
    let (source, go, cached) = counting();
    {
        let mut call = cached.credentials();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    go.add_permits(1);
    let got = cached.credentials().await.unwrap();
    assert_eq!(got.access_key_id(), "KEY0");
    assert_eq!(source.calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_runtime_that_ends_fails_who_waits() {
    let (_, _, cached) = counting();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut call = cached.credentials();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    runtime.block_on(async { assert!(call.as_mut().poll(&mut cx).is_pending()) });
    drop(runtime);
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut cx) else {
        panic!("it waits for ever");
    };
    assert!(error.is_passing(), "{error}");
}
