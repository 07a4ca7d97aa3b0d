//! One partition's log: a list of segments, the leader epochs and the producers. A [`Log`] has one owner, who holds it
//! behind a lock for one append or lookup at a time; nothing here waits for a flush, which is collected under the lock
//! ([`Log::begin_flush`]), run outside of it together with other logs' ([`crate::flush`]), and reported back.
//!
//! Invariants: LG-1 offsets rise · LG-2 only batches whose checksum was checked are appended · LG-3 a flushed batch is
//! found again (`log/recovery.rs`) · LG-4 no file is unlinked before what replaces it is durable.
//! Never enters: the high watermark's rules (`millstream-replica`; bounds come in as arguments), requests, threads.

mod append;
mod compact;
mod files;
mod flush;
mod offsets;
mod read;
mod recovery;
mod retention;
mod truncate;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_disk::{Disk, SyncGroup};
use millstream_types::{LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId, TopicPartition, Uuid};

pub use append::{AppendContext, AppendInfo, CheckedBatch};
pub use flush::FlushTicket;
pub use offsets::TimestampOffset;
pub use read::{FileSlice, LogRead, ReadBound};
pub use retention::Retained;

use crate::config::LogConfig;
use crate::epoch_file::EpochCache;
use crate::error::LogError;
use crate::producer_state::ProducerStates;
use crate::segment::{Located, Segment};

/// Batches at the end of the log whose place is remembered, so that readers and bounds near the end touch no file.
const TAIL_BATCHES: usize = 128;

/// What a log is opened with.
#[derive(Clone, Debug)]
pub struct LogParams {
    /// The disk that the directory is on, guarded by the directory's health.
    pub disk: Arc<dyn Disk>,
    /// The log directory (an entry of `log.dirs`), which is there.
    pub parent: PathBuf,
    /// The partition, which names the directory.
    pub partition: TopicPartition,
    /// The topic's id; zero where it is not known, then `partition.metadata` gives it.
    pub topic_id: Uuid,
    /// The topic's configuration.
    pub config: Arc<LogConfig>,
    /// What the checkpoint says was flushed.
    pub recovery_point: Offset,
    /// What the checkpoint says is the first offset.
    pub log_start: Offset,
    /// Whether the directory was closed cleanly.
    pub clean: bool,
    /// Wall time.
    pub now: Millis,
}

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    parent: PathBuf,
    dir: PathBuf,
    partition: TopicPartition,
    topic_id: Uuid,
    config: Arc<LogConfig>,
    /// By base offset, never empty; the last one is active. Its file is there only once `created`.
    segments: BTreeMap<Offset, Segment>,
    created: bool,
    log_start: Offset,
    log_end: Offset,
    flushed_end: Offset,
    /// What the directory's checkpoint says was flushed: what a crash is recovered from.
    checkpointed: Offset,
    epochs: EpochCache,
    /// Whether `leader-epoch-checkpoint` lacks something.
    epochs_dirty: bool,
    producers: ProducerStates,
    /// The last batches of the active segment.
    tail: VecDeque<Located>,
    /// Files and entries beside the active segment's that no flush has covered.
    unflushed: SyncGroup,
    /// Flushes under way, with what they cover.
    in_flight: Vec<(u64, SyncGroup)>,
    next_ticket: u64,
    /// The newest segment whose directory entry a flush has made durable, and those before it with it.
    named_to: Option<Offset>,
    /// Raised by every truncation, so that a flush that began before it proves nothing.
    generation: u64,
    /// The end of the last compaction: what lies before it is clean.
    cleaned_to: Offset,
    /// A file that must be cut to this length before the next append: an append failed and so did cutting it.
    torn: Option<u64>,
    failed: Option<String>,
    closed: bool,
    /// Whether the files of a clean stop are written, and nothing was appended since.
    prepared: bool,
    /// Paths that wait for `file.delete.delay.ms`, with the time from which they may go.
    doomed: Vec<(Millis, Vec<PathBuf>)>,
}

