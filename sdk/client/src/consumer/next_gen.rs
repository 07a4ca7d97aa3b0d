//! The group protocol of KIP-848: the broker assigns, and each member reconciles by heartbeats alone.
//!
//! Legal transitions, and what causes them:
//! - `Unsubscribed -> Joining`: `subscribe`.
//! - `Joining -> Stable`: an answer with a member epoch.
//! - `Stable -> Reconciling -> Stable`: an answer with another assignment; the poll that took it over.
//! - `Stable | Reconciling -> Joining`: fenced, or unknown to the coordinator: everything owned is lost.
//! - any `-> Unsubscribed`: `unsubscribe`, closing, or no poll within `poll_interval_max`: the member leaves.
//!
//! Never enters: how the application takes an assignment over (`membership`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_types::{ErrorCode, TopicPartition, Uuid};
use millstream_wire::message::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequest, TopicPartitions,
};
use millstream_wire::message::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse,
};

use super::Core;
use super::membership::{Membership, Subscription};
use crate::cluster::{CoordinatorKind, Purpose};
use crate::error::{ClientError, Result};
use crate::retry::Action;

/// How a member's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The consumer was closed.
    Closed,
    /// The broker does not speak this protocol.
    Unsupported,
}

struct Member {
    /// What the broker was told last.
    sent: Option<Subscription>,
    reported: Option<BTreeSet<TopicPartition>>,
    interval: Duration,
    failures: u32,
}

impl Member {
    fn new() -> Member {
        Member { sent: None, reported: None, interval: Duration::from_secs(5), failures: 0 }
    }
}

/// Runs until the consumer is closed.
pub(crate) async fn run(core: &Arc<Core>, membership: &Arc<Membership>) -> Ended {
    let mut member = Member::new();
    // The member chooses its own id (KIP-1082).
    let own = core.config.member_id.as_deref().map(Arc::from);
    let id: Arc<str> = own.unwrap_or_else(|| core.cluster.random_uuid().to_string().into());
    membership.set_member(id, -1);
    loop {
        let woken = membership.wake.notified();
        let joined = membership.epoch() >= 0;
        let subscription = membership.subscription();
        let late = membership.is_late();
        if membership.is_closing() || subscription.is_none() || late {
            if joined {
                leave(core, membership, late).await;
                member = Member::new();
            }
            if membership.is_closing() {
                return Ended::Closed;
            }
            woken.await;
            continue;
        }
        let wait = match beat(core, membership, &mut member, subscription.as_ref()).await {
            Ok(()) => {
                member.failures = 0;
                if !membership.is_pending() && member.reported.as_ref() != Some(&membership.owned()) {
                    // What was let go of is told at once: another member waits for it.
                    Duration::ZERO
                } else {
                    member.interval
                }
            }
            Err(error) if error.code() == Some(ErrorCode::UnsupportedVersion) => return Ended::Unsupported,
            Err(ClientError::Unsupported { .. }) => return Ended::Unsupported,
            Err(error) => handle(core, membership, &mut member, error),
        };
        if wait.is_zero() {
            continue;
        }
        let until = (Instant::now() + wait).min(membership.poll_deadline());
        let _ = tokio::time::timeout_at(until.into(), woken).await;
    }
}

/// Decides what a failed heartbeat means; returns the pause before the next.
fn handle(core: &Arc<Core>, membership: &Membership, member: &mut Member, error: ClientError) -> Duration {
    member.failures += 1;
    let pause = core.cluster.config().backoff.first * member.failures.min(10);
    let group = &membership.group_id;
    match error.action() {
        Action::Rejoin => {
            tracing::info!(%group, %error, "the member was removed from its group and joins again");
            membership.set_member(membership.member_id(), -1);
            membership.reconcile(BTreeSet::new(), true);
            let failures = member.failures;
            *member = Member::new();
            member.failures = failures;
            if failures == 1 { Duration::from_millis(1) } else { pause }
        }
        Action::FindCoordinator | Action::RefreshMetadata => {
            core.cluster.forget_coordinator(CoordinatorKind::Group, group);
            // The coordinator may not know what the lost heartbeat said.
            member.sent = None;
            member.reported = None;
            pause
        }
        Action::Retry => pause,
        Action::Fenced => {
            membership.fail(ClientError::Fenced(error.to_string().into()));
            membership.subscribe(None);
            membership.set_member(membership.member_id(), -1);
            membership.reconcile(BTreeSet::new(), true);
            Duration::from_secs(1)
        }
        // An instance id that is still in use is given back when its session ends.
        _ if error.code() == Some(ErrorCode::UnreleasedInstanceId) && member.failures < 60 => {
            Duration::from_secs(1)
        }
        _ => {
            membership.fail(error);
            Duration::from_secs(1)
        }
    }
}

