//! What a group knew when it first subscribed: the names, and for each topic how many partitions it had. A partition
//! beyond that is new to the group and is read from its log's start, whatever the client's `auto.offset.reset` says:
//! with `latest`, records written before the client noticed the partition would be lost. Ours; Kafka has nothing of
//! the kind. Kept as a record of the group's shard, and deleted with the group.
//!
//! The rule has no clock and no window: it is right whenever it is applied before the first OffsetFetch of a
//! partition, since every client asks OffsetFetch before it resets.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::Uuid;

use crate::message::Topics;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Names the group was subscribed to; a topic of such a name that appears later is new as a whole.
    pub names: BTreeSet<String>,
    /// Partitions of a topic at first subscription.
    pub partitions: BTreeMap<Uuid, i32>,
}

impl Baseline {
    /// Takes in the group's subscription; `true` where that changed anything (it is then stored).
    pub fn subscribe<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, topics: &dyn Topics) -> bool {
        let mut changed = false;
        for name in names {
            let known = self.names.contains(name);
            if let Some(topic) = topics.by_name(name) {
                self.partitions.entry(topic.id).or_insert_with(|| {
                    changed = true;
                    if known { 0 } else { topic.partitions }
                });
            }
            if !known {
                self.names.insert(name.to_owned());
                changed = true;
            }
        }
        changed
    }

    /// Whether a partition without a committed offset is new to the group.
    pub fn is_new(&self, topic: Uuid, partition: i32) -> bool {
        self.partitions.get(&topic).is_some_and(|known| partition >= *known)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.partitions.is_empty()
    }
}
