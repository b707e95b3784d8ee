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

fn holding(ends: u64, fetched: u64) -> State {
    let mut state = State::default();
    assert_eq!(state.next(at(fetched)), Step::Fetch);
    state.ended(Ok(key("A", ends)), at(fetched), 0.5);
    state
}

#[test]
fn the_first_call_fetches_and_others_wait_for_it() {
    let mut state = State::default();
    assert_eq!(state.next(at(0)), Step::Fetch);
    assert_eq!(state.next(at(0)), Step::Await);
    state.ended(Ok(key("A", HOUR)), at(1), 0.0);
    assert_eq!(state.next(at(1)), Step::Use(key("A", HOUR)));
    assert_eq!(state.fetched(), Ok(key("A", HOUR)));
}

#[test]
fn a_fetch_begins_five_to_six_minutes_ahead_and_nobody_waits_for_it() {
    let mut state = holding(HOUR, 0);
    let due = HOUR - 330;
    assert_eq!(state.next(at(due - 1)), Step::Use(key("A", HOUR)));
    assert_eq!(state.next(at(due)), Step::UseAndFetch(key("A", HOUR)));
    // One at a time.
    assert_eq!(state.next(at(due + 1)), Step::Use(key("A", HOUR)));
    state.ended(Ok(key("B", 2 * HOUR)), at(due + 2), 0.0);
    assert_eq!(state.next(at(due + 2)), Step::Use(key("B", 2 * HOUR)));
}

#[test]
fn a_short_life_is_used_for_two_thirds() {
    let mut state = holding(90, 0);
    assert_eq!(state.next(at(59)), Step::Use(key("A", 90)));
    assert_eq!(state.next(at(60)), Step::UseAndFetch(key("A", 90)));
}

#[test]
fn a_failed_early_fetch_fails_nobody_and_is_not_repeated_at_once() {
    let mut state = holding(HOUR, 0);
    let due = HOUR - 330;
    assert_eq!(state.next(at(due)), Step::UseAndFetch(key("A", HOUR)));
    state.ended(Err(unavailable()), at(due), 0.0);
    assert_eq!(state.next(at(due + 29)), Step::Use(key("A", HOUR)));
    assert_eq!(state.next(at(due + 30)), Step::UseAndFetch(key("A", HOUR)));
    state.ended(Err(unavailable()), at(HOUR - 1), 0.0);
    // Past their end nothing is left; the pause is still kept.
    assert_eq!(state.next(at(HOUR)), Step::Fail(unavailable()));
    assert_eq!(state.next(at(HOUR + 29)), Step::Fetch);
    state.ended(Err(unavailable()), at(HOUR + 29), 0.0);
    assert_eq!(state.fetched(), Err(unavailable()));
    assert_eq!(state.next(at(HOUR + 29)), Step::Fail(unavailable()));
    assert_eq!(state.next(at(HOUR + 30)), Step::Fetch);
}

#[test]
fn a_source_that_hands_out_the_old_ones_again_is_not_stormed() {
    let mut state = holding(HOUR, 0);
    let due = HOUR - 330;
    assert_eq!(state.next(at(due)), Step::UseAndFetch(key("A", HOUR)));
    state.ended(Ok(key("A", HOUR)), at(due), 0.5);
    let fetches = (due..HOUR)
        .filter(|&second| match state.next(at(second)) {
            Step::UseAndFetch(_) => {
                state.ended(Ok(key("A", HOUR)), at(second), 0.5);
                true
            }
            step => {
                assert_eq!(step, Step::Use(key("A", HOUR)));
                false
            }
        })
        .count();
    assert!((2..=11).contains(&fetches), "{fetches}");
}

#[test]
fn what_arrives_past_its_end_is_tried_all_the_same() {
    let mut state = State::default();
    assert_eq!(state.next(at(100)), Step::Fetch);
    state.ended(Ok(key("A", 50)), at(100), 0.0);
    assert_eq!(state.fetched(), Ok(key("A", 50)));
    assert_eq!(state.next(at(129)), Step::Use(key("A", 50)));
    assert_eq!(state.next(at(130)), Step::Fetch);
}

#[test]
fn what_aws_takes_for_expired_is_fetched_anew() {
    let mut state = holding(HOUR, 0);
    state.expired(&key("another", HOUR), at(10));
    assert_eq!(state.next(at(10)), Step::Use(key("A", HOUR)));
    state.expired(&key("A", HOUR), at(10));
    state.expired(&key("A", HOUR), at(10));
    assert_eq!(state.next(at(11)), Step::Fetch);
}

#[test]
fn without_an_end_nothing_is_fetched_again() {
    let mut state = State::default();
    assert_eq!(state.next(at(0)), Step::Fetch);
    let forever = Credentials::new("A", "secret").unwrap();
    state.ended(Ok(forever.clone()), at(0), 0.0);
    assert_eq!(state.next(at(1_000_000_000)), Step::Use(forever));
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
