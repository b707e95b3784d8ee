//! How connections are made.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Endpoint, InvalidEndpoint, Transport};
use super::HttpTransport;
use crate::runtime::Runtime;

/// What all connections of a client have in common, whomever they go to.
#[derive(Clone)]
pub(crate) struct Network {
    runtime: Arc<dyn Runtime>,
    connect_timeout: Duration,
}

impl Network {
    /// `connect_timeout` covers name, TCP and TLS.
    pub(crate) fn new(runtime: Arc<dyn Runtime>, connect_timeout: Duration) -> Self {
        Self {
            runtime,
            connect_timeout,
        }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// Connections to one endpoint. Connects to nothing yet.
    ///
    /// Errors where the endpoint needs TLS, and this build has none.
    pub(crate) fn to(&self, endpoint: &Endpoint) -> Result<Arc<dyn Transport>, InvalidEndpoint> {
        let transport = HttpTransport::new(endpoint, self.connect_timeout, self.runtime.clone())?;
        Ok(Arc::new(transport))
    }
}
