//! A lock seen from outside: who holds it, until it is free, and taking it away.

use std::sync::Arc;

use crate::acquire::Acquisition;
use crate::client::Shared;
use crate::error::Error;
use crate::lock::Lock;
use crate::options::Terms;
use crate::protocol::{Forced, ForcedRelease, Holder, Verdict};
use crate::wire::{Failure, Outcome};

impl Lock {
    /// Who holds the lock, since when, until when and with which token; `None` where it is free
    /// or there is no such item.
    ///
    /// One strongly consistent read (`GetItem`), which changes nothing; more only where it fails
    /// for a passing reason, up to the [timeout](Self::timeout). A holder whose lease is past is
    /// shown all the same: [`Holder::expires_at`] tells. The local queue is not entered.
    ///
    /// Errors: [`is_bad_attribute`](Error::is_bad_attribute) where the lock cannot be read;
    /// [`is_timeout`](Error::is_timeout) where DynamoDB did not serve us in time; at once where
    /// an option is invalid, or where trying again is of no use (no such table, no permission).
    /// Dropping the future leaves nothing behind.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// match lock.holder().await? {
    ///     Some(holder) => println!("{holder} since {:?}", holder.acquired_at()),
    ///     None => println!("free"),
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn holder(&self) -> Result<Option<Holder>, Error> {
        holder(&self.client.shared, self.options.parse()?).await
    }

    /// Waits until nobody holds the lock, without acquiring it, up to the
    /// [timeout](Self::timeout).
    ///
    /// Free is also what [`acquire`](Self::acquire) would take over: an expiry that is past by
    /// more than [`max_clock_skew`](Self::max_clock_skew), or a lock that was seen unchanged for
    /// the length of its lease. By the time this returns another may have acquired it.
    ///
    /// Reads (`GetItem`) at the retry interval, and writes nothing. The local queue is not
    /// entered: it waits as well for a lease of this client, and beside its waiters. Errors as for
    /// [`acquire`](Self::acquire). Dropping the future leaves nothing behind.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// lock.wait_free().await?;
    /// println!("whoever was at it is done");
    /// # Ok(()) }
    /// ```
    pub async fn wait_free(&self) -> Result<(), Error> {
        let terms = self.options.parse()?;
        self.cancellable(wait_free(&self.client.shared, terms))
            .await?
    }

    /// Takes the lock away from `holder`, by force: for operators, who know that it is stuck.
    ///
    /// `true`: the lock is free, and its fencing token is one larger. `false`: it is no longer as
    /// `holder` saw it (renewed, released, taken over, broken by somebody else), or was released
    /// when it was seen. A holder that renews itself is soon out of date: ask for it right before
    /// ([`holder`](Self::holder)), and again after `false`.
    ///
    /// **The deposed holder is not told.** Its next write is refused, and its lease is
    /// [lost](crate::Lease::lost): [`Removed`](crate::Lost::Removed), or
    /// [`TakenOver`](crate::Lost::TakenOver) where another was faster. Until then, at the latest
    /// until its lease ends, it goes on believing that it holds, while another may have acquired
    /// the lock. What it writes under the lease is refused from now on, and so is its fencing
    /// token by whoever has seen a larger one; anything else that it does is not stopped. Its own
    /// client's queue stays closed for as long.
    ///
    /// One conditional write (`UpdateItem`); more only where it fails for a passing reason, up to
    /// the [timeout](Self::timeout). Where an answer was lost, the next one tells: a lock that is
    /// free with its token raised by one is broken; one that others have acquired since is
    /// `false`. Errors: [`is_outcome_unknown`](Error::is_outcome_unknown) where no answer told,
    /// [`is_bad_attribute`](Error::is_bad_attribute) where the lock cannot be read, otherwise as
    /// for [`holder`](Self::holder). Dropping the future leaves open whether the lock is broken.
    ///
    /// ```no_run
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// if let Some(holder) = lock.holder().await?
    ///     && holder.owner() == Some("worker-7")
    /// {
    ///     println!("broken: {}", lock.break_held(&holder).await?);
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn break_held(&self, holder: &Holder) -> Result<bool, Error> {
        break_held(&self.client.shared, self.options.parse()?, holder).await
    }
}

/// Who holds the lock, by one read; `None` where it is free.
async fn holder(client: &Arc<Shared>, terms: Terms) -> Result<Option<Holder>, Error> {
    let mut look = Acquisition::reading(client, terms)?;
    loop {
        match look.attempt().await? {
            Verdict::Again => {}
            Verdict::Failed(error) => return Err(error),
            Verdict::Held | Verdict::Free | Verdict::Acquired(_) => {
                return Ok(look.holder().cloned());
            }
        }
    }
}

/// Reads until nobody holds the lock.
async fn wait_free(client: &Arc<Shared>, terms: Terms) -> Result<(), Error> {
    let mut look = Acquisition::reading(client, terms)?;
    loop {
        match look.attempt().await? {
            Verdict::Held | Verdict::Again => {}
            Verdict::Failed(error) => return Err(error),
            Verdict::Free | Verdict::Acquired(_) => return Ok(()),
        }
    }
}

/// Takes the lock away from `holder`; `false` where it no longer stands as it was seen.
async fn break_held(client: &Arc<Shared>, terms: Terms, holder: &Holder) -> Result<bool, Error> {
    let runtime = &client.runtime;
    if !runtime.is_running() {
        return Err(Error::no_runtime());
    }
    if holder.is_gone() {
        return Ok(false);
    }
    let now = runtime.now();
    let until = now.mono.plus(terms.patience_to_look(now)?);
    let unix_millis = (client.trust().expiry_base(now).0 / 1_000_000).max(0);
    let mut forced = ForcedRelease::of(holder, unix_millis);
    let mut jitter = client.jitter()?;
    let mut failures = 0;
    loop {
        let outcome = match client.credentials(until).await {
            Ok(credentials) => {
                let (sent, skew) = (runtime.now(), terms.max_clock_skew);
                let timeout = client.attempt_timeout.min(until.since(sent.mono));
                let write = forced.attempt(&terms);
                let answer = client.send(&write, &credentials, sent, timeout, skew);
                drop(write);
                answer.await.outcome
            }
            Err(failure) => Outcome::NotApplied(failure),
        };
        let failure = match forced.answered(outcome, &terms.names) {
            Forced::Broken => return Ok(true),
            Forced::Changed => return Ok(false),
            Forced::Unreadable(bad) => return Err(bad.into()),
            Forced::Failed(failure) => failure,
        };
        if !failure.kind.is_passing() {
            return Err(given_up(&forced, failure, Error::failed));
        }
        failures += 1;
        let pause = client.pause(failures, &failure, terms.retry_interval, &mut jitter);
        let again = runtime.now().mono.plus(pause);
        runtime.sleep_until(again.min(until)).await;
        let now = runtime.now();
        if now.mono >= until || terms.limit.left(now).is_zero() {
            let late = |failure| Error::out_of_time(Some(failure));
            return Err(given_up(&forced, failure, late));
        }
    }
}

fn given_up(
    forced: &ForcedRelease<'_>,
    failure: Failure,
    not_applied: impl FnOnce(Failure) -> Error,
) -> Error {
    match forced.is_unsettled() {
        true => Error::outcome_unknown(failure),
        false => not_applied(failure),
    }
}
