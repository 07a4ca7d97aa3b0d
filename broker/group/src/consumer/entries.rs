//! The records of a group of the consumer protocol. Never enters: when they are written.

use millstream_wire::record::group::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, GroupValue,
    consumer_group_target_assignment_member_value::TopicPartition,
};

use super::{Member, Subscription, current_value};
use crate::assignor::Assignment;
use crate::record::Entry;

pub(crate) fn member_entry(group: &str, id: &str, subscription: Option<&Subscription>) -> Entry {
    let key = ConsumerGroupMemberMetadataKey { group_id: group.to_owned(), member_id: id.to_owned() };
    let value = subscription.map(|s| {
        GroupValue::from(ConsumerGroupMemberMetadataValue {
            instance_id: s.instance_id.clone(),
            rack_id: s.rack_id.clone(),
            client_id: s.client_id.clone(),
            client_host: s.client_host.clone(),
            subscribed_topic_names: s.interest.names.iter().cloned().collect(),
            subscribed_topic_regex: s.interest.regex.clone(),
            rebalance_timeout_ms: s.rebalance_timeout_ms,
            server_assignor: s.assignor.clone(),
            // A member of the consumer protocol has none; Kafka's default is a structure, not null.
            classic_member_metadata: None,
            ..Default::default()
        })
    });
    Entry::Kafka(key.into(), value)
}

pub(crate) fn current_entry(group: &str, id: &str, member: Option<&Member>) -> Entry {
    let key =
        ConsumerGroupCurrentMemberAssignmentKey { group_id: group.to_owned(), member_id: id.to_owned() };
    Entry::Kafka(key.into(), member.map(|m| current_value(m).into()))
}

pub(crate) fn target_entry(group: &str, id: &str, target: Option<&Assignment>) -> Entry {
    let key = ConsumerGroupTargetAssignmentMemberKey { group_id: group.to_owned(), member_id: id.to_owned() };
    let value = target.map(|target| {
        GroupValue::from(ConsumerGroupTargetAssignmentMemberValue {
            topic_partitions: target
                .iter()
                .map(|(topic, partitions)| TopicPartition {
                    topic_id: *topic,
                    partitions: partitions.iter().copied().collect(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        })
    });
    Entry::Kafka(key.into(), value)
}

pub(crate) fn epoch_entry(group: &str, epoch: i32, metadata_hash: i64) -> Entry {
    let key = ConsumerGroupMetadataKey { group_id: group.to_owned() };
    let value = ConsumerGroupMetadataValue { epoch, metadata_hash, ..Default::default() };
    Entry::Kafka(key.into(), Some(value.into()))
}

pub(crate) fn assigned_entry(group: &str, assignment_epoch: i32, assignment_timestamp: i64) -> Entry {
    let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group.to_owned() };
    let value = ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch,
        assignment_timestamp,
        ..Default::default()
    };
    Entry::Kafka(key.into(), Some(value.into()))
}

/// The records that take a member away.
pub(crate) fn member_tombstones(group: &str, id: &str) -> [Entry; 3] {
    [current_entry(group, id, None), target_entry(group, id, None), member_entry(group, id, None)]
}

/// The records that take a group away.
pub(crate) fn group_tombstones(group: &str) -> [Entry; 2] {
    let targets = ConsumerGroupTargetAssignmentMetadataKey { group_id: group.to_owned() };
    let metadata = ConsumerGroupMetadataKey { group_id: group.to_owned() };
    [Entry::Kafka(targets.into(), None), Entry::Kafka(metadata.into(), None)]
}
