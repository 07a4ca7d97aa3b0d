//! Sessions: the rows of one key that follow each other within a gap of event time. Unlike a window, a session's bounds
//! are known only when it is over.

use crate::time::{EventTime, SPAN_MS_MAX};
use crate::window::{Window, WindowError};

/// The sessions of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sessions {
    gap_ms: i64,
}

/// The times of a session's first and last row so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSpan {
    /// The earliest row's time.
    pub first: EventTime,
    /// The latest row's time.
    pub last: EventTime,
}

impl Sessions {
    /// Sessions that end `gap_ms` milliseconds behind their last row. Two rows that are just so far apart are in one
    /// session.
    pub fn new(gap_ms: i64) -> Result<Sessions, WindowError> {
        if (1..=SPAN_MS_MAX).contains(&gap_ms) {
            Ok(Sessions { gap_ms })
        } else {
            Err(WindowError::Gap { gap_ms })
        }
    }

    /// The gap, in milliseconds.
    pub fn gap_ms(self) -> i64 {
        self.gap_ms
    }

    /// Whether a row at `time` belongs to a session with these rows.
    pub fn touches(self, span: SessionSpan, time: EventTime) -> bool {
        span.first - self.gap_ms <= time && time <= span.last + self.gap_ms
    }

    /// The bounds that a session is shown with: it ends `gap_ms` behind its last row, as Flink and Kafka Streams have it.
    pub fn window(self, span: SessionSpan) -> Window {
        Window { end: span.last + self.gap_ms, start: span.first }
    }

    /// The first watermark at which no row that is in time can belong to the session any more: one behind its end, for
    /// a row just at the end does.
    pub fn closes_at(self, span: SessionSpan) -> EventTime {
        span.last + self.gap_ms + 1
    }

    /// The length of the buckets that sessions are kept in by when they close, in milliseconds: fine enough that what
    /// is looked at in vain is little, coarse enough that buckets are few.
    pub fn bucket_ms(self) -> i64 {
        (self.gap_ms / 64).max((self.gap_ms / 8).min(1_000)).max(1)
    }

    /// The start of the bucket of a session with these rows.
    pub fn bucket(self, span: SessionSpan) -> EventTime {
        let closes = self.closes_at(span);
        closes - closes.rem_euclid(self.bucket_ms())
    }
}

impl SessionSpan {
    /// Of one row.
    pub fn at(time: EventTime) -> SessionSpan {
        SessionSpan { first: time, last: time }
    }

    /// The span of both.
    pub fn and(self, other: SessionSpan) -> SessionSpan {
        SessionSpan { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What a watermark has closed, no row at or behind the watermark belongs to.
        #[test]
        fn a_row_in_time_never_touches_a_closed_session(
            first in 0i64..1_000_000, len in 0i64..100_000, gap in 1i64..10_000, after in 0i64..10_000,
        ) {
            let sessions = Sessions::new(gap).unwrap();
            let span = SessionSpan { first, last: first + len };
            let closes = sessions.closes_at(span);
            prop_assert!(!sessions.touches(span, closes + after));
            prop_assert!(sessions.touches(span, closes - 1));
            prop_assert!(sessions.bucket(span) <= closes && closes < sessions.bucket(span) + sessions.bucket_ms());
        }
    }

    #[test]
    fn rows_a_gap_apart_are_in_one_session() {
        let sessions = Sessions::new(10_000).unwrap();
        let one = SessionSpan::at(5_000);
        assert!(sessions.touches(one, 15_000) && sessions.touches(one, -5_000));
        assert!(!sessions.touches(one, 15_001) && !sessions.touches(one, -5_001));
        let both = one.and(SessionSpan::at(15_000));
        assert_eq!(sessions.window(both), Window { start: 5_000, end: 25_000 });
    }

    #[test]
    fn a_gap_outside_its_bounds_is_refused() {
        for gap_ms in [0, -1, i64::MAX] {
            assert_eq!(Sessions::new(gap_ms), Err(WindowError::Gap { gap_ms }));
        }
    }
}
