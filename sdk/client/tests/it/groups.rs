//! Groups of both protocols: everything is read once, members come and go, positions are committed and taken up again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::consumer::ListenerFuture;
use millstream_client::{
    Admin, Assignor, Cluster, CommitPolicy, Consumer, ConsumerConfig, ConsumerHandle, GroupProtocol,
    OffsetReset, RebalanceListener,
};
use millstream_types::TopicPartition;
use parking_lot::Mutex;

use crate::support::{against_cluster, fill, topic, unique};

fn config(group: &str, protocol: GroupProtocol, assignor: Assignor) -> ConsumerConfig {
    ConsumerConfig {
        protocol,
        assignors: vec![assignor],
        offset_reset: OffsetReset::Earliest,
        heartbeat_interval: Duration::from_millis(300),
        session_timeout: Duration::from_secs(10),
        ..ConsumerConfig::in_group(group)
    }
}

const WAYS: [(GroupProtocol, Assignor); 5] = [
    (GroupProtocol::Consumer, Assignor::Range),
    (GroupProtocol::Classic, Assignor::Range),
    (GroupProtocol::Classic, Assignor::RoundRobin),
    (GroupProtocol::Classic, Assignor::Sticky),
    (GroupProtocol::Classic, Assignor::CooperativeSticky),
];

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl RebalanceListener for Log {
    fn assigned<'a>(
        &'a mut self,
        _: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        self.0.lock().push(format!("+{}", partitions.len()));
        Box::pin(async {})
    }

    fn revoked<'a>(
        &'a mut self,
        consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        self.0.lock().push(format!("-{}", partitions.len()));
        Box::pin(async move { consumer.commit().await.unwrap() })
    }
}

/// Reads on until `done` says so; what was read goes into `seen`.
async fn read(
    consumers: &mut [Consumer],
    seen: &mut BTreeMap<String, usize>,
    mut done: impl FnMut(&[Consumer], &BTreeMap<String, usize>) -> bool,
) {
    let start = Instant::now();
    while !done(consumers, seen) {
        let assigned: Vec<usize> = consumers.iter().map(|consumer| consumer.assignment().len()).collect();
        assert!(start.elapsed() < Duration::from_secs(40), "{} values, assigned {assigned:?}", seen.len());
        for consumer in consumers.iter_mut() {
            for part in consumer.poll(Duration::from_millis(50)).await.unwrap().partitions {
                for record in part.records() {
                    let value = String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap();
                    *seen.entry(value).or_default() += 1;
                }
            }
        }
    }
}

fn balanced(consumers: &[Consumer], partitions: usize) -> bool {
    let sizes: Vec<usize> = consumers.iter().map(|consumer| consumer.assignment().len()).collect();
    let mut all: BTreeSet<TopicPartition> = BTreeSet::new();
    for consumer in consumers {
        all.extend(consumer.assignment());
    }
    let spread = sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
    sizes.iter().sum::<usize>() == partitions && all.len() == partitions && spread <= 1
}

async fn members_come_and_go(cluster: &Arc<Cluster>, protocol: GroupProtocol, assignor: Assignor) {
    let (topic, group) = (topic(cluster, 6).await, unique("group"));
    fill(cluster, &topic, 0..300).await;
    let log = Log::default();
    let mut first = Consumer::new(cluster, config(&group, protocol, assignor)).unwrap();
    first.set_listener(Box::new(log.clone()));
    first.subscribe([topic.clone()]).await.unwrap();
    let mut consumers = vec![first];
    let mut seen = BTreeMap::new();
    read(&mut consumers, &mut seen, |_, seen| seen.len() == 300).await;
    // A second one comes: half moves to it, and what was read is not read again.
    let mut second = Consumer::new(cluster, config(&group, protocol, assignor)).unwrap();
    second.subscribe([topic.clone()]).await.unwrap();
    consumers.push(second);
    read(&mut consumers, &mut seen, |consumers, _| balanced(consumers, 6)).await;
    fill(cluster, &topic, 300..600).await;
    read(&mut consumers, &mut seen, |_, seen| seen.len() == 600).await;
    let described = Admin::new(cluster).describe_group(&group).await.unwrap();
    assert_eq!(described.consumer_protocol, protocol == GroupProtocol::Consumer);
    assert_eq!(described.members.len(), 2, "{described:?}");
    // The first one leaves: the second has it all, from where the first stood.
    let first = consumers.remove(0);
    let metadata = first.group_metadata().unwrap();
    assert!(metadata.epoch >= 0 && !metadata.member_id.is_empty());
    first.close().await.unwrap();
    read(&mut consumers, &mut seen, |consumers, _| balanced(consumers, 6)).await;
    fill(cluster, &topic, 600..700).await;
    read(&mut consumers, &mut seen, |_, seen| seen.len() == 700).await;
    consumers.pop().unwrap().close().await.unwrap();
    let twice: Vec<&String> = seen.iter().filter(|(_, count)| **count > 1).map(|(value, _)| value).collect();
    assert!(twice.is_empty(), "{protocol:?} {assignor:?}: read twice: {twice:?}");
    let log = log.0.lock().clone();
    let expected: &[&str] = match (protocol, assignor) {
        (GroupProtocol::Classic, Assignor::CooperativeSticky) => &["+6", "-3", "-3"],
        (GroupProtocol::Classic, _) => &["+6", "-6", "+3", "-3"],
        // The broker may take several steps.
        _ => &[],
    };
    if !expected.is_empty() {
        assert_eq!(log, expected, "{protocol:?} {assignor:?}");
    }
    let committed = Admin::new(cluster).list_group_offsets(&group, None).await.unwrap();
    assert_eq!(committed.values().map(|offset| offset.offset).sum::<i64>(), 700, "{committed:?}");
}

