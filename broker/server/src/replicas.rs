//! The replicas on this node's disks: found at start, made when the metadata says so, taken down when their topic goes.
//! Owns the map from partition to replica, the log directories and their flushers, and checkpoints. Never enters: what
//! a replica decides.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use millstream_log::log_dir::{self, LogDir, OffsetCheckpoint};
use millstream_log::{Log, LogConfig};
use millstream_metadata::{Changes, MetadataImage, PartitionImage, ResourceType};
use millstream_replica::{FlushMode, LeaderRecovery, PartitionMeta, ReplicaConfig, RoleChange};
use millstream_types::{Clock, LeaderEpoch, Millis, NodeId, Offset, SeededRng, TopicPartition, Uuid};
use parking_lot::{Mutex, RwLock};

use crate::flusher::Flusher;
use crate::partition::Partition;

/// A log directory with the thread that flushes it.
pub struct Dir {
    /// The directory.
    pub dir: LogDir,
    /// Its flusher.
    pub flusher: Arc<Flusher>,
}

/// What changed of a partition that this node leads, or no longer does.
pub enum Led {
    /// It leads, in this epoch.
    Leads(Arc<Partition>, LeaderEpoch),
    /// It does not.
    Resigns(TopicPartition),
}

#[derive(Default)]
struct Map {
    by_id: HashMap<(Uuid, i32), Arc<Partition>>,
    /// Topic names to ids, of replicas here.
    names: HashMap<Arc<str>, Uuid>,
}

/// See the module.
pub struct Replicas {
    me: NodeId,
    dirs: Vec<Dir>,
    clock: Arc<dyn Clock>,
    replica_lag_time_max_ms: i64,
    map: RwLock<Map>,
    /// Logs that were found at start and that no image has asked for yet.
    found: Mutex<HashMap<TopicPartition, (usize, Log)>>,
    /// Directories to unlink, with the time.
    doomed: Mutex<Vec<(Millis, usize, PathBuf)>>,
    next_dir: AtomicUsize,
    /// The epoch of this broker's present registration; -1 before it.
    broker_epoch: AtomicI64,
    rng: Mutex<SeededRng>,
}

fn meta(image: &MetadataImage, partition: &PartitionImage) -> PartitionMeta {
    let leader = partition.leader.and_then(|id| image.brokers.get(&id));
    let image = partition;
    PartitionMeta {
        leader_broker_epoch: leader.map_or(-1, |broker| broker.epoch),
        leader: image.leader.unwrap_or(NodeId::NONE),
        leader_epoch: image.leader_epoch,
        partition_epoch: image.partition_epoch,
        isr: image.isr.clone(),
        replicas: image.replicas.clone(),
        leader_recovery: if image.recovering {
            LeaderRecovery::Recovering
        } else {
            LeaderRecovery::Recovered
        },
    }
}

impl Replicas {
    /// Replicas in `dirs`, of which `found` were there at start.
    pub fn new(
        me: NodeId,
        dirs: Vec<Dir>,
        found: Vec<(usize, Log)>,
        clock: Arc<dyn Clock>,
        replica_lag_time_max_ms: i64,
    ) -> Replicas {
        let found = found.into_iter().map(|(dir, log)| (log.partition().clone(), (dir, log))).collect();
        let now = clock.monotonic_ms();
        let mut doomed = Vec::new();
        for (i, dir) in dirs.iter().enumerate() {
            // What an earlier process left to be deleted goes now.
            doomed.extend(dir.dir.doomed().unwrap_or_default().into_iter().map(|path| (now, i, path)));
        }
        Replicas {
            me,
            dirs,
            clock,
            replica_lag_time_max_ms,
            map: RwLock::default(),
            found: Mutex::new(found),
            doomed: Mutex::new(doomed),
            next_dir: AtomicUsize::new(0),
            broker_epoch: AtomicI64::new(-1),
            rng: Mutex::new(SeededRng::new(crate::clock::seed())),
        }
    }

    /// The replica of a partition, by its topic's id.
    pub fn get(&self, topic_id: Uuid, partition: i32) -> Option<Arc<Partition>> {
        self.map.read().by_id.get(&(topic_id, partition)).cloned()
    }

    /// The replica of a partition, by its topic's name.
    pub fn get_by_name(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        let map = self.map.read();
        let id = map.names.get(topic)?;
        map.by_id.get(&(*id, partition)).cloned()
    }

