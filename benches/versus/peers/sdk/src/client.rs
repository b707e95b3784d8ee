//! A client of the SDK, from what the environment says.
//!
//! Without the crate `aws-config`, which would read the same variables: it is left out in favour
//! of the peers that need the SDK.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{Config, Credentials, Region};
use common::Outcome;

/// `limit` ends one operation with all its attempts.
pub fn from_environment(limit: Duration) -> Outcome<Client> {
    let credentials = Credentials::new(
        needed("AWS_ACCESS_KEY_ID")?,
        needed("AWS_SECRET_ACCESS_KEY")?,
        set("AWS_SESSION_TOKEN"),
        None,
        "environment",
    );
    let limit = TimeoutConfig::builder().operation_timeout(limit).build();
    let mut config = Config::builder()
        .region(Region::new(needed("AWS_REGION")?))
        .credentials_provider(credentials)
        .timeout_config(limit);
    if let Some(url) = set("AWS_ENDPOINT_URL") {
        config = config.endpoint_url(url);
    }
    Ok(Client::from_conf(config.build()))
}

fn needed(name: &str) -> Outcome<String> {
    Ok(set(name).ok_or_else(|| format!("{name} is not set"))?)
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
