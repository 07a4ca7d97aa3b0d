//! Sending records: batched for each partition, compressed, idempotent, in transactions, with back-pressure by bytes.
//! Owns what an application calls. A record may be sent and forgotten, awaited, or answered to a callback.
//! Never enters: sockets (`broker_conn`), the order of batches (`producer/accumulator`).

pub(crate) mod accumulator;
pub mod partitioner;
pub(crate) mod sender;
pub(crate) mod transaction;

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millstream_batch::{BatchBuilder, HeaderView};
use millstream_types::{ErrorCode, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::config::ProducerConfig;
use crate::consumer::{GroupMetadata, OffsetAndMetadata};
use crate::error::{ClientError, Result};
use accumulator::{Accumulator, Appended, Batch, Callback, MakeCallback, Outcome, RecordInput};
pub use partitioner::{
    DefaultPartitioner, Deserializer, PartitionInput, Partitioner, Placement, Plain, Serializer,
};
use transaction::Transaction;

/// A header of a record that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The key; keys may repeat.
    pub key: String,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
}

/// A record to send.
#[derive(Clone, Debug, Default)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; `None` leaves it to the partitioner.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; `None` is now.
    pub timestamp: Option<i64>,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
}

impl ProducerRecord {
    /// A record with a key and a value.
    pub fn new(topic: impl Into<Arc<str>>, key: Option<Bytes>, value: Option<Bytes>) -> ProducerRecord {
        ProducerRecord { topic: topic.into(), key, value, ..ProducerRecord::default() }
    }
}

/// Where a record ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: TopicPartition,
    /// Its offset; `None` where the broker does not say: with acks=0, or when the answer to it was lost and its repetition
    /// was recognised.
    pub offset: Option<i64>,
    /// Its timestamp, in milliseconds since 1970; the broker's where the topic has LogAppendTime.
    pub timestamp: i64,
}

/// A record that was taken. Dropping it forgets the record's outcome, not the record.
#[derive(Debug)]
#[must_use = "await it to know whether the record was kept, or drop it on purpose"]
pub struct Delivery {
    outcome: watch::Receiver<Outcome>,
    partition: TopicPartition,
    offset_delta: i32,
    timestamp: i64,
}

impl Delivery {
    /// The partition that the record goes to.
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Waits until the record is kept, or given up.
    pub async fn wait(mut self) -> Result<RecordMetadata> {
        let outcome = self.outcome.wait_for(Option::is_some).await.map_err(|_| ClientError::Closed)?.clone();
        let appended = outcome.unwrap_or(Err(ClientError::Closed))?;
        Ok(metadata(&self.partition, self.offset_delta, self.timestamp, appended))
    }
}

impl IntoFuture for Delivery {
    type Output = Result<RecordMetadata>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<RecordMetadata>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}

fn metadata(partition: &TopicPartition, delta: i32, timestamp: i64, appended: Appended) -> RecordMetadata {
    RecordMetadata {
        partition: partition.clone(),
        offset: (appended.base_offset >= 0).then(|| appended.base_offset + i64::from(delta)),
        timestamp: if appended.append_time >= 0 { appended.append_time } else { timestamp },
    }
}

/// What the producer and its tasks share.
pub(crate) struct Inner {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) config: Arc<ProducerConfig>,
    pub(crate) accumulator: Mutex<Accumulator>,
    pub(crate) transaction: Option<Transaction>,
    partitioner: Box<dyn Partitioner>,
    /// Bytes of the buffer that are free.
    memory: Semaphore,
    /// Wakes the sender.
    pub(crate) wake: Notify,
    /// Told whenever a batch got its outcome.
    pub(crate) progress: Notify,
    refresh_wanted: AtomicBool,
}

impl Inner {
    pub(crate) fn want_refresh(&self) {
        self.refresh_wanted.store(true, Ordering::Release);
    }

    pub(crate) fn take_refresh_wanted(&self) -> bool {
        self.refresh_wanted.swap(false, Ordering::AcqRel)
    }

    /// Gives a batch's bytes back and tells its outcome.
    pub(crate) fn release(&self, batch: Batch, result: Result<Appended>) {
        self.memory.add_permits(batch.reserved);
        batch.finish(result);
        self.progress.notify_waiters();
    }

