//! Whole topics: made, filled with texts, and read to their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_client::admin::NewTopic;
use millstream_client::{
    Admin, Cluster, Consumer, ConsumerConfig, Isolation, OffsetReset, Producer, ProducerConfig,
    ProducerRecord,
};
use millstream_types::TopicPartition;

/// A name that nothing else in this process has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new topic with a name of its own.
///
/// # Panics
/// Where it is refused.
pub async fn topic(cluster: &Arc<Cluster>, partitions: i32) -> Arc<str> {
    let name = unique("topic");
    topic_named(cluster, NewTopic::new(&name, partitions)).await;
    name.into()
}

/// A new topic.
///
/// # Panics
/// Where it is refused.
pub async fn topic_named(cluster: &Arc<Cluster>, topic: NewTopic) {
    let made = Admin::new(cluster).create_topics(&[topic]).await;
    made.unwrap_or_else(|e| panic!("making a test's topic: {e}"));
}

/// A record of texts.
pub fn record(topic: &Arc<str>, key: &str, value: &str) -> ProducerRecord {
    let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    ProducerRecord::new(Arc::clone(topic), bytes(key), bytes(value))
}

/// Sends the values `v<n>`, each keyed by its number, and waits until all are kept.
///
/// # Panics
/// Where one is refused.
pub async fn fill(cluster: &Arc<Cluster>, topic: &Arc<str>, values: std::ops::Range<usize>) {
    let producer = Producer::new(cluster, ProducerConfig::default());
    let producer = producer.unwrap_or_else(|e| panic!("a test's producer: {e}"));
    let mut deliveries = Vec::new();
    for i in values {
        let sent = producer.send(record(topic, &i.to_string(), &format!("v{i}"))).await;
        deliveries.push(sent.unwrap_or_else(|e| panic!("sending v{i}: {e}")));
    }
    for delivery in deliveries {
        delivery.wait().await.unwrap_or_else(|e| panic!("a record was not kept: {e}"));
    }
    producer.close(Duration::from_secs(10)).await;
}

/// The values of every partition in order, from the first to the end as `isolation` sees it now.
///
/// # Panics
/// Where reading fails, or makes no way for half a minute.
pub async fn read_all(
    cluster: &Arc<Cluster>,
    topic: &Arc<str>,
    isolation: Isolation,
) -> BTreeMap<TopicPartition, Vec<String>> {
    let config =
        ConsumerConfig { offset_reset: OffsetReset::Earliest, isolation, ..ConsumerConfig::default() };
    let consumer = Consumer::new(cluster, config);
    let mut consumer = consumer.unwrap_or_else(|e| panic!("a test's consumer: {e}"));
    let described = Admin::new(cluster).describe_topic(topic).await;
    let count = described.unwrap_or_else(|e| panic!("describing {topic}: {e}")).partition_count();
    let partitions: Vec<TopicPartition> =
        (0..count).map(|at| TopicPartition::new(Arc::clone(topic), at)).collect();
    consumer.assign(partitions.clone()).await.unwrap_or_else(|e| panic!("assigning {topic}: {e}"));
    let ends = consumer.end_offsets(&partitions).await.unwrap_or_else(|e| panic!("the ends of {topic}: {e}"));
    let mut found: BTreeMap<TopicPartition, Vec<String>> = BTreeMap::new();
    let start = Instant::now();
    while partitions.iter().any(|p| consumer.position(p).is_none_or(|at| at < ends[p].offset)) {
        assert!(start.elapsed() < Duration::from_secs(30), "at {:?} of {ends:?}", consumer.positions());
        let records = consumer.poll(Duration::from_millis(200)).await;
        for part in records.unwrap_or_else(|e| panic!("reading {topic}: {e}")).partitions {
            for record in part.records() {
                let record = record.unwrap_or_else(|e| panic!("a record of {topic}: {e}"));
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                found.entry(part.partition.clone()).or_default().push(value);
            }
        }
    }
    let _ = consumer.close().await;
    found
}

/// All values of [`read_all`], sorted.
///
/// # Panics
/// As [`read_all`].
pub async fn values(cluster: &Arc<Cluster>, topic: &Arc<str>, isolation: Isolation) -> Vec<String> {
    let mut all: Vec<String> = read_all(cluster, topic, isolation).await.into_values().flatten().collect();
    all.sort();
    all
}

/// The values that [`fill`] sends, sorted.
pub fn filled(values: std::ops::Range<usize>) -> Vec<String> {
    let mut all: Vec<String> = values.map(|i| format!("v{i}")).collect();
    all.sort();
    all
}
