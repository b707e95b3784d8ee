//! Hands a held lease to another process, without a gap.

use std::sync::atomic::Ordering;

use crate::error::Error;
use crate::protocol::LeaseToken;

use super::Lease;

impl Lease {
    /// Turns the lease into a token that another process can [resume](crate::Lock::resume). The
    /// lock stays held meanwhile, by nobody's doing: it is not renewed, and ends with its lease
    /// unless it is resumed before another takes it over. [`extend`](Self::extend) it before,
    /// where the way is long.
    ///
    /// From here on this lease is over: its heartbeat has ended and its watchers see it given
    /// back. Waits for a renewal under way. Errors where the lease is lost. Dropping the future
    /// releases the lock in the background.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # async fn run(lock: dynolock::Lock) -> Result<(), dynolock::Error> {
    /// let lease = lock.acquire().await?;
    /// lease.extend(Duration::from_secs(60)).await?; // time for the next to start
    /// let text = lease.into_token().await?.to_string();
    ///
    /// // Elsewhere, given the text:
    /// let lease = lock.resume(&text.parse()?).await?;
    /// lease.release().await
    /// # }
    /// ```
    pub async fn into_token(self) -> Result<LeaseToken, Error> {
        let core = &self.core;
        let _writing = core.turn_to_write().await?;
        if let Some(lost) = core.lost(core.client.runtime.now()) {
            return Err(lost.into());
        }
        // Dropping the lease is no release any more.
        core.releasing.store(true, Ordering::SeqCst);
        core.stop();
        core.pass_on_turn();
        let token = core.state().token();
        Ok(token)
    }
}
