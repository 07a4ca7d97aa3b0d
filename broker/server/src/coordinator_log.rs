//! What the group and the transaction coordinator share: shards, each a partition of an internal topic; records
//! appended to it as batches; and answers that leave when everything appended before them is committed. Never
//! enters: what a record means.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Wake, Waker};

use bytes::Bytes;
use millstream_batch::{BatchBuilder, BatchConfig, BatchError, Decompressor, RecordRef, batches};
use millstream_log::{AppendOrigin, CheckedBatch};
use millstream_replica::{Acks, ReadAs};
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::{ErrorCode, LeaderEpoch, Millis, Offset, ProducerEpoch, ProducerId};

use crate::partition::{AppendError, Partition};
use crate::waiter::Waiter;

/// Bytes read at a time when a shard is loaded.
const LOAD_BYTES: usize = 4 * 1024 * 1024;

struct Shard<T> {
    partition: Arc<Partition>,
    /// Where the last record that was appended here ends.
    appended: Offset,
    /// What is to be done when the high watermark has reached an offset, in order.
    waiting: VecDeque<(Offset, T)>,
    watching: bool,
}

/// The shards that this broker leads; `T` is what is done once records are committed.
pub struct CoordinatorLog<T> {
    shards: BTreeMap<i32, Shard<T>>,
    /// Shards whose log does not serve yet.
    to_lead: BTreeMap<i32, (LeaderEpoch, Arc<Partition>)>,
    /// Makes the waker that tells the coordinator's thread of a shard's commits.
    notify: Arc<dyn Fn(i32) + Send + Sync>,
}

/// A record's key and value.
pub type KeyValue = (Bytes, Option<Bytes>);

struct ShardWaker {
    shard: i32,
    notify: Arc<dyn Fn(i32) + Send + Sync>,
}

impl Wake for ShardWaker {
    fn wake(self: Arc<Self>) {
        (self.notify)(self.shard);
    }
}

impl<T> CoordinatorLog<T> {
    /// No shards yet; `notify` is called, from any thread, when a shard's high watermark has moved.
    pub fn new(notify: Arc<dyn Fn(i32) + Send + Sync>) -> CoordinatorLog<T> {
        CoordinatorLog { shards: BTreeMap::new(), to_lead: BTreeMap::new(), notify }
    }

    /// Whether a shard can be loaded now. Where what recovery kept is not committed yet (RP-4), the shard is kept for
    /// [`CoordinatorLog::lead_again`], and its commit is told as any other.
    pub fn may_lead(&mut self, shard: i32, epoch: LeaderEpoch, partition: &Arc<Partition>) -> bool {
        let (serving, end) =
            partition.look(|log, replica| (replica.check_serving(Some(epoch)), log.log_end_offset()));
        if serving != Err(ErrorCode::OffsetNotAvailable) {
            return true;
        }
        self.to_lead.insert(shard, (epoch, Arc::clone(partition)));
        let waker = Waker::from(Arc::new(ShardWaker { shard, notify: Arc::clone(&self.notify) }));
        if !partition.wait_for_commit(&Waiter::with_waker(waker), end) {
            (self.notify)(shard);
        }
        false
    }

    /// A shard that waited to be loaded and is to be tried again.
    pub fn lead_again(&mut self, shard: i32) -> Option<(LeaderEpoch, Arc<Partition>)> {
        self.to_lead.remove(&shard)
    }

    /// Begins to lead a shard.
    pub fn lead(&mut self, shard: i32, partition: Arc<Partition>) {
        let appended = partition.look(|log, _| log.log_end_offset());
        self.shards.insert(shard, Shard { partition, appended, waiting: VecDeque::new(), watching: false });
    }

    /// Ends it; what waited is given back.
    pub fn resign(&mut self, shard: i32) -> Vec<T> {
        self.to_lead.remove(&shard);
        self.shards
            .remove(&shard)
            .map(|s| s.waiting.into_iter().map(|(_, t)| t).collect())
            .unwrap_or_default()
    }

    /// The partition of a shard that is led here.
    pub fn partition(&self, shard: i32) -> Option<&Arc<Partition>> {
        self.shards.get(&shard).map(|s| &s.partition)
    }

    /// Every shard that is led here.
    pub fn led(&self) -> Vec<i32> {
        self.shards.keys().copied().collect()
    }

    /// Appends records to a shard as one batch.
    ///
    /// # Errors
    /// The partition's; nothing of the batch is in the log then.
    pub fn append(
        &mut self,
        now: (Millis, Millis),
        shard: i32,
        records: &[KeyValue],
        producer: Option<(ProducerId, ProducerEpoch)>,
    ) -> Result<(), AppendError> {
        let shard = self.shards.get_mut(&shard).ok_or(AppendError::Refused(ErrorCode::NotCoordinator))?;
        let (wall, monotonic) = now;
        let mut bytes = batch_of(wall, records, producer).map_err(millstream_log::LogError::from)?;
        let limits = millstream_batch::Limits {
            batch_bytes_max: i32::MAX as usize,
            origin: millstream_batch::Origin::Internal,
            now_ms: wall,
            ..Default::default()
        };
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        let checked =
            CheckedBatch::check(&mut bytes, &limits, &mut scratch).map_err(millstream_log::LogError::from)?;
        let produced =
            shard.partition.append((wall, monotonic), checked, Acks::All, AppendOrigin::Coordinator)?;
        shard.appended = produced.end_offset;
        Ok(())
    }

