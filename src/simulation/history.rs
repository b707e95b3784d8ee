//! What happened in a run, and whether it was allowed to happen.
//!
//! Everything that may believe to hold a lock is registered here and can be asked, at any
//! moment and with the clocks of its own machine, whether it does. So a belief is not what
//! the history guesses but what a user's `is_held()` would have returned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::executor::{NodeId, World};
use super::ledger::Ledger;
use crate::clock::{Moment, Wall};

/// Index of an item in a run.
pub(super) type Item = usize;

/// Somebody who may believe to hold a lock.
pub(super) trait Belief: Send + Sync {
    fn is_held(&self) -> bool;
}

/// A lock as somebody was told to have it.
pub(super) struct Hold {
    pub(super) item: Item,
    pub(super) node: NodeId,
    pub(super) version: String,
    /// None for dyno peers.
    pub(super) token: Option<u64>,
    /// When the call that acquired it began.
    pub(super) called: u64,
    pub(super) belief: Arc<dyn Belief>,
}

/// Names a hold in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HoldId(u64);

/// What a run promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// No two holders at once, and tokens in order.
    Exclusion,
    /// Tokens in order; clocks are too far apart for more.
    Tokens,
}

pub(super) struct History {
    promise: Promise,
    lines: Vec<String>,
    print: bool,
    digest: u64,
    violation: Option<String>,
    counts: BTreeMap<&'static str, u64>,
    holds: BTreeMap<HoldId, Entry>,
    next_hold: u64,
    handed: Vec<Handed>,
    applied: Vec<Applied>,
    /// Calls of the library, in the order of their beginning.
    calls: Vec<Call>,
    deadlines: BTreeMap<String, Deadline>,
    leaked: BTreeSet<String>,
    shortened: BTreeSet<String>,
    handed_versions: BTreeSet<String>,
    /// What became of the users' writes.
    pub(super) ledger: Ledger,
    /// Versions whose lease was handed on, and those that went on with one.
    handed_on: BTreeSet<String>,
    resumed: BTreeSet<String>,
    /// When a node was last frozen, thawed, or had its clock set.
    disturbed: BTreeMap<NodeId, u64>,
}

struct Entry {
    hold: Hold,
    seen_lost: bool,
}

/// Names a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallId(usize);

/// A call of the library.
struct Call {
    node: NodeId,
    what: &'static str,
    item: Item,
    began: u64,
    ended: Option<u64>,
    /// Its process ended before it could.
    crashed: bool,
    /// When it has to be over, clean-up included, by its machine's wall clock.
    deadline: Option<Wall>,
}

/// A token that was given to a user.
struct Handed {
    item: Item,
    epoch: u64,
    token: u64,
    at: u64,
}

/// An acquisition that the server has carried out.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub(super) item: Item,
    /// How often the item had lost its fence before.
    pub(super) epoch: u64,
    pub(super) fence: u64,
    pub(super) version: String,
}

/// Until when a holder can prove to hold, by the answers that reached it.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    until: Moment,
    lease: u64,
}

impl History {
    pub(super) fn new(promise: Promise, print: bool) -> Self {
        Self {
            promise,
            lines: Vec::new(),
            print,
            digest: 0xcbf2_9ce4_8422_2325,
            violation: None,
            counts: BTreeMap::new(),
            holds: BTreeMap::new(),
            next_hold: 0,
            handed: Vec::new(),
            applied: Vec::new(),
            calls: Vec::new(),
            deadlines: BTreeMap::new(),
            leaked: BTreeSet::new(),
            shortened: BTreeSet::new(),
            handed_versions: BTreeSet::new(),
            ledger: Ledger::default(),
            handed_on: BTreeSet::new(),
            resumed: BTreeSet::new(),
            disturbed: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_insert(0) += 1;
    }

    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Writes a line of the trace.
    pub(super) fn line(&mut self, now: u64, text: &str) {
        let line = format!("{:>14.6} ms  {text}", now as f64 / 1e6);
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.print {
            println!("{line}");
        }
        self.lines.push(line);
    }

    /// A number that two runs share only if their histories are the same.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn last_lines(&self, count: usize) -> &[String] {
        &self.lines[self.lines.len().saturating_sub(count)..]
    }

