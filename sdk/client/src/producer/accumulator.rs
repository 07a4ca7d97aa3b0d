//! Records on their way into batches, and batches on their way out: for each partition one batch that fills, those that
//! wait, and how many are under way. Owns the order of a partition's batches and their sequence numbers:
//! - CL-1: a partition's batches go out in the order in which they were closed; after a failure nothing more goes out
//!   before every batch that is under way has been answered, and then those that failed go first, in their order.
//! - CL-2: a batch keeps its producer id, epoch and sequence through every attempt; they change only when nothing of its
//!   partition is under way and a batch before it was given up.
//!
//! - CL-6: under a producer id that a partition has not answered yet, one batch is under way at a time. A broker takes the
//!   first batch of an unknown producer whatever its sequence number is; were several sent to a partition that is just
//!   getting its leader, the first could be refused and a later one taken, and the first could never be sent again.
//!
//! Never enters: connections, time-outs of requests, transactions' states.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_batch::{Append, BatchBuilder, BatchConfig, HeaderView, RecordRef};
use millstream_types::{NodeId, TopicPartition};
use tokio::sync::watch;

use crate::cluster::Metadata;
use crate::config::ProducerConfig;
use crate::error::{ClientError, Result};

/// Where a batch ended up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    /// The first record's offset; -1 where the broker does not say.
    pub(crate) base_offset: i64,
    /// The timestamp that the broker gave, or -1 where the records keep theirs.
    pub(crate) append_time: i64,
}

/// What becomes of a batch; `None` until it is known.
pub(crate) type Outcome = Option<Result<Appended>>;
/// Called when a record's outcome is known.
pub(crate) type Callback = Box<dyn FnOnce(&Result<Appended>) + Send>;
/// Makes a record's callback, once its place in the batch is known.
pub(crate) type MakeCallback = Box<dyn FnOnce(i32) -> Callback>;

/// A producer id and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// A batch's content.
pub(crate) enum Payload {
    /// Records, not built yet.
    Open(Box<BatchBuilder>),
    /// A whole batch.
    Built(Bytes),
}

/// A batch that is closed.
pub(crate) struct Batch {
    pub(crate) payload: Payload,
    /// Its place among all batches of the producer.
    pub(crate) order: u64,
    pub(crate) records: i32,
    /// Bytes of the buffer that it holds.
    pub(crate) reserved: usize,
    pub(crate) created: Instant,
    /// Who sends it and its first sequence number, once it was sent.
    pub(crate) stamp: Option<(Identity, i32)>,
    pub(crate) attempts: u32,
    pub(crate) outcome: watch::Sender<Outcome>,
    pub(crate) callbacks: Vec<Callback>,
}

impl Batch {
    /// Tells everyone who waits.
    pub(crate) fn finish(self, result: Result<Appended>) {
        for callback in self.callbacks {
            callback(&result);
        }
        self.outcome.send_replace(Some(result));
    }
}

/// One partition's batches.
pub(crate) struct Queue {
    pub(crate) partition: TopicPartition,
    open: Option<Batch>,
    ready: VecDeque<Batch>,
    in_flight: BTreeSet<u64>,
    identity: Option<Identity>,
    /// The producer id under which a batch was taken (CL-6).
    proven: Option<i64>,
    next_sequence: i32,
    /// A batch failed: wait for the others (CL-1).
    recovering: bool,
    /// A batch was given up: number anew (CL-2).
    renumber: bool,
    failures: u32,
    retry_at: Option<Instant>,
    /// Whether it stands in `active`.
    listed: bool,
    /// Whether the open transaction knows the partition.
    pub(crate) in_txn: bool,
}

impl Queue {
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.ready.is_empty()
    }
}

struct Sticky {
    partition: i32,
    bytes: usize,
}

/// A batch that goes out, and whose it is.
pub(crate) struct Sending {
    pub(crate) queue: usize,
    pub(crate) partition: TopicPartition,
    pub(crate) batch: Batch,
}

