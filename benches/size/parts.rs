//! `minimal` and one part more: what the part adds to a program that uses it.

use std::process::ExitCode;

use dynolock::{Client, Error, Lock};
#[cfg(any(feature = "update", feature = "transaction"))]
use dynolock::Update;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(table), Some(key)) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(64);
    };
    match run(table, key).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(table: String, key: String) -> Result<(), Error> {
    let client = Client::from_env()?;
    let lock = client.lock(table, ("id", key));
    #[cfg(feature = "poll")]
    let lock = lock.poll_by_reading();
    part(&client, &lock).await?;
    let lease = lock.acquire().await?;
    #[cfg(feature = "update")]
    {
        let step: u64 = lease.item().get_as("step")?;
        lease.update(Update::new().set("step", step + 1)).await?;
        lease.commit(Update::new().add("done", 1)).await
    }
    #[cfg(feature = "transaction")]
    {
        let update = Update::new().add("done", 1);
        client.transaction().update(&lease, update).send().await?;
    }
    #[cfg(not(feature = "update"))]
    lease.release().await
}

async fn part(_client: &Client, _lock: &Lock) -> Result<(), Error> {
    #[cfg(feature = "lock-all")]
    _client.lock_all([_lock.clone()]).acquire().await?.release().await?;
    #[cfg(feature = "look")]
    if let Some(holder) = _lock.holder().await? {
        _lock.break_held(&holder).await?;
    }
    #[cfg(feature = "hand-on")]
    {
        let token = _lock.acquire().await?.into_token().await?.to_string();
        _lock.resume(&token.parse()?).await?.release().await?;
    }
    Ok(())
}
