//! Makes a client out of what the program says and what the environment says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;

use crate::client::{Client, Parts};
use crate::credentials::{
    Cached, Credentials, CredentialsError, CredentialsSource, FixedCredentials, Provided, Setting,
    default_source,
};
use crate::error::{Error, OptionName};
use crate::protocol::{Backoff, RetryPolicy};
use crate::runtime::{Runtime, Tokio};
#[cfg(feature = "__tls")]
use crate::wire::RootCertificates;
use crate::wire::{Endpoint, Network, Proxies, Service, Transport, Variant, check_region};

/// Configures a [`Client`](crate::Client).
///
/// ```
/// use std::time::Duration;
/// use dynolock::{Client, credentials::Credentials};
///
/// let client = Client::builder()
///     .region("eu-west-1")
///     .endpoint_url("http://127.0.0.1:8000")
///     .credentials(Credentials::new("AKIDEXAMPLE", "secret")?)
///     .attempt_timeout(Duration::from_millis(500))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With everything that can be said about the way to DynamoDB:
///
/// ```
/// # #[cfg(feature = "__tls")] {
/// # use std::time::Duration;
/// # use dynolock::{Client, credentials::{Credentials, FixedCredentials}};
/// let keys = Credentials::new("AKIDEXAMPLE", "secret")?;
/// let client = Client::builder()
///     .region("eu-west-1")
///     .fips_endpoint(true) // dynamodb-fips.eu-west-1.api.aws
///     .dual_stack_endpoint(true)
///     .credentials_source(FixedCredentials::new(keys))
///     .connect_timeout(Duration::from_millis(800))
///     .max_attempts(5)
///     .backoff(Duration::from_millis(50), Duration::from_secs(2))
///     .build()?;
/// assert!(format!("{client:?}").contains("https://dynamodb-fips.eu-west-1.api.aws/"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct ClientBuilder {
    environment: Option<Lookup>,
    profile: Option<String>,
    region: Option<String>,
    endpoint_url: Option<String>,
    fips: Option<bool>,
    dual_stack: Option<bool>,
    credentials: Option<Given>,
    #[cfg(feature = "__tls")]
    roots: Option<RootCertificates>,
    attempt_timeout: Duration,
    connect_timeout: Duration,
    max_attempts: Option<u32>,
    backoff: Backoff,
}

/// Reads an environment variable.
type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Credentials that the program brings along.
enum Given {
    Source(Arc<dyn CredentialsSource>),
    /// Makes a source that keeps what a provider gives.
    Provider(Box<MakeSource>),
}