/// What is to be done now.
#[derive(Default)]
pub(crate) struct Drained {
    pub(crate) requests: BTreeMap<NodeId, Vec<Sending>>,
    /// When to look again.
    pub(crate) next: Option<Instant>,
    /// Partitions that have no leader.
    pub(crate) leaderless: bool,
    /// Partitions that the transaction has to be told of first.
    pub(crate) to_add: Vec<TopicPartition>,
    /// Batches that took too long.
    pub(crate) expired: Vec<Batch>,
}

/// What the sender knows when it asks for batches.
pub(crate) struct DrainContext<'a> {
    pub(crate) now: Instant,
    pub(crate) metadata: &'a Metadata,
    /// Whether partitions have to be added to the transaction first (v1).
    pub(crate) add_partitions: bool,
}

/// Every partition's batches.
pub(crate) struct Accumulator {
    config: Arc<ProducerConfig>,
    index: HashMap<TopicPartition, usize>,
    queues: Vec<Queue>,
    active: VecDeque<usize>,
    sticky: HashMap<Arc<str>, Sticky>,
    nodes: HashMap<NodeId, usize>,
    identity: Option<Identity>,
    unfinished: BTreeMap<u64, watch::Receiver<Outcome>>,
    next_order: u64,
    pub(crate) closed: bool,
}

/// A record as the application gave it.
pub(crate) struct RecordInput<'a> {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [HeaderView<'a>],
    pub(crate) reserved: usize,
}

/// Where a record was put.
pub(crate) struct Placed {
    pub(crate) outcome: watch::Receiver<Outcome>,
    pub(crate) offset_delta: i32,
    /// Whether the sender has something new to look at.
    pub(crate) wake: bool,
}

