//! Which batches and records stay. Owns the rules; holds no file.

use std::collections::{BTreeMap, BTreeSet};

use millstream_batch::{BatchHeader, RecordView};
use millstream_types::{Millis, Offset, ProducerId};

use super::map::OffsetMap;
use super::{CompactionPlan, LastOfProducer};
use crate::txn_index::AbortedTxn;

/// The aborted transactions of the part that is compacted.
#[derive(Debug)]
pub(super) struct Transactions {
    aborted: BTreeMap<ProducerId, Vec<(Offset, Offset)>>,
}

impl Transactions {
    pub fn new(aborted: &[AbortedTxn]) -> Transactions {
        let mut by_producer: BTreeMap<ProducerId, Vec<(Offset, Offset)>> = BTreeMap::new();
        for txn in aborted {
            by_producer.entry(txn.producer_id).or_default().push((txn.first_offset, txn.last_offset));
        }
        Transactions { aborted: by_producer }
    }

    /// Whether a data batch belongs to an aborted transaction.
    pub fn is_aborted(&self, header: &BatchHeader) -> bool {
        header.attributes.is_transactional()
            && self.aborted.get(&header.producer_id).is_some_and(|ranges| {
                ranges.iter().any(|(first, last)| (*first..*last).contains(&header.base_offset))
            })
    }
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes whole; its header stays where it tells a producer's last sequence.
    Discard,
    /// It stays as it is.
    Keep,
    /// It stays, with a delete horizon if it has none: nothing of its transaction is left.
    KeepMarker,
    /// Its records are looked at one by one.
    Sift,
}

/// The rules, walking a log from its start.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    plan: &'a CompactionPlan,
    map: &'a OffsetMap,
    transactions: Transactions,
    now: Millis,
    /// Producers of whose open transaction a batch was met.
    with_data: BTreeSet<ProducerId>,
}

impl<'a> Filter<'a> {
    pub fn new(plan: &'a CompactionPlan, map: &'a OffsetMap, now: Millis) -> Filter<'a> {
        let transactions = Transactions::new(&plan.aborted);
        Filter { plan, map, transactions, now, with_data: BTreeSet::new() }
    }

    /// Judges a batch; batches come in the order of their offsets.
    pub fn batch(&mut self, header: &BatchHeader) -> Verdict {
        if header.attributes.is_control() {
            let had_data = self.with_data.remove(&header.producer_id);
            return match header.delete_horizon_ms() {
                _ if had_data || !header.has_producer_id() => Verdict::Keep,
                Some(horizon) if horizon <= self.now => Verdict::Discard,
                _ => Verdict::KeepMarker,
            };
        }
        if header.attributes.is_transactional() && header.record_count > 0 {
            self.with_data.insert(header.producer_id);
        }
        if self.transactions.is_aborted(header) { Verdict::Discard } else { Verdict::Sift }
    }

    /// Whether a record of a batch that is sifted stays.
    pub fn record(&self, record: &RecordView<'_>, horizon: Option<Millis>) -> bool {
        if record.offset > self.map.last_offset() {
            return true;
        }
        // A record without a key cannot be found again; producers may not write one into a compacted topic.
        let Some(key) = record.key else { return false };
        let is_last = self.map.get(key).is_none_or(|last| record.offset >= last);
        let is_kept_tombstone = horizon.is_none_or(|horizon| self.now < horizon);
        is_last && (record.value.is_some() || is_kept_tombstone)
    }

    /// Whether a batch that lost all its records stays as a header, because a producer's state comes from it.
    pub fn keeps_empty(&self, header: &BatchHeader) -> bool {
        match self.plan.last_of_producer.get(&header.producer_id) {
            Some(LastOfProducer::Data(offset)) => header.last_offset() == *offset,
            Some(LastOfProducer::Marker(epoch)) => {
                header.attributes.is_control() && header.producer_epoch == *epoch
            }
            None => false,
        }
    }

    /// The delete horizon of a batch that is seen with tombstones, or as an idle marker, for the first time.
    pub fn new_horizon(&self) -> Millis {
        self.now.saturating_add(self.plan.config.delete_retention_ms)
    }
}
