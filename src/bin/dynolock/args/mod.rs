//! The arguments: what there is, and what it means, in types that cannot be wrong.

mod command;
mod terms;
mod values;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use clap::{ArgMatches, error::ErrorKind};
use clap_complete::Shell;
use dynolock::Key;

pub(crate) use self::command::command;
pub(crate) use self::values::{KeyName, KeyPart, show};
use crate::exit::Exit;
use crate::run::{Run, guard, interrupt, start};

/// How long a single question may take by default.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Run(Box<Run>),
    Status {
        look: Look,
        json: bool,
    },
    Wait {
        look: Look,
        conflict: Exit,
    },
    Release {
        look: Look,
        version: String,
        expires: i64,
    },
    Create(Table),
    Check(Table),
    Completions(Shell),
    Man,
    Local,
    Guard,
    Start(Vec<OsString>),
    Interrupt,
}

/// Where DynamoDB is, and who asks. What is missing says the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) endpoint_url: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) profile: Option<String>,
}

/// The item that is locked.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) table: String,
    pub(crate) partition: KeyPart,
    pub(crate) sort: Option<KeyPart>,
}

impl Subject {
    pub(crate) fn key(&self) -> Key {
        let KeyPart { name, value } = self.partition.clone();
        let key = Key::new(name, value);
        match self.sort.clone() {
            Some(KeyPart { name, value }) => key.sort(name, value),
            None => key,
        }
    }

    /// The key of its table, as arguments of `table` say it.
    pub(crate) fn key_names(&self) -> String {
        let sort = self.sort.as_ref().map(KeyPart::key_name);
        key_names(Some(&self.partition.key_name()), sort.as_ref())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.partition)?;
        match &self.sort {
            Some(sort) => write!(f, " {sort}"),
            None => Ok(()),
        }
    }
}

/// How long the lock is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Once,
    ForEver,
    UpTo(Duration),
}

impl Wait {
    pub(crate) fn timeout(self) -> Duration {
        match self {
            Self::Once => DEFAULT_PATIENCE,
            Self::ForEver => Duration::MAX,
            Self::UpTo(time) => time,
        }
    }
}

/// A lock that is looked at.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) place: Place,
    pub(crate) subject: Subject,
    pub(crate) timeout: Duration,
    pub(crate) max_clock_skew: Duration,
    pub(crate) retry_interval: Duration,
}

/// A table for locks.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) place: Place,
    pub(crate) name: String,
    pub(crate) partition: Option<KeyName>,
    pub(crate) sort: Option<KeyName>,
}

impl Table {
    /// Its key, as the arguments say it.
    pub(crate) fn key_names(&self) -> String {
        key_names(self.partition.as_ref(), self.sort.as_ref())
    }
}

fn key_names(partition: Option<&KeyName>, sort: Option<&KeyName>) -> String {
    let partition = partition.map_or("id".into(), KeyName::to_string);
    match sort {
        Some(sort) => format!("--partition-key {partition} --sort-key {sort}"),
        None => format!("--partition-key {partition}"),
    }
}

/// What the arguments say, and whether the life of the lock is told.
pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Task, bool), clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(task) = own(&arguments) {
        return Ok((task, false));
    }
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    let task = match matches.subcommand() {
        Some(_) if matches.get_flag("local") => {
            let problem = "--local stands alone: it says how to get a DynamoDB, and runs nothing";
            return Err(command.error(ErrorKind::ArgumentConflict, problem));
        }
        None if matches.get_flag("local") => Task::Local,
        Some(("run", matches)) => Task::Run(Box::new(run(matches)?)),
        Some(("status", matches)) => Task::Status {
            look: look(matches, DEFAULT_PATIENCE),
            json: matches.get_flag("json"),
        },
        Some(("wait", matches)) => Task::Wait {
            look: look(matches, Duration::MAX),
            conflict: exit(matches),
        },
        Some(("release", matches)) => Task::Release {
            look: look(matches, DEFAULT_PATIENCE),
            version: text(matches, "version").unwrap_or_default(),
            expires: value(matches, "expires").unwrap_or_default(),
        },
        Some(("table", matches)) => match matches.subcommand() {
            Some(("create", matches)) => Task::Create(table(matches)),
            Some((_, matches)) => Task::Check(table(matches)),
            None => return Err(missing(command)),
        },
        Some(("completions", matches)) => match value(matches, "shell") {
            Some(shell) => Task::Completions(shell),
            None => return Err(missing(command)),
        },
        Some(("man", _)) => Task::Man,
        _ => return Err(missing(command)),
    };
    let is_verbose = matches.get_flag("verbose");
    Ok((task, is_verbose))
}

