//! What the clients of a run do: acquire, hold, renew, extend, give back, forget.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::executor::{NodeId, NodeRuntime, World};
use super::history::{self, Belief, CallId, Hold, HoldId, Item};
use super::ledger::{COUNT, LOG, WriteId};
use super::network::Network;
use super::plan::Plan;
use super::random::Random;
use super::server::{KEY, TABLE};
use crate::clock::Wall;
use crate::runtime::{First, Runtime, race};
use crate::{Client, Error, Lease, LeaseSet, Lock, Update};

/// What all participants of a run share.
pub(super) struct Stage {
    pub(super) world: Arc<World>,
    pub(super) network: Arc<Network>,
    pub(super) plan: Plan,
    keys: Vec<String>,
    over: AtomicBool,
    clients: Mutex<BTreeMap<NodeId, Client>>,
    /// Leases on their way to whoever takes them.
    handed_on: Mutex<Vec<(Item, String)>>,
    /// Cloned by every participant, so that it can be seen when all are done.
    participants: Arc<()>,
}

impl Stage {
    pub(super) fn new(
        world: Arc<World>,
        network: Arc<Network>,
        plan: Plan,
        keys: Vec<String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            world,
            network,
            plan,
            keys,
            over: AtomicBool::new(false),
            clients: Mutex::default(),
            handed_on: Mutex::default(),
            participants: Arc::new(()),
        })
    }

    /// To be kept by a task for as long as it takes part.
    pub(super) fn ticket(&self) -> Arc<()> {
        Arc::clone(&self.participants)
    }

    /// Whether all tasks of the scenario are done.
    pub(super) fn is_empty(&self) -> bool {
        Arc::strong_count(&self.participants) == 1
    }

    pub(super) fn add_client(&self, node: NodeId, client: Client) {
        self.clients
            .lock()
            .expect("no panic while it was held")
            .insert(node, client);
    }

    pub(super) fn forget_client(&self, node: NodeId) {
        let client = self
            .clients
            .lock()
            .expect("no panic while it was held")
            .remove(&node);
        drop(client);
    }

    fn handed_on(&self) -> MutexGuard<'_, Vec<(Item, String)>> {
        self.handed_on.lock().expect("no panic while it was held")
    }

    /// The clients whose processes still run.
    pub(super) fn take_clients(&self) -> BTreeMap<NodeId, Client> {
        std::mem::take(&mut *self.clients.lock().expect("no panic while it was held"))
    }

    /// Whether nothing new is to be begun.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn lease(&self) -> u64 {
        self.plan.lease
    }

    pub(super) fn items(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn key(&self, item: Item) -> &str {
        &self.keys[item]
    }

    /// The longest lease that any lock of the run can state.
    pub(super) fn longest_lease(&self) -> u64 {
        self.plan.lease * 8
    }
}

/// One task of a client.
pub(super) struct Worker {
    pub(super) stage: Arc<Stage>,
    pub(super) node: NodeId,
    pub(super) runtime: Arc<NodeRuntime>,
    pub(super) client: Client,
    pub(super) random: Random,
}

/// How a lease is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// By the library.
    Heartbeat,
    /// Not at all.
    Nothing,
    /// By hand.
    Renew,
    /// By hand, and then by the library.
    Start,
    /// By one write that changes its length.
    Extend,
}

impl Worker {
    /// Acquires, holds and gives back until the run is over.
    pub(super) async fn run(mut self) {
        while !self.stage.is_over() {
            if self.random.chance(0.7) {
                let pause = self.random.part(self.stage.lease(), 0.0, 0.8);
                self.runtime.sleep(pause).await;
            }
            self.turn().await;
        }
    }

