//! Properties over random histories: whatever a controller is asked, the image that a loader reads from the records
//! equals the controller's, a snapshot's records give the image back, and each partition is sound.

use std::collections::BTreeSet;

use millstream_types::{NodeId, Rng, SeededRng};
use millstream_wire::message::{
    allocate_producer_ids_request::*, alter_partition_request, broker_heartbeat_request::*,
    broker_registration_request, create_partitions_request::*, create_topics_request::*,
    delete_topics_request::*, elect_leaders_request::*, incremental_alter_configs_request::*,
};
use millstream_wire::record::metadata::{
    AbortTransactionRecord, BeginTransactionRecord, EndTransactionRecord, MetadataRecord,
};

use crate::scripts::{TestRules, id};
use crate::*;

fn register(
    controller: &Controller,
    now: i64,
    next: i64,
    broker: i32,
    rng: &mut SeededRng,
) -> Vec<MetadataRecord> {
    let old = controller.image().brokers.get(&NodeId(broker));
    let request = broker_registration_request::BrokerRegistrationRequest {
        broker_id: broker,
        cluster_id: "c".to_owned(),
        incarnation_id: id(rng.below(1 << 40) as i64),
        listeners: vec![Default::default()],
        features: brokers::supported_features(),
        rack: Some(format!("r{}", broker % 2)),
        log_dirs: vec![id(i64::from(broker) + 1)],
        previous_broker_epoch: old.filter(|_| rng.chance(1, 2)).map_or(-1, |old| old.epoch),
        ..Default::default()
    };
    controller
        .register_broker(now, &TestRules, next, &request)
        .map_or(Vec::new(), |decision| decision.records)
}

