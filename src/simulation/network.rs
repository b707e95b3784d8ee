//! The network between a node and DynamoDB: what it can do to a request and to its answer.
//!
//! A request that has left its node goes its own way: dropping the future that sent it, or
//! the crash of the node, does not call it back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};

use super::executor::{MILLISECOND, NodeId, World};
use super::random::Random;
use super::server::{self, Answer, Arrival, Sender, Server};
use crate::runtime::BoxFuture;
use crate::wire::{SendError, Transport};

/// How likely each fault is, and how long a request takes.
#[derive(Debug, Clone)]
pub(super) struct Weather {
    /// The lease that most locks of the run have; what is slow or late is so by this measure.
    pub(super) lease: u64,
    /// The longest that a request or an answer is under way when nothing is wrong.
    pub(super) usual: u64,
    pub(super) not_sent: f64,
    pub(super) request_lost: f64,
    pub(super) request_slow: f64,
    pub(super) request_late: f64,
    pub(super) doubled: f64,
    pub(super) answer_lost: f64,
    pub(super) answer_slow: f64,
    pub(super) answer_late: f64,
    pub(super) error_before: f64,
    pub(super) error_after: f64,
    pub(super) throttled: f64,
    pub(super) conflict: f64,
    /// How wrong the server's own clock is, in seconds; None: it sends no `Date`.
    pub(super) date: Option<i64>,
    /// Whether requests signed a quarter of an hour off are refused.
    pub(super) checks_signatures: bool,
}

impl Weather {
    /// Nothing goes wrong any more.
    pub(super) fn clear(lease: u64) -> Self {
        Self {
            lease,
            usual: (lease / 40).clamp(MILLISECOND, 20 * MILLISECOND),
            not_sent: 0.0,
            request_lost: 0.0,
            request_slow: 0.0,
            request_late: 0.0,
            doubled: 0.0,
            answer_lost: 0.0,
            answer_slow: 0.0,
            answer_late: 0.0,
            error_before: 0.0,
            error_after: 0.0,
            throttled: 0.0,
            conflict: 0.0,
            date: Some(0),
            checks_signatures: false,
        }
    }
}

/// A node that is cut off for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Nothing gets through.
    Both,
    /// Requests arrive, answers do not.
    Answers,
}

pub(super) struct Network {
    world: Arc<World>,
    state: Mutex<State>,
    server: Mutex<Server>,
}

struct State {
    random: Random,
    weather: Weather,
    cuts: BTreeMap<NodeId, (u64, Cut)>,
    requests: u64,
    /// Copies under way, so that they can be counted and let through at the end.
    pending: BTreeMap<u64, Copy>,
    copies: u64,
    /// Nodes that have had an answer.
    answered: BTreeMap<NodeId, u64>,
}

/// A request on its way to the server.
struct Copy {
    id: u64,
    arrival: Arrival,
    operation: String,
    body: Bytes,
    signed_at: Option<i64>,
    /// What its fate is, for the statistics.
    label: Option<&'static str>,
    answer: AnswerFate,
    /// Who waits for an answer, as long as somebody does.
    waiting: Weak<Mutex<Slot>>,
}

enum AnswerFate {
    /// Goes back to the sender after so long.
    Returns {
        after: u64,
        to: Weak<Mutex<Slot>>,
        label: Option<&'static str>,
    },
    /// The sender gets a 500, though the request was carried out.
    Error { after: u64, to: Weak<Mutex<Slot>> },
    /// Nobody waits for it.
    Nobody,
}

/// Where the sender waits for its answer.
#[derive(Default)]
struct Slot {
    outcome: Option<Result<Response<Bytes>, SendError>>,
    waker: Option<Waker>,
}

/// What becomes of a request.
enum Fate {
    NotSent,
    Lost,
    Refused(Answer, &'static str),
    Delivered,
}

impl Network {
    pub(super) fn new(
        world: &Arc<World>,
        random: Random,
        weather: Weather,
        server: Server,
    ) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            state: Mutex::new(State {
                random,
                weather,
                cuts: BTreeMap::new(),
                requests: 0,
                pending: BTreeMap::new(),
                copies: 0,
                answered: BTreeMap::new(),
            }),
            server: Mutex::new(server),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it was held")
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().expect("no panic while it was held")
    }

    pub(super) fn transport(self: &Arc<Self>, node: NodeId, dyno: bool) -> Arc<NodeTransport> {
        Arc::new(NodeTransport {
            network: Arc::clone(self),
            sender: Sender { node, dyno },
        })
    }

    pub(super) fn cut(&self, node: NodeId, until: u64, how: Cut) {
        self.state().cuts.insert(node, (until, how));
    }

