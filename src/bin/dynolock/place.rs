//! The client, and what to say where it cannot do its work.

use std::time::Duration;

use dynolock::{Client, Error};

use crate::args::{Place, Subject};
use crate::exit::Exit;
use crate::say::Voice;

/// How long DynamoDB may be out of reach to begin with.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried.
const INTERVAL: Duration = Duration::from_millis(500);

/// What went wrong, what to do about it, and the status that says so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Problem {
    /// `conflict` is the status where another holds the lock.
    pub(crate) fn of(error: &Error, conflict: Exit, subject: &Subject) -> Self {
        let exit = Exit::of_error(error, conflict);
        let advice = advice(error, &subject.table, &subject.key_names());
        Self {
            exit,
            text: format!("{subject}: {error}{advice}"),
        }
    }

    pub(crate) fn say(self, voice: &Voice) -> Exit {
        voice.say(self.text);
        self.exit
    }
}

/// The client that the arguments and the environment make.
pub(crate) fn client(place: &Place) -> Result<Client, Problem> {
    let mut builder = Client::builder().environment();
    if let Some(url) = &place.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    if let Some(region) = &place.region {
        builder = builder.region(region);
    }
    if let Some(profile) = &place.profile {
        builder = builder.profile(profile);
    }
    builder.build().map_err(|error| {
        let exit = match error.is_credentials() {
            true => Exit::UNAVAILABLE,
            false => Exit::USAGE,
        };
        let text = format!("{error}{}", advice(&error, "TABLE", "--partition-key NAME"));
        Problem { exit, text }
    })
}

/// Waits until DynamoDB can be reached and there are credentials, for some seconds at most.
#[expect(
    clippy::disallowed_methods,
    reason = "the library's rule; this is a program"
)]
pub(crate) async fn reach(client: &Client) -> Result<(), Error> {
    let patient = async {
        loop {
            match client.connect().await {
                Err(error) if !error.is_credentials() => tokio::time::sleep(INTERVAL).await,
                done => return done,
            }
        }
    };
    match tokio::time::timeout(PATIENCE, patient).await {
        Ok(done) => done,
        Err(_) => client.connect().await,
    }
}

/// What to do next, where something can be done: about a table with this key, as the arguments say it.
pub(crate) fn advice(error: &Error, table: &str, key: &str) -> String {
    if error.is_table_not_found() {
        return format!("; create it: dynolock table create --table {table} {key}");
    }
    if error.is_credentials() {
        return "; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see \
                dynolock --local"
            .into();
    }
    if error.is_access_denied() {
        return format!("; see what is allowed: dynolock table check --table {table}");
    }
    if error.code() == Some("ValidationException") {
        return format!("; see whether the key fits: dynolock table check --table {table}");
    }
    if error.is_unavailable() {
        return "; check --endpoint-url, --region and the network".into();
    }
    if error.is_timeout() && !error.is_held() && error.code().is_none() {
        return "; no answer came in time, or none within --lease: check --endpoint-url, --region \
                and the network, or wait longer by --timeout"
            .into();
    }
    if error.is_held() {
        return "; see dynolock status, wait longer by --timeout".into();
    }
    let text = error.to_string();
    if text.starts_with("region:") {
        return "; or give --region".into();
    }
    String::new()
}