    async fn turn(&mut self) {
        if self.random.chance(0.5) && self.resume().await {
            return;
        }
        if self.stage.items() > 1 && self.random.chance(0.25) {
            return self.turn_with_all().await;
        }
        let item = self.random.between(0, self.stage.items() as u64 - 1) as usize;
        let keep = match self.random.weighted(&[0.3, 0.25, 0.2, 0.08, 0.17]) {
            0 => Keep::Heartbeat,
            1 => Keep::Nothing,
            2 => Keep::Renew,
            3 => Keep::Start,
            _ => Keep::Extend,
        };
        let (lock, lease, timeout) = self.lock(item, keep);
        if self.random.chance(0.1) {
            self.look(item, &lock).await;
        }
        let called = self.stage.world.now();
        let got = match self.random.weighted(&[0.65, 0.2, 0.15]) {
            0 => self.acquire(item, &lock, timeout).await,
            1 => self.try_acquire(item, &lock).await,
            _ => self.acquire_or_drop(item, &lock).await,
        };
        if let Some(got) = got {
            let deadline = lock.options.deadline;
            self.hold(item, got, called, lease, keep, deadline).await;
        } else if self.random.chance(0.2) {
            self.drain().await;
        }
    }

    /// A lock with drawn options, its lease in nanoseconds, and how long it is waited for at least.
    fn lock(&mut self, item: Item, keep: Keep) -> (Lock, u64, u64) {
        let (random, base) = (&mut self.random, self.stage.lease());
        let lease = match random.chance(0.6) {
            true => base,
            false => random.part(base, 0.5, 2.0),
        };
        // Whoever is to take over by observation waits for longer than the longest lease.
        let timeout = match random.chance(0.2) {
            true => random.part(base, 8.5, 12.0),
            false => random.part(base, 0.3, 6.0),
        };
        let retry = random.part(base, 0.05, 0.4).max(1_000_000);
        let mut lock = self
            .client
            .lock(TABLE, (KEY, self.stage.key(item)))
            .lease(Duration::from_nanos(lease))
            .timeout(Duration::from_nanos(timeout))
            .retry_interval(Duration::from_nanos(retry))
            .max_clock_skew(self.stage.plan.skew);
        if keep != Keep::Heartbeat {
            lock = lock.manual_heartbeat();
        } else if random.chance(0.5) {
            lock = lock.heartbeat(Duration::from_nanos(random.part(lease, 0.1, 0.6)));
        }
        let mut timeout = timeout;
        if random.chance(0.2) {
            // It may be too near, and the clock may be set while it is waited for.
            let left = Duration::from_nanos(random.part(base, 0.5, 8.0));
            lock = lock.deadline(self.runtime.now().wall.plus(left).system_time());
            timeout = 0;
        }
        if random.chance(0.3) {
            lock = lock.poll_by_reading();
        }
        if random.chance(0.5) {
            lock = lock.owner(format!("node {}", self.node));
        }
        if self.stage.plan.records[item] {
            if random.chance(0.5) {
                lock = lock.existing_only();
            }
        } else if random.chance(0.3) {
            lock = lock.delete_on_release();
        }
        (lock, lease, timeout)
    }

    async fn acquire(&mut self, item: Item, lock: &Lock, timeout: u64) -> Option<Lease> {
        let before = self.runtime.now().mono;
        let call = self.begin_for(lock, "acquire", item);
        let got = lock.acquire().await;
        self.end(call);
        match got {
            Ok(lease) => Some(lease),
            Err(error) => {
                let waited = self.runtime.now().mono.since(before);
                if error.is_deadline() && lock.options.deadline.is_some() {
                    self.note("deadline too near", &error.to_string());
                    return None;
                }
                if !error.is_timeout() {
                    self.violate(&format!("acquire failed for a passing reason: {error}"));
                } else if waited < Duration::from_nanos(timeout) {
                    self.violate(&format!("acquire gave up after {waited:?}: {error}"));
                }
                self.note("acquire timed out", &error.to_string());
                None
            }
        }
    }

