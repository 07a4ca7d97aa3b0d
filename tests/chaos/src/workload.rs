//! What all workers of a run share: the topic, the history, when to stop; and how a record carries its value. Never enters:
//! what a worker does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millstream_batch::{Codec, RecordView};
use millstream_checker::history::{Polled, Sent};
use millstream_client::{
    ClientConfig, ClientError, Cluster, ConsumerRecords, Delivery, Producer, ProducerConfig, ProducerRecord,
    Result,
};
use millstream_types::{Rng, SeededRng, TopicPartition};

use crate::recorder::Recorder;

/// Bytes that fill a record up behind its value.
const PADDING: &[u8] = &[b'.'; 200];

/// A run's workers' common ground.
pub(crate) struct Workload {
    pub recorder: Arc<Recorder>,
    pub bootstrap: String,
    /// What writers write and groups read.
    pub topic: Arc<str>,
    /// Where copies of it go.
    pub copies: Arc<str>,
    /// How many partitions each of them has.
    pub partitions_in: usize,
    /// The partitions of both, as the history calls them.
    pub names: Vec<String>,
    /// The longest pause of a writer between two operations.
    pub pace_max: Duration,
    stop: AtomicBool,
}

/// A record to be.
#[derive(Clone, Copy)]
pub(crate) struct Planned {
    pub partition: usize,
    pub value: u64,
}

impl Workload {
    pub fn new(
        recorder: Arc<Recorder>,
        bootstrap: String,
        topic: Arc<str>,
        partitions: usize,
        pace_max: Duration,
    ) -> Workload {
        let copies: Arc<str> = format!("{topic}-copies").into();
        let names = [&topic, &copies]
            .into_iter()
            .flat_map(|topic| (0..partitions).map(move |partition| format!("{topic}-{partition}")))
            .collect();
        let stop = AtomicBool::new(false);
        Workload { recorder, bootstrap, topic, copies, partitions_in: partitions, names, pace_max, stop }
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// A view of the cluster of a worker's own. Its time-outs are short: a pause has to pass them.
    pub fn cluster(&self, rng: &mut SeededRng) -> Result<Arc<Cluster>> {
        Cluster::new(ClientConfig {
            request_timeout: Duration::from_secs(4),
            connect_timeout: Duration::from_secs(4),
            api_timeout: Duration::from_secs(20),
            seed: Some(rng.next_u64()),
            ..ClientConfig::new(&self.bootstrap)
        })
    }

    /// A producer's settings, each time others.
    pub fn producer_config(&self, rng: &mut SeededRng) -> ProducerConfig {
        let codecs = [Codec::None, Codec::Lz4, Codec::Zstd, Codec::Snappy, Codec::Gzip];
        ProducerConfig {
            compression: codecs[rng.below(codecs.len() as u64) as usize],
            batch_bytes: 300 + rng.below(8_000) as usize,
            linger: Duration::from_millis(rng.below(8)),
            in_flight_max: 1 + rng.below(5) as usize,
            delivery_timeout: Duration::from_secs(30),
            ..ProducerConfig::default()
        }
    }

    pub fn partition(&self, partition: usize) -> TopicPartition {
        match partition.checked_sub(self.partitions_in) {
            Some(partition) => TopicPartition::new(self.copies.clone(), partition as i32),
            None => TopicPartition::new(self.topic.clone(), partition as i32),
        }
    }

    pub fn partitions(&self) -> Vec<TopicPartition> {
        (0..self.names.len()).map(|partition| self.partition(partition)).collect()
    }

    /// Which of [`Workload::partitions`] it is.
    pub fn index(&self, partition: &TopicPartition) -> usize {
        let before = if partition.topic == self.copies { self.partitions_in } else { 0 };
        before + partition.partition as usize
    }

    /// A partition as the history calls it.
    pub fn name(&self, partition: &TopicPartition) -> &str {
        &self.names[self.index(partition)]
    }

    /// Up to `most` records for up to `spread` partitions.
    pub fn plan(&self, rng: &mut SeededRng, most: u64, spread: u64) -> Vec<Planned> {
        let partitions = self.partitions_in as u64;
        let chosen: Vec<usize> = (0..1 + rng.below(spread)).map(|_| rng.below(partitions) as usize).collect();
        (0..1 + rng.below(most))
            .map(|_| Planned {
                partition: chosen[rng.below(chosen.len() as u64) as usize],
                value: self.recorder.value(),
            })
            .collect()
    }

    /// The plan as an `invoke` tells it.
    pub fn invoked(&self, plan: &[Planned]) -> Vec<Sent<'_>> {
        plan.iter().map(|p| (self.names[p.partition].as_str(), p.value, None)).collect()
    }

    /// Hands a planned record to a producer.
    pub async fn send(&self, producer: &Producer, planned: Planned) -> Result<Delivery> {
        let mut value = planned.value.to_be_bytes().to_vec();
        value.extend_from_slice(&PADDING[..(planned.value % PADDING.len() as u64) as usize]);
        let partition = self.partition(planned.partition);
        let record = ProducerRecord::new(partition.topic, None, Some(Bytes::from(value)));
        producer.send(ProducerRecord { partition: Some(partition.partition), ..record }).await
    }

    /// What became of each: its offset, -1 where it is there at an unknown one, or the first error.
    pub async fn outcomes<'a>(
        &'a self,
        plan: &[Planned],
        deliveries: Vec<Result<Delivery>>,
    ) -> (Vec<Sent<'a>>, Option<ClientError>) {
        let (mut sends, mut failed) = (Vec::new(), None);
        for (planned, delivery) in plan.iter().zip(deliveries) {
            let outcome = match delivery {
                Ok(delivery) => delivery.wait().await,
                Err(error) => Err(error),
            };
            let offset = match outcome {
                Ok(metadata) => Some(metadata.offset.unwrap_or(-1)),
                Err(error) => {
                    failed.get_or_insert(error);
                    None
                }
            };
            sends.push((self.names[planned.partition].as_str(), planned.value, offset));
        }
        (sends, failed)
    }

    /// The pause between two operations.
    pub async fn pace(&self, rng: &mut SeededRng) {
        let most = self.pace_max.as_micros() as u64;
        tokio::time::sleep(Duration::from_micros(rng.below(most.max(1)))).await;
    }

    /// What a poll returned, as the history tells it.
    pub fn polled<'a>(&'a self, records: &ConsumerRecords) -> Result<Vec<Polled<'a>>> {
        let mut polls = Vec::new();
        for part in &records.partitions {
            let found = part.records().map(|record| record.map(|r| (r.offset, value_of(&r))));
            let found = found.collect::<Result<Vec<(i64, u64)>>>()?;
            if !found.is_empty() {
                polls.push((self.name(&part.partition), found));
            }
        }
        Ok(polls)
    }
}

/// The value that a record carries; what no writer of ours wrote has one that nobody sent.
pub(crate) fn value_of(record: &RecordView<'_>) -> u64 {
    let bytes = record.value.and_then(|value| value.get(..8)).and_then(|value| value.try_into().ok());
    let value = bytes.map_or(u64::MAX, u64::from_be_bytes);
    let padding = (value % PADDING.len() as u64) as usize;
    let whole = record.value.is_some_and(|bytes| bytes.get(8..) == Some(&PADDING[..padding]));
    if whole { value } else { u64::MAX }
}
