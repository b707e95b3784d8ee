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
#[path = "heart_tests.rs"]
mod tests;