#[test]
fn members_come_and_go_in_every_protocol() {
    against_cluster("members_come_and_go_in_every_protocol", |cluster| async move {
        for (protocol, assignor) in WAYS {
            members_come_and_go(&cluster, protocol, assignor).await;
        }
    });
}

#[test]
fn a_group_goes_on_where_it_stopped_and_manual_commits_count() {
    against_cluster("a_group_goes_on_where_it_stopped_and_manual_commits_count", |cluster| async move {
        let (topic, group) = (topic(&cluster, 1).await, unique("group"));
        let partition = TopicPartition::new(topic.clone(), 0);
        fill(&cluster, &topic, 0..100).await;
        let manual = ConsumerConfig {
            commit: CommitPolicy::Manual,
            poll_bytes_max: 1,
            ..config(&group, GroupProtocol::Auto, Assignor::CooperativeSticky)
        };
        let mut consumer = Consumer::new(&cluster, manual.clone()).unwrap();
        consumer.subscribe([topic.clone()]).await.unwrap();
        let mut read = 0;
        while read < 100 {
            read += consumer.poll(Duration::from_secs(1)).await.unwrap().count();
        }
        let half = BTreeMap::from([(partition.clone(), millstream_client::OffsetAndMetadata::new(50))]);
        consumer.commit_offsets(&half).await.unwrap();
        consumer.close().await.unwrap();
        let mut consumer = Consumer::new(&cluster, manual).unwrap();
        consumer.subscribe([topic.clone()]).await.unwrap();
        let mut first = None;
        while first.is_none() {
            let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
            first = records.partitions.iter().flat_map(|p| p.records()).next().map(|r| r.unwrap().offset);
        }
        assert_eq!(first, Some(50));
        // Seeking, pausing, and times.
        consumer.seek(&partition, 7).unwrap();
        consumer.pause([&partition]);
        assert_eq!(consumer.poll(Duration::from_millis(700)).await.unwrap().count(), 0);
        consumer.resume([&partition]);
        let mut first = None;
        while first.is_none() {
            let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
            first = records.partitions.iter().flat_map(|p| p.records()).next().map(|r| r.unwrap().offset);
        }
        assert_eq!(first, Some(7));
        consumer.seek_to_end(&partition).unwrap();
        while consumer.position(&partition).is_none() {
            consumer.poll(Duration::from_millis(100)).await.unwrap();
        }
        assert_eq!(consumer.position(&partition), Some(100));
        let by_time = consumer.offsets_for_time(0, std::slice::from_ref(&partition)).await.unwrap();
        assert_eq!(by_time[&partition].offset, 0);
        // Outside of the log: the closer end.
        consumer.seek(&partition, 5_000).unwrap();
        let start = Instant::now();
        while consumer.position(&partition) != Some(100) {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", consumer.position(&partition));
            consumer.poll(Duration::from_millis(100)).await.unwrap();
        }
        consumer.close().await.unwrap();
    });
}

/// The consumer that waits for one partition is not kept from the records of another: what was sought, resumed or
/// assigned meanwhile is fetched at once, however long the wait.
#[test]
fn a_fetch_that_waits_holds_no_other_partition_up() {
    against_cluster("a_fetch_that_waits_holds_no_other_partition_up", |cluster| async move {
        let (empty, full) = (topic(&cluster, 1).await, topic(&cluster, 1).await);
        fill(&cluster, &full, 0..10).await;
        let long = ConsumerConfig {
            fetch_wait: Duration::from_secs(20),
            offset_reset: OffsetReset::Earliest,
            ..ConsumerConfig::default()
        };
        let (empty, full) = (TopicPartition::new(empty, 0), TopicPartition::new(full, 0));
        let mut consumer = Consumer::new(&cluster, long).unwrap();
        consumer.assign(vec![empty.clone(), full.clone()]).await.unwrap();
        let start = Instant::now();
        for again in 0..3 {
            let mut read = 0;
            while read < 10 {
                assert!(start.elapsed() < Duration::from_secs(15), "{read} records in round {again}");
                read += consumer.poll(Duration::from_millis(200)).await.unwrap().count();
            }
            // Both are at their ends, and a fetch waits there.
            assert_eq!(consumer.poll(Duration::from_millis(200)).await.unwrap().count(), 0);
            consumer.seek(&full, 0).unwrap();
        }
        consumer.close().await.unwrap();
    });
}

