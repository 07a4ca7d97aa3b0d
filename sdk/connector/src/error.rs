//! The kinds of failure that the worker tells apart: what passes by itself (retried, with back-pressure, never a dead
//! letter), what one record causes (a dead letter, the others go on), what another owner causes (let go), and what a
//! person must change (stop and say so).

use millstream_types::{Offset, TopicPartition};

use crate::{Crashed, EgressError, RowFault};

/// Why a source did not read. Faults of single records are in the batch instead ([`crate::RecordFault`]).
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Passes by itself: retry with backoff.
    #[error("{what}")]
    Transient {
        /// What was being done, and what went wrong.
        what: String,
        /// Not before this many milliseconds, when the system said so.
        retry_after_ms: Option<u64>,
    },
    /// A person must change something: the pipeline pauses and says so.
    #[error("{0}")]
    Setup(String),
    /// What was asked has no answer, for what some of it holds; the rest has one when it is asked alone.
    #[error("{0}")]
    Data(String),
    /// A crash point, in tests.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

impl SourceError {
    /// A failure that passes by itself.
    pub fn transient(what: impl Into<String>) -> SourceError {
        SourceError::Transient { what: what.into(), retry_after_ms: None }
    }
}

/// Why a sink did not write.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Passes by itself. After `commit` the outcome is unknown: open again, and the target tells.
    #[error("{what}")]
    Transient {
        /// What was being done, and what went wrong.
        what: String,
        /// Not before this many milliseconds, when the system said so.
        retry_after_ms: Option<u64>,
    },
    /// These rows can never be written. From `stage`: nothing of the batch was staged. From `commit`: the target is
    /// unchanged and nothing is staged any more; open again and stage without them.
    #[error("{} row(s) cannot be written; the first: {}", .0.len(), .0.first().map_or("?", |fault| fault.reason.as_str()))]
    Data(Vec<RowFault>),
    /// The target's offset was moved by another owner. Never retried as it is: an owner that the group still names
    /// opens again, any other lets go.
    #[error(
        "committing {partition}: the target stands at {found:?} where this owner had left it at {expected:?}; \
         another owner has written since"
    )]
    Fenced {
        /// The partition.
        partition: TopicPartition,
        /// What this owner had found or written.
        expected: Option<Offset>,
        /// What is there.
        found: Option<Offset>,
    },
    /// A person must change something: no such table, wrong password, a column that does not fit.
    #[error("{0}")]
    Setup(String),
    /// A crash point, in tests.
    #[error(transparent)]
    Crashed(#[from] Crashed),
}

impl SinkError {
    /// A failure that passes by itself.
    pub fn transient(what: impl Into<String>) -> SinkError {
        SinkError::Transient { what: what.into(), retry_after_ms: None }
    }
}

impl From<EgressError> for SinkError {
    fn from(error: EgressError) -> SinkError {
        match error {
            EgressError::Refused { .. } => SinkError::Setup(error.to_string()),
            EgressError::Unresolved { .. } => SinkError::transient(error.to_string()),
        }
    }
}

impl From<EgressError> for SourceError {
    fn from(error: EgressError) -> SourceError {
        match error {
            EgressError::Refused { .. } => SourceError::Setup(error.to_string()),
            EgressError::Unresolved { .. } => SourceError::transient(error.to_string()),
        }
    }
}
