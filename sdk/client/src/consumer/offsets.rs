//! Where partitions start and what is committed: OffsetFetch, ListOffsets, OffsetCommit. Owns the reset rules, with the
//! one for partitions that were added after subscribing: they start at their first record, so that none is lost under
//! `latest`. Never enters: fetching records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_types::{ErrorCode, NodeId, TopicPartition};
use millstream_wire::message::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use millstream_wire::message::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::message::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use super::positions::Start;
use super::{Core, GroupMetadata};
use crate::cluster::{Cluster, CoordinatorKind, Purpose};
use crate::config::{Isolation, OffsetReset};
use crate::error::{ClientError, Result};

/// The timestamp that asks for the first offset.
pub(crate) const EARLIEST: i64 = -2;
/// The timestamp that asks for the offset behind the last record.
pub(crate) const LATEST: i64 = -1;

/// A position to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it, or -1.
    pub leader_epoch: i32,
    /// Text of the application's.
    pub metadata: Arc<str>,
}

impl OffsetAndMetadata {
    /// A position without more.
    pub fn new(offset: i64) -> OffsetAndMetadata {
        OffsetAndMetadata { offset, leader_epoch: -1, metadata: "".into() }
    }
}

/// An offset that ListOffsets found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset, or -1 where there is none (no record at or after the timestamp).
    pub offset: i64,
    /// The record's timestamp, or -1.
    pub timestamp: i64,
    /// The leader epoch, or -1.
    pub leader_epoch: i32,
}

type Numbered = Vec<(TopicPartition, u64, Start)>;

/// Starts looking up the positions that are not known; each ends up in `positions`, or is tried again.
pub(crate) fn look_up(core: &Arc<Core>) {
    let mut wanted: Numbered = Vec::new();
    {
        let now = std::time::Instant::now();
        let mut positions = core.positions.lock();
        let numbers: Vec<(TopicPartition, u64)> =
            positions.partitions.keys().map(|p| (p.clone(), positions.number(p))).collect();
        for (partition, number) in numbers {
            let Some(state) = positions.partitions.get_mut(&partition) else { continue };
            if state.position.is_none() && !state.in_lookup && state.retry_at.is_none_or(|at| at <= now) {
                state.in_lookup = true;
                wanted.push((partition, number, state.start));
            }
        }
    }
    if wanted.is_empty() {
        return;
    }
    let core = core.clone();
    tokio::spawn(async move {
        if let Err(error) = resolve(&core, &wanted).await {
            let mut positions = core.positions.lock();
            for (partition, number, _) in &wanted {
                if positions.is_current(partition, *number)
                    && let Some(state) = positions.partitions.get_mut(partition)
                    && state.position.is_none()
                {
                    state.in_lookup = false;
                    state.retry_at = Some(std::time::Instant::now() + Duration::from_millis(100));
                }
            }
            let stale = matches!(error.action(), crate::retry::Action::Rejoin);
            if error.is_retriable() || stale {
                drop(positions);
                tracing::debug!(%error, "looking positions up failed");
                core.refresh_soon();
            } else {
                positions.error.get_or_insert(error);
            }
        }
        core.wake_fetcher.notify_one();
        core.data.notify_one();
    });
}

async fn resolve(core: &Arc<Core>, wanted: &Numbered) -> Result<()> {
    let committed: Vec<TopicPartition> =
        wanted.iter().filter(|(_, _, start)| *start == Start::Committed).map(|(p, ..)| p.clone()).collect();
    let mut found = BTreeMap::new();
    if !committed.is_empty() && core.config.group_id.is_some() {
        found = fetch_committed(&core.cluster, &core.group_metadata()?, &committed).await?;
    }
    let mut earliest = Vec::new();
    let mut latest = Vec::new();
    for (partition, number, start) in wanted {
        if let Some(offset) = found.get(partition) {
            set(core, partition, *number, offset.offset, offset.leader_epoch, true);
            continue;
        }
        match start {
            Start::Earliest => earliest.push(partition.clone()),
            Start::Latest => latest.push(partition.clone()),
            Start::OutOfRange(_) => {
                earliest.push(partition.clone());
                latest.push(partition.clone());
            }
            Start::Committed | Start::Reset => match core.config.offset_reset {
                OffsetReset::Earliest => earliest.push(partition.clone()),
                OffsetReset::Latest if core.is_new(partition) => earliest.push(partition.clone()),
                OffsetReset::Latest => latest.push(partition.clone()),
                OffsetReset::None => {
                    let mut positions = core.positions.lock();
                    positions.error.get_or_insert(ClientError::NoOffset(partition.clone()));
                }
            },
        }
    }
    let isolation = core.config.isolation;
    let earliest = list_offsets(&core.cluster, isolation, EARLIEST, &earliest).await?;
    let latest = list_offsets(&core.cluster, isolation, LATEST, &latest).await?;
    for (partition, number, start) in wanted {
        let offset = match (start, earliest.get(partition), latest.get(partition)) {
            (Start::OutOfRange(at), Some(low), Some(high)) => {
                (*at).clamp(low.offset, high.offset.max(low.offset))
            }
            (_, Some(low), _) => low.offset,
            (_, None, Some(high)) => high.offset,
            (_, None, None) => continue,
        };
        set(core, partition, *number, offset, -1, false);
    }
    Ok(())
}

