//! What a commit writes: records put together into batches for each partition, then handed to the producer as whole
//! batches. Those that wait go to the local disk while the process is short of memory. Never enters: when to commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::admin::ConfigResource;
use millstream_client::{
    Admin, Append, BatchBuilder, BatchConfig, BatchError, Codec, Compressor, Delivery, HeaderView, Producer,
    RecordRef,
};
use millstream_connect::dead_letter::DeadLetter;
use millstream_engine::error::StageError;
use millstream_engine::state::scratch::{Kept, Scratch};
use millstream_types::{MemoryBudget, MemoryClaim, TopicPartition};

use crate::error::WorkerError;
use crate::scratch::FileScratch;

/// Batches are closed at about this size; one record is always taken.
const BATCH_BYTES: usize = 256 << 10;
/// Writing, flushing and reading a third of the bytes saves more than compressing costs (docs/internals/measurements.md).
const CODEC: Codec = Codec::Lz4;

/// So many bytes of batches go to the local disk at once.
const AWAY_BYTES: usize = 4 << 20;

/// Where batches go while the process is short of memory.
#[derive(Debug)]
pub struct Away {
    scratch: FileScratch,
    /// What all of them hold in memory.
    claim: MemoryClaim,
}

impl Away {
    /// Files in this folder.
    pub fn new(folder: PathBuf, budget: &MemoryBudget) -> Away {
        Away { scratch: FileScratch::new(folder), claim: budget.claim("output") }
    }
}

/// A whole batch.
enum Batch {
    Here(Bytes),
    Away(Box<dyn Kept>),
}

/// Records on their way.
#[derive(Default)]
pub struct Outbox {
    open: BTreeMap<Arc<str>, Vec<Option<BatchBuilder>>>,
    closed: Vec<(TopicPartition, Batch)>,
    /// Of those that have not been tried to go there: the place of the first, and their bytes.
    in_memory: (usize, usize),
    /// The bytes that are claimed.
    held: usize,
    away: Option<Arc<Away>>,
    records: u64,
    compressor: Compressor,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// An empty one, whose batches may go to the local disk.
    pub fn new(away: Option<Arc<Away>>) -> Outbox {
        let mut outbox = Outbox::default();
        outbox.away = away;
        outbox
    }

    fn close(&mut self, partition: TopicPartition, batch: Bytes) {
        let Some(away) = &self.away else {
            self.closed.push((partition, Batch::Here(batch)));
            return;
        };
        let (first, bytes) = &mut self.in_memory;
        *bytes += batch.len();
        away.claim.grow(batch.len() as u64);
        self.held += batch.len();
        self.closed.push((partition, Batch::Here(batch)));
        if *bytes < AWAY_BYTES || !away.claim.is_short() {
            return;
        }
        *bytes = 0;
        for (_, batch) in &mut self.closed[*first..] {
            // What a full disk does not take stays in memory; that of state tells of it.
            if let Batch::Here(here) = batch
                && let Ok(kept) = away.scratch.put(here)
            {
                away.claim.shrink(here.len() as u64);
                self.held -= here.len();
                *batch = Batch::Away(kept);
            }
        }
        *first = self.closed.len();
    }

    /// Gives back what is claimed for batches in memory.
    fn let_go(&mut self) {
        if let Some(away) = &self.away {
            away.claim.shrink(std::mem::take(&mut self.held) as u64);
        }
    }

    /// Appends a record.
    pub fn append(
        &mut self,
        topic: &Arc<str>,
        partition: u32,
        record: &RecordRef<'_>,
    ) -> Result<(), WorkerError> {
        self.append_within(topic, partition, record, BATCH_BYTES)
    }

