//! A world on virtual time: tasks, timers, and machines whose clocks disagree.
//!
//! One thread, one generator of chance, no clock of this machine: the same seed gives the
//! same history. True time is nanoseconds since the run began; no task ever sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::history::History;
use super::random::Random;
use crate::clock::{Moment, Monotonic, Wall};
use crate::runtime::{BoxFuture, Event, RandomUnavailable, Runtime};

/// Unix time in nanoseconds when a run begins.
pub(super) const EPOCH: i128 = 1_800_000_000_000_000_000;

pub(super) const MILLISECOND: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) type NodeId = usize;
type TaskId = usize;

/// Something that happens to the world at a moment, outside of every machine.
type Call = Box<dyn FnOnce(&Arc<World>) + Send>;

pub(super) struct World {
    state: Mutex<State>,
    history: Mutex<History>,
}

struct State {
    now: u64,
    random: Random,
    timers: BTreeMap<(u64, u64), Action>,
    sequence: u64,
    tasks: Vec<Task>,
    ready: BTreeSet<TaskId>,
    nodes: Vec<Node>,
    polls: u64,
    /// Whether the checker is looking: then no time passes.
    observed: bool,
    notes: Vec<(u64, NodeId, &'static str)>,
}

enum Action {
    Wake(Waker),
    Call(Call),
}

struct Task {
    node: NodeId,
    future: Option<BoxFuture<()>>,
    finished: bool,
}

struct Node {
    alive: bool,
    frozen: bool,
    /// Tasks to be polled once the node is thawed.
    parked: BTreeSet<TaskId>,
    clocks: Clocks,
}

/// The two clocks of a machine. They survive the process that reads them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    pub(super) mono: Dial,
    pub(super) wall: Dial,
}

/// A clock that may be off, run at its own rate, stand still and be set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dial {
    value: i128,
    since: u64,
    /// Nanoseconds gained in a true millisecond.
    rate: i64,
    stopped: bool,
}

impl Dial {
    pub(super) fn new(value: i128, rate: i64) -> Self {
        Self {
            value,
            since: 0,
            rate,
            stopped: false,
        }
    }

    pub(super) fn read(&self, now: u64) -> i128 {
        if self.stopped {
            return self.value;
        }
        let elapsed = i128::from(now.saturating_sub(self.since));
        self.value + elapsed + elapsed * i128::from(self.rate) / 1_000_000
    }

    pub(super) fn step(&mut self, now: u64, by: i128) {
        self.value = self.read(now) + by;
        self.since = now;
    }

    /// The same clock, for a machine that is added only now.
    pub(super) fn starting(mut self, now: u64) -> Self {
        self.since = now;
        self
    }

    fn stop(&mut self, now: u64) {
        self.step(now, 0);
        self.stopped = true;
    }

    fn go(&mut self, now: u64) {
        self.since = now;
        self.stopped = false;
    }

    /// True time from `now` until the dial shows `at`, if nothing happens to it.
    fn until(&self, now: u64, at: i128) -> u64 {
        let left = u64::try_from(at - self.read(now)).unwrap_or(0);
        let true_left = u128::from(left) * 1_000_000 / (1_000_000 + self.rate) as u128;
        u64::try_from(true_left)
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }
}

/// What stands still while a machine does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    /// A process that is not scheduled: both clocks go on.
    Paused,
    /// A suspended machine: the monotonic clock stands still.
    Suspended,
    /// The wall clock stands still, and shows the right time again after the thaw.
    WallStill,
    /// The wall clock stands still, and stays behind after the thaw.
    WallBehind,
}

