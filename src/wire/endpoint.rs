//! Where DynamoDB is: from a region, or from a URL that somebody gives.

use std::net::Ipv6Addr;

use ::http::Uri;

/// The address that requests go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    uri: Uri,
    host: Box<str>,
    tls: bool,
}

impl Endpoint {
    /// The public endpoint of a service in a region, over TLS.
    ///
    /// Errors where the name cannot be that of a region. A region that does not exist gives a
    /// host that does not exist.
    /// [Regional endpoints](https://docs.aws.amazon.com/general/latest/gr/ddb.html),
    /// [FIPS and dual-stack](https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html)
    pub(crate) fn of_region(
        service: Service,
        region: &str,
        variant: Variant,
    ) -> Result<Self, InvalidEndpoint> {
        check_region(region)?;
        let partition = partition(region);
        // In GovCloud the common endpoints are the FIPS ones.
        let is_common = region.starts_with("us-gov-") && !variant.dual_stack;
        let fips = if variant.fips && !is_common {
            "-fips."
        } else {
            "."
        };
        let suffix = if variant.dual_stack {
            partition.dual_stack_suffix
        } else {
            partition.suffix
        };
        let host = [service.prefix(), fips, region, ".", suffix].concat();
        let uri = ["https://", &host, "/"].concat();
        Ok(Self {
            uri: uri.parse().map_err(|_| InvalidEndpoint::region(region))?,
            host: host.into(),
            tls: true,
        })
    }

    /// The endpoint that a URL names: `http` or `https`, a host, perhaps a port, and no more.
    ///
    /// Errors where it has anything else in it: nothing of a URL is ignored.
    pub(crate) fn parse(url: &str) -> Result<Self, InvalidEndpoint> {
        parse(url).map_err(|problem| InvalidEndpoint {
            what: "endpoint URL",
            shown: without_secrets(url),
            problem,
        })
    }

    /// Scheme, host and port, with `/` as the path: what to connect to.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The `Host` header: with the port, unless it is that of the scheme.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }
}

fn parse(url: &str) -> Result<Endpoint, &'static str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("has no scheme: it begins with http:// or https://");
    };
    let (scheme, default_port, tls) = match scheme {
        "http" => ("http://", 80, false),
        "https" => ("https://", 443, true),
        _ => return Err("has another scheme than http and https"),
    };
    let authority = match rest.find(['/', '?', '#']) {
        None => rest,
        Some(end) => match rest.split_at(end) {
            (authority, "/") => authority,
            _ => return Err("has more than scheme, host and port"),
        },
    };
    if authority.contains('@') {
        return Err("has a user name or password in it");
    }
    let (host, port) = split_port(authority)?;
    let host = match port {
        Some(port) if port != default_port => [host, ":", &port.to_string()].concat(),
        _ => host.to_owned(),
    };
    let uri = [scheme, &host, "/"].concat();
    Ok(Endpoint {
        uri: uri.parse().map_err(|_| "has no valid host")?,
        host: host.into(),
        tls,
    })
}

/// Takes `host`, `host:port`, `[v6]` or `[v6]:port` apart, and checks each part.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let host_ends = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_ends);
    if !is_host(host) {
        return Err("has no valid host");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        // A sign is a number to the parser, but not to a URL.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            match digits.parse::<u16>() {
                Ok(number) if number > 0 => Some(number),
                _ => return Err("has no valid port: 1 to 65535"),
            }
        }
        _ => return Err("has no valid port: 1 to 65535"),
    };
    Ok((host, port))
}

fn is_host(host: &str) -> bool {
    let v6 = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match v6 {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        // Underscores are not for host names, but container networks have them.
        None => {
            (1..=253).contains(&host.len())
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                && !host.starts_with('.')
                && !host.contains("..")
        }
    }
}

/// Checks the name of a region, which goes into a host name and into the signature.
///
/// Errors unless it is 1 to 63 lower-case letters, digits and inner hyphens.
pub(crate) fn check_region(region: &str) -> Result<(), InvalidEndpoint> {
    let fits = (1..=63).contains(&region.len())
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !region.starts_with('-')
        && !region.ends_with('-');
    if fits {
        Ok(())
    } else {
        Err(InvalidEndpoint::region(region))
    }
}

/// The services that are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    DynamoDb,
    /// The Security Token Service, for credentials of roles.
    #[cfg(any(
        feature = "credentials-web-identity",
        feature = "credentials-profile",
        test
    ))]
    Sts,
}

impl Service {
    fn prefix(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            #[cfg(any(
                feature = "credentials-web-identity",
                feature = "credentials-profile",
                test
            ))]
            Self::Sts => "sts",
        }
    }
}

/// Which of a region's endpoints is meant. The default is the common one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variant {
    /// With cryptography validated by FIPS 140.
    pub(crate) fips: bool,
    /// Reached by IPv6 as well.
    pub(crate) dual_stack: bool,
}