    /// Drops every batch that is not under way.
    pub(crate) fn drop_unsent(&self, error: &ClientError) {
        let unsent = self.accumulator.lock().take_unsent();
        for batch in unsent {
            self.release(batch, Err(error.clone()));
        }
    }

    pub(crate) fn fail_everything(&self, error: &ClientError) {
        self.drop_unsent(error);
        if let Some(txn) = &self.transaction {
            txn.fail(error.clone());
        }
    }

    /// Waits until everything that was sent so far has an outcome.
    pub(crate) async fn flush(&self) {
        let waiting = self.accumulator.lock().flush();
        self.wake.notify_one();
        for mut outcome in waiting {
            // A sender that is gone has told its outcome, or was dropped with the producer.
            let _ = outcome.wait_for(Option::is_some).await;
        }
    }

    async fn reserve(&self, bytes: usize) -> Result<()> {
        let what = || format!("waiting for room in the buffer of {} bytes", self.config.buffer_bytes);
        if bytes > self.config.buffer_bytes {
            let text =
                format!("a record of {bytes} bytes exceeds buffer_bytes ({})", self.config.buffer_bytes);
            return Err(ClientError::config(text));
        }
        if let Ok(permit) = self.memory.try_acquire_many(bytes as u32) {
            permit.forget();
            return Ok(());
        }
        // Batches that linger hold the room that is waited for.
        self.accumulator.lock().flush();
        self.wake.notify_one();
        let within = self.config.block_max;
        match tokio::time::timeout(within, self.memory.acquire_many(bytes as u32)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(())
            }
            Ok(Err(_)) => Err(ClientError::Closed),
            Err(_) => {
                Err(ClientError::Timeout { what: what().into(), timeout_ms: within.as_millis() as u64 })
            }
        }
    }
}

/// Sends records. Cheap to share behind an `Arc`; every call takes `&self`.
pub struct Producer {
    inner: Arc<Inner>,
    sender: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer with Kafka's partitioner. Runs a task on the current tokio runtime.
    pub fn new(cluster: &Arc<Cluster>, config: ProducerConfig) -> Result<Producer> {
        Producer::with_partitioner(cluster, config, Box::new(DefaultPartitioner))
    }

    /// A producer with a partitioner of the application's.
    pub fn with_partitioner(
        cluster: &Arc<Cluster>,
        config: ProducerConfig,
        partitioner: Box<dyn Partitioner>,
    ) -> Result<Producer> {
        config.validate()?;
        let config = Arc::new(config);
        let inner = Arc::new(Inner {
            cluster: cluster.clone(),
            accumulator: Mutex::new(Accumulator::new(config.clone())),
            transaction: config.transactional_id.as_deref().map(Transaction::new),
            partitioner,
            memory: Semaphore::new(config.buffer_bytes),
            wake: Notify::new(),
            progress: Notify::new(),
            refresh_wanted: AtomicBool::new(false),
            config,
        });
        let sender = tokio::spawn(sender::run(inner.clone()));
        Ok(Producer { inner, sender: Mutex::new(Some(sender)) })
    }