    /// All replicas.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.map.read().by_id.values().cloned().collect()
    }

    /// This broker has registered: only what the metadata says of this registration makes it lead.
    pub fn registered(&self, broker_epoch: i64) {
        self.broker_epoch.store(broker_epoch, Ordering::Release);
        for replica in self.all() {
            replica.registered(broker_epoch);
        }
    }

    /// The log directories.
    pub fn dirs(&self) -> &[Dir] {
        &self.dirs
    }

    fn replica_config(&self, settings: &LogConfig) -> ReplicaConfig {
        ReplicaConfig {
            flush_mode: match settings.flush_mode {
                millstream_log::FlushMode::BeforeAck => FlushMode::BeforeAck,
                millstream_log::FlushMode::Interval => FlushMode::Interval,
            },
            min_insync_replicas: settings.min_insync_replicas as usize,
            replica_lag_time_max_ms: self.replica_lag_time_max_ms,
        }
    }

    /// Brings the replicas to what an image says; returns what this node leads now, and what no longer.
    pub fn apply(
        &self,
        image: &MetadataImage,
        changes: &Changes,
        settings: impl Fn(&str) -> LogConfig,
    ) -> Vec<Led> {
        let now = self.clock.monotonic_ms();
        let mut led = Vec::new();
        let mut settings_of: HashMap<Uuid, Arc<LogConfig>> = HashMap::new();
        for place in &changes.partitions {
            let Some(topic) = image.topics.by_id(place.topic_id) else { continue };
            let Some(state) = image.topics.partition(place.topic_id, place.partition) else { continue };
            let known = self.get(place.topic_id, place.partition);
            if known.is_none() && !state.replicas.contains(&self.me) {
                continue;
            }
            let config = Arc::clone(
                settings_of.entry(place.topic_id).or_insert_with(|| Arc::new(settings(&topic.name))),
            );
            let name = TopicPartition { topic: Arc::clone(&topic.name), partition: place.partition };
            let replica = match known {
                Some(replica) => replica,
                None => match self.make(&name, place.topic_id, config) {
                    Ok(replica) => replica,
                    Err(error) => {
                        tracing::error!(partition = %name, %error, "a replica cannot be opened; it is offline");
                        continue;
                    }
                },
            };
            match replica.apply(now, &meta(image, state)) {
                Ok(RoleChange::BecameLeader { epoch, .. }) => led.push(Led::Leads(replica, epoch)),
                Ok(RoleChange::BecameFollower { .. } | RoleChange::Stopped) => led.push(Led::Resigns(name)),
                Ok(RoleChange::Unchanged) => {}
                Err(error) => tracing::error!(partition = %name, %error, "a replica cannot take its role up"),
            }
        }
        for resource in changes.configs.iter().filter(|r| r.kind == ResourceType::Topic) {
            let Some(topic) = image.topics.by_name(&resource.name) else { continue };
            let config = Arc::new(settings(&topic.name));
            for partition in 0..topic.partitions.len() as i32 {
                if let Some(replica) = self.get(topic.id, partition) {
                    replica.configure(self.replica_config(&config), Arc::clone(&config));
                }
            }
        }
        led
    }

    /// Takes down the replicas of topics that are gone; the image that says so is published, so that whoever waited
    /// here and looks again finds no topic.
    pub fn remove_deleted(&self, changes: &Changes, settings: impl Fn(&str) -> LogConfig) -> Vec<Led> {
        let now = self.clock.monotonic_ms();
        let mut led = Vec::new();
        for (id, topic) in &changes.topics_deleted {
            for partition in 0..topic.partitions.len() as i32 {
                if let Some(replica) = self.take_out(*id, partition, &topic.name) {
                    self.delete(now, &replica, settings(&topic.name).file_delete_delay_ms);
                    led.push(Led::Resigns(replica.name.clone()));
                }
            }
        }
        if !changes.topics_deleted.is_empty() {
            // Else a topic made anew under the name would be recovered by what the old one had flushed.
            self.checkpoint();
        }
        led
    }

    fn make(
        &self,
        name: &TopicPartition,
        id: Uuid,
        config: Arc<LogConfig>,
    ) -> Result<Arc<Partition>, millstream_log::LogError> {
        let found = self.found.lock().remove(name);
        let (dir, log) = match found {
            // A directory of an earlier topic of this name is in the way: it goes.
            Some((dir, mut old)) if old.topic_id() != id && !old.topic_id().is_zero() => {
                let unique = Uuid::random(&mut *self.rng.lock());
                if let Some(path) = self.dirs[dir].dir.delete_log(&mut old, unique)? {
                    self.doomed.lock().push((self.clock.monotonic_ms(), dir, path));
                }
                self.open_new(name, id, Arc::clone(&config))?
            }
            Some((dir, mut log)) => {
                log.set_config(Arc::clone(&config));
                (dir, log)
            }
            None => self.open_new(name, id, Arc::clone(&config))?,
        };
        let checkpoint = self.dirs[dir].dir.checkpoints().high_watermarks.get(name).unwrap_or(0);
        // A high watermark beyond the log's end is what an unclean stop leaves: the log's word counts.
        let checkpoint = checkpoint.min(log.log_end_offset()).max(log.log_start_offset());
        let flusher = Arc::clone(&self.dirs[dir].flusher);
        let config = self.replica_config(&config);
        let replica = Arc::new(Partition::new(
            (self.me, self.broker_epoch.load(Ordering::Acquire)),
            name.clone(),
            dir,
            log,
            config,
            checkpoint,
            flusher,
        ));
        let mut map = self.map.write();
        map.names.insert(Arc::clone(&name.topic), id);
        map.by_id.insert((id, name.partition), Arc::clone(&replica));
        Ok(replica)
    }

    /// A log for a partition that has none: in the directories in turn, offline ones passed over.
    fn open_new(
        &self,
        name: &TopicPartition,
        id: Uuid,
        config: Arc<LogConfig>,
    ) -> Result<(usize, Log), millstream_log::LogError> {
        let first = self.next_dir.fetch_add(1, Ordering::Relaxed);
        let candidates = (0..self.dirs.len()).map(|i| (first + i) % self.dirs.len());
        let dir = candidates
            .clone()
            .find(|i| self.dirs[*i].dir.health().is_online())
            .unwrap_or(first % self.dirs.len());
        let log = self.dirs[dir].dir.open_log(name.clone(), id, config, self.clock.wall_ms())?;
        Ok((dir, log))
    }

    fn take_out(&self, id: Uuid, partition: i32, topic: &str) -> Option<Arc<Partition>> {
        let mut map = self.map.write();
        if map.names.get(topic) == Some(&id) {
            map.names.remove(topic);
        }
        map.by_id.remove(&(id, partition))
    }

    fn delete(&self, now: Millis, replica: &Partition, delay_ms: i64) {
        let unique = Uuid::random(&mut *self.rng.lock());
        let dir = &self.dirs[replica.dir].dir;
        match replica.take_down(|log| dir.delete_log(log, unique)) {
            Ok(Some(path)) => self.doomed.lock().push((now + delay_ms, replica.dir, path)),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(partition = %replica.name, %error, "a deleted partition's files stay")
            }
        }
    }

    /// Unlinks directories whose time has come.
    pub fn remove_doomed(&self) {
        let now = self.clock.monotonic_ms();
        let due: Vec<(Millis, usize, PathBuf)> = {
            let mut doomed = self.doomed.lock();
            let (due, later) = std::mem::take(&mut *doomed).into_iter().partition(|(at, _, _)| *at <= now);
            *doomed = later;
            due
        };
        for (_, dir, path) in due {
            if let Err(error) = self.dirs[dir].dir.remove_doomed(&path) {
                tracing::warn!(path = %path.display(), %error, "a deleted directory cannot be removed");
            }
        }
    }

    /// Writes recovery points, log starts and high watermarks down.
    pub fn checkpoint(&self) {
        for (i, dir) in self.dirs.iter().enumerate() {
            let mut recovery_points = OffsetCheckpoint::default();
            let mut log_starts = OffsetCheckpoint::default();
            let mut high_watermarks = OffsetCheckpoint::default();
            let mut cleaner_offsets = OffsetCheckpoint::default();
            let mut seen: Vec<(Arc<Partition>, Offset)> = Vec::new();
            for replica in self.all().into_iter().filter(|r| r.dir == i) {
                let (start, flushed, high_watermark, cleaned) = replica.look(|log, state| {
                    (log.log_start_offset(), log.flushed_end_offset(), state.checkpoint(), log.cleaned_to())
                });
                recovery_points.set(&replica.name, flushed);
                log_starts.set_if_positive(&replica.name, start);
                high_watermarks.set(&replica.name, high_watermark);
                cleaner_offsets.set_if_positive(&replica.name, cleaned);
                seen.push((replica, flushed));
            }
            let written = dir
                .dir
                .write_checkpoint(log_dir::RECOVERY_POINTS, &recovery_points)
                .and_then(|()| dir.dir.write_checkpoint(log_dir::LOG_STARTS, &log_starts))
                .and_then(|()| dir.dir.write_checkpoint(log_dir::HIGH_WATERMARKS, &high_watermarks))
                .and_then(|()| dir.dir.write_checkpoint(log_dir::CLEANER_OFFSETS, &cleaner_offsets));
            match written {
                Ok(()) => {
                    for (replica, flushed) in seen {
                        replica.lock_log().on_recovery_point(flushed);
                    }
                }
                Err(error) => {
                    tracing::error!(dir = %dir.dir.path().display(), %error, "checkpoints cannot be written")
                }
            }
        }
    }

    /// Closes every log and marks the directories as cleanly stopped. Nothing may be appended any more.
    pub fn close(&self, broker_epoch: i64) {
        self.checkpoint();
        let all = self.all();
        for (i, dir) in self.dirs.iter().enumerate() {
            let mut logs: Vec<_> = all.iter().filter(|r| r.dir == i).map(|r| r.lock_log()).collect();
            let result =
                dir.dir.close(logs.iter_mut().map(|log| &mut **log), broker_epoch, self.clock.wall_ms());
            if let Err(error) = result {
                tracing::error!(dir = %dir.dir.path().display(), %error, "a log directory cannot be closed cleanly; the next start recovers it");
            }
        }
    }

    /// What no image has asked for: topics that are unknown to the cluster. Their directories are left alone.
    pub fn strays(&self) -> Vec<TopicPartition> {
        self.found.lock().keys().cloned().collect()
    }
}
