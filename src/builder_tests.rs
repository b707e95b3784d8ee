use super::*;

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "XYZZY"),
];

fn builder(variables: &[(&str, &str)]) -> ClientBuilder {
    let variables: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    // No home and no file: what the machine has does not matter.
    Client::builder().environment_by(move |name| {
        let found = variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    })
}

fn with_keys(variables: &[(&str, &str)]) -> ClientBuilder {
    builder(&[&KEYS, variables].concat())
}

fn shown(built: Result<Client, Error>) -> String {
    match built {
        Ok(client) => format!("{client:?}"),
        Err(error) => error.to_string(),
    }
}

/// Endpoint and region of the client, or the error.
fn place(builder: ClientBuilder) -> String {
    let text = shown(builder.build());
    match text.split('"').collect::<Vec<_>>()[..] {
        [_, endpoint, _, region, _] => format!("{endpoint} {region}"),
        _ => text,
    }
}

#[cfg(feature = "__tls")]
#[test]
fn region_and_endpoint_come_from_the_environment_in_the_order_of_the_sdks() {
    let region = ("AWS_REGION", "eu-west-1");
    for (variables, expected) in [
        (
            &[region][..],
            "https://dynamodb.eu-west-1.amazonaws.com/ eu-west-1",
        ),
        (
            &[region, ("AWS_DEFAULT_REGION", "us-east-1")],
            "https://dynamodb.eu-west-1.amazonaws.com/ eu-west-1",
        ),
        (
            &[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-east-1")],
            "https://dynamodb.us-east-1.amazonaws.com/ us-east-1",
        ),
        (
            &[region, ("AWS_ENDPOINT_URL", "http://a:1")],
            "http://a:1/ eu-west-1",
        ),
        (
            &[
                region,
                ("AWS_ENDPOINT_URL", "http://a:1"),
                ("AWS_ENDPOINT_URL_DYNAMODB", "http://b:2"),
            ],
            "http://b:2/ eu-west-1",
        ),
        (
            &[
                region,
                ("AWS_ENDPOINT_URL_DYNAMODB", "http://b:2"),
                ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE"),
            ],
            "https://dynamodb.eu-west-1.amazonaws.com/ eu-west-1",
        ),
        (
            &[region, ("AWS_USE_FIPS_ENDPOINT", "true")],
            "https://dynamodb-fips.eu-west-1.amazonaws.com/ eu-west-1",
        ),
        (
            &[
                region,
                ("AWS_USE_FIPS_ENDPOINT", "false"),
                ("AWS_USE_DUALSTACK_ENDPOINT", "True"),
            ],
            "https://dynamodb.eu-west-1.api.aws/ eu-west-1",
        ),
    ] {
        assert_eq!(place(with_keys(variables)), expected, "{variables:?}");
    }
}

#[test]
fn what_is_said_comes_before_the_environment() {
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://a:1"),
        ("AWS_MAX_ATTEMPTS", "none"),
    ];
    let said = with_keys(&variables)
        .region("us-east-2")
        .endpoint_url("http://c:3")
        .max_attempts(1);
    assert_eq!(place(said), "http://c:3/ us-east-2");
}

#[test]
fn without_the_environment_nothing_of_it_is_read() {
    let error = shown(Client::builder().endpoint_url("http://a:1").build());
    assert!(error.contains("region: none is given"), "{error}");
    let error = shown(
        Client::builder()
            .region("eu-west-1")
            .endpoint_url("http://a:1")
            .build(),
    );
    assert_eq!(error, "no credentials: builder (none were given)");
}

#[test]
fn what_is_malformed_is_named() {
    let good = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://a:1"),
    ];
    for (variable, value, problem) in [
        ("AWS_REGION", "EU WEST", "region"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "a:1", "has no scheme"),
        (
            "AWS_USE_FIPS_ENDPOINT",
            "yes",
            "AWS_USE_FIPS_ENDPOINT is neither",
        ),
        (
            "AWS_USE_DUALSTACK_ENDPOINT",
            "1",
            "AWS_USE_DUALSTACK_ENDPOINT is neither",
        ),
        ("AWS_USE_FIPS_ENDPOINT", "true", "does not go with FIPS"),
        (
            "AWS_MAX_ATTEMPTS",
            "many",
            "AWS_MAX_ATTEMPTS is not a number",
        ),
        ("AWS_MAX_ATTEMPTS", "0", "at least one"),
        #[cfg(feature = "__tls")]
        (
            "AWS_CA_BUNDLE",
            "/no/such/file",
            "/no/such/file: cannot be read",
        ),
        #[cfg(feature = "__tls")]
        (
            "AWS_CA_BUNDLE",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            "no certificate",
        ),
        #[cfg(feature = "proxy")]
        (
            "HTTPS_PROXY",
            "socks5://me:XYZZY@x:1",
            "proxy: HTTPS_PROXY is not",
        ),
    ] {
        let variables = [&[(variable, value)][..], &good].concat();
        let error = with_keys(&variables).build().unwrap_err();
        assert!(error.is_invalid_option(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(problem), "{variable}: {text}");
        assert!(!text.contains("XYZZY"), "{text}");
    }
}

