//! Reading changelogs of which parts lie in a store: the snapshots that marks name come among the records, each at the offset that it
//! covers. All of it is read and checked before any of it is given (SS-3). One that has been replaced while it was read is left for the
//! one that took its place. Never enters: what records mean.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{Admin, Cluster, OutOfRange};
use millstream_engine::state::layers::{Insert, Layers, layers, live};
use millstream_engine::state::snapshots::SnapshotMark;
use millstream_types::TopicPartition;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::object::{Wrong, unpack};
use super::sweep::split;
use super::{Snapshots, Unread, folder};
use crate::error::WorkerError;
use crate::positions::{self, COUNTS_PARTITION};
use crate::restore::{self, ToEnds};

/// How many objects are read at once.
const OBJECTS_AT_ONCE: usize = 8;
/// How often reading begins again where snapshots are replaced meanwhile.
const TRIES_MAX: usize = 5;

type Marks = BTreeMap<TopicPartition, Vec<SnapshotMark>>;

/// The marks of snapshots, as they are when they are first asked for, and where what they name lies.
#[derive(Clone)]
pub struct Marked {
    positions: Arc<str>,
    snapshots: Option<Arc<Snapshots>>,
    marks: Arc<OnceCell<Marks>>,
}

/// What is read of a partition.
#[derive(Debug, Default)]
pub struct Layered {
    /// From which offset on its records are, where not from its first one.
    pub from: Option<i64>,
    /// What comes among them, in order: before the record at which offset.
    inserts: VecDeque<(i64, Vec<Bytes>)>,
    /// How many bytes of rows lie in the store, and whose key groups.
    pub stored_bytes: u64,
    /// The key groups.
    pub stored: BTreeSet<u32>,
    /// Whether any of it is of the operator as it is defined now.
    pub is_ours: bool,
}

impl Layered {
    /// What comes before the record at an offset.
    pub fn before(&mut self, offset: i64) -> Vec<Bytes> {
        let mut found = Vec::new();
        while self.inserts.front().is_some_and(|(at, _)| *at <= offset) {
            found.extend(self.inserts.pop_front().map(|(_, values)| values).unwrap_or_default());
        }
        found
    }

    /// How many bytes there are left to come.
    pub fn bytes(&self) -> usize {
        self.inserts.iter().flat_map(|(_, values)| values).map(Bytes::len).sum()
    }

    /// The greatest offset that one covers.
    pub fn covered(&self) -> Option<i64> {
        self.inserts.back().map(|(at, _)| *at)
    }
}

impl Marked {
    /// The marks in a pipeline's positions topic. They are read once they are asked for: what is assigned to a worker must have been
    /// assigned before.
    pub fn new(positions: Arc<str>, snapshots: Option<Arc<Snapshots>>) -> Marked {
        Marked { positions, snapshots, marks: Arc::default() }
    }

    /// Reads the marks now.
    pub async fn look(&self, cluster: &Arc<Cluster>) -> Result<(), WorkerError> {
        self.marks.get_or_try_init(|| self.load(cluster)).await.map(drop)
    }

    /// Whether any state of a partition lies in a store, by the marks that were read.
    pub fn is_stored(&self, at: &TopicPartition) -> bool {
        let marks = self.marks.get().and_then(|marks| marks.get(at));
        marks.is_some_and(|marks| live(marks).values().any(|mark| mark.stored.is_some()))
    }

    /// Whose state of partitions of a changelog lies in the store, by the marks that count now. Where the pipeline has no store, that is
    /// for a reader to refuse.
    pub async fn stored(
        &self,
        cluster: &Arc<Cluster>,
        wanted: &BTreeMap<TopicPartition, Vec<u32>>,
    ) -> Result<BTreeMap<TopicPartition, BTreeSet<u32>>, WorkerError> {
        if self.snapshots.is_none() {
            return Ok(BTreeMap::new());
        }
        let marks = self.marks.get_or_try_init(|| self.load(cluster)).await?;
        let of = |inserts: Vec<Insert>| inserts.into_iter().flat_map(|insert| insert.groups).collect();
        Ok(planned(marks, wanted).into_iter().map(|(at, layers)| (at, of(layers.inserts))).collect())
    }

