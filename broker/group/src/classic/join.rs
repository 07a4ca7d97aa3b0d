//! JoinGroup: who may join, when all have joined, and what each is told. Sources: KIP-62 (rebalance time-out),
//! KIP-134 (initial delay), KIP-345 (static members), KIP-394 (a member id is asked for first), KIP-814 (a static
//! leader that comes back need not assign).

use bytes::Bytes;
use millstream_types::{ErrorCode, Millis};
use millstream_wire::message::join_group_response::JoinGroupResponseMember;
use millstream_wire::message::{JoinGroupRequest, JoinGroupResponse};

use super::{ClassicGroup, ClassicMember, ClassicState, Gathering, group_entry, topics_of};
use crate::consumer::LEFT_FOR_NOW;
use crate::consumer::entries::{group_tombstones, member_tombstones};
use crate::coordinator::Coordinator;
use crate::message::{Answer, Caller, Outcome, Token, Topics};
use crate::shard::{Batch, Kind};

/// The first rebalance of an empty group ends when no member came for this long, in milliseconds.
const QUIET_MS: Millis = 200;

/// JoinGroup asks for a member id first, from this version on.
const ASKS_FOR_ID: i16 = 4;

/// JoinGroup can tell a leader not to assign, from this version on.
const SKIPS_ASSIGNMENT: i16 = 9;

impl Coordinator {
    pub(crate) fn join(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: JoinGroupRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let group_id = request.group_id.clone();
        let member_id = request.member_id.clone();
        if let Err(error) = self.try_join(now, topics, token, caller, request, &mut batch) {
            batch.reply(token, refused(error, member_id));
        }
        self.arm_classic(&group_id);
        batch.done()
    }

