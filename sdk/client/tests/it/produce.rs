//! Producing: every codec, all three ways of sending, partitioning, back-pressure, prebuilt batches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use millstream_batch::{BatchBuilder, BatchConfig, Codec, RecordRef};
use millstream_client::producer::{Plain, Serializer};
use millstream_client::{
    Acks, ClientError, Consumer, ConsumerConfig, Header, Isolation, OffsetReset, Producer, ProducerConfig,
    TypedProducer,
};
use millstream_types::TopicPartition;
use millstream_types::hash::partition_for_key;

use crate::support::{against_cluster, eventually, fill, read_all, record, sorted, topic};

#[test]
fn every_codec_goes_there_and_back() {
    against_cluster("every_codec_goes_there_and_back", |cluster| async move {
        for codec in Codec::ALL {
            let topic = topic(&cluster, 1).await;
            let config = ProducerConfig { compression: codec, ..ProducerConfig::default() };
            let producer = Producer::new(&cluster, config).unwrap();
            let mut deliveries = Vec::new();
            for i in 0..500 {
                let mut record = record(&topic, &format!("k{i}"), &format!("value {i} {}", "x".repeat(i)));
                // Duplicate keys and null values of headers are kept.
                let header = |value: Option<Bytes>| Header { key: "h".to_owned(), value };
                record.headers = vec![header(Some(Bytes::from_static(b"1"))), header(None)];
                deliveries.push(producer.send(record).await.unwrap());
            }
            for (i, delivery) in deliveries.into_iter().enumerate() {
                assert_eq!(delivery.await.unwrap().offset, Some(i as i64), "{codec}");
            }
            producer.close(Duration::from_secs(5)).await;
            let config = ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
            let mut consumer = Consumer::new(&cluster, config).unwrap();
            consumer.assign([TopicPartition::new(topic.clone(), 0)]).await.unwrap();
            let mut next = 0;
            while next < 500 {
                for part in consumer.poll(Duration::from_secs(5)).await.unwrap().partitions {
                    for batch in &part.batches {
                        assert_eq!(batch.header().attributes.codec(), Ok(codec));
                    }
                    for record in part.records() {
                        let record = record.unwrap();
                        assert_eq!(record.offset, next as i64);
                        assert_eq!(record.key, Some(format!("k{next}").as_bytes()));
                        assert_eq!(record.value.unwrap().len(), format!("value {next} ").len() + next);
                        let values: Vec<Option<&[u8]>> = record.headers.map(|header| header.value).collect();
                        assert_eq!(values, [Some(&b"1"[..]), None]);
                        next += 1;
                    }
                }
            }
            consumer.close().await.unwrap();
        }
    });
}

#[test]
fn keys_choose_partitions_and_callbacks_are_called() {
    against_cluster("keys_choose_partitions_and_callbacks_are_called", |cluster| async move {
        let topic = topic(&cluster, 7).await;
        let producer = Producer::new(&cluster, ProducerConfig::default()).unwrap();
        let called = Arc::new(AtomicUsize::new(0));
        for i in 0..200 {
            let key = format!("key-{i}");
            let expected = TopicPartition::new(topic.clone(), partition_for_key(key.as_bytes(), 7));
            let called = called.clone();
            let check = move |result: Result<millstream_client::RecordMetadata, ClientError>| {
                assert_eq!(result.unwrap().partition, expected);
                called.fetch_add(1, Ordering::Relaxed);
            };
            producer.send_with(record(&topic, &key, "v"), check).await.unwrap();
        }
        producer.flush().await;
        assert_eq!(called.load(Ordering::Relaxed), 200);
        assert_eq!(producer.buffered_bytes(), 0);
        // Without keys, records stick together, and move on when a batch's worth went to one partition.
        let mut seen = BTreeSet::new();
        let mut moves = 0;
        let mut last = None;
        for _ in 0..600 {
            let mut record = record(&topic, "", &"y".repeat(200));
            record.key = None;
            let delivery = producer.send(record).await.unwrap();
            let partition = delivery.partition().partition;
            moves += usize::from(last.is_some_and(|last| last != partition));
            last = Some(partition);
            seen.insert(partition);
        }
        producer.close(Duration::from_secs(5)).await;
        assert!(seen.len() > 1 && moves < 12, "{seen:?}, {moves} moves");
        // Fire and forget: all of them arrived.
        assert_eq!(sorted(&read_all(&cluster, &topic, Isolation::ReadUncommitted).await).len(), 800);
    });
}

