//! Files on disk, and what a profile in them leads to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::credentials::remote::scripted::{Deed, Server, network, nobody, reply};

const KEYS: &str = "aws_access_key_id = AKID\naws_secret_access_key = XYZZY\n";

#[tokio::test]
async fn the_files_are_read_anew_each_time() {
    let home = Home::new("", &["[default]\n", KEYS].concat());
    let profile = home.profile(None).unwrap();
    assert_eq!(id(&profile).await.unwrap(), "AKID");
    home.write(
        "credentials",
        &["[default]\n", &KEYS.replace("AKID", "NEWER")].concat(),
    );
    assert_eq!(id(&profile).await.unwrap(), "NEWER");
    home.write("credentials", "[default]\nXYZZY");
    let place = home.path("credentials");
    assert_eq!(
        id(&profile).await.unwrap_err().to_string(),
        format!("no credentials: profile ({place}:2: has no =)"),
    );
    home.write("config", "[default]\nrole_arn = arn:a\n");
    home.write("credentials", "");
    let error = id(&profile).await.unwrap_err();
    assert!(
        error.to_string().contains("has role_arn, but neither"),
        "{error}"
    );
}

#[tokio::test]
async fn the_choice_of_a_profile() {
    let section = |name: &str| ["[", name, "]\n", &KEYS.replace("AKID", name)].concat();
    let all = [section("default"), section("dev"), section("prod")].concat();
    let mut home = Home::new("", &all);
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "default");
    home.set("AWS_PROFILE", "");
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "default");
    home.set("AWS_PROFILE", "dev");
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "dev");
    assert_eq!(
        id(&home.profile(Some("prod")).unwrap()).await.unwrap(),
        "prod"
    );
}

#[tokio::test]
async fn a_profile_that_is_not_there() {
    let mut home = Home::new("[dev]\nregion = x", "[profile dev]\nregion = x");
    let (config, credentials) = (home.path("config"), home.path("credentials"));
    let none = |name: &str, file: &str, other: &str| {
        format!("no credentials: profile (there is no [{name}] in {file} and no [dev] in {other})")
    };
    home.set("AWS_PROFILE", "dev");
    for chosen in [None, Some("dev")] {
        let error = id(&home.profile(chosen).unwrap()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            none("profile dev", &config, &credentials)
        );
        assert_eq!(error.trouble(), Trouble::Broken);
        assert_eq!(settings(&home.lookup(), chosen).unwrap_err(), error);
    }
    fs::remove_file(&config).unwrap();
    let error = id(&home.profile(None).unwrap()).await.unwrap_err();
    let missing = [&config, " (no such file)"].concat();
    assert_eq!(
        error.to_string(),
        none("profile dev", &missing, &credentials)
    );
    // That there is no default is no mistake.
    let error = id(&home.profile(Some("default")).unwrap())
        .await
        .unwrap_err();
    let message = none("default", &missing, &credentials).replace("[dev]", "[default]");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.trouble(), Trouble::Absent);
    assert_eq!(
        settings(&home.lookup(), Some("default")),
        Ok(Settings::default())
    );
}

#[test]
fn where_the_files_are() {
    let home = Home::new(
        "[default]\nregion = config",
        "[default]\nca_bundle = credentials",
    );
    home.write("other", "[default]\nregion = other\nca_bundle = other");
    let folder = home.folder.to_str().unwrap();
    let other = home.path("other");
    let read = |variables: &[(&str, &str)]| {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        settings(&lookup, None).map(|it| (it.region, it.ca_bundle))
    };
    let some = |region: &str, bundle: &str| Ok((Some(region.into()), Some(bundle.into())));
    let at_home = ("HOME", folder);
    assert_eq!(read(&[at_home]), some("config", "credentials"));
    assert_eq!(
        read(&[at_home, ("AWS_CONFIG_FILE", "")]),
        some("config", "credentials")
    );
    for other in ["~/.aws/other", &other] {
        let config = ("AWS_CONFIG_FILE", other);
        assert_eq!(read(&[at_home, config]), some("other", "credentials"));
    }
    // The credentials file comes first, for all that it has.
    let credentials = ("AWS_SHARED_CREDENTIALS_FILE", other.as_str());
    assert_eq!(read(&[at_home, credentials]), some("other", "other"));
    // No files, or no home.
    let none = Ok((None, None));
    assert_eq!(read(&[]), none);
    assert_eq!(read(&[("HOME", "/dev/null")]), none);
    assert_eq!(
        read(&[at_home, ("HOME", &other)]),
        some("config", "credentials")
    );
    assert_eq!(read(&[("AWS_CONFIG_FILE", "/no/such/file")]), none);
    assert_eq!(read(&[("AWS_CONFIG_FILE", "~other/config")]), none);
    for (variable, message) in [
        (
            "AWS_CONFIG_FILE",
            "AWS_CONFIG_FILE begins with ~, but HOME is not set",
        ),
        (
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_SHARED_CREDENTIALS_FILE begins with ~, but HOME is not set",
        ),
    ] {
        let error = read(&[(variable, "~/x")]).unwrap_err();
        assert_eq!(error, CredentialsError::broken(SOURCE, message));
    }
    let unknown = read(&[("AWS_PROFILE", "dev")]).unwrap_err().to_string();
    assert!(
        unknown.contains("in ~/.aws/config (HOME is not set) and"),
        "{unknown}"
    );
    let odd = read(&[("AWS_PROFILE", "a\n\u{1b}b")])
        .unwrap_err()
        .to_string();
    assert!(odd.contains("no [profile a  b] in"), "{odd}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read() {
    let mut home = Home::new("", "");
    let folder = home.folder.to_str().unwrap().to_owned();
    home.set("AWS_CONFIG_FILE", &folder);
    let error = settings(&home.lookup(), None).unwrap_err();
    let message = format!("no credentials: profile ({folder} cannot be read: ");
    assert!(error.to_string().starts_with(&message), "{error}");
    assert_eq!(error.trouble(), Trouble::Broken);
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap_err(), error);
    let binary = home.path("binary");
    fs::write(&binary, b"[default]\nregion = \xff").unwrap();
    home.set("AWS_CONFIG_FILE", &binary);
    let message = format!("no credentials: profile ({binary} is not UTF-8 text)");
    assert_eq!(
        settings(&home.lookup(), None).unwrap_err().to_string(),
        message
    );
}

