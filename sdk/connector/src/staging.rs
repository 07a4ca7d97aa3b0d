//! Rows that wait in memory for their commit, for sinks whose target has transactions of its own. Owns which offsets were
//! opened, staged and committed, and when a commit is due; the target's transaction is the sink's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use millstream_types::{MemoryBudget, MemoryClaim, Millis, Offset, TopicPartition};

use crate::{NextOffsets, Offsets, SinkBatch};

/// When waiting rows are committed.
#[derive(Clone, Copy, Debug)]
pub struct StagingLimits {
    /// The least time between two commits, and so the longest that a row waits; the first row after a pause does not wait.
    pub interval_ms: u64,
    /// All partitions are due when this much waits in all.
    pub bytes: u64,
}

/// Rows that wait, by partition.
#[derive(Debug)]
pub struct Staging {
    limits: StagingLimits,
    memory: MemoryClaim,
    /// The time as it was last told.
    seen: AtomicI64,
    last_commit: Option<Millis>,
    partitions: BTreeMap<TopicPartition, Owned>,
}

#[derive(Debug, Default)]
struct Owned {
    expected: Option<Offset>,
    staged: Vec<SinkBatch>,
    bytes: u64,
}

/// One partition's share of a commit. Batches share their memory with the staging, which keeps them until the target has
/// answered.
#[derive(Clone, Debug)]
pub struct Share {
    /// Whose.
    pub partition: TopicPartition,
    /// Where the target must stand.
    pub expected: Option<Offset>,
    /// Where it stands afterwards.
    pub next: Offset,
    /// The rows, in order.
    pub batches: Vec<SinkBatch>,
}

impl Staging {
    /// Nothing opened. What waits is claimed of `memory` as `writers`; while that is short, a sixteenth of the
    /// limit is enough for all of it to be due.
    pub fn new(limits: StagingLimits, memory: &MemoryBudget) -> Staging {
        Staging {
            limits,
            memory: memory.claim("writers"),
            seen: AtomicI64::new(0),
            last_commit: None,
            partitions: BTreeMap::new(),
        }
    }

    fn bytes(&self) -> u64 {
        self.partitions.values().map(|owned| owned.bytes).sum()
    }

    /// Partitions were found to stand here; what was staged for them is dropped.
    pub fn opened(&mut self, found: &NextOffsets) {
        for (partition, next) in found {
            self.partitions.insert(partition.clone(), Owned { expected: *next, ..Owned::default() });
        }
        self.memory.set(self.bytes());
    }

    /// Takes rows in.
    pub fn stage(&mut self, partition: &TopicPartition, batch: SinkBatch) {
        let owned = self.partitions.get_mut(partition);
        let owned = owned.expect("CN-1: a partition is opened before it is staged for");
        owned.bytes += batch.rows().get_array_memory_size() as u64;
        owned.staged.push(batch);
        self.memory.set(self.bytes());
    }

    /// The partitions that have rows, where the last commit is long enough ago or rows are many.
    pub fn due(&self, now: Millis) -> Vec<TopicPartition> {
        // A shortage may last; commits of single rows would not end it.
        let most = if self.memory.is_short() { self.limits.bytes / 16 } else { self.limits.bytes };
        let full = self.bytes() >= most;
        self.seen.store(now, Ordering::Relaxed);
        let interval = self.limits.interval_ms as Millis;
        if !full && self.last_commit.is_some_and(|at| now - at < interval) {
            return Vec::new();
        }
        let with_rows = self.partitions.iter().filter(|(_, owned)| !owned.staged.is_empty());
        with_rows.map(|(partition, _)| partition.clone()).collect()
    }

    /// What a commit consists of. A commit that lies below what was staged is a bug of the caller and panics.
    pub fn shares(&self, next: &Offsets) -> Vec<Share> {
        next.iter()
            .map(|(partition, next)| {
                let owned = self.partitions.get(partition);
                let owned = owned.expect("CN-1: a partition is opened before it is committed");
                let last = owned.staged.iter().filter_map(SinkBatch::last_offset).max();
                assert!(last.is_none_or(|last| last < *next), "CN-1: a commit lies above what was staged");
                Share {
                    partition: partition.clone(),
                    expected: owned.expected,
                    next: *next,
                    batches: owned.staged.clone(),
                }
            })
            .collect()
    }

    /// The target has moved.
    pub fn committed(&mut self, next: &Offsets) {
        self.last_commit = Some(self.seen.load(Ordering::Relaxed));
        let found = next.iter().map(|(partition, next)| (partition.clone(), Some(*next))).collect();
        self.opened(&found);
    }

    /// The rows of these partitions are not to be written: they are dropped, the offsets stay.
    pub fn dropped(&mut self, next: &Offsets) {
        for partition in next.keys() {
            if let Some(owned) = self.partitions.get_mut(partition) {
                *owned = Owned { expected: owned.expected, ..Owned::default() };
            }
        }
        self.memory.set(self.bytes());
    }

    /// Partitions were let go.
    pub fn closed(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.partitions.remove(partition);
        }
        self.memory.set(self.bytes());
    }
}
