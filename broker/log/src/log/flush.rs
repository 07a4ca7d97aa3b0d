//! Flushing, in three steps, so that one flush serves many logs and nobody waits under a lock: [`Log::begin_flush`]
//! collects what is not durable, [`FlushTicket::run`] (or one `sync_group` for many tickets, [`crate::flush`]) makes it
//! so outside of the lock, [`Log::complete_flush`] moves the flushed end. A failed flush closes the log for good: what
//! the kernel dropped cannot be told (T6 e). Never enters: when to flush.

use millstream_disk::{Disk, DiskError, SyncGroup};
use millstream_types::{Millis, Offset};

use super::Log;
use crate::error::LogError;

/// What one log wants flushed.
#[derive(Debug)]
#[must_use = "a ticket that is not completed leaves the log unflushed"]
pub struct FlushTicket {
    id: u64,
    generation: u64,
    end: Offset,
    active_base: Offset,
    /// The files and entries to make durable.
    pub group: SyncGroup,
}

impl FlushTicket {
    /// The log end offset that the flush makes durable.
    pub fn end_offset(&self) -> Offset {
        self.end
    }

    /// Flushes this ticket alone.
    pub fn run(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        disk.sync_group(&self.group)
    }
}

impl Log {
    /// Whether a flush would make anything durable.
    pub fn needs_flush(&self) -> bool {
        self.failed.is_none()
            && (self.active().dirty
                || !self.unflushed.is_empty()
                || (self.flushed_end < self.log_end && self.in_flight.is_empty()))
    }

    /// Whether files beside the active segment wait for a flush: a segment was sealed, or the log begun.
    pub fn has_sealed_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Collects what is not durable yet; `None` where all is, or where a flush under way covers all. What an unfinished flush covers is collected again, so
    /// tickets may complete in any order.
    ///
    /// # Errors
    /// The log's files cannot be opened.
    pub fn begin_flush(&mut self) -> Result<Option<FlushTicket>, LogError> {
        self.check_usable()?;
        if !self.needs_flush() {
            return Ok(None);
        }
        if self.created && (self.active().dirty || self.flushed_end < self.log_end) {
            let file = self.active().file(&*self.disk)?;
            self.unflushed.files.push(file);
            self.active_mut().dirty = false;
        }
        let mut group = std::mem::take(&mut self.unflushed);
        let own = group.clone();
        for (_, earlier) in &self.in_flight {
            group.merge(earlier.clone());
        }
        group.dirs.sort_unstable();
        group.dirs.dedup();
        let id = self.next_ticket;
        self.next_ticket += 1;
        self.in_flight.push((id, own));
        Ok(Some(FlushTicket {
            id,
            generation: self.generation,
            end: self.log_end,
            active_base: self.active().base,
            group,
        }))
    }

    /// Reports what became of a flush. On success everything up to the ticket's end is durable, unless the log was cut
    /// since. On failure the log takes no more appends, reads or flushes.
    pub fn complete_flush(&mut self, ticket: FlushTicket, result: &Result<(), DiskError>) {
        match result {
            Err(error) => {
                self.failed.get_or_insert_with(|| error.to_string());
            }
            Ok(()) if self.failed.is_none() => {
                // It covered all that was in flight when it began.
                self.in_flight.retain(|(id, _)| *id > ticket.id);
                if ticket.generation == self.generation {
                    self.named_to = self.named_to.max(Some(ticket.active_base));
                    self.flushed_end = self.flushed_end.max(ticket.end);
                }
            }
            Ok(()) => {}
        }
    }

    /// Flushes this log now, on this thread.
    ///
    /// # Errors
    /// The disk's, after which the log is offline.
    pub fn flush(&mut self) -> Result<(), LogError> {
        let Some(ticket) = self.begin_flush()? else { return Ok(()) };
        let result = ticket.run(&*self.disk);
        self.complete_flush(ticket, &result);
        Ok(result?)
    }

    /// Tells the log that its directory's recovery-point checkpoint holds `offset`, durable.
    pub fn on_recovery_point(&mut self, offset: Offset) {
        self.checkpointed = offset;
    }

    /// Writes the indexes and a snapshot of the producers, and flushes: after this, and the directory's marker of a
    /// clean stop, the log opens without recovery. It takes no more appends.
    ///
    /// # Errors
    /// The disk's; then the next open recovers.
    pub fn close(&mut self, _now: Millis) -> Result<(), LogError> {
        if let Some(ticket) = self.begin_close()? {
            let result = ticket.run(&*self.disk);
            self.complete_flush(ticket, &result);
            result?;
        }
        self.closed = true;
        Ok(())
    }

    /// The first half of [`Log::close`], so that one flush closes many logs: report it with [`Log::complete_flush`], then
    /// call [`Log::close`], which has nothing left to flush.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin_close(&mut self) -> Result<Option<FlushTicket>, LogError> {
        if self.closed {
            return Ok(None);
        }
        self.check_usable()?;
        if self.created && !self.prepared {
            self.cut_torn()?;
            let disk = self.disk.clone();
            let files = self.active_mut().write_indexes(&*disk)?;
            self.unflushed.files.extend(files);
            self.unflushed.dirs.push(self.dir.clone());
            self.write_snapshot(self.log_end)?;
            self.prepared = true;
        }
        self.begin_flush()
    }
}
