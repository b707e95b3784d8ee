//! Two texts in, settings out.

use super::super::files::Text;
use super::*;

fn of(
    config: &str,
    credentials: &str,
    name: &str,
    ignored: Option<bool>,
) -> Result<Settings, String> {
    let text = |name: &str, content: &str| Text {
        name: name.into(),
        content: content.into(),
    };
    let (config, credentials) = (text("config", config), text("credentials", credentials));
    let merged = Merged::parse(&config, &credentials).map_err(|error| error.to_string())?;
    of_profile(&merged, name, ignored).map_err(|error| error.to_string())
}

#[test]
fn all_of_them() {
    let config = "[profile dev]\nregion = eu-west-1\nENDPOINT_URL = http://127.0.0.1:8000\n\
        use_fips_endpoint = True\nuse_dualstack_endpoint=false\nca_bundle = /etc/ca file.pem # c\n";
    let expected = Settings {
        region: Some("eu-west-1".into()),
        endpoint_url: Some("http://127.0.0.1:8000".into()),
        fips: Some(true),
        dual_stack: Some(false),
        ca_bundle: Some("/etc/ca file.pem".into()),
    };
    assert_eq!(of(config, "", "dev", None), Ok(expected));
    assert_eq!(of(config, "", "prod", None), Ok(Settings::default()));
    let empty = "[default]\nregion =\nuse_fips_endpoint =\n";
    assert_eq!(of(empty, "", "default", None), Ok(Settings::default()));
}

#[test]
fn which_of_two_values_counts() {
    const CASES: [(&str, &str, Option<&str>); 10] = [
        ("[default]\nregion = a\nregion = b", "", Some("b")),
        (
            "[default]\nregion = a\n[default]\nREGION = b",
            "",
            Some("b"),
        ),
        ("[default]\nregion = a\nregion =", "", None),
        // [profile default] wins over [default], wherever it stands, and whatever it has.
        (
            "[profile default]\nregion = a\n[default]\nregion = b",
            "",
            Some("a"),
        ),
        (
            "[default]\nregion = b\n[profile default]\noutput = a",
            "",
            None,
        ),
        // The credentials file wins, key by key.
        ("[default]\nregion = a", "[default]\nregion = b", Some("b")),
        ("[default]\nregion = a", "[default]\noutput = b", Some("a")),
        (
            "[profile default]\nregion = a",
            "[default]\nregion = b",
            Some("b"),
        ),
        // Other sections are none of a profile's.
        (
            "[services default]\nregion = a\n[sso-session default]\nregion = b",
            "",
            None,
        ),
        (
            "[default]\ns3 =\n  region = a\n[profile other]\nregion = b",
            "",
            None,
        ),
    ];
    for (config, credentials, region) in CASES {
        let got = of(config, credentials, "default", None).unwrap();
        assert_eq!(got.region.as_deref(), region, "{config:?} {credentials:?}");
    }
    // A profile of the config file needs its prefix, one of the credentials file must have none.
    for (config, credentials) in [("[dev]\nregion = a", ""), ("", "[profile dev]\nregion = a")] {
        assert_eq!(
            of(config, credentials, "dev", None),
            Ok(Settings::default())
        );
    }
}

#[test]
fn the_endpoint_of_the_service_comes_first() {
    const SERVICES: &str = "\n[services s]\ns3 =\n  endpoint_url = http://s3\n\
        DynamoDB =\n  max = 3\n  endpoint_url = http://db\n";
    let of = |profile: &str, services: &str, ignored| {
        let config = ["[default]\n", profile, services].concat();
        of(&config, "", "default", ignored).map(|settings| settings.endpoint_url)
    };
    let some = |url: &str| Ok(Some(url.to_owned()));
    let both = "endpoint_url = http://all\nservices = s";
    assert_eq!(of(both, SERVICES, None), some("http://db"));
    assert_eq!(of("services = s", SERVICES, None), some("http://db"));
    assert_eq!(
        of("endpoint_url = http://all", SERVICES, None),
        some("http://all")
    );
    assert_eq!(of(both, "\n[services s]\n", None), some("http://all"));
    assert_eq!(
        of(both, "\n[services s]\nendpoint_url = http://no\n", None),
        some("http://all")
    );
    let split = "\n[services s]\ndynamodb =\n endpoint_url = http://db\n[services s]\nx = y\n";
    assert_eq!(of(both, split, None), some("http://db"));
    // Ignored by the profile or the environment, of which the latter counts.
    let ignoring = [both, "\nignore_configured_endpoint_urls = TRUE"].concat();
    assert_eq!(of(&ignoring, SERVICES, None), Ok(None));
    assert_eq!(of(&ignoring, "", None), Ok(None));
    assert_eq!(of(&ignoring, SERVICES, Some(false)), some("http://db"));
    assert_eq!(of(both, SERVICES, Some(true)), Ok(None));
    let not = [both, "\nignore_configured_endpoint_urls = false"].concat();
    assert_eq!(of(&not, SERVICES, None), some("http://db"));
}

#[test]
fn what_is_wrong_is_named_with_file_and_line() {
    const CASES: [(&str, &str, &str); 9] = [
        (
            "[default]\n\nuse_fips_endpoint = yes",
            "",
            "config:3: use_fips_endpoint is neither true nor false",
        ),
        (
            "",
            "[default]\nuse_dualstack_endpoint = 1",
            "credentials:2: use_dualstack_endpoint is neither true nor false",
        ),
        (
            "[default]\nignore_configured_endpoint_urls = x",
            "",
            "config:2: ignore_configured_endpoint_urls is neither true nor false",
        ),
        (
            "[default]\nservices = s",
            "",
            "config:2: there is no section [services s]",
        ),
        (
            "[default]\nservices = s",
            "[services s]\ndynamodb =\n  endpoint_url = http://x",
            "config:2: there is no section [services s]",
        ),
        // Keys that are indented by mistake.
        (
            "[default]\nregion = eu-west-1\n  aws_secret_access_key = XYZZY",
            "",
            "config:2: the value of region goes on in another line",
        ),
        (
            "[default]\nservices = s\n[services s]\ndynamodb =\n  endpoint_url = http://x\nXYZZY",
            "",
            "config:6: has no =",
        ),
        (
            "[default]\nregion = a",
            "[default]\nXYZZY",
            "credentials:2: has no =",
        ),
        ("[profile other]\nXYZZY", "", "config:2: has no ="),
    ];
    for (config, credentials, problem) in CASES {
        let expected = format!("no credentials: profile ({problem})");
        assert_eq!(of(config, credentials, "default", None), Err(expected));
    }
}
