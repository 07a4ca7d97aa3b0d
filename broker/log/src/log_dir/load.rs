//! Opening every partition of every log directory, in parallel: after an unclean stop that is recovery, which waits for
//! the disk and computes checksums. Never enters: what becomes of partitions that nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_types::{Millis, TopicPartition, Uuid};

use super::LogDir;
use crate::config::LogConfig;
use crate::error::LogError;
use crate::log::Log;

/// The topic id and configuration of a partition, where the cluster knows it.
pub type Lookup<'a> = dyn Fn(&TopicPartition) -> Option<(Uuid, Arc<LogConfig>)> + Sync + 'a;

/// What is to be opened.
pub struct Loading<'a> {
    /// The directories.
    pub dirs: &'a [LogDir],
    /// Threads for each directory (`num.recovery.threads.per.data.dir`), at least 1.
    pub threads_per_dir: usize,
    /// What the cluster knows of a partition; those that it does not know are opened with defaults.
    pub lookup: &'a Lookup<'a>,
    /// Wall time.
    pub now: Millis,
}

/// One partition that was found.
#[derive(Debug)]
pub struct Loaded {
    /// The index of its directory.
    pub dir: usize,
    /// The partition.
    pub partition: TopicPartition,
    /// Whether the cluster knows it.
    pub known: bool,
    /// Its log, or why it could not be opened.
    pub log: Result<Log, LogError>,
}

/// Opens every partition, `threads_per_dir` at a time in each directory, all directories at once.
///
/// # Errors
/// A directory that cannot be listed. A partition that cannot be opened is an error of its own.
pub fn load_all(loading: &Loading<'_>) -> Result<Vec<Loaded>, LogError> {
    let mut found: Vec<Vec<TopicPartition>> = Vec::new();
    for dir in loading.dirs {
        found.push(dir.partitions()?);
    }
    let next: Vec<AtomicUsize> = found.iter().map(|_| AtomicUsize::new(0)).collect();
    let work = |dir: usize| {
        let mut loaded = Vec::new();
        while let Some(partition) = found[dir].get(next[dir].fetch_add(1, Ordering::Relaxed)) {
            let known = (loading.lookup)(partition);
            let is_known = known.is_some();
            let (topic_id, config) = known.unwrap_or_else(|| (Uuid::ZERO, Arc::default()));
            let log = loading.dirs[dir].open_log(partition.clone(), topic_id, config, loading.now);
            loaded.push(Loaded { dir, partition: partition.clone(), known: is_known, log });
        }
        loaded
    };
    let mut loaded = std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (dir, partitions) in found.iter().enumerate() {
            for _ in 0..loading.threads_per_dir.clamp(1, partitions.len().max(1)) {
                workers.push(scope.spawn(move || work(dir)));
            }
        }
        workers.into_iter().flat_map(|w| w.join().expect("opening a log does not panic")).collect::<Vec<_>>()
    });
    loaded.sort_by(|a, b| (a.dir, &a.partition).cmp(&(b.dir, &b.partition)));
    Ok(loaded)
}