    async fn try_acquire(&mut self, item: Item, lock: &Lock) -> Option<Lease> {
        let call = self.begin_for(lock, "try_acquire", item);
        let got = lock.try_acquire().await;
        self.end(call);
        match got {
            Ok(got) => got,
            Err(error) => {
                if error.is_lost() || error.is_item_not_found() || error.is_bad_attribute() {
                    self.violate(&format!("try_acquire failed without cause: {error}"));
                }
                self.note("try_acquire failed", &error.to_string());
                None
            }
        }
    }

    /// Looks at a lock without touching it.
    async fn look(&mut self, item: Item, lock: &Lock) {
        let call = self.begin("look", item);
        let looked = match self.random.chance(0.5) {
            true => lock.holder().await.map(drop),
            false => lock.wait_free().await,
        };
        self.end(call);
        match looked {
            Ok(()) => self.note("looked", ""),
            Err(error) if error.is_timeout() || error.is_deadline() => {
                self.note("looked in vain", &error.to_string());
            }
            Err(error) => self.violate(&format!("a look failed without cause: {error}")),
        }
    }

    /// Goes on with a lease that was handed on, if there is one; sometimes it is another's too.
    async fn resume(&mut self) -> bool {
        let waiting = self.stage.handed_on().len();
        if waiting == 0 {
            return false;
        }
        let nth = self.random.between(0, waiting as u64 - 1) as usize;
        let (item, text) = match self.random.chance(0.7) {
            true => self.stage.handed_on().swap_remove(nth),
            false => self.stage.handed_on()[nth].clone(),
        };
        let (lock, lease, _) = self.lock(item, Keep::Nothing);
        let called = self.stage.world.now();
        let call = self.begin_for(&lock, "resume", item);
        let resumed = match text.parse() {
            Ok(token) => lock.resume(&token).await,
            Err(error) => Err(error),
        };
        self.end(call);
        match resumed {
            Ok(got) => {
                let deadline = lock.options.deadline;
                self.hold(item, got, called, lease, Keep::Nothing, deadline)
                    .await
            }
            Err(error) if error.is_lost() || error.is_timeout() || error.is_deadline() => {
                self.note("resume failed", &error.to_string());
            }
            Err(error) => self.violate(&format!("resume failed without cause: {error}")),
        }
        true
    }

    /// Stops waiting for a lock midway.
    async fn acquire_or_drop(&mut self, item: Item, lock: &Lock) -> Option<Lease> {
        let patience = self.random.part(self.stage.lease(), 0.0, 0.6);
        let call = self.begin_for(lock, "acquire", item);
        let got = race(lock.acquire(), self.runtime.sleep(patience)).await;
        self.end(call);
        match got {
            First::A(got) => got.ok(),
            First::B(()) => {
                self.note("acquire dropped", "");
                None
            }
        }
    }

    async fn drain(&mut self) {
        let before = self.stage.world.now();
        let call = self.begin("drain", 0);
        self.client.drain().await;
        self.end(call);
        check_nothing_left(&self.stage, self.node, before);
    }

