//! Metadata, DescribeTopicPartitions, DescribeCluster: what the image says of brokers and topics. A topic that is asked
//! for and is not there is made, where client and broker allow it.

use std::sync::Arc;

use millstream_metadata::{MetadataImage, TopicImage};
use millstream_types::topic::{is_internal, validate_name};
use millstream_types::{ErrorCode, NodeId};
use millstream_wire::message::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use millstream_wire::message::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use millstream_wire::message::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use millstream_wire::message::{DescribeClusterRequest, DescribeTopicPartitionsRequest, MetadataRequest};

use crate::broker::{Broker, LISTENER};
use crate::connection::Begun;
use crate::dispatch::Context;

/// What a response's field for authorised operations holds where it was not asked for.
const NOT_ASKED: i32 = i32::MIN;

/// Serves Metadata.
pub fn begin(broker: &Arc<Broker>, cx: Context, request: MetadataRequest) -> Begun {
    let image = broker.image();
    let may_create = (cx.version < 4 || request.allow_auto_topic_creation)
        && broker.config.flag("auto.create.topics.enable");
    let missing: Vec<String> = request
        .topics
        .iter()
        .flatten()
        .filter_map(|t| t.name.clone())
        .filter(|name| may_create && validate_name(name).is_ok() && image.topics.by_name(name).is_none())
        .collect();
    if missing.is_empty() {
        let answer = answer(broker, &cx, &request, &image);
        return cx.ready(&answer);
    }
    let broker = Arc::clone(broker);
    Begun::Blocking(Box::pin(async move {
        for name in missing {
            // Whatever becomes of it, the answer below says what there is.
            let _ = broker.create_topic(&name).await;
        }
        let image = broker.image();
        let answer = answer(&broker, &cx, &request, &image);
        cx.ready(&answer)
    }))
}

fn answer(
    broker: &Broker,
    cx: &Context,
    request: &MetadataRequest,
    image: &MetadataImage,
) -> MetadataResponse {
    let mut answer = MetadataResponse {
        cluster_id: (cx.version >= 2).then(|| broker.cluster_id.clone()),
        controller_id: broker.me.0,
        cluster_authorized_operations: NOT_ASKED,
        ..Default::default()
    };
    for node in image.brokers.values().filter(|b| !b.fenced) {
        if let Some(endpoint) = node.endpoint(LISTENER) {
            answer.brokers.push(MetadataResponseBroker {
                node_id: node.id.0,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: node.rack.clone(),
                ..Default::default()
            });
        }
    }
    // Version 0 asks for all topics by an empty list, later ones by none.
    let all = match &request.topics {
        None => true,
        Some(topics) => cx.version == 0 && topics.is_empty(),
    };
    if all {
        let mut topics: Vec<&Arc<TopicImage>> = image.topics.iter().collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        answer.topics = topics.into_iter().map(|t| found(image, t, cx.version)).collect();
        return answer;
    }
    for wanted in request.topics.iter().flatten() {
        let known = match &wanted.name {
            Some(name) => image.topics.by_name(name),
            None => image.topics.by_id(wanted.topic_id),
        };
        answer.topics.push(match known {
            Some(topic) => found(image, topic, cx.version),
            None => {
                let error = match &wanted.name {
                    Some(name) if validate_name(name).is_err() => ErrorCode::InvalidTopicException,
                    Some(_) => ErrorCode::UnknownTopicOrPartition,
                    None => ErrorCode::UnknownTopicId,
                };
                MetadataResponseTopic {
                    error_code: error.code(),
                    // Versions before 12 have no null for a name.
                    name: wanted.name.clone().or_else(|| (cx.version < 12).then(String::new)),
                    topic_id: wanted.topic_id,
                    topic_authorized_operations: NOT_ASKED,
                    ..Default::default()
                }
            }
        });
    }
    answer
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|n| n.0).collect()
}

fn offline(image: &MetadataImage, replicas: &[NodeId]) -> Vec<i32> {
    replicas.iter().filter(|n| image.brokers.get(n).is_none_or(|b| b.fenced)).map(|n| n.0).collect()
}

