//! The coordinator's step: shards that are loaded and unloaded, groups of either protocol, requests handed to the
//! file that knows them, time-outs. Every change of what is stored goes through [`Coordinator::emit`], which writes
//! the record and applies it as a load would, so that memory and log tell one story.

use std::collections::BTreeMap;

use millstream_types::hash::coordinator_partition;
use millstream_types::{ErrorCode, Millis, ProducerId};
use millstream_wire::record::group::{GroupKey, GroupValue, OffsetCommitKey};

use crate::assignor::Assignment;
use crate::baseline::Baseline;
use crate::classic::ClassicGroup;
use crate::consumer::{ConsumerGroup, LEFT_FOR_NOW};
use crate::message::{Answer, Caller, Config, Input, LogEntry, LogRecord, Outcome, Request, Token, Topics};
use crate::offsets::{Committed, Offsets};
use crate::record::Entry;

/// What kind of members a group has.
#[derive(Clone, Debug, Default)]
pub(crate) enum Kind {
    /// None: offsets alone, of clients that assign partitions by hand.
    #[default]
    Offsets,
    /// Members of the classic protocol.
    Classic(Box<ClassicGroup>),
    /// Members of the consumer protocol.
    Consumer(Box<ConsumerGroup>),
}

/// A group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
    pub(crate) baseline: Baseline,
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    pub(crate) groups: BTreeMap<String, Group>,
}

/// Records and answers of one step, as they come about.
pub(crate) struct Batch {
    outcome: Outcome,
}

impl Batch {
    pub(crate) fn new(shard: i32) -> Batch {
        Batch { outcome: Outcome { shard, ..Outcome::default() } }
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        self.outcome.append.push(entry.encode());
    }

    pub(crate) fn reply(&mut self, token: Token, answer: Answer) {
        self.outcome.answers.push((token, answer));
    }

    pub(crate) fn answer(mut self, token: Token, answer: Answer) -> Outcome {
        self.reply(token, answer);
        self.outcome
    }

    pub(crate) fn finish(self) -> Option<Outcome> {
        (!self.outcome.append.is_empty() || !self.outcome.answers.is_empty()).then_some(self.outcome)
    }

    pub(crate) fn done(self) -> Outcome {
        self.outcome
    }

    pub(crate) fn outcome_mut(&mut self) -> &mut Outcome {
        &mut self.outcome
    }
}

/// The group coordinator of one broker.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(crate) config: Config,
    pub(crate) shards: BTreeMap<i32, Shard>,
    /// Records of loaded shards that could not be read (a type from a newer version, or damage inside a good batch).
    unread: u64,
}

impl Coordinator {
    /// A coordinator that leads no shard yet.
    pub fn new(config: Config) -> Coordinator {
        assert!(config.shards > 0, "a coordinator has at least one shard");
        Coordinator { config, shards: BTreeMap::new(), unread: 0 }
    }

    /// The shard (partition of `__consumer_offsets`) of a group.
    pub fn shard_of(&self, group_id: &str) -> i32 {
        coordinator_partition(group_id, self.config.shards)
    }

    /// Records of loaded shards that could not be read.
    pub fn unread_records(&self) -> u64 {
        self.unread
    }

    /// Takes an event; the outcomes are to be carried out in order.
    pub fn step(&mut self, now: Millis, topics: &dyn Topics, input: Input) -> Vec<Outcome> {
        match input {
            Input::Load { shard, epoch: _, entries } => {
                self.load(now, shard, entries);
                Vec::new()
            }
            Input::Unload { shard } => self.unload(shard),
            Input::Request { token, caller, request } => self.request(now, topics, token, &caller, request),
            Input::Marker { shard, producer_id, commit } => {
                if let Some(shard) = self.shards.get_mut(&shard) {
                    for group in shard.groups.values_mut() {
                        group.offsets.end_transaction(producer_id, commit);
                    }
                }
                Vec::new()
            }
            Input::TopicsChanged => self.topics_changed(now, topics),
            Input::Tick => self.tick(now, topics),
            Input::ExpireOffsets => self.expire_offsets(now),
        }
    }

