//! What there is to say: subcommands, options, help. Completions and the manual page come from it.

use std::ffi::OsString;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};
use clap_complete::Shell;

use super::values::{duration, exit_status, key_name, key_part, nanos};
use crate::help;

/// The whole command, as it is shown.
pub(crate) fn command() -> Command {
    Command::new("dynolock")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A lock on an item of a DynamoDB table, for commands")
        .long_about(help::ABOUT)
        .after_help(help::EXAMPLES)
        .after_long_help(help::MORE)
        .disable_help_subcommand(true)
        .arg(flag(
            "local",
            "Say how to get a DynamoDB for trying out, and do nothing else",
        ))
        .arg(
            flag("verbose", "Tell the life of the lock on stderr")
                .short('v')
                .global(true),
        )
        .subcommand(run())
        .subcommand(status())
        .subcommand(wait())
        .subcommand(release())
        .subcommand(table())
        .subcommand(
            Command::new("completions")
                .about("Print a script that completes arguments in a shell")
                .after_help(help::COMPLETIONS)
                .arg(
                    Arg::new("shell")
                        .required(true)
                        .value_parser(value_parser!(Shell))
                        .help("The shell"),
                ),
        )
        .subcommand(Command::new("man").about("Print the manual page: dynolock man | man -l -"))
}

fn run() -> Command {
    let run = Command::new("run")
        .about("Run a command while holding the lock")
        .long_about(help::RUN)
        .after_help(help::RUN_EXAMPLES)
        .after_long_help(help::RUN_MORE)
        .args(subject("The item to lock"))
        .args(place());
    run.args([
        time("timeout", "How long to wait for the lock [default: for ever]"),
        flag("no-wait", "Try once, and do not wait").conflicts_with("timeout"),
        conflict(),
        time("lease", "How long the lock outlives a crash [default: 10s]").long_help(
            "How long the lock outlives a crash, and DynamoDB may be out of reach before the command \
             is ended. It is renewed meanwhile, so it need not be as long as the command takes \
             [default: 10s]",
        ),
        time("heartbeat", "How often the lease is renewed [default: a fifth of the lease]"),
        time("grace", "SIGTERM comes so long before the lease ends, and SIGKILL at its end [default: a fifth of the lease]"),
        time("max-clock-skew", "How far the clocks of holders may differ [default: 1s]"),
        time("retry-interval", "How often to try while another holds the lock [default: 100ms]"),
        option("owner", "TEXT", "Who holds the lock, for people to read in status"),
        flag("delete-on-release", "Delete the item on release, where it has nothing but its key"),
        flag("existing-only", "Refuse to lock an item that does not exist, as if it were held")
            .conflicts_with("delete-on-release"),
        Arg::new("command")
            .required(true)
            .num_args(1..)
            .last(true)
            .value_name("COMMAND")
            .value_parser(value_parser!(OsString))
            .value_hint(ValueHint::CommandWithArguments)
            .help("The command to run, with its arguments"),
    ])
}

fn status() -> Command {
    Command::new("status")
        .about("Say who holds the lock; exit 0 where it is free, 75 where it is held")
        .after_help(help::STATUS)
        .args(subject("The item to look at"))
        .args(place())
        .args([
            flag("json", "One JSON object, for programs"),
            time("timeout", "How long DynamoDB may take [default: 10s]"),
        ])
}

fn wait() -> Command {
    Command::new("wait")
        .about("Wait until the lock is free, without taking it")
        .after_help(help::WAIT)
        .args(subject("The item to wait for"))
        .args(place())
        .args([
            time("timeout", "How long to wait [default: for ever]"),
            conflict(),
            time(
                "max-clock-skew",
                "How far the clocks of holders may differ [default: 1s]",
            ),
            time("retry-interval", "How often to look [default: 1s]"),
        ])
}

fn release() -> Command {
    Command::new("release")
        .about("Break a stuck lock, if it is still exactly as it was seen")
        .long_about(help::RELEASE)
        .after_help(help::RELEASE_EXAMPLES)
        .args(subject("The item to unlock"))
        .args(place())
        .args([
            flag("force", "Break the lock of another, who is not told").required(true),
            option(
                "version",
                "VERSION",
                "The version of the lock, as status shows it",
            )
            .required(true),
            Arg::new("expires")
                .long("expires")
                .value_name("NANOSECONDS")
                .required(true)
                .allow_negative_numbers(true)
                .value_parser(nanos)
                .help("The expiry of the lock, as status shows it"),
            time("timeout", "How long DynamoDB may take [default: 10s]"),
        ])
}

fn table() -> Command {
    let keys = |required| {
        [
            option("table", "TABLE", "The table")
                .short('t')
                .required(true),
            Arg::new("partition-key")
                .long("partition-key")
                .value_name("NAME[:S|N|B]")
                .required(required)
                .value_parser(key_name)
                .help("The name of the partition key, and its type [default type: S]"),
            Arg::new("sort-key")
                .long("sort-key")
                .value_name("NAME[:S|N|B]")
                .value_parser(key_name)
                .help("The same for the sort key, where there is one"),
        ]
    };
    Command::new("table")
        .about("Create a table for locks, or check one")
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand(
            Command::new("create")
                .about("Create a table, paid by request, for locks of their own")
                .after_help(help::CREATE)
                .args(keys(true))
                .args(place()),
        )
        .subcommand(
            Command::new("check")
                .about("Say what would not work and why: endpoint, credentials, table, key, permissions, clock")
                .after_help(help::CHECK)
                .args(keys(false))
                .args(place()),
        )
}

fn subject(what: &'static str) -> [Arg; 3] {
    let key = |name, help| {
        Arg::new(name)
            .long(name)
            .value_name("[n:|b:]NAME=VALUE")
            .value_parser(key_part)
            .help(help)
    };
    [
        option("table", "TABLE", "The table, by name or ARN")
            .short('t')
            .required(true),
        key("key", what)
            .short('k')
            .required(true)
            .long_help(format!(
                "{what}: the name and value of its partition key. NAME=VALUE is a string, \
             n:NAME=42 a number, b:NAME=BASE64 bytes"
            )),
        key("sort-key", "Its sort key, where the table has one"),
    ]
}

fn place() -> [Arg; 3] {
    [
        option(
            "endpoint-url",
            "URL",
            "The endpoint, in place of the region's own",
        )
        .value_hint(ValueHint::Url),
        option(
            "region",
            "REGION",
            "The region [environment: AWS_REGION, AWS_DEFAULT_REGION]",
        ),
        option(
            "profile",
            "PROFILE",
            "The profile [environment: AWS_PROFILE]",
        ),
    ]
}

fn conflict() -> Arg {
    Arg::new("conflict-exit-code")
        .long("conflict-exit-code")
        .short('E')
        .value_name("STATUS")
        .value_parser(exit_status)
        .help("The status where another holds the lock to the end [default: 75]")
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(NonEmptyStringValueParser::new())
        .help(help)
}

fn time(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("TIME")
        .allow_hyphen_values(true)
        .value_parser(duration)
        .help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_go_together() {
        command().debug_assert();
    }
}
