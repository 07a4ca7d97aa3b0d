//! What a partition knows of its producers: for each producer id its epoch, its last five batches (so that a repeated
//! one is answered with the old offset), and its open transaction. Every batch goes through [`ProducerStates::check`]
//! before it is written and [`ProducerStates::apply`] after, the same when a log is recovered. Owns Kafka's rules of
//! `ProducerStateManager` and `ProducerAppendInfo`: duplicates are success, gaps are OUT_OF_ORDER_SEQUENCE_NUMBER, an
//! older epoch is fenced (TX-3), sequences run from 0 to 2^31 - 1 and around. The last stable offset is never behind
//! the first open transaction (TX-4). Never enters: who may write, the coordinator's own state.

pub mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use millstream_batch::BatchHeader;
use millstream_batch::control::{TxnMarker, TxnOutcome};
use millstream_batch::header::{decrement_sequence, increment_sequence};
use millstream_types::ids::{NO_PRODUCER_EPOCH, NO_SEQUENCE};
use millstream_types::{Millis, Offset, ProducerEpoch, ProducerId};

use crate::error::LogError;
use crate::txn_index::AbortedTxn;

/// Batches remembered for each producer; a client may have at most this many in flight.
pub const BATCHES_KEPT: usize = 5;
/// The coordinator epoch before any marker was seen.
pub const NO_COORDINATOR_EPOCH: i32 = -1;

/// Where a batch comes from: a client's are checked in full, a leader's were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer, through this leader.
    Client,
    /// A coordinator on this broker: group or transaction state, or a transaction marker.
    Coordinator,
    /// The leader of this partition, to its follower; also recovery, reading its own log.
    Replication,
}

/// A batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEntry {
    /// The last sequence number.
    pub last_sequence: i32,
    /// The last offset.
    pub last_offset: Offset,
    /// Last offset less first offset; the same for the sequence.
    pub offset_delta: i32,
    /// The largest timestamp.
    pub timestamp: Millis,
}

impl BatchEntry {
    /// The first offset.
    pub fn first_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// The first sequence number.
    pub fn first_sequence(&self) -> i32 {
        decrement_sequence(self.last_sequence, self.offset_delta)
    }
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Its last batches under that epoch, oldest first.
    pub batches: VecDeque<BatchEntry>,
    /// The epoch of the coordinator whose marker was the last.
    pub coordinator_epoch: i32,
    /// When it last wrote, by the batch's timestamp.
    pub last_timestamp: Millis,
    /// The first offset of its open transaction.
    pub txn_first_offset: Option<Offset>,
    /// When that transaction began here.
    pub txn_started_ms: Option<Millis>,
}

impl ProducerEntry {
    fn new() -> ProducerEntry {
        ProducerEntry {
            epoch: NO_PRODUCER_EPOCH,
            batches: VecDeque::with_capacity(BATCHES_KEPT),
            coordinator_epoch: NO_COORDINATOR_EPOCH,
            last_timestamp: -1,
            txn_first_offset: None,
            txn_started_ms: None,
        }
    }

