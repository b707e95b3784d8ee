//! `dynolock table`: makes a table for locks, and says what would not work with one.

use std::fmt::Display;
use std::time::Duration;

use dynolock::{Access, Client, Error, Key, KeyType, KeyValue, TableDescription, TableKey};

use crate::args::{KeyName, Table};
use crate::clocks::Reading;
use crate::exit::Exit;
use crate::place::{self, advice};
use crate::print;
use crate::say::Voice;

/// How often is looked whether a new table is ready, and how long.
const INTERVAL: Duration = Duration::from_millis(500);
const LOOKS: u32 = 240;

/// Creates a table, and waits until it can be used.
pub(crate) async fn create(table: &Table, voice: &Voice) -> Exit {
    let client = match place::client(&table.place) {
        Ok(client) => client,
        Err(problem) => return problem.say(voice),
    };
    let Some(key) = key(table) else {
        return Exit::USAGE;
    };
    match made(&client, &table.name, &key).await {
        Ok((_, State::Other(other))) => {
            voice.say(format_args!(
                "{}: there is a table of this name, with another key: {other}",
                table.name
            ));
            Exit::USAGE
        }
        Ok((_, State::NotYet(status))) => {
            voice.say(format_args!(
                "{}: it cannot be used yet, it is {status}; see dynolock table check --table {0}",
                table.name
            ));
            Exit::UNAVAILABLE
        }
        Ok((is_new, State::Ready)) => {
            let said = match is_new {
                true => "created",
                false => "there already, with this key",
            };
            voice.tell(format_args!("{}: {said}", table.name));
            Exit::DONE
        }
        Err(error) => {
            voice.say(format_args!(
                "{}: {error}{}",
                table.name,
                advice(&error, &table.name, &table.key_names())
            ));
            Exit::of_error(&error, Exit::UNAVAILABLE)
        }
    }
}

/// What has become of a table.
enum State {
    Ready,
    /// It has another key than ours.
    Other(TableKey),
    /// It is of this status still.
    NotYet(String),
}