async fn beat(
    core: &Arc<Core>,
    membership: &Membership,
    member: &mut Member,
    subscription: Option<&Subscription>,
) -> Result<()> {
    let joining = membership.epoch() < 0;
    let owned = membership.owned();
    // While partitions that were lost wait to be let go of, nothing is owned as far as the group is concerned.
    if joining && membership.is_pending() {
        let settled = settle(membership).await;
        if !settled {
            return Ok(());
        }
    }
    let node = coordinator(core, membership).await?;
    let conn = core.cluster.conn(node, Purpose::Member(core.id)).await?;
    let version = conn.version_of::<ConsumerGroupHeartbeatRequest>()?;
    let tell = joining || member.sent.as_ref() != subscription;
    let mut request = ConsumerGroupHeartbeatRequest {
        group_id: membership.group_id.to_string(),
        // Version 0 has the broker choose the id.
        member_id: if version == 0 && joining { String::new() } else { membership.member_id().to_string() },
        member_epoch: if joining { 0 } else { membership.epoch() },
        instance_id: membership.instance_id.as_deref().map(str::to_owned),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    if tell {
        let rack = &core.cluster.config().rack;
        request.rack_id = (!rack.is_empty()).then(|| rack.clone());
        request.rebalance_timeout_ms = core.config.poll_interval_max.as_millis().min(i32::MAX as u128) as i32;
        request.server_assignor.clone_from(&core.config.remote_assignor);
        match subscription {
            Some(Subscription::Topics(topics)) => {
                request.subscribed_topic_names = Some(topics.iter().map(|topic| topic.to_string()).collect());
                if version >= 1 && matches!(member.sent, Some(Subscription::Regex(_))) {
                    request.subscribed_topic_regex = Some(String::new());
                }
            }
            Some(Subscription::Regex(regex)) if version >= 1 => {
                request.subscribed_topic_regex = Some(regex.to_string());
                request.subscribed_topic_names = Some(Vec::new());
            }
            Some(Subscription::Regex(_)) => {
                return Err(ClientError::state(
                    "the broker does not evaluate regular expressions (KIP-848 v1)",
                ));
            }
            None => {}
        }
    }
    let owned = if joining { BTreeSet::new() } else { owned };
    let report = joining || member.reported.as_ref() != Some(&owned);
    if report {
        request.topic_partitions = Some(to_ids(core, &owned));
    }
    let timeout = core.cluster.config().request_timeout;
    let response = conn.send_version(&request, version).await?.await_answer(timeout).await?;
    let what = format!("heartbeat of group {}", membership.group_id);
    ClientError::check_with(&what, response.error_code, response.error_message.as_deref())?;
    if tell {
        member.sent = subscription.cloned();
    }
    if report {
        member.reported = Some(owned);
    }
    take_answer(core, membership, member, response).await
}

/// Waits until the application has let go of what was lost, so that joining again starts from nothing.
async fn settle(membership: &Membership) -> bool {
    let notified = membership.wake.notified();
    if membership.is_pending() {
        let until = membership.poll_deadline();
        let _ = tokio::time::timeout_at(until.into(), notified).await;
    }
    !membership.is_pending()
}

async fn take_answer(
    core: &Arc<Core>,
    membership: &Membership,
    member: &mut Member,
    response: ConsumerGroupHeartbeatResponse,
) -> Result<()> {
    let id = response.member_id.filter(|id| !id.is_empty()).map(Arc::from);
    membership.set_member(id.unwrap_or_else(|| membership.member_id()), response.member_epoch);
    if response.heartbeat_interval_ms > 0 {
        // The broker says it anew in each answer, and asks for quick ones while partitions move.
        member.interval = Duration::from_millis(response.heartbeat_interval_ms as u64);
    }
    if let Some(assignment) = response.assignment {
        let target = to_names(core, &assignment).await?;
        membership.reconcile(target, false);
    }
    Ok(())
}

async fn coordinator(core: &Core, membership: &Membership) -> Result<millstream_types::NodeId> {
    let within = core.cluster.config().request_timeout;
    core.cluster.coordinator(CoordinatorKind::Group, &membership.group_id, within).await
}

fn to_ids(core: &Core, partitions: &BTreeSet<TopicPartition>) -> Vec<TopicPartitions> {
    let metadata = core.cluster.metadata();
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(metadata.topic_id(&partition.topic)).or_default().push(partition.partition);
    }
    topics
        .into_iter()
        .map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions, ..TopicPartitions::default() })
        .collect()
}

async fn to_names(core: &Core, assignment: &Assignment) -> Result<BTreeSet<TopicPartition>> {
    let mut metadata = core.cluster.metadata();
    let unknown: Vec<Uuid> = assignment
        .topic_partitions
        .iter()
        .filter(|topic| {
            let name = metadata.names.get(&topic.topic_id);
            // Partitions that were added since the topic was looked at are unknown too.
            let known = name.and_then(|name| metadata.topics.get(name)).map_or(0, |t| t.partition_count());
            topic.partitions.iter().any(|partition| *partition >= known)
        })
        .map(|topic| topic.topic_id)
        .collect();
    if !unknown.is_empty() {
        metadata = core.cluster.learn_ids(&unknown).await?;
    }
    let mut partitions = BTreeSet::new();
    for topic in &assignment.topic_partitions {
        // A topic that is gone again is taken away by the broker's next assignment.
        let Some(name) = metadata.names.get(&topic.topic_id) else { continue };
        partitions.extend(topic.partitions.iter().map(|at| TopicPartition::new(name.clone(), *at)));
    }
    Ok(partitions)
}

/// Says goodbye, so that the partitions are given to others at once.
async fn leave(core: &Arc<Core>, membership: &Membership, late: bool) {
    if late {
        tracing::warn!(group = %membership.group_id, "no poll within poll_interval_max: leaving the group");
    }
    let request = ConsumerGroupHeartbeatRequest {
        group_id: membership.group_id.to_string(),
        member_id: membership.member_id().to_string(),
        // A static member's place is kept for it (-2), a dynamic one's is given up (-1).
        member_epoch: if membership.instance_id.is_some() && !late { -2 } else { -1 },
        instance_id: membership.instance_id.as_deref().map(str::to_owned),
        ..ConsumerGroupHeartbeatRequest::default()
    };
    let sent = async {
        let node = coordinator(core, membership).await?;
        core.cluster.call(node, Purpose::Member(core.id), &request).await
    };
    if let Err(error) =
        tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap_or(Err(ClientError::Closed))
    {
        tracing::debug!(%error, group = %membership.group_id, "leaving the group failed; its session will end");
    }
    membership.set_member(membership.member_id(), -1);
    membership.reconcile(BTreeSet::new(), true);
}