    /// The last sequence number, or -1.
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(NO_SEQUENCE, |b| b.last_sequence)
    }

    /// The last offset that it wrote data at, or -1.
    pub fn last_offset(&self) -> Offset {
        self.batches.back().map_or(-1, |b| b.last_offset)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<BatchEntry> {
        let (first, last) = (header.base_sequence, header.last_sequence());
        let same = |b: &&BatchEntry| b.first_sequence() == first && b.last_sequence == last;
        if header.producer_epoch != self.epoch { None } else { self.batches.iter().find(same).copied() }
    }

    fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// What a check said of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is new.
    New,
    /// It was appended before: answer with this entry, append nothing.
    Duplicate(BatchEntry),
    /// A marker that ended its transaction before: append nothing.
    MarkerRepeated,
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Whose.
    pub producer_id: ProducerId,
    /// Its first offset.
    pub first_offset: Offset,
    /// The marker's offset.
    pub last_offset: Offset,
    /// How it ended.
    pub outcome: TxnOutcome,
}

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker is not below the high watermark yet: first offset to marker's offset.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    /// No producers.
    pub fn new() -> ProducerStates {
        ProducerStates::default()
    }

    /// All producers, by id.
    pub fn entries(&self) -> &BTreeMap<ProducerId, ProducerEntry> {
        &self.producers
    }

    /// Whether the producer has a transaction open here, under this epoch.
    pub fn has_ongoing_txn(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers.get(&producer_id).is_some_and(|p| p.epoch == epoch && p.txn_first_offset.is_some())
    }

    /// The first offset of any open transaction, or of one that has ended above the high watermark: nothing from here on
    /// is stable (TX-4).
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let ongoing = self.ongoing.first_key_value().map(|(first, _)| *first);
        let unreplicated = self.unreplicated.first_key_value().map(|(first, _)| *first);
        match (ongoing, unreplicated) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Forgets ended transactions whose marker lies below the high watermark.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        while let Some(entry) = self.unreplicated.first_entry() {
            if *entry.get() >= high_watermark {
                break;
            }
            entry.remove();
        }
    }

    /// Judges a data batch of a producer before it is written.
    pub fn check(&self, header: &BatchHeader, origin: AppendOrigin) -> Result<Checked, LogError> {
        let producer_id = header.producer_id;
        let Some(entry) = self.producers.get(&producer_id) else { return Ok(Checked::New) };
        if origin == AppendOrigin::Replication {
            return Ok(Checked::New);
        }
        if origin == AppendOrigin::Client
            && let Some(duplicate) = entry.duplicate_of(header)
        {
            return Ok(Checked::Duplicate(duplicate));
        }
        if header.producer_epoch < entry.epoch {
            let (epoch, current) = (header.producer_epoch, entry.epoch);
            return Err(LogError::InvalidProducerEpoch { producer_id, epoch, current });
        }
        if origin == AppendOrigin::Client {
            check_sequence(entry, header)?;
        }
        if entry.txn_first_offset.is_some() && !header.attributes.is_transactional() {
            let what = "its transaction is open, and the batch is not transactional";
            return Err(LogError::InvalidTxnState { producer_id, what });
        }
        Ok(Checked::New)
    }

    /// Judges a transaction marker before it is written. Under transactions of version 2 (KIP-890, KIP-1228) the
    /// coordinator has raised the epoch, so a marker of the same epoch can only be a repeated one.
    pub fn check_marker(&self, marker: TxnMarker, transaction_version: i16) -> Result<Checked, LogError> {
        let producer_id = marker.producer_id;
        let Some(entry) = self.producers.get(&producer_id) else { return Ok(Checked::New) };
        let (epoch, current) = (marker.producer_epoch, entry.epoch);
        if transaction_version >= 2 && epoch == current {
            return match entry.txn_first_offset {
                None => Ok(Checked::MarkerRepeated),
                Some(_) => Err(LogError::InvalidProducerEpoch { producer_id, epoch, current }),
            };
        }
        if epoch < current {
            return Err(LogError::InvalidProducerEpoch { producer_id, epoch, current });
        }
        if entry.coordinator_epoch > marker.coordinator_epoch {
            let (epoch, current) = (marker.coordinator_epoch, entry.coordinator_epoch);
            return Err(LogError::CoordinatorFenced { producer_id, epoch, current });
        }
        Ok(Checked::New)
    }

    /// Takes a data batch in that was written at its header's offsets.
    pub fn apply(&mut self, header: &BatchHeader) {
        let entry = self.producers.entry(header.producer_id).or_insert_with(ProducerEntry::new);
        // A leader of long ago may have let an older epoch through; what it wrote is in the log.
        entry.set_epoch(entry.epoch.max(header.producer_epoch));
        if header.base_sequence != NO_SEQUENCE {
            if entry.batches.len() == BATCHES_KEPT {
                entry.batches.pop_front();
            }
            entry.batches.push_back(BatchEntry {
                last_sequence: header.last_sequence(),
                last_offset: header.last_offset(),
                offset_delta: header.last_offset_delta,
                timestamp: header.max_timestamp,
            });
        }
        entry.last_timestamp = header.max_timestamp;
        if header.attributes.is_transactional() && entry.txn_first_offset.is_none() {
            entry.txn_first_offset = Some(header.base_offset);
            entry.txn_started_ms = Some(header.max_timestamp);
            self.ongoing.insert(header.base_offset, header.producer_id);
        }
    }

    /// Takes a marker in that was written at `offset`. The transaction that it ended, and the last stable offset that
    /// its entry in the index of aborted transactions gets.
    pub fn apply_marker(
        &mut self,
        marker: TxnMarker,
        offset: Offset,
        timestamp: Millis,
    ) -> Option<(CompletedTxn, Offset)> {
        let entry = self.producers.entry(marker.producer_id).or_insert_with(ProducerEntry::new);
        entry.set_epoch(entry.epoch.max(marker.producer_epoch));
        entry.coordinator_epoch = entry.coordinator_epoch.max(marker.coordinator_epoch);
        entry.last_timestamp = timestamp;
        entry.txn_started_ms = None;
        let first_offset = entry.txn_first_offset.take()?;
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, offset);
        let next_open = self.ongoing.first_key_value().map(|(first, _)| *first);
        let (producer_id, outcome) = (marker.producer_id, marker.outcome);
        let completed = CompletedTxn { producer_id, first_offset, last_offset: offset, outcome };
        Some((completed, next_open.unwrap_or(offset + 1)))
    }

    /// Forgets producers that have not written since `oldest_ms` and have no transaction open.
    pub fn expire(&mut self, oldest_ms: Millis) {
        self.producers.retain(|_, p| p.txn_first_offset.is_some() || p.last_timestamp >= oldest_ms);
    }

    /// Forgets transactions that lie below the log's new start.
    pub fn on_log_start(&mut self, log_start: Offset) {
        let producers = &mut self.producers;
        self.ongoing.retain(|first, id| {
            let keep = *first >= log_start;
            if !keep && let Some(producer) = producers.get_mut(id) {
                // The transaction is still open; what is left of it begins at the log's start.
                producer.txn_first_offset = Some(log_start);
            }
            keep
        });
        for (id, producer) in &self.producers {
            if let Some(first) = producer.txn_first_offset {
                self.ongoing.entry(first).or_insert(*id);
            }
        }
        self.unreplicated.retain(|_, last| *last >= log_start);
    }

    fn restore(&mut self, producer_id: ProducerId, entry: ProducerEntry) {
        if let Some(first) = entry.txn_first_offset {
            self.ongoing.insert(first, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }
}

fn check_sequence(entry: &ProducerEntry, header: &BatchHeader) -> Result<(), LogError> {
    let first = header.base_sequence;
    let last = if header.producer_epoch == entry.epoch { entry.last_sequence() } else { NO_SEQUENCE };
    let follows = match last {
        // A new epoch begins at 0; so does the first batch after a marker that raised the epoch.
        NO_SEQUENCE => first == 0 || entry.epoch == NO_PRODUCER_EPOCH,
        last => first == increment_sequence(last, 1),
    };
    if follows {
        return Ok(());
    }
    Err(LogError::OutOfOrderSequence {
        producer_id: header.producer_id,
        epoch: header.producer_epoch,
        sequence: first,
        last,
    })
}

impl CompletedTxn {
    /// The entry of the index of aborted transactions, where it was aborted.
    pub fn aborted(&self, last_stable_offset: Offset) -> Option<AbortedTxn> {
        (self.outcome == TxnOutcome::Abort).then_some(AbortedTxn {
            first_offset: self.first_offset,
            producer_id: self.producer_id,
            last_offset: self.last_offset,
            last_stable_offset,
        })
    }
}

#[cfg(test)]
mod tests;
