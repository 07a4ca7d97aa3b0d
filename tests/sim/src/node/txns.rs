//! The transaction coordinator's steps, after the server's `txn_task.rs`, and a transactional produce's way through it,
//! after `handler/produce.rs`. Never enters: what a transaction decides.

use std::collections::BTreeMap;

use millstream_batch::control::{TxnMarker, TxnOutcome};
use millstream_batch::{BatchHeader, Decompressor, Origin};
use millstream_log::{AppendOrigin, CheckedBatch};
use millstream_replica::Acks;
use millstream_txn::{
    Answer, Config, Coordinator, Input, MarkerOrder, Outcome, Partitions, Then, Token, Version,
};
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::topic::CONSUMER_OFFSETS;
use millstream_types::{Clock, ErrorCode, LeaderEpoch, Millis, ProducerEpoch, ProducerId};
use millstream_wire::record::txn::{
    TransactionKey, TransactionLogKey, TransactionLogValue, TransactionValue,
};

use super::coordinator_log::{CoordinatorLog, KeyValue, Replayed, replay};
use super::partition::Place;
use super::{Awaited, ControlRequest, Inbox, Node, RETRY_MS, Reply, SHARDS, Waiter};
use crate::plant::Bug;

/// How often open transactions are looked at (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
const TICK_MS: Millis = 2_000;

enum Message {
    Request(Input),
    Lead(i32, Place, LeaderEpoch),
    Resign(i32),
    ProducerIds(ProducerId, i32),
    Committed(i32),
    MarkerCommitted(MarkerPlace),
}

/// A marker, and where it goes.
#[derive(Clone, Debug)]
pub struct MarkerPlace {
    order: MarkerOrder,
    topic: String,
    partition: i32,
}

/// One batch for one partition.
#[derive(Clone, Debug)]
pub struct Produce {
    /// The client's name for it.
    pub op: u64,
    /// The topic's name.
    pub topic: String,
    /// The topic's id and the partition.
    pub place: Place,
    /// The batch.
    pub batch: Vec<u8>,
    /// The transactional id, where it is in a transaction.
    pub transactional_id: Option<String>,
    /// What the client speaks.
    pub version: Version,
}

/// What waits for the coordinator to know of a partition.
enum Verified {
    Produce(Box<Produce>),
    Group(u64, millstream_group::Caller, Box<millstream_group::Request>),
}

/// What the coordinator's thread keeps.
pub(super) struct Task {
    core: Coordinator,
    log: CoordinatorLog<Vec<Then>>,
    inbox: Inbox<Message>,
    retries: Vec<(Millis, MarkerPlace)>,
    ask_again: Option<Millis>,
    next_tick: Millis,
    verifying: BTreeMap<Token, Verified>,
    next_token: Token,
}

impl Task {
    pub(super) fn new(now: Millis, plant: Option<Bug>) -> Task {
        let config = Config { shards: SHARDS, ..Config::default() };
        let mut log = CoordinatorLog::new();
        log.answers_early = plant == Some(Bug::CoordinatorAnswersEarly);
        Task {
            core: Coordinator::new(config),
            log,
            inbox: Inbox::new(),
            retries: Vec::new(),
            ask_again: None,
            next_tick: now + TICK_MS,
            verifying: BTreeMap::new(),
            // Apart from the clients' own.
            next_token: 1 << 48,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.inbox.is_empty()
    }

    pub(super) fn is_ready(&self, now: Millis) -> bool {
        !self.inbox.is_empty() || self.next_deadline() <= now
    }

    pub(super) fn next_deadline(&self) -> Millis {
        let retries = self.retries.iter().map(|(at, _)| *at).chain(self.ask_again);
        retries.chain([self.next_tick]).min().unwrap_or(Millis::MAX)
    }

    pub(super) fn led(&mut self, shard: i32, place: Place, epoch: Option<LeaderEpoch>) {
        self.inbox.push_back(match epoch {
            Some(epoch) => Message::Lead(shard, place, epoch),
            None => Message::Resign(shard),
        });
    }

    pub(super) fn committed(&mut self, shard: i32) {
        self.inbox.push_back(Message::Committed(shard));
    }

    pub(super) fn marker_committed(&mut self, place: MarkerPlace) {
        self.inbox.push_back(Message::MarkerCommitted(place));
    }

    pub(super) fn producer_ids(&mut self, first: ProducerId, count: i32) {
        self.inbox.push_back(Message::ProducerIds(first, count));
    }

    pub(super) fn no_producer_ids(&mut self, now: Millis) {
        self.ask_again = Some(now + RETRY_MS);
    }
}

impl Node {
    /// Asks the transaction coordinator; the input names the token.
    pub fn txn(&mut self, input: Input) {
        self.txns.inbox.push_back(Message::Request(input));
    }

