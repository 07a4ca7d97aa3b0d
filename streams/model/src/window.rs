//! Windows over event time, aligned to the epoch in UTC. Half open: a window holds start and not end.
//!
//! Windows that overlap are made of slices: the longest spans that no window's edge cuts. A row is kept once, in its
//! slice, however many windows hold it, and a window is the sum of its slices.

use crate::time::{EventTime, SPAN_MS_MAX};

/// The most windows that one instant may be in, and the most slices that one window may have.
pub const OVERLAP_MAX: i64 = 10_000;

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    /// The first instant after it. Windows are ordered by their ends.
    pub end: EventTime,
    /// Its first instant.
    pub start: EventTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Tumble,
    Hop,
    Cumulate,
    Endless,
}

/// The windows of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Windows {
    kind: Kind,
    size_ms: i64,
    /// From one window's start (hop) or end (cumulate) to the next one's.
    every_ms: i64,
    slice_ms: i64,
}

/// Why windows cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A size that is not positive or is beyond [`SPAN_MS_MAX`].
    #[error("a window of {size_ms} ms: the size is at least 1 ms and at most {SPAN_MS_MAX} ms")]
    Size {
        /// What was asked for, in milliseconds.
        size_ms: i64,
    },
    /// A gap of sessions that is not positive or is beyond [`SPAN_MS_MAX`].
    #[error("sessions with a gap of {gap_ms} ms: it is at least 1 ms and at most {SPAN_MS_MAX} ms")]
    Gap {
        /// What was asked for, in milliseconds.
        gap_ms: i64,
    },
    /// A slide or step that is not between 1 ms and the size.
    #[error("a {what} of {every_ms} ms: it is at least 1 ms and at most the window's size, {size_ms} ms")]
    Every {
        /// `slide` or `step`.
        what: &'static str,
        /// What was asked for, in milliseconds.
        every_ms: i64,
        /// The size, in milliseconds.
        size_ms: i64,
    },
    /// A size of cumulating windows that is no number of steps.
    #[error(
        "cumulating windows of {size_ms} ms in steps of {step_ms} ms: the size is a whole number of steps"
    )]
    Steps {
        /// The size, in milliseconds.
        size_ms: i64,
        /// The step, in milliseconds.
        step_ms: i64,
    },
    /// Windows that overlap beyond [`OVERLAP_MAX`].
    #[error(
        "windows of {size_ms} ms every {every_ms} ms are cut into {slices} slices each, at most {OVERLAP_MAX} are; take a longer slide, one that the size is a multiple of"
    )]
    Overlap {
        /// The size, in milliseconds.
        size_ms: i64,
        /// The slide or step, in milliseconds.
        every_ms: i64,
        /// Slices of a window.
        slices: i64,
    },
}

impl Windows {
    /// Windows of `size_ms` milliseconds that touch and do not overlap, one of which starts at 1970-01-01T00:00:00Z.
    pub fn tumble(size_ms: i64) -> Result<Windows, WindowError> {
        check_size(size_ms)?;
        Ok(Windows { kind: Kind::Tumble, size_ms, every_ms: size_ms, slice_ms: size_ms })
    }

    /// Windows of `size_ms` that start every `slide_ms`, one of them at 1970-01-01T00:00:00Z.
    pub fn hop(slide_ms: i64, size_ms: i64) -> Result<Windows, WindowError> {
        check_size(size_ms)?;
        check_every("slide", slide_ms, size_ms)?;
        Windows { kind: Kind::Hop, size_ms, every_ms: slide_ms, slice_ms: gcd(size_ms, slide_ms) }.checked()
    }

    /// Windows that start together every `size_ms` and are one `step_ms`, two, and so on up to the size long.
    pub fn cumulate(step_ms: i64, size_ms: i64) -> Result<Windows, WindowError> {
        check_size(size_ms)?;
        check_every("step", step_ms, size_ms)?;
        if size_ms % step_ms != 0 {
            return Err(WindowError::Steps { size_ms, step_ms });
        }
        Windows { kind: Kind::Cumulate, size_ms, every_ms: step_ms, slice_ms: step_ms }.checked()
    }

