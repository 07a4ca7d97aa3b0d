//! What a commit writes: records put together into batches for each partition, then handed to the producer as whole
//! batches. Never enters: when to commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{
    Append, BatchBuilder, BatchConfig, Codec, Compressor, Delivery, HeaderView, Producer, RecordRef,
};
use millstream_connect::dead_letter::DeadLetter;
use millstream_types::TopicPartition;

use crate::error::WorkerError;

/// Batches are closed at about this size; one record is always taken.
const BATCH_BYTES: usize = 256 << 10;
/// Writing, flushing and reading a third of the bytes saves more than compressing costs (docs/internals/measurements.md).
const CODEC: Codec = Codec::Lz4;

/// Records on their way.
#[derive(Default)]
pub struct Outbox {
    open: BTreeMap<Arc<str>, Vec<Option<BatchBuilder>>>,
    closed: Vec<(TopicPartition, Bytes)>,
    records: u64,
    compressor: Compressor,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Appends a record.
    pub fn append(
        &mut self,
        topic: &Arc<str>,
        partition: u32,
        record: &RecordRef<'_>,
    ) -> Result<(), WorkerError> {
        if !self.open.contains_key(topic) {
            self.open.insert(Arc::clone(topic), Vec::new());
        }
        let builders = self.open.get_mut(topic).expect("it was put there");
        let at = partition as usize;
        if builders.len() <= at {
            builders.resize_with(at + 1, || None);
        }
        let failed = |error: millstream_client::BatchError| {
            WorkerError::Fatal(format!("putting a record for {topic}-{partition} into a batch: {error}"))
        };
        let config = BatchConfig { batch_bytes_max: BATCH_BYTES, codec: CODEC, ..BatchConfig::default() };
        let new = || BatchBuilder::new(config.clone());
        let builder = builders[at].get_or_insert_with(new);
        if builder.append(record).map_err(failed)? == Append::Full {
            let full = std::mem::replace(builder, new());
            let bytes = full.build_with(&mut self.compressor).map_err(failed)?;
            self.closed.push((TopicPartition::new(Arc::clone(topic), partition as i32), bytes));
            builder.append(record).map_err(failed)?;
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
                self.closed.push((TopicPartition::new(Arc::clone(&topic), partition as i32), bytes));
            }
        }
        self.records = 0;
        let mut deliveries = Vec::with_capacity(self.closed.len());
        for (partition, bytes) in self.closed.drain(..) {
            deliveries.push(producer.send_batch(&partition, bytes).await?);
        }
        Ok(deliveries)
    }
}

/// Where dead letters go.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: u32,
}
