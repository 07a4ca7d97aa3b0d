//! One partition: its log, the replica core that decides for it, and what waits at it, in the order of steps of the
//! server's `partition.rs`. Never enters: who is told (`node.rs`), what a record means.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_batch::control::TxnMarker;
use millstream_disk::DiskError;
use millstream_log::{
    AppendContext, AppendInfo, AppendOrigin, CheckedBatch, FlushTicket, Log, LogConfig, LogError, LogRead,
    ReadBound,
};
use millstream_replica::purgatory::Bound;
use millstream_replica::{
    Acks, Bounds, FlushMode, LogEnds, PartitionMeta, Progress, Purgatory, ReadAs, ReplicaConfig, RoleChange,
    WaitFor,
};
use millstream_types::{ErrorCode, Millis, NodeId, Offset, TopicPartition, Uuid};

use crate::plant::Bug;

/// A partition by its topic's id.
pub type Place = (Uuid, i32);

/// What a step of a partition has the node do afterwards.
#[derive(Debug)]
pub struct Effects<W> {
    /// Whom to tell that what it waited for has come, or that it has to look again.
    pub wake: Vec<W>,
    /// Partitions to flush.
    pub dirty: Vec<(Place, FlushMode)>,
    next_token: u64,
}

impl<W> Default for Effects<W> {
    fn default() -> Effects<W> {
        Effects { wake: Vec::new(), dirty: Vec::new(), next_token: 0 }
    }
}

/// See the module; `W` is who waits.
#[derive(Debug)]
pub struct Partition<W> {
    /// Its name.
    pub name: TopicPartition,
    /// Its topic's id and number.
    pub place: Place,
    /// The index of its log directory.
    pub dir: usize,
    /// Its log.
    pub log: Log,
    /// What decides for it.
    pub replica: millstream_replica::Partition,
    purgatory: Purgatory,
    waiters: BTreeMap<u64, W>,
    flush_mode: FlushMode,
    plant: Option<Bug>,
}

/// What an append came to.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    /// What the log says.
    pub info: AppendInfo,
    /// Where its last record ends.
    pub end_offset: Offset,
}

/// What a fetch found.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where the bytes are.
    pub read: LogRead,
    /// How far the reader may read.
    pub upper_bound: Offset,
    /// Transactions that a read_committed reader passes over: producer id, first offset.
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

impl<W> Partition<W> {
    /// A partition whose log was opened; it leads nothing until it is applied.
    pub fn new(
        (me, broker_epoch): (NodeId, i64),
        place: Place,
        dir: usize,
        mut log: Log,
        config: ReplicaConfig,
        checkpoint: Offset,
        plant: Option<Bug>,
    ) -> Partition<W> {
        // Recovery cannot know which ended transactions are below the high watermark, and it need not rise again.
        if plant != Some(Bug::EndedTransactionsForgotten) {
            log.on_high_watermark(checkpoint);
        }
        let replica = millstream_replica::Partition::new(me, broker_epoch, config, ends(&log), checkpoint);
        let purgatory = Purgatory::new(replica.bounds());
        let (name, flush_mode) = (log.partition().clone(), config.flush_mode);
        Partition { name, place, dir, log, replica, purgatory, waiters: BTreeMap::new(), flush_mode, plant }
    }

    /// Takes up the partition's metadata.
    pub fn apply(
        &mut self,
        now: Millis,
        meta: &PartitionMeta,
        fx: &mut Effects<W>,
    ) -> Result<RoleChange, LogError> {
        let (change, progress) = self.replica.apply(now, meta);
        if change != RoleChange::Unchanged {
            self.disturb(fx);
        }
        if let RoleChange::BecameLeader { epoch, .. } = change
            && let Err(error) = self.log.begin_epoch(epoch)
        {
            self.replica.stop();
            return Err(error);
        }
        self.moved(now, &progress, fx);
        if self.log.needs_flush() {
            fx.dirty.push((self.place, FlushMode::BeforeAck));
        }
        Ok(change)
    }

    /// Takes up the topic's settings.
    pub fn configure(&mut self, config: ReplicaConfig, log: Arc<LogConfig>) {
        self.flush_mode = config.flush_mode;
        self.replica.configure(config);
        self.log.set_config(log);
    }

    /// Appends a client's or coordinator's batch.
    pub fn append(
        &mut self,
        (wall, now): (Millis, Millis),
        batch: CheckedBatch<'_>,
        acks: Acks,
        origin: AppendOrigin,
        fx: &mut Effects<W>,
    ) -> Result<Produced, ErrorCode> {
        let leader_epoch = self.replica.check_append(acks)?;
        let cx = AppendContext { leader_epoch, origin, now: wall };
        let info = self.log.append_as_leader(batch, &cx).map_err(|e| e.error_code())?;
        Ok(self.appended(now, info, fx))
    }

    /// Appends a transaction's marker.
    pub fn append_marker(
        &mut self,
        (wall, now): (Millis, Millis),
        marker: TxnMarker,
        transaction_version: i16,
        fx: &mut Effects<W>,
    ) -> Result<Produced, ErrorCode> {
        let leader_epoch = self.replica.check_append(Acks::All)?;
        let cx = AppendContext { leader_epoch, origin: AppendOrigin::Coordinator, now: wall };
        let info = self.log.append_marker(marker, transaction_version, &cx).map_err(|e| e.error_code())?;
        Ok(self.appended(now, info, fx))
    }

