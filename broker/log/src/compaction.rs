//! Compaction: of the records of each key the last one is kept, in a log's sealed and flushed part. Owns Kafka's rules
//! (`Cleaner`, KIP-534): a tombstone goes `delete.retention.ms` after the first pass that saw it as the last record of
//! its key; records of aborted transactions go at once, a transaction's marker once nothing of the transaction is left
//! and its delete horizon has passed; a producer's last batch stays, empty if it must, so that its sequence is known. The
//! work ([`CompactionPlan::run`]) reads files and writes new ones without the log's lock; putting them in place
//! ([`crate::Log::install_compaction`]) needs it. LG-4: what is replaced is renamed away only when the replacement is
//! durable. Never enters: when to compact and how fast.

mod filter;
mod map;
mod rewrite;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_disk::{Disk, DiskFile};
use millstream_types::{Millis, Offset, ProducerEpoch, ProducerId};

use crate::config::LogConfig;
use crate::error::LogError;
use crate::txn_index::AbortedTxn;
pub use map::OffsetMap;

/// A segment to compact.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub base: Offset,
    pub file: Arc<dyn DiskFile>,
    pub size: u64,
    /// Where the next segment begins.
    pub end: Offset,
    pub first_append_ms: Millis,
    pub last_append_ms: Millis,
}

/// A compaction that may be run.
#[derive(Debug)]
pub struct CompactionPlan {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) generation: u64,
    pub(crate) sources: Vec<Source>,
    /// What lies before was compacted by an earlier pass.
    pub(crate) dirty_from: Offset,
    pub(crate) aborted: Vec<AbortedTxn>,
    /// For each producer: the last offset that it wrote data at, or its epoch where it wrote only a marker.
    pub(crate) last_of_producer: BTreeMap<ProducerId, LastOfProducer>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum LastOfProducer {
    Data(Offset),
    Marker(ProducerEpoch),
}

/// New segments, written and durable under names that a restart drops.
#[derive(Debug)]
pub struct CompactionOutput {
    pub(crate) generation: u64,
    pub(crate) groups: Vec<Group>,
    pub(crate) cleaned_to: Offset,
    /// What was done, in figures.
    pub result: CompactionResult,
}

/// Segments that become one.
#[derive(Debug)]
pub(crate) struct Group {
    pub bases: Vec<Offset>,
    pub end: Offset,
    pub segment: crate::segment::Segment,
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionResult {
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
    /// Records before, control records included.
    pub records_before: u64,
    /// Records after.
    pub records_after: u64,
}

impl CompactionPlan {
    /// The part of the log that no pass has seen, 0 to 1 (`min.cleanable.dirty.ratio` is held against it).
    pub fn dirty_ratio(&self) -> f64 {
        let total: u64 = self.sources.iter().map(|s| s.size).sum();
        let dirty: u64 = self.sources.iter().filter(|s| s.end > self.dirty_from).map(|s| s.size).sum();
        if total == 0 { 0.0 } else { dirty as f64 / total as f64 }
    }

    /// Reads the dirty part into a map of at most `map_bytes_max` bytes, and writes every segment anew. Where the map
    /// is full before the end, the rest waits for the next pass.
    ///
    /// # Errors
    /// A disk that refuses, or a batch that cannot be read; nothing is changed then.
    pub fn run(&self, now: Millis, map_bytes_max: usize) -> Result<CompactionOutput, LogError> {
        let (map, cleaned_to) = map::build(self, map_bytes_max)?;
        let mut result = CompactionResult::default();
        let mut groups = Vec::new();
        let mut filter = filter::Filter::new(self, &map, now);
        let sources: Vec<&Source> = self.sources.iter().filter(|s| s.end <= cleaned_to).collect();
        for group in group_by_size(&sources, &self.config) {
            groups.push(rewrite::rewrite(self, group, &mut filter, &mut result)?);
        }
        Ok(CompactionOutput { generation: self.generation, groups, cleaned_to, result })
    }
}

/// Neighbours that fit in one segment, as they are: compaction only makes them smaller.
fn group_by_size<'a, 's>(sources: &'a [&'s Source], config: &LogConfig) -> Vec<&'a [&'s Source]> {
    let mut groups = Vec::new();
    let mut from = 0;
    for at in 0..sources.len() {
        let bytes: u64 = sources[from..=at].iter().map(|s| s.size).sum();
        let span = sources[at].end - sources[from].base;
        if at > from && (bytes > config.segment_bytes_max() || span > i64::from(i32::MAX)) {
            groups.push(&sources[from..at]);
            from = at;
        }
    }
    if from < sources.len() {
        groups.push(&sources[from..]);
    }
    groups
}