    /// Produces one batch. A first write of a transaction to a partition is made known to the coordinator, or, of
    /// version 1, verified by it, before it is appended.
    pub fn produce(&mut self, produce: Produce) {
        let header = BatchHeader::parse(&produce.batch).ok();
        let header = header.filter(|h| h.attributes.is_transactional());
        let Some((id, header)) = produce.transactional_id.clone().zip(header) else {
            self.produce_append(produce);
            let _ = self.after();
            return;
        };
        let found = self.partitions.get(&produce.place);
        let producer = (header.producer_id, header.producer_epoch);
        let open = found.is_none_or(|p| p.log.has_ongoing_txn(producer.0, producer.1));
        if open || self.plant == Some(Bug::WriteOutsideTransaction) {
            self.produce_append(produce);
            let _ = self.after();
            return;
        }
        let partitions = Partitions::from([(produce.topic.clone(), [produce.place.1].into())]);
        let version = produce.version;
        self.verify(id, producer, version, partitions, Verified::Produce(Box::new(produce)));
    }

    /// A TxnOffsetCommit: the group's shard becomes part of the transaction first.
    pub fn txn_offset_commit(
        &mut self,
        token: u64,
        caller: millstream_group::Caller,
        request: millstream_wire::message::TxnOffsetCommitRequest,
        version: Version,
    ) {
        let shard = millstream_types::hash::coordinator_partition(&request.group_id, SHARDS);
        let producer = (request.producer_id, request.producer_epoch);
        let id = request.transactional_id.clone();
        let found = self.partition(CONSUMER_OFFSETS, shard);
        let open = found.is_some_and(|p| p.log.has_ongoing_txn(producer.0, producer.1));
        let request = Box::new(millstream_group::Request::TxnCommit(request));
        if open {
            self.group(token, caller, *request);
            return;
        }
        let partitions = Partitions::from([(CONSUMER_OFFSETS.to_owned(), [shard].into())]);
        self.verify(id, producer, version, partitions, Verified::Group(token, caller, request));
    }

    fn verify(
        &mut self,
        transactional_id: String,
        (producer_id, producer_epoch): (ProducerId, ProducerEpoch),
        version: Version,
        partitions: Partitions,
        then: Verified,
    ) {
        self.txns.next_token += 1;
        let token = self.txns.next_token;
        self.txns.verifying.insert(token, then);
        self.txn(Input::AddPartitions {
            token,
            transactional_id,
            producer_id,
            producer_epoch,
            version,
            partitions,
            verify_only: version == Version::V1,
        });
    }

    fn verified(&mut self, verified: Verified, answer: &Answer) {
        let error = match answer {
            Answer::Partitions { error: ErrorCode::None, refused } if refused.is_empty() => None,
            Answer::Partitions { error: ErrorCode::None, .. } => Some(ErrorCode::TransactionAbortable),
            Answer::Partitions { error, .. } => Some(*error),
            _ => Some(ErrorCode::CoordinatorNotAvailable),
        };
        match (verified, error) {
            (Verified::Produce(produce), None) => self.produce_append(*produce),
            (Verified::Produce(produce), Some(error)) => {
                self.replies.push(Reply::Produce(produce.op, Err(error)));
            }
            (Verified::Group(token, caller, request), None) => self.group(token, caller, *request),
            (Verified::Group(token, ..), Some(error)) => {
                let answer = millstream_group::Answer::Refused(error);
                self.replies.push(Reply::Group(token, Box::new(answer)));
            }
        }
    }

