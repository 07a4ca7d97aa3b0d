//! The coordinator's step: shards that are loaded and unloaded, partitions added to transactions, markers counted
//! off, time-outs. Ending a transaction is in `end.rs`, InitProducerId in `init.rs`.

use std::collections::BTreeMap;

use millstream_types::hash::coordinator_partition;
use millstream_types::{ErrorCode, Millis, ProducerEpoch, ProducerId};
use millstream_wire::record::txn::{TransactionLogKey, TransactionLogValue};

use crate::message::{
    Answer, Config, Described, Input, Listed, MarkerOrder, Outcome, Partitions, Then, Token, Version,
};
use crate::state::TxnState;
use crate::transaction::Transaction;

/// The transactional ids of one partition of `__transaction_state`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shard {
    pub(crate) epoch: i32,
    pub(crate) transactions: BTreeMap<String, Transaction>,
}

/// The transaction coordinator of one broker.
#[derive(Clone, Debug)]
pub struct Coordinator {
    pub(crate) config: Config,
    pub(crate) shards: BTreeMap<i32, Shard>,
    /// Producer ids to give out: the next one, and the first that is not ours.
    producer_ids: (ProducerId, ProducerId),
    /// Requests that wait for producer ids, in order of arrival.
    waiting: Vec<Input>,
    asked_for_producer_ids: bool,
    /// When the first of the open transactions has taken too long, of those that were in time at the last tick; one that has ended since
    /// may have been it.
    first_due: Option<Millis>,
}

impl Coordinator {
    /// A coordinator that leads no shard yet.
    pub fn new(config: Config) -> Coordinator {
        assert!(config.shards > 0, "a coordinator has at least one shard");
        Coordinator {
            config,
            shards: BTreeMap::new(),
            producer_ids: (0, 0),
            waiting: Vec::new(),
            asked_for_producer_ids: false,
            first_due: None,
        }
    }

    /// The shard (partition of `__transaction_state`) of a transactional id.
    pub fn shard_of(&self, transactional_id: &str) -> i32 {
        coordinator_partition(transactional_id, self.config.shards)
    }

    /// When [`Input::Tick`] may find a transaction that has taken too long: no sooner than this. Ticks are wanted now and then besides,
    /// for what could not be ended at the first, and for ids that have expired.
    pub fn first_due(&self) -> Option<Millis> {
        self.first_due
    }

    fn note_due(&mut self, at: Millis) {
        self.first_due = Some(self.first_due.map_or(at, |first| first.min(at)));
    }

    /// Takes an event; the outcomes are to be carried out in order.
    pub fn step(&mut self, now: Millis, input: Input) -> Vec<Outcome> {
        match input {
            Input::Load { shard, epoch, records } => self.load(now, shard, epoch, records),
            Input::Unload { shard } => {
                self.shards.remove(&shard);
                Vec::new()
            }
            Input::ProducerIds { first, count } => {
                self.producer_ids = (first, first + ProducerId::from(count));
                self.asked_for_producer_ids = false;
                let waiting = std::mem::take(&mut self.waiting);
                waiting.into_iter().flat_map(|input| self.step(now, input)).collect()
            }
            Input::InitProducerId { token, transactional_id: None, .. } => match self.next_producer_id() {
                Some(producer_id) => vec![free(Then::Answer(
                    token,
                    Answer::ProducerId { error: ErrorCode::None, producer_id, producer_epoch: 0 },
                ))],
                None => self.wait_for_producer_ids(input),
            },
            Input::InitProducerId { ref transactional_id, .. } => {
                let id = transactional_id.clone().unwrap_or_default();
                self.init_producer_id(now, &id, input)
            }
            Input::AddPartitions {
                token,
                transactional_id,
                producer_id,
                producer_epoch,
                version,
                partitions,
                verify_only,
            } => {
                let producer = (producer_id, producer_epoch);
                if verify_only {
                    self.verify(token, &transactional_id, producer, &partitions)
                } else {
                    self.add(now, token, transactional_id, producer, version, partitions)
                }
            }
            Input::EndTxn { ref transactional_id, .. } => {
                let id = transactional_id.clone();
                self.end_txn(now, &id, input)
            }
            Input::MarkerWritten { transactional_id, producer_id, producer_epoch, topic, partition } => {
                self.marker_written(now, &transactional_id, (producer_id, producer_epoch), &topic, partition)
            }
            Input::Tick => self.tick(now),
        }
    }

    /// DescribeTransactions of one id.
    pub fn describe(&self, transactional_id: &str) -> Result<Described, ErrorCode> {
        let t = self.find(transactional_id)?.ok_or(ErrorCode::TransactionalIdNotFound)?;
        Ok(Described {
            state: t.state,
            timeout_ms: t.timeout_ms,
            start_ms: t.start_ms,
            producer_id: t.producer_id,
            producer_epoch: t.producer_epoch,
            partitions: t.partitions.clone(),
        })
    }

