//! The command line: a command, then `--name value` by turns.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Outcome;

pub struct Arguments {
    command: String,
    options: BTreeMap<String, String>,
}

impl Arguments {
    pub fn read() -> Outcome<Self> {
        let mut rest = std::env::args().skip(1);
        let command = rest.next().ok_or("which command?")?;
        let mut options = BTreeMap::new();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--");
            let name = name.ok_or_else(|| format!("no option: {argument}"))?;
            let value = rest.next();
            let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok(Self { command, options })
    }

    pub fn command(&self) -> &str {
        &self.command
    }

    pub fn text(&self, name: &str) -> Outcome<&str> {
        let value = self.options.get(name);
        Ok(value.ok_or_else(|| format!("--{name} is missing"))?)
    }

    pub fn number(&self, name: &str, default: u64) -> Outcome<u64> {
        match self.options.get(name) {
            None => Ok(default),
            Some(value) => Ok(value
                .parse()
                .map_err(|_| format!("--{name} is no number: {value}"))?),
        }
    }

    pub fn milliseconds(&self, name: &str, default: u64) -> Outcome<Duration> {
        Ok(Duration::from_millis(self.number(name, default)?))
    }
}
