//! ConsumerGroupHeartbeat: a member joins, says what it owns, hears what it is to own, and leaves; and what follows
//! when it is not heard of. Source: KIP-848.
//!
//! The interval that an answer names is short while something is pending (a revocation, a partition that others
//! still own, a target that is to be computed), so that a moved partition pauses for less than a second with
//! unmodified clients, and long otherwise.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{ErrorCode, Millis, Uuid};
use millstream_wire::message::consumer_group_heartbeat_response::{
    Assignment as WireAssignment, TopicPartitions as WirePartitions,
};
use millstream_wire::message::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use millstream_wire::record::group::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, GroupKey,
    GroupValue, consumer_group_target_assignment_member_value::TopicPartition,
};

use super::reconcile::{is_subset, reconcile};
use super::{ConsumerGroup, LEFT_FOR_NOW, Member, MemberState, Subscription, current_value, whole_match};
use crate::assignor::{self, Assignment};
use crate::coordinator::{Batch, Coordinator, Kind};
use crate::message::{Answer, Caller, Outcome, Token, Topics};
use crate::record::Entry;

/// Why a heartbeat is refused: the code, and words for the member's log.
type Refusal = (ErrorCode, String);

impl Coordinator {
    pub(crate) fn consumer_heartbeat(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let answer = match self.beat(now, topics, caller, &request, &mut batch) {
            Ok(answer) => answer,
            Err((error, message)) => ConsumerGroupHeartbeatResponse {
                error_code: error.code(),
                error_message: Some(message),
                ..Default::default()
            },
        };
        batch.answer(token, Answer::ConsumerHeartbeat(answer))
    }