    pub(super) fn has_been_answered(&self, node: NodeId) -> bool {
        self.state().answered.contains_key(&node)
    }

    /// From now on nothing goes wrong, and what was under way arrives.
    pub(super) fn heal(self: &Arc<Self>) {
        let late = {
            let mut state = self.state();
            state.weather = Weather::clear(state.weather.lease);
            state.cuts.clear();
            std::mem::take(&mut state.pending)
        };
        for copy in late.into_values() {
            self.arrive(copy);
        }
    }

    /// The request leaves the node.
    fn depart(self: &Arc<Self>, sender: Sender, request: Request<Bytes>) -> Arc<Mutex<Slot>> {
        let slot = Arc::new(Mutex::new(Slot::default()));
        let now = self.world.now();
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let target = header("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let signed_at = header("x-amz-date").and_then(unix_seconds);
        let mut guard = self.state();
        let state = &mut *guard;
        state.requests += 1;
        let id = state.requests;
        let lease = state.weather.lease;
        let mut plan = Plan::new(state, sender, now);
        let copies = plan.copies();
        let fate = plan.fate;
        let patience = state.random.part(lease, 0.02, 0.4);
        let is_silent = state.random.chance(0.5);
        drop(guard);
        let line = format!("node {} sends {operation} #{id}", sender.node);
        self.world.history().line(now, &line);
        let to = Arc::downgrade(&slot);
        let no_answer = || Err(SendError::NoAnswer("connection reset".to_owned()));
        match fate {
            Fate::NotSent => {
                self.count("request not sent");
                self.bring(
                    patience / 8,
                    to,
                    Err(SendError::NotSent("connection refused".to_owned())),
                );
            }
            Fate::Refused(answer, label) => {
                self.count(label);
                let answer = self.response(&answer);
                self.bring(patience / 8, to, Ok(answer));
            }
            Fate::Lost => {
                self.count("request lost");
                if !is_silent || sender.dyno {
                    self.bring(patience, to, no_answer());
                }
            }
            Fate::Delivered => {
                let is_answered = copies.iter().any(|copy| copy.answered.is_some());
                if !is_answered {
                    self.count("answer lost");
                    // A connection that breaks does so after the request was carried out.
                    if sender.dyno {
                        let last = copies.iter().map(|copy| copy.after).max().unwrap_or(0);
                        self.bring(last + patience, to.clone(), no_answer());
                    } else if !is_silent {
                        self.bring(patience, to.clone(), no_answer());
                    }
                }
                let sent = self.world.peek(sender.node);
                let doubled = copies.len() > 1;
                for copy in copies {
                    let answer = match copy.answered {
                        None => AnswerFate::Nobody,
                        Some(back) if back.error => AnswerFate::Error {
                            after: back.after,
                            to: to.clone(),
                        },
                        Some(back) => AnswerFate::Returns {
                            after: back.after,
                            to: to.clone(),
                            label: back.label,
                        },
                    };
                    let (operation, body) = (operation.clone(), request.body().clone());
                    let label = copy.label;
                    let arrival = Arrival {
                        sender,
                        sent_at: now,
                        sent,
                        straggles: label.is_some(),
                        doubled,
                    };
                    let it = Copy {
                        id,
                        arrival,
                        operation,
                        body,
                        signed_at,
                        label,
                        answer,
                        waiting: to.clone(),
                    };
                    self.launch(copy.after, it);
                }
            }
        }
        slot
    }

    fn launch(self: &Arc<Self>, after: u64, copy: Copy) {
        let key = {
            let mut state = self.state();
            state.copies += 1;
            let key = state.copies;
            state.pending.insert(key, copy);
            key
        };
        let network = Arc::clone(self);
        self.world.call(after, move |_| {
            let copy = network.state().pending.remove(&key);
            if let Some(copy) = copy {
                network.arrive(copy);
            }
        });
    }

    /// The request reaches the server.
    fn arrive(self: &Arc<Self>, copy: Copy) {
        let Copy {
            id,
            arrival,
            operation,
            body,
            signed_at,
            label,
            answer,
            waiting,
        } = copy;
        let mut arrival = arrival;
        let Arrival { sender, sent, .. } = arrival;
        let now = self.world.now();
        let (checks, offset, lease) = {
            let state = self.state();
            (
                state.weather.checks_signatures,
                state.weather.date.unwrap_or(0),
                state.weather.lease,
            )
        };
        // Late is also what was slow and comes when its sender has turned to something else, such
        // as cleaning up: near a deadline an attempt is soon given up.
        let is_slow = now - arrival.sent_at > lease / 8;
        arrival.straggles |= is_slow && waiting.strong_count() == 0;
        let server_time = server::seconds(now, offset);
        let outcome = if checks && signed_at.is_some_and(|at| (at - server_time).abs() > 900) {
            self.count("signature refused");
            Answer::error(
                400,
                "InvalidSignatureException",
                "Signature expired: is now earlier than - 15 min.",
            )
        } else {
            let mut server = self.server();
            let mut history = self.world.history();
            history.line(
                now,
                &format!("request #{id} of node {} arrives", sender.node),
            );
            server.execute(&self.world, &mut history, arrival, &operation, &body)
        };
        if let Some(label) = label {
            self.count(label);
            self.count(match outcome.applied {
                true => "late or second copy applied",
                false => "late or second copy refused",
            });
        }
        let proof = outcome.shown.clone().filter(|_| outcome.applied);
        match answer {
            AnswerFate::Nobody => {}
            AnswerFate::Error { after, to } => {
                self.count("500 after the write");
                let response = self.response(&Answer::internal_error());
                self.bring(after, to, Ok(response));
            }
            AnswerFate::Returns { after, to, label } => {
                label.into_iter().for_each(|label| self.count(label));
                let response = self.response(&outcome);
                let network = Arc::clone(self);
                self.world.call(after, move |world| {
                    if let Some((version, lease)) = proof
                        && to.strong_count() > 0
                    {
                        let now = world.peek(sender.node);
                        match world.is_frozen(sender.node) {
                            false => world.history().proved(&version, sent, lease, now),
                            // It is read after the thaw, which may be too late.
                            true => world.history().shorten(&version),
                        }
                    }
                    network.state().answered.insert(sender.node, world.now());
                    fill(&to, Ok(response));
                });
            }
        }
    }

    /// Has the outcome reach the sender after a while, if it still waits then.
    fn bring(
        &self,
        after: u64,
        to: Weak<Mutex<Slot>>,
        outcome: Result<Response<Bytes>, SendError>,
    ) {
        self.world.call(after, move |_| fill(&to, outcome));
    }

    fn count(&self, what: &'static str) {
        self.world.history().count(what);
    }

    fn response(&self, answer: &Answer) -> Response<Bytes> {
        let mut response = Response::builder()
            .status(answer.status)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amzn-requestid", "SIMULATION");
        if let Some(offset) = self.state().weather.date {
            let seconds = server::seconds(self.world.now(), offset);
            let date = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
            response = response.header("date", httpdate::fmt_http_date(date));
        }
        let body = Bytes::from(answer.body.clone());
        response.body(body).expect("valid headers")
    }
}

fn fill(to: &Weak<Mutex<Slot>>, outcome: Result<Response<Bytes>, SendError>) {
    let Some(slot) = to.upgrade() else {
        return;
    };
    let waker = {
        let mut slot = slot.lock().expect("no panic while it was held");
        slot.outcome.get_or_insert(outcome);
        slot.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The dice thrown for one request.
struct Plan<'a> {
    random: &'a mut Random,
    weather: &'a Weather,
    dyno: bool,
    cut: Option<Cut>,
    fate: Fate,
}

/// One delivery of a request, `after` nanoseconds.
struct Delivery {
    after: u64,
    label: Option<&'static str>,
    answered: Option<Back>,
}

#[derive(Clone, Copy)]
struct Back {
    after: u64,
    error: bool,
    label: Option<&'static str>,
}

impl<'a> Plan<'a> {
    fn new(state: &'a mut State, sender: Sender, now: u64) -> Self {
        let cut = state
            .cuts
            .get(&sender.node)
            .filter(|(until, _)| now < *until);
        let cut = cut.map(|(_, how)| *how);
        let (random, weather) = (&mut state.random, &state.weather);
        let weights = [
            weather.not_sent,
            weather.request_lost,
            weather.error_before,
            weather.throttled,
            weather.conflict,
        ];
        let rest = (1.0 - weights.iter().sum::<f64>()).max(0.0);
        let [a, b, c, d, e] = weights;
        let fate = match random.weighted(&[a, b, c, d, e, rest]) {
            _ if cut == Some(Cut::Both) => Fate::Lost,
            0 => Fate::NotSent,
            1 => Fate::Lost,
            2 if random.chance(0.5) => {
                Fate::Refused(Answer::internal_error(), "500 before the write")
            }
            2 => Fate::Refused(
                Answer::error(503, "ServiceUnavailable", "The service is unavailable"),
                "500 before the write",
            ),
            3 => {
                let codes = [
                    "ThrottlingException",
                    "ProvisionedThroughputExceededException",
                    "RequestLimitExceeded",
                ];
                Fate::Refused(
                    Answer::error(400, random.pick(&codes), "Rate exceeded"),
                    "throttled",
                )
            }
            4 => Fate::Refused(
                Answer::error(
                    400,
                    "TransactionConflictException",
                    "Transaction is ongoing for the item",
                ),
                "transaction conflict",
            ),
            _ => Fate::Delivered,
        };
        let dyno = sender.dyno;
        Self {
            random,
            weather,
            dyno,
            cut,
            fate,
        }
    }

    /// Every delivery of the request, if it is delivered at all.
    fn copies(&mut self) -> Vec<Delivery> {
        let lease = self.weather.lease;
        let (after, label) = self.way_there();
        let mut copies = vec![Delivery {
            after,
            label,
            answered: None,
        }];
        // dyno's heartbeats have no order: one that is late or doubled moves the expiry back
        // or revives a lock. It cannot exclude then, with whomever, and is spared.
        if !self.dyno && self.random.chance(self.weather.doubled) {
            let after = match self.random.chance(0.5) {
                true => after + self.random.part(lease, 0.0, 0.5),
                false => after + self.many_leases(),
            };
            let label = Some("request doubled");
            copies.push(Delivery {
                after,
                label,
                answered: None,
            });
        }
        if self.cut == Some(Cut::Answers) || self.random.chance(self.weather.answer_lost) {
            return copies;
        }
        let back = self.way_back();
        let of = self.random.between(0, copies.len() as u64 - 1) as usize;
        copies[of].answered = Some(back);
        copies
    }

    fn way_there(&mut self) -> (u64, Option<&'static str>) {
        if !self.dyno && self.random.chance(self.weather.request_late) {
            return (self.many_leases(), Some("request late"));
        }
        if self.random.chance(self.weather.request_slow) {
            return (self.random.part(self.weather.lease, 0.01, 0.4), None);
        }
        (self.usual(), None)
    }

    fn way_back(&mut self) -> Back {
        let error = self.random.chance(self.weather.error_after);
        if self.random.chance(self.weather.answer_late) {
            let after = self.random.part(self.weather.lease, 0.3, 3.0);
            return Back {
                after,
                error,
                label: Some("answer late"),
            };
        }
        if self.random.chance(self.weather.answer_slow) {
            let after = self.random.part(self.weather.lease, 0.01, 0.4);
            return Back {
                after,
                error,
                label: Some("answer slow"),
            };
        }
        let after = self.usual();
        Back {
            after,
            error,
            label: None,
        }
    }

    fn usual(&mut self) -> u64 {
        self.random
            .between(self.weather.usual / 10, self.weather.usual)
    }

    /// From half a lease to twenty, short ones as likely as long ones.
    fn many_leases(&mut self) -> u64 {
        let leases = 0.5 * 40_f64.powf(self.random.unit());
        (self.weather.lease as f64 * leases) as u64
    }
}

/// The network as one node sees it.
pub(super) struct NodeTransport {
    network: Arc<Network>,
    sender: Sender,
}

impl Transport for NodeTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<Result<Response<Bytes>, SendError>> {
        Box::pin(Exchange {
            network: Arc::clone(&self.network),
            sender: self.sender,
            request: Some(request),
            slot: None,
        })
    }
}

/// A request and the wait for its answer. It leaves when it is first polled.
struct Exchange {
    network: Arc<Network>,
    sender: Sender,
    request: Option<Request<Bytes>>,
    slot: Option<Arc<Mutex<Slot>>>,
}

impl Future for Exchange {
    type Output = Result<Response<Bytes>, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(request) = self.request.take() {
            self.slot = Some(self.network.depart(self.sender, request));
        }
        let Some(slot) = self.slot.as_ref() else {
            return Poll::Pending;
        };
        let mut slot = slot.lock().expect("no panic while it was held");
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Reads the `20260102T030405Z` of a signed request.
fn unix_seconds(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    // Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
    let shifted = if month > 2 { year } else { year - 1 };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + in_year;
    let days = days - 719_468;
    Some(((days * 24 + part(9, 11)?) * 60 + part(11, 13)?) * 60 + part(13, 15)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_signatures_are_read() {
        let cases = [
            ("19700101T000000Z", Some(0)),
            ("20000301T000000Z", Some(951_868_800)),
            ("20270115T080000Z", Some(1_800_000_000)),
            ("20240229T235959Z", Some(1_709_251_199)),
            ("soon", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(unix_seconds(text), seconds, "{text}");
        }
    }
}
