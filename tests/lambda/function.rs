//! `examples/lambda.rs` as a process of its own, which can be frozen.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokio::process::{Child, Command};

use crate::api::{Outcome, RuntimeApi};
use crate::scene::{SECRET, Scene, ms, soon, until};
use crate::support::example;

/// A function, the Runtime API that it serves, and the DynamoDB that it works on.
pub(crate) struct Function {
    child: Child,
    pub(crate) api: RuntimeApi,
    pub(crate) scene: Arc<Scene>,
}

impl Function {
    /// Starts it; completes once it has initialized, and its connection has arrived.
    pub(crate) async fn started() -> Self {
        let function = Self::started_with(&[]).await;
        // For the function it is there before the proxy has accepted it.
        until(|| function.scene.proxy.connections() > 0).await;
        function
    }

    pub(crate) async fn started_with(changes: &[Change<'_>]) -> Self {
        let scene = Arc::new(Scene::new().await);
        let seen = Arc::clone(&scene);
        let api = RuntimeApi::new(move || seen.proxy.requests());
        let mut command = command(&api, &scene, changes);
        let child = command.spawn().expect("the example starts");
        let function = Self { child, api, scene };
        function.until_asked(1).await;
        function
    }

    /// Puts an order that is to be shipped.
    pub(crate) async fn order(&self, id: &str) {
        self.scene.put(id, json!({"state": {"S": "paid"}})).await;
    }

    /// Tells it to ship an order; the request id.
    pub(crate) fn invoke(&self, order: &str, deadline: SystemTime) -> String {
        self.api.invoke(&json!({"order": order}), deadline)
    }

    /// Waits for what becomes of an invocation, and until the next one is asked for.
    pub(crate) async fn outcome(&self, id: &str) -> Outcome {
        until(|| self.api.outcome(id).is_some()).await;
        let outcome = self.api.outcome(id).expect("it is there");
        let nth: usize = id
            .rsplit('-')
            .next()
            .and_then(|it| it.parse().ok())
            .expect("a number");
        self.until_asked(nth + 1).await;
        outcome
    }

    async fn until_asked(&self, times: usize) {
        until(|| self.api.asked() >= times).await;
    }

    /// Stops it where it is, as Lambda freezes an environment.
    pub(crate) async fn freeze(&self) {
        self.signal("-STOP").await;
        soon(async {
            while !self.state().await.starts_with('T') {
                tokio::time::sleep(ms(2)).await;
            }
        })
        .await;
    }

    pub(crate) async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.pid()]).status();
        assert!(done.await.expect("kill runs").success(), "kill {signal}");
    }

    /// As `ps` shows it: `T` is stopped.
    async fn state(&self) -> String {
        let mut command = Command::new("ps");
        command.args(["-o", "stat=", "-p", &self.pid()]);
        let told = command.output().await.expect("ps runs");
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    fn pid(&self) -> String {
        self.child.id().expect("it runs").to_string()
    }
}

/// A variable of the environment and its value; without one it is taken away.
pub(crate) type Change<'a> = (&'a str, Option<&'a str>);

/// Runs it to its end, in an environment with these changes; with how long that took.
pub(crate) async fn run_with(
    api: &RuntimeApi,
    scene: &Scene,
    changes: &[Change<'_>],
) -> (Output, Duration) {
    let mut command = command(api, scene, changes);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let output = soon(command.output()).await.expect("the example starts");
    (output, started.elapsed())
}

/// The function with the environment that Lambda gives it, with these changes, and nothing of ours.
fn command(api: &RuntimeApi, scene: &Scene, changes: &[Change<'_>]) -> Command {
    let mut command = Command::new(binary());
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let variables = [
        ("AWS_LAMBDA_RUNTIME_API", api.authority()),
        ("AWS_LAMBDA_FUNCTION_NAME", "ship".into()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".into()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/ship".into()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]1".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", "AKIDTEST".into()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
        ("AWS_ENDPOINT_URL_DYNAMODB", scene.proxy.url()),
        // Where the features are on, no file and no network of this machine is asked.
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ("TABLE", scene.table.clone()),
    ];
    command.envs(variables);
    for (name, value) in changes {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Built once, for all tests of this program.
fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| example::built(&["lambda"]).join("lambda"));
    &BINARY
}