#[test]
fn half_a_key_pair_is_an_error_and_no_other_source_is_asked() {
    for (id, missing) in [
        (true, "AWS_SECRET_ACCESS_KEY"),
        (false, "AWS_ACCESS_KEY_ID"),
    ] {
        let half = if id { KEYS[0] } else { KEYS[1] };
        let variables = [
            half,
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "http://a:1"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
        ];
        let error = builder(&variables).build().unwrap_err();
        assert!(error.is_credentials());
        let text = error.to_string();
        assert!(text.ends_with(&format!("but {missing} is not)")), "{text}");
        assert!(!text.contains("XYZZY"));
    }
}

#[cfg(not(any(feature = "credentials-profile", feature = "credentials-imds")))]
#[test]
fn where_there_is_nothing_every_source_says_why() {
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://a:1"),
    ];
    let text = shown(builder(&variables).build());
    for part in [
        "environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set)",
        "web identity (",
        "profile (this program is built without the feature credentials-profile)",
        "container (",
        "instance metadata (this program is built without the feature credentials-imds)",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn nothing_of_a_builder_or_a_client_shows_a_secret() {
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://a:1"),
    ];
    let builder = with_keys(&variables);
    let shown_builder = format!("{builder:?}");
    assert!(!format!("{shown_builder}{:?}", builder.build().unwrap()).contains("XYZZY"));
}

#[cfg(feature = "credentials-profile")]
#[test]
fn a_profile_without_the_environment_is_a_mistake() {
    let named = Client::builder().profile("work").region("eu-west-1");
    let error = named.build().unwrap_err();
    assert!(error.is_invalid_option(), "{error:?}");
}

#[cfg(feature = "__tls")]
#[test]
fn fips_and_dual_stack_can_be_said_and_come_before_the_environment() {
    let region = ("AWS_REGION", "eu-west-1");
    let said = with_keys(&[region, ("AWS_USE_DUALSTACK_ENDPOINT", "true")])
        .fips_endpoint(true)
        .dual_stack_endpoint(false);
    assert_eq!(
        place(said),
        "https://dynamodb-fips.eu-west-1.amazonaws.com/ eu-west-1"
    );
}

/// By a variable and by the builder, through the whole client.
#[cfg(feature = "__tls")]
#[tokio::test(flavor = "multi_thread")]
async fn roots_of_ones_own_are_believed() {
    use crate::wire::tls_tests::{Authority, TLS13, answer, serve};

    let authority = Authority::new();
    let bundle = std::env::temp_dir().join(format!("dynolock-{}.pem", std::process::id()));
    std::fs::write(&bundle, [b"# \xff\n", authority.pem.as_bytes()].concat()).unwrap();
    let url = format!("https://{}", serve(authority.good(), &[&TLS13], answer));
    let by_variable = with_keys(&[
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_CA_BUNDLE", bundle.to_str().unwrap()),
    ]);
    let client = by_variable.build().unwrap();
    std::fs::remove_file(&bundle).unwrap();
    client.connect().await.unwrap();

    let roots = |of: &Authority| RootCertificates::from_pem(of.pem.as_bytes()).unwrap();
    let url = format!("https://{}", serve(authority.good(), &[&TLS13], answer));
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_CA_BUNDLE", "/no/such/file"),
    ];
    let said = with_keys(&variables)
        .endpoint_url(url)
        .root_certificates(roots(&authority));
    said.build().unwrap().connect().await.unwrap();

    let url = format!("https://{}", serve(authority.good(), &[&TLS13], answer));
    let stranger = with_keys(&variables)
        .endpoint_url(url)
        .root_certificates(roots(&Authority::new()));
    let error = stranger.build().unwrap().connect().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

type Theirs = aws_credential_types::provider::error::CredentialsError;
type Provide = fn() -> aws_credential_types::provider::Result;

/// A provider made for the SDKs, that counts how often it is asked.
#[derive(Debug)]
struct Provider(Provide, Arc<std::sync::atomic::AtomicUsize>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        aws_credential_types::provider::future::ProvideCredentials::ready((self.0)())
    }
}

fn theirs(secret: &str, token: Option<&str>) -> aws_credential_types::Credentials {
    let token = token.map(str::to_owned);
    aws_credential_types::Credentials::new("AKID", secret, token, None, "test")
}

#[tokio::test]
async fn a_provider_is_asked_once_and_its_failures_are_told_apart() {
    let asked = Arc::<std::sync::atomic::AtomicUsize>::default();
    let source = |provide: Provide| {
        let provided = Provided::new(Provider(provide, asked.clone()));
        Cached::new(Arc::new(provided), Arc::new(Tokio::new()))
    };
    let good = source(|| Ok(theirs("XYZZY", Some("t0ken"))));
    let expected = Credentials::new("AKID", "XYZZY").and_then(|pair| pair.session_token("t0ken"));
    for _ in 0..3 {
        let got = good.credentials().await.unwrap();
        assert_eq!(Ok(got), expected);
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    let failures: [(Provide, bool, &str); 4] = [
        (|| Err(Theirs::provider_error("down")), true, "down"),
        (|| Err(Theirs::not_loaded("not set")), false, "not set"),
        (|| Err(Theirs::invalid_configuration("half")), false, "half"),
        (|| Ok(theirs("XY\nZZY", None)), false, "whitespace"),
    ];
    for (provide, passing, text) in failures {
        let error = source(provide).credentials().await.unwrap_err();
        assert_eq!(error.is_passing(), passing, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("ZZY"), "{error}");
    }
}
