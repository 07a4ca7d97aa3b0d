//! Appending: by the leader, who gives offsets, and by a follower, who takes them. The bytes are written inline, by one
//! pwritev; what is known of the log changes only after the write has succeeded, so that a full disk leaves no part of
//! a batch visible. Never enters: waiting for replicas or flushes.

use std::sync::Arc;

use millstream_batch::control::{ControlRecord, TxnMarker, TxnOutcome, end_txn_batch};
use millstream_batch::{
    BatchError, BatchHeader, BatchSummary, BatchView, Decompressor, Limits, TimestampType, batches, header,
    validate_with,
};
use millstream_types::{LeaderEpoch, Millis, Offset};

use super::{Located, Log, TAIL_BATCHES};
use crate::error::LogError;
use crate::producer_state::{AppendOrigin, Checked};
use crate::segment::Segment;

/// The largest control record that is opened, in bytes.
const CONTROL_BYTES_MAX: usize = 1 << 20;

/// One batch whose checksum and records were checked, so that the lock need not be held for it (LG-2).
#[derive(Debug)]
pub struct CheckedBatch<'a> {
    bytes: &'a mut [u8],
    summary: BatchSummary,
}

impl<'a> CheckedBatch<'a> {
    /// Checks that `bytes` are exactly one batch that `limits` take.
    ///
    /// # Errors
    /// The first fault found; see `millstream_batch::validate_with`.
    pub fn check(
        bytes: &'a mut [u8],
        limits: &Limits,
        scratch: &mut Decompressor,
    ) -> Result<CheckedBatch<'a>, BatchError> {
        let summary = validate_with(bytes, limits, scratch)?;
        Ok(CheckedBatch { bytes, summary })
    }

    /// What the check found.
    pub fn summary(&self) -> &BatchSummary {
        &self.summary
    }
}

/// Under what an append happens.
#[derive(Clone, Copy, Debug)]
pub struct AppendContext {
    /// The leader epoch that is stamped on the batch.
    pub leader_epoch: LeaderEpoch,
    /// Where the batch comes from.
    pub origin: AppendOrigin,
    /// Wall time.
    pub now: Millis,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    /// The first record's offset.
    pub first_offset: Offset,
    /// The last record's offset.
    pub last_offset: Offset,
    /// The largest timestamp.
    pub max_timestamp: Millis,
    /// The time that the broker set (`LogAppendTime`), or -1.
    pub append_time: Millis,
    /// The log's first offset.
    pub log_start_offset: Offset,
    /// Whether the batch was appended before: these are its old offsets, and nothing was written.
    pub duplicate: bool,
    /// Bytes written.
    pub bytes: usize,
}

impl Log {
    /// Appends one batch as the partition's leader: offsets, epoch and, where the topic says so, the append time are
    /// patched into `batch`, which then holds what was written.
    ///
    /// # Errors
    /// A producer that is fenced or out of order, a batch larger than a segment, or a disk that refuses; the log is as
    /// it was.
    pub fn append_as_leader(
        &mut self,
        batch: CheckedBatch<'_>,
        cx: &AppendContext,
    ) -> Result<AppendInfo, LogError> {
        self.check_usable()?;
        let CheckedBatch { bytes, summary } = batch;
        self.check_epoch(cx.leader_epoch)?;
        let before = BatchHeader::parse(bytes)?;
        if before.has_producer_id()
            && !summary.control
            && let Checked::Duplicate(entry) = self.producers.check(&before, cx.origin)?
        {
            return Ok(AppendInfo {
                first_offset: entry.first_offset(),
                last_offset: entry.last_offset,
                max_timestamp: entry.timestamp,
                append_time: -1,
                log_start_offset: self.log_start,
                duplicate: true,
                bytes: 0,
            });
        }
        let by_append_time = self.config.timestamp_type == TimestampType::LogAppendTime;
        header::set_base_offset(bytes, self.log_end);
        header::set_partition_leader_epoch(bytes, cx.leader_epoch);
        if by_append_time {
            header::set_log_append_time(bytes, cx.now);
        } else if summary.max_timestamp_differs {
            header::set_max_timestamp(bytes, TimestampType::CreateTime, summary.max_timestamp);
        }
        let view = BatchView::parse(bytes)?;
        self.write(&[view], cx.now)?;
        Ok(AppendInfo {
            first_offset: view.header().base_offset,
            last_offset: view.header().last_offset(),
            max_timestamp: view.header().max_timestamp,
            append_time: if by_append_time { cx.now } else { -1 },
            log_start_offset: self.log_start,
            duplicate: false,
            bytes: bytes.len(),
        })
    }

