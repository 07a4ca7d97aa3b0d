//! The replicas on this node's disks, after the server's `replicas.rs`: made when the image says so, taken down when
//! their topic goes, checkpointed, closed. Never enters: what a replica decides.

use std::sync::Arc;

use millstream_log::log_dir::{self, OffsetCheckpoint};
use millstream_log::{Log, LogConfig, LogError};
use millstream_metadata::{Changes, MetadataImage, PartitionImage, ResourceType};
use millstream_replica::{FlushMode, LeaderRecovery, PartitionMeta, ReplicaConfig, RoleChange};
use millstream_types::topic::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use millstream_types::{Clock, Millis, NodeId, Offset, TopicPartition, Uuid};

use super::partition::{Partition, Place};
use super::{ME, Node, Stopped};
use crate::plant::Bug;

fn meta(image: &MetadataImage, partition: &PartitionImage) -> PartitionMeta {
    let leader = partition.leader.and_then(|id| image.brokers.get(&id));
    PartitionMeta {
        leader_broker_epoch: leader.map_or(-1, |broker| broker.epoch),
        leader: partition.leader.unwrap_or(NodeId::NONE),
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        isr: partition.isr.clone(),
        replicas: partition.replicas.clone(),
        leader_recovery: match partition.recovering {
            true => LeaderRecovery::Recovering,
            false => LeaderRecovery::Recovered,
        },
    }
}

fn replica_config(settings: &LogConfig) -> ReplicaConfig {
    ReplicaConfig {
        flush_mode: match settings.flush_mode {
            millstream_log::FlushMode::BeforeAck => FlushMode::BeforeAck,
            millstream_log::FlushMode::Interval => FlushMode::Interval,
        },
        min_insync_replicas: settings.min_insync_replicas as usize,
        ..ReplicaConfig::default()
    }
}

fn settings(image: &MetadataImage, topic: &str) -> Arc<LogConfig> {
    let mut settings = LogConfig::default();
    let own = image.config(ResourceType::Topic, topic);
    for (name, value) in own.into_iter().flat_map(|map| map.iter()) {
        settings.set(name, value).unwrap_or_else(|e| panic!("a setting that was checked is refused: {e}"));
    }
    Arc::new(settings)
}

impl Node {
    /// Takes up a new image: replicas first, then who leads what, then everybody else.
    pub(super) fn apply(&mut self, image: Arc<MetadataImage>, changes: &Changes) -> Result<(), Stopped> {
        let now = self.clock.monotonic_ms();
        let mut led: Vec<(TopicPartition, Place, Option<i32>)> = Vec::new();
        for (id, topic) in &changes.topics_deleted {
            for number in 0..topic.partitions.len() as i32 {
                if self.names.get(&topic.name) == Some(id) {
                    self.names.remove(&topic.name);
                }
                let Some(mut replica) = self.partitions.remove(&(*id, number)) else { continue };
                replica.take_down(&mut self.fx);
                led.push((replica.name.clone(), replica.place, None));
                let unique = Uuid::random(&mut self.rng);
                if let Ok(Some(path)) = self.dirs[replica.dir].delete_log(&mut replica.log, unique) {
                    let delay = replica.log.config().file_delete_delay_ms;
                    self.doomed.push((now + delay, replica.dir, path));
                }
            }
        }
        if !changes.topics_deleted.is_empty() && self.plant != Some(Bug::CheckpointsOutliveTopics) {
            self.checkpoint();
        }
        for at in &changes.partitions {
            let Some(topic) = image.topics.by_id(at.topic_id) else { continue };
            let Some(state) = image.topics.partition(at.topic_id, at.partition) else { continue };
            let place = (at.topic_id, at.partition);
            if !self.partitions.contains_key(&place) {
                if !state.replicas.contains(&ME) {
                    continue;
                }
                let name = TopicPartition { topic: Arc::clone(&topic.name), partition: at.partition };
                if self.make(&name, place, settings(&image, &topic.name)).is_err() {
                    continue;
                }
            }
            let Some(replica) = self.partitions.get_mut(&place) else { continue };
            match replica.apply(now, &meta(&image, state), &mut self.fx) {
                Ok(RoleChange::BecameLeader { epoch, .. }) => {
                    led.push((replica.name.clone(), place, Some(epoch)));
                }
                Ok(RoleChange::BecameFollower { .. } | RoleChange::Stopped) => {
                    led.push((replica.name.clone(), place, None));
                }
                Ok(RoleChange::Unchanged) | Err(_) => {}
            }
        }
        for resource in changes.configs.iter().filter(|r| r.kind == ResourceType::Topic) {
            let Some(topic) = image.topics.by_name(&resource.name) else { continue };
            let config = settings(&image, &topic.name);
            for number in 0..topic.partitions.len() as i32 {
                if let Some(replica) = self.partitions.get_mut(&(topic.id, number)) {
                    replica.configure(replica_config(&config), Arc::clone(&config));
                }
            }
        }
        let topics = !changes.topics_created.is_empty()
            || !changes.topics_deleted.is_empty()
            || !changes.partitions.is_empty();
        self.image = image;
        for (name, place, epoch) in led {
            match &*name.topic {
                CONSUMER_OFFSETS => self.groups.led(name.partition, place, epoch),
                TRANSACTION_STATE => self.txns.led(name.partition, place, epoch),
                _ => {}
            }
        }
        if topics {
            self.groups.topics_changed();
        }
        Ok(())
    }

