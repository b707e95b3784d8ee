//! A server that gives credentials: how it is asked, and what of its answers may be shown.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{HOST, HeaderValue};
use ::http::{Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;

use super::CredentialsError;
use crate::runtime::{First, Runtime, race};
use crate::wire::{Endpoint, Network, SendError, Transport, printable};

/// How often a server is asked that does not answer, or says that it cannot now.
const ATTEMPTS: u32 = 3;

/// What a server says is shown up to here, in bytes.
const LONGEST_SHOWN: usize = 512;

/// One server, and the patience that is had with it. `Debug` shows its name alone.
#[derive(Clone)]
pub(crate) struct Remote {
    /// The source of credentials that errors name.
    source: &'static str,
    host: HeaderValue,
    transport: Arc<dyn Transport>,
    pub(super) runtime: Arc<dyn Runtime>,
    /// For an attempt, connecting included.
    pub(super) limit: Duration,
    /// Between the first two attempts; more before each later one.
    pub(super) pause: Duration,
    /// Whether it is no surprise that nobody is there; it is then not looked for again.
    pub(super) only_if_present: bool,
}

impl Remote {
    /// Connects to nothing yet. Errors where the endpoint needs TLS, and this build has none.
    pub(crate) fn new(
        source: &'static str,
        endpoint: &Endpoint,
        network: &Network,
        limit: Duration,
    ) -> Result<Self, String> {
        // Where nobody answers at all, that is to be known before the attempt is over.
        let network = network.within(limit.mul_f64(0.8));
        let transport = network.to(endpoint).map_err(|error| error.to_string())?;
        let host = HeaderValue::from_str(endpoint.host());
        Ok(Self {
            source,
            host: host.map_err(|error| error.to_string())?,
            transport,
            runtime: network.runtime().clone(),
            limit,
            pause: Duration::from_millis(100),
            only_if_present: false,
        })
    }

    /// The same server on behalf of another source.
    #[cfg(any(feature = "credentials-web-identity", feature = "credentials-profile"))]
    pub(crate) fn on_behalf_of(&self, source: &'static str) -> Self {
        Self {
            source,
            ..self.clone()
        }
    }

    /// A request without a body. More headers can follow.
    pub(crate) fn request(&self, method: Method, uri: Uri) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    /// Sends what `request` makes, anew for each attempt, until the answer is not `passing`, and
    /// gives the last answer or what became of the last attempt.
    pub(crate) async fn ask(
        &self,
        request: &(dyn Fn() -> Result<Request<Bytes>, String> + Send + Sync),
        passing: fn(&Response<Bytes>) -> bool,
    ) -> Result<Response<Bytes>, SendError> {
        let mut attempt = 1;
        loop {
            let request = request().map_err(SendError::NotSent)?;
            let answer = match race(self.transport.send(request), self.after(self.limit)).await {
                First::A(answer) => answer,
                First::B(()) => Err(self.nothing_came()),
            };
            let is_final = match &answer {
                Ok(answer) => !passing(answer),
                // Nobody is there: most machines are no instances.
                Err(SendError::NotSent(_)) => self.only_if_present,
                Err(SendError::NoAnswer(_)) => false,
            };
            if is_final || attempt == ATTEMPTS {
                return answer;
            }
            // A fleet that starts together does not ask together.
            let jitter = match self.runtime.random() {
                Ok([bits, ..]) => f64::from(bits) / 256.0,
                Err(_) => 0.0,
            };
            self.after(self.pause.mul_f64(f64::from(attempt) * (0.5 + jitter)))
                .await;
            attempt += 1;
        }
    }

    async fn after(&self, duration: Duration) {
        let now = self.runtime.now().mono;
        self.runtime.sleep_until(now.plus(duration)).await;
    }

    fn nothing_came(&self) -> SendError {
        let limit = self.limit.as_millis().to_string();
        SendError::NoAnswer(["nothing whole within ", &limit, " ms"].concat())
    }

    /// An answer that has no credentials in it; `said` is what else it says, fit to be shown.
    /// One that is not `passing` is broken.
    pub(crate) fn refused(
        &self,
        answer: &Response<Bytes>,
        passing: fn(&Response<Bytes>) -> bool,
        said: &str,
    ) -> CredentialsError {
        let status = answer.status();
        let redirect = match status.is_redirection() {
            true => ", a redirect, which is never followed",
            false => "",
        };
        let problem = ["answered with status ", status.as_str(), redirect, said].concat();
        if passing(answer) {
            self.unavailable(&problem)
        } else {
            self.broken(&problem)
        }
    }

    /// The server's part in the matter, led in by its name.
    pub(crate) fn broken(&self, problem: &str) -> CredentialsError {
        CredentialsError::broken(self.source, self.about(problem))
    }

    /// The same, and it may be better later.
    pub(crate) fn unavailable(&self, problem: &str) -> CredentialsError {
        CredentialsError::unavailable(self.source, self.about(problem))
    }

    /// `problem` behind the name of the server.
    fn about(&self, problem: &str) -> String {
        [self.host.to_str().unwrap_or_default(), ": ", problem].concat()
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.to_str().unwrap_or_default())
    }
}

