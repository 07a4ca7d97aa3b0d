//! Why a pipeline does not run, and whether trying again may help. Never enters: verdicts on records.

use millstream_client::ClientError;
use millstream_connector::{SinkError, SourceError};
use millstream_engine::error::StageError;
use millstream_model::FunctionError;
use millstream_types::ErrorCode;

/// Why a stage stopped.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Passes by itself: the stage begins again from what was committed.
    #[error("{0}")]
    Transient(String),
    /// A person must change something.
    #[error("{0}")]
    Setup(String),
    /// The stage waits for a person; the others go on.
    #[error("{0}")]
    Paused(String),
    /// It cannot go on, and beginning again would not help.
    #[error("{0}")]
    Fatal(String),
    /// The same, since the broker takes nothing more of this producer.
    #[error("{0}")]
    Fenced(String),
}

impl WorkerError {
    /// Puts what was being done in front.
    #[must_use]
    pub fn doing(self, what: &str) -> WorkerError {
        match self {
            WorkerError::Transient(text) => WorkerError::Transient(format!("{what}: {text}")),
            WorkerError::Setup(text) => WorkerError::Setup(format!("{what}: {text}")),
            WorkerError::Paused(text) => WorkerError::Paused(format!("{what}: {text}")),
            WorkerError::Fatal(text) => WorkerError::Fatal(format!("{what}: {text}")),
            WorkerError::Fenced(text) => WorkerError::Fenced(format!("{what}: {text}")),
        }
    }
}

/// What is said where more records are bad than may be.
pub fn over_rate(bad: u64, all: u64) -> String {
    format!(
        "{bad} of the last {all} records are bad, which is above `errors: data: max_rate`; nothing more is read \
         until a person has looked: correct the input or the rate and run again, or say `on_exceed: continue`"
    )
}

impl From<ClientError> for WorkerError {
    fn from(error: ClientError) -> WorkerError {
        let text = error.to_string();
        match error {
            ClientError::Fenced(_) => {
                WorkerError::Fenced(format!("{text}; another worker has this instance's name"))
            }
            ClientError::Config(_) | ClientError::Unsupported { .. } => WorkerError::Setup(text),
            ClientError::Batch { .. } | ClientError::NoOffset(_) => WorkerError::Fatal(text),
            // It would be as large the next time.
            ClientError::Broker {
                code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge, ..
            } => WorkerError::Fatal(format!(
                "{text}; raise `max.message.bytes` of the topic, or leave such rows out before it"
            )),
            // The stage begins again, asks where to go on, and tells what is missing.
            _ => WorkerError::Transient(text),
        }
    }
}

impl From<SourceError> for WorkerError {
    fn from(error: SourceError) -> WorkerError {
        match error {
            SourceError::Transient { what, .. } => WorkerError::Transient(what),
            SourceError::Setup(text) | SourceError::Data(text) => WorkerError::Setup(text),
            SourceError::Crashed(crashed) => WorkerError::Fatal(crashed.to_string()),
        }
    }
}

impl From<SinkError> for WorkerError {
    fn from(error: SinkError) -> WorkerError {
        match error {
            SinkError::Transient { what, .. } => WorkerError::Transient(what),
            SinkError::Setup(text) => WorkerError::Setup(text),
            // Opened again, the target tells where it stands.
            SinkError::Fenced { .. } => WorkerError::Transient(error.to_string()),
            SinkError::Data(_) | SinkError::Crashed(_) => WorkerError::Fatal(error.to_string()),
        }
    }
}

impl From<StageError> for WorkerError {
    fn from(error: StageError) -> WorkerError {
        match error {
            // Begun again, it reads its state from the changelog; what a function had done is done again.
            StageError::Scratch(_) | StageError::Function(FunctionError::Transient { .. }) => {
                WorkerError::Transient(error.to_string())
            }
            error => WorkerError::Fatal(error.to_string()),
        }
    }
}

impl From<arrow::error::ArrowError> for WorkerError {
    fn from(error: arrow::error::ArrowError) -> WorkerError {
        WorkerError::Fatal(error.to_string())
    }
}