    /// Appends a transaction marker as the leader. A marker that ended its transaction before is answered as a
    /// duplicate, with the log's end.
    ///
    /// # Errors
    /// A producer epoch or coordinator that is fenced, or a disk that refuses; the log is as it was.
    pub fn append_marker(
        &mut self,
        marker: TxnMarker,
        transaction_version: i16,
        cx: &AppendContext,
    ) -> Result<AppendInfo, LogError> {
        self.check_usable()?;
        self.check_epoch(cx.leader_epoch)?;
        let mut info = AppendInfo {
            first_offset: self.log_end,
            last_offset: self.log_end,
            max_timestamp: cx.now,
            append_time: -1,
            log_start_offset: self.log_start,
            duplicate: true,
            bytes: 0,
        };
        if self.producers.check_marker(marker, transaction_version)? == Checked::MarkerRepeated {
            return Ok(info);
        }
        let mut bytes = end_txn_batch(marker, cx.now, cx.leader_epoch)?.to_vec();
        header::set_base_offset(&mut bytes, self.log_end);
        self.write(&[BatchView::parse(&bytes)?], cx.now)?;
        (info.duplicate, info.bytes) = (false, bytes.len());
        Ok(info)
    }

    /// Appends batches as they come from the leader, offsets and epochs as they are (a follower, or a log whose leader
    /// gives offsets itself). Bytes that end in the middle of a batch are taken up to there. `None` where there is no
    /// whole batch.
    ///
    /// # Errors
    /// A checksum that is wrong, offsets that do not rise: the log is as it was. A disk that refuses: batches before the
    /// one that it refused may have been appended.
    pub fn append_as_follower(&mut self, bytes: &[u8], now: Millis) -> Result<Option<AppendInfo>, LogError> {
        self.check_usable()?;
        let mut views = Vec::new();
        let mut least = self.log_end;
        for view in batches(bytes) {
            let view = match view {
                Err(BatchError::Torn { .. }) => break,
                view => view?,
            };
            view.check_crc()?;
            let offset = view.header().base_offset;
            if offset < least || view.header().last_offset_delta < 0 {
                return Err(LogError::OffsetsNotRising { offset, log_end: least });
            }
            least = next_offset(view.header())?;
            views.push(view);
        }
        let (Some(first), Some(last)) = (views.first(), views.last()) else { return Ok(None) };
        let info = AppendInfo {
            first_offset: first.header().base_offset,
            last_offset: last.header().last_offset(),
            max_timestamp: views.iter().map(|v| v.header().max_timestamp).max().unwrap_or(-1),
            append_time: -1,
            log_start_offset: self.log_start,
            duplicate: false,
            bytes: views.iter().map(|v| v.bytes().len()).sum(),
        };
        // A segment takes whole batches up to its size; a reply may hold more than one segment's worth.
        let mut rest = &views[..];
        while !rest.is_empty() {
            let room = self.config.segment_bytes_max();
            let mut taken = 0u64;
            let fits = rest.iter().take_while(|v| {
                taken += v.bytes().len() as u64;
                taken <= room
            });
            let (some, after) = rest.split_at(fits.count().max(1));
            self.write(some, now)?;
            rest = after;
        }
        Ok(Some(info))
    }