/// What only the command itself calls.
fn own(arguments: &[OsString]) -> Option<Task> {
    let (name, rest) = arguments.get(1..)?.split_first()?;
    match name.to_str()? {
        guard::NAME => Some(Task::Guard),
        interrupt::NAME => Some(Task::Interrupt),
        start::NAME => Some(Task::Start(rest.to_vec())),
        _ => None,
    }
}

fn missing(mut command: clap::Command) -> clap::Error {
    let problem = "a subcommand is missing; see dynolock --help";
    command.error(ErrorKind::MissingSubcommand, problem)
}

/// The value of an argument; `None` too where the subcommand does not know it.
fn value<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Option<T> {
    matches.try_get_one(name).ok().flatten().cloned()
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    value(matches, name)
}

fn time(matches: &ArgMatches, name: &str) -> Option<Duration> {
    value(matches, name)
}

fn exit(matches: &ArgMatches) -> Exit {
    value(matches, "conflict-exit-code").unwrap_or(Exit::CONFLICT)
}

fn place(matches: &ArgMatches) -> Place {
    Place {
        endpoint_url: text(matches, "endpoint-url"),
        region: text(matches, "region"),
        profile: text(matches, "profile"),
    }
}

fn subject(matches: &ArgMatches) -> Subject {
    let missing = || KeyPart {
        name: String::new(),
        value: String::new().into(),
    };
    Subject {
        // Both are required; what is not there is refused when it is used.
        table: text(matches, "table").unwrap_or_default(),
        partition: value(matches, "key").unwrap_or_else(missing),
        sort: value(matches, "sort-key"),
    }
}

fn look(matches: &ArgMatches, timeout: Duration) -> Look {
    Look {
        place: place(matches),
        subject: subject(matches),
        timeout: time(matches, "timeout").unwrap_or(timeout),
        max_clock_skew: time(matches, "max-clock-skew").unwrap_or(dynolock::DEFAULT_MAX_CLOCK_SKEW),
        retry_interval: time(matches, "retry-interval").unwrap_or(Duration::from_secs(1)),
    }
}

fn table(matches: &ArgMatches) -> Table {
    Table {
        place: place(matches),
        name: text(matches, "table").unwrap_or_default(),
        partition: value(matches, "partition-key"),
        sort: value(matches, "sort-key"),
    }
}

fn run(matches: &ArgMatches) -> Result<Run, clap::Error> {
    let terms = terms::Terms::of(
        time(matches, "lease"),
        time(matches, "heartbeat"),
        time(matches, "grace"),
    );
    let terms = terms.map_err(|problem| command().error(ErrorKind::ValueValidation, problem))?;
    let wait = match (matches.get_flag("no-wait"), time(matches, "timeout")) {
        (true, _) => Wait::Once,
        (false, Some(time)) => Wait::UpTo(time),
        (false, None) => Wait::ForEver,
    };
    let mut words = matches
        .get_many::<OsString>("command")
        .into_iter()
        .flatten()
        .cloned();
    Ok(Run {
        place: place(matches),
        subject: subject(matches),
        wait,
        lease: terms.lease,
        heartbeat: terms.heartbeat,
        grace: terms.grace,
        max_clock_skew: time(matches, "max-clock-skew").unwrap_or(dynolock::DEFAULT_MAX_CLOCK_SKEW),
        retry_interval: time(matches, "retry-interval").unwrap_or(dynolock::DEFAULT_RETRY_INTERVAL),
        owner: text(matches, "owner"),
        delete_on_release: matches.get_flag("delete-on-release"),
        existing_only: matches.get_flag("existing-only"),
        conflict: exit(matches),
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
    })
}
