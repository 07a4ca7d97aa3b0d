//! What a group knew when it first subscribed: the names and patterns, and for each topic how many partitions it had.
//! A partition beyond that is new to the group and is read from its log's start, whatever the client's
//! `auto.offset.reset` says: with `latest`, records written before the client noticed the partition would be lost.
//! Ours; Kafka has nothing of the kind. Kept as a record of the group's shard, and deleted with the group.
//!
//! The rule has no clock and no window: it is right whenever it is applied before the first OffsetFetch of a
//! partition, since every client asks OffsetFetch before it resets.
//!
//! Not covered: a pattern of the classic protocol, which the client resolves, so that a topic which it matches later
//! looks like a name that the group adds.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::Uuid;

use crate::consumer::{Interest, whole_match};
use crate::message::{TopicView, Topics};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Names the group was subscribed to; a topic of such a name that appears later is new as a whole.
    pub names: BTreeSet<String>,
    /// Patterns the group was subscribed to; a topic that one matches and that appears later is new as a whole.
    pub patterns: BTreeSet<String>,
    /// Partitions of a topic at first subscription.
    pub partitions: BTreeMap<Uuid, i32>,
}

impl Baseline {
    /// Whether a subscription says anything that is not yet in here.
    pub fn lacks<'a>(&self, names: impl IntoIterator<Item = &'a str>, topics: &dyn Topics) -> bool {
        names.into_iter().any(|name| {
            !self.names.contains(name)
                || topics.by_name(name).is_some_and(|t| !self.partitions.contains_key(&t.id))
        })
    }

    /// Takes in a subscription by names; `true` where that changed anything (it is then stored).
    pub fn subscribe<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, topics: &dyn Topics) -> bool {
        let mut changed = false;
        for name in names {
            let known = self.names.contains(name);
            if let Some(topic) = topics.by_name(name) {
                changed |= self.meet(&topic, known);
            }
            if !known {
                self.names.insert(name.to_owned());
                changed = true;
            }
        }
        changed
    }

    /// Takes in a subscription by names and a pattern; `true` where that changed anything.
    pub fn subscribe_to(&mut self, interest: &Interest, topics: &dyn Topics) -> bool {
        let mut changed = self.subscribe(interest.names.iter().map(String::as_str), topics);
        let Some((text, pattern)) = interest.regex.as_ref().and_then(|r| Some((r, whole_match(r)?))) else {
            return changed;
        };
        let known = self.patterns.contains(text);
        for topic in topics.all().iter().filter(|t| pattern.is_match(&t.name)) {
            changed |= self.meet(topic, known);
        }
        if !known {
            self.patterns.insert(text.clone());
            changed = true;
        }
        changed
    }

    /// The first sight of a topic; where the subscription is older, all of the topic is new.
    fn meet(&mut self, topic: &TopicView, subscribed_before: bool) -> bool {
        if self.partitions.contains_key(&topic.id) {
            return false;
        }
        self.partitions.insert(topic.id, if subscribed_before { 0 } else { topic.partitions });
        true
    }

    /// The topic's offsets were taken away by hand or by time: what it has now is as at a first subscription, and
    /// the client's policy holds for it. `true` where that changed anything.
    pub fn start_over(&mut self, name: &str, topics: &dyn Topics) -> bool {
        let Some(topic) = topics.by_name(name) else { return false };
        match self.partitions.get_mut(&topic.id) {
            Some(known) if *known < topic.partitions => *known = topic.partitions,
            None if self.names.contains(name) => {
                self.partitions.insert(topic.id, topic.partitions);
            }
            _ => return false,
        }
        true
    }

    /// Whether a partition without a committed offset is new to the group.
    pub fn is_new(&self, name: &str, topic: Uuid, partition: i32) -> bool {
        match self.partitions.get(&topic) {
            Some(known) => partition >= *known,
            // It was not there when the group subscribed to its name.
            None => self.names.contains(name),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty() && self.partitions.is_empty()
    }
}
