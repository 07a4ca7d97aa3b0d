//! Reading records: as a member of a group (KIP-848 or classic) or of partitions named by hand, fetched ahead, with
//! positions committed when what was polled has been processed. Owns what an application calls.
//! Never enters: requests (`consumer/{fetcher,offsets,next_gen,classic}`).

pub(crate) mod assignor;
mod classic;
mod core;
mod fetcher;
mod handle;
mod membership;
mod next_gen;
pub(crate) mod offsets;
mod positions;
mod records;

use std::collections::BTreeSet;
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

pub(crate) use core::Core;
pub use handle::ConsumerHandle;
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

/// What a poll is for.
#[derive(Clone, Copy)]
enum Wanted {
    Records,
    /// The group alone.
    Nothing,
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
        let memory = config.memory.claim("fetched");
        let core = Arc::new(Core {
            cluster: cluster.clone(),
            id: cluster.new_consumer(),
            config,
            positions: Mutex::new(Positions::new(memory)),
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
        let metadata = core.cluster.refresh_in_time().await?;
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
        core.cluster.refresh_in_time().await?;
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
        self.poll_for(timeout, Wanted::Records).await
    }

    /// A poll that returns no records, for whoever cannot take any now: the member stays in its group, and rebalances happen.
    /// What is there meanwhile is returned by the next poll.
    pub async fn attend(&mut self, timeout: Duration) -> Result<()> {
        self.poll_for(timeout, Wanted::Nothing).await.map(|_| ())
    }

    async fn poll_for(&mut self, timeout: Duration, wanted: Wanted) -> Result<ConsumerRecords> {
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
                match wanted {
                    Wanted::Records => positions.take(core.config.poll_bytes_max),
                    Wanted::Nothing => ConsumerRecords::default(),
                }
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
