//! Groups of both protocols, and their offsets. Never enters: being a member of one (`consumer`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_types::{ErrorCode, NodeId, TopicPartition};
use millstream_wire::message::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use millstream_wire::message::delete_groups_request::DeleteGroupsRequest;
use millstream_wire::message::describe_groups_request::DescribeGroupsRequest;
use millstream_wire::message::list_groups_request::ListGroupsRequest;
use millstream_wire::message::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};

use super::Admin;
use crate::cluster::{CoordinatorKind, Purpose};
use crate::consumer::{GroupMetadata, OffsetAndMetadata, assignor, offsets};
use crate::error::{ClientError, Result};

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// The group.
    pub group_id: String,
    /// `consumer` for consumers; other applications have others.
    pub protocol_type: String,
    /// Its state, by Kafka's name; empty from older brokers.
    pub state: String,
    /// `classic`, `consumer`, …; empty from older brokers.
    pub kind: String,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub member_id: String,
    /// A static member's name.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// What it has.
    pub assignment: BTreeSet<TopicPartition>,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group_id: String,
    /// Its state, by Kafka's name.
    pub state: String,
    /// Whether it speaks KIP-848.
    pub consumer_protocol: bool,
    /// The assignor.
    pub assignor: String,
    /// The group's epoch; -1 for a classic group.
    pub epoch: i32,
    /// The members.
    pub members: Vec<GroupMember>,
}

impl Admin {
    /// The groups of all brokers.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.retrying(|| async {
            let metadata = self.cluster.refresh().await?;
            let mut groups = Vec::new();
            for node in metadata.brokers.keys() {
                let response = self.cluster.call(*node, Purpose::Main, &ListGroupsRequest::default()).await?;
                ClientError::check("listing groups", response.error_code)?;
                groups.extend(response.groups.into_iter().map(|group| GroupListing {
                    group_id: group.group_id,
                    protocol_type: group.protocol_type,
                    state: group.group_state,
                    kind: group.group_type,
                }));
            }
            groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
            groups.dedup();
            Ok(groups)
        })
        .await
    }

    /// One group with its members, whichever protocol it speaks.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        match self.describe_consumer_group(group).await {
            // Another kind of group, or a broker without KIP-848.
            Err(ClientError::Unsupported { .. }) => self.describe_classic_group(group).await,
            Err(error)
                if matches!(
                    error.code(),
                    Some(
                        ErrorCode::GroupIdNotFound
                            | ErrorCode::UnsupportedVersion
                            | ErrorCode::InvalidGroupId
                    )
                ) =>
            {
                self.describe_classic_group(group).await
            }
            result => result,
        }
    }

    async fn describe_consumer_group(&self, group: &str) -> Result<GroupDescription> {
        let id: Arc<str> = group.into();
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![group.to_owned()],
            ..ConsumerGroupDescribeRequest::default()
        };
        let kind = CoordinatorKind::Group;
        self.cluster
            .call_coordinator(kind, &id, self.within(), i16::MAX, &request, |response| {
                let found = response.groups.into_iter().next();
                let found =
                    found.ok_or_else(|| ClientError::state("describing a group: the answer is empty"))?;
                let what = format!("describing group {}", found.group_id);
                ClientError::check_with(&what, found.error_code, found.error_message.as_deref())?;
                let members = found.members.into_iter().map(|member| {
                    let assignment = member.assignment.topic_partitions.iter().flat_map(|topic| {
                        let name: Arc<str> = topic.topic_name.as_str().into();
                        topic.partitions.iter().map(move |at| TopicPartition::new(name.clone(), *at))
                    });
                    GroupMember {
                        member_id: member.member_id,
                        instance_id: member.instance_id,
                        client_id: member.client_id,
                        client_host: member.client_host,
                        assignment: assignment.collect(),
                    }
                });
                Ok(GroupDescription {
                    group_id: found.group_id,
                    state: found.group_state,
                    consumer_protocol: true,
                    assignor: found.assignor_name,
                    epoch: found.group_epoch,
                    members: members.collect(),
                })
            })
            .await
    }

    async fn describe_classic_group(&self, group: &str) -> Result<GroupDescription> {
        let id: Arc<str> = group.into();
        let request =
            DescribeGroupsRequest { groups: vec![group.to_owned()], ..DescribeGroupsRequest::default() };
        let kind = CoordinatorKind::Group;
        self.cluster
            .call_coordinator(kind, &id, self.within(), i16::MAX, &request, |response| {
                let found = response.groups.into_iter().next();
                let found =
                    found.ok_or_else(|| ClientError::state("describing a group: the answer is empty"))?;
                let what = format!("describing group {}", found.group_id);
                ClientError::check_with(&what, found.error_code, found.error_message.as_deref())?;
                let members = found.members.into_iter().map(|member| GroupMember {
                    member_id: member.member_id,
                    instance_id: member.group_instance_id,
                    client_id: member.client_id,
                    client_host: member.client_host,
                    // Groups of other applications have assignments of their own kind.
                    assignment: assignor::decode_assignment(member.member_assignment).unwrap_or_default(),
                });
                Ok(GroupDescription {
                    group_id: found.group_id,
                    state: found.group_state,
                    consumer_protocol: false,
                    assignor: found.protocol_data,
                    epoch: -1,
                    members: members.collect(),
                })
            })
            .await
    }

    /// Deletes groups that have no members, with their offsets.
    pub async fn delete_groups(&self, groups: &[&str]) -> Result<()> {
        for group in groups {
            let id: Arc<str> = (*group).into();
            let request = DeleteGroupsRequest {
                groups_names: vec![(*group).to_owned()],
                ..DeleteGroupsRequest::default()
            };
            let kind = CoordinatorKind::Group;
            self.cluster
                .call_coordinator(kind, &id, self.within(), i16::MAX, &request, |response| {
                    for result in response.results {
                        let what = format!("deleting group {}", result.group_id);
                        ClientError::check(&what, result.error_code)?;
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    /// The committed offsets of a group: of `partitions`, or of all.
    pub async fn list_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        offsets::committed_of(&self.cluster, &outside(group), partitions).await
    }

    /// Sets committed offsets of a group that has no members.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        positions: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<()> {
        offsets::commit(&self.cluster, &outside(group), positions).await
    }

    /// Deletes committed offsets of partitions that no member subscribes to.
    pub async fn delete_group_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<()> {
        let id: Arc<str> = group.into();
        let mut topics: BTreeMap<&Arc<str>, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for partition in partitions {
            topics
                .entry(&partition.topic)
                .or_default()
                .push(OffsetDeleteRequestPartition { partition_index: partition.partition });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetDeleteRequestTopic { name: name.to_string(), partitions });
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.collect() };
        let what = format!("deleting offsets of group {group}");
        let kind = CoordinatorKind::Group;
        self.cluster
            .call_coordinator(kind, &id, self.within(), i16::MAX, &request, |response| {
                ClientError::check(&what, response.error_code)?;
                let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
                codes
                    .into_iter()
                    .find(|code| *code != 0)
                    .map_or(Ok(()), |code| ClientError::check(&what, code))
            })
            .await
    }

    /// The broker that coordinates a group.
    pub async fn group_coordinator(&self, group: &str) -> Result<NodeId> {
        self.cluster.coordinator(CoordinatorKind::Group, &group.into(), self.within()).await
    }
}

/// Somebody outside of the group.
fn outside(group: &str) -> GroupMetadata {
    GroupMetadata { group_id: group.into(), epoch: -1, member_id: "".into(), instance_id: None }
}