/// The server is there, and cannot answer now.
pub(crate) fn is_passing(answer: &Response<Bytes>) -> bool {
    answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS
}

/// Whether credentials may come in the clear: the host is this machine, or a service that AWS has
/// next to it. Names but `localhost` are nobody's to vouch for.
#[cfg(any(feature = "credentials-container", feature = "credentials-imds", test))]
pub(crate) fn is_safe(endpoint: &Endpoint) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// EKS Pod Identity and instance metadata.
    const UNIQUE_LOCAL: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    ];
    let host = endpoint.uri().host().unwrap_or_default();
    if endpoint.is_tls() || host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback() || address.is_link_local();
    }
    match host.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
        Ok(address) => address.is_loopback() || UNIQUE_LOCAL.contains(&address),
        Err(_) => false,
    }
}

/// The text without the line break that editors leave at the end of a file.
#[cfg(any(
    feature = "credentials-container",
    feature = "credentials-web-identity"
))]
pub(crate) fn without_line_break(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
}

/// What may be shown of what a server says: it ends where a part of `secret` begins, is printable,
/// and is not too long.
pub(crate) fn presentable(text: &str, secret: &str) -> String {
    /// Shorter parts are words, not secrets.
    const SHORTEST: usize = 4;
    let mut text = text;
    for part in secret.split([' ', '.']) {
        if part.len() >= SHORTEST
            && let Some((before, _)) = text.split_once(part)
        {
            text = before;
        }
    }
    printable(text, LONGEST_SHOWN).into()
}

#[cfg(test)]
#[allow(dead_code, reason = "each source needs a part of it")]
pub(super) mod scripted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_clear_only_to_loopback_and_link_local() {
        for (url, safe) in [
            ("https://example.com", true),
            ("https://10.0.0.1:8443", true),
            ("http://127.0.0.1", true),
            ("http://127.200.0.7:1338", true),
            ("http://localhost:80", true),
            ("http://LOCALHOST", true),
            ("http://[::1]:8080", true),
            ("http://169.254.170.2", true),
            ("http://169.254.170.23", true),
            ("http://169.254.169.254", true),
            ("http://[fd00:ec2::23]", true),
            ("http://[fd00:ec2::254]", true),
            ("http://[fd00:ec2::24]", false),
            ("http://[::ffff:127.0.0.1]", false),
            ("http://[::]", false),
            ("http://0.0.0.0", false),
            ("http://10.0.0.1", false),
            ("http://192.168.1.1", false),
            ("http://169.255.0.1", false),
            ("http://128.0.0.1", false),
            ("http://127.1", false),
            ("http://2130706433", false),
            ("http://0177.0.0.1", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false),
            ("http://example.com", false),
        ] {
            assert_eq!(is_safe(&Endpoint::parse(url).unwrap()), safe, "{url}");
        }
    }

    #[test]
    fn what_is_shown_ends_before_a_secret() {
        for (text, secret, shown) in [
            ("not allowed", "", "not allowed"),
            ("a token: t0ken-1 is bad", "Basic t0ken-1", "a token: "),
            ("\"head.body.sig\" is bad", "head.body.sig", "\""),
            ("the body alone", "head.body.sig", "the "),
            ("is short", "i s h", "is short"),
            ("two\r\nlines\u{1b}[0m", "", "two  lines [0m"),
        ] {
            assert_eq!(presentable(text, secret), shown);
        }
        let long = "é".repeat(1000);
        assert_eq!(presentable(&long, "").len(), LONGEST_SHOWN);
        // A secret that lies across the limit is not half shown.
        let across = ["x".repeat(LONGEST_SHOWN - 3), "S3CRET".into()].concat();
        assert!(!presentable(&across, "S3CRET").contains('S'));
    }
}