#[test]
fn a_small_buffer_slows_down_and_loses_nothing() {
    against_cluster("a_small_buffer_slows_down_and_loses_nothing", |cluster| async move {
        let topic = topic(&cluster, 3).await;
        let config = ProducerConfig {
            buffer_bytes: 64 * 1024,
            batch_bytes: 4 * 1024,
            linger: Duration::from_secs(60),
            ..ProducerConfig::default()
        };
        let producer = Arc::new(Producer::new(&cluster, config).unwrap());
        let mut tasks = Vec::new();
        for task in 0..4 {
            let (producer, topic) = (producer.clone(), topic.clone());
            tasks.push(tokio::spawn(async move {
                let mut deliveries = Vec::new();
                for i in 0..500 {
                    let value = format!("{task}-{i:04}-{}", "z".repeat(400));
                    deliveries
                        .push(producer.send(record(&topic, &format!("{task}{i}"), &value)).await.unwrap());
                }
                deliveries
            }));
        }
        let mut deliveries = Vec::new();
        for task in tasks {
            deliveries.extend(task.await.unwrap());
        }
        producer.flush().await;
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        let found = sorted(&read_all(&cluster, &topic, Isolation::ReadUncommitted).await);
        let distinct: BTreeSet<&String> = found.iter().collect();
        assert_eq!((found.len(), distinct.len()), (2_000, 2_000));
        // A record that can never fit is refused at once.
        let huge = record(&topic, "k", &"h".repeat(2 << 20));
        assert!(producer.send(huge).await.is_err());
    });
}

#[test]
fn prebuilt_batches_are_numbered_and_kept_whole() {
    against_cluster("prebuilt_batches_are_numbered_and_kept_whole", |cluster| async move {
        let topic = topic(&cluster, 1).await;
        let partition = TopicPartition::new(topic.clone(), 0);
        let producer = Producer::new(&cluster, ProducerConfig::default()).unwrap();
        let mut deliveries = Vec::new();
        for batch in 0..30 {
            let config = BatchConfig { codec: Codec::Zstd, ..BatchConfig::default() };
            let mut builder = BatchBuilder::new(config);
            for i in 0..10 {
                let value = format!("b{batch:02}-{i}");
                let record = RecordRef {
                    timestamp: 1_700_000_000_000,
                    value: Some(value.as_bytes()),
                    ..RecordRef::default()
                };
                builder.append(&record).unwrap();
            }
            deliveries.push(producer.send_batch(&partition, builder.build().unwrap()).await.unwrap());
        }
        for (batch, delivery) in deliveries.into_iter().enumerate() {
            assert_eq!(delivery.await.unwrap().offset, Some(10 * batch as i64));
        }
        assert!(producer.producer_id().is_some());
        let found = read_all(&cluster, &topic, Isolation::ReadUncommitted).await;
        let expected: Vec<String> = (0..300).map(|i| format!("b{:02}-{}", i / 10, i % 10)).collect();
        assert_eq!(found[&partition], expected);
        // Half a batch is refused here.
        assert!(producer.send_batch(&partition, Bytes::from_static(&[0; 30])).await.is_err());
    });
}

#[test]
fn without_idempotence_and_acks_records_arrive_too() {
    against_cluster("without_idempotence_and_acks_records_arrive_too", |cluster| async move {
        for acks in [Acks::None, Acks::Leader] {
            let topic = topic(&cluster, 2).await;
            // A broker of Apache Kafka that does not lead a new partition yet refuses what comes, and says nothing of it
            // with acks=0. Twenty keys reach both partitions.
            fill(&cluster, &topic, 0..20).await;
            let config = ProducerConfig { acks, idempotence: false, ..ProducerConfig::default() };
            let typed = TypedProducer::<str, str>::new(
                Arc::new(Producer::new(&cluster, config).unwrap()),
                Box::new(Plain) as Box<dyn Serializer<str>>,
                Box::new(Plain) as Box<dyn Serializer<str>>,
            );
            for i in 0..100 {
                let delivery = typed.send(&topic, Some(&i.to_string()), Some("v")).await.unwrap();
                assert_eq!(delivery.await.unwrap().offset.is_some(), acks == Acks::Leader);
            }
            let count =
                || async { sorted(&read_all(&cluster, &topic, Isolation::ReadUncommitted).await).len() };
            // With acks=0 nothing says when they are there.
            eventually("that all records are there", || async { count().await >= 120 }).await;
            assert_eq!(count().await, 120);
        }
    });
}

#[test]
fn a_topic_that_is_not_there_is_an_error_in_time() {
    against_cluster("a_topic_that_is_not_there_is_an_error_in_time", |cluster| async move {
        let config = ProducerConfig { block_max: Duration::from_millis(500), ..ProducerConfig::default() };
        let producer = Producer::new(&cluster, config).unwrap();
        let error = producer.send(record(&Arc::from("no-such-topic"), "k", "v")).await.unwrap_err();
        assert_eq!(error.code(), Some(millstream_types::ErrorCode::UnknownTopicOrPartition), "{error}");
    });
}
