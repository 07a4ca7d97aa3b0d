//! The clients that write: idempotent producers that send again until they know, and transactional ones of both
//! versions, some of whom are replaced by a newer instance and go on as zombies. Never enters: what the answers prove
//! (`oracle.rs`).

use std::collections::{BTreeMap, VecDeque};

use millstream_batch::{BatchBuilder, BatchConfig, Codec, RecordRef};
use millstream_txn::{Answer, Input, Partitions, Version};
use millstream_types::topic::CONSUMER_OFFSETS;
use millstream_types::{Clock, ErrorCode, Offset, Rng};
use millstream_wire::message::TxnOffsetCommitRequest;
use millstream_wire::message::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use crate::node::{Place, Produce, SHARDS, caller};
use crate::oracle::{OffsetKey, Outcome, TxnId};
use crate::world::{Op, World};

/// A batch that is not known to be there.
#[derive(Clone, Debug)]
struct Pending {
    base_sequence: i32,
    ids: Vec<u64>,
    key: u8,
    sent: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    topic: String,
    next_sequence: i32,
    /// Whether a batch of it was acknowledged: a broker takes any sequence of a producer that it does not know, so
    /// the first batch goes alone.
    known: bool,
    /// The highest first sequence of an acknowledged batch.
    acked: i32,
    queue: VecDeque<Pending>,
}

/// An idempotent producer.
#[derive(Clone, Debug, Default)]
pub struct Idempotent {
    producer_id: Option<i64>,
    asking: Option<u64>,
    lanes: BTreeMap<Place, Lane>,
}

impl Idempotent {
    /// What was sent to a node that is gone will not be answered.
    pub fn lost(&mut self) {
        self.asking = None;
        let queues = self.lanes.values_mut().flat_map(|lane| lane.queue.iter_mut());
        queues.for_each(|pending| pending.sent = None);
    }

    /// Whether nothing is in doubt.
    pub fn is_quiet(&self) -> bool {
        self.lanes.values().all(|lane| lane.queue.is_empty())
    }
}

/// Where a transactional producer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    Ready,
    Open { writes_left: u8, commit: bool },
    Ending { commit: bool },
}

/// A transactional producer.
#[derive(Clone, Debug)]
pub struct Transactional {
    id: String,
    version: Version,
    stage: Stage,
    producer: (i64, i16),
    txn: TxnId,
    /// Whether an EndTxn of this transaction was sent and not answered for certain.
    doubt: bool,
    sequences: BTreeMap<Place, i32>,
    added: Vec<(String, i32)>,
    op: Option<u64>,
}

impl Transactional {
    /// A producer of this id.
    pub fn new(id: &str, version: Version) -> Transactional {
        Transactional {
            id: id.to_owned(),
            version,
            stage: Stage::Fresh,
            producer: (-1, -1),
            txn: 0,
            doubt: false,
            sequences: BTreeMap::new(),
            added: Vec::new(),
            op: None,
        }
    }

    /// The group whose offsets it commits.
    fn group(&self) -> String {
        format!("tg-{}", self.id)
    }

    /// Whether it has nothing open.
    pub fn is_quiet(&self) -> bool {
        self.stage == Stage::Ready && self.op.is_none()
    }
}

/// A producer that was replaced and does not know it.
#[derive(Clone, Debug)]
pub struct Zombie {
    id: String,
    version: Version,
    producer: (i64, i16),
}

impl World {
    fn batch(
        &mut self,
        ids: &[u64],
        key: u8,
        producer: (i64, i16),
        sequence: i32,
        transactional: bool,
    ) -> Vec<u8> {
        let timestamp = self.clock.wall_ms();
        let codec = if ids.len() > 2 { Codec::Lz4 } else { Codec::None };
        let mut builder = BatchBuilder::new(BatchConfig {
            codec,
            producer_id: producer.0,
            producer_epoch: producer.1,
            base_sequence: sequence,
            transactional,
            ..BatchConfig::default()
        });
        for id in ids {
            let mut value = id.to_le_bytes().to_vec();
            value.resize(8 + (*id as usize * 37) % 300, *id as u8);
            let record = RecordRef { timestamp, key: Some(&[key]), value: Some(&value), headers: &[] };
            builder.append(&record).expect("a small record fits");
        }
        builder.build().expect("a batch is built").to_vec()
    }

