//! Servers with certificates of all kinds, by an authority made in the test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ::http::Request;
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
#[cfg(feature = "aws-lc-rs")]
use tokio_rustls::rustls::crypto::aws_lc_rs as provider;
#[cfg(not(feature = "aws-lc-rs"))]
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
#[cfg(feature = "tls12")]
use tokio_rustls::rustls::version::TLS12;
pub(crate) use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::super::super::{Endpoint, Progress, SendError, Transport};
use super::super::Proxies;
use super::super::{HttpTransport, Network};
use super::RootCertificates;
use crate::runtime::Tokio;

const PATIENCE: Duration = Duration::from_secs(20);

/// Who signs certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of one name could not be told apart.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a host, good until the end of a year.
    fn certificate(&self, host: &str, until: i32) -> Certified {
        let (mut params, key) = params(host);
        params.not_after = date_time_ymd(until, 12, 31);
        Certified {
            certificate: params.signed_by(&key, &self.issuer).unwrap().der().clone(),
            key,
        }
    }

    pub(crate) fn good(&self) -> Certified {
        self.certificate("127.0.0.1", 3000)
    }
}

fn params(host: &str) -> (CertificateParams, KeyPair) {
    let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    (params, KeyPair::generate().unwrap())
}

pub(crate) struct Certified {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A server that does `script` on its only connection; gives its address.
pub(crate) fn serve(
    certified: Certified,
    versions: &[&'static SupportedProtocolVersion],
    script: impl FnOnce(Tls) + Send + 'static,
) -> String {
    let key = PrivateKeyDer::try_from(certified.key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        script(StreamOwned::new(tls, tcp));
    });
    address
}

/// Answers one request with the body `done`.
pub(crate) fn answer(mut stream: Tls) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            // The client has refused the certificate.
            _ => return,
        }
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        .unwrap();
    // Until the client hangs up.
    let _ = stream.read(&mut [0]);
}

fn network(roots: Option<&str>) -> Network {
    let roots = roots.map(|pem| RootCertificates::from_pem(pem.as_bytes()).unwrap());
    Network::new(Arc::new(Tokio::new()), PATIENCE, roots, Proxies::default())
}

fn transport(address: &str, roots: Option<&str>) -> Arc<dyn Transport> {
    let network = network(roots);
    let url = ["https://", address].concat();
    network.to(&Endpoint::parse(&url).unwrap()).unwrap()
}

async fn ask(transport: &dyn Transport) -> Result<Bytes, SendError> {
    let request = Request::get("/").header("host", "test");
    let request = request.body(Bytes::new()).unwrap();
    Ok(transport.send(request).await?.into_body())
}

