//! dynolock, by its public API.

use std::rc::Rc;

use common::{Outcome, Peer, RETRY_INTERVAL, Terms};
use dynolock::{Client, Lease};

#[derive(Clone)]
pub struct Dynolock {
    client: Client,
    terms: Rc<Terms>,
}

impl Peer for Dynolock {
    type Lease = Lease;

    async fn connect(terms: Rc<Terms>) -> Outcome<Self> {
        let client = Client::from_env()?;
        Ok(Self { client, terms })
    }

    async fn get_ready(&self) -> Outcome<()> {
        Ok(self.client.connect().await?)
    }

    async fn acquire(&self, key: &str) -> Outcome<Lease> {
        let lock = self
            .client
            .lock(self.terms.table.as_str(), ("key", key))
            .lease(self.terms.lease)
            .heartbeat(self.terms.heartbeat)
            .timeout(self.terms.timeout)
            .retry_interval(RETRY_INTERVAL)
            // The others delete as well. What has other attributes is kept.
            .delete_on_release();
        Ok(lock.acquire().await?)
    }

    fn is_held(lease: &Lease) -> bool {
        lease.is_held()
    }

    async fn release(lease: Lease) -> Outcome<()> {
        Ok(lease.release().await?)
    }
}
