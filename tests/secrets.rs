//! No secret in anything that the library, or a crate under it, says: events of every level,
//! errors, `Debug`.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use dynolock::Client;
use dynolock::credentials::{Credentials, FixedCredentials};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::scene::{SECRET, Scene, ms, soon};
use crate::support::fault::Fault;

#[path = "scene/mod.rs"]
mod scene;
#[path = "support/mod.rs"]
mod support;

const TOKEN: &str = "SessionTokenThatNobodyMaySee0123456789";

/// Takes down whatever is said.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Everything {
    fn say(&self, record: impl FnOnce(&mut Line<'_>)) {
        let mut said = self.0.lock().expect("no panic");
        record(&mut Line(&mut said));
        said.push('\n');
    }
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.say(|line| span.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.say(|line| values.record(line));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.say(|line| {
            line.0.push_str(event.metadata().target());
            event.record(line);
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// One for the whole process: work in the background speaks on other threads.
fn listening() -> &'static Everything {
    static LISTENER: OnceLock<Everything> = OnceLock::new();
    LISTENER.get_or_init(|| {
        let listener = Everything::default();
        tracing::subscriber::set_global_default(listener.clone()).expect("the only one");
        listener
    })
}

#[tokio::test]
async fn nothing_that_is_said_has_a_secret_in_it() {
    let listener = listening();
    tracing::trace!("whoever speaks is heard");
    let scene = Scene::new().await;
    let credentials = Credentials::new("AKIDSHOWN", SECRET)
        .and_then(|pair| pair.session_token(TOKEN))
        .expect("credentials");
    let client = Client::builder()
        .region("us-east-1")
        .endpoint_url(scene.proxy.url())
        .credentials(credentials.clone())
        .backoff(ms(1), ms(20))
        .build()
        .expect("a client");
    let mut said = format!("{client:?} {credentials:?}");
    said.push_str(&format!("{:?}", FixedCredentials::new(credentials)));

    let lock = scene.lock(&client, "a");
    scene.proxy.next([Fault::throttled(), Fault::DropRequest]);
    let lease = soon(lock.acquire()).await.expect("in the end");
    soon(lease.renew()).await.expect("ours");
    said.push_str(&format!("{lock:?} {lease:?}"));
    soon(lease.release()).await.expect("ours");
    for code in [
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "ValidationException",
    ] {
        scene.proxy.on(move |_| Fault::error(400, code, "no"));
        let error = soon(lock.clone().timeout(ms(50)).acquire()).await;
        let error = error.expect_err("refused to the end");
        said.push_str(&format!("{error} {error:?}"));
    }
    soon(client.drain()).await;

    said.push_str(&listener.0.lock().expect("no panic"));
    assert!(said.contains("whoever speaks is heard"), "{said}");
    assert!(said.contains("AKIDSHOWN"));
    for secret in [SECRET, TOKEN] {
        assert!(!said.contains(secret), "{said}");
    }
    #[cfg(feature = "tracing")]
    for event in ["acquired", "renewed", "released", "an attempt failed"] {
        assert!(
            said.contains(&format!("dynolock message={event}")),
            "{event}: {said}"
        );
    }
}
