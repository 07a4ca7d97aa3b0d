//! A batch on its way, and one partition's line of them. Never enters: the order in which they go out (`accumulator`).

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use millstream_batch::BatchBuilder;
use millstream_types::TopicPartition;
use tokio::sync::watch;

use crate::error::Result;

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
    pub(super) open: Option<Batch>,
    pub(super) ready: VecDeque<Batch>,
    pub(super) in_flight: BTreeSet<u64>,
    pub(super) identity: Option<Identity>,
    /// The producer id under which a batch was taken (CL-6).
    pub(super) proven: Option<i64>,
    pub(super) next_sequence: i32,
    /// A batch failed: wait for the others (CL-1).
    pub(super) recovering: bool,
    /// A batch was given up: number anew (CL-2).
    pub(super) renumber: bool,
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Whether it stands in `active`.
    pub(super) listed: bool,
    /// Whether the open transaction knows the partition.
    pub(crate) in_txn: bool,
}

impl Queue {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.ready.is_empty()
    }
}