impl Log {
    /// Opens a partition's log, recovering it if the directory was not closed cleanly. A partition that has no
    /// directory yet has an empty log, and gets its directory at its first append.
    ///
    /// # Errors
    /// What the disk refuses. Damage is no error: what follows the last good batch is cut off (LG-3).
    pub fn open(params: LogParams) -> Result<Log, LogError> {
        let dir = params.parent.join(crate::names::partition_dir(&params.partition));
        recovery::recover(
            Log {
                segments: BTreeMap::new(),
                created: false,
                log_start: params.log_start.max(0),
                log_end: params.log_start.max(0),
                flushed_end: 0,
                checkpointed: params.recovery_point,
                epochs: EpochCache::new(),
                epochs_dirty: false,
                producers: ProducerStates::new(),
                tail: VecDeque::new(),
                unflushed: SyncGroup::default(),
                in_flight: Vec::new(),
                next_ticket: 0,
                named_to: None,
                generation: 0,
                cleaned_to: 0,
                torn: None,
                failed: None,
                closed: false,
                prepared: false,
                doomed: Vec::new(),
                disk: params.disk,
                parent: params.parent,
                dir,
                partition: params.partition,
                topic_id: params.topic_id,
                config: params.config,
            },
            params.clean,
            params.now,
        )
    }

    /// Whether a flush failed: nothing is appended, read or acknowledged any more.
    pub fn is_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// The partition.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// The topic's id.
    pub fn topic_id(&self) -> Uuid {
        self.topic_id
    }

    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The topic's configuration.
    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// Sets another configuration; it holds from the next append on.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// The first offset that is served.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.log_end
    }

    /// Everything before this offset is durable.
    pub fn flushed_end_offset(&self) -> Offset {
        self.flushed_end
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.values().map(|s| s.size).sum()
    }

    /// How many segments there are, the active one included.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The base offset of the active segment.
    pub fn active_base_offset(&self) -> Offset {
        self.active().base
    }

    /// The latest leader epoch that the log has a batch of.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The leader epochs.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// The largest epoch at or below `epoch`, and where it ends (OffsetForLeaderEpoch, KIP-101, KIP-279).
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset_for(epoch, self.log_end)
    }

    /// The producers.
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// Whether the producer has a transaction open here (KIP-890's verification asks).
    pub fn has_ongoing_txn(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers.has_ongoing_txn(producer_id, epoch)
    }

    /// The last stable offset under this high watermark (TX-4).
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        self.producers.first_unstable_offset().map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Tells the log that the high watermark has risen: ended transactions below it become stable.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.producers.on_high_watermark(high_watermark);
    }

    /// Forgets producers that have not written for `expiration_ms` (`producer.id.expiration.ms`).
    pub fn expire_producers(&mut self, now: Millis, expiration_ms: i64) {
        self.producers.expire(now.saturating_sub(expiration_ms));
    }

    /// Up to where compaction has got (`cleaner-offset-checkpoint`).
    pub fn cleaned_to(&self) -> Offset {
        self.cleaned_to
    }

    /// Sets up to where an earlier process had compacted.
    pub fn set_cleaned_to(&mut self, offset: Offset) {
        self.cleaned_to = offset.clamp(0, self.log_end);
    }

    /// Closes the log without writing anything: its directory is going.
    pub fn abandon(&mut self) {
        self.closed = true;
    }

    fn active(&self) -> &Segment {
        self.segments.last_key_value().expect("a log has an active segment").1
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments.last_entry().expect("a log has an active segment").into_mut()
    }

    /// Whether the log may be used.
    fn check_usable(&self) -> Result<(), LogError> {
        if self.closed {
            return Err(LogError::Closed(self.dir.display().to_string()));
        }
        match &self.failed {
            None => Ok(()),
            Some(cause) => {
                Err(LogError::FlushFailed { dir: self.dir.display().to_string(), cause: cause.clone() })
            }
        }
    }

    fn corrupt(&self, what: impl Into<String>) -> LogError {
        LogError::Corrupt { dir: self.dir.display().to_string(), what: what.into() }
    }
}