    async fn load(&self, cluster: &Arc<Cluster>) -> Result<Marks, WorkerError> {
        let stored = positions::load(cluster, &self.positions, &[COUNTS_PARTITION]).await?;
        let marks = stored.snapshots.keys().map(|at| (at.clone(), stored.marks_of(at)));
        Ok(marks.collect())
    }

    /// What is read of partitions of an operator's changelog for these key groups.
    pub async fn layers(
        &self,
        cluster: &Arc<Cluster>,
        operator: &str,
        wanted: &BTreeMap<TopicPartition, Vec<u32>>,
    ) -> Result<BTreeMap<TopicPartition, Layered>, WorkerError> {
        let mut marks = self.marks.get_or_try_init(|| self.load(cluster)).await?.clone();
        let mut tries = 0;
        loop {
            let found = planned(&marks, wanted);
            let error = match self.read(cluster, operator, &found).await {
                Ok(read) => return Ok(read),
                Err(NotRead::Other(error)) => return Err(error),
                Err(NotRead::Replaced(error)) => error,
            };
            // Another snapshot may have taken its place, and what lay before it was deleted.
            tries += 1;
            marks = self.load(cluster).await?;
            if planned(&marks, wanted) == found || tries == TRIES_MAX {
                return Err(error);
            }
        }
    }

    async fn read(
        &self,
        cluster: &Arc<Cluster>,
        operator: &str,
        found: &BTreeMap<TopicPartition, Layers>,
    ) -> Result<BTreeMap<TopicPartition, Layered>, NotRead> {
        let mut read = BTreeMap::new();
        if !found.is_empty() {
            is_same(cluster, operator, found).await.map_err(NotRead::Other)?;
        }
        for (at, Layers { from, inserts }) in found {
            let mut layered = Layered { from: Some(*from), ..Layered::default() };
            for insert in inserts {
                let values = self.insert((operator, at), insert, &mut layered).await?;
                layered.inserts.push_back((insert.at, values));
                layered.stored.extend(&insert.groups);
            }
            read.insert(at.clone(), layered);
        }
        if read.is_empty() {
            return Ok(read);
        }
        let parts: Vec<TopicPartition> = read.keys().cloned().collect();
        let starts = restore::starts(cluster, &parts).await.map_err(NotRead::Other)?;
        let ends = restore::ends(cluster, &parts).await.map_err(NotRead::Other)?;
        for (at, layered) in &read {
            let (from, start) = (layered.from.unwrap_or(0), starts.get(at).copied().unwrap_or(0));
            if from < start {
                return Err(NotRead::Replaced(WorkerError::Setup(format!(
                    "reading state of {operator}: {at} begins at offset {start}, and its snapshots cover it up to {from}: what lies between was \
                     deleted by something other than the pipeline. Restore a savepoint, or run the pipeline over its input again under another name"
                ))));
            }
            let (covered, end) = (layered.covered().unwrap_or(0), ends.get(at).copied().unwrap_or(0));
            if covered > end {
                return Err(NotRead::Other(WorkerError::Setup(format!(
                    "reading state of {operator}: a snapshot covers {at} up to offset {covered}, and it ends at {end}: the topic was made anew. \
                     Restore a savepoint, or run the pipeline over its input again under another name"
                ))));
            }
        }
        Ok(read)
    }