    fn produce_append(&mut self, produce: Produce) {
        let op = produce.op;
        match self.try_append(produce) {
            Ok(Some(awaited)) => self.acknowledge(&awaited),
            Ok(None) => {}
            Err(error) => self.replies.push(Reply::Produce(op, Err(error))),
        }
    }

    fn try_append(&mut self, mut produce: Produce) -> Result<Option<Box<Awaited>>, ErrorCode> {
        let now = self.now();
        let partition = self.partitions.get_mut(&produce.place);
        let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let limits = partition.log.config().limits(now.0, Origin::Client);
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        let checked =
            CheckedBatch::check(&mut produce.batch, &limits, &mut scratch).map_err(|e| e.error_code())?;
        let produced = partition.append(now, checked, Acks::All, AppendOrigin::Client, &mut self.fx)?;
        let awaited = Box::new(Awaited {
            op: produce.op,
            place: partition.place,
            base_offset: produced.info.first_offset,
            end_offset: produced.end_offset,
            duplicate: produced.info.duplicate,
        });
        let waiter = Waiter::Produce(awaited);
        let back = partition.wait_for_ack(waiter, Acks::All, produced.end_offset, &mut self.fx);
        Ok(back.map(|waiter| match waiter {
            Waiter::Produce(awaited) => awaited,
            _ => unreachable!("what was given comes back"),
        }))
    }

    pub(super) fn txns_step(&mut self) {
        if let Some(message) = self.txns.inbox.pop_front() {
            self.txns_take(message);
        }
        let now = self.clock.monotonic_ms();
        if self.txns.next_tick <= now {
            self.txns.next_tick = now + TICK_MS;
            self.txns_input(Input::Tick);
        }
        if self.txns.ask_again.is_some_and(|at| at <= now) {
            self.txns.ask_again = None;
            self.control(0, ControlRequest::ProducerIds);
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.txns.retries).into_iter().partition(|(at, _)| *at <= now);
        self.txns.retries = later;
        for (_, marker) in due {
            self.counts.markers_retried += 1;
            self.write_marker(marker);
        }
    }

    fn txns_take(&mut self, message: Message) {
        match message {
            Message::Request(input) => self.txns_input(input),
            Message::Lead(shard, place, epoch) => self.txns_lead(shard, place, epoch),
            Message::Resign(shard) => self.txns_resign(shard, ErrorCode::NotCoordinator),
            Message::ProducerIds(first, count) => self.txns_input(Input::ProducerIds { first, count }),
            Message::Committed(shard) => {
                let place = self.txns.log.place(shard);
                let Some(partition) = place.and_then(|place| self.partitions.get_mut(&place)) else { return };
                let who = Waiter::TxnShard(shard);
                for then in self.txns.log.committed(shard, partition, who, &mut self.fx) {
                    self.carry_on(then);
                }
            }
            Message::MarkerCommitted(marker) => self.marker_is_committed(marker),
        }
    }

    fn txn_records(
        &self,
        place: Place,
    ) -> Result<Vec<(TransactionLogKey, Option<TransactionLogValue>)>, ErrorCode> {
        let mut records = Vec::new();
        let partition = self.partitions.get(&place).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        for replayed in replay(partition)? {
            let Replayed::Record(key, value, _) = replayed else { continue };
            let key = TransactionKey::decode(key).expect("a transaction's key is read back");
            let kind = key.record_type();
            let TransactionKey::TransactionLog(name) = key else { continue };
            let value = value.map(|v| {
                match TransactionValue::decode(kind, v).expect("a transaction's record is read back") {
                    TransactionValue::TransactionLog(value) => value,
                    other => panic!("a transaction's record is {other:?}"),
                }
            });
            records.push((name, value));
        }
        Ok(records)
    }

