//! The file system's errors by what is to be done about them.

use std::io;
use std::path::Path;

use millstream_connector::SourceError;

/// A failure to do `doing` to `path`. What a person must change is a missing right or a folder in a file's place; the
/// rest passes by itself (too many open files, a network file system that is away).
pub fn source_error(doing: &str, path: &Path, error: &io::Error) -> SourceError {
    let text = format!("{doing} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
            SourceError::Setup(text)
        }
        _ => SourceError::transient(text),
    }
}
