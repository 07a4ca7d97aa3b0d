//! A group of the consumer protocol (KIP-848): its members, their targets, and who owns which partition now. What a
//! heartbeat does to it is in `consumer/heartbeat.rs`, how a member comes to its target in `consumer/reconcile.rs`.
//!
//! A member's states, and what moves it:
//! ```text
//! Stable               -> UnrevokedPartitions  its target lacks partitions that it owns
//! Stable               -> UnreleasedPartitions its target has partitions that others still own
//! UnrevokedPartitions  -> Stable, UnreleasedPartitions (it says that it no longer owns them), or gone (time-out)
//! UnreleasedPartitions -> Stable, UnrevokedPartitions (partitions came free, or the target changed)
//! ```

pub mod heartbeat;
pub mod reconcile;

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{Millis, Uuid};
use millstream_wire::record::group::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    consumer_group_current_member_assignment_value,
};

use crate::assignor::Assignment;
use crate::message::{TopicView, Topics};

/// The epoch of a static member that left and is expected back.
pub const LEFT_FOR_NOW: i32 = -2;

/// Where a member stands on its way to its target; the numbers are those of its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberState {
    /// It has its target, or waits for nobody.
    #[default]
    Stable,
    /// It has to give partitions up, and has not said that it did.
    UnrevokedPartitions,
    /// It waits for partitions that others still own.
    UnreleasedPartitions,
}

impl MemberState {
    fn id(self) -> i8 {
        match self {
            MemberState::Stable => 0,
            MemberState::UnrevokedPartitions => 1,
            MemberState::UnreleasedPartitions => 2,
        }
    }

    fn from_id(id: i8) -> MemberState {
        match id {
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Stable,
        }
    }
}

/// What a member said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its rack.
    pub rack_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Topics it named.
    pub names: BTreeSet<String>,
    /// The pattern it gave.
    pub regex: Option<String>,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub assignor: Option<String>,
}

/// A member.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// What it said of itself.
    pub subscription: Subscription,
    /// The epoch that it has reached.
    pub epoch: i32,
    /// The one before; a heartbeat that was lost is known by it.
    pub previous_epoch: i32,
    /// Where it stands.
    pub state: MemberState,
    /// What it may read now, with the epoch in which it got each partition (KIP-1251).
    pub assigned: BTreeMap<Uuid, BTreeMap<i32, i32>>,
    /// What it has to give up.
    pub revoking: Assignment,
    /// When it is removed if nothing is heard of it; not stored.
    pub session_deadline: Millis,
    /// When it is removed if it has not given up what it must; not stored.
    pub revoke_deadline: Option<Millis>,
}

