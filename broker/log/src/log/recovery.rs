//! Opening a log (LG-3). After a clean stop the files are taken as they are, except that the active segment's tail is
//! looked at. After anything else, every segment from the recovery point on is read, batch by batch with its checksum;
//! the first batch that is not good ends the log, and what follows it is removed. Indexes, epochs and producers of that
//! part are made anew from the batches. Recovery may be cut short by another crash at any point and begins again.
//! Never enters: fetching what was lost from others.

use std::collections::BTreeSet;

use millstream_batch::BatchView;
use millstream_disk::{DiskError, checkpoint, durable};
use millstream_types::{Millis, Offset};

use super::Log;
use super::append::apply_to_producers;
use crate::epoch_file::EpochCache;
use crate::error::LogError;
use crate::names;
use crate::offset_index;
use crate::producer_state::{ProducerStates, snapshot};
use crate::scan::{BatchScan, HeaderScan};
use crate::segment::{INDEX_BYTES_MAX, Indexes, Segment};
use crate::time_index;
use crate::txn_index;

/// The largest producer snapshot that is read, in bytes: some millions of producers.
const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;

pub(super) fn recover(mut log: Log, clean: bool, now: Millis) -> Result<Log, LogError> {
    if log.disk.lookup(&log.dir)?.is_none_or(|entry| !entry.is_dir) {
        let start = log.log_start;
        log.segments.insert(start, Segment::at(&log.dir, start, now));
        (log.log_end, log.flushed_end) = (start, start);
        return Ok(log);
    }
    log.created = true;
    log.load_metadata()?;
    log.tidy(clean)?;
    let epochs_in_file = log.read_epochs()?;
    log.epochs = epochs_in_file.clone().unwrap_or_default();
    log.load_segments(clean, now)?;
    if log.log_end < log.log_start {
        // The checkpoint's start is behind all that is left: nothing here would ever be served.
        let start = log.log_start;
        log.truncate_fully(start, now)?;
        return Ok(log);
    }
    let first = log.segments.first_key_value().map_or(0, |(base, _)| *base);
    log.log_start = log.log_start.max(first);
    let trusted = epochs_in_file.filter(|_| !log.epochs.entries().is_empty() || log.log_end == log.log_start);
    log.load_epochs(trusted)?;
    let end = log.log_end;
    log.remove_snapshots(|at| at > end)?;
    log.load_producers(end, !clean)?;
    log.seal_scanned()?;
    log.producers.on_log_start(log.log_start);
    Ok(log)
}

impl Log {
    fn load_metadata(&mut self) -> Result<(), LogError> {
        let found = self.read_metadata()?;
        match found {
            Some(id) if self.topic_id.is_zero() => self.topic_id = id,
            Some(id) if id != self.topic_id => {
                let want = self.topic_id;
                return Err(
                    self.corrupt(format!("partition.metadata has topic id {id}, the topic's is {want}"))
                );
            }
            Some(_) => {}
            None => self.write_metadata()?,
        }
        Ok(())
    }

