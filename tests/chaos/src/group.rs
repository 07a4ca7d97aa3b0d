//! Members of a group: they read what they are given, commit, go and come again, some without a word. Never enters: how
//! partitions are assigned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_checker::{Function, Line, Stage};
use millstream_client::consumer::ListenerFuture;
use millstream_client::{
    CommitPolicy, Consumer, ConsumerConfig, ConsumerHandle, GroupProtocol, Isolation, OffsetAndMetadata,
    OffsetReset, RebalanceListener, Result,
};
use millstream_types::{Rng, SeededRng, TopicPartition};
use parking_lot::Mutex;

use crate::workload::Workload;

/// What was polled and is not committed.
pub(crate) type Positions = Arc<Mutex<BTreeMap<TopicPartition, OffsetAndMetadata>>>;

/// Writes down what comes and goes.
pub(crate) struct Told {
    pub load: Arc<Workload>,
    pub process: u32,
    pub positions: Positions,
}

impl Told {
    fn tell(&self, what: &str, partitions: &BTreeSet<TopicPartition>) {
        let offsets = partitions.iter().map(|p| (self.load.name(p), -1)).collect();
        let line = Line::new(0, self.process, Function::Rebalance, Stage::Ok);
        self.load.recorder.write(Line { offsets, note: Some(what.to_owned()), ..line });
        self.positions.lock().retain(|partition, _| !partitions.contains(partition));
    }
}

impl RebalanceListener for Told {
    fn assigned<'a>(
        &'a mut self,
        _: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        Box::pin(async move { self.tell("assigned", partitions) })
    }

    fn revoked<'a>(
        &'a mut self,
        _: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        Box::pin(async move { self.tell("revoked", partitions) })
    }

    fn lost<'a>(
        &'a mut self,
        _: &'a ConsumerHandle,
        partitions: &'a BTreeSet<TopicPartition>,
    ) -> ListenerFuture<'a> {
        Box::pin(async move { self.tell("lost", partitions) })
    }
}

/// Is a member, time and again, until the run stops.
pub(crate) async fn member(
    load: Arc<Workload>,
    group: String,
    protocol: GroupProtocol,
    mut rng: SeededRng,
) -> Result<()> {
    while !load.is_stopped() {
        let cluster = load.cluster(&mut rng)?;
        let config = ConsumerConfig {
            protocol,
            isolation: Isolation::ReadCommitted,
            offset_reset: OffsetReset::Earliest,
            commit: CommitPolicy::Manual,
            session_timeout: Duration::from_secs(8),
            heartbeat_interval: Duration::from_millis(500),
            fetch_wait: Duration::from_millis(200),
            poll_bytes_max: 2_000 + rng.below(60_000) as usize,
            ..ConsumerConfig::in_group(&group)
        };
        let mut consumer = Consumer::new(&cluster, config)?;
        let (process, positions) = (load.recorder.process(), Positions::default());
        let told = Told { load: load.clone(), process, positions: positions.clone() };
        consumer.set_listener(Box::new(told));
        let line = Line::new(0, process, Function::Subscribe, Stage::Ok);
        load.recorder.write(Line { group: Some(&group), ..line });
        if let Err(error) = consumer.subscribe([load.topic.clone()]).await {
            tracing::debug!(%error, "subscribing failed");
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        let until = Instant::now() + Duration::from_millis(3_000 + rng.below(20_000));
        while Instant::now() < until && !load.is_stopped() {
            let records = match consumer.poll(Duration::from_millis(300)).await {
                Ok(records) => records,
                Err(error) => {
                    tracing::debug!(%error, "a member's poll failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let polls = load.polled(&records)?;
            if !polls.is_empty() {
                load.recorder.write(Line { polls, ..Line::new(0, process, Function::Poll, Stage::Ok) });
            }
            for part in &records.partitions {
                positions.lock().insert(part.partition.clone(), OffsetAndMetadata::new(part.next_offset));
            }
            if rng.below(3) == 0 {
                commit(&load, &consumer.handle(), process, &positions).await;
            }
        }
        if rng.below(3) == 0 {
            // Gone without a commit.
            drop(consumer);
        } else {
            commit(&load, &consumer.handle(), process, &positions).await;
            if let Err(error) = consumer.close().await {
                tracing::debug!(%error, "leaving the group failed");
            }
        }
    }
    Ok(())
}

async fn commit(load: &Workload, consumer: &ConsumerHandle, process: u32, positions: &Positions) {
    let positions = std::mem::take(&mut *positions.lock());
    if positions.is_empty() {
        return;
    }
    let (stage, note) = match consumer.commit_offsets(&positions).await {
        Ok(()) => (Stage::Ok, None),
        Err(error) => (Stage::Info, Some(error.to_string())),
    };
    let offsets = positions.iter().map(|(partition, at)| (load.name(partition), at.offset)).collect();
    load.recorder.write(Line { offsets, note, ..Line::new(0, process, Function::Commit, stage) });
}
