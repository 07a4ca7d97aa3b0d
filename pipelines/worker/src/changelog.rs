//! The changelogs of a process stage: which have grown so much that their state is to be written anew, and the deletion
//! of what such a snapshot voids. A snapshot is part of a commit, and so is its mark in the positions topic; records are
//! deleted afterwards, below the marks of all workers (SM-4). Never enters: what a snapshot holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Admin, Cluster};
use millstream_engine::stage::Stage;
use millstream_engine::state::ChangelogEntry;
use millstream_engine::state::snapshots::{Growth, SnapshotMark, deletable_below};
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::positions::{self, COUNTS_PARTITION};
use crate::restore;

/// About how many bytes of state one commit writes anew: what a transaction can carry well within its time-out.
const PART_BYTES: u64 = 16 << 20;
/// How often the ends of changelogs are looked at, for what other workers write.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A worker makes a snapshot of what it has in a partition when so many records have come there since its last one, though
/// it wrote few of them: without its mark nobody can delete any.
const RECORDS_MAX: i64 = 4_096;

/// The changelogs of a stage, as this worker has written them.
pub struct Changelogs {
    /// By operator id: topics with their partitions.
    topics: BTreeMap<String, (Arc<str>, u32)>,
    positions: Arc<str>,
    instance: String,
    key_groups: u32,
    /// No snapshot before this many bytes of changes.
    least: u64,
    growth: BTreeMap<(String, u32), Growth>,
    /// Where each partition ended when this worker last made a snapshot of what it has there, or first looked.
    ends: BTreeMap<TopicPartition, i64>,
    /// About how many offsets it has taken there itself since.
    own: BTreeMap<(String, u32), i64>,
    looked: Instant,
    /// No snapshot before, where the stage had to begin again: one that cannot be committed must not hold up the rest.
    not_before: Option<Instant>,
}

/// A part of a snapshot that a commit has.
pub struct Taken {
    place: (String, u32),
    at: TopicPartition,
    end: i64,
    groups: Vec<u32>,
    bytes: u64,
    /// It has all that the worker owns there.
    last: bool,
}

impl Changelogs {
    /// Changelogs by operator id, of a stage of so many key groups, which may begin again after a failure.
    pub fn new(
        topics: BTreeMap<String, (Arc<str>, u32)>,
        positions: Arc<str>,
        instance: &str,
        key_groups: u32,
        least: u64,
        begins_again: bool,
    ) -> Changelogs {
        Changelogs {
            topics,
            positions,
            instance: instance.to_owned(),
            key_groups,
            least,
            growth: BTreeMap::new(),
            ends: BTreeMap::new(),
            own: BTreeMap::new(),
            looked: Instant::now(),
            not_before: begins_again.then(|| Instant::now() + LOOK_EVERY),
        }
    }

    /// The topics by operator id, with their partitions.
    pub fn topics(&self) -> &BTreeMap<String, (Arc<str>, u32)> {
        &self.topics
    }

    /// Notes changes that are written.
    pub fn wrote(&mut self, operator: &str, partition: u32, bytes: usize) {
        self.read(operator, partition, bytes);
        // The record, and at most one marker.
        *self.own.entry((operator.to_owned(), partition)).or_default() += 2;
    }

    /// Notes changes that a restore has read.
    pub fn read(&mut self, operator: &str, partition: u32, bytes: usize) {
        self.growth.entry((operator.to_owned(), partition)).or_default().add(bytes as u64);
    }

    /// Whether a snapshot is to be made.
    pub fn is_due(&self) -> bool {
        self.not_before.is_none_or(|at| Instant::now() >= at)
            && self.growth.values().any(|growth| growth.overdue(self.least).is_some())
    }

    /// Looks, now and then, at what other workers have written to the partitions that this one has key groups in.
    pub async fn look(&mut self, cluster: &Arc<Cluster>, owned: &BTreeSet<u32>) {
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        let place = |at: &TopicPartition| {
            let (operator, _) = self.topics.iter().find(|(_, (topic, _))| *topic == at.topic)?;
            Some((operator.clone(), at.partition as u32))
        };
        let all = self.topics.values().flat_map(|(topic, partitions)| {
            let of: BTreeSet<u32> = owned.iter().map(|group| group % partitions).collect();
            of.into_iter().map(|partition| TopicPartition::new(Arc::clone(topic), partition as i32))
        });
        let all: Vec<TopicPartition> = all.collect();
        let ends = match restore::ends(cluster, &all).await {
            Ok(ends) => ends,
            Err(error) => {
                return tracing::warn!(%error, "the ends of changelogs are not known; asked again later");
            }
        };
        let mut wanted = Vec::new();
        for (at, end) in ends {
            let since = *self.ends.entry(at.clone()).or_insert(end);
            let Some(place) = place(&at) else { continue };
            let own = self.own.get(&place).copied().unwrap_or(0);
            if end - since - own > RECORDS_MAX {
                wanted.push(place);
            }
        }
        for place in wanted {
            self.growth.entry(place).or_default().want();
        }
    }