    fn appended(&mut self, now: Millis, info: AppendInfo, fx: &mut Effects<W>) -> Produced {
        let log_end = self.log.log_end_offset();
        if info.duplicate {
            return Produced { info, end_offset: (info.last_offset + 1).min(log_end) };
        }
        let first_unstable = self.log.producers().first_unstable_offset();
        self.purgatory.appended(log_end, info.bytes as u64);
        let progress = self.replica.appended(now, log_end, first_unstable);
        self.moved(now, &progress, fx);
        fx.dirty.push((self.place, self.flush_mode));
        Produced { info, end_offset: log_end }
    }

    /// Lets a produce wait for its acknowledgement; gives `who` back where it need not.
    pub fn wait_for_ack(&mut self, who: W, acks: Acks, end: Offset, fx: &mut Effects<W>) -> Option<W> {
        if self.plant == Some(Bug::AckBeforeFlush) {
            return Some(who);
        }
        match self.replica.wait_for(acks, end) {
            Some(wait) => self.wait(who, wait, fx),
            None => Some(who),
        }
    }

    /// Lets `who` hear of the high watermark reaching `offset`; gives it back where it has.
    pub fn wait_for_commit(&mut self, who: W, offset: Offset, fx: &mut Effects<W>) -> Option<W> {
        self.wait(who, WaitFor::Offset { bound: Bound::HighWatermark, offset }, fx)
    }

    fn wait(&mut self, who: W, wait: WaitFor, fx: &mut Effects<W>) -> Option<W> {
        fx.next_token += 1;
        if self.purgatory.wait(fx.next_token, wait).is_some() {
            return Some(who);
        }
        self.waiters.insert(fx.next_token, who);
        None
    }

    /// The answer to a produce that has waited, or did not have to.
    pub fn acknowledge(&self, acks: Acks, end_offset: Offset) -> ErrorCode {
        if self.plant == Some(Bug::AckBeforeFlush) {
            return ErrorCode::None;
        }
        if let Err(error) = self.replica.check_leader(None) {
            return error;
        }
        if self.log.is_failed() {
            return ErrorCode::KafkaStorageError;
        }
        let waits = self.replica.wait_for(acks, end_offset).is_some_and(|wait| match wait {
            WaitFor::Offset { bound, offset } => self.replica.bounds().get(bound) < offset,
            WaitFor::Bytes { .. } => false,
        });
        if waits {
            return ErrorCode::RequestTimedOut;
        }
        match acks {
            Acks::All => self.replica.acknowledge(end_offset).err().unwrap_or(ErrorCode::None),
            Acks::None | Acks::Leader => ErrorCode::None,
        }
    }

    /// Finds what a reader may have from `offset` on.
    pub fn read(&self, offset: Offset, bytes_max: usize, as_: ReadAs) -> Result<Fetched, ErrorCode> {
        let mut upper_bound = self.replica.readable_end(as_, None)?;
        if self.plant == Some(Bug::LastStableOffsetTooHigh) && as_ == ReadAs::Committed {
            upper_bound = self.replica.bounds().high_watermark;
        }
        let bound = ReadBound { bytes_max, upper_bound, min_one_batch: true };
        let read = self.log.read(offset, &bound).map_err(|e| e.error_code())?;
        let aborted = match (as_, &read.slice) {
            (ReadAs::Committed, Some(_)) => {
                let found = self.log.aborted_transactions(offset, upper_bound);
                found.into_iter().map(|t| (t.producer_id, t.first_offset)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Fetched { read, upper_bound, aborted })
    }

    /// Changes the log, for housekeeping; what moved is told to who waits.
    pub fn change<R>(
        &mut self,
        now: Millis,
        fx: &mut Effects<W>,
        f: impl FnOnce(&mut Log, Bounds) -> R,
    ) -> R {
        let bounds = self.replica.bounds();
        let result = f(&mut self.log, bounds);
        let progress = self.replica.log_start_rose(now, self.log.log_start_offset());
        self.moved(now, &progress, fx);
        if self.log.needs_flush() {
            fx.dirty.push((self.place, FlushMode::Interval));
        }
        result
    }

    /// The topic was deleted: who waits looks again.
    pub fn take_down(&mut self, fx: &mut Effects<W>) {
        self.replica.stop();
        self.disturb(fx);
    }

    /// What is to be flushed.
    pub fn begin_flush(&mut self) -> Result<Option<FlushTicket>, LogError> {
        self.log.begin_flush()
    }

    /// What became of a flush.
    pub fn complete_flush(
        &mut self,
        now: Millis,
        ticket: FlushTicket,
        result: &Result<(), DiskError>,
        fx: &mut Effects<W>,
    ) {
        self.log.complete_flush(ticket, result);
        let progress = self.replica.flushed(now, self.log.flushed_end_offset());
        self.moved(now, &progress, fx);
        if result.is_err() {
            self.disturb(fx);
        }
    }

    fn disturb(&mut self, fx: &mut Effects<W>) {
        for token in self.purgatory.drain() {
            fx.wake.extend(self.waiters.remove(&token));
        }
    }

    fn moved(&mut self, now: Millis, progress: &Progress, fx: &mut Effects<W>) {
        let mut bounds = progress.bounds;
        if progress.high_watermark_rose {
            self.log.on_high_watermark(bounds.high_watermark);
            let first = self.log.producers().first_unstable_offset();
            bounds = self.replica.first_unstable(now, first).bounds;
        }
        for satisfied in self.purgatory.advance(bounds) {
            fx.wake.extend(self.waiters.remove(&satisfied.token));
        }
    }
}
