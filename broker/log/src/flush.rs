//! One flush for many logs: their tickets are merged into one group, which the disk makes durable at once
//! (docs/adr/0001-flush.md). Never enters: threads, and when to flush.

use millstream_disk::{Disk, DiskError, SyncGroup};

use crate::log::FlushTicket;

/// Makes everything in the tickets durable by one flush of their directory's disk. Report the result to every ticket's
/// log with `Log::complete_flush`, whatever it is.
///
/// # Errors
/// The disk's: then none of the tickets' ends is durable, and the directory is offline.
pub fn flush_all(disk: &dyn Disk, tickets: &[FlushTicket]) -> Result<(), DiskError> {
    let mut group = SyncGroup::default();
    for ticket in tickets {
        group.merge(ticket.group.clone());
    }
    group.dirs.sort_unstable();
    group.dirs.dedup();
    if group.is_empty() { Ok(()) } else { disk.sync_group(&group) }
}
