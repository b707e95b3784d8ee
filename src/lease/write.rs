//! Writes under a lease: sends each until it is known to be applied, once, or known not to be.

use std::sync::Arc;

use crate::clock::Moment;
use crate::error::Error;
use crate::options::Terms;
use crate::protocol::{Change, Changed, Fenced, Jitter, Lost};
use crate::runtime::Event;
use crate::update::Changes;
use crate::wire::{Failure, FailureKind, Item, Outcome, Returns, Write};

use super::core::Core;

/// How a lease comes to its end with a write.
pub(super) enum Last {
    Commit(Changes),
    Delete,
}

impl Core {
    /// Updates the item until it is done or the lease is lost. The item after it, where
    /// `returns` asks for it.
    ///
    /// Dropping the future leaves it open whether it was applied.
    pub(super) async fn update(&self, changes: &Changes, returns: Returns) -> Result<Item, Error> {
        let _writing = loop {
            let writing = self.turn_to_write().await?;
            if !self.state().is_crowded() {
                break writing;
            }
            drop(writing);
            self.renew(None).await?;
        };
        let mut change = self.state().change();
        let mut tries = Tries::new(self);
        // Why it was not applied, where only a late attempt still could be.
        let mut refused = None;
        loop {
            if let Some(lost) = self.lost(self.client.runtime.now()) {
                return Err(lost_with(&change, lost));
            }
            let failure = if refused.is_none() {
                match self.update_once(&mut change, changes, returns).await {
                    Changed::Done { recovered, item } => return Ok(self.updated(recovered, item)),
                    Changed::Lost(lost) => return Err(self.lost_while(&change, lost)),
                    Changed::Failed(failure) if failure.kind.is_passing() => failure,
                    not_applied => {
                        let error = not_applied_for(not_applied);
                        if !change.is_unsettled() {
                            return Err(error);
                        }
                        refused = Some(error);
                        continue;
                    }
                }
            } else {
                match self.fence_off_once(&mut change).await {
                    Fenced::Done => {
                        self.changed.notify_waiters();
                        return Err(refused.unwrap_or_else(Error::no_runtime));
                    }
                    Fenced::Applied(item) => return Ok(self.updated(true, item)),
                    Fenced::Lost(lost) => return Err(self.lost_while(&change, lost)),
                    Fenced::Failed(failure) if failure.kind.is_passing() => failure,
                    Fenced::Failed(failure) => return Err(Error::outcome_unknown(failure)),
                }
            };
            tries.pause(&failure).await;
        }
    }

    /// Gives the lock back together with a write, in the background.
    pub(super) fn end_in_background(
        self: &Arc<Self>,
        last: Last,
    ) -> Option<super::core::GivenBack> {
        let core = self.clone();
        self.clone().give_back(async move { core.end(&last).await })
    }

    async fn end(&self, last: &Last) -> Result<(), Error> {
        let runtime = &self.client.runtime;
        if self.lost(runtime.now()).is_some() {
            // Given back as any other; it says why it is lost.
            return self.release().await.map(drop);
        }
        self.stop();
        let mut change = self.state().change();
        let written = self.end_until_settled(&mut change, last).await;
        let refused = match written {
            Ok(recovered) => {
                let version = &self.version;
                runtime.note(Event::Committed { version, recovered });
                return Ok(());
            }
            Err(NotEnded::Over(error)) => return Err(error),
            Err(NotEnded::Refused(error)) => error,
        };
        // Nothing was written, and the lock is given back all the same.
        let released = self.release().await;
        match released {
            // Only a release that was applied shows that the write was not.
            Err(error) if change.is_unsettled() => Err(match error.lost() {
                Some(lost) => Error::lost_in_writing(lost.clone()),
                None => {
                    Error::outcome_unknown(Failure::of(FailureKind::Unavailable, error.to_string()))
                }
            }),
            // Free, and it may be the write that has freed it.
            Ok(true) if change.is_unsettled() => Err(Error::outcome_unknown(Failure::of(
                FailureKind::Unavailable,
                "the lock is released, by the write or after it",
            ))),
            _ => Err(refused),
        }
    }

    /// Whether it took a refusal to know that it was applied.
    async fn end_until_settled(&self, change: &mut Change, last: &Last) -> Result<bool, NotEnded> {
        let _writing = self.writing.lock().await;
        // The renewal that was under way may stand as well.
        *change = self.state().change();
        let mut tries = Tries::new(self);
        loop {
            let ended = self.end_once(change, last).await;
            let failure = match ended {
                Changed::Done { recovered, .. } => return Ok(recovered),
                Changed::Lost(lost) => {
                    return Err(NotEnded::Over(self.lost_while(change, lost)));
                }
                Changed::Failed(failure) if failure.kind.is_passing() => failure,
                not_applied => return Err(NotEnded::Refused(not_applied_for(not_applied))),
            };
            tries.pause(&failure).await;
            if let Some(lost) = self.lost(self.client.runtime.now()) {
                return Err(NotEnded::Over(lost_with(change, lost)));
            }
        }
    }