    /// Notes that a leader epoch begins at the log's end, before its first batch (a new leader does so, KIP-101). It is
    /// written with the next append.
    ///
    /// # Errors
    /// An epoch older than the log's latest.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.check_usable()?;
        self.check_epoch(epoch)?;
        self.epochs_dirty |= self.epochs.assign(epoch, self.log_end);
        Ok(())
    }

    fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), LogError> {
        match self.epochs.latest() {
            Some(latest) if epoch < latest => Err(LogError::EpochFell { epoch, latest }),
            _ => Ok(()),
        }
    }

    /// Writes batches whose offsets are set, into one segment, and takes them in.
    fn write(&mut self, views: &[BatchView<'_>], now: Millis) -> Result<(), LogError> {
        let (Some(first), Some(last)) = (views.first(), views.last()) else { return Ok(()) };
        // LG-1: whoever called has set or checked the offsets.
        assert!(first.header().base_offset >= self.log_end, "LG-1: an append below the log's end");
        let last_offset = last.header().last_offset();
        next_offset(last.header())?;
        let bytes: u64 = views.iter().map(|v| v.bytes().len() as u64).sum();
        let size_max = self.config.segment_bytes_max();
        if views.len() == 1 && bytes > size_max {
            return Err(LogError::LargerThanSegment { size: first.bytes().len(), max: size_max });
        }
        self.prepared = false;
        self.ensure_created(now)?;
        self.cut_torn()?;
        let timestamp = views.iter().map(|v| v.header().max_timestamp).max().unwrap_or(-1);
        if self.active().is_full_for(bytes, last_offset, timestamp, now, &self.config) {
            self.roll(first.header().base_offset, last_offset, now)?;
        }
        let mut expected = self.log_end;
        let gaps = views.iter().any(|v| {
            let gap = v.header().base_offset != expected;
            expected = v.header().next_offset();
            gap
        });
        if gaps && !self.active().gaps {
            self.note_gaps()?;
        }
        for view in views {
            let (epoch, offset) = (view.header().partition_leader_epoch, view.header().base_offset);
            self.epochs_dirty |= self.epochs.assign(epoch, offset);
        }
        if self.epochs_dirty {
            self.write_epochs()?;
        }
        let disk = self.disk.clone();
        let active = self.active_mut();
        let position = active.size;
        let slices: Vec<std::io::IoSlice<'_>> =
            views.iter().map(|v| std::io::IoSlice::new(v.bytes())).collect();
        let file = active.file(&*disk)?;
        if let Err(error) = file.write_at(&slices, position) {
            // Some of it may be there, and must not be taken for batches after a crash.
            self.torn = Some(position);
            let _ = self.cut_torn();
            return Err(error.into());
        }
        self.take_in(views, position, now)
    }

    fn take_in(&mut self, views: &[BatchView<'_>], mut position: u64, now: Millis) -> Result<(), LogError> {
        let interval = u64::try_from(self.config.index_interval_bytes).unwrap_or(0);
        self.active_mut().dirty = true;
        for view in views {
            let header = view.header();
            self.active_mut().note_batch(header, position, interval, now);
            let size = view.bytes().len() as u64;
            if self.tail.len() == TAIL_BATCHES {
                self.tail.pop_front();
            }
            let (base_offset, last_offset) = (header.base_offset, header.last_offset());
            self.tail.push_back(Located { position, size, base_offset, last_offset });
            position += size;
            self.log_end = header.next_offset();
            if let Some(aborted) = apply_to_producers(&mut self.producers, view)? {
                self.active_mut().aborted.push(aborted);
            }
        }
        Ok(())
    }

    /// Notes in the active segment's sidecar that its offsets have gaps, so that recovery does not take them for damage:
    /// a base offset lies outside of the checksum. Durable with the flush that makes the batches durable.
    fn note_gaps(&mut self) -> Result<(), LogError> {
        let disk = self.disk.clone();
        let active = self.active_mut();
        active.gaps = true;
        let files = active.write_indexes(&*disk)?;
        self.unflushed.files.extend(files);
        self.unflushed.dirs.push(self.dir.clone());
        Ok(())
    }

    /// Cuts off what a failed append left.
    pub(super) fn cut_torn(&mut self) -> Result<(), LogError> {
        if let Some(length) = self.torn {
            let file = self.active().file(&*self.disk)?;
            file.set_len(length)?;
            self.torn = None;
        }
        Ok(())
    }

    /// Seals the active segment and begins another at the log's end: the new base is where the old one ends, so that
    /// recovery can tell a lost tail from a gap that a leader's compaction left.
    pub(super) fn roll(
        &mut self,
        first_offset: Offset,
        last_offset: Offset,
        now: Millis,
    ) -> Result<(), LogError> {
        let fits = last_offset - self.log_end <= i64::from(i32::MAX);
        let base = if fits { self.log_end } else { first_offset };
        if base == self.active().base {
            return Ok(());
        }
        let disk = self.disk.clone();
        let mut files = self.active_mut().write_indexes(&*disk)?;
        files.push(self.active().file(&*disk)?);
        self.write_snapshot(base)?;
        if self.named_to < Some(self.active().base) {
            // A crash must not take a segment's name and leave the next one's: the log would begin in its middle.
            disk.sync_dir(&self.parent)?;
            disk.sync_dir(&self.dir)?;
            self.named_to = Some(self.active().base);
        }
        let mut segment = Segment::create(&*disk, &self.dir, base, now)?;
        segment.dirty = true;
        self.unflushed.files.extend(files);
        self.unflushed.dirs.push(self.dir.clone());
        let old = self.active_mut();
        old.dirty = false;
        old.seal();
        self.segments.insert(base, segment);
        self.tail.clear();
        Ok(())
    }

    /// Seals the active segment now, where it holds anything, so that it can be compacted or deleted.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn roll_now(&mut self, now: Millis) -> Result<(), LogError> {
        self.check_usable()?;
        if self.active().size == 0 {
            return Ok(());
        }
        self.cut_torn()?;
        self.roll(self.log_end, self.log_end, now)
    }

    /// The configuration, for `LogConfig::limits`, without the lock: callers check batches before they take it.
    pub fn config_handle(&self) -> Arc<crate::config::LogConfig> {
        self.config.clone()
    }
}

