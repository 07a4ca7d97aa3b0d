//! ListOffsets: offsets by timestamp and by the names that negative timestamps stand for. OffsetForLeaderEpoch: where
//! an epoch ended, by which a client finds out that a log was cut.

use std::sync::Arc;

use millstream_log::{LogError, TimestampOffset};
use millstream_replica::ReadAs;
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::message::list_offsets_request::ListOffsetsPartition;
use millstream_wire::message::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use millstream_wire::message::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use millstream_wire::message::{ListOffsetsRequest, OffsetForLeaderEpochRequest};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;
use crate::handler::replica;
use crate::partition::Partition;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on the broker's own disks; without remote storage that is the first of all.
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in remote storage; there is none.
const LATEST_TIERED: i64 = -5;

/// Serves ListOffsets.
pub fn begin(broker: &Arc<Broker>, cx: Context, request: ListOffsetsRequest) -> Begun {
    let image = broker.image();
    let as_ = if request.isolation_level == 1 { ReadAs::Committed } else { ReadAs::Uncommitted };
    let mut answer = ListOffsetsResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for p in &topic.partitions {
            let mut row = ListOffsetsPartitionResponse {
                partition_index: p.partition_index,
                timestamp: -1,
                offset: -1,
                leader_epoch: -1,
                ..Default::default()
            };
            let found = replica(broker, &image, &topic.name, Uuid::ZERO, p.partition_index);
            match found.and_then(|partition| find(&partition, p, as_)) {
                Ok((timestamp, offset, epoch)) => {
                    row.timestamp = timestamp;
                    row.offset = offset;
                    // Versions before 4 have no field for it.
                    row.leader_epoch = if cx.version >= 4 { epoch } else { -1 };
                }
                Err(error) => row.error_code = error.code(),
            }
            partitions.push(row);
        }
        let name = topic.name.clone();
        answer.topics.push(ListOffsetsTopicResponse { name, partitions, ..Default::default() });
    }
    cx.ready(&answer)
}

/// Timestamp, offset and leader epoch; -1 each where there is nothing of the kind.
fn find(
    partition: &Arc<Partition>,
    wanted: &ListOffsetsPartition,
    as_: ReadAs,
) -> Result<(i64, i64, i32), ErrorCode> {
    let claimed = (wanted.current_leader_epoch >= 0).then_some(wanted.current_leader_epoch);
    partition.look(|log, replica| {
        let end = replica.readable_end(as_, claimed)?;
        let by_time = |found: Result<Option<TimestampOffset>, LogError>| match found {
            Ok(Some(f)) if f.offset < end => Ok((f.timestamp, f.offset, f.leader_epoch)),
            Ok(_) => Ok((-1, -1, -1)),
            Err(error) => Err(error.error_code()),
        };
        match wanted.timestamp {
            LATEST => Ok((-1, end, log.latest_epoch().unwrap_or(-1))),
            EARLIEST | EARLIEST_LOCAL => {
                let start = log.log_start_offset();
                Ok((-1, start, log.epochs().epoch_at(start).unwrap_or(-1)))
            }
            LATEST_TIERED => Ok((-1, -1, -1)),
            MAX_TIMESTAMP => by_time(log.offset_of_max_timestamp()),
            timestamp if timestamp >= 0 => by_time(log.offset_for_timestamp(timestamp)),
            _ => Err(ErrorCode::UnsupportedVersion),
        }
    })
}

/// Serves OffsetForLeaderEpoch.
pub fn for_leader_epoch(broker: &Arc<Broker>, cx: Context, request: OffsetForLeaderEpochRequest) -> Begun {
    let image = broker.image();
    let mut answer = OffsetForLeaderEpochResponse::default();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for p in &topic.partitions {
            let mut row = EpochEndOffset { partition: p.partition, ..Default::default() };
            let claimed = (p.current_leader_epoch >= 0).then_some(p.current_leader_epoch);
            let found = replica(broker, &image, &topic.topic, Uuid::ZERO, p.partition);
            let end = found.and_then(|partition| {
                partition.look(|log, state| {
                    state.check_serving(claimed)?;
                    Ok(log.end_offset_for_epoch(p.leader_epoch))
                })
            });
            match end {
                Ok(Some((epoch, end_offset))) => {
                    row.leader_epoch = epoch;
                    row.end_offset = end_offset;
                }
                Ok(None) => {}
                Err(error) => row.error_code = error.code(),
            }
            partitions.push(row);
        }
        let topic = topic.topic.clone();
        answer.topics.push(OffsetForLeaderTopicResult { topic, partitions, ..Default::default() });
    }
    cx.ready(&answer)
}