struct Partition {
    /// What its regions begin with.
    regions: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

/// The partitions beside the commercial one, as `partitions.json` of botocore 1.44.5 lists them.
///
/// [Partitions](https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html)
const PARTITIONS: [Partition; 6] = [
    Partition {
        regions: "cn-",
        suffix: "amazonaws.com.cn",
        dual_stack_suffix: "api.amazonwebservices.com.cn",
    },
    Partition {
        regions: "eusc-",
        suffix: "amazonaws.eu",
        dual_stack_suffix: "api.amazonwebservices.eu",
    },
    Partition {
        regions: "us-iso-",
        suffix: "c2s.ic.gov",
        dual_stack_suffix: "api.aws.ic.gov",
    },
    Partition {
        regions: "us-isob-",
        suffix: "sc2s.sgov.gov",
        dual_stack_suffix: "api.aws.scloud",
    },
    Partition {
        regions: "eu-isoe-",
        suffix: "cloud.adc-e.uk",
        dual_stack_suffix: "api.cloud-aws.adc-e.uk",
    },
    Partition {
        regions: "us-isof-",
        suffix: "csp.hci.ic.gov",
        dual_stack_suffix: "api.aws.hci.ic.gov",
    },
];

/// The partition that a region lies in. `aws` and `aws-us-gov` share their domains.
fn partition(region: &str) -> &'static Partition {
    const COMMERCIAL: Partition = Partition {
        regions: "",
        suffix: "amazonaws.com",
        dual_stack_suffix: "api.aws",
    };
    let mut known = PARTITIONS.iter();
    let found = known.find(|partition| region.starts_with(partition.regions));
    found.unwrap_or(&COMMERCIAL)
}

/// A region or an endpoint URL that cannot be used. What it shows has no user info and no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} \"{shown}\" {problem}")]
pub(crate) struct InvalidEndpoint {
    what: &'static str,
    shown: Box<str>,
    problem: &'static str,
}

impl InvalidEndpoint {
    /// An endpoint is good, but this build cannot speak TLS.
    #[cfg(not(feature = "__tls"))]
    pub(crate) fn without_tls(endpoint: &Endpoint) -> Self {
        Self {
            what: "endpoint",
            shown: endpoint.uri.to_string().into(),
            problem: "needs TLS, and this program is built without: \
                add the feature `ring` or `aws-lc-rs` of dynolock",
        }
    }

    /// An endpoint is good, but nobody can vouch for it.
    #[cfg(feature = "__tls")]
    pub(crate) fn unverifiable(endpoint: &Endpoint, problem: &'static str) -> Self {
        Self {
            what: "endpoint",
            shown: endpoint.uri.to_string().into(),
            problem,
        }
    }

    fn region(region: &str) -> Self {
        Self {
            what: "region",
            shown: without_secrets(region),
            problem: "is not 1 to 63 lower-case letters, digits and inner hyphens",
        }
    }
}

