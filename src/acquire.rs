//! Drives an acquisition: waits, looks, sends, and gives back what was given up.

use std::future::poll_fn;
use std::sync::Arc;

use crate::client::{Answer, Shared};
use crate::clock::{Moment, Monotonic};
use crate::error::Error;
use crate::lease::{Grant, renew_once};
use crate::options::Terms;
use crate::protocol::{
    Acquire, Acquired, HandedOn, Holder, Jitter, Lost, Renewed, Surroundings, Verdict, abandon,
    read_lock,
};
use crate::queue::Turn;
use crate::runtime::{BoxFuture, Event, First, race};
use crate::version::ksuid;
use crate::wire::{Failure, Outcome};

/// How patient an acquisition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the timeout.
    Wait,
    /// Until it is clear that another holds the lock.
    Once,
}

/// Acquires the lock, or goes on with a lease that was handed on; `None` where it is held and
/// there is no patience.
///
/// Dropping the future gives back in the background what may have been acquired.
pub(crate) async fn acquire(
    client: &Arc<Shared>,
    terms: Arc<Terms>,
    patience: Patience,
    handed_on: Option<Box<dyn HandedOn>>,
) -> Result<Option<Grant>, Error> {
    if !client.runtime.is_running() {
        return Err(Error::no_runtime());
    }
    let now = client.runtime.now();
    let until = now.mono.plus(terms.patience(now)?);
    let queue = terms.queue();
    let turn = match patience {
        // What was handed on is held already: whoever waits for it here waits behind it.
        _ if handed_on.is_some() => client.queues.try_enter(&queue, now, until),
        Patience::Once => match client.queues.try_enter(&queue, now, until) {
            None => return Ok(None),
            turn => turn,
        },
        Patience::Wait => match client.queues.enter(&*client.runtime, &queue, until).await {
            None => return Err(Error::held(None)),
            turn => turn,
        },
    };
    let version = new_version(client)?;
    let machine = match handed_on {
        Some(lease) => Acquire::resuming(version, lease, now),
        None => Acquire::new(version, now),
    };
    let mut acquisition = Acquisition::new(client, terms, machine, until)?;
    acquisition.turn = turn;
    acquisition.run(patience).await
}

pub(crate) fn new_version(client: &Shared) -> Result<String, Error> {
    let seconds = client.runtime.now().wall.0 / 1_000_000_000;
    Ok(ksuid(seconds, client.runtime.random()?))
}

/// An acquisition on its way. Dropped before its end, it cleans up behind itself.
pub(crate) struct Acquisition {
    client: Arc<Shared>,
    terms: Arc<Terms>,
    machine: Acquire,
    jitter: Jitter,
    until: Monotonic,
    in_flight: Option<BoxFuture<Answer>>,
    turn: Option<Turn>,
    /// Whether it is left before it writes.
    only_looks: bool,
    /// Whether the lock is ours, and not yet handed out.
    must_give_back: bool,
    handed_out: bool,
}

/// What came of a request.
enum Told {
    Answered(Outcome),
    NotAttempted(Failure),
}

impl Acquisition {
    fn new(
        client: &Arc<Shared>,
        terms: Arc<Terms>,
        machine: Acquire,
        until: Monotonic,
    ) -> Result<Self, Error> {
        Ok(Self {
            jitter: client.jitter()?,
            client: client.clone(),
            terms,
            machine,
            until,
            in_flight: None,
            turn: None,
            only_looks: false,
            must_give_back: false,
            handed_out: false,
        })
    }

    /// One that reads, and is to be left before it writes. It needs no turn.
    pub(crate) fn reading(client: &Arc<Shared>, mut terms: Terms) -> Result<Self, Error> {
        if !client.runtime.is_running() {
            return Err(Error::no_runtime());
        }
        terms.polling = Some(read_lock);
        let now = client.runtime.now();
        let until = now.mono.plus(terms.patience_to_look(now)?);
        let machine = Acquire::reading(new_version(client)?, now);
        let mut looking = Self::new(client, Arc::new(terms), machine, until)?;
        looking.only_looks = true;
        Ok(looking)
    }

    /// Whoever was last seen to hold the lock.
    pub(crate) fn holder(&self) -> Option<&Holder> {
        self.machine.holder()
    }

