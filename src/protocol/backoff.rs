//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter: before try `n`, anything up to `base * 2^n`, at most
/// `cap`. See <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
}

impl Backoff {
    /// The pause after `failures` failures in a row (1 for the first).
    pub(crate) fn pause(&self, failures: u32, jitter: &mut Jitter) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let most = self.base.saturating_mul(1 << doublings).min(self.cap);
        most.mul_f64(jitter.fraction())
    }
}

/// Random numbers that only spread requests over time: SplitMix64, seeded by the caller.
/// Nothing that must be unique comes from here.
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The upper 53 bits are an exact double.
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The duration, a fifth shorter at most.
    pub(crate) fn up_to(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(1.0 - self.fraction() / 5.0)
    }

    /// The duration, a fifth longer or shorter at most.
    pub(crate) fn around(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(0.8 + 0.4 * self.fraction())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_are_spread() {
        let backoff = Backoff {
            base: Duration::from_millis(25),
            cap: Duration::from_secs(1),
        };
        let mut jitter = Jitter::new(7);
        let mut longest = |failures| {
            (0..1000)
                .map(|_| backoff.pause(failures, &mut jitter))
                .max()
                .unwrap()
                .as_millis()
        };
        assert!((20..=25).contains(&longest(1)));
        assert!((40..=50).contains(&longest(2)));
        assert!((160..=200).contains(&longest(4)));
        assert!((900..=1000).contains(&longest(40)));
        assert!((900..=1000).contains(&longest(u32::MAX)));
    }

    #[test]
    fn a_period_is_spread_over_its_last_fifth() {
        let mut jitter = Jitter::new(3);
        let period = Duration::from_millis(100);
        let all = (0..1000).map(|_| jitter.up_to(period).as_micros());
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        assert!((80_000..81_000).contains(&all[0]), "{}", all[0]);
        assert!((99_000..=100_000).contains(&all[999]), "{}", all[999]);
        assert!((89_000..91_000).contains(&all[500]), "{}", all[500]);
    }

    #[test]
    fn an_interval_keeps_its_mean() {
        let mut jitter = Jitter::new(1);
        let interval = Duration::from_millis(100);
        let all: Vec<_> = (0..1000)
            .map(|_| jitter.around(interval).as_micros())
            .collect();
        assert!(all.iter().all(|&us| (80_000..=120_000).contains(&us)));
        let mean = all.iter().sum::<u128>() / 1000;
        assert!((98_000..=102_000).contains(&mean), "{mean}");
    }
}