/// What may be shown of something that ought to be a URL: no user info, no query, not too long.
fn without_secrets(url: &str) -> Box<str> {
    const LONGEST: usize = 200;
    let start = url.find("://").map_or(0, |colon| colon + 3);
    let (scheme, rest) = url.split_at(start);
    // A password can hold any character, so the last `@` counts.
    let rest = match rest.rfind('@') {
        Some(at) => rest.get(at + 1..).unwrap_or_default(),
        None => rest,
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let kept = scheme.chars().chain(rest.chars()).take(LONGEST);
    let printable = kept.map(|c| if c.is_control() { '\u{fffd}' } else { c });
    printable.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_region_has_the_host_of_its_partition() {
        for (region, host) in [
            ("us-east-1", "dynamodb.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "dynamodb.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "dynamodb.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", "dynamodb.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "dynamodb.us-isob-east-1.sc2s.sgov.gov"),
            ("eu-isoe-west-1", "dynamodb.eu-isoe-west-1.cloud.adc-e.uk"),
            ("us-isof-south-1", "dynamodb.us-isof-south-1.csp.hci.ic.gov"),
            ("eusc-de-east-1", "dynamodb.eusc-de-east-1.amazonaws.eu"),
            ("xx-new-9", "dynamodb.xx-new-9.amazonaws.com"),
        ] {
            let endpoint =
                Endpoint::of_region(Service::DynamoDb, region, Variant::default()).unwrap();
            assert_eq!(endpoint.host(), host);
            assert_eq!(endpoint.uri().to_string(), format!("https://{host}/"));
            assert!(endpoint.is_tls());
        }
    }

    #[test]
    fn fips_and_dual_stack_have_hosts_of_their_own() {
        let (fips, dual_stack) = (true, true);
        for (service, region, fips, dual_stack, host) in [
            (
                Service::DynamoDb,
                "eu-west-1",
                fips,
                false,
                "dynamodb-fips.eu-west-1.amazonaws.com",
            ),
            (
                Service::DynamoDb,
                "eu-west-1",
                false,
                dual_stack,
                "dynamodb.eu-west-1.api.aws",
            ),
            (
                Service::DynamoDb,
                "eu-west-1",
                fips,
                dual_stack,
                "dynamodb-fips.eu-west-1.api.aws",
            ),
            (
                Service::DynamoDb,
                "us-gov-west-1",
                fips,
                false,
                "dynamodb.us-gov-west-1.amazonaws.com",
            ),
            (
                Service::DynamoDb,
                "us-gov-west-1",
                fips,
                dual_stack,
                "dynamodb-fips.us-gov-west-1.api.aws",
            ),
            (
                Service::DynamoDb,
                "cn-north-1",
                false,
                dual_stack,
                "dynamodb.cn-north-1.api.amazonwebservices.com.cn",
            ),
            (
                Service::Sts,
                "eu-west-1",
                false,
                false,
                "sts.eu-west-1.amazonaws.com",
            ),
            (
                Service::Sts,
                "us-east-1",
                fips,
                false,
                "sts-fips.us-east-1.amazonaws.com",
            ),
            (
                Service::Sts,
                "us-gov-east-1",
                fips,
                false,
                "sts.us-gov-east-1.amazonaws.com",
            ),
        ] {
            let variant = Variant { fips, dual_stack };
            let endpoint = Endpoint::of_region(service, region, variant).unwrap();
            assert_eq!(endpoint.host(), host);
        }
    }

    #[test]
    fn what_is_no_region_is_named() {
        let long = "a".repeat(64);
        for region in [
            "",
            "us east 1",
            "US-EAST-1",
            "us-east-1.evil.example",
            "-a",
            "a-",
            "us-east-1/",
            "evil.example#",
            "é",
            &long,
        ] {
            let error = Endpoint::of_region(Service::DynamoDb, region, Variant::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains("is not 1 to 63"), "{error}");
            assert!(check_region(region).is_err());
        }
        assert!(check_region(&long[1..]).is_ok());
    }

    #[test]
    fn a_url_becomes_an_endpoint() {
        for (url, uri, host, tls) in [
            (
                "http://localhost:8000",
                "http://localhost:8000/",
                "localhost:8000",
                false,
            ),
            (
                "http://localhost:8000/",
                "http://localhost:8000/",
                "localhost:8000",
                false,
            ),
            ("http://db_1:80", "http://db_1/", "db_1", false),
            (
                "https://db.example:443/",
                "https://db.example/",
                "db.example",
                true,
            ),
            (
                "https://db.example:80",
                "https://db.example:80/",
                "db.example:80",
                true,
            ),
            (
                "http://127.0.0.1:443",
                "http://127.0.0.1:443/",
                "127.0.0.1:443",
                false,
            ),
            (
                "http://[::1]:65535",
                "http://[::1]:65535/",
                "[::1]:65535",
                false,
            ),
            ("https://[::1]", "https://[::1]/", "[::1]", true),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.uri().to_string(), uri);
            assert_eq!(endpoint.host(), host);
            assert_eq!(endpoint.is_tls(), tls);
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        for (url, problem) in [
            ("", "has no scheme"),
            ("localhost:8000", "has no scheme"),
            ("ftp://h", "has another scheme"),
            ("://h", "has another scheme"),
            ("http://", "has no valid host"),
            ("http://:8000", "has no valid host"),
            ("http:///", "has no valid host"),
            ("http://a b", "has no valid host"),
            ("http://a..b", "has no valid host"),
            ("http://%41", "has no valid host"),
            ("http://[::g]", "has no valid host"),
            ("http://x[::1]", "has no valid host"),
            ("http://]", "has no valid host"),
            ("http://[::1]x", "has no valid port"),
            ("http://localhost:8000\n", "has no valid port"),
            ("http://h:", "has no valid port"),
            ("http://h:0", "has no valid port"),
            ("http://h:+80", "has no valid port"),
            ("http://h:65536", "has no valid port"),
            ("http://::1", "has no valid host"),
            ("http://h:1:2", "has no valid port"),
            ("http://h/table", "has more than"),
            ("http://h//", "has more than"),
            ("http://h?a=b", "has more than"),
            ("http://h/#f", "has more than"),
            ("http://u@h", "has a user name"),
        ] {
            let error = Endpoint::parse(url).unwrap_err().to_string();
            assert!(error.contains(problem), "{url:?} gave {error}");
        }
    }

    #[test]
    fn an_error_shows_no_secret() {
        for url in [
            "http://user:hunter2@h:8000",
            "http://user:hunt/er2@er2@h:8000",
            "user:hunter2@h:8000",
            "http://h:8000?token=hunter2",
            "http://h:8000#hunter2",
        ] {
            let error = Endpoint::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("er2"), "{error}");
            assert!(error.to_string().contains("h:8000"), "{error}");
        }
        let error = Endpoint::parse(&"x\r\n".repeat(1000)).unwrap_err();
        assert!(error.to_string().len() < 700);
        assert!(!error.to_string().contains('\n'));
    }

    proptest! {
        #[test]
        fn any_text_is_an_endpoint_or_an_error(
            url in "(https?://)?[a-z0-9\\[\\]:@/?#.%_ é-]{0,20}",
        ) {
            if let Ok(endpoint) = Endpoint::parse(&url) {
                prop_assert_eq!(Endpoint::parse(&endpoint.uri().to_string()), Ok(endpoint));
            }
            let _ = Endpoint::of_region(Service::DynamoDb, &url, Variant::default());
        }
    }
}
