//! No proxy, and a word about it where one is wanted.

use std::fmt;

use ::http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::super::network::connect;

/// Whether a proxy is wanted that this build knows nothing of.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    wanted: bool,
}

/// A proxy that is passed by. It shows as a hint for who wonders why a connection fails.
pub(in super::super) struct Proxy;

impl Proxies {
    /// Looks whether `HTTPS_PROXY` is set, in lower case as well.
    pub(crate) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, &'static str> {
        let is_set = |name| lookup(name).is_some_and(|value| !value.is_empty());
        Ok(Self {
            wanted: is_set("HTTPS_PROXY") || is_set("https_proxy"),
        })
    }

    pub(in super::super) fn to(&self, uri: &Uri) -> Option<Proxy> {
        (self.wanted && uri.scheme_str() == Some("https")).then_some(Proxy)
    }
}

impl Proxy {
    pub(in super::super) async fn connect(
        &self,
        tcp: HttpConnector,
        endpoint: &Uri,
    ) -> Result<TokioIo<TcpStream>, String> {
        connect(tcp, endpoint).await
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("directly, for this program is built without the feature `proxy`")
    }
}
