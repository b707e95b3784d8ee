//! DynamoDB in the simulation: the embedded engine, and a watch over every write it applies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dynoxide::Database;
use dynoxide::errors::DynoxideError;
use serde_core::de::DeserializeOwned;
use serde_core::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::executor::{NodeId, SECOND, World};
use super::history::{self, Applied, History, Item, short};
use super::ledger::{COUNT, LOG};
use crate::clock::Moment;

pub(super) const TABLE: &str = "locks";
pub(super) const KEY: &str = "id";

const EXPIRES: &str = "dynoLockExpires";
const LEASE: &str = "dynoLockLeaseDuration";
const VERSION: &str = "dynoLockVersion";
const FENCE: &str = "dynoLockFence";
const OWNER: &str = "dynoLockOwner";

/// A table with nothing in it; runs share it and use keys of their own.
pub(super) fn database() -> Database {
    let database = Database::memory().expect("an empty database in memory");
    let table = json!({
        "TableName": TABLE,
        "AttributeDefinitions": [{"AttributeName": KEY, "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": KEY, "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    let request = serde_json::from_value(table).expect("a valid request");
    database.create_table(request).expect("a new table");
    database
}

static RUNS: AtomicU64 = AtomicU64::new(0);

pub(super) struct Server {
    database: Database,
    items: Vec<Watched>,
    /// The node that each version was first written by, and whether it is a dyno peer.
    issuers: BTreeMap<String, Issuer>,
    released: BTreeMap<(String, u64), Moment>,
    /// What no other run of this process has.
    nonce: u64,
}

#[derive(Debug, Clone, Copy)]
struct Issuer {
    node: NodeId,
    dyno: bool,
}

/// An item, as it was after the last write.
struct Watched {
    key: String,
    image: Map<String, Value>,
    /// Versions that were in the item and have been removed or replaced.
    gone: BTreeSet<String>,
    /// How often the fence has vanished.
    epoch: u64,
    /// Since when the item shows this version and expiry.
    pair_since: u64,
    /// The request that wrote the version it shows.
    acquired_by: Option<Arrival>,
}

/// A request as it reaches the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) sender: Sender,
    /// When it left, by true time and by the clocks of its sender.
    pub(super) sent_at: u64,
    pub(super) sent: Moment,
    /// Whether it was late, or is a second copy.
    pub(super) straggles: bool,
    /// Whether there are two of it, of which either may be the one that is answered.
    pub(super) doubled: bool,
}

/// What an item shows: a version of ours, and how it came there.
pub(super) struct Standing {
    pub(super) version: String,
    pub(super) node: NodeId,
    pub(super) lease: u64,
    pub(super) sent: u64,
    pub(super) applied: u64,
    pub(super) straggled: bool,
}

/// Who sends a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) node: NodeId,
    pub(super) dyno: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
    /// Version and lease duration as the item shows them now, if it shows any.
    pub(super) shown: Option<(String, u64)>,
    /// Whether the request was a write, and carried out.
    pub(super) applied: bool,
}

/// The lock attributes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lock {
    expires: Option<i128>,
    lease: Option<i128>,
    version: Option<String>,
    fence: Option<u64>,
    owner: Option<String>,
}

impl Lock {
    fn of(image: &Map<String, Value>) -> Self {
        let number = |name: &str| image.get(name)?.get("N")?.as_str();
        let string = |name: &str| Some(image.get(name)?.get("S")?.as_str()?.to_owned());
        Self {
            expires: number(EXPIRES).and_then(|it| it.parse().ok()),
            lease: number(LEASE).and_then(|it| it.parse().ok()),
            version: string(VERSION),
            fence: number(FENCE).and_then(|it| it.parse().ok()),
            owner: string(OWNER),
        }
    }

    /// Whether it counts as held, dead or alive.
    fn is_taken(&self) -> bool {
        self.expires.is_some_and(|expires| expires > 0)
    }
}

impl Server {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            items: Vec::new(),
            issuers: BTreeMap::new(),
            released: BTreeMap::new(),
            nonce: RUNS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Adds an item that the run is about; `attributes` are put there beforehand.
    pub(super) fn add_item(&mut self, key: String, attributes: Option<Value>) -> Item {
        if let Some(Value::Object(mut item)) = attributes {
            item.insert(KEY.to_owned(), json!({"S": key}));
            let request = from(json!({"TableName": TABLE, "Item": item}));
            self.database.put_item(request).expect("a valid item");
        }
        let image = self.read(&key);
        self.items.push(Watched {
            key,
            image,
            gone: BTreeSet::new(),
            epoch: 0,
            pair_since: 0,
            acquired_by: None,
        });
        self.items.len() - 1
    }

    /// Whether the item shows this acquisition, and always has since it was made.
    pub(super) fn shows(&self, item: Item, version: &str, token: u64) -> bool {
        let watched = &self.items[item];
        let lock = Lock::of(&watched.image);
        let is_shown = lock.version.as_deref() == Some(version) && lock.fence == Some(token);
        is_shown && !watched.gone.contains(version)
    }

    /// What the users have written into an item that shows this acquisition.
    pub(super) fn log_of(&self, item: Item) -> Option<&Value> {
        self.items[item].image.get(LOG)
    }

    /// When the request was sent, by the clocks of its sender, that freed this acquisition.
    ///
    /// None of one that was doubled: its sender may have heard of the refused copy alone.
    pub(super) fn release_of(&self, version: &str, token: u64) -> Option<Moment> {
        self.released.get(&(version.to_owned(), token)).copied()
    }

    /// The version in the item, unless none of ours wrote it.
    pub(super) fn standing(&self, item: Item) -> Option<Standing> {
        let watched = &self.items[item];
        let lock = Lock::of(&watched.image);
        let arrival = watched.acquired_by?;
        Some(Standing {
            version: lock.version?,
            node: arrival.sender.node,
            lease: lock.lease.and_then(|lease| u64::try_from(lease).ok())?,
            sent: arrival.sent_at,
            applied: watched.pair_since,
            straggled: arrival.straggles,
        })
    }

    /// Empties the table for the next run.
    pub(super) fn clear(&self) {
        for item in &self.items {
            let request = from(json!({"TableName": TABLE, "Key": {KEY: {"S": item.key}}}));
            self.database.delete_item(request).expect("a valid key");
        }
    }

    fn read(&self, key: &str) -> Map<String, Value> {
        let request =
            from(json!({"TableName": TABLE, "Key": {KEY: {"S": key}}, "ConsistentRead": true}));
        let answer = self.database.get_item(request).expect("a valid key");
        match serde_json::to_value(&answer.item) {
            Ok(Value::Object(image)) => image,
            _ => Map::new(),
        }
    }

    /// Carries out a request, as one step that nothing can come between.
    pub(super) fn execute(
        &mut self,
        world: &Arc<World>,
        history: &mut History,
        arrival: Arrival,
        operation: &str,
        body: &[u8],
    ) -> Answer {
        let sender = arrival.sender;
        let Ok(request) = serde_json::from_slice::<Value>(body) else {
            history.violate(world.now(), "a request without JSON".to_owned());
            return Answer::internal_error();
        };
        if operation == "TransactWriteItems" {
            return self.transact(world, history, arrival, request);
        }
        let (status, answer) = match operation {
            "UpdateItem" => perform(&request, |it| self.database.update_item(it)),
            "DeleteItem" => perform(&request, |it| self.database.delete_item(it)),
            "GetItem" => perform(&request, |it| self.database.get_item(it)),
            other => {
                history.violate(
                    world.now(),
                    format!("an operation not provided for: {other}"),
                );
                return Answer::internal_error();
            }
        };
        let Some(item) = self.item_of(world, history, &request) else {
            return Answer::internal_error();
        };
        let applied = status == 200 && operation != "GetItem";
        if applied {
            let old = self.look_again(item);
            self.judge(world, history, arrival, item, &old, &request);
        } else if status != 200 && !answer.contains("ConditionalCheckFailed") {
            history.violate(
                world.now(),
                format!("refused as malformed: {answer} {request}"),
            );
        } else {
            history.line(
                world.now(),
                &format!("node {} refused on item {item}", sender.node),
            );
        }
        let lock = Lock::of(&self.items[item].image);
        let shown = lock
            .version
            .zip(lock.lease.and_then(|lease| u64::try_from(lease).ok()));
        Answer {
            status,
            body: answer,
            shown,
            applied,
        }
    }

    fn item_of(&self, world: &World, history: &mut History, request: &Value) -> Option<Item> {
        let key = request["Key"][KEY]["S"].as_str().unwrap_or_default();
        let item = self.items.iter().position(|item| item.key == key);
        if item.is_none() {
            let what = format!("a request for an item unheard of: {request}");
            history.violate(world.now(), what);
        }
        item
    }

    /// Takes note of what the item has become; what it was.
    fn look_again(&mut self, item: Item) -> Map<String, Value> {
        let new = self.read(&self.items[item].key);
        std::mem::replace(&mut self.items[item].image, new)
    }

    /// Carries out a transaction: all of it, or nothing.
    fn transact(
        &mut self,
        world: &Arc<World>,
        history: &mut History,
        arrival: Arrival,
        mut request: Value,
    ) -> Answer {
        // The engine remembers tokens, and another run with the same seed has the same ones.
        let token = request["ClientRequestToken"].as_str().unwrap_or_default();
        request["ClientRequestToken"] = json!(format!("{token}{}", self.nonce));
        let (status, answer) = perform(&request, |it| self.database.transact_write_items(it));
        let none = Vec::new();
        let entries = request["TransactItems"].as_array().unwrap_or(&none);
        let mut applied = false;
        for entry in entries {
            let write = entry.as_object().and_then(|entry| entry.values().next());
            let write = write.unwrap_or(&Value::Null);
            let Some(item) = self.item_of(world, history, write) else {
                return Answer::internal_error();
            };
            let old = self.look_again(item);
            // A token that is known is answered again, and nothing is written.
            if old == self.items[item].image {
                continue;
            }
            applied = true;
            self.judge(world, history, arrival, item, &old, write);
        }
        let is_refusal = answer.contains("TransactionCanceledException");
        match (status, applied) {
            (200, true) => history.count("transaction applied"),
            (200, false) => history.count("transaction answered again"),
            (_, false) if is_refusal => history.count("transaction refused"),
            _ => history.violate(
                world.now(),
                format!("a transaction went wrong: {answer} {request}"),
            ),
        }
        Answer {
            status,
            body: answer,
            shown: None,
            applied,
        }
    }

    /// Compares the item before and after a write with what the design allows.
    fn judge(
        &mut self,
        world: &Arc<World>,
        history: &mut History,
        arrival: Arrival,
        item: Item,
        old: &Map<String, Value>,
        request: &Value,
    ) {
        let now = world.now();
        let watched = &mut self.items[item];
        let (before, after) = (Lock::of(old), Lock::of(&watched.image));
        let mut judge = Judge {
            world,
            history,
            sender: arrival.sender,
            item,
            now,
            before: &before,
            after: &after,
            issuers: &mut self.issuers,
            watched,
        };
        let is_gone = judge.watched.image.is_empty();
        if !is_gone {
            judge.user_writes(old);
        }
        if after.version.is_some()
            && (after.version != before.version || after.fence != before.fence)
        {
            let over = before.version.as_deref().unwrap_or_default();
            let goes_on = after.fence == before.fence && judge.history.is_handed_on(over);
            match goes_on {
                true => judge.resumption(),
                false => judge.acquisition(request),
            }
            judge.watched.acquired_by = Some(arrival).filter(|arrival| !arrival.sender.dyno);
        } else if after.version.is_some() && after.expires.is_some_and(|it| it > 0) {
            judge.renewal();
        } else if before.version.is_some() {
            judge.release(old);
            if let (Some(version), Some(fence), false) =
                (&before.version, before.fence, arrival.doubled)
            {
                self.released.insert((version.clone(), fence), arrival.sent);
            }
        } else {
            judge.violate("wrote without holding and without acquiring");
        }
        if (&before.version, before.expires) != (&after.version, after.expires) {
            self.items[item].pair_since = now;
        }
        if before.fence.is_some() && after.fence.is_none() {
            self.items[item].epoch += 1;
        }
    }
}

/// One applied write under examination.
struct Judge<'a> {
    world: &'a Arc<World>,
    history: &'a mut History,
    sender: Sender,
    item: Item,
    now: u64,
    before: &'a Lock,
    after: &'a Lock,
    issuers: &'a mut BTreeMap<String, Issuer>,
    watched: &'a mut Watched,
}