    async fn hold(
        &mut self,
        item: Item,
        got: Lease,
        called: u64,
        length: u64,
        keep: Keep,
        deadline: Option<SystemTime>,
    ) {
        let lease = Arc::new(got);
        if deadline.is_some() {
            // Where the clock is set meanwhile.
            self.stage.world.history().shorten(lease.version());
        }
        self.check_deadline(&lease, deadline);
        let hold = Hold {
            item,
            node: self.node,
            version: lease.version().to_owned(),
            token: Some(lease.fencing_token()),
            called,
            belief: Arc::new(Holds::new(&lease)),
        };
        let id = history::begin(&self.stage.world, hold);
        self.compare_item(&lease, item);
        let mut lost = false;
        if self.random.chance(0.4) {
            lost = self.update(&lease, id, item).await;
        }
        match keep {
            _ if lost => {}
            Keep::Heartbeat => {
                let time = self.random.part(length, 0.1, 3.0);
                lost = self.wait(&lease, id, time).await;
                for _ in 0..self.random.between(0, 3) {
                    lost = lost || self.update(&lease, id, item).await;
                }
            }
            Keep::Nothing => {
                let time = self.random.part(length, 0.05, 1.6);
                lost = self.wait(&lease, id, time).await;
            }
            Keep::Renew | Keep::Start => {
                for _ in 0..self.random.between(1, 8) {
                    let time = self.random.part(length, 0.05, 0.7);
                    lost = self.wait(&lease, id, time).await
                        || self.renew(&lease, id, item, None).await;
                    if lost {
                        break;
                    }
                }
                if !lost && keep == Keep::Start {
                    if let Err(error) = lease.start_heartbeat() {
                        self.violate(&format!("a heartbeat cannot start: {error}"));
                    }
                    let time = self.random.part(length, 0.5, 2.5);
                    lost = self.wait(&lease, id, time).await;
                }
            }
            Keep::Extend => {
                let time = self.random.part(length, 0.0, 0.5);
                lost = self.wait(&lease, id, time).await;
                let other = match self.random.chance(0.7) {
                    true => self.random.part(length, 1.5, 4.0),
                    false => self.random.part(length, 0.3, 0.9).max(10_000_000),
                };
                if other < length {
                    self.stage.world.history().shorten(lease.version());
                }
                lost = lost || self.renew(&lease, id, item, Some(other)).await;
                if !lost {
                    let time = self.random.part(other, 0.3, 1.1);
                    lost = self.wait(&lease, id, time).await;
                }
            }
        }
        self.check_deadline(&lease, deadline);
        self.part(lease, id, item, lost, keep).await;
    }

    /// No write has moved the end of a lease beyond its deadline.
    fn check_deadline(&self, lease: &Lease, deadline: Option<SystemTime>) {
        let Some(deadline) = deadline else {
            return;
        };
        let ends = lease.expires_at();
        self.note("held under a deadline", "");
        if ends > deadline {
            self.violate(&format!(
                "a lease ends at {ends:?}, past its deadline {deadline:?}"
            ));
        }
    }

    /// Holds for a while; true when the lease was lost meanwhile.
    async fn wait(&mut self, lease: &Lease, id: HoldId, time: u64) -> bool {
        let waited = race(lease.lost(), self.runtime.sleep(time)).await;
        let reason = match waited {
            First::A(reason) => reason.to_string(),
            First::B(()) if lease.is_held() => return false,
            // Whoever asks may know it before whoever waits was woken, but not for long.
            First::B(()) => match race(lease.lost(), self.runtime.sleep(1_000_000)).await {
                First::A(reason) => reason.to_string(),
                First::B(()) => {
                    self.violate("a lease is not held, and lost() does not say so");
                    return true;
                }
            },
        };
        history::lost(&self.stage.world, id, &reason);
        match race(lease.lost(), self.runtime.sleep(1_000_000)).await {
            First::A(again) if again.to_string() == reason => {}
            First::A(again) => self.violate(&format!("lost twice: {reason}, then {again}")),
            First::B(()) => self.violate("a lost lease is not lost when asked again"),
        }
        true
    }

    /// Renews or extends by hand; true when that found the lease lost.
    async fn renew(&mut self, lease: &Lease, id: HoldId, item: Item, length: Option<u64>) -> bool {
        let call = self.begin("renew", item);
        let renewed = match length {
            None => lease.renew().await,
            Some(length) => lease.extend(Duration::from_nanos(length)).await,
        };
        self.end(call);
        match renewed {
            Ok(()) => {
                history::check(&self.stage.world, item, "a renewal returned");
                false
            }
            Err(error) if error.is_lost() => {
                if lease.is_held() {
                    self.violate(&format!(
                        "renewal says lost, and is_held() says held: {error}"
                    ));
                }
                self.wait(lease, id, 0).await
            }
            Err(error) => {
                self.note("renewal failed", &error.to_string());
                false
            }
        }
    }

