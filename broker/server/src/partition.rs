//! One partition behind its lock: the log that holds it, the replica core that decides for it, and the requests that
//! wait at it. The lock is held for one append, one look-up or one report of a flush; nothing waits under it. Never
//! enters: requests' formats, sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use millstream_batch::control::TxnMarker;
use millstream_disk::{DiskError, DiskFile};
use millstream_log::{
    AppendContext, AppendInfo, AppendOrigin, CheckedBatch, FlushTicket, Log, LogError, LogRead, ReadBound,
};
use millstream_net::RangeSource;
use millstream_replica::{
    Acks, Bounds, FlushMode, LogEnds, PartitionMeta, Progress, Purgatory, ReadAs, ReplicaConfig, RoleChange,
    WaitFor,
};
use millstream_types::{ErrorCode, LeaderEpoch, Millis, NodeId, Offset, TopicPartition, Uuid};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::flusher::{Due, Flusher};
use crate::waiter::Waiter;

struct State {
    log: Log,
    replica: millstream_replica::Partition,
    purgatory: Purgatory,
    waiters: BTreeMap<u64, Arc<Waiter>>,
    flush_mode: FlushMode,
    deleted: bool,
}

/// See the module.
pub struct Partition {
    /// The partition's name.
    pub name: TopicPartition,
    /// Its topic's id.
    pub topic_id: Uuid,
    /// The index of its log directory.
    pub dir: usize,
    flusher: Arc<Flusher>,
    state: Mutex<State>,
    /// Whether it is in the flusher's queue for the next flush, and for a later one.
    pub(crate) queued_now: AtomicBool,
    pub(crate) queued_later: AtomicBool,
}

/// What a produce came to at one partition.
pub struct Produced {
    /// What the log says.
    pub info: AppendInfo,
    /// Where its last record ends.
    pub end_offset: Offset,
}

/// What a fetch found at one partition.
pub struct Fetched {
    /// Where the bytes are.
    pub read: LogRead,
    /// How far the reader may read.
    pub upper_bound: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable_offset: Offset,
    /// Transactions that a read_committed reader has to pass over: producer id and first offset.
    pub aborted: Vec<(i64, Offset)>,
}

fn ends(log: &Log) -> LogEnds {
    LogEnds {
        log_start: log.log_start_offset(),
        log_end: log.log_end_offset(),
        flushed_end: log.flushed_end_offset(),
        first_unstable: log.producers().first_unstable_offset(),
    }
}

impl Partition {
    /// A partition whose log was opened, on the broker `me` with the epoch of its present registration (-1 before it is
    /// known); it leads nothing until [`Partition::apply`].
    pub fn new(
        (me, broker_epoch): (NodeId, i64),
        name: TopicPartition,
        dir: usize,
        mut log: Log,
        config: ReplicaConfig,
        checkpoint: Offset,
        flusher: Arc<Flusher>,
    ) -> Partition {
        // What recovery replayed, the log holds for unstable until it hears of a high watermark; where nothing lies above
        // the checkpoint, it will not hear of another before the next append (TX-4).
        log.on_high_watermark(checkpoint.clamp(log.log_start_offset(), log.log_end_offset()));
        let replica = millstream_replica::Partition::new(me, broker_epoch, config, ends(&log), checkpoint);
        let purgatory = Purgatory::new(replica.bounds());
        let state = State {
            purgatory,
            replica,
            waiters: BTreeMap::new(),
            flush_mode: config.flush_mode,
            deleted: false,
            log,
        };
        let topic_id = state.log.topic_id();
        Partition {
            name,
            topic_id,
            dir,
            flusher,
            state: Mutex::new(state),
            queued_now: AtomicBool::new(false),
            queued_later: AtomicBool::new(false),
        }
    }