    /// Appends a record to a topic whose batches have so many bytes at most, if it can be in one.
    pub fn append_fitting(
        &mut self,
        (topic, partition): (&Arc<str>, u32),
        record: &RecordRef<'_>,
        bytes_max: usize,
    ) -> Result<Fits, WorkerError> {
        let most = BATCH_BYTES.min(bytes_max);
        if is_small(record, most) {
            self.append_within(topic, partition, record, most)?;
            return Ok(Fits::Yes);
        }
        let failed = |error: BatchError| failed(topic, partition, &error);
        let built = match alone(record, bytes_max, &mut self.compressor).map_err(failed)? {
            Ok(built) => built,
            Err(no) => return Ok(no),
        };
        // Behind what waits for the partition.
        let open = self.open.get_mut(topic).and_then(|builders| builders.get_mut(partition as usize));
        let place = || TopicPartition::new(Arc::clone(topic), partition as i32);
        if let Some(open) = open.and_then(Option::take).filter(|open| !open.is_empty()) {
            let before = open.build_with(&mut self.compressor).map_err(failed)?;
            self.close(place(), before);
        }
        self.close(place(), built);
        self.records += 1;
        Ok(Fits::Yes)
    }

    fn append_within(
        &mut self,
        topic: &Arc<str>,
        partition: u32,
        record: &RecordRef<'_>,
        batch_bytes_max: usize,
    ) -> Result<(), WorkerError> {
        if !self.open.contains_key(topic) {
            self.open.insert(Arc::clone(topic), Vec::new());
        }
        let builders = self.open.get_mut(topic).expect("it was put there");
        let at = partition as usize;
        if builders.len() <= at {
            builders.resize_with(at + 1, || None);
        }
        let failed = |error: BatchError| failed(topic, partition, &error);
        let config = BatchConfig { batch_bytes_max, codec: CODEC, ..BatchConfig::default() };
        let new = || BatchBuilder::new(config.clone());
        let builder = builders[at].get_or_insert_with(new);
        if builder.append(record).map_err(failed)? == Append::Full {
            let full = std::mem::replace(builder, new());
            let bytes = full.build_with(&mut self.compressor).map_err(failed)?;
            builder.append(record).map_err(failed)?;
            self.close(TopicPartition::new(Arc::clone(topic), partition as i32), bytes);
        }
        self.records += 1;
        Ok(())
    }

    /// Appends a record with a value only.
    pub fn append_value(
        &mut self,
        topic: &Arc<str>,
        partition: u32,
        now: i64,
        value: &[u8],
    ) -> Result<(), WorkerError> {
        self.append(
            topic,
            partition,
            &RecordRef { timestamp: now, value: Some(value), ..RecordRef::default() },
        )
    }

    /// Appends a dead letter, to a partition that its origin chooses.
    pub fn append_dead_letter(&mut self, to: &DeadLetters, letter: &DeadLetter) -> Result<(), WorkerError> {
        let record = letter.to_record();
        let headers: Vec<HeaderView<'_>> =
            record.headers.iter().map(|(k, v)| HeaderView { key: k.as_bytes(), value: Some(v) }).collect();
        let spread = record.headers.iter().find(|(k, _)| k == millstream_connect::dead_letter::ORIGIN);
        let partition = spread.map_or(0, |(_, origin)| {
            millstream_types::hash::partition_for_key(origin, to.partitions.max(1) as i32) as u32
        });
        let record = RecordRef {
            timestamp: letter.at_ms,
            key: record.key.as_deref(),
            value: Some(&record.value),
            headers: &headers,
        };
        self.append(&to.topic, partition, &record)
    }

