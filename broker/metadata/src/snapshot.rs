//! An image as records: what a snapshot of the metadata log holds. Applied to the empty image they give the same
//! image back. `metadata.version` comes first, so that a reader knows how to read on. Never enters: batches, files,
//! snapshot headers and footers (`millstream-raft` and the shell).

use millstream_types::NodeId;
use millstream_wire::record::metadata::{
    ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionRecord, ProducerIdsRecord,
    RegisterBrokerRecord, TopicRecord, register_broker_record,
};

use crate::features::METADATA_VERSION;
use crate::image::{BrokerImage, MetadataImage, PartitionImage, TopicImage};

pub(crate) fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

/// Empty lists of KIP-966 are written as null, as Kafka does.
pub(crate) fn ids_or_null(nodes: &[NodeId]) -> Option<Vec<i32>> {
    (!nodes.is_empty()).then(|| ids(nodes))
}

pub(crate) fn leader_id(leader: Option<NodeId>) -> i32 {
    leader.unwrap_or(NodeId::NONE).0
}

fn feature(name: &str, level: i16) -> MetadataRecord {
    FeatureLevelRecord { name: name.to_owned(), feature_level: level, ..Default::default() }.into()
}

fn broker(broker: &BrokerImage) -> MetadataRecord {
    RegisterBrokerRecord {
        broker_id: broker.id.0,
        incarnation_id: broker.incarnation_id,
        broker_epoch: broker.epoch,
        end_points: broker
            .endpoints
            .iter()
            .map(|e| register_broker_record::BrokerEndpoint {
                name: e.name.clone(),
                host: e.host.clone(),
                port: e.port,
                security_protocol: e.security_protocol,
                ..Default::default()
            })
            .collect(),
        features: broker
            .features
            .iter()
            .map(|(name, (min, max))| register_broker_record::BrokerFeature {
                name: name.clone(),
                min_supported_version: *min,
                max_supported_version: *max,
                ..Default::default()
            })
            .collect(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_dirs: broker.log_dirs.clone(),
        cordoned_log_dirs: (!broker.cordoned_log_dirs.is_empty()).then(|| broker.cordoned_log_dirs.clone()),
        ..Default::default()
    }
    .into()
}

/// A partition as a record.
pub(crate) fn partition(topic: &TopicImage, index: usize, image: &PartitionImage) -> MetadataRecord {
    PartitionRecord {
        partition_id: index as i32,
        topic_id: topic.id,
        replicas: ids(&image.replicas),
        isr: ids(&image.isr),
        removing_replicas: ids(&image.removing_replicas),
        adding_replicas: ids(&image.adding_replicas),
        leader: leader_id(image.leader),
        leader_recovery_state: i8::from(image.recovering),
        leader_epoch: image.leader_epoch,
        partition_epoch: image.partition_epoch,
        directories: image.directories.clone(),
        eligible_leader_replicas: ids_or_null(&image.eligible_leader_replicas),
        last_known_elr: ids_or_null(&image.last_known_elr),
        ..Default::default()
    }
    .into()
}

/// All records of `image`, in an order in which they can be applied.
pub fn records(image: &MetadataImage) -> impl Iterator<Item = MetadataRecord> + '_ {
    let version = image.features.get(METADATA_VERSION).map(|level| feature(METADATA_VERSION, *level));
    let features = image.features.iter().filter(|(name, _)| *name != METADATA_VERSION);
    let topics = image.topics.iter().flat_map(|topic| {
        let head = TopicRecord { name: topic.name.to_string(), topic_id: topic.id, ..Default::default() };
        let partitions = topic.partitions.iter().enumerate().map(|(at, p)| partition(topic, at, p));
        std::iter::once(head.into()).chain(partitions)
    });
    let configs = image.configs.iter().flat_map(|(resource, map)| {
        map.iter().map(|(name, value)| {
            ConfigRecord {
                resource_type: resource.kind as i8,
                resource_name: resource.name.to_string(),
                name: name.clone(),
                value: Some(value.clone()),
                ..Default::default()
            }
            .into()
        })
    });
    let producer_ids = (image.next_producer_id > 0).then(|| {
        let next_producer_id = image.next_producer_id;
        ProducerIdsRecord { broker_id: -1, broker_epoch: -1, next_producer_id, ..Default::default() }.into()
    });
    version
        .into_iter()
        .chain(features.map(|(name, level)| feature(name, *level)))
        .chain(image.controllers.values().map(|record| record.clone().into()))
        .chain(image.brokers.values().map(|image| broker(image)))
        .chain(topics)
        .chain(configs)
        .chain(producer_ids)
        .chain(image.scram.values().map(|record| record.clone().into()))
        .chain(image.acls.values().map(|record| record.clone().into()))
        .chain(image.quotas.values().map(|record| record.clone().into()))
        .chain(image.delegation_tokens.values().map(|record| record.clone().into()))
}
