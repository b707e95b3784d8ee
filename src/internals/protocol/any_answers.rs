//! One acquisition and its lease against any answers and any clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Moment, Monotonic, Wall, nanos};
use crate::options::Terms;
use crate::protocol::{
    Acquire, Acquired, ClockTrust, Jitter, Lease, Lost, Released, Renewed, RetryBudget,
    Surroundings, Verdict,
};
use crate::wire::{AttributeValue, Item, Outcome};

use super::super::dynamodb::{Answer, Request};
use super::super::input::Input;
use super::any_lock::{self, Ours, Shown, shown};
use super::{RETRY, check_next_at, failure, jitter, step, terms};

const MINE: &str = "mine";
/// Attempts of an acquisition that a refusal can show.
const REMEMBERED: usize = 64;
/// The year 2200. Nanoseconds since 1970 fit until 2262.
const LATEST_WALL: i64 = 7_258_118_400_000_000_000;
/// Fifty years, which is less than the rest.
const LONGEST_LIFE: Monotonic = Monotonic(50 * 366 * 86_400 * 1_000_000_000);

pub(super) fn play(input: &mut Input<'_>) {
    let terms = terms(input);
    let now = Moment {
        mono: Monotonic(0),
        wall: Wall(1_800_000_000_000_000_000),
    };
    let mut scene = Scene {
        terms: &terms,
        now,
        trust: ClockTrust::new(now),
        sent: BTreeMap::new(),
        jitter: jitter(input),
        budget: RetryBudget::default(),
        input,
    };
    let Some(acquired) = scene.acquire() else {
        return;
    };
    scene.hold(acquired);
}

struct Scene<'a, 'b, 'c> {
    terms: &'a Terms,
    now: Moment,
    trust: ClockTrust,
    /// Every `expires` ever sent, with the moment before, and the lease that went with it.
    sent: BTreeMap<i64, (Moment, Duration)>,
    jitter: Jitter,
    budget: RetryBudget,
    input: &'b mut Input<'c>,
}

/// Another's lock, as long as it stands unchanged.
struct Watched {
    shown: Shown,
    since: Monotonic,
}

