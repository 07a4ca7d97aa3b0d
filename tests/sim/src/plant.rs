//! Famous bugs, planted on purpose in the node's steps, so that the simulator proves that it would catch them. Never
//! enters: bugs inside of the cores, which have their own.

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A produce is answered before its batch is flushed.
    AckBeforeFlush,
    /// A coordinator answers before its records are committed.
    CoordinatorAnswersEarly,
    /// A recovery point names what was appended, not what was flushed.
    RecoveryPointTooHigh,
    /// A flush that failed is tried again, and its second answer believed.
    FlushTriedAgain,
    /// read_committed readers read up to the high watermark.
    LastStableOffsetTooHigh,
    /// The producers' states are forgotten at a restart.
    DedupLostAtRestart,
    /// One of a transaction's markers is counted off without being written.
    MarkerSkipped,
    /// A commit's markers abort in partitions other than the first.
    MarkerTurned,
    /// A first transactional write is not made known to the coordinator.
    WriteOutsideTransaction,
    /// A group's shard is loaded without the markers in it.
    MarkersNotLoaded,
    /// The quorum is told of a flush that was not done.
    MetadataNotFlushed,
    /// At a start the history of the metadata log is carried out, and not what it comes to.
    HistoryCarriedOut,
    /// A shard whose log is not served yet is never loaded.
    LoadGivenUp,
    /// A shard goes back to its log before all that was appended to it is committed.
    LoadedTooEarly,
    /// Checkpoints of deleted topics are left to speak for new ones of their names.
    CheckpointsOutliveTopics,
    /// Transactions that had ended before a restart hold the last stable offset back until the next append.
    EndedTransactionsForgotten,
}

/// The bugs that the default seeds must catch; `LoadedTooEarly` is rarer.
pub const ALL: &[Bug] = &[
    Bug::AckBeforeFlush,
    Bug::CoordinatorAnswersEarly,
    Bug::RecoveryPointTooHigh,
    Bug::FlushTriedAgain,
    Bug::LastStableOffsetTooHigh,
    Bug::DedupLostAtRestart,
    Bug::MarkerSkipped,
    Bug::MarkerTurned,
    Bug::WriteOutsideTransaction,
    Bug::MarkersNotLoaded,
    Bug::MetadataNotFlushed,
    Bug::HistoryCarriedOut,
    Bug::LoadGivenUp,
    Bug::CheckpointsOutliveTopics,
    Bug::EndedTransactionsForgotten,
];
