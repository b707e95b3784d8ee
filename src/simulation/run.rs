//! One run, from its seed to its verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dynoxide::Database;

use super::executor::{Clocks, Dial, EPOCH, NodeId, NodeRuntime, World};
use super::history::{self, Belief, History, Hold};
use super::network::Network;
use super::peer::Peer;
use super::plan::{NodePlan, Plan};
use super::random::Random;
use super::scenario::{Holds, Stage, Worker, check_nothing_left};
use super::server::{KEY, Server, TABLE};
use super::trouble::Trouble;
use crate::Client;

/// How a run went.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) plan: String,
    pub(super) digest: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) violation: Option<String>,
    /// The end of the trace.
    pub(super) lines: Vec<String>,
    pub(super) polls: u64,
    pub(super) time: Duration,
}

/// More steps than any run needs.
const MOST_POLLS: u64 = 2_000_000;
/// Leases that a run may last until it has seen its acquisitions.
const MOST_LEASES: u64 = 1_500;

/// Runs the history of a seed against a database of its own or one that no other run uses now.
pub(super) fn run(seed: u64, database: &Database, print: bool) -> Report {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    let world = World::new(random.fork(), History::new(plan.promise(), print));
    let mut server = Server::new(database.clone());
    let keys: Vec<String> = (0..plan.items.len())
        .map(|nth| format!("run-{seed}-{nth}"))
        .collect();
    for (key, attributes) in keys.iter().zip(&plan.items) {
        server.add_item(key.clone(), attributes.clone());
    }
    let network = Network::new(&world, random.fork(), plan.weather.clone(), server);
    let summary = format!(
        "seed {seed}: {:?} skew {:?} lease {} ns",
        plan.class, plan.skew, plan.lease
    );
    world.history().line(0, &summary);
    let stage = Stage::new(Arc::clone(&world), network, plan, keys);
    play(&stage, &mut random);
    clear_away(&stage);
    let now = world.now();
    let history = world.history();
    Report {
        plan: summary,
        digest: history.digest(),
        counts: history.counts().clone(),
        violation: history.violation().map(str::to_owned),
        lines: history.last_lines(150).to_vec(),
        polls: world.polls(),
        time: Duration::from_nanos(now),
    }
}

/// The run itself. It ends early once something was seen that must not be.
fn play(stage: &Arc<Stage>, random: &mut Random) {
    Trouble::begin(stage, random.fork(), start_node);
    look_now_and_then(stage, random.fork());
    let enough = stage.plan.acquisitions;
    let limit = stage.lease().saturating_mul(MOST_LEASES);
    advance(stage, limit, "few acquisitions", |stage| {
        stage.world.history().acquisitions() >= enough
    });
    stage.end();
    let patience = stage.longest_lease() * 15;
    if !stage.plan.ends_in_bad_weather {
        stage.network.heal();
    }
    advance(stage, patience, "calls that do not come back", |stage| {
        stage.is_empty()
    });
    stage.network.heal();
    let clients = stage.take_clients();
    drain_all(stage, &clients, patience);
    acquire_once_more(stage, &clients, patience, random);
    drop(clients);
    // Timers of frozen or leaked things run out, and then nothing is left to do.
    let until = stage.world.now() + patience;
    while stage.world.history().violation().is_none() && stage.world.step() {
        if stage.world.now() > until {
            fail(stage, "something goes on for ever");
        }
    }
    let left = stage.world.unfinished();
    if left > 0 && stage.world.history().violation().is_none() {
        fail(stage, &format!("{left} tasks hang"));
    }
}

fn fail(stage: &Stage, what: &str) {
    let now = stage.world.now();
    stage.world.history().violate(now, what.to_owned());
}

/// Takes steps until `is_done`; it is a violation if that takes longer than `limit`.
fn advance(stage: &Arc<Stage>, limit: u64, fear: &str, is_done: impl Fn(&Arc<Stage>) -> bool) {
    let until = stage.world.now().saturating_add(limit);
    while !is_done(stage) {
        if stage.world.history().violation().is_some() {
            return;
        }
        let goes_on = stage.world.step();
        count_notes(stage);
        if !goes_on || stage.world.now() > until || stage.world.polls() > MOST_POLLS {
            let open = stage.world.history().open_calls().join(", ");
            return fail(
                stage,
                &format!("{fear} (limit {limit} ns, still going: {goes_on}); open: {open}"),
            );
        }
    }
}

fn count_notes(stage: &Stage) {
    for (at, node, what) in stage.world.take_notes() {
        let mut history = stage.world.history();
        history.count(what);
        history.line(at, &format!("node {node} says: {what}"));
    }
}

/// Asks all holders whether they hold, at moments that have nothing to do with them.
fn look_now_and_then(stage: &Arc<Stage>, mut random: Random) {
    if stage.is_over() {
        return;
    }
    let after = random.part(stage.lease(), 0.01, 0.3);
    let stage_again = Arc::clone(stage);
    stage.world.call(after, move |world| {
        for item in 0..stage_again.items() {
            history::check(world, item, "time went by");
        }
        look_now_and_then(&stage_again, random);
    });
}

