//! A compaction's two ends under the log's lock: choosing what may be compacted, and putting the new segments in place.
//! LG-4: the new segment is durable under its `.swap` name before the old ones are renamed away, oldest first and each
//! durably, so that no crash leaves an old value behind whose tombstone is gone. Never enters: the rules of what stays
//! (`compaction.rs`).

use millstream_types::{Millis, Offset};

use super::Log;
use crate::compaction::{CompactionOutput, CompactionPlan, CompactionResult, LastOfProducer, Source};
use crate::error::LogError;
use crate::names;
use crate::segment::EXTENSIONS;

impl Log {
    /// What may be compacted now: sealed segments that are flushed and lie below `upper_bound` (the high watermark) and
    /// the last stable offset, and whose records are older than `min.compaction.lag.ms`. `None` where the topic is not
    /// compacted, nothing new could be, or the dirty part is below `min.cleanable.dirty.ratio` and no record is older
    /// than `max.compaction.lag.ms`.
    ///
    /// # Errors
    /// The log's files cannot be opened.
    pub fn plan_compaction(
        &self,
        now: Millis,
        upper_bound: Offset,
    ) -> Result<Option<CompactionPlan>, LogError> {
        self.check_usable()?;
        if !self.config.cleanup_policy.compact || !self.created {
            return Ok(None);
        }
        let bound = self.last_stable_offset(upper_bound).min(self.flushed_end);
        let newest = now.saturating_sub(self.config.min_compaction_lag_ms);
        let ends = self.segments.keys().skip(1).copied();
        let mut sources = Vec::new();
        let mut overdue = false;
        for (segment, end) in self.segments.values().zip(ends) {
            let young = self.config.min_compaction_lag_ms > 0 && segment.max_timestamp > newest;
            if end > bound || young {
                break;
            }
            let oldest = segment.first_append_ms;
            overdue |=
                end > self.cleaned_to && now.saturating_sub(oldest) > self.config.max_compaction_lag_ms;
            sources.push(Source {
                base: segment.base,
                file: segment.file(&*self.disk)?,
                size: segment.size,
                end,
                first_append_ms: segment.first_append_ms,
                last_append_ms: segment.last_append_ms,
            });
        }
        let Some(end) = sources.last().map(|s| s.end) else { return Ok(None) };
        if end <= self.cleaned_to {
            return Ok(None);
        }
        let last_of_producer = self.producers.entries().iter().map(|(id, p)| {
            let last = p.last_offset();
            (*id, if last >= 0 { LastOfProducer::Data(last) } else { LastOfProducer::Marker(p.epoch) })
        });
        let plan = CompactionPlan {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            config: self.config.clone(),
            generation: self.generation,
            sources,
            dirty_from: self.cleaned_to,
            aborted: self.segments.values().flat_map(|s| s.aborted.iter().copied()).collect(),
            last_of_producer: last_of_producer.collect(),
        };
        let worth = overdue || plan.dirty_ratio() >= self.config.min_cleanable_dirty_ratio;
        Ok(worth.then_some(plan))
    }

    /// Puts a compaction's segments in place of those that they were made from. `None`, and nothing is changed, where
    /// the log was cut or its segments were deleted since the plan was made; the files that the run left are dropped.
    ///
    /// # Errors
    /// A disk that refuses; the next start finishes or drops what was begun.
    pub fn install_compaction(
        &mut self,
        output: CompactionOutput,
        now: Millis,
    ) -> Result<Option<CompactionResult>, LogError> {
        self.check_usable()?;
        let known = |base: &Offset| self.segments.contains_key(base);
        let stale =
            output.generation != self.generation || !output.groups.iter().all(|g| g.bases.iter().all(known));
        for mut group in output.groups {
            let base = group.segment.base;
            let cleaned = |extension| {
                names::with_suffix(&names::segment_file(&self.dir, base, extension), names::CLEANED)
            };
            if stale {
                EXTENSIONS.iter().try_for_each(|extension| self.disk.remove(&cleaned(extension)))?;
                continue;
            }
            let swapped = self.swap_in(base, &group.bases, now);
            self.fail_unless_done("replacing segments", &swapped);
            swapped?;
            for old in &group.bases {
                self.segments.remove(old);
            }
            group.segment.next_offset = group.end;
            self.segments.insert(base, group.segment);
        }
        if stale {
            return Ok(None);
        }
        self.cleaned_to = self.cleaned_to.max(output.cleaned_to);
        Ok(Some(output.result))
    }

    fn swap_in(&mut self, base: Offset, replaced: &[Offset], now: Millis) -> Result<(), LogError> {
        self.rename_segment(base, names::CLEANED, names::SWAP)?;
        for old in replaced {
            self.doom_segment(*old, now)?;
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(self.rename_segment(base, names::SWAP, "")?)
    }
}