/// Whether it was made, and its state.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
async fn made(client: &Client, name: &str, key: &TableKey) -> Result<(bool, State), Error> {
    let table = client.table(name);
    let is_new = table.create(key).await?;
    for _ in 0..LOOKS {
        match table.describe().await {
            Ok(found) if found.is_active() => return Ok((is_new, state(&found, key))),
            Err(error) if !error.is_table_not_found() => return Err(error),
            // Not to be seen yet.
            Ok(_) | Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
    let found = table.describe().await?;
    Ok((is_new, state(&found, key)))
}

fn state(found: &TableDescription, key: &TableKey) -> State {
    match found.key() {
        Some(other) if other != key => State::Other(other.clone()),
        _ if found.is_active() => State::Ready,
        _ => State::NotYet(found.status().to_owned()),
    }
}

fn key(table: &Table) -> Option<TableKey> {
    let kind = |name: &KeyName| match name.kind {
        'N' => KeyType::N,
        'B' => KeyType::B,
        _ => KeyType::S,
    };
    let partition = table.partition.as_ref()?;
    let key = TableKey::new(&partition.name, kind(partition));
    Some(match &table.sort {
        Some(sort) => key.sort(&sort.name, kind(sort)),
        None => key,
    })
}

/// Says what would not work, a line for each check.
pub(crate) async fn check(table: &Table, voice: &Voice) -> Exit {
    let client = match place::client(&table.place) {
        Ok(client) => client,
        Err(problem) => return problem.say(voice),
    };
    let mut report = Report::default();
    examine(&client, table, &mut report).await;
    let exit = match report.failed {
        true => Exit::CHECK_FAILED,
        false => Exit::DONE,
    };
    print(report.text.as_bytes(), exit, voice)
}

async fn examine(client: &Client, table: &Table, report: &mut Report) {
    let advice = |error: &Error| advice(error, &table.name, &table.key_names());
    match client.connect().await {
        Ok(()) => report.good(
            "endpoint",
            format_args!(
                "{} ({}) can be reached, and there are credentials",
                client.endpoint_url(),
                client.region()
            ),
        ),
        Err(error) if error.is_credentials() => {
            return report.bad("credentials", &error, &advice(&error));
        }
        Err(error) => return report.bad("endpoint", &error, &advice(&error)),
    }
    let described = client.table(&table.name).describe().await;
    let found = match &described {
        Ok(found) => {
            let active = found.is_active();
            report.line(
                active,
                "table",
                format_args!("{} is {}", table.name, found.status()),
            );
            found.key().cloned()
        }
        Err(error) if error.is_access_denied() => {
            report.note(
                "table",
                "dynamodb:DescribeTable is not allowed; locks do not need it",
            );
            None
        }
        Err(error) => return report.bad("table", error, &advice(error)),
    };
    examine_key(key(table), found.as_ref(), report);
    match found.or_else(|| key(table)).as_ref().and_then(probe) {
        Some(probe) => examine_access(client, &table.name, probe, report).await,
        None => report.note("permissions", "not tried: name the key by --partition-key"),
    }
    examine_clock(client, &described, report);
}

fn examine_key(wanted: Option<TableKey>, found: Option<&TableKey>, report: &mut Report) {
    match (wanted, found) {
        (Some(wanted), Some(found)) if wanted == *found => report.good("key", found),
        (Some(wanted), Some(found)) => report.bad(
            "key",
            format_args!("it is {found}"),
            &format!(", not {wanted}"),
        ),
        (None, Some(found)) => report.good("key", found),
        (Some(wanted), None) => report.note("key", format_args!("{wanted} is tried below")),
        (None, None) => {}
    }
}

async fn examine_access(client: &Client, name: &str, key: Key, report: &mut Report) {
    let table = client.table(name);
    for (access, action, purpose) in [
        (Access::Update, "dynamodb:UpdateItem", "needed to lock"),
        (
            Access::Read,
            "dynamodb:GetItem",
            "needed by status, wait and release",
        ),
        (
            Access::Delete,
            "dynamodb:DeleteItem",
            "needed by --delete-on-release",
        ),
    ] {
        match table.try_access(access, key.clone()).await {
            Ok(()) => report.good(action, format_args!("allowed ({purpose})")),
            Err(error) if error.is_access_denied() && access == Access::Delete => {
                report.note(action, format_args!("not allowed ({purpose})"));
            }
            Err(error) if error.is_access_denied() && access != Access::Update => {
                report.bad(
                    action,
                    format_args!("not allowed ({purpose})"),
                    "; allow it if you use that",
                );
            }
            Err(error) => report.bad(action, error, &format!(" ({purpose})")),
        }
    }
}

fn examine_clock(client: &Client, _: &Result<TableDescription, Error>, report: &mut Report) {
    match client.clock_difference() {
        Some(off) if off > dynolock::DEFAULT_MAX_CLOCK_SKEW => report.bad(
            "clock",
            format_args!("it is off by {off:.1?} against DynamoDB's"),
            "; set it, or give all holders a larger --max-clock-skew",
        ),
        Some(_) => report.good("clock", "agrees with DynamoDB's within a second"),
        None => report.note("clock", "DynamoDB's answers bear no date"),
    }
}

/// A key of these types that nobody has. What is tried on it changes nothing anyway.
fn probe(key: &TableKey) -> Option<Key> {
    let unique = Reading::now().wall;
    let value = |kind| match kind {
        KeyType::N => KeyValue::from(unique),
        KeyType::B => KeyValue::from(unique.to_be_bytes().to_vec()),
        _ => KeyValue::from(format!("dynolock-check-{unique}")),
    };
    let (name, kind) = key.partition_key();
    let probe = Key::new(name, value(kind));
    Some(match key.sort_key() {
        Some((name, kind)) => probe.sort(name, value(kind)),
        None => probe,
    })
}

/// What the checks have shown.
#[derive(Default)]
struct Report {
    text: String,
    failed: bool,
}

impl Report {
    fn good(&mut self, what: &str, found: impl Display) {
        self.line(true, what, found);
    }

    fn bad(&mut self, what: &str, problem: impl Display, advice: &str) {
        self.line(false, what, format_args!("{problem}{advice}"));
    }

    fn note(&mut self, what: &str, text: impl Display) {
        self.text += &format!("--    {what}: {text}\n");
    }

    fn line(&mut self, is_good: bool, what: &str, text: impl Display) {
        self.failed |= !is_good;
        let mark = if is_good { "ok  " } else { "FAIL" };
        self.text += &format!("{mark}  {what}: {text}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_another_fails_the_check() {
        let of = |name: &str, kind| TableKey::new(name, kind);
        for (wanted, found, failed, text) in [
            (
                Some(of("id", KeyType::S)),
                Some(of("id", KeyType::S)),
                false,
                "ok    key: id:S\n",
            ),
            (
                Some(of("id", KeyType::S)),
                Some(of("id", KeyType::N)),
                true,
                "FAIL  key: it is id:N, not id:S\n",
            ),
            (None, Some(of("pk", KeyType::B)), false, "ok    key: pk:B\n"),
            (
                Some(of("id", KeyType::S)),
                None,
                false,
                "--    key: id:S is tried below\n",
            ),
        ] {
            let mut report = Report::default();
            examine_key(wanted, found.as_ref(), &mut report);
            assert_eq!((report.failed, report.text.as_str()), (failed, text));
        }
    }

    #[test]
    fn a_probe_has_the_types_of_the_key() {
        let key = TableKey::new("id", KeyType::N).sort("s", KeyType::B);
        assert!(probe(&key).is_some());
    }
}