fn set(
    core: &Core,
    partition: &TopicPartition,
    number: u64,
    offset: i64,
    leader_epoch: i32,
    committed: bool,
) {
    let mut positions = core.positions.lock();
    if positions.is_current(partition, number) {
        positions.seek(partition, offset, leader_epoch);
        if committed && let Some(state) = positions.partitions.get_mut(partition) {
            state.committed = Some(offset);
        }
    }
}

/// The committed offsets of a group. Partitions without one are left out. Waits while a transaction that commits one is
/// open.
pub(crate) async fn fetch_committed(
    cluster: &Cluster,
    group: &GroupMetadata,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
    committed_of(cluster, group, Some(partitions)).await
}

/// [`fetch_committed`], of all partitions where `partitions` is `None`.
pub(crate) async fn committed_of(
    cluster: &Cluster,
    group: &GroupMetadata,
    partitions: Option<&[TopicPartition]>,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
    let by_topic = partitions.map(|partitions| {
        let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        topics
    });
    let within = cluster.config().api_timeout;
    // Both forms of the request, by the version that the coordinator speaks.
    let node = cluster.coordinator(CoordinatorKind::Group, &group.group_id, within).await?;
    let version = cluster.conn(node, Purpose::Coordinator).await?.version_up_to::<OffsetFetchRequest>(9)?;
    let mut request = OffsetFetchRequest { require_stable: version >= 7, ..OffsetFetchRequest::default() };
    if version >= 8 {
        let topics = by_topic.map(|topics| {
            topics
                .into_iter()
                .map(|(name, partition_indexes)| OffsetFetchRequestTopics {
                    name: name.to_string(),
                    partition_indexes,
                    ..OffsetFetchRequestTopics::default()
                })
                .collect()
        });
        let member = version >= 9 && !group.member_id.is_empty() && group.epoch >= 0;
        request.groups = vec![OffsetFetchRequestGroup {
            group_id: group.group_id.to_string(),
            member_id: member.then(|| group.member_id.to_string()),
            member_epoch: if member { group.epoch } else { -1 },
            topics,
            ..OffsetFetchRequestGroup::default()
        }];
    } else {
        request.group_id = group.group_id.to_string();
        request.topics = by_topic.map(|topics| {
            topics
                .into_iter()
                .map(|(name, partition_indexes)| OffsetFetchRequestTopic {
                    name: name.to_string(),
                    partition_indexes,
                    ..OffsetFetchRequestTopic::default()
                })
                .collect()
        });
    }
    let what = format!("fetching the offsets of group {}", group.group_id);
    cluster
        .call_coordinator(CoordinatorKind::Group, &group.group_id, within, version, &request, |response| {
            let mut found = BTreeMap::new();
            let mut take =
                |topic: &str, index: i32, offset: i64, epoch: i32, metadata: Option<String>, code: i16| {
                    ClientError::check(&what, code)?;
                    if offset >= 0 {
                        let metadata = metadata.unwrap_or_default().into();
                        let value = OffsetAndMetadata { offset, leader_epoch: epoch, metadata };
                        found.insert(TopicPartition::new(topic, index), value);
                    }
                    Ok::<(), ClientError>(())
                };
            ClientError::check(&what, response.error_code)?;
            for group in response.groups {
                ClientError::check(&what, group.error_code)?;
                for topic in group.topics {
                    for p in topic.partitions {
                        let (index, offset, epoch) =
                            (p.partition_index, p.committed_offset, p.committed_leader_epoch);
                        take(&topic.name, index, offset, epoch, p.metadata, p.error_code)?;
                    }
                }
            }
            for topic in response.topics {
                for p in topic.partitions {
                    let (index, offset, epoch) =
                        (p.partition_index, p.committed_offset, p.committed_leader_epoch);
                    take(&topic.name, index, offset, epoch, p.metadata, p.error_code)?;
                }
            }
            Ok(found)
        })
        .await
}

