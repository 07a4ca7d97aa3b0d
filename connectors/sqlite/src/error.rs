//! SQLite's errors by what is to be done about them.

use millstream_connector::SinkError;
use rusqlite::ErrorCode;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Passes by itself: locks, a full disk, memory.
    Transient,
    /// This row, for what it holds.
    Row,
    /// A person must change something.
    Setup,
}

/// Judges a failure. A full disk passes by itself in the sense that someone makes space and nothing else is needed.
pub fn classify(error: &rusqlite::Error) -> Class {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::FileLockingProtocolFailed,
        ) => Class::Transient,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => Class::Row,
        _ => Class::Setup,
    }
}

/// A failure that no single row causes.
pub fn sink_error(doing: &str, error: &rusqlite::Error) -> SinkError {
    match classify(error) {
        Class::Transient => SinkError::transient(format!("{doing}: {error}")),
        Class::Row | Class::Setup => SinkError::Setup(format!("{doing}: {error}")),
    }
}
