//! The clients that read: members of a group of the consumer protocol and of a classic group, who commit offsets and
//! look them up. Keeps the model of who owns what (GR-1), and sends what must be refused (GR-2). Never enters: how
//! partitions are assigned.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_group::message::RequireStable;
use millstream_group::{Answer, LOG_START, Request};
use millstream_types::{ErrorCode, Millis, Rng};
use millstream_wire::message::consumer_group_heartbeat_request::TopicPartitions;
use millstream_wire::message::join_group_request::JoinGroupRequestProtocol;
use millstream_wire::message::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_wire::message::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use millstream_wire::message::sync_group_request::SyncGroupRequestAssignment;
use millstream_wire::message::{
    ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, SyncGroupRequest,
};

use crate::node::Place;
use crate::oracle::OffsetKey;
use crate::world::{Op, World};

const CONSUMER_GROUP: &str = "consumers";
const CLASSIC_GROUP: &str = "classics";
const SESSION_MS: Millis = 10_000;

/// A member of the consumer protocol.
#[derive(Clone, Debug, Default)]
pub struct Member {
    id: String,
    epoch: i32,
    owned: BTreeSet<Place>,
    heard: Millis,
    /// When it must not believe any more that it owns anything.
    believes_until: Millis,
    op: Option<u64>,
}

/// A member of the classic protocol.
#[derive(Clone, Debug, Default)]
pub struct Classic {
    id: String,
    generation: i32,
    stable: bool,
    owned: BTreeSet<i32>,
    op: Option<u64>,
    /// Who to assign to, where it leads.
    to_assign: Option<Vec<String>>,
    joined: bool,
    heard: Millis,
}

/// What each classic generation was given: partition to member.
pub type Generations = BTreeMap<i32, BTreeMap<i32, String>>;

impl World {
    /// Members' requests were lost with the node.
    pub fn members_lost(&mut self) {
        self.members.iter_mut().for_each(|m| m.op = None);
        for classic in &mut self.classics {
            classic.op = None;
            // Its join may be half done: it asks again.
            classic.stable = false;
            classic.joined = false;
        }
    }

