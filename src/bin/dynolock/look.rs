//! `dynolock status`, `wait` and `release`: a lock seen from outside.

use std::time::{Duration, SystemTime};

use dynolock::{Holder, Lock};
use serde_json::json;

use crate::args::{Look, Subject, show};
use crate::clocks::{Reading, unix_nanos};
use crate::exit::Exit;
use crate::place::{self, Problem};
use crate::print;
use crate::say::Voice;

/// Says who holds the lock.
pub(crate) async fn status(look: &Look, json: bool, voice: &Voice) -> Exit {
    let holder = match lock(look) {
        Ok(lock) => lock.holder().await,
        Err(problem) => return problem.say(voice),
    };
    let holder = match holder {
        Ok(holder) => holder,
        Err(error) => return Problem::of(&error, Exit::UNAVAILABLE, &look.subject).say(voice),
    };
    let now = Reading::now().wall;
    let standing = Standing::of(holder.as_ref(), now);
    let text = match (json, &holder) {
        (true, holder) => as_json(&look.subject, holder.as_ref(), standing, now),
        (false, Some(holder)) => as_text(&look.subject, holder, standing, now),
        (false, None) => format!("{}: free\n", look.subject),
    };
    print(text.as_bytes(), standing.exit(), voice)
}

/// Waits until the lock is free.
pub(crate) async fn wait(look: &Look, conflict: Exit, voice: &Voice) -> Exit {
    let (client, lock) = match place::client(&look.place) {
        Ok(client) => (client.clone(), with(look, &client)),
        Err(problem) => return problem.say(voice),
    };
    let freed = async {
        lock.check()?;
        if look.timeout == Duration::MAX {
            place::reach(&client).await?;
        }
        lock.wait_free().await
    };
    match freed.await {
        Ok(()) => {
            voice.tell(format_args!("{}: free", look.subject));
            Exit::DONE
        }
        Err(error) => Problem::of(&error, conflict, &look.subject).say(voice),
    }
}

/// Breaks the lock, if it still is as it was seen.
pub(crate) async fn release(look: &Look, version: &str, expires: i64, voice: &Voice) -> Exit {
    let subject = &look.subject;
    let lock = match lock(look) {
        Ok(lock) => lock,
        Err(problem) => return problem.say(voice),
    };
    let broken = async {
        let Some(holder) = lock.holder().await? else {
            return Ok(Broken::Free);
        };
        if holder.version() != Some(version) || unix_nanos(holder.expires_at()) != expires {
            return Ok(Broken::Other(Some(holder)));
        }
        Ok(match lock.break_held(&holder).await? {
            true => Broken::Done,
            false => Broken::Other(None),
        })
    };
    match broken.await {
        Ok(Broken::Done) => {
            voice.tell(format_args!("{subject}: broken"));
            Exit::DONE
        }
        Ok(Broken::Free) => {
            voice.say(format_args!("{subject}: it is free already"));
            Exit::DONE
        }
        Ok(Broken::Other(now)) => {
            let now = now
                .map(|holder| format!(", but held by {holder}"))
                .unwrap_or_default();
            voice.say(format_args!(
                "{subject}: not broken: it is not, or no longer, as --version and --expires say{now}; a \
                 holder that lives renews it, see dynolock status"
            ));
            Exit::CONFLICT
        }
        Err(error) => Problem::of(&error, Exit::CONFLICT, subject).say(voice),
    }
}

enum Broken {
    Done,
    Free,
    Other(Option<Holder>),
}

fn lock(look: &Look) -> Result<Lock, Problem> {
    place::client(&look.place).map(|client| with(look, &client))
}

fn with(look: &Look, client: &dynolock::Client) -> Lock {
    client
        .lock(&look.subject.table, look.subject.key())
        .timeout(look.timeout)
        .max_clock_skew(look.max_clock_skew)
        .retry_interval(look.retry_interval)
        .poll_by_reading()
}