    async fn run(&mut self, patience: Patience) -> Result<Option<Grant>, Error> {
        loop {
            match self.attempt().await? {
                Verdict::Acquired(acquired) => {
                    self.must_give_back = true;
                    if let Some(acquired) = self.refresh(*acquired).await? {
                        self.must_give_back = false;
                        self.client.runtime.note(Event::Acquired {
                            table: &self.terms.table,
                            version: self.machine.version(),
                            fence: acquired.lease.fence(),
                            recovered: acquired.recovered,
                        });
                        return Ok(Some(self.grant(acquired)));
                    }
                    // Somebody has it by now. What comes is another acquisition.
                    self.must_give_back = false;
                    if self.machine.is_resuming() {
                        return Err(Lost::Expired.into());
                    }
                    let now = self.client.runtime.now();
                    self.machine = Acquire::new(new_version(&self.client)?, now);
                }
                Verdict::Held if patience == Patience::Once => return Ok(None),
                Verdict::Held => self.client.runtime.note(Event::Waiting {
                    table: &self.terms.table,
                    version: self.machine.version(),
                }),
                Verdict::Free | Verdict::Again => {}
                Verdict::Failed(error) => return Err(error),
            }
        }
    }

    /// Waits for the next request, and makes it.
    pub(crate) async fn attempt(&mut self) -> Result<Verdict, Error> {
        let runtime = self.client.runtime.clone();
        if self.machine.next_at() > runtime.now().mono {
            runtime
                .sleep_until(self.machine.next_at().min(self.until))
                .await;
        }
        if self.is_late(runtime.now()) {
            return Err(self.out_of_time());
        }
        let skew = self.terms.max_clock_skew;
        let credentials = match self.client.credentials(self.until).await {
            Ok(credentials) => credentials,
            Err(failure) => return Ok(self.told(runtime.now(), Told::NotAttempted(failure))),
        };
        let sent = runtime.now();
        if self.is_late(sent) {
            return Err(self.out_of_time());
        }
        let (base, doubtful) = {
            let trust = self.client.trust();
            (trust.expiry_base(sent), trust.is_doubtful(sent, skew))
        };
        let (client, terms) = (&self.client, &self.terms);
        let timeout = client.attempt_timeout.min(match self.only_looks {
            false => terms.attempt_from(sent),
            true => terms.lease,
        });
        self.in_flight = Some(match self.machine.read(terms, sent) {
            Some(read) => client.send_prepared(read, &credentials, sent, timeout, skew),
            None => {
                let write = self.machine.attempt(terms, sent, base, doubtful);
                client.send(&write, &credentials, sent, timeout, skew)
            }
        });
        let time_is_up = runtime.sleep_until(self.until);
        let in_flight = &mut self.in_flight;
        let answer = poll_fn(|cx| match in_flight {
            Some(answer) => answer.as_mut().poll(cx),
            None => std::task::Poll::Pending,
        });
        let First::A(answer) = race(answer, time_is_up).await else {
            return Err(self.out_of_time());
        };
        self.in_flight = None;
        Ok(self.told(answer.arrived, Told::Answered(answer.outcome)))
    }

    /// Lets the machine know what came of a request.
    fn told(&mut self, now: Moment, told: Told) -> Verdict {
        let client = &self.client;
        let doubtful = client.trust().is_doubtful(now, self.terms.max_clock_skew);
        let around = Surroundings {
            terms: &self.terms,
            now,
            doubtful,
            retry: client.retry,
            budget: &mut client.budget(),
            jitter: &mut self.jitter,
            is_abandoned: &|version| client.is_abandoned(version),
        };
        match told {
            Told::Answered(outcome) => self.machine.answered(outcome, around),
            Told::NotAttempted(failure) => self.machine.not_attempted(failure, around),
        }
    }

    /// Renews a lease of which little is left before anybody believes in it; `None` where it is
    /// no longer ours.
    async fn refresh(&mut self, mut acquired: Acquired) -> Result<Option<Acquired>, Error> {
        let runtime = self.client.runtime.clone();
        let mut failures = 0;
        loop {
            let now = runtime.now();
            if acquired.lease.remaining(now) > acquired.lease.length() / 2 {
                return Ok(Some(acquired));
            }
            if self.is_late(now) {
                return Err(self.out_of_time());
            }
            if !acquired.lease.can_last_longer() {
                return Ok(Some(acquired));
            }
            let lease = std::sync::Mutex::new(acquired.lease);
            let (client, terms) = (&self.client, &self.terms);
            let renewed = renew_once(client, terms, &lease, terms.lease, self.until);
            let renewed = race(renewed, runtime.sleep_until(self.until)).await;
            acquired.lease = lease
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match renewed {
                First::A(Renewed::Done { .. }) => runtime.note(Event::AcquireRenewed),
                First::A(Renewed::Lost(_)) => return Ok(None),
                First::A(Renewed::Failed(failure)) if failure.kind.is_passing() => {
                    failures += 1;
                    let pace = self.terms.heartbeat;
                    let jitter = &mut self.jitter;
                    let pause = self.client.pause(failures, &failure, pace, jitter);
                    let again = runtime.now().mono.plus(pause);
                    runtime.sleep_until(again.min(self.until)).await;
                }
                First::A(Renewed::Failed(failure)) => return Err(Error::failed(failure)),
                First::B(()) => return Err(self.out_of_time()),
            }
        }
    }

