//! What a shard stores, as the fewest records that say it: what is left of its log once that is compacted. For tests,
//! which hold memory against log, and for tools. Never enters: what is not stored (sessions, requests that wait).

use millstream_types::ProducerId;

use crate::classic::{ClassicState, group_entry};
use crate::consumer::entries::{assigned_entry, current_entry, epoch_entry, member_entry, target_entry};
use crate::coordinator::{Coordinator, offset_entry};
use crate::record::Entry;
use crate::shard::{Group, Kind};

impl Coordinator {
    /// The records that a load of the shard would need to come to what is in memory, with the producer of the open
    /// transaction where there is one; by group, in no order in which they were written. A classic group that
    /// rebalances, or that never came to a generation, is left out: its record follows with its next assignment.
    pub fn stored(&self, shard: i32) -> Vec<(Entry, Option<ProducerId>)> {
        let groups = self.shards.get(&shard).into_iter().flat_map(|s| &s.groups);
        groups.flat_map(|(id, group)| stored(id, group)).collect()
    }
}

fn stored(id: &str, group: &Group) -> Vec<(Entry, Option<ProducerId>)> {
    let mut entries = Vec::new();
    match &group.kind {
        Kind::Offsets => {}
        Kind::Classic(classic) => {
            let settled = matches!(classic.state, ClassicState::Stable | ClassicState::Empty);
            if settled && classic.generation > 0 {
                entries.push((group_entry(id, Some(classic)), None));
            }
        }
        Kind::Consumer(consumer) => {
            entries.push((epoch_entry(id, consumer.epoch, consumer.metadata_hash), None));
            entries.push((assigned_entry(id, consumer.assignment_epoch, consumer.assigned_ms), None));
            for (member, m) in &consumer.members {
                entries.push((member_entry(id, member, Some(&m.subscription)), None));
                entries.push((current_entry(id, member, Some(m)), None));
            }
            for (member, target) in &consumer.targets {
                entries.push((target_entry(id, member, Some(target)), None));
            }
        }
    }
    if !group.baseline.is_empty() {
        entries.push((Entry::Baseline(id.to_owned(), Some(group.baseline.clone())), None));
    }
    for ((topic, partition), value) in &group.offsets.committed {
        entries.push((offset_entry(id, topic, *partition, Some(value)), None));
    }
    for (producer, pending) in &group.offsets.pending {
        for ((topic, partition), value) in pending {
            entries.push((offset_entry(id, topic, *partition, Some(value)), Some(*producer)));
        }
    }
    entries
}
