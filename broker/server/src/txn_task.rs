//! The thread of the transaction coordinator: requests in by a queue, records to `__transaction_state`, and once they
//! are committed answers out and markers to the partitions. Never enters: what a transaction decides
//! (`millstream-txn`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_batch::control::{TxnMarker, TxnOutcome};
use millstream_txn::{Answer, Coordinator, Described, Input, Listed, MarkerOrder, Outcome, Then, Token};
use millstream_types::topic::CONSUMER_OFFSETS;
use millstream_types::{ErrorCode, LeaderEpoch, ProducerId};
use millstream_wire::record::txn::{TransactionKey, TransactionValue};
use tokio::sync::oneshot;

use crate::broker::Broker;
use crate::coordinator_log::{CoordinatorLog, KeyValue, Replayed, is_behind, replay, when_serving};
use crate::partition::Partition;
use crate::waiter::Waiter;

/// How long the answer to EndTxn waits for its markers. Kafka does not wait at all; here a client that has heard of its
/// commit also reads it, and its next transaction begins without asking twice. A partition that cannot be reached
/// holds it up no longer than this: the outcome is decided and stored.
const MARKERS_WAIT: Duration = Duration::from_secs(2);
/// How long a marker that could not be written waits before it is tried again.
const RETRY: Duration = Duration::from_millis(100);

enum Message {
    Request { input: Box<dyn FnOnce(Token) -> Input + Send>, reply: oneshot::Sender<Answer> },
    Describe(String, oneshot::Sender<Result<Described, ErrorCode>>),
    List(oneshot::Sender<Vec<Listed>>),
    Lead { shard: i32, epoch: LeaderEpoch, partition: Arc<Partition> },
    Resign { shard: i32 },
    ProducerIds(Result<(ProducerId, i32), ErrorCode>),
    Committed(i32),
    MarkerCommitted(Box<WrittenMarker>),
    Stop,
}

/// The way to the thread.
#[derive(Clone)]
pub struct Transactions {
    sender: Sender<Message>,
}

/// What the thread takes from.
pub struct TransactionsInbox(Receiver<Message>);

impl Transactions {
    /// The queue, before its thread runs.
    pub fn new() -> (Transactions, TransactionsInbox) {
        let (sender, receiver) = channel();
        (Transactions { sender }, TransactionsInbox(receiver))
    }

    /// Starts the thread.
    pub fn start(
        &self,
        broker: Arc<Broker>,
        config: millstream_txn::Config,
        inbox: TransactionsInbox,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let sender = self.sender.clone();
        crate::critical::spawn("transactions", move || {
            let own = sender.clone();
            let notify = move |shard| _ = sender.send(Message::Committed(shard));
            let tick = broker.config.number("transaction.abort.timed.out.transaction.cleanup.interval.ms");
            let task = Task {
                core: Coordinator::new(config),
                log: CoordinatorLog::new(Arc::new(notify)),
                replies: BTreeMap::new(),
                next_token: 0,
                retries: Vec::new(),
                ask_again: None,
                ending: Vec::new(),
                tick: Duration::from_millis(tick as u64),
                sender: own,
                broker,
            };
            task.run(&inbox.0);
        })
    }

    /// Asks the coordinator; `None` where it has stopped.
    pub async fn ask(&self, input: impl FnOnce(Token) -> Input + Send + 'static) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::Request { input: Box::new(input), reply });
        answer.await.ok()
    }

    /// DescribeTransactions of one id.
    pub async fn describe(&self, id: String) -> Result<Described, ErrorCode> {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::Describe(id, reply));
        answer.await.unwrap_or(Err(ErrorCode::NotCoordinator))
    }

    /// ListTransactions.
    pub async fn list(&self) -> Vec<Listed> {
        let (reply, answer) = oneshot::channel();
        let _ = self.sender.send(Message::List(reply));
        answer.await.unwrap_or_default()
    }

    /// This broker leads a shard.
    pub fn lead(&self, shard: i32, epoch: LeaderEpoch, partition: Arc<Partition>) {
        let _ = self.sender.send(Message::Lead { shard, epoch, partition });
    }

    /// It no longer does.
    pub fn resign(&self, shard: i32) {
        let _ = self.sender.send(Message::Resign { shard });
    }

    /// Ends the thread; what waits is refused.
    pub fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }
}

