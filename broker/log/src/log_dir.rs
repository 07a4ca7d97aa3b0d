//! A log directory (an entry of `log.dirs`): its identity, its lock, its checkpoints, and the partitions in it. Owns
//! Kafka's files at its top: `meta.properties`, `.lock`, `.kafka_cleanshutdown`, the offset checkpoints; the order of
//! starting (lock, identity, marker removed, logs recovered) and of stopping (logs closed, checkpoints, marker last);
//! and the deletion of partitions by rename. Never enters: which partitions belong here, when checkpoints are written.

mod load;
mod offset_checkpoint;
mod properties;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_disk::{DirLock, Disk, DiskError, Guarded, Health, Open, RealDisk, durable};
use millstream_types::topic::CLUSTER_METADATA;
use millstream_types::{Millis, Offset, TopicPartition, Uuid};

pub use load::{Loaded, Loading, Lookup, load_all};
pub use offset_checkpoint::OffsetCheckpoint;
pub use properties::{DirIdentity, MetaProperties};

use crate::config::LogConfig;
use crate::error::LogError;
use crate::log::{Log, LogParams};
use crate::names;

/// Highest offsets that were flushed.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// First offsets that are served.
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Where compaction has got to.
pub const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";
/// There after a clean stop, and only then.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Held by the process that uses the directory.
pub const LOCK: &str = ".lock";

/// What the checkpoints said at the start.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    /// Highest offsets that were flushed.
    pub recovery_points: OffsetCheckpoint,
    /// First offsets that are served.
    pub log_starts: OffsetCheckpoint,
    /// High watermarks.
    pub high_watermarks: OffsetCheckpoint,
    /// Where compaction has got to.
    pub cleaner_offsets: OffsetCheckpoint,
}

/// An open log directory. Dropping it without [`LogDir::close`] is an unclean stop.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
    identity: MetaProperties,
    clean: bool,
    checkpoints: Checkpoints,
    _lock: Box<dyn DirLock>,
}

impl LogDir {
    /// Opens a directory of the machine, which is made if it is not there.
    ///
    /// # Errors
    /// A directory that another process uses, that belongs to another node or cluster, or that cannot be read.
    pub fn open(path: &Path, identity: DirIdentity) -> Result<LogDir, LogError> {
        let path =
            std::path::absolute(path).map_err(|e| DiskError::io(millstream_disk::Op::Open, path, e))?;
        LogDir::open_on(Arc::new(RealDisk::open(&path)?), &path, identity)
    }

