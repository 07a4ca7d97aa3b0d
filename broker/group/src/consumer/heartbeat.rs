//! ConsumerGroupHeartbeat: a member joins, says what it owns, hears what it is to own, and leaves. Source: KIP-848.
//!
//! The interval that an answer names is short while something is pending (a revocation, a partition that others
//! still own, a target that is to be computed), so that a moved partition pauses for less than a second with
//! unmodified clients, and long otherwise.

use millstream_types::{ErrorCode, Millis};
use millstream_wire::message::consumer_group_heartbeat_response::{
    Assignment as WireAssignment, TopicPartitions as WirePartitions,
};
use millstream_wire::message::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::entries::{current_entry, member_entry, member_tombstones, target_entry};
use super::reconcile::owns_only;
use super::{ConsumerGroup, Held, LEFT_FOR_NOW, Member, MemberState, Subscription, whole_match};
use crate::assignor::{self, Assignment};
use crate::coordinator::Coordinator;
use crate::message::{Answer, Caller, Outcome, Token, Topics};
use crate::shard::{Batch, Kind};

/// Why a heartbeat is refused: the code, and words for the member's log.
type Refusal = (ErrorCode, String);

/// Whose heartbeat it is.
enum Identity {
    /// A member's.
    Known(String),
    /// That of a member that joins.
    New(String),
    /// That of a static member that takes the place of one that left for now.
    Replaces { old: String, new: String },
}

/// Whether a heartbeat shows that the answer before it was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastAnswer {
    Heard,
    Lost,
}