impl Accumulator {
    pub(crate) fn new(config: Arc<ProducerConfig>) -> Accumulator {
        Accumulator {
            config,
            index: HashMap::new(),
            queues: Vec::new(),
            active: VecDeque::new(),
            sticky: HashMap::new(),
            nodes: HashMap::new(),
            identity: None,
            unfinished: BTreeMap::new(),
            next_order: 0,
            closed: false,
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Takes the first producer id, or another where the last one's epochs are used up. Partitions with batches under way
    /// keep theirs until those are answered (CL-2).
    pub(crate) fn adopt_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
    }

    /// Whether no batch waits, fills or is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Whether a batch has waited longer than it may.
    pub(crate) fn is_overdue(&self) -> bool {
        let waiting = self.queues.iter().flat_map(|queue| queue.ready.iter().chain(&queue.open));
        waiting
            .map(|batch| batch.created.elapsed())
            .max()
            .is_some_and(|age| age > self.config.delivery_timeout)
    }

    /// Takes a new producer id or epoch; every partition numbers anew from it. Nothing is under way.
    pub(crate) fn set_identity(&mut self, identity: Identity) {
        self.identity = Some(identity);
        for queue in &mut self.queues {
            assert!(queue.in_flight.is_empty(), "CL-2: {} has batches under way", queue.partition);
            queue.identity = None;
            queue.renumber = false;
            queue.in_txn = false;
            for batch in &mut queue.ready {
                batch.stamp = None;
            }
        }
    }

    /// The partition that records without a key go to now.
    pub(crate) fn sticky_partition(
        &mut self,
        topic: &Arc<str>,
        choose: impl FnOnce(Option<i32>) -> i32,
    ) -> i32 {
        match self.sticky.get_mut(topic) {
            Some(sticky) if sticky.bytes < self.config.batch_bytes => sticky.partition,
            Some(sticky) => {
                let partition = choose(Some(sticky.partition));
                *sticky = Sticky { partition, bytes: 0 };
                partition
            }
            None => {
                let partition = choose(None);
                self.sticky.insert(topic.clone(), Sticky { partition, bytes: 0 });
                partition
            }
        }
    }

    pub(crate) fn sticky_wrote(&mut self, topic: &Arc<str>, bytes: usize) {
        if let Some(sticky) = self.sticky.get_mut(topic) {
            sticky.bytes += bytes;
        }
    }

    fn queue(&mut self, partition: &TopicPartition) -> usize {
        if let Some(index) = self.index.get(partition) {
            return *index;
        }
        let index = self.queues.len();
        self.index.insert(partition.clone(), index);
        self.queues.push(Queue {
            partition: partition.clone(),
            open: None,
            ready: VecDeque::new(),
            in_flight: BTreeSet::new(),
            identity: None,
            proven: None,
            next_sequence: 0,
            recovering: false,
            renumber: false,
            failures: 0,
            retry_at: None,
            listed: false,
            in_txn: false,
        });
        index
    }

    fn list(&mut self, index: usize) {
        if !std::mem::replace(&mut self.queues[index].listed, true) {
            self.active.push_back(index);
        }
    }

    fn new_batch(&mut self, payload: Payload, records: i32) -> Batch {
        let order = self.next_order;
        self.next_order += 1;
        let (outcome, receiver) = watch::channel(None);
        self.unfinished.insert(order, receiver);
        Batch {
            payload,
            order,
            records,
            reserved: 0,
            created: Instant::now(),
            stamp: None,
            attempts: 0,
            outcome,
            callbacks: Vec::new(),
        }
    }

    /// Puts a record into its partition's batch, and starts another where that one is full.
    pub(crate) fn append(
        &mut self,
        partition: &TopicPartition,
        record: &RecordInput<'_>,
        callback: Option<MakeCallback>,
    ) -> Result<Placed> {
        let index = self.queue(partition);
        let mut wake = false;
        let record_ref = RecordRef {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let fail = |source| ClientError::Batch { partition: partition.clone(), source };
        loop {
            if self.queues[index].open.is_none() {
                let builder = BatchBuilder::new(BatchConfig {
                    codec: self.config.compression,
                    level: self.config.compression_level,
                    batch_bytes_max: self.config.batch_bytes,
                    ..BatchConfig::default()
                });
                let batch = self.new_batch(Payload::Open(Box::new(builder)), 0);
                self.queues[index].open = Some(batch);
                wake = true;
            }
            let batch = self.queues[index].open.as_mut().expect("it was opened above");
            let Payload::Open(builder) = &mut batch.payload else {
                unreachable!("an open batch has a builder");
            };
            match builder.append(&record_ref).map_err(fail)? {
                Append::Added { offset_delta } => {
                    batch.records += 1;
                    batch.reserved += record.reserved;
                    batch.callbacks.extend(callback.map(|make| make(offset_delta)));
                    let outcome = batch.outcome.subscribe();
                    if builder.uncompressed_size() >= self.config.batch_bytes {
                        self.close_open(index);
                        wake = true;
                    }
                    self.list(index);
                    return Ok(Placed { outcome, offset_delta, wake });
                }
                Append::Full => {
                    self.close_open(index);
                    wake = true;
                }
            }
        }
    }

    /// Queues a batch that the application built, behind what is there.
    pub(crate) fn append_batch(
        &mut self,
        partition: &TopicPartition,
        bytes: Bytes,
        records: i32,
        reserved: usize,
    ) -> Placed {
        let index = self.queue(partition);
        self.close_open(index);
        let mut batch = self.new_batch(Payload::Built(bytes), records);
        batch.reserved = reserved;
        let outcome = batch.outcome.subscribe();
        self.queues[index].ready.push_back(batch);
        self.list(index);
        Placed { outcome, offset_delta: 0, wake: true }
    }

    fn close_open(&mut self, index: usize) {
        let queue = &mut self.queues[index];
        if let Some(batch) = queue.open.take() {
            queue.ready.push_back(batch);
        }
    }

    /// Closes every batch that fills, and gives what to wait for until all that is here now has an outcome.
    pub(crate) fn flush(&mut self) -> Vec<watch::Receiver<Outcome>> {
        for index in 0..self.queues.len() {
            self.close_open(index);
        }
        self.unfinished.values().cloned().collect()
    }

    /// Whether any batch is under way.
    pub(crate) fn any_in_flight(&self) -> bool {
        self.queues.iter().any(|queue| !queue.in_flight.is_empty())
    }

    /// Takes out every batch that is not under way: an abort drops them.
    pub(crate) fn take_unsent(&mut self) -> Vec<Batch> {
        let mut taken = Vec::new();
        for queue in &mut self.queues {
            taken.extend(queue.ready.drain(..));
            taken.extend(queue.open.take());
            queue.recovering = false;
            queue.retry_at = None;
        }
        for batch in &taken {
            self.unfinished.remove(&batch.order);
        }
        taken
    }

    /// Marks partitions as known to the open transaction.
    pub(crate) fn added_to_txn(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(index) = self.index.get(partition) {
                self.queues[*index].in_txn = true;
            }
        }
    }

    /// Forgets which partitions the transaction knows: it has ended.
    pub(crate) fn clear_txn(&mut self) {
        for queue in &mut self.queues {
            queue.in_txn = false;
        }
    }

    /// Takes out what can be sent now: at most one batch of each partition for each request.
    pub(crate) fn drain(&mut self, context: &DrainContext<'_>) -> Drained {
        let mut drained = Drained::default();
        let mut request_bytes: HashMap<NodeId, usize> = HashMap::new();
        for _ in 0..self.active.len() {
            let Some(index) = self.active.pop_front() else { break };
            self.drain_queue(index, context, &mut drained, &mut request_bytes);
            let queue = &mut self.queues[index];
            if queue.is_idle() {
                queue.listed = false;
            } else {
                self.active.push_back(index);
            }
        }
        for node in drained.requests.keys() {
            *self.nodes.entry(*node).or_default() += 1;
        }
        drained
    }

    fn drain_queue(
        &mut self,
        index: usize,
        context: &DrainContext<'_>,
        drained: &mut Drained,
        request_bytes: &mut HashMap<NodeId, usize>,
    ) {
        let now = context.now;
        let linger = self.config.linger;
        let look_again = |drained: &mut Drained, at: Instant| {
            drained.next = Some(drained.next.map_or(at, |next| next.min(at)));
        };
        self.expire(index, now, drained);
        if self.queues[index].ready.is_empty() {
            let Some(open) = &self.queues[index].open else { return };
            let due = open.created + linger;
            if due > now {
                return look_again(drained, due);
            }
        }
        let idempotent = self.config.idempotence;
        let queue = &mut self.queues[index];
        if let Some(first) = queue.ready.front() {
            look_again(drained, first.created + self.config.delivery_timeout);
        }
        if let Some(at) = queue.retry_at.filter(|at| *at > now) {
            return look_again(drained, at);
        }
        let unproven =
            idempotent && queue.proven.is_none_or(|id| self.identity.is_none_or(|now| now.id != id));
        let most = if unproven { 1 } else { self.config.in_flight_max };
        if queue.in_flight.len() >= most || (queue.recovering && !queue.in_flight.is_empty()) {
            return;
        }
        let Some(leader) = context.metadata.leader(&queue.partition) else {
            drained.leaderless = true;
            return;
        };
        let node_busy = self.nodes.get(&leader.node).copied().unwrap_or(0) >= self.config.in_flight_max;
        if node_busy {
            return;
        }
        // Only now, so that a batch goes on filling while its broker is busy.
        if queue.ready.is_empty() {
            queue.ready.extend(queue.open.take());
        }
        if context.add_partitions && !queue.in_txn {
            drained.to_add.push(queue.partition.clone());
            return;
        }
        if idempotent {
            let Some(identity) = self.identity else { return };
            if queue.in_flight.is_empty() && queue.renumber {
                // What was given up left a gap: the broker took nothing behind it, so it may be numbered anew.
                queue.renumber = false;
                queue.identity = None;
                for batch in &mut queue.ready {
                    batch.stamp = None;
                }
            }
            if queue.identity.is_none() {
                queue.identity = Some(identity);
                queue.next_sequence = 0;
            }
        }
        let size = queue.ready.front().map_or(0, |batch| match &batch.payload {
            Payload::Open(builder) => builder.estimated_size(),
            Payload::Built(bytes) => bytes.len(),
        });
        let so_far = request_bytes.entry(leader.node).or_default();
        if *so_far > 0 && *so_far + size > self.config.request_bytes_max {
            // The next request takes it, as soon as this one is out.
            return look_again(drained, now);
        }
        let Some(mut batch) = queue.ready.pop_front() else { return };
        *so_far += size;
        if idempotent && batch.stamp.is_none() {
            let identity = queue.identity.expect("CL-2: a partition has an identity before its batches do");
            batch.stamp = Some((identity, queue.next_sequence));
            queue.next_sequence =
                millstream_batch::header::increment_sequence(queue.next_sequence, batch.records);
        }
        batch.attempts += 1;
        queue.in_flight.insert(batch.order);
        if !queue.ready.is_empty() && !queue.recovering && queue.in_flight.len() < most {
            look_again(drained, now);
        } else if let Some(open) = &queue.open {
            look_again(drained, open.created + linger);
        }
        let partition = queue.partition.clone();
        drained.requests.entry(leader.node).or_default().push(Sending { queue: index, partition, batch });
    }

    /// Takes out batches that have waited too long.
    fn expire(&mut self, index: usize, now: Instant, drained: &mut Drained) {
        let queue = &mut self.queues[index];
        while let Some(first) = queue.ready.front() {
            if first.created + self.config.delivery_timeout > now {
                return;
            }
            let Some(batch) = queue.ready.pop_front() else { return };
            queue.renumber |= batch.stamp.is_some();
            self.unfinished.remove(&batch.order);
            drained.expired.push(batch);
        }
    }

    /// A request to `node` was answered, or will not be.
    pub(crate) fn request_done(&mut self, node: NodeId) {
        if let Some(count) = self.nodes.get_mut(&node) {
            *count = count.saturating_sub(1);
        }
    }

    /// A batch was appended.
    pub(crate) fn succeeded(&mut self, index: usize, batch: &Batch) {
        self.unfinished.remove(&batch.order);
        let queue = &mut self.queues[index];
        queue.in_flight.remove(&batch.order);
        queue.failures = 0;
        queue.retry_at = None;
        queue.proven = batch.stamp.map(|(identity, _)| identity.id);
        if queue.in_flight.is_empty() {
            queue.recovering = false;
        }
        self.relist(index);
    }

    /// Whether a batch of the same partition stands before this one, so that the broker could not take this one yet.
    pub(crate) fn has_predecessor(&self, index: usize, batch: &Batch) -> bool {
        let queue = &self.queues[index];
        queue.in_flight.first().is_some_and(|first| *first < batch.order)
            || queue.ready.front().is_some_and(|first| first.order < batch.order)
            || queue.renumber
    }

    /// A batch failed and is to be sent again, in its place (CL-1). Returns how often the partition failed in a row.
    pub(crate) fn retry(&mut self, index: usize, batch: Batch, pause: impl FnOnce(u32) -> Duration) {
        let queue = &mut self.queues[index];
        queue.in_flight.remove(&batch.order);
        if !queue.recovering {
            queue.failures += 1;
        }
        queue.recovering = true;
        queue.retry_at = Some(Instant::now() + pause(queue.failures));
        let at = queue.ready.iter().position(|other| other.order > batch.order).unwrap_or(queue.ready.len());
        queue.ready.insert(at, batch);
        self.relist(index);
    }

    /// A batch was given up. What was numbered behind it cannot be taken by the broker any more and is numbered anew,
    /// under a higher epoch.
    pub(crate) fn gave_up(&mut self, index: usize, batch: &Batch) {
        self.unfinished.remove(&batch.order);
        let queue = &mut self.queues[index];
        queue.in_flight.remove(&batch.order);
        if batch.stamp.is_some() {
            queue.renumber = true;
            queue.recovering = true;
            if self.config.transactional_id.is_none()
                && let Some(identity) = &mut self.identity
                && queue.identity == Some(*identity)
            {
                // Epochs of a producer without transactions are its own to raise (KIP-360). At their end a new id is
                // asked for.
                match identity.epoch.checked_add(1) {
                    Some(epoch) => identity.epoch = epoch,
                    None => self.identity = None,
                }
            }
        }
        if self.queues[index].in_flight.is_empty() {
            self.queues[index].recovering = false;
        }
        self.relist(index);
    }

    fn relist(&mut self, index: usize) {
        if !self.queues[index].is_idle() {
            self.list(index);
        }
    }
}
