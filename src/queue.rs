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
mod tests {
    use std::future::{Future, pending};
    use std::pin::Pin;
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::Wall;
    use crate::runtime::{BoxFuture, RandomUnavailable};

    /// A world whose clock is set by hand and whose alarms never ring: tasks are polled by hand.
    #[derive(Default)]
    struct World(AtomicU64);

    impl World {
        fn at(&self, mono: u64) {
            self.0.store(mono, Ordering::Relaxed);
        }
    }

    impl Runtime for World {
        fn now(&self) -> Moment {
            let mono = Monotonic(self.0.load(Ordering::Relaxed));
            Moment {
                mono,
                wall: Wall(0),
            }
        }

        fn sleep_until(&self, _: Monotonic) -> BoxFuture<()> {
            Box::pin(pending())
        }

        fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
            Err(task)
        }

        fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
            Ok([0; 16])
        }

        fn is_running(&self) -> bool {
            true
        }
    }

    type Entering<'a> = Pin<Box<dyn Future<Output = Option<Turn>> + 'a>>;

    fn poll(entering: &mut Entering<'_>) -> Poll<Option<Turn>> {
        entering
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    }

    fn turn(entering: &mut Entering<'_>) -> Option<Turn> {
        match poll(entering) {
            Poll::Ready(turn) => turn,
            Poll::Pending => None,
        }
    }

    fn enter<'a>(queues: &'a Arc<Queues>, world: &'a World, until: u64) -> Entering<'a> {
        Box::pin(async move { queues.enter(world, &"a".into(), Monotonic(until)).await })
    }

    struct Leased(AtomicBool);

    impl Life for Leased {
        fn ends(&self, _: Moment) -> Option<Monotonic> {
            (!self.0.load(Ordering::Relaxed)).then_some(Monotonic(u64::MAX))
        }
    }

    #[test]
    fn turns_are_given_in_the_order_of_coming() {
        let (queues, world) = (Arc::new(Queues::default()), World::default());
        let first = queues
            .try_enter(&"a".into(), world.now(), Monotonic(100))
            .unwrap();
        let (mut second, mut third) = (enter(&queues, &world, 100), enter(&queues, &world, 100));
        assert!(turn(&mut second).is_none() && turn(&mut third).is_none());
        assert!(
            queues
                .try_enter(&"a".into(), world.now(), Monotonic(100))
                .is_none()
        );
        assert!(
            queues
                .try_enter(&"b".into(), world.now(), Monotonic(100))
                .is_some(),
            "another lock"
        );
        drop(first);
        assert!(turn(&mut third).is_none());
        let second = turn(&mut second).unwrap();
        assert!(
            queues
                .try_enter(&"a".into(), world.now(), Monotonic(100))
                .is_none()
        );
        drop(second);
        assert!(turn(&mut third).is_some());
        assert!(
            queues.slots().is_empty(),
            "nobody is left, and nothing is kept"
        );
    }

    #[test]
    fn whoever_goes_away_is_not_waited_for() {
        let (queues, world) = (Arc::new(Queues::default()), World::default());
        let first = queues
            .try_enter(&"a".into(), world.now(), Monotonic(100))
            .unwrap();
        let (mut second, mut third) = (enter(&queues, &world, 100), enter(&queues, &world, 100));
        let mut fourth = enter(&queues, &world, 100);
        assert!(
            turn(&mut second).is_none()
                && turn(&mut third).is_none()
                && turn(&mut fourth).is_none()
        );
        drop(second);
        drop(first);
        // It was called, and goes away before it runs.
        drop(third);
        assert!(turn(&mut fourth).is_some());
    }

    #[test]
    fn waiting_ends_with_the_time() {
        let (queues, world) = (Arc::new(Queues::default()), World::default());
        let _first = queues
            .try_enter(&"a".into(), world.now(), Monotonic(100))
            .unwrap();
        let mut second = enter(&queues, &world, 50);
        assert!(poll(&mut second).is_pending());
        world.at(50);
        // No alarm rings in this world; being called makes it look at the clock.
        queues.slots()["a"].call_first();
        assert!(matches!(poll(&mut second), Poll::Ready(None)));
        drop(second);
        assert!(queues.slots()["a"].waiting.is_empty());
    }

    #[test]
    fn a_lease_that_is_over_gives_up_its_turn_and_one_that_lives_keeps_it() {
        let (queues, world) = (Arc::new(Queues::default()), World::default());
        let leased = Arc::new(Leased(AtomicBool::new(false)));
        let life: Weak<Leased> = Arc::downgrade(&leased);
        let first = queues
            .try_enter(&"a".into(), world.now(), Monotonic(10))
            .unwrap();
        first.belongs_to(life);
        std::mem::forget(first);
        world.at(1000);
        let mut second = enter(&queues, &world, 5000);
        assert!(turn(&mut second).is_none());
        leased.0.store(true, Ordering::Relaxed);
        queues.slots()["a"].call_first();
        assert!(turn(&mut second).is_some());
    }

    #[test]
    fn a_turn_that_was_taken_away_passes_nothing_on() {
        let (queues, world) = (Arc::new(Queues::default()), World::default());
        let slow = queues
            .try_enter(&"a".into(), world.now(), Monotonic(10))
            .unwrap();
        world.at(10);
        let second = queues
            .try_enter(&"a".into(), world.now(), Monotonic(100))
            .unwrap();
        drop(slow);
        assert!(
            queues
                .try_enter(&"a".into(), world.now(), Monotonic(100))
                .is_none()
        );
        drop(second);
        assert!(queues.slots().is_empty());
    }

    #[test]
    fn a_leaked_acquisition_blocks_no_longer_than_its_timeout() {
        let (queues, world) = (Arc::new(Queues::default()), World::default());
        let first = queues
            .try_enter(&"a".into(), world.now(), Monotonic(100))
            .unwrap();
        let mut leaked = enter(&queues, &world, 200);
        assert!(turn(&mut leaked).is_none());
        drop(first);
        std::mem::forget(leaked);
        assert!(
            queues
                .try_enter(&"a".into(), world.now(), Monotonic(300))
                .is_none()
        );
        world.at(200);
        assert!(
            queues
                .try_enter(&"a".into(), world.now(), Monotonic(300))
                .is_some()
        );
    }
}