impl Coordinator {
    pub(crate) fn consumer_heartbeat(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let answer = match self.beat(now, topics, caller, request, &mut batch) {
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
        validate(caller, request)?;
        let group_id = request.group_id.as_str();
        let joins = request.member_epoch == 0;
        let none = ConsumerGroup::default();
        let group = self.may_beat(group_id, joins)?.unwrap_or(&none);
        let identity = identify(group, caller, request)?;
        let owned = owned(request);
        let last = match &identity {
            Identity::Known(id) if request.member_epoch >= 0 => {
                check_epoch(&group.members[id], request.member_epoch, owned.as_ref())?
            }
            Identity::New(_) if group.members.len() >= self.config.members_max => {
                let told = format!("the group has {} members, the most allowed", group.members.len());
                return Err((ErrorCode::GroupMaxSizeReached, told));
            }
            _ => LastAnswer::Heard,
        };
        // Nothing is refused from here on.
        let (member_id, is_new) = match identity {
            Identity::Known(id) if request.member_epoch < 0 => {
                return Ok(self.leave(now, topics, request, &id, batch));
            }
            Identity::Known(id) => (id, false),
            Identity::New(id) => {
                self.become_consumer_group(group_id, batch);
                (id, true)
            }
            Identity::Replaces { old, new } => {
                self.replace_member(group_id, &old, &new, batch);
                (new, false)
            }
        };
        let resubscribed = self.take_subscription(group_id, &member_id, caller, request, batch);
        if resubscribed {
            self.pin(group_id, topics, batch);
        }
        if resubscribed || is_new {
            self.raise_epoch(group_id, topics, true, batch);
        }
        let deadline = now + Millis::from(self.config.consumer_session_timeout_ms);
        if let Some(member) = self.consumer_mut(group_id).members.get_mut(&member_id) {
            member.session_deadline = deadline;
            member.heard_epoch = request.member_epoch;
            if joins && member.epoch == LEFT_FOR_NOW {
                let back = Member { epoch: 0, previous_epoch: 0, ..member.clone() };
                self.emit(batch, current_entry(group_id, &member_id, Some(&back)));
            }
        }
        self.arm(group_id, deadline);
        self.assign_if_due(now, group_id, topics, batch);
        let moved = self.move_on(now, group_id, &member_id, owned.as_ref(), batch);
        let group = self.consumer(group_id);
        let member = &group.members[&member_id];
        let told = moved || is_full(request) || last == LastAnswer::Lost;
        Ok(ConsumerGroupHeartbeatResponse {
            member_epoch: member.epoch,
            heartbeat_interval_ms: self.interval(group, member),
            assignment: told.then(|| wire_assignment(&member.assigned)),
            member_id: Some(member_id),
            ..Default::default()
        })
    }

    /// The group, where it is of this protocol; `None` where it is new or has no members of the other one.
    fn may_beat(&self, group_id: &str, joins: bool) -> Result<Option<&ConsumerGroup>, Refusal> {
        let refuse = |told: &str| Err((ErrorCode::GroupIdNotFound, format!("group \"{group_id}\" {told}")));
        match self.group(group_id).map(|g| &g.kind) {
            Some(Kind::Consumer(group)) => Ok(Some(group)),
            Some(Kind::Classic(classic)) if !classic.members.is_empty() => {
                refuse("has members of the classic protocol; stop them, or set group.protocol=classic")
            }
            _ if joins => Ok(None),
            _ => refuse("is not known; join it with epoch 0"),
        }
    }

    /// Makes the group one of this protocol, where it has no members of the other one.
    fn become_consumer_group(&mut self, group_id: &str, batch: &mut Batch) {
        match self.group(group_id).map(|g| &g.kind) {
            Some(Kind::Consumer(_)) => return,
            Some(Kind::Classic(_)) => self.emit(batch, crate::classic::group_entry(group_id, None)),
            Some(Kind::Offsets) | None => {}
        }
        self.group_mut(group_id).kind = Kind::Consumer(Box::default());
    }

    /// Gives a static member's place, with its partitions, to its successor.
    fn replace_member(&mut self, group_id: &str, old: &str, new: &str, batch: &mut Batch) {
        let group = self.consumer(group_id);
        let member = Member { epoch: 0, previous_epoch: 0, ..group.members[old].clone() };
        let target = group.targets.get(old).cloned().unwrap_or_default();
        for entry in member_tombstones(group_id, old) {
            self.emit(batch, entry);
        }
        self.emit(batch, member_entry(group_id, new, Some(&member.subscription)));
        self.emit(batch, target_entry(group_id, new, Some(&target)));
        self.emit(batch, current_entry(group_id, new, Some(&member)));
    }

    /// Stores what the member says of itself, where it is news; `true` where it wants other topics than before.
    fn take_subscription(
        &mut self,
        group_id: &str,
        member_id: &str,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        batch: &mut Batch,
    ) -> bool {
        let current = self.consumer(group_id).members.get(member_id).map(|m| &m.subscription);
        if current.is_some_and(|s| says_nothing_new(s, caller, request)) {
            return false;
        }
        let subscription = subscription(current, caller, request);
        if current == Some(&subscription) {
            return false;
        }
        let resubscribed = current.map(|s| &s.interest) != Some(&subscription.interest);
        self.emit(batch, member_entry(group_id, member_id, Some(&subscription)));
        resubscribed
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
        if request.member_epoch == LEFT_FOR_NOW {
            // Its partitions wait for it until its session ends; what it was giving up is given up.
            let member = &self.consumer(group_id).members[member_id];
            let mut left = Member { previous_epoch: member.epoch, epoch: LEFT_FOR_NOW, ..member.clone() };
            left.revoking.clear();
            left.state = MemberState::Stable;
            self.emit(batch, current_entry(group_id, member_id, Some(&left)));
            if let Some(member) = self.consumer_mut(group_id).members.get_mut(member_id) {
                member.revoke_deadline = None;
            }
        } else {
            self.remove_members(now, group_id, &[member_id.to_owned()], topics, batch);
        }
        ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.to_owned()),
            member_epoch: request.member_epoch,
            ..Default::default()
        }
    }

    fn interval(&self, group: &ConsumerGroup, member: &Member) -> i32 {
        let longest = self.config.consumer_heartbeat_interval_ms;
        let members = group.members.len() as i32;
        let pending = group.epoch > group.assignment_epoch
            || member.state != MemberState::Stable
            || member.epoch != group.assignment_epoch;
        // A partition that leaves one member waits on another: while any member is on its way all beat faster.
        let shortest = if pending {
            100.max(members / 4)
        } else if group.is_revoking() {
            200.max(members)
        } else {
            1_000.max(members)
        };
        shortest.min(longest)
    }
}

fn owned(request: &ConsumerGroupHeartbeatRequest) -> Option<Assignment> {
    let all = request.topic_partitions.as_ref()?;
    Some(all.iter().map(|t| (t.topic_id, t.partitions.iter().copied().collect())).collect())
}

/// Whether the member says everything: it does when it joins, and after any error, and then wants to hear everything.
fn is_full(request: &ConsumerGroupHeartbeatRequest) -> bool {
    let interest = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    request.member_epoch == 0
        || (request.rebalance_timeout_ms != -1 && request.topic_partitions.is_some() && interest)
}

