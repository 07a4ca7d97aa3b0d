//! OffsetCommit, OffsetFetch, OffsetDelete, TxnOffsetCommit: handed to the group coordinator with topics by name. Owns
//! what differs by version: topic ids, one group or many; and puts the log's start in where an offset is pinned there.

use std::sync::Arc;

use millstream_group::message::{LOG_START, RequireStable};
use millstream_group::{Answer, Request};
use millstream_metadata::MetadataImage;
use millstream_txn::{Input, Partitions, Version};
use millstream_types::ErrorCode;
use millstream_types::hash::coordinator_partition;
use millstream_types::topic::CONSUMER_OFFSETS;
use millstream_wire::message::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_wire::message::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use millstream_wire::message::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse, offset_commit_response,
    txn_offset_commit_response,
};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::handler::groups::{caller, refusal};

/// Serves OffsetCommit.
pub fn commit(broker: &Arc<Broker>, cx: Context, mut request: OffsetCommitRequest) -> Begun {
    use offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let image = broker.image();
    let by_id = cx.version >= 10;
    let mut unknown = Vec::new();
    request.topics.retain_mut(|topic| {
        let name = if by_id { image.topics.by_id(topic.topic_id).map(|t| t.name.to_string()) } else { None };
        let found = if by_id { name.is_some() } else { true };
        if let Some(name) = name {
            topic.name = name;
        }
        // A topic that is not there takes no offsets; by name it is told for each partition.
        let exists = image.topics.by_name(&topic.name).is_some();
        if found && exists {
            return true;
        }
        let error = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        unknown.push(OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|p| OffsetCommitResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        false
    });
    cx.later(async move {
        let again = request.topics.clone();
        let mut answer = match broker.groups.ask(caller, Request::Commit(request)).await {
            Answer::Commit(answer) => answer,
            other => {
                let error_code = refusal(&other).code();
                let topics = again.iter().map(|topic| OffsetCommitResponseTopic {
                    name: topic.name.clone(),
                    topic_id: topic.topic_id,
                    partitions: topic
                        .partitions
                        .iter()
                        .map(|p| OffsetCommitResponsePartition {
                            partition_index: p.partition_index,
                            error_code,
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                });
                OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
            }
        };
        answer.topics.append(&mut unknown);
        for topic in &mut answer.topics {
            if by_id {
                topic.name.clear();
            } else {
                topic.topic_id = Default::default();
            }
        }
        answer
    })
}

/// Serves OffsetFetch.
pub fn fetch(broker: &Arc<Broker>, cx: Context, request: OffsetFetchRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let version = cx.version;
    cx.later(async move {
        let stable = if request.require_stable { RequireStable::Yes } else { RequireStable::No };
        if version >= 8 {
            let mut answer = OffsetFetchResponse::default();
            for mut group in request.groups {
                let image = broker.image();
                if version >= 10 {
                    for topic in group.topics.iter_mut().flatten() {
                        let known = image.topics.by_id(topic.topic_id);
                        topic.name = known.map_or_else(String::new, |t| t.name.to_string());
                    }
                }
                let asked = group.clone();
                let mut found = one(&broker, &caller, group, stable).await;
                if version >= 10 {
                    with_ids(&mut found, &asked);
                } else {
                    found.topics.iter_mut().for_each(|t| t.topic_id = Default::default());
                }
                answer.groups.push(found);
            }
            return answer;
        }
        // Version 1 has no way to ask for all; from 2 on no list does.
        let topics = request.topics.map(|topics| {
            let row = |t: millstream_wire::message::offset_fetch_request::OffsetFetchRequestTopic| {
                OffsetFetchRequestTopics {
                    name: t.name,
                    partition_indexes: t.partition_indexes,
                    ..Default::default()
                }
            };
            topics.into_iter().map(row).collect()
        });
        let group = OffsetFetchRequestGroup {
            group_id: request.group_id,
            member_epoch: -1,
            topics,
            ..Default::default()
        };
        let found = one(&broker, &caller, group, stable).await;
        let topics = found.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|p| OffsetFetchResponsePartition {
                    partition_index: p.partition_index,
                    committed_offset: p.committed_offset,
                    committed_leader_epoch: if version >= 5 { p.committed_leader_epoch } else { -1 },
                    metadata: p.metadata,
                    error_code: p.error_code,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        OffsetFetchResponse { topics: topics.collect(), error_code: found.error_code, ..Default::default() }
    })
}

async fn one(
    broker: &Broker,
    caller: &millstream_group::Caller,
    group: OffsetFetchRequestGroup,
    stable: RequireStable,
) -> OffsetFetchResponseGroup {
    let group_id = group.group_id.clone();
    match broker.groups.ask(caller.clone(), Request::Fetch(group, stable)).await {
        Answer::Fetch(mut found) => {
            pin(broker, &mut found);
            found
        }
        other => {
            OffsetFetchResponseGroup { group_id, error_code: refusal(&other).code(), ..Default::default() }
        }
    }
}

/// Puts the log's start in where the coordinator says "from the beginning".
fn pin(broker: &Broker, group: &mut OffsetFetchResponseGroup) {
    for topic in &mut group.topics {
        for p in topic.partitions.iter_mut().filter(|p| p.committed_offset == LOG_START) {
            let start = broker
                .partition_by_name(&topic.name, p.partition_index)
                .map(|partition| partition.look(|log, _| log.log_start_offset()));
            match start {
                Some(start) => p.committed_offset = start,
                // Its leader knows; the client asks again, rather than resetting.
                None => {
                    p.committed_offset = -1;
                    p.error_code = ErrorCode::UnstableOffsetCommit.code();
                }
            }
        }
    }
}

/// Topics that the request named by an id that is not known here.
fn with_ids(found: &mut OffsetFetchResponseGroup, asked: &OffsetFetchRequestGroup) {
    for topic in &mut found.topics {
        if topic.name.is_empty() {
            for p in &mut topic.partitions {
                p.committed_offset = -1;
                p.error_code = ErrorCode::UnknownTopicId.code();
            }
        }
    }
    // Unknown ids come back in the order in which they were asked for.
    let mut unknown = asked.topics.iter().flatten().filter(|t| t.name.is_empty());
    for topic in found.topics.iter_mut().filter(|t| t.name.is_empty()) {
        if let Some(asked) = unknown.next() {
            topic.topic_id = asked.topic_id;
        }
    }
    found.topics.iter_mut().for_each(|t| t.name.clear());
}

/// Serves OffsetDelete.
pub fn delete(broker: &Arc<Broker>, cx: Context, request: OffsetDeleteRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    cx.later(async move {
        match broker.groups.ask(caller, Request::DeleteOffsets(request)).await {
            Answer::DeleteOffsets(answer) => answer,
            other => OffsetDeleteResponse { error_code: refusal(&other).code(), ..Default::default() },
        }
    })
}

/// Serves TxnOffsetCommit.
pub fn txn_commit(broker: &Arc<Broker>, cx: Context, mut request: TxnOffsetCommitRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let by_id = cx.version >= 6;
    if by_id {
        let image = broker.image();
        for topic in &mut request.topics {
            topic.name = name_of(&image, topic.topic_id);
        }
    }
    let version = cx.version;
    cx.blocking(async move {
        let again = request.clone();
        let refused = |error: ErrorCode| {
            use txn_offset_commit_response::{
                TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
            };
            let topics = again.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions: topic
                    .partitions
                    .iter()
                    .map(|p| TxnOffsetCommitResponsePartition {
                        partition_index: p.partition_index,
                        error_code: error.code(),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            });
            TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() }
        };
        let mut answer = match in_transaction(&broker, &request, version).await {
            Err(error) => refused(error),
            Ok(()) => match broker.groups.ask(caller, Request::TxnCommit(request)).await {
                Answer::TxnCommit(answer) => answer,
                other => refused(refusal(&other)),
            },
        };
        for topic in &mut answer.topics {
            if by_id {
                topic.name.clear();
            } else {
                topic.topic_id = Default::default();
            }
        }
        answer
    })
}

fn name_of(image: &MetadataImage, id: millstream_types::Uuid) -> String {
    image.topics.by_id(id).map_or_else(String::new, |t| t.name.to_string())
}

/// Makes sure that the group's partition of `__consumer_offsets` is part of the transaction: added by this request from
/// version 5 on (KIP-890), verified before.
async fn in_transaction(
    broker: &Broker,
    request: &TxnOffsetCommitRequest,
    version: i16,
) -> Result<(), ErrorCode> {
    let image = broker.image();
    let shards = image.topics.by_name(CONSUMER_OFFSETS).map_or(0, |t| t.partitions.len() as i32);
    if shards == 0 {
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    let shard = coordinator_partition(&request.group_id, shards);
    let producer = (request.producer_id, request.producer_epoch);
    let open = broker
        .partition_by_name(CONSUMER_OFFSETS, shard)
        .is_some_and(|p| p.look(|log, _| log.has_ongoing_txn(producer.0, producer.1)));
    if open {
        return Ok(());
    }
    let transactional_id = request.transactional_id.clone();
    let version = if version >= 5 { Version::V2 } else { Version::V1 };
    let ask = broker.transactions.ask(move |token| Input::AddPartitions {
        token,
        transactional_id,
        producer_id: producer.0,
        producer_epoch: producer.1,
        version,
        partitions: Partitions::from([(CONSUMER_OFFSETS.to_owned(), [shard].into())]),
        verify_only: version == Version::V1,
    });
    match ask.await {
        Some(millstream_txn::Answer::Partitions { error: ErrorCode::None, refused })
            if refused.is_empty() =>
        {
            Ok(())
        }
        Some(millstream_txn::Answer::Partitions { error: ErrorCode::None, .. }) => {
            Err(ErrorCode::InvalidTxnState)
        }
        Some(millstream_txn::Answer::Partitions { error, .. }) => Err(error),
        _ => Err(ErrorCode::CoordinatorNotAvailable),
    }
}