    fn txns_lead(&mut self, shard: i32, place: Place, epoch: LeaderEpoch) {
        if self.lead_later(place, shard) {
            return;
        }
        let Ok(records) = self.txn_records(place) else { return };
        let Some(partition) = self.partitions.get(&place) else { return };
        self.txns.log.lead(shard, partition);
        self.txns_input(Input::Load { shard, epoch, records });
    }

    fn txns_resign(&mut self, shard: i32, error: ErrorCode) {
        self.txns_input(Input::Unload { shard });
        for then in self.txns.log.resign(shard) {
            self.txns_refuse(then, error);
        }
    }

    fn txns_input(&mut self, input: Input) {
        let now = self.clock.monotonic_ms();
        for outcome in self.txns.core.step(now, input) {
            self.txns_carry_out(outcome);
        }
    }

    fn txns_carry_out(&mut self, outcome: Outcome) {
        let Outcome { shard, append, then } = outcome;
        if shard < 0 {
            self.carry_on(then);
            return;
        }
        let now = self.now();
        let place = self.txns.log.place(shard);
        let mut partition = place.and_then(|place| self.partitions.get_mut(&place));
        if let Some((key, value)) = append {
            let record = encode(key, value);
            let result = match &mut partition {
                None => Err(ErrorCode::NotCoordinator),
                Some(p) => self.txns.log.append(now, shard, p, &[record], None, &mut self.fx),
            };
            if result.is_err() {
                self.counts.reloads += 1;
                self.txns_refuse(then, ErrorCode::CoordinatorNotAvailable);
                self.txns_resign(shard, ErrorCode::CoordinatorNotAvailable);
                if let Some(place) = place {
                    let epoch = self.partitions.get(&place).map_or(-1, |p| p.replica.leader_epoch());
                    self.txns_lead(shard, place, epoch);
                }
                return;
            }
        }
        if then.is_empty() {
            return;
        }
        let who = Waiter::TxnShard(shard);
        if let Some(then) = self.txns.log.when_committed(shard, partition, then, who, &mut self.fx) {
            self.carry_on(then);
        }
    }

    fn carry_on(&mut self, then: Vec<Then>) {
        for then in then {
            match then {
                Then::Answer(token, answer) => self.txns_answer(token, answer),
                Then::WriteMarkers(order) => {
                    let places: Vec<(String, i32)> = order
                        .partitions
                        .iter()
                        .flat_map(|(topic, ps)| ps.iter().map(|p| (topic.clone(), *p)))
                        .collect();
                    for (i, (topic, partition)) in places.into_iter().enumerate() {
                        let mut order = order.clone();
                        if self.plant == Some(Bug::MarkerTurned) && i > 0 {
                            order.commit = false;
                        }
                        let marker = MarkerPlace { order, topic, partition };
                        if self.plant == Some(Bug::MarkerSkipped) && i > 0 {
                            self.marker_done(&marker);
                        } else {
                            self.write_marker(marker);
                        }
                    }
                }
                Then::AllocateProducerIds => self.control(0, ControlRequest::ProducerIds),
            }
        }
    }

    fn txns_answer(&mut self, token: Token, answer: Answer) {
        match self.txns.verifying.remove(&token) {
            Some(verified) => self.verified(verified, &answer),
            None => self.replies.push(Reply::Txn(token, answer)),
        }
    }

    fn txns_refuse(&mut self, then: Vec<Then>, error: ErrorCode) {
        for then in then {
            if let Then::Answer(token, answer) = then {
                let refused = match answer {
                    Answer::ProducerId { .. } => {
                        Answer::ProducerId { error, producer_id: -1, producer_epoch: -1 }
                    }
                    Answer::Partitions { .. } => Answer::Partitions { error, refused: Partitions::new() },
                    Answer::End { .. } => Answer::End { error, producer_id: -1, producer_epoch: -1 },
                };
                self.txns_answer(token, refused);
            }
        }
    }

