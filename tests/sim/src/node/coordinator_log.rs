//! Shards of the coordinators: records appended as batches, and what follows once all before it is committed, in the
//! order of steps of the server's `coordinator_log.rs`. Never enters: what a record means.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millstream_batch::{
    BatchBuilder, BatchConfig, ControlRecord, Decompressor, Limits, Origin, RecordRef, batches,
};
use millstream_log::{AppendOrigin, CheckedBatch};
use millstream_replica::{Acks, ReadAs};
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::{ErrorCode, Millis, Offset, ProducerEpoch, ProducerId};

use super::partition::{Effects, Partition, Place};

/// A record's key and value.
pub type KeyValue = (Bytes, Option<Bytes>);

struct Shard<T> {
    place: Place,
    appended: Offset,
    waiting: VecDeque<(Offset, T)>,
    watching: bool,
}

/// The shards that this node leads; `T` is what is done once records are committed.
pub struct CoordinatorLog<T> {
    shards: BTreeMap<i32, Shard<T>>,
    /// Whether nothing waits for a commit: a planted bug.
    pub answers_early: bool,
}

impl<T> CoordinatorLog<T> {
    /// No shards yet.
    pub fn new() -> CoordinatorLog<T> {
        CoordinatorLog { shards: BTreeMap::new(), answers_early: false }
    }

    /// Begins to lead a shard.
    pub fn lead<W>(&mut self, shard: i32, partition: &Partition<W>) {
        let appended = partition.log.log_end_offset();
        let place = partition.place;
        self.shards.insert(shard, Shard { place, appended, waiting: VecDeque::new(), watching: false });
    }

    /// Ends it; what waited is given back.
    pub fn resign(&mut self, shard: i32) -> Vec<T> {
        let ended = self.shards.remove(&shard);
        ended.map(|s| s.waiting.into_iter().map(|(_, t)| t).collect()).unwrap_or_default()
    }

    /// The partition of a shard that is led here.
    pub fn place(&self, shard: i32) -> Option<Place> {
        self.shards.get(&shard).map(|s| s.place)
    }

    /// Every shard that is led here.
    pub fn led(&self) -> Vec<(i32, Place)> {
        self.shards.iter().map(|(shard, s)| (*shard, s.place)).collect()
    }

    /// Whether everything appended to the shard is committed and nothing waits.
    pub fn is_settled<W>(&self, shard: i32, partition: &Partition<W>) -> bool {
        let s = self.shards.get(&shard);
        s.is_some_and(|s| s.waiting.is_empty())
            && partition.replica.bounds().high_watermark == partition.log.log_end_offset()
    }

    /// Appends records to a shard as one batch.
    pub fn append<W>(
        &mut self,
        (wall, now): (Millis, Millis),
        shard: i32,
        partition: &mut Partition<W>,
        records: &[KeyValue],
        producer: Option<(ProducerId, ProducerEpoch)>,
        fx: &mut Effects<W>,
    ) -> Result<(), ErrorCode> {
        let shard = self.shards.get_mut(&shard).ok_or(ErrorCode::NotCoordinator)?;
        let (producer_id, producer_epoch) = producer.unwrap_or((-1, -1));
        let mut builder = BatchBuilder::new(BatchConfig {
            batch_bytes_max: i32::MAX as usize,
            producer_id,
            producer_epoch,
            transactional: producer.is_some(),
            ..BatchConfig::default()
        });
        for (key, value) in records {
            let record = RecordRef { timestamp: wall, key: Some(key), value: value.as_deref(), headers: &[] };
            builder.append(&record).map_err(|e| e.error_code())?;
        }
        let mut bytes = builder.build().map_err(|e| e.error_code())?.to_vec();
        let limits = Limits {
            batch_bytes_max: i32::MAX as usize,
            origin: Origin::Internal,
            now_ms: wall,
            ..Default::default()
        };
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        let checked = CheckedBatch::check(&mut bytes, &limits, &mut scratch).map_err(|e| e.error_code())?;
        let produced = partition.append((wall, now), checked, Acks::All, AppendOrigin::Coordinator, fx)?;
        shard.appended = produced.end_offset;
        Ok(())
    }

