//! Whether memory and log tell one story, also when the log was compacted.

use std::collections::{BTreeMap, BTreeSet};

use millstream_group::message::LogEntry;
use millstream_group::record::Entry;
use millstream_group::{Config, Coordinator, Input};
use millstream_types::{Millis, Rng};
use millstream_wire::record::group::GroupKey;

use crate::image::Image;

/// What a coordinator stores, but for the classic groups of which `rebalancing` holds the names: memory is ahead of
/// their records until the leader assigned.
fn stored(coordinator: &Coordinator, rebalancing: &BTreeSet<String>) -> Vec<String> {
    let kept = coordinator.stored(0).into_iter().filter(|(entry, _)| match entry {
        Entry::Kafka(GroupKey::GroupMetadata(key), _) => !rebalancing.contains(&key.group),
        _ => true,
    });
    kept.map(|one| format!("{one:?}")).collect()
}

/// A coordinator that reads the log agrees with the one that wrote it.
pub fn check(told: &str, config: &Config, live: &Coordinator, now: Millis, image: &Image, log: &[LogEntry]) {
    let rebalancing = live
        .list()
        .into_iter()
        .filter(|g| g.group_type == "Classic" && g.group_state.ends_with("Rebalance"))
        .map(|g| g.group_id)
        .collect();
    let mut again = Coordinator::new(config.clone());
    again.step(now, image, Input::Load { shard: 0, epoch: 0, entries: log.to_vec() });
    assert_eq!(again.unread_records(), 0, "{told}: records that cannot be read");
    let (read, held) = (stored(&again, &rebalancing), stored(live, &rebalancing));
    assert_eq!(read, held, "{told}: the log (left) tells another story than memory (right)");
}

/// The log as a cleaner leaves it: of each key the last record, and of a tombstone perhaps nothing. What belongs to
/// a transaction stays.
pub fn compacted(log: &[LogEntry], rng: &mut dyn Rng) -> Vec<LogEntry> {
    let until = rng.below(log.len() as u64 + 1) as usize;
    let mut last = BTreeMap::new();
    for (at, entry) in log[..until].iter().enumerate() {
        if let LogEntry::Record(record) = entry {
            last.insert(record.key.clone(), at);
        }
    }
    let drop_tombstones = rng.chance(1, 2);
    let stays = |at: usize, entry: &LogEntry| match entry {
        LogEntry::Record(record) if at < until && record.producer_id.is_none() => {
            last[&record.key] == at && !(record.value.is_none() && drop_tombstones)
        }
        _ => true,
    };
    let kept = log.iter().enumerate().filter(|(at, entry)| stays(*at, entry));
    kept.map(|(_, entry)| entry.clone()).collect()
}