    fn fresh_ids(&mut self, place: Place, txn: Option<TxnId>, key: u8) -> Vec<u64> {
        let count = 1 + self.rng.below(3);
        let ids: Vec<u64> = (0..count).map(|_| self.unique()).collect();
        ids.iter().for_each(|id| self.oracle.send(*id, place, txn, key));
        ids
    }

    /// An idempotent producer does something.
    pub fn idempotent_acts(&mut self, who: usize, new: bool) {
        let Some(producer_id) = self.idempotent[who].producer_id else {
            if self.idempotent[who].asking.is_none() {
                let op = self.begin(Op::InitIdempotent(who));
                self.idempotent[who].asking = Some(op);
                self.txn_input(Input::InitProducerId {
                    token: op,
                    transactional_id: None,
                    timeout_ms: 60_000,
                    producer_id: -1,
                    producer_epoch: -1,
                });
            }
            return;
        };
        let target = if new { self.any_place() } else { None };
        if let Some((topic, place)) = target {
            let room = self.idempotent[who].lanes.get(&place).is_none_or(|lane| lane.queue.len() < 4);
            if room {
                let key = self.rng.below(6) as u8;
                let ids = self.fresh_ids(place, None, key);
                let lane = self.idempotent[who].lanes.entry(place).or_default();
                lane.topic = topic;
                let base_sequence = lane.next_sequence;
                lane.next_sequence += ids.len() as i32;
                lane.queue.push_back(Pending { base_sequence, ids, key, sent: None });
            }
        }
        // What is not known to be there is sent, in order.
        let mut due = Vec::new();
        for (place, lane) in &mut self.idempotent[who].lanes {
            let together = if lane.known { usize::MAX } else { 1 };
            for pending in lane.queue.iter_mut().take(together).filter(|p| p.sent.is_none()) {
                self.next += 1;
                pending.sent = Some(self.next);
                due.push((self.next, *place, lane.topic.clone(), pending.clone()));
            }
        }
        for (op, place, topic, pending) in due {
            if self.topic_id(&topic) != Some(place.0) {
                self.idempotent[who].lanes.remove(&place);
                continue;
            }
            let batch = self.batch(&pending.ids, pending.key, (producer_id, 0), pending.base_sequence, false);
            self.ops.insert(op, Op::Idempotent(who, place, pending.base_sequence));
            let produce = Produce { op, topic, place, batch, transactional_id: None, version: Version::V2 };
            self.produce(produce);
        }
    }

    /// The answer to an idempotent produce.
    pub fn idempotent_answered(
        &mut self,
        (who, place, sequence): (usize, Place, i32),
        op: u64,
        result: Result<(Offset, bool), ErrorCode>,
    ) -> Result<(), String> {
        let Some(lane) = self.idempotent[who].lanes.get_mut(&place) else { return Ok(()) };
        let Some(at) = lane.queue.iter().position(|p| p.base_sequence == sequence) else { return Ok(()) };
        match result {
            Ok((offset, duplicate)) => {
                lane.known = true;
                lane.acked = lane.acked.max(sequence);
                let pending = lane.queue.remove(at).expect("it was just found");
                if duplicate {
                    self.mark("a batch was sent again and known");
                }
                for (i, id) in pending.ids.iter().enumerate() {
                    self.oracle.acked(*id, offset + i as Offset)?;
                }
            }
            Err(error) => {
                // A clean start remembers the last batch of a producer alone, as Kafka's snapshots do. One before an
                // acknowledged one is there all the same.
                let passed = error == ErrorCode::OutOfOrderSequenceNumber && lane.acked > sequence;
                if passed || error == ErrorCode::DuplicateSequenceNumber {
                    lane.queue.remove(at);
                    return Ok(());
                }
                for pending in lane.queue.iter_mut().skip(at).filter(|p| p.sent == Some(op)) {
                    pending.sent = None;
                }
                self.mark("a produce was refused and sent again");
            }
        }
        Ok(())
    }

