//! Threads that the broker cannot do without: where one of them panics, an invariant does not hold any more, and the
//! process ends at once rather than go on with half of itself. What was acknowledged is on disk, and a restart recovers
//! it. Never enters: connections, whose panics end one connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

/// Starts such a thread.
///
/// # Errors
/// No thread can be started.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    let named = name.to_owned();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!(thread = named, "the thread panicked: an invariant is broken; the broker stops, and recovers at its next start");
            std::process::abort();
        }
    })
}