/// A random request's records.
fn step(controller: &mut Controller, now: i64, next: i64, rng: &mut SeededRng) -> Vec<MetadataRecord> {
    let rules = &TestRules;
    let broker = rng.below(4) as i32;
    let broker_epoch = controller.image().brokers.get(&NodeId(broker)).map_or(-1, |broker| broker.epoch);
    let name = format!("t{}", rng.below(5));
    match rng.below(12) {
        0 => register(controller, now, next, broker, rng),
        1..=4 => {
            let request = BrokerHeartbeatRequest {
                broker_id: broker,
                broker_epoch,
                current_metadata_offset: next,
                want_fence: rng.chance(1, 6),
                want_shut_down: rng.chance(1, 8),
                ..Default::default()
            };
            controller.heartbeat(now, rules, &request).map_or(Vec::new(), |decision| decision.records)
        }
        5 => {
            let topic = CreatableTopic {
                name,
                num_partitions: 1 + rng.below(4) as i32,
                replication_factor: 1 + rng.below(3) as i16,
                configs: vec![CreatableTopicConfig {
                    name: "min.insync.replicas".to_owned(),
                    value: Some((1 + rng.below(2)).to_string()),
                    ..Default::default()
                }],
                ..Default::default()
            };
            let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
            controller.create_topics(rules, rng, &request).records
        }
        6 if rng.chance(1, 3) => {
            let topic_names = vec![name];
            controller.delete_topics(&DeleteTopicsRequest { topic_names, ..Default::default() }).records
        }
        7 => {
            let topic = CreatePartitionsTopic { name, count: rng.below(7) as i32, ..Default::default() };
            let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
            controller.create_partitions(rng, &request).records
        }
        8 => {
            let unclean = AlterableConfig {
                name: "unclean.leader.election.enable".to_owned(),
                config_operation: rng.below(2) as i8,
                value: Some("true".to_owned()),
                ..Default::default()
            };
            let resource = AlterConfigsResource {
                resource_type: 2,
                resource_name: name,
                configs: vec![unclean],
                ..Default::default()
            };
            let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
            controller.incremental_alter_configs(rules, &request).records
        }
        9 => {
            let election_type = rng.below(2) as i8;
            let request = ElectLeadersRequest { election_type, topic_partitions: None, ..Default::default() };
            controller.elect_leaders(rules, &request).records
        }
        10 => {
            let request =
                AllocateProducerIdsRequest { broker_id: broker, broker_epoch, ..Default::default() };
            controller.allocate_producer_ids(&request).map_or(Vec::new(), |decision| decision.records)
        }
        _ => {
            let Some(topic) = controller.image().topics.by_name(&name).cloned() else { return Vec::new() };
            let at = rng.below(topic.partitions.len() as u64) as usize;
            let partition = &topic.partitions[at];
            let Some(leader) = partition.leader else { return Vec::new() };
            let wanted = partition.replicas.iter().filter(|node| **node == leader || rng.chance(1, 2));
            let request = alter_partition_request::AlterPartitionRequest {
                broker_id: leader.0,
                broker_epoch: controller.image().brokers[&leader].epoch,
                topics: vec![alter_partition_request::TopicData {
                    topic_id: topic.id,
                    partitions: vec![alter_partition_request::PartitionData {
                        partition_index: at as i32,
                        leader_epoch: partition.leader_epoch,
                        new_isr: wanted.map(|node| node.0).collect(),
                        partition_epoch: partition.partition_epoch,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            controller.alter_partition(rules, &request).records
        }
    }
}

fn check_partitions(image: &MetadataImage, before: &MetadataImage, seed: u64) {
    for topic in image.topics.iter() {
        assert_eq!(image.topics.by_name(&topic.name).map(|t| t.id), Some(topic.id), "seed={seed}");
        for (at, p) in topic.partitions.iter().enumerate() {
            let what = format!("seed={seed} {}-{at}: {p:?}", topic.name);
            let replicas: BTreeSet<_> = p.replicas.iter().collect();
            assert_eq!(replicas.len(), p.replicas.len(), "{what}");
            assert_eq!(p.directories.len(), p.replicas.len(), "{what}");
            assert!(p.isr.iter().all(|node| replicas.contains(node)), "{what}");
            assert!(p.eligible_leader_replicas.iter().all(|node| !p.isr.contains(node)), "{what}");
            if let Some(leader) = p.leader {
                assert!(p.isr.contains(&leader), "{what}");
                let broker = image.brokers.get(&leader);
                assert!(broker.is_some_and(|broker| !broker.fenced), "{what}");
            }
            let Some(old) = before.topics.partition(topic.id, at as i32) else { continue };
            assert!(p.partition_epoch >= old.partition_epoch && p.leader_epoch >= old.leader_epoch, "{what}");
            assert!(p.leader == old.leader || p.leader_epoch > old.leader_epoch, "{what}");
        }
    }
}

#[test]
fn every_way_to_an_image_gives_the_same() {
    for seed in 0..60 {
        let mut rng = SeededRng::new(seed);
        let config = ControllerConfig { cluster_id: "c".to_owned(), ..Default::default() };
        let mut controller = Controller::new(0, config.clone(), MetadataImage::default());
        let mut loader = Loader::default();
        let (mut now, mut next) = (0, 0);
        let mut records = features::bootstrap();
        for round in 0..150 {
            if !records.is_empty() {
                next += records.len() as i64;
                let provenance = Provenance { end_offset: next, epoch: 1 };
                let before = controller.image().clone();
                controller.replay(now, provenance, &records).unwrap_or_else(|e| panic!("seed={seed}: {e}"));
                loader.load(next, 1, &records).unwrap();
                let image = loader.image();
                assert!(
                    *image == *controller.image(),
                    "seed={seed} round={round}: loader and controller differ"
                );
                check_partitions(image, &before, seed);
                if round % 10 == 0 {
                    let mut other = Loader::default();
                    other.load_snapshot(image.provenance, snapshot::records(image)).unwrap();
                    assert!(*other.image() == *image, "seed={seed} round={round}: a snapshot differs");
                }
            }
            now += rng.below(2_000) as i64;
            if rng.chance(1, 20) {
                controller = Controller::new(now, config.clone(), loader.image().clone());
            }
            records = match rng.chance(1, 10) {
                true => controller.tick(now, &TestRules),
                false => step(&mut controller, now, next, &mut rng),
            };
        }
        assert!(!loader.image().topics.is_empty() || next > 20, "seed={seed}: nothing happened");
    }
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    let begin: MetadataRecord = BeginTransactionRecord::default().into();
    let end: MetadataRecord = EndTransactionRecord::default().into();
    let abort: MetadataRecord = AbortTransactionRecord::default().into();
    let mut records = features::bootstrap();
    let last = records.pop().unwrap();
    let mut loader = Loader::default();
    let mut first = records.clone();
    first.push(begin.clone());
    first.push(last.clone());
    assert!(loader.load(5, 1, &first).unwrap().is_some());
    assert!(loader.in_transaction());
    assert_eq!((loader.image().features.len(), loader.image().provenance.end_offset), (3, 0));
    assert!(loader.load(6, 1, std::slice::from_ref(&begin)).is_err());
    assert!(loader.load(6, 1, std::slice::from_ref(&abort)).unwrap().is_some());
    assert_eq!((loader.image().features.len(), loader.image().provenance.end_offset), (3, 6));
    assert!(loader.load(9, 2, &[begin, last, end.clone()]).unwrap().is_some());
    assert_eq!((loader.image().features.len(), loader.image().provenance.end_offset), (4, 9));
    assert!(loader.load(10, 2, &[end]).is_err());
}

#[test]
fn records_that_do_not_fit_are_refused() {
    use millstream_wire::record::metadata::*;
    let image = MetadataImage::default();
    let bad: Vec<MetadataRecord> = vec![
        RemoveTopicRecord { topic_id: id(1), ..Default::default() }.into(),
        PartitionRecord { topic_id: id(1), partition_id: 0, ..Default::default() }.into(),
        PartitionChangeRecord { topic_id: id(1), partition_id: 0, ..Default::default() }.into(),
        UnregisterBrokerRecord { broker_id: 1, ..Default::default() }.into(),
        FenceBrokerRecord { id: 1, ..Default::default() }.into(),
        BrokerRegistrationChangeRecord { broker_id: 1, fenced: 7, ..Default::default() }.into(),
        ConfigRecord { resource_type: 9, ..Default::default() }.into(),
        ProducerIdsRecord { next_producer_id: -5, ..Default::default() }.into(),
        EndTransactionRecord::default().into(),
    ];
    for record in bad {
        assert!(MetadataDelta::new(&image).apply(&record).is_err(), "{record:?}");
    }
}
