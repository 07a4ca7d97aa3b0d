//! Topics read whole: read committed, up to the end that was there when the reading began, which is the end that a reader
//! of uncommitted records sees, since markers land partition by partition (KAFKA-10167). Never enters: what is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millstream_client::{
    Admin, Cluster, CommitPolicy, Consumer, ConsumerConfig, ConsumerRecords, Isolation, OffsetReset,
    OutOfRange, RecordView,
};
use millstream_engine::stage::{Restore, Stage};
use millstream_engine::state::ChangelogEntry;
use millstream_model::KeyGroup;
use millstream_plan::OperatorId;
use millstream_types::TopicPartition;

use crate::changelog::Changelogs;
use crate::error::WorkerError;
use crate::left_open;
use crate::snapshots::reading::{self, Marked};

/// How long reading may stand still.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long it stands still before it looks whether a worker that died holds it up; twice as long before it looks again.
const STALL: Duration = Duration::from_millis(500);
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// The ends of partitions, markers and open transactions included.
pub async fn ends(
    cluster: &Arc<Cluster>,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, i64>, WorkerError> {
    listed(cluster, partitions, (Isolation::ReadUncommitted, LATEST)).await
}

/// The ends of what is committed: a transaction that is open may be anybody's, and stay so for long.
pub async fn stable_ends(
    cluster: &Arc<Cluster>,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, i64>, WorkerError> {
    listed(cluster, partitions, (Isolation::ReadCommitted, LATEST)).await
}

/// The first offsets that partitions still have.
pub async fn starts(
    cluster: &Arc<Cluster>,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, i64>, WorkerError> {
    listed(cluster, partitions, (Isolation::ReadUncommitted, EARLIEST)).await
}

async fn listed(
    cluster: &Arc<Cluster>,
    partitions: &[TopicPartition],
    (isolation, at): (Isolation, i64),
) -> Result<BTreeMap<TopicPartition, i64>, WorkerError> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = Admin::new(cluster).list_offsets(isolation, at, partitions).await?;
    Ok(found.into_iter().map(|(partition, listed)| (partition, listed.offset)).collect())
}

/// Reads keys and values of partitions from their first record to their ends.
pub async fn read_committed(
    cluster: &Arc<Cluster>,
    partitions: &[TopicPartition],
    mut take: impl FnMut(i32, Option<&[u8]>, Option<&[u8]>) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    read_records(cluster, partitions, |partition, record| take(partition, record.key, record.value)).await
}

/// Reads records of partitions from their first to their ends.
pub async fn read_records(
    cluster: &Arc<Cluster>,
    partitions: &[TopicPartition],
    take: impl FnMut(i32, RecordView<'_>) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    read_until(cluster, &ends(cluster, partitions).await?, take).await
}

/// Reads records of partitions from their first to ends that were found before.
pub async fn read_until(
    cluster: &Arc<Cluster>,
    ends: &BTreeMap<TopicPartition, i64>,
    mut take: impl FnMut(i32, RecordView<'_>) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let wanted: Vec<TopicPartition> =
        ends.iter().filter(|(_, end)| **end > 0).map(|(p, _)| p.clone()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut consumer = consumer(cluster, OutOfRange::Nearest)?;
    consumer.assign(wanted).await?;
    let mut reading = ToEnds::of_own(cluster, ends);
    while let Some(records) = reading.next(&mut consumer).await? {
        for part in &records.partitions {
            for record in part.records() {
                take(part.partition.partition, record?)?;
            }
        }
    }
    consumer.close().await?;
    Ok(())
}

/// A consumer in no group, which reads committed records from where they begin.
pub fn consumer(cluster: &Arc<Cluster>, out_of_range: OutOfRange) -> Result<Consumer, WorkerError> {
    let config = ConsumerConfig {
        offset_reset: OffsetReset::Earliest,
        out_of_range,
        commit: CommitPolicy::Manual,
        isolation: Isolation::ReadCommitted,
        prefetch_bytes: 32 << 20,
        ..ConsumerConfig::default()
    };
    Ok(Consumer::new(cluster, config)?)
}

/// A reading of partitions to ends that were found before.
pub struct ToEnds<'a> {
    ends: &'a BTreeMap<TopicPartition, i64>,
    /// Where it ends what a dead worker left open, and how long it has to have stood for that.
    left_open: Option<(&'a Arc<Cluster>, Duration)>,
    /// Since when it has stood where it stands.
    since: Instant,
    at: BTreeMap<TopicPartition, i64>,
}

impl<'a> ToEnds<'a> {
    /// Of a consumer that has been assigned these partitions, as far as they hold anything.
    pub fn new(ends: &'a BTreeMap<TopicPartition, i64>) -> ToEnds<'a> {
        ToEnds { ends, left_open: None, since: Instant::now(), at: BTreeMap::new() }
    }

    /// The same of topics that only a pipeline's workers write to. What one that died left open there is ended.
    pub fn of_own(cluster: &'a Arc<Cluster>, ends: &'a BTreeMap<TopicPartition, i64>) -> ToEnds<'a> {
        ToEnds { left_open: Some((cluster, STALL)), ..ToEnds::new(ends) }
    }

    /// The next records; nothing when all partitions have come to their ends.
    pub async fn next(&mut self, consumer: &mut Consumer) -> Result<Option<ConsumerRecords>, WorkerError> {
        let at = consumer.positions();
        let is_behind =
            |(p, end): &(&TopicPartition, &i64)| **end > 0 && at.get(*p).is_none_or(|at| at < *end);
        let Some((behind, end)) = self.ends.iter().find(is_behind) else { return Ok(None) };
        if at != self.at {
            self.since = Instant::now();
            self.left_open = self.left_open.map(|(cluster, _)| (cluster, STALL));
        } else if self.since.elapsed() > STALL_MAX {
            return Err(WorkerError::Transient(format!(
                "reading {behind} to its end at {end}: nothing came for {} s",
                STALL_MAX.as_secs()
            )));
        } else if let Some((cluster, after)) = self.left_open
            && self.since.elapsed() > after
        {
            left_open::end_in(cluster, behind).await;
            self.left_open = Some((cluster, self.since.elapsed() * 2));
        }
        self.at = at;
        Ok(Some(consumer.poll(Duration::from_millis(100)).await?))
    }
}

/// The key of the record behind which a partition of a changelog begins: what lies before it is void, watermarks too, which
/// no `Reset` takes back. Written where a savepoint is put back ([`crate::savepoint`]).
pub const BEGINS: &[u8] = b"begins";

/// The values of one partition of a changelog, as they are read.
#[derive(Default)]
struct Values {
    values: Vec<Bytes>,
    /// The bytes of all of them, and of those that were taken out again.
    read: usize,
}

impl Values {
    /// Takes the next record; its value, unless it is the one behind which the partition begins.
    fn next(&mut self, key: Option<&[u8]>, value: Bytes) -> Option<Bytes> {
        if key == Some(BEGINS) {
            *self = Values::default();
            return None;
        }
        self.read += value.len();
        self.values.push(value.clone());
        Some(value)
    }
}

/// What the changelogs hold of some key groups, in memory.
pub struct Fetched {
    /// The key groups.
    pub groups: BTreeSet<u32>,
    /// How much it is, in bytes.
    pub bytes: u64,
    /// How many bytes were read of each operator's partitions, with what means nothing any more.
    read: BTreeMap<(String, u32), usize>,
    /// How many bytes of rows lie in a store of snapshots, and whose.
    stored: BTreeMap<(String, u32), (u64, BTreeSet<u32>)>,
    /// The values that mean something, those of each partition in order.
    values: Vec<Bytes>,
}

/// Into how many classes key groups fall, by their numbers, that have no partition of a changelog in common.
pub fn classes(topics: &BTreeMap<String, (Arc<str>, u32)>) -> u32 {
    let divisor = |a: u32, b: u32| {
        let (mut a, mut b) = (a, b);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    topics.values().map(|(_, partitions)| *partitions).fold(0, divisor).max(1)
}

/// Cuts key groups into parts that have no partition of a changelog in common.
pub fn parts(groups: &BTreeSet<u32>, topics: &BTreeMap<String, (Arc<str>, u32)>) -> Vec<BTreeSet<u32>> {
    let all = classes(topics);
    let mut parts: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for group in groups {
        parts.entry(group % all).or_default().insert(*group);
    }
    parts.into_values().collect()
}

/// The partitions of a changelog that key groups write to, with those of them that do.
pub fn partitions_of(
    groups: &BTreeSet<u32>,
    (topic, partitions): &(Arc<str>, u32),
) -> BTreeMap<TopicPartition, Vec<u32>> {
    let mut wanted: BTreeMap<TopicPartition, Vec<u32>> = BTreeMap::new();
    for group in groups {
        let at = TopicPartition::new(Arc::clone(topic), (group % partitions) as i32);
        wanted.entry(at).or_default().push(*group);
    }
    wanted
}

/// Reads what the changelogs hold of key groups: by operator id, topics with their partitions. What an operator kept in
/// another definition of its own means nothing to this one and is passed over, with a warning: the plan told of it.
pub async fn fetch(
    cluster: &Arc<Cluster>,
    topics: &BTreeMap<String, (Arc<str>, u32)>,
    groups: BTreeSet<u32>,
    marked: &Marked,
) -> Result<Fetched, WorkerError> {
    let mut fetched = Fetched::none(groups);
    for (operator, of) in topics {
        let mut passed_over = 0u64;
        let wanted = partitions_of(&fetched.groups, of);
        let mut layers = marked.layers(cluster, operator, &wanted).await?;
        for (at, layered) in &layers {
            let place = (operator.clone(), at.partition as u32);
            fetched.stored.insert(place, (layered.stored_bytes, layered.stored.clone()));
        }
        let wanted: Vec<TopicPartition> = wanted.into_keys().collect();
        let ends = ends(cluster, &wanted).await?;
        let mut found: BTreeMap<i32, Values> = BTreeMap::new();
        reading::read(cluster, &ends, &mut layers, |partition, key, value| {
            let values = found.entry(partition).or_default();
            if let Some(value) = values.next(key, value)
                && is_of_other_definition(operator, &value)
            {
                values.values.pop();
                passed_over += 1;
            }
            Ok(())
        })
        .await?;
        for (partition, Values { values, read }) in found {
            fetched.read.insert((operator.clone(), partition as u32), read);
            fetched.bytes += values.iter().map(|value| value.len() as u64).sum::<u64>();
            fetched.values.extend(values);
        }
        if passed_over > 0 {
            tracing::warn!(
                %operator,
                records = passed_over,
                "its definition has changed since it last ran: it starts with no state, and windows that are open lack \
                 what came before"
            );
        }
    }
    Ok(fetched)
}

impl Fetched {
    /// Key groups of which there is nothing.
    pub fn none(groups: BTreeSet<u32>) -> Fetched {
        Fetched { groups, bytes: 0, read: BTreeMap::new(), stored: BTreeMap::new(), values: Vec::new() }
    }

    /// Gives the key groups to a stage, with what they had.
    pub fn restore(
        self,
        stage: &mut Stage,
        changelogs: &mut Changelogs,
        now: i64,
    ) -> Result<(), WorkerError> {
        let mut restore = Restore::new(self.groups.into_iter().map(KeyGroup));
        for ((operator, partition), bytes) in self.read {
            // What lies in the store is no growth.
            let stored =
                self.stored.get(&(operator.clone(), partition)).map_or(0, |(bytes, _)| *bytes as usize);
            changelogs.read(&operator, partition, bytes.saturating_sub(stored));
        }
        for ((operator, partition), stored) in self.stored {
            changelogs.read_stored(&operator, partition, stored);
        }
        for value in self.values {
            restore.apply(stage, &value)?;
        }
        restore.finish(stage, now)?;
        Ok(())
    }
}

/// Whether a changelog's record is state of this operator as it was once defined.
pub fn is_of_other_definition(operator: &str, value: &Bytes) -> bool {
    let Ok(entry) = ChangelogEntry::decode(value) else { return false };
    let Some(found) = entry.operator() else { return false };
    let name = |id: &str| OperatorId::parse(id).map(|id| id.name);
    found != operator && name(found).is_some() && name(found) == name(operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_begins_behind_its_last_beginning() {
        let mut values = Values::default();
        for (key, value) in [
            (None, Some("old")),
            (Some(BEGINS), None),
            (None, Some("older")),
            (Some(BEGINS), None),
            (None, Some("new")),
            (Some(b"other".as_slice()), Some("and")),
        ] {
            let value = Bytes::from_static(value.unwrap_or_default().as_bytes());
            assert_eq!(values.next(key, value).is_some(), key != Some(BEGINS));
        }
        assert_eq!(values.values, ["new", "and"]);
        assert_eq!(values.read, 6);
    }

    #[test]
    fn state_is_known_by_the_definition_that_it_was_kept_under() {
        let record = |operator: &str| {
            ChangelogEntry::State {
                operator: operator.to_owned(),
                branch: 0,
                rows: Bytes::from_static(b"rows"),
            }
            .encode()
        };
        let now = "sums:0000000000000001";
        assert!(!is_of_other_definition(now, &record(now)));
        assert!(is_of_other_definition(now, &record("sums:0000000000000002")));
        let fired = |operator: &str| {
            let (operator, pairs) = (operator.to_owned(), vec![(KeyGroup(0), 1)]);
            ChangelogEntry::Fired { operator, source: None, pairs }.encode()
        };
        assert!(!is_of_other_definition(now, &fired(now)));
        assert!(is_of_other_definition(now, &fired("sums:0000000000000002")));
        // Not of this operator at all: for the engine to refuse.
        assert!(!is_of_other_definition(now, &record("other:0000000000000002")));
        assert!(!is_of_other_definition(now, &record("sums")));
        assert!(!is_of_other_definition(now, &Bytes::from_static(b"nonsense")));
    }
}
