//! Time as a value. Pure crates take `now` as an argument or ask a [`Clock`] that their shell hands in; the
//! simulator hands in its own. Never enters: sleeping, timers.

/// Milliseconds since 1970-01-01 UTC, or, where a name says so, since a clock's own start.
pub type Millis = i64;

/// The two clocks of a machine.
pub trait Clock: Send + Sync {
    /// Wall time, in milliseconds since 1970-01-01 UTC. May jump, also backwards; only for what people and records
    /// see.
    fn wall_ms(&self) -> Millis;

    /// Milliseconds since an unknown start, never falling. For time-outs.
    fn monotonic_ms(&self) -> Millis;
}