impl Member {
    /// What it may read now, by topic.
    pub fn assignment(&self) -> Assignment {
        self.assigned.iter().map(|(t, ps)| (*t, ps.keys().copied().collect())).collect()
    }
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct ConsumerGroup {
    /// Rises with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// Of the topics that the group is subscribed to; a change of it raises the epoch.
    pub metadata_hash: i64,
    /// The epoch that the targets were computed for.
    pub assignment_epoch: i32,
    /// Its members.
    pub members: BTreeMap<String, Member>,
    /// Who is to read what.
    pub targets: BTreeMap<String, Assignment>,
    /// Who owns what now, what is being revoked included.
    pub owners: BTreeMap<(Uuid, i32), String>,
    /// When targets were last computed; not stored.
    pub assigned_ms: Millis,
    /// When the last member left; not stored.
    pub since_empty: Millis,
    /// Static members whose place another took, with the new id; their records are still to be written.
    pub renamed: Vec<(String, String)>,
}

impl ConsumerGroup {
    /// Kafka's name of its state.
    pub fn state(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self
            .members
            .values()
            .any(|m| m.state != MemberState::Stable || (m.epoch >= 0 && m.epoch != self.assignment_epoch))
        {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    /// The member of a `group.instance.id`.
    pub fn by_instance(&self, instance_id: &str) -> Option<&str> {
        self.members
            .iter()
            .find(|(_, m)| m.subscription.instance_id.as_deref() == Some(instance_id))
            .map(|(id, _)| id.as_str())
    }

    /// The assignor that most members ask for.
    pub fn assignor(&self) -> &str {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(name) = &member.subscription.assignor {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, n)| *n).map_or(crate::assignor::DEFAULT, |(name, _)| name)
    }

    /// The topics that a member's subscription comes to now.
    pub fn topics_of(member: &Subscription, topics: &dyn Topics) -> Vec<TopicView> {
        let mut found: Vec<TopicView> = member.names.iter().filter_map(|name| topics.by_name(name)).collect();
        if let Some(pattern) = member.regex.as_ref().and_then(|p| whole_match(p)) {
            for topic in topics.all() {
                if !member.names.contains(&*topic.name) && pattern.is_match(&topic.name) {
                    found.push(topic);
                }
            }
        }
        found
    }

    /// A number that changes when the topics do which the group is subscribed to.
    pub fn hash_of(&self, topics: &dyn Topics) -> i64 {
        let mut known: BTreeMap<Uuid, i32> = BTreeMap::new();
        let mut seen: BTreeSet<(&BTreeSet<String>, &Option<String>)> = BTreeSet::new();
        for member in self.members.values() {
            if seen.insert((&member.subscription.names, &member.subscription.regex)) {
                known.extend(
                    Self::topics_of(&member.subscription, topics).into_iter().map(|t| (t.id, t.partitions)),
                );
            }
        }
        // FNV-1a: stored beside the epoch, so it has to be the same on every machine and in every version.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (id, partitions) in known {
            for byte in id.0.into_iter().chain(partitions.to_be_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash as i64
    }

    /// Puts a member's subscription in place.
    pub fn apply_subscription(&mut self, id: &str, value: Option<&ConsumerGroupMemberMetadataValue>) {
        let Some(value) = value else {
            self.members.remove(id);
            return;
        };
        self.members.entry(id.to_owned()).or_default().subscription = Subscription {
            instance_id: value.instance_id.clone(),
            rack_id: value.rack_id.clone(),
            client_id: value.client_id.clone(),
            client_host: value.client_host.clone(),
            names: value.subscribed_topic_names.iter().cloned().collect(),
            regex: value.subscribed_topic_regex.clone().filter(|r| !r.is_empty()),
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            assignor: value.server_assignor.clone(),
        };
    }

    /// Puts in place what a member owns, and with it who owns what.
    pub fn apply_current(&mut self, id: &str, value: Option<&ConsumerGroupCurrentMemberAssignmentValue>) {
        let Some(member) = self.members.get_mut(id) else { return };
        for (topic, partitions) in &member.assigned {
            for partition in partitions.keys() {
                release(&mut self.owners, *topic, *partition, id);
            }
        }
        for (topic, partitions) in &member.revoking {
            for partition in partitions {
                release(&mut self.owners, *topic, *partition, id);
            }
        }
        member.assigned.clear();
        member.revoking.clear();
        let Some(value) = value else {
            member.epoch = 0;
            return;
        };
        member.previous_epoch = value.previous_member_epoch;
        member.epoch = value.member_epoch;
        member.state = MemberState::from_id(value.state);
        for topic in &value.assigned_partitions {
            let epochs = topic.assignment_epochs.as_deref().unwrap_or_default();
            let partitions = topic.partitions.iter().enumerate();
            let with_epochs =
                partitions.map(|(i, p)| (*p, epochs.get(i).copied().unwrap_or(value.member_epoch))).collect();
            member.assigned.insert(topic.topic_id, with_epochs);
            for partition in &topic.partitions {
                self.owners.insert((topic.topic_id, *partition), id.to_owned());
            }
        }
        for topic in &value.partitions_pending_revocation {
            member.revoking.insert(topic.topic_id, topic.partitions.iter().copied().collect());
            for partition in &topic.partitions {
                self.owners.insert((topic.topic_id, *partition), id.to_owned());
            }
        }
    }

    /// The earliest time at which a member is due to be removed.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.members
            .values()
            .filter(|m| m.epoch != LEFT_FOR_NOW || m.session_deadline > 0)
            .flat_map(|m| [Some(m.session_deadline), m.revoke_deadline])
            .flatten()
            .min()
    }
}

fn release(owners: &mut BTreeMap<(Uuid, i32), String>, topic: Uuid, partition: i32, id: &str) {
    if owners.get(&(topic, partition)).is_some_and(|owner| owner == id) {
        owners.remove(&(topic, partition));
    }
}

/// A subscription's pattern, which has to match a whole name (KIP-848); `None` where it is not one.
pub fn whole_match(pattern: &str) -> Option<regex_lite::Regex> {
    regex_lite::Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// A member's record of what it owns.
pub fn current_value(member: &Member) -> ConsumerGroupCurrentMemberAssignmentValue {
    use consumer_group_current_member_assignment_value::TopicPartitions;
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: member.epoch,
        previous_member_epoch: member.previous_epoch,
        state: member.state.id(),
        assigned_partitions: member
            .assigned
            .iter()
            .map(|(topic, partitions)| TopicPartitions {
                topic_id: *topic,
                partitions: partitions.keys().copied().collect(),
                assignment_epochs: Some(partitions.values().copied().collect()),
                ..Default::default()
            })
            .collect(),
        partitions_pending_revocation: member
            .revoking
            .iter()
            .map(|(topic, partitions)| TopicPartitions {
                topic_id: *topic,
                partitions: partitions.iter().copied().collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}
