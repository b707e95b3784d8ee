//! Clients that share a lock. Their wall clocks are within the allowance of one another, their
//! monotonic clocks keep nearly the same rate; requests come late, twice, or never, and so do
//! answers.
//!
//! Whoever believes in a lease has it: the item says so at that moment.

use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall};
use crate::options::Terms;
use crate::protocol::{
    Acquire, Jitter, Lease, Released, Renewed, RetryBudget, Surroundings, Verdict, abandon,
};
use crate::wire::{Failure, FailureKind, Item, Outcome};

use super::super::input::Input;
use super::world::{Purpose, World};
use super::{RETRY, check_next_at, failure, jitter, step, terms};

const CLIENTS: usize = 3;
/// How much faster or slower a monotonic clock runs, in thousandths.
const RATES: [u64; CLIENTS] = [1000, 1004, 996];
/// The wall time at the beginning.
const BEGIN: i64 = 1_800_000_000_000_000_000;

pub(super) fn play(input: &mut Input<'_>) {
    let terms = terms(input);
    let item = match input.below(3) {
        0 if !terms.existing_only => None,
        1 => Some(terms.key.clone()),
        _ => Some(with_state(&terms)),
    };
    let mut scene = Scene {
        clients: std::array::from_fn(Client::new),
        world: World::new(item),
        passed: 0,
        versions: 0,
        jitter: jitter(input),
        budget: RetryBudget::default(),
        terms: &terms,
    };
    while !input.is_over() {
        scene.event(input);
        scene.check();
    }
}

fn with_state(terms: &Terms) -> Item {
    let mut item = terms.key.clone();
    item.insert("state", "new");
    item
}

struct Scene<'a> {
    clients: [Client; CLIENTS],
    world: World,
    /// True time since the beginning, in nanoseconds.
    passed: u64,
    versions: u32,
    jitter: Jitter,
    budget: RetryBudget,
    terms: &'a Terms,
}

struct Client {
    /// In thousandths.
    rate: u64,
    /// How far its wall clock is off, in nanoseconds.
    off: i64,
    state: State,
    /// The request whose answer it waits for.
    waits_for: Option<usize>,
    /// Versions that it does not believe in any more.
    abandoned: Vec<String>,
}

enum State {
    Idle,
    Acquiring(Acquire),
    /// Acquired; `believed` once there was enough left of it.
    Holding {
        lease: Lease,
        believed: bool,
    },
    Releasing {
        lease: Lease,
        held: bool,
    },
}

impl Client {
    fn new(number: usize) -> Self {
        Self {
            rate: RATES[number],
            off: 0,
            state: State::Idle,
            waits_for: None,
            abandoned: Vec::new(),
        }
    }

    fn now(&self, passed: u64) -> Moment {
        let mono = u128::from(passed) * u128::from(self.rate) / 1000;
        Moment {
            mono: Monotonic(u64::try_from(mono).unwrap_or(u64::MAX)),
            wall: Wall(BEGIN + passed as i64 + self.off),
        }
    }

    /// What it had is forgotten, and nothing is cleaned up.
    fn crashes(&mut self) {
        self.state = State::Idle;
        self.waits_for = None;
    }

    /// Nobody believes in what it had.
    fn becomes_idle(&mut self) {
        let version = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return,
            State::Acquiring(machine) => machine.version().to_owned(),
            State::Holding { lease, .. } | State::Releasing { lease, .. } => {
                lease.version().to_owned()
            }
        };
        self.waits_for = None;
        self.abandoned.push(version);
    }
}

