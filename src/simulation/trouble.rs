//! What happens to machines: pauses, crashes, clocks that are set, networks that are cut.

use std::sync::{Arc, Mutex, MutexGuard};

use super::executor::{EPOCH, Freeze, NodeId, SECOND, World};
use super::network::Cut;
use super::plan::{Class, Habit, NodePlan};
use super::random::Random;
use super::scenario::Stage;

const HOUR: i128 = 3600 * SECOND as i128;
const MOST_CRASHES: usize = 3;

/// Starts a process on a machine.
pub(super) type Start = fn(&Arc<Stage>, NodePlan, &mut Random) -> NodeId;

/// Brings trouble over the machines until the run is over.
pub(super) struct Trouble {
    stage: Arc<Stage>,
    start: Start,
    state: Mutex<State>,
}

struct State {
    random: Random,
    machines: Vec<Machine>,
    crashes: usize,
}

#[derive(Clone)]
struct Machine {
    node: NodeId,
    plan: NodePlan,
    /// How far its wall clock was set away from where it belongs.
    astray: i128,
    /// Frozen, or between a crash and a restart.
    down: bool,
}

impl Trouble {
    /// Starts a process on every machine of the plan, and then the trouble.
    pub(super) fn begin(stage: &Arc<Stage>, mut random: Random, start: Start) {
        let plans = stage.plan.nodes.clone();
        let machines = plans.into_iter().map(|plan| Machine {
            node: start(stage, plan, &mut random),
            plan,
            astray: 0,
            down: false,
        });
        let machines = machines.collect();
        let trouble = Arc::new(Self {
            stage: Arc::clone(stage),
            start,
            state: Mutex::new(State {
                random,
                machines,
                crashes: 0,
            }),
        });
        trouble.wait();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it was held")
    }

    fn world(&self) -> &Arc<World> {
        &self.stage.world
    }

    fn wait(self: &Arc<Self>) {
        let after = self
            .state()
            .random
            .part(self.stage.plan.trouble_every, 0.1, 1.9);
        let trouble = Arc::clone(self);
        self.world().call(after, move |_| {
            if !trouble.stage.is_over() {
                trouble.strike();
                trouble.wait();
            }
        });
    }

    /// Something happens to one of the machines, more likely to one that holds a lock.
    fn strike(self: &Arc<Self>) {
        let holders = self.world().history().believers();
        let mut state = self.state();
        let count = state.machines.len() as u64;
        let mut nth = state.random.between(0, count - 1) as usize;
        let held = state
            .machines
            .iter()
            .position(|machine| holders.contains(&machine.node));
        if let Some(holder) = held
            && state.random.chance(0.5)
        {
            nth = holder;
        }
        if state.machines[nth].down {
            return;
        }
        let what = state.random.weighted(&[0.42, 0.24, 0.1, 0.14, 0.1]);
        drop(state);
        match what {
            0 => self.freeze(nth),
            1 => self.cut(nth),
            2 => self.crash(nth),
            3 => self.set_by_an_hour(nth),
            _ => self.set_a_little(nth),
        }
    }

    fn note(&self, node: NodeId, what: &'static str, detail: &str) {
        let now = self.world().now();
        let mut history = self.world().history();
        history.count(what);
        history.disturb(now, node);
        history.line(now, &format!("node {node} {what} {detail}"));
    }

    fn some_time(&self) -> u64 {
        let lease = self.stage.lease();
        let random = &mut self.state().random;
        match random.chance(0.5) {
            true => random.part(lease, 0.02, 0.6),
            false => random.part(lease, 0.6, 4.0),
        }
    }

