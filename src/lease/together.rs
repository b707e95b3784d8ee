//! Sends a transaction under leases until it is known to be applied, once, or known not to be.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;

use crate::client::Shared;
use crate::clock::{Moment, Wall};
use crate::error::Error;
use crate::options::AttributeNames;
use crate::protocol::{
    Cancelled, Change, Changed, Fenced, Jitter, Lost, Unlocked, failure_of, without_lock,
};
use crate::update::Changes;
use crate::version::ksuid;
use crate::wire::{Entry, Failure, FailureKind, Item, Outcome, Reasons, Transaction};

use super::core::Core;
use super::write::not_applied_for;

/// An entry of a transaction, checked.
pub(super) enum Part<'l> {
    /// The item that a lease has locked; without changes it is only held.
    Locked(&'l Arc<Core>, Option<Changes>),
    Unlocked(Unlocked),
}

impl Part<'_> {
    pub(super) fn table(&self) -> &str {
        match self {
            Self::Locked(core, _) => &core.terms.table,
            Self::Unlocked(unlocked) => &unlocked.table,
        }
    }

    pub(super) fn key(&self) -> &Item {
        match self {
            Self::Locked(core, _) => &core.terms.key,
            Self::Unlocked(unlocked) => &unlocked.key,
        }
    }
}

/// Sends the transaction. There is a lease among the `parts`.
///
/// Dropping the future leaves it open whether it was applied.
pub(super) async fn send(client: &Arc<Shared>, parts: &[Part<'_>]) -> Result<(), Error> {
    let seconds = client.runtime.now().wall.0 / 1_000_000_000;
    let token = ksuid(seconds, client.runtime.random()?);
    let jitter = client.jitter()?;
    let mut members = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        if let Part::Locked(core, _) = part {
            members.push((at, *core));
        }
    }
    let _writing = loop {
        let writing = all_writing(&members).await?;
        let crowded = members.iter().find(|(_, core)| core.state().is_crowded());
        let Some((at, core)) = crowded else {
            break writing;
        };
        drop(writing);
        let renewed = core.renew(None).await;
        renewed.map_err(|lost| Error::from(lost).of_entry(*at, &core.terms.table))?;
    };
    let members = members.into_iter().map(|(at, core)| Member {
        at,
        core,
        change: core.state().change(),
    });
    let mut together = Together {
        client,
        parts,
        token: &token,
        members: members.collect(),
        jitter,
        failures: 0,
        unsettled: false,
    };
    let recovered = match together.until_settled().await {
        Err(refused) if together.unsettled => together.keep_out(refused).await?,
        settled => settled?,
    };
    for member in &together.members {
        member.core.updated(recovered, Item::default());
    }
    Ok(())
}

/// Keeps every other write of these leases waiting. While one of them is waited for, none is
/// kept: neither can two transactions wait for one another, nor is a lease not renewed meanwhile.
async fn all_writing<'l>(
    members: &[(usize, &'l Arc<Core>)],
) -> Result<Vec<MutexGuard<'l, ()>>, Error> {
    let mut members = members.to_vec();
    members.sort_by(|(_, one), (_, two)| one.version.cmp(&two.version));
    loop {
        let Some(((at, first), rest)) = members.split_first() else {
            return Ok(Vec::new());
        };
        let writing = first.turn_to_write().await;
        let lost = |lost| Error::from(lost).of_entry(*at, &first.terms.table);
        let mut guards = vec![writing.map_err(lost)?];
        let busy = rest
            .iter()
            .position(|(_, core)| match core.writing.try_lock() {
                Ok(guard) => {
                    guards.push(guard);
                    false
                }
                Err(_) => true,
            });
        match busy {
            None => return Ok(guards),
            Some(at) => members.swap(0, at + 1),
        }
    }
}

/// A transaction on its way.
struct Together<'t, 'l> {
    client: &'t Arc<Shared>,
    parts: &'t [Part<'l>],
    token: &'t str,
    members: Vec<Member<'l>>,
    jitter: Jitter,
    failures: u32,
    /// Whether an attempt may have been applied, or may yet be.
    unsettled: bool,
}

/// A lease that takes part.
struct Member<'l> {
    /// Its place among the entries.
    at: usize,
    core: &'l Arc<Core>,
    change: Change,
}

/// What came of an attempt.
enum Told {
    /// It was applied; `recovered`: as a refusal showed.
    Applied {
        recovered: bool,
    },
    Blamed(Vec<(usize, Changed)>),
    /// Nobody is to blame for it.
    Failed(Failure),
}