async fn refused(address: &str, roots: Option<&str>) -> String {
    match ask(&*transport(address, roots)).await {
        Err(SendError::NotSent(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_of_our_own_vouch_for_a_server() {
    let versions = [
        &TLS13,
        #[cfg(feature = "tls12")]
        &TLS12,
    ];
    for version in versions {
        let authority = Authority::new();
        let address = serve(authority.good(), &[version], answer);
        let transport = transport(&address, Some(&authority.pem));
        assert_eq!(ask(&*transport).await.unwrap(), "done");
    }
}

/// An attempt may have less time than a handshake: the next one finds the connection there.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_outlasts_an_attempt_serves_the_next() {
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let authority = Authority::new();
    let address = serve(authority.good(), &[&TLS13], move |stream| {
        may_go_on.recv_timeout(PATIENCE).unwrap();
        answer(stream);
    });
    let network = network(Some(&authority.pem));
    let endpoint = Endpoint::parse(&["https://", &address].concat()).unwrap();
    let route = network.route(&endpoint).unwrap();
    let transport = HttpTransport::new(network, route);
    let progress = Progress::default();
    let mut request = Request::get("/")
        .header("host", "test")
        .body(Bytes::new())
        .unwrap();
    request.extensions_mut().insert(progress.clone());
    {
        let mut first = transport.send(request);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(progress.is_connecting(), "nothing is sent yet");
    }
    go_on.send(()).unwrap();
    let now = || transport.shared.runtime().now().mono;
    let begin = now();
    while transport.shared.idle().is_empty() {
        assert!(now().since(begin) < PATIENCE, "the connection is lost");
        tokio::task::yield_now().await;
    }
    // The server takes one connection only.
    assert_eq!(ask(&transport).await.unwrap(), "done");
}

/// The extension of the client's first message that says which versions it speaks
/// ([RFC 8446](https://www.rfc-editor.org/rfc/rfc8446#section-4.2.1)).
#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_offered_only_with_its_feature() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hello = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).unwrap();
        hello
    });
    refused(&address, Some(&Authority::new().pem)).await;
    let hello = hello.join().unwrap();
    let offers = |versions: &[u8]| hello.windows(versions.len()).any(|it| it == versions);
    assert_eq!(
        offers(&[0, 43, 0, 5, 4, 3, 4, 3, 3]),
        cfg!(feature = "tls12")
    );
    assert_eq!(
        offers(&[0, 43, 0, 3, 2, 3, 4]),
        cfg!(not(feature = "tls12"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_of_several_roots_may_vouch() {
    let (one, other) = (Authority::new(), Authority::new());
    let both = ["remarks are passed over\n", &one.pem, "\n", &other.pem].concat();
    for authority in [&one, &other] {
        let address = serve(authority.good(), &[&TLS13], answer);
        let transport = transport(&address, Some(&both));
        assert_eq!(ask(&*transport).await.unwrap(), "done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_believed_is_refused_with_the_reason() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (params, key) = params("127.0.0.1");
    let self_signed = Certified {
        certificate: params.self_signed(&key).unwrap().der().clone(),
        key,
    };
    for (certified, reason) in [
        (authority.certificate("127.0.0.1", 2020), "expired"),
        (
            authority.certificate("dynamodb.example", 3000),
            "not valid for name",
        ),
        (stranger.good(), "UnknownIssuer"),
        (self_signed, "UnknownIssuer"),
    ] {
        let address = serve(certified, &[&TLS13], answer);
        let text = refused(&address, Some(&authority.pem)).await;
        assert!(text.contains(&["https://", &address].concat()), "{text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[cfg(feature = "webpki-roots")]
#[tokio::test(flavor = "multi_thread")]
async fn roots_of_our_own_take_the_place_of_the_others_and_only_where_they_are_given() {
    let authority = Authority::new();
    let address = serve(authority.good(), &[&TLS13], answer);
    let text = refused(&address, None).await;
    assert!(text.contains("UnknownIssuer"), "{text}");
}

#[cfg(not(any(feature = "webpki-roots", feature = "native-roots")))]
#[test]
fn without_any_roots_the_error_says_what_to_do() {
    let network = Network::plain(Arc::new(Tokio::new()), PATIENCE);
    let endpoint = Endpoint::parse("https://127.0.0.1:1").unwrap();
    let error = network.to(&endpoint).err().unwrap().to_string();
    assert!(error.contains("AWS_CA_BUNDLE"), "{error}");
}

#[test]
fn what_is_no_root_is_named() {
    for (pem, problem) in [
        ("", "there is no certificate in it"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "there is no certificate",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 1 cannot be used",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "certificate 1",
        ),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "certificate 1"),
    ] {
        let error = RootCertificates::from_pem(pem.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(problem), "{pem:?}: {error}");
    }
}

#[cfg(not(feature = "proxy"))]
#[tokio::test]
async fn without_the_feature_a_proxy_that_is_wanted_is_spoken_of() {
    let lookup = |name: &str| (name == "https_proxy").then(|| "http://proxy:1".to_owned());
    let network = Network::new(
        Arc::new(Tokio::new()),
        PATIENCE,
        Some(RootCertificates::from_pem(Authority::new().pem.as_bytes()).unwrap()),
        Proxies::from_environment(&lookup).unwrap(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let endpoint = Endpoint::parse(&["https://", &address].concat()).unwrap();
    let Err(SendError::NotSent(text)) = ask(&*network.to(&endpoint).unwrap()).await else {
        panic!("sent");
    };
    assert!(
        text.contains("directly, for this program is built without"),
        "{text}"
    );
}

#[cfg(feature = "proxy")]
mod by_proxy {
    use super::*;

    /// A proxy that answers the request for a tunnel with `answer`, and where that is a success
    /// carries bytes both ways. It hands the request to the test.
    fn proxy(answer: &'static str, to: String) -> (String, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            tell.send(String::from_utf8(head).unwrap()).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
            if answer.contains(" 200 ") {
                let server = TcpStream::connect(to).unwrap();
                let (mut from_client, mut to_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                let up = thread::spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_server);
                });
                let _ = std::io::copy(&mut &server, &mut client);
                let _ = client.shutdown(std::net::Shutdown::Both);
                up.join().unwrap();
            }
        });
        (address, told)
    }

    fn through(proxy: &str, address: &str, roots: &str) -> Arc<dyn Transport> {
        let url = ["http://me:XYZZY@", proxy].concat();
        let lookup = move |name: &str| (name == "HTTPS_PROXY").then(|| url.clone());
        let network = Network::new(
            Arc::new(Tokio::new()),
            PATIENCE,
            Some(RootCertificates::from_pem(roots.as_bytes()).unwrap()),
            Proxies::from_environment(&lookup).unwrap(),
        );
        let url = ["https://", address].concat();
        network.to(&Endpoint::parse(&url).unwrap()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn tls_goes_through_a_tunnel() {
        let authority = Authority::new();
        let address = serve(authority.good(), &[&TLS13], answer);
        let (proxy, told) = proxy("HTTP/1.1 200 OK\r\n\r\n", address.clone());
        let transport = through(&proxy, &address, &authority.pem);
        assert_eq!(ask(&*transport).await.unwrap(), "done");
        let request = told.recv_timeout(PATIENCE).unwrap();
        assert!(
            request.starts_with(&format!("CONNECT {address} HTTP/1.1\r\n")),
            "{request}"
        );
        let request = request.to_ascii_lowercase();
        assert!(
            request.contains("\r\nproxy-authorization: basic bwu6wflawlk="),
            "{request}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_proxy_that_refuses_is_named_and_its_password_not_shown() {
        for (answer, reason) in [
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "authorization required",
            ),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "unsuccessful"),
            ("rubbish rubbish rubbish\r\n\r\n", "unsuccessful"),
            ("", "end of file"),
        ] {
            let authority = Authority::new();
            let (proxy, _told) = proxy(answer, String::new());
            let transport = through(&proxy, "127.0.0.1:1", &authority.pem);
            let Err(SendError::NotSent(text)) = ask(&*transport).await else {
                panic!("{answer}");
            };
            assert!(text.contains(reason), "{answer}: {text}");
            assert!(text.contains(&["by http://", &proxy].concat()), "{text}");
            assert!(!text.contains("XYZZY"), "{text}");
        }
    }
}
