//! Where an example runs: on an embedded engine of its own, or on the DynamoDB that the command
//! line names.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every example uses another part of this"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the clock, the environment and the tasks of the examples, not of the library"
)]

pub mod process;
mod relay;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use dynolock::Client;
use dynolock::credentials::Credentials;

use relay::Relay;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A table to lock in, and how to reach it.
#[derive(Clone)]
pub struct Place {
    pub table: String,
    url: String,
    region: String,
    credentials: Credentials,
    /// What else the command line says.
    options: BTreeMap<String, String>,
}

/// Tells a story at the place that the command line names. The exit status says whether it went
/// as it should.
///
/// `more` are the names of the options that the story takes beside those of the place.
pub async fn run(more: &[&str], story: impl AsyncFnOnce(Place) -> Outcome<()>) -> ExitCode {
    let options = match options(more) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\nusage: [--endpoint-url URL --table NAME]");
            return ExitCode::from(64);
        }
    };
    let told = async {
        let place = Place::prepare(options).await?;
        place.look().await?;
        story(place).await
    };
    match told.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("It did not work: {error}");
            // By returning, it would wait for a name that is still being looked up.
            std::process::exit(1)
        }
    }
}

/// A claim of the story's.
pub fn check(holds: bool, claim: &str) -> Outcome<()> {
    if holds {
        Ok(())
    } else {
        Err(format!("not true: {claim}").into())
    }
}

fn options(more: &[&str]) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if !["--endpoint-url", "--table"].contains(&&*name) && !more.contains(&&*name) {
            return Err(format!("{name} is not known"));
        }
        let value = arguments.next();
        let value = value.ok_or_else(|| format!("{name} needs a value"))?;
        options.insert(name, value);
    }
    if options.contains_key("--endpoint-url") != options.contains_key("--table") {
        return Err("--endpoint-url and --table go together".into());
    }
    Ok(options)
}

impl Place {
    async fn prepare(mut options: BTreeMap<String, String>) -> Outcome<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let other = options
            .remove("--endpoint-url")
            .zip(options.remove("--table"));
        let (url, table) = match other {
            Some(other) => other,
            None => (start_engine().await?, "locks".to_owned()),
        };
        // Local servers take any region and credentials.
        let id = set("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "AKIDEXAMPLE".into());
        let secret = set("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "example".into());
        let mut credentials = Credentials::new(id, secret)?;
        if let Some(token) = set("AWS_SESSION_TOKEN") {
            credentials = credentials.session_token(token)?;
        }
        Ok(Self {
            table,
            url,
            region: set("AWS_REGION").unwrap_or_else(|| "us-east-1".into()),
            credentials,
            options,
        })
    }

    /// That there is a table, and a way to it. Those who wait for locks are patient.
    async fn look(&self) -> Outcome<()> {
        let client = self.client()?;
        client.connect().await?;
        client.lock(&self.table, ("id", "nobody")).holder().await?;
        Ok(())
    }

    /// A client of its own, as another machine has it.
    pub fn client(&self) -> Outcome<Client> {
        let client = Client::builder()
            .endpoint_url(&self.url)
            .region(&self.region)
            .credentials(self.credentials.clone())
            .build()?;
        Ok(client)
    }

    /// The key of an item that nobody else uses.
    pub fn id(&self, name: &str) -> Outcome<String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let pid = std::process::id();
        Ok(format!("{name}-{pid}-{}", now.as_nanos()))
    }

    /// What the command line says about an option of the story's own.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// The same place behind a relay that counts the requests to it; `None` where they are
    /// encrypted.
    pub async fn counted(&self) -> Outcome<Option<(Self, Relay)>> {
        let Some(authority) = self.url.strip_prefix("http://") else {
            return Ok(None);
        };
        let relay = Relay::to(authority.trim_end_matches('/')).await?;
        let url = relay.url.clone();
        Ok(Some((
            Self {
                url,
                ..self.clone()
            },
            relay,
        )))
    }
}

/// Starts an engine in memory with a table `locks`; gives its URL.
async fn start_engine() -> Outcome<String> {
    let database = dynoxide::Database::memory()?;
    database.create_table(serde_json::from_str(
        r#"{
            "TableName": "locks",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]
        }"#,
    )?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("An embedded DynamoDB engine listens at {url}.");
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    Ok(url)
}
