//! Late rows: how long a window waits for them, and where they go afterwards. A window fires once, when the watermark
//! reaches its end plus the allowance (SM-2); a row is late if that had happened before the row was read.
//!
//! The verdict on a row depends on the watermark just before it in its own partition, never on where a batch began or
//! ended, so that a replay gives the same verdicts (SM-3).

use crate::time::{EventTime, SPAN_MS_MAX};
use crate::watermark::Watermark;
use crate::window::Windows;

/// Where a row goes that came after its window had fired.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LateThen {
    /// Nowhere; it is counted.
    Drop,
    /// To the pipeline's dead letters, with its payload and origin.
    DeadLetter,
    /// To a topic of this name, as a row of the window's input.
    Topic(String),
}

/// The whole rule for late rows of one window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LateRule {
    /// How long after its end a window still takes rows and waits before it fires, in milliseconds of event time.
    pub allow_ms: i64,
    /// Where rows go that come later still.
    pub then: LateThen,
}

impl Default for LateRule {
    fn default() -> LateRule {
        LateRule { allow_ms: 0, then: LateThen::DeadLetter }
    }
}

/// What is decided about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of its windows are open.
    OnTime,
    /// Some of its windows have fired, and it counts in those that have not.
    Partly,
    /// All of its windows have fired.
    Late,
}

impl LateRule {
    /// An allowance outside 0 to a thousand years is refused, with the text to show.
    pub fn validate(&self) -> Result<(), String> {
        if (0..=SPAN_MS_MAX).contains(&self.allow_ms) {
            Ok(())
        } else {
            Err(format!(
                "an allowance of {} ms for late rows: the bounds are 0 and {SPAN_MS_MAX}",
                self.allow_ms
            ))
        }
    }

    /// The watermark at which the window that ends at `end` fires.
    pub fn fires_at(&self, end: EventTime) -> EventTime {
        end.saturating_add(self.allow_ms)
    }

    /// Whether a window that ends at `end` has fired at this watermark.
    pub fn fired(&self, end: EventTime, watermark: Watermark) -> bool {
        // The endless window is not over at the end of input either: there may be more later.
        end != EventTime::MAX && watermark.has_reached(self.fires_at(end))
    }

    /// Whether a window that ends at `end` fires between two watermarks: it has at the second and had not at the first.
    pub fn fires_between(&self, end: EventTime, before: Watermark, now: Watermark) -> bool {
        !self.fired(end, before) && self.fired(end, now)
    }

    /// The verdict on a row of this time, when the watermark just before it was `watermark`.
    pub fn verdict(&self, windows: Windows, time: EventTime, watermark: Watermark) -> Verdict {
        let slice = windows.slice_of(time);
        if self.fired(windows.last_of(slice).end, watermark) {
            Verdict::Late
        } else if self.fired(windows.first_of(slice).end, watermark) {
            Verdict::Partly
        } else {
            Verdict::OnTime
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A row can never be late by its own doing: it lies inside its window, so the watermark that it causes is
        /// below that window's end.
        #[test]
        fn a_row_that_raises_the_watermark_is_on_time(time in 0i64..1_000_000, size in 1i64..10_000, delay in 0i64..1_000, allow in 0i64..1_000) {
            let rule = LateRule { allow_ms: allow, then: LateThen::Drop };
            let own = Watermark::at(time - delay);
            let hop = Windows::hop(1 + size / 3, size).unwrap();
            for windows in [Windows::tumble(size).unwrap(), hop, Windows::cumulate(size, size).unwrap()] {
                prop_assert_eq!(rule.verdict(windows, time, own), Verdict::OnTime);
            }
        }

        /// Once late, always late; and a window has fired exactly when its rows are late.
        #[test]
        fn verdicts_follow_the_watermark(time in 0i64..1_000_000, size in 1i64..10_000, allow in 0i64..1_000, a in 0i64..1_100_000, b in 0i64..1_100_000) {
            let rule = LateRule { allow_ms: allow, then: LateThen::Drop };
            let windows = Windows::tumble(size).unwrap();
            let (low, high) = (Watermark::at(a.min(b)), Watermark::at(a.max(b)));
            if rule.verdict(windows, time, low) == Verdict::Late {
                prop_assert_eq!(rule.verdict(windows, time, high), Verdict::Late);
            }
            let end = windows.last_of(windows.slice_of(time)).end;
            prop_assert_eq!(rule.fired(end, high), rule.verdict(windows, time, high) == Verdict::Late);
        }
    }

    #[test]
    fn the_end_of_bounded_input_fires_every_window_and_no_watermark_fires_none() {
        let rule = LateRule { allow_ms: 600_000, then: LateThen::DeadLetter };
        assert!(rule.fired(crate::time::EVENT_TIME_MAX, Watermark::END));
        assert!(!rule.fired(crate::time::EVENT_TIME_MIN, Watermark::NONE));
    }

    #[test]
    fn an_allowance_outside_its_bounds_is_refused() {
        for allow_ms in [-1, SPAN_MS_MAX + 1] {
            assert!(LateRule { allow_ms, then: LateThen::Drop }.validate().is_err());
        }
        assert!(LateRule::default().validate().is_ok());
    }
}