/// What a lock's attributes mean now, by our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Free,
    /// Whoever held it did not release it, and its lease is past.
    Expired,
    Held,
}

impl Standing {
    fn of(holder: Option<&Holder>, now: i64) -> Self {
        match holder.map(|holder| unix_nanos(holder.expires_at())) {
            None => Self::Free,
            Some(expires) if expires < now => Self::Expired,
            Some(_) => Self::Held,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Expired => "expired",
            Self::Held => "held",
        }
    }

    fn exit(self) -> Exit {
        match self {
            Self::Free | Self::Expired => Exit::DONE,
            Self::Held => Exit::CONFLICT,
        }
    }
}

fn as_json(subject: &Subject, holder: Option<&Holder>, standing: Standing, now: i64) -> String {
    let mut status = json!({
        "table": subject.table,
        "key": subject.partition.to_string(),
        "state": standing.name(),
    });
    if let Some(sort) = &subject.sort {
        status["sort_key"] = sort.to_string().into();
    }
    if let Some(holder) = holder {
        let expires = unix_nanos(holder.expires_at());
        status["version"] = holder.version().into();
        status["owner"] = holder.owner().into();
        // Texts, as DynamoDB's own JSON has numbers: most readers round what is beyond 2^53.
        status["fencing_token"] = holder.fencing_token().map(|it| it.to_string()).into();
        status["acquired_at"] = holder.acquired_at().map(timestamp).into();
        status["expires_at"] = timestamp(holder.expires_at()).into();
        status["expires"] = expires.to_string().into();
        status["remaining_ms"] = (expires.saturating_sub(now) / 1_000_000).into();
    }
    format!("{status}\n")
}

fn as_text(subject: &Subject, holder: &Holder, standing: Standing, now: i64) -> String {
    let expires = unix_nanos(holder.expires_at());
    let off = expires.abs_diff(now) / 1_000_000;
    let off = match off {
        0..120_000 => format!("{:.1?}", Duration::from_millis(off)),
        // In whole minutes.
        _ => show(Duration::from_secs(off / 60_000 * 60)),
    };
    let until = match standing {
        Standing::Held => format!("in {off}"),
        Standing::Free | Standing::Expired => format!("{off} ago"),
    };
    let rows = [
        ("owner", holder.owner().map(printable)),
        ("since", holder.acquired_at().map(timestamp)),
        (
            "until",
            Some(format!("{} ({until})", timestamp(holder.expires_at()))),
        ),
        (
            "token",
            holder.fencing_token().map(|token| token.to_string()),
        ),
        ("version", holder.version().map(printable)),
        ("expires", Some(expires.to_string())),
    ];
    let mut text = format!("{subject}: {}\n", standing.name());
    for (name, value) in rows {
        if let Some(value) = value {
            text += &format!("  {name:<8} {value}\n");
        }
    }
    text
}

/// What others wrote is shown without what a terminal would obey.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

/// An instant as RFC 3339 has it, in UTC.
fn timestamp(time: SystemTime) -> String {
    let nanos = unix_nanos(time);
    let (days, rest) = (
        nanos.div_euclid(86_400_000_000_000),
        nanos.rem_euclid(86_400_000_000_000),
    );
    let (year, month, day) = date(days);
    let (seconds, millis) = (rest / 1_000_000_000, rest / 1_000_000 % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}.{millis:03}Z",
        seconds % 60
    )
}

/// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar: years begin in
/// March, so that the leap day is their last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn timestamps_are_those_of_rfc_3339() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_415_039_214, "2026-11-23T06:23:59.214Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(
                timestamp(UNIX_EPOCH + Duration::from_millis(millis)),
                expected
            );
        }
        assert_eq!(
            timestamp(UNIX_EPOCH - Duration::from_millis(1)),
            "1969-12-31T23:59:59.999Z"
        );
    }

    #[test]
    fn what_others_wrote_commands_no_terminal() {
        assert_eq!(printable("web\u{1b}[2J-7"), "web\u{fffd}[2J-7");
    }
}
