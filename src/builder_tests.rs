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
        ("AWS_PROFILE", "work"),
    ];
    let text = shown(builder(&variables).build());
    for part in [
        "environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set)",
        "web identity (",
        "profile (AWS_PROFILE is set, but this program is built without the feature \
         credentials-profile)",
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