    /// Acquires the locks of all items together, holds them, writes to all in one, and gives back.
    async fn turn_with_all(&mut self) {
        let keep = match self.random.chance(0.5) {
            true => Keep::Heartbeat,
            false => Keep::Nothing,
        };
        let mut locks: Vec<(Item, Lock)> = Vec::new();
        let (mut shortest, mut timeout) = (u64::MAX, u64::MAX);
        let mut deadlines = Vec::new();
        for item in 0..self.stage.items() {
            let (lock, lease, patience) = self.lock(item, keep);
            deadlines.push(lock.options.deadline);
            shortest = shortest.min(lease);
            timeout = timeout.min(patience);
            locks.push((item, lock));
        }
        // Whatever the order, nobody waits for ever.
        if self.random.chance(0.5) {
            locks.reverse();
            deadlines.reverse();
        }
        let called = self.stage.world.now();
        let before = self.runtime.now().mono;
        let calls: Vec<CallId> = (locks.iter())
            .map(|(item, lock)| self.begin_for(lock, "set acquire", *item))
            .collect();
        let (items, locks): (Vec<Item>, Vec<Lock>) = locks.into_iter().unzip();
        let set = self.client.lock_all(locks);
        let patience = match self.random.chance(0.15) {
            true => self.random.part(self.stage.lease(), 0.0, 0.6),
            false => u64::MAX / 4,
        };
        let got = race(set.acquire(), self.runtime.sleep(patience)).await;
        for call in calls {
            self.end(call);
        }
        let leases = match got {
            First::A(Ok(leases)) => Arc::new(leases),
            First::A(Err(error)) => {
                let waited = self.runtime.now().mono.since(before);
                if error.is_deadline() && deadlines.iter().any(Option::is_some) {
                    return self.note("deadline too near", &error.to_string());
                }
                if !error.is_timeout() {
                    self.violate(&format!("a set failed for a passing reason: {error}"));
                } else if waited < Duration::from_nanos(timeout) {
                    self.violate(&format!("a set gave up after {waited:?}: {error}"));
                }
                return self.note("set timed out", &error.to_string());
            }
            First::B(()) => return self.note("set dropped", ""),
        };
        self.note("set acquired", "");
        let holds: Vec<HoldId> = (0..items.len())
            .map(|at| {
                let lease = &leases[at];
                let hold = Hold {
                    item: items[at],
                    node: self.node,
                    version: lease.version().to_owned(),
                    token: Some(lease.fencing_token()),
                    called,
                    belief: Arc::new(HoldsWithOthers(Arc::clone(&leases), at)),
                };
                history::begin(&self.stage.world, hold)
            })
            .collect();
        for ((lease, item), deadline) in leases.iter().zip(&items).zip(&deadlines) {
            self.compare_item(lease, *item);
            if deadline.is_some() {
                // Where the clock is set meanwhile, and one is lost with another.
                let mut history = self.stage.world.history();
                leases.iter().for_each(|it| history.shorten(it.version()));
            }
            self.check_deadline(lease, *deadline);
        }
        for _ in 0..self.random.between(0, 3) {
            let time = self.random.part(shortest, 0.05, 0.7);
            let waited = race(leases.lost(), self.runtime.sleep(time)).await;
            if matches!(waited, First::A(_)) || !leases.is_held() {
                break;
            }
            self.write_to_all(&leases, items[0]).await;
        }
        for (lease, deadline) in leases.iter().zip(&deadlines) {
            self.check_deadline(lease, *deadline);
        }
        if !leases.is_held() && leases.iter().any(Lease::is_held) {
            self.violate("one lock of a set is lost, and another is held");
        }
        for hold in holds {
            history::end(&self.stage.world, hold);
        }
        let Some(leases) = Arc::into_inner(leases) else {
            return self.violate("somebody else keeps the set");
        };
        if self.random.chance(0.3) {
            return drop(leases);
        }
        let call = self.begin("release all", items[0]);
        let released = leases.release().await;
        self.end(call);
        if let Err(error) = released {
            self.note("set not released", &error.to_string());
        }
    }

