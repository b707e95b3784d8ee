//! What the lock needs from the world beside DynamoDB: clocks, sleep, tasks, random bits.
//!
//! One trait, so that the simulation can run the same client code on virtual time.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::Poll;

use crate::clock::{Moment, Monotonic, SystemClock};

/// A future on the heap.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The world around a client.
pub(crate) trait Runtime: Send + Sync + 'static {
    /// Reads both clocks, the monotonic one first.
    fn now(&self) -> Moment;

    /// Completes once the monotonic clock has reached `at`, never earlier.
    fn sleep_until(&self, at: Monotonic) -> BoxFuture<()>;

    /// Runs a task in the background. Where no runtime runs, the task is handed back undone.
    fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>>;

    /// 128 random bits, fetched from the operating system at each call.
    fn random(&self) -> Result<[u8; 16], RandomUnavailable>;

    /// Whether the caller is where `sleep_until` and sockets work.
    fn is_running(&self) -> bool;

    /// Where the caller is: what is spawned here ends with this place.
    fn place(&self) -> Place {
        Place::default()
    }

    /// Learns what happened, where somebody counts it.
    fn note(&self, event: Event<'_>) {
        let _ = event;
    }
}

/// One of the runtimes in which a client is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(Option<tokio::runtime::Id>);

/// What an onlooker may want to know. No secret, no key and no content of an item is in it.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "tracing"),
    allow(dead_code, reason = "only `tracing` asks for the details")
)]
pub(crate) enum Event<'a> {
    /// Another holds the lock; there will be another attempt.
    Waiting { table: &'a str, version: &'a str },
    /// The lock is ours.
    Acquired {
        table: &'a str,
        version: &'a str,
        fence: u64,
        /// A refusal showed that an earlier attempt had acquired it.
        recovered: bool,
    },
    /// A new lease was renewed before it was handed out, because little was left of it.
    AcquireRenewed,
    Renewed {
        version: &'a str,
        /// A refusal showed that it had been applied.
        recovered: bool,
    },
    Released {
        version: &'a str,
        /// A refusal showed that it had been applied.
        recovered: bool,
    },
    /// A write of the user's was applied under the lease, and renewed it.
    Updated {
        version: &'a str,
        /// A refusal showed that it had been applied.
        recovered: bool,
    },
    /// A last write was applied and has released the lock, or deleted it with its item.
    Committed {
        version: &'a str,
        /// A refusal showed that it had been applied.
        recovered: bool,
    },
    /// What an abandoned acquisition had locked was given back.
    CleanedUp { version: &'a str },
    Lost {
        version: &'a str,
        why: &'a (dyn fmt::Display + Sync),
    },
    /// An attempt failed; whoever made it decides whether there is another.
    AttemptFailed {
        kind: &'a (dyn fmt::Debug + Sync),
        /// DynamoDB's name for it. What else it says may quote the item.
        code: Option<&'a str>,
        request_id: Option<&'a str>,
        /// Whether it may have been applied all the same.
        unknown: bool,
    },
    /// The server's clock contradicts ours by more than is allowed. Told once.
    ClockOff {
        /// How far the server is ahead, in seconds.
        by_seconds: i64,
    },
}

/// The operating system gave no random bits.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bits: {0}")]
pub(crate) struct RandomUnavailable(pub(crate) String);

/// The machine's clocks and random bits, and Tokio.
#[derive(Debug)]
pub(crate) struct Tokio {
    clock: SystemClock,
    /// The runtime that the client was first used in, for leases that are dropped outside of it.
    home: OnceLock<tokio::runtime::Handle>,
}

impl Tokio {
    pub(crate) fn new() -> Self {
        Self {
            clock: SystemClock::new(),
            home: OnceLock::new(),
        }
    }
}

impl Runtime for Tokio {
    fn now(&self) -> Moment {
        self.clock.read()
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<()> {
        match self.clock.instant(at) {
            Some(instant) => Box::pin(tokio::time::sleep_until(instant.into())),
            None => Box::pin(std::future::pending()),
        }
    }

    fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
        let here = tokio::runtime::Handle::try_current().ok();
        match here.as_ref().or(self.home.get()) {
            Some(handle) => {
                handle.spawn(task);
                Ok(())
            }
            None => Err(task),
        }
    }

    // Outside of a runtime the one that `spawn` would take.
    fn place(&self) -> Place {
        let here = tokio::runtime::Handle::try_current().ok();
        Place(here.as_ref().or(self.home.get()).map(|handle| handle.id()))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
        let mut bits = [0; 16];
        match getrandom::fill(&mut bits) {
            Ok(()) => Ok(bits),
            Err(error) => Err(RandomUnavailable(error.to_string())),
        }
    }

    #[cfg(feature = "tracing")]
    fn note(&self, event: Event<'_>) {
        crate::telemetry::emit(event);
    }

    fn is_running(&self) -> bool {
        match tokio::runtime::Handle::try_current() {
            Ok(handle) => {
                self.home.get_or_init(|| handle);
                true
            }
            Err(_) => false,
        }
    }
}

/// Which of two futures completed first.
pub(crate) enum First<A, B> {
    A(A),
    B(B),
}

/// Waits for both.
pub(crate) async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut from_a, mut from_b) = (None, None);
    poll_fn(|cx| {
        if from_a.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            from_a = Some(done);
        }
        if from_b.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            from_b = Some(done);
        }
        match (from_a.take(), from_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (from_a, from_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Waits for all of them.
pub(crate) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let futures = futures.into_iter();
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        let mut is_pending = false;
        for (future, done) in &mut futures {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(output) => *done = Some(output),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending {
            return Poll::Pending;
        }
        Poll::Ready(futures.drain(..).filter_map(|(_, done)| done).collect())
    })
    .await
}

/// Waits for the first of them; for ever where there is none. The others are dropped.
pub(crate) async fn any<F: Future>(futures: Vec<F>) -> F::Output {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        let done = |future: &mut std::pin::Pin<Box<F>>| future.as_mut().poll(cx);
        let done = futures.iter_mut().map(done).find(Poll::is_ready);
        done.unwrap_or(Poll::Pending)
    })
    .await
}

/// Waits for either; `a` where both are ready. The other is dropped.
pub(crate) async fn race<A: Future, B: Future>(a: A, b: B) -> First<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(done) = a.as_mut().poll(cx) {
            return Poll::Ready(First::A(done));
        }
        b.as_mut().poll(cx).map(First::B)
    })
    .await
}
