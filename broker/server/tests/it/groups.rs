//! Groups of both protocols: shared work, positions that outlive the broker, and partitions added under `latest`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_client::{
    Admin, Cluster, CommitPolicy, Consumer, ConsumerConfig, GroupProtocol, OffsetReset, Producer,
    ProducerConfig, ProducerRecord,
};
use millstream_testkit::records::{fill, filled, topic, unique};
use millstream_testkit::{InProcess, run};
use millstream_types::TopicPartition;

const PROTOCOLS: [GroupProtocol; 2] = [GroupProtocol::Consumer, GroupProtocol::Classic];

fn config(group: &str, protocol: GroupProtocol, offset_reset: OffsetReset) -> ConsumerConfig {
    ConsumerConfig { protocol, offset_reset, commit: CommitPolicy::Manual, ..ConsumerConfig::in_group(group) }
}

async fn member(cluster: &Arc<Cluster>, config: ConsumerConfig, topic: &Arc<str>) -> Consumer {
    let mut consumer = Consumer::new(cluster, config).unwrap();
    consumer.subscribe([Arc::clone(topic)]).await.unwrap();
    consumer
}

/// Polls until `count` values have come.
async fn take(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        for part in consumer.poll(Duration::from_millis(100)).await.unwrap().partitions {
            for record in part.records() {
                got.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
            }
        }
    }
    got.sort();
    got
}

#[test]
fn two_members_share_and_the_one_that_stays_takes_over() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let cluster = broker.cluster();
        for protocol in PROTOCOLS {
            let name = topic(&cluster, 6).await;
            let group = unique("group");
            let config = config(&group, protocol, OffsetReset::Earliest);
            let mut first = member(&cluster, config.clone(), &name).await;
            let mut second = member(&cluster, config, &name).await;
            while first.assignment().len() != 3 || second.assignment().len() != 3 {
                first.poll(Duration::from_millis(20)).await.unwrap();
                second.poll(Duration::from_millis(20)).await.unwrap();
            }
            // GR-1: no partition has two owners.
            let both: BTreeSet<TopicPartition> =
                first.assignment().union(&second.assignment()).cloned().collect();
            assert_eq!(both.len(), 6, "{protocol:?}");
            let described = Admin::new(&cluster).describe_group(&group).await.unwrap();
            assert_eq!(described.members.len(), 2, "{protocol:?}");
            second.close().await.unwrap();
            fill(&cluster, &name, 0..60).await;
            assert_eq!(take(&mut first, 60).await, filled(0..60), "{protocol:?}");
            first.close().await.unwrap();
        }
    });
}

#[test]
fn positions_outlive_the_broker() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        let mut groups = Vec::new();
        let cluster = broker.cluster();
        for protocol in PROTOCOLS {
            let (name, group) = (topic(&cluster, 3).await, unique("group"));
            fill(&cluster, &name, 0..30).await;
            let mut consumer = member(&cluster, config(&group, protocol, OffsetReset::Earliest), &name).await;
            assert_eq!(take(&mut consumer, 30).await, filled(0..30));
            consumer.commit().await.unwrap();
            consumer.close().await.unwrap();
            groups.push((protocol, name, group));
        }
        broker.restart().await;
        let cluster = broker.cluster();
        for (protocol, name, group) in groups {
            fill(&cluster, &name, 30..40).await;
            let mut consumer = member(&cluster, config(&group, protocol, OffsetReset::Earliest), &name).await;
            assert_eq!(take(&mut consumer, 10).await, filled(30..40), "{protocol:?}");
            consumer.close().await.unwrap();
            let listed = Admin::new(&cluster).list_groups().await.unwrap();
            assert!(listed.iter().any(|g| g.group_id == group), "{protocol:?}");
            Admin::new(&cluster).delete_groups(&[&group]).await.unwrap();
        }
    });
}

#[test]
fn a_partition_that_is_added_is_read_from_its_beginning_under_latest() {
    run(async {
        let mut broker = InProcess::start(&[]).await;
        for protocol in PROTOCOLS {
            for restarted in [false, true] {
                let cluster = broker.cluster();
                let (name, group) = (topic(&cluster, 1).await, unique("group"));
                fill(&cluster, &name, 0..10).await;
                let settings = config(&group, protocol, OffsetReset::Latest);
                let mut consumer = member(&cluster, settings.clone(), &name).await;
                while consumer.position(&TopicPartition::new(Arc::clone(&name), 0)) != Some(10) {
                    consumer.poll(Duration::from_millis(20)).await.unwrap();
                }
                let mut there = Some(consumer);
                if restarted {
                    // No member is left when the partition comes; the group's baseline is.
                    if let Some(consumer) = there.take() {
                        consumer.commit().await.unwrap();
                        consumer.close().await.unwrap();
                    }
                    broker.restart().await;
                }
                let cluster = broker.cluster();
                Admin::new(&cluster).create_partitions(&name, 2).await.unwrap();
                // Into the new partition before any member can know of it.
                let producer = Producer::new(&cluster, ProducerConfig::default()).unwrap();
                for i in 0..5 {
                    let record = ProducerRecord {
                        partition: Some(1),
                        ..ProducerRecord::new(Arc::clone(&name), None, Some(format!("new{i}").into()))
                    };
                    producer.send(record).await.unwrap().await.unwrap();
                }
                let mut reader = match there {
                    Some(consumer) => consumer,
                    None => member(&cluster, settings, &name).await,
                };
                let got = take(&mut reader, 5).await;
                assert_eq!(got, ["new0", "new1", "new2", "new3", "new4"], "{protocol:?} {restarted}");
                reader.close().await.unwrap();
            }
        }
    });
}