    /// Finishes or drops what an interrupted compaction, deletion or replacement left.
    fn tidy(&mut self, clean: bool) -> Result<(), LogError> {
        let entries = self.disk.list(&self.dir)?;
        let mut changed = false;
        for entry in &entries {
            let name = entry.name.as_str();
            if [names::DELETED, names::CLEANED, durable::ASIDE_SUFFIX].iter().any(|s| name.ends_with(s)) {
                self.disk.remove(&self.dir.join(name))?;
                changed = true;
            }
        }
        for entry in &entries {
            if let Some((base, "log.swap")) = names::parse_segment_file(&entry.name) {
                self.finish_swap(base, entry.len)?;
                changed = true;
            }
        }
        let left = if changed { self.disk.list(&self.dir)? } else { entries };
        let bases: BTreeSet<Offset> = left
            .iter()
            .filter_map(|e| names::parse_segment_file(&e.name))
            .filter_map(|(base, extension)| (extension == names::LOG).then_some(base))
            .collect();
        for entry in &left {
            let Some((base, extension)) = names::parse_segment_file(&entry.name) else { continue };
            let orphan = extension != names::SNAPSHOT && !bases.contains(&base);
            if orphan || extension.ends_with("swap") {
                self.disk.remove(&self.dir.join(&entry.name))?;
                changed = true;
            }
        }
        if changed && !clean {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Puts compaction's output in place: its durable name says that it is whole. Segments that it replaces
    /// go first; those of its own name are replaced by the renames, which may have been begun before.
    fn finish_swap(&mut self, base: Offset, len: u64) -> Result<(), LogError> {
        let log = names::segment_file(&self.dir, base, names::LOG);
        let swap = names::with_suffix(&log, names::SWAP);
        let file = self.disk.open(&swap, millstream_disk::Open::Read)?;
        let mut scan = HeaderScan::new(file, 0, len);
        let mut last = base;
        while let Some((_, header)) = scan.next_header()? {
            last = header.last_offset();
        }
        for entry in self.disk.list(&self.dir)? {
            if let Some((other, extension)) = names::parse_segment_file(&entry.name)
                && (base + 1..=last).contains(&other)
                && crate::segment::EXTENSIONS.contains(&extension)
            {
                self.disk.remove(&self.dir.join(&entry.name))?;
                self.disk.sync_dir(&self.dir)?;
            }
        }
        Ok(self.rename_segment(base, names::SWAP, "")?)
    }

    fn load_segments(&mut self, clean: bool, now: Millis) -> Result<(), LogError> {
        let mut found: Vec<(Offset, u64, Millis)> = self
            .disk
            .list(&self.dir)?
            .into_iter()
            .filter_map(|entry| match names::parse_segment_file(&entry.name) {
                Some((base, names::LOG)) => Some((base, entry.len, entry.modified_ms)),
                _ => None,
            })
            .collect();
        found.sort_unstable();
        if found.is_empty() {
            let start = self.log_start;
            self.created = false;
            self.segments.insert(start, Segment::at(&self.dir, start, now));
            self.log_end = start;
            self.flushed_end = start;
            return Ok(self.ensure_created(now)?);
        }
        let last = found[found.len() - 1].0;
        let scan_from = match clean {
            true => last,
            // The segment that holds the recovery point; what lies before it was flushed and has not been touched.
            false => {
                let at = found.partition_point(|(base, ..)| *base <= self.checkpointed);
                found[at.saturating_sub(1)].0
            }
        };
        self.checkpointed = self.checkpointed.max(0);
        let scanned: Vec<_> =
            found.iter().copied().filter(|(base, ..)| !clean && *base >= scan_from).collect();
        if !self.epochs_agree_with(&scanned, now)? {
            self.epochs.clear();
        }
        let mut end = None;
        let mut after_compacted = false;
        for (at, (base, len, modified_ms)) in found.iter().copied().enumerate() {
            let mut segment = Segment::at(&self.dir, base, now);
            if base < scan_from {
                let next = found.get(at + 1).map_or(base, |(next, ..)| *next);
                self.load_sealed(&mut segment, len, modified_ms, next)?;
                end = Some(next);
            } else if clean {
                segment.load_sidecar(&*self.disk, modified_ms)?;
                self.load_clean_active(&mut segment, len)?;
                end = Some(segment.next_offset);
            } else {
                // A segment begins where the one before it ended, unless compaction wrote that one; else the end of that
                // one is lost, and this one with it.
                if base > scan_from && end != Some(base) && !after_compacted {
                    self.remove_from(&found[at..])?;
                    break;
                }
                segment.load_sidecar(&*self.disk, modified_ms)?;
                let whole = self.scan_segment(&mut segment, len)?;
                end = Some(segment.next_offset);
                after_compacted = segment.compacted;
                segment.dirty = true;
                self.unflushed.files.push(segment.file(&*self.disk)?);
                self.segments.insert(base, segment);
                if !whole {
                    self.remove_from(&found[at + 1..])?;
                    break;
                }
                continue;
            }
            self.segments.insert(base, segment);
        }
        self.log_end = end.unwrap_or(self.log_start);
        self.flushed_end = if clean { self.log_end } else { self.checkpointed.min(self.log_end) };
        self.unflushed.dirs.push(self.dir.clone());
        if !clean {
            self.unflushed.dirs.push(self.parent.clone());
        } else {
            self.unflushed = Default::default();
        }
        Ok(())
    }

    /// Whether the epochs' file can judge batches. One batch that differs from it among others that do not is damaged;
    /// where more differ, or all, the file is: it is damaged, or a crash has taken its last change.
    fn epochs_agree_with(&self, segments: &[(Offset, u64, Millis)], now: Millis) -> Result<bool, LogError> {
        let (mut same, mut other) = (0u64, 0u64);
        for (base, len, _) in segments {
            let segment = Segment::at(&self.dir, *base, now);
            let mut scan = HeaderScan::new(segment.file(&*self.disk)?, 0, *len);
            while let Some((_, header)) = scan.next_header()? {
                match self.epochs.epoch_at(header.base_offset) {
                    Some(epoch) if epoch != header.partition_leader_epoch => other += 1,
                    _ => same += 1,
                }
            }
        }
        Ok(other == 0 || (other == 1 && same > 0))
    }

    /// Removes segments behind the log's end, the last one first, each durably.
    fn remove_from(&mut self, doomed: &[(Offset, u64, Millis)]) -> Result<(), LogError> {
        for (base, ..) in doomed.iter().rev() {
            self.remove_segment_files(*base)?;
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// A sealed segment whose files are trusted.
    fn load_sealed(
        &self,
        segment: &mut Segment,
        len: u64,
        modified_ms: Millis,
        next: Offset,
    ) -> Result<(), LogError> {
        let sidecar = segment.load_sidecar(&*self.disk, modified_ms)?;
        if let Some(sidecar) = sidecar
            && segment.seal_as(&*self.disk, &sidecar, len)?
        {
            segment.next_offset = next;
            return Ok(());
        }
        // A segment that Kafka sealed, or whose sidecar is lost or speaks of another state.
        segment.size = len;
        let index = self.read_index(segment, names::INDEX)?;
        let offsets = index.and_then(|bytes| offset_index::decode(&bytes, len));
        let times = self.read_index(segment, names::TIME_INDEX)?.and_then(|bytes| time_index::decode(&bytes));
        match (offsets, times) {
            (Some(offsets), Some(times)) if !times.is_empty() || len == 0 => {
                segment.indexes = Indexes::Sealed { offset_entries: offsets.len() as u64 };
                if let Some(last) = times.last() {
                    segment.max_timestamp = last.timestamp;
                    segment.max_timestamp_offset = segment.base + i64::from(last.relative);
                }
            }
            _ => {
                // Lost or damaged: made anew from the batches.
                segment.size = 0;
                self.load_headers(segment, len)?;
                segment.write_indexes(&*self.disk)?;
                segment.seal();
            }
        }
        segment.next_offset = next;
        Ok(())
    }

    fn read_index(&self, segment: &Segment, extension: &str) -> Result<Option<Vec<u8>>, LogError> {
        match millstream_disk::disk::read_file(&*self.disk, &segment.path(extension), INDEX_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(DiskError::Malformed { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The active segment after a clean stop: its indexes are taken from the files if they fit it.
    fn load_clean_active(&self, segment: &mut Segment, len: u64) -> Result<(), LogError> {
        self.load_headers(segment, len)?;
        if segment.size < len {
            // Nothing writes half a batch and stops cleanly; but a tool may have cut the file.
            segment.file(&*self.disk)?.set_len(segment.size)?;
            segment.dirty = true;
        }
        Ok(())
    }

    /// Walks a segment's headers and makes its indexes in memory.
    pub(super) fn load_headers(&self, segment: &mut Segment, len: u64) -> Result<(), LogError> {
        let interval = u64::try_from(self.config.index_interval_bytes).unwrap_or(0);
        let mut scan = HeaderScan::new(segment.file(&*self.disk)?, 0, len);
        let mut least = segment.base;
        while let Some((position, header)) = scan.next_header()? {
            if header.base_offset < least || header.last_offset_delta < 0 {
                break;
            }
            least = header.next_offset();
            segment.note_batch(&header, position, interval, segment.created_ms);
        }
        Ok(())
    }

    /// Reads a segment whole, makes its indexes, and cuts it behind the last good batch. Whether nothing was cut.
    fn scan_segment(&mut self, segment: &mut Segment, len: u64) -> Result<bool, LogError> {
        let interval = u64::try_from(self.config.index_interval_bytes).unwrap_or(0);
        let file = segment.file(&*self.disk)?;
        let mut scan = BatchScan::new(file.clone(), 0, len, segment.base, segment.gaps || segment.compacted);
        while let Some((position, batch)) = scan.next_batch()? {
            let header = *batch.header();
            // The epoch lies outside of the checksum; but it is in the epochs' file, durable with the batch.
            let in_file = self.epochs.epoch_at(header.base_offset);
            let epoch_differs = in_file.is_some_and(|epoch| epoch != header.partition_leader_epoch);
            if header.last_offset() - segment.base > i64::from(i32::MAX) || epoch_differs {
                break;
            }
            segment.note_batch(&header, position, interval, segment.created_ms);
        }
        // The files speak of a segment that may be longer than this one.
        for extension in [names::INDEX, names::TIME_INDEX, names::TXN_INDEX] {
            self.disk.remove(&segment.path(extension))?;
        }
        if segment.size == len {
            return Ok(true);
        }
        tracing::warn!(
            dir = %self.dir.display(), segment = segment.base, kept = segment.size, cut = len - segment.size,
            "cut off what follows the last good batch of a log that was not closed"
        );
        file.set_len(segment.size)?;
        Ok(false)
    }

    /// All scanned segments but the last are sealed again, once their transactions are known (`load_producers`): the
    /// sidecar vouches for the transaction index too, and one that vouched for an empty index would have a torn one
    /// believed (TX-1).
    fn seal_scanned(&mut self) -> Result<(), LogError> {
        let disk = self.disk.clone();
        let active = self.active().base;
        let mut files = Vec::new();
        for segment in self.segments.range_mut(..active).map(|(_, s)| s).filter(|s| s.is_active()) {
            files.extend(segment.write_indexes(&*disk)?);
            segment.seal();
        }
        self.unflushed.files.extend(files);
        Ok(())
    }

    /// The epochs in the file; `None` where it is lost or damaged.
    fn read_epochs(&self) -> Result<Option<EpochCache>, LogError> {
        match checkpoint::read(&*self.disk, &self.dir.join(names::LEADER_EPOCHS)) {
            Ok(lines) => Ok(lines.and_then(|lines| EpochCache::parse(&lines).ok())),
            Err(DiskError::Malformed { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether each epoch of the file begins at a batch of that epoch, behind one of an older epoch: the file has no
    /// checksum.
    fn epochs_fit_batches(&self, epochs: &EpochCache) -> Result<bool, LogError> {
        for entry in epochs.entries().iter().filter(|e| e.start_offset < self.log_end) {
            let epoch_of = |offset: Offset| -> Result<Option<i32>, LogError> {
                let Some((_, segment)) = self.segments.range(..=offset).next_back() else { return Ok(None) };
                let Some(located) = segment.locate(&*self.disk, offset)? else { return Ok(None) };
                let mut scan = HeaderScan::new(segment.file(&*self.disk)?, located.position, segment.size);
                Ok(scan.next_header()?.map(|(_, header)| header.partition_leader_epoch))
            };
            let here = epoch_of(entry.start_offset)?;
            let before = match entry.start_offset > self.log_start {
                true => epoch_of(entry.start_offset - 1)?,
                false => None,
            };
            // A gap at the start says nothing.
            if here.is_some_and(|e| e != entry.epoch) || before.is_some_and(|e| e >= entry.epoch) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn load_epochs(&mut self, known: Option<EpochCache>) -> Result<(), LogError> {
        let known = match known {
            Some(known) if self.epochs_fit_batches(&known)? => Some(known),
            _ => None,
        };
        let trusted_to = if known.is_some() { self.flushed_end } else { self.log_start };
        let before = known.clone();
        self.epochs = known.unwrap_or_default();
        // Epochs of batches behind what was flushed may not have reached the file, or may speak of others.
        self.epochs.truncate_end(self.log_end);
        self.epochs.truncate_start(self.log_start);
        let bases: Vec<Offset> = self.segments.keys().copied().collect();
        let from = bases.partition_point(|base| *base <= trusted_to).saturating_sub(1);
        for base in bases.into_iter().skip(from) {
            let Some(segment) = self.segments.get(&base) else { continue };
            let mut scan = HeaderScan::new(segment.file(&*self.disk)?, 0, segment.size);
            while let Some((_, header)) = scan.next_header()? {
                let newer = self.epochs.latest().is_none_or(|latest| header.partition_leader_epoch > latest);
                if newer && header.last_offset() >= self.log_start {
                    self.epochs.assign(header.partition_leader_epoch, header.base_offset.max(self.log_start));
                }
            }
        }
        if before.as_ref() != Some(&self.epochs) && !(before.is_none() && self.epochs.entries().is_empty()) {
            self.write_epochs()?;
        }
        Ok(())
    }

    /// Makes the producers' state as of `end`: the last good snapshot, and the batches behind it. With `rebuild`, the
    /// transaction indexes of all segments behind the recovery point are made anew, else they are read from the files.
    pub(super) fn load_producers(&mut self, end: Offset, rebuild: bool) -> Result<(), LogError> {
        let rebuild_from = match rebuild {
            true => {
                self.segments.range(..=self.checkpointed.min(end)).next_back().map_or(0, |(base, _)| *base)
            }
            false => Offset::MAX,
        };
        let mut trusted = rebuild_from;
        let bases: Vec<Offset> = self.segments.keys().copied().collect();
        for base in bases.iter().copied().filter(|base| *base < rebuild_from) {
            let Some(segment) = self.segments.get(&base) else { continue };
            if !segment.aborted.is_empty() {
                continue;
            }
            let aborted = match self.read_index(segment, names::TXN_INDEX)? {
                None => Some(Vec::new()),
                Some(bytes) => txn_index::decode(&bytes),
            };
            let aborted = aborted.filter(|aborted| segment.txn_index_fits(aborted));
            match (aborted, self.segments.get_mut(&base)) {
                (Some(aborted), Some(segment)) => segment.aborted = aborted,
                // Damaged: found again from the batches.
                _ => trusted = trusted.min(base),
            }
        }
        let from = self.load_snapshot(end.min(trusted))?;
        let disk = self.disk.clone();
        for base in bases {
            let Some(segment) = self.segments.get_mut(&base) else { continue };
            if segment.next_offset <= from || segment.size == 0 {
                continue;
            }
            let renew = base >= trusted;
            let mut aborted = Vec::new();
            let mut scan = HeaderScan::new(segment.file(&*disk)?, 0, segment.size);
            while let Some((position, header)) = scan.next_header()? {
                if !header.has_producer_id() || header.last_offset() < from {
                    continue;
                }
                let bytes = scan.batch(position, &header)?;
                aborted.extend(apply_to_producers(&mut self.producers, &BatchView::parse(&bytes)?)?);
            }
            if renew {
                segment.aborted = aborted;
                if !segment.is_active() && !segment.aborted.is_empty() {
                    let file = disk.open(&segment.path(names::TXN_INDEX), millstream_disk::Open::Truncate)?;
                    file.write_all_at(&txn_index::encode(&segment.aborted), 0)?;
                    self.unflushed.files.push(file);
                }
            }
        }
        Ok(())
    }

    /// Loads the latest good snapshot at or below `end`, and says from which offset on batches are to be replayed.
    fn load_snapshot(&mut self, end: Offset) -> Result<Offset, LogError> {
        let mut offsets: Vec<Offset> = self
            .disk
            .list(&self.dir)?
            .iter()
            .filter_map(|entry| match names::parse_segment_file(&entry.name) {
                Some((offset, names::SNAPSHOT)) if offset <= end => Some(offset),
                _ => None,
            })
            .collect();
        offsets.sort_unstable();
        while let Some(offset) = offsets.pop() {
            let path = names::segment_file(&self.dir, offset, names::SNAPSHOT);
            let bytes = match millstream_disk::disk::read_file(&*self.disk, &path, SNAPSHOT_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(DiskError::Malformed { .. }) => Vec::new(),
                Err(e) => return Err(e.into()),
            };
            if let Some(states) = snapshot::decode(&bytes) {
                self.producers = states;
                return Ok(offset);
            }
            tracing::warn!(path = %path.display(), "dropped a damaged producer snapshot");
            self.disk.remove(&path)?;
        }
        self.producers = ProducerStates::new();
        Ok(self.log_start)
    }
}
