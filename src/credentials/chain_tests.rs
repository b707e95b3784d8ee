use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::runtime::Tokio;

type Given = Result<Credentials, CredentialsError>;

/// Gives what the test has laid out, one a call; then it hangs.
struct Laid {
    name: &'static str,
    out: Mutex<VecDeque<Given>>,
}

impl fmt::Debug for Laid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Fetch for Laid {
    fn fetch(&self) -> BoxFuture<Given> {
        let given = self.out.lock().unwrap().pop_front();
        Box::pin(async move {
            match given {
                Some(given) => given,
                None => std::future::pending().await,
            }
        })
    }
}

fn source<const N: usize>(name: &'static str, out: [Given; N]) -> Candidate {
    let out = Mutex::new(out.into());
    Ok(Arc::new(Laid { name, out }))
}

fn key(id: &str) -> Given {
    Ok(Credentials::new(id, "secret").unwrap())
}

fn absent(name: &str) -> CredentialsError {
    CredentialsError::new(name, "not set")
}

async fn asked(chain: &Chain) -> Result<String, String> {
    match chain.fetch().await {
        Ok(credentials) => Ok(credentials.access_key_id().into()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn what_is_absent_is_passed_over_and_named_where_nothing_comes() {
    let candidates = || vec![Err(absent("a")), source("b", [Err(absent("b"))])];
    let with_another = [candidates(), vec![source("c", [key("C")])]].concat();
    let chain = Chain::of(with_another);
    assert_eq!(asked(&chain).await.unwrap(), "C");
    let chain = Chain::of(candidates());
    let error = asked(&chain).await.unwrap_err();
    assert_eq!(error, "no credentials: a (not set), b (not set)");
}

#[tokio::test]
async fn what_is_set_up_and_does_not_work_ends_the_chain() {
    for error in [
        CredentialsError::broken("b", "wrong"),
        CredentialsError::unavailable("b", "down"),
    ] {
        let chain = vec![
            Err(absent("a")),
            source("b", [Err(error.clone())]),
            source("c", [key("C")]),
        ];
        let chain = Chain::of(chain);
        let got = chain.fetch().await.unwrap_err();
        assert_eq!(got.trouble(), error.trouble());
        let text = got.to_string();
        assert!(
            text.starts_with("no credentials: a (not set), b ("),
            "{text}"
        );
    }
    let broken = Err(CredentialsError::broken("a", "wrong"));
    let error = check(&[broken, source("b", [])]).unwrap_err();
    assert_eq!(error.to_string(), "no credentials: a (wrong)");
}

/// A file that is caught half written must not make the program somebody else.
#[tokio::test]
async fn who_has_given_once_is_asked_alone_from_then_on() {
    let first = [Err(absent("a")), key("WRONG")];
    let second = [key("B1"), Err(absent("b")), key("B2")];
    let chain = Chain::of(vec![source("a", first), source("b", second)]);
    assert_eq!(asked(&chain).await.unwrap(), "B1");
    let error = chain.fetch().await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert_eq!(asked(&chain).await.unwrap(), "B2");
}

#[test]
fn who_waits_can_say_for_what() {
    let chain = vec![Err(absent("a")), source("b", [])];
    let chain = Chain::of(chain);
    assert_eq!(chain.waiting_for(), None);
    let mut fetch = chain.fetch();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(fetch.as_mut().poll(&mut cx).is_pending());
    assert_eq!(
        chain.waiting_for().unwrap().to_string(),
        "no credentials: a (not set), b (no answer yet)"
    );
}

/// The first word of what would be asked first, or the error.
fn first(variables: &[(&str, &str)], profile: Option<&str>) -> String {
    let lookup = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let network = Network::plain(Arc::new(Tokio::new()), Duration::from_secs(1));
    let source = default_source(&Setting {
        lookup: &lookup,
        profile,
        network: &network,
        region: "eu-west-1",
        variant: Variant::default(),
    });
    let shown = match source {
        Ok(source) => format!("{source:?}"),
        Err(error) => return error.to_string(),
    };
    let name = shown.trim_start_matches('[');
    let end = name.find(|c: char| !c.is_alphanumeric());
    name[..end.unwrap_or(name.len())].to_owned()
}

const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKID"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];
const IDENTITY: [(&str, &str); 3] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
    ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
    ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1"),
];
const PROFILE: [(&str, &str); 1] = [("AWS_PROFILE", "work")];
const CONTAINER: [(&str, &str); 1] =
    [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")];

#[cfg(all(
    feature = "credentials-web-identity",
    feature = "credentials-profile",
    feature = "credentials-container",
    feature = "credentials-imds"
))]
#[test]
fn the_order_is_that_of_the_sdks() {
    let all = [&KEYS[..], &IDENTITY, &PROFILE, &CONTAINER].concat();
    assert_eq!(first(&all, None), "FixedCredentials");
    assert_eq!(first(&all[2..], None), "WebIdentity");
    assert_eq!(first(&all[5..], None), "Profile");
    // Whether there is a profile, only its files tell.
    assert_eq!(first(&CONTAINER, None), "Profile");
    // One that is named comes before what variables say.
    assert_eq!(first(&all, Some("work")), "Profile");
}

#[cfg(not(any(
    feature = "credentials-web-identity",
    feature = "credentials-profile",
    feature = "credentials-imds"
)))]
#[test]
fn what_is_set_up_for_a_feature_that_is_off_is_not_passed_over() {
    let all = [&KEYS[..], &IDENTITY, &PROFILE, &CONTAINER].concat();
    assert_eq!(first(&all, None), "FixedCredentials");
    for (variables, missing) in [
        (
            &IDENTITY[..],
            "web identity (AWS_WEB_IDENTITY_TOKEN_FILE is set, but this program is built without \
             the feature credentials-web-identity)",
        ),
        (
            &PROFILE,
            "profile (AWS_PROFILE is set, but this program is built without the feature \
             credentials-profile)",
        ),
    ] {
        let error = first(&[variables, &CONTAINER].concat(), None);
        assert!(error.ends_with(missing), "{error}");
    }
    let error = first(&[], None);
    let last = "instance metadata (this program is built without the feature credentials-imds)";
    assert!(error.ends_with(last), "{error}");
    #[cfg(feature = "credentials-container")]
    assert_eq!(first(&CONTAINER, None), "Container");
}