#[tokio::test]
async fn roles_are_taken_on_one_after_the_other() {
    let sts = Server::new([answer("FIRST"), answer("SECOND")]);
    let config = "[default]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = b\nservices = local\n\
        [profile b]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = c\n\
        [services local]\nsts =\n  endpoint_url = URL\ndynamodb =\n  endpoint_url = http://127.0.0.1:1\n";
    let home = Home::new(&config.replace("URL", &sts.url), &["[c]\n", KEYS].concat());
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "SECOND");
    let (first, second) = (sts.request(), sts.request());
    assert!(first.contains("Action=AssumeRole&"), "{first}");
    assert!(
        first.contains("role%2Fb") || first.contains("role/b"),
        "{first}"
    );
    assert!(first.contains("Credential=AKID/"), "{first}");
    assert!(
        second.contains("role%2Fa") || second.contains("role/a"),
        "{second}"
    );
    assert!(second.contains("Credential=FIRST/"), "{second}");
    assert!(!first.contains("XYZZY") && !second.contains("XYZZY"));
}

#[tokio::test]
async fn a_variable_says_where_sts_is_before_the_profile_does() {
    for variable in ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"] {
        let sts = Server::new([answer("ROLE")]);
        let config = "[default]\nrole_arn = arn:a\ncredential_source = Environment\nendpoint_url = http://127.0.0.1:1\n";
        let mut home = Home::new(config, "");
        home.set("AWS_ACCESS_KEY_ID", "AKENV");
        home.set("AWS_SECRET_ACCESS_KEY", "XYZZY");
        home.set(variable, &sts.url);
        assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "ROLE");
        assert!(sts.request().contains("Credential=AKENV/"));
    }
}

#[tokio::test]
async fn what_a_profile_leads_to_fails_for_the_profile() {
    let sts = Server::new([reply(403, "")]);
    let role = "[default]\nrole_arn = arn:a\nsource_profile = default\nendpoint_url = ";
    let home = Home::new(&[role, &sts.url, "\n", KEYS].concat(), "");
    let refused = id(&home.profile(None).unwrap()).await.unwrap_err();
    sts.request();
    // Not set up, and needed.
    let home = Home::new(
        "[default]\nrole_arn = arn:a\ncredential_source = Environment",
        "",
    );
    let absent = id(&home.profile(None).unwrap()).await.unwrap_err();
    let message = "no credentials: profile (the profile default leads to environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set))";
    assert_eq!(absent.to_string(), message);
    for error in [refused, absent] {
        let start = "no credentials: profile (the profile default leads to ";
        assert!(error.to_string().starts_with(start), "{error}");
        assert_eq!(error.trouble(), Trouble::Broken);
        assert!(!format!("{error} {error:?}").contains("XYZZY"));
    }
    // Nobody there: it may pass.
    let home = Home::new(&[role, &nobody(), "\n", KEYS].concat(), "");
    let error = id(&home.profile(None).unwrap()).await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Unavailable, "{error}");
}

#[cfg(feature = "credentials-container")]
#[tokio::test]
async fn a_container_that_is_not_there_is_a_mistake_in_the_profile() {
    let home = Home::new("[default]\ncredential_source = EcsContainer", "");
    let error = id(&home.profile(None).unwrap()).await.unwrap_err();
    let start = "no credentials: profile (the profile default leads to container (";
    assert!(error.to_string().starts_with(start), "{error}");
    assert_eq!(error.trouble(), Trouble::Broken);
}

