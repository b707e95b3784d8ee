//! The life of locks as `tracing` events, under the target `dynolock`.

use tracing::{debug, warn};

use crate::runtime::Event;

pub(crate) fn emit(event: Event<'_>) {
    match event {
        Event::Waiting { table, version } => {
            debug!(target: "dynolock", table, version, "waiting: another holds the lock");
        }
        Event::Acquired {
            table,
            version,
            fence,
            recovered,
        } => debug!(target: "dynolock", table, version, fence, recovered, "acquired"),
        Event::AcquireRenewed => debug!(target: "dynolock", "renewed before it is handed out"),
        Event::Renewed { version, recovered } => {
            debug!(target: "dynolock", version, recovered, "renewed");
        }
        Event::Released { version, recovered } => {
            debug!(target: "dynolock", version, recovered, "released");
        }
        Event::Updated { version, recovered } => {
            debug!(target: "dynolock", version, recovered, "updated");
        }
        Event::Committed { version, recovered } => {
            debug!(target: "dynolock", version, recovered, "committed");
        }
        Event::CleanedUp { version } => {
            debug!(target: "dynolock", version, "an abandoned acquisition is cleaned up");
        }
        Event::Lost { version, why } => warn!(target: "dynolock", version, %why, "lost"),
        Event::AttemptFailed {
            kind,
            code,
            request_id,
            unknown,
        } => debug!(
            target: "dynolock",
            ?kind,
            code,
            request_id,
            unknown,
            "an attempt failed",
        ),
        Event::ClockOff { by_seconds } => warn!(
            target: "dynolock",
            by_seconds,
            "DynamoDB's clock is ahead of ours by so much: locks are not taken over by their expiry, \
             and past a minute its time is used for signatures",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Level, Metadata, Subscriber};

    use super::*;
    use crate::protocol::Lost;
    use crate::wire::FailureKind;

    /// Writes down what it is told.
    struct Listener(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Listener {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &tracing::Event<'_>) {
            assert_eq!(event.metadata().target(), "dynolock");
            let mut line = Line(match *event.metadata().level() {
                Level::WARN => "warn".into(),
                Level::DEBUG => "debug".into(),
                level => panic!("{level}"),
            });
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!(" {field}={value:?}"));
        }
    }

    fn told(event: Event<'_>) -> String {
        let lines = Arc::new(Mutex::default());
        tracing::subscriber::with_default(Listener(lines.clone()), || emit(event));
        let mut lines = std::mem::take(&mut *lines.lock().unwrap());
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    #[test]
    fn events_have_a_level_and_fields() {
        for (event, expected) in [
            (
                Event::Acquired {
                    table: "jobs",
                    version: "v1",
                    fence: 7,
                    recovered: false,
                },
                "debug message=acquired table=\"jobs\" version=\"v1\" fence=7 recovered=false",
            ),
            (
                Event::Lost {
                    version: "v1",
                    why: &Lost::Expired,
                },
                "warn message=lost version=\"v1\" why=",
            ),
            (
                Event::AttemptFailed {
                    kind: &FailureKind::Validation,
                    code: Some("ValidationException"),
                    request_id: None,
                    unknown: false,
                },
                "debug message=an attempt failed kind=Validation code=\"ValidationException\"",
            ),
            (
                Event::ClockOff { by_seconds: -1200 },
                "warn message=DynamoDB's clock",
            ),
        ] {
            let line = told(event);
            assert!(line.starts_with(expected), "{line}");
        }
    }
}
