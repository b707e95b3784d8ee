//! What the command says on stderr: a line each, and never in anybody's way.

use std::fmt;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Lines that may wait to be written. More are dropped: a reader that does not read must not stop
/// the heartbeat.
const MOST_WAITING: usize = 256;
/// How long the last lines may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says a line at once, where there is nothing that it could hold up.
pub(crate) fn say_here(line: &str) {
    let _ = std::io::stderr().write_all(as_line(line).as_bytes());
}

/// Whole, as it is written at once: stderr is the child's as well, and has no buffer.
fn as_line(line: &str) -> String {
    let line = line.replace(|c: char| c.is_control(), " ");
    format!("dynolock: {line}\n")
}

/// Writes lines to stderr, on a thread of its own.
#[derive(Clone)]
pub(crate) struct Voice {
    lines: SyncSender<Line>,
    /// Whether the life of the lock is told too.
    pub(crate) is_verbose: bool,
}

enum Line {
    Text(String),
    Flush(SyncSender<()>),
}

impl Voice {
    pub(crate) fn new(is_verbose: bool) -> Self {
        let (lines, waiting) = sync_channel(MOST_WAITING);
        let thread = std::thread::Builder::new().name("stderr".into());
        // Without it nothing is said.
        drop(thread.spawn(move || write(&waiting)));
        Self { lines, is_verbose }
    }

    /// Says a line. Control characters in it are shown as spaces.
    pub(crate) fn say(&self, line: impl fmt::Display) {
        drop(self.lines.try_send(Line::Text(as_line(&line.to_string()))));
    }

    /// Says a line where the life of the lock is told.
    pub(crate) fn tell(&self, line: impl fmt::Display) {
        if self.is_verbose {
            self.say(line);
        }
    }

    /// Waits until all that was said is written, for a second at most.
    pub(crate) fn finish(&self) {
        let (done, all) = sync_channel(1);
        if self.lines.try_send(Line::Flush(done)).is_ok() {
            let _ = all.recv_timeout(PATIENCE);
        }
    }

    /// Tells the library's events as well: all of them, or the warnings alone.
    pub(crate) fn listen(&self) {
        drop(tracing::subscriber::set_global_default(self.clone()));
    }
}

fn write(lines: &Receiver<Line>) {
    for line in lines {
        match line {
            // A closed or full stderr is nothing that could be told anywhere.
            Line::Text(text) => drop(std::io::stderr().write_all(text.as_bytes())),
            Line::Flush(done) => drop(done.send(())),
        }
    }
}

impl Subscriber for Voice {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        metadata.target() == "dynolock"
            && (level == Level::WARN || self.is_verbose && level <= Level::DEBUG)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut told = Told::default();
        event.record(&mut told);
        // The command has its own words for a loss.
        if told.message == "lost" && !self.is_verbose {
            return;
        }
        self.say(format_args!("{}{}", told.message, told.fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event's text and fields.
#[derive(Default)]
struct Told {
    message: String,
    fields: String,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        // Of interest where it is so.
        if value {
            self.fields.push_str(&format!(" {}", field.name()));
        }
    }
}