fn validate(caller: &Caller, request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let bad = |told: &str| Err((ErrorCode::InvalidRequest, told.to_owned()));
    let is_blank = |text: &Option<String>| text.as_ref().is_some_and(|t| t.trim().is_empty());
    if request.group_id.trim().is_empty() {
        return bad("the group id is empty");
    }
    if is_blank(&request.instance_id) {
        return bad("the instance id is empty");
    }
    if is_blank(&request.rack_id) {
        return bad("the rack id is empty");
    }
    // Version 0 let the coordinator choose the id (KIP-1082).
    if request.member_id.is_empty() && (request.member_epoch != 0 || caller.version >= 1) {
        return bad("the member id is empty");
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
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return bad("a member that joins says that it owns no partitions");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
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

/// Whose heartbeat it is: that of a member, of one that takes a static member's place, or of a new one.
fn identify(
    group: &ConsumerGroup,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<Identity, Refusal> {
    let id = &request.member_id;
    let joins = request.member_epoch == 0;
    let own = || if id.is_empty() { caller.fresh_id.to_string() } else { id.clone() };
    let known = group.members.contains_key(id);
    let Some(instance) = &request.instance_id else {
        return match (known, joins) {
            (true, _) => Ok(Identity::Known(id.clone())),
            (false, true) => Ok(Identity::New(own())),
            (false, false) => Err((ErrorCode::UnknownMemberId, format!("member \"{id}\" is not known"))),
        };
    };
    match group.by_instance(instance) {
        Some(holder) if holder == id => Ok(Identity::Known(id.clone())),
        Some(holder) if joins => {
            if group.members[holder].epoch != LEFT_FOR_NOW || known {
                let told = format!("instance id \"{instance}\" is used by member \"{holder}\"");
                return Err((ErrorCode::UnreleasedInstanceId, told));
            }
            Ok(Identity::Replaces { old: holder.to_owned(), new: own() })
        }
        Some(_) => Err((ErrorCode::FencedInstanceId, format!("instance id \"{instance}\" has a new member"))),
        None if joins && known => Ok(Identity::Known(id.clone())),
        None if joins => Ok(Identity::New(own())),
        None => Err((ErrorCode::UnknownMemberId, format!("instance id \"{instance}\" is not known"))),
    }
}

fn check_epoch(member: &Member, epoch: i32, owned: Option<&Assignment>) -> Result<LastAnswer, Refusal> {
    let fenced = |told: String| Err((ErrorCode::FencedMemberEpoch, told));
    // A member that was fenced, or never heard that it had joined, begins anew under its id (KAFKA-19233).
    if epoch == 0 || epoch == member.epoch {
        return Ok(LastAnswer::Heard);
    }
    if epoch > member.epoch {
        return fenced(format!("member epoch {epoch} is above the coordinator's {}", member.epoch));
    }
    // The answer that raised the epoch may have been lost: taken, if the member owns nothing that it should not, and
    // has not named the newer epoch already (then this is a heartbeat that a later one overtook).
    let lost = epoch == member.previous_epoch
        && epoch >= member.heard_epoch
        && owned.is_some_and(|owned| owns_only(owned, &member.assigned));
    if lost {
        Ok(LastAnswer::Lost)
    } else {
        fenced(format!("member epoch {epoch} is below the coordinator's {}", member.epoch))
    }
}

/// Tells a heartbeat that only says "I am here" from others without building anything.
fn says_nothing_new(s: &Subscription, caller: &Caller, request: &ConsumerGroupHeartbeatRequest) -> bool {
    request.instance_id.as_ref().is_none_or(|i| s.instance_id.as_ref() == Some(i))
        && request.rack_id.is_none()
        && request.rebalance_timeout_ms == -1
        && request.subscribed_topic_names.is_none()
        && request.subscribed_topic_regex.is_none()
        && request.server_assignor.is_none()
        && s.client_id == caller.client_id
        && s.client_host == caller.client_host
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
        s.interest.names = names.iter().cloned().collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        s.interest.regex = Some(regex.clone()).filter(|r| !r.is_empty());
    }
    if request.server_assignor.is_some() {
        s.assignor.clone_from(&request.server_assignor);
    }
    s
}

fn wire_assignment(held: &Held) -> WireAssignment {
    let topic = |(topic, partitions): (&millstream_types::Uuid, &std::collections::BTreeMap<i32, i32>)| {
        WirePartitions {
            topic_id: *topic,
            partitions: partitions.keys().copied().collect(),
            ..Default::default()
        }
    };
    WireAssignment { topic_partitions: held.iter().map(topic).collect(), ..Default::default() }
}