#[test]
fn latest_loses_nothing_of_partitions_that_are_added() {
    against_cluster("latest_loses_nothing_of_partitions_that_are_added", |cluster| async move {
        for protocol in [GroupProtocol::Consumer, GroupProtocol::Classic] {
            let (topic, group) = (topic(&cluster, 1).await, unique("group"));
            fill(&cluster, &topic, 0..10).await;
            let config = ConsumerConfig {
                offset_reset: OffsetReset::Latest,
                ..config(&group, protocol, Assignor::CooperativeSticky)
            };
            let mut consumer = Consumer::new(&cluster, config).unwrap();
            consumer.subscribe([topic.clone()]).await.unwrap();
            let mut consumers = vec![consumer];
            let mut seen = BTreeMap::new();
            let known = |consumers: &[Consumer]| {
                let assigned = consumers[0].assignment();
                !assigned.is_empty() && assigned.iter().all(|p| consumers[0].position(p).is_some())
            };
            read(&mut consumers, &mut seen, |consumers, _| known(consumers)).await;
            Admin::new(&cluster).create_partitions(&topic, 3).await.unwrap();
            // Records in the new partitions before the group knows of them.
            let other = Cluster::new(cluster.config().clone()).unwrap();
            fill(&other, &topic, 10..200).await;
            if protocol == GroupProtocol::Classic {
                // The classic leader looks at metadata every half minute; subscribing anew makes it look now.
                cluster.refresh().await.unwrap();
                consumers[0].unsubscribe().await.unwrap();
                assert!(consumers[0].assignment().is_empty());
                consumers[0].subscribe([topic.clone()]).await.unwrap();
            }
            read(&mut consumers, &mut seen, |_, seen| seen.len() == 190).await;
            assert!(!seen.contains_key("v0"));
            consumers.pop().unwrap().close().await.unwrap();
        }
    });
}

#[test]
fn a_regex_subscribes_to_what_matches() {
    against_cluster("a_regex_subscribes_to_what_matches", |cluster| async move {
        let (topic, group) = (topic(&cluster, 2).await, unique("group"));
        fill(&cluster, &topic, 0..20).await;
        let config = config(&group, GroupProtocol::Consumer, Assignor::Range);
        let mut consumer = Consumer::new(&cluster, config).unwrap();
        consumer.subscribe_regex(&format!("{}.*", &topic[..topic.len() - 1])).await.unwrap();
        let mut consumers = vec![consumer];
        let mut seen = BTreeMap::new();
        read(&mut consumers, &mut seen, |_, seen| seen.len() >= 20).await;
        consumers.pop().unwrap().close().await.unwrap();
    });
}

#[test]
fn a_member_that_does_not_poll_leaves_and_comes_back() {
    against_cluster("a_member_that_does_not_poll_leaves_and_comes_back", |cluster| async move {
        for (protocol, assignor) in [
            (GroupProtocol::Consumer, Assignor::Range),
            (GroupProtocol::Classic, Assignor::CooperativeSticky),
        ] {
            let (topic, group) = (topic(&cluster, 2).await, unique("group"));
            fill(&cluster, &topic, 0..10).await;
            let config = ConsumerConfig {
                poll_interval_max: Duration::from_secs(2),
                ..config(&group, protocol, assignor)
            };
            let mut consumer = Consumer::new(&cluster, config).unwrap();
            consumer.subscribe([topic.clone()]).await.unwrap();
            let mut consumers = vec![consumer];
            let mut seen = BTreeMap::new();
            read(&mut consumers, &mut seen, |_, seen| seen.len() == 10).await;
            let admin = Admin::new(&cluster);
            let start = Instant::now();
            while !admin.describe_group(&group).await.unwrap().members.is_empty() {
                assert!(start.elapsed() < Duration::from_secs(20), "{protocol:?}: it did not leave");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            fill(&cluster, &topic, 10..20).await;
            read(&mut consumers, &mut seen, |_, seen| seen.len() == 20).await;
            consumers.pop().unwrap().close().await.unwrap();
        }
    });
}
