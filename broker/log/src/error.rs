//! What a log can refuse, and the Kafka error that a client is answered with. Never enters: what to do about it.

use millstream_batch::BatchError;
use millstream_disk::DiskError;
use millstream_types::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// An operation of a log that did not happen. Nothing of it is visible, except where a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A flush failed before, or a change was not finished: what was written since the one before it may be lost, so nothing is acknowledged.
    #[error(
        "using the log {dir}: an earlier change failed ({cause}); the log is offline until the broker restarts on a good disk"
    )]
    FlushFailed {
        /// The log's directory.
        dir: String,
        /// What the disk said.
        cause: String,
    },
    /// The batch is malformed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The batch is larger than a segment can be.
    #[error(
        "appending {size} bytes: a segment of this topic has at most {max}; raise segment.bytes or send smaller batches"
    )]
    LargerThanSegment {
        /// The bytes to append.
        size: usize,
        /// `segment.bytes`.
        max: u64,
    },
    /// Replicated offsets do not rise (LG-1).
    #[error("appending at offset {offset}: the log ends at {log_end}, offsets have to rise")]
    OffsetsNotRising {
        /// The batch's base offset.
        offset: Offset,
        /// The log end offset.
        log_end: Offset,
    },
    /// Offsets ran out.
    #[error("appending at offset {0}: no offsets are left")]
    NoOffsetsLeft(Offset),
    /// A read outside of what the log holds.
    #[error("reading at offset {offset}: the log holds {log_start} to {log_end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset.
        log_start: Offset,
        /// The log end offset.
        log_end: Offset,
    },
    /// A batch from a producer epoch that is fenced (TX-3).
    #[error(
        "appending for producer {producer_id}: its epoch {epoch} is older than the current one, {current}"
    )]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's epoch.
        epoch: ProducerEpoch,
        /// The epoch known here.
        current: ProducerEpoch,
    },
    /// A sequence number that does not follow the last one.
    #[error(
        "appending for producer {producer_id}, epoch {epoch}: sequence {sequence} does not follow {last}"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The batch's epoch.
        epoch: ProducerEpoch,
        /// The batch's first sequence number.
        sequence: i32,
        /// The last one known here.
        last: i32,
    },
    /// A plain batch within a transaction of its producer, or a transactional one without leave.
    #[error("appending for producer {producer_id}: {what}")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
        /// What does not fit.
        what: &'static str,
    },
    /// A marker of a coordinator that has been replaced.
    #[error(
        "appending a marker for producer {producer_id}: coordinator epoch {epoch} is older than {current}"
    )]
    CoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The marker's coordinator epoch.
        epoch: i32,
        /// The one known here.
        current: i32,
    },
    /// An append under an epoch older than one that the log has.
    #[error("appending under leader epoch {epoch}: the log has epoch {latest} already")]
    EpochFell {
        /// The epoch given.
        epoch: LeaderEpoch,
        /// The log's latest.
        latest: LeaderEpoch,
    },
    /// A log start beyond the bound that the caller gave (the high watermark).
    #[error("moving the log start to {to}: the bound is {bound}")]
    StartBeyondBound {
        /// The new start.
        to: Offset,
        /// The largest allowed.
        bound: Offset,
    },
    /// The log was closed or deleted.
    #[error("using the log {0}: it is closed")]
    Closed(String),
    /// A file holds what cannot be: reading goes on elsewhere, nobody is served from it.
    #[error("reading the log {dir}: {what}")]
    Corrupt {
        /// The log's directory.
        dir: String,
        /// What is wrong.
        what: String,
    },
}

impl LogError {
    /// What a client is answered.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            LogError::Disk(_) | LogError::FlushFailed { .. } | LogError::Closed(_) => {
                ErrorCode::KafkaStorageError
            }
            LogError::Batch(e) => e.error_code(),
            LogError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            LogError::OffsetsNotRising { .. } | LogError::NoOffsetsLeft(_) | LogError::Corrupt { .. } => {
                ErrorCode::CorruptMessage
            }
            LogError::OutOfRange { .. } | LogError::StartBeyondBound { .. } => ErrorCode::OffsetOutOfRange,
            LogError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            LogError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            LogError::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            LogError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
            LogError::EpochFell { .. } => ErrorCode::FencedLeaderEpoch,
        }
    }

    /// Whether the disk is full, so that the same request may succeed later.
    pub fn is_no_space(&self) -> bool {
        matches!(self, LogError::Disk(e) if e.is_no_space())
    }
}