impl World {
    pub(super) fn new(random: Random, history: History) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                now: 0,
                random,
                timers: BTreeMap::new(),
                sequence: 0,
                tasks: Vec::new(),
                ready: BTreeSet::new(),
                nodes: Vec::new(),
                polls: 0,
                observed: false,
                notes: Vec::new(),
            }),
            history: Mutex::new(history),
        })
    }

    /// What is known of the run so far. Never held while a task is polled.
    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().expect("no panic while it was held")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it was held")
    }

    pub(super) fn now(&self) -> u64 {
        self.state().now
    }

    pub(super) fn polls(&self) -> u64 {
        self.state().polls
    }

    /// Draws from the world's own chance.
    pub(super) fn draw<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        with(&mut self.state().random)
    }

    pub(super) fn add_node(&self, clocks: Clocks) -> NodeId {
        let mut state = self.state();
        state.nodes.push(Node {
            alive: true,
            frozen: false,
            parked: BTreeSet::new(),
            clocks,
        });
        state.nodes.len() - 1
    }

    pub(super) fn clocks(&self, node: NodeId) -> Clocks {
        self.state().nodes[node].clocks
    }

    /// What the node's clocks show, without time passing.
    pub(super) fn peek(&self, node: NodeId) -> Moment {
        let state = self.state();
        moment(&state.nodes[node].clocks, state.now, state.now)
    }

    pub(super) fn step_wall(&self, node: NodeId, by: i128) {
        let mut state = self.state();
        let now = state.now;
        state.nodes[node].clocks.wall.step(now, by);
    }

    /// Sets the wall clock, which from now on runs at the right rate.
    pub(super) fn set_wall(&self, node: NodeId, by: i128) {
        self.step_wall(node, by);
        self.state().nodes[node].clocks.wall.rate = 0;
    }

    /// Looks at the world through the eyes of its clients while no time passes.
    pub(super) fn observe<T>(&self, look: impl FnOnce() -> T) -> T {
        self.state().observed = true;
        let seen = look();
        self.state().observed = false;
        seen
    }

    /// What the clients have reported since the last call.
    pub(super) fn take_notes(&self) -> Vec<(u64, NodeId, &'static str)> {
        std::mem::take(&mut self.state().notes)
    }

    pub(super) fn is_alive(&self, node: NodeId) -> bool {
        self.state().nodes[node].alive
    }

    pub(super) fn is_frozen(&self, node: NodeId) -> bool {
        self.state().nodes[node].frozen
    }

    /// Stops polling the node's tasks, until `thaw`.
    pub(super) fn freeze(&self, node: NodeId, how: Freeze) {
        let mut guard = self.state();
        let state = &mut *guard;
        let now = state.now;
        let it = &mut state.nodes[node];
        it.frozen = true;
        match how {
            Freeze::Paused => {}
            Freeze::Suspended => it.clocks.mono.stop(now),
            Freeze::WallStill | Freeze::WallBehind => it.clocks.wall.stop(now),
        }
        let tasks = &state.tasks;
        let (parked, ready) = state
            .ready
            .iter()
            .partition(|task| tasks[**task].node == node);
        it.parked = parked;
        state.ready = ready;
    }

    pub(super) fn thaw(&self, node: NodeId, how: Freeze) {
        let mut guard = self.state();
        let state = &mut *guard;
        let now = state.now;
        let it = &mut state.nodes[node];
        it.frozen = false;
        match how {
            Freeze::Paused => {}
            Freeze::Suspended => it.clocks.mono.go(now),
            Freeze::WallStill => it.clocks.wall.stopped = false,
            Freeze::WallBehind => it.clocks.wall.go(now),
        }
        state.ready.append(&mut it.parked);
    }

    /// Ends the process on the node: its tasks are gone, its requests under way are not.
    pub(super) fn crash(&self, node: NodeId) {
        let gone: Vec<BoxFuture<()>> = {
            let mut guard = self.state();
            let state = &mut *guard;
            state.nodes[node].alive = false;
            state.nodes[node].parked.clear();
            let mut gone = Vec::new();
            for (id, task) in state.tasks.iter_mut().enumerate() {
                if task.node == node && !task.finished {
                    task.finished = true;
                    state.ready.remove(&id);
                    gone.extend(task.future.take());
                }
            }
            gone
        };
        drop(gone);
    }

    /// Runs a task on the node; hands it back where the node is dead.
    pub(super) fn spawn(&self, node: NodeId, future: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
        let mut state = self.state();
        if !state.nodes[node].alive {
            return Err(future);
        }
        let id = state.tasks.len();
        state.tasks.push(Task {
            node,
            future: Some(future),
            finished: false,
        });
        state.mark_ready(id);
        Ok(())
    }

    /// How many tasks have not ended.
    pub(super) fn unfinished(&self) -> usize {
        self.state()
            .tasks
            .iter()
            .filter(|task| !task.finished)
            .count()
    }

    /// Has something happen `after` nanoseconds from now.
    pub(super) fn call(&self, after: u64, call: impl FnOnce(&Arc<World>) + Send + 'static) {
        let mut state = self.state();
        let at = state.now.saturating_add(after);
        state.add_timer(at, Action::Call(Box::new(call)));
    }

    /// Takes the next step; false when nothing is left that could ever happen.
    pub(super) fn step(self: &Arc<Self>) -> bool {
        match self.next() {
            Some(Next::Poll(id, future)) => self.poll(id, future),
            Some(Next::Act(Action::Wake(waker))) => waker.wake(),
            Some(Next::Act(Action::Call(call))) => call(self),
            None => return false,
        }
        true
    }

    /// Ends everything, so that nothing keeps the world alive.
    pub(super) fn shut_down(&self) {
        let nodes = self.state().nodes.len();
        for node in 0..nodes {
            self.crash(node);
        }
        let timers = std::mem::take(&mut self.state().timers);
        drop(timers);
    }

    fn next(&self) -> Option<Next> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.ready.is_empty() {
            let ((at, _), action) = state.timers.pop_first()?;
            state.now = state.now.max(at);
            return Some(Next::Act(action));
        }
        let nth = state.random.between(0, state.ready.len() as u64 - 1) as usize;
        let id = *state.ready.iter().nth(nth)?;
        state.ready.remove(&id);
        state.polls += 1;
        // Code takes time to run.
        state.now += state.random.between(0, 2_000);
        let future = state.tasks[id].future.take()?;
        Some(Next::Poll(id, future))
    }

    fn poll(self: &Arc<Self>, id: TaskId, mut future: BoxFuture<()>) {
        let waker = Waker::from(Arc::new(TaskWaker {
            world: Arc::downgrade(self),
            task: id,
        }));
        if future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            let mut state = self.state();
            state.tasks[id].finished = true;
            state.ready.remove(&id);
        } else {
            self.state().tasks[id].future = Some(future);
        }
    }
}

