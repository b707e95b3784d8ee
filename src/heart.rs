//! When which lease is renewed: one task and one timer for all leases of a client.
//!
//! A lease costs an entry here, not a task of its own; only while a renewal is under way there is
//! one. Renewals that come due together wait for one another, so that ten thousand leases do not
//! open a thousand connections, but none waits for long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::clock::Monotonic;
use crate::runtime::{BoxFuture, Place, Runtime, race};

/// So many renewals are under way at once, and more only where one would be late.
const AT_ONCE: usize = 32;

/// A lease that is renewed from time to time.
pub(crate) trait Beating: Send + Sync {
    /// Renews, and enters the time of the next renewal.
    fn beat(self: Arc<Self>) -> BoxFuture<()>;
}

/// The hearts of a client: one in each runtime, since a task ends with its runtime.
#[derive(Default)]
pub(crate) struct Hearts(Mutex<Vec<(Place, Weak<Heart>)>>);

impl Hearts {
    /// The heart of the runtime that the caller is in.
    pub(crate) fn here(&self, runtime: &dyn Runtime) -> Arc<Heart> {
        let here = runtime.place();
        let mut hearts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hearts.iter().find(|(place, _)| *place == here);
        if let Some(heart) = known.and_then(|(_, heart)| heart.upgrade()) {
            return heart;
        }
        hearts.retain(|(_, heart)| heart.strong_count() > 0);
        let heart = Arc::default();
        hearts.push((here, Arc::downgrade(&heart)));
        heart
    }
}

/// Renews what is entered in it. Its task runs while something is.
#[derive(Default)]
pub(crate) struct Heart {
    schedule: Mutex<Schedule<Weak<dyn Beating>>>,
    /// There may be something to do sooner than the task knows.
    changed: Notify,
}

/// No runtime is there to renew anything.
#[derive(Debug)]
pub(crate) struct NoRuntime;

impl Heart {
    /// Has `who` renewed between `due` and `latest`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        runtime: &Arc<dyn Runtime>,
        who: Weak<dyn Beating>,
        due: Monotonic,
        latest: Monotonic,
    ) -> Result<Entry, NoRuntime> {
        let (entry, alarm) = self.schedule().enter(who, due, latest);
        match alarm {
            Alarm::Set => {}
            Alarm::TooLate => self.changed.notify_one(),
            Alarm::None => {
                let running = Running {
                    heart: self.clone(),
                    has_ended: false,
                };
                let task = Box::pin(run(running, runtime.clone()));
                if runtime.spawn(task).is_err() {
                    self.remove(entry);
                    return Err(NoRuntime);
                }
            }
        }
        Ok(entry)
    }

    /// Has it renewed no more. Whether it was still to come.
    pub(crate) fn remove(&self, entry: Entry) -> bool {
        let removed = self.schedule().remove(entry);
        removed.is_some()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule<Weak<dyn Beating>>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run(mut running: Running, runtime: Arc<dyn Runtime>) {
    loop {
        let heart = &running.heart;
        let now = runtime.now().mono;
        let (ready, alarm) = {
            let mut schedule = heart.schedule();
            let ready = schedule.ready(now);
            (ready, schedule.set_alarm())
        };
        for who in ready {
            let under_way = UnderWay(heart.clone());
            if let Some(who) = who.upgrade() {
                let beat = who.beat();
                // Fails only where the runtime ends, and everything in it.
                drop(runtime.spawn(Box::pin(async move {
                    beat.await;
                    drop(under_way);
                })));
            }
        }
        let Some(alarm) = alarm else {
            running.has_ended = true;
            return;
        };
        // What was notified before is remembered.
        race(heart.changed.notified(), runtime.sleep_until(alarm)).await;
    }
}

/// The task. If it ends with its runtime, the next lease starts another all the same.
struct Running {
    heart: Arc<Heart>,
    /// By itself, and has said so: there may be another already.
    has_ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.heart.schedule().alarm = None;
        }
    }
}

/// A renewal under way, until it is dropped.
struct UnderWay(Arc<Heart>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.schedule().came_back() {
            self.0.changed.notify_one();
        }
    }
}

/// Where something is entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    due: Monotonic,
    latest: Monotonic,
    ticket: u64,
}

/// What the task's timer is about an entry.
#[derive(Debug, PartialEq, Eq)]
enum Alarm {
    /// It rings in time.
    Set,
    /// It rings later.
    TooLate,
    /// There is no task.
    None,
}

/// Who is to be renewed when, and how many are being.
struct Schedule<T> {
    /// By the time from which on it is due; with the one at which it waits no longer.
    coming: Queue<T>,
    /// What is due and waits for others, by the time at which it waits no longer.
    waiting: Queue<T>,
    under_way: usize,
    tickets: u64,
    /// When the task looks again; `None` where there is no task.
    alarm: Option<Monotonic>,
}

