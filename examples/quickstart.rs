//! The life of a lock, in plain words, on a real DynamoDB engine.
//!
//! `cargo run --example quickstart` starts an embedded engine on a free loopback port.
//! `cargo run --example quickstart -- --endpoint-url URL --table NAME` uses another DynamoDB; the
//! table's partition key must be the string `id`, and region and credentials come from the
//! environment. Each step is checked; the exit status says whether all came true.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own clock and tasks"
)]

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dynolock::credentials::Credentials;
use dynolock::{Client, Lock, Lost};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: quickstart [--endpoint-url URL --table NAME]";
/// How long a lease lasts here, and how long a dead holder blocks the others.
const LEASE: Duration = Duration::from_millis(600);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let place = match Place::parse(&arguments) {
        Ok(place) => place,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match life_of_a_lock(place).await {
        Ok(()) => {
            println!("All of it happened.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("It did not work: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn life_of_a_lock(place: Place) -> Outcome<()> {
    let here = Here::prepare(place).await?;
    // Two clients, as if on two machines.
    let ann = here.lock("ann")?;
    let bob = here.lock("bob")?;

    println!("1. Ann locks the item.");
    let lease = ann.acquire().await?;
    let first_token = lease.fencing_token();
    println!("   She has it, with fencing token {first_token}.");
    check(lease.is_held(), "Ann holds the lock")?;
    check(
        bob.try_acquire().await?.is_none(),
        "Bob cannot have it at the same time",
    )?;

    println!("2. A heartbeat extends her lease, without any doing of hers.");
    let (begun, end) = (Instant::now(), lease.expires_at());
    while lease.expires_at() == end && begun.elapsed() < LEASE * 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    check(lease.expires_at() > end, "the lease ends later than before")?;
    println!("   {:?} are left again.", lease.remaining());

    println!("3. Bob waits for the lock. Ann releases it.");
    let waiting = tokio::spawn({
        let bob = bob.clone();
        async move { bob.acquire().await }
    });
    lease.release().await?;
    let lease = waiting.await??;
    println!("   Bob has it, with token {}.", lease.fencing_token());
    check(
        lease.fencing_token() > first_token,
        "Bob's token is larger than Ann's",
    )?;
    let refused = ann.clone().timeout(LEASE / 4).acquire().await.err();
    let holder = refused.and_then(|error| Some(error.holder()?.owner()?.to_owned()));
    check(
        holder.as_deref() == Some("bob"),
        "Ann is told that Bob holds it",
    )?;
    lease.release().await?;

    println!("4. Ann locks the item and dies: no heartbeat, no release.");
    let dead = ann.clone().manual_heartbeat().acquire().await?;
    let (died, dead_token) = (Instant::now(), dead.fencing_token());
    std::mem::forget(dead);
    let lease = bob.acquire().await?;
    println!(
        "   Bob took it over {:?} later, when her lease was over.",
        died.elapsed()
    );
    check(
        died.elapsed() > LEASE / 2,
        "Bob had to wait for her lease to end",
    )?;
    check(
        lease.fencing_token() > dead_token,
        "and his token is larger than hers",
    )?;
    lease.release().await?;

    println!("5. Ann locks it, does not renew, and Bob takes over.");
    let idle = ann.clone().manual_heartbeat().acquire().await?;
    let lost = idle.lost().await;
    println!("   Ann is told: {lost}.");
    check(
        lost == Lost::Expired,
        "the lease is lost because it expired",
    )?;
    check(!idle.is_held(), "and she knows that she holds it no longer")?;
    let lease = bob.acquire().await?;
    check(
        idle.renew().await.is_err(),
        "Ann cannot renew what she lost",
    )?;
    check(
        idle.release().await.is_err(),
        "and releasing it says so too",
    )?;
    check(lease.is_held(), "Bob still has it")?;

    println!("6. Bob releases it, and the lock is free at once.");
    lease.release().await?;
    let last = ann
        .try_acquire()
        .await?
        .ok_or("the lock is not free after its release")?;
    last.release().await?;
    Ok(())
}

/// A claim of this program's.
fn check(holds: bool, claim: &str) -> Outcome<()> {
    if holds {
        Ok(())
    } else {
        Err(format!("not true: {claim}").into())
    }
}

/// Which DynamoDB to use.
enum Place {
    Embedded,
    Other { url: String, table: String },
}

impl Place {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let (mut url, mut table) = (None, None);
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--endpoint-url" => url = Some(value.clone()),
                "--table" => table = Some(value.clone()),
                other => return Err(format!("{other} is not known")),
            }
        }
        match (url, table) {
            (None, None) => Ok(Self::Embedded),
            (Some(url), Some(table)) => Ok(Self::Other { url, table }),
            _ => Err("--endpoint-url and --table go together".into()),
        }
    }
}

/// A table to lock in, and how to reach it.
struct Here {
    url: String,
    table: String,
    region: String,
    credentials: Credentials,
    /// An item that nobody else locks.
    id: String,
}

impl Here {
    async fn prepare(place: Place) -> Outcome<Self> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (url, table) = match place {
            Place::Embedded => (start_engine().await?, "locks".to_owned()),
            Place::Other { url, table } => (url, table),
        };
        // Local servers take any region and credentials.
        let id = set("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "AKIDEXAMPLE".into());
        let secret = set("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "example".into());
        let mut credentials = Credentials::new(id, secret)?;
        if let Some(token) = set("AWS_SESSION_TOKEN") {
            credentials = credentials.session_token(token)?;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Ok(Self {
            url,
            table,
            region: set("AWS_REGION").unwrap_or_else(|| "us-east-1".into()),
            credentials,
            id: format!("quickstart-{}-{}", std::process::id(), now.as_nanos()),
        })
    }

    /// The lock as one machine has it.
    fn lock(&self, owner: &str) -> Outcome<Lock> {
        let client = Client::builder()
            .endpoint_url(&self.url)
            .region(&self.region)
            .credentials(self.credentials.clone())
            .build()?;
        Ok(client
            .lock(&self.table, ("id", self.id.as_str()))
            .owner(owner)
            .lease(LEASE)
            .timeout(Duration::from_secs(20))
            .retry_interval(Duration::from_millis(50))
            .delete_on_release())
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
