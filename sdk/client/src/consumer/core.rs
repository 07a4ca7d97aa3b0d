//! What a consumer's polls and its tasks share. Never enters: what an application calls (`handle`, `consumer`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::membership::Membership;
use super::positions::Positions;
use super::{GroupMetadata, OffsetAndMetadata, offsets};
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::{ClientError, Result};

/// What the consumer and its tasks share.
pub(crate) struct Core {
    pub(crate) cluster: Arc<Cluster>,
    /// Its number in the cluster's connections.
    pub(crate) id: u64,
    pub(crate) config: ConsumerConfig,
    pub(crate) positions: Mutex<Positions>,
    pub(crate) wake_fetcher: Notify,
    /// Told when there is something to poll.
    pub(crate) data: Notify,
    pub(super) membership: Option<Arc<Membership>>,
    /// How many partitions each topic had at the subscription; what is beyond was added since.
    pub(super) baseline: Mutex<BTreeMap<Arc<str>, i32>>,
    pub(super) closed: AtomicBool,
    pub(super) refreshing: AtomicBool,
    pub(super) committing: AtomicBool,
}

impl Core {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn group_metadata(&self) -> Result<GroupMetadata> {
        match &self.membership {
            Some(membership) => Ok(membership.metadata()),
            None => Err(ClientError::state("this needs group_id, which is not set")),
        }
    }

    /// Whether a partition was added after subscribing.
    pub(crate) fn is_new(&self, partition: &TopicPartition) -> bool {
        self.baseline.lock().get(&partition.topic).is_some_and(|count| partition.partition >= *count)
    }

    /// Asks for metadata in the background, once however many want it.
    pub(crate) fn refresh_soon(self: &Arc<Self>) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let core = self.clone();
        tokio::spawn(async move {
            if core.cluster.refresh().await.is_err() {
                core.cluster.pause(1).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            core.refreshing.store(false, Ordering::Release);
            core.wake_fetcher.notify_one();
        });
    }

    /// Positions that were moved by polls and are not committed.
    pub(super) fn uncommitted(
        &self,
        of: Option<&BTreeSet<TopicPartition>>,
    ) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
        let positions = self.positions.lock();
        let all = positions.partitions.iter();
        all.filter(|(partition, _)| of.is_none_or(|of| of.contains(*partition)))
            .filter_map(|(partition, state)| {
                let offset = state.position.filter(|position| state.committed != Some(*position))?;
                let mut value = OffsetAndMetadata::new(offset);
                value.leader_epoch = state.leader_epoch;
                Some((partition.clone(), value))
            })
            .collect()
    }

    pub(super) async fn commit(&self, offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>) -> Result<()> {
        let start = Instant::now();
        let mut attempt = 0;
        loop {
            let group = self.group_metadata()?;
            match offsets::commit(&self.cluster, &group, offsets).await {
                Ok(()) => break,
                // The epoch moved on while the request was under way; the member has the new one, or gets it soon.
                Err(error)
                    if error.code() == Some(millstream_types::ErrorCode::StaleMemberEpoch)
                        && start.elapsed() < self.cluster.config().request_timeout =>
                {
                    attempt += 1;
                    self.cluster.pause(attempt).await;
                }
                Err(error) => return Err(error),
            }
        }
        let mut positions = self.positions.lock();
        for (partition, offset) in offsets {
            if let Some(state) = positions.partitions.get_mut(partition) {
                state.committed = Some(offset.offset);
            }
        }
        Ok(())
    }
}