    /// Takes up the partition's metadata.
    ///
    /// # Errors
    /// The log's, where the new epoch cannot be written down; the partition then leads nothing.
    pub fn apply(self: &Arc<Self>, now: Millis, meta: &PartitionMeta) -> Result<RoleChange, LogError> {
        let mut state = self.state.lock();
        let (change, progress) = state.replica.apply(now, meta);
        let mut wake = Vec::new();
        if change != RoleChange::Unchanged {
            for token in state.purgatory.drain() {
                wake.extend(state.waiters.remove(&token).and_then(|w| w.disturb()));
            }
        }
        if let RoleChange::BecameLeader { epoch, .. } = change
            && let Err(error) = state.log.begin_epoch(epoch)
        {
            state.replica.stop();
            return Err(error);
        }
        wake.extend(state.moved(now, &progress));
        // What recovery kept is not known to be durable, and counts only once it is.
        let dirty = state.log.needs_flush();
        drop(state);
        if dirty {
            self.flusher.dirty(self, Due::Now);
        }
        wake.into_iter().for_each(Waker::wake);
        Ok(change)
    }

    /// This broker has registered, with this epoch.
    pub fn registered(&self, broker_epoch: i64) {
        self.state.lock().replica.registered(broker_epoch);
    }

    /// Takes up the topic's settings.
    pub fn configure(&self, config: ReplicaConfig, log: Arc<millstream_log::LogConfig>) {
        let mut state = self.state.lock();
        state.flush_mode = config.flush_mode;
        state.replica.configure(config);
        state.log.set_config(log);
    }

    /// Appends a client's or coordinator's batch; `(wall, now)` are the wall and the monotonic clock.
    ///
    /// # Errors
    /// The replica's (not the leader, not enough replicas) or the log's.
    pub fn append(
        self: &Arc<Self>,
        (wall, now): (Millis, Millis),
        batch: CheckedBatch<'_>,
        acks: Acks,
        origin: AppendOrigin,
    ) -> Result<Produced, AppendError> {
        let mut state = self.state.lock();
        state.check_alive()?;
        let leader_epoch = state.replica.check_append(acks).map_err(AppendError::Refused)?;
        let info = state.log.append_as_leader(batch, &AppendContext { leader_epoch, origin, now: wall })?;
        Ok(self.appended(state, now, info))
    }

    /// Appends a transaction's marker.
    ///
    /// # Errors
    /// As [`Partition::append`].
    pub fn append_marker(
        self: &Arc<Self>,
        (wall, now): (Millis, Millis),
        marker: TxnMarker,
        transaction_version: i16,
    ) -> Result<Produced, AppendError> {
        let mut state = self.state.lock();
        state.check_alive()?;
        let leader_epoch = state.replica.check_append(Acks::All).map_err(AppendError::Refused)?;
        let cx = AppendContext { leader_epoch, origin: AppendOrigin::Coordinator, now: wall };
        let info = state.log.append_marker(marker, transaction_version, &cx)?;
        Ok(self.appended(state, now, info))
    }

    fn appended(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        now: Millis,
        info: AppendInfo,
    ) -> Produced {
        if info.duplicate {
            // The old batch may still wait for its flush; whoever repeats it waits with it.
            return Produced { info, end_offset: (info.last_offset + 1).min(state.log.log_end_offset()) };
        }
        let log_end = state.log.log_end_offset();
        let first_unstable = state.log.producers().first_unstable_offset();
        state.purgatory.appended(log_end, info.bytes as u64);
        let progress = state.replica.appended(now, log_end, first_unstable);
        let wake = state.moved(now, &progress);
        let due = state.flush_due();
        drop(state);
        if let Some(due) = due {
            self.flusher.dirty(self, due);
        }
        wake.into_iter().for_each(Waker::wake);
        Produced { info, end_offset: log_end }
    }

    /// Lets a produce wait for its acknowledgement; returns whether it has to.
    pub fn wait_for_ack(&self, waiter: &Arc<Waiter>, acks: Acks, end_offset: Offset) -> bool {
        let mut state = self.state.lock();
        let Some(wait) = state.replica.wait_for(acks, end_offset) else { return false };
        state.wait(waiter, wait)
    }

    /// Lets whoever holds the waiter hear of the high watermark reaching `offset`; returns whether it has to wait.
    pub fn wait_for_commit(&self, waiter: &Arc<Waiter>, offset: Offset) -> bool {
        let wait = WaitFor::Offset { bound: millstream_replica::purgatory::Bound::HighWatermark, offset };
        self.state.lock().wait(waiter, wait)
    }

