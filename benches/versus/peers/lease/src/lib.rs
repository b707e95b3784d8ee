//! dynamodb-lease, by its public API.

use std::rc::Rc;
use std::time::Duration;

use aws_sdk_dynamodb::error::DisplayErrorContext;
use common::{Outcome, Peer, RETRY_INTERVAL, Terms};
use dynamodb_lease::{Client, Lease};

#[derive(Clone)]
pub struct DynamodbLease {
    client: Client,
    timeout: Duration,
}

impl Peer for DynamodbLease {
    type Lease = Lease;

    async fn connect(terms: Rc<Terms>) -> Outcome<Self> {
        let client = Client::builder()
            .table_name(&terms.table)
            .lease_ttl_seconds(terms.lease.as_secs().try_into()?)
            .extend_every(terms.heartbeat)
            .acquire_cooldown(RETRY_INTERVAL)
            // Asks for the table and its time to live; there is no way around it.
            .build_and_check_db(versus_sdk::from_environment(terms.timeout)?)
            .await;
        Ok(Self {
            client: client.map_err(|error| DisplayErrorContext(&*error).to_string())?,
            timeout: terms.timeout,
        })
    }

    async fn acquire(&self, key: &str) -> Outcome<Lease> {
        let lease = self.client.acquire_timeout(key, self.timeout).await;
        Ok(lease.map_err(|error| DisplayErrorContext(&*error).to_string())?)
    }

    fn is_held(lease: &Lease) -> bool {
        lease.is_healthy()
    }

    async fn release(lease: Lease) -> Outcome<()> {
        let released = lease.release().await;
        Ok(released.map_err(|error| DisplayErrorContext(&*error).to_string())?)
    }
}
