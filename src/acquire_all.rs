//! Drives the acquisition of several locks: waits, sends, looks, and gives back what was given up.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::acquire::{Patience, give_back, new_version};
use crate::client::{Answer, Shared};
use crate::clock::{Moment, Monotonic};
use crate::error::Error;
use crate::lease::Grant;
use crate::options::Terms;
use crate::protocol::{AcquireAll, Acquired, AllSurroundings, AllVerdict, GivenUp, Jitter};
use crate::queue::Turn;
use crate::runtime::{BoxFuture, Event, First, all, race};
use crate::wire::{Item, Outcome, Read, Reasons};

/// How many items are read at the same time, each over a connection of its own.
const READS_AT_ONCE: usize = 10;

/// Acquires all the locks; `None` where one is held and there is no patience.
///
/// Dropping the future gives back in the background what may have been acquired.
pub(crate) async fn acquire_all(
    client: &Arc<Shared>,
    terms: Vec<Arc<Terms>>,
    patience: Patience,
) -> Result<Option<Vec<Grant>>, Error> {
    if !client.runtime.is_running() {
        return Err(Error::no_runtime());
    }
    let now = client.runtime.now();
    let mut longest = Duration::MAX;
    for (at, terms) in terms.iter().enumerate() {
        let of_entry = |error: Error| error.of_entry(at, &terms.table);
        longest = longest.min(terms.patience(now).map_err(of_entry)?);
    }
    let until = now.mono.plus(longest);
    let Some(turns) = turns(client, &terms, patience, until).await? else {
        return Ok(None);
    };
    let mut acquisition = Acquisition {
        machine: AcquireAll::new(terms, client.runtime.now()),
        jitter: client.jitter()?,
        client: client.clone(),
        until,
        in_flight: None,
        turns,
        must_give_back: false,
        handed_out: false,
    };
    acquisition.run(patience).await
}

