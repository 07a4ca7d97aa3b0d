//! The groups of one partition of `__consumer_offsets`, and what each record of its log does to them: the one way in
//! which stored state changes, whether the record was just written or is read back. Never enters: requests, and when
//! anything is due (kept here as a plain index of times).
//!
//! A log that was compacted holds only the last record of each key, so records may come in an order in which they
//! were never written: a member's assignment before its subscription, a tombstone of what was never heard of.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{Millis, ProducerId};
use millstream_wire::record::group::{GroupKey, GroupValue, OffsetCommitKey};

use crate::assignor::Assignment;
use crate::baseline::Baseline;
use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;
use crate::message::{Answer, Outcome, Token};
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
    /// When it is looked at next: never after anything of it is due, sometimes before.
    wake: Option<Millis>,
}

impl Group {
    fn is_nothing(&self) -> bool {
        matches!(self.kind, Kind::Offsets) && self.offsets.is_empty() && self.baseline.is_empty()
    }
}

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    pub(crate) groups: BTreeMap<String, Group>,
    /// Groups in which a producer's open transaction has offsets.
    open: BTreeMap<ProducerId, BTreeSet<String>>,
    /// Groups by the time at which they are looked at next.
    timers: BTreeSet<(Millis, String)>,
    /// Records that were applied: orders a transaction's offsets among the others.
    position: u64,
}

impl Shard {
    /// Has the group looked at no later than `at`. A time that was set stands until it comes: a session that is
    /// renewed with every heartbeat moves nothing here, and the look finds that nothing is due.
    pub(crate) fn arm(&mut self, group_id: &str, at: Millis) {
        let Some(group) = self.groups.get_mut(group_id) else { return };
        match group.wake {
            Some(wake) if wake <= at => return,
            Some(wake) => {
                self.timers.remove(&(wake, group_id.to_owned()));
            }
            None => {}
        }
        group.wake = Some(at);
        self.timers.insert((at, group_id.to_owned()));
    }

    /// When the first group is to be looked at.
    pub(crate) fn next_wake(&self) -> Option<Millis> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Takes out the groups that are to be looked at now.
    pub(crate) fn take_due(&mut self, now: Millis) -> Vec<String> {
        let mut due = Vec::new();
        while let Some((_, group_id)) = self.timers.first().filter(|(at, _)| *at <= now).cloned() {
            self.timers.pop_first();
            if let Some(group) = self.groups.get_mut(&group_id) {
                group.wake = None;
                due.push(group_id);
            }
        }
        due
    }

    /// Forgets a group of which nothing is stored.
    pub(crate) fn prune(&mut self, group_id: &str) {
        if self.groups.get(group_id).is_some_and(Group::is_nothing) {
            self.remove(group_id);
        }
    }

    /// Forgets a group.
    pub(crate) fn remove(&mut self, group_id: &str) {
        if let Some(wake) = self.groups.remove(group_id).and_then(|g| g.wake) {
            self.timers.remove(&(wake, group_id.to_owned()));
        }
    }

