//! A log on a simulated disk, and batches for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_batch::control::{TxnMarker, TxnOutcome};
use millstream_batch::{BatchBuilder, BatchConfig, Codec, Decompressor, Origin, RecordRef, batches};
use millstream_disk::sim::SimDisk;
use millstream_disk::{Disk, Guarded, Health};
use millstream_log::*;
use millstream_types::{TopicPartition, Uuid};

pub const NOW: i64 = 1_700_000_000_000;

pub fn parent() -> PathBuf {
    PathBuf::from("/logs")
}

/// A simulated disk with an empty log directory on it.
pub fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(&parent()).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// Small segments and a dense index, so that few batches make many of both.
pub fn small() -> LogConfig {
    LogConfig {
        internal_segment_bytes: 1000,
        index_interval_bytes: 150,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: i64::MAX,
        ..LogConfig::default()
    }
}

pub fn params(disk: &Arc<dyn Disk>, config: &LogConfig) -> LogParams {
    LogParams {
        disk: disk.clone(),
        parent: parent(),
        partition: TopicPartition::new("t", 0),
        topic_id: Uuid([7; 16]),
        config: Arc::new(config.clone()),
        recovery_point: 0,
        log_start: 0,
        clean: false,
        now: NOW,
    }
}

pub fn open(disk: &SimDisk, config: &LogConfig) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(Guarded::new(Arc::new(disk.clone()), Health::new()));
    Log::open(params(&disk, config)).unwrap()
}

pub fn open_clean(disk: &SimDisk, config: &LogConfig) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Log::open(LogParams { clean: true, ..params(&disk, config) }).unwrap()
}

/// A batch to be: what matters to the log.
#[derive(Clone, Debug)]
pub struct Make {
    pub values: Vec<(Option<String>, Option<String>)>,
    pub timestamp: i64,
    pub producer: Option<(i64, i16, i32)>,
    pub transactional: bool,
    pub codec: Codec,
}

/// A batch of plain values.
pub fn values(values: &[&str]) -> Make {
    let values = values.iter().map(|v| (None, Some((*v).to_owned()))).collect();
    Make { values, timestamp: NOW, producer: None, transactional: false, codec: Codec::None }
}

/// A batch of keys with values; no value is a tombstone.
pub fn keyed(pairs: &[(&str, Option<&str>)]) -> Make {
    let own = |(k, v): &(&str, Option<&str>)| (Some((*k).to_owned()), v.map(str::to_owned));
    Make { values: pairs.iter().map(own).collect(), ..values(&[]) }
}

impl Make {
    pub fn at(self, timestamp: i64) -> Make {
        Make { timestamp, ..self }
    }
    pub fn by(self, id: i64, epoch: i16, sequence: i32) -> Make {
        Make { producer: Some((id, epoch, sequence)), ..self }
    }
    pub fn in_txn(self) -> Make {
        Make { transactional: true, ..self }
    }
    pub fn bytes(&self) -> Vec<u8> {
        let (producer_id, producer_epoch, base_sequence) = self.producer.unwrap_or((-1, -1, -1));
        let mut builder = BatchBuilder::new(BatchConfig {
            codec: self.codec,
            batch_bytes_max: 1 << 20,
            producer_id,
            producer_epoch,
            base_sequence,
            transactional: self.transactional,
            ..BatchConfig::default()
        });
        for (i, (key, value)) in self.values.iter().enumerate() {
            let record = RecordRef {
                timestamp: self.timestamp + i as i64,
                key: key.as_ref().map(|k| k.as_bytes()),
                value: value.as_ref().map(|v| v.as_bytes()),
                headers: &[],
            };
            builder.append(&record).unwrap();
        }
        builder.build().unwrap().to_vec()
    }
}

pub fn context(leader_epoch: i32, now: i64) -> AppendContext {
    AppendContext { leader_epoch, origin: AppendOrigin::Client, now }
}

pub fn append(log: &mut Log, make: &Make) -> Result<AppendInfo, LogError> {
    append_at(log, make, &context(0, NOW))
}

pub fn append_at(log: &mut Log, make: &Make, cx: &AppendContext) -> Result<AppendInfo, LogError> {
    let mut bytes = make.bytes();
    let limits = log.config().limits(cx.now, Origin::Client);
    let batch = CheckedBatch::check(&mut bytes, &limits, &mut Decompressor::new(1 << 20))?;
    log.append_as_leader(batch, cx)
}

pub fn marker(log: &mut Log, id: i64, epoch: i16, outcome: TxnOutcome) -> Result<AppendInfo, LogError> {
    let marker = TxnMarker { producer_id: id, producer_epoch: epoch, outcome, coordinator_epoch: 1 };
    log.append_marker(marker, 2, &context(0, NOW))
}

pub fn bound(log: &Log, bytes_max: usize) -> ReadBound {
    ReadBound { bytes_max, upper_bound: log.log_end_offset(), min_one_batch: true }
}

/// Every record from `offset` to the end: offset, key, value; control records as `*commit` and the like. Each batch's
/// checksum is checked, and offsets rise (LG-1, LG-2).
pub fn read_all(log: &Log, mut offset: i64) -> Vec<(i64, Option<String>, Option<String>)> {
    let mut found = Vec::new();
    let mut least = 0;
    while let Some(slice) = log.read(offset, &bound(log, 700)).unwrap().slice {
        let bytes = slice.read().unwrap();
        let before = offset;
        for batch in batches(&bytes) {
            let Ok(batch) = batch else { break };
            batch.check_crc().unwrap();
            assert!(batch.header().base_offset >= least, "LG-1");
            least = batch.header().next_offset();
            for record in batch.records(&mut Decompressor::new(1 << 20)).unwrap() {
                let record = record.unwrap();
                if record.offset < offset {
                    continue;
                }
                let text = |b: Option<&[u8]>| b.map(|b| String::from_utf8_lossy(b).into_owned());
                let key = match batch.header().attributes.is_control() {
                    true => Some(format!("*{}", record.key.unwrap()[3])),
                    false => text(record.key),
                };
                let value = if batch.header().attributes.is_control() { None } else { text(record.value) };
                found.push((record.offset, key, value));
            }
            offset = batch.header().next_offset();
        }
        assert!(offset > before, "a read gives at least one batch");
    }
    found
}

/// The values from `offset` to the end.
pub fn read_values(log: &Log, offset: i64) -> Vec<String> {
    read_all(log, offset).into_iter().filter_map(|(_, _, value)| value).collect()
}

/// What a log knows, for comparing it with itself after a restart.
pub fn knowledge(log: &Log) -> String {
    format!(
        "{:?} {}..{} {:?} {:?} {:?}",
        read_all(log, log.log_start_offset()),
        log.log_start_offset(),
        log.log_end_offset(),
        log.epochs().entries(),
        log.aborted_transactions(0, i64::MAX),
        log.producers()
            .entries()
            .iter()
            .map(|(id, p)| (*id, p.epoch, p.last_sequence(), p.last_offset(), p.txn_first_offset))
            .collect::<Vec<_>>(),
    )
}