    /// One transaction over all items of a set: each is written, or none.
    async fn write_to_all(&mut self, leases: &LeaseSet, item: Item) {
        let mut transaction = self.client.transaction();
        let mut ids = Vec::new();
        let fails = self.random.chance(0.15);
        for lease in leases {
            let (id, mut update) = self.write(lease);
            if fails && ids.is_empty() {
                update = update
                    .condition("size(log) > :most")
                    .value(":most", 1_000_000);
            }
            ids.push(id);
            transaction = transaction.update(lease, update);
        }
        let patience = match self.random.chance(0.1) {
            true => self.random.part(self.stage.lease(), 0.0, 0.3),
            false => u64::MAX / 4,
        };
        let call = self.begin("transaction", item);
        let written = race(transaction.send(), self.runtime.sleep(patience)).await;
        self.end(call);
        match written {
            First::A(written) => {
                for id in ids {
                    self.judge_write(id, fails, &written, true);
                }
            }
            First::B(()) => self.note("transaction dropped", ""),
        }
    }

    /// The item that came with the lock is the one that is there.
    fn compare_item(&self, lease: &Lease, item: Item) {
        let server = self.stage.network.server();
        if !server.shows(item, lease.version(), lease.fencing_token()) {
            return;
        }
        let there = server.log_of(item).cloned();
        drop(server);
        let came = lease.item().get(LOG);
        let came = came.map(|log| serde_json::to_value(log).unwrap_or_default());
        if came != there {
            self.violate(&format!("locked {came:?}, and there is {there:?}"));
        }
    }

    /// A write of the user's, whose number is in it.
    fn write(&mut self, lease: &Lease) -> (WriteId, Update) {
        let mut history = self.stage.world.history();
        let id = history.ledger.begin(lease.version(), lease.fencing_token());
        drop(history);
        (id, Update::new().add(COUNT, 1).append(LOG, [id]))
    }

    /// Writes under the lease; true when that found it lost.
    async fn update(&mut self, lease: &Lease, hold: HoldId, item: Item) -> bool {
        let (id, mut update) = self.write(lease);
        // Nobody else changes the log, so the condition holds or not whatever the weather.
        let fails = self.random.chance(0.15);
        if fails || self.random.chance(0.3) {
            let log = if fails {
                "size(log) > :most"
            } else {
                "attribute_not_exists(log) OR size(log) < :most"
            };
            update = update.condition(log).value(":most", 1_000_000);
        }
        let patience = match self.random.chance(0.15) {
            true => self.random.part(self.stage.lease(), 0.0, 0.3),
            false => u64::MAX / 4,
        };
        let call = self.begin("update", item);
        let updated = match self.random.chance(0.5) {
            true => race(lease.update(update), self.runtime.sleep(patience)).await,
            false => {
                let returning = async { lease.update_returning(update).await.map(drop) };
                race(returning, self.runtime.sleep(patience)).await
            }
        };
        self.end(call);
        let First::A(updated) = updated else {
            self.note("update dropped", "");
            return false;
        };
        self.judge_write(id, fails, &updated, false);
        match updated {
            Ok(()) => {
                history::check(&self.stage.world, item, "an update returned");
                false
            }
            Err(error) if error.is_lost() => {
                if lease.is_held() {
                    self.violate(&format!(
                        "update says lost, and is_held() says held: {error}"
                    ));
                }
                self.wait(lease, hold, 0).await
            }
            Err(_) => false,
        }
    }

