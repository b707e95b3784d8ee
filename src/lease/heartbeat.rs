//! The heartbeat of a lease: when the next one is due, and what it does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};

use crate::clock::Monotonic;
use crate::error::Error;
use crate::heart::{Beating, Entry, Heart, NoRuntime};
use crate::protocol::{Jitter, Renewed};
use crate::runtime::{BoxFuture, Event};

use super::core::{Core, renew_once};

/// So large a part of its period is how late a heartbeat may be because others are under way.
const PATIENCE: u32 = 10;

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
            let _writing = self.turn_to_write().await.ok()?;
            let now = client.runtime.now();
            if self.over.load(Ordering::SeqCst) || self.lost(now).is_some() {
                return None;
            }
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
        let due = due.min(self.ends());
        let latest = due.plus(self.terms.heartbeat / PATIENCE);
        if let Some(heartbeat) = &mut *self.heartbeat() {
            let core: Weak<Self> = Arc::downgrade(self);
            let entered = heartbeat
                .heart
                .enter(&self.client.runtime, core, due, latest);
            heartbeat.entry = Some(entered.map_err(|NoRuntime| Error::no_runtime())?);
        }
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
