//! `max_rate: 5%/1m`: how many of the records may go to the dead letters before the pipeline pauses instead of emptying
//! itself into them. Never enters: a clock; the pausing itself.

use std::collections::VecDeque;
use std::fmt;

use millstream_connector::{ByteSize, Period};
use millstream_types::Millis;

/// A share of the records in a sliding time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxRate {
    /// Hundredths of a per cent, so that `0.5%` is whole.
    pub basis_points: u32,
    /// The time.
    pub window: Period,
}

impl MaxRate {
    /// Reads `5%/1m` or `0.5%/10m`; `None` when it is neither.
    pub fn parse(text: &str) -> Option<MaxRate> {
        let (share, window) = text.split_once("%/")?;
        let (whole, fraction) = share.split_once('.').unwrap_or((share, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty()
            || !digits(whole)
            || !digits(fraction)
            || fraction.len() > 2
            || share.ends_with('.')
        {
            return None;
        }
        let basis_points =
            whole.parse::<u32>().ok()?.checked_mul(100)? + format!("{fraction:0<2}").parse::<u32>().ok()?;
        let window = Period::parse(window).filter(|window| window.0 > 0)?;
        (basis_points <= 10_000).then_some(MaxRate { basis_points, window })
    }
}

impl fmt::Display for MaxRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%/{}", f64::from(self.basis_points) / 100.0, self.window)
    }
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within the rate.
    Go,
    /// Over it: pause, and say how many of how many.
    Over {
        /// Dead letters within the window.
        bad: u64,
        /// All records within the window.
        all: u64,
    },
}

/// Counts records and dead letters of the last `window`, in sixtieths of it.
#[derive(Clone, Debug)]
pub struct RateGuard {
    limit: MaxRate,
    /// Start of the slot, records, dead letters.
    slots: VecDeque<(Millis, u64, u64)>,
}

/// Fewer dead letters than this never pause a pipeline: one bad record of the first three is no rate.
pub const BAD_RECORDS_MIN: u64 = 20;
const SLOTS: u64 = 60;

impl RateGuard {
    /// Nothing seen yet.
    pub fn new(limit: MaxRate) -> RateGuard {
        RateGuard { limit, slots: VecDeque::new() }
    }

    /// `all` records came, `bad` of them to the dead letters, at `now` (any clock that does not fall).
    pub fn seen(&mut self, now: Millis, all: u64, bad: u64) -> Verdict {
        let slot_ms = (self.limit.window.0 / SLOTS).max(1) as Millis;
        let start = now - now.rem_euclid(slot_ms);
        match self.slots.back_mut() {
            Some(slot) if slot.0 >= start => {
                slot.1 += all;
                slot.2 += bad;
            }
            _ => self.slots.push_back((start, all, bad)),
        }
        let oldest = now - self.limit.window.0 as Millis;
        while self.slots.front().is_some_and(|slot| slot.0 <= oldest) {
            self.slots.pop_front();
        }
        let (all, bad) = self.slots.iter().fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2));
        let over = u128::from(bad) * 10_000 > u128::from(all) * u128::from(self.limit.basis_points);
        if over && bad >= BAD_RECORDS_MIN { Verdict::Over { bad, all } } else { Verdict::Go }
    }
}

/// A dead letter's payload is cut beyond this, with a header that says so: a record of a topic has a bound.
pub const PAYLOAD_MAX: ByteSize = ByteSize(900 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_shown() {
        for text in ["5%/1m", "0.5%/10m", "100%/1s", "12.25%/48h", "0%/1m"] {
            assert_eq!(MaxRate::parse(text).unwrap().to_string(), text.replace("48h", "2d"), "{text}");
        }
        for text in ["5/1m", "5%", "%/1m", "5.%/1m", "101%/1m", "5.125%/1m", "-1%/1m", "5%/0s", "5% /1m"] {
            assert_eq!(MaxRate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_pipeline_pauses_over_the_rate_and_goes_on_below() {
        let mut guard = RateGuard::new(MaxRate::parse("5%/1m").unwrap());
        assert_eq!(guard.seen(0, 3, 3), Verdict::Go, "too few to tell");
        assert_eq!(guard.seen(1_000, 997, 47), Verdict::Go, "5 % exactly");
        assert_eq!(guard.seen(2_000, 1, 1), Verdict::Over { bad: 51, all: 1_001 });
        assert_eq!(guard.seen(61_000, 10, 0), Verdict::Go, "the minute has passed");
    }
}
