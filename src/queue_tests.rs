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
        turn(&mut second).is_none() && turn(&mut third).is_none() && turn(&mut fourth).is_none()
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
