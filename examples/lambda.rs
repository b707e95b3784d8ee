//! A Lambda function that lets one invocation at a time ship an order.
//!
//! The event names the order: `{"order": "order-7"}`. It is locked and read, packed, and written
//! back with the release; a second invocation for the same order waits, and finds it shipped.
//! Nothing goes beyond the invocation's deadline, and nothing is held or under way when the
//! answer goes out, since the environment may be frozen from then on.
//!
//! `dynolock::lambda` says how to build it and what to set. `TABLE` names the table; the rest of
//! the configuration is Lambda's own. `tests/lambda/` runs it on loopback.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own environment and time"
)]

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use dynolock::{Client, Error, Lease, Update};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

/// So long does an order stay locked whose invocation was killed, or until its deadline.
const LEASE: Duration = Duration::from_secs(10);
/// So long does an invocation wait for another one's order. It is paid for.
const PATIENCE: Duration = Duration::from_secs(3);
/// So much of the invocation's time is kept for its answer: where DynamoDB does not answer, locking
/// and giving back take until their deadline.
const ANSWER: Duration = Duration::from_millis(300);

#[derive(Deserialize)]
struct Ship {
    order: String,
}

#[derive(Serialize)]
struct Shipped {
    order: String,
    parcels: u64,
    /// Larger with each invocation that had the order: for systems that can refuse a smaller one.
    token: u64,
}

/// Why an order was not shipped.
#[derive(Debug)]
struct NotShipped(Error);

// A Lambda has little more than one CPU to run it.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            // By returning, it would wait for a name that is still being looked up.
            std::process::exit(1)
        }
    }
}

/// Until `run`, the function initializes: what fails here fails before an event is taken.
async fn serve() -> Result<(), lambda_runtime::Error> {
    let in_lambda = env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
    if !in_lambda {
        return Err("AWS_LAMBDA_RUNTIME_API is not set: this runs in Lambda".into());
    }
    let table = env::var("TABLE").map_err(|_| "TABLE is not set: it names the table of orders")?;
    let client = Client::from_env()?;
    client.connect().await?;
    let handler = |event: LambdaEvent<Ship>| invoked(&client, &table, event);
    lambda_runtime::run(service_fn(handler)).await
}

async fn invoked(
    client: &Client,
    table: &str,
    event: LambdaEvent<Ship>,
) -> Result<Shipped, NotShipped> {
    let LambdaEvent { payload, context } = event;
    let lock = client
        .lock(table, ("id", payload.order.as_str()))
        .existing_only()
        .owner(&context.request_id)
        .lease(LEASE)
        .timeout(PATIENCE)
        .deadline(context.deadline() - ANSWER);
    let shipped = async {
        let lease = lock.acquire().await?;
        let token = lease.fencing_token();
        let parcels = ship(lease).await?;
        Ok((parcels, token))
    };
    let shipped = shipped.await;
    // Whatever came of it: a release still under way would be frozen with the environment.
    client.drain().await;
    let (parcels, token) = shipped.map_err(NotShipped)?;
    Ok(Shipped {
        order: payload.order,
        parcels,
        token,
    })
}

async fn ship(lease: Lease) -> Result<u64, Error> {
    let item = lease.item();
    let parcels = item.get_as::<Option<u64>>("parcels")?.unwrap_or(0);
    if item.get_as::<Option<&str>>("state")? == Some("shipped") {
        lease.release().await?;
        return Ok(parcels);
    }
    tokio::select! {
        // After a thaw it is known at once, by the clock; then nothing else must happen.
        biased;
        lost = lease.lost() => return Err(lost.into()),
        packed = pack(&lease) => packed?,
    }
    let parcels = parcels + 1;
    let update = Update::new()
        .set("state", "shipped")
        .set("parcels", parcels);
    lease.commit(update).await?;
    Ok(parcels)
}

/// The work. Its steps are in the record, so that whoever goes on after a crash sees them.
async fn pack(lease: &Lease) -> Result<(), Error> {
    lease.update(Update::new().set("state", "packing")).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

/// What the caller of the function sees.
impl From<NotShipped> for Diagnostic {
    fn from(NotShipped(error): NotShipped) -> Self {
        let kind = match &error {
            error if error.is_deadline() => "TooLittleTime",
            error if error.is_held() => "HeldByAnother",
            error if error.is_lost() => "LeaseLost",
            error if error.is_item_not_found() => "NoSuchOrder",
            _ => "NotShipped",
        };
        Self {
            error_type: kind.into(),
            error_message: error.to_string(),
        }
    }
}