    /// Notes that something happened which must not. The first is kept.
    pub(super) fn violate(&mut self, now: u64, what: String) {
        self.line(now, &format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// A call of the library begins; names it for `end_call`.
    pub(super) fn begin_call(
        &mut self,
        now: u64,
        node: NodeId,
        what: &'static str,
        item: Item,
    ) -> CallId {
        self.calls.push(Call {
            node,
            what,
            item,
            began: now,
            ended: None,
            crashed: false,
            deadline: None,
        });
        CallId(self.calls.len() - 1)
    }

    /// The call is for a lock with a deadline.
    pub(super) fn limit_call(&mut self, call: CallId, deadline: Wall) {
        self.calls[call.0].deadline = Some(deadline);
    }

    /// The call has come back, or its future was dropped.
    pub(super) fn end_call(&mut self, now: u64, call: CallId) {
        self.calls[call.0].ended = Some(now);
    }

    /// A crash ends the calls and the beliefs of a node.
    pub(super) fn crashed(&mut self, node: NodeId) -> Vec<Hold> {
        for call in self
            .calls
            .iter_mut()
            .filter(|call| call.node == node && call.ended.is_none())
        {
            call.crashed = true;
        }
        let gone = self
            .holds
            .extract_if(.., |_, entry| entry.hold.node == node);
        gone.map(|(_, entry)| entry.hold).collect()
    }

    /// The calls that have not come back.
    pub(super) fn open_calls(&self) -> Vec<String> {
        let open = self
            .calls
            .iter()
            .filter(|call| call.ended.is_none() && !call.crashed);
        open.map(|call| {
            format!(
                "{} on node {} since {} ns",
                call.what, call.node, call.began
            )
        })
        .collect()
    }

    /// Whether every acquisition of the node that may have sent a request at `sent` was still
    /// waiting when that was carried out, at `applied`, had been given up by `before`, and still
    /// had time to be cleaned up by `wall`.
    pub(super) fn given_up_before(
        &self,
        node: NodeId,
        item: Item,
        sent: u64,
        applied: u64,
        before: u64,
        wall: Wall,
    ) -> bool {
        let mut calls = self.calls.iter().filter(|call| {
            call.node == node
                && call.item == item
                && (call.what.ends_with("acquire") || call.what == "resume")
                && call.began <= sent
                && call.ended.is_none_or(|ended| ended >= sent)
        });
        calls.all(|call| {
            let has_time = call.deadline.is_none_or(|deadline| wall < deadline);
            call.ended
                .is_some_and(|ended| has_time && applied < ended && ended <= before)
        })
    }

    /// The nodes on which somebody was told to have a lock and has not let go of it.
    pub(super) fn believers(&self) -> BTreeSet<NodeId> {
        let entries = self.holds.values().filter(|entry| !entry.seen_lost);
        entries.map(|entry| entry.hold.node).collect()
    }

    pub(super) fn disturb(&mut self, now: u64, node: NodeId) {
        self.disturbed.insert(node, now);
    }

    /// The lease of this version is never given back by its user.
    pub(super) fn leak(&mut self, version: &str) {
        self.leaked.insert(version.to_owned());
    }

    /// The lease of this version is to be shortened: it may end early, applied or not.
    pub(super) fn shorten(&mut self, version: &str) {
        self.shortened.insert(version.to_owned());
    }

    /// The lease of this version may be gone on with by whoever has its token.
    pub(super) fn hand_on(&mut self, version: &str) {
        self.handed_on.insert(version.to_owned());
    }

    /// Whether an acquisition over `version` goes on with its lease.
    pub(super) fn is_handed_on(&self, version: &str) -> bool {
        self.handed_on.contains(version)
    }

    /// The server has let another version go on with a lease, under the same fence.
    pub(super) fn resumed(&mut self, new: Applied) {
        self.resumed.insert(new.version.clone());
        self.applied.push(new);
    }

    pub(super) fn was_handed_out(&self, version: &str) -> bool {
        self.handed_versions.contains(version)
    }

    /// Whether the holder of `version` could still prove to hold at a moment of its clocks.
    pub(super) fn was_held_at(&self, version: &str, at: Moment) -> bool {
        let deadline = self
            .deadlines
            .get(version)
            .filter(|_| !self.shortened.contains(version));
        deadline
            .is_some_and(|deadline| at.mono < deadline.until.mono && at.wall < deadline.until.wall)
    }

    /// Takes the leases out that nobody gave back, so that they can be ended with the run.
    pub(super) fn take_holds(&mut self) -> Vec<Hold> {
        std::mem::take(&mut self.holds)
            .into_values()
            .map(|entry| entry.hold)
            .collect()
    }

    /// How many times users were told that they have a lock.
    pub(super) fn acquisitions(&self) -> usize {
        self.handed.len()
    }

    /// The server has carried out an acquisition.
    pub(super) fn applied(&mut self, now: u64, new: Applied) {
        let before = self
            .applied
            .iter()
            .rfind(|old| old.item == new.item && old.epoch == new.epoch);
        if let Some(old) = before
            && old.fence >= new.fence
        {
            let what = format!(
                "item {}: fence went from {} to {}",
                new.item, old.fence, new.fence
            );
            self.violate(now, what);
        }
        self.applied.push(new);
    }

    /// An answer has told the holder of `version` that it holds for `lease` from `sent`.
    ///
    /// An answer that comes when the lease is over, or about to be, is none.
    pub(super) fn proved(&mut self, version: &str, sent: Moment, lease: u64, now: Moment) {
        let soon = Duration::from_millis(1);
        let soon = Moment {
            mono: now.mono.plus(soon),
            wall: now.wall.plus(soon),
        };
        if self.deadlines.contains_key(version) && !self.was_held_at(version, soon) {
            self.shorten(version);
            return;
        }
        let duration = Duration::from_nanos(lease);
        let until = Moment {
            mono: sent.mono.plus(duration),
            wall: sent.wall.plus(duration),
        };
        self.deadlines
            .insert(version.to_owned(), Deadline { until, lease });
    }

    /// Whether the holder of `version` was told of the loss long before it was due.
    fn is_lost_early(&self, version: &str, now: Moment) -> bool {
        let deadline = self
            .deadlines
            .get(version)
            .filter(|_| !self.shortened.contains(version));
        deadline.is_some_and(|deadline| {
            let margin = deadline.lease / 8;
            now.mono.0 + margin < deadline.until.mono.0
                && now.wall.0 + (margin as i64) < deadline.until.wall.0
        })
    }
}

/// A user was told to have a lock: from now on it may believe.
pub(super) fn begin(world: &Arc<World>, hold: Hold) -> HoldId {
    let now = world.now();
    let mut history = world.history();
    let item = hold.item;
    let text = format!(
        "node {} HOLDS item {item} version {} token {:?}",
        hold.node,
        short(&hold.version),
        hold.token
    );
    history.line(now, &text);
    history.handed_versions.insert(hold.version.clone());
    if !history.deadlines.contains_key(&hold.version) {
        // Recovered: since when it holds, no answer has said.
        history.shortened.insert(hold.version.clone());
    }
    if let Some(token) = hold.token {
        history.hand_out(now, &hold, token);
    }
    if !world.observe(|| hold.belief.is_held()) {
        let what = format!(
            "item {item}: version {} was handed out lost",
            short(&hold.version)
        );
        history.violate(now, what);
    }
    history.next_hold += 1;
    let id = HoldId(history.next_hold);
    let seen_lost = false;
    history.holds.insert(id, Entry { hold, seen_lost });
    history.check(world, item, "an acquisition returned");
    id
}

/// The user gives the lock back, or its process is gone: it no longer believes.
pub(super) fn end(world: &Arc<World>, id: HoldId) {
    let entry = world.history().holds.remove(&id);
    drop(entry);
}

/// Asks every possible holder of the item, all at this moment.
pub(super) fn check(world: &Arc<World>, item: Item, cause: &str) {
    world.history().check(world, item, cause);
}

/// The server is to carry out an acquisition: nobody else may believe to hold.
pub(super) fn check_taken(
    world: &Arc<World>,
    history: &mut History,
    item: Item,
    version: &str,
    token: Option<u64>,
    how: &str,
) {
    let others = history.holders(world, item, |hold| {
        hold.version != version || hold.token != token
    });
    if let [other, ..] = others.as_slice()
        && history.promise == Promise::Exclusion
    {
        let what = format!(
            "item {item}: taken ({how}) by {} while held: {other}",
            short(version)
        );
        history.violate(world.now(), what);
    }
}

/// The server is to free a lock: its holder may not believe any more.
pub(super) fn check_freed(world: &Arc<World>, history: &mut History, item: Item, version: &str) {
    let holders = history.holders(world, item, |hold| hold.version == version);
    if let [holder, ..] = holders.as_slice() {
        let what = format!("item {item}: freed while held: {holder}");
        history.violate(world.now(), what);
    }
}

/// The holder was told that its lease is lost.
pub(super) fn lost(world: &Arc<World>, id: HoldId, reason: &str) {
    let now = world.now();
    let mut guard = world.history();
    let history = &mut *guard;
    let Some(entry) = history.holds.get_mut(&id) else {
        return;
    };
    entry.seen_lost = true;
    let called = entry.hold.called;
    let (node, item) = (entry.hold.node, entry.hold.item);
    let version = entry.hold.version.clone();
    let still_held = world.observe(|| entry.hold.belief.is_held());
    let name = format!("node {node} item {item} version {}", short(&version));
    history.line(now, &format!("{name} LOST: {reason}"));
    history.count("lease lost");
    if still_held {
        history.violate(now, format!("{name}: lost, but is_held()"));
    }
    // What a frozen process missed, or a clock that was set ended, is no fault of its.
    let is_disturbed = history.disturbed.get(&node).is_some_and(|at| *at >= called);
    if history.promise == Promise::Exclusion
        && !is_disturbed
        && history.is_lost_early(&version, world.peek(node))
    {
        history.violate(now, format!("{name}: lost without cause ({reason})"));
    }
}

impl History {
    fn check(&mut self, world: &Arc<World>, item: Item, cause: &str) {
        let holders = self.holders(world, item, |_| true);
        if holders.len() > 1 && self.promise == Promise::Exclusion {
            let what = format!(
                "item {item}: two holders, as {cause}: {}",
                holders.join(" and ")
            );
            self.violate(world.now(), what);
        }
        if holders.len() > 1 {
            self.count("two holders (clocks too far apart)");
        }
    }

    /// Those who believe to hold the item, by their own clocks.
    fn holders(
        &mut self,
        world: &Arc<World>,
        item: Item,
        of: impl Fn(&Hold) -> bool,
    ) -> Vec<String> {
        let mut holders = Vec::new();
        let mut revived = None;
        for entry in self.holds.values_mut() {
            if entry.hold.item != item || !of(&entry.hold) {
                continue;
            }
            let hold = &entry.hold;
            let is_held = world.observe(|| hold.belief.is_held());
            let name = format!(
                "version {} token {:?} on node {}",
                short(&hold.version),
                hold.token,
                hold.node
            );
            if is_held && entry.seen_lost {
                revived = Some(name.clone());
            }
            entry.seen_lost |= !is_held;
            if is_held {
                holders.push(name);
            }
        }
        if let Some(name) = revived {
            self.violate(
                world.now(),
                format!("item {item}: held again after it was lost: {name}"),
            );
        }
        holders
    }

    /// Checks a token that a user gets against those that were applied and handed out before.
    fn hand_out(&mut self, now: u64, hold: &Hold, token: u64) {
        let item = hold.item;
        let applied = self.applied.iter().rfind(|applied| {
            applied.item == item && applied.fence == token && applied.version == hold.version
        });
        let Some(epoch) = applied.map(|applied| applied.epoch) else {
            let what = format!(
                "item {item}: token {token} was never given to {}",
                short(&hold.version)
            );
            return self.violate(now, what);
        };
        // Two calls that overlap may come back in either order only where two may hold.
        // A lease that is gone on with keeps its token.
        let least = token + u64::from(self.resumed.contains(&hold.version));
        let later = self.handed.iter().find(|earlier| {
            earlier.item == item
                && earlier.epoch == epoch
                && earlier.token >= least
                && (self.promise == Promise::Exclusion || earlier.at < hold.called)
        });
        if let Some(earlier) = later {
            let what = format!(
                "item {item}: token {token} handed out after {}",
                earlier.token
            );
            self.violate(now, what);
        }
        let at = now;
        self.handed.push(Handed {
            item,
            epoch,
            token,
            at,
        });
    }
}

/// The part of a version that tells it from others in a trace.
pub(super) fn short(version: &str) -> &str {
    version
        .get(version.len().saturating_sub(6)..)
        .unwrap_or(version)
}
