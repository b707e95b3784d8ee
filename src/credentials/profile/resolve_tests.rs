//! Two texts in, a plan out.

use super::super::files::Text;
use super::*;

const KEYS: &str = "aws_access_key_id = AKID\naws_secret_access_key = XYZZY\n";

fn plan(config: &str, credentials: &str, name: &str) -> Result<Plan, CredentialsError> {
    let text = |name: &str, content: &str| Text {
        name: name.into(),
        content: content.into(),
    };
    let (config, credentials) = (text("config", config), text("credentials", credentials));
    resolve(&Merged::parse(&config, &credentials)?, name)
}

/// A plan in one line: where it begins, and the roles after that.
fn shown(config: &str, credentials: &str, name: &str) -> Result<String, String> {
    let plan = plan(config, credentials, name).map_err(|error| error.to_string())?;
    let mut steps = vec![match plan.base {
        Base::Keys(keys) => match keys.as_aws().session_token() {
            Some(_) => format!("{} with a token", keys.access_key_id()),
            None => keys.access_key_id().to_owned(),
        },
        Base::Environment => "environment".into(),
        #[cfg(feature = "credentials-container")]
        Base::Container => "container".into(),
        #[cfg(feature = "credentials-imds")]
        Base::InstanceMetadata => "instance metadata".into(),
        #[cfg(feature = "credentials-web-identity")]
        Base::WebIdentity { role, token_file } => format!("{} by {token_file}", role.arn),
        #[cfg(feature = "credentials-process")]
        Base::Process(command) => command,
    }];
    steps.extend(plan.roles.into_iter().map(|role| role.arn));
    Ok(steps.join(" > "))
}

fn resolved(config: &str) -> Result<String, String> {
    shown(config, "", "default")
}

fn failed(problem: &str) -> Result<String, String> {
    Err(format!("no credentials: profile ({problem})"))
}

#[test]
fn keys() {
    let with_token = ["[default]\n", KEYS, "aws_session_token = T0KEN"].concat();
    assert_eq!(resolved(&with_token).unwrap(), "AKID with a token");
    let empty_token = ["[default]\n", KEYS, "aws_session_token ="].concat();
    assert_eq!(resolved(&empty_token).unwrap(), "AKID");
    // From either file, and of both.
    let (id, secret) = KEYS.split_once('\n').unwrap();
    let config = ["[default]\n", id].concat();
    let credentials = ["[default]\n", secret].concat();
    assert_eq!(shown(&config, &credentials, "default").unwrap(), "AKID");
    let newer = ["[default]\naws_access_key_id = NEWER\n", secret].concat();
    assert_eq!(shown(&config, &newer, "default").unwrap(), "NEWER");
    let keys = plan(&with_token, "", "default").ok().unwrap();
    let Base::Keys(keys) = keys.base else {
        panic!("no keys");
    };
    assert_eq!(keys.as_aws().secret_access_key(), "XYZZY");
    assert_eq!(keys.as_aws().session_token(), Some("T0KEN"));
}

#[test]
fn broken_keys_are_named_and_not_shown() {
    const CASES: [(&str, &str); 7] = [
        (
            "aws_access_key_id = AKID",
            "config:2: the profile default has aws_access_key_id but no aws_secret_access_key",
        ),
        (
            "aws_access_key_id = AKID\naws_secret_access_key =",
            "config:2: the profile default has aws_access_key_id but no aws_secret_access_key",
        ),
        (
            "\naws_secret_access_key = XYZZY",
            "config:3: the profile default has aws_secret_access_key but no aws_access_key_id",
        ),
        (
            "aws_access_key_id = AKID\naws_secret_access_key = XY ZZY",
            "config:2: the secret access key has whitespace in it",
        ),
        (
            "aws_access_key_id = AKID\naws_secret_access_key = XYZZY\n  XYZZY",
            "config:3: the value of aws_secret_access_key goes on in another line",
        ),
        (
            "aws_access_key_id = AKID\naws_secret_access_key = s\naws_session_token = XY\u{e9}ZZY",
            "config:4: the session token has characters in it that are not printable ASCII",
        ),
        ("aws_secret_access_key XYZZY", "config:2: has no ="),
    ];
    for (lines, problem) in CASES {
        let config = ["[default]\n", lines].concat();
        assert_eq!(resolved(&config), failed(problem));
        let error = plan(&config, "", "default").err().unwrap();
        assert!(!format!("{error} {error:?} {error:#?}").contains("XY"));
        assert_eq!(error.trouble(), crate::credentials::Trouble::Broken);
    }
}

