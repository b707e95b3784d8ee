//! The times of a lease, which must go together.

use std::time::Duration;

use super::values::show;

/// How long a lease lasts by default. A child is ended when DynamoDB is out of reach for as long,
/// so it is longer than the library's.
const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// A heartbeat and a grace that fit into the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) lease: Duration,
    pub(super) heartbeat: Duration,
    pub(super) grace: Duration,
}

impl Terms {
    /// Defaults: a lease of 10 s, a heartbeat of a fifth of it, and a grace of as much, or half of
    /// what the heartbeat leaves.
    pub(super) fn of(
        lease: Option<Duration>,
        heartbeat: Option<Duration>,
        grace: Option<Duration>,
    ) -> Result<Self, String> {
        let lease = lease.unwrap_or(DEFAULT_LEASE);
        let heartbeat = heartbeat.unwrap_or(lease / 5);
        if heartbeat >= lease {
            return Err(format!(
                "--heartbeat {} must be shorter than --lease {}",
                show(heartbeat),
                show(lease)
            ));
        }
        let grace = grace.unwrap_or_else(|| (lease / 5).min((lease - heartbeat) / 2));
        if heartbeat.saturating_add(grace) >= lease {
            return Err(format!(
                "--grace {} must be shorter than what --heartbeat {} leaves of --lease {}: else the \
                 command would be told to end while the lease is renewed",
                show(grace),
                show(heartbeat),
                show(lease)
            ));
        }
        Ok(Self {
            lease,
            heartbeat,
            grace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lease: u64, heartbeat: u64, grace: u64) -> Result<(u64, u64, u64), String> {
        // Zero: not given.
        let given = |millis| (millis > 0).then(|| Duration::from_millis(millis));
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        Terms::of(given(lease), given(heartbeat), given(grace)).map(|terms| {
            (
                millis(terms.lease),
                millis(terms.heartbeat),
                millis(terms.grace),
            )
        })
    }

    #[test]
    fn defaults_go_together() {
        assert_eq!(of(0, 0, 0), Ok((10_000, 2_000, 2_000)));
        assert_eq!(of(1_000, 0, 0), Ok((1_000, 200, 200)));
        assert_eq!(of(10_000, 9_000, 0), Ok((10_000, 9_000, 500)));
        assert_eq!(of(10_000, 2_000, 7_999), Ok((10_000, 2_000, 7_999)));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for (lease, heartbeat, grace, problem) in [
            (
                1_000,
                1_000,
                0,
                "--heartbeat 1s must be shorter than --lease 1s",
            ),
            (
                1_000,
                2_000,
                0,
                "--heartbeat 2s must be shorter than --lease 1s",
            ),
            (
                0,
                10_000,
                0,
                "--heartbeat 10s must be shorter than --lease 10s",
            ),
            (
                10_000,
                2_000,
                8_000,
                "--grace 8s must be shorter than what --heartbeat 2s leaves",
            ),
            (1_000, 0, 900, "--grace 900ms must be shorter"),
        ] {
            let said = of(lease, heartbeat, grace).unwrap_err();
            assert!(said.starts_with(problem), "{said}");
        }
        assert!(Terms::of(Some(Duration::ZERO), None, None).is_err());
        assert!(Terms::of(Some(Duration::MAX), None, Some(Duration::MAX)).is_err());
    }
}
