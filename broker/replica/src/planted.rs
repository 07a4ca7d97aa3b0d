//! Famous bugs, planted on purpose in this crate's own tests, so that the simulation proves that it would catch
//! them. Outside of `cfg(test)` the question is a constant `false` and the compiler drops the bug.

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The high watermark rises, and `acks=all` is answered, with fewer in-sync replicas than the minimum.
    AckBeforeMinIsr,
    /// The high watermark ignores followers other than the furthest.
    HighWatermarkFromOneFollower,
    /// A follower's fetch counts by its offset alone, whatever the epoch of its records.
    FetchByOffsetAlone,
    /// A new leader serves, and tells its end, before its epoch's start is committed.
    ServeBeforeEpochStart,
    /// A broker that has restarted goes on to lead the epoch that it led.
    LeadEpochTwice,
    /// A follower cuts its log to its high watermark when the leader changes (before KIP-101).
    TruncateToHighWatermark,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Whether `bug` is planted in this thread.
#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether `bug` is planted: never.
#[cfg(not(test))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// Plants a bug in this thread, or removes it.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}
