//! When a failed attempt is followed by another, and what keeps a storm from rising.

use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use crate::wire::{Failure, FailureKind};

/// Quick retries that a client has in hand, in the currency of the AWS SDKs' standard mode:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>.
const CAPACITY: u32 = 500;
const RETRY_COST: u32 = 5;
/// After no answer in time: such a retry is likelier to make things worse.
const TIMEOUT_COST: u32 = 10;
const SUCCESS_GAIN: u32 = 1;

/// How attempts that fail for a passing reason are repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) backoff: Backoff,
    /// In quick succession, the first included.
    pub(crate) max_attempts: u32,
}

impl RetryPolicy {
    pub(crate) const DEFAULT_ATTEMPTS: u32 = 3;

    /// The pause after `failures` failures in a row (1 for the first).
    ///
    /// Quick at first, and while the budget lasts; then no quicker than `pace`, the lock's own.
    /// Never before the server wants it.
    pub(crate) fn pause(
        &self,
        failures: u32,
        failure: &Failure,
        pace: Duration,
        budget: &mut RetryBudget,
        jitter: &mut Jitter,
    ) -> Duration {
        let backoff = self.backoff.pause(failures, jitter);
        let pause = if failures < self.max_attempts && budget.withdraw(failure.kind) {
            backoff
        } else {
            backoff.max(jitter.around(pace))
        };
        pause.max(failure.wanted_pause())
    }
}

/// What a client may spend on quick retries. Each costs some, each success brings a little back.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    left: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { left: CAPACITY }
    }
}

impl RetryBudget {
    fn withdraw(&mut self, kind: FailureKind) -> bool {
        let cost = match kind {
            FailureKind::Unavailable => TIMEOUT_COST,
            _ => RETRY_COST,
        };
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Takes note of an answer that is no failure.
    pub(crate) fn succeeded(&mut self) {
        self.left = (self.left + SUCCESS_GAIN).min(CAPACITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        backoff: Backoff {
            base: Duration::from_millis(25),
            cap: Duration::from_secs(1),
        },
        max_attempts: 3,
    };
    const PACE: Duration = Duration::from_secs(10);

    fn failure(kind: FailureKind) -> Failure {
        Failure::of(kind, "test")
    }

    fn pause(failures: u32, failure: &Failure, budget: &mut RetryBudget) -> Duration {
        POLICY.pause(failures, failure, PACE, budget, &mut Jitter::new(7))
    }

    #[test]
    fn three_attempts_are_quick_and_then_the_pace_is_the_locks() {
        let budget = &mut RetryBudget::default();
        let conflict = failure(FailureKind::Conflict);
        assert!(pause(1, &conflict, budget) <= Duration::from_millis(25));
        assert!(pause(2, &conflict, budget) <= Duration::from_millis(50));
        for nth in 3..6 {
            let pause = pause(nth, &conflict, budget);
            assert!((PACE.mul_f64(0.8)..=PACE.mul_f64(1.2)).contains(&pause));
        }
    }

    #[test]
    fn a_storm_uses_the_budget_up_and_successes_fill_it() {
        let budget = &mut RetryBudget::default();
        let lost = failure(FailureKind::Unavailable);
        let quick = |budget: &mut _| pause(1, &lost, budget) < PACE / 2;
        for _ in 0..CAPACITY / TIMEOUT_COST {
            assert!(quick(budget));
        }
        assert!(!quick(budget));
        for _ in 0..TIMEOUT_COST {
            assert!(!quick(budget));
            budget.succeeded();
        }
        assert!(quick(budget));
        for _ in 0..2 * CAPACITY {
            budget.succeeded();
        }
        assert_eq!(budget.left, CAPACITY);
    }

    #[test]
    fn other_retries_cost_half() {
        let budget = &mut RetryBudget::default();
        let throttled = failure(FailureKind::Throttled);
        let quick = (0..1000).take_while(|_| pause(1, &throttled, budget) < PACE / 2);
        assert_eq!(quick.count(), 100);
    }

    #[test]
    fn the_server_may_ask_for_more_patience_within_reason() {
        let budget = &mut RetryBudget::default();
        let mut failure = failure(FailureKind::Throttled);
        failure.retry_after = Some(Duration::from_secs(2));
        assert_eq!(pause(1, &failure, budget), Duration::from_secs(2));
        failure.retry_after = Some(Duration::from_secs(7200));
        assert_eq!(pause(1, &failure, budget), Duration::from_secs(20));
    }
}