/// Starts a process on a machine: one client and the tasks that use it, or a dyno peer.
fn start_node(stage: &Arc<Stage>, plan: NodePlan, random: &mut Random) -> NodeId {
    let node = stage.world.add_node(plan.clocks);
    let runtime = NodeRuntime::new(&stage.world, node);
    let transport = stage.network.transport(node, plan.dyno);
    if plan.dyno {
        let ticket = stage.ticket();
        let stage_of_peer = Arc::clone(stage);
        let peer = Peer {
            stage: stage_of_peer,
            node,
            runtime,
            transport,
            random: random.fork(),
        };
        spawn(stage, node, async move {
            peer.run().await;
            drop(ticket);
        });
        return node;
    }
    let attempt_timeout = Duration::from_nanos(random.part(stage.lease(), 0.1, 1.0));
    let client = Client::in_world(runtime.clone(), transport, attempt_timeout);
    stage.add_client(node, client.clone());
    for _ in 0..plan.workers {
        let ticket = stage.ticket();
        let worker = Worker {
            stage: Arc::clone(stage),
            node,
            runtime: runtime.clone(),
            client: client.clone(),
            random: random.fork(),
        };
        spawn(stage, node, async move {
            worker.run().await;
            drop(ticket);
        });
    }
    node
}

fn spawn(stage: &Stage, node: NodeId, task: impl Future<Output = ()> + Send + 'static) {
    if stage.world.spawn(node, Box::pin(task)).is_err() {
        unreachable!("the node was just started");
    }
}

/// Every client is done with what it does in the background.
fn drain_all(stage: &Arc<Stage>, clients: &BTreeMap<NodeId, Client>, patience: u64) {
    for (node, client) in clients {
        let (stage_of_task, client, node) = (Arc::clone(stage), client.clone(), *node);
        let ticket = stage.ticket();
        spawn(stage, node, async move {
            let from = stage_of_task.world.now();
            client.drain().await;
            check_nothing_left(&stage_of_task, node, from);
            drop(ticket);
        });
    }
    advance(stage, patience, "a drain that does not end", |stage| {
        stage.is_empty()
    });
}

/// No item is locked for ever: one of the clients gets it, and so does one that comes anew.
fn acquire_once_more(
    stage: &Arc<Stage>,
    clients: &BTreeMap<NodeId, Client>,
    patience: u64,
    random: &mut Random,
) {
    let clock = Dial::new(EPOCH + i128::from(stage.world.now()), 0).starting(stage.world.now());
    let newcomer = stage.world.add_node(Clocks {
        mono: Dial::new(0, 0),
        wall: clock,
    });
    let runtime = NodeRuntime::new(&stage.world, newcomer);
    let transport = stage.network.transport(newcomer, false);
    let new_client = Client::in_world(runtime, transport, Duration::from_nanos(stage.lease()));
    let survivors: Vec<NodeId> = clients.keys().copied().collect();
    let mut order = vec![(newcomer, new_client)];
    if !survivors.is_empty() {
        let node = random.pick(&survivors);
        order.extend(clients.get(&node).map(|client| (node, client.clone())));
    }
    for (node, client) in order {
        for item in 0..stage.items() {
            let (stage_of_task, client) = (Arc::clone(stage), client.clone());
            let ticket = stage.ticket();
            spawn(stage, node, async move {
                acquire_whatever_was(&stage_of_task, node, &client, item).await;
                drop(ticket);
            });
            advance(
                stage,
                patience,
                "an acquisition that does not end",
                |stage| stage.is_empty(),
            );
        }
    }
}

async fn acquire_whatever_was(
    stage: &Arc<Stage>,
    node: NodeId,
    client: &Client,
    item: history::Item,
) {
    // By rule 2 whatever was left is dead after its lease and 1 %.
    let enough = stage.longest_lease() + stage.longest_lease() / 20 + stage.lease();
    let lock = client
        .lock(TABLE, (KEY, stage.key(item)))
        .lease(Duration::from_secs(10))
        .manual_heartbeat()
        .timeout(Duration::from_nanos(enough))
        .retry_interval(Duration::from_nanos((stage.lease() / 10).max(1_000_000)))
        .max_clock_skew(stage.plan.skew);
    let called = stage.world.now();
    match lock.acquire().await {
        Ok(lease) => {
            let lease = Arc::new(lease);
            let hold = Hold {
                item,
                node,
                version: lease.version().to_owned(),
                token: Some(lease.fencing_token()),
                called,
                belief: Arc::new(Holds::new(&lease)) as Arc<dyn Belief>,
            };
            let id = history::begin(&stage.world, hold);
            history::end(&stage.world, id);
            let Some(lease) = Arc::into_inner(lease) else {
                return fail(stage, "somebody else keeps the lease");
            };
            if let Err(error) = lease.release().await {
                fail(
                    stage,
                    &format!("node {node}: release failed in fair weather: {error}"),
                );
            }
        }
        Err(error) => fail(
            stage,
            &format!("item {item} stays locked for node {node}: {error}"),
        ),
    }
}

/// Ends whatever is left, so that nothing of this run outlives it.
fn clear_away(stage: &Arc<Stage>) {
    stage.end();
    stage.world.shut_down();
    let left = stage.world.history().take_holds();
    drop(left);
    drop(stage.take_clients());
    stage.world.shut_down();
    stage.network.server().clear();
}
