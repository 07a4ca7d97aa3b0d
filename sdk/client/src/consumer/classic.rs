//! The classic group protocol: all members join at a barrier, one of them assigns, each gets its part.
//!
//! Legal transitions, and what causes them:
//! - `Out -> Joining`: a subscription.
//! - `Joining -> Syncing -> Stable`: JoinGroup and SyncGroup answered.
//! - `Stable -> Joining`: another member came or went (REBALANCE_IN_PROGRESS), the subscription or the partitions of its
//!   topics changed, or something was revoked under the cooperative rule. Eager members let go of everything first.
//! - any `-> Joining` with everything lost: the coordinator no longer knows the member.
//! - any `-> Out`: unsubscribed, closed, or no poll within `poll_interval_max`: the member leaves.
//!
//! Never enters: how partitions are divided (`assignor`), how the application takes them over (`membership`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_types::{ErrorCode, TopicPartition};
use millstream_wire::message::heartbeat_request::HeartbeatRequest;
use millstream_wire::message::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use millstream_wire::message::join_group_response::JoinGroupResponse;
use millstream_wire::message::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use millstream_wire::message::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::Core;
use super::assignor;
use super::membership::{Membership, Subscription};
use crate::broker_conn::BrokerConn;
use crate::cluster::{CoordinatorKind, Purpose};
use crate::config::Assignor;
use crate::error::{ClientError, Result};
use crate::retry::Action;

/// How often the partitions of the topics are looked at for changes.
const METADATA_CHECK: Duration = Duration::from_secs(30);

struct Member {
    generation: i32,
    /// What was had at the last assignment, for eager sticky.
    had: BTreeSet<TopicPartition>,
    /// What the group's leader knew of the topics when it assigned.
    counts: Option<BTreeMap<Arc<str>, i32>>,
    topics: BTreeSet<Arc<str>>,
    assignor: Assignor,
    failures: u32,
}

/// Why a stable member leaves its state.
enum Next {
    Rejoin,
    Out,
}

/// Runs until the consumer is closed.
pub(crate) async fn run(core: &Arc<Core>, membership: &Arc<Membership>) {
    let mut member = Member {
        generation: -1,
        had: BTreeSet::new(),
        counts: None,
        topics: BTreeSet::new(),
        assignor: core.config.assignors[0],
        failures: 0,
    };
    membership.set_member("".into(), -1);
    loop {
        let topics = match membership.subscription() {
            _ if membership.is_closing() || membership.is_late() => None,
            Some(Subscription::Topics(topics)) => Some(topics),
            Some(Subscription::Regex(_)) => {
                membership.fail(ClientError::state(
                    "subscribing by a regular expression needs the group protocol of KIP-848",
                ));
                membership.subscribe(None);
                None
            }
            None => None,
        };
        let Some(topics) = topics else {
            if !membership.member_id().is_empty() {
                leave(core, membership, &mut member).await;
            }
            if membership.is_closing() {
                return;
            }
            membership.wake.notified().await;
            continue;
        };
        member.topics = topics;
        let result = match rebalance(core, membership, &mut member).await {
            Ok(true) => stable(core, membership, &mut member).await,
            Ok(false) => Ok(Next::Rejoin),
            Err(error) => Err(error),
        };
        match result {
            Ok(Next::Rejoin) => member.failures = 0,
            Ok(Next::Out) => {}
            Err(error) => handle(core, membership, &mut member, error).await,
        }
    }
}

async fn handle(core: &Arc<Core>, membership: &Arc<Membership>, member: &mut Member, error: ClientError) {
    let group = &membership.group_id;
    member.failures += 1;
    match error.action() {
        Action::Rejoin => match error.code() {
            Some(ErrorCode::RebalanceInProgress) => return,
            Some(ErrorCode::MemberIdRequired) => return,
            _ => {
                tracing::info!(%group, %error, "the member was removed from its group and joins again");
                let unknown = error.code() == Some(ErrorCode::UnknownMemberId);
                let id = if unknown { "".into() } else { membership.member_id() };
                membership.set_member(id, -1);
                member.generation = -1;
                membership.reconcile(BTreeSet::new(), true);
                if member.failures == 1 {
                    return;
                }
            }
        },
        Action::FindCoordinator | Action::RefreshMetadata => {
            core.cluster.forget_coordinator(CoordinatorKind::Group, group);
        }
        Action::Retry => {}
        Action::Fenced => {
            membership.fail(ClientError::Fenced(error.to_string().into()));
            membership.subscribe(None);
            membership.set_member("".into(), -1);
            membership.reconcile(BTreeSet::new(), true);
            return;
        }
        _ => membership.fail(error),
    }
    core.cluster.pause(member.failures.min(5)).await;
}

async fn conn(core: &Core, membership: &Membership) -> Result<Arc<BrokerConn>> {
    let within = core.cluster.config().request_timeout;
    let node = core.cluster.coordinator(CoordinatorKind::Group, &membership.group_id, within).await?;
    core.cluster.conn(node, Purpose::Member(core.id)).await
}