    /// `may_give_up`: a transaction is given up in time for its leases to be renewed.
    fn judge_write(
        &self,
        id: WriteId,
        fails: bool,
        written: &Result<(), Error>,
        may_give_up: bool,
    ) {
        let told = match written {
            Ok(()) if fails => return self.violate("an update was applied against its condition"),
            Ok(()) => true,
            Err(error) if error.is_outcome_unknown() => {
                return self.note("update with an unknown outcome", &error.to_string());
            }
            Err(error) => {
                if error.is_condition_failed() {
                    self.note("condition of an update failed", "");
                    if !fails {
                        self.violate("a condition failed that holds");
                    }
                } else if !error.is_lost() && may_give_up {
                    self.note("transaction given up", &error.to_string());
                } else if !error.is_lost() {
                    self.violate(&format!("an update failed without cause: {error}"));
                }
                false
            }
        };
        let problem = self.stage.world.history().ledger.tell(id, told);
        if let Some(problem) = problem {
            self.violate(&problem);
        }
    }

    /// Writes and gives the lock back in one; or deletes the item.
    async fn commit(&mut self, lease: Lease, item: Item) {
        let (version, token) = (lease.version().to_owned(), lease.fencing_token());
        let call = self.begin("commit", item);
        if !self.stage.plan.records[item] && self.random.chance(0.3) {
            self.stage.world.history().ledger.may_delete(&version);
            let deleted = lease.delete_item().await;
            self.end(call);
            if let Err(error) = &deleted
                && !error.is_lost()
                && !error.is_outcome_unknown()
            {
                self.violate(&format!("an item was not deleted without cause: {error}"));
            }
            let shows = self.stage.network.server().shows(item, &version, token);
            if deleted.is_ok() && shows {
                self.violate("an item was deleted, and is still there");
            }
            return;
        }
        let (id, mut update) = self.write(&lease);
        let fails = self.random.chance(0.15);
        if fails {
            update = update
                .condition("size(log) > :most")
                .value(":most", 1_000_000);
        }
        let committed = lease.commit(update).await;
        self.end(call);
        self.judge_write(id, fails, &committed, false);
        let shows = self.stage.network.server().shows(item, &version, token);
        if committed.is_ok() && shows {
            self.violate("committed, and the lock is still in the item");
        }
    }

    /// Gives a lease back in one of the ways there are.
    async fn part(&mut self, lease: Arc<Lease>, id: HoldId, item: Item, lost: bool, keep: Keep) {
        // A forgotten lease with a heartbeat of its own would be held for ever.
        let is_kept = matches!(keep, Keep::Heartbeat | Keep::Start);
        let (version, token) = (lease.version().to_owned(), lease.fencing_token());
        match self.random.weighted(&[0.35, 0.2, 0.12, 0.08, 0.17, 0.08]) {
            5 => {
                history::end(&self.stage.world, id);
                let Some(lease) = Arc::into_inner(lease) else {
                    return self.violate("somebody else keeps the lease");
                };
                self.stage.world.history().hand_on(&version);
                let call = self.begin("hand on", item);
                let token = lease.into_token().await;
                self.end(call);
                match token {
                    Ok(token) => self.stage.handed_on().push((item, token.to_string())),
                    Err(error) => self.note("not handed on", &error.to_string()),
                }
            }
            4 => {
                history::end(&self.stage.world, id);
                let Some(lease) = Arc::into_inner(lease) else {
                    return self.violate("somebody else keeps the lease");
                };
                self.commit(lease, item).await;
            }
            // Never to be released: what a user gets from `mem::forget`.
            3 if !lost && !is_kept => {
                self.note("lease leaked", &version);
                self.stage.world.history().leak(&version);
            }
            // Held on to for longer, and then dropped; without a heartbeat it is lost meanwhile.
            2 if !lost => {
                let time = self.stage.longest_lease();
                self.wait(&lease, id, time / 4).await;
                history::end(&self.stage.world, id);
            }
            1 => {
                history::end(&self.stage.world, id);
                self.note("lease dropped", &version);
                drop(lease);
            }
            _ => {
                let was_held = lease.is_held();
                history::end(&self.stage.world, id);
                let Some(lease) = Arc::into_inner(lease) else {
                    return self.violate("somebody else keeps the lease");
                };
                let call = self.begin("release", item);
                let released = lease.release().await;
                self.end(call);
                self.judge_release(item, &version, token, was_held, released);
            }
        }
    }