    /// Puts a part of a snapshot of the partition that is most overdue, if one is, behind what the commit has there.
    pub async fn snapshot(
        &mut self,
        cluster: &Arc<Cluster>,
        stage: &mut Stage,
        outbox: &mut Outbox,
        now: i64,
    ) -> Result<Option<Taken>, WorkerError> {
        let overdue = self.growth.iter().filter_map(|(place, g)| Some((g.overdue(self.least)?, place)));
        let Some((_, place)) = overdue.max() else { return Ok(None) };
        let place = place.clone();
        let (operator, partition) = &place;
        let mut groups = self.growth[&place].lacks(&stage.groups_of(*partition));
        // As many key groups as make up a part, by what the operator keeps for each on average.
        let kept: u64 = stage.state_sizes().iter().map(|(_, size)| size.bytes as u64 + size.disk_bytes).sum();
        let each = kept / stage.key_groups_assigned().max(1) as u64;
        let most = usize::try_from(PART_BYTES / each.max(1)).unwrap_or(usize::MAX).max(1);
        let last = groups.len() <= most;
        groups.truncate(most);
        let records = stage.snapshot(operator, *partition, groups)?;
        let reset = match (self.topics.get(operator), records.first().map(|r| &r.entry)) {
            (Some((topic, _)), Some(ChangelogEntry::Reset { groups, .. })) => Some((topic, groups)),
            _ => None,
        };
        let Some((topic, groups)) = reset else {
            // This worker has nothing there any more.
            self.growth.remove(&place);
            return Ok(None);
        };
        let groups: Vec<u32> = groups.iter().map(|group| group.0).collect();
        let at = TopicPartition::new(Arc::clone(topic), *partition as i32);
        let ends = restore::ends(cluster, std::slice::from_ref(&at)).await?;
        let Some(end) = ends.get(&at).copied() else { return Ok(None) };
        let mut bytes = 0;
        for record in &records {
            let value = record.entry.encode();
            bytes += value.len() as u64;
            outbox.append_value(topic, *partition, now, &value)?;
        }
        let mark = SnapshotMark { offset: end, groups: groups.clone() };
        positions::write_snapshot(outbox, &self.positions, now, &at, &self.instance, &mark)?;
        Ok(Some(Taken { place, at, end, groups, bytes, last }))
    }

    /// The commit with a part of a snapshot has succeeded. With the last one what no key group needs any more is deleted,
    /// beside the work. A failure does no harm: the next snapshot deletes it too.
    pub fn was_committed(&mut self, cluster: &Arc<Cluster>, taken: Taken) {
        let Taken { place, at, end, groups, bytes, last } = taken;
        let partitions = self.topics.get(&place.0).map_or(1, |(_, partitions)| *partitions);
        self.growth.entry(place.clone()).or_default().was_taken(&groups, bytes, last);
        if !last {
            return;
        }
        self.own.remove(&place);
        self.ends.insert(at.clone(), end);
        let (cluster, positions, key_groups) =
            (Arc::clone(cluster), Arc::clone(&self.positions), self.key_groups);
        tokio::spawn(async move {
            match cut(&cluster, &positions, &at, partitions, key_groups).await {
                Ok(below) => tracing::debug!(%at, below, bytes, "state was written anew"),
                Err(error) => tracing::warn!(
                    %at, %error, "what a snapshot of its state voids could not be deleted; the next one does it"
                ),
            }
        });
    }
}

/// Deletes what is not needed any more; below which offset.
async fn cut(
    cluster: &Arc<Cluster>,
    positions: &Arc<str>,
    at: &TopicPartition,
    partitions: u32,
    key_groups: u32,
) -> Result<i64, WorkerError> {
    let mut stored = positions::load(cluster, positions, &[COUNTS_PARTITION]).await?;
    let marks = stored.snapshots.remove(at).unwrap_or_default();
    let below = deletable_below(marks.into_values(), (at.partition as u32, partitions), key_groups);
    if below > 0 {
        Admin::new(cluster).delete_records(&BTreeMap::from([(at.clone(), below)])).await?;
    }
    Ok(below)
}