    /// Opens a directory of any disk; it is there.
    ///
    /// # Errors
    /// As [`LogDir::open`].
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path, identity: DirIdentity) -> Result<LogDir, LogError> {
        let health = Health::new();
        let disk: Arc<dyn Disk> = Arc::new(Guarded::new(disk, health.clone()));
        let lock = disk.lock(&path.join(LOCK))?;
        let identity = properties::load_or_create(&*disk, path, identity)?;
        let marker = path.join(CLEAN_SHUTDOWN);
        let clean = disk.lookup(&marker)?.is_some();
        let read = |name: &str| OffsetCheckpoint::read(&*disk, &path.join(name));
        let checkpoints = Checkpoints {
            recovery_points: read(RECOVERY_POINTS)?,
            log_starts: read(LOG_STARTS)?,
            high_watermarks: read(HIGH_WATERMARKS)?,
            cleaner_offsets: read(CLEANER_OFFSETS)?,
        };
        // From here on a crash is an unclean stop.
        disk.remove(&marker)?;
        disk.sync_dir(path)?;
        let path = path.to_owned();
        Ok(LogDir { path, disk, health, identity, clean, checkpoints, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its disk, guarded by its health; what [`crate::flush::flush_all`] takes.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Its health: offline from the first failed flush on.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Its identity.
    pub fn identity(&self) -> &MetaProperties {
        &self.identity
    }

    /// Whether it was closed cleanly before this start.
    pub fn was_clean(&self) -> bool {
        self.clean
    }

    /// What its checkpoints said at this start.
    pub fn checkpoints(&self) -> &Checkpoints {
        &self.checkpoints
    }

    /// Bytes that may still be written here.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn free_bytes(&self) -> Result<u64, LogError> {
        Ok(self.disk.free_bytes(&self.path)?)
    }

    /// The partitions whose directories are here, by name; the metadata log, which the quorum opens, is left out.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, LogError> {
        let entries = self.disk.list(&self.path)?;
        let found = entries.iter().filter(|e| e.is_dir).filter_map(|e| names::parse_partition_dir(&e.name));
        Ok(found.filter(|p| &*p.topic != CLUSTER_METADATA).collect())
    }

    /// Opens one partition's log with what the checkpoints say of it. One that has no directory gets it at its first
    /// append.
    ///
    /// # Errors
    /// A disk that refuses, or a directory of another topic.
    pub fn open_log(
        &self,
        partition: TopicPartition,
        topic_id: Uuid,
        config: Arc<LogConfig>,
        now: Millis,
    ) -> Result<Log, LogError> {
        // Without a directory the partition is new, and what the checkpoints hold is of an earlier topic of its name.
        let there = self.disk.lookup(&self.path.join(names::partition_dir(&partition)))?.is_some();
        let said = |of: &OffsetCheckpoint| of.get(&partition).filter(|_| there).unwrap_or(0);
        let recovery_point = said(&self.checkpoints.recovery_points);
        let log_start = said(&self.checkpoints.log_starts);
        let cleaned_to = said(&self.checkpoints.cleaner_offsets);
        let mut log = Log::open(LogParams {
            disk: self.disk.clone(),
            parent: self.path.clone(),
            partition,
            topic_id,
            config,
            recovery_point,
            log_start,
            clean: self.clean,
            now,
        })?;
        log.set_cleaned_to(cleaned_to);
        Ok(log)
    }

    /// Replaces one of the offset checkpoints; durable when this returns.
    ///
    /// # Errors
    /// A disk that refuses; the old checkpoint stays then.
    pub fn write_checkpoint(&self, name: &str, offsets: &OffsetCheckpoint) -> Result<(), LogError> {
        offsets.write(&*self.disk, &self.path.join(name))
    }

    /// Renames a partition's directory for deletion, durably, and returns what to unlink after
    /// `file.delete.delay.ms` with [`LogDir::remove_doomed`]. The log is closed by this; a partition of the same name
    /// may be made anew at once.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn delete_log(&self, log: &mut Log, unique: Uuid) -> Result<Option<PathBuf>, LogError> {
        log.abandon();
        if self.disk.lookup(log.dir())?.is_none() {
            return Ok(None);
        }
        let doomed = self.path.join(names::delete_dir(log.partition(), unique));
        durable::rename(&*self.disk, log.dir(), &doomed)?;
        Ok(Some(doomed))
    }

    /// Directories that wait for deletion, also those that an earlier process left.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn doomed(&self) -> Result<Vec<PathBuf>, LogError> {
        let entries = self.disk.list(&self.path)?;
        let doomed = entries.iter().filter(|e| e.is_dir && e.name.ends_with(names::DELETE_DIR));
        Ok(doomed.map(|e| self.path.join(&e.name)).collect())
    }

    /// Unlinks a directory that was renamed for deletion.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn remove_doomed(&self, path: &Path) -> Result<(), LogError> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        assert!(name.ends_with(names::DELETE_DIR), "LG-4: only what was renamed for deletion is unlinked");
        Ok(self.disk.remove_dir(path)?)
    }

    /// Stops cleanly: closes the logs, writes the checkpoints, and last of all the marker. Where a log cannot be closed
    /// there is no marker, and the next start recovers.
    ///
    /// # Errors
    /// The first that a log or the disk gave.
    pub fn close<'a>(
        &self,
        logs: impl IntoIterator<Item = &'a mut Log>,
        broker_epoch: i64,
        now: Millis,
    ) -> Result<(), LogError> {
        let mut recovery_points = OffsetCheckpoint::default();
        let mut log_starts = OffsetCheckpoint::default();
        let mut cleaner_offsets = self.checkpoints.cleaner_offsets.clone();
        let mut logs: Vec<&mut Log> = logs.into_iter().collect();
        let mut tickets = Vec::new();
        let mut result = Ok(());
        for (at, log) in logs.iter_mut().enumerate() {
            match log.begin_close() {
                Ok(ticket) => tickets.extend(ticket.map(|ticket| (at, ticket))),
                Err(error) => result = result.and(Err(error)),
            }
        }
        let (places, tickets): (Vec<usize>, Vec<_>) = tickets.into_iter().unzip();
        let flushed = crate::flush::flush_all(&*self.disk, &tickets);
        for (at, ticket) in places.into_iter().zip(tickets) {
            logs[at].complete_flush(ticket, &flushed);
        }
        for log in logs {
            let partition = log.partition().clone();
            log_starts.set_if_positive(&partition, log.log_start_offset());
            cleaner_offsets.set_if_positive(&partition, log.cleaned_to());
            result = result.and(log.close(now));
            recovery_points.set(&partition, log.flushed_end_offset());
        }
        result?;
        self.write_checkpoint(RECOVERY_POINTS, &recovery_points)?;
        self.write_checkpoint(LOG_STARTS, &log_starts)?;
        self.write_checkpoint(CLEANER_OFFSETS, &cleaner_offsets)?;
        let marker = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        let path = self.path.join(CLEAN_SHUTDOWN);
        let file = self.disk.open(&path, Open::Truncate)?;
        file.write_all_at(marker.as_bytes(), 0)?;
        file.sync_data()?;
        Ok(self.disk.sync_dir(&self.path)?)
    }
}

/// Writes the directory's recovery points and log starts, of all the logs in it: what the next recovery begins from.
/// Nothing is flushed here: a recovery point is what was.
///
/// # Errors
/// A disk that refuses.
pub fn checkpoint_offsets<'a>(
    dir: &LogDir,
    logs: impl IntoIterator<Item = &'a mut Log>,
) -> Result<BTreeMap<TopicPartition, Offset>, LogError> {
    let mut recovery_points = OffsetCheckpoint::default();
    let mut log_starts = OffsetCheckpoint::default();
    let mut seen: Vec<&mut Log> = Vec::new();
    for log in logs {
        recovery_points.set(log.partition(), log.flushed_end_offset());
        log_starts.set_if_positive(log.partition(), log.log_start_offset());
        seen.push(log);
    }
    dir.write_checkpoint(RECOVERY_POINTS, &recovery_points)?;
    dir.write_checkpoint(LOG_STARTS, &log_starts)?;
    for log in seen {
        if let Some(point) = recovery_points.get(log.partition()) {
            log.on_recovery_point(point);
        }
    }
    Ok(recovery_points.into_map())
}