    fn judge_release(
        &self,
        item: Item,
        version: &str,
        token: u64,
        was_held: bool,
        released: Result<(), Error>,
    ) {
        let server = self.stage.network.server();
        let shows = server.shows(item, version, token);
        let applied = server.release_of(version, token);
        drop(server);
        match released {
            Ok(()) if shows => self.violate("release succeeded, and the lock is still in the item"),
            Ok(()) if !was_held => self.violate("release of a lost lease succeeded"),
            Ok(()) => self.note("released", version),
            Err(error) if error.is_lost() => {
                let history = self.stage.world.history();
                let was_in_time = applied.is_some_and(|sent| history.was_held_at(version, sent));
                drop(history);
                if was_held && was_in_time {
                    self.violate(&format!(
                        "release was carried out in time, and called lost: {error}"
                    ));
                }
                self.note("release found the lease lost", &error.to_string());
            }
            Err(error) => self.note("release unconfirmed", &error.to_string()),
        }
    }

    fn begin_for(&self, lock: &Lock, what: &'static str, item: Item) -> CallId {
        let call = self.begin(what, item);
        if let Some(deadline) = lock.options.deadline {
            let mut history = self.stage.world.history();
            history.limit_call(call, Wall::of(deadline));
        }
        call
    }

    fn begin(&self, what: &'static str, item: Item) -> CallId {
        let now = self.stage.world.now();
        self.stage
            .world
            .history()
            .begin_call(now, self.node, what, item)
    }

    fn end(&self, call: CallId) {
        let now = self.stage.world.now();
        self.stage.world.history().end_call(now, call);
    }

    fn note(&self, what: &'static str, detail: &str) {
        let now = self.stage.world.now();
        let mut history = self.stage.world.history();
        history.count(what);
        history.line(now, &format!("node {} {what} {detail}", self.node));
    }

    fn violate(&self, what: &str) {
        let now = self.stage.world.now();
        let what = format!("node {}: {what}", self.node);
        self.stage.world.history().violate(now, what);
    }
}

/// After `drain()`: no acquisition that was given up before is still in an item.
pub(super) fn check_nothing_left(stage: &Stage, node: NodeId, drained_from: u64) {
    let now = stage.world.now();
    let wall = stage.world.peek(node).wall;
    let server = stage.network.server();
    let mut history = stage.world.history();
    for item in 0..stage.items() {
        let Some(left) = server.standing(item).filter(|left| left.node == node) else {
            continue;
        };
        // A copy that was late may have come after the clean-up; the lease bounds its harm.
        let (sent, applied) = (left.sent, left.applied);
        let given_up = history.given_up_before(node, item, sent, applied, drained_from, wall);
        let is_alive = now < left.applied + left.lease / 2;
        if given_up && is_alive && !left.straggled && !history.was_handed_out(&left.version) {
            history.violate(
                now,
                format!("item {item}: drained, but {} is left behind", left.version),
            );
        }
    }
}

/// A lease asked by the checker.
pub(super) struct Holds(Arc<Lease>);

impl Holds {
    pub(super) fn new(lease: &Arc<Lease>) -> Self {
        Self(Arc::clone(lease))
    }
}

/// One lease of a set, asked by the checker.
struct HoldsWithOthers(Arc<LeaseSet>, usize);

impl Belief for HoldsWithOthers {
    fn is_held(&self) -> bool {
        self.0[self.1].is_held()
    }
}

impl Belief for Holds {
    fn is_held(&self) -> bool {
        self.0.is_held()
    }
}