    /// Hands everything to the producer. In a transaction what becomes of it is known at the commit; without one, the
    /// deliveries tell.
    pub async fn send(&mut self, producer: &Producer) -> Result<Vec<Delivery>, WorkerError> {
        for (topic, builders) in std::mem::take(&mut self.open) {
            for (partition, builder) in builders.into_iter().enumerate() {
                let Some(builder) = builder.filter(|b| !b.is_empty()) else { continue };
                let bytes = builder.build_with(&mut self.compressor).map_err(|error| {
                    WorkerError::Fatal(format!("building a batch for {topic}-{partition}: {error}"))
                })?;
                self.close(TopicPartition::new(Arc::clone(&topic), partition as i32), bytes);
            }
        }
        (self.records, self.in_memory) = (0, (0, 0));
        let mut deliveries = Vec::with_capacity(self.closed.len());
        for (partition, batch) in self.closed.drain(..) {
            let bytes = match batch {
                Batch::Here(bytes) => bytes,
                Batch::Away(kept) => Bytes::from(kept.read().map_err(StageError::Scratch)?),
            };
            deliveries.push(producer.send_batch(&partition, bytes).await?);
        }
        self.let_go();
        Ok(deliveries)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.let_go();
    }
}

fn failed(topic: &str, partition: u32, error: &BatchError) -> WorkerError {
    WorkerError::Fatal(format!("putting a record for {topic}-{partition} into a batch: {error}"))
}

/// Whether a record surely fits a batch of so many bytes, with the batch's own bytes.
fn is_small(record: &RecordRef<'_>, bytes_max: usize) -> bool {
    BatchBuilder::record_bytes_max(record.key, record.value, record.headers) + 1_024 <= bytes_max
}

/// A batch of one record, if it fits.
fn alone(
    record: &RecordRef<'_>,
    bytes_max: usize,
    compressor: &mut Compressor,
) -> Result<Result<Bytes, Fits>, BatchError> {
    let bytes = BatchBuilder::record_bytes_max(record.key, record.value, record.headers);
    let config = BatchConfig { batch_bytes_max: BATCH_BYTES, codec: CODEC, ..BatchConfig::default() };
    let mut batch = BatchBuilder::new(config);
    match batch.append(record) {
        Ok(_) => {}
        Err(BatchError::UncompressedTooLarge { max, .. }) => return Ok(Err(Fits::No { bytes, most: max })),
        Err(error) => return Err(error),
    }
    let built = batch.build_with(compressor)?;
    Ok(if built.len() > bytes_max { Err(Fits::No { bytes, most: bytes_max }) } else { Ok(built) })
}

/// Whether a record can be in a batch of so many bytes.
pub fn fits(record: &RecordRef<'_>, bytes_max: usize) -> Result<Fits, BatchError> {
    if is_small(record, BATCH_BYTES.min(bytes_max)) {
        return Ok(Fits::Yes);
    }
    Ok(alone(record, bytes_max, &mut Compressor::default())?.map_or_else(|no| no, |_| Fits::Yes))
}

/// Whether a record can be in a batch of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    /// It is in one.
    Yes,
    /// It is in none.
    No {
        /// Its bytes.
        bytes: usize,
        /// And how many a batch has at most, compressed, or not where nothing compressed could be read either.
        most: usize,
    },
}

/// What a topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// The most bytes that a batch has.
    pub bytes_max: usize,
    /// Each record has a key: it is compacted.
    pub keyed: bool,
}

/// What a topic takes, as the broker says; everything where it does not.
pub async fn takes(admin: &Admin, topic: &str) -> Takes {
    match admin.describe_configs(&ConfigResource::Topic(topic.to_owned())).await {
        Ok(configs) => {
            let of = |name: &str| configs.iter().find(|config| config.name == name)?.value.clone();
            let bytes_max = of("max.message.bytes").and_then(|bytes| bytes.parse().ok());
            let keyed = of("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
            Takes { bytes_max: bytes_max.unwrap_or(usize::MAX), keyed }
        }
        Err(error) => {
            tracing::debug!(topic, %error, "what it takes is not known");
            Takes { bytes_max: usize::MAX, keyed: false }
        }
    }
}

/// The most bytes that a batch of a topic has, as the broker says; as many as may be where it does not.
pub async fn batch_bytes_max(admin: &Admin, topic: &str) -> usize {
    takes(admin, topic).await.bytes_max
}

/// Where dead letters go.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: u32,
}