/// Of one type, as each more is kilobytes of code.
type Queue<T> = BTreeMap<(Monotonic, u64), (Monotonic, T)>;

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self {
            coming: BTreeMap::new(),
            waiting: BTreeMap::new(),
            under_way: 0,
            tickets: 0,
            alarm: None,
        }
    }
}

impl<T> Schedule<T> {
    fn enter(&mut self, who: T, due: Monotonic, latest: Monotonic) -> (Entry, Alarm) {
        let ticket = self.tickets;
        self.tickets += 1;
        self.coming.insert((due, ticket), (latest, who));
        let alarm = match self.alarm {
            None => Alarm::None,
            Some(at) if due < at => Alarm::TooLate,
            Some(_) => Alarm::Set,
        };
        if alarm != Alarm::Set {
            self.alarm = Some(due);
        }
        let entry = Entry {
            due,
            latest,
            ticket,
        };
        (entry, alarm)
    }

    fn remove(&mut self, entry: Entry) -> Option<T> {
        let Entry {
            due,
            latest,
            ticket,
        } = entry;
        let removed = match self.coming.remove(&(due, ticket)) {
            None => self.waiting.remove(&(latest, ticket)),
            removed => removed,
        };
        removed.map(|(_, who)| who)
    }

    /// Takes out who is to be renewed now. Each counts as under way until it came back.
    fn ready(&mut self, now: Monotonic) -> Vec<T> {
        while let Some(first) = self.coming.first_entry()
            && first.key().0 <= now
        {
            let ((_, ticket), (latest, who)) = first.remove_entry();
            self.waiting.insert((latest, ticket), (latest, who));
        }
        let mut ready = Vec::new();
        while let Some(first) = self.waiting.first_entry()
            && (self.under_way < AT_ONCE || first.key().0 <= now)
        {
            ready.push(first.remove().1);
            self.under_way += 1;
        }
        ready
    }

    /// When to look again, unless something changes before; `None` where nothing can come.
    fn set_alarm(&mut self) -> Option<Monotonic> {
        let coming = self.coming.keys().next();
        let waiting = self.waiting.keys().next();
        let first = coming.into_iter().chain(waiting).map(|(at, _)| *at).min();
        self.alarm = match first {
            None if self.under_way > 0 => Some(Monotonic(u64::MAX)),
            first => first,
        };
        self.alarm
    }

    /// One is no longer under way. Whether the task must look at what that changes.
    fn came_back(&mut self) -> bool {
        self.under_way = self.under_way.saturating_sub(1);
        !self.waiting.is_empty() || (self.coming.is_empty() && self.under_way == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::{Moment, Wall};
    use crate::runtime::RandomUnavailable;

    /// A world that stands at its beginning, where tasks are polled by hand and no alarm rings.
    #[derive(Default)]
    struct World(Mutex<Vec<BoxFuture<()>>>);

    impl World {
        /// Polls every task once; how many there are that go on.
        fn poll(&self) -> usize {
            let tasks = std::mem::take(&mut *self.0.lock().unwrap());
            let mut context = Context::from_waker(Waker::noop());
            for mut task in tasks {
                if task.as_mut().poll(&mut context).is_pending() {
                    self.0.lock().unwrap().push(task);
                }
            }
            self.0.lock().unwrap().len()
        }
    }

    impl Runtime for World {
        fn now(&self) -> Moment {
            Moment {
                mono: at(0),
                wall: Wall(0),
            }
        }

        fn sleep_until(&self, _: Monotonic) -> BoxFuture<()> {
            Box::pin(pending())
        }

        fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
            self.0.lock().unwrap().push(task);
            Ok(())
        }

        fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
            Ok([0; 16])
        }

        fn is_running(&self) -> bool {
            true
        }
    }

    /// Counts what was begun; a renewal takes until it is polled a second time.
    #[derive(Default)]
    struct Counter(Mutex<usize>);

    impl Beating for Counter {
        fn beat(self: Arc<Self>) -> BoxFuture<()> {
            let mut polled = false;
            Box::pin(poll_fn(move |_| {
                if !polled {
                    *self.0.lock().unwrap() += 1;
                }
                match std::mem::replace(&mut polled, true) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            }))
        }
    }

    #[test]
    fn one_that_came_back_lets_the_next_go_and_the_task_ends_after_the_last() {
        let world = Arc::new(World::default());
        let runtime: Arc<dyn Runtime> = world.clone();
        let heart = Hearts::default().here(&*runtime);
        let counter = Arc::new(Counter::default());
        let gone: Weak<Counter> = Weak::new();
        heart.enter(&runtime, gone, at(0), at(9)).unwrap();
        for _ in 0..AT_ONCE + 5 {
            let who: Weak<Counter> = Arc::downgrade(&counter);
            heart.enter(&runtime, who, at(0), at(9)).unwrap();
        }
        let begun = || *counter.0.lock().unwrap();
        assert_eq!(world.poll(), 1 + AT_ONCE, "the task, and as many as may be");
        world.poll();
        assert_eq!(begun(), AT_ONCE, "what is gone takes no place");
        while world.poll() > 0 {}
        assert_eq!(begun(), AT_ONCE + 5);
        assert_eq!(heart.schedule().alarm, None);
    }

