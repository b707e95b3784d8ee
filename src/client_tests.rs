use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::Monotonic;
use crate::runtime::{RandomUnavailable, Tokio};

/// The real world, that counts how often it is told that the clock is off.
struct Warned {
    world: Tokio,
    by_seconds: Mutex<Vec<i64>>,
}

impl Runtime for Warned {
    fn now(&self) -> Moment {
        self.world.now()
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<()> {
        self.world.sleep_until(at)
    }

    fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
        self.world.spawn(task)
    }

    fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
        self.world.random()
    }

    fn is_running(&self) -> bool {
        self.world.is_running()
    }

    fn note(&self, event: Event<'_>) {
        if let Event::ClockOff { by_seconds } = event {
            self.by_seconds.lock().unwrap().push(by_seconds);
        }
    }
}

/// Throttles for ever, at a time of its own.
struct Elsewhen {
    date: String,
    asked: AtomicUsize,
}

impl Transport for Elsewhen {
    fn send(
        &self,
        _: http::Request<bytes::Bytes>,
    ) -> BoxFuture<Result<http::Response<bytes::Bytes>, SendError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = http::Response::builder()
            .status(400)
            .header("date", &self.date)
            .body(bytes::Bytes::from_static(
                br#"{"__type":"ThrottlingException"}"#,
            ));
        Box::pin(std::future::ready(
            answer.map_err(|error| SendError::NotSent(error.to_string())),
        ))
    }
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_once() {
    let world = Arc::new(Warned {
        world: Tokio::new(),
        by_seconds: Mutex::default(),
    });
    let server = Arc::new(Elsewhen {
        date: "Fri, 31 Dec 2100 00:00:00 GMT".into(),
        asked: AtomicUsize::new(0),
    });
    let client = Client::in_world(world.clone(), server.clone(), Duration::from_secs(1));
    let lock = client
        .lock("table", ("id", "a"))
        .retry_interval(Duration::from_millis(1))
        .timeout(Duration::from_millis(50));
    lock.acquire().await.unwrap_err();
    lock.acquire().await.unwrap_err();
    assert!(server.asked.load(Ordering::SeqCst) >= 2);
    let told = world.by_seconds.lock().unwrap().clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told.iter().all(|by| *by > 365 * 86_400), "{told:?}");
}

#[test]
fn a_client_says_whom_it_asks() {
    let keys = Credentials::new("AKIDEXAMPLE", "secret").unwrap();
    let builder = Client::builder().region("eu-west-1").credentials(keys);
    let client = builder.endpoint_url("http://127.0.0.1:8000").build();
    let client = client.unwrap();
    assert_eq!(client.endpoint_url(), "http://127.0.0.1:8000/");
    assert_eq!(client.region(), "eu-west-1");
}
