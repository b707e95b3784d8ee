//! A server with one item, and the requests on their way to it.

use crate::wire::{AttributeValue, Item, Outcome, Write};

use super::super::dynamodb::{Answer, Request};
use super::Terms;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Acquire,
    Renew,
    Release,
    GiveBack,
}

/// A request on its way, or its answer.
pub(super) struct Flight {
    pub(super) purpose: Purpose,
    version: String,
    request: Request,
    pub(super) answer: Option<Answer>,
}

/// The item, and what must hold of it however requests come in.
pub(super) struct World {
    pub(super) item: Option<Item>,
    pub(super) flights: Vec<Flight>,
    largest_fence: u64,
    /// Versions in the order in which they were acquired; twice where a request came twice.
    acquired: Vec<String>,
}

impl World {
    pub(super) fn new(item: Option<Item>) -> Self {
        Self {
            item,
            flights: Vec::new(),
            largest_fence: 0,
            acquired: Vec::new(),
        }
    }

    /// Sends a write; gives its place among the flights.
    pub(super) fn send(&mut self, purpose: Purpose, version: &str, write: &Write<'_>) -> usize {
        self.flights.push(Flight {
            purpose,
            version: version.to_owned(),
            request: Request::of(write).expect("a request that keeps the rules"),
            answer: None,
        });
        self.flights.len() - 1
    }

    /// Lets a request arrive, perhaps not for the first time. The first answer counts.
    pub(super) fn deliver(&mut self, at: usize, terms: &Terms) {
        let Some(flight) = self.flights.get(at) else {
            return;
        };
        let (request, purpose) = (flight.request.clone(), flight.purpose);
        let version = flight.version.clone();
        let before = self.item.clone();
        let answer = request.apply(&mut self.item).expect("good operands");
        if let Answer::Applied(_) = answer {
            self.check_applied(purpose, &version, before.as_ref(), terms);
        }
        self.flights[at].answer.get_or_insert(answer);
    }

    fn check_applied(
        &mut self,
        purpose: Purpose,
        version: &str,
        before: Option<&Item>,
        terms: &Terms,
    ) {
        let names = &terms.names;
        let mine = |item: Option<&Item>| {
            item.and_then(|item| item.get(&names.version)) == Some(&version.into())
        };
        let of = |item: Option<&Item>, name: &str| match item?.get(name)? {
            AttributeValue::N(number) => number.to_u64(),
            _ => None,
        };
        let after = self.item.as_ref();
        let fence = of(after, &names.fence);
        let expires = (of(before, &names.expires), of(after, &names.expires));
        match purpose {
            Purpose::Acquire => {
                let fence = fence.expect("a fence");
                assert!(fence > self.largest_fence, "the fence grows");
                self.largest_fence = fence;
                assert!(mine(after));
                self.acquired.push(version.to_owned());
            }
            Purpose::Renew => {
                assert!(mine(before) && mine(after));
                assert_eq!(fence, of(before, &names.fence));
                assert!(expires.0 <= expires.1, "an expiry is never moved back");
            }
            Purpose::Release | Purpose::GiveBack => {
                assert!(mine(before) && !mine(after));
                match after {
                    Some(after) => {
                        assert_eq!(fence, of(before, &names.fence), "the fence stays");
                        assert_eq!(after.get("state"), before.and_then(|it| it.get("state")));
                    }
                    None => {
                        let user = before.is_some_and(|item| item.contains("state"));
                        assert!(
                            !user && purpose == Purpose::Release,
                            "the user's item is deleted"
                        );
                        // Across a deletion tokens grow only as far as clocks agree.
                        self.largest_fence = 0;
                    }
                }
            }
        }
    }

    /// Whether the item shows this lock.
    pub(super) fn shows(&self, version: &str, fence: u64, terms: &Terms) -> bool {
        let item = self.item.as_ref();
        let shown = item.and_then(|item| item.get(&terms.names.version));
        let shown_fence = item.and_then(|item| item.get(&terms.names.fence));
        shown == Some(&version.into()) && shown_fence == Some(&AttributeValue::N(fence.into()))
    }

    /// Whether this version is in the item, though only one request has put it there.
    pub(super) fn still_shows(&self, version: &str, terms: &Terms) -> bool {
        let times = self.acquired.iter().filter(|it| *it == version).count();
        let item = self.item.as_ref();
        times <= 1 && item.and_then(|item| item.get(&terms.names.version)) == Some(&version.into())
    }
}

impl Flight {
    /// The answer as the client reads it.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        Some(match self.answer.clone()? {
            Answer::Applied(item) => Outcome::Applied(item),
            Answer::Refused(item) => Outcome::Refused(item),
        })
    }
}
