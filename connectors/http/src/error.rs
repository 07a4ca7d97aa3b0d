//! Why the endpoint cannot be opened.

use std::io;

use millstream_connector::SourceError;

/// A failure to listen on `address`. A port that is taken may become free: the owner before is still closing it.
pub fn listening(address: &str, error: &io::Error) -> SourceError {
    let text = format!("listening on {address}: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable | io::ErrorKind::InvalidInput => {
            SourceError::Setup(text)
        }
        _ => SourceError::transient(text),
    }
}
