//! How connections are made: directly or through a proxy, in the clear or by TLS.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use ::http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use tower_service::Service;

use super::super::{Endpoint, InvalidEndpoint, Transport};
use super::proxy::{Proxies, Proxy};
#[cfg(feature = "__tls")]
use super::tls::{RootCertificates, Tls, TlsTo};
use super::{HttpTransport, reason};
use crate::runtime::Runtime;

/// What all connections of a client have in common, whomever they go to.
#[derive(Clone)]
pub(crate) struct Network {
    shared: Arc<Shared>,
    connect_timeout: Duration,
}

struct Shared {
    runtime: Arc<dyn Runtime>,
    #[cfg(feature = "__tls")]
    tls: Tls,
    proxies: Proxies,
}

/// The way to one endpoint. It shows as the endpoint's URL.
pub(super) struct Route {
    uri: Uri,
    #[cfg(feature = "__tls")]
    tls: Option<TlsTo>,
    proxy: Option<Proxy>,
}

/// A connection, of whichever kind. A type for all, so that HTTP is compiled once.
pub(super) type Stream = Box<dyn Duplex>;

/// Bytes in both directions.
pub(super) trait Duplex: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Duplex for T {}

impl Network {
    /// `connect_timeout` covers proxy, name, TCP and TLS.
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        connect_timeout: Duration,
        #[cfg(feature = "__tls")] roots: Option<RootCertificates>,
        proxies: Proxies,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                runtime,
                #[cfg(feature = "__tls")]
                tls: Tls::new(roots),
                proxies,
            }),
            connect_timeout,
        }
    }

    /// Nothing out of the ordinary.
    #[cfg(test)]
    pub(crate) fn plain(runtime: Arc<dyn Runtime>, connect_timeout: Duration) -> Self {
        Self::new(
            runtime,
            connect_timeout,
            #[cfg(feature = "__tls")]
            None,
            Proxies::default(),
        )
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.shared.runtime
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The same, with this long for connecting at most.
    #[cfg(any(
        feature = "credentials-container",
        feature = "credentials-imds",
        feature = "credentials-web-identity",
        feature = "credentials-profile"
    ))]
    pub(crate) fn within(&self, limit: Duration) -> Self {
        Self {
            shared: self.shared.clone(),
            connect_timeout: self.connect_timeout.min(limit),
        }
    }

    /// Connections to one endpoint. Connects to nothing yet.
    ///
    /// Errors where the endpoint needs TLS, and this build has none, or no roots for it.
    pub(crate) fn to(&self, endpoint: &Endpoint) -> Result<Arc<dyn Transport>, InvalidEndpoint> {
        let route = self.route(endpoint)?;
        Ok(Arc::new(HttpTransport::new(self.clone(), route)))
    }

    pub(super) fn route(&self, endpoint: &Endpoint) -> Result<Route, InvalidEndpoint> {
        let uri = endpoint.uri().clone();
        #[cfg(not(feature = "__tls"))]
        if endpoint.is_tls() {
            return Err(InvalidEndpoint::without_tls(endpoint));
        }
        Ok(Route {
            #[cfg(feature = "__tls")]
            tls: match endpoint.is_tls() {
                true => Some(self.shared.tls.to(endpoint)?),
                false => None,
            },
            proxy: self.shared.proxies.to(&uri),
            uri,
        })
    }

    /// A new connection. The error says why there is none.
    pub(super) async fn dial(&self, route: &Route) -> Result<Stream, String> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        // Shared out among the addresses of a name, so that one dead address is not the end.
        tcp.set_connect_timeout(Some(self.connect_timeout));
        let tcp = match &route.proxy {
            Some(proxy) => proxy.connect(tcp, &route.uri).await?,
            None => connect(tcp, &route.uri).await?,
        };
        #[cfg(feature = "__tls")]
        if let Some(tls) = &route.tls {
            return Ok(Box::new(tls.over(tcp).await.map_err(reason)?));
        }
        Ok(Box::new(tcp))
    }
}

/// Connects by a connector: TCP, or a tunnel over it.
pub(super) async fn connect<C>(mut connector: C, to: &Uri) -> Result<C::Response, String>
where
    C: Service<Uri>,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    poll_fn(|cx| connector.poll_ready(cx))
        .await
        .map_err(reason)?;
    connector.call(to.clone()).await.map_err(reason)
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.uri)?;
        match &self.proxy {
            Some(proxy) => write!(f, " {proxy}"),
            None => Ok(()),
        }
    }
}