fn found(image: &MetadataImage, topic: &TopicImage, version: i16) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().enumerate().map(|(index, p)| MetadataResponsePartition {
        error_code: if p.leader.is_some() { 0 } else { ErrorCode::LeaderNotAvailable.code() },
        partition_index: index as i32,
        leader_id: p.leader.map_or(-1, |n| n.0),
        leader_epoch: if version >= 7 { p.leader_epoch } else { -1 },
        replica_nodes: ids(&p.replicas),
        isr_nodes: ids(&p.isr),
        offline_replicas: if version >= 5 { offline(image, &p.replicas) } else { Vec::new() },
        ..Default::default()
    });
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        topic_authorized_operations: NOT_ASKED,
        ..Default::default()
    }
}

/// Serves DescribeTopicPartitions: topics by name, page by page.
pub fn describe_topic_partitions(
    broker: &Arc<Broker>,
    cx: Context,
    request: DescribeTopicPartitionsRequest,
) -> Begun {
    let image = broker.image();
    let mut names: Vec<String> = request.topics.iter().map(|t| t.name.clone()).collect();
    if names.is_empty() {
        names = image.topics.iter().map(|t| t.name.to_string()).collect();
    }
    names.sort();
    names.dedup();
    let (from_topic, from_partition) =
        request.cursor.as_ref().map_or((String::new(), 0), |c| (c.topic_name.clone(), c.partition_index));
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, 2_000);
    let mut answer = DescribeTopicPartitionsResponse { next_cursor: None, ..Default::default() };
    for name in names.into_iter().filter(|n| *n >= from_topic) {
        let Some(topic) = image.topics.by_name(&name) else {
            answer.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                name: Some(name),
                topic_authorized_operations: NOT_ASKED,
                ..Default::default()
            });
            continue;
        };
        let first = if name == from_topic { usize::try_from(from_partition).unwrap_or(0) } else { 0 };
        let mut row = DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: topic.id,
            is_internal: is_internal(&topic.name),
            topic_authorized_operations: NOT_ASKED,
            ..Default::default()
        };
        for (index, p) in topic.partitions.iter().enumerate().skip(first) {
            if left == 0 {
                answer.next_cursor = Some(Cursor {
                    topic_name: name.clone(),
                    partition_index: index as i32,
                    ..Default::default()
                });
                break;
            }
            left -= 1;
            row.partitions.push(DescribeTopicPartitionsResponsePartition {
                error_code: if p.leader.is_some() { 0 } else { ErrorCode::LeaderNotAvailable.code() },
                partition_index: index as i32,
                leader_id: p.leader.map_or(-1, |n| n.0),
                leader_epoch: p.leader_epoch,
                replica_nodes: ids(&p.replicas),
                isr_nodes: ids(&p.isr),
                eligible_leader_replicas: Some(ids(&p.eligible_leader_replicas)),
                last_known_elr: Some(ids(&p.last_known_elr)),
                offline_replicas: offline(&image, &p.replicas),
                ..Default::default()
            });
        }
        answer.topics.push(row);
        if answer.next_cursor.is_some() {
            break;
        }
    }
    cx.ready(&answer)
}

/// Serves DescribeCluster.
pub fn describe_cluster(broker: &Arc<Broker>, cx: Context, request: DescribeClusterRequest) -> Begun {
    let image = broker.image();
    let mut answer = DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: broker.cluster_id.clone(),
        controller_id: broker.me.0,
        cluster_authorized_operations: NOT_ASKED,
        ..Default::default()
    };
    if cx.version >= 1 && request.endpoint_type != 1 {
        answer.error_code = ErrorCode::MismatchedEndpointType.code();
        answer.error_message = Some("this listener is a broker's; ask for endpoint type 1".to_owned());
        return cx.ready(&answer);
    }
    for node in
        image.brokers.values().filter(|b| !b.fenced || (cx.version >= 2 && request.include_fenced_brokers))
    {
        if let Some(endpoint) = node.endpoint(LISTENER) {
            answer.brokers.push(DescribeClusterBroker {
                broker_id: node.id.0,
                host: endpoint.host.clone(),
                port: i32::from(endpoint.port),
                rack: node.rack.clone(),
                is_fenced: cx.version >= 2 && node.fenced,
                ..Default::default()
            });
        }
    }
    cx.ready(&answer)
}