    /// A producer id was given, or not.
    pub fn idempotent_inited(&mut self, who: usize, answer: &Answer) -> Result<(), String> {
        self.idempotent[who].asking = None;
        if let Answer::ProducerId { error: ErrorCode::None, producer_id, .. } = answer {
            if !self.producer_ids.insert(*producer_id) {
                return Err(format!("producer id {producer_id} was given out twice"));
            }
            self.idempotent[who].producer_id = Some(*producer_id);
        }
        Ok(())
    }

    /// What was sent to a node that is gone will not be answered; some producers are replaced with it.
    pub fn transactional_lost(&mut self) {
        for who in 0..self.transactional.len() {
            let Some(op) = self.transactional[who].op.take() else { continue };
            let lost = self.lost_ops.remove(&op);
            let replaced = self.rng.chance(1, 2);
            let t = &mut self.transactional[who];
            match t.stage {
                Stage::Ending { .. } => {
                    t.doubt = true;
                    if replaced {
                        t.stage = Stage::Fresh;
                    }
                }
                Stage::Open { .. } => t.stage = Stage::Ending { commit: false },
                Stage::Fresh | Stage::Ready => {}
            }
            if let Some(Op::TxnOffset(_, key, value)) = lost {
                let txn = self.transactional[who].txn;
                self.note_txn_offset(txn, key, value);
            }
        }
    }

    fn note_txn_offset(&mut self, txn: TxnId, key: OffsetKey, value: i64) {
        self.oracle.txns.entry(txn).and_modify(|t| t.offsets.push((key, value)));
    }

    /// A transactional producer does its next thing, if it waits for none; `end` has it come to an end.
    pub fn transactional_acts(&mut self, who: usize, end: bool) -> Result<(), String> {
        if self.transactional[who].op.is_some() {
            return Ok(());
        }
        let t = self.transactional[who].clone();
        match t.stage {
            Stage::Fresh => {
                if t.txn != 0 && !t.doubt {
                    self.oracle_end_open(t.txn, Outcome::Aborted)?;
                }
                let op = self.begin(Op::InitTransactional(who));
                self.transactional[who].op = Some(op);
                self.txn_input(Input::InitProducerId {
                    token: op,
                    transactional_id: Some(t.id),
                    timeout_ms: 5_000 + 1_000 * (op % 20) as i32,
                    producer_id: -1,
                    producer_epoch: -1,
                });
            }
            Stage::Ready if end => {}
            Stage::Ready => {
                let txn = self.unique();
                self.oracle.begin(txn);
                let stage =
                    Stage::Open { writes_left: 1 + self.rng.below(5) as u8, commit: self.rng.chance(3, 4) };
                let t = &mut self.transactional[who];
                (t.txn, t.doubt, t.stage) = (txn, false, stage);
                t.added.clear();
            }
            Stage::Open { writes_left: 0, commit } => {
                self.transactional[who].stage = Stage::Ending { commit: commit && !end };
            }
            Stage::Open { .. } if end => self.transactional[who].stage = Stage::Ending { commit: false },
            Stage::Open { writes_left, commit } => {
                if self.rng.chance(1, 25) {
                    // A new instance takes over; this one does not know.
                    let zombie = Zombie { id: t.id, version: t.version, producer: t.producer };
                    self.zombies.push(zombie);
                    self.transactional[who].stage = Stage::Fresh;
                    return Ok(());
                }
                self.transactional_writes(who, writes_left, commit);
            }
            Stage::Ending { commit } => {
                if commit {
                    self.oracle_end_open(t.txn, Outcome::Unknown)?;
                }
                let op = self.begin(Op::End(who, commit));
                self.transactional[who].op = Some(op);
                self.txn_input(Input::EndTxn {
                    token: op,
                    transactional_id: t.id,
                    producer_id: t.producer.0,
                    producer_epoch: t.producer.1,
                    commit,
                    version: t.version,
                });
            }
        }
        Ok(())
    }

    fn oracle_end_open(&mut self, txn: TxnId, outcome: Outcome) -> Result<(), String> {
        match self.oracle.txns.get(&txn).map(|t| t.outcome) {
            Some(Outcome::Open) => self.oracle.end(txn, outcome),
            _ => Ok(()),
        }
    }