    fn try_join(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: JoinGroupRequest,
        batch: &mut Batch,
    ) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let (low, high) = (self.config.session_timeout_ms_min, self.config.session_timeout_ms_max);
        if !(low..=high).contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let group_id = request.group_id.clone();
        self.become_classic_group(&group_id, &request.member_id, batch)?;
        let members_max = self.config.members_max;
        let member = member_from(caller, &request);
        let group = self.classic_mut(&group_id);
        let id = request.member_id.as_str();
        let holder = request.group_instance_id.as_deref().and_then(|i| group.by_instance(i));
        let fits = group.members.is_empty() || group.protocol_type == request.protocol_type;
        let replaced = holder.filter(|_| id.is_empty()).unwrap_or(id);
        if !fits || !group.supports(replaced, &member.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let name = request.group_instance_id.as_ref().unwrap_or(&caller.client_id);
        let fresh = format!("{name}-{}", caller.fresh_id);
        if request.group_instance_id.is_some() {
            match holder.map(str::to_owned) {
                Some(old) if id.is_empty() => {
                    self.pin_names(&group_id, &member.topics, topics, batch);
                    let version = caller.version;
                    self.replace_static(now, token, &group_id, (&old, fresh), member, version, batch);
                    return Ok(());
                }
                Some(current) if current != id => return Err(ErrorCode::FencedInstanceId),
                None if !id.is_empty() => return Err(ErrorCode::UnknownMemberId),
                _ => {}
            }
        }
        let is_full = group.members.len() >= members_max && !group.members.contains_key(id);
        let is_new = id.is_empty() || group.pending.contains_key(id);
        if is_new && is_full {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if id.is_empty() && request.group_instance_id.is_none() && caller.version >= ASKS_FOR_ID {
            group.pending.insert(fresh.clone(), now + Millis::from(request.session_timeout_ms));
            batch.reply(token, refused(ErrorCode::MemberIdRequired, fresh));
            return Ok(());
        }
        if is_new {
            group.pending.remove(id);
            let id = if id.is_empty() { fresh } else { request.member_id.clone() };
            group.protocol_type = request.protocol_type;
            let names = member.topics.clone();
            group.add(now, token, id, member);
            self.pin_names(&group_id, &names, topics, batch);
            self.prepare(now, &group_id, batch);
            return Ok(());
        }
        let Some(known) = group.members.get(id) else { return Err(ErrorCode::UnknownMemberId) };
        let same = known.protocols == member.protocols;
        let stays = match group.state {
            // The answer was lost: it is given again.
            ClassicState::CompletingRebalance => same,
            // A leader that joins wants a rebalance; a follower that says nothing new does not.
            ClassicState::Stable => same && group.leader.as_deref() != Some(id),
            ClassicState::Empty | ClassicState::PreparingRebalance => false,
        };
        if stays {
            let answer = joined(group, id);
            batch.reply(token, Answer::Join(answer));
            return Ok(());
        }
        let names = member.topics.clone();
        group.update(now, token, id, member, batch);
        self.pin_names(&group_id, &names, topics, batch);
        self.prepare(now, &group_id, batch);
        Ok(())
    }

    fn become_classic_group(
        &mut self,
        group_id: &str,
        member_id: &str,
        batch: &mut Batch,
    ) -> Result<(), ErrorCode> {
        match self.group(group_id).map(|g| &g.kind) {
            Some(Kind::Classic(_)) => Ok(()),
            Some(Kind::Consumer(group)) => {
                if group.members.values().any(|m| m.epoch != LEFT_FOR_NOW) {
                    return Err(ErrorCode::InconsistentGroupProtocol);
                }
                if !member_id.is_empty() {
                    return Err(ErrorCode::UnknownMemberId);
                }
                let members = group.members.keys().flat_map(|id| member_tombstones(group_id, id));
                let entries: Vec<_> = members.chain(group_tombstones(group_id)).collect();
                for entry in entries {
                    self.emit(batch, entry);
                }
                self.group_mut(group_id).kind = Kind::Classic(Box::default());
                Ok(())
            }
            // A group is made by a member that has no id yet, never by one that this coordinator lost.
            Some(Kind::Offsets) | None if member_id.is_empty() => {
                self.group_mut(group_id).kind = Kind::Classic(Box::default());
                Ok(())
            }
            Some(Kind::Offsets) | None => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// A static member that comes back under a new id takes its old place; where nothing changed, without a
    /// rebalance.
    #[allow(clippy::too_many_arguments)]
    fn replace_static(
        &mut self,
        now: Millis,
        token: Token,
        group_id: &str,
        (old, new): (&str, String),
        member: ClassicMember,
        version: i16,
        batch: &mut Batch,
    ) {
        let group = self.classic_mut(group_id);
        let Some(mut before) = group.members.remove(old) else { return };
        if let Some(waiting) = before.joining.take() {
            batch.reply(waiting, refused(ErrorCode::FencedInstanceId, old.to_owned()));
        }
        if let Some(waiting) = before.syncing.take() {
            batch.reply(waiting, super::sync::refused(ErrorCode::FencedInstanceId));
        }
        let led = group.leader.as_deref() == Some(old);
        if led {
            group.leader = Some(new.clone());
        }
        // What else changed in its metadata (the partitions it owned before it stopped) is no reason to rebalance.
        let same_topics = before.topics == member.topics;
        let place = ClassicMember {
            assignment: before.assignment,
            owes_sync: before.owes_sync,
            session_deadline: now + Millis::from(member.session_timeout_ms),
            ..member
        };
        group.members.insert(new.clone(), place);
        if group.state == ClassicState::Stable && same_topics && group.vote() == group.protocol {
            let mut answer = joined(group, &new);
            if version >= SKIPS_ASSIGNMENT {
                answer.skip_assignment = led;
            } else if led {
                // An older client would assign if it heard that it leads.
                old.clone_into(&mut answer.leader);
                answer.members.clear();
            }
            self.store_classic(group_id, batch);
            batch.reply(token, Answer::Join(answer));
            return;
        }
        if let Some(member) = group.members.get_mut(&new) {
            member.joining = Some(token);
        }
        self.prepare(now, group_id, batch);
    }

    /// Begins a rebalance, or takes a joining into the one under way.
    pub(crate) fn prepare(&mut self, now: Millis, group_id: &str, batch: &mut Batch) {
        let delay = Millis::from(self.config.initial_rebalance_delay_ms);
        let group = self.classic_mut(group_id);
        if group.state != ClassicState::PreparingRebalance {
            let first = group.state == ClassicState::Empty;
            for member in group.members.values_mut() {
                member.owes_sync = false;
                if let Some(token) = member.syncing.take() {
                    batch.reply(token, super::sync::refused(ErrorCode::RebalanceInProgress));
                }
            }
            group.sync_deadline = None;
            group.become_state(ClassicState::PreparingRebalance, now);
            group.join_deadline = Some(now + group.rebalance_timeout_ms());
            group.gathering = (first && delay > 0)
                .then(|| Gathering { quiet_at: now + QUIET_MS.min(delay), pending_until: now + delay });
        }
        self.complete_if_joined(now, group_id, batch);
    }

    /// Ends the joining when nobody is missing, or when who is missing has had its time.
    pub(crate) fn complete_if_joined(&mut self, now: Millis, group_id: &str, batch: &mut Batch) {
        let group = self.classic_mut(group_id);
        if group.state != ClassicState::PreparingRebalance {
            return;
        }
        let due = group.join_deadline.is_none_or(|end| end <= now);
        let any = group.members.values().any(|m| m.joining.is_some());
        let all = group.members.values().all(|m| m.joining.is_some());
        let nobody_to_come = match group.gathering {
            Some(g) => g.quiet_at <= now && (group.pending.is_empty() || g.pending_until <= now),
            None => group.pending.is_empty(),
        };
        if !(due || all && nobody_to_come) {
            if nobody_to_come {
                // Somebody has to join again: that is waited for like in any rebalance.
                group.gathering = None;
            }
            return;
        }
        // Who did not join in time is out; a static member keeps its place until its session ends.
        group.members.retain(|_, m| m.joining.is_some() || m.instance_id.is_some());
        if !any && !group.members.is_empty() {
            group.join_deadline = Some(now + group.rebalance_timeout_ms().max(1));
            return;
        }
        group.join_deadline = None;
        group.gathering = None;
        group.generation = group.generation.wrapping_add(1).max(1);
        if group.members.is_empty() {
            group.protocol = None;
            group.leader = None;
            group.become_state(ClassicState::Empty, now);
            self.store_classic(group_id, batch);
            return;
        }
        let joins = |id: &String| group.members.get(id).is_some_and(|m| m.joining.is_some());
        if !group.leader.as_ref().is_some_and(joins) {
            group.leader = group.members.iter().find(|(_, m)| m.joining.is_some()).map(|(id, _)| id.clone());
        }
        group.protocol = group.vote();
        group.become_state(ClassicState::CompletingRebalance, now);
        group.sync_deadline = Some(now + group.rebalance_timeout_ms());
        let ids: Vec<String> = group.members.keys().cloned().collect();
        for id in ids {
            let answer = joined(group, &id);
            let Some(member) = group.members.get_mut(&id) else { continue };
            if let Some(token) = member.joining.take() {
                member.session_deadline = now + Millis::from(member.session_timeout_ms);
                member.owes_sync = true;
                batch.reply(token, Answer::Join(answer));
            }
        }
    }

    /// Writes a group's record; memory is ahead of it already.
    pub(crate) fn store_classic(&mut self, group_id: &str, batch: &mut Batch) {
        batch.append(&group_entry(group_id, Some(self.classic_mut(group_id))));
    }

    /// Has the group looked at when something of it is due.
    pub(crate) fn arm_classic(&mut self, group_id: &str) {
        if let Some(Kind::Classic(group)) = self.group(group_id).map(|g| &g.kind)
            && let Some(at) = group.next_deadline()
        {
            self.arm(group_id, at);
        }
    }

    pub(crate) fn classic_mut(&mut self, group_id: &str) -> &mut ClassicGroup {
        match &mut self.group_mut(group_id).kind {
            Kind::Classic(group) => group,
            _ => unreachable!("the group was made one of the classic protocol before"),
        }
    }
}

impl ClassicGroup {
    fn add(&mut self, now: Millis, token: Token, id: String, mut member: ClassicMember) {
        member.joining = Some(token);
        member.session_deadline = now + Millis::from(member.session_timeout_ms);
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        self.members.insert(id, member);
        if let Some(gathering) = &mut self.gathering {
            gathering.quiet_at = now + QUIET_MS;
        }
    }

    fn update(&mut self, now: Millis, token: Token, id: &str, member: ClassicMember, batch: &mut Batch) {
        let Some(known) = self.members.get_mut(id) else { return };
        if let Some(earlier) = known.joining.take() {
            batch.reply(earlier, refused(ErrorCode::RebalanceInProgress, id.to_owned()));
        }
        let assignment = std::mem::take(&mut known.assignment);
        let syncing = known.syncing.take();
        let session_deadline = now + Millis::from(member.session_timeout_ms);
        *known = ClassicMember { assignment, syncing, session_deadline, joining: Some(token), ..member };
    }
}

fn member_from(caller: &Caller, request: &JoinGroupRequest) -> ClassicMember {
    let rebalance = request.rebalance_timeout_ms;
    ClassicMember {
        instance_id: request.group_instance_id.clone(),
        client_id: caller.client_id.clone(),
        client_host: caller.client_host.clone(),
        // Version 0 had one time-out for both.
        rebalance_timeout_ms: if rebalance < 0 { request.session_timeout_ms } else { rebalance },
        session_timeout_ms: request.session_timeout_ms,
        topics: topics_of(&request.protocol_type, request.protocols.iter().map(|p| &p.metadata)),
        protocols: request.protocols.iter().map(|p| (p.name.clone(), p.metadata.clone())).collect(),
        ..ClassicMember::default()
    }
}

/// What a member is told when the joining ended; only the leader hears of the others.
fn joined(group: &ClassicGroup, id: &str) -> JoinGroupResponse {
    let leads = group.leader.as_deref() == Some(id);
    let members = group.members.iter().filter(|_| leads).map(|(id, m)| JoinGroupResponseMember {
        member_id: id.clone(),
        group_instance_id: m.instance_id.clone(),
        metadata: Bytes::clone(&group.metadata_of(m)),
        ..Default::default()
    });
    JoinGroupResponse {
        generation_id: group.generation,
        protocol_type: Some(group.protocol_type.clone()),
        protocol_name: group.protocol.clone(),
        leader: group.leader.clone().unwrap_or_default(),
        member_id: id.to_owned(),
        members: members.collect(),
        ..Default::default()
    }
}

pub(crate) fn refused(error: ErrorCode, member_id: String) -> Answer {
    // Versions before 7 have no null for the protocol's name.
    Answer::Join(JoinGroupResponse {
        error_code: error.code(),
        protocol_name: Some(String::new()),
        member_id,
        ..Default::default()
    })
}
