//! Reading records: as a member of a group (KIP-848 or classic) or of partitions named by hand, fetched ahead, with
//! positions committed when what was polled has been processed. Owns what an application calls.
//! Never enters: requests (`consumer/{fetcher,offsets,next_gen,classic}`).

pub(crate) mod assignor;
mod classic;
mod fetcher;
mod membership;
mod next_gen;
pub(crate) mod offsets;
mod positions;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::config::{CommitPolicy, ConsumerConfig, GroupProtocol};
use crate::error::{ClientError, Result};
use crate::retry::Action;
use membership::{Membership, Subscription};
use positions::{Positions, Start};

pub use membership::GroupMetadata;
pub use offsets::{ListedOffset, OffsetAndMetadata};
pub use records::{ConsumerRecords, FetchedBatch, PartitionRecords};

/// A future of a listener's.
pub type ListenerFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Told, within a poll, of partitions that come and go.
pub trait RebalanceListener: Send {
    /// Partitions that this consumer has from now on; positions may be set.
    fn assigned<'a>(
        &'a mut self,
        consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        let _ = (consumer, partitions);
        Box::pin(async {})
    }

    /// Partitions that this consumer gives up when this returns; positions may be committed.
    fn revoked<'a>(
        &'a mut self,
        consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        let _ = (consumer, partitions);
        Box::pin(async {})
    }

    /// Partitions that somebody else may have already; nothing can be committed for them.
    fn lost<'a>(
        &'a mut self,
        consumer: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        let _ = (consumer, partitions);
        Box::pin(async {})
    }
}

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
    membership: Option<Arc<Membership>>,
    /// How many partitions each topic had at the subscription; what is beyond was added since.
    baseline: Mutex<BTreeMap<Arc<str>, i32>>,
    closed: AtomicBool,
    refreshing: AtomicBool,
    committing: AtomicBool,
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
    fn uncommitted(
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

    async fn commit(&self, offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>) -> Result<()> {
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

/// What can be done with a consumer beside polling; cheap to clone.
#[derive(Clone)]
pub struct ConsumerHandle {
    core: Arc<Core>,
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

/// Reads records. Poll it regularly; everything else of [`ConsumerHandle`] is there too.
pub struct Consumer {
    handle: ConsumerHandle,
    listener: Option<Box<dyn RebalanceListener>>,
    tasks: Vec<JoinHandle<()>>,
    last_commit: Instant,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.handle.fmt(f)
    }
}

impl Deref for Consumer {
    type Target = ConsumerHandle;

    fn deref(&self) -> &ConsumerHandle {
        &self.handle
    }
}

impl Consumer {
    /// A consumer; it reads nothing before [`Consumer::subscribe`] or [`Consumer::assign`]. Runs tasks on the current tokio
    /// runtime.
    pub fn new(cluster: &Arc<Cluster>, config: ConsumerConfig) -> Result<Consumer> {
        config.validate()?;
        let membership = match &config.group_id {
            Some(_) => {
                let instance = config.instance_id.as_deref().map(Arc::from);
                Some(Arc::new(Membership::new(config.group()?, instance, config.poll_interval_max)))
            }
            None => None,
        };
        let core = Arc::new(Core {
            cluster: cluster.clone(),
            id: cluster.new_consumer(),
            config,
            positions: Mutex::default(),
            wake_fetcher: Notify::new(),
            data: Notify::new(),
            membership,
            baseline: Mutex::default(),
            closed: AtomicBool::new(false),
            refreshing: AtomicBool::new(false),
            committing: AtomicBool::new(false),
        });
        let tasks = vec![tokio::spawn(fetcher::run(core.clone()))];
        Ok(Consumer { handle: ConsumerHandle { core }, listener: None, tasks, last_commit: Instant::now() })
    }

    /// Another handle to this consumer.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Who is told of partitions that come and go.
    pub fn set_listener(&mut self, listener: Box<dyn RebalanceListener>) {
        self.listener = Some(listener);
    }

    /// Joins the group for these topics, instead of what was subscribed before.
    pub async fn subscribe<T: Into<Arc<str>>>(&mut self, topics: impl IntoIterator<Item = T>) -> Result<()> {
        let topics: BTreeSet<Arc<str>> = topics.into_iter().map(Into::into).collect();
        let core = self.handle.core.clone();
        core.cluster.use_topics(&topics);
        // What is there now is not new: see OffsetReset::Latest.
        let metadata = core.cluster.refresh().await?;
        {
            let mut baseline = core.baseline.lock();
            for topic in &topics {
                let count = metadata.topics.get(topic).map_or(0, |topic| topic.partition_count());
                baseline.entry(topic.clone()).or_insert(count);
            }
        }
        self.join(Subscription::Topics(topics))
    }

    /// Joins the group for all topics whose whole name matches, by the broker's rules (RE2); needs KIP-848.
    pub async fn subscribe_regex(&mut self, regex: &str) -> Result<()> {
        let core = self.handle.core.clone();
        let metadata = core.cluster.refresh_all().await?;
        let counts = metadata.topics.iter().map(|(name, topic)| (name.clone(), topic.partition_count()));
        core.baseline.lock().extend(counts);
        self.join(Subscription::Regex(regex.into()))
    }

    fn join(&mut self, subscription: Subscription) -> Result<()> {
        let core = &self.handle.core;
        let Some(membership) = core.membership.clone() else {
            return Err(ClientError::state("subscribing needs group_id, which is not set; or use assign"));
        };
        membership.subscribe(Some(subscription));
        if self.tasks.len() == 1 {
            let core = core.clone();
            self.tasks.push(tokio::spawn(async move {
                let protocol = core.config.protocol;
                if protocol != GroupProtocol::Classic {
                    let ended = next_gen::run(&core, &membership).await;
                    if ended == next_gen::Ended::Closed {
                        return;
                    }
                    if protocol == GroupProtocol::Consumer {
                        let text = "the broker does not speak the group protocol of KIP-848; use protocol auto or classic";
                        return membership.fail(ClientError::state(text));
                    }
                }
                classic::run(&core, &membership).await;
            }));
        }
        Ok(())
    }

    /// Commits what was processed (unless the policy is manual), gives up all partitions, leaves the group, and reads
    /// nothing more until the next [`Consumer::subscribe`].
    pub async fn unsubscribe(&mut self) -> Result<()> {
        let core = self.handle.core.clone();
        let Some(membership) = &core.membership else { return Ok(()) };
        let result = self.let_go(membership).await;
        membership.subscribe(None);
        result
    }

    /// Commits and gives up everything that the group assigned.
    async fn let_go(&mut self, membership: &Membership) -> Result<()> {
        let core = self.handle.core.clone();
        let owned = membership.owned();
        let mut result = Ok(());
        if core.config.commit != CommitPolicy::Manual {
            result = core.commit(&core.uncommitted(None)).await;
        }
        if !owned.is_empty()
            && let Some(listener) = &mut self.listener
        {
            listener.revoked(&self.handle, &owned).await;
        }
        {
            let mut positions = core.positions.lock();
            for partition in &owned {
                positions.remove(partition);
            }
        }
        membership.relinquish();
        // A member that was removed meanwhile has nothing to commit.
        match result {
            Err(error) if error.action() == Action::Rejoin => Ok(()),
            other => other,
        }
    }

    /// Reads exactly these partitions, outside of any group's assignment. Positions start at what `group_id` has committed,
    /// where there is one.
    pub async fn assign(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<()> {
        let core = &self.handle.core;
        if self.tasks.len() > 1 {
            return Err(ClientError::state("this consumer has subscribed; use another one for assign"));
        }
        let wanted: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        core.cluster.use_topics(wanted.iter().map(|partition| &partition.topic));
        core.cluster.refresh().await?;
        let mut positions = core.positions.lock();
        let gone: Vec<TopicPartition> =
            positions.partitions.keys().filter(|partition| !wanted.contains(*partition)).cloned().collect();
        for partition in gone {
            positions.remove(&partition);
        }
        for partition in wanted {
            if !positions.partitions.contains_key(&partition) {
                positions.add(partition, Start::Committed);
            }
        }
        drop(positions);
        core.wake_fetcher.notify_one();
        Ok(())
    }

    /// Returns what is there, waiting up to `timeout` for something. What the last poll returned counts as processed: its
    /// positions may be committed now (see [`CommitPolicy`]). Rebalances happen within polls.
    pub async fn poll(&mut self, timeout: Duration) -> Result<ConsumerRecords> {
        let core = self.handle.core.clone();
        if core.is_closed() {
            return Err(ClientError::Closed);
        }
        if let Some(membership) = &core.membership {
            membership.polled();
        }
        self.commit_processed();
        let deadline = Instant::now() + timeout;
        loop {
            let data = core.data.notified();
            self.rebalance().await?;
            let records = {
                let mut positions = core.positions.lock();
                if let Some(error) = positions.error.take() {
                    return Err(error);
                }
                positions.take(core.config.poll_bytes_max)
            };
            if !records.partitions.is_empty() {
                // There is room again.
                core.wake_fetcher.notify_one();
            }
            if !records.is_empty() || Instant::now() >= deadline {
                return Ok(records);
            }
            let changed = async {
                match &core.membership {
                    Some(membership) => membership.changed.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = data => {}
                () = changed => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }

    fn commit_processed(&mut self) {
        if self.handle.core.membership.is_none() {
            return;
        }
        match self.handle.core.config.commit {
            CommitPolicy::Manual => {}
            CommitPolicy::AfterProcessing => self.handle.commit_async(),
            CommitPolicy::Every(interval) => {
                if self.last_commit.elapsed() >= interval {
                    self.last_commit = Instant::now();
                    self.handle.commit_async();
                }
            }
        }
    }

    /// Takes over an assignment that waits.
    async fn rebalance(&mut self) -> Result<()> {
        let core = self.handle.core.clone();
        let Some(membership) = &core.membership else { return Ok(()) };
        membership.take_error()?;
        while let Some((pending, owned)) = membership.take_pending() {
            let gone: BTreeSet<TopicPartition> = owned.difference(&pending.target).cloned().collect();
            let new: BTreeSet<TopicPartition> = pending.target.difference(&owned).cloned().collect();
            if !gone.is_empty() {
                if !pending.lost && core.config.commit != CommitPolicy::Manual {
                    let offsets = core.uncommitted(Some(&gone));
                    if let Err(error) = core.commit(&offsets).await {
                        tracing::warn!(%error, "committing positions of revoked partitions failed");
                    }
                }
                if let Some(listener) = &mut self.listener {
                    if pending.lost {
                        listener.lost(&self.handle, &gone).await;
                    } else {
                        listener.revoked(&self.handle, &gone).await;
                    }
                }
                let mut positions = core.positions.lock();
                for partition in &gone {
                    positions.remove(partition);
                }
            }
            if !new.is_empty() {
                {
                    let mut positions = core.positions.lock();
                    for partition in &new {
                        positions.add(partition.clone(), Start::Committed);
                    }
                }
                core.cluster.use_topics(new.iter().map(|partition| &partition.topic));
                if let Some(listener) = &mut self.listener {
                    listener.assigned(&self.handle, &new).await;
                }
                core.wake_fetcher.notify_one();
            }
            membership.acknowledge(pending.target);
        }
        Ok(())
    }

    /// Commits what was processed (unless the policy is manual), leaves the group, and ends. What the last poll returned
    /// counts as processed.
    pub async fn close(mut self) -> Result<()> {
        let core = self.handle.core.clone();
        let mut result = Ok(());
        if let Some(membership) = core.membership.clone() {
            result = self.let_go(&membership).await;
            membership.close();
        }
        core.closed.store(true, Ordering::Release);
        core.wake_fetcher.notify_one();
        for task in std::mem::take(&mut self.tasks) {
            let _ = tokio::time::timeout(Duration::from_secs(6), task).await;
        }
        core.cluster.drop_consumer(core.id);
        result
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // Without `close`, the member still leaves its group, in the background.
        let core = &self.handle.core;
        core.closed.store(true, Ordering::Release);
        core.wake_fetcher.notify_one();
        if let Some(membership) = &core.membership {
            membership.close();
        }
    }
}