    fn beat(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        batch: &mut Batch,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        validate(request)?;
        let group_id = request.group_id.as_str();
        let joins = request.member_epoch == 0;
        self.become_consumer_group(group_id, joins, batch)?;
        let member_id = self.member_of(caller, request)?;
        if request.member_epoch < 0 {
            return Ok(self.leave(now, topics, request, &member_id, batch));
        }
        let owned: Option<Assignment> = request
            .topic_partitions
            .as_ref()
            .map(|all| all.iter().map(|t| (t.topic_id, t.partitions.iter().copied().collect())).collect());
        check_epoch(self.consumer(group_id), &member_id, request.member_epoch, owned.as_ref())?;
        let subscription = {
            let group = self.consumer(group_id);
            let current = group.members.get(&member_id).map(|m| &m.subscription);
            if current.is_none() && group.members.len() >= self.config.members_max {
                let told = format!("the group has {} members, the most allowed", group.members.len());
                return Err((ErrorCode::GroupMaxSizeReached, told));
            }
            subscription(current, caller, request)
        };
        let changed =
            self.consumer(group_id).members.get(&member_id).map(|m| &m.subscription) != Some(&subscription);
        if changed {
            self.emit(batch, member_entry(group_id, &member_id, Some(&subscription)));
            self.pin(group_id, topics, batch);
        }
        let timeout = Millis::from(self.config.consumer_session_timeout_ms);
        if let Some(member) = self.consumer_mut(group_id).members.get_mut(&member_id) {
            member.session_deadline = now + timeout;
            if joins && member.epoch == LEFT_FOR_NOW {
                member.epoch = 0;
            }
        }
        self.raise_epoch(group_id, topics, changed, batch);
        self.assign_if_due(now, group_id, topics, batch);
        let moved = self.move_on(now, group_id, &member_id, owned.as_ref(), batch);
        let full = joins
            || (request.rebalance_timeout_ms != -1
                && request.topic_partitions.is_some()
                && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some()));
        let group = self.consumer(group_id);
        let member = &group.members[&member_id];
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id),
            member_epoch: member.epoch,
            heartbeat_interval_ms: self.interval(group, member),
            assignment: (full || moved).then(|| wire_assignment(&member.assignment())),
            ..Default::default()
        })
    }

    /// Makes the group one of this protocol, where it is new or has no members of the other one.
    fn become_consumer_group(
        &mut self,
        group_id: &str,
        joins: bool,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let refuse = |told: &str| Err((ErrorCode::GroupIdNotFound, format!("group \"{group_id}\" {told}")));
        match self.group(group_id).map(|g| &g.kind) {
            Some(Kind::Consumer(_)) => Ok(()),
            None | Some(Kind::Offsets) if joins => {
                self.group_mut(group_id).kind = Kind::Consumer(Box::default());
                Ok(())
            }
            None | Some(Kind::Offsets) => refuse("is not known; join it with epoch 0"),
            Some(Kind::Classic(classic)) if joins && classic.members.is_empty() => {
                self.emit(batch, crate::classic::group_entry(group_id, None));
                self.group_mut(group_id).kind = Kind::Consumer(Box::default());
                Ok(())
            }
            Some(Kind::Classic(_)) => {
                refuse("has members of the classic protocol; stop them, or set group.protocol=classic")
            }
        }
    }

    /// The id of the member that asks: its own, that of the static member it replaces, or a new one.
    fn member_of(
        &mut self,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<String, Refusal> {
        let group = self.consumer(&request.group_id);
        let unknown =
            || (ErrorCode::UnknownMemberId, format!("member \"{}\" is not known", request.member_id));
        let joins = request.member_epoch == 0;
        if let Some(instance) = &request.instance_id {
            let holder = group.by_instance(instance).map(str::to_owned);
            return match holder {
                Some(id) if id == request.member_id => Ok(id),
                Some(id) if joins => {
                    if group.members[&id].epoch != LEFT_FOR_NOW {
                        let told = format!("instance id \"{instance}\" is used by member \"{id}\"");
                        return Err((ErrorCode::UnreleasedInstanceId, told));
                    }
                    let new = self.fresh_or(caller, &request.member_id);
                    self.rename(&request.group_id, &id, &new);
                    Ok(new)
                }
                Some(_) => {
                    Err((ErrorCode::FencedInstanceId, format!("instance id \"{instance}\" has a new member")))
                }
                None if joins => Ok(self.fresh_or(caller, &request.member_id)),
                None => Err((ErrorCode::UnknownMemberId, format!("instance id \"{instance}\" is not known"))),
            };
        }
        if joins {
            return Ok(self.fresh_or(caller, &request.member_id));
        }
        if group.members.contains_key(&request.member_id) {
            Ok(request.member_id.clone())
        } else {
            Err(unknown())
        }
    }

    fn fresh_or(&self, caller: &Caller, member_id: &str) -> String {
        if member_id.is_empty() { caller.fresh_id.to_string() } else { member_id.to_owned() }
    }

    /// Gives a static member's place to its successor. Records follow with the successor's subscription.
    fn rename(&mut self, group_id: &str, old: &str, new: &str) {
        let group = self.consumer_mut(group_id);
        if let Some(member) = group.members.remove(old) {
            for owner in group.owners.values_mut().filter(|owner| *owner == old) {
                new.clone_into(owner);
            }
            // Its partitions wait for it; the records of the old name go when the new one's are written.
            group.members.insert(new.to_owned(), Member { subscription: Subscription::default(), ..member });
        }
        if let Some(target) = group.targets.remove(old) {
            group.targets.insert(new.to_owned(), target);
        }
        group.renamed.push((old.to_owned(), new.to_owned()));
    }

    fn leave(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        request: &ConsumerGroupHeartbeatRequest,
        member_id: &str,
        batch: &mut Batch,
    ) -> ConsumerGroupHeartbeatResponse {
        let group_id = request.group_id.as_str();
        if request.member_epoch == LEFT_FOR_NOW && request.instance_id.is_some() {
            let mut member = self.consumer(group_id).members[member_id].clone();
            member.previous_epoch = member.epoch;
            member.epoch = LEFT_FOR_NOW;
            self.emit(batch, current_entry(group_id, member_id, Some(&member)));
        } else {
            self.remove_members(now, group_id, &[member_id.to_owned()], topics, batch);
        }
        ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_owned()),
            member_epoch: request.member_epoch,
            ..Default::default()
        }
    }

    /// Takes members out, with all their records, and computes anew.
    pub(crate) fn remove_members(
        &mut self,
        now: Millis,
        group_id: &str,
        ids: &[String],
        topics: &dyn Topics,
        batch: &mut Batch,
    ) {
        for id in ids {
            for entry in member_tombstones(group_id, id) {
                self.emit(batch, entry);
            }
        }
        if self.consumer(group_id).members.is_empty() {
            self.consumer_mut(group_id).since_empty = now;
        }
        self.raise_epoch(group_id, topics, true, batch);
        self.assign_if_due(now, group_id, topics, batch);
    }

    /// Raises the group's epoch where members changed or the topics did.
    pub(crate) fn raise_epoch(
        &mut self,
        group_id: &str,
        topics: &dyn Topics,
        changed: bool,
        batch: &mut Batch,
    ) {
        let renamed = std::mem::take(&mut self.consumer_mut(group_id).renamed);
        for (old, new) in renamed {
            // Memory has the new name already: these are for the log alone.
            member_tombstones(group_id, &old).into_iter().for_each(|entry| batch.append(entry));
            let group = self.consumer(group_id);
            let target = group.targets.get(&new).cloned().unwrap_or_default();
            let current = group.members.get(&new).cloned();
            self.emit(batch, target_entry(group_id, &new, Some(&target)));
            self.emit(batch, current_entry(group_id, &new, current.as_ref()));
        }
        let group = self.consumer(group_id);
        let hash = group.hash_of(topics);
        if changed || hash != group.metadata_hash {
            let value = ConsumerGroupMetadataValue {
                epoch: group.epoch + 1,
                metadata_hash: hash,
                ..Default::default()
            };
            let key = ConsumerGroupMetadataKey { group_id: group_id.to_owned() };
            self.emit(batch, Entry::Kafka(key.into(), Some(value.into())));
        }
    }

    /// Computes targets, if they are of an older epoch. In a large group members come in crowds: it then waits up
    /// to a second between two computations, and members beat soon again.
    pub(crate) fn assign_if_due(
        &mut self,
        now: Millis,
        group_id: &str,
        topics: &dyn Topics,
        batch: &mut Batch,
    ) {
        let group = self.consumer(group_id);
        let wait = (group.members.len() as Millis).min(1_000);
        let crowd = wait > 50;
        if group.assignment_epoch >= group.epoch || (crowd && now < group.assigned_ms + wait) {
            return;
        }
        let mut partitions: BTreeMap<Uuid, i32> = BTreeMap::new();
        let mut subscribed: BTreeMap<(&BTreeSet<String>, &Option<String>), BTreeSet<Uuid>> = BTreeMap::new();
        for member in group.members.values() {
            let s = &member.subscription;
            subscribed.entry((&s.names, &s.regex)).or_insert_with(|| {
                let found = ConsumerGroup::topics_of(s, topics);
                partitions.extend(found.iter().map(|t| (t.id, t.partitions)));
                found.into_iter().map(|t| t.id).collect()
            });
        }
        let members: Vec<assignor::Member<'_>> = group
            .members
            .iter()
            .map(|(id, m)| assignor::Member {
                id,
                instance_id: m.subscription.instance_id.as_deref(),
                topics: subscribed[&(&m.subscription.names, &m.subscription.regex)].clone(),
                current: group.targets.get(id).cloned().unwrap_or_default(),
            })
            .collect();
        let targets = assignor::assign(group.assignor(), &members, &partitions);
        let changed: Vec<(String, Assignment)> = members
            .iter()
            .zip(targets)
            .filter(|(m, target)| group.targets.get(m.id) != Some(target))
            .map(|(m, target)| (m.id.to_owned(), target))
            .collect();
        let epoch = group.epoch;
        for (id, target) in changed {
            self.emit(batch, target_entry(group_id, &id, Some(&target)));
        }
        let key = ConsumerGroupTargetAssignmentMetadataKey { group_id: group_id.to_owned() };
        let value = ConsumerGroupTargetAssignmentMetadataValue {
            assignment_epoch: epoch,
            assignment_timestamp: now,
            ..Default::default()
        };
        self.emit(batch, Entry::Kafka(key.into(), Some(value.into())));
        self.consumer_mut(group_id).assigned_ms = now;
    }

    /// Moves a member towards its target; `true` where what it may read changed.
    fn move_on(
        &mut self,
        now: Millis,
        group_id: &str,
        member_id: &str,
        owned: Option<&Assignment>,
        batch: &mut Batch,
    ) -> bool {
        let group = self.consumer(group_id);
        let member = &group.members[member_id];
        let target = group.targets.get(member_id).cloned().unwrap_or_default();
        let mut next = reconcile(member, &target, group.assignment_epoch, owned, |topic, partition| {
            group.owners.get(&(topic, partition)).is_none_or(|owner| owner == member_id)
        });
        let before = (member.epoch, member.state, member.assigned.clone(), member.revoking.clone());
        let moved = member.assigned != next.assigned;
        if before == (next.epoch, next.state, next.assigned.clone(), next.revoking.clone()) {
            return false;
        }
        for (topic, partitions) in &next.assigned {
            for partition in partitions.keys() {
                let owner = group.owners.get(&(*topic, *partition));
                assert!(
                    owner.is_none_or(|o| o == member_id),
                    "GR-1: {topic} {partition} has an owner already"
                );
            }
        }
        if next.state == MemberState::UnrevokedPartitions && next.revoke_deadline.is_none() {
            let patience = next.subscription.rebalance_timeout_ms.max(0);
            next.revoke_deadline = Some(now + Millis::from(patience));
        }
        let deadline = next.revoke_deadline;
        self.emit(batch, current_entry(group_id, member_id, Some(&next)));
        if let Some(member) = self.consumer_mut(group_id).members.get_mut(member_id) {
            member.revoke_deadline = deadline;
        }
        moved
    }

    fn interval(&self, group: &ConsumerGroup, member: &Member) -> i32 {
        let longest = self.config.consumer_heartbeat_interval_ms;
        let members = group.members.len() as i32;
        let pending = group.epoch > group.assignment_epoch
            || member.state != MemberState::Stable
            || member.epoch != group.assignment_epoch;
        // A partition that leaves one member waits on another: while any member is on its way all beat faster.
        let busy = pending || group.members.values().any(|m| m.state == MemberState::UnrevokedPartitions);
        let shortest = if pending { 100.max(members / 4) } else { 200.max(members) };
        if busy { shortest.min(longest) } else { 1_000.max(members).min(longest) }
    }

    pub(crate) fn consumer(&self, group_id: &str) -> &ConsumerGroup {
        match self.group(group_id).map(|g| &g.kind) {
            Some(Kind::Consumer(group)) => group,
            _ => unreachable!("the group was made one of the consumer protocol before"),
        }
    }

    pub(crate) fn consumer_mut(&mut self, group_id: &str) -> &mut ConsumerGroup {
        match &mut self.group_mut(group_id).kind {
            Kind::Consumer(group) => group,
            _ => unreachable!("the group was made one of the consumer protocol before"),
        }
    }
}

