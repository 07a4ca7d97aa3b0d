//! Cutting a log's end off (a follower that diverged, RP-5 decides where) or all of it. The files go from the last one
//! back, each removal durable before the next, so that a crash leaves a log without a hole. Never enters: where to cut.

use millstream_types::{Millis, Offset};

use super::Log;
use crate::error::LogError;
use crate::names;
use crate::producer_state::ProducerStates;
use crate::segment::Segment;

impl Log {
    /// Removes everything at and behind `offset`; a batch that holds it goes whole. Whether anything was removed. The
    /// cut is durable with the next flush, at the latest.
    ///
    /// # Errors
    /// A disk that refuses; part of the end may be gone then, and the log has to be opened again.
    pub fn truncate_to(&mut self, offset: Offset, now: Millis) -> Result<bool, LogError> {
        self.check_usable()?;
        if offset >= self.log_end {
            return Ok(false);
        }
        if offset < self.log_start || offset < self.first_base() {
            self.truncate_fully(offset, now)?;
            return Ok(true);
        }
        let cut = self.cut_end(offset, now);
        self.fail_unless_done("cutting the log", &cut);
        cut.map(|()| true)
    }

    /// What stopped half way leaves files that memory does not match.
    pub(super) fn fail_unless_done(&mut self, what: &str, done: &Result<(), LogError>) {
        if let Err(error) = done {
            self.failed.get_or_insert_with(|| format!("{what} was not finished: {error}"));
        }
    }

    fn cut_end(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        self.generation += 1;
        self.prepared = false;
        self.named_to = None;
        self.remove_segments(|base| base > offset)?;
        let disk = self.disk.clone();
        let active = self.active();
        let cut = active.locate(&*disk, offset)?.map_or(active.size, |batch| batch.position);
        // From now on its indexes are in memory; what is in the files speaks of batches that are gone.
        for extension in [names::INDEX, names::TIME_INDEX, names::TXN_INDEX] {
            disk.remove(&active.path(extension))?;
        }
        active.file(&*disk)?.set_len(cut)?;
        let base = active.base;
        let append_times = (active.first_append_ms, active.last_append_ms);
        let gaps = active.gaps || active.compacted;
        let aborted = active.aborted.iter().filter(|a| a.last_offset < offset).copied().collect();
        self.torn = None;
        let mut segment = Segment::at(&self.dir, base, now);
        self.load_headers(&mut segment, cut)?;
        (segment.first_append_ms, segment.last_append_ms) = append_times;
        segment.aborted = aborted;
        segment.gaps = gaps;
        segment.dirty = true;
        self.log_end = segment.next_offset;
        self.segments.insert(base, segment);
        self.tail.clear();
        self.flushed_end = self.flushed_end.min(self.log_end);
        self.checkpointed = self.checkpointed.min(self.log_end);
        self.cleaned_to = self.cleaned_to.min(self.log_end);
        self.epochs_dirty |= self.epochs.truncate_end(self.log_end);
        self.write_epochs_if_dirty()?;
        let end = self.log_end;
        self.remove_snapshots(|at| at > end)?;
        self.unflushed.dirs.push(self.dir.clone());
        self.producers = ProducerStates::new();
        self.load_producers(end, false)
    }

    /// Removes everything and begins again at `offset` (a follower whose leader's log begins behind its own end).
    ///
    /// # Errors
    /// A disk that refuses; part of the log may be gone then, and the log has to be opened again.
    pub fn truncate_fully(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        self.check_usable()?;
        let cut = self.cut_all(offset, now);
        self.fail_unless_done("cutting the log", &cut);
        cut
    }

    fn cut_all(&mut self, offset: Offset, now: Millis) -> Result<(), LogError> {
        self.generation += 1;
        self.prepared = false;
        self.named_to = None;
        self.torn = None;
        self.epochs.clear();
        self.producers = ProducerStates::new();
        self.tail.clear();
        let was_created = self.created;
        if was_created {
            self.remove_snapshots(|_| true)?;
            self.remove_segments(|_| true)?;
            self.write_epochs()?;
        }
        self.segments.clear();
        self.created = false;
        self.segments.insert(offset, Segment::at(&self.dir, offset, now));
        (self.log_start, self.log_end, self.flushed_end) = (offset, offset, offset);
        (self.checkpointed, self.cleaned_to) = (offset, offset);
        if was_created {
            self.ensure_created(now)?;
        }
        Ok(())
    }

    fn first_base(&self) -> Offset {
        self.segments.first_key_value().map_or(0, |(base, _)| *base)
    }

    /// Removes the segments that `doomed` picks, the last one first, each durably.
    pub(super) fn remove_segments(&mut self, doomed: impl Fn(Offset) -> bool) -> Result<(), LogError> {
        let bases: Vec<Offset> = self.segments.keys().rev().copied().filter(|base| doomed(*base)).collect();
        for base in bases {
            self.remove_segment_files(base)?;
            self.disk.sync_dir(&self.dir)?;
            self.segments.remove(&base);
        }
        Ok(())
    }
}