    /// Ends a producer's transaction.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        for group_id in self.open.remove(&producer).unwrap_or_default() {
            if let Some(group) = self.groups.get_mut(&group_id) {
                group.offsets.end_transaction(producer, commit);
                self.prune(&group_id);
            }
        }
    }

    /// Does what a record says; `producer` is that of the open transaction which it is part of. `false` where the
    /// record is not of a kind that this coordinator keeps.
    pub(crate) fn apply(&mut self, entry: Entry, producer: Option<ProducerId>) -> bool {
        self.position += 1;
        let groups = &mut self.groups;
        let (key, value) = match entry {
            Entry::Baseline(group, Some(baseline)) => {
                groups.entry(group).or_default().baseline = baseline;
                return true;
            }
            Entry::Baseline(group, None) => {
                if let Some(known) = groups.get_mut(&group) {
                    known.baseline = Baseline::default();
                    self.prune(&group);
                }
                return true;
            }
            Entry::Kafka(key, value) => (key, value),
        };
        match (key, value) {
            (GroupKey::OffsetCommit(key), Some(GroupValue::OffsetCommit(value))) => {
                let OffsetCommitKey { group, topic, partition, .. } = key;
                let mut committed = Committed::from_value(&value);
                committed.position = self.position;
                let offsets = &mut groups.entry(group.clone()).or_default().offsets;
                match producer {
                    Some(producer) => {
                        offsets.pend(producer, (topic, partition), committed);
                        self.open.entry(producer).or_default().insert(group);
                    }
                    None => offsets.put((topic, partition), committed),
                }
            }
            (GroupKey::OffsetCommit(key), _) => {
                if let Some(group) = groups.get_mut(&key.group) {
                    group.offsets.remove(&(key.topic, key.partition));
                    self.prune(&key.group);
                }
            }
            (GroupKey::GroupMetadata(key), Some(GroupValue::GroupMetadata(value))) => {
                let group = groups.entry(key.group).or_default();
                group.kind = Kind::Classic(Box::new(ClassicGroup::from_value(&value)));
            }
            (GroupKey::GroupMetadata(key), _) => {
                if let Some(group) = groups.get_mut(&key.group)
                    && matches!(group.kind, Kind::Classic(_))
                {
                    group.kind = Kind::Offsets;
                    self.prune(&key.group);
                }
            }
            (GroupKey::ConsumerGroupMetadata(key), Some(GroupValue::ConsumerGroupMetadata(value))) => {
                let group = consumer_of(groups, key.group_id);
                group.epoch = value.epoch;
                group.metadata_hash = value.metadata_hash;
            }
            (GroupKey::ConsumerGroupMetadata(key), _) => {
                if let Some(group) = groups.get_mut(&key.group_id)
                    && matches!(group.kind, Kind::Consumer(_))
                {
                    group.kind = Kind::Offsets;
                    self.prune(&key.group_id);
                }
            }
            (GroupKey::ConsumerGroupMemberMetadata(key), value) => match value {
                Some(GroupValue::ConsumerGroupMemberMetadata(value)) => {
                    consumer_of(groups, key.group_id).subscribe(&key.member_id, (&value).into());
                }
                _ => {
                    if let Some(group) = known_consumer(groups, &key.group_id) {
                        group.remove(&key.member_id);
                    }
                }
            },
            (GroupKey::ConsumerGroupTargetAssignmentMetadata(key), value) => match value {
                Some(GroupValue::ConsumerGroupTargetAssignmentMetadata(value)) => {
                    let group = consumer_of(groups, key.group_id);
                    group.assignment_epoch = value.assignment_epoch;
                    group.assigned_ms = value.assignment_timestamp;
                }
                _ => {
                    if let Some(group) = known_consumer(groups, &key.group_id) {
                        group.assignment_epoch = 0;
                    }
                }
            },
            (GroupKey::ConsumerGroupTargetAssignmentMember(key), value) => match value {
                Some(GroupValue::ConsumerGroupTargetAssignmentMember(value)) => {
                    let target: Assignment = value
                        .topic_partitions
                        .iter()
                        .map(|t| (t.topic_id, t.partitions.iter().copied().collect()))
                        .collect();
                    consumer_of(groups, key.group_id).targets.insert(key.member_id, target);
                }
                _ => {
                    if let Some(group) = known_consumer(groups, &key.group_id) {
                        group.targets.remove(&key.member_id);
                    }
                }
            },
            (GroupKey::ConsumerGroupCurrentMemberAssignment(key), value) => match value {
                Some(GroupValue::ConsumerGroupCurrentMemberAssignment(value)) => {
                    consumer_of(groups, key.group_id).own(&key.member_id, &value);
                }
                _ => {
                    if let Some(group) = known_consumer(groups, &key.group_id) {
                        group.disown(&key.member_id);
                    }
                }
            },
            _ => return false,
        }
        true
    }
}

fn known_consumer<'a>(groups: &'a mut BTreeMap<String, Group>, id: &str) -> Option<&'a mut ConsumerGroup> {
    match groups.get_mut(id).map(|g| &mut g.kind) {
        Some(Kind::Consumer(group)) => Some(group),
        _ => None,
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

/// Records and answers of one step, as they come about.
pub(crate) struct Batch {
    outcome: Outcome,
}

impl Batch {
    pub(crate) fn new(shard: i32) -> Batch {
        Batch { outcome: Outcome { shard, ..Outcome::default() } }
    }

    pub(crate) fn shard(&self) -> i32 {
        self.outcome.shard
    }

    pub(crate) fn append(&mut self, entry: &Entry) {
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
