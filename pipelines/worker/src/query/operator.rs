//! One operator as it is read: its changelog, from where it was read to last. A changelog that was made anew is read anew. Never
//! enters: what its records mean (`millstream_engine`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream_client::cluster::Topic;
use millstream_client::{
    Cluster, CommitPolicy, Consumer, ConsumerConfig, Isolation, OffsetReset, OutOfRange,
};
use millstream_engine::stage::StageSpec;
use millstream_engine::stage::view::{Readable, View};
use millstream_types::{TopicPartition, Uuid};

use super::too_large;
use crate::error::WorkerError;
use crate::restore::{BEGINS, ToEnds, is_of_other_definition};
use crate::snapshots::reading::{Layered, Marked, groups_of};

/// How much is read between two looks at how much is held.
const LOOK_EVERY: usize = 4 << 20;
/// How much is fetched ahead.
const PREFETCH_BYTES: usize = 8 << 20;

pub(super) struct Operator {
    spec: StageSpec,
    id: String,
    tables: BTreeSet<String>,
    topic: Arc<str>,
    partitions: u32,
    view: View,
    /// The topic as it was when it was read.
    topic_id: Option<Uuid>,
    /// Up to where it was read.
    positions: BTreeMap<TopicPartition, i64>,
}

fn built(spec: &StageSpec) -> Result<View, WorkerError> {
    View::new(spec.clone()).map_err(|problems| {
        WorkerError::Setup(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

impl Operator {
    /// Of a stage, with the topic of its changelog and its partitions.
    pub(super) fn new(
        spec: StageSpec,
        found: &Readable,
        (topic, partitions): (Arc<str>, u32),
    ) -> Result<Operator, WorkerError> {
        let view = built(&spec)?;
        let (id, tables) = (found.id.clone(), found.tables.clone());
        let positions = BTreeMap::new();
        Ok(Operator { spec, id, tables, topic, partitions, view, topic_id: None, positions })
    }

    /// The tables that its rows are joined with.
    pub(super) fn tables(&self) -> impl Iterator<Item = &String> {
        self.tables.iter()
    }

    pub(super) fn all_partitions(&self) -> Vec<TopicPartition> {
        (0..self.partitions).map(|p| TopicPartition::new(Arc::clone(&self.topic), p as i32)).collect()
    }

    pub(super) fn size(&self) -> usize {
        self.view.size()
    }

    pub(super) fn load_table(&mut self, name: &str, rows: &RecordBatch) -> Result<(), WorkerError> {
        Ok(self.view.load_table(name, rows)?)
    }

    /// Refuses a changelog that is not there, or is another's; forgets what was read of one that is not there any more.
    pub(super) fn check(
        &mut self,
        name: &str,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) -> Result<(), WorkerError> {
        let Some(found) = topics.get(&self.topic) else {
            return Err(WorkerError::Setup(format!(
                "nothing is kept of {name} on this cluster: there is no topic {}; has the pipeline run there?",
                self.topic
            )));
        };
        if found.partition_count() as u32 != self.partitions {
            return Err(WorkerError::Setup(format!(
                "topic {} has {} partitions and the pipeline says {}: the file has been changed since it ran",
                self.topic,
                found.partition_count(),
                self.partitions
            )));
        }
        if self.topic_id.replace(found.id).is_some_and(|id| id != found.id) {
            self.forget()?;
        }
        Ok(())
    }

    /// Forgets what was read: it is read from the beginning again.
    pub(super) fn forget(&mut self) -> Result<(), WorkerError> {
        self.view = built(&self.spec)?;
        self.positions.clear();
        Ok(())
    }

    /// Reads on to these ends, in so many bytes; how many records were of another definition. Nothing where a snapshot in a store is
    /// of later than the ends.
    pub(super) async fn read(
        &mut self,
        name: &str,
        cluster: &Arc<Cluster>,
        (starts, ends): (&BTreeMap<TopicPartition, i64>, &BTreeMap<TopicPartition, i64>),
        marked: &Marked,
        bytes_max: usize,
    ) -> Result<Option<u64>, WorkerError> {
        let own = ends.iter().filter(|(at, _)| at.topic == self.topic);
        let own: BTreeMap<TopicPartition, i64> = own.map(|(at, end)| (at.clone(), *end)).collect();
        if own.iter().any(|(at, end)| self.positions.get(at).is_some_and(|known| known > end)) {
            // A changelog does not get shorter.
            self.forget()?;
        }
        let is_gone = |(at, known): (&TopicPartition, &i64)| {
            marked.is_stored(at) && starts.get(at).is_some_and(|start| known < start)
        };
        if self.positions.iter().any(is_gone) {
            // What was deleted since lies in the store alone.
            self.forget()?;
        }
        // Of these what lies in the store is read too.
        let mut anew: Vec<TopicPartition> =
            own.keys().filter(|at| !self.positions.contains_key(*at)).cloned().collect();
        let left = |positions: &BTreeMap<TopicPartition, i64>| -> BTreeMap<TopicPartition, i64> {
            let is_left =
                |(at, end): &(&TopicPartition, &i64)| positions.get(*at).is_none_or(|known| known < *end);
            own.iter().filter(is_left).map(|(at, end)| (at.clone(), *end)).collect()
        };
        let mut passed_over = 0;
        let mut wanted = left(&self.positions);
        while !wanted.is_empty() {
            let mut begins = BTreeMap::new();
            let groups = groups_of(anew.iter().cloned(), (self.spec.key_groups, self.partitions));
            let layers = marked.layers(cluster, &self.id, &groups).await;
            let mut layers = layers.map_err(|error| error.doing(&format!("reading {name}")))?;
            if layers.iter().any(|(at, layered)| layered.covered() > own.get(at).copied()) {
                self.forget()?;
                return Ok(None);
            }
            let read = self.read_parts(name, cluster, (&wanted, &mut layers), (bytes_max, &mut begins)).await;
            match read {
                // A changelog that begins anew: what lies before is void, its watermarks too.
                Ok(_) if !begins.is_empty() => {
                    self.forget()?;
                    self.positions = begins;
                    anew = own.keys().cloned().collect();
                    wanted = left(&self.positions);
                }
                Ok(found) => {
                    passed_over = found;
                    break;
                }
                Err(error) => {
                    // Half of it is no state of any instant.
                    self.forget()?;
                    return Err(error.doing(&format!("reading {name}")));
                }
            }
        }
        self.positions.extend(own);
        Ok(Some(passed_over))
    }

    async fn read_parts(
        &mut self,
        name: &str,
        cluster: &Arc<Cluster>,
        (ends, layers): (&BTreeMap<TopicPartition, i64>, &mut BTreeMap<TopicPartition, Layered>),
        (bytes_max, begins): (usize, &mut BTreeMap<TopicPartition, i64>),
    ) -> Result<u64, WorkerError> {
        let config = ConsumerConfig {
            offset_reset: OffsetReset::Earliest,
            // What was deleted meanwhile is void: behind it stands all that counts.
            out_of_range: OutOfRange::Nearest,
            commit: CommitPolicy::Manual,
            isolation: Isolation::ReadCommitted,
            prefetch_bytes: PREFETCH_BYTES,
            ..ConsumerConfig::default()
        };
        let mut consumer = Consumer::new(cluster, config)?;
        consumer.assign(ends.keys().cloned()).await?;
        for (at, known) in ends.keys().filter_map(|at| Some((at, *self.positions.get(at)?))) {
            consumer.seek(at, known)?;
        }
        for (at, layered) in layers.iter().filter(|(at, _)| ends.contains_key(*at)) {
            let known = self.positions.get(at).copied().unwrap_or(0);
            consumer.seek(at, known.max(layered.from.unwrap_or(0)))?;
        }
        let (mut passed_over, mut since) = (0, 0);
        let mut reading = ToEnds::new(ends);
        while let Some(records) = reading.next(&mut consumer).await? {
            for part in &records.partitions {
                let end = ends.get(&part.partition).copied().unwrap_or(0);
                let mut layered = layers.get_mut(&part.partition);
                for record in part.records() {
                    let record = record?;
                    if record.offset >= end {
                        break;
                    }
                    if record.key == Some(BEGINS) {
                        begins.insert(part.partition.clone(), record.offset + 1);
                    }
                    if !begins.is_empty() {
                        // It is read again from there.
                        continue;
                    }
                    if let Some(layered) = &mut layered {
                        for value in layered.before(record.offset) {
                            since += value.len();
                            self.view.apply(&value)?;
                        }
                    }
                    let value = Bytes::copy_from_slice(record.value.unwrap_or_default());
                    if is_of_other_definition(&self.id, &value) {
                        passed_over += 1;
                        continue;
                    }
                    since += value.len();
                    self.view.apply(&value)?;
                }
            }
            if since > LOOK_EVERY {
                since = 0;
                self.is_within(name, bytes_max)?;
            }
        }
        consumer.close().await?;
        if !begins.is_empty() {
            return Ok(0);
        }
        for value in layers.values_mut().flat_map(|layered| layered.before(i64::MAX)) {
            self.view.apply(&value)?;
        }
        self.view.settle()?;
        self.is_within(name, bytes_max)?;
        Ok(passed_over)
    }

    fn is_within(&self, name: &str, bytes_max: usize) -> Result<(), WorkerError> {
        if self.view.size() > bytes_max { Err(too_large(name, bytes_max)) } else { Ok(()) }
    }

    /// The rows that it would give now, in so many bytes beside what is held.
    pub(super) fn rows(&mut self, name: &str, bytes_max: usize) -> Result<Vec<RecordBatch>, WorkerError> {
        Ok(self.view.rows(name, bytes_max)?)
    }
}