#[test]
fn nothing_is_absent() {
    for config in [
        "[default]\nregion = eu-west-1",
        "[default]\naws_session_token = t",
    ] {
        let error = plan(config, "", "default").err().unwrap();
        assert_eq!(error.trouble(), crate::credentials::Trouble::Absent);
        let message = "no credentials: profile (the profile default has no credentials)";
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn roles_by_source_profiles() {
    let a = "[default]\nrole_arn = arn:a\nsource_profile = b\n";
    let keys_in = |name: &str| ["[", name, "]\n", KEYS].concat();
    let resolved = |config: &str, credentials: &str| shown(config, credentials, "default");
    assert_eq!(resolved(a, &keys_in("b")).unwrap(), "AKID > arn:a");
    // In a row; the nearest to the keys first.
    let row = [a, "[profile b]\nrole_arn = arn:b\nsource_profile = c\n"].concat();
    assert_eq!(
        resolved(&row, &keys_in("c")).unwrap(),
        "AKID > arn:b > arn:a"
    );
    // Keys of a source come before its role.
    assert_eq!(resolved(&row, &keys_in("b")).unwrap(), "AKID > arn:a");
    // Keys of the profile itself do not.
    let both = [&row, "[profile c]\n", KEYS].concat();
    assert_eq!(
        resolved(&both, &keys_in("default")).unwrap(),
        "AKID > arn:b > arn:a"
    );
    // A profile that is its own source.
    let own = "[default]\nrole_arn = arn:a\nsource_profile = default\n";
    assert_eq!(resolved(own, &keys_in("default")).unwrap(), "AKID > arn:a");
    // A name with a space, and the default as a source.
    let spaced = "[default]\nrole_arn = arn:a\nsource_profile = b c\n";
    assert_eq!(
        resolved(spaced, &keys_in("\"b c\"")).unwrap(),
        "AKID > arn:a"
    );
    let dev = "[profile dev]\nrole_arn = arn:dev\nsource_profile = default\n";
    assert_eq!(
        shown(dev, &keys_in("default"), "dev").unwrap(),
        "AKID > arn:dev"
    );
}

#[test]
fn all_of_a_role() {
    let config = [
        "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n",
        KEYS,
        "role_session_name = me\nexternal_id = x y\nduration_seconds = 900\n",
    ]
    .concat();
    let role = plan(&config, "", "default").ok().unwrap().roles.remove(0);
    assert_eq!(role.arn, "arn:aws:iam::1:role/r");
    assert_eq!(role.session_name.as_deref(), Some("me"));
    assert_eq!(role.external_id.as_deref(), Some("x y"));
    assert_eq!(role.duration_seconds, Some(900));
    let bare = [
        "[default]\nrole_arn = arn:r\nsource_profile = default\n",
        KEYS,
    ]
    .concat();
    let role = plan(&bare, "", "default").ok().unwrap().roles.remove(0);
    assert_eq!(
        (role.session_name, role.external_id, role.duration_seconds),
        (None, None, None)
    );
}

#[test]
fn broken_roles() {
    const NO_SOURCE: &str = "the profile default has role_arn, but neither source_profile nor credential_source nor web_identity_token_file";
    const DURATION: &str = "config:4: duration_seconds is not a number from 900 to 43200";
    const CASES: [(&str, &str); 16] = [
        ("role_arn = arn:a", NO_SOURCE),
        (
            "role_arn = arn:a\nsource_profile = default\nrole_session_name = XYZZY!",
            "config:4: role_session_name is not 2 to 64 letters, digits and characters of _+=,.@-",
        ),
        (
            "role_arn = arn:a\naws_access_key_id = AKID\naws_secret_access_key = XYZZY",
            NO_SOURCE,
        ),
        (
            "role_arn = role/a\nsource_profile = b",
            "config:2: role_arn does not begin with arn:",
        ),
        (
            "role_arn = arn:a\nsource_profile = b\ncredential_source = Environment",
            "config:4: the profile default has both source_profile and credential_source",
        ),
        (
            "role_arn = arn:a\nsource_profile = nobody",
            "config:3: there is no profile nobody to be the source of default",
        ),
        (
            "role_arn = arn:a\nsource_profile = default",
            "the profile default is a source profile, but has no credentials",
        ),
        (
            "role_arn = arn:a\nsource_profile = b\n[profile b]\nregion = x",
            "the profile b is a source profile, but has no credentials",
        ),
        (
            "role_arn = arn:a\nsource_profile = b\n[profile b]\naws_access_key_id = AKID",
            "config:5: the profile b has aws_access_key_id but no aws_secret_access_key",
        ),
        (
            "role_arn = arn:a\nsource_profile = b\n[profile b]\nrole_arn = arn:b\nsource_profile = default",
            "config:6: the source profiles go in circles: default -> b -> default",
        ),
        (
            "role_arn = arn:a\nsource_profile = b\n[profile b]\nrole_arn = arn:b\nsource_profile = c\n[profile c]\nrole_arn = arn:c\nsource_profile = b",
            "config:9: the source profiles go in circles: default -> b -> c -> b",
        ),
        (
            "role_arn = arn:a\nsource_profile = default\nduration_seconds = 899",
            DURATION,
        ),
        (
            "role_arn = arn:a\nsource_profile = default\nduration_seconds = 43201",
            DURATION,
        ),
        (
            "role_arn = arn:a\nsource_profile = default\nduration_seconds = 1h",
            DURATION,
        ),
        (
            "role_arn = arn:a\nsource_profile = default\nmfa_serial = arn:mfa",
            "config:4: mfa_serial is not supported: nobody can be asked for a code",
        ),
        (
            "role_arn = arn:a\ncredential_source = environment",
            "config:3: credential_source is none of Environment, Ec2InstanceMetadata and EcsContainer",
        ),
    ];
    for (lines, problem) in CASES {
        assert_eq!(resolved(&["[default]\n", lines].concat()), failed(problem));
    }
}

#[test]
fn a_row_of_roles_has_an_end() {
    let row = |roles: usize| {
        let mut config = String::new();
        for nth in 0..roles {
            let next = nth + 1;
            config +=
                &format!("[profile p{nth}]\nrole_arn = arn:{nth}\nsource_profile = p{next}\n");
        }
        [&config, "[profile p", &roles.to_string(), "]\n", KEYS].concat()
    };
    let longest = shown(&row(MOST_ROLES - 1), "", "p0").unwrap();
    assert!(longest.starts_with("AKID > arn:14 > "), "{longest}");
    let problem = "config:48: the profile p15 is one too many in a row of source profiles";
    assert_eq!(shown(&row(MOST_ROLES), "", "p0"), failed(problem));
    assert_eq!(shown(&row(10_000), "", "p0"), failed(problem));
}

#[test]
fn sources_by_name() {
    let with = |source: &str| {
        let role = ["[default]\nrole_arn = arn:a\ncredential_source = ", source].concat();
        resolved(&role)
    };
    assert_eq!(with("Environment").unwrap(), "environment > arn:a");
    let (container, metadata) = (with("EcsContainer"), with("Ec2InstanceMetadata"));
    if cfg!(feature = "credentials-container") {
        assert_eq!(container.unwrap(), "container > arn:a");
    } else {
        assert_eq!(container, failed(&needs(3, "credentials-container")));
    }
    if cfg!(feature = "credentials-imds") {
        assert_eq!(metadata.unwrap(), "instance metadata > arn:a");
    } else {
        assert_eq!(metadata, failed(&needs(3, "credentials-imds")));
    }
    // Without a role too.
    assert_eq!(
        resolved("[default]\ncredential_source = Environment").unwrap(),
        "environment"
    );
}

fn needs(line: usize, feature: &str) -> String {
    format!("config:{line}: this needs the feature {feature}, which this program is built without")
}

#[test]
fn web_identity_needs_no_source() {
    const ROLE: &str = "[default]\nrole_arn = arn:w\nweb_identity_token_file = /var/t k\n";
    let beside = [ROLE, "source_profile = b\n", KEYS].concat();
    let config = [
        "[default]\nrole_arn = arn:a\nsource_profile = w\n",
        &ROLE.replace("default", "profile w"),
    ]
    .concat();
    if cfg!(feature = "credentials-web-identity") {
        assert_eq!(resolved(ROLE).unwrap(), "arn:w by /var/t k");
        assert_eq!(resolved(&beside).unwrap(), "arn:w by /var/t k");
        assert_eq!(resolved(&config).unwrap(), "arn:w by /var/t k > arn:a");
    } else {
        assert_eq!(
            resolved(ROLE),
            failed(&needs(3, "credentials-web-identity"))
        );
    }
    assert_eq!(
        resolved("[default]\nweb_identity_token_file = /t"),
        failed("config:2: the profile default has web_identity_token_file but no role_arn"),
    );
}

#[test]
fn processes() {
    let config = "[default]\ncredential_process = \"/opt/a b\" --key XYZZY\n";
    let source =
        "[default]\nrole_arn = arn:a\nsource_profile = b\n[profile b]\ncredential_process = run\n";
    let beside = [config, KEYS].concat();
    assert_eq!(resolved(&beside).unwrap(), "AKID");
    if cfg!(feature = "credentials-process") {
        assert_eq!(resolved(config).unwrap(), "\"/opt/a b\" --key XYZZY");
        assert_eq!(resolved(source).unwrap(), "run > arn:a");
    } else {
        assert_eq!(resolved(config), failed(&needs(2, "credentials-process")));
        assert_eq!(resolved(source), failed(&needs(5, "credentials-process")));
    }
}

#[test]
fn what_is_not_supported_names_the_way_out() {
    for key in [
        "sso_session",
        "sso_start_url",
        "sso_account_id",
        "sso_role_name",
        "login_session",
    ] {
        let config = ["[default]\n", key, " = x\n"].concat();
        let problem = ["config:2: ", key, " ", NO_SSO].concat();
        assert_eq!(resolved(&config), failed(&problem));
    }
    // Keys or a command beside it are that way out.
    for key in ["sso_session", "login_session"] {
        let with_keys = ["[default]\n", key, " = x\n", KEYS].concat();
        assert_eq!(resolved(&with_keys).unwrap(), "AKID");
    }
    #[cfg(feature = "credentials-process")]
    {
        let with_command = "[default]\nsso_session = x\ncredential_process = run\n";
        assert_eq!(resolved(with_command).unwrap(), "run");
    }
}