    fn make(&mut self, name: &TopicPartition, place: Place, config: Arc<LogConfig>) -> Result<(), LogError> {
        let (dir, mut log) = match self.found.remove(name) {
            Some((dir, mut old)) if old.topic_id() != place.0 && !old.topic_id().is_zero() => {
                self.counts.in_the_way += 1;
                let unique = Uuid::random(&mut self.rng);
                if let Some(path) = self.dirs[dir].delete_log(&mut old, unique)? {
                    self.doomed.push((self.clock.monotonic_ms(), dir, path));
                }
                self.open_new(name, place.0, Arc::clone(&config))?
            }
            Some((dir, mut log)) => {
                log.set_config(Arc::clone(&config));
                (dir, log)
            }
            None => self.open_new(name, place.0, Arc::clone(&config))?,
        };
        if self.plant == Some(Bug::DedupLostAtRestart) {
            log.expire_producers(Millis::MAX, 0);
        }
        let checkpoint = self.dirs[dir].checkpoints().high_watermarks.get(name).unwrap_or(0);
        let checkpoint = checkpoint.min(log.log_end_offset()).max(log.log_start_offset());
        let me = (ME, self.control.broker_epoch());
        let replica = Partition::new(me, place, dir, log, replica_config(&config), checkpoint, self.plant);
        self.names.insert(Arc::clone(&name.topic), place.0);
        self.partitions.insert(place, replica);
        Ok(())
    }

    fn open_new(
        &mut self,
        name: &TopicPartition,
        id: Uuid,
        config: Arc<LogConfig>,
    ) -> Result<(usize, Log), LogError> {
        let first = self.next_dir;
        self.next_dir += 1;
        let count = self.dirs.len();
        let mut candidates = (0..count).map(|i| (first + i) % count);
        let dir = candidates.find(|i| self.dirs[*i].health().is_online()).unwrap_or(first % count);
        let log = self.dirs[dir].open_log(name.clone(), id, config, self.clock.wall_ms())?;
        Ok((dir, log))
    }

    /// This broker has registered.
    pub(super) fn registered(&mut self, broker_epoch: i64) {
        for replica in self.partitions.values_mut() {
            replica.replica.registered(broker_epoch);
        }
    }

    pub(super) fn remove_doomed(&mut self, now: Millis) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.doomed).into_iter().partition(|(at, _, _)| *at <= now);
        self.doomed = later;
        for (_, dir, path) in due {
            let _ = self.dirs[dir].remove_doomed(&path);
        }
    }

    /// Writes recovery points, log starts and high watermarks down.
    pub(super) fn checkpoint(&mut self) {
        for (i, dir) in self.dirs.iter().enumerate() {
            let mut recovery_points = OffsetCheckpoint::default();
            let mut log_starts = OffsetCheckpoint::default();
            let mut high_watermarks = OffsetCheckpoint::default();
            let mut seen: Vec<(Place, Offset)> = Vec::new();
            for replica in self.partitions.values().filter(|r| r.dir == i) {
                let flushed = match self.plant {
                    Some(Bug::RecoveryPointTooHigh) => replica.log.log_end_offset(),
                    _ => replica.log.flushed_end_offset(),
                };
                recovery_points.set(&replica.name, flushed);
                log_starts.set_if_positive(&replica.name, replica.log.log_start_offset());
                high_watermarks.set(&replica.name, replica.replica.checkpoint());
                seen.push((replica.place, flushed));
            }
            let written = dir
                .write_checkpoint(log_dir::RECOVERY_POINTS, &recovery_points)
                .and_then(|()| dir.write_checkpoint(log_dir::LOG_STARTS, &log_starts))
                .and_then(|()| dir.write_checkpoint(log_dir::HIGH_WATERMARKS, &high_watermarks));
            if written.is_ok() {
                for (place, flushed) in seen {
                    if let Some(replica) = self.partitions.get_mut(&place) {
                        replica.log.on_recovery_point(flushed);
                    }
                }
            }
        }
    }

    /// Closes every log and marks the directories as cleanly stopped.
    pub(super) fn close_dirs(&mut self) {
        self.checkpoint();
        let (wall, epoch) = (self.clock.wall_ms(), self.control.broker_epoch());
        for (i, dir) in self.dirs.iter().enumerate() {
            let logs = self.partitions.values_mut().filter(|r| r.dir == i).map(|r| &mut r.log);
            // A directory that cannot be closed is recovered by the next start.
            let _ = dir.close(logs, epoch, wall);
        }
    }
}