    /// Lets a fetch wait for more bytes.
    pub fn wait_for_bytes(&self, waiter: &Arc<Waiter>, as_: ReadAs) {
        use millstream_replica::purgatory::Bound;
        let bound = match as_ {
            ReadAs::Uncommitted => Bound::HighWatermark,
            ReadAs::Committed => Bound::LastStableOffset,
            ReadAs::Replica => Bound::LogEnd,
        };
        self.state.lock().wait(waiter, WaitFor::Bytes { bound, bytes: 1 });
    }

    /// Takes a waiter out.
    pub fn cancel(&self, token: u64) {
        let mut state = self.state.lock();
        state.purgatory.cancel(token);
        state.waiters.remove(&token);
    }

    /// The answer to a produce that has waited, or did not have to.
    pub fn acknowledge(&self, acks: Acks, end_offset: Offset) -> ErrorCode {
        let state = self.state.lock();
        if state.deleted {
            return ErrorCode::UnknownTopicOrPartition;
        }
        if let Err(error) = state.replica.check_leader(None) {
            return error;
        }
        if state.log.is_failed() {
            return ErrorCode::KafkaStorageError;
        }
        let waits = state.replica.wait_for(acks, end_offset).is_some_and(|wait| match wait {
            WaitFor::Offset { bound, offset } => state.replica.bounds().get(bound) < offset,
            WaitFor::Bytes { .. } => false,
        });
        if waits {
            return ErrorCode::RequestTimedOut;
        }
        match acks {
            Acks::All => state.replica.acknowledge(end_offset).err().unwrap_or(ErrorCode::None),
            Acks::None | Acks::Leader => ErrorCode::None,
        }
    }