/// Joins and syncs, and hands the assignment over. False where it has to be done again.
async fn rebalance(core: &Arc<Core>, membership: &Arc<Membership>, member: &mut Member) -> Result<bool> {
    // Eager members let go of everything before they join; and what was lost is let go of in any case.
    if !member.assignor.is_cooperative() && !membership.owned().is_empty() {
        member.had = membership.owned();
        membership.reconcile(BTreeSet::new(), false);
    }
    if !acknowledged(core, membership, member).await? {
        return Ok(false);
    }
    let joined = join(core, membership, member).await?;
    member.generation = joined.generation_id;
    membership.set_member(joined.member_id.as_str().into(), joined.generation_id);
    let name = joined.protocol_name.clone().unwrap_or_default();
    member.assignor =
        core.config.assignors.iter().copied().find(|assignor| assignor.name() == name).ok_or_else(|| {
            ClientError::state(format!("the group chose assignor \"{name}\", which was not offered"))
        })?;
    let leads = joined.leader == joined.member_id && !joined.skip_assignment;
    let assignments = if leads { assign(core, member, &joined).await? } else { Vec::new() };
    let what = format!("syncing group {}", membership.group_id);
    let request = SyncGroupRequest {
        group_id: membership.group_id.to_string(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        group_instance_id: membership.instance_id.as_deref().map(str::to_owned),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some(name),
        assignments,
        ..SyncGroupRequest::default()
    };
    let timeout = core.config.poll_interval_max + core.cluster.config().request_timeout;
    let response = conn(core, membership).await?.call_within(&request, timeout).await?;
    ClientError::check(&what, response.error_code)?;
    let target = assignor::decode_assignment(response.assignment)
        .map_err(|error| ClientError::state(format!("{what}: the assignment cannot be read: {error}")))?;
    let metadata = core.cluster.metadata();
    let unknown =
        |p: &TopicPartition| metadata.topics.get(&p.topic).is_none_or(|t| t.partition_count() <= p.partition);
    if target.iter().any(unknown) {
        core.cluster.use_topics(target.iter().map(|partition| &partition.topic));
        core.cluster.refresh().await?;
    }
    let owned = membership.owned();
    let revokes = owned.iter().any(|partition| !target.contains(partition));
    membership.reconcile(target, false);
    if !acknowledged(core, membership, member).await? {
        return Ok(false);
    }
    // What was revoked can go to its new owner now: in the next round.
    Ok(!(member.assignor.is_cooperative() && revokes))
}

/// Joins, with an id of the coordinator's making where this member has none.
async fn join(core: &Arc<Core>, membership: &Arc<Membership>, member: &Member) -> Result<JoinGroupResponse> {
    let owned = membership.owned();
    let protocols = core
        .config
        .assignors
        .iter()
        .map(|assignor| {
            let had = (*assignor == Assignor::Sticky).then_some(&member.had);
            let metadata = assignor::encode_subscription(&member.topics, &owned, had, member.generation)?;
            let name = assignor.name().to_owned();
            Ok(JoinGroupRequestProtocol { name, metadata, ..JoinGroupRequestProtocol::default() })
        })
        .collect::<Result<Vec<_>>>()?;
    let millis = |duration: Duration| duration.as_millis().min(i32::MAX as u128) as i32;
    let mut request = JoinGroupRequest {
        group_id: membership.group_id.to_string(),
        session_timeout_ms: millis(core.config.session_timeout),
        rebalance_timeout_ms: millis(core.config.poll_interval_max),
        member_id: membership.member_id().to_string(),
        group_instance_id: membership.instance_id.as_deref().map(str::to_owned),
        protocol_type: "consumer".to_owned(),
        protocols,
        ..JoinGroupRequest::default()
    };
    let timeout = core.config.poll_interval_max + core.cluster.config().request_timeout;
    let what = format!("joining group {}", membership.group_id);
    loop {
        let response = conn(core, membership).await?.call_within(&request, timeout).await?;
        match ClientError::check(&what, response.error_code) {
            Ok(()) => return Ok(response),
            Err(error)
                if error.code() == Some(ErrorCode::MemberIdRequired) && request.member_id.is_empty() =>
            {
                membership.set_member(response.member_id.as_str().into(), -1);
                request.member_id = response.member_id;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Divides the partitions among the members of the group.
async fn assign(
    core: &Arc<Core>,
    member: &mut Member,
    joined: &JoinGroupResponse,
) -> Result<Vec<SyncGroupRequestAssignment>> {
    let mut members = Vec::with_capacity(joined.members.len());
    let mut topics: BTreeSet<Arc<str>> = BTreeSet::new();
    for other in &joined.members {
        let (id, instance) = (other.member_id.clone(), other.group_instance_id.clone());
        let decoded = assignor::decode_member(id, instance, other.metadata.clone()).map_err(|error| {
            ClientError::state(format!(
                "the subscription of member {} cannot be read: {error}",
                other.member_id
            ))
        })?;
        topics.extend(decoded.topics.iter().cloned());
        members.push(decoded);
    }
    core.cluster.use_topics(&topics);
    let metadata = core.cluster.refresh().await?;
    let counts: BTreeMap<Arc<str>, i32> = topics
        .into_iter()
        .map(|topic| {
            let count = metadata.topics.get(&topic).map_or(0, |topic| topic.partition_count());
            (topic, count)
        })
        .collect();
    let assignments = member.assignor.assign(&mut members, &counts);
    member.counts = Some(counts);
    assignments
        .into_iter()
        .map(|(member_id, partitions)| {
            let assignment = assignor::encode_assignment(&partitions)?;
            Ok(SyncGroupRequestAssignment { member_id, assignment, ..SyncGroupRequestAssignment::default() })
        })
        .collect()
}

/// Waits until the application has taken an assignment over, giving signs of life meanwhile. False where the member has to
/// leave instead.
async fn acknowledged(core: &Arc<Core>, membership: &Arc<Membership>, member: &Member) -> Result<bool> {
    while membership.is_pending() {
        if membership.is_closing() || membership.is_late() {
            return Ok(false);
        }
        let until = (Instant::now() + core.config.heartbeat_interval).min(membership.poll_deadline());
        if tokio::time::timeout_at(until.into(), membership.wake.notified()).await.is_err()
            && member.generation >= 0
        {
            match heartbeat(core, membership, member).await {
                // The next round waits until this one is taken over.
                Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => {}
                Err(error) if error.action() == Action::Rejoin => return Err(error),
                _ => {}
            }
        }
    }
    Ok(true)
}

async fn heartbeat(core: &Arc<Core>, membership: &Arc<Membership>, member: &Member) -> Result<()> {
    let request = HeartbeatRequest {
        group_id: membership.group_id.to_string(),
        generation_id: member.generation,
        member_id: membership.member_id().to_string(),
        group_instance_id: membership.instance_id.as_deref().map(str::to_owned),
        ..HeartbeatRequest::default()
    };
    let response = conn(core, membership).await?.call(&request).await?;
    ClientError::check(&format!("heartbeat of group {}", membership.group_id), response.error_code)
}

/// Gives signs of life until something changes.
async fn stable(core: &Arc<Core>, membership: &Arc<Membership>, member: &mut Member) -> Result<Next> {
    let mut checked = Instant::now();
    loop {
        let next_beat = Instant::now() + core.config.heartbeat_interval;
        while Instant::now() < next_beat {
            if membership.is_closing() || membership.is_late() {
                return Ok(Next::Out);
            }
            if membership.subscription() != Some(Subscription::Topics(member.topics.clone())) {
                return Ok(Next::Rejoin);
            }
            let until = next_beat.min(membership.poll_deadline());
            let _ = tokio::time::timeout_at(until.into(), membership.wake.notified()).await;
        }
        match heartbeat(core, membership, member).await {
            Ok(()) => member.failures = 0,
            Err(error) if error.code() == Some(ErrorCode::RebalanceInProgress) => return Ok(Next::Rejoin),
            Err(error) => match error.action() {
                Action::FindCoordinator | Action::RefreshMetadata => {
                    core.cluster.forget_coordinator(CoordinatorKind::Group, &membership.group_id);
                }
                Action::Retry => {}
                _ => return Err(error),
            },
        }
        if checked.elapsed() >= METADATA_CHECK.min(core.cluster.config().metadata_max_age) {
            checked = Instant::now();
            // Only the one that assigned sees to it that new partitions are assigned.
            if let Some(counts) = &member.counts
                && let Ok(metadata) = core.cluster.refresh().await
            {
                let now = |topic: &Arc<str>| metadata.topics.get(topic).map_or(0, |t| t.partition_count());
                if counts.iter().any(|(topic, count)| now(topic) != *count) {
                    return Ok(Next::Rejoin);
                }
            }
        }
    }
}

/// Says goodbye, so that the partitions are given to others at once. A static member keeps its place.
async fn leave(core: &Arc<Core>, membership: &Arc<Membership>, member: &mut Member) {
    let late = !membership.is_closing() && membership.subscription().is_some();
    if late {
        tracing::warn!(group = %membership.group_id, "no poll within poll_interval_max: leaving the group");
    }
    if membership.instance_id.is_none() || late {
        let sent = async {
            let conn = conn(core, membership).await?;
            let version = conn.version_of::<LeaveGroupRequest>()?;
            let member_id = membership.member_id().to_string();
            let mut request = LeaveGroupRequest {
                group_id: membership.group_id.to_string(),
                ..LeaveGroupRequest::default()
            };
            if version >= 3 {
                let group_instance_id = membership.instance_id.as_deref().map(str::to_owned);
                request.members =
                    vec![MemberIdentity { member_id, group_instance_id, ..MemberIdentity::default() }];
            } else {
                request.member_id = member_id;
            }
            let timeout = core.cluster.config().request_timeout;
            conn.send_version(&request, version).await?.await_answer(timeout).await
        };
        if let Err(error) =
            tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap_or(Err(ClientError::Closed))
        {
            tracing::debug!(%error, group = %membership.group_id, "leaving the group failed; its session will end");
        }
    }
    membership.set_member("".into(), -1);
    member.generation = -1;
    member.counts = None;
    membership.reconcile(BTreeSet::new(), true);
}
