//! The pipeline's positions topic: where each split of a source has come to, what a source remembers, and the counts of
//! each stage, all written in the transactions whose effects they tell. Compacted; the last record of a key counts.
//!
//! Keys: `position NUL source NUL split`, `state NUL source NUL split NUL entry`, `counts NUL stage NUL instance`,
//! `snapshot NUL changelog NUL partition NUL instance NUL first key group` (`changelog.rs`), and the marks of `ends.rs`.
//! A split's records are in the partition of its route, which is also the partition of the splits topic whose owner reads
//! it. Never enters: what a position means.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{Cluster, RecordRef};
use millstream_connector::{Position, SplitId, StateEntry};
use millstream_engine::state::snapshots::SnapshotMark;
use millstream_types::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::restore::read_committed;

/// What was found in the topic.
#[derive(Debug, Default)]
pub struct Stored {
    /// Positions by source and split.
    pub positions: BTreeMap<String, BTreeMap<SplitId, Position>>,
    /// What sources remember, by source and split, then key.
    pub state: BTreeMap<(String, SplitId), BTreeMap<Bytes, Bytes>>,
    /// Counts by stage and instance.
    pub counts: BTreeMap<(String, String), BTreeMap<String, u64>>,
    /// The last snapshot of each instance from each key group on, by partition of a changelog.
    pub snapshots: BTreeMap<TopicPartition, BTreeMap<(String, String), SnapshotMark>>,
}

#[derive(Serialize, Deserialize)]
struct StoredMark {
    offset: i64,
    groups: Vec<u32>,
}

impl Stored {
    fn take(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), WorkerError> {
        let Ok(key_text) = std::str::from_utf8(key) else {
            self.take_state(key, value);
            return Ok(());
        };
        let parts: Vec<&str> = key_text.split('\0').collect();
        match (parts.as_slice(), value) {
            (["position", source, split], Some(value)) => {
                let position = Position(Bytes::copy_from_slice(value));
                self.positions
                    .entry((*source).to_owned())
                    .or_default()
                    .insert(SplitId::new(*split), position);
            }
            (["position", source, split], None) => {
                if let Some(of) = self.positions.get_mut(*source) {
                    of.remove(&SplitId::new(*split));
                }
            }
            (["counts", stage, instance], Some(value)) => {
                let counts = serde_json::from_slice(value).map_err(|error| {
                    WorkerError::Fatal(format!(
                        "reading the counts of stage {stage} by worker {instance} in the positions topic: {error}; they \
                         were not written by this program, and what a run reconciles would be wrong"
                    ))
                })?;
                self.counts.insert(((*stage).to_owned(), (*instance).to_owned()), counts);
            }
            (["snapshot", topic, partition, instance, first], Some(value)) => {
                // What is no mark of ours allows nothing to be deleted.
                let mark = serde_json::from_slice::<StoredMark>(value).ok();
                if let (Some(mark), Ok(partition)) = (mark, partition.parse()) {
                    let mark = SnapshotMark { offset: mark.offset, groups: mark.groups };
                    let at = TopicPartition::new(*topic, partition);
                    let who = ((*instance).to_owned(), (*first).to_owned());
                    self.snapshots.entry(at).or_default().insert(who, mark);
                }
            }
            _ => self.take_state(key, value),
        }
        Ok(())
    }

    /// A state entry's own key may be any bytes.
    fn take_state(&mut self, key: &[u8], value: Option<&[u8]>) {
        let mut parts = key.splitn(4, |b| *b == 0);
        let (Some(b"state"), Some(source), Some(split), Some(entry)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let (Ok(source), Ok(split)) = (std::str::from_utf8(source), std::str::from_utf8(split)) else {
            return;
        };
        let of = self.state.entry((source.to_owned(), SplitId::new(split))).or_default();
        let entry = Bytes::copy_from_slice(entry);
        match value {
            Some(value) => of.insert(entry, Bytes::copy_from_slice(value)),
            None => of.remove(&entry),
        };
    }

    /// What a source remembers of a split.
    pub fn state_of(&self, source: &str, split: &SplitId) -> Vec<StateEntry> {
        let of = self.state.get(&(source.to_owned(), split.clone()));
        let entries = of.into_iter().flatten();
        entries.map(|(key, value)| StateEntry { key: key.clone(), value: Some(value.clone()) }).collect()
    }
}

/// Reads partitions of the topic to their ends.
pub async fn load(
    cluster: &Arc<Cluster>,
    topic: &Arc<str>,
    partitions: &[u32],
) -> Result<Stored, WorkerError> {
    let wanted: Vec<TopicPartition> =
        partitions.iter().map(|p| TopicPartition::new(Arc::clone(topic), *p as i32)).collect();
    let mut stored = Stored::default();
    read_committed(cluster, &wanted, |_, key, value| stored.take(key.unwrap_or_default(), value)).await?;
    Ok(stored)
}

/// Writes a split's position.
pub fn write_position(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    partition: u32,
    now: i64,
    (source, split): (&str, &SplitId),
    position: &Position,
) -> Result<(), WorkerError> {
    let key = format!("position\0{source}\0{split}");
    let record =
        RecordRef { timestamp: now, key: Some(key.as_bytes()), value: Some(&position.0), headers: &[] };
    outbox.append(topic, partition, &record)
}

/// Writes what a source remembers of a split.
pub fn write_state(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    partition: u32,
    now: i64,
    (source, split): (&str, &SplitId),
    entry: &StateEntry,
) -> Result<(), WorkerError> {
    let mut key = format!("state\0{source}\0{split}\0").into_bytes();
    key.extend_from_slice(&entry.key);
    let record = RecordRef { timestamp: now, key: Some(&key), value: entry.value.as_deref(), headers: &[] };
    outbox.append(topic, partition, &record)
}

/// Writes a stage's counts.
pub fn write_counts(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    now: i64,
    (stage, instance): (&str, &str),
    counts: &BTreeMap<String, u64>,
) -> Result<(), WorkerError> {
    let key = format!("counts\0{stage}\0{instance}");
    let value = serde_json::to_vec(counts).expect("counts are plain data");
    let record = RecordRef { timestamp: now, key: Some(key.as_bytes()), value: Some(&value), headers: &[] };
    outbox.append(topic, COUNTS_PARTITION, &record)
}

/// Writes where a snapshot of a changelog's partition is, and whose state it has.
pub fn write_snapshot(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    now: i64,
    at: &TopicPartition,
    instance: &str,
    mark: &SnapshotMark,
) -> Result<(), WorkerError> {
    let first = mark.groups.first().copied().unwrap_or(0);
    let key = format!("snapshot\0{}\0{}\0{instance}\0{first}", at.topic, at.partition);
    let value = StoredMark { offset: mark.offset, groups: mark.groups.clone() };
    let value = serde_json::to_vec(&value).expect("a mark is plain data");
    let record = RecordRef { timestamp: now, key: Some(key.as_bytes()), value: Some(&value), headers: &[] };
    outbox.append(topic, COUNTS_PARTITION, &record)
}

/// The partition that counts and snapshots' marks are in.
pub const COUNTS_PARTITION: u32 = 0;