impl Judge<'_> {
    fn violate(&mut self, what: &str) {
        let text = format!(
            "item {}: node {} {what}: {:?} -> {:?}",
            self.item, self.sender.node, self.before, self.after
        );
        self.history.violate(self.now, text);
    }

    fn line(&mut self, what: &str) {
        let version = self.after.version.as_ref().or(self.before.version.as_ref());
        let text = format!(
            "node {} {what} item {} version {} expires {:?} fence {:?}",
            self.sender.node,
            self.item,
            version.map_or("-", |version| short(version)),
            self.after.expires,
            self.after.fence,
        );
        self.history.line(self.now, &text);
    }

    fn acquisition(&mut self, request: &Value) {
        let version = self.after.version.clone().unwrap_or_default();
        let issuer = *self.issuers.entry(version.clone()).or_insert(Issuer {
            node: self.sender.node,
            dyno: self.sender.dyno,
        });
        if issuer.node != self.sender.node {
            self.violate("acquired under another's version");
        }
        let how = self.manner(request);
        self.line(&format!("acquires ({how})"));
        self.history.count(how);
        if how == "take-over by no rule" {
            self.violate("took a lock over that no rule gives");
        }
        // Nobody believes in what a late copy has brought back.
        let was_gone = self
            .before
            .version
            .as_ref()
            .is_some_and(|old| self.watched.gone.contains(old));
        if how == TAKEN_OBSERVED && !was_gone {
            self.has_stood_long_enough();
        }
        if self.watched.gone.contains(&version) {
            self.history.count("late acquire of a version already gone");
        }
        if let Some(old) = self.before.version.clone().filter(|old| *old != version) {
            self.watched.gone.insert(old);
        }
        let token = if self.sender.dyno {
            None
        } else {
            self.after.fence
        };
        history::check_taken(self.world, self.history, self.item, &version, token, how);
        if self.sender.dyno {
            return;
        }
        let Some(fence) = self.after.fence else {
            return self.violate("acquired without a fence");
        };
        if self.before.fence.is_some_and(|before| fence != before + 1) {
            self.violate("did not add one to the fence");
        }
        let owned = self
            .after
            .owner
            .as_ref()
            .is_none_or(|owner| owner.starts_with(&version));
        if !self.after.is_taken() || self.after.lease.is_none_or(|lease| lease <= 0) || !owned {
            self.violate("wrote lock attributes that do not fit together");
        }
        let (item, epoch) = (self.item, self.watched.epoch);
        self.history.applied(
            self.now,
            Applied {
                item,
                epoch,
                fence,
                version,
            },
        );
    }

    /// Compares what is not the lock's with what the users have written.
    fn user_writes(&mut self, old: &Map<String, Value>) {
        let image = &self.watched.image;
        if !user_attributes(old).eq(user_attributes(image)) {
            return self.violate("changed attributes that are not the lock's");
        }
        let (version, token) = (self.before.version.as_deref(), self.before.fence);
        match self.history.ledger.applied(old, image, version, token) {
            Ok(0) => {}
            Ok(_) if self.after.version.is_some() => self.history.count("update applied"),
            Ok(_) => self.history.count("commit applied"),
            Err(problem) => self.violate(&problem),
        }
    }

    /// Another goes on with a lease that was handed on: as an acquisition, with the same token.
    fn resumption(&mut self) {
        self.line("resumes");
        self.history.count("resumed a lease that was handed on");
        let version = self.after.version.clone().unwrap_or_default();
        self.issuers.insert(
            version.clone(),
            Issuer {
                node: self.sender.node,
                dyno: false,
            },
        );
        if let Some(old) = self.before.version.clone() {
            self.watched.gone.insert(old);
        }
        if self.watched.gone.contains(&version) {
            self.violate("resumed under a version that was gone");
        }
        let (world, item, token) = (self.world, self.item, self.after.fence);
        history::check_taken(world, self.history, item, &version, token, "resumed");
        if self.after.expires <= self.before.expires {
            self.violate("moved the expiry back");
        }
        let (epoch, fence) = (self.watched.epoch, token.unwrap_or_default());
        self.history.resumed(Applied {
            item,
            epoch,
            fence,
            version,
        });
    }

    /// Which clause of the condition let an acquisition pass.
    fn manner(&self, request: &Value) -> &'static str {
        if !self.before.is_taken() {
            return if self.sender.dyno {
                "dyno acquired a free lock"
            } else {
                "acquired a free lock"
            };
        }
        let Some(version) = self.before.version.as_ref() else {
            return "acquired an expiry without a version";
        };
        let issuer = self.issuers.get(version);
        if self.sender.dyno {
            return match issuer {
                Some(issuer) if !issuer.dyno => "dyno took over from us",
                _ => "dyno took over from dyno",
            };
        }
        let expires = self.before.expires.unwrap_or(0);
        let dead_before = condition_values(request, EXPIRES, "<").into_iter();
        if dead_before
            .filter_map(number)
            .any(|dead_before| expires < dead_before)
        {
            return match issuer {
                Some(issuer) if issuer.dyno => "took over from dyno",
                _ => "took over by rule 1 (expired)",
            };
        }
        let seen = condition_values(request, VERSION, "=").into_iter();
        let mut seen = seen.filter_map(|value| value["S"].as_str());
        match seen.any(|seen| seen == version) {
            false => "take-over by no rule",
            true if issuer.is_some_and(|issuer| issuer.node == self.sender.node) => {
                "took over its own version"
            }
            true => TAKEN_OBSERVED,
        }
    }

    /// Rule 2 needs no clock to agree with another, so it can be judged by true time.
    fn has_stood_long_enough(&mut self) {
        let stood = i128::from(self.now - self.watched.pair_since);
        let stated = self.before.lease.unwrap_or(0);
        // 1 % more by a clock that is at most 0.4 % fast.
        if stood < stated + stated * 5 / 1000 {
            self.violate(&format!("took over what had stood for {stood} ns"));
        }
    }

    fn renewal(&mut self) {
        self.line("renews");
        self.belongs_to_sender();
        let never_back = self.after.expires > self.before.expires;
        if !never_back && !self.sender.dyno {
            self.violate("moved the expiry back");
        }
        if self.after.lease.is_none() {
            self.violate("left no lease duration");
        }
    }

    fn release(&mut self, old: &Map<String, Value>) {
        self.line("releases");
        self.belongs_to_sender();
        let version = self.before.version.clone().unwrap_or_default();
        history::check_freed(self.world, self.history, self.item, &version);
        if self.sender.dyno {
            return;
        }
        self.watched.gone.insert(version);
        let is_clean = self.after.expires.is_none()
            && self.after.lease.is_none()
            && self.after.version.is_none()
            && self.after.owner.is_none();
        if !is_clean {
            self.violate("left lock attributes behind");
        }
        if self.watched.image.is_empty() {
            let version = self.before.version.as_deref().unwrap_or_default();
            let on_purpose = self.history.ledger.is_deletable(version);
            self.history.count(match on_purpose {
                true => "item deleted under its lock",
                false => "item deleted on release",
            });
            if !on_purpose && (user_attributes(old).next().is_some() || old.contains_key(LOG)) {
                self.violate("deleted an item with attributes that are not the lock's");
            }
        } else if self.after.fence != self.before.fence {
            self.violate("changed the fence on release");
        }
    }

    fn belongs_to_sender(&mut self) {
        let version = self.before.version.as_ref();
        let issuer = version.and_then(|version| self.issuers.get(version));
        if issuer.is_none_or(|issuer| issuer.node != self.sender.node) {
            self.violate("wrote under a lease that is not its own");
        }
    }
}

