//! The store's errors by what is to be done about them.

use millstream_connector::SinkError;

/// An object store's failure while `doing`. What a person must change is a missing right, bucket or key; the rest passes
/// by itself.
pub fn remote(doing: &str, error: &object_store::Error) -> SinkError {
    use object_store::Error::*;
    let text = format!("{doing}: {error}");
    match error {
        PermissionDenied { .. }
        | Unauthenticated { .. }
        | InvalidPath { .. }
        | NotSupported { .. }
        | NotImplemented { .. }
        | UnknownConfigurationKey { .. } => SinkError::Setup(text),
        // Without its bucket nothing works; an object that is missing is found out where it matters.
        NotFound { .. } => SinkError::Setup(text),
        _ if text.contains("under `egress: allow`") => SinkError::Setup(text),
        _ => SinkError::transient(text),
    }
}

/// The file system's failure while `doing`.
pub fn local(doing: &str, path: &std::path::Path, error: &std::io::Error) -> SinkError {
    use std::io::ErrorKind::*;
    let text = format!("{doing} {}: {error}", path.display());
    match error.kind() {
        PermissionDenied | NotADirectory | IsADirectory | ReadOnlyFilesystem => SinkError::Setup(text),
        _ => SinkError::transient(text),
    }
}