enum Next {
    Poll(TaskId, BoxFuture<()>),
    Act(Action),
}

impl State {
    fn mark_ready(&mut self, id: TaskId) {
        let task = &self.tasks[id];
        if task.finished {
            return;
        }
        let node = &mut self.nodes[task.node];
        if node.frozen {
            node.parked.insert(id);
        } else {
            self.ready.insert(id);
        }
    }

    fn add_timer(&mut self, at: u64, action: Action) -> (u64, u64) {
        self.sequence += 1;
        let key = (at, self.sequence);
        self.timers.insert(key, action);
        key
    }
}

fn moment(clocks: &Clocks, mono_at: u64, wall_at: u64) -> Moment {
    Moment {
        mono: Monotonic(
            u64::try_from(clocks.mono.read(mono_at)).expect("never set, never negative"),
        ),
        wall: Wall(
            i64::try_from(clocks.wall.read(wall_at)).expect("within some centuries of 1970"),
        ),
    }
}

struct TaskWaker {
    world: Weak<World>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(world) = self.world.upgrade() {
            world.state().mark_ready(self.task);
        }
    }
}

/// The world as the client on one node sees it.
pub(super) struct NodeRuntime {
    world: Arc<World>,
    node: NodeId,
}

impl NodeRuntime {
    pub(super) fn new(world: &Arc<World>, node: NodeId) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            node,
        })
    }

    /// Completes when the monotonic clock has gone on by so many nanoseconds.
    pub(super) fn sleep(&self, nanos: u64) -> Sleep {
        let mono = self.world.peek(self.node).mono;
        Sleep::new(
            &self.world,
            self.node,
            Monotonic(mono.0.saturating_add(nanos)),
        )
    }
}

impl Runtime for NodeRuntime {
    fn now(&self) -> Moment {
        let mut state = self.world.state();
        if !state.observed {
            state.now += state.random.between(0, 300);
        }
        let mono_at = state.now;
        // The process may be interrupted between the two readings.
        if !state.observed && state.random.chance(0.01) {
            state.now += state.random.between(0, 300_000);
        }
        moment(&state.nodes[self.node].clocks, mono_at, state.now)
    }

    fn sleep_until(&self, at: Monotonic) -> BoxFuture<()> {
        Box::pin(Sleep::new(&self.world, self.node, at))
    }

    fn spawn(&self, task: BoxFuture<()>) -> Result<(), BoxFuture<()>> {
        self.world.spawn(self.node, task)
    }

    fn random(&self) -> Result<[u8; 16], RandomUnavailable> {
        let mut bits = [0; 16];
        let (high, low) = self.world.draw(|random| (random.next(), random.next()));
        bits[..8].copy_from_slice(&high.to_be_bytes());
        bits[8..].copy_from_slice(&low.to_be_bytes());
        Ok(bits)
    }

    fn is_running(&self) -> bool {
        self.world.is_alive(self.node)
    }

    fn note(&self, event: Event<'_>) {
        let what = match event {
            Event::Acquired {
                recovered: true, ..
            } => "recovered: acquire",
            Event::AcquireRenewed => "renewed before handed out",
            Event::Renewed {
                recovered: true, ..
            } => "recovered: renewal",
            Event::Released {
                recovered: true, ..
            } => "recovered: release",
            Event::Updated {
                recovered: true, ..
            } => "recovered: update",
            Event::Committed {
                recovered: true, ..
            } => "recovered: commit or delete",
            Event::CleanedUp { .. } => "cleaned up",
            Event::Lost { .. } => "reported lost",
            Event::ClockOff { .. } => "warned of the clock",
            Event::Waiting { .. }
            | Event::Acquired { .. }
            | Event::Renewed { .. }
            | Event::Released { .. }
            | Event::Updated { .. }
            | Event::Committed { .. }
            | Event::AttemptFailed { .. } => return,
        };
        let mut state = self.world.state();
        let now = state.now;
        state.notes.push((now, self.node, what));
    }
}

/// A timer on a node's monotonic clock, gone when dropped.
pub(super) struct Sleep {
    world: Arc<World>,
    node: NodeId,
    at: Monotonic,
    timer: Option<(u64, u64)>,
}

impl Sleep {
    fn new(world: &Arc<World>, node: NodeId, at: Monotonic) -> Self {
        Self {
            world: Arc::clone(world),
            node,
            at,
            timer: None,
        }
    }

    fn cancel(&mut self) {
        if let Some(key) = self.timer.take() {
            let old = self.world.state().timers.remove(&key);
            drop(old);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.cancel();
        let at = i128::from(self.at.0);
        let mut state = self.world.state();
        let mono = state.nodes[self.node].clocks.mono;
        if mono.read(state.now) >= at {
            return Poll::Ready(());
        }
        let due = state.now.saturating_add(mono.until(state.now, at));
        let key = state.add_timer(due, Action::Wake(context.waker().clone()));
        drop(state);
        self.timer = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
