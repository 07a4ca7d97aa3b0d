//! What can be done with a consumer beside polling: positions, pauses, commits. Never enters: the group's protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_types::TopicPartition;

use super::core::Core;
use super::offsets;
use super::positions::{Positions, Start};
use super::{GroupMetadata, ListedOffset, OffsetAndMetadata};
use crate::error::{ClientError, Result};

/// What can be done with a consumer beside polling; cheap to clone.
#[derive(Clone)]
pub struct ConsumerHandle {
    pub(super) core: Arc<Core>,
}

impl std::fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerHandle").field("assignment", &self.assignment()).finish_non_exhaustive()
    }
}

impl ConsumerHandle {
    /// The partitions that this consumer has.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.core.positions.lock().partitions.keys().cloned().collect()
    }

    /// Who this consumer is in its group: what `Producer::send_offsets_to_transaction` needs.
    pub fn group_metadata(&self) -> Result<GroupMetadata> {
        self.core.group_metadata()
    }

    /// The next offset that a poll returns, where it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.core.positions.lock().partitions.get(partition).and_then(|state| state.position)
    }

    /// The positions of all partitions where they are known.
    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        let positions = self.core.positions.lock();
        let known = positions.partitions.iter().filter_map(|(p, state)| Some((p.clone(), state.position?)));
        known.collect()
    }

    /// How many records lie between the position and the end that the last fetch saw.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let positions = self.core.positions.lock();
        let state = positions.partitions.get(partition)?;
        let end = match self.core.config.isolation {
            crate::config::Isolation::ReadCommitted => state.last_stable_offset,
            crate::config::Isolation::ReadUncommitted => state.high_watermark,
        };
        (end >= 0).then(|| (end - state.position.unwrap_or(end)).max(0))
    }

    /// Goes on from `offset`.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        if offset < 0 {
            return Err(ClientError::config(format!("seeking {partition} to {offset}: offsets start at 0")));
        }
        self.moved(partition, |positions| positions.seek(partition, offset, -1))
    }

    /// Goes on from the first record.
    pub fn seek_to_beginning(&self, partition: &TopicPartition) -> Result<()> {
        self.moved(partition, |positions| positions.restart(partition, Start::Earliest))
    }

    /// Goes on from the end.
    pub fn seek_to_end(&self, partition: &TopicPartition) -> Result<()> {
        self.moved(partition, |positions| positions.restart(partition, Start::Latest))
    }

    fn moved(&self, partition: &TopicPartition, change: impl FnOnce(&mut Positions) -> bool) -> Result<()> {
        let done = change(&mut self.core.positions.lock());
        self.core.wake_fetcher.notify_one();
        if done {
            Ok(())
        } else {
            Err(ClientError::state(format!("{partition} is not assigned to this consumer")))
        }
    }

    /// Returns nothing of these partitions, and fetches nothing, until they are resumed.
    pub fn pause<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        self.set_paused(partitions, true);
    }

    /// Takes paused partitions up again.
    pub fn resume<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        self.set_paused(partitions, false);
        self.core.wake_fetcher.notify_one();
        self.core.data.notify_one();
    }

    fn set_paused<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>, paused: bool) {
        let mut positions = self.core.positions.lock();
        for partition in partitions {
            if let Some(state) = positions.partitions.get_mut(partition) {
                state.paused = paused;
            }
        }
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> BTreeSet<TopicPartition> {
        let positions = self.core.positions.lock();
        positions.partitions.iter().filter(|(_, state)| state.paused).map(|(p, _)| p.clone()).collect()
    }

    /// Commits the positions of everything that was polled, and waits.
    pub async fn commit(&self) -> Result<()> {
        let offsets = self.core.uncommitted(None);
        self.core.commit(&offsets).await
    }

    /// Commits these positions, and waits.
    pub async fn commit_offsets(&self, offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>) -> Result<()> {
        self.core.commit(offsets).await
    }

    /// Commits the positions of everything that was polled, without waiting. One commit is under way at a time; positions
    /// that moved meanwhile go with the next.
    pub fn commit_async(&self) {
        if self.core.committing.swap(true, Ordering::AcqRel) {
            return;
        }
        let offsets = self.core.uncommitted(None);
        if offsets.is_empty() {
            self.core.committing.store(false, Ordering::Release);
            return;
        }
        let core = self.core.clone();
        tokio::spawn(async move {
            if let Err(error) = core.commit(&offsets).await {
                tracing::warn!(%error, "committing positions failed; they go with the next commit");
            }
            core.committing.store(false, Ordering::Release);
        });
    }

    /// The committed positions of the group; partitions without one are left out.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        offsets::fetch_committed(&self.core.cluster, &self.core.group_metadata()?, partitions).await
    }

    /// The first offset of each partition.
    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        self.offsets_at(offsets::EARLIEST, partitions).await
    }

    /// The end of each partition, as this consumer's isolation sees it.
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        self.offsets_at(offsets::LATEST, partitions).await
    }

    /// The first record at or after `timestamp` (milliseconds since 1970) of each partition; offset -1 where there is none.
    pub async fn offsets_for_time(
        &self,
        timestamp: i64,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        self.offsets_at(timestamp, partitions).await
    }

    async fn offsets_at(
        &self,
        timestamp: i64,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>> {
        let core = &self.core;
        for partition in partitions {
            core.cluster.topic(&partition.topic, core.cluster.config().api_timeout).await?;
        }
        offsets::list_offsets(&core.cluster, core.config.isolation, timestamp, partitions).await
    }
}