    #[test]
    fn a_task_that_ends_with_its_runtime_is_followed_by_another() {
        let world = Arc::new(World::default());
        let runtime: Arc<dyn Runtime> = world.clone();
        let heart = Hearts::default().here(&*runtime);
        let counter = Arc::new(Counter::default());
        let enter = || {
            let who: Weak<Counter> = Arc::downgrade(&counter);
            heart.enter(&runtime, who, at(5), at(9)).unwrap();
            world.0.lock().unwrap().len()
        };
        assert_eq!(enter(), 1);
        assert_eq!(enter(), 1);
        world.poll();
        world.0.lock().unwrap().clear();
        assert_eq!(enter(), 1);
    }

    fn at(ms: u64) -> Monotonic {
        Monotonic(ms)
    }

    /// Enters one that is due then, and has that much patience.
    fn enter(schedule: &mut Schedule<u64>, due: u64, patience: u64) -> Entry {
        schedule.enter(due, at(due), at(due + patience)).0
    }

    #[test]
    fn each_is_renewed_when_it_is_due() {
        let mut schedule = Schedule::default();
        for due in [30, 10, 20, 20] {
            enter(&mut schedule, due, 5);
        }
        assert!(schedule.ready(at(9)).is_empty());
        assert_eq!(schedule.set_alarm(), Some(at(10)));
        assert_eq!(schedule.ready(at(25)), [10, 20, 20]);
        assert_eq!(schedule.set_alarm(), Some(at(30)));
        assert_eq!(schedule.ready(at(30)), [30]);
    }

    #[test]
    fn the_task_is_woken_for_what_comes_before_its_alarm_only() {
        let mut schedule = Schedule::default();
        let mut alarm = |due: u64| schedule.enter(due, at(due), at(due)).1;
        assert_eq!(alarm(20), Alarm::None, "there is no task yet");
        assert_eq!(alarm(30), Alarm::Set);
        assert_eq!(alarm(20), Alarm::Set);
        assert_eq!(alarm(10), Alarm::TooLate);
        assert_eq!(alarm(15), Alarm::Set);
    }

    #[test]
    fn what_is_removed_is_not_renewed_whether_it_is_due_or_not() {
        let mut schedule = Schedule {
            under_way: AT_ONCE,
            ..Schedule::default()
        };
        let (due, later) = (enter(&mut schedule, 10, 90), enter(&mut schedule, 20, 90));
        assert!(schedule.ready(at(15)).is_empty(), "too many are under way");
        assert_eq!(schedule.remove(due), Some(10));
        assert_eq!(schedule.remove(later), Some(20));
        assert_eq!(schedule.remove(due), None);
        assert!(schedule.ready(at(500)).is_empty());
    }

    #[test]
    fn no_more_than_so_many_are_under_way_and_the_most_urgent_goes_first() {
        let mut schedule = Schedule::default();
        for due in 0..AT_ONCE as u64 {
            enter(&mut schedule, due, 1_000);
        }
        assert_eq!(schedule.ready(at(100)).len(), AT_ONCE);
        enter(&mut schedule, 101, 1_000);
        enter(&mut schedule, 102, 10);
        enter(&mut schedule, 103, 1_000);
        assert!(schedule.ready(at(110)).is_empty());
        assert_eq!(schedule.set_alarm(), Some(at(112)));
        // One has no patience left; it does not wait for those that were due before it.
        assert_eq!(schedule.ready(at(112)), [102]);
        assert!(schedule.came_back(), "others wait");
        assert!(
            schedule.ready(at(113)).is_empty(),
            "one more than allowed was under way"
        );
        assert!(schedule.came_back());
        assert_eq!(schedule.ready(at(114)), [101]);
    }

    #[test]
    fn the_task_ends_once_nothing_is_entered_or_under_way() {
        let mut schedule = Schedule::default();
        enter(&mut schedule, 10, 5);
        enter(&mut schedule, 10, 5);
        assert_eq!(schedule.ready(at(10)).len(), 2);
        assert_eq!(
            schedule.set_alarm(),
            Some(at(u64::MAX)),
            "they may come back"
        );
        let (_, alarm) = schedule.enter(20, at(20), at(25));
        assert_eq!(alarm, Alarm::TooLate);
        assert!(!schedule.came_back());
        assert_eq!(schedule.ready(at(20)), [20]);
        assert!(!schedule.came_back());
        assert!(schedule.came_back(), "it was the last");
        assert_eq!(schedule.set_alarm(), None);
        assert_eq!(schedule.enter(30, at(30), at(35)).1, Alarm::None);
    }
}
