//! Locks an item with credentials that the crate `aws-config` finds: single sign-on, or a provider
//! of one's own. Whoever has the SDK anyway configures both alike.
//!
//! `with-aws-config TABLE KEY` locks the item of `TABLE` whose partition key `id` is `KEY`.

use std::error::Error;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(table), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("usage: with-aws-config TABLE KEY".into());
    };
    // Any provider will do; `aws_config::load_defaults(..).await.credentials_provider()` gives the
    // SDK's own chain, where its features are on.
    let variables = EnvironmentVariableCredentialsProvider::new();
    let provider = CredentialsProviderChain::first_try("variables", variables);

    let client = dynolock::Client::builder()
        .environment() // region and endpoint
        .credentials_provider(provider)
        .build()?;
    let lease = client.lock(table, ("id", key)).acquire().await?;
    println!("locked, with token {}", lease.fencing_token());
    lease.release().await?;
    Ok(())
}