fn validate(request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let bad = |told: &str| Err((ErrorCode::InvalidRequest, told.to_owned()));
    if request.group_id.trim().is_empty() {
        return bad("the group id is empty");
    }
    if request.instance_id.as_ref().is_some_and(|i| i.trim().is_empty()) {
        return bad("the instance id is empty");
    }
    if request.member_id.is_empty() && request.member_epoch != 0 {
        return bad("a member id is needed with every epoch but 0");
    }
    if request.member_epoch == LEFT_FOR_NOW && request.instance_id.is_none() {
        return bad("epoch -2 is for members with an instance id");
    }
    if request.member_epoch < LEFT_FOR_NOW {
        return bad("the member epoch is below -2");
    }
    if request.member_epoch == 0 {
        if request.rebalance_timeout_ms < 0 {
            return bad("a member that joins gives its rebalance timeout");
        }
        if request.topic_partitions.as_ref().is_some_and(|owned| !owned.is_empty()) {
            return bad("a member that joins owns no partitions");
        }
        let names = request.subscribed_topic_names.as_ref().is_some_and(|n| !n.is_empty());
        let regex = request.subscribed_topic_regex.as_ref().is_some_and(|r| !r.is_empty());
        if !names && !regex && request.subscribed_topic_names.is_none() {
            return bad("a member that joins names its topics or gives a pattern");
        }
    }
    if let Some(name) = request.server_assignor.as_ref().filter(|name| !assignor::is_known(name)) {
        let told = format!("assignor \"{name}\" is not known; there are uniform and range");
        return Err((ErrorCode::UnsupportedAssignor, told));
    }
    if let Some(pattern) = request.subscribed_topic_regex.as_ref().filter(|p| !p.is_empty())
        && whole_match(pattern).is_none()
    {
        return Err((ErrorCode::InvalidRegularExpression, format!("\"{pattern}\" is not a pattern")));
    }
    Ok(())
}