type MakeSource = dyn FnOnce(Arc<dyn Runtime>) -> Arc<dyn CredentialsSource> + Send + Sync;

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            environment: None,
            profile: None,
            region: None,
            endpoint_url: None,
            fips: None,
            dual_stack: None,
            credentials: None,
            #[cfg(feature = "__tls")]
            roots: None,
            attempt_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            max_attempts: None,
            backoff: Backoff {
                base: Duration::from_millis(25),
                cap: Duration::from_secs(1),
            },
        }
    }

    /// Whatever is not said to this builder is read from the environment, as every AWS tool does.
    ///
    /// - Region: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's `region`.
    /// - Endpoint: `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL`, the profile's `endpoint_url`
    ///   (none of them where `AWS_IGNORE_CONFIGURED_ENDPOINT_URLS` is true), else the region's,
    ///   in the variant of `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT`.
    /// - Credentials, by the first source that is set up: environment variables, web identity,
    ///   profile, container, instance metadata; each but the first behind a feature.
    /// - Root certificates: `AWS_CA_BUNDLE`. Proxy: `HTTPS_PROXY` and `NO_PROXY` (feature
    ///   `proxy`). Attempts: `AWS_MAX_ATTEMPTS`.
    ///
    /// An empty variable is one that is not set. The variables are read once, by
    /// [`build`](Self::build), which sends nothing; it reads files only for `AWS_CA_BUNDLE`, with
    /// the feature `credentials-profile` the profile, and with `native-roots` the certificates of
    /// the operating system (`SSL_CERT_FILE` and `SSL_CERT_DIR` say where else they are).
    /// [AWS reference](https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html)
    ///
    /// ```no_run
    /// # fn run() -> Result<(), dynolock::Error> {
    /// // The environment, but for the endpoint.
    /// let client = dynolock::Client::builder()
    ///     .environment()
    ///     .endpoint_url("http://127.0.0.1:8000")
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn environment(self) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the place")]
        self.environment_by(|name| {
            // What is not Unicode becomes something that no value can be, in place of nothing.
            let value = std::env::var_os(name)?;
            Some(value.to_string_lossy().into_owned())
        })
    }

    fn environment_by(
        mut self,
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.environment = Some(Arc::new(lookup));
        self
    }

    /// The profile in the shared config and credentials files, in place of `AWS_PROFILE`, and
    /// before access keys in environment variables. Needs [`environment`](Self::environment).
    ///
    /// ```no_run
    /// # fn run() -> Result<(), dynolock::Error> {
    /// let client = dynolock::Client::builder().environment().profile("work").build()?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "credentials-profile")]
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// The region, such as `eu-west-1`. It is part of the signature, so it is needed with an
    /// endpoint URL too.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The endpoint, such as `http://127.0.0.1:8000`, in place of the region's own. Only an
    /// endpoint that is given as `http://` is spoken to without TLS.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.endpoint_url = Some(url.into());
        self
    }

    /// Whether to use the region's endpoint with cryptography validated by FIPS 140. Default no.
    /// Does not go with an endpoint URL.
    /// [FIPS endpoints](https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html)
    pub fn fips_endpoint(mut self, fips: bool) -> Self {
        self.fips = Some(fips);
        self
    }

    /// Whether to use the region's endpoint that is reached by IPv6 as well. Default no. Does not
    /// go with an endpoint URL.
    /// [Dual-stack endpoints](https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html)
    pub fn dual_stack_endpoint(mut self, dual_stack: bool) -> Self {
        self.dual_stack = Some(dual_stack);
        self
    }

    /// Credentials that stay the same.
    pub fn credentials(self, credentials: Credentials) -> Self {
        self.credentials_source(FixedCredentials::new(credentials))
    }

    /// A source of credentials, asked before each attempt. It keeps what it has.
    pub fn credentials_source(mut self, source: impl CredentialsSource) -> Self {
        self.credentials = Some(Given::Source(Arc::new(source)));
        self
    }

    /// A provider of credentials made for the AWS SDKs, such as one of the crate `aws-config`.
    ///
    /// What it gives is kept, and asked for again five minutes before its end. The package in
    /// `examples/aws-config` shows it.
    ///
    /// ```
    /// // Their type of credentials is a provider as well.
    /// let provider = aws_credential_types::Credentials::new("AKIDEXAMPLE", "secret", None, None, "mine");
    /// let client = dynolock::Client::builder()
    ///     .region("eu-west-1")
    ///     .endpoint_url("http://127.0.0.1:8000")
    ///     .credentials_provider(provider)
    ///     .build()?;
    /// # Ok::<(), dynolock::Error>(())
    /// ```
    pub fn credentials_provider(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        let provided = Arc::new(Provided::new(provider));
        self.credentials = Some(Given::Provider(Box::new(|runtime| {
            Arc::new(Cached::new(provided, runtime))
        })));
        self
    }

    /// Who may vouch for the server, in place of the root certificates that the program is built
    /// with, and of `AWS_CA_BUNDLE`.
    #[cfg(feature = "__tls")]
    pub fn root_certificates(mut self, roots: RootCertificates) -> Self {
        self.roots = Some(roots);
        self
    }

    /// How long one attempt may take: connecting where need be, sending, the whole answer.
    /// Default 1 s.
    ///
    /// To acquire it is the lease at most, and under a lease a third of it, so that there is time
    /// for another. A connection that takes longer serves the next attempt. Fetching credentials
    /// does not count; it has the time that the caller has.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// How long connecting may take: proxy, name, TCP and TLS. Default 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many attempts are made in quick succession where they fail for a passing reason.
    /// Default 3, the first included.
    ///
    /// After them the lock goes on at its own pace, which is the retry interval for who waits and
    /// the heartbeat period for who holds; the acquire timeout and the lease set the end, not a
    /// number. So does an operation whose share of the client's retry budget is used up, as the
    /// [AWS SDKs](https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html)
    /// have it in their standard mode.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// The pauses between attempts that fail for a passing reason: before the n-th retry a
    /// random time up to `base` doubled n − 1 times, at most `cap`. Default 25 ms and 1 s.
    ///
    /// See [exponential backoff and jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.backoff = Backoff { base, cap };
        self
    }

    /// Makes the client. Nothing is sent.
    ///
    /// Errors where the region or the credentials are missing, or an option is malformed.
    pub fn build(self) -> Result<Client, Error> {
        self.build_in(Arc::new(Tokio::new()), |network, endpoint| {
            Ok(network.to(endpoint)?)
        })
    }

    pub(crate) fn build_in(
        mut self,
        runtime: Arc<dyn Runtime>,
        transport: impl FnOnce(&Network, &Endpoint) -> Result<Arc<dyn Transport>, Error>,
    ) -> Result<Client, Error> {
        let environment = self.environment.take();
        let lookup = |name: &str| {
            let value = environment.as_ref().and_then(|lookup| lookup(name));
            value.filter(|value| !value.is_empty())
        };
        if environment.is_some() {
            self.fill_in(&lookup)?;
        } else if self.profile.is_some() {
            return Err(Error::invalid_option(
                OptionName::Profile,
                "one is named, and the environment, which says where profiles are, is not used",
            ));
        }
        let retry = self.retry()?;
        let attempt_timeout = timeout(OptionName::AttemptTimeout, self.attempt_timeout)?;
        let connect_timeout = timeout(OptionName::ConnectTimeout, self.connect_timeout)?;
        let region = self.region.ok_or_else(|| {
            Error::invalid_option(
                OptionName::Region,
                "none is given; set AWS_REGION or AWS_DEFAULT_REGION, or name one to the builder",
            )
        })?;
        check_region(&region)
            .map_err(|error| Error::invalid_option(OptionName::Region, error.to_string()))?;
        let variant = Variant {
            fips: self.fips.unwrap_or(false),
            dual_stack: self.dual_stack.unwrap_or(false),
        };
        let endpoint = match &self.endpoint_url {
            Some(_) if variant != Variant::default() => {
                return Err(Error::invalid_option(
                    OptionName::Endpoint,
                    "one that is given does not go with FIPS or dual-stack endpoints",
                ));
            }
            Some(url) => Endpoint::parse(url)?,
            None => Endpoint::of_region(Service::DynamoDb, &region, variant)?,
        };
        let network = Network::new(
            runtime.clone(),
            connect_timeout,
            #[cfg(feature = "__tls")]
            self.roots,
            Proxies::from_environment(&lookup)
                .map_err(|problem| Error::invalid_option(OptionName::Proxy, problem))?,
        );
        let transport = transport(&network, &endpoint)?;
        let credentials = match self.credentials {
            Some(Given::Source(source)) => source,
            Some(Given::Provider(make)) => make(runtime.clone()),
            None if environment.is_some() => default_source(&Setting {
                lookup: &lookup,
                profile: self.profile.as_deref(),
                network: &network,
                region: &region,
                variant,
            })?,
            None => return Err(CredentialsError::new("builder", "none were given").into()),
        };
        Ok(Client::of(Parts {
            runtime,
            transport,
            endpoint,
            region,
            credentials,
            attempt_timeout,
            retry,
        }))
    }

    /// Takes from the environment what was not said.
    fn fill_in(&mut self, set: &dyn Fn(&str) -> Option<String>) -> Result<(), Error> {
        #[cfg(feature = "credentials-profile")]
        let profile = crate::credentials::settings(set, self.profile.as_deref())?;
        let or_set = |said: Option<String>, name| said.or_else(|| set(name));
        self.region =
            or_set(self.region.take(), "AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION"));
        let ignored = switch(set, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")?.unwrap_or(false);
        if self.endpoint_url.is_none() && !ignored {
            self.endpoint_url =
                set("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| set("AWS_ENDPOINT_URL"));
        }
        if self.fips.is_none() {
            self.fips = switch(set, "AWS_USE_FIPS_ENDPOINT")?;
        }
        if self.dual_stack.is_none() {
            self.dual_stack = switch(set, "AWS_USE_DUALSTACK_ENDPOINT")?;
        }
        if self.max_attempts.is_none() {
            self.max_attempts = match set("AWS_MAX_ATTEMPTS") {
                Some(text) => Some(text.parse().map_err(|_| {
                    Error::invalid_option(
                        OptionName::MaxAttempts,
                        "AWS_MAX_ATTEMPTS is not a number",
                    )
                })?),
                None => None,
            };
        }
        #[cfg(feature = "__tls")]
        let bundle = set("AWS_CA_BUNDLE");
        #[cfg(feature = "credentials-profile")]
        {
            self.region = self.region.take().or(profile.region);
            if !ignored {
                self.endpoint_url = self.endpoint_url.take().or(profile.endpoint_url);
            }
            self.fips = self.fips.or(profile.fips);
            self.dual_stack = self.dual_stack.or(profile.dual_stack);
        }
        #[cfg(all(feature = "__tls", feature = "credentials-profile"))]
        let bundle = bundle.or(profile.ca_bundle);
        #[cfg(feature = "__tls")]
        if let (None, Some(path)) = (&self.roots, bundle) {
            self.roots = Some(read_roots(&path)?);
        }
        Ok(())
    }

    fn retry(&self) -> Result<RetryPolicy, Error> {
        if self.backoff.base.is_zero() || self.backoff.base > self.backoff.cap {
            return Err(Error::invalid_option(
                OptionName::Backoff,
                "the base must be more than zero and at most the cap",
            ));
        }
        let max_attempts = self.max_attempts.unwrap_or(RetryPolicy::DEFAULT_ATTEMPTS);
        if max_attempts == 0 {
            return Err(Error::invalid_option(
                OptionName::MaxAttempts,
                "at least one is needed",
            ));
        }
        Ok(RetryPolicy {
            backoff: self.backoff,
            max_attempts,
        })
    }
}

/// A variable that is `true` or `false`, in any case.
fn switch(set: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<Option<bool>, Error> {
    match set(name) {
        None => Ok(None),
        Some(value) if value.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(_) => Err(Error::invalid_option(
            OptionName::Endpoint,
            [name, " is neither true nor false"].concat(),
        )),
    }
}

#[cfg(feature = "__tls")]
fn read_roots(path: &str) -> Result<RootCertificates, Error> {
    let problem = match crate::credentials::read_file(path.as_ref()) {
        Ok(pem) => match RootCertificates::from_pem(&pem) {
            Ok(roots) => return Ok(roots),
            Err(invalid) => invalid.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Err(Error::invalid_option(
        OptionName::RootCertificates,
        ["AWS_CA_BUNDLE names the file ", path, ": ", &problem].concat(),
    ))
}

fn timeout(option: OptionName, timeout: Duration) -> Result<Duration, Error> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(3600));
    if (least..=most).contains(&timeout) {
        Ok(timeout)
    } else {
        Err(Error::invalid_option(
            option,
            format!("{timeout:?} is out of range; {least:?} to {most:?} are allowed"),
        ))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