    /// A member of the consumer protocol heartbeats, commits or looks.
    pub fn member_acts(&mut self, who: usize) {
        if self.members[who].op.is_some() {
            return;
        }
        let now = self.time;
        let member = self.members[who].clone();
        let choice = self.rng.below(10);
        if choice < 3 && member.epoch > 0 && !member.owned.is_empty() && now < member.believes_until {
            let at = self.rng.below(member.owned.len() as u64) as usize;
            let Some(place) = member.owned.iter().nth(at).copied() else { return };
            let Some(topic) = self.topic_name(place.0) else { return };
            let key = (CONSUMER_GROUP.to_owned(), topic, place.1);
            if let Some(op) = self.commit(key, member.id, member.epoch, false) {
                self.members[who].op = Some(op);
            }
            return;
        }
        if choice == 3 && member.epoch > 0 && self.rng.chance(1, 6) {
            // It leaves.
            let request = ConsumerGroupHeartbeatRequest {
                group_id: CONSUMER_GROUP.to_owned(),
                member_id: member.id.clone(),
                member_epoch: -1,
                ..Default::default()
            };
            let op = self.begin(Op::Left(member.id));
            self.members[who] = Member::default();
            self.group_request(op, 1, Request::ConsumerHeartbeat(request));
            return;
        }
        if now < member.heard + 500 {
            return;
        }
        let mut topics: BTreeMap<_, Vec<i32>> = BTreeMap::new();
        for place in &member.owned {
            topics.entry(place.0).or_default().push(place.1);
        }
        let owned = topics.into_iter().map(|(topic_id, partitions)| TopicPartitions {
            topic_id,
            partitions,
            ..Default::default()
        });
        let mut id = member.id;
        if id.is_empty() {
            id = format!("member-{}", self.unique());
            self.members[who].id.clone_from(&id);
        }
        let request = ConsumerGroupHeartbeatRequest {
            group_id: CONSUMER_GROUP.to_owned(),
            member_id: id,
            member_epoch: member.epoch,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["t0".to_owned(), "t1".to_owned()]),
            topic_partitions: Some(owned.collect()),
            ..Default::default()
        };
        let op = self.begin(Op::Heartbeat(who, now));
        self.members[who].op = Some(op);
        self.members[who].heard = now;
        self.group_request(op, 1, Request::ConsumerHeartbeat(request));
    }

    fn heartbeat_answered(&mut self, who: usize, sent: Millis, answer: &Answer) -> Result<(), String> {
        self.members[who].op = None;
        let now = self.time;
        let Answer::ConsumerHeartbeat(response) = answer else { return Ok(()) };
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
                self.mark("a member was fenced");
                self.members[who] = Member::default();
                return Ok(());
            }
            _ => return Ok(()),
        }
        if self.members[who].believes_until < now {
            // Its session passed while it did not hear: it owns nothing until it is told anew.
            self.members[who].owned.clear();
        }
        self.members[who].epoch = response.member_epoch;
        self.members[who].believes_until = sent + SESSION_MS;
        let Some(assignment) = &response.assignment else { return Ok(()) };
        let given: BTreeSet<Place> = assignment
            .topic_partitions
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.topic_id, *p)))
            .collect();
        for (other, member) in self.members.iter().enumerate() {
            if other == who || member.believes_until < now || member.epoch <= 0 {
                continue;
            }
            if let Some(both) = member.owned.intersection(&given).next() {
                return Err(format!(
                    "GR-1: {both:?} is given to {who} and still of {other}: {:?}",
                    self.members
                ));
            }
        }
        if given != self.members[who].owned && !self.members[who].owned.is_empty() {
            self.mark("an assignment changed");
        }
        self.members[who].owned = given;
        self.mark("a member was assigned partitions");
        Ok(())
    }

    fn commit(&mut self, key: OffsetKey, member_id: String, epoch: i32, must_fail: bool) -> Option<u64> {
        let value = self.unique() as i64;
        let request = OffsetCommitRequest {
            group_id: key.0.clone(),
            generation_id_or_member_epoch: epoch,
            member_id,
            topics: vec![OffsetCommitRequestTopic {
                name: key.1.clone(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: key.2,
                    committed_offset: value,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        self.topic_id(&key.1)?;
        if !must_fail {
            self.oracle.offset_sent(&key, value);
        }
        let op = self.begin(Op::Commit(key, value, must_fail));
        self.group_request(op, 9, Request::Commit(request));
        Some(op)
    }

    /// Someone looks an offset up.
    pub fn look_up(&mut self, key: OffsetKey) {
        let request = OffsetFetchRequestGroup {
            group_id: key.0.clone(),
            member_epoch: -1,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: key.1.clone(),
                partition_indexes: vec![key.2],
                ..Default::default()
            }]),
            ..Default::default()
        };
        let op = self.begin(Op::Fetch(key));
        self.group_request(op, 9, Request::Fetch(request, RequireStable::Yes));
    }

    /// A member of the classic group does its next thing.
    pub fn classic_acts(&mut self, who: usize) {
        if self.classics[who].op.is_some() {
            return;
        }
        let now = self.time;
        let classic = self.classics[who].clone();
        if !classic.joined {
            let request = JoinGroupRequest {
                group_id: CLASSIC_GROUP.to_owned(),
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 5_000,
                member_id: classic.id,
                protocol_type: "consumer".to_owned(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "range".to_owned(),
                    metadata: Bytes::new(),
                    ..Default::default()
                }],
                ..Default::default()
            };
            let op = self.begin(Op::Join(who));
            self.classics[who].op = Some(op);
            self.group_request(op, 9, Request::Join(request));
            return;
        }
        if !classic.stable {
            let mut assignments = Vec::new();
            if let Some(members) = &classic.to_assign {
                for (i, member_id) in members.iter().enumerate() {
                    let own: Vec<u8> = (0..4u8).filter(|p| usize::from(*p) % members.len() == i).collect();
                    let assignment = Bytes::from(own);
                    let member_id = member_id.clone();
                    assignments.push(SyncGroupRequestAssignment {
                        member_id,
                        assignment,
                        ..Default::default()
                    });
                }
            }
            let request = SyncGroupRequest {
                group_id: CLASSIC_GROUP.to_owned(),
                generation_id: classic.generation,
                member_id: classic.id,
                protocol_type: Some("consumer".to_owned()),
                protocol_name: Some("range".to_owned()),
                assignments,
                ..Default::default()
            };
            let op = self.begin(Op::Sync(who, classic.generation));
            self.classics[who].op = Some(op);
            self.group_request(op, 5, Request::Sync(request));
            return;
        }
        if self.rng.chance(1, 3) {
            let at = self.rng.below(4) as i32;
            let key = (CLASSIC_GROUP.to_owned(), "t0".to_owned(), at);
            let newest = self.generations.last_key_value().map_or(0, |(g, _)| *g);
            let partitions = self.partition_count("t0");
            if at >= partitions || !classic.owned.contains(&at) {
                return;
            }
            let old = classic.generation < newest;
            if old {
                self.mark("a commit of an old generation was tried");
            }
            if let Some(op) = self.commit(key, classic.id, classic.generation, old) {
                self.classics[who].op = Some(op);
            }
            return;
        }
        if now < classic.heard + 1_000 {
            return;
        }
        let request = HeartbeatRequest {
            group_id: CLASSIC_GROUP.to_owned(),
            generation_id: classic.generation,
            member_id: classic.id,
            ..Default::default()
        };
        let op = self.begin(Op::ClassicHeartbeat(who));
        self.classics[who].op = Some(op);
        self.classics[who].heard = now;
        self.group_request(op, 4, Request::Heartbeat(request));
    }

    fn classic_refused(&mut self, who: usize, error: ErrorCode) {
        let classic = &mut self.classics[who];
        match error {
            ErrorCode::None => {}
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => *classic = Classic::default(),
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => {
                (classic.joined, classic.stable) = (false, false);
            }
            _ => {}
        }
    }

    fn joined(&mut self, who: usize, answer: &Answer) {
        self.classics[who].op = None;
        let Answer::Join(response) = answer else { return };
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.classics[who].id.clone_from(&response.member_id);
                return;
            }
            Some(error) => return self.classic_refused(who, error),
            None => return,
        }
        let leads = response.leader == response.member_id && !response.members.is_empty();
        self.mark("a classic generation began");
        let members = response.members.iter().map(|m| m.member_id.clone()).collect();
        let classic = &mut self.classics[who];
        classic.id.clone_from(&response.member_id);
        classic.generation = response.generation_id;
        classic.joined = true;
        classic.stable = false;
        classic.to_assign = leads.then_some(members);
    }

    fn synced(&mut self, who: usize, generation: i32, answer: &Answer) -> Result<(), String> {
        self.classics[who].op = None;
        let Answer::Sync(response) = answer else { return Ok(()) };
        if response.error_code != 0 {
            let error = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
            self.classic_refused(who, error);
            return Ok(());
        }
        self.classics[who].stable = true;
        self.classics[who].owned = response.assignment.iter().map(|p| i32::from(*p)).collect();
        let id = self.classics[who].id.clone();
        let given = self.generations.entry(generation).or_default();
        for partition in &self.classics[who].owned {
            let owner = given.entry(*partition).or_insert_with(|| id.clone());
            if *owner != id {
                return Err(format!("GR-1: generation {generation} gives {partition} to {owner} and {id}"));
            }
        }
        Ok(())
    }

    /// The group coordinator answered.
    pub fn group_answered(&mut self, op: u64, asked: Op, answer: Answer) -> Result<(), String> {
        match asked {
            Op::Heartbeat(who, sent) => self.heartbeat_answered(who, sent, &answer),
            Op::Join(who) => {
                self.joined(who, &answer);
                Ok(())
            }
            Op::Sync(who, generation) => self.synced(who, generation, &answer),
            Op::ClassicHeartbeat(who) => {
                self.classics[who].op = None;
                if let Answer::Heartbeat(response) = &answer {
                    let error = ErrorCode::from_code(response.error_code);
                    self.classic_refused(who, error.unwrap_or(ErrorCode::UnknownServerError));
                }
                Ok(())
            }
            Op::Commit(key, value, must_fail) => {
                self.members.iter_mut().filter(|m| m.op == Some(op)).for_each(|m| m.op = None);
                self.classics.iter_mut().filter(|m| m.op == Some(op)).for_each(|m| m.op = None);
                let error = match &answer {
                    Answer::Commit(r) => r.topics[0].partitions[0].error_code,
                    Answer::Refused(error) => error.code(),
                    other => return Err(format!("a commit was answered {other:?}")),
                };
                match ErrorCode::from_code(error) {
                    Some(ErrorCode::None) if must_fail => {
                        Err(format!("GR-2: an old generation's commit of {value} for {key:?} was taken"))
                    }
                    Some(ErrorCode::None) => {
                        self.oracle.offset_acked(&key, value);
                        self.mark("an offset was committed");
                        Ok(())
                    }
                    // It may be in the log and uncommitted, or lost.
                    Some(ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator) => Ok(()),
                    _ => {
                        self.oracle.offset_void(&key, value);
                        self.mark("a commit was refused");
                        Ok(())
                    }
                }
            }
            Op::Fetch(key) => {
                let Answer::Fetch(r) = &answer else { return Ok(()) };
                let Some(row) = r.topics.first().and_then(|t| t.partitions.first()) else { return Ok(()) };
                if r.error_code != 0 || row.error_code != 0 {
                    if ErrorCode::from_code(row.error_code) == Some(ErrorCode::UnstableOffsetCommit) {
                        self.mark("an offset was not stable");
                    }
                    return Ok(());
                }
                let value = (row.committed_offset >= 0).then_some(row.committed_offset);
                if row.committed_offset == LOG_START {
                    self.mark("a new partition was pinned");
                }
                self.oracle.offset_fetched(&key, value)
            }
            Op::TxnOffset(who, key, value) => {
                let error = match &answer {
                    Answer::TxnCommit(r) => ErrorCode::from_code(r.topics[0].partitions[0].error_code),
                    Answer::Refused(error) => Some(*error),
                    other => return Err(format!("a transactional commit was answered {other:?}")),
                };
                let error = error.unwrap_or(ErrorCode::UnknownServerError);
                self.txn_offset_answered(who, key, value, error);
                Ok(())
            }
            Op::Left(_) => Ok(()),
            other => Err(format!("{other:?} was answered by the group coordinator")),
        }
    }
}
