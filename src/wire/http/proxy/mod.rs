//! Proxies. A feature, for what it costs; without it a connection that fails where a proxy is
//! wanted says that it went directly.

#[cfg(feature = "proxy")]
mod by_connect;
#[cfg(not(feature = "proxy"))]
mod directly;

#[cfg(feature = "proxy")]
pub(crate) use by_connect::Proxies;
#[cfg(feature = "proxy")]
pub(super) use by_connect::Proxy;
#[cfg(not(feature = "proxy"))]
pub(crate) use directly::Proxies;
#[cfg(not(feature = "proxy"))]
pub(super) use directly::Proxy;