    fn transactional_writes(&mut self, who: usize, writes_left: u8, commit: bool) {
        let t = self.transactional[who].clone();
        let offsets = self.rng.chance(1, 5);
        let Some((topic, place)) = self.any_plain_place() else { return };
        let target = match offsets {
            true => {
                let shard = millstream_types::hash::coordinator_partition(&t.group(), SHARDS);
                (CONSUMER_OFFSETS.to_owned(), shard)
            }
            false => (topic.clone(), place.1),
        };
        if t.version == Version::V1 && !t.added.contains(&target) {
            let op = self.begin(Op::Added(who, target.clone()));
            self.transactional[who].op = Some(op);
            self.txn_input(Input::AddPartitions {
                token: op,
                transactional_id: t.id,
                producer_id: t.producer.0,
                producer_epoch: t.producer.1,
                version: Version::V1,
                partitions: Partitions::from([(target.0, [target.1].into())]),
                verify_only: false,
            });
            return;
        }
        self.transactional[who].stage = Stage::Open { writes_left: writes_left - 1, commit };
        if offsets {
            let value = self.unique() as i64;
            let key: OffsetKey = (t.group(), topic.clone(), place.1);
            self.oracle.offset_sent(&key, value);
            let op = self.begin(Op::TxnOffset(who, key, value));
            self.transactional[who].op = Some(op);
            let request = TxnOffsetCommitRequest {
                transactional_id: t.id.clone(),
                group_id: t.group(),
                producer_id: t.producer.0,
                producer_epoch: t.producer.1,
                generation_id_or_member_epoch: -1,
                topics: vec![TxnOffsetCommitRequestTopic {
                    name: topic,
                    partitions: vec![TxnOffsetCommitRequestPartition {
                        partition_index: place.1,
                        committed_offset: value,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            let caller = caller(&mut self.rng, 5);
            if let Some(node) = &mut self.node {
                node.txn_offset_commit(op, caller, request, t.version);
            }
            return;
        }
        let key = self.rng.below(6) as u8;
        let ids = self.fresh_ids(place, Some(t.txn), key);
        let sequence = t.sequences.get(&place).copied().unwrap_or(0);
        self.transactional[who].sequences.insert(place, sequence + ids.len() as i32);
        let batch = self.batch(&ids, key, t.producer, sequence, true);
        let op = self.begin(Op::InTransaction(who, ids));
        self.transactional[who].op = Some(op);
        self.produce(Produce { op, topic, place, batch, transactional_id: Some(t.id), version: t.version });
    }

    /// A transactional produce, or an offset commit, was answered.
    pub fn written(
        &mut self,
        who: usize,
        ids: &[u64],
        result: Result<(Offset, bool), ErrorCode>,
    ) -> Result<(), String> {
        self.transactional[who].op = None;
        match result {
            Ok((offset, _)) => {
                for (i, id) in ids.iter().enumerate() {
                    self.oracle.acked(*id, offset + i as Offset)?;
                }
            }
            Err(error) => self.write_failed(who, error),
        }
        Ok(())
    }

    fn write_failed(&mut self, who: usize, error: ErrorCode) {
        // After a failure a transaction can only be aborted; a producer that is fenced can do nothing.
        let fenced = matches!(
            error,
            ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidProducerIdMapping
        );
        if fenced {
            self.mark("a producer was fenced");
        }
        let t = &mut self.transactional[who];
        t.stage = if fenced { Stage::Fresh } else { Stage::Ending { commit: false } };
    }

    /// A TxnOffsetCommit was answered.
    pub fn txn_offset_answered(&mut self, who: usize, key: OffsetKey, value: i64, error: ErrorCode) {
        self.transactional[who].op = None;
        if error.is_none() {
            self.mark("offsets were committed in a transaction");
        } else {
            self.write_failed(who, error);
        }
        // Refused or not, it may be there, and then goes the transaction's way.
        let txn = self.transactional[who].txn;
        self.note_txn_offset(txn, key, value);
    }

    /// The coordinator answered a transactional producer.
    pub fn transactional_answered(&mut self, op: Op, answer: Answer) -> Result<(), String> {
        match (op, answer) {
            (Op::InitTransactional(who), Answer::ProducerId { error, producer_id, producer_epoch }) => {
                self.transactional[who].op = None;
                if error == ErrorCode::ConcurrentTransactions {
                    self.mark("an open transaction was aborted by its successor");
                }
                if !error.is_none() {
                    return Ok(());
                }
                let t = &mut self.transactional[who];
                let old = std::mem::replace(&mut t.producer, (producer_id, producer_epoch));
                t.sequences.clear();
                t.stage = Stage::Ready;
                if old.0 == producer_id && old.1 >= producer_epoch {
                    return Err(format!("TX-3: {} got epoch {producer_epoch} after {}", t.id, old.1));
                }
                // What was open before is decided now: it was aborted, unless its commit is in doubt.
                let (txn, doubt) = (t.txn, t.doubt);
                let id = t.id.clone();
                if !doubt {
                    self.oracle_end_open(txn, Outcome::Aborted)?;
                }
                for zombie in self.zombies.iter().filter(|z| z.id == id) {
                    if zombie.producer == (producer_id, producer_epoch) {
                        return Err(format!("TX-3: {id} was given the epoch of its zombie"));
                    }
                }
                self.armed_zombies.extend(self.zombies.extract_if(.., |z| z.id == id));
                Ok(())
            }
            (Op::Added(who, target), Answer::Partitions { error, refused }) => {
                self.transactional[who].op = None;
                if error.is_none() && refused.is_empty() {
                    self.transactional[who].added.push(target);
                } else if error != ErrorCode::ConcurrentTransactions {
                    self.write_failed(who, error);
                }
                Ok(())
            }
            (Op::End(who, commit), Answer::End { error, producer_id, producer_epoch }) => {
                self.ended(who, commit, error, (producer_id, producer_epoch))
            }
            (Op::ZombieEnd, Answer::End { error: ErrorCode::None, .. }) => {
                Err("TX-3: a zombie's commit was taken".to_owned())
            }
            (Op::ZombieEnd, _) => {
                self.mark("a zombie's commit was refused");
                Ok(())
            }
            (op, answer) => Err(format!("{op:?} was answered {answer:?}")),
        }
    }

    fn ended(&mut self, who: usize, commit: bool, error: ErrorCode, next: (i64, i16)) -> Result<(), String> {
        self.transactional[who].op = None;
        let (txn, doubt) = (self.transactional[who].txn, self.transactional[who].doubt);
        match error {
            ErrorCode::None => {
                self.oracle.end(txn, if commit { Outcome::Committed } else { Outcome::Aborted })?;
                self.mark(if commit { "a transaction was committed" } else { "a transaction was aborted" });
                if doubt {
                    self.mark("an end that was in doubt was asked for again");
                }
                let t = &mut self.transactional[who];
                if t.version == Version::V2 {
                    if t.producer == next {
                        return Err(format!("TX-3: {} goes on in epoch {}", t.id, next.1));
                    }
                    t.producer = next;
                    t.sequences.clear();
                }
                t.stage = Stage::Ready;
                t.doubt = false;
            }
            ErrorCode::ConcurrentTransactions => self.transactional[who].doubt |= commit,
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => {
                self.transactional[who].doubt |= commit;
            }
            _ => {
                let outcome = self.oracle.txns.get(&txn).map(|t| t.outcome);
                if !doubt && matches!(outcome, Some(Outcome::Open | Outcome::Unknown)) {
                    self.oracle.end(txn, Outcome::Aborted)?;
                }
                self.mark("an end was refused");
                self.transactional[who].stage = Stage::Fresh;
            }
        }
        Ok(())
    }

    /// A zombie wakes up.
    pub fn zombie_acts(&mut self) {
        let Some(zombie) = self.armed_zombies.first().cloned() else { return };
        if self.rng.chance(1, 3) {
            self.armed_zombies.remove(0);
            let op = self.begin(Op::ZombieEnd);
            self.txn_input(Input::EndTxn {
                token: op,
                transactional_id: zombie.id,
                producer_id: zombie.producer.0,
                producer_epoch: zombie.producer.1,
                commit: true,
                version: zombie.version,
            });
            return;
        }
        let Some((topic, place)) = self.any_plain_place() else { return };
        let txn = self.unique();
        self.oracle.begin(txn);
        let ids = self.fresh_ids(place, Some(txn), 0);
        let batch = self.batch(&ids, 0, zombie.producer, 0, true);
        let op = self.begin(Op::Zombie);
        self.produce(Produce {
            op,
            topic,
            place,
            batch,
            transactional_id: Some(zombie.id),
            version: zombie.version,
        });
    }
}