    /// Gives `then` back at once if everything appended to the shard is committed, else keeps it until it is.
    pub fn when_committed<W>(
        &mut self,
        shard: i32,
        partition: Option<&mut Partition<W>>,
        then: T,
        who: W,
        fx: &mut Effects<W>,
    ) -> Option<T> {
        let (Some(s), Some(partition)) = (self.shards.get_mut(&shard), partition) else { return Some(then) };
        let committed = partition.replica.bounds().high_watermark;
        if self.answers_early || s.waiting.is_empty() && committed >= s.appended {
            return Some(then);
        }
        s.waiting.push_back((s.appended, then));
        s.watch(partition, who, fx);
        None
    }

    /// What has become committed in a shard since it was last asked.
    pub fn committed<W>(
        &mut self,
        shard: i32,
        partition: &mut Partition<W>,
        who: W,
        fx: &mut Effects<W>,
    ) -> Vec<T> {
        let Some(s) = self.shards.get_mut(&shard) else { return Vec::new() };
        s.watching = false;
        let committed = partition.replica.bounds().high_watermark;
        let mut out = Vec::new();
        while s.waiting.front().is_some_and(|(offset, _)| *offset <= committed) {
            out.extend(s.waiting.pop_front().map(|(_, t)| t));
        }
        s.watch(partition, who, fx);
        out
    }
}

impl<T> Shard<T> {
    fn watch<W>(&mut self, partition: &mut Partition<W>, who: W, fx: &mut Effects<W>) {
        let Some((offset, _)) = self.waiting.front().filter(|_| !self.watching) else { return };
        self.watching = true;
        if let Some(who) = partition.wait_for_commit(who, *offset, fx) {
            fx.wake.push(who);
        }
    }
}

/// What a shard's log holds.
pub enum Replayed {
    /// A record, and the producer in whose transaction it is.
    Record(Bytes, Option<Bytes>, Option<ProducerId>),
    /// A producer's transaction ended; whether it committed.
    Marker(ProducerId, bool),
}

/// Reads a shard's committed log from its start.
pub fn replay<W>(partition: &Partition<W>) -> Result<Vec<Replayed>, ErrorCode> {
    let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
    let mut out = Vec::new();
    let mut at = partition.log.log_start_offset();
    loop {
        let fetched = partition.read(at, 1 << 20, ReadAs::Uncommitted)?;
        let Some(slice) = fetched.read.slice else { return Ok(out) };
        let bytes = slice.read().map_err(|_| ErrorCode::KafkaStorageError)?;
        let before = at;
        for batch in batches(&bytes) {
            let Ok(batch) = batch else { break };
            let header = *batch.header();
            if header.last_offset() < at || header.base_offset >= fetched.upper_bound {
                continue;
            }
            let inside = header.attributes.is_transactional().then_some(header.producer_id);
            batch.check_crc().map_err(|e| e.error_code())?;
            for record in batch.records(&mut scratch).map_err(|e| e.error_code())? {
                let record = record.map_err(|e| e.error_code())?;
                if header.attributes.is_control() {
                    match ControlRecord::parse(&record).map_err(|e| e.error_code())? {
                        ControlRecord::Commit(_) => out.push(Replayed::Marker(header.producer_id, true)),
                        ControlRecord::Abort(_) => out.push(Replayed::Marker(header.producer_id, false)),
                        _ => {}
                    }
                } else if let Some(key) = record.key {
                    let value = record.value.map(Bytes::copy_from_slice);
                    out.push(Replayed::Record(Bytes::copy_from_slice(key), value, inside));
                }
            }
            at = header.next_offset();
        }
        if at == before {
            return Ok(out);
        }
    }
}