/// A marker that was appended, or whose partition is gone.
#[derive(Clone)]
struct WrittenMarker {
    order: Arc<MarkerOrder>,
    topic: String,
    partition: i32,
}

struct MarkerWaker {
    marker: WrittenMarker,
    sender: Sender<Message>,
}

impl Wake for MarkerWaker {
    fn wake(self: Arc<Self>) {
        let _ = self.sender.send(Message::MarkerCommitted(Box::new(self.marker.clone())));
    }
}

struct Task {
    broker: Arc<Broker>,
    core: Coordinator,
    log: CoordinatorLog<Vec<Then>>,
    replies: BTreeMap<Token, oneshot::Sender<Answer>>,
    next_token: Token,
    /// Markers to try again, with the time.
    retries: Vec<(Instant, WrittenMarker)>,
    ask_again: Option<Instant>,
    /// Answers to EndTxn that wait for the markers of their transactional id, with the time at which they leave anyway.
    ending: Vec<(Instant, String, Token, Answer)>,
    tick: Duration,
    sender: Sender<Message>,
}

impl Task {
    fn run(mut self, inbox: &Receiver<Message>) {
        let mut next_tick = Instant::now() + self.tick;
        loop {
            let ending = self.ending.iter().map(|(at, ..)| *at);
            let retry = self.retries.iter().map(|(at, _)| *at).chain(self.ask_again).chain(ending).min();
            // The next tick would find a transaction that has taken too long, and those who wait for its end would have waited for both.
            let wall = self.broker.clock.wall_ms();
            let first_due = self.core.first_due().map(|at| u64::try_from(at - wall).unwrap_or(0));
            let first_due = first_due.map(|ms| Instant::now() + Duration::from_millis(ms));
            let until = retry.into_iter().chain(first_due).fold(next_tick, Instant::min);
            match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if next_tick <= now || self.core.first_due().is_some_and(|at| at <= self.broker.clock.wall_ms()) {
                next_tick = now + self.tick;
                self.step(Input::Tick);
            }
            if self.ask_again.is_some_and(|at| at <= now) {
                self.ask_again = None;
                self.allocate();
            }
            self.answer_ended(|at, _| at <= now);
            let due: Vec<WrittenMarker> = {
                let (due, later) =
                    std::mem::take(&mut self.retries).into_iter().partition(|(at, _)| *at <= now);
                self.retries = later;
                let due: Vec<(Instant, WrittenMarker)> = due;
                due.into_iter().map(|(_, marker)| marker).collect()
            };
            for marker in due {
                self.write_marker(marker);
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Request { input, reply } => {
                self.next_token += 1;
                let token = self.next_token;
                self.replies.insert(token, reply);
                self.step(input(token));
            }
            Message::Describe(id, reply) => _ = reply.send(self.core.describe(&id)),
            Message::List(reply) => _ = reply.send(self.core.list()),
            Message::Lead { shard, epoch, partition } => self.lead(shard, epoch, partition),
            Message::Resign { shard } => self.resign(shard, ErrorCode::NotCoordinator),
            Message::ProducerIds(Ok((first, count))) => self.step(Input::ProducerIds { first, count }),
            Message::ProducerIds(Err(error)) => {
                tracing::warn!(%error, "no producer ids were given out; asking again");
                self.ask_again = Some(Instant::now() + RETRY);
            }
            Message::Committed(shard) => {
                if let Some((epoch, partition)) = self.log.lead_again(shard) {
                    self.lead(shard, epoch, partition);
                }
                for then in self.log.committed(shard) {
                    self.carry_on(then);
                }
            }
            Message::MarkerCommitted(marker) => self.marker_committed(*marker),
            Message::Stop => {}
        }
    }

    fn lead(&mut self, shard: i32, epoch: LeaderEpoch, partition: Arc<Partition>) {
        if is_behind(&partition) {
            let sender = self.sender.clone();
            let again = Arc::clone(&partition);
            when_serving(&partition, move || {
                let _ = sender.send(Message::Lead { shard, epoch, partition: Arc::clone(&again) });
            });
            return;
        }
        if !self.log.may_lead(shard, epoch, &partition) {
            return;
        }
        let mut records = Vec::new();
        let mut unread = 0;
        let read = replay(&partition, |replayed| {
            let Replayed::Record { key, value, .. } = replayed else { return };
            let decoded = TransactionKey::decode(Bytes::copy_from_slice(key)).and_then(|key| {
                let TransactionKey::TransactionLog(name) = &key else { return Ok(None) };
                let value = value
                    .map(|v| TransactionValue::decode(key.record_type(), Bytes::copy_from_slice(v)))
                    .transpose()?;
                let value = value.and_then(|v| match v {
                    TransactionValue::TransactionLog(value) => Some(value),
                    _ => None,
                });
                Ok(Some((name.clone(), value)))
            });
            match decoded {
                Ok(record) => records.extend(record),
                Err(_) => unread += 1,
            }
        });
        if let Err(error) = read {
            tracing::error!(shard, %error, "a shard of __transaction_state cannot be loaded");
            return;
        }
        if unread > 0 {
            tracing::warn!(
                shard,
                unread,
                "records of __transaction_state cannot be read and are passed over"
            );
        }
        self.log.lead(shard, partition);
        self.step(Input::Load { shard, epoch, records });
    }

    fn resign(&mut self, shard: i32, error: ErrorCode) {
        self.step(Input::Unload { shard });
        // What was decided is stored; whoever waits for markers hears of it, and asks the next coordinator.
        let shard_of = |id: &str| self.core.shard_of(id);
        let gone: Vec<String> =
            self.ending.iter().map(|(_, id, ..)| id.clone()).filter(|id| shard_of(id) == shard).collect();
        self.answer_ended(|_, id| gone.iter().any(|g| g == id));
        for then in self.log.resign(shard) {
            self.refuse(then, error);
        }
    }

    fn step(&mut self, input: Input) {
        let outcomes = self.core.step(self.broker.clock.monotonic_ms(), input);
        for outcome in outcomes {
            self.carry_out(outcome);
        }
    }

    fn carry_out(&mut self, outcome: Outcome) {
        let Outcome { shard, append, then } = outcome;
        if shard < 0 {
            self.carry_on(then);
            return;
        }
        if let Some((key, value)) = append {
            let record = encode(key, value);
            let now = (self.broker.clock.wall_ms(), self.broker.clock.monotonic_ms());
            if let Err(error) = self.log.append(now, shard, &[record], None) {
                tracing::warn!(shard, %error, "a transaction's record cannot be stored; its shard is loaded again");
                self.refuse(then, ErrorCode::CoordinatorNotAvailable);
                let partition = self.log.partition(shard).cloned();
                self.resign(shard, ErrorCode::CoordinatorNotAvailable);
                if let Some(partition) = partition {
                    let epoch = partition.look(|_, replica| replica.leader_epoch());
                    self.lead(shard, epoch, partition);
                }
                return;
            }
        }
        if then.is_empty() {
            return;
        }
        if let Some(then) = self.log.when_committed(shard, then) {
            self.carry_on(then);
        }
    }

    /// Sends the answers to EndTxn that `is_due` takes.
    fn answer_ended(&mut self, is_due: impl Fn(Instant, &str) -> bool) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ending).into_iter().partition(|(at, id, ..)| is_due(*at, id));
        self.ending = later;
        for (_, _, token, answer) in due {
            if let Some(reply) = self.replies.remove(&token) {
                let _ = reply.send(answer);
            }
        }
    }

    fn carry_on(&mut self, then: Vec<Then>) {
        let marked = then.iter().find_map(|t| match t {
            Then::WriteMarkers(order) => Some(order.transactional_id.clone()),
            _ => None,
        });
        for then in then {
            match then {
                Then::Answer(token, answer) => match &marked {
                    Some(id) => self.ending.push((Instant::now() + MARKERS_WAIT, id.clone(), token, answer)),
                    None => {
                        if let Some(reply) = self.replies.remove(&token) {
                            let _ = reply.send(answer);
                        }
                    }
                },
                Then::WriteMarkers(order) => {
                    let order = Arc::new(order);
                    let places: Vec<(String, i32)> = order
                        .partitions
                        .iter()
                        .flat_map(|(topic, ps)| ps.iter().map(|p| (topic.clone(), *p)))
                        .collect();
                    for (topic, partition) in places {
                        self.write_marker(WrittenMarker { order: Arc::clone(&order), topic, partition });
                    }
                }
                Then::AllocateProducerIds => self.allocate(),
            }
        }
    }

    fn refuse(&mut self, then: Vec<Then>, code: ErrorCode) {
        for then in then {
            if let Then::Answer(token, answer) = then
                && let Some(reply) = self.replies.remove(&token)
            {
                let _ = reply.send(refused(&answer, code));
            }
        }
    }

    fn allocate(&mut self) {
        let sender = self.sender.clone();
        self.broker
            .controller
            .allocate_producer_ids(move |block| _ = sender.send(Message::ProducerIds(block)));
    }

    /// Appends a marker, and waits for its commit to be told; a partition that is gone counts as done.
    fn write_marker(&mut self, marker: WrittenMarker) {
        let Some(partition) = self.broker.partition_by_name(&marker.topic, marker.partition) else {
            let gone = self.broker.image().topics.by_name(&marker.topic).is_none();
            if gone {
                self.marker_done(&marker);
            } else {
                self.retries.push((Instant::now() + RETRY, marker));
            }
            return;
        };
        let order = &marker.order;
        let outcome = if order.commit { TxnOutcome::Commit } else { TxnOutcome::Abort };
        let batch = TxnMarker {
            producer_id: order.producer_id,
            producer_epoch: order.producer_epoch,
            outcome,
            coordinator_epoch: order.coordinator_epoch,
        };
        let now = (self.broker.clock.wall_ms(), self.broker.clock.monotonic_ms());
        match partition.append_marker(now, batch, order.version.level()) {
            Ok(produced) => {
                let waker = MarkerWaker { marker: marker.clone(), sender: self.sender.clone() };
                let waiter = Waiter::with_waker(Waker::from(Arc::new(waker)));
                if !partition.wait_for_commit(&waiter, produced.end_offset) {
                    self.marker_committed(marker);
                }
            }
            Err(error) if is_final(error.error_code()) => {
                tracing::info!(id = order.transactional_id, topic = marker.topic, %error, "a marker is not wanted");
                self.marker_done(&marker);
            }
            Err(error) => {
                tracing::warn!(id = order.transactional_id, topic = marker.topic, %error, "a marker is tried again");
                self.retries.push((Instant::now() + RETRY, marker));
            }
        }
    }

    fn marker_committed(&mut self, marker: WrittenMarker) {
        if marker.topic == CONSUMER_OFFSETS {
            self.broker.groups.marker(marker.partition, marker.order.producer_id, marker.order.commit);
        }
        self.marker_done(&marker);
    }

    fn marker_done(&mut self, marker: &WrittenMarker) {
        self.step(Input::MarkerWritten {
            transactional_id: marker.order.transactional_id.clone(),
            producer_id: marker.order.producer_id,
            producer_epoch: marker.order.producer_epoch,
            topic: marker.topic.clone(),
            partition: marker.partition,
        });
        let id = &marker.order.transactional_id;
        if !self.core.is_preparing(id) {
            self.answer_ended(|_, ended| ended == id);
        }
    }
}

/// Whether a marker will never be taken: its producer or coordinator is fenced there, so a newer one has acted.
fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidProducerEpoch
            | ErrorCode::TransactionCoordinatorFenced
            | ErrorCode::UnknownTopicOrPartition
    )
}

fn encode(
    key: millstream_wire::record::txn::TransactionLogKey,
    value: Option<millstream_wire::record::txn::TransactionLogValue>,
) -> KeyValue {
    let key = TransactionKey::from(key).encode();
    let value = value.map(|v| {
        let v = TransactionValue::from(v);
        v.encode(v.max_version())
            .unwrap_or_else(|e| panic!("a transaction's own record cannot be written: {e}"))
    });
    (key.unwrap_or_else(|e| panic!("a transaction's own key cannot be written: {e}")), value)
}

/// The answer of the same kind that refuses.
fn refused(answer: &Answer, error: ErrorCode) -> Answer {
    match answer {
        Answer::ProducerId { .. } => Answer::ProducerId { error, producer_id: -1, producer_epoch: -1 },
        Answer::Partitions { .. } => Answer::Partitions { error, refused: Default::default() },
        Answer::End { .. } => Answer::End { error, producer_id: -1, producer_epoch: -1 },
    }
}
