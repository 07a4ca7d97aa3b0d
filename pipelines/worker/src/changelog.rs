//! The changelogs of a process stage: which have grown so much that their state is to be written anew, and the deletion
//! of what such a snapshot voids. A snapshot is part of a commit, and so is its mark in the positions topic; records are
//! deleted afterwards, below the marks of all workers (SM-4). Never enters: what a snapshot holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_client::{Admin, Cluster};
use millstream_engine::stage::Stage;
use millstream_engine::state::ChangelogEntry;
use millstream_engine::state::snapshots::{Growth, SnapshotMark, deletable_below};
use millstream_types::TopicPartition;

use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::positions::{self, COUNTS_PARTITION};
use crate::restore;

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
}

/// A snapshot that is part of a commit.
pub struct Taken {
    place: (String, u32),
    bytes: u64,
}

impl Changelogs {
    /// Changelogs by operator id, of a stage of so many key groups.
    pub fn new(
        topics: BTreeMap<String, (Arc<str>, u32)>,
        positions: Arc<str>,
        instance: &str,
        key_groups: u32,
        least: u64,
    ) -> Changelogs {
        Changelogs {
            topics,
            positions,
            instance: instance.to_owned(),
            key_groups,
            least,
            growth: BTreeMap::new(),
        }
    }

    /// The topics by operator id, with their partitions.
    pub fn topics(&self) -> &BTreeMap<String, (Arc<str>, u32)> {
        &self.topics
    }

    /// Notes changes that were written, or read at a restore.
    pub fn add(&mut self, operator: &str, partition: u32, bytes: usize) {
        self.growth.entry((operator.to_owned(), partition)).or_default().add(bytes as u64);
    }

    /// Puts a snapshot of the partition that is most overdue, if one is, behind what the commit has there.
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
        let records = stage.snapshot(operator, *partition)?;
        let reset = match (self.topics.get(operator), records.first().map(|r| &r.entry)) {
            (Some((topic, _)), Some(ChangelogEntry::Reset { groups, .. })) => Some((topic, groups)),
            _ => None,
        };
        let Some((topic, groups)) = reset else {
            // This worker has nothing there any more.
            self.growth.remove(&place);
            return Ok(None);
        };
        let groups = groups.iter().map(|group| group.0).collect();
        let at = TopicPartition::new(Arc::clone(topic), *partition as i32);
        let ends = restore::ends(cluster, std::slice::from_ref(&at)).await?;
        let Some(offset) = ends.get(&at).copied() else { return Ok(None) };
        let mut bytes = 0;
        for record in &records {
            let value = record.entry.encode();
            bytes += value.len() as u64;
            outbox.append_value(topic, *partition, now, &value)?;
        }
        let mark = SnapshotMark { offset, groups };
        positions::write_snapshot(outbox, &self.positions, now, &at, &self.instance, &mark)?;
        Ok(Some(Taken { place, bytes }))
    }

    /// The commit with a snapshot has succeeded: deletes what no key group needs any more. A failure does no harm: the
    /// next snapshot deletes it too.
    pub async fn was_committed(&mut self, cluster: &Arc<Cluster>, taken: Taken) {
        let (operator, partition) = &taken.place;
        let Some((topic, partitions)) = self.topics.get(operator).cloned() else { return };
        let at = TopicPartition::new(topic, *partition as i32);
        match self.cut(cluster, &at, partitions).await {
            Ok(below) => tracing::debug!(%at, below, bytes = taken.bytes, "state was written anew"),
            Err(error) => tracing::warn!(
                %at, %error, "what a snapshot of its state voids could not be deleted; the next one does it"
            ),
        }
        self.growth.entry(taken.place).or_default().was_taken(taken.bytes);
    }

    async fn cut(
        &self,
        cluster: &Arc<Cluster>,
        at: &TopicPartition,
        partitions: u32,
    ) -> Result<i64, WorkerError> {
        let mut stored = positions::load(cluster, &self.positions, &[COUNTS_PARTITION]).await?;
        let marks = stored.snapshots.remove(at).unwrap_or_default();
        let below = deletable_below(marks.into_values(), (at.partition as u32, partitions), self.key_groups);
        if below > 0 {
            Admin::new(cluster).delete_records(&BTreeMap::from([(at.clone(), below)])).await?;
        }
        Ok(below)
    }
}
