//! One connection at its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hyper::rt::{Read, ReadBufCursor, Write};

use super::super::tests::{PATIENCE, request, world};
use super::super::within;
use super::*;

/// As hyper's queue is when it has overlooked a request.
#[test]
fn a_request_that_was_overlooked_comes_back_when_the_driver_has_ended() {
    let (sender, overlooked) = oneshot::channel::<()>();
    let (driver, driven) = oneshot::channel();
    let mut waiting = pin!(while_driven(overlooked, sender, driven));
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
    drop(driver);
    let Poll::Ready((answer, left)) = waiting.as_mut().poll(&mut context) else {
        panic!("it waits on");
    };
    assert!(answer.is_err() && left.is_none());
}

#[test]
fn an_answer_leaves_the_connection_as_it_is() {
    let (driver, driven) = oneshot::channel();
    let waiting = pin!(while_driven(std::future::ready(7), "sender", driven));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready((answer, left)) = waiting.poll(&mut context) else {
        panic!("it waits");
    };
    let (sender, driven) = left.expect("it may serve again");
    assert_eq!((answer, sender), (7, "sender"));
    assert!(driven.is_empty() && !driver.is_closed());
}

/// A stream that ends when it is first read, and tells so just before.
struct Ending(Arc<AtomicBool>);

impl Read for Ending {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.store(true, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}

impl Write for Ending {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A request that comes at the very moment when its connection ends comes back, to be sent on
/// another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_at_the_end_of_a_connection_comes_back() {
    let world = world();
    for nth in 0..20_000 {
        let ends = Arc::new(AtomicBool::new(false));
        let ending = Box::new(Ending(ends.clone()));
        let connection = Connection::over(ending, &*world).await.unwrap();
        let request = request("{}").map(Full::new);
        while !ends.load(Ordering::Acquire) {
            thread::yield_now();
        }
        // Each time at another moment of the end.
        for _ in 0..nth % 256 {
            std::hint::spin_loop();
        }
        let alarm = world.sleep_until(world.now().mono.plus(PATIENCE));
        let answer = within(alarm, connection.send(request)).await;
        let mut error = answer.expect("it hangs").err().expect("nobody answers");
        assert!(error.take_message().is_some(), "{nth}");
    }
}
