//! Transactions: all or nothing, positions with them, fencing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_client::{
    Admin, ClientError, Cluster, CommitPolicy, Consumer, ConsumerConfig, Isolation, OffsetAndMetadata,
    OffsetReset, Producer, ProducerConfig,
};
use millstream_types::TopicPartition;

use crate::support::{against_cluster, fill, read_all, record, sorted, topic, unique};

async fn transactional(cluster: &Arc<Cluster>, id: &str) -> Producer {
    let config = ProducerConfig { transactional_id: Some(id.to_owned()), ..ProducerConfig::default() };
    let producer = Producer::new(cluster, config).unwrap();
    producer.init_transactions().await.unwrap();
    producer
}

#[test]
fn committed_records_are_read_and_aborted_ones_are_not() {
    against_cluster("committed_records_are_read_and_aborted_ones_are_not", |cluster| async move {
        let topic = topic(&cluster, 3).await;
        let producer = transactional(&cluster, &unique("txn")).await;
        let mut expected = Vec::new();
        for round in 0..12 {
            producer.begin_transaction().unwrap();
            for i in 0..20 {
                let value = format!("{round:02}-{i:02}");
                drop(producer.send(record(&topic, &value, &value)).await.unwrap());
                if round % 3 != 1 {
                    expected.push(value);
                }
            }
            match round % 3 {
                0 => producer.commit_transaction().await.unwrap(),
                // Sent, and then taken back.
                1 => {
                    producer.flush().await;
                    producer.abort_transaction().await.unwrap();
                }
                _ => producer.commit_transaction().await.unwrap(),
            }
        }
        // Nothing was sent: nothing is ended.
        producer.begin_transaction().unwrap();
        producer.commit_transaction().await.unwrap();
        producer.begin_transaction().unwrap();
        producer.abort_transaction().await.unwrap();
        expected.sort();
        assert_eq!(sorted(&read_all(&cluster, &topic, Isolation::ReadCommitted).await), expected);
        // The aborted ones are there for whoever wants to see them.
        assert_eq!(sorted(&read_all(&cluster, &topic, Isolation::ReadUncommitted).await).len(), 240);
        // An abort of what was not sent leaves nothing, and the producer works on.
        producer.begin_transaction().unwrap();
        let lost = producer.send(record(&topic, "x", "never")).await.unwrap();
        producer.abort_transaction().await.unwrap();
        let _ = lost.await;
        producer.begin_transaction().unwrap();
        producer.send(record(&topic, "x", "z-last")).await.unwrap().await.unwrap();
        producer.commit_transaction().await.unwrap();
        expected.push("z-last".to_owned());
        assert_eq!(sorted(&read_all(&cluster, &topic, Isolation::ReadCommitted).await), expected);
        assert!(matches!(producer.send(record(&topic, "x", "y")).await, Err(ClientError::State(_))));
    });
}

#[test]
fn positions_are_committed_with_the_records_or_not_at_all() {
    against_cluster("positions_are_committed_with_the_records_or_not_at_all", |cluster| async move {
        let (input, output, group) = (topic(&cluster, 4).await, topic(&cluster, 2).await, unique("group"));
        fill(&cluster, &input, 0..400).await;
        let config = ConsumerConfig {
            offset_reset: OffsetReset::Earliest,
            commit: CommitPolicy::Manual,
            isolation: Isolation::ReadCommitted,
            poll_bytes_max: 2_000,
            ..ConsumerConfig::in_group(&group)
        };
        // Copies from input to output, drops every third transaction, and starts anew after it from what was committed.
        let id = unique("txn");
        let admin = Admin::new(&cluster);
        let mut done = false;
        let mut round = 0;
        while !done {
            let producer = transactional(&cluster, &id).await;
            let mut consumer = Consumer::new(&cluster, config.clone()).unwrap();
            consumer.subscribe([input.clone()]).await.unwrap();
            loop {
                let records = consumer.poll(Duration::from_millis(500)).await.unwrap();
                if records.is_empty() {
                    // Not a time: all is copied when what is committed reaches the ends.
                    let committed = admin.list_group_offsets(&group, None).await.unwrap();
                    if committed.values().map(|at| at.offset).sum::<i64>() == 400 {
                        done = true;
                        break;
                    }
                    continue;
                }
                round += 1;
                producer.begin_transaction().unwrap();
                let mut positions = BTreeMap::new();
                for part in &records.partitions {
                    for found in part.records() {
                        let value = String::from_utf8(found.unwrap().value.unwrap().to_vec()).unwrap();
                        drop(producer.send(record(&output, &value, &value)).await.unwrap());
                    }
                    positions.insert(part.partition.clone(), OffsetAndMetadata::new(part.next_offset));
                }
                let group = consumer.group_metadata().unwrap();
                producer.send_offsets_to_transaction(&positions, &group).await.unwrap();
                if round % 3 == 0 {
                    producer.abort_transaction().await.unwrap();
                    break;
                }
                producer.commit_transaction().await.unwrap();
            }
            consumer.close().await.unwrap();
            producer.close(Duration::from_secs(5)).await;
        }
        assert!(round > 3, "{round} transactions");
        let mut expected: Vec<String> = (0..400).map(|i| format!("v{i}")).collect();
        expected.sort();
        assert_eq!(sorted(&read_all(&cluster, &output, Isolation::ReadCommitted).await), expected);
    });
}

