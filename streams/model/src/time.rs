//! Event time: when a thing happened, as its record says; never when it was read. Milliseconds since 1970-01-01 UTC.

/// Milliseconds since 1970-01-01 UTC, in the record's own time.
pub type EventTime = i64;

/// The first instant that a record may carry: 0001-01-01T00:00:00Z.
pub const EVENT_TIME_MIN: EventTime = -62_135_596_800_000;
/// The last instant that a record may carry: 9999-12-31T23:59:59.999Z.
pub const EVENT_TIME_MAX: EventTime = 253_402_300_799_999;
/// The longest window, delay or allowance: a thousand years. With the two bounds above, no sum of them overflows.
pub const SPAN_MS_MAX: i64 = 31_556_952_000_000;

/// Whether a record may carry this instant. Decoders refuse the others, so that arithmetic on windows cannot overflow.
pub fn in_range(time: EventTime) -> bool {
    (EVENT_TIME_MIN..=EVENT_TIME_MAX).contains(&time)
}