    fn freeze(self: &Arc<Self>, nth: usize) {
        let time = self.some_time();
        let (machine, how) = {
            let mut state = self.state();
            let NodePlan { habit, dyno, .. } = state.machines[nth].plan;
            let how = match habit {
                _ if dyno || state.random.chance(0.35) => Freeze::Paused,
                Habit::Suspends => Freeze::Suspended,
                Habit::IsSet if self.stage.plan.may_stay_behind() && state.random.chance(0.5) => {
                    Freeze::WallBehind
                }
                Habit::IsSet => Freeze::WallStill,
            };
            state.machines[nth].down = true;
            (state.machines[nth].clone(), how)
        };
        let what = match how {
            Freeze::Paused => "paused",
            Freeze::Suspended => "suspended (monotonic clock still)",
            Freeze::WallStill => "frozen (wall clock still)",
            Freeze::WallBehind => "frozen (wall clock stays behind)",
        };
        self.note(
            machine.node,
            what,
            &format!("for {:.3} ms", time as f64 / 1e6),
        );
        self.world().freeze(machine.node, how);
        let trouble = Arc::clone(self);
        self.world().call(time, move |world| {
            world.thaw(machine.node, how);
            let now = world.now();
            let mut history = world.history();
            history.disturb(now, machine.node);
            history.line(now, &format!("node {} thaws", machine.node));
            trouble.state().machines[nth].down = false;
        });
    }

    fn cut(&self, nth: usize) {
        let time = self.some_time();
        let node = self.state().machines[nth].node;
        let (how, what) = match self.state().random.chance(0.5) {
            true => (Cut::Both, "cut off"),
            false => (Cut::Answers, "cut off from answers"),
        };
        let now = self.world().now();
        self.stage.network.cut(node, now.saturating_add(time), how);
        let mut history = self.world().history();
        history.count(what);
        history.line(
            now,
            &format!("node {node} {what} for {:.3} ms", time as f64 / 1e6),
        );
    }

    fn crash(self: &Arc<Self>, nth: usize) {
        let time = self.some_time();
        let machine = {
            let mut state = self.state();
            if state.crashes == MOST_CRASHES {
                return;
            }
            state.crashes += 1;
            state.machines[nth].down = true;
            state.machines[nth].clone()
        };
        let node = machine.node;
        self.note(node, "crashed", "");
        self.world().crash(node);
        let beliefs = self.world().history().crashed(node);
        drop(beliefs);
        self.stage.forget_client(node);
        let trouble = Arc::clone(self);
        self.world().call(time, move |world| {
            if trouble.stage.is_over() {
                return;
            }
            // A new process has no past by which it could tell that the clock is wrong.
            world.step_wall(node, -machine.astray);
            let mut state = trouble.state();
            let plan = NodePlan {
                clocks: world.clocks(node),
                ..machine.plan
            };
            let State {
                random, machines, ..
            } = &mut *state;
            let node = (trouble.start)(&trouble.stage, plan, random);
            machines[nth] = Machine {
                node,
                plan,
                astray: 0,
                down: false,
            };
            world.history().count("restarted");
        });
    }

    /// Sets a wall clock an hour off, or back to where it belongs.
    fn set_by_an_hour(&self, nth: usize) {
        let (node, by) = {
            let mut state = self.state();
            let machine = state.machines[nth].clone();
            // Before its first answer nothing tells a client that its clock is off.
            let is_fixed = machine.plan.dyno || machine.plan.habit == Habit::Suspends;
            if is_fixed || !self.stage.network.has_been_answered(machine.node) {
                return;
            }
            let forward = !self.stage.plan.may_be_set_back() || state.random.chance(0.5);
            let by = match machine.astray {
                0 if forward => HOUR,
                0 => -HOUR,
                astray => -astray,
            };
            state.machines[nth].astray += by;
            (machine.node, by)
        };
        let what = if by > 0 {
            "wall clock set forward"
        } else {
            "wall clock set back"
        };
        self.note(node, what, "");
        self.world().step_wall(node, by);
    }

    /// Sets a wall clock to another time within the allowed skew.
    fn set_a_little(&self, nth: usize) {
        let now = self.world().now();
        let (node, by) = {
            let mut state = self.state();
            let machine = state.machines[nth].clone();
            let widest = self.stage.plan.widest_offset();
            let is_fixed = machine.plan.dyno || machine.plan.habit == Habit::Suspends;
            if is_fixed
                || widest == 0
                || (machine.astray != 0 && self.stage.plan.class != Class::Beyond)
            {
                return;
            }
            let offset = self.world().clocks(machine.node).wall.read(now) - EPOCH - i128::from(now);
            let by = i128::from(state.random.signed(-widest, widest)) - offset;
            (machine.node, by)
        };
        self.note(node, "wall clock set a little", &format!("by {by} ns"));
        self.world().set_wall(node, by);
    }
}