    /// The values of one snapshot.
    async fn insert(
        &self,
        (operator, at): (&str, &TopicPartition),
        insert: &Insert,
        layered: &mut Layered,
    ) -> Result<Vec<Bytes>, NotRead> {
        let Some(snapshots) = &self.snapshots else {
            return Err(NotRead::Other(WorkerError::Setup(format!(
                "reading state of {operator}: key groups {:?} of {at} are in a snapshot at {}, and the file has no `defaults.snapshots`. Say \
                 where it is; to leave the store, say `take: false` with it, and take it out when the log says that nothing is kept there any more",
                insert.groups, insert.stored.location
            ))));
        };
        let (folder, name) = split(&insert.stored.manifest);
        let failed = |unread: Unread| match unread {
            Unread::Store(error) => NotRead::Other(
                WorkerError::from(error)
                    .doing(&format!("reading state of {operator} from {}", snapshots.url())),
            ),
            Unread::Wrong(Wrong { name, what, is_missing }) => {
                let moved = match insert.stored.location == snapshots.url() {
                    true => String::new(),
                    false => format!(" (it was written to {})", insert.stored.location),
                };
                let error = WorkerError::Setup(format!(
                    "reading state of {operator}, key groups {:?} of {at}: the object {folder}/{name} in {}{moved} {what}. Nothing is begun \
                     without it: put it back from a copy or an older version of it, or restore a savepoint",
                    insert.groups,
                    snapshots.url()
                ));
                if is_missing { NotRead::Replaced(error) } else { NotRead::Other(error) }
            }
        };
        let named = |unread: Unread| match unread {
            Unread::Wrong(wrong) if !wrong.is_missing => {
                Unread::Wrong(Wrong { name: name.to_owned(), ..wrong })
            }
            other => other,
        };
        let manifest = snapshots.manifest(folder, name).await.map_err(|unread| failed(named(unread)))?;
        if (manifest.covers, manifest.topic.as_str(), manifest.partition)
            != (insert.at, at.topic.as_ref(), at.partition as u32)
        {
            let what = format!("is of {}-{} up to {}", manifest.topic, manifest.partition, manifest.covers);
            let wrong = Wrong { name: name.to_owned(), what, is_missing: false };
            return Err(failed(Unread::Wrong(wrong)));
        }
        // What it kept in another definition of its own means nothing to this one; watermarks are the stage's.
        let is_ours = manifest.operator == operator;
        let mut values = manifest.head(&insert.groups, is_ours);
        if !is_ours {
            tracing::warn!(
                %operator,
                %at,
                "its definition has changed since its last snapshot: it starts with no state, and windows that are open lack what came \
                 before"
            );
            return Ok(values);
        }
        layered.is_ours = true;
        let wanted: Arc<BTreeSet<u32>> = Arc::new(insert.groups.iter().copied().collect());
        let parts = manifest.parts.iter().enumerate();
        let parts = parts.filter(|(_, part)| part.groups.keys().any(|group| wanted.contains(group)));
        let (mut reading, mut found) = (JoinSet::new(), BTreeMap::new());
        for (number, part) in parts {
            if reading.len() >= OBJECTS_AT_ONCE {
                objects(reading.join_next().await, &mut found).map_err(&failed)?;
            }
            let (snapshots, folder, part) = (Arc::clone(snapshots), folder.to_owned(), part.clone());
            let wanted = Arc::clone(&wanted);
            layered.stored_bytes += part
                .groups
                .iter()
                .filter(|(group, _)| wanted.contains(group))
                .map(|(_, bytes)| bytes)
                .sum::<u64>();
            reading.spawn(async move {
                let content = snapshots.objects.read(&folder, &part.object).await?;
                let unpacked = tokio::task::spawn_blocking(move || {
                    super::object::check(&part.object, content.as_ref())?;
                    let is_wanted = |group| wanted.contains(&group) && part.groups.contains_key(&group);
                    unpack(&part.object, &content.unwrap_or_default(), is_wanted)
                });
                let unpacked = unpacked.await.map_err(|error| {
                    millstream_connector::SinkError::transient(format!("unpacking an object: {error}"))
                })?;
                Ok((number, unpacked?))
            });
        }
        while let Some(done) = reading.join_next().await {
            objects(Some(done), &mut found).map_err(&failed)?;
        }
        values.extend(found.into_values().flatten());
        Ok(values)
    }
}

