//! Offsets that go: with time, with their topic, with their group. Sources: KIP-211 (what expires when), KIP-496.

use std::collections::BTreeSet;

use millstream_types::{ErrorCode, Millis, Uuid};

use crate::classic::{CONSUMER, ClassicState};
use crate::consumer::whole_match;
use crate::coordinator::{Coordinator, offset_entry};
use crate::message::{Answer, Outcome, Token, Topics};
use crate::record::Entry;
use crate::shard::{Batch, Group, Kind};

/// The topics that a group's members are subscribed to, as far as offsets are concerned.
pub(super) struct InUse {
    names: BTreeSet<String>,
    patterns: Vec<regex_lite::Regex>,
}

impl InUse {
    pub(super) fn of(group: &Group) -> InUse {
        let (mut names, mut patterns) = (BTreeSet::new(), Vec::new());
        match &group.kind {
            Kind::Offsets => {}
            Kind::Classic(group) => names = group.subscribed_names(),
            Kind::Consumer(group) => {
                for interest in group.interests() {
                    names.extend(interest.names.iter().cloned());
                    patterns.extend(interest.regex.as_ref().and_then(|r| whole_match(r)));
                }
            }
        }
        InUse { names, patterns }
    }

    pub(super) fn has(&self, topic: &str) -> bool {
        self.names.contains(topic) || self.patterns.iter().any(|p| p.is_match(topic))
    }
}

impl Coordinator {
    pub(crate) fn expire_offsets(&mut self, now: Millis, topics: &dyn Topics) -> Vec<Outcome> {
        let retention = self.config.offsets_retention_ms;
        let mut outcomes = Vec::new();
        for (shard, group_id) in self.group_ids() {
            let Some(group) = self.group(&group_id) else { continue };
            // Without members, an offset's time runs from when the last one left; with members, offsets of topics
            // that none of them wants go a while after they were committed.
            let (unused_since, is_empty) = match &group.kind {
                Kind::Offsets => (0, true),
                Kind::Classic(g) if g.members.is_empty() && g.pending.is_empty() => (g.state_ms, true),
                Kind::Classic(g) if g.state == ClassicState::Stable && g.protocol_type == CONSUMER => {
                    (0, false)
                }
                Kind::Classic(_) => continue,
                Kind::Consumer(g) => (g.assigned_ms, g.members.is_empty()),
            };
            let in_use = InUse::of(group);
            let due = group.offsets.expired(now, retention, unused_since, |topic| in_use.has(topic));
            let all = due.len() == group.offsets.committed.len() && group.offsets.pending.is_empty();
            let mut batch = Batch::new(shard);
            let names = due.iter().map(|(topic, _)| topic.clone()).collect();
            self.remove_offsets(&group_id, due, &names, topics, &mut batch);
            // A group that never committed is kept as long as its offsets would be, for its baseline.
            if is_empty && all && unused_since + retention <= now {
                self.forget(&group_id, &mut batch);
            }
            outcomes.extend(batch.finish());
        }
        outcomes
    }

    /// Takes offsets away, and with them what the group knew of their topics: see `Baseline::start_over`.
    pub(super) fn remove_offsets(
        &mut self,
        group_id: &str,
        places: Vec<(String, i32)>,
        names: &BTreeSet<String>,
        topics: &dyn Topics,
        batch: &mut Batch,
    ) {
        for (topic, partition) in places {
            self.emit(batch, offset_entry(group_id, &topic, partition, None));
        }
        let Some(group) = self.group(group_id) else { return };
        let mut baseline = group.baseline.clone();
        let mut changed = false;
        for name in names {
            changed |= baseline.start_over(name, topics);
        }
        if changed {
            self.emit(batch, Entry::Baseline(group_id.to_owned(), Some(baseline)));
        }
    }

    /// Drops what a group keeps of topics that were deleted; of a topic that is made again nothing is inherited.
    pub(crate) fn topics_deleted(&mut self, group_id: &str, gone: &BTreeSet<Uuid>, batch: &mut Batch) {
        let Some(group) = self.group(group_id) else { return };
        let pending = group.offsets.pending.values().flatten();
        let places: BTreeSet<(String, i32)> = group
            .offsets
            .committed
            .iter()
            .chain(pending)
            .filter(|(_, committed)| gone.contains(&committed.topic_id))
            .map(|(place, _)| place.clone())
            .collect();
        let mut baseline = group.baseline.clone();
        baseline.partitions.retain(|id, _| !gone.contains(id));
        if baseline != group.baseline {
            self.emit(batch, Entry::Baseline(group_id.to_owned(), Some(baseline)));
        }
        for (topic, partition) in places {
            self.emit(batch, offset_entry(group_id, &topic, partition, None));
        }
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
        // The tombstones also take away what open transactions are about to commit.
        let pending = group.offsets.pending.values().flat_map(|p| p.keys());
        let places: BTreeSet<_> = group.offsets.committed.keys().chain(pending).cloned().collect();
        for (topic, partition) in places {
            self.emit(&mut batch, offset_entry(group_id, &topic, partition, None));
        }
        self.forget(group_id, &mut batch);
        batch.answer(token, Answer::DeleteGroup(ErrorCode::None))
    }
}
