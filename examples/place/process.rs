//! The same program as another process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::{Outcome, Place};

/// A process of this program, at the same place. Its methods block: an embedded engine runs on
/// other threads.
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Place {
    /// Starts this program with these options. Its standard input ends with this process, or when
    /// it is told to stop.
    pub fn start(&self, options: &[(&str, &str)]) -> Outcome<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--endpoint-url", &self.url, "--table", &self.table])
            .args(options.iter().flat_map(|(name, value)| [name, value]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().ok_or("it has no output")?);
        let (said, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Ok(Process { child, lines })
    }
}

impl Process {
    /// The next line that it prints; `None` once it has ended.
    pub fn line(&self) -> Option<String> {
        self.lines.recv().ok()
    }

    /// Ends it at once, wherever it is: SIGKILL.
    pub fn kill(&mut self) -> Outcome<()> {
        match self.child.try_wait()? {
            Some(status) => Err(format!("it has ended by itself: {status}").into()),
            None => Ok(self.child.kill()?),
        }
    }

    /// Ends its standard input.
    pub fn tell_to_stop(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until it has ended. Whether it succeeded.
    pub fn wait(mut self) -> Outcome<bool> {
        Ok(self.child.wait()?.success())
    }
}
