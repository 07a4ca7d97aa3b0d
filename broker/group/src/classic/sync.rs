//! SyncGroup, Heartbeat, LeaveGroup of the classic protocol, and what time does to its groups.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_types::{ErrorCode, Millis};
use millstream_wire::message::leave_group_response::MemberResponse;
use millstream_wire::message::{
    HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use super::{ClassicGroup, ClassicState};
use crate::coordinator::Coordinator;
use crate::message::{Answer, Outcome, Token, Topics};
use crate::shard::{Batch, Kind};

impl Coordinator {
    pub(crate) fn sync(&mut self, now: Millis, token: Token, request: &SyncGroupRequest) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        if let Err(error) = self.try_sync(now, token, request, &mut batch) {
            batch.reply(token, refused(error));
        }
        self.arm_classic(&request.group_id);
        batch.done()
    }

    fn try_sync(
        &mut self,
        now: Millis,
        token: Token,
        request: &SyncGroupRequest,
        batch: &mut Batch,
    ) -> Result<(), ErrorCode> {
        let id = request.member_id.as_str();
        self.check_member(
            &request.group_id,
            id,
            request.group_instance_id.as_deref(),
            Some(request.generation_id),
        )?;
        let group = self.classic_mut(&request.group_id);
        let other_type = request.protocol_type.as_ref().is_some_and(|t| *t != group.protocol_type);
        let other_name = request.protocol_name.is_some() && request.protocol_name != group.protocol;
        if other_type || other_name {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match group.state {
            ClassicState::Empty => return Err(ErrorCode::UnknownMemberId),
            ClassicState::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            ClassicState::Stable | ClassicState::CompletingRebalance => {}
        }
        let is_stable = group.state == ClassicState::Stable;
        let leads = group.leader.as_deref() == Some(id);
        if let Some(member) = group.members.get_mut(id) {
            member.owes_sync = false;
            member.session_deadline = now + Millis::from(member.session_timeout_ms);
            if !is_stable && let Some(earlier) = member.syncing.replace(token) {
                batch.reply(earlier, refused(ErrorCode::RebalanceInProgress));
            }
        }
        if is_stable {
            batch.reply(token, synced(group, id));
            return Ok(());
        }
        if !leads {
            return Ok(());
        }
        let given: BTreeMap<&str, &Bytes> =
            request.assignments.iter().map(|a| (a.member_id.as_str(), &a.assignment)).collect();
        for (id, member) in &mut group.members {
            member.assignment = given.get(id.as_str()).map(|a| Bytes::clone(a)).unwrap_or_default();
        }
        group.become_state(ClassicState::Stable, now);
        let waiting: Vec<(String, Token)> = group
            .members
            .iter_mut()
            .filter_map(|(id, m)| m.syncing.take().map(|token| (id.clone(), token)))
            .collect();
        for (id, token) in waiting {
            batch.reply(token, synced(group, &id));
            // Waiting for the leader was no silence.
            if let Some(member) = group.members.get_mut(&id) {
                member.session_deadline = now + Millis::from(member.session_timeout_ms);
            }
        }
        self.store_classic(&request.group_id, batch);
        Ok(())
    }

    pub(crate) fn heartbeat(&mut self, now: Millis, token: Token, request: &HeartbeatRequest) -> Outcome {
        let batch = Batch::new(self.shard_of(&request.group_id));
        let (id, instance) = (request.member_id.as_str(), request.group_instance_id.as_deref());
        let error = match self.check_member(&request.group_id, id, instance, Some(request.generation_id)) {
            Err(error) => error,
            Ok(()) => {
                let group = self.classic_mut(&request.group_id);
                if let Some(member) = group.members.get_mut(id) {
                    member.session_deadline = now + Millis::from(member.session_timeout_ms);
                }
                match group.state {
                    ClassicState::PreparingRebalance => ErrorCode::RebalanceInProgress,
                    ClassicState::Empty => ErrorCode::UnknownMemberId,
                    ClassicState::CompletingRebalance | ClassicState::Stable => ErrorCode::None,
                }
            }
        };
        batch.answer(
            token,
            Answer::Heartbeat(HeartbeatResponse { error_code: error.code(), ..Default::default() }),
        )
    }

    pub(crate) fn leave_group(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        request: &LeaveGroupRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let group_id = request.group_id.as_str();
        let mut answer = LeaveGroupResponse::default();
        if let Some(Kind::Consumer(_)) = self.group(group_id).map(|g| &g.kind) {
            self.remove_instances(now, topics, request, &mut answer, &mut batch);
            return batch.answer(token, Answer::Leave(answer));
        }
        let mut left = false;
        if request.members.is_empty() {
            let error = self.leave_one(now, group_id, &request.member_id, None, &mut batch);
            left |= error.is_none();
            answer.error_code = error.code();
        }
        for member in &request.members {
            let instance = member.group_instance_id.as_deref();
            let error = self.leave_one(now, group_id, &member.member_id, instance, &mut batch);
            left |= error.is_none();
            answer.members.push(MemberResponse {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: error.code(),
                ..Default::default()
            });
        }
        if left {
            self.after_leaving(now, group_id, &mut batch);
        }
        self.arm_classic(group_id);
        batch.answer(token, Answer::Leave(answer))
    }

    /// A tool takes static members out of a group of the consumer protocol, by their instance ids (KIP-345).
    fn remove_instances(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        request: &LeaveGroupRequest,
        answer: &mut LeaveGroupResponse,
        batch: &mut Batch,
    ) {
        let group_id = request.group_id.as_str();
        if request.members.is_empty() {
            answer.error_code = ErrorCode::UnknownMemberId.code();
        }
        let mut gone = Vec::new();
        for member in &request.members {
            let instance = member.group_instance_id.as_deref().filter(|_| member.member_id.is_empty());
            let holder = instance.and_then(|i| self.consumer(group_id).by_instance(i)).map(str::to_owned);
            let error = if holder.is_some() { ErrorCode::None } else { ErrorCode::UnknownMemberId };
            gone.extend(holder);
            answer.members.push(MemberResponse {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                error_code: error.code(),
                ..Default::default()
            });
        }
        if !gone.is_empty() {
            self.remove_members(now, group_id, &gone, topics, batch);
        }
    }

    fn leave_one(
        &mut self,
        now: Millis,
        group_id: &str,
        id: &str,
        instance: Option<&str>,
        batch: &mut Batch,
    ) -> ErrorCode {
        let Some(Kind::Classic(group)) = self.group(group_id).map(|g| &g.kind) else {
            return ErrorCode::UnknownMemberId;
        };
        let id = match instance.map(|i| group.by_instance(i)) {
            // A tool names the instance alone (KIP-345).
            Some(Some(holder)) if id.is_empty() => holder.to_owned(),
            Some(Some(holder)) if holder != id => return ErrorCode::FencedInstanceId,
            Some(None) => return ErrorCode::UnknownMemberId,
            _ => id.to_owned(),
        };
        let group = self.classic_mut(group_id);
        if group.pending.remove(&id).is_some() {
            return ErrorCode::None;
        }
        if !group.members.contains_key(&id) {
            return ErrorCode::UnknownMemberId;
        }
        self.remove_classic(now, group_id, &id, batch);
        ErrorCode::None
    }

    /// What time does: sessions, joinings, syncs and member ids that ran out.
    pub(crate) fn tick_classic(&mut self, now: Millis, group_id: &str) -> Option<Outcome> {
        let mut batch = Batch::new(self.shard_of(group_id));
        let group = self.classic_mut(group_id);
        group.pending.retain(|_, until| *until > now);
        let late_sync = group.sync_deadline.is_some_and(|d| d <= now);
        if late_sync {
            group.sync_deadline = None;
        }
        let gone: Vec<String> = group
            .members
            .iter()
            .filter(|(_, m)| ClassicGroup::is_silent(m, now) || (late_sync && m.owes_sync))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &gone {
            self.remove_classic(now, group_id, id, &mut batch);
        }
        if gone.is_empty() {
            self.complete_if_joined(now, group_id, &mut batch);
        } else {
            self.after_leaving(now, group_id, &mut batch);
        }
        self.arm_classic(group_id);
        batch.finish()
    }

    fn remove_classic(&mut self, now: Millis, group_id: &str, id: &str, batch: &mut Batch) {
        let group = self.classic_mut(group_id);
        if let Some(mut member) = group.members.remove(id) {
            if let Some(token) = member.joining.take() {
                batch.reply(token, super::join::refused(ErrorCode::UnknownMemberId, id.to_owned()));
            }
            if let Some(token) = member.syncing.take() {
                batch.reply(token, refused(ErrorCode::UnknownMemberId));
            }
        }
        if group.leader.as_deref() == Some(id) {
            group.leader = group.members.keys().next().cloned();
        }
        if group.members.is_empty() {
            group.state_ms = now;
        }
    }

    /// A member is gone: a rebalance begins, or the one under way may end.
    fn after_leaving(&mut self, now: Millis, group_id: &str, batch: &mut Batch) {
        match self.classic_mut(group_id).state {
            ClassicState::Stable | ClassicState::CompletingRebalance => self.prepare(now, group_id, batch),
            ClassicState::PreparingRebalance => self.complete_if_joined(now, group_id, batch),
            ClassicState::Empty => {}
        }
    }

    /// Whether a request comes from a member of the group, in its generation where one is named.
    pub(crate) fn check_member(
        &self,
        group_id: &str,
        id: &str,
        instance: Option<&str>,
        generation: Option<i32>,
    ) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let Some(Kind::Classic(group)) = self.group(group_id).map(|g| &g.kind) else {
            return Err(ErrorCode::UnknownMemberId);
        };
        if let Some(instance) = instance {
            match group.by_instance(instance) {
                Some(holder) if holder != id => return Err(ErrorCode::FencedInstanceId),
                None => return Err(ErrorCode::UnknownMemberId),
                _ => {}
            }
        }
        if !group.members.contains_key(id) {
            return Err(ErrorCode::UnknownMemberId);
        }
        if generation.is_some_and(|g| g != group.generation) {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }
}

fn synced(group: &ClassicGroup, id: &str) -> Answer {
    Answer::Sync(SyncGroupResponse {
        protocol_type: Some(group.protocol_type.clone()),
        protocol_name: group.protocol.clone(),
        assignment: group.members.get(id).map(|m| m.assignment.clone()).unwrap_or_default(),
        ..Default::default()
    })
}

pub(crate) fn refused(error: ErrorCode) -> Answer {
    Answer::Sync(SyncGroupResponse { error_code: error.code(), ..Default::default() })
}
