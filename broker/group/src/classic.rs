//! A group of the classic protocol: members join, a leader assigns, all sync. What requests do to it is in
//! `classic/join.rs` and `classic/sync.rs`.
//!
//! States, and what moves them:
//! ```text
//! Empty               -> PreparingRebalance   a member joins
//! PreparingRebalance  -> CompletingRebalance  every member joined, or the rebalance time-out passed
//! PreparingRebalance  -> Empty                the last member left
//! CompletingRebalance -> Stable               the leader's assignment came
//! CompletingRebalance -> PreparingRebalance   a member joined, left, failed or did not sync in time
//! Stable              -> PreparingRebalance   a member joined anew, left or failed
//! ```

pub mod join;
pub mod sync;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_types::Millis;
use millstream_wire::Reader;
use millstream_wire::record::data::ConsumerProtocolSubscription;
use millstream_wire::record::group::{
    GroupMetadataKey, GroupMetadataValue, group_metadata_value::MemberMetadata,
};

use crate::message::Token;
use crate::record::Entry;

/// The protocol type of consumers; others (Kafka Connect's workers) are coordinated the same way.
pub const CONSUMER: &str = "consumer";

/// Where a group stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClassicState {
    /// No members.
    #[default]
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// All joined; the leader assigns.
    CompletingRebalance,
    /// All have their assignment.
    Stable,
}

impl ClassicState {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
        }
    }
}

/// A member.
#[derive(Clone, Debug, Default)]
pub struct ClassicMember {
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// How long it may take to join again, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols (assignors) that it speaks, in its order, with its metadata for each; after a load only the one
    /// that was chosen is known.
    pub protocols: Vec<(String, Bytes)>,
    /// Topics it subscribes to, read from that metadata; none, where it is no consumer.
    pub topics: BTreeSet<String>,
    /// What the leader gave it.
    pub assignment: Bytes,
    /// The JoinGroup that waits for the others.
    pub joining: Option<Token>,
    /// The SyncGroup that waits for the leader.
    pub syncing: Option<Token>,
    /// When it is removed if nothing is heard of it; a member that waits in JoinGroup is not.
    pub session_deadline: Millis,
    /// Whether this generation's JoinGroup was answered and its SyncGroup did not come yet.
    pub owes_sync: bool,
}

/// The first rebalance of an empty group waits for more members. Kafka waits `group.initial.rebalance.delay.ms` and
/// again as long as any came; here it ends as soon as none came for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gathering {
    /// It waits until this, pushed on by each member that comes.
    pub quiet_at: Millis,
    /// It waits until this for members that were given an id and have not joined yet.
    pub pending_until: Millis,
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct ClassicGroup {
    /// Where it stands.
    pub state: ClassicState,
    /// When it came there.
    pub state_ms: Millis,
    /// `consumer`, `connect`, …; empty before the first member.
    pub protocol_type: String,
    /// Rises with every rebalance.
    pub generation: i32,
    /// The protocol that all members speak.
    pub protocol: Option<String>,
    /// The member that assigns.
    pub leader: Option<String>,
    /// Its members.
    pub members: BTreeMap<String, ClassicMember>,
    /// Member ids that were given out and have not joined yet, with the time at which they are forgotten.
    pub pending: BTreeMap<String, Millis>,
    /// When the joining ends whoever is missing.
    pub join_deadline: Option<Millis>,
    /// The first rebalance of an empty group: how long it waits for more members.
    pub gathering: Option<Gathering>,
    /// When members that owe a SyncGroup are removed.
    pub sync_deadline: Option<Millis>,
}

impl ClassicGroup {
    /// From its record: members come back with a whole session to be heard of in.
    pub fn from_value(value: &GroupMetadataValue) -> ClassicGroup {
        let protocol = value.protocol.clone().unwrap_or_default();
        let members: BTreeMap<String, ClassicMember> = value
            .members
            .iter()
            .map(|m| {
                let member = ClassicMember {
                    instance_id: m.group_instance_id.clone(),
                    client_id: m.client_id.clone(),
                    client_host: m.client_host.clone(),
                    rebalance_timeout_ms: if m.rebalance_timeout < 0 {
                        m.session_timeout
                    } else {
                        m.rebalance_timeout
                    },
                    session_timeout_ms: m.session_timeout,
                    topics: topics_of(&value.protocol_type, [&m.subscription]),
                    protocols: vec![(protocol.clone(), m.subscription.clone())],
                    assignment: m.assignment.clone(),
                    ..ClassicMember::default()
                };
                (m.member_id.clone(), member)
            })
            .collect();
        ClassicGroup {
            state: if members.is_empty() { ClassicState::Empty } else { ClassicState::Stable },
            state_ms: value.current_state_timestamp,
            protocol_type: value.protocol_type.clone(),
            generation: value.generation,
            protocol: value.protocol.clone(),
            leader: value.leader.clone(),
            members,
            ..ClassicGroup::default()
        }
    }

