//! Locks in AWS Lambda: what to set, what it costs, how to build the function.
//!
//! `examples/lambda.rs` is a whole function on the `lambda_runtime` crate; `tests/lambda/` invokes
//! it on loopback, freezes it, and takes its lock over meanwhile. Its handler comes down to this:
//!
//! ```no_run
//! use std::time::SystemTime;
//! use dynolock::{Client, Error, Update};
//!
//! // While the function initializes, once:
//! async fn init() -> Result<Client, Error> {
//!     let client = Client::from_env()?;
//!     client.connect().await?;
//!     Ok(client)
//! }
//!
//! // For each invocation; `deadline` is `context.deadline()` less the time that the answer needs.
//! async fn ship(client: &Client, order: &str, deadline: SystemTime) -> Result<(), Error> {
//!     let lock = client.lock("orders", ("id", order)).existing_only().deadline(deadline);
//!     let shipped = async { lock.acquire().await?.commit(Update::new().set("state", "shipped")).await };
//!     let shipped = shipped.await;
//!     client.drain().await; // nothing runs after the answer
//!     shipped
//! }
//! ```
//!
//! # Why it needs more than elsewhere
//!
//! **It ends at a known instant.** At the function's timeout the environment is stopped, wherever
//! it is
//! ([AWS: timeout](https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html)).
//! With a [deadline](crate::Lock::deadline) the wait, the retries and every lease end before it or
//! with it, so that no lock goes on after its holder was stopped. An invocation with too little
//! time left is refused at once, with an error that [says so](crate::Error::is_deadline).
//!
//! **It is frozen after its answer**, tasks in the background and all, and is thawed for the next
//! invocation, or never
//! ([AWS: execution environment](https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html)).
//! So everything is released before, [`drain`](crate::Client::drain) included. What was held
//! nevertheless is known to be lost after a thaw, by whichever clock has gone on; what it still
//! writes is refused once another has the lock. A connection that DynamoDB has closed meanwhile is
//! noticed before it is used: the first request of the next invocation goes out over a new one.
//!
//! # What to set
//!
//! | what | to |
//! |---|---|
//! | [`deadline`](crate::Lock::deadline) | `context.deadline()` less some 300 ms, anew for each invocation: where DynamoDB does not answer, `drain` takes until then, and the function's own answer comes after it |
//! | timeout of the function | the work, the wait for the lock, and a second: so much is [kept back](crate::Lock::deadline) |
//! | [`lease`](crate::Lock::lease) | for how long a crash may block the others: 10 s is a good choice. The default of 500 ms leaves a function with a small share of a CPU little time for a renewal |
//! | [`timeout`](crate::Lock::timeout) | short: waiting is paid for. Where the event comes from a queue, fail and let it come again |
//! | [`heartbeat`](crate::Lock::heartbeat) | nothing; work that is shorter than a seventh of the lease sends none |
//! | [`attempt_timeout`](crate::ClientBuilder::attempt_timeout) | nothing: 1 s |
//! | memory | CPU comes with memory, one whole at 1,769 MB ([AWS: memory](https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html)). The handshake of TLS is what takes longer with less |
//! | runtime of Tokio | `current_thread`, below 1,769 MB |
//! | region, credentials | nothing: [`Client::from_env`](crate::Client::from_env) reads what Lambda sets |
//!
//! The role of the function needs `dynamodb:UpdateItem` on the table, beside
//! `AWSLambdaBasicExecutionRole` for its logs; the README lists what needs more:
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [{
//!     "Effect": "Allow",
//!     "Action": ["dynamodb:UpdateItem"],
//!     "Resource": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
//!   }]
//! }
//! ```
//!
//! # What it costs
//!
//! Two requests an invocation, to lock and read and to write and release; one more for each step
//! in between, and one for each heartbeat of work that is longer. The [guide](crate::guide) has
//! the capacity that they take. An invocation that waits is paid for by the millisecond and tries
//! ten times a second by default: a longer [`retry_interval`](crate::Lock::retry_interval) or
//! [`poll_by_reading`](crate::Lock::poll_by_reading) makes that cheaper.
//!
//! [`connect`](crate::Client::connect) takes the connection and its handshake out of the first
//! invocation into the initialization.
//!
//! # Provisioned concurrency, SnapStart
//!
//! With
//! [provisioned concurrency](https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html)
//! the initialization is long over when the first invocation comes, and the connection may have
//! been closed since. It is opened anew then, as after a freeze; nothing is to be done.
//!
//! With [SnapStart](https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html), where the runtime
//! that you build for has it, the initialized environment is copied. A client may be built and
//! connected before: the version of each acquisition, and what spreads the attempts of a waiter,
//! are fetched from the operating system each time, so that two copies never take one another's
//! lock for their own. Connections do not outlive the copying, and are opened anew. Credentials
//! come from the container endpoint then (feature `credentials-container`, on by default). Acquire
//! nothing before the snapshot: a lease that is copied has two holders, of whom only the
//! conditions of their writes let through the first. `lambda_runtime` has a hook that runs after
//! the restore (`SnapStartResource::after_restore`), a good place for another
//! [`connect`](crate::Client::connect).
//!
//! # How to build it
//!
//! Lambda starts a program named `bootstrap` from the zip, on the runtime `provided.al2023`
//! ([AWS: Rust](https://docs.aws.amazon.com/lambda/latest/dg/rust-package.html)). With
//! [cargo-lambda](https://www.cargo-lambda.info), which brings what is needed to link for the other
//! architecture:
//!
//! ```console
//! $ cargo lambda build --release --arm64 --output-format zip      # or --x86-64
//! ```
//!
//! or by hand, on a machine that has a C compiler for the target, which `ring` needs:
//!
//! ```console
//! $ rustup target add aarch64-unknown-linux-musl                  # or x86_64-unknown-linux-musl
//! $ cargo build --release --target aarch64-unknown-linux-musl
//! $ cp target/aarch64-unknown-linux-musl/release/ship bootstrap && zip ship.zip bootstrap
//! $ aws lambda create-function --function-name ship --zip-file fileb://ship.zip \
//!     --runtime provided.al2023 --architectures arm64 --handler bootstrap \
//!     --role arn:aws:iam::123456789012:role/ship --environment 'Variables={TABLE=orders}'
//! ```
//!
//! Nothing in the crate depends on the architecture. A profile with `opt-level = "s"`,
//! `lto = "fat"`, `codegen-units = 1` and `strip = true` makes the program smaller. With
//! `panic = "abort"` it is smaller still, and a panic ends the environment; the lock then ends with
//! its lease.
//!
//! The commands of this section are not run by the tests, nor is the function deployed by them:
//! what they run is the example as it is built for the machine that they run on.
