//! What the client itself costs: records and prebuilt batches sent and read back, against the broker that
//! MILLSTREAM_TEST_BOOTSTRAP names: `cargo bench -p millstream-client`. CPU seconds are this process's, broker apart. Owns
//! no code of the crate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_batch::{BatchBuilder, BatchConfig, RecordRef};
use millstream_client::admin::NewTopic;
use millstream_client::{
    Admin, ClientConfig, Cluster, Consumer, ConsumerConfig, OffsetReset, Producer, ProducerConfig,
    ProducerRecord,
};
use millstream_types::TopicPartition;

const PARTITIONS: i32 = 12;
const VALUE_BYTES: usize = 680;

/// CPU seconds of this process so far, where the system tells.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn report(what: &str, records: usize, start: Instant, cpu: f64) {
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let megabytes = (records * VALUE_BYTES) as f64 / 1e6;
    println!(
        "{what:34} {:9.0} records/s {:7.0} MB/s {:6.2} CPU-s for each million records",
        records as f64 / seconds,
        megabytes / seconds,
        cpu * 1e6 / records as f64
    );
}

async fn produce_records(cluster: &Arc<Cluster>, topic: &Arc<str>, records: usize) {
    let config = ProducerConfig { batch_bytes: 64 * 1024, ..ProducerConfig::default() };
    let producer = Producer::new(cluster, config).expect("a good config");
    let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
    for i in 0..records {
        let key = Bytes::from((i as u32).to_be_bytes().to_vec());
        let record = ProducerRecord::new(topic.clone(), Some(key), Some(value.clone()));
        drop(producer.send(record).await.expect("taken"));
    }
    producer.flush().await;
}

async fn produce_batches(cluster: &Arc<Cluster>, topic: &Arc<str>, records: usize) {
    let producer = Producer::new(cluster, ProducerConfig::default()).expect("a good config");
    let value = vec![b'x'; VALUE_BYTES];
    let in_batch = 94;
    for batch in 0..records / in_batch {
        let config = BatchConfig { batch_bytes_max: usize::MAX, ..BatchConfig::default() };
        let mut builder = BatchBuilder::new(config);
        for _ in 0..in_batch {
            let record =
                RecordRef { timestamp: 1_700_000_000_000, value: Some(&value), ..RecordRef::default() };
            builder.append(&record).expect("a batch below 2^31 bytes");
        }
        let partition = TopicPartition::new(topic.clone(), batch as i32 % PARTITIONS);
        drop(producer.send_batch(&partition, builder.build().expect("it builds")).await.expect("taken"));
    }
    producer.flush().await;
}

async fn consume(cluster: &Arc<Cluster>, topic: &Arc<str>) -> usize {
    let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(cluster, config).expect("a good config");
    let partitions: Vec<TopicPartition> =
        (0..PARTITIONS).map(|at| TopicPartition::new(topic.clone(), at)).collect();
    consumer.assign(partitions.clone()).await.expect("assigned");
    let ends = consumer.end_offsets(&partitions).await.expect("ends");
    let wanted: i64 = ends.values().map(|end| end.offset).sum();
    let mut seen = 0;
    while (seen as i64) < wanted {
        seen += consumer.poll(Duration::from_secs(5)).await.expect("polled").count();
    }
    seen
}

fn main() {
    let Ok(bootstrap) = std::env::var("MILLSTREAM_TEST_BOOTSTRAP") else {
        println!("left out: it needs a broker; set MILLSTREAM_TEST_BOOTSTRAP=host:port");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let cluster = Cluster::new(ClientConfig::new(&bootstrap)).expect("a good config");
        let nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let name = format!("bench-{nanos:x}");
        Admin::new(&cluster).create_topics(&[NewTopic::new(&name, PARTITIONS)]).await.expect("a topic");
        let topic: Arc<str> = name.as_str().into();
        produce_records(&cluster, &topic, 20_000).await;
        let records = 500_000;
        for _ in 0..2 {
            let (start, cpu) = (Instant::now(), cpu_seconds());
            produce_records(&cluster, &topic, records).await;
            report("produce, record by record", records, start, cpu);
            let (start, cpu) = (Instant::now(), cpu_seconds());
            produce_batches(&cluster, &topic, records).await;
            report("produce, prebuilt batches", records / 94 * 94, start, cpu);
        }
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let seen = consume(&cluster, &topic).await;
        report("consume, every record walked", seen, start, cpu);
        Admin::new(&cluster).delete_topics(&[&name]).await.expect("deleted");
    });
}
