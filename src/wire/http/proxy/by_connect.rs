//! Which proxy to take, and the tunnel through it.

use std::fmt;

use ::http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::super::network::connect;

/// Which `https` endpoints are reached through a proxy. By default none; `http` ones never are.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    matcher: Option<Matcher>,
}

/// The proxy on the way to one endpoint. It shows as `by` its URL, without user and password.
pub(in super::super) struct Proxy {
    intercept: Intercept,
}

impl Proxies {
    /// Reads `HTTPS_PROXY` and `NO_PROXY`, each in lower case as well; empty is unset.
    ///
    /// `NO_PROXY` lists hosts, domains (with all that end in them), addresses and networks, by
    /// commas; `*` is everything. Errors where the proxy is not `http://[user:password@]host:port`.
    /// [HTTP proxies in the AWS CLI](https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-proxy.html)
    pub(crate) fn from_environment(
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, &'static str> {
        let set = |name: &str| {
            let value = lookup(name).or_else(|| lookup(&name.to_ascii_lowercase()));
            value.filter(|value| !value.is_empty())
        };
        let Some(url) = set("HTTPS_PROXY") else {
            return Ok(Self::default());
        };
        check(&url)?;
        let no = set("NO_PROXY").unwrap_or_default();
        Ok(Self {
            matcher: Some(Matcher::builder().https(url).no(no).build()),
        })
    }

    pub(in super::super) fn to(&self, uri: &Uri) -> Option<Proxy> {
        let intercept = self.matcher.as_ref()?.intercept(uri)?;
        Some(Proxy { intercept })
    }
}

/// The matcher takes what it does not understand for no proxy at all.
fn check(url: &str) -> Result<(), &'static str> {
    const WANTED: &str = "HTTPS_PROXY is not http://host:port, with user:password@ perhaps";
    let understood = Matcher::builder().https(url).build();
    let proxy = understood.intercept(&Uri::from_static("https://host.invalid/"));
    match proxy.as_ref().map(Intercept::uri) {
        Some(uri) if uri.scheme_str() == Some("http") && uri.host().is_some() => Ok(()),
        Some(uri) if uri.scheme_str() == Some("https") => {
            Err("HTTPS_PROXY is a proxy that wants TLS itself, which is not supported")
        }
        _ => Err(WANTED),
    }
}

impl Proxy {
    /// A tunnel to the endpoint, by
    /// [CONNECT](https://www.rfc-editor.org/rfc/rfc9110#name-connect).
    pub(in super::super) async fn connect(
        &self,
        tcp: HttpConnector,
        endpoint: &Uri,
    ) -> Result<TokioIo<TcpStream>, String> {
        let mut tunnel = Tunnel::new(self.intercept.uri().clone(), tcp);
        if let Some(auth) = self.intercept.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        connect(tunnel, endpoint).await
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {}", self.intercept.uri())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, &'static str> {
        Proxies::from_environment(&|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn way(proxies: &Proxies, to: &str) -> Option<String> {
        let proxy = proxies.to(&to.parse().unwrap())?;
        Some(proxy.to_string())
    }

    #[test]
    fn tls_goes_through_the_proxy_and_plain_http_never_does() {
        for name in ["HTTPS_PROXY", "https_proxy"] {
            let got = proxies(&[(name, "http://proxy.example:3128")]).unwrap();
            assert_eq!(
                way(&got, "https://dynamodb.eu-west-1.amazonaws.com/").unwrap(),
                "by http://proxy.example:3128/"
            );
            assert_eq!(way(&got, "http://169.254.170.2/"), None);
        }
        let none = proxies(&[("HTTPS_PROXY", ""), ("HTTP_PROXY", "http://x:1")]).unwrap();
        assert_eq!(
            way(&none, "https://dynamodb.eu-west-1.amazonaws.com/"),
            None
        );
    }

    #[test]
    fn no_proxy_takes_hosts_domains_and_networks_out() {
        let no = "localhost, .example.com,10.0.0.0/8,::1";
        let got = proxies(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", no)]).unwrap();
        for direct in [
            "localhost",
            "a.example.com:8443",
            "example.com",
            "10.1.2.3",
            "[::1]:8000",
        ] {
            assert_eq!(way(&got, &format!("https://{direct}/")), None, "{direct}");
        }
        for by_proxy in ["example.org", "notexample.com", "11.0.0.1"] {
            assert!(way(&got, &format!("https://{by_proxy}/")).is_some());
        }
        let all = proxies(&[("https_proxy", "http://p:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(way(&all, "https://example.org/"), None);
    }

    #[test]
    fn user_and_password_are_sent_and_not_shown() {
        let got = proxies(&[("HTTPS_PROXY", "http://me:XYZZY@proxy:3128")]).unwrap();
        let proxy = got.to(&Uri::from_static("https://example.org/")).unwrap();
        assert_eq!(proxy.intercept.basic_auth().unwrap(), "Basic bWU6WFlaWlk=");
        assert_eq!(proxy.to_string(), "by http://proxy:3128/");
        assert!(!format!("{got:?}").contains("XYZZY"), "{got:?}");
    }

    #[test]
    fn what_is_no_proxy_is_an_error_that_shows_no_password() {
        for (url, problem) in [
            ("socks5://me:XYZZY@proxy:1080", "is not http://host:port"),
            ("http://", "is not http://host:port"),
            ("not a url", "is not http://host:port"),
            ("https://proxy:3128", "wants TLS itself"),
        ] {
            let error = proxies(&[("HTTPS_PROXY", url)]).unwrap_err();
            assert!(error.contains(problem), "{url}: {error}");
        }
    }
}
