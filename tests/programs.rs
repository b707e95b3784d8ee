//! What the examples are as programs: a bad environment ends each by one clear line and a status,
//! within a second. `tests/lambda/` has it of `lambda`.

#![allow(
    clippy::disallowed_methods,
    reason = "the clock and the processes of the tests, not of the library"
)]

mod scene;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use scene::{Scene, soon};
use support::{example, refusing_url};

/// Those that run on an engine of their own, or on the server that the command line names.
const PLACED: [&str; 8] = [
    "quickstart",
    "leader_election",
    "migrate_record",
    "resume_job",
    "transfer",
    "run_once",
    "fencing",
    "read_modify_write",
];

/// As DynamoDB has it.
const NO_TABLE: &str = "ResourceNotFoundException";

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut names = PLACED.to_vec();
    names.push("minimal");
    example::built(&names)
});

/// A program with nothing in its environment.
fn program(name: &str) -> Command {
    let mut command = Command::new(FOLDER.join(name));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs it to its end, and takes the time.
fn run(command: &mut Command) -> (Output, Duration) {
    let started = Instant::now();
    let output = command.output().expect("the example starts");
    (output, started.elapsed())
}

#[track_caller]
fn assert_ends(mut command: Command, words: &str, what: &str) {
    // Once more where others kept the processor from it.
    let tries = std::iter::repeat_with(|| run(&mut command)).take(3);
    let mut took = Duration::MAX;
    for (output, this) in tries {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert_eq!(said.lines().count(), 1, "{what}: {said}");
        assert!(said.contains(words), "{what}: {said}");
        took = took.min(this);
        if took < Duration::from_secs(1) {
            return;
        }
    }
    panic!("{what}: it took {took:?}");
}

/// The smallest program in the environment that it needs, less one variable and with another.
fn minimal(scene: &Scene, less: &str, with: Option<(&str, &str)>, table: &str) -> Command {
    let variables = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_DYNAMODB", scene.engine.url()),
    ];
    let mut command = program("minimal");
    command.args([table, "key"]);
    command.envs(variables.into_iter().filter(|(name, _)| *name != less));
    command.envs(with);
    command
}

#[tokio::test]
async fn a_bad_environment_ends_the_smallest_program() {
    let scene = Scene::new().await;
    // A server that has just started may be slow with the first.
    let lock = scene.lock(&scene.rival(), "warm");
    soon(soon(lock.acquire()).await.expect("free").release())
        .await
        .expect("ours");
    // In a good one it says nothing: what follows has its line for one reason alone.
    let (output, _) = run(&mut minimal(&scene, "", None, &scene.table));
    assert!(output.status.success() && output.stderr.is_empty());

    let table = scene.table.as_str();
    let case = |less, with| minimal(&scene, less, with, table);
    let endpoint = |url| Some(("AWS_ENDPOINT_URL_DYNAMODB", url));
    assert_ends(case("AWS_REGION", None), "AWS_REGION", "no region");
    for less in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert_ends(case(less, None), less, "no credentials");
    }
    let command = minimal(&scene, "", None, "nothing");
    assert_ends(command, NO_TABLE, "no table");
    let refusing = refusing_url();
    let refusing = refusing.as_str();
    assert_ends(case("", endpoint(refusing)), refusing, "nobody listens");
    // Whether a server says so, or none answers.
    let nowhere = "http://nowhere.invalid";
    assert_ends(case("", endpoint(nowhere)), "in time", "no such host");
}

#[tokio::test]
async fn a_bad_place_ends_every_other_example() {
    let scene = Scene::new().await;
    let refusing = refusing_url();
    let at = |name, url: &str, table: &str| {
        let mut command = program(name);
        command.args(["--endpoint-url", url, "--table", table]);
        command
    };
    for name in PLACED {
        let command = at(name, scene.engine.url(), "nothing");
        assert_ends(command, NO_TABLE, &format!("{name}: no table"));
        let command = at(name, &refusing, &scene.table);
        assert_ends(command, &refusing, &format!("{name}: nobody listens"));
    }
}

/// None is forgotten: `oracle` answers what it is asked, and speaks to nobody.
#[test]
fn every_example_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).expect("examples");
    let paths = files.map(|file| file.expect("a file").path());
    let sources = paths.filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let mut found: Vec<_> = sources
        .map(|path| path.file_stem().expect("a name").to_owned())
        .collect();
    found.sort();
    let mut listed = PLACED.to_vec();
    listed.extend(["lambda", "minimal", "oracle"]);
    listed.sort_unstable();
    assert_eq!(found, listed);
}

/// Or the programs are others than those that `cargo test` builds.
#[test]
fn every_feature_is_passed_on() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("a manifest");
    let (_, rest) = manifest.split_once("[features]\n").expect("features");
    let (features, _) = rest.split_once("\n[").expect("what follows");
    let names = features.lines().filter_map(|line| line.split_once(" = ["));
    let mut declared: Vec<_> = names.map(|(name, _)| name).collect();
    declared.sort_unstable();
    let mut passed = example::FEATURES.map(|(name, _)| name);
    passed.sort_unstable();
    assert_eq!(declared, passed);
}
