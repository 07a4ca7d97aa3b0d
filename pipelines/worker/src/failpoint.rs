//! Where a test may let the process die, as a power cut would: `MILLSTREAM_FAIL_AT=lake.entry_created:3` ends it, without
//! any cleaning up, when that point is reached for the third time. Never enters: what is done about it.
//!
//! Points: `<stage>.before_send`, `<stage>.before_offsets`, `<stage>.before_commit`, `<stage>.after_commit` of ingest and
//! process stages; `savepoint.marked`, `savepoint.written`, `savepoint.before_commit` and `savepoint.committed` where one is put
//! back; `<sink>.before_stage` and `<sink>.after_stage` around rows that a sink takes in, and those that each
//! sink names itself, behind its id.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable.
pub const VARIABLE: &str = "MILLSTREAM_FAIL_AT";

struct Armed {
    point: String,
    left: AtomicU64,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let read = || {
        let text = std::env::var(VARIABLE).ok()?;
        let (point, count) = text.rsplit_once(':').unwrap_or((&text, "1"));
        Some(Armed { point: point.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
    };
    ARMED.get_or_init(read).as_ref()
}

/// Whether any point is set; asking is then worth making a name.
pub fn is_armed() -> bool {
    armed().is_some()
}

/// Dies here if this is the point that was asked for.
pub fn reach(component: &str, point: &str) {
    let Some(armed) = armed() else { return };
    let same = armed.point.strip_prefix(component).and_then(|rest| rest.strip_prefix('.')) == Some(point);
    if same && armed.left.fetch_sub(1, Ordering::SeqCst) == 1 {
        eprintln!("stopped at {component}.{point}, as {VARIABLE} asked");
        std::process::abort();
    }
}
