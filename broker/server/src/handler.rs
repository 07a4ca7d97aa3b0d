//! One file for each family of APIs: a request in, its answer begun. Thin: what is decided is decided in the pure
//! crates, what is kept is kept by partitions and coordinators.

pub mod api_versions;
pub mod configs;
pub mod delete_records;
pub mod fetch;
pub mod find_coordinator;
pub mod groups;
pub mod list_offsets;
pub mod metadata;
pub mod offsets;
pub mod produce;
pub mod topics;
pub mod transactions;

use std::sync::Arc;

use millstream_metadata::MetadataImage;
use millstream_types::{ErrorCode, Uuid};

use crate::broker::Broker;
use crate::partition::Partition;

/// The replica that a request names, by id where it has one, else by name.
///
/// # Errors
/// UNKNOWN_TOPIC_ID or UNKNOWN_TOPIC_OR_PARTITION; NOT_LEADER_OR_FOLLOWER where it is on another broker.
pub(crate) fn replica(
    broker: &Broker,
    image: &MetadataImage,
    topic: &str,
    topic_id: Uuid,
    partition: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let found = if topic_id.is_zero() {
        broker.partition_by_name(topic, partition)
    } else {
        broker.partition(topic_id, partition)
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let known = if topic_id.is_zero() { image.topics.by_name(topic) } else { image.topics.by_id(topic_id) };
    match known {
        None if topic_id.is_zero() => Err(ErrorCode::UnknownTopicOrPartition),
        None => Err(ErrorCode::UnknownTopicId),
        Some(topic) if usize::try_from(partition).is_ok_and(|p| p < topic.partitions.len()) => {
            Err(ErrorCode::NotLeaderOrFollower)
        }
        Some(_) => Err(ErrorCode::UnknownTopicOrPartition),
    }
}
