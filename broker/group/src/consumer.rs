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

pub(crate) mod assign;
pub(crate) mod entries;
pub(crate) mod heartbeat;
pub mod reconcile;

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::{Millis, Uuid};
use millstream_wire::record::group::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
    consumer_group_current_member_assignment_value::TopicPartitions,
};

use crate::assignor::Assignment;
use crate::message::{TopicView, Topics};

/// Partitions by topic, each with the epoch in which its member got it (KIP-1251).
pub type Held = BTreeMap<Uuid, BTreeMap<i32, i32>>;

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

/// The topics that a member wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interest {
    /// Topics it named.
    pub names: BTreeSet<String>,
    /// The pattern it gave.
    pub regex: Option<String>,
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
    /// Topics it wants.
    pub interest: Interest,
    /// How long it may take to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub assignor: Option<String>,
}

impl From<&ConsumerGroupMemberMetadataValue> for Subscription {
    fn from(value: &ConsumerGroupMemberMetadataValue) -> Subscription {
        Subscription {
            instance_id: value.instance_id.clone(),
            rack_id: value.rack_id.clone(),
            client_id: value.client_id.clone(),
            client_host: value.client_host.clone(),
            interest: Interest {
                names: value.subscribed_topic_names.iter().cloned().collect(),
                regex: value.subscribed_topic_regex.clone().filter(|r| !r.is_empty()),
            },
            rebalance_timeout_ms: value.rebalance_timeout_ms,
            assignor: value.server_assignor.clone(),
        }
    }
}

/// A member.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// What it said of itself.
    pub subscription: Subscription,
    /// The epoch that it has reached.
    pub epoch: i32,
    /// The one before; a heartbeat whose answer was lost is known by it.
    pub previous_epoch: i32,
    /// Where it stands.
    pub state: MemberState,
    /// What it may read now.
    pub assigned: Held,
    /// What it has to give up.
    pub revoking: Held,
    /// The newest epoch that it named itself: what names an older one is a heartbeat that was overtaken. Not stored.
    pub heard_epoch: i32,
    /// When it is removed if nothing is heard of it; not stored.
    pub session_deadline: Millis,
    /// When it is removed if it has not given up what it must; not stored.
    pub revoke_deadline: Option<Millis>,
}