impl<'t, 'l> Together<'t, 'l> {
    /// Sends the same bytes until an answer settles them or a lease ends; whether it took a
    /// refusal to know that they were applied.
    async fn until_settled(&mut self) -> Result<bool, Error> {
        let mut operation = None;
        loop {
            if let Some(error) = self.loss() {
                return Err(error);
            }
            let (failure, error) = match self.attempt(&mut operation).await {
                Told::Applied { recovered } => return Ok(recovered),
                Told::Blamed(blamed) => match passing(&blamed) {
                    Some(failure) => (failure.clone(), self.blame(blamed)),
                    None => return Err(self.blame(blamed)),
                },
                Told::Failed(failure) if failure.kind.is_passing() => {
                    (failure.clone(), Error::failed(failure))
                }
                Told::Failed(failure) => return Err(Error::failed(failure)),
            };
            // It need not cost a lease; whether it was applied, a write of one of them tells.
            if self.leaves_no_time() {
                return Err(error);
            }
            self.pause(&failure).await;
        }
    }

    /// Makes sure that no attempt can be applied any more, and finds out whether one was. A write
    /// of one lease does for all of them.
    async fn keep_out(&mut self, refused: Error) -> Result<bool, Error> {
        for nth in 0..self.members.len() {
            while let Some(member) = self.members.get_mut(nth) {
                if member.core.lost(self.client.runtime.now()).is_some() {
                    break;
                }
                match member.core.fence_off_once(&mut member.change).await {
                    Fenced::Done => {
                        member.core.changed.notify_waiters();
                        return Err(refused);
                    }
                    Fenced::Applied(_) => {
                        self.applied(self.client.runtime.now());
                        return Ok(true);
                    }
                    Fenced::Lost(_) => break,
                    Fenced::Failed(failure) if failure.kind.is_passing() => {
                        self.pause(&failure).await;
                    }
                    Fenced::Failed(failure) => return Err(Error::outcome_unknown(failure)),
                }
            }
        }
        let first = self.first_loss();
        let place = match (refused.lost(), refused.entry(), refused.table()) {
            (Some(_), Some(at), Some(table)) => Some((at, table)),
            _ => first
                .as_ref()
                .map(|(member, _)| (member.at, &*member.core.terms.table)),
        };
        let lost = refused.lost().or(first.as_ref().map(|(_, lost)| lost));
        let unknown = Error::lost_in_writing(lost.cloned().unwrap_or(Lost::Expired));
        Err(match place {
            Some((at, table)) => unknown.of_entry(at, table),
            None => unknown,
        })
    }

    async fn attempt(&mut self, operation: &mut Option<Transaction<'t>>) -> Told {
        let client = self.client;
        let until = client.runtime.now().mono.plus(self.remaining());
        let credentials = match client.credentials(until).await {
            Ok(credentials) => credentials,
            Err(failure) => return Told::Failed(failure),
        };
        let sent = client.runtime.now();
        if self.remaining().is_zero() {
            let late = "the credentials came when a lease was over";
            return Told::Failed(Failure::of(FailureKind::NoCredentials, late));
        }
        let base = client.trust().expiry_base(sent);
        let cores = || self.members.iter().map(|member| member.core);
        let timeout = cores().map(|core| core.attempt_timeout(sent)).min();
        let skew = cores().map(|core| core.terms.max_clock_skew).min();
        let operation = operation.get_or_insert_with(|| self.compose(sent, base));
        let answer = client.send(
            operation,
            &credentials,
            sent,
            timeout.unwrap_or_default(),
            skew.unwrap_or_default(),
        );
        let answer = answer.await;
        match answer.outcome {
            Outcome::Applied(_) => {
                self.applied(answer.arrived);
                Told::Applied { recovered: false }
            }
            Outcome::Refused(reasons) => self.cancelled(reasons, answer.arrived),
            Outcome::NotApplied(failure) => Told::Failed(failure),
            Outcome::Unknown(failure) => {
                self.unsettled = true;
                Told::Failed(failure)
            }
        }
    }