    fn grant(&mut self, mut acquired: Acquired) -> Grant {
        acquired.lease.hand_out();
        self.handed_out = true;
        Grant {
            client: self.client.clone(),
            terms: self.terms.clone(),
            acquired,
            turn: self.turn.take(),
        }
    }

    /// Whether nothing more is to be begun. The wall clock alone goes on where a program stood
    /// still.
    fn is_late(&self, now: Moment) -> bool {
        let is_too_near = match self.only_looks {
            false => self.terms.is_late(now),
            true => self.terms.limit.left(now).is_zero(),
        };
        is_too_near || now.mono >= self.until
    }

    fn out_of_time(&self) -> Error {
        self.machine.out_of_time()
    }
}

impl Drop for Acquisition {
    fn drop(&mut self) {
        let may_be_ours = self.must_give_back || self.machine.is_unsettled();
        if self.handed_out || !may_be_ours {
            return;
        }
        // Nobody will ever believe in this version.
        self.client.abandon(self.machine.version());
        // What a read would bring, nobody asks for any more.
        let in_flight = self.in_flight.take().filter(|_| !self.machine.is_reading());
        let fresh = Acquire::new(String::new(), self.client.runtime.now());
        let clean_up = CleanUp {
            client: self.client.clone(),
            terms: self.terms.clone(),
            machine: std::mem::replace(&mut self.machine, fresh),
            jitter: std::mem::replace(&mut self.jitter, Jitter::new(0)),
            in_flight,
            turn: self.turn.take(),
        };
        self.client.in_background(Box::pin(clean_up.run()));
    }
}

/// Gives back what an acquisition that nobody waits for may have locked.
struct CleanUp {
    client: Arc<Shared>,
    terms: Arc<Terms>,
    machine: Acquire,
    jitter: Jitter,
    in_flight: Option<BoxFuture<Answer>>,
    turn: Option<Turn>,
}

impl CleanUp {
    async fn run(mut self) {
        let runtime = self.client.runtime.clone();
        // Whatever was acquired is over by then.
        let now = runtime.now();
        let ends = now.mono.plus(self.terms.longest_lease(now));
        if let Some(turn) = &self.turn {
            turn.lasts_until(ends);
        }
        if let Some(in_flight) = self.in_flight.take() {
            let answer = in_flight.await;
            if !self
                .machine
                .may_have_locked(&answer.outcome, &self.terms.names)
            {
                return;
            }
        }
        let (client, version) = (&self.client, self.machine.version());
        give_back(client, &self.terms, version, self.jitter, ends).await;
    }
}

/// Removes the lock of a version in which nobody believes, if it is there; tries until `ends`.
pub(crate) async fn give_back(
    client: &Arc<Shared>,
    terms: &Terms,
    version: &str,
    mut jitter: Jitter,
    ends: Monotonic,
) {
    let runtime = &client.runtime;
    let mut failures = 0;
    while runtime.now().mono < ends {
        let outcome = match client.credentials(ends).await {
            Ok(credentials) => {
                let write = abandon(terms, version);
                let (sent, skew) = (runtime.now(), terms.max_clock_skew);
                let timeout = client.attempt_timeout.min(ends.since(sent.mono));
                let answer = client.send(&write, &credentials, sent, timeout, skew);
                drop(write);
                answer.await.outcome
            }
            Err(failure) => Outcome::NotApplied(failure),
        };
        let failure = match outcome {
            Outcome::Applied(_) => return runtime.note(Event::CleanedUp { version }),
            Outcome::Refused(_) => return,
            Outcome::NotApplied(failure) if !failure.kind.is_passing() => return,
            Outcome::NotApplied(failure) | Outcome::Unknown(failure) => failure,
        };
        failures += 1;
        let pause = client.pause(failures, &failure, terms.retry_interval, &mut jitter);
        let again = runtime.now().mono.plus(pause);
        runtime.sleep_until(again.min(ends)).await;
    }
}
