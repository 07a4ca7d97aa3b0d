//! What makes a log's oldest segments go: their age, the log's size, a start that was moved. Whole segments only, and
//! none that reaches above the bound that the caller gives (the high watermark); where all of them go, the active one is
//! sealed first, so that it has its part. Owns Kafka's rules of `UnifiedLog.deleteOldSegments`.

use millstream_types::{Millis, Offset};

use super::Log;
use crate::error::LogError;
use crate::segment::Segment;

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments that were taken away.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Log {
    /// Takes away what `retention.ms`, `retention.bytes` and the log's start allow, of offsets below `upper_bound`.
    /// The files are unlinked later, by [`Log::delete_due_files`].
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn apply_retention(&mut self, now: Millis, upper_bound: Offset) -> Result<Retained, LogError> {
        self.check_usable()?;
        if !self.created {
            return Ok(Retained::default());
        }
        let config = self.config.clone();
        let mut total = Retained::default();
        if config.cleanup_policy.delete && config.retention_ms >= 0 {
            let expired = |segment: &Segment| {
                segment
                    .newest_ms(&config)
                    .is_some_and(|newest| now.saturating_sub(newest) > config.retention_ms)
            };
            self.delete_oldest(now, upper_bound, expired, &mut total)?;
        }
        if config.cleanup_policy.delete && config.retention_bytes >= 0 {
            let mut excess = self.size().saturating_sub(config.retention_bytes as u64);
            let over = |segment: &Segment| {
                let fits = segment.size <= excess && segment.size > 0;
                excess = excess.saturating_sub(segment.size);
                fits
            };
            self.delete_oldest(now, upper_bound, over, &mut total)?;
        }
        self.delete_below_start(now, upper_bound, &mut total)?;
        Ok(total)
    }

    /// Moves the log's start up to `to` (DeleteRecords), which is at most `upper_bound`, the high watermark. Segments
    /// wholly below it go with the next [`Log::apply_retention`].
    ///
    /// # Errors
    /// A start beyond the bound, or a disk that refuses.
    pub fn advance_log_start(&mut self, to: Offset, upper_bound: Offset) -> Result<(), LogError> {
        self.check_usable()?;
        if to > upper_bound || to > self.log_end {
            return Err(LogError::StartBeyondBound { to, bound: upper_bound.min(self.log_end) });
        }
        if to <= self.log_start {
            return Ok(());
        }
        self.log_start = to;
        self.on_new_start()
    }

    fn on_new_start(&mut self) -> Result<(), LogError> {
        self.producers.on_log_start(self.log_start);
        self.epochs_dirty |= self.epochs.truncate_start(self.log_start);
        Ok(self.write_epochs_if_dirty()?)
    }

    fn delete_below_start(
        &mut self,
        now: Millis,
        bound: Offset,
        total: &mut Retained,
    ) -> Result<(), LogError> {
        let start = self.log_start;
        let ends: Vec<Offset> = self.segment_ends();
        let mut ends = ends.into_iter();
        self.delete_oldest(now, bound, |_| ends.next().is_some_and(|end| end <= start), total)
    }

    /// Where each segment ends: the next one's base, or the log's end.
    fn segment_ends(&self) -> Vec<Offset> {
        self.segments.keys().skip(1).copied().chain([self.log_end]).collect()
    }

    fn delete_oldest(
        &mut self,
        now: Millis,
        upper_bound: Offset,
        mut wanted: impl FnMut(&Segment) -> bool,
        total: &mut Retained,
    ) -> Result<(), LogError> {
        let ends = self.segment_ends();
        let doomed: Vec<Offset> = self
            .segments
            .values()
            .zip(ends)
            .take_while(|(segment, end)| {
                let empty_last = segment.is_active() && segment.size == 0;
                *end <= upper_bound && !empty_last && wanted(segment)
            })
            .map(|(segment, _)| segment.base)
            .collect();
        if doomed.is_empty() {
            return Ok(());
        }
        if doomed.len() == self.segments.len() {
            self.roll_now(now)?;
        }
        for base in doomed {
            let size = self.segments.get(&base).map_or(0, |s| s.size);
            self.doom_segment(base, now)?;
            // Durable before the next one goes, so that a crash leaves no hole.
            self.disk.sync_dir(&self.dir)?;
            self.segments.remove(&base);
            total.segments += 1;
            total.bytes += size;
            let first = self.segments.first_key_value().map_or(self.log_end, |(base, _)| *base);
            self.log_start = self.log_start.max(first);
        }
        let first = self.segments.first_key_value().map_or(self.log_end, |(base, _)| *base);
        self.remove_snapshots(|at| at < first)?;
        self.on_new_start()
    }
}