fn next_offset(header: &BatchHeader) -> Result<Offset, LogError> {
    match header.base_offset.checked_add(i64::from(header.last_offset_delta)).and_then(|o| o.checked_add(1)) {
        Some(next) => Ok(next),
        None => Err(LogError::NoOffsetsLeft(header.base_offset)),
    }
}

/// Takes a batch into the producers' state; the entry of the transaction index that it makes, if any. The same for an
/// append and for recovery.
pub(crate) fn apply_to_producers(
    producers: &mut crate::producer_state::ProducerStates,
    view: &BatchView<'_>,
) -> Result<Option<crate::txn_index::AbortedTxn>, LogError> {
    let header = view.header();
    if !header.has_producer_id() {
        return Ok(None);
    }
    if !header.attributes.is_control() {
        producers.apply(header);
        return Ok(None);
    }
    let mut scratch = Decompressor::new(CONTROL_BYTES_MAX);
    let Some(record) = view.records(&mut scratch)?.next() else { return Ok(None) };
    let (outcome, marker) = match ControlRecord::parse(&record?)? {
        ControlRecord::Abort(marker) => (TxnOutcome::Abort, marker),
        ControlRecord::Commit(marker) => (TxnOutcome::Commit, marker),
        _ => return Ok(None),
    };
    let marker = TxnMarker {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        outcome,
        coordinator_epoch: marker.coordinator_epoch,
    };
    let completed = producers.apply_marker(marker, header.last_offset(), header.max_timestamp);
    Ok(completed.and_then(|(completed, stable)| completed.aborted(stable)))
}
