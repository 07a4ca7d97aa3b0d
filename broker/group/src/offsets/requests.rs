//! OffsetCommit, TxnOffsetCommit, OffsetFetch, OffsetDelete: who may, and what they are answered. Sources: KIP-447
//! (transactions are fenced by the group too), KIP-1251 (an older epoch suffices for a partition that was held since).
//!
//! OffsetFetch is where a new partition is pinned: one that has no commit and lies beyond the group's baseline is
//! answered with the log's start ([`LOG_START`], which the shell replaces), not with "none".

use std::collections::BTreeSet;

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

use super::expiry::InUse;
use crate::classic::{CONSUMER, ClassicState};
use crate::consumer::{ConsumerGroup, LEFT_FOR_NOW, Member};
use crate::coordinator::{Coordinator, offset_entry};
use crate::message::{Answer, Caller, LOG_START, Outcome, RequireStable, Token, Topics};
use crate::offsets::Committed;
use crate::shard::{Batch, Kind};

/// OffsetCommit knows members of the consumer protocol, and groups that are not there, from this version on.
const KNOWS_MEMBER_EPOCHS: i16 = 9;

/// Who commits.
struct Committer<'a> {
    group_id: &'a str,
    member_id: &'a str,
    instance: Option<&'a str>,
    epoch: i32,
    how: How,
}

/// How they do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum How {
    /// OffsetCommit, of this version.
    Plainly(i16),
    /// TxnOffsetCommit.
    InTransaction,
}

impl Coordinator {
    pub(crate) fn commit(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: &OffsetCommitRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let who = Committer {
            group_id: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            epoch: request.generation_id_or_member_epoch,
            how: How::Plainly(caller.version),
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
                    // The version of the record that holds an expiry holds neither an epoch nor a topic's id.
                    let expires = expire_ms >= 0;
                    let value = Committed {
                        offset: p.committed_offset,
                        leader_epoch: if expires { NO_LEADER_EPOCH } else { p.committed_leader_epoch },
                        metadata,
                        commit_ms: now,
                        expire_ms,
                        topic_id: id.filter(|_| !expires).unwrap_or_default(),
                        position: 0,
                    };
                    let entry = offset_entry(&request.group_id, &topic.name, p.partition_index, Some(&value));
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
        request: &TxnOffsetCommitRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let who = Committer {
            group_id: &request.group_id,
            member_id: &request.member_id,
            instance: request.group_instance_id.as_deref(),
            epoch: request.generation_id_or_member_epoch,
            how: How::InTransaction,
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
                        position: 0,
                    };
                    let entry = offset_entry(&request.group_id, &topic.name, p.partition_index, Some(&value));
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
        let outcome = batch.outcome_mut();
        if !outcome.append.is_empty() {
            outcome.producer = Some((request.producer_id, request.producer_epoch));
        }
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
                // What was committed for an earlier topic of the name is not there.
                for (name, partitions) in &mut wanted {
                    let id = topics.by_name(name).map(|t| t.id);
                    let there = |p: &i32| offsets.is_some_and(|o| o.get(&(name.clone(), *p), id).is_some());
                    partitions.retain(there);
                }
                wanted.retain(|(_, partitions)| !partitions.is_empty());
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
        } else if self.config.pin_new_partitions
            && id.is_some_and(|id| group.baseline.is_new(name, id, partition))
        {
            answer.committed_offset = LOG_START;
        }
        answer
    }