    pub(super) fn updated(&self, recovered: bool, item: Item) -> Item {
        let version = &self.version;
        let updated = Event::Updated { version, recovered };
        self.client.runtime.note(updated);
        self.changed.notify_waiters();
        item
    }

    /// Lets the others know of a loss that an answer has shown.
    fn lost_while(&self, change: &Change, lost: Lost) -> Error {
        let lost = self.lost(self.client.runtime.now()).unwrap_or(lost);
        lost_with(change, lost)
    }

    async fn update_once(
        &self,
        change: &mut Change,
        changes: &Changes,
        returns: Returns,
    ) -> Changed {
        let sent = self
            .send_once(|state, terms, sent, base| {
                state.update(change, changes, returns, terms, sent, base)
            })
            .await;
        match sent {
            Ok((outcome, arrived)) => {
                let names = &self.terms.names;
                self.state().updated(change, arrived, names, outcome)
            }
            Err(failure) => Changed::Failed(failure),
        }
    }

    pub(super) async fn fence_off_once(&self, change: &mut Change) -> Fenced {
        let sent = self
            .send_once(|state, terms, sent, base| state.fence_off(change, terms, sent, base))
            .await;
        match sent {
            Ok((outcome, arrived)) => {
                let names = &self.terms.names;
                self.state().fenced_off(change, arrived, names, outcome)
            }
            Err(failure) => Fenced::Failed(failure),
        }
    }

    async fn end_once(&self, change: &mut Change, last: &Last) -> Changed {
        let sent = self
            .send_once(|state, terms, _, _| match last {
                Last::Commit(changes) => state.commit(change, changes, terms),
                Last::Delete => state.delete(change, terms),
            })
            .await;
        let names = &self.terms.names;
        match (sent, last) {
            (Ok((outcome, _)), Last::Commit(_)) => self.state().committed(change, names, outcome),
            (Ok((outcome, _)), Last::Delete) => self.state().deleted(change, names, outcome),
            (Err(failure), _) => Changed::Failed(failure),
        }
    }

    /// Sends one write while the lease is held, and brings its outcome with the time of its
    /// arrival.
    async fn send_once<'s>(
        &'s self,
        write: impl FnOnce(
            &mut crate::protocol::Lease,
            &'s Terms,
            Moment,
            crate::clock::Wall,
        ) -> Write<'s>,
    ) -> Result<(Outcome, Moment), Failure> {
        let client = &self.client;
        let credentials = client.credentials(self.ends()).await?;
        let sent = client.runtime.now();
        let base = client.trust().expiry_base(sent);
        let (skew, timeout) = (self.terms.max_clock_skew, self.attempt_timeout(sent));
        let answer = {
            let mut state = self.state();
            if state.remaining(sent).is_zero() {
                let late = "the credentials came when the lease was over";
                return Err(Failure::of(FailureKind::NoCredentials, late));
            }
            let write = write(&mut state, &self.terms, sent, base);
            client.send(&write, &credentials, sent, timeout, skew)
        };
        let answer = answer.await;
        Ok((answer.outcome, answer.arrived))
    }
}

/// Why a last write came to no end of its own.
enum NotEnded {
    /// The lease is lost, or nobody can tell.
    Over(Error),
    /// It was not applied, and the lock is still there.
    Refused(Error),
}

fn lost_with(change: &Change, lost: Lost) -> Error {
    match change.is_unsettled() {
        true => Error::lost_in_writing(lost),
        false => lost.into(),
    }
}

pub(super) fn not_applied_for(changed: Changed) -> Error {
    match changed {
        Changed::ConditionFailed(item) => Error::condition_failed(item),
        Changed::Failed(failure) => Error::failed(failure),
        Changed::Lost(lost) => lost.into(),
        Changed::Done { .. } => Error::request("it was applied"),
    }
}

/// The pauses between the attempts of one write.
struct Tries<'a> {
    core: &'a Core,
    jitter: Jitter,
    failures: u32,
}

impl<'a> Tries<'a> {
    fn new(core: &'a Core) -> Self {
        Self {
            core,
            jitter: Jitter::new(core.fence),
            failures: 0,
        }
    }

    async fn pause(&mut self, failure: &Failure) {
        self.failures += 1;
        let pause = self.core.pause(self.failures, failure, &mut self.jitter);
        let runtime = &self.core.client.runtime;
        runtime.sleep_until(runtime.now().mono.plus(pause)).await;
    }
}
