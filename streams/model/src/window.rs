//! Windows over event time, aligned to the epoch in UTC. Half open: a window holds start and not end.

use crate::time::{EventTime, SPAN_MS_MAX};

/// Windows of one size that touch and do not overlap: every instant is in exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tumbling {
    size_ms: i64,
}

/// Why a window cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A size that is not positive or is beyond [`SPAN_MS_MAX`].
    #[error("a window of {size_ms} ms: the size is at least 1 ms and at most {SPAN_MS_MAX} ms")]
    Size {
        /// What was asked for, in milliseconds.
        size_ms: i64,
    },
}

impl Tumbling {
    /// Windows of `size_ms` milliseconds, one of which starts at 1970-01-01T00:00:00Z.
    pub fn new(size_ms: i64) -> Result<Tumbling, WindowError> {
        if (1..=SPAN_MS_MAX).contains(&size_ms) {
            Ok(Tumbling { size_ms })
        } else {
            Err(WindowError::Size { size_ms })
        }
    }

    /// The size of each window, in milliseconds.
    pub fn size_ms(self) -> i64 {
        self.size_ms
    }

    /// The start of the window that holds `time`.
    pub fn start_of(self, time: EventTime) -> EventTime {
        time - time.rem_euclid(self.size_ms)
    }

    /// The end of the window that starts at `start`: the first instant after it.
    pub fn end_of(self, start: EventTime) -> EventTime {
        start + self.size_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{EVENT_TIME_MAX, EVENT_TIME_MIN};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_instant_is_in_exactly_one_window(
            time in EVENT_TIME_MIN..=EVENT_TIME_MAX,
            size in prop_oneof![1i64..10_000_000, Just(SPAN_MS_MAX)],
        ) {
            let windows = Tumbling::new(size).unwrap();
            let start = windows.start_of(time);
            prop_assert!(start <= time && time < windows.end_of(start));
            prop_assert_eq!(start.rem_euclid(size), 0);
            prop_assert_eq!(windows.start_of(start), start);
            prop_assert_eq!(windows.start_of(windows.end_of(start)), windows.end_of(start));
        }
    }

    #[test]
    fn a_size_outside_its_bounds_is_refused() {
        for size_ms in [0, -1, SPAN_MS_MAX + 1, i64::MIN] {
            assert_eq!(Tumbling::new(size_ms), Err(WindowError::Size { size_ms }));
        }
    }
}
