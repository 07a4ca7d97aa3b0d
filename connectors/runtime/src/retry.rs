//! How long to wait before trying again: exponential with equal jitter, for as long as it takes. An outage never turns
//! into dead letters. Never enters: a timer; delays are values.

use std::fmt;

use millstream_connector::{Period, component_config};
use millstream_types::Rng;

component_config! {
    /// How long to wait between tries of something that passes by itself.
    pub struct BackoffConfig {
        /// The first delay.
        initial: Period [default = Period(200), bounds = 1..=60_000],
        /// The greatest delay.
        max: Period [default = Period(30_000), bounds = 1..=3_600_000],
    }
}

impl Default for BackoffConfig {
    fn default() -> BackoffConfig {
        BackoffConfig { initial: Period(200), max: Period(30_000) }
    }
}

/// The tries of one thing, since it last worked.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    tries: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(config: BackoffConfig) -> Backoff {
        Backoff { config, tries: 0 }
    }

    /// Failed once more: the milliseconds to wait. The ceiling doubles from `initial` to `max`; the delay lies in its
    /// upper half, so that many workers come back spread out and none at once. What the system itself asked for
    /// (`Retry-After`) is a floor, also above `max`.
    pub fn failed(&mut self, retry_after_ms: Option<u64>, rng: &mut dyn Rng) -> u64 {
        let max = self.config.max.0.max(self.config.initial.0);
        let doubled = self
            .config
            .initial
            .0
            .checked_shl(self.tries)
            .filter(|delay| delay >> self.tries == self.config.initial.0);
        let ceiling = doubled.unwrap_or(max).clamp(1, max);
        self.tries = self.tries.saturating_add(1);
        let half = ceiling / 2;
        let delay = half + rng.below(ceiling - half + 1);
        delay.max(retry_after_ms.unwrap_or(0))
    }

    /// Worked: the next failure starts from `initial`.
    pub fn worked(&mut self) {
        self.tries = 0;
    }

    /// How often it has failed since it last worked; for what people see.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed tries, delays up to {}", self.tries, self.config.max)
    }
}

#[cfg(test)]
mod tests {
    use millstream_types::SeededRng;

    use super::*;

    #[test]
    fn delays_double_up_to_the_greatest_and_are_spread() {
        for seed in 0..50 {
            let mut rng = SeededRng::new(seed);
            let mut backoff = Backoff::new(BackoffConfig::default());
            let ceilings = [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000];
            for ceiling in ceilings {
                let delay = backoff.failed(None, &mut rng);
                assert!((ceiling / 2..=ceiling).contains(&delay), "seed {seed}: {delay} of {ceiling}");
            }
            for _ in 0..100 {
                assert!(backoff.failed(None, &mut rng) <= 30_000, "seed {seed}");
            }
            assert_eq!(backoff.failed(Some(90_000), &mut rng), 90_000);
            backoff.worked();
            assert!(backoff.failed(None, &mut rng) <= 200);
        }
        let mut rng = SeededRng::new(1);
        let first = |rng: &mut SeededRng| Backoff::new(BackoffConfig::default()).failed(None, rng);
        let distinct: std::collections::BTreeSet<u64> = (0..100).map(|_| first(&mut rng)).collect();
        assert!(distinct.len() > 30, "many workers do not come back at once: {distinct:?}");
    }
}