/// Commits positions of a group.
pub(crate) async fn commit(
    cluster: &Cluster,
    group: &GroupMetadata,
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let mut topics: BTreeMap<&Arc<str>, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (partition, offset) in offsets {
        topics.entry(&partition.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: partition.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch,
            committed_metadata: Some(offset.metadata.to_string()),
            ..OffsetCommitRequestPartition::default()
        });
    }
    let request = OffsetCommitRequest {
        group_id: group.group_id.to_string(),
        generation_id_or_member_epoch: group.epoch,
        member_id: group.member_id.to_string(),
        group_instance_id: group.instance_id.as_deref().map(str::to_owned),
        topics: topics
            .into_iter()
            .map(|(name, partitions)| OffsetCommitRequestTopic {
                name: name.to_string(),
                partitions,
                ..OffsetCommitRequestTopic::default()
            })
            .collect(),
        ..OffsetCommitRequest::default()
    };
    let within = cluster.config().api_timeout;
    let what = format!("committing offsets of group {}", group.group_id);
    cluster
        .call_coordinator(CoordinatorKind::Group, &group.group_id, within, 9, &request, |response| {
            let codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
            codes.into_iter().find(|code| *code != 0).map_or(Ok(()), |code| ClientError::check(&what, code))
        })
        .await
}

/// Asks the leaders of partitions for offsets by timestamp (milliseconds since 1970, or [`EARLIEST`], [`LATEST`]).
pub(crate) async fn list_offsets(
    cluster: &Cluster,
    isolation: Isolation,
    timestamp: i64,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
    let mut found = BTreeMap::new();
    let mut left: Vec<TopicPartition> = partitions.to_vec();
    let start = std::time::Instant::now();
    let mut failures = 0;
    while !left.is_empty() {
        let metadata = cluster.metadata();
        let mut by_node: BTreeMap<NodeId, BTreeMap<&Arc<str>, Vec<ListOffsetsPartition>>> = BTreeMap::new();
        let mut error = None;
        for partition in &left {
            match metadata.leader(partition) {
                Some(leader) => {
                    let topics = by_node.entry(leader.node).or_default();
                    topics.entry(&partition.topic).or_default().push(ListOffsetsPartition {
                        partition_index: partition.partition,
                        timestamp,
                        ..ListOffsetsPartition::default()
                    });
                }
                None => {
                    let what = format!("listing offsets of {partition}").into();
                    let code = ErrorCode::LeaderNotAvailable;
                    error = Some(ClientError::Broker { what, code, message: None });
                }
            }
        }
        for (node, topics) in by_node {
            let request = ListOffsetsRequest {
                // A consumer: a broker's number would be a follower's, who is told of what is not committed too.
                replica_id: -1,
                isolation_level: isolation.code(),
                topics: topics
                    .into_iter()
                    .map(|(name, partitions)| ListOffsetsTopic {
                        name: name.to_string(),
                        partitions,
                        ..ListOffsetsTopic::default()
                    })
                    .collect(),
                ..ListOffsetsRequest::default()
            };
            let response = match cluster.call(node, Purpose::Main, &request).await {
                Ok(response) => response,
                Err(fault) if fault.is_retriable() => {
                    error = Some(fault);
                    continue;
                }
                Err(fault) => return Err(fault),
            };
            for topic in response.topics {
                for p in topic.partitions {
                    let partition = TopicPartition::new(topic.name.as_str(), p.partition_index);
                    match ClientError::check(&format!("listing offsets of {partition}"), p.error_code) {
                        Ok(()) => {
                            let listed = ListedOffset {
                                offset: p.offset,
                                timestamp: p.timestamp,
                                leader_epoch: p.leader_epoch,
                            };
                            found.insert(partition, listed);
                        }
                        Err(fault) if fault.is_retriable() => error = Some(fault),
                        Err(fault) => return Err(fault),
                    }
                }
            }
        }
        left.retain(|partition| !found.contains_key(partition));
        if let Some(error) = error {
            if start.elapsed() >= cluster.config().api_timeout {
                return Err(error);
            }
            failures += 1;
            cluster.pause(failures).await;
            cluster.use_topics(left.iter().map(|partition| &partition.topic));
            let _ = cluster.refresh().await;
        }
    }
    Ok(found)
}