    /// Whether the id's transaction waits for its markers.
    pub fn is_preparing(&self, transactional_id: &str) -> bool {
        matches!(self.find(transactional_id), Ok(Some(transaction)) if transaction.state.is_preparing())
    }

    /// Every transactional id of this broker's shards.
    pub fn list(&self) -> Vec<Listed> {
        self.shards
            .values()
            .flat_map(|shard| &shard.transactions)
            .map(|(id, t)| Listed {
                transactional_id: id.clone(),
                producer_id: t.producer_id,
                state: t.state,
                start_ms: t.start_ms,
            })
            .collect()
    }

    /// The id's transaction in a loaded shard, or the error that sends the client to another coordinator.
    pub(crate) fn find(&self, transactional_id: &str) -> Result<Option<&Transaction>, ErrorCode> {
        let shard = self.shards.get(&self.shard_of(transactional_id)).ok_or(ErrorCode::NotCoordinator)?;
        Ok(shard.transactions.get(transactional_id))
    }

    /// Takes the next producer id, if the block has one left.
    pub(crate) fn next_producer_id(&mut self) -> Option<ProducerId> {
        let (next, end) = self.producer_ids;
        if next >= end {
            return None;
        }
        self.producer_ids.0 += 1;
        Some(next)
    }

    /// Keeps a request until producer ids come, and asks for them once.
    pub(crate) fn wait_for_producer_ids(&mut self, input: Input) -> Vec<Outcome> {
        self.waiting.push(input);
        if std::mem::replace(&mut self.asked_for_producer_ids, true) {
            return Vec::new();
        }
        vec![free(Then::AllocateProducerIds)]
    }

    /// Puts `transaction` in place and makes the outcome that stores it and then does `then`.
    pub(crate) fn store(&mut self, id: &str, transaction: Transaction, then: Vec<Then>) -> Outcome {
        let shard = self.shard_of(id);
        let value = transaction.to_value();
        if let Some(loaded) = self.shards.get_mut(&shard) {
            loaded.transactions.insert(id.to_owned(), transaction);
        }
        Outcome { shard, append: Some((key(id), Some(value))), then }
    }

    /// An outcome without a record that keeps the order of the id's shard.
    pub(crate) fn ordered(&self, id: &str, then: Then) -> Outcome {
        Outcome { shard: self.shard_of(id), append: None, then: vec![then] }
    }

    /// The order for the markers of a transaction whose end is decided.
    pub(crate) fn markers(&self, id: &str, transaction: &Transaction) -> MarkerOrder {
        MarkerOrder {
            transactional_id: id.to_owned(),
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            commit: transaction.state == TxnState::PrepareCommit,
            coordinator_epoch: self.shards.get(&self.shard_of(id)).map_or(0, |shard| shard.epoch),
            version: transaction.version,
            partitions: transaction.unmarked.clone(),
        }
    }

    fn load(
        &mut self,
        now: Millis,
        shard: i32,
        epoch: i32,
        records: Vec<(TransactionLogKey, Option<TransactionLogValue>)>,
    ) -> Vec<Outcome> {
        let mut transactions = BTreeMap::new();
        for (key, value) in records {
            match value.as_ref().and_then(Transaction::from_value) {
                Some(transaction) => transactions.insert(key.transactional_id, transaction),
                None => transactions.remove(&key.transactional_id),
            };
        }
        let decided: Vec<(String, Transaction)> = transactions
            .iter()
            .filter(|(_, t)| t.state.is_preparing())
            .map(|(id, t)| (id.clone(), t.clone()))
            .collect();
        let open = transactions.values().filter(|t| t.state == TxnState::Ongoing);
        if let Some(first) = open.map(Transaction::due_ms).min() {
            self.note_due(first);
        }
        self.shards.insert(shard, Shard { epoch, transactions });
        decided
            .into_iter()
            .map(|(id, t)| {
                if t.unmarked.is_empty() {
                    // No marker will come that completes it: a crash has taken the record that followed the decision.
                    let done = self.completed(now, t);
                    return self.store(&id, done, Vec::new());
                }
                let order = self.markers(&id, &t);
                self.ordered(&id, Then::WriteMarkers(order))
            })
            .collect()
    }

    fn verify(
        &mut self,
        token: Token,
        id: &str,
        producer: (ProducerId, ProducerEpoch),
        partitions: &Partitions,
    ) -> Vec<Outcome> {
        let answer = match self.find(id) {
            Err(error) => Answer::Partitions { error, refused: Partitions::new() },
            Ok(found) => match found
                .ok_or(ErrorCode::InvalidProducerIdMapping)
                .and_then(|t| check(t, producer).map(|()| t))
            {
                Err(error) => Answer::Partitions { error, refused: Partitions::new() },
                Ok(t) if t.state.is_preparing() => Answer::Partitions {
                    error: ErrorCode::ConcurrentTransactions,
                    refused: Partitions::new(),
                },
                Ok(t) => {
                    let mut refused = Partitions::new();
                    for (topic, wanted) in partitions {
                        let known = t.partitions.get(topic).filter(|_| t.state == TxnState::Ongoing);
                        let absent: std::collections::BTreeSet<i32> = wanted
                            .iter()
                            .filter(|p| !known.is_some_and(|k| k.contains(p)))
                            .copied()
                            .collect();
                        if !absent.is_empty() {
                            refused.insert(topic.clone(), absent);
                        }
                    }
                    Answer::Partitions { error: ErrorCode::None, refused }
                }
            },
        };
        vec![self.ordered(id, Then::Answer(token, answer))]
    }