    /// Finds what a reader may have from `offset` on.
    ///
    /// # Errors
    /// The replica's (not the leader, fenced, not serving yet) or the log's (out of range, storage).
    pub fn read(
        &self,
        offset: Offset,
        bytes_max: usize,
        min_one_batch: bool,
        as_: ReadAs,
        claimed: Option<LeaderEpoch>,
    ) -> Result<Fetched, ErrorCode> {
        let state = self.state.lock();
        if state.deleted {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let upper_bound = state.replica.readable_end(as_, claimed)?;
        let Bounds { high_watermark, last_stable_offset, .. } = state.replica.bounds();
        // What is appended and not committed yet is there, only not to be read: no error, an empty answer.
        let bound = ReadBound { bytes_max, upper_bound, min_one_batch };
        let read = state.log.read(offset, &bound).map_err(|e| e.error_code())?;
        let aborted = match (as_, &read.slice) {
            (ReadAs::Committed, Some(_)) => {
                let found = state.log.aborted_transactions(offset, upper_bound);
                found.into_iter().map(|t| (t.producer_id, t.first_offset)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Fetched { read, upper_bound, high_watermark, last_stable_offset, aborted })
    }

    /// Looks at the log and where the replica stands, under the lock; for quick questions.
    pub fn look<R>(&self, f: impl FnOnce(&Log, &millstream_replica::Partition) -> R) -> R {
        let state = self.state.lock();
        f(&state.log, &state.replica)
    }

    /// Changes the log under the lock, for housekeeping; what moved is told to who waits.
    pub fn change<R>(self: &Arc<Self>, now: Millis, f: impl FnOnce(&mut Log, Bounds) -> R) -> R {
        let mut state = self.state.lock();
        let bounds = state.replica.bounds();
        let result = f(&mut state.log, bounds);
        let start = state.log.log_start_offset();
        let progress = state.replica.log_start_rose(now, start);
        let wake = state.moved(now, &progress);
        let dirty = state.log.needs_flush();
        drop(state);
        if dirty {
            self.flusher.dirty(self, Due::Now);
        }
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// The topic was deleted: who waits looks again, nothing is appended or read any more, and `remove` takes the log
    /// away.
    pub fn take_down<R>(&self, remove: impl FnOnce(&mut Log) -> R) -> R {
        let mut state = self.state.lock();
        state.deleted = true;
        state.replica.stop();
        let mut wake = Vec::new();
        for token in state.purgatory.drain() {
            wake.extend(state.waiters.remove(&token).and_then(|w| w.disturb()));
        }
        let result = remove(&mut state.log);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// The log under the lock, for checkpoints and the stop.
    pub fn lock_log(&self) -> MappedMutexGuard<'_, Log> {
        MutexGuard::map(self.state.lock(), |state| &mut state.log)
    }

    /// For the flusher: what is to be flushed.
    pub(crate) fn begin_flush(&self) -> Result<Option<FlushTicket>, LogError> {
        self.queued_now.store(false, Ordering::Release);
        self.queued_later.store(false, Ordering::Release);
        self.state.lock().log.begin_flush()
    }

    /// For the flusher: what became of it; returns whom to wake.
    pub(crate) fn complete_flush(
        &self,
        now: Millis,
        ticket: FlushTicket,
        result: &Result<(), DiskError>,
    ) -> Vec<Waker> {
        let mut state = self.state.lock();
        state.log.complete_flush(ticket, result);
        let flushed = state.log.flushed_end_offset();
        let progress = state.replica.flushed(now, flushed);
        let mut wake = state.moved(now, &progress);
        if result.is_err() {
            // Nothing of it will ever be acknowledged: whoever waits is told, and finds the log offline.
            for token in state.purgatory.drain() {
                wake.extend(state.waiters.remove(&token).and_then(|w| w.disturb()));
            }
        }
        wake
    }
}

impl State {
    fn check_alive(&self) -> Result<(), AppendError> {
        if self.deleted { Err(AppendError::Refused(ErrorCode::UnknownTopicOrPartition)) } else { Ok(()) }
    }

    /// When what was appended is to be flushed; nothing where only a sealed segment or a clean stop flushes it.
    fn flush_due(&self) -> Option<Due> {
        let config = self.log.config();
        let unflushed = self.log.log_end_offset() - self.log.flushed_end_offset();
        if self.flush_mode == FlushMode::BeforeAck
            || self.log.has_sealed_unflushed()
            || unflushed >= config.flush_messages
        {
            return Some(Due::Now);
        }
        // Kafka's default is Long.MAX_VALUE: the kernel writes when it sees fit.
        let time = u64::try_from(config.flush_ms).ok().filter(|ms| *ms < i64::MAX as u64)?;
        Some(Due::Within(Duration::from_millis(time)))
    }

    fn wait(&mut self, waiter: &Arc<Waiter>, wait: WaitFor) -> bool {
        // A request that names a partition twice waits here once.
        if self.deleted || self.waiters.contains_key(&waiter.token) {
            return false;
        }
        if self.purgatory.wait(waiter.token, wait).is_some() {
            return false;
        }
        waiter.opened();
        self.waiters.insert(waiter.token, Arc::clone(waiter));
        true
    }

    /// Passes on what moved, until nothing does; returns whom to wake.
    fn moved(&mut self, now: Millis, progress: &Progress) -> Vec<Waker> {
        let mut wake = Vec::new();
        let mut bounds = progress.bounds;
        if progress.high_watermark_rose {
            self.log.on_high_watermark(bounds.high_watermark);
            let first = self.log.producers().first_unstable_offset();
            bounds = self.replica.first_unstable(now, first).bounds;
        }
        for satisfied in self.purgatory.advance(bounds) {
            if let Some(waiter) = self.waiters.remove(&satisfied.token) {
                wake.extend(waiter.satisfied(satisfied.bytes_gained));
            }
        }
        wake
    }
}

/// Why an append did not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The replica refuses.
    #[error("the partition refuses: {0}")]
    Refused(ErrorCode),
    /// The log does.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AppendError {
    /// What a client is answered.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            AppendError::Refused(code) => *code,
            AppendError::Log(error) => error.error_code(),
        }
    }
}

/// A log's file as the network sends it.
pub struct SegmentFile(pub Arc<dyn DiskFile>);

impl RangeSource for SegmentFile {
    fn raw_fd(&self) -> Option<std::os::fd::RawFd> {
        self.0.fd().map(|fd| std::os::fd::AsRawFd::as_raw_fd(&fd))
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> std::io::Result<usize> {
        self.0.read_at(buffer, position).map_err(std::io::Error::other)
    }
}
