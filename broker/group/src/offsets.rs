//! A group's committed offsets, and those that open transactions are about to commit. Requests for them, and who may
//! make them, are in `offsets/requests.rs`.

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
        }
    }

    /// Its record.
    pub fn to_value(&self) -> OffsetCommitValue {
        OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
            commit_timestamp: self.commit_ms,
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
    /// Takes an offset in, or one away, directly or as part of a producer's open transaction.
    pub fn apply(&mut self, place: Place, value: Option<Committed>, producer: Option<ProducerId>) {
        match (value, producer) {
            (Some(value), Some(producer)) => {
                self.pending.entry(producer).or_default().insert(place, value);
            }
            (Some(value), None) => {
                self.committed.insert(place, value);
            }
            (None, _) => {
                self.committed.remove(&place);
            }
        }
    }

    /// Ends a producer's transaction.
    pub fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        if let Some(pending) = self.pending.remove(&producer)
            && commit
        {
            self.committed.extend(pending);
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

    /// Partitions whose offset has expired, where the group has been without members since `empty_since`.
    pub fn expired(&self, now: Millis, retention_ms: Millis, empty_since: Millis) -> Vec<Place> {
        self.committed
            .iter()
            .filter(|(place, c)| {
                let due =
                    if c.expire_ms >= 0 { c.expire_ms } else { c.commit_ms.max(empty_since) + retention_ms };
                due < now && !self.is_unstable(place)
            })
            .map(|(place, _)| place.clone())
            .collect()
    }
}