fn check_epoch(
    group: &ConsumerGroup,
    id: &str,
    epoch: i32,
    owned: Option<&Assignment>,
) -> Result<(), Refusal> {
    let Some(member) = group.members.get(id) else { return Ok(()) };
    let fenced = |told: String| Err((ErrorCode::FencedMemberEpoch, told));
    if epoch == 0 || epoch == member.epoch {
        return Ok(());
    }
    if epoch > member.epoch {
        return fenced(format!("member epoch {epoch} is above the coordinator's {}", member.epoch));
    }
    // The answer that raised the epoch may have been lost: taken, if the member owns nothing it should not.
    let lost =
        epoch == member.previous_epoch && owned.is_some_and(|owned| is_subset(owned, &member.assignment()));
    if lost {
        Ok(())
    } else {
        fenced(format!("member epoch {epoch} is below the coordinator's {}", member.epoch))
    }
}

fn subscription(
    current: Option<&Subscription>,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Subscription {
    let mut s = current.cloned().unwrap_or_default();
    s.client_id.clone_from(&caller.client_id);
    s.client_host.clone_from(&caller.client_host);
    if request.instance_id.is_some() {
        s.instance_id.clone_from(&request.instance_id);
    }
    if request.rack_id.is_some() {
        s.rack_id.clone_from(&request.rack_id);
    }
    if request.rebalance_timeout_ms != -1 {
        s.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = &request.subscribed_topic_names {
        s.names = names.iter().cloned().collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        s.regex = Some(regex.clone()).filter(|r| !r.is_empty());
    }
    if request.server_assignor.is_some() {
        s.assignor.clone_from(&request.server_assignor);
    }
    s
}

fn wire_assignment(assignment: &Assignment) -> WireAssignment {
    WireAssignment {
        topic_partitions: assignment
            .iter()
            .map(|(topic, partitions)| WirePartitions {
                topic_id: *topic,
                partitions: partitions.iter().copied().collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn member_entry(group: &str, id: &str, subscription: Option<&Subscription>) -> Entry {
    let key = ConsumerGroupMemberMetadataKey { group_id: group.to_owned(), member_id: id.to_owned() };
    let value = subscription.map(|s| {
        GroupValue::from(ConsumerGroupMemberMetadataValue {
            instance_id: s.instance_id.clone(),
            rack_id: s.rack_id.clone(),
            client_id: s.client_id.clone(),
            client_host: s.client_host.clone(),
            subscribed_topic_names: s.names.iter().cloned().collect(),
            subscribed_topic_regex: s.regex.clone(),
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
    Entry::Kafka(GroupKey::from(key), member.map(|m| current_value(m).into()))
}

fn target_entry(group: &str, id: &str, target: Option<&Assignment>) -> Entry {
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
