//! What the tests share: the cluster under test, topics with names of their own, and reading a topic to its end.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use millstream_client::admin::NewTopic;
use millstream_client::{
    Admin, ClientConfig, Cluster, Consumer, ConsumerConfig, Isolation, OffsetReset, Producer, ProducerConfig,
    ProducerRecord,
};
use millstream_types::TopicPartition;

/// Runs `test` against the cluster that the environment names.
pub fn against_cluster<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Arc<Cluster>) -> F) {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_BOOTSTRAP") else {
        eprintln!("left out: {name} needs a broker; set MILLSTREAM_TEST_BOOTSTRAP=host:port");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let cluster = Cluster::new(ClientConfig::new(&bootstrap)).expect("a good config");
        tokio::time::timeout(Duration::from_secs(120), test(cluster)).await.expect("the test hangs");
    });
}

/// A name that no other test run has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos();
    format!("{prefix}-{nanos:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new topic.
pub async fn topic(cluster: &Arc<Cluster>, partitions: i32) -> Arc<str> {
    let name = unique("it");
    Admin::new(cluster).create_topics(&[NewTopic::new(&name, partitions)]).await.expect("a topic");
    name.into()
}

/// Looks until `check` is true: Kafka's brokers learn of a change a little after the controller has confirmed it.
pub async fn eventually<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let start = Instant::now();
    while !check().await {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} is still not so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A record of text.
pub fn record(topic: &Arc<str>, key: &str, value: &str) -> ProducerRecord {
    let bytes = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
    ProducerRecord::new(topic.clone(), bytes(key), bytes(value))
}

/// Sends values, each keyed by its number, and waits for all of them.
pub async fn fill(cluster: &Arc<Cluster>, topic: &Arc<str>, values: std::ops::Range<usize>) {
    let producer = Producer::new(cluster, ProducerConfig::default()).expect("a good config");
    let mut deliveries = Vec::new();
    for i in values {
        deliveries.push(producer.send(record(topic, &i.to_string(), &format!("v{i}"))).await.expect("taken"));
    }
    for delivery in deliveries {
        delivery.await.expect("kept");
    }
    producer.close(Duration::from_secs(10)).await;
}

/// The values of every partition, from the first to the end as `isolation` sees it.
pub async fn read_all(
    cluster: &Arc<Cluster>,
    topic: &Arc<str>,
    isolation: Isolation,
) -> BTreeMap<TopicPartition, Vec<String>> {
    let config =
        ConsumerConfig { offset_reset: OffsetReset::Earliest, isolation, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(cluster, config).expect("a good config");
    let count = Admin::new(cluster).describe_topic(topic).await.expect("the topic").partition_count();
    let partitions: Vec<TopicPartition> =
        (0..count).map(|at| TopicPartition::new(topic.clone(), at)).collect();
    consumer.assign(partitions.clone()).await.expect("assigned");
    let ends = consumer.end_offsets(&partitions).await.expect("ends");
    let mut found: BTreeMap<TopicPartition, Vec<String>> = BTreeMap::new();
    let start = Instant::now();
    while partitions.iter().any(|p| consumer.position(p).is_none_or(|at| at < ends[p].offset)) {
        assert!(start.elapsed() < Duration::from_secs(30), "at {:?} of {ends:?}", consumer.positions());
        for part in consumer.poll(Duration::from_millis(200)).await.expect("polled").partitions {
            for record in part.records() {
                let value = record.expect("good").value.unwrap_or_default().to_vec();
                found
                    .entry(part.partition.clone())
                    .or_default()
                    .push(String::from_utf8(value).expect("text"));
            }
        }
    }
    consumer.close().await.expect("closed");
    found
}

/// All values, sorted.
pub fn sorted(found: &BTreeMap<TopicPartition, Vec<String>>) -> Vec<String> {
    let mut all: Vec<String> = found.values().flatten().cloned().collect();
    all.sort();
    all
}
