//! Tells when one of a few files is another than before, and which files a folder has. The system's notifications only
//! hasten a look; what counts is the look itself: the files' lengths, numbers and times of change, the folder's list. Never
//! enters: what is in them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// How often to look where the system tells of changes: network file systems tell of none.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often to look where it cannot.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// A burst of events, as of an editor that saves, is one look.
const SETTLE: Duration = Duration::from_millis(50);

/// A file's length, its number, and when its text was changed and anything about it was; nothing where it is not there.
type Stamp = Option<(u64, u64, [i64; 2], [i64; 2])>;

/// When to look again.
struct Hints {
    folders: BTreeSet<PathBuf>,
    told: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
}

impl Hints {
    fn new() -> Hints {
        let told = Arc::new(Notify::new());
        let tell = Arc::clone(&told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and no change.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                tell.notify_one();
            }
        });
        Hints { folders: BTreeSet::new(), told, watcher: watcher.ok() }
    }

    fn of(&mut self, folder: &Path) {
        if let Some(watcher) = &mut self.watcher
            && self.folders.insert(folder.to_owned())
            && watcher.watch(folder, RecursiveMode::NonRecursive).is_err()
        {
            self.watcher = None;
        }
    }

    async fn next(&self) {
        let every = if self.watcher.is_some() { LOOK_EVERY } else { POLL_EVERY };
        if tokio::time::timeout(every, self.told.notified()).await.is_ok() {
            tokio::time::sleep(SETTLE).await;
        }
    }
}

/// Some files, and what they were when they were last looked at.
pub struct Watch {
    files: Vec<(PathBuf, Stamp)>,
    hints: Hints,
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    let (modified, changed) = ([meta.mtime(), meta.mtime_nsec()], [meta.ctime(), meta.ctime_nsec()]);
    Some((meta.len(), meta.ino(), modified, changed))
}

impl Watch {
    /// Watches nothing yet.
    pub fn new() -> Watch {
        Watch { files: Vec::new(), hints: Hints::new() }
    }

    /// Watches these files and no others. Those that were watched before are held against what they were then.
    pub fn follow(&mut self, files: Vec<PathBuf>) {
        let before = std::mem::take(&mut self.files);
        for path in files {
            let known = before.iter().find(|(known, _)| *known == path).map(|(_, stamp)| *stamp);
            let now = known.unwrap_or_else(|| stamp(&path));
            // The folder: an editor may put another file in the place of the one there was.
            if let Some(folder) = path.parent() {
                self.hints.of(folder);
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
            self.hints.next().await;
        }
    }
}

/// The pipelines' files of a folder: `*.yaml` and `*.yml`, not those of folders within it, and none that are hidden.
pub fn pipelines_of(folder: &Path) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml && !is_hidden && path.is_file() {
            found.insert(path);
        }
    }
    Ok(found)
}

/// Some folders, whose pipelines' files come.
pub struct Folders {
    folders: Vec<PathBuf>,
    known: BTreeSet<PathBuf>,
    hints: Hints,
}

impl Folders {
    /// Watches these folders; the files in them that are known already do not come.
    pub fn new(folders: Vec<PathBuf>, known: BTreeSet<PathBuf>) -> Folders {
        let mut hints = Hints::new();
        folders.iter().for_each(|folder| hints.of(folder));
        Folders { folders, known, hints }
    }

    /// Waits until files are there that were never there before; one that went and comes again is known. Cancel-safe.
    pub async fn came(&mut self) -> BTreeSet<PathBuf> {
        loop {
            // A folder that cannot be read has nothing new: its files are told of as gone, one by one.
            let now = self.folders.iter().filter_map(|folder| pipelines_of(folder).ok()).flatten();
            let came: BTreeSet<PathBuf> = now.filter(|path| !self.known.contains(path)).collect();
            if !came.is_empty() {
                self.known.extend(came.iter().cloned());
                return came;
            }
            self.hints.next().await;
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
        // One of the same length and time, as `cp -p` and archives give it.
        let time = std::fs::metadata(&a).and_then(|meta| meta.modified()).expect("it has a time");
        std::fs::write(&a, "33").expect("it is written");
        let file = std::fs::File::options().write(true).open(&a).expect("it is opened");
        file.set_modified(time).expect("its time is set");
        assert_eq!(watch.changed().await, std::slice::from_ref(&a));
        std::fs::remove_file(&b).expect("it is removed");
        watch.follow(vec![b.clone()]);
        assert_eq!(watch.changed().await, [b]);
    }

    #[tokio::test]
    async fn files_that_come_to_a_folder_are_told_of_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["a.yaml", "notes.txt", ".hidden.yaml"] {
            std::fs::write(at(name), "1").expect("it is written");
        }
        std::fs::create_dir(at("within.yaml")).expect("it is made");
        let known = pipelines_of(folder.path()).expect("it is read");
        assert_eq!(known, BTreeSet::from([at("a.yaml")]));
        let mut folders = Folders::new(vec![folder.path().to_owned(), at("not there")], known);
        std::fs::write(at("b.yml"), "1").expect("it is written");
        assert_eq!(folders.came().await, BTreeSet::from([at("b.yml")]));
        // One that gets another name comes under that; one that changes, or goes, is its own watch's to tell.
        std::fs::remove_file(at("b.yml")).expect("it is removed");
        std::fs::rename(at("a.yaml"), at("c.yaml")).expect("it is renamed");
        assert_eq!(folders.came().await, BTreeSet::from([at("c.yaml")]));
        assert!(pipelines_of(&at("not there")).is_err());
    }
}
