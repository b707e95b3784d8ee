//! What the command and its guard say to each other: a line each.

use std::time::Duration;

use super::plan::Deadline;

/// From the command to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// The first line: how long before the end of a lease the child is told to end.
    Grace(Duration),
    /// The lease ends then.
    Lease(Deadline),
    /// The child is gone; there is nothing left to guard.
    Done,
}

impl Tell {
    pub(crate) fn line(self) -> String {
        match self {
            Self::Grace(grace) => format!("grace {}\n", grace.as_nanos()),
            Self::Lease(Deadline { mono, wall }) => format!("lease {mono} {wall}\n"),
            Self::Done => "done\n".into(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let told = match words.next()? {
            "grace" => Self::Grace(Duration::from_nanos(words.next()?.parse().ok()?)),
            "lease" => Self::Lease(Deadline {
                mono: words.next()?.parse().ok()?,
                wall: words.next()?.parse().ok()?,
            }),
            "done" => Self::Done,
            _ => return None,
        };
        words.next().is_none().then_some(told)
    }
}

/// The guard is ready: the child may start.
pub(crate) const READY: &str = "ready\n";
/// The guard has told the child to end.
pub(crate) const TOLD: &str = "told\n";
/// The guard's: the lease that it knows is over, and it ends with the child.
pub(crate) const OVER: &str = "over\n";

/// A line that means nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Garbled;

/// Lines out of bytes that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// No line is longer.
    const LONGEST: usize = 256;

    /// What the lines say that are complete with `bytes`.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Result<Tell, Garbled>> {
        self.0.extend_from_slice(bytes);
        let mut told = Vec::new();
        while let Some(end) = self.0.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            let line = std::str::from_utf8(&line).unwrap_or_default().trim_end();
            told.push(Tell::parse(line).ok_or(Garbled));
        }
        if self.0.len() > Self::LONGEST {
            self.0.clear();
            told.push(Err(Garbled));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for tell in [
            Tell::Grace(Duration::from_millis(1500)),
            Tell::Grace(Duration::ZERO),
            Tell::Lease(Deadline { mono: 7, wall: -8 }),
            Tell::Lease(Deadline {
                mono: u64::MAX,
                wall: i64::MAX,
            }),
            Tell::Done,
        ] {
            assert_eq!(Lines::default().feed(tell.line().as_bytes()), [Ok(tell)]);
        }
    }

    #[test]
    fn lines_come_in_pieces_and_together() {
        let text = "grace 5\nlease 1 2\ndone\n";
        let whole = Lines::default().feed(text.as_bytes());
        let mut lines = Lines::default();
        let pieces: Vec<_> = text.bytes().flat_map(|byte| lines.feed(&[byte])).collect();
        assert_eq!(whole, pieces);
        assert_eq!(whole.len(), 3);
        assert_eq!(Lines::default().feed(b"lease 1 "), []);
    }

    #[test]
    fn anything_else_is_garbled() {
        for line in [
            "\n",
            "lease\n",
            "lease 1\n",
            "lease 1 2 3\n",
            "lease -1 2\n",
            "lease a b\n",
            "grace -1\n",
            "grace 99999999999999999999999\n",
            "done 1\n",
            "x\n",
            "\u{0}\n",
        ] {
            assert_eq!(
                Lines::default().feed(line.as_bytes()),
                [Err(Garbled)],
                "{line:?}"
            );
        }
        assert_eq!(Lines::default().feed(&[0xff, b'\n']), [Err(Garbled)]);
        assert_eq!(
            Lines::default().feed(&[b'x'; 300]),
            [Err(Garbled)],
            "no end of it"
        );
    }
}
