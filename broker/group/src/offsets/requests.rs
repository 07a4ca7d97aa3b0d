//! OffsetCommit, TxnOffsetCommit, OffsetFetch, OffsetDelete and DeleteGroups: who may, and what they are answered.
//!
//! OffsetFetch is where a new partition is pinned: one that has no commit and lies beyond the group's baseline is
//! answered with the log's start ([`LOG_START`], which the shell replaces), not with "none".

use millstream_types::ids::NO_LEADER_EPOCH;
use millstream_types::{ErrorCode, Millis, Uuid};
use millstream_wire::message::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use millstream_wire::message::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use millstream_wire::message::offset_fetch_request::OffsetFetchRequestGroup;
use millstream_wire::message::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use millstream_wire::message::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use millstream_wire::message::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use crate::consumer::{ConsumerGroup, LEFT_FOR_NOW, Member};
use crate::coordinator::{Batch, Coordinator, Kind, offset_entry};
use crate::message::{Answer, LOG_START, Outcome, RequireStable, Token, Topics};
use crate::offsets::Committed;

/// Who commits.
struct Committer<'a> {
    group_id: &'a str,
    member_id: &'a str,
    instance: Option<&'a str>,
    epoch: i32,
    in_transaction: bool,
}

impl Coordinator {
    pub(crate) fn commit(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        request: OffsetCommitRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let who = Committer {
            group_id: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            epoch: request.generation_id_or_member_epoch,
            in_transaction: false,
        };
        let may = self.may_commit(now, &who);
        let expire_ms = if request.retention_time_ms >= 0 { now + request.retention_time_ms } else { -1 };
        let mut answer = OffsetCommitResponse::default();
        for topic in &request.topics {
            let id = topics.by_name(&topic.name).map(|t| t.id);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for p in &topic.partitions {
                let metadata = p.committed_metadata.clone().unwrap_or_default();
                let error = may
                    .and_then(|()| self.may_commit_partition(&who, id, p.partition_index))
                    .and_then(|()| self.check_metadata(&metadata));
                if error.is_ok() {
                    let value = Committed {
                        offset: p.committed_offset,
                        leader_epoch: p.committed_leader_epoch,
                        metadata,
                        commit_ms: now,
                        expire_ms,
                        topic_id: id.unwrap_or_default(),
                    };
                    let entry =
                        offset_entry(&request.group_id, topic.name.clone(), p.partition_index, Some(&value));
                    self.emit(&mut batch, entry);
                }
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.err().unwrap_or(ErrorCode::None).code(),
                    ..Default::default()
                });
            }
            answer.topics.push(OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions,
                ..Default::default()
            });
        }
        batch.answer(token, Answer::Commit(answer))
    }

    pub(crate) fn txn_commit(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        request: TxnOffsetCommitRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let who = Committer {
            group_id: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            epoch: request.generation_id_or_member_epoch,
            in_transaction: true,
        };
        let may = self.may_commit(now, &who);
        let mut answer = TxnOffsetCommitResponse::default();
        for topic in &request.topics {
            let id = topics.by_name(&topic.name).map(|t| t.id);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for p in &topic.partitions {
                let metadata = p.committed_metadata.clone().unwrap_or_default();
                let error = may
                    .and_then(|()| self.may_commit_partition(&who, id, p.partition_index))
                    .and_then(|()| self.check_metadata(&metadata));
                if error.is_ok() {
                    let value = Committed {
                        offset: p.committed_offset,
                        leader_epoch: p.committed_leader_epoch,
                        metadata,
                        commit_ms: now,
                        expire_ms: -1,
                        topic_id: id.unwrap_or_default(),
                    };
                    let entry =
                        offset_entry(&request.group_id, topic.name.clone(), p.partition_index, Some(&value));
                    self.emit_in_transaction(&mut batch, entry, request.producer_id);
                }
                partitions.push(TxnOffsetCommitResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.err().unwrap_or(ErrorCode::None).code(),
                    ..Default::default()
                });
            }
            answer.topics.push(TxnOffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions,
                ..Default::default()
            });
        }
        batch.outcome_mut().producer = Some((request.producer_id, request.producer_epoch));
        batch.answer(token, Answer::TxnCommit(answer))
    }

    pub(crate) fn fetch(
        &mut self,
        topics: &dyn Topics,
        token: Token,
        request: &OffsetFetchRequestGroup,
        stable: RequireStable,
    ) -> Outcome {
        let batch = Batch::new(self.shard_of(&request.group_id));
        let mut answer =
            OffsetFetchResponseGroup { group_id: request.group_id.clone(), ..Default::default() };
        if let Err(error) = self.may_fetch(request) {
            answer.error_code = error.code();
            return batch.answer(token, Answer::Fetch(answer));
        }
        let mut wanted: Vec<(String, Vec<i32>)> = Vec::new();
        match &request.topics {
            Some(all) => wanted.extend(all.iter().map(|t| (t.name.clone(), t.partition_indexes.clone()))),
            None => {
                let offsets = self.group(&request.group_id).map(|g| &g.offsets);
                for (topic, partition) in offsets.into_iter().flat_map(|o| o.committed.keys()) {
                    match wanted.last_mut() {
                        Some((last, partitions)) if last == topic => partitions.push(*partition),
                        _ => wanted.push((topic.clone(), vec![*partition])),
                    }
                }
            }
        }
        for (name, indexes) in wanted {
            let id = topics.by_name(&name).map(|t| t.id);
            let partitions =
                indexes.into_iter().map(|p| self.fetched(&request.group_id, &name, p, id, stable)).collect();
            let topic_id = id.unwrap_or_default();
            answer.topics.push(OffsetFetchResponseTopics {
                name,
                topic_id,
                partitions,
                ..Default::default()
            });
        }
        batch.answer(token, Answer::Fetch(answer))
    }

    fn fetched(
        &self,
        group_id: &str,
        name: &str,
        partition: i32,
        id: Option<Uuid>,
        stable: RequireStable,
    ) -> OffsetFetchResponsePartitions {
        let mut answer = OffsetFetchResponsePartitions {
            partition_index: partition,
            committed_offset: -1,
            committed_leader_epoch: NO_LEADER_EPOCH,
            metadata: Some(String::new()),
            ..Default::default()
        };
        let Some(group) = self.group(group_id) else { return answer };
        let place = (name.to_owned(), partition);
        if stable == RequireStable::Yes && group.offsets.is_unstable(&place) {
            answer.error_code = ErrorCode::UnstableOffsetCommit.code();
        } else if let Some(committed) = group.offsets.get(&place, id) {
            answer.committed_offset = committed.offset;
            answer.committed_leader_epoch = committed.leader_epoch;
            answer.metadata = Some(committed.metadata.clone());
        } else if self.config.pin_new_partitions && id.is_some_and(|id| group.baseline.is_new(id, partition))
        {
            answer.committed_offset = LOG_START;
        }
        answer
    }

    pub(crate) fn delete_offsets(&mut self, token: Token, request: &OffsetDeleteRequest) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let mut answer = OffsetDeleteResponse::default();
        let subscribed: std::collections::BTreeSet<String> =
            match self.group(&request.group_id).map(|g| &g.kind) {
                None => {
                    answer.error_code = ErrorCode::GroupIdNotFound.code();
                    return batch.answer(token, Answer::DeleteOffsets(answer));
                }
                Some(Kind::Offsets) => Default::default(),
                Some(Kind::Classic(group)) if group.members.is_empty() => Default::default(),
                Some(Kind::Classic(group)) if group.protocol_type == crate::classic::CONSUMER => {
                    group.subscribed_names()
                }
                Some(Kind::Classic(_)) => {
                    answer.error_code = ErrorCode::NonEmptyGroup.code();
                    return batch.answer(token, Answer::DeleteOffsets(answer));
                }
                Some(Kind::Consumer(group)) => {
                    group.members.values().flat_map(|m| m.subscription.names.iter().cloned()).collect()
                }
            };
        for topic in &request.topics {
            let in_use = subscribed.contains(&topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for p in &topic.partitions {
                let error = if in_use { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
                let place = (topic.name.clone(), p.partition_index);
                let known =
                    self.group(&request.group_id).is_some_and(|g| g.offsets.committed.contains_key(&place));
                if !in_use && known {
                    let entry = offset_entry(&request.group_id, place.0, place.1, None);
                    self.emit(&mut batch, entry);
                }
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                });
            }
            let name = topic.name.clone();
            answer.topics.push(OffsetDeleteResponseTopic { name, partitions });
        }
        batch.answer(token, Answer::DeleteOffsets(answer))
    }

    pub(crate) fn delete_group(&mut self, token: Token, group_id: &str) -> Outcome {
        let mut batch = Batch::new(self.shard_of(group_id));
        let Some(group) = self.group(group_id) else {
            return batch.answer(token, Answer::DeleteGroup(ErrorCode::GroupIdNotFound));
        };
        let has_members = match &group.kind {
            Kind::Offsets => false,
            Kind::Classic(group) => !group.members.is_empty(),
            Kind::Consumer(group) => !group.members.is_empty(),
        };
        if has_members {
            return batch.answer(token, Answer::DeleteGroup(ErrorCode::NonEmptyGroup));
        }
        let pending = group.offsets.pending.values().flat_map(|p| p.keys());
        let places: std::collections::BTreeSet<_> =
            group.offsets.committed.keys().chain(pending).cloned().collect();
        for (topic, partition) in places {
            self.emit(&mut batch, offset_entry(group_id, topic, partition, None));
        }
        self.forget(group_id, &mut batch);
        batch.answer(token, Answer::DeleteGroup(ErrorCode::None))
    }

    fn check_metadata(&self, metadata: &str) -> Result<(), ErrorCode> {
        if metadata.len() > self.config.metadata_bytes_max {
            Err(ErrorCode::OffsetMetadataTooLarge)
        } else {
            Ok(())
        }
    }

    /// Whether a request with this member and epoch may commit at all; GR-2.
    fn may_commit(&mut self, now: Millis, who: &Committer<'_>) -> Result<(), ErrorCode> {
        if who.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        // A client that assigns by hand names no member.
        let by_hand = who.epoch < 0 && who.member_id.is_empty() && who.instance.is_none();
        match self.group(who.group_id).map(|g| &g.kind) {
            None | Some(Kind::Offsets) if by_hand => Ok(()),
            None | Some(Kind::Offsets) => Err(ErrorCode::IllegalGeneration),
            // In a transaction KIP-447 is optional: a producer without group metadata is fenced by its epoch alone.
            Some(_) if by_hand && who.in_transaction => Ok(()),
            Some(Kind::Classic(group)) => {
                if by_hand {
                    return if group.members.is_empty() { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
                }
                let completing = group.state == crate::classic::ClassicState::CompletingRebalance;
                self.check_member(who.group_id, who.member_id, who.instance, Some(who.epoch))?;
                if completing && !who.in_transaction {
                    return Err(ErrorCode::RebalanceInProgress);
                }
                // A commit is a sign of life too.
                if let Some(member) = self.classic_mut(who.group_id).members.get_mut(who.member_id) {
                    member.session_deadline = now + Millis::from(member.session_timeout_ms);
                }
                Ok(())
            }
            Some(Kind::Consumer(group)) => {
                if by_hand {
                    return if group.members.is_empty() { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
                }
                let member = consumer_member(group, who.member_id)?;
                if who.epoch > member.epoch || who.epoch < 0 { Err(stale(who)) } else { Ok(()) }
            }
        }
    }

    /// Whether a member whose epoch is behind may still commit this partition: it may, if it has held it since
    /// (KIP-1251).
    fn may_commit_partition(
        &self,
        who: &Committer<'_>,
        id: Option<Uuid>,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let Some(Kind::Consumer(group)) = self.group(who.group_id).map(|g| &g.kind) else { return Ok(()) };
        let Some(member) = group.members.get(who.member_id) else { return Ok(()) };
        if who.epoch == member.epoch {
            return Ok(());
        }
        let since = id.and_then(|id| member.assigned.get(&id)).and_then(|ps| ps.get(&partition));
        if since.is_some_and(|since| who.epoch >= *since) { Ok(()) } else { Err(stale(who)) }
    }

    fn may_fetch(&self, request: &OffsetFetchRequestGroup) -> Result<(), ErrorCode> {
        let Some(member_id) = request.member_id.as_deref().filter(|_| request.member_epoch >= 0) else {
            return Ok(());
        };
        match self.group(&request.group_id).map(|g| &g.kind) {
            Some(Kind::Consumer(group)) => {
                let member = consumer_member(group, member_id)?;
                if request.member_epoch == member.epoch { Ok(()) } else { Err(ErrorCode::StaleMemberEpoch) }
            }
            _ => Ok(()),
        }
    }
}

fn consumer_member<'a>(group: &'a ConsumerGroup, id: &str) -> Result<&'a Member, ErrorCode> {
    group.members.get(id).filter(|m| m.epoch != LEFT_FOR_NOW).ok_or(ErrorCode::UnknownMemberId)
}

/// The refusal of an old epoch; TxnOffsetCommit's clients know only the classic protocol's code.
fn stale(who: &Committer<'_>) -> ErrorCode {
    if who.in_transaction { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}
