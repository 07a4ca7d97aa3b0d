//! The pipeline's positions topic: where each split of a source has come to, what a source remembers, and the counts of
//! each stage, all written in the transactions whose effects they tell. Compacted; the last record of a key counts.
//!
//! Keys: `position NUL source NUL split`, `state NUL source NUL split NUL entry`, `counts NUL stage NUL instance`,
//! `snapshot NUL changelog NUL partition NUL instance NUL first key group` (`changelog.rs`), the same without an instance for each key
//! group whose snapshot is in an object store ([`crate::snapshots`]), the marks of `ends.rs`, and
//! `restoring` while a savepoint is being put back ([`crate::savepoint`]).
//! A split's records are in the partition of its route, which is also the partition of the splits topic whose owner reads
//! it. Never enters: what a position means.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{Cluster, RecordRef};
use millstream_connector::{Position, SplitId, StateEntry};
use millstream_engine::state::snapshots::{SnapshotMark, Stored as StoredAt};
use millstream_types::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::restore::{read_committed, read_until, stable_ends};

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
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
                    let location = mark.location.unwrap_or_default();
                    let stored = mark.manifest.map(|manifest| StoredAt { manifest, location });
                    let mark = SnapshotMark { offset: mark.offset, groups: mark.groups, stored };
                    let at = TopicPartition::new(*topic, partition);
                    let who = ((*instance).to_owned(), (*first).to_owned());
                    self.snapshots.entry(at).or_default().insert(who, mark);
                }
            }
            (["counts", stage, instance], None) => {
                self.counts.remove(&((*stage).to_owned(), (*instance).to_owned()));
            }
            (["snapshot", topic, partition, instance, first], None) => {
                let at = partition.parse().map(|partition| TopicPartition::new(*topic, partition));
                if let Some(marks) = at.ok().and_then(|at| self.snapshots.get_mut(&at)) {
                    marks.remove(&((*instance).to_owned(), (*first).to_owned()));
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

    /// The marks of snapshots of a partition of a changelog.
    pub fn marks_of(&self, at: &TopicPartition) -> Vec<SnapshotMark> {
        self.snapshots.get(at).into_iter().flat_map(BTreeMap::values).cloned().collect()
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

/// Whether a key is of what a source or a stage goes on from, rather than of a mark.
pub fn is_position(key: &[u8]) -> bool {
    let kind = key.split(|byte| *byte == 0).next();
    [b"position".as_slice(), b"state", b"counts"].iter().any(|of| kind == Some(of))
}

/// The key of the savepoint that is being put back, in [`COUNTS_PARTITION`]; its value is the savepoint's name.
pub const RESTORING: &[u8] = b"restoring";

/// The name of the savepoint that was begun to be put back and is not yet.
pub async fn restoring(cluster: &Arc<Cluster>, topic: &Arc<str>) -> Result<Option<String>, WorkerError> {
    let at = TopicPartition::new(Arc::clone(topic), COUNTS_PARTITION as i32);
    // What was begun may have left a transaction open; the mark lies before it.
    let ends = stable_ends(cluster, std::slice::from_ref(&at)).await?;
    let mut found = None;
    read_until(cluster, &ends, |_, record| {
        if record.key == Some(RESTORING) {
            found = record.value.map(|name| String::from_utf8_lossy(name).into_owned());
        }
        Ok(())
    })
    .await?;
    Ok(found)
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

/// Writes where a snapshot of a changelog's partition is, and whose state it has. One that is kept elsewhere has a mark for each key
/// group, whoever made it: what the mark before it names is state that lies nowhere else, so nothing but the group's next one may replace it.
pub fn write_snapshot(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    now: i64,
    at: &TopicPartition,
    instance: &str,
    mark: &SnapshotMark,
) -> Result<(), WorkerError> {
    mark_records(at, instance, mark).into_iter().try_for_each(|(key, value)| {
        let record =
            RecordRef { timestamp: now, key: Some(key.as_bytes()), value: Some(&value), headers: &[] };
        outbox.append(topic, COUNTS_PARTITION, &record)
    })
}

/// The records of a mark: keys and values.
fn mark_records(at: &TopicPartition, instance: &str, mark: &SnapshotMark) -> Vec<(String, Vec<u8>)> {
    let record = |instance: &str, first: u32, groups: Vec<u32>| {
        let (manifest, location) =
            mark.stored.clone().map(|stored| (stored.manifest, stored.location)).unzip();
        let value = StoredMark { offset: mark.offset, groups, manifest, location };
        (mark_key(at, instance, first), serde_json::to_vec(&value).expect("a mark is plain data"))
    };
    match &mark.stored {
        None => vec![record(instance, mark.groups.first().copied().unwrap_or(0), mark.groups.clone())],
        Some(_) => mark.groups.iter().map(|group| record("", *group, vec![*group])).collect(),
    }
}

fn mark_key(at: &TopicPartition, instance: &str, first: u32) -> String {
    format!("snapshot\0{}\0{}\0{instance}\0{first}", at.topic, at.partition)
}

/// Takes the marks of key groups away whose snapshots are kept elsewhere: with a snapshot of them in the changelog.
pub fn write_left(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    now: i64,
    at: &TopicPartition,
    groups: impl IntoIterator<Item = u32>,
) -> Result<(), WorkerError> {
    groups.into_iter().try_for_each(|group| {
        let key = mark_key(at, "", group);
        let record = RecordRef { timestamp: now, key: Some(key.as_bytes()), ..RecordRef::default() };
        outbox.append(topic, COUNTS_PARTITION, &record)
    })
}

/// The partition that counts and snapshots' marks are in.
pub const COUNTS_PARTITION: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_of_a_key_group_in_a_store_is_replaced_by_its_own_next_one_alone() {
        let at = TopicPartition::new("p-sums-state", 3);
        let stored = |offset, groups: &[u32], name: &str| SnapshotMark {
            offset,
            groups: groups.to_vec(),
            stored: Some(StoredAt { manifest: name.to_owned(), location: "s3://state".to_owned() }),
        };
        let mut known = Stored::default();
        let mut write = |instance: &str, mark: &SnapshotMark| {
            for (key, value) in mark_records(&at, instance, mark) {
                known.take(key.as_bytes(), Some(&value)).unwrap();
            }
        };
        write("a", &stored(10, &[3, 19], "first"));
        // Another worker has one of them now, and writes the same first key group.
        write("b", &stored(20, &[3], "second"));
        write("b", &SnapshotMark { offset: 5, groups: vec![3, 19], stored: None });
        let marks = known.marks_of(&at);
        assert_eq!(marks.len(), 3, "{marks:?}");
        assert!(marks.contains(&stored(10, &[19], "first")) && marks.contains(&stored(20, &[3], "second")));
        known.take(mark_key(&at, "", 19).as_bytes(), None).unwrap();
        assert!(!known.marks_of(&at).contains(&stored(10, &[19], "first")));
        // As a build before stores wrote it.
        let key = mark_key(&at, "c", 3);
        known.take(key.as_bytes(), Some(br#"{"offset":7,"groups":[3]}"#)).unwrap();
        assert!(known.marks_of(&at).contains(&SnapshotMark { offset: 7, groups: vec![3], stored: None }));
    }
}