#[test]
fn a_second_producer_fences_the_first() {
    against_cluster("a_second_producer_fences_the_first", |cluster| async move {
        let (topic, id) = (topic(&cluster, 1).await, unique("txn"));
        let first = transactional(&cluster, &id).await;
        first.begin_transaction().unwrap();
        first.send(record(&topic, "k", "of the first")).await.unwrap().await.unwrap();
        // It ends what the first one left open, by an abort.
        let second = transactional(&cluster, &id).await;
        drop(first.send(record(&topic, "k", "too late")).await);
        let error = first.commit_transaction().await.unwrap_err();
        assert!(matches!(error, ClientError::Fenced(_) | ClientError::MustAbort(_)), "{error}");
        assert!(matches!(first.abort_transaction().await, Err(ClientError::Fenced(_))));
        second.begin_transaction().unwrap();
        second.send(record(&topic, "k", "of the second")).await.unwrap().await.unwrap();
        second.commit_transaction().await.unwrap();
        let found = read_all(&cluster, &topic, Isolation::ReadCommitted).await;
        assert_eq!(sorted(&found), ["of the second"]);
    });
}

#[test]
fn an_open_transaction_holds_read_committed_back() {
    against_cluster("an_open_transaction_holds_read_committed_back", |cluster| async move {
        let topic = topic(&cluster, 1).await;
        let partition = TopicPartition::new(topic.clone(), 0);
        let producer = transactional(&cluster, &unique("txn")).await;
        producer.begin_transaction().unwrap();
        producer.send(record(&topic, "k", "open")).await.unwrap().await.unwrap();
        fill(&cluster, &topic, 0..5).await;
        let config = ConsumerConfig {
            offset_reset: OffsetReset::Earliest,
            isolation: Isolation::ReadCommitted,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(&cluster, config).unwrap();
        consumer.assign([partition.clone()]).await.unwrap();
        assert_eq!(consumer.poll(Duration::from_secs(1)).await.unwrap().count(), 0);
        for (isolation, end) in [(Isolation::ReadCommitted, 0), (Isolation::ReadUncommitted, 6)] {
            let listed = Admin::new(&cluster)
                .list_offsets(isolation, -1, std::slice::from_ref(&partition))
                .await
                .unwrap();
            assert_eq!(listed[&partition].offset, end, "{isolation:?}");
        }
        producer.commit_transaction().await.unwrap();
        let mut values = Vec::new();
        while values.len() < 6 {
            for part in consumer.poll(Duration::from_secs(5)).await.unwrap().partitions {
                values.extend(
                    part.records().map(|r| String::from_utf8(r.unwrap().value.unwrap().to_vec()).unwrap()),
                );
            }
        }
        assert_eq!(values, ["open", "v0", "v1", "v2", "v3", "v4"]);
        consumer.close().await.unwrap();
    });
}

#[test]
fn a_transaction_is_seen_and_ended_from_outside() {
    against_cluster("a_transaction_is_seen_and_ended_from_outside", |cluster| async move {
        let (topic, id) = (topic(&cluster, 1).await, unique("txn"));
        let (admin, partition) = (Admin::new(&cluster), TopicPartition::new(topic.clone(), 0));
        let first = transactional(&cluster, &id).await;
        first.begin_transaction().unwrap();
        first.send(record(&topic, "k", "of the first")).await.unwrap().await.unwrap();
        let active = admin.describe_producers(&partition).await.unwrap();
        let [active] = active.as_slice() else { panic!("{active:?}") };
        assert_eq!(active.transaction_start, Some(0));
        let listed =
            admin.list_transactions(&["Ongoing"], &[active.producer_id], Duration::ZERO).await.unwrap();
        let [listed] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((listed.transactional_id.as_str(), listed.state.as_str()), (id.as_str(), "Ongoing"));
        for (state, open_for) in [("CompleteCommit", Duration::ZERO), ("Ongoing", Duration::from_secs(3_600))]
        {
            let none = admin.list_transactions(&[state], &[active.producer_id], open_for).await.unwrap();
            assert_eq!(none, []);
        }
        let described = admin.describe_transaction(&id).await.unwrap();
        assert_eq!((described.state.as_str(), described.partitions), ("Ongoing", [partition.clone()].into()));
        admin.fence_producer(&id).await.unwrap();
        let active = admin.describe_producers(&partition).await.unwrap();
        assert!(active.iter().all(|producer| producer.transaction_start.is_none()), "{active:?}");
        drop(first.send(record(&topic, "k", "too late")).await);
        let error = first.commit_transaction().await.unwrap_err();
        assert!(matches!(error, ClientError::Fenced(_) | ClientError::MustAbort(_)), "{error}");
        assert!(matches!(first.abort_transaction().await, Err(ClientError::Fenced(_))));
        // Nobody's transaction.
        admin.fence_producer(&unique("txn")).await.unwrap();
        assert_eq!(sorted(&read_all(&cluster, &topic, Isolation::ReadCommitted).await), Vec::<String>::new());
    });
}