/// Enters the queues of all locks, always in the same order, so that no two acquisitions wait for
/// one another's turns.
async fn turns(
    client: &Shared,
    terms: &[Arc<Terms>],
    patience: Patience,
    until: Monotonic,
) -> Result<Option<Vec<Option<Turn>>>, Error> {
    let mut queues: Vec<_> = (0..).zip(terms).map(|(at, it)| (it.queue(), at)).collect();
    queues.sort_unstable();
    let mut turns: Vec<Option<Turn>> = terms.iter().map(|_| None).collect();
    for (queue, at) in queues {
        let runtime = &*client.runtime;
        let turn = match patience {
            Patience::Once => client.queues.try_enter(&queue, runtime.now(), until),
            Patience::Wait => client.queues.enter(runtime, &queue, until).await,
        };
        match (turn, turns.get_mut(at), terms.get(at)) {
            (Some(turn), Some(place), _) => *place = Some(turn),
            (None, _, Some(terms)) if patience == Patience::Wait => {
                return Err(Error::held(None).of_entry(at, &terms.table));
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(turns))
}

/// An acquisition on its way. Dropped before its end, it cleans up behind itself.
struct Acquisition {
    client: Arc<Shared>,
    machine: AcquireAll,
    jitter: Jitter,
    until: Monotonic,
    in_flight: Option<BoxFuture<Answer<Reasons>>>,
    /// One for each lock, until they belong to leases.
    turns: Vec<Option<Turn>>,
    /// Whether the locks are ours, and not yet handed out.
    must_give_back: bool,
    handed_out: bool,
}

impl Acquisition {
    async fn run(&mut self, patience: Patience) -> Result<Option<Vec<Grant>>, Error> {
        loop {
            match self.attempt().await? {
                AllVerdict::Locked { recovered } => {
                    self.must_give_back = true;
                    if let Some(acquired) = self.confirm(recovered).await? {
                        return Ok(Some(self.grants(acquired)));
                    }
                    self.give_up_try();
                    let now = self.client.runtime.now();
                    self.machine.in_vain(now, &mut self.jitter);
                }
                AllVerdict::Held if patience == Patience::Once => return Ok(None),
                AllVerdict::Held => {
                    for (terms, version) in self.machine.versions() {
                        let table = &terms.table;
                        self.client.runtime.note(Event::Waiting { table, version });
                    }
                }
                AllVerdict::Again => {}
                AllVerdict::Failed(error) => return Err(error),
            }
        }
    }

    /// Waits for the next attempt, and makes it.
    async fn attempt(&mut self) -> Result<AllVerdict, Error> {
        let runtime = self.client.runtime.clone();
        if self.machine.next_at() > runtime.now().mono {
            let wake_at = self.machine.next_at().min(self.until);
            runtime.sleep_until(wake_at).await;
        }
        self.check_time()?;
        let credentials = match self.client.credentials(self.until).await {
            Ok(credentials) => credentials,
            Err(failure) => {
                let verdict = self.told(runtime.now(), Outcome::NotApplied(failure), false);
                return Ok(verdict);
            }
        };
        self.check_time()?;
        if self.machine.wants_new_try(runtime.now()) {
            self.give_up_try();
            self.begin_try()?;
        }
        let sent = runtime.now();
        let client = self.client.clone();
        let base = client.trust().expiry_base(sent);
        let is_doubtful = |skew| client.trust().is_doubtful(sent, skew);
        let limit = client
            .attempt_timeout
            .min(self.machine.shortest_lease(sent) / 2);
        let skew = self.skew();
        let Some(operation) = self.machine.attempt(sent, base, &is_doubtful) else {
            return Err(Error::request("there is no try"));
        };
        let answer = client.send(&operation, &credentials, sent, limit, skew);
        drop(operation);
        self.in_flight = Some(answer);
        let time_is_up = runtime.sleep_until(self.until);
        let in_flight = &mut self.in_flight;
        let answer = poll_fn(|cx| match in_flight {
            Some(answer) => answer.as_mut().poll(cx),
            None => Poll::Pending,
        });
        let First::A(answer) = race(answer, time_is_up).await else {
            return Err(self.machine.out_of_time());
        };
        self.in_flight = None;
        Ok(self.told(answer.arrived, answer.outcome, true))
    }

    /// Lets the machine know what came of an attempt, or that none was made.
    fn told(&mut self, now: Moment, outcome: Outcome<Reasons>, attempted: bool) -> AllVerdict {
        let client = &self.client;
        let around = AllSurroundings {
            now,
            is_doubtful: &|skew| client.trust().is_doubtful(now, skew),
            retry: client.retry,
            budget: &mut client.budget(),
            jitter: &mut self.jitter,
            is_abandoned: &|version| client.is_abandoned(version),
        };
        match outcome {
            Outcome::NotApplied(failure) if !attempted => self.machine.failed(failure, around),
            outcome => self.machine.answered(outcome, around),
        }
    }

    fn begin_try(&mut self) -> Result<(), Error> {
        let versions = self.machine.terms().iter();
        let versions = versions.map(|_| new_version(&self.client));
        let versions = versions.collect::<Result<_, _>>()?;
        self.machine.begin(new_version(&self.client)?, versions);
        Ok(())
    }

    /// Reads the items, of which the transaction brings none, and makes sure that all are still
    /// ours; `None` where one is not, or where it took too long.
    async fn confirm(&mut self, recovered: bool) -> Result<Option<Vec<Acquired>>, Error> {
        let mut acquired = Vec::new();
        let count = self.machine.terms().len();
        while acquired.len() < count {
            let next = acquired.len()..(acquired.len() + READS_AT_ONCE).min(count);
            let (client, machine) = (&self.client, &self.machine);
            let reads = next.clone().map(|at| read(client, machine, at)).collect();
            let time_is_up = client.runtime.sleep_until(self.until);
            let First::A(items) = race(all(reads), time_is_up).await else {
                return Err(self.machine.out_of_time());
            };
            for (at, item) in next.zip(items) {
                let table = |error: Error| match self.machine.terms().get(at) {
                    Some(terms) => error.of_entry(at, &terms.table),
                    None => error,
                };
                let Some(item) = item.map_err(table)? else {
                    return Ok(None);
                };
                let confirmed = self.machine.confirmed(at, item, recovered);
                match confirmed.map_err(|bad| table(bad.into()))? {
                    Some(one) => acquired.push(one),
                    None => return Ok(None),
                }
            }
        }
        let is_late = self.machine.is_half_over(self.client.runtime.now());
        Ok((!is_late).then_some(acquired))
    }

    /// Gives back in the background what the last try has locked or may have. Another may follow.
    fn give_up_try(&mut self) {
        let turns = self.turns.iter().map(|_| None).collect();
        self.clean_up(None, turns);
    }

    fn clean_up(
        &mut self,
        in_flight: Option<BoxFuture<Answer<Reasons>>>,
        turns: Vec<Option<Turn>>,
    ) {
        let is_open = std::mem::take(&mut self.must_give_back) || self.machine.is_unsettled();
        let given_up = self.machine.give_up();
        let Some(given_up) = given_up.filter(|_| is_open) else {
            return;
        };
        // Nobody will ever believe in these versions.
        for (_, version) in given_up.locks() {
            self.client.abandon(version);
        }
        let clean_up = CleanUp {
            client: self.client.clone(),
            given_up,
            in_flight,
            turns,
        };
        self.client.in_background(Box::pin(clean_up.run()));
    }

    fn grants(&mut self, acquired: Vec<Acquired>) -> Vec<Grant> {
        self.must_give_back = false;
        self.handed_out = true;
        let turns = std::mem::take(&mut self.turns);
        let each = acquired.into_iter().zip(self.machine.terms()).zip(turns);
        let grants = each.map(|((mut acquired, terms), turn)| {
            acquired.lease.hand_out();
            self.client.runtime.note(Event::Acquired {
                table: &terms.table,
                version: acquired.lease.version(),
                fence: acquired.lease.fence(),
                recovered: acquired.recovered,
            });
            Grant {
                client: self.client.clone(),
                terms: terms.clone(),
                acquired,
                turn,
            }
        });
        grants.collect()
    }

    fn check_time(&self) -> Result<(), Error> {
        let now = self.client.runtime.now();
        match now.mono >= self.until || self.machine.is_late(now) {
            true => Err(self.machine.out_of_time()),
            false => Ok(()),
        }
    }

    fn skew(&self) -> Duration {
        let skews = self.machine.terms().iter().map(|it| it.max_clock_skew);
        skews.min().unwrap_or_default()
    }
}

/// Reads an item until it is had; `None` where half of a lease is over before.
async fn read(
    client: &Arc<Shared>,
    machine: &AcquireAll,
    at: usize,
) -> Result<Option<Item>, Error> {
    let runtime = &client.runtime;
    let Some(terms) = machine.terms().get(at) else {
        return Ok(None);
    };
    let mut jitter = client.jitter()?;
    let mut failures = 0;
    loop {
        let now = runtime.now();
        let left = machine.half_left(now);
        if left.is_zero() {
            return Ok(None);
        }
        let failure = match client.credentials(now.mono.plus(left)).await {
            Ok(credentials) => {
                let (sent, skew) = (runtime.now(), terms.max_clock_skew);
                let limit = client.attempt_timeout.min(left);
                let read = Read::of(&terms.table, &terms.key, &[]);
                let answer = client.send(&read, &credentials, sent, limit, skew);
                match answer.await.outcome {
                    Outcome::Applied(item) => return Ok(Some(item)),
                    // There was no condition.
                    Outcome::Refused(_) => return Ok(None),
                    Outcome::NotApplied(failure) | Outcome::Unknown(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        if !failure.kind.is_passing() {
            return Err(Error::failed(failure));
        }
        failures += 1;
        let pause = client.pause(failures, &failure, terms.retry_interval, &mut jitter);
        let again = runtime.now().mono.plus(pause.min(left));
        runtime.sleep_until(again).await;
    }
}

impl Drop for Acquisition {
    fn drop(&mut self) {
        if !self.handed_out {
            let (in_flight, turns) = (self.in_flight.take(), std::mem::take(&mut self.turns));
            self.clean_up(in_flight, turns);
        }
    }
}

/// Gives back what an acquisition that nobody waits for may have locked.
struct CleanUp {
    client: Arc<Shared>,
    given_up: GivenUp,
    in_flight: Option<BoxFuture<Answer<Reasons>>>,
    turns: Vec<Option<Turn>>,
}

impl CleanUp {
    async fn run(mut self) {
        let now = self.client.runtime.now();
        // Whatever was acquired is over by then.
        let locks = self.given_up.locks();
        let ends: Vec<_> = locks
            .map(|(terms, _)| now.mono.plus(terms.longest_lease(now)))
            .collect();
        for (turn, ends) in self.turns.iter().zip(&ends) {
            if let Some(turn) = turn {
                turn.lasts_until(*ends);
            }
        }
        if let Some(in_flight) = self.in_flight.take() {
            let answer = in_flight.await;
            if !self.given_up.may_have_locked(&answer.outcome) {
                return;
            }
        }
        let client = &self.client;
        let each = self.given_up.locks().zip(self.turns).zip(ends);
        let each = each.map(|(((terms, version), turn), ends)| async move {
            // It only spreads the attempts.
            let jitter = client.jitter().unwrap_or(Jitter::new(0));
            give_back(client, terms, version, jitter, ends).await;
            drop(turn);
        });
        all(each.collect()).await;
    }
}
