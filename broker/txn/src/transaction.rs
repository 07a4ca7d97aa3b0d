//! What is kept of one transactional id, and its form in `__transaction_state`. Never enters: when it changes.

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use millstream_types::{Millis, ProducerEpoch, ProducerId};
use millstream_wire::record::txn::TransactionLogValue;
use millstream_wire::record::txn::transaction_log_value::PartitionsSchema;

use crate::message::{Partitions, Version};
use crate::state::TxnState;

/// One transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The current producer id.
    pub producer_id: ProducerId,
    /// The producer id before the last change of it, or -1; a retry of the request that changed it is known by it.
    pub previous_producer_id: ProducerId,
    /// The producer id that takes over when the transaction is complete, or -1.
    pub next_producer_id: ProducerId,
    /// The current epoch.
    pub producer_epoch: ProducerEpoch,
    /// The epoch before the last bump, or -1; not stored.
    pub last_producer_epoch: ProducerEpoch,
    /// How long a transaction may stay open, in milliseconds.
    pub timeout_ms: i32,
    /// Where the transaction stands.
    pub state: TxnState,
    /// The partitions that take part.
    pub partitions: Partitions,
    /// Partitions whose marker is still to be written; not stored, all of them after a load.
    pub unmarked: Partitions,
    /// When the first partition was added, or -1.
    pub start_ms: Millis,
    /// When the record was written.
    pub last_update_ms: Millis,
    /// What the client speaks.
    pub version: Version,
}

impl Transaction {
    /// An id that has no producer yet.
    pub fn new(producer_id: ProducerId, timeout_ms: i32, now: Millis) -> Transaction {
        Transaction {
            producer_id,
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms,
            state: TxnState::Empty,
            partitions: Partitions::new(),
            unmarked: Partitions::new(),
            start_ms: -1,
            last_update_ms: now,
            version: Version::V1,
        }
    }

    /// Moves on to `state`; a step that the table of [`TxnState`] lacks is a bug of ours.
    pub fn become_state(&mut self, state: TxnState, now: Millis) {
        assert!(
            self.state.may_become(state),
            "TX-2: a transaction in {} cannot become {}",
            self.state.name(),
            state.name()
        );
        self.state = state;
        self.last_update_ms = now;
    }

    /// From when on it has taken too long, while it is open: the millisecond behind its timeout.
    pub fn due_ms(&self) -> Millis {
        self.start_ms.saturating_add(Millis::from(self.timeout_ms) + 1)
    }

    /// Whether the current epoch is the last that may be given out.
    pub fn epoch_is_exhausted(&self) -> bool {
        self.producer_epoch >= ProducerEpoch::MAX - 1
    }

    /// The record that says all this.
    pub fn to_value(&self) -> TransactionLogValue {
        let partitions = self
            .partitions
            .iter()
            .map(|(topic, partitions)| PartitionsSchema {
                topic: topic.clone(),
                partition_ids: partitions.iter().copied().collect(),
                ..Default::default()
            })
            .collect();
        TransactionLogValue {
            producer_id: self.producer_id,
            previous_producer_id: self.previous_producer_id,
            next_producer_id: self.next_producer_id,
            producer_epoch: self.producer_epoch,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state.id(),
            // Kafka writes null, not an empty list, for an id without a transaction.
            transaction_partitions: (self.state != TxnState::Empty).then_some(partitions),
            transaction_last_update_timestamp_ms: self.last_update_ms,
            transaction_start_timestamp_ms: self.start_ms,
            client_transaction_version: self.version.level(),
            ..Default::default()
        }
    }

    /// What a record says; `None` for a status that is never written.
    pub fn from_value(value: &TransactionLogValue) -> Option<Transaction> {
        let state = TxnState::from_id(value.transaction_status)?;
        let partitions: BTreeMap<String, BTreeSet<i32>> = value
            .transaction_partitions
            .iter()
            .flatten()
            .map(|topic| (topic.topic.clone(), topic.partition_ids.iter().copied().collect()))
            .collect();
        Some(Transaction {
            producer_id: value.producer_id,
            previous_producer_id: value.previous_producer_id,
            next_producer_id: value.next_producer_id,
            producer_epoch: value.producer_epoch,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: value.transaction_timeout_ms,
            state,
            unmarked: if state.is_preparing() { partitions.clone() } else { Partitions::new() },
            partitions,
            start_ms: value.transaction_start_timestamp_ms,
            last_update_ms: value.transaction_last_update_timestamp_ms,
            version: Version::from_level(value.client_transaction_version),
        })
    }
}