    /// Its record.
    pub fn to_value(&self) -> GroupMetadataValue {
        let members = self
            .members
            .iter()
            .map(|(id, m)| MemberMetadata {
                member_id: id.clone(),
                group_instance_id: m.instance_id.clone(),
                client_id: m.client_id.clone(),
                client_host: m.client_host.clone(),
                rebalance_timeout: m.rebalance_timeout_ms,
                session_timeout: m.session_timeout_ms,
                subscription: self.metadata_of(m),
                assignment: m.assignment.clone(),
                ..Default::default()
            })
            .collect();
        GroupMetadataValue {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_ms,
            members,
            ..Default::default()
        }
    }

    /// After a load: sessions begin anew.
    pub fn loaded(&mut self, now: Millis) {
        for member in self.members.values_mut() {
            member.session_deadline = now + Millis::from(member.session_timeout_ms);
        }
    }

    /// Moves to a state.
    pub fn become_state(&mut self, state: ClassicState, now: Millis) {
        self.state = state;
        self.state_ms = now;
    }

    /// A member's metadata for the protocol that was chosen.
    pub fn metadata_of(&self, member: &ClassicMember) -> Bytes {
        let chosen = self.protocol.as_deref().unwrap_or_default();
        member.protocols.iter().find(|(name, _)| name == chosen).map(|(_, m)| m.clone()).unwrap_or_default()
    }

    /// The member of a `group.instance.id`.
    pub fn by_instance(&self, instance_id: &str) -> Option<&str> {
        let found = self.members.iter().find(|(_, m)| m.instance_id.as_deref() == Some(instance_id));
        found.map(|(id, _)| id.as_str())
    }

    /// Whether every member but `id` (which asks, or is replaced) speaks one of these protocols.
    pub fn supports(&self, id: &str, protocols: &[(String, Bytes)]) -> bool {
        let speaks = |m: &ClassicMember, name: &str| m.protocols.iter().any(|(n, _)| n == name);
        let others = || self.members.iter().filter(|(other, _)| *other != id).map(|(_, m)| m);
        others().next().is_none()
            || protocols.iter().any(|(name, _)| others().all(|member| speaks(member, name)))
    }

    /// The protocol that all speak and most put first.
    pub fn vote(&self) -> Option<String> {
        let mut speakers: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in self.members.values().flat_map(|m| &m.protocols) {
            *speakers.entry(name).or_default() += 1;
        }
        let by_all = |name: &str| speakers.get(name).is_some_and(|n| *n == self.members.len());
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| by_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, n)| *n).map(|(name, _)| name.to_owned())
    }

    /// Topics that the members subscribe to.
    pub fn subscribed_names(&self) -> BTreeSet<String> {
        self.members.values().flat_map(|m| m.topics.iter().cloned()).collect()
    }

    /// Requests that wait; they are answered by whoever takes them.
    pub fn take_waiting(&mut self) -> Vec<Token> {
        self.members.values_mut().flat_map(|m| [m.joining.take(), m.syncing.take()]).flatten().collect()
    }

    /// The longest that any member may take to join again, in milliseconds.
    pub fn rebalance_timeout_ms(&self) -> Millis {
        self.members.values().map(|m| Millis::from(m.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Whether a member was silent for too long; one that waits in JoinGroup or SyncGroup cannot speak.
    pub fn is_silent(member: &ClassicMember, now: Millis) -> bool {
        member.joining.is_none() && member.syncing.is_none() && member.session_deadline <= now
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Millis> {
        let speaking = self.members.values().filter(|m| m.joining.is_none() && m.syncing.is_none());
        let gathered = self
            .gathering
            .map(|g| if self.pending.is_empty() { g.quiet_at } else { g.quiet_at.max(g.pending_until) });
        speaking
            .map(|m| m.session_deadline)
            .chain(self.join_deadline)
            .chain(gathered)
            .chain(self.sync_deadline)
            .chain(self.pending.values().copied())
            .min()
    }
}

/// The topics that a member's metadata names.
pub(crate) fn topics_of<'a>(
    protocol_type: &str,
    metadata: impl IntoIterator<Item = &'a Bytes>,
) -> BTreeSet<String> {
    if protocol_type != CONSUMER {
        return BTreeSet::new();
    }
    metadata.into_iter().filter_map(subscription).flat_map(|s| s.topics).collect()
}

/// A consumer's metadata in JoinGroup.
pub fn subscription(metadata: &Bytes) -> Option<ConsumerProtocolSubscription> {
    let mut r = Reader::new(metadata.clone());
    let version = r.i16("version").ok()?;
    // A newer version begins with the fields of the newest that is known here (KIP-429).
    ConsumerProtocolSubscription::decode(&mut r, version.clamp(0, 3)).ok()
}

/// The record of a classic group, or of its end.
pub(crate) fn group_entry(group_id: &str, group: Option<&ClassicGroup>) -> Entry {
    let key = GroupMetadataKey { group: group_id.to_owned() };
    Entry::Kafka(key.into(), group.map(|g| g.to_value().into()))
}