/// Refuses snapshots of a topic that was made anew since: their offsets say nothing of it.
async fn is_same(
    cluster: &Arc<Cluster>,
    operator: &str,
    found: &BTreeMap<TopicPartition, Layers>,
) -> Result<(), WorkerError> {
    let topics = Admin::new(cluster).list_topics().await?;
    for (at, Layers { inserts, .. }) in found {
        let folder = topics.get(&at.topic).map(|topic| folder(at, &topic.id.to_string())).unwrap_or_default();
        if let Some(insert) = inserts.iter().find(|insert| split(&insert.stored.manifest).0 != folder) {
            return Err(WorkerError::Setup(format!(
                "reading state of {operator}: the snapshot {} in {} is of another topic {} than there is, which was made anew. Restore a savepoint, \
                 or run the pipeline over its input again under another name",
                insert.stored.manifest, insert.stored.location, at.topic
            )));
        }
    }
    Ok(())
}

/// Why a snapshot could not be read.
enum NotRead {
    /// It may have been replaced by another one.
    Replaced(WorkerError),
    Other(WorkerError),
}

type Unpacked = Result<Result<(usize, Vec<Bytes>), Unread>, tokio::task::JoinError>;

fn objects(done: Option<Unpacked>, found: &mut BTreeMap<usize, Vec<Bytes>>) -> Result<(), Unread> {
    let Some(done) = done else { return Ok(()) };
    let done = done.map_err(|error| {
        Unread::Store(millstream_connector::SinkError::transient(format!("reading an object: {error}")))
    })?;
    let (number, values) = done?;
    found.insert(number, values);
    Ok(())
}

/// The key groups of each of some partitions of a changelog.
pub fn groups_of(
    partitions: impl IntoIterator<Item = TopicPartition>,
    (key_groups, count): (u32, u32),
) -> BTreeMap<TopicPartition, Vec<u32>> {
    let of = |at: &TopicPartition| (at.partition as u32..key_groups).step_by(count.max(1) as usize).collect();
    partitions.into_iter().map(|at| (at.clone(), of(&at))).collect()
}

/// The partitions of which something lies elsewhere, with what is read of them.
fn planned(marks: &Marks, wanted: &BTreeMap<TopicPartition, Vec<u32>>) -> BTreeMap<TopicPartition, Layers> {
    let of = |(at, groups): (&TopicPartition, &Vec<u32>)| {
        let found = layers(marks.get(at)?, groups.iter().copied());
        (!found.inserts.is_empty()).then(|| (at.clone(), found))
    };
    wanted.iter().filter_map(of).collect()
}

/// Reads partitions to ends that were found before, with what comes among their records: of each partition in order, keys and values.
pub async fn read(
    cluster: &Arc<Cluster>,
    ends: &BTreeMap<TopicPartition, i64>,
    layers: &mut BTreeMap<TopicPartition, Layered>,
    mut take: impl FnMut(i32, Option<&[u8]>, Bytes) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let wanted: Vec<TopicPartition> =
        ends.iter().filter(|(_, end)| **end > 0).map(|(p, _)| p.clone()).collect();
    if !wanted.is_empty() {
        // What is deleted while it is read is void, or is seen by `layers`.
        let mut consumer = restore::consumer(cluster, OutOfRange::Nearest)?;
        consumer.assign(wanted).await?;
        for (at, layered) in layers.iter() {
            if let Some(from) = layered.from.filter(|_| ends.get(at).is_some_and(|end| *end > 0)) {
                consumer.seek(at, from)?;
            }
        }
        let mut reading = ToEnds::of_own(cluster, ends);
        while let Some(records) = reading.next(&mut consumer).await? {
            for part in &records.partitions {
                let (at, mut layered) = (part.partition.partition, layers.get_mut(&part.partition));
                let from = layered.as_ref().and_then(|layered| layered.from).unwrap_or(0);
                for record in part.records() {
                    let record = record?;
                    if record.offset < from {
                        continue;
                    }
                    if let Some(layered) = &mut layered {
                        layered
                            .before(record.offset)
                            .into_iter()
                            .try_for_each(|value| take(at, None, value))?;
                    }
                    take(at, record.key, Bytes::copy_from_slice(record.value.unwrap_or_default()))?;
                }
            }
        }
        consumer.close().await?;
    }
    for (at, layered) in layers {
        layered.before(i64::MAX).into_iter().try_for_each(|value| take(at.partition, None, value))?;
    }
    Ok(())
}