    /// Gives `then` back at once if everything appended to the shard is committed, else keeps it until it is.
    pub fn when_committed(&mut self, shard: i32, then: T) -> Option<T> {
        let Some(s) = self.shards.get_mut(&shard) else { return Some(then) };
        let committed = s.partition.look(|_, replica| replica.bounds().high_watermark);
        if s.waiting.is_empty() && committed >= s.appended {
            return Some(then);
        }
        s.waiting.push_back((s.appended, then));
        self.watch(shard);
        None
    }

    /// What has become committed in a shard since it was last asked.
    pub fn committed(&mut self, shard: i32) -> Vec<T> {
        let Some(s) = self.shards.get_mut(&shard) else { return Vec::new() };
        s.watching = false;
        let committed = s.partition.look(|_, replica| replica.bounds().high_watermark);
        let mut out = Vec::new();
        while s.waiting.front().is_some_and(|(offset, _)| *offset <= committed) {
            out.extend(s.waiting.pop_front().map(|(_, t)| t));
        }
        self.watch(shard);
        out
    }

    fn watch(&mut self, shard: i32) {
        let Some(s) = self.shards.get_mut(&shard) else { return };
        let Some((offset, _)) = s.waiting.front().filter(|_| !s.watching) else { return };
        let waker = Waker::from(Arc::new(ShardWaker { shard, notify: Arc::clone(&self.notify) }));
        let waiter = Waiter::with_waker(waker);
        s.watching = true;
        if !s.partition.wait_for_commit(&waiter, *offset) {
            (self.notify)(shard);
        }
    }
}

struct Then<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Then<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Whether a log holds records that are not committed yet. A shard is loaded only when it does not: what is appended is
/// committed later (after a start, or where a later append failed), and memory would never hear of it.
pub fn is_behind(partition: &Arc<Partition>) -> bool {
    partition.look(|log, replica| {
        let led = replica.check_leader(None).is_ok();
        led && !log.is_failed() && replica.bounds().high_watermark < log.log_end_offset()
    })
}

/// Calls `then`, from any thread, when all that the partition's log holds now is committed: before that a new leader
/// gives nothing out (RP-4), and its shard cannot be loaded.
pub fn when_serving(partition: &Arc<Partition>, then: impl Fn() + Send + Sync + 'static) {
    let waker = Waker::from(Arc::new(Then(then)));
    let waiter = Waiter::with_waker(waker.clone());
    let end = partition.look(|log, _| log.log_end_offset());
    if !partition.wait_for_commit(&waiter, end) {
        waker.wake();
    }
}

fn batch_of(
    wall: Millis,
    records: &[KeyValue],
    producer: Option<(ProducerId, ProducerEpoch)>,
) -> Result<Vec<u8>, BatchError> {
    let (producer_id, producer_epoch) = producer.unwrap_or((-1, -1));
    let mut builder = BatchBuilder::new(BatchConfig {
        batch_bytes_max: i32::MAX as usize,
        producer_id,
        producer_epoch,
        transactional: producer.is_some(),
        ..BatchConfig::default()
    });
    for (key, value) in records {
        builder.append(&RecordRef {
            timestamp: wall,
            key: Some(key),
            value: value.as_deref(),
            headers: &[],
        })?;
    }
    Ok(builder.build()?.to_vec())
}

/// What a shard's log holds, in order.
pub enum Replayed<'a> {
    /// A record, and the producer in whose transaction it is.
    Record {
        /// The key.
        key: &'a [u8],
        /// The value; `None` is a tombstone.
        value: Option<&'a [u8]>,
        /// The producer whose open transaction it is part of.
        producer_id: Option<ProducerId>,
    },
    /// A producer's transaction ended.
    Marker {
        /// The producer.
        producer_id: ProducerId,
        /// Whether it committed.
        commit: bool,
    },
}

/// Reads a shard's committed log from its start.
///
/// # Errors
/// What the partition or its bytes refuse; the shard cannot be led then.
pub fn replay(partition: &Arc<Partition>, mut each: impl FnMut(Replayed<'_>)) -> Result<(), ErrorCode> {
    let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
    let mut at = partition.look(|log, _| log.log_start_offset());
    loop {
        let fetched = partition.read(at, LOAD_BYTES, true, ReadAs::Uncommitted, None)?;
        let Some(slice) = fetched.read.slice else { return Ok(()) };
        let bytes = slice.read().map_err(|_| ErrorCode::KafkaStorageError)?;
        let before = at;
        for batch in batches(&bytes) {
            // The last batch of a read may be cut; the next read begins with it.
            let Ok(batch) = batch else { break };
            let header = *batch.header();
            if header.last_offset() >= at && header.base_offset < fetched.upper_bound {
                each_of(&batch, &mut scratch, &mut each).map_err(|_| ErrorCode::CorruptMessage)?;
                at = header.next_offset();
            }
        }
        if at == before {
            return Ok(());
        }
    }
}

fn each_of(
    batch: &millstream_batch::BatchView<'_>,
    scratch: &mut Decompressor,
    each: &mut impl FnMut(Replayed<'_>),
) -> Result<(), BatchError> {
    use millstream_batch::ControlRecord;
    batch.check_crc()?;
    let header = *batch.header();
    let in_transaction = header.attributes.is_transactional().then_some(header.producer_id);
    for record in batch.records(scratch)? {
        let record = record?;
        if header.attributes.is_control() {
            match ControlRecord::parse(&record)? {
                ControlRecord::Commit(_) => {
                    each(Replayed::Marker { producer_id: header.producer_id, commit: true })
                }
                ControlRecord::Abort(_) => {
                    each(Replayed::Marker { producer_id: header.producer_id, commit: false })
                }
                _ => {}
            }
        } else if let Some(key) = record.key {
            each(Replayed::Record { key, value: record.value, producer_id: in_transaction });
        }
    }
    Ok(())
}
