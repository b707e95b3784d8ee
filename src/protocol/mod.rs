//! The lock protocol, pure: what to send next, and what an answer means.
//!
//! Nothing here reads a clock, waits, or sends: time, answers and random bits come in as
//! arguments. The drivers in `acquire.rs` and `lease.rs` of the crate do the rest.
//!
//! ```text
//!            start            applied, or a refusal that shows our version
//! [Acquire] -------> waiting ---------------------------------------------> [Lease]
//!    ^                  |                                                     |
//!    |   refused, failed, unknown: again at next_at()                         | renew, release
//!    +------------------+                                                     v
//!                                                       held -> lost (once, with a reason)
//!                                                       held -> released
//! ```

mod acquire;
mod acquire_all;
mod attributes;
mod backoff;
mod change;
mod deadline;
mod forced;
mod lease;
mod one_try;
mod retry;
mod token;
mod transaction;
mod trust;
mod watch;
mod writes;

pub(crate) use acquire::{Acquire, Acquired, HandedOn, Surroundings, Verdict, read_lock};
pub(crate) use acquire_all::{AcquireAll, AllSurroundings, AllVerdict};
pub use attributes::Holder;
pub(crate) use attributes::{BadAttribute, without_lock};
pub(crate) use backoff::{Backoff, Jitter};
pub(crate) use change::{Change, Changed, Fenced};
pub(crate) use forced::{Forced, ForcedRelease};
pub use lease::Lost;
pub(crate) use lease::{Lease, Released, Renewed};
pub(crate) use one_try::GivenUp;
pub(crate) use retry::{RetryBudget, RetryPolicy};
pub use token::LeaseToken;
pub(crate) use transaction::{Cancelled, Unlocked, Verb, failure_of};
pub(crate) use trust::ClockTrust;
pub(crate) use writes::abandon;
