//! The heartbeat of a lease: when the next one is due, and what it does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::error::Error;
use crate::heart::{Beating, Entry, Heart, NoRuntime};
use crate::protocol::{Jitter, Renewed};
use crate::runtime::{BoxFuture, Event};

use super::core::{Core, renew_once};

/// So large a part of its period is how late a heartbeat may be because others are under way.
const PATIENCE: u32 = 10;
/// And so large a part of what is left of the lease by then, at most.
const OF_THE_REST: u32 = 4;

/// The heartbeat of a lease that has one and is not over.
pub(super) struct Heartbeat {
    heart: Arc<Heart>,
    jitter: Jitter,
    /// In a row.
    failures: u32,
    /// From which write on the next one counts.
    counted_from: Monotonic,
    /// Where the next one is entered, or was.
    entry: Option<Entry>,
}

impl Core {
    /// Starts the heartbeat, unless there is one or the lease is over.
    pub(super) fn start_heartbeat(self: &Arc<Self>) -> Result<(), Error> {
        let client = &self.client;
        let jitter = client.jitter()?;
        {
            let mut heartbeat = self.heartbeat();
            if heartbeat.is_some() || self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            *heartbeat = Some(Heartbeat {
                heart: client.hearts.here(&*client.runtime),
                jitter,
                failures: 0,
                counted_from: self.state().sent_at(),
                entry: None,
            });
        }
        let Some(due) = self.next_beat() else {
            return Ok(());
        };
        self.plan(due).inspect_err(|_| self.end_heartbeat())
    }

    /// Whether it is renewed by itself.
    pub(super) fn has_heartbeat(&self) -> bool {
        self.heartbeat().is_some()
    }

    pub(super) fn end_heartbeat(&self) {
        let heartbeat = self.heartbeat().take();
        if let Some(Heartbeat { heart, entry, .. }) = heartbeat
            && let Some(entry) = entry
        {
            heart.remove(entry);
        }
    }

    /// Renews, unless it is too early or no use. When to look again; `None` once it is over.
    async fn beat_once(&self) -> Option<Monotonic> {
        let (client, period) = (&self.client, self.terms.heartbeat);
        let now = client.runtime.now();
        if self.over.load(Ordering::SeqCst) || self.lost(now).is_some() {
            return None;
        }
        // An update may have renewed it meanwhile.
        let sent = self.state().sent_at();
        if self.heartbeat().as_ref()?.counts_no_longer_from(sent) {
            return self.next_beat();
        }
        // Looked at again later: it may be made shorter.
        if !self.state().can_last_longer() {
            self.heartbeat().as_mut()?.failures = 0;
            return Some(now.mono.plus(period));
        }
        let renewed = {
            // A write under way renews. Waiting for it here would keep up the heartbeats of others.
            let Ok(_writing) = self.writing.try_lock() else {
                return Some(now.mono.plus(period / PATIENCE));
            };
            let duration = self.state().duration();
            let ends = self.ends();
            renew_once(client, &self.terms, &self.state, duration, ends).await
        };
        match renewed {
            Renewed::Done { recovered } => {
                let version = &self.version;
                client.runtime.note(Event::Renewed { version, recovered });
                self.heartbeat().as_mut()?.failures = 0;
                self.changed.notify_waiters();
                self.next_beat()
            }
            Renewed::Lost(_) => {
                self.lost(client.runtime.now());
                None
            }
            Renewed::Failed(failure) => {
                let now = client.runtime.now();
                let mut heartbeat = self.heartbeat();
                let heartbeat = heartbeat.as_mut()?;
                heartbeat.failures += 1;
                let pause = self.pause(heartbeat.failures, &failure, &mut heartbeat.jitter);
                Some(now.mono.plus(pause))
            }
        }
    }

    /// When the next one is due, counted from the last write: a fifth of the period sooner at
    /// most, so that leases that were acquired together are not renewed together.
    fn next_beat(&self) -> Option<Monotonic> {
        let sent = self.state().sent_at();
        let mut heartbeat = self.heartbeat();
        let heartbeat = heartbeat.as_mut()?;
        heartbeat.counted_from = sent;
        Some(sent.plus(heartbeat.jitter.up_to(self.terms.heartbeat)))
    }

    /// Enters it in the heart, at the end of the lease at the latest.
    fn plan(self: &Arc<Self>, due: Monotonic) -> Result<(), Error> {
        let ends = self.ends();
        let due = due.min(ends);
        if let Some(heartbeat) = &mut *self.heartbeat() {
            let patience = patience(heartbeat.failures, self.terms.heartbeat, ends.since(due));
            self.enter(heartbeat, due, due.plus(patience))?;
        }
        Ok(())
    }

    /// Has the heartbeat look at the lease now: it may be lost with another of its set.
    ///
    /// Called by the queue under its lock, too: must not call back.
    pub(super) fn hurry_heartbeat(self: &Arc<Self>) {
        if let Some(heartbeat) = &mut *self.heartbeat()
            && let Some(entry) = heartbeat.entry
            // One that is under way enters the next by itself.
            && heartbeat.heart.remove(entry)
        {
            let now = self.client.runtime.now().mono;
            // Fails only where the runtime ends.
            let _ = self.enter(heartbeat, now, now);
        }
    }

    fn enter(
        self: &Arc<Self>,
        heartbeat: &mut Heartbeat,
        due: Monotonic,
        latest: Monotonic,
    ) -> Result<(), Error> {
        let core: Weak<Self> = Arc::downgrade(self);
        let heart = &heartbeat.heart;
        let entered = heart.enter(&self.client.runtime, core, due, latest);
        heartbeat.entry = Some(entered.map_err(|NoRuntime| Error::no_runtime())?);
        Ok(())
    }

    fn heartbeat(&self) -> MutexGuard<'_, Option<Heartbeat>> {
        self.heartbeat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Heartbeat {
    fn counts_no_longer_from(&self, sent: Monotonic) -> bool {
        self.failures == 0 && self.counted_from != sent
    }
}

/// How long a heartbeat may wait for others, where so much of the lease is left when it is due.
fn patience(failures: u32, period: Duration, left: Duration) -> Duration {
    match failures {
        0 => (period / PATIENCE).min(left / OF_THE_REST),
        // It has waited for long enough.
        _ => Duration::ZERO,
    }
}

impl Beating for Core {
    fn beat(self: Arc<Self>) -> BoxFuture<()> {
        Box::pin(async move {
            if let Some(next) = self.beat_once().await {
                // Fails only where the runtime ends.
                let _ = self.plan(next);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_heartbeat_waits_for_others_until_its_lease_is_over() {
        let ms = Duration::from_millis;
        assert_eq!(patience(0, ms(100), ms(400)), ms(10));
        assert_eq!(patience(0, ms(480), ms(20)), ms(5), "little is left");
        assert_eq!(patience(0, ms(480), ms(0)), ms(0));
        assert_eq!(patience(1, ms(100), ms(400)), ms(0), "the last one failed");
    }
}