impl Member {
    /// Since which epoch it holds a partition, one that it is giving up included.
    pub fn holds_since(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let find = |held: &Held| held.get(&topic)?.get(&partition).copied();
        find(&self.assigned).or_else(|| find(&self.revoking))
    }

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
    /// When targets were last computed; where the group is empty, when its last member left.
    pub assigned_ms: Millis,
    /// Who is to read what.
    pub targets: BTreeMap<String, Assignment>,
    /// Its members.
    pub(crate) members: BTreeMap<String, Member>,
    /// Whether its topics are still to be compared with the image, after a load; not stored.
    pub(crate) unchecked: bool,
    /// Who owns what now, what is being revoked included. This and what follows is drawn from the members.
    owners: BTreeMap<(Uuid, i32), String>,
    instances: BTreeMap<String, String>,
    interests: BTreeMap<Interest, usize>,
    revoking: usize,
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
        self.instances.get(instance_id).map(String::as_str)
    }

    /// Who owns a partition, one that is being revoked included.
    pub fn owner(&self, topic: Uuid, partition: i32) -> Option<&str> {
        self.owners.get(&(topic, partition)).map(String::as_str)
    }

    /// What its members want, each interest once.
    pub fn interests(&self) -> impl Iterator<Item = &Interest> {
        self.interests.keys()
    }

    /// Whether any member has to give partitions up.
    pub fn is_revoking(&self) -> bool {
        self.revoking > 0
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

    /// The topics that an interest comes to now.
    pub fn topics_of(interest: &Interest, topics: &dyn Topics) -> Vec<TopicView> {
        let mut found: Vec<TopicView> =
            interest.names.iter().filter_map(|name| topics.by_name(name)).collect();
        if let Some(pattern) = interest.regex.as_ref().and_then(|p| whole_match(p)) {
            for topic in topics.all() {
                if !interest.names.contains(&*topic.name) && pattern.is_match(&topic.name) {
                    found.push(topic);
                }
            }
        }
        found
    }

    /// A number that changes when the topics do which the group is subscribed to.
    pub fn hash_of(&self, topics: &dyn Topics) -> i64 {
        let found = self.interests().flat_map(|interest| Self::topics_of(interest, topics));
        let known: BTreeMap<Uuid, i32> = found.map(|t| (t.id, t.partitions)).collect();
        // FNV-1a: stored beside the epoch, so it has to be the same on every machine and in every version.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (id, partitions) in known {
            for byte in id.0.into_iter().chain(partitions.to_be_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash as i64
    }

    /// Puts a member's subscription in place; the member too, where it is new.
    pub fn subscribe(&mut self, id: &str, subscription: Subscription) {
        self.unsubscribe(id);
        *self.interests.entry(subscription.interest.clone()).or_default() += 1;
        if let Some(instance) = &subscription.instance_id {
            self.instances.insert(instance.clone(), id.to_owned());
        }
        self.members.entry(id.to_owned()).or_default().subscription = subscription;
    }

    /// Takes what the group draws from a member's subscription back.
    fn unsubscribe(&mut self, id: &str) {
        let Some(member) = self.members.get(id) else { return };
        let subscription = &member.subscription;
        if let Some(count) = self.interests.get_mut(&subscription.interest) {
            *count -= 1;
            if *count == 0 {
                self.interests.remove(&subscription.interest);
            }
        }
        if let Some(instance) = &subscription.instance_id
            && self.instances.get(instance).is_some_and(|holder| holder == id)
        {
            self.instances.remove(instance);
        }
    }

    /// Takes a member out, with what it owns.
    pub fn remove(&mut self, id: &str) {
        self.disown(id);
        self.unsubscribe(id);
        self.members.remove(id);
        self.targets.remove(id);
    }

    /// A member owns nothing, and has reached no epoch.
    pub fn disown(&mut self, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        for (topic, partitions) in member.assigned.iter().chain(&member.revoking) {
            for partition in partitions.keys() {
                let place = (*topic, *partition);
                if self.owners.get(&place).is_some_and(|owner| owner == id) {
                    self.owners.remove(&place);
                }
            }
        }
        self.revoking -= usize::from(member.state == MemberState::UnrevokedPartitions);
        member.assigned.clear();
        member.revoking.clear();
        member.state = MemberState::Stable;
        member.epoch = 0;
        member.previous_epoch = 0;
    }

    /// Puts in place what a member owns, and with it who owns what.
    pub fn own(&mut self, id: &str, value: &ConsumerGroupCurrentMemberAssignmentValue) {
        if !self.members.contains_key(id) {
            // In a compacted log the member's subscription may come later.
            self.subscribe(id, Subscription::default());
        }
        self.disown(id);
        let Some(member) = self.members.get_mut(id) else { return };
        member.previous_epoch = value.previous_member_epoch;
        member.epoch = value.member_epoch;
        member.state = MemberState::from_id(value.state);
        member.assigned = held(&value.assigned_partitions, value.member_epoch);
        member.revoking = held(&value.partitions_pending_revocation, value.member_epoch);
        self.revoking += usize::from(member.state == MemberState::UnrevokedPartitions);
        for (topic, partitions) in member.assigned.iter().chain(&member.revoking) {
            for partition in partitions.keys() {
                self.owners.insert((*topic, *partition), id.to_owned());
            }
        }
    }

    /// After a load: sessions and revocations begin anew, and the topics may have changed in between.
    pub(crate) fn loaded(&mut self, now: Millis, session_ms: Millis) {
        self.unchecked = true;
        // Another broker's clock may have been ahead.
        self.assigned_ms = self.assigned_ms.min(now);
        for member in self.members.values_mut() {
            member.session_deadline = now + session_ms;
            if member.state == MemberState::UnrevokedPartitions {
                let patience = member.subscription.rebalance_timeout_ms.max(0);
                member.revoke_deadline = Some(now + Millis::from(patience));
            }
        }
    }

    /// How long after a computation of targets the next one waits, in milliseconds: in a large group members come in
    /// crowds, and a computation for each would be work for nothing.
    pub fn assignment_interval_ms(&self) -> Millis {
        let members = self.members.len() as Millis;
        if members > 50 { members.min(1_000) } else { 0 }
    }

    /// When targets are to be computed, if they are of an older epoch.
    pub fn assignment_due(&self) -> Option<Millis> {
        (self.epoch > self.assignment_epoch).then(|| self.assigned_ms + self.assignment_interval_ms())
    }

    /// The earliest time at which a member is due to be removed, or targets to be computed.
    pub fn next_deadline(&self) -> Option<Millis> {
        let members = self.members.values().flat_map(|m| [Some(m.session_deadline), m.revoke_deadline]);
        let check = self.unchecked.then_some(0);
        members.chain([self.assignment_due(), check]).flatten().min()
    }
}

fn held(partitions: &[TopicPartitions], epoch: i32) -> Held {
    let topic = |t: &TopicPartitions| {
        let epochs = t.assignment_epochs.as_deref().unwrap_or_default();
        let since = |i: usize| epochs.get(i).copied().unwrap_or(epoch);
        t.partitions.iter().enumerate().map(|(i, p)| (*p, since(i))).collect()
    };
    partitions.iter().map(|t| (t.topic_id, topic(t))).collect()
}

fn held_value(held: &Held) -> Vec<TopicPartitions> {
    held.iter()
        .map(|(topic, partitions)| TopicPartitions {
            topic_id: *topic,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: Some(partitions.values().copied().collect()),
            ..Default::default()
        })
        .collect()
}

/// A subscription's pattern, which has to match a whole name (KIP-848); `None` where it is not one.
pub fn whole_match(pattern: &str) -> Option<regex_lite::Regex> {
    regex_lite::Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// A member's record of what it owns.
pub fn current_value(member: &Member) -> ConsumerGroupCurrentMemberAssignmentValue {
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: member.epoch,
        previous_member_epoch: member.previous_epoch,
        state: member.state.id(),
        assigned_partitions: held_value(&member.assigned),
        partitions_pending_revocation: held_value(&member.revoking),
        ..Default::default()
    }
}
