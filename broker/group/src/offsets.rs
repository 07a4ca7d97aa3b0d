//! A group's committed offsets, and those that open transactions are about to commit. Requests for them, and who may
//! make them, are in `offsets/requests.rs`; how they go is in `offsets/expiry.rs`.

mod expiry;
mod requests;

use std::collections::BTreeMap;

use millstream_types::{Millis, ProducerId, Uuid};
use millstream_wire::record::group::OffsetCommitValue;

/// A partition by its topic's name.
pub type Place = (String, i32);

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it, or -1.
    pub leader_epoch: i32,
    /// What the client wrote beside it.
    pub metadata: String,
    /// When it was committed.
    pub commit_ms: Millis,
    /// The time a client of old set for its expiry, or -1.
    pub expire_ms: Millis,
    /// The topic that it was committed for; one made later under the same name does not inherit it. Zero in records
    /// of older formats.
    pub topic_id: Uuid,
    /// Its place among the records of its shard: of two commits the later stands, also where the earlier one belongs
    /// to a transaction that ends after the later was made. Not stored.
    pub position: u64,
}

impl Committed {
    /// From its record.
    pub fn from_value(value: &OffsetCommitValue) -> Committed {
        Committed {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.clone(),
            commit_ms: value.commit_timestamp,
            expire_ms: value.expire_timestamp,
            topic_id: value.topic_id,
            position: 0,
        }
    }

    /// Its record.
    pub fn to_value(&self) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
            commit_timestamp: self.commit_ms,
            expire_timestamp: self.expire_ms,
            topic_id: self.topic_id,
            ..Default::default()
        }
    }
}

/// The offsets of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    /// What is committed.
    pub committed: BTreeMap<Place, Committed>,
    /// What open transactions will commit, by producer.
    pub pending: BTreeMap<ProducerId, BTreeMap<Place, Committed>>,
}

impl Offsets {
    /// Takes an offset in.
    pub fn put(&mut self, place: Place, value: Committed) {
        self.committed.insert(place, value);
    }

    /// Takes an offset in that a producer's open transaction is about to commit.
    pub fn pend(&mut self, producer: ProducerId, place: Place, value: Committed) {
        self.pending.entry(producer).or_default().insert(place, value);
    }

    /// Takes an offset away, also from the transactions that are about to commit one.
    pub fn remove(&mut self, place: &Place) {
        self.committed.remove(place);
        self.pending.retain(|_, pending| {
            pending.remove(place);
            !pending.is_empty()
        });
    }

    /// Ends a producer's transaction.
    pub fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        for (place, value) in self.pending.remove(&producer).filter(|_| commit).unwrap_or_default() {
            let stands = self.committed.get(&place).is_none_or(|now| now.position < value.position);
            if stands {
                self.committed.insert(place, value);
            }
        }
    }

    /// Whether an open transaction is about to replace a partition's offset.
    pub fn is_unstable(&self, place: &Place) -> bool {
        self.pending.values().any(|pending| pending.contains_key(place))
    }

    /// The offset of a partition, unless it was committed for another topic of the same name.
    pub fn get(&self, place: &Place, topic_id: Option<Uuid>) -> Option<&Committed> {
        let committed = self.committed.get(place)?;
        let same = committed.topic_id.is_zero() || topic_id.is_none_or(|id| id == committed.topic_id);
        same.then_some(committed)
    }

    /// Whether nothing is committed nor about to be.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Whether there is anything for a partition, committed or about to be.
    pub fn has(&self, place: &Place) -> bool {
        self.committed.contains_key(place) || self.is_unstable(place)
    }

    /// Partitions whose offset has expired, where they have been of no use to the group since `unused_since`.
    pub fn expired(
        &self,
        now: Millis,
        retention_ms: Millis,
        unused_since: Millis,
        in_use: impl Fn(&str) -> bool,
    ) -> Vec<Place> {
        self.committed
            .iter()
            .filter(|((topic, _), _)| !in_use(topic))
            .filter(|(place, c)| {
                let due =
                    if c.expire_ms >= 0 { c.expire_ms } else { c.commit_ms.max(unused_since) + retention_ms };
                due <= now && !self.is_unstable(place)
            })
            .map(|(place, _)| place.clone())
            .collect()
    }
}
