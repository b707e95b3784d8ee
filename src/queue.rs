//! The queue of one client's tasks that want the same lock: first come, first served.
//!
//! Whoever has the turn talks to DynamoDB; the others wait here and send nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::clock::{Moment, Monotonic};
use crate::runtime::{Runtime, race};

/// The queues of a client, by lock.
#[derive(Default)]
pub(crate) struct Queues {
    slots: Mutex<HashMap<Arc<str>, Slot>>,
    /// No ticket is used twice: a turn that was taken from its holder must not pass on another's.
    tickets: AtomicU64,
}

/// A lease that has the turn.
pub(crate) trait Life: Send + Sync {
    /// When it ends unless renewed; `None` once it is over, for good.
    ///
    /// It is asked under the queue's lock, and must not drop a turn.
    fn ends(&self, now: Moment) -> Option<Monotonic>;
}

struct Slot {
    occupant: u64,
    until: Until,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    ticket: u64,
    until: Monotonic,
    called: Arc<Notify>,
}

/// How long the occupant may keep the turn.
enum Until {
    /// It is acquiring, and gives up by then.
    Time(Monotonic),
    /// It has a lease.
    Life(Weak<dyn Life>),
}

/// The turn. Dropping it passes it on.
pub(crate) struct Turn {
    queues: Arc<Queues>,
    lock: Arc<str>,
    ticket: u64,
}

impl Queues {
    /// Takes the turn at once, or not at all.
    pub(crate) fn try_enter(
        self: &Arc<Self>,
        lock: &Arc<str>,
        now: Moment,
        until: Monotonic,
    ) -> Option<Turn> {
        let mut slots = self.slots();
        let ticket = self.ticket();
        match slots.get_mut(lock) {
            None => {
                slots.insert(lock.clone(), Slot::occupied(ticket, until));
            }
            Some(slot) if slot.waiting.is_empty() && slot.until.time(now).is_none() => {
                slot.occupy(ticket, until);
            }
            Some(_) => return None,
        }
        Some(self.turn(lock, ticket))
    }

    /// Waits for the turn; `None` once `until` has come.
    ///
    /// Dropping the future gives up the place in the queue.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        runtime: &dyn Runtime,
        lock: &Arc<str>,
        until: Monotonic,
    ) -> Option<Turn> {
        let now = runtime.now();
        if let Some(turn) = self.try_enter(lock, now, until) {
            return Some(turn);
        }
        let called = Arc::new(Notify::new());
        // From here on the place is held, and left by dropping the turn, had or not.
        let turn = {
            let mut slots = self.slots();
            let ticket = self.ticket();
            let Some(slot) = slots.get_mut(lock) else {
                // Left since the look before.
                slots.insert(lock.clone(), Slot::occupied(ticket, until));
                return Some(self.turn(lock, ticket));
            };
            slot.waiting.push_back(Waiting {
                ticket,
                until,
                called: called.clone(),
            });
            self.turn(lock, ticket)
        };
        loop {
            let now = runtime.now();
            let wake_at = match self.position(&turn, now, until) {
                Position::Turn => return Some(turn),
                Position::First(occupant_ends) => occupant_ends.min(until),
                Position::Behind => until,
            };
            if now.mono >= until {
                return None;
            }
            race(called.notified(), runtime.sleep_until(wake_at)).await;
        }
    }

    fn position(&self, turn: &Turn, now: Moment, until: Monotonic) -> Position {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&turn.lock) else {
            return Position::Behind;
        };
        if slot.occupant == turn.ticket {
            return Position::Turn;
        }
        if slot
            .waiting
            .front()
            .is_none_or(|first| first.ticket != turn.ticket)
        {
            return Position::Behind;
        }
        match slot.until.time(now) {
            Some(ends) => Position::First(ends),
            None => {
                slot.waiting.pop_front();
                slot.occupy(turn.ticket, until);
                Position::Turn
            }
        }
    }

    fn leave(&self, lock: &str, ticket: u64) {
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(lock) else {
            return;
        };
        if slot.occupant != ticket {
            slot.waiting.retain(|waiting| waiting.ticket != ticket);
            slot.call_first();
            return;
        }
        match slot.waiting.pop_front() {
            Some(next) => {
                slot.occupy(next.ticket, next.until);
                next.called.notify_one();
            }
            None => {
                slots.remove(lock);
            }
        }
    }

    fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    fn turn(self: &Arc<Self>, lock: &Arc<str>, ticket: u64) -> Turn {
        Turn {
            queues: self.clone(),
            lock: lock.clone(),
            ticket,
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Arc<str>, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Position {
    Turn,
    /// Next in line; the occupant's time ends then.
    First(Monotonic),
    Behind,
}

impl Slot {
    fn occupied(ticket: u64, until: Monotonic) -> Self {
        Self {
            occupant: ticket,
            until: Until::Time(until),
            waiting: VecDeque::new(),
        }
    }

    fn occupy(&mut self, ticket: u64, until: Monotonic) {
        self.occupant = ticket;
        self.until = Until::Time(until);
        self.call_first();
    }

    /// Whoever is next in line watches the occupant's end.
    fn call_first(&self) {
        if let Some(first) = self.waiting.front() {
            first.called.notify_one();
        }
    }
}

impl Until {
    /// When the occupant's time ends; `None` where it is over.
    fn time(&self, now: Moment) -> Option<Monotonic> {
        match self {
            Self::Time(at) => (*at > now.mono).then_some(*at),
            Self::Life(life) => life.upgrade()?.ends(now),
        }
    }
}

impl Turn {
    /// The turn lasts as long as this lease.
    pub(crate) fn belongs_to(&self, life: Weak<dyn Life>) {
        let mut slots = self.queues.slots();
        if let Some(slot) = slots.get_mut(&self.lock)
            && slot.occupant == self.ticket
        {
            slot.until = Until::Life(life);
            slot.call_first();
        }
    }

    /// The turn lasts until then at most.
    pub(crate) fn lasts_until(&self, until: Monotonic) {
        let mut slots = self.queues.slots();
        if let Some(slot) = slots.get_mut(&self.lock)
            && slot.occupant == self.ticket
        {
            slot.until = Until::Time(until);
            slot.call_first();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queues.leave(&self.lock, self.ticket);
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