    /// One window over all time, which is never over: of aggregates that are kept up to date for ever.
    pub fn endless() -> Windows {
        Windows { kind: Kind::Endless, size_ms: SPAN_MS_MAX, every_ms: SPAN_MS_MAX, slice_ms: SPAN_MS_MAX }
    }

    fn checked(self) -> Result<Windows, WindowError> {
        let slices = self.size_ms / self.slice_ms;
        match slices <= OVERLAP_MAX {
            true => Ok(self),
            false => Err(WindowError::Overlap { size_ms: self.size_ms, every_ms: self.every_ms, slices }),
        }
    }

    /// The length of the longest window, in milliseconds.
    pub fn size_ms(self) -> i64 {
        self.size_ms
    }

    /// From one window to the next, in milliseconds.
    pub fn every_ms(self) -> i64 {
        self.every_ms
    }

    /// The length of a slice, in milliseconds.
    pub fn slice_ms(self) -> i64 {
        self.slice_ms
    }

    /// Whether every instant is in exactly one window.
    pub fn is_tumbling(self) -> bool {
        matches!(self.kind, Kind::Tumble | Kind::Endless)
    }

    /// Whether there is one window only, which is never over.
    pub fn is_endless(self) -> bool {
        self.kind == Kind::Endless
    }

    /// Whether a window's start says which window it is.
    pub fn start_is_unique(self) -> bool {
        self.kind != Kind::Cumulate
    }

    /// `TUMBLE`, `HOP` or `CUMULATE`.
    pub fn word(self) -> &'static str {
        match self.kind {
            Kind::Tumble => "TUMBLE",
            Kind::Hop => "HOP",
            Kind::Cumulate => "CUMULATE",
            Kind::Endless => "GROUP BY",
        }
    }

    /// The start of the slice that holds `time`.
    pub fn slice_of(self, time: EventTime) -> EventTime {
        if self.is_endless() { 0 } else { floor(time, self.slice_ms) }
    }

    /// The first window, by its end, that holds the slice that starts at `slice`.
    pub fn first_of(self, slice: EventTime) -> Window {
        match self.kind {
            Kind::Tumble => self.ending_at(slice + self.size_ms),
            // The first start from which a window reaches over the whole slice.
            Kind::Hop => {
                self.ending_at(-floor(-(slice + self.slice_ms - self.size_ms), self.every_ms) + self.size_ms)
            }
            Kind::Cumulate => self.ending_at(slice + self.slice_ms),
            Kind::Endless => self.ending_at(EventTime::MAX),
        }
    }

    /// The last window, by its end, that holds the slice that starts at `slice`.
    pub fn last_of(self, slice: EventTime) -> Window {
        match self.kind {
            Kind::Tumble => self.ending_at(slice + self.size_ms),
            Kind::Hop => self.ending_at(floor(slice, self.every_ms) + self.size_ms),
            Kind::Cumulate => self.ending_at(floor(slice, self.size_ms) + self.size_ms),
            Kind::Endless => self.ending_at(EventTime::MAX),
        }
    }

    /// The windows that hold the slice that starts at `slice` and end after `after`, by rising end.
    pub fn of_slice(self, slice: EventTime, after: EventTime) -> impl Iterator<Item = Window> {
        let (first, last) = (self.first_of(slice).end, self.last_of(slice).end);
        let passed = after.saturating_sub(first).saturating_add(self.every_ms).max(0) / self.every_ms;
        // The endless one has none behind it.
        let passed = if self.is_endless() { 0 } else { passed };
        let from = first.saturating_add(passed.saturating_mul(self.every_ms));
        (from..=last)
            .step_by(usize::try_from(self.every_ms).unwrap_or(usize::MAX))
            .map(move |end| self.ending_at(end))
    }

    /// The window that ends at `end`, which is the end of one.
    pub fn ending_at(self, end: EventTime) -> Window {
        let start = match self.kind {
            Kind::Tumble | Kind::Hop => end - self.size_ms,
            Kind::Cumulate => floor(end - 1, self.size_ms),
            Kind::Endless => EventTime::MIN,
        };
        Window { end, start }
    }
}