    /// When [`Input::Tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.shards
            .values()
            .flat_map(|s| s.groups.values())
            .filter_map(|g| match &g.kind {
                Kind::Offsets => None,
                Kind::Classic(group) => group.next_deadline(),
                Kind::Consumer(group) => group.next_deadline(),
            })
            .min()
    }

    pub(crate) fn group(&self, group_id: &str) -> Option<&Group> {
        self.shards.get(&self.shard_of(group_id))?.groups.get(group_id)
    }

    /// The group, made where there is none.
    pub(crate) fn group_mut(&mut self, group_id: &str) -> &mut Group {
        let shard = self.shard_of(group_id);
        self.shards.entry(shard).or_default().groups.entry(group_id.to_owned()).or_default()
    }

    /// Stores a record and does what it says.
    pub(crate) fn emit(&mut self, batch: &mut Batch, entry: Entry) {
        batch.append(entry.clone());
        let shard = batch.outcome.shard;
        self.apply(shard, entry, None);
    }

    /// Stores a record as part of a producer's open transaction.
    pub(crate) fn emit_in_transaction(&mut self, batch: &mut Batch, entry: Entry, producer: ProducerId) {
        batch.append(entry.clone());
        let shard = batch.outcome.shard;
        self.apply(shard, entry, Some(producer));
    }

    /// Takes the group's subscription into its baseline.
    pub(crate) fn pin(&mut self, group_id: &str, topics: &dyn Topics, batch: &mut Batch) {
        if !self.config.pin_new_partitions {
            return;
        }
        let Some(group) = self.group(group_id) else { return };
        let mut baseline = group.baseline.clone();
        let changed = match &group.kind {
            Kind::Consumer(consumer) => consumer.members.values().fold(false, |changed, member| {
                let matched = ConsumerGroup::topics_of(&member.subscription, topics);
                let names = member.subscription.names.iter().map(String::as_str);
                baseline.subscribe(names.chain(matched.iter().map(|t| &*t.name)), topics) || changed
            }),
            Kind::Classic(classic) => {
                let names = classic.subscribed_names();
                baseline.subscribe(names.iter().map(String::as_str), topics)
            }
            Kind::Offsets => false,
        };
        if changed {
            self.emit(batch, Entry::Baseline(group_id.to_owned(), Some(baseline)));
        }
    }

    fn load(&mut self, now: Millis, shard: i32, entries: Vec<LogEntry>) {
        self.shards.insert(shard, Shard::default());
        for entry in entries {
            match entry {
                LogEntry::Record(LogRecord { key, value, producer_id }) => match Entry::decode(key, value) {
                    Ok(entry) => self.apply(shard, entry, producer_id),
                    Err(_) => self.unread += 1,
                },
                LogEntry::Marker { producer_id, commit } => {
                    if let Some(loaded) = self.shards.get_mut(&shard) {
                        for group in loaded.groups.values_mut() {
                            group.offsets.end_transaction(producer_id, commit);
                        }
                    }
                }
            }
        }
        // Members get a whole session to be heard of again: the time that the shard was away is not theirs.
        let session = Millis::from(self.config.consumer_session_timeout_ms);
        if let Some(loaded) = self.shards.get_mut(&shard) {
            for group in loaded.groups.values_mut() {
                match &mut group.kind {
                    Kind::Consumer(group) => {
                        for member in group.members.values_mut() {
                            member.session_deadline = now + session;
                            if member.state == crate::consumer::MemberState::UnrevokedPartitions {
                                let patience = member.subscription.rebalance_timeout_ms.max(0);
                                member.revoke_deadline = Some(now + Millis::from(patience));
                            }
                        }
                    }
                    Kind::Classic(group) => group.loaded(now),
                    Kind::Offsets => {}
                }
            }
        }
    }

    fn unload(&mut self, shard: i32) -> Vec<Outcome> {
        let mut batch = Batch::new(shard);
        if let Some(loaded) = self.shards.remove(&shard) {
            for group in loaded.groups.into_values() {
                if let Kind::Classic(mut group) = group.kind {
                    for token in group.take_waiting() {
                        batch.reply(token, Answer::Refused(ErrorCode::NotCoordinator));
                    }
                }
            }
        }
        batch.finish().into_iter().collect()
    }

    /// Does what a record says; the one way in which stored state changes.
    fn apply(&mut self, shard: i32, entry: Entry, producer: Option<i64>) {
        let groups = &mut self.shards.entry(shard).or_default().groups;
        let (key, value) = match entry {
            Entry::Baseline(group, baseline) => {
                groups.entry(group).or_default().baseline = baseline.unwrap_or_default();
                return;
            }
            Entry::Kafka(key, value) => (key, value),
        };
        match (key, value) {
            (GroupKey::OffsetCommit(OffsetCommitKey { group, topic, partition, .. }), value) => {
                let value = match &value {
                    Some(GroupValue::OffsetCommit(value)) => Some(Committed::from_value(value)),
                    _ => None,
                };
                groups.entry(group).or_default().offsets.apply((topic, partition), value, producer);
            }
            (GroupKey::GroupMetadata(key), Some(GroupValue::GroupMetadata(value))) => {
                let group = groups.entry(key.group).or_default();
                match &mut group.kind {
                    // A live group knows more than its record says.
                    Kind::Classic(classic) if !classic.members.is_empty() => classic.apply(&value),
                    kind => *kind = Kind::Classic(Box::new(ClassicGroup::from_value(&value))),
                }
            }
            (GroupKey::GroupMetadata(key), None) => {
                if let Some(group) = groups.get_mut(&key.group)
                    && matches!(group.kind, Kind::Classic(_))
                {
                    group.kind = Kind::Offsets;
                }
            }
            (GroupKey::ConsumerGroupMetadata(key), value) => match value {
                Some(GroupValue::ConsumerGroupMetadata(value)) => {
                    let group = consumer_of(groups, key.group_id);
                    group.epoch = value.epoch;
                    group.metadata_hash = value.metadata_hash;
                }
                _ => {
                    if let Some(group) = groups.get_mut(&key.group_id)
                        && matches!(group.kind, Kind::Consumer(_))
                    {
                        group.kind = Kind::Offsets;
                    }
                }
            },
            (GroupKey::ConsumerGroupMemberMetadata(key), value) => {
                let value = match &value {
                    Some(GroupValue::ConsumerGroupMemberMetadata(value)) => Some(value),
                    _ => None,
                };
                consumer_of(groups, key.group_id).apply_subscription(&key.member_id, value);
            }
            (GroupKey::ConsumerGroupTargetAssignmentMetadata(key), value) => {
                if let Some(GroupValue::ConsumerGroupTargetAssignmentMetadata(value)) = value {
                    consumer_of(groups, key.group_id).assignment_epoch = value.assignment_epoch;
                }
            }
            (GroupKey::ConsumerGroupTargetAssignmentMember(key), value) => {
                let group = consumer_of(groups, key.group_id);
                match value {
                    Some(GroupValue::ConsumerGroupTargetAssignmentMember(value)) => {
                        let target: Assignment = value
                            .topic_partitions
                            .iter()
                            .map(|t| (t.topic_id, t.partitions.iter().copied().collect()))
                            .collect();
                        group.targets.insert(key.member_id, target);
                    }
                    _ => {
                        group.targets.remove(&key.member_id);
                    }
                }
            }
            (GroupKey::ConsumerGroupCurrentMemberAssignment(key), value) => {
                let value = match &value {
                    Some(GroupValue::ConsumerGroupCurrentMemberAssignment(value)) => Some(value),
                    _ => None,
                };
                consumer_of(groups, key.group_id).apply_current(&key.member_id, value);
            }
            // Share and streams groups, and forms of old, are not this coordinator's; their records are left alone.
            _ => self.unread += 1,
        }
    }

    fn request(
        &mut self,
        now: Millis,
        topics: &dyn Topics,
        token: Token,
        caller: &Caller,
        request: Request,
    ) -> Vec<Outcome> {
        let group_id = group_of(&request);
        let shard = self.shard_of(group_id);
        if !self.shards.contains_key(&shard) {
            let batch = Batch::new(shard);
            return vec![batch.answer(token, Answer::Refused(ErrorCode::NotCoordinator))];
        }
        match request {
            Request::Join(request) => self.join(now, topics, token, caller, request),
            Request::Sync(request) => vec![self.sync(now, token, request)],
            Request::Heartbeat(request) => vec![self.heartbeat(now, token, &request)],
            Request::Leave(request) => vec![self.leave_group(now, token, &request)],
            Request::ConsumerHeartbeat(request) => {
                vec![self.consumer_heartbeat(now, topics, token, caller, request)]
            }
            Request::Commit(request) => vec![self.commit(now, topics, token, request)],
            Request::TxnCommit(request) => vec![self.txn_commit(now, topics, token, request)],
            Request::Fetch(request, stable) => vec![self.fetch(topics, token, &request, stable)],
            Request::DeleteOffsets(request) => vec![self.delete_offsets(token, &request)],
            Request::DeleteGroup(group) => vec![self.delete_group(token, &group)],
            Request::Describe(group) => vec![self.describe(token, &group)],
            Request::ConsumerDescribe(group) => vec![self.consumer_describe(topics, token, &group)],
        }
    }

    fn topics_changed(&mut self, now: Millis, topics: &dyn Topics) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (group_id, shard) in self.consumer_groups() {
            let mut batch = Batch::new(shard);
            self.pin(&group_id, topics, &mut batch);
            self.raise_epoch(&group_id, topics, false, &mut batch);
            self.assign_if_due(now, &group_id, topics, &mut batch);
            outcomes.extend(batch.finish());
        }
        outcomes
    }

    fn tick(&mut self, now: Millis, topics: &dyn Topics) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (group_id, shard) in self.consumer_groups() {
            let group = self.consumer(&group_id);
            let due: Vec<String> = group
                .members
                .iter()
                .filter(|(_, m)| m.session_deadline <= now || m.revoke_deadline.is_some_and(|d| d <= now))
                .map(|(id, _)| id.clone())
                .collect();
            if !due.is_empty() {
                let mut batch = Batch::new(shard);
                self.remove_members(now, &group_id, &due, topics, &mut batch);
                outcomes.extend(batch.finish());
            }
        }
        outcomes.extend(self.tick_classic(now));
        outcomes
    }

    fn consumer_groups(&self) -> Vec<(String, i32)> {
        let groups =
            self.shards.iter().flat_map(|(shard, s)| s.groups.iter().map(move |(id, g)| (*shard, id, g)));
        groups
            .filter(|(_, _, g)| matches!(g.kind, Kind::Consumer(_)))
            .map(|(s, id, _)| (id.clone(), s))
            .collect()
    }

    fn expire_offsets(&mut self, now: Millis) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let ids: Vec<(String, i32)> = self
            .shards
            .iter()
            .flat_map(|(s, shard)| shard.groups.keys().map(move |id| (id.clone(), *s)))
            .collect();
        for (group_id, shard) in ids {
            let Some(group) = self.group(&group_id) else { continue };
            // Offsets of a group with members never expire; of one without, from when the last member left.
            let empty_since = match &group.kind {
                Kind::Offsets => 0,
                Kind::Classic(g) if g.members.is_empty() => g.state_ms,
                Kind::Consumer(g) if g.members.values().all(|m| m.epoch == LEFT_FOR_NOW) => g.since_empty,
                _ => continue,
            };
            let due = group.offsets.expired(now, self.config.offsets_retention_ms, empty_since);
            let all = due.len() == group.offsets.committed.len() && group.offsets.pending.is_empty();
            let mut batch = Batch::new(shard);
            for (topic, partition) in due {
                self.emit(&mut batch, offset_entry(&group_id, topic, partition, None));
            }
            if all && empty_since + self.config.offsets_retention_ms < now {
                self.forget(&group_id, &mut batch);
            }
            outcomes.extend(batch.finish());
        }
        outcomes
    }

    /// Removes what is left of a group without offsets.
    pub(crate) fn forget(&mut self, group_id: &str, batch: &mut Batch) {
        let Some(group) = self.group(group_id) else { return };
        let has_baseline = !group.baseline.is_empty();
        match &group.kind {
            Kind::Classic(_) => self.emit(batch, crate::classic::group_entry(group_id, None)),
            Kind::Consumer(consumer) => {
                let ids: Vec<String> = consumer.members.keys().cloned().collect();
                for id in ids {
                    for entry in crate::consumer::heartbeat::member_tombstones(group_id, &id) {
                        self.emit(batch, entry);
                    }
                }
                for entry in crate::consumer::heartbeat::group_tombstones(group_id) {
                    self.emit(batch, entry);
                }
            }
            Kind::Offsets => {}
        }
        if has_baseline {
            self.emit(batch, Entry::Baseline(group_id.to_owned(), None));
        }
        let shard = self.shard_of(group_id);
        if let Some(loaded) = self.shards.get_mut(&shard) {
            loaded.groups.remove(group_id);
        }
    }
}