impl Scene<'_, '_, '_> {
    fn acquire(&mut self) -> Option<Acquired> {
        let (terms, names) = (self.terms, &self.terms.names);
        let mut machine = Acquire::new(MINE.into(), self.now);
        assert_eq!(machine.next_at(), self.now.mono, "the first is due at once");
        let mut watched: Option<Watched> = None;
        while !self.input.is_over() {
            self.time_passes();
            let base = self.expiry_base();
            let doubtful = self.trust.is_doubtful(self.now, terms.max_clock_skew);
            let write = machine.attempt(terms, self.now, base, doubtful);
            let request = Request::of(&write).expect("an acquire");
            let expires = self.note_sent(&request, terms.lease);
            assert!(machine.is_unsettled());
            self.takes_only_what_is_dead(&request, doubtful, watched.as_ref());

            self.time_passes();
            let doubtful = self.trust.is_doubtful(self.now, terms.max_clock_skew);
            let outcome = self.outcome(7);
            let state = match &outcome {
                Outcome::Applied(item) | Outcome::Refused(Some(item)) => shown(item, names),
                _ => None,
            };
            let (applied, refused) = (
                matches!(outcome, Outcome::Applied(_)),
                matches!(outcome, Outcome::Refused(Some(_))),
            );
            let ours = state.clone().filter(|state| {
                let mut known = self.sent.keys().rev().take(REMEMBERED);
                let known = known.any(|sent| state.expires == Some(*sent));
                state.version.as_deref() == Some(MINE)
                    && (state.expires == Some(expires) || refused && known)
            });
            let around = Surroundings {
                terms,
                now: self.now,
                doubtful,
                retry: RETRY,
                budget: &mut self.budget,
                jitter: &mut self.jitter,
                is_abandoned: &|version| version == "another",
            };
            match machine.answered(outcome, around) {
                Verdict::Acquired(acquired) => {
                    let state = ours.expect("it shows what we sent");
                    assert_eq!(acquired.recovered, refused);
                    self.check_acquired(&acquired, &state);
                    return Some(*acquired);
                }
                Verdict::Failed(error) => {
                    let bad = (applied || refused) && state.is_none();
                    assert!(!bad || error.is_bad_attribute(), "{error}");
                    return None;
                }
                Verdict::Held | Verdict::Free | Verdict::Again => {
                    assert!(!applied && ours.is_none());
                    check_next_at(machine.next_at(), self.now.mono);
                }
            }
            if let Some(state) = state.filter(|state| state.expires.is_some_and(|it| it > 0)) {
                let pair = |of: &Shown| (of.version.clone(), of.expires);
                watched = match watched {
                    Some(watched) if pair(&watched.shown) == pair(&state) => Some(watched),
                    _ => Some(Watched {
                        shown: state,
                        since: self.now.mono,
                    }),
                };
            }
        }
        None
    }

    /// What the attempt would take over is dead by one of the two rules.
    fn takes_only_what_is_dead(
        &self,
        request: &Request,
        doubtful: bool,
        watched: Option<&Watched>,
    ) {
        let names = &self.terms.names;
        let skew = self.terms.max_clock_skew;
        let dead_before = self.now.wall.minus(skew).0;
        let seen = watched.and_then(|watched| watched.shown.expires);
        let probes = [
            Some(dead_before.max(1)),
            Some(dead_before.saturating_sub(1).max(1)),
            Some(self.now.wall.0.max(1)),
            seen,
        ];
        let watched_version = watched.and_then(|watched| watched.shown.version.as_deref());
        for expires in probes.into_iter().flatten() {
            for version in [Some("stranger"), watched_version] {
                let mut item = self.terms.key.clone();
                item.insert(&names.expires, expires);
                if let Some(version) = version {
                    item.insert(&names.version, version);
                }
                let by_wall = !doubtful && expires < dead_before && dead_before > 0;
                let by_watching = watched.is_some_and(|watched| {
                    let abandoned = watched.shown.version.as_deref();
                    let abandoned = matches!(abandoned, Some(MINE | "another"));
                    let unchanged = watched.shown.lease.is_some_and(|lease| {
                        self.now.mono >= watched.since.plus(lease + lease / 100)
                    });
                    watched.shown.expires == Some(expires)
                        && watched.shown.version.as_deref() == version
                        && (abandoned || unchanged)
                });
                let answer = request.apply(&mut Some(item)).expect("good operands");
                assert_eq!(
                    matches!(answer, Answer::Applied(_)),
                    by_wall || by_watching,
                    "{expires} of {version:?} at {:?}: {request:?}",
                    self.now
                );
            }
        }
    }

    fn check_acquired(&self, acquired: &Acquired, state: &Shown) {
        let (sent, lease) = self.sent[&state.expires.unwrap_or_default()];
        let deadline = acquired.lease.deadline();
        assert_eq!(deadline.mono, sent.mono.plus(lease));
        assert_eq!(deadline.wall, sent.wall.plus(lease));
        assert_eq!(Some(acquired.lease.fence()), state.fence);
        assert_eq!(acquired.lease.version(), MINE);
        let mut names = self.terms.names.all().into_iter();
        assert!(!names.any(|name| acquired.item.contains(name)));
    }

    fn hold(&mut self, acquired: Acquired) {
        let Acquired {
            mut lease, item, ..
        } = acquired;
        let deletable = item.iter().all(|(name, _)| self.terms.key.contains(name));
        // The first write under the lease tells which attempt it came of.
        let mut open = Vec::new();
        let mut first = true;
        let mut lost: Option<Lost> = None;
        let mut released_while_held = false;
        if self.input.flag() {
            lease.hand_out();
        } else if lease.remaining(self.now).is_zero() {
            assert_eq!(lease.lost(self.now), None, "nobody believed in it");
        }
        while !self.input.is_over() {
            self.time_passes();
            self.check_lost(&mut lease, &mut lost);
            let releases = self.input.below(4) == 3;
            let duration =
                self.input
                    .pick(&[lease.duration(), self.terms.lease / 2, self.terms.lease]);
            let base = self.expiry_base();
            let held = lease.lost(self.now).is_none();
            let write = match releases {
                true => lease.release(self.terms, self.now),
                false => lease.renewal(self.terms, self.now, base, duration),
            };
            let request = Request::of(&write).expect("a write under the lease");
            let listed: Vec<i64> = request
                .listed(&self.terms.names.expires)
                .into_iter()
                .filter_map(whole)
                .collect();
            if std::mem::take(&mut first) {
                open = listed.clone();
            }
            assert_eq!(listed, open, "all that may stand");
            let fence = lease.fence();
            self.applies_only_under(&request, &open, fence);
            if releases {
                assert_eq!(
                    request.is_delete(),
                    deletable && self.terms.delete_on_release
                );
                released_while_held |= held;
            } else if open.len() <= 64 {
                open.push(self.note_sent(&request, duration));
            } else {
                let again = whole(request.sets(&self.terms.names.expires).expect("an expiry"));
                assert_eq!(again, open.last().copied(), "the last is sent again");
            }

            self.time_passes();
            let outcome = self.outcome(fence);
            let shown = match &outcome {
                Outcome::Refused(Some(item)) => shown(item, &self.terms.names),
                _ => None,
            };
            let applied = matches!(outcome, Outcome::Applied(_));
            let refused = matches!(outcome, Outcome::Refused(_));
            if releases {
                match lease.released(&self.terms.names, outcome) {
                    Released::Done { recovered } => {
                        assert!(released_while_held);
                        assert_eq!((applied, refused), (!recovered, recovered));
                        return;
                    }
                    Released::Lost(reason) => {
                        assert!(applied || refused);
                        assert_eq!(lease.lost(self.now), Some(&reason));
                        return;
                    }
                    Released::Failed(_) => assert!(!applied && !refused),
                }
                continue;
            }
            match lease.renewed(self.now, &self.terms.names, outcome) {
                Renewed::Done { recovered } => {
                    assert_eq!((applied, refused), (!recovered, recovered));
                    let standing = match shown {
                        Some(shown) => {
                            assert_eq!(shown.version.as_deref(), Some(MINE));
                            assert_eq!(shown.fence, Some(fence));
                            shown.expires
                        }
                        None => open.last().copied(),
                    };
                    let standing = standing.expect("an expiry");
                    assert!(open.contains(&standing));
                    open.retain(|expires| *expires >= standing);
                    assert_eq!(lease.lost(self.now), None);
                }
                Renewed::Lost(reason) => {
                    assert_eq!(lease.lost(self.now), Some(&reason));
                    lost = Some(reason);
                    // What was told of a late answer is of no consequence.
                    return self.stays_lost(&mut lease, lost, released_while_held);
                }
                Renewed::Failed(_) => assert!(!applied && !refused),
            }
            let ends = |expires: &i64| {
                let (sent, lease) = self.sent[expires];
                (sent.mono.plus(lease), sent.wall.plus(lease))
            };
            let ends: Vec<_> = open.iter().map(ends).collect();
            assert_eq!(
                Some(lease.deadline().mono),
                ends.iter().map(|(mono, _)| *mono).min()
            );
            assert_eq!(
                Some(lease.deadline().wall),
                ends.iter().map(|(_, wall)| *wall).min()
            );
        }
    }

    /// Lost at the deadline at the latest, once, with one reason.
    fn check_lost(&self, lease: &mut Lease, lost: &mut Option<Lost>) {
        let passed = lease.remaining(self.now).is_zero();
        let reason = lease.lost(self.now).cloned();
        if lost.is_some() {
            assert_eq!(&reason, lost);
        }
        if reason.is_some() {
            assert!(passed);
            assert!(lease.remaining(Moment::default()).is_zero());
        }
        *lost = reason;
    }

    fn stays_lost(&mut self, lease: &mut Lease, mut lost: Option<Lost>, releasing: bool) {
        self.time_passes();
        self.check_lost(lease, &mut lost);
        let released = lease.release(self.terms, self.now);
        Request::of(&released).expect("a release");
        let outcome = self.outcome(lease.fence());
        let released = lease.released(&self.terms.names, outcome);
        assert!(
            releasing || !matches!(released, Released::Done { .. }),
            "{released:?}"
        );
    }

    /// A write applies to our own lock alone, with an `expires` that may stand.
    fn applies_only_under(&self, request: &Request, open: &[i64], fence: u64) {
        let names = &self.terms.names;
        let expires = open.first().copied().unwrap_or_default();
        let unknown = open
            .iter()
            .max()
            .map_or(0, |latest| latest.saturating_add(1));
        for (version, shown_fence, expires, applies) in [
            (Some(MINE), fence, expires, true),
            (Some("other"), fence, expires, false),
            (None, fence, expires, false),
            (Some(MINE), fence.saturating_add(1), expires, false),
            (Some(MINE), fence, unknown, false),
        ] {
            let mut item = self.terms.key.clone();
            item.insert(&names.expires, expires);
            item.insert(&names.fence, shown_fence);
            if let Some(version) = version {
                item.insert(&names.version, version);
            }
            let answer = request.apply(&mut Some(item)).expect("good operands");
            assert_eq!(matches!(answer, Answer::Applied(_)), applies, "{request:?}");
        }
    }

    /// Takes down the expiry that a request writes: it is larger than all before.
    fn note_sent(&mut self, request: &Request, lease: Duration) -> i64 {
        let names = &self.terms.names;
        let expires = request
            .sets(&names.expires)
            .and_then(whole)
            .expect("an expiry");
        let stated = request.sets(&names.lease_duration).and_then(whole);
        assert_eq!(stated, Some(nanos(lease)));
        assert!(
            self.sent.keys().all(|earlier| *earlier < expires),
            "{expires}"
        );
        assert!(expires >= self.now.wall.plus(lease).0);
        self.sent.insert(expires, (self.now, lease));
        expires
    }

    fn expiry_base(&self) -> Wall {
        let base = self.trust.expiry_base(self.now);
        assert!(base >= self.now.wall);
        base
    }

    /// Both clocks go on, one of them stands, the wall clock is set, or a `Date` comes.
    fn time_passes(&mut self) {
        let lease = self.terms.lease;
        let set = |wall: Wall| Wall(wall.0.clamp(0, LATEST_WALL));
        match self.input.below(8) {
            0 => {}
            1 | 2 => {
                let step = step(lease, self.input);
                self.now.mono = self.now.mono.plus(step).min(LONGEST_LIFE);
                self.now.wall = set(self.now.wall.plus(step));
            }
            3 => {
                let mono = self.now.mono.plus(step(lease, self.input));
                self.now.mono = mono.min(LONGEST_LIFE);
            }
            4 => self.now.wall = set(self.now.wall.plus(step(lease, self.input))),
            5 => self.now.wall = set(self.now.wall.minus(step(lease, self.input))),
            6 => self.now.wall = set(Wall(self.input.number() as i64)),
            _ => {
                // What `httpdate` can read: the years 1970 to 9999.
                let near = self.now.wall.0 / 1_000_000_000;
                let date = match self.input.below(3) {
                    0 => near,
                    1 => (near + i64::from(self.input.byte()) - 128).max(0),
                    _ => (self.input.number() % 253_402_300_800) as i64,
                };
                let skew = self.terms.max_clock_skew;
                self.trust.observe(self.now, self.now, date, skew);
            }
        }
        let _ = self.trust.signing_time(self.now);
    }

    fn outcome(&mut self, fence: u64) -> Outcome {
        let sent: Vec<i64> = self.sent.keys().rev().copied().collect();
        let ours = Ours {
            version: MINE,
            sent: &sent,
            fence,
        };
        match self.input.below(6) {
            0 => Outcome::Unknown(failure(self.input)),
            1 => Outcome::NotApplied(failure(self.input)),
            2 => Outcome::Refused(None),
            3 => Outcome::Refused(Some(any_lock::item(self.terms, &ours, self.input))),
            4 => Outcome::Applied(any_lock::item(self.terms, &ours, self.input)),
            _ => {
                let mut item: Item = self.terms.key.clone();
                let names = &self.terms.names;
                item.insert(&names.version, MINE);
                item.insert(&names.fence, fence);
                item.insert(&names.lease_duration, nanos(self.terms.lease));
                if let Some(expires) = sent.first() {
                    item.insert(&names.expires, *expires);
                }
                Outcome::Applied(item)
            }
        }
    }
}

fn whole(value: &AttributeValue) -> Option<i64> {
    match value {
        AttributeValue::N(number) => number.to_i64(),
        _ => None,
    }
}