    /// Takes a record, waiting for room (`block_max` at most). The record is on its way when this returns; await the
    /// [`Delivery`] to know that it was kept.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery> {
        self.enqueue(&record, |_, _| None).await
    }

    /// [`Producer::send`], where `callback` is called with the outcome. It runs on the producer's task and must not block.
    pub async fn send_with(
        &self,
        record: ProducerRecord,
        callback: impl FnOnce(Result<RecordMetadata>) + Send + 'static,
    ) -> Result<()> {
        let delivery = self
            .enqueue(&record, |partition, timestamp| {
                let partition = partition.clone();
                // The record's place in its batch is known once it is in; see `enqueue`.
                Some(Box::new(move |delta: i32| -> Callback {
                    Box::new(move |result: &Result<Appended>| {
                        callback(result.clone().map(|a| metadata(&partition, delta, timestamp, a)));
                    })
                }))
            })
            .await?;
        drop(delivery);
        Ok(())
    }

    async fn enqueue(
        &self,
        record: &ProducerRecord,
        callback: impl FnOnce(&TopicPartition, i64) -> Option<MakeCallback>,
    ) -> Result<Delivery> {
        let inner = &self.inner;
        if let Some(txn) = &inner.transaction {
            txn.record()?;
        }
        let partition = self.place(record).await?;
        let headers: Vec<HeaderView<'_>> = record
            .headers
            .iter()
            .map(|header| HeaderView { key: header.key.as_bytes(), value: header.value.as_deref() })
            .collect();
        let size = BatchBuilder::record_bytes_max(record.key.as_deref(), record.value.as_deref(), &headers);
        if size + millstream_batch::header::HEADER_BYTES > inner.config.request_bytes_max {
            return Err(ClientError::Broker {
                what: format!(
                    "sending a record of {size} bytes to {partition}, where request_bytes_max is {}",
                    inner.config.request_bytes_max
                )
                .into(),
                code: ErrorCode::MessageTooLarge,
                message: None,
            });
        }
        inner.reserve(size).await?;
        let timestamp = record.timestamp.unwrap_or_else(now_ms);
        let input = RecordInput {
            timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            reserved: size,
        };
        let callback = callback(&partition, timestamp);
        let placed = {
            let mut accumulator = inner.accumulator.lock();
            // Looked at under the lock that an abort takes to drop what was not sent.
            let allowed = match &inner.transaction {
                _ if accumulator.closed => Err(ClientError::Closed),
                Some(txn) => txn.record(),
                None => Ok(()),
            };
            let placed = allowed.and_then(|()| accumulator.append(&partition, &input, callback));
            if record.partition.is_none() && record.key.is_none() {
                accumulator.sticky_wrote(&partition.topic, size);
            }
            placed
        };
        match placed {
            Ok(placed) => {
                if placed.wake {
                    inner.wake.notify_one();
                }
                Ok(Delivery {
                    outcome: placed.outcome,
                    partition,
                    offset_delta: placed.offset_delta,
                    timestamp,
                })
            }
            Err(error) => {
                inner.memory.add_permits(size);
                Err(error)
            }
        }
    }

    async fn place(&self, record: &ProducerRecord) -> Result<TopicPartition> {
        let inner = &self.inner;
        let topic = inner.cluster.topic(&record.topic, inner.config.block_max).await?;
        let count = topic.partition_count();
        let at = match record.partition {
            Some(at) if (0..count).contains(&at) => at,
            Some(at) => {
                let text = format!("{} has {count} partitions; there is no partition {at}", record.topic);
                return Err(ClientError::config(text));
            }
            None => {
                let input = PartitionInput {
                    topic: &record.topic,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    partitions: count.max(1),
                };
                match inner.partitioner.place(input)? {
                    Placement::Partition(at) => at,
                    Placement::Sticky => {
                        let up: Vec<i32> =
                            (0..count).filter(|at| topic.leaders[*at as usize].is_some()).collect();
                        let choose = |last: Option<i32>| {
                            let up: Vec<i32> = up.iter().copied().filter(|at| Some(*at) != last).collect();
                            match up.len() {
                                0 => last.unwrap_or(0),
                                n => up[inner.cluster.random(n as u64) as usize],
                            }
                        };
                        inner.accumulator.lock().sticky_partition(&record.topic, choose)
                    }
                }
            }
        };
        Ok(TopicPartition::new(record.topic.clone(), at))
    }

    /// Takes a whole batch that the application built (`millstream_batch::BatchBuilder`): uncompressed or compressed,
    /// without producer id, which is written into it here. The outcome's offset is its first record's.
    pub async fn send_batch(&self, partition: &TopicPartition, bytes: Bytes) -> Result<Delivery> {
        let inner = &self.inner;
        if let Some(txn) = &inner.transaction {
            txn.record()?;
        }
        let header = sender::check_prebuilt(&bytes)
            .map_err(|source| ClientError::Batch { partition: partition.clone(), source })?;
        let topic = inner.cluster.topic(&partition.topic, inner.config.block_max).await?;
        if !(0..topic.partition_count()).contains(&partition.partition) {
            return Err(ClientError::config(format!("there is no partition {partition}")));
        }
        let size = bytes.len();
        inner.reserve(size).await?;
        let placed = {
            let mut accumulator = inner.accumulator.lock();
            let allowed = match &inner.transaction {
                _ if accumulator.closed => Err(ClientError::Closed),
                Some(txn) => txn.record(),
                None => Ok(()),
            };
            allowed.map(|()| accumulator.append_batch(partition, bytes, header.record_count, size))
        };
        match placed {
            Ok(placed) => {
                inner.wake.notify_one();
                let timestamp = header.max_timestamp;
                let partition = partition.clone();
                Ok(Delivery { outcome: placed.outcome, partition, offset_delta: 0, timestamp })
            }
            Err(error) => {
                inner.memory.add_permits(size);
                Err(error)
            }
        }
    }

    /// Sends everything that waits, and waits until all of it has an outcome. Errors are told where records were sent.
    pub async fn flush(&self) {
        self.inner.flush().await;
    }

    /// Gets the producer id of the transactional id; ends what an earlier producer with it left open, and fences that one.
    pub async fn init_transactions(&self) -> Result<()> {
        self.inner.init_transactions().await
    }

    /// Opens a transaction: what is sent from now on belongs to it.
    pub fn begin_transaction(&self) -> Result<()> {
        self.inner.begin_transaction()
    }

    /// Makes positions of a group part of the transaction: they are committed with it or not at all.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
        group: &GroupMetadata,
    ) -> Result<()> {
        self.inner.send_offsets(offsets, group).await
    }

    /// Commits the transaction: all of its records and positions count, or none.
    ///
    /// # Errors
    /// `MustAbort` where something of it failed: call [`Producer::abort_transaction`]. `Fenced` where another producer has
    /// taken over: close this one. After a time-out the outcome is unknown.
    pub async fn commit_transaction(&self) -> Result<()> {
        self.inner.commit_transaction().await
    }

    /// Aborts the transaction: none of its records and positions count.
    pub async fn abort_transaction(&self) -> Result<()> {
        self.inner.abort_transaction().await
    }

    /// The producer id and epoch, once there are any.
    pub fn producer_id(&self) -> Option<(i64, i16)> {
        self.inner.accumulator.lock().identity().map(|identity| (identity.id, identity.epoch))
    }

    /// Bytes that wait to be acknowledged.
    pub fn buffered_bytes(&self) -> usize {
        self.inner.config.buffer_bytes.saturating_sub(self.inner.memory.available_permits())
    }

    /// Takes nothing more, sends what is there, and ends; what is not acknowledged `within` fails with `Closed`.
    pub async fn close(&self, within: Duration) {
        self.inner.accumulator.lock().closed = true;
        let _ = tokio::time::timeout(within, self.inner.flush()).await;
        let sender = self.sender.lock().take();
        if let Some(sender) = sender {
            self.inner.wake.notify_one();
            if tokio::time::timeout(Duration::from_millis(100), sender).await.is_err() {
                self.inner.drop_unsent(&ClientError::Closed);
            }
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // The sender sends what is there and ends.
        self.inner.accumulator.lock().closed = true;
        self.inner.wake.notify_one();
    }
}

/// A producer of an application's own types.
pub struct TypedProducer<K: ?Sized, V: ?Sized> {
    producer: Arc<Producer>,
    key: Box<dyn Serializer<K>>,
    value: Box<dyn Serializer<V>>,
}

impl<K: ?Sized, V: ?Sized> TypedProducer<K, V> {
    /// Sends through `producer`, writing keys and values with these.
    pub fn new(
        producer: Arc<Producer>,
        key: Box<dyn Serializer<K>>,
        value: Box<dyn Serializer<V>>,
    ) -> TypedProducer<K, V> {
        TypedProducer { producer, key, value }
    }

    /// Takes a record.
    pub async fn send(&self, topic: &Arc<str>, key: Option<&K>, value: Option<&V>) -> Result<Delivery> {
        let key = key.map(|key| self.key.serialize(topic, key)).transpose()?.flatten();
        let value = value.map(|value| self.value.serialize(topic, value)).transpose()?.flatten();
        self.producer.send(ProducerRecord::new(topic.clone(), key, value)).await
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for TypedProducer<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypedProducer").field("producer", &self.producer).finish_non_exhaustive()
    }
}

/// Wall time, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
