//! The DynamoDB that a test runs against: embedded, or the one that the environment names.

use std::ops::Deref;

use dynoxide::Database;

use super::background::Background;
use super::dynamodb::DynamoDb;

/// Names the server that the integration tests use instead of the embedded engine.
pub const ENDPOINT_VARIABLE: &str = "DYNOLOCK_TEST_ENDPOINT";

/// A running DynamoDB. An embedded one ends, with its tables, when this is dropped.
pub struct Engine {
    database: DynamoDb,
    embedded: Option<Background>,
}

impl Engine {
    /// Starts an empty in-memory engine on a free loopback port, over real HTTP.
    pub async fn embedded() -> Self {
        let database = Database::memory().expect("an engine in memory");
        let server = Background::serve("dynoxide", |listener| {
            dynoxide::server::serve_on(listener, database)
        });
        Self {
            database: DynamoDb::at(&server.url()),
            embedded: Some(server),
        }
    }

    /// The server in `DYNOLOCK_TEST_ENDPOINT`, or an embedded one where that is unset or empty.
    pub async fn of_environment() -> Self {
        match std::env::var(ENDPOINT_VARIABLE) {
            Ok(url) if !url.is_empty() => Self {
                database: DynamoDb::at(&url),
                embedded: None,
            },
            _ => Self::embedded().await,
        }
    }

    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }
}

impl Deref for Engine {
    type Target = DynamoDb;

    fn deref(&self) -> &DynamoDb {
        &self.database
    }
}
