//! Late rows: how long a window takes them, and where they go afterwards. A window is closed when the watermark reaches its
//! end plus the allowance; a row is late if that had happened before the row was read.
//!
//! A window fires once (SM-2): when it closes, or, where results are sent again, when the watermark reaches its end. Between
//! that and its close the rows of its groups that change are sent again, each in place of the one before.
//!
//! The verdict on a row depends on the watermark just before it in its own partition, never on where a batch began or
//! ended, so that a replay gives the same verdicts (SM-3).

use crate::time::{EventTime, SPAN_MS_MAX};
use crate::watermark::Watermark;
use crate::window::Windows;

/// Where a row goes that came after its window had closed.
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
    /// How long after its end a window still takes rows, in milliseconds of event time.
    pub allow_ms: i64,
    /// Whether a window fires at its end, and sends what changes again until it closes; else it fires when it closes.
    pub updates: bool,
    /// Where rows go that come later still.
    pub then: LateThen,
}

impl Default for LateRule {
    fn default() -> LateRule {
        LateRule { allow_ms: 0, updates: false, then: LateThen::DeadLetter }
    }
}

/// What is decided about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// None of its windows has closed.
    OnTime,
    /// Some of its windows have closed, and it counts in those that have not.
    Partly,
    /// All of its windows have closed.
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

    /// How long after its end a window fires, in milliseconds of event time.
    pub fn waits_ms(&self) -> i64 {
        if self.updates { 0 } else { self.allow_ms }
    }

    /// The watermark at which the window that ends at `end` fires.
    pub fn fires_at(&self, end: EventTime) -> EventTime {
        end.saturating_add(self.waits_ms())
    }

    /// Whether a window that ends at `end` has fired at this watermark.
    pub fn fired(&self, end: EventTime, watermark: Watermark) -> bool {
        // The endless window is not over at the end of input either: there may be more later.
        end != EventTime::MAX && watermark.has_reached(self.fires_at(end))
    }

    /// Whether a window that ends at `end` takes no rows any more at this watermark, and is not kept. The end of bounded input
    /// closes none whose results may be sent again: a later run over more input goes on with them.
    pub fn closed(&self, end: EventTime, watermark: Watermark) -> bool {
        let goes_on = end == EventTime::MAX || (self.updates && watermark == Watermark::END);
        !goes_on && watermark.has_reached(end.saturating_add(self.allow_ms))
    }

    /// Whether a window that ends at `end` fires between two watermarks: it has at the second and had not at the first.
    pub fn fires_between(&self, end: EventTime, before: Watermark, now: Watermark) -> bool {
        !self.fired(end, before) && self.fired(end, now)
    }

    /// The verdict on a row of this time, when the watermark just before it was `watermark`.
    pub fn verdict(&self, windows: Windows, time: EventTime, watermark: Watermark) -> Verdict {
        let slice = windows.slice_of(time);
        if self.closed(windows.last_of(slice).end, watermark) {
            Verdict::Late
        } else if self.closed(windows.first_of(slice).end, watermark) {
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

    fn rule(allow_ms: i64) -> LateRule {
        LateRule { allow_ms, updates: false, then: LateThen::Drop }
    }

    proptest! {
        /// A row can never be late by its own doing: it lies inside its window, so the watermark that it causes is
        /// below that window's end.
        #[test]
        fn a_row_that_raises_the_watermark_is_on_time(time in 0i64..1_000_000, size in 1i64..10_000, delay in 0i64..1_000, allow in 0i64..1_000) {
            let rule = rule(allow);
            let own = Watermark::at(time - delay);
            let hop = Windows::hop(1 + size / 3, size).unwrap();
            for windows in [Windows::tumble(size).unwrap(), hop, Windows::cumulate(size, size).unwrap()] {
                prop_assert_eq!(rule.verdict(windows, time, own), Verdict::OnTime);
            }
        }

        /// Once late, always late; and a window has closed exactly when its rows are late. It fires when it closes, or at its
        /// end and not behind its close.
        #[test]
        fn verdicts_follow_the_watermark(time in 0i64..1_000_000, size in 1i64..10_000, allow in 0i64..1_000, a in 0i64..1_100_000, b in 0i64..1_100_000) {
            let rule = rule(allow);
            let windows = Windows::tumble(size).unwrap();
            let (low, high) = (Watermark::at(a.min(b)), Watermark::at(a.max(b)));
            if rule.verdict(windows, time, low) == Verdict::Late {
                prop_assert_eq!(rule.verdict(windows, time, high), Verdict::Late);
            }
            let end = windows.last_of(windows.slice_of(time)).end;
            prop_assert_eq!(rule.closed(end, high), rule.verdict(windows, time, high) == Verdict::Late);
            prop_assert_eq!(rule.fired(end, high), rule.closed(end, high));
            let again = LateRule { updates: true, ..rule.clone() };
            prop_assert_eq!(again.closed(end, high), rule.closed(end, high));
            prop_assert_eq!(again.fired(end, high), high.has_reached(end));
            prop_assert!(again.fired(end, high) || !again.closed(end, high));
        }
    }

    #[test]
    fn the_end_of_bounded_input_fires_every_window_and_no_watermark_fires_none() {
        for updates in [false, true] {
            let rule = LateRule { allow_ms: 600_000, updates, then: LateThen::DeadLetter };
            assert!(rule.fired(crate::time::EVENT_TIME_MAX, Watermark::END));
            assert!(!rule.fired(crate::time::EVENT_TIME_MIN, Watermark::NONE));
            // What may be sent again goes on in a later run.
            assert_eq!(rule.closed(crate::time::EVENT_TIME_MAX, Watermark::END), !updates);
        }
    }

    #[test]
    fn an_allowance_outside_its_bounds_is_refused() {
        for allow_ms in [-1, SPAN_MS_MAX + 1] {
            assert!(rule(allow_ms).validate().is_err());
        }
        assert!(LateRule::default().validate().is_ok());
    }
}
