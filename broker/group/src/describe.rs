//! What tools see: ListGroups, DescribeGroups, ConsumerGroupDescribe.

use bytes::Bytes;
use millstream_types::ErrorCode;
use millstream_wire::message::consumer_group_describe_response::{
    Assignment as WireAssignment, DescribedGroup as DescribedConsumerGroup, Member as WireMember,
    TopicPartitions as WirePartitions,
};
use millstream_wire::message::describe_groups_response::{DescribedGroup, DescribedGroupMember};

use crate::assignor::Assignment;
use crate::classic::ClassicState;
use crate::coordinator::Coordinator;
use crate::message::{Answer, Listed, Outcome, Token, Topics};
use crate::shard::{Batch, Kind};

impl Coordinator {
    /// ListGroups: every group of this broker's shards, unfiltered.
    pub fn list(&self) -> Vec<Listed> {
        let groups = self.shards.values().flat_map(|s| &s.groups);
        groups
            .map(|(id, group)| {
                let (protocol_type, state, kind) = match &group.kind {
                    // Offsets alone are shown as an empty classic group, as Kafka does.
                    Kind::Offsets => (String::new(), "Empty", "Classic"),
                    Kind::Classic(g) => (g.protocol_type.clone(), g.state.name(), "Classic"),
                    Kind::Consumer(g) => (crate::classic::CONSUMER.to_owned(), g.state(), "Consumer"),
                };
                Listed {
                    group_id: id.clone(),
                    protocol_type,
                    group_state: state.to_owned(),
                    group_type: kind.to_owned(),
                    ..Default::default()
                }
            })
            .collect()
    }

    pub(crate) fn describe(&self, token: Token, group_id: &str) -> Outcome {
        let mut answer = DescribedGroup { group_id: group_id.to_owned(), ..Default::default() };
        match self.group(group_id).map(|g| &g.kind) {
            Some(Kind::Classic(group)) => {
                group.state.name().clone_into(&mut answer.group_state);
                answer.protocol_type.clone_from(&group.protocol_type);
                // While a group rebalances, what its members had and what they speak is not shown.
                let stable = group.state == ClassicState::Stable;
                answer.protocol_data = group.protocol.clone().filter(|_| stable).unwrap_or_default();
                answer.members = group
                    .members
                    .iter()
                    .map(|(id, m)| DescribedGroupMember {
                        member_id: id.clone(),
                        group_instance_id: m.instance_id.clone(),
                        client_id: m.client_id.clone(),
                        client_host: m.client_host.clone(),
                        member_metadata: if stable { group.metadata_of(m) } else { Bytes::new() },
                        member_assignment: if stable { m.assignment.clone() } else { Bytes::new() },
                        ..Default::default()
                    })
                    .collect();
            }
            Some(Kind::Offsets) => "Empty".clone_into(&mut answer.group_state),
            other => {
                // KIP-1043: a group that is not there, or not of this protocol, is an error from version 6 on; the
                // shell takes it out for older versions.
                let what = if other.is_some() { "is not a classic group" } else { "not found" };
                answer.error_code = ErrorCode::GroupIdNotFound.code();
                answer.error_message = Some(format!("group {group_id} {what}"));
                "Dead".clone_into(&mut answer.group_state);
            }
        }
        Batch::new(self.shard_of(group_id)).answer(token, Answer::Describe(answer))
    }

    pub(crate) fn consumer_describe(&self, topics: &dyn Topics, token: Token, group_id: &str) -> Outcome {
        let mut answer = DescribedConsumerGroup { group_id: group_id.to_owned(), ..Default::default() };
        if let Some(Kind::Consumer(group)) = self.group(group_id).map(|g| &g.kind) {
            group.state().clone_into(&mut answer.group_state);
            answer.group_epoch = group.epoch;
            answer.assignment_epoch = group.assignment_epoch;
            group.assignor().clone_into(&mut answer.assignor_name);
            answer.members = group
                .members
                .iter()
                .map(|(id, m)| WireMember {
                    member_id: id.clone(),
                    instance_id: m.subscription.instance_id.clone(),
                    rack_id: m.subscription.rack_id.clone(),
                    member_epoch: m.epoch,
                    client_id: m.subscription.client_id.clone(),
                    client_host: m.subscription.client_host.clone(),
                    subscribed_topic_names: m.subscription.interest.names.iter().cloned().collect(),
                    subscribed_topic_regex: m.subscription.interest.regex.clone(),
                    assignment: assignment(&m.assignment(), topics),
                    target_assignment: assignment(
                        &group.targets.get(id).cloned().unwrap_or_default(),
                        topics,
                    ),
                    member_type: 1,
                    ..Default::default()
                })
                .collect();
        } else {
            answer.error_code = ErrorCode::GroupIdNotFound.code();
            answer.error_message = Some(format!("group {group_id} is not a consumer group"));
        }
        Batch::new(self.shard_of(group_id)).answer(token, Answer::ConsumerDescribe(answer))
    }
}

fn assignment(assignment: &Assignment, topics: &dyn Topics) -> WireAssignment {
    WireAssignment {
        topic_partitions: assignment
            .iter()
            .map(|(id, partitions)| WirePartitions {
                topic_id: *id,
                topic_name: topics.by_id(*id).map_or_else(String::new, |t| t.name.to_string()),
                partitions: partitions.iter().copied().collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}