pub(super) const TAKEN_OBSERVED: &str = "took over by rule 2 (observed)";

impl Answer {
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": message,
        });
        Self {
            status,
            body: body.to_string(),
            shown: None,
            applied: false,
        }
    }

    pub(super) fn internal_error() -> Self {
        Self::error(
            500,
            "InternalServerError",
            "The request processing has failed",
        )
    }
}

fn perform<'a, Q: Deserialize<'a>, A: Serialize>(
    request: &'a Value,
    run: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> (u16, String) {
    let request = match Q::deserialize(request) {
        Ok(request) => request,
        Err(error) => {
            let answer = Answer::error(400, "ValidationException", &error.to_string());
            return (400, answer.body);
        }
    };
    match run(request) {
        // Through a `Value`, whose maps are in order: the engine's are not.
        Ok(answer) => (
            200,
            serde_json::to_value(answer).unwrap_or_default().to_string(),
        ),
        Err(error) => {
            let body: Value = serde_json::from_str(&error.to_json()).unwrap_or_default();
            (error.status_code(), body.to_string())
        }
    }
}

fn from<Q: DeserializeOwned>(request: Value) -> Q {
    serde_json::from_value(request).expect("a valid request")
}

fn user_attributes(image: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let lock = [EXPIRES, LEASE, VERSION, FENCE, OWNER, KEY, COUNT, LOG];
    image
        .iter()
        .filter(move |(name, _)| !lock.contains(&name.as_str()))
}

/// The values that a condition compares an attribute with, in the form `name operator value`.
fn condition_values<'a>(request: &'a Value, attribute: &str, operator: &str) -> Vec<&'a Value> {
    let condition = request["ConditionExpression"].as_str().unwrap_or_default();
    let spaced = condition.replace(['(', ')', ','], " ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let names = &request["ExpressionAttributeNames"];
    let triples = tokens.windows(3).filter(|triple| {
        triple[1] == operator
            && (triple[0] == attribute || names[triple[0]].as_str() == Some(attribute))
    });
    triples
        .map(|triple| &request["ExpressionAttributeValues"][triple[2]])
        .filter(|value| !value.is_null())
        .collect()
}

fn number(value: &Value) -> Option<i128> {
    value["N"].as_str()?.parse().ok()
}

/// Unix seconds at the server.
pub(super) fn seconds(now: u64, offset: i64) -> i64 {
    let base = (super::executor::EPOCH / i128::from(SECOND)) as i64;
    base + (now / SECOND) as i64 + offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let request = json!({
            "ConditionExpression": "(attribute_not_exists(#e) OR #e <= :zero OR #e < :dead OR (#v = :seen AND #e = :at))",
            "ExpressionAttributeNames": {"#e": EXPIRES, "#v": VERSION},
            "ExpressionAttributeValues": {
                ":zero": {"N": "0"}, ":dead": {"N": "17"}, ":seen": {"S": "abc"}, ":at": {"N": "5"}
            },
        });
        assert_eq!(
            condition_values(&request, EXPIRES, "<"),
            [&json!({"N": "17"})]
        );
        assert_eq!(
            condition_values(&request, VERSION, "="),
            [&json!({"S": "abc"})]
        );
        assert!(condition_values(&request, VERSION, "<").is_empty());
    }
}