impl Scene<'_> {
    fn event(&mut self, input: &mut Input<'_>) {
        let terms = self.terms;
        let who = |input: &mut Input<'_>| input.below(CLIENTS);
        match input.byte() {
            b'p' => self.time_passes(step(terms.lease, input)),
            b'd' => self.world.deliver(self.latest(input.below(256)), terms),
            b'w' => self.set_wall(who(input), input),
            b'x' => self.release(who(input)),
            b'g' => self.give_up(who(input)),
            b'k' => self.clients[who(input)].crashes(),
            b'a' => self.answer_arrives(who(input)),
            b'u' => {
                let failure = Failure::of(FailureKind::Unavailable, "no answer");
                self.answered(who(input), Outcome::Unknown(failure));
            }
            b'n' => self.surely_not_applied(who(input), failure(input)),
            b'q' => {
                // What goes well: sent, delivered, answered.
                let who = who(input);
                self.acts(who);
                if let Some(at) = self.clients[who].waits_for {
                    self.world.deliver(at, terms);
                }
                self.answer_arrives(who);
            }
            _ => self.acts(who(input)),
        }
    }

    /// The flight that was sent that many others ago.
    fn latest(&self, ago: usize) -> usize {
        let count = self.world.flights.len();
        count.saturating_sub(1 + ago % count.max(1))
    }

    fn time_passes(&mut self, step: Duration) {
        // A hundred years in all: nanoseconds of wall time fit for two hundred more.
        let most = 100 * 366 * 86_400 * 1_000_000_000;
        let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        self.passed = self.passed.saturating_add(step).min(most);
    }

    /// Anywhere within the allowance; anywhere at all where that is unlimited.
    fn set_wall(&mut self, who: usize, input: &mut Input<'_>) {
        let skew = self.terms.max_clock_skew;
        let off = match skew {
            Duration::MAX => (input.number() as i64) % (BEGIN / 2),
            _ => {
                let half = skew.as_nanos() as i64 / 2;
                half / 127 * (i64::from(input.byte()) - 128).max(-127)
            }
        };
        self.clients[who].off = off;
    }

    /// Sends what is due: the next attempt, or a renewal.
    fn acts(&mut self, who: usize) {
        let (terms, now) = (self.terms, self.clients[who].now(self.passed));
        let client = &mut self.clients[who];
        if client.waits_for.is_some() {
            return;
        }
        if let State::Idle = client.state {
            self.versions += 1;
            let version = ["v", &self.versions.to_string()].concat();
            client.state = State::Acquiring(Acquire::new(version, now));
        }
        match &mut client.state {
            State::Idle => {}
            State::Acquiring(machine) => {
                if machine.next_at() > now.mono {
                    return;
                }
                let write = machine.attempt(terms, now, now.wall, false);
                let at = self.world.send(Purpose::Acquire, machine.version(), &write);
                client.waits_for = Some(at);
            }
            State::Holding { lease, .. } => {
                if lease.lost(now).is_some() {
                    return client.becomes_idle();
                }
                let write = lease.renewal(terms, now, now.wall, terms.lease);
                let at = self.world.send(Purpose::Renew, lease.version(), &write);
                client.waits_for = Some(at);
            }
            State::Releasing { .. } => self.send_release(who),
        }
    }

    fn release(&mut self, who: usize) {
        let client = &mut self.clients[who];
        // One write at a time.
        if client.waits_for.is_some() {
            return;
        }
        match std::mem::replace(&mut client.state, State::Idle) {
            State::Holding {
                mut lease,
                believed,
            } => {
                let held = believed && lease.lost(client.now(self.passed)).is_none();
                client.state = State::Releasing { lease, held };
                self.send_release(who);
            }
            other => client.state = other,
        }
    }

    fn send_release(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let now = client.now(self.passed);
        if let State::Releasing { lease, .. } = &mut client.state {
            let write = lease.release(self.terms, now);
            let at = self.world.send(Purpose::Release, lease.version(), &write);
            client.waits_for = Some(at);
        }
    }

    /// An acquisition that nobody waits for any more cleans up behind itself.
    fn give_up(&mut self, who: usize) {
        let client = &mut self.clients[who];
        if let State::Acquiring(machine) = &client.state {
            let version = machine.version().to_owned();
            let write = abandon(self.terms, &version);
            self.world.send(Purpose::GiveBack, &version, &write);
            client.becomes_idle();
        }
    }

    fn answer_arrives(&mut self, who: usize) {
        let flight = self.clients[who]
            .waits_for
            .and_then(|at| self.world.flights.get(at));
        if let Some(outcome) = flight.and_then(|flight| flight.outcome()) {
            self.answered(who, outcome);
        }
    }

    /// The server refuses a request without looking at the item.
    fn surely_not_applied(&mut self, who: usize, failure: Failure) {
        let Some(at) = self.clients[who].waits_for else {
            return;
        };
        // Only the last can be taken back: flights are known by their places.
        if at + 1 == self.world.flights.len() && self.world.flights[at].answer.is_none() {
            self.world.flights.pop();
            self.answered(who, Outcome::NotApplied(failure));
        }
    }

    fn answered(&mut self, who: usize, outcome: Outcome) {
        let (terms, now) = (self.terms, self.clients[who].now(self.passed));
        let client = &mut self.clients[who];
        if client.waits_for.take().is_none() {
            return;
        }
        match &mut client.state {
            State::Idle => {}
            State::Acquiring(machine) => {
                let around = Surroundings {
                    terms,
                    now,
                    doubtful: false,
                    retry: RETRY,
                    budget: &mut self.budget,
                    jitter: &mut self.jitter,
                    is_abandoned: &|version| client.abandoned.iter().any(|it| it == version),
                };
                match machine.answered(outcome, around) {
                    Verdict::Acquired(acquired) => {
                        let lease = acquired.lease;
                        client.state = State::Holding {
                            lease,
                            believed: false,
                        };
                        self.believes(who);
                    }
                    Verdict::Held | Verdict::Free | Verdict::Again => {
                        check_next_at(machine.next_at(), now.mono)
                    }
                    Verdict::Failed(error) => {
                        assert!(!error.is_bad_attribute(), "{error}");
                        client.becomes_idle();
                    }
                }
            }
            State::Holding { lease, .. } => match lease.renewed(now, &terms.names, outcome) {
                Renewed::Done { .. } => self.believes(who),
                Renewed::Lost(_) => client.becomes_idle(),
                Renewed::Failed(_) => {}
            },
            State::Releasing { lease, held } => match lease.released(&terms.names, outcome) {
                Released::Done { .. } => {
                    let version = lease.version();
                    assert!(
                        !self.world.still_shows(version, terms),
                        "released: {version}"
                    );
                    client.becomes_idle();
                }
                Released::Lost(reason) => {
                    // While it was held, nobody else had a right to it.
                    let over = lease.deadline().remaining(now).is_zero();
                    assert!(!*held || over, "{reason}");
                    client.becomes_idle();
                }
                Released::Failed(_) => {}
            },
        }
    }

    /// Only a lease with more than a half of its time is handed out.
    fn believes(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let now = client.now(self.passed);
        if let State::Holding { lease, believed } = &mut client.state
            && lease.remaining(now) > self.terms.lease / 2
        {
            lease.hand_out();
            *believed = true;
        }
    }

    fn check(&mut self) {
        let mut holders = 0;
        for client in &mut self.clients {
            let now = client.now(self.passed);
            if let State::Holding {
                lease,
                believed: true,
            } = &mut client.state
                && lease.lost(now).is_none()
            {
                holders += 1;
                let shown = self.world.shows(lease.version(), lease.fence(), self.terms);
                assert!(shown, "{} believes in {lease:?}", lease.version());
            }
        }
        assert!(holders <= 1);
    }
}