    /// All leases count from here.
    fn compose(&mut self, sent: Moment, base: Wall) -> Transaction<'t> {
        let mut members = self.members.iter_mut();
        let mut entries = Vec::new();
        for part in self.parts {
            entries.push(match part {
                Part::Unlocked(unlocked) => unlocked.entry(),
                Part::Locked(core, changes) => {
                    let Some(member) = members.next() else {
                        continue;
                    };
                    member.share(core, changes.as_ref(), sent, base)
                }
            });
        }
        Transaction {
            token: self.token,
            entries,
        }
    }

    fn cancelled(&mut self, reasons: Reasons, arrived: Moment) -> Told {
        let mut blamed = Vec::new();
        for (at, reason) in reasons.into_iter().enumerate() {
            let Some(reason) = reason else {
                continue;
            };
            let member = self.members.iter_mut().find(|member| member.at == at);
            let why = match member {
                _ if !reason.is_condition() => Changed::Failed(failure_of(reason)),
                Some(member) => member.told(arrived, Outcome::Refused(reason.item)),
                // Another may have locked it, by the usual names.
                None => Changed::ConditionFailed(without_lock(
                    reason.item.unwrap_or_default(),
                    &AttributeNames::default(),
                )),
            };
            blamed.push((at, why));
        }
        match Cancelled::of(blamed) {
            Cancelled::Applied => {
                self.applied(arrived);
                Told::Applied { recovered: true }
            }
            Cancelled::Blamed(blamed) => Told::Blamed(blamed),
        }
    }

    /// It was applied, and so renewed all leases.
    fn applied(&mut self, arrived: Moment) {
        for member in &mut self.members {
            member.told(arrived, Outcome::Applied(Item::default()));
        }
    }

    fn blame(&self, blamed: Vec<(usize, Changed)>) -> Error {
        let mut errors = blamed.into_iter().map(|(at, why)| {
            let table = self.parts.get(at).map_or("", Part::table);
            not_applied_for(why).of_entry(at, table)
        });
        let first = errors.next();
        let error = first.unwrap_or_else(|| Error::request("it was refused without a reason"));
        // What an answer shows of one lease, all that wait for it learn.
        for member in &self.members {
            member.core.lost(self.client.runtime.now());
        }
        error.beside(errors)
    }

    /// The error that a lease is lost, where one is.
    fn loss(&self) -> Option<Error> {
        let (member, lost) = self.first_loss()?;
        Some(Error::from(lost).of_entry(member.at, &member.core.terms.table))
    }

    fn first_loss(&self) -> Option<(&Member<'l>, Lost)> {
        let now = self.client.runtime.now();
        let lost = |member: &Member<'l>| member.core.lost(now);
        self.members
            .iter()
            .find_map(|member| Some((member, lost(member)?)))
    }

    /// What is left of the lease that ends first.
    fn remaining(&self) -> Duration {
        let now = self.client.runtime.now();
        let each = self.members.iter();
        let each = each.map(|member| member.core.state().remaining(now));
        each.min().unwrap_or_default()
    }

    /// Whether a lease must be renewed rather than this tried again.
    fn leaves_no_time(&self) -> bool {
        let now = self.client.runtime.now();
        self.members.iter().any(|member| {
            let state = member.core.state();
            state.remaining(now) < state.length() / 3
        })
    }

    async fn pause(&mut self, failure: &Failure) {
        self.failures += 1;
        let remaining = self.remaining();
        let (client, failures) = (self.client, self.failures);
        let terms = self.members.iter().map(|member| &member.core.terms);
        let paces = terms.map(|terms| terms.heartbeat.min(terms.retry_interval));
        let pace = paces.min().unwrap_or_default();
        let pause = client.pause(failures, failure, pace, &mut self.jitter);
        let most = (remaining / 3).max(client.retry.backoff.base);
        let again = client.runtime.now().mono.plus(pause.min(most));
        client.runtime.sleep_until(again).await;
    }
}

impl Member<'_> {
    /// The lease's own entry.
    fn share<'t>(
        &mut self,
        core: &'t Core,
        changes: Option<&'t Changes>,
        sent: Moment,
        base: Wall,
    ) -> Entry<'t> {
        let (terms, change) = (&core.terms, &mut self.change);
        let nothing = crate::wire::Returns::Nothing;
        let mut state = core.state();
        let write = match changes {
            Some(changes) => state.update(change, changes, nothing, terms, sent, base),
            None => state.hold(change, terms, sent, base),
        };
        write.into()
    }

    fn told(&mut self, arrived: Moment, outcome: Outcome) -> Changed {
        let names = &self.core.terms.names;
        let mut state = self.core.state();
        state.updated(&mut self.change, arrived, names, outcome)
    }
}

/// The failure, where nothing but what passes is to blame.
fn passing(blamed: &[(usize, Changed)]) -> Option<&Failure> {
    match blamed.first() {
        Some((_, Changed::Failed(failure))) if failure.kind.is_passing() => Some(failure),
        _ => None,
    }
}
