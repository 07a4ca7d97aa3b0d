//! Famous bugs, planted on purpose in this crate's own tests, so that the simulation proves that it would catch
//! them. Outside of `cfg(test)` the question is a constant `false` and the compiler drops the bug.

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A vote leaves before it is on disk.
    VoteNotPersisted,
    /// A leader serves as soon as it has the votes.
    ServeBeforeEpochStart,
    /// A follower cuts its log to its high watermark when it finds a leader.
    TruncateToHighWatermark,
    /// The leader's own end counts before it is flushed.
    CountUnflushed,
    /// A vote does not look at the candidate's log.
    VoteForShorterLog,
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