    pub(crate) fn delete_offsets(
        &mut self,
        topics: &dyn Topics,
        token: Token,
        request: &OffsetDeleteRequest,
    ) -> Outcome {
        let mut batch = Batch::new(self.shard_of(&request.group_id));
        let mut answer = OffsetDeleteResponse::default();
        let refused = match self.group(&request.group_id).map(|g| &g.kind) {
            None => ErrorCode::GroupIdNotFound,
            // What members of another type work on is not known here.
            Some(Kind::Classic(g)) if !g.members.is_empty() && g.protocol_type != CONSUMER => {
                ErrorCode::NonEmptyGroup
            }
            Some(_) => ErrorCode::None,
        };
        answer.error_code = refused.code();
        let Some(group) = self.group(&request.group_id).filter(|_| refused == ErrorCode::None) else {
            return batch.answer(token, Answer::DeleteOffsets(answer));
        };
        let in_use = InUse::of(group);
        let (mut places, mut names) = (Vec::new(), BTreeSet::new());
        for topic in &request.topics {
            let error =
                if in_use.has(&topic.name) { ErrorCode::GroupSubscribedToTopic } else { ErrorCode::None };
            if error == ErrorCode::None {
                names.insert(topic.name.clone());
            }
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for p in &topic.partitions {
                let place = (topic.name.clone(), p.partition_index);
                if error == ErrorCode::None && group.offsets.has(&place) {
                    places.push(place);
                }
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                });
            }
            let name = topic.name.clone();
            answer.topics.push(OffsetDeleteResponseTopic { name, partitions });
        }
        self.remove_offsets(&request.group_id, places, &names, topics, &mut batch);
        batch.answer(token, Answer::DeleteOffsets(answer))
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
        let in_transaction = who.how == How::InTransaction;
        if who.group_id.is_empty() && in_transaction {
            return Err(ErrorCode::InvalidGroupId);
        }
        let no_generation = who.epoch < 0;
        // A client that assigns by hand, or a tool, names no member.
        let by_hand = no_generation && who.member_id.is_empty() && who.instance.is_none();
        match self.group(who.group_id).map(|g| &g.kind) {
            None if no_generation => Ok(()),
            None if in_transaction || who.how < How::Plainly(KNOWS_MEMBER_EPOCHS) => {
                Err(ErrorCode::IllegalGeneration)
            }
            None => Err(ErrorCode::GroupIdNotFound),
            Some(Kind::Offsets) => {
                if no_generation {
                    Ok(())
                } else {
                    Err(ErrorCode::UnknownMemberId)
                }
            }
            Some(Kind::Classic(group)) if no_generation && group.members.is_empty() => Ok(()),
            Some(Kind::Consumer(group)) if no_generation && group.members.is_empty() => Ok(()),
            // KIP-447 is optional: a producer without group metadata is fenced by its epoch alone.
            Some(_) if by_hand && in_transaction => Ok(()),
            Some(_) if by_hand => Err(ErrorCode::UnknownMemberId),
            Some(Kind::Classic(group)) => {
                let completing = group.state == ClassicState::CompletingRebalance;
                self.check_member(who.group_id, who.member_id, who.instance, Some(who.epoch))?;
                if completing && !in_transaction {
                    return Err(ErrorCode::RebalanceInProgress);
                }
                // A commit is a sign of life too.
                if let Some(member) = self.classic_mut(who.group_id).members.get_mut(who.member_id) {
                    member.session_deadline = now + Millis::from(member.session_timeout_ms);
                }
                Ok(())
            }
            Some(Kind::Consumer(group)) => {
                let member = consumer_member(group, who.member_id)?;
                if !in_transaction && who.how < How::Plainly(KNOWS_MEMBER_EPOCHS) {
                    return Err(ErrorCode::UnsupportedVersion);
                }
                if who.epoch > member.epoch || no_generation { Err(stale(who)) } else { Ok(()) }
            }
        }
    }

    /// Whether a member may commit this partition; GR-2. With an epoch that is behind it may, if it has held the
    /// partition since (KIP-1251). Stricter than Kafka: with its own epoch too, unless the partition is another's by
    /// now. A member keeps its epoch while it gives up one partition after another, so the epoch alone does not tell
    /// a commit that comes late from one that comes in time.
    fn may_commit_partition(
        &self,
        who: &Committer<'_>,
        id: Option<Uuid>,
        partition: i32,
    ) -> Result<(), ErrorCode> {
        let Some(Kind::Consumer(group)) = self.group(who.group_id).map(|g| &g.kind) else { return Ok(()) };
        let Some(member) = group.members.get(who.member_id) else { return Ok(()) };
        let may = if who.epoch == member.epoch {
            let owner = id.and_then(|id| group.owner(id, partition));
            owner.is_none_or(|owner| owner == who.member_id)
        } else {
            let since = id.and_then(|id| member.holds_since(id, partition));
            since.is_some_and(|since| who.epoch >= since)
        };
        if may { Ok(()) } else { Err(stale(who)) }
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
    if who.how == How::InTransaction { ErrorCode::IllegalGeneration } else { ErrorCode::StaleMemberEpoch }
}
