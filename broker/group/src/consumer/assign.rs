//! What follows from a change of members, subscriptions or topics: a higher epoch, new targets, members that move to
//! them, and members that are taken out. GR-1 is asserted here, where a member is given its partitions.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{Millis, Uuid};

use super::entries::{assigned_entry, current_entry, epoch_entry, member_tombstones, target_entry};
use super::reconcile::{reconcile, stands_still};
use super::{ConsumerGroup, Interest, MemberState};
use crate::assignor::{self, Assignment};
use crate::coordinator::Coordinator;
use crate::message::{Outcome, Topics};
use crate::shard::{Batch, Kind};

impl Coordinator {
    /// What time does to a group: sessions and revocations that ran out, targets that wait.
    pub(crate) fn tick_consumer(
        &mut self,
        now: Millis,
        group_id: &str,
        topics: &dyn Topics,
    ) -> Option<Outcome> {
        let mut batch = Batch::new(self.shard_of(group_id));
        let group = self.consumer_mut(group_id);
        let unchecked = std::mem::take(&mut group.unchecked);
        let due: Vec<String> = group
            .members
            .iter()
            .filter(|(_, m)| m.session_deadline <= now || m.revoke_deadline.is_some_and(|d| d <= now))
            .map(|(id, _)| id.clone())
            .collect();
        if unchecked {
            self.pin(group_id, topics, &mut batch);
            self.raise_epoch(group_id, topics, false, &mut batch);
        }
        if !due.is_empty() {
            self.remove_members(now, group_id, &due, topics, &mut batch);
        }
        self.assign_if_due(now, group_id, topics, &mut batch);
        if let Some(at) = self.consumer(group_id).next_deadline() {
            self.arm(group_id, at);
        }
        batch.finish()
    }

    /// Compares the group's topics with a new image.
    pub(crate) fn topics_changed_for(
        &mut self,
        now: Millis,
        group_id: &str,
        topics: &dyn Topics,
        batch: &mut Batch,
    ) {
        self.consumer_mut(group_id).unchecked = false;
        self.pin(group_id, topics, batch);
        self.raise_epoch(group_id, topics, false, batch);
        self.assign_if_due(now, group_id, topics, batch);
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
        let group = self.consumer(group_id);
        let hash = group.hash_of(topics);
        if changed || hash != group.metadata_hash {
            self.emit(batch, epoch_entry(group_id, group.epoch + 1, hash));
        }
    }

    /// Computes targets, if they are of an older epoch and their time has come; otherwise a tick does, and members
    /// beat soon again.
    pub(crate) fn assign_if_due(
        &mut self,
        now: Millis,
        group_id: &str,
        topics: &dyn Topics,
        batch: &mut Batch,
    ) {
        let group = self.consumer(group_id);
        let Some(due) = group.assignment_due() else { return };
        if now < due {
            self.arm(group_id, due);
            return;
        }
        let epoch = group.epoch;
        for (id, target) in changed_targets(group, topics) {
            self.emit(batch, target_entry(group_id, &id, Some(&target)));
        }
        self.emit(batch, assigned_entry(group_id, epoch, now));
    }

    /// Moves a member towards its target; `true` where what it may read changed.
    pub(crate) fn move_on(
        &mut self,
        now: Millis,
        group_id: &str,
        member_id: &str,
        owned: Option<&Assignment>,
        batch: &mut Batch,
    ) -> bool {
        let group = self.consumer(group_id);
        let member = &group.members[member_id];
        if stands_still(member, group.assignment_epoch, owned) {
            return false;
        }
        let none = Assignment::new();
        let target = group.targets.get(member_id).unwrap_or(&none);
        let mut next = reconcile(member, target, group.assignment_epoch, owned, |topic, partition| {
            group.owner(topic, partition).is_none_or(|owner| owner == member_id)
        });
        let moved = member.assigned != next.assigned;
        let same = !moved
            && (member.epoch, member.state) == (next.epoch, next.state)
            && member.revoking == next.revoking;
        if same {
            return false;
        }
        for (topic, partitions) in &next.assigned {
            for partition in partitions.keys() {
                let owner = group.owner(*topic, *partition);
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
        if let Some(at) = deadline {
            self.arm(group_id, at);
        }
        moved
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

/// The targets of the group's members and topics as they are now, where they differ from those that stand.
fn changed_targets(group: &ConsumerGroup, topics: &dyn Topics) -> Vec<(String, Assignment)> {
    let mut partitions: BTreeMap<Uuid, i32> = BTreeMap::new();
    let mut found: BTreeMap<&Interest, BTreeSet<Uuid>> = BTreeMap::new();
    for interest in group.interests() {
        let of = ConsumerGroup::topics_of(interest, topics);
        partitions.extend(of.iter().map(|t| (t.id, t.partitions)));
        found.insert(interest, of.into_iter().map(|t| t.id).collect());
    }
    let members: Vec<assignor::Member<'_>> = group
        .members
        .iter()
        .map(|(id, m)| assignor::Member {
            id,
            instance_id: m.subscription.instance_id.as_deref(),
            topics: found[&m.subscription.interest].clone(),
            current: group.targets.get(id).cloned().unwrap_or_default(),
        })
        .collect();
    let targets = assignor::assign(group.assignor(), &members, &partitions);
    let pairs = members.iter().zip(targets);
    pairs
        .filter(|(m, target)| group.targets.get(m.id) != Some(target))
        .map(|(m, t)| (m.id.to_owned(), t))
        .collect()
}