#[cfg(feature = "credentials-web-identity")]
#[tokio::test]
async fn a_role_by_web_identity() {
    let sts = Server::new([answer("WEB"), answer("ROLE")]);
    let config = "[default]\nrole_arn = arn:a\nsource_profile = w\nendpoint_url = URL\n\
        [profile w]\nrole_arn = arn:w\nweb_identity_token_file = FILE\n";
    let home = Home::new("", "");
    home.write("token", "T0KEN");
    let config = config
        .replace("URL", &sts.url)
        .replace("FILE", &home.path("token"));
    home.write("config", &config);
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "ROLE");
    let (web, role) = (sts.request(), sts.request());
    assert!(web.contains("WebIdentityToken=T0KEN"), "{web}");
    assert!(
        web.contains("arn%3Aw") && !web.contains("Credential="),
        "{web}"
    );
    assert!(
        role.contains("arn%3Aa") && role.contains("Credential=WEB/"),
        "{role}"
    );
}

#[cfg(all(feature = "credentials-process", not(windows)))]
#[tokio::test]
async fn a_program_prints_the_keys() {
    let print = r#"[default]
credential_process = printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"XYZZY"}' "PRINTED"
[profile bad]
credential_process = echo XYZZY
"#;
    let home = Home::new(print, "");
    assert_eq!(id(&home.profile(None).unwrap()).await.unwrap(), "PRINTED");
    let error = id(&home.profile(Some("bad")).unwrap()).await.unwrap_err();
    let message = "no credentials: profile (the profile bad leads to credential_process (printed no JSON document))";
    assert_eq!(error.to_string(), message);
}

/// A marker in each place where a secret may stand, and in places where it must not.
#[tokio::test]
async fn no_error_and_no_debug_shows_a_secret() {
    const PROFILES: [&str; 15] = [
        "[default]\naws_access_key_id = AKID\naws_secret_access_key = XYZZY\naws_session_token = XYZZY",
        "[default]\naws_access_key_id = AKID\naws_secret_access_key = XYZZY\naws_session_token = XY\tXYZZY",
        "[default]\naws_secret_access_key = XYZZY",
        "[default]\naws_access_key_id = AKID\naws_secret_access_key = XYZZY # XYZZY\n  XYZZY",
        "[default]\naws_access_key_id = AKID\naws_secret_access_key XYZZY",
        "[default]\naws_access_key_id = AKID\nXYZZY",
        "[default]\nregion = x\n  aws_secret_access_key = XYZZY",
        "[default]\nregion =\n  XYZZY",
        "[default] XYZZY",
        "[\"XYZZY]",
        "XYZZY = x",
        "[default]\n= XYZZY",
        "[default]\nuse_fips_endpoint = XYZZY",
        "[default]\ncredential_process = false XYZZY",
        "[default]\nrole_arn = XYZZY\nexternal_id = XYZZY",
    ];
    for text in PROFILES {
        let home = Home::new(text, text);
        let profile = home.profile(None).unwrap();
        let seen = [
            format!("{profile:?} {profile:#?}"),
            format!("{:?}", profile.fetch().await),
            format!("{:?}", settings(&home.lookup(), None)),
            format!("{:?}", check_text(text, "", "default")),
            format!("{:?}", check_text("", text, "default")),
        ];
        assert!(!seen.concat().contains("XYZZY"), "{text}: {seen:#?}");
    }
    assert_eq!(
        format!("{:?}", Home::new("", "").profile(Some("dev")).unwrap()),
        "Profile(\"dev\")"
    );
}

#[test]
fn text_is_checked_without_files() {
    let keys = ["[dev]\n", KEYS].concat();
    assert_eq!(check_text("[default]\nregion = x", &keys, "dev"), Ok(()));
    assert!(check_text("[default]\nregion", &keys, "dev").is_err());
    assert!(check_text("[profile dev]\nuse_fips_endpoint = 1", &keys, "dev").is_err());
    assert!(check_text("[profile dev]\nrole_arn = arn:a", &keys, "dev").is_err());
}

/// The access key id that a profile gives.
async fn id(profile: &Profile) -> Result<String, CredentialsError> {
    let got = profile.fetch().await;
    got.map(|credentials| credentials.access_key_id().to_owned())
}

/// A home of its own, with the two files in it, and the variables of a process.
struct Home {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Home {
    fn new(config: &str, credentials: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dynolock-profile-{}-{nth}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join(".aws")).unwrap();
        let home = Self {
            variables: vec![("HOME".into(), folder.to_str().unwrap().into())],
            folder,
        };
        home.write("config", config);
        home.write("credentials", credentials);
        home
    }

    fn path(&self, file: &str) -> String {
        let path = self.folder.join(Path::new(".aws")).join(file);
        path.to_str().unwrap().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(0, (variable.into(), value.into()));
    }

    fn lookup(&self) -> impl Fn(&str) -> Option<String> {
        |name| {
            let found = self.variables.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        }
    }

    fn profile(&self, chosen: Option<&str>) -> Result<Profile, CredentialsError> {
        let variant = Variant::default();
        Profile::from_environment(
            &self.lookup(),
            chosen,
            &network(),
            Some("us-east-1"),
            variant,
        )
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What STS says when it gives a role.
fn answer(id: &str) -> Deed {
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>XYZZY</SecretAccessKey>\
         <SessionToken>T0KEN</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    );
    reply(200, &body)
}