fn consumer_of(groups: &mut BTreeMap<String, Group>, id: String) -> &mut ConsumerGroup {
    let group = groups.entry(id).or_default();
    if !matches!(group.kind, Kind::Consumer(_)) {
        group.kind = Kind::Consumer(Box::default());
    }
    match &mut group.kind {
        Kind::Consumer(group) => group,
        _ => unreachable!("it was made one"),
    }
}

fn group_of(request: &Request) -> &str {
    match request {
        Request::Join(r) => &r.group_id,
        Request::Sync(r) => &r.group_id,
        Request::Heartbeat(r) => &r.group_id,
        Request::Leave(r) => &r.group_id,
        Request::ConsumerHeartbeat(r) => &r.group_id,
        Request::Commit(r) => &r.group_id,
        Request::TxnCommit(r) => &r.group_id,
        Request::Fetch(r, _) => &r.group_id,
        Request::DeleteOffsets(r) => &r.group_id,
        Request::DeleteGroup(id) | Request::Describe(id) | Request::ConsumerDescribe(id) => id,
    }
}

/// The record of a committed offset, or of its removal.
pub(crate) fn offset_entry(group: &str, topic: String, partition: i32, value: Option<&Committed>) -> Entry {
    let key = OffsetCommitKey { group: group.to_owned(), topic, partition };
    Entry::Kafka(key.into(), value.map(|v| v.to_value().into()))
}