    fn write_marker(&mut self, marker: MarkerPlace) {
        let (now, at) = (self.now(), self.clock.monotonic_ms() + RETRY_MS);
        let id = self.names.get(&*marker.topic).copied();
        let partition = id.and_then(|id| self.partitions.get_mut(&(id, marker.partition)));
        let Some(partition) = partition else {
            if self.image.topics.by_name(&marker.topic).is_none() {
                self.marker_done(&marker);
            } else {
                self.txns.retries.push((at, marker));
            }
            return;
        };
        let order = &marker.order;
        let batch = TxnMarker {
            producer_id: order.producer_id,
            producer_epoch: order.producer_epoch,
            outcome: if order.commit { TxnOutcome::Commit } else { TxnOutcome::Abort },
            coordinator_epoch: order.coordinator_epoch,
        };
        match partition.append_marker(now, batch, order.version.level(), &mut self.fx) {
            Ok(produced) => {
                self.counts.markers += 1;
                self.counts.markers_repeated += u64::from(produced.info.duplicate);
                let waiter = Waiter::Marker(Box::new(marker));
                if let Some(waiter) = partition.wait_for_commit(waiter, produced.end_offset, &mut self.fx) {
                    self.fx.wake.push(waiter);
                }
            }
            Err(
                ErrorCode::InvalidProducerEpoch
                | ErrorCode::TransactionCoordinatorFenced
                | ErrorCode::UnknownTopicOrPartition,
            ) => self.marker_done(&marker),
            Err(_) => self.txns.retries.push((at, marker)),
        }
    }

    fn marker_is_committed(&mut self, marker: MarkerPlace) {
        if marker.topic == CONSUMER_OFFSETS {
            self.groups.marker(marker.partition, marker.order.producer_id, marker.order.commit);
        }
        self.marker_done(&marker);
    }

    fn marker_done(&mut self, marker: &MarkerPlace) {
        self.txns_input(Input::MarkerWritten {
            transactional_id: marker.order.transactional_id.clone(),
            producer_id: marker.order.producer_id,
            producer_epoch: marker.order.producer_epoch,
            topic: marker.topic.clone(),
            partition: marker.partition,
        });
    }

    /// Whether a coordinator that is loaded from the logs now says of its transactions what this one says; `None`
    /// where something is under way.
    ///
    /// # Errors
    /// What differs.
    pub fn txns_match_log(&self) -> Option<Result<(), String>> {
        if !self.txns.inbox.is_empty() {
            return None;
        }
        let mut fresh = Task::new(0, None).core;
        for (shard, place) in self.txns.log.led() {
            let partition = self.partitions.get(&place)?;
            if !self.txns.log.is_settled(shard, partition) {
                return None;
            }
            let records = self.txn_records(place).ok()?;
            fresh.step(0, Input::Load { shard, epoch: 0, records });
        }
        let all = |core: &Coordinator| -> Vec<String> {
            let ids = core.list().into_iter().map(|l| l.transactional_id);
            ids.map(|id| format!("{id}: {:?}", core.describe(&id))).collect()
        };
        let (own, loaded) = (all(&self.txns.core), all(&fresh));
        Some(match own == loaded {
            true => Ok(()),
            false => Err(format!("transactions: {own:?} in memory, {loaded:?} from the log")),
        })
    }

    /// What is known of each transaction, and the markers to try again, for whoever reads a failure.
    pub fn tell_transactions(&self) -> String {
        let ids = self.txns.core.list().into_iter().map(|l| l.transactional_id);
        let told: Vec<_> = ids.map(|id| self.txns.core.describe(&id)).collect();
        format!("{told:?}, to try again {:?}", self.txns.retries)
    }

    /// Where each transactional id stands.
    pub fn transactions(&self) -> Vec<millstream_txn::Listed> {
        self.txns.core.list()
    }
}

fn encode(key: TransactionLogKey, value: Option<TransactionLogValue>) -> KeyValue {
    let key = TransactionKey::from(key).encode().expect("a transaction's own key can be written");
    let value = value.map(|v| {
        let v = TransactionValue::from(v);
        v.encode(v.max_version()).expect("a transaction's own record can be written")
    });
    (key, value)
}
