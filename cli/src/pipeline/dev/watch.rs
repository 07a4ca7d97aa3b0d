//! Tells when one of a few files is another than before. The system's notifications only hasten a look; what counts is
//! the look itself: the files' lengths and times of modification. Never enters: what is in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often to look where the system tells of changes: network file systems tell of none.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often to look where it cannot.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// A burst of events, as of an editor that saves, is one look.
const SETTLE: Duration = Duration::from_millis(50);

/// A file's length and time of modification; nothing where it is not there.
type Stamp = Option<(u64, Option<SystemTime>)>;

/// Some files, and what they were when they were last looked at.
pub struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    folders: BTreeSet<PathBuf>,
    told: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.len(), meta.modified().ok()))
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Watch {
        let told = Arc::new(Notify::new());
        let tell = Arc::clone(&told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and no change.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                tell.notify_one();
            }
        });
        Watch { files: Vec::new(), folders: BTreeSet::new(), told, watcher: watcher.ok() }
    }

    /// Watches these files and no others. Those that were watched before are held against what they were then.
    pub fn follow(&mut self, files: Vec<PathBuf>) {
        let before = std::mem::take(&mut self.files);
        for path in files {
            let known = before.iter().find(|(known, _)| *known == path).map(|(_, stamp)| *stamp);
            let now = known.unwrap_or_else(|| stamp(&path));
            // The folder: an editor may put another file in the place of the one there was.
            if let Some(folder) = path.parent()
                && let Some(watcher) = &mut self.watcher
                && self.folders.insert(folder.to_owned())
                && watcher.watch(folder, RecursiveMode::NonRecursive).is_err()
            {
                self.watcher = None;
            }
            self.files.push((path, now));
        }
    }

    /// Waits until a file is another; the names of those that are. Cancel-safe.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            let mut changed = Vec::new();
            for (path, before) in &mut self.files {
                let now = stamp(path);
                if now != *before {
                    *before = now;
                    changed.push(path.clone());
                }
            }
            if !changed.is_empty() {
                return changed;
            }
            let every = if self.watcher.is_some() { LOOK_EVERY } else { POLL_EVERY };
            if tokio::time::timeout(every, self.told.notified()).await.is_ok() {
                tokio::time::sleep(SETTLE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_changes_comes_or_goes_is_told_of_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&a, "1").expect("it is written");
        let mut watch = Watch::new();
        watch.follow(vec![a.clone(), b.clone()]);
        std::fs::write(&b, "1").expect("it is written");
        assert_eq!(watch.changed().await, std::slice::from_ref(&b));
        std::fs::write(folder.path().join("c"), "another file").expect("it is written");
        std::fs::write(folder.path().join("d"), "22").expect("it is written");
        std::fs::rename(folder.path().join("d"), &a).expect("it is renamed");
        assert_eq!(watch.changed().await, std::slice::from_ref(&a));
        std::fs::remove_file(&b).expect("it is removed");
        watch.follow(vec![b.clone()]);
        assert_eq!(watch.changed().await, [b]);
    }
}
