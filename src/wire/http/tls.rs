//! Encrypted connections, and whom to believe.

use std::sync::{Arc, OnceLock};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::super::{Endpoint, InvalidEndpoint};
use super::cryptography::cryptography;

/// TLS for all connections of a client. Set up when the first endpoint asks for it.
pub(super) struct Tls {
    /// In place of those that this program is built with.
    roots: Option<RootCertificates>,
    config: OnceLock<Arc<ClientConfig>>,
}

/// TLS to one host.
pub(super) struct TlsTo {
    host: ServerName<'static>,
    connector: TlsConnector,
}

impl Tls {
    pub(super) fn new(roots: Option<RootCertificates>) -> Self {
        Self {
            roots,
            config: OnceLock::new(),
        }
    }

    /// Errors where nobody can be believed: no root certificates.
    pub(super) fn to(&self, endpoint: &Endpoint) -> Result<TlsTo, InvalidEndpoint> {
        let host = endpoint.uri().host().unwrap_or_default();
        // An IPv6 address comes in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = ServerName::try_from(host.to_owned()).map_err(|_| {
            InvalidEndpoint::unverifiable(endpoint, "has no host that a certificate can name")
        })?;
        let config = match self.config.get() {
            Some(config) => config.clone(),
            None => {
                let config = self
                    .set_up()
                    .map_err(|problem| InvalidEndpoint::unverifiable(endpoint, problem))?;
                self.config.get_or_init(|| Arc::new(config)).clone()
            }
        };
        Ok(TlsTo {
            host,
            connector: config.into(),
        })
    }

    fn set_up(&self) -> Result<ClientConfig, &'static str> {
        let roots = match &self.roots {
            Some(roots) => roots.store.clone(),
            None => built_in_roots()?,
        };
        // Named here: what another crate has made the default of the process does not matter.
        let config = ClientConfig::builder_with_provider(Arc::new(cryptography()))
            .with_safe_default_protocol_versions()
            .map_err(|_| "needs a version of TLS that this program is built without")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }
}

impl TlsTo {
    pub(super) async fn over(
        &self,
        tcp: TokioIo<TcpStream>,
    ) -> std::io::Result<TokioIo<TlsStream<TcpStream>>> {
        let host = self.host.clone();
        let stream = self.connector.connect(host, tcp.into_inner()).await?;
        Ok(TokioIo::new(stream))
    }
}

/// Whom to believe where nothing else is said.
#[cfg(any(feature = "webpki-roots", feature = "native-roots"))]
fn built_in_roots() -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    #[cfg(feature = "webpki-roots")]
    roots
        .roots
        .extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
    #[cfg(feature = "native-roots")]
    {
        // One that cannot be read is missing, and then a server is refused; no other way round.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
    }
    if roots.is_empty() {
        return Err(
            "needs TLS, and the operating system has no root certificates; \
            name some by AWS_CA_BUNDLE",
        );
    }
    Ok(roots)
}

#[cfg(not(any(feature = "webpki-roots", feature = "native-roots")))]
fn built_in_roots() -> Result<RootCertStore, &'static str> {
    Err(
        "needs TLS, and this program is built without root certificates: name some by \
        AWS_CA_BUNDLE, or add the feature `webpki-roots` or `native-roots` of dynolock",
    )
}

/// Root certificates: who may vouch for a server.
///
/// ```
/// # fn run(pem: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// use dynolock::{Client, RootCertificates};
///
/// let client = Client::builder()
///     .environment()
///     .root_certificates(RootCertificates::from_pem(pem)?)
///     .build()?;
/// # Ok(()) }
/// # let error = run(b"not PEM").unwrap_err();
/// # assert_eq!(error.to_string(), "there is no certificate in it");
/// ```
#[derive(Clone, Debug)]
pub struct RootCertificates {
    store: RootCertStore,
}

impl RootCertificates {
    /// Reads every certificate in a PEM text ([RFC 7468](https://www.rfc-editor.org/rfc/rfc7468)),
    /// as `AWS_CA_BUNDLE` names one. Whatever else is in it is passed over, and so is one among
    /// others that cannot be a root: bundles of operating systems have such.
    ///
    /// Errors where there is no certificate in it, where the text is malformed, and where none of
    /// the certificates can be a root.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidRoots> {
        let mut store = RootCertStore::empty();
        let mut problem = InvalidRoots("there is no certificate in it".into());
        for (nth, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|error| InvalidRoots::broken(nth, &error))?;
            if let Err(error) = store.add(certificate) {
                problem = InvalidRoots::broken(nth, &error);
            }
        }
        if store.is_empty() {
            return Err(problem);
        }
        Ok(Self { store })
    }
}

/// A text that is no collection of root certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRoots(Box<str>);

impl InvalidRoots {
    fn broken(nth: usize, error: &dyn std::fmt::Display) -> Self {
        let nth = (nth + 1).to_string();
        let why = error.to_string();
        Self(
            ["certificate ", &nth, " cannot be used: ", &why]
                .concat()
                .into(),
        )
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
pub(crate) mod tests;
