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