    fn add(
        &mut self,
        now: Millis,
        token: Token,
        id: String,
        producer: (ProducerId, ProducerEpoch),
        version: Version,
        partitions: Partitions,
    ) -> Vec<Outcome> {
        let answer = |error| Then::Answer(token, Answer::Partitions { error, refused: Partitions::new() });
        let found = self.find(&id).and_then(|t| t.ok_or(ErrorCode::InvalidProducerIdMapping));
        let mut t = match found.and_then(|t| check(t, producer).map(|()| t.clone())) {
            Ok(t) => t,
            Err(error) => return vec![self.ordered(&id, answer(error))],
        };
        if t.state.is_preparing() {
            return vec![self.ordered(&id, answer(ErrorCode::ConcurrentTransactions))];
        }
        let known = t.state == TxnState::Ongoing
            && partitions
                .iter()
                .all(|(topic, wanted)| t.partitions.get(topic).is_some_and(|has| wanted.is_subset(has)));
        if known {
            return vec![self.ordered(&id, answer(ErrorCode::None))];
        }
        if t.state != TxnState::Ongoing {
            t.partitions.clear();
            t.start_ms = now;
        }
        for (topic, wanted) in partitions {
            t.partitions.entry(topic).or_default().extend(wanted);
        }
        t.version = version;
        t.become_state(TxnState::Ongoing, now);
        self.note_due(t.due_ms());
        vec![self.store(&id, t, vec![answer(ErrorCode::None)])]
    }

    fn marker_written(
        &mut self,
        now: Millis,
        id: &str,
        producer: (ProducerId, ProducerEpoch),
        topic: &str,
        partition: i32,
    ) -> Vec<Outcome> {
        let shard = self.shard_of(id);
        let Some(t) = self.shards.get_mut(&shard).and_then(|s| s.transactions.get_mut(id)) else {
            return Vec::new();
        };
        if !t.state.is_preparing() || (t.producer_id, t.producer_epoch) != producer {
            return Vec::new();
        }
        if let Some(partitions) = t.unmarked.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                t.unmarked.remove(topic);
            }
        }
        if !t.unmarked.is_empty() {
            return Vec::new();
        }
        let done = self.completed(now, t_clone(&self.shards, shard, id));
        vec![self.store(id, done, Vec::new())]
    }

    fn tick(&mut self, now: Millis) -> Vec<Outcome> {
        let mut due = Vec::new();
        let mut expired = Vec::new();
        let mut first_due = None;
        for shard in self.shards.values() {
            for (id, t) in &shard.transactions {
                match t.state {
                    TxnState::Ongoing if t.due_ms() <= now => due.push(id.clone()),
                    TxnState::Ongoing => {
                        first_due = Some(first_due.map_or(t.due_ms(), |first: Millis| first.min(t.due_ms())));
                    }
                    TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort
                        if t.last_update_ms + self.config.id_expiration_ms < now =>
                    {
                        expired.push(id.clone());
                    }
                    _ => {}
                }
            }
        }
        self.first_due = first_due;
        let mut outcomes = Vec::new();
        for id in due {
            outcomes.extend(self.abort_by_fencing(now, &id));
        }
        for id in expired {
            let shard = self.shard_of(&id);
            if let Some(loaded) = self.shards.get_mut(&shard) {
                loaded.transactions.remove(&id);
            }
            outcomes.push(Outcome { shard, append: Some((key(&id), None)), then: Vec::new() });
        }
        outcomes
    }
}

fn t_clone(shards: &BTreeMap<i32, Shard>, shard: i32, id: &str) -> Transaction {
    shards[&shard].transactions[id].clone()
}

/// Whether a request's producer is the id's current one.
pub(crate) fn check(t: &Transaction, producer: (ProducerId, ProducerEpoch)) -> Result<(), ErrorCode> {
    if t.producer_id != producer.0 {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if t.producer_epoch != producer.1 {
        return Err(ErrorCode::ProducerFenced);
    }
    Ok(())
}

/// An outcome that concerns no shard.
fn free(then: Then) -> Outcome {
    Outcome { shard: -1, append: None, then: vec![then] }
}

fn key(id: &str) -> TransactionLogKey {
    TransactionLogKey { transactional_id: id.to_owned() }
}