fn check_size(size_ms: i64) -> Result<(), WindowError> {
    if (1..=SPAN_MS_MAX).contains(&size_ms) { Ok(()) } else { Err(WindowError::Size { size_ms }) }
}

fn check_every(what: &'static str, every_ms: i64, size_ms: i64) -> Result<(), WindowError> {
    match (1..=size_ms).contains(&every_ms) {
        true => Ok(()),
        false => Err(WindowError::Every { what, every_ms, size_ms }),
    }
}

fn floor(time: EventTime, span: i64) -> EventTime {
    time - time.rem_euclid(span)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{EVENT_TIME_MAX, EVENT_TIME_MIN};
    use proptest::prelude::*;

    fn any_windows() -> impl Strategy<Value = Windows> {
        let tumble = prop_oneof![1i64..10_000_000, Just(SPAN_MS_MAX)].prop_map(Windows::tumble);
        let hop = (1i64..400, 0i64..2_000).prop_map(|(slide, more)| Windows::hop(slide, slide + more));
        let cumulate =
            (1i64..5_000, 1i64..60).prop_map(|(step, steps)| Windows::cumulate(step, step * steps));
        prop_oneof![tumble, hop, cumulate].prop_map(|windows| windows.expect("good spans"))
    }

    /// The windows that hold an instant, as the definition has it.
    fn holding(windows: Windows, time: i64) -> Vec<Window> {
        let (size, every) = (windows.size_ms, windows.every_ms);
        match windows.kind {
            Kind::Cumulate => {
                let start = floor(time, size);
                let ends = (1..=size / every).map(|n| start + n * every);
                ends.filter(|end| time < *end).map(|end| Window { end, start }).collect()
            }
            _ => {
                let first = floor(time - size, every);
                let starts = (0..=size / every + 1).map(|n| first + n * every);
                let windows = starts.map(|start| Window { end: start + size, start });
                windows.filter(|w| w.start <= time && time < w.end).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn an_instant_is_in_the_windows_of_its_slice(
            time in EVENT_TIME_MIN..=EVENT_TIME_MAX,
            windows in any_windows(),
            skip in 0i64..3_000,
        ) {
            let slice = windows.slice_of(time);
            prop_assert!(slice <= time && time < slice + windows.slice_ms());
            let all: Vec<Window> = windows.of_slice(slice, EventTime::MIN).collect();
            prop_assert_eq!(&all, &holding(windows, time));
            prop_assert_eq!(all.first().copied(), Some(windows.first_of(slice)));
            prop_assert_eq!(all.last().copied(), Some(windows.last_of(slice)));
            prop_assert!(all.iter().all(|w| windows.ending_at(w.end) == *w));
            let later: Vec<Window> = all.iter().filter(|w| w.end > time + skip).copied().collect();
            prop_assert_eq!(windows.of_slice(slice, time + skip).collect::<Vec<_>>(), later);
            if windows.is_tumbling() {
                prop_assert_eq!(all.len(), 1);
            }
        }
    }

    #[test]
    fn spans_outside_their_bounds_are_refused() {
        for size_ms in [0, -1, SPAN_MS_MAX + 1, i64::MIN] {
            assert_eq!(Windows::tumble(size_ms), Err(WindowError::Size { size_ms }));
            assert_eq!(Windows::hop(1, size_ms), Err(WindowError::Size { size_ms }));
        }
        for every_ms in [0, -5, 11] {
            assert!(matches!(Windows::hop(every_ms, 10), Err(WindowError::Every { what: "slide", .. })));
            assert!(matches!(Windows::cumulate(every_ms, 10), Err(WindowError::Every { what: "step", .. })));
        }
        assert_eq!(Windows::cumulate(3, 10), Err(WindowError::Steps { size_ms: 10, step_ms: 3 }));
        // Seven seconds and a millisecond share only milliseconds with an hour.
        assert!(matches!(
            Windows::hop(7_001, 3_600_000),
            Err(WindowError::Overlap { slices: 3_600_000, .. })
        ));
        assert!(Windows::hop(60_000, 86_400_000).is_ok());
    }
}
