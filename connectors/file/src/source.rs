//! The source: finds files, tells when there may be more, opens them. The system's notifications only hasten a look;
//! what counts is the look itself, every poll interval.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use millstream_connector::{
    Changes, Context, Delivery, Discovery, Position, RecordEnd, Source, SourceCapabilities, SourceError,
    SplitId, SplitReader, StateEntry, async_trait,
};
use notify::Watcher;

use crate::config::FileSourceConfig;
use crate::found::{self, FilePosition};
use crate::reader::{FileReader, Place, Shared};

/// At least this long between two looks, however many events there are.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Files of lines.
pub struct FileSource {
    config: Arc<FileSourceConfig>,
    root: PathBuf,
    shared: Arc<Shared>,
    /// What the last look saw of each file: path, head, size.
    seen: Option<Vec<(PathBuf, String, u64)>>,
    told: Arc<tokio::sync::Notify>,
    watcher: Option<notify::RecommendedWatcher>,
}

impl FileSource {
    /// A source over the files that match, from `root`, the pipeline's folder.
    pub fn new(config: FileSourceConfig, root: PathBuf, _context: Context) -> FileSource {
        FileSource {
            config: Arc::new(config),
            root,
            shared: Arc::default(),
            seen: None,
            told: Arc::default(),
            watcher: None,
        }
    }

    fn reader(&self, split: &SplitId, from: Option<&Position>) -> Result<FileReader, SourceError> {
        let from = from.map(Position::read::<FilePosition>).transpose()?;
        if let Some(from) = from.as_ref().filter(|from| from.v != 1) {
            return Err(SourceError::Setup(format!(
                "reading the stored position of {split}: version {} of a later release",
                from.v
            )));
        }
        Ok(FileReader::new(Arc::clone(&self.config), Arc::clone(&self.shared), split.clone(), from))
    }

    fn scan(&self) -> Result<Vec<found::Found>, SourceError> {
        let mut heads = self.shared.heads.lock().expect("no panic while held");
        found::scan(&self.root, &self.config.path, !self.config.watch, &mut heads)
    }

    /// Asks the system to tell of changes. Where it cannot, polling does alone.
    fn start_watching(&mut self) {
        if self.watcher.is_some() {
            return;
        }
        let mut folder = found::watched_folder(&self.root, &self.config.path);
        // What is not there yet appears in the folder above it.
        while !folder.is_dir() && folder.pop() {}
        let told = Arc::clone(&self.told);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and no change.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                told.notify_one();
            }
        });
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(&folder, notify::RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        match watching {
            Ok(watcher) => self.watcher = Some(watcher),
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "no notifications; polling every {}", self.config.poll_interval);
            }
        }
    }
}

#[async_trait]
impl Source for FileSource {
    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities { delivery: Delivery::ExactlyOnce, bounded: !self.config.watch }
    }

    async fn discover(&mut self, known: &BTreeMap<SplitId, Position>) -> Result<Discovery, SourceError> {
        let found = self.scan()?;
        self.seen = Some(summary(&found));
        // A file that this process reads under an id which was never committed is known too.
        let mut all = known.clone();
        let mut places = self.shared.places.lock().expect("no panic while held");
        for id in places.keys() {
            if !all.contains_key(id) {
                let start = FilePosition {
                    v: 1,
                    offset: 0,
                    lines: 0,
                    tail: format!("{:032x}", crate::fingerprint::hash(b"")),
                };
                all.insert(id.clone(), Position::of(&start));
            }
        }
        let named = found::name_splits(found, &all);
        let mut splits = Vec::with_capacity(named.len());
        for (split, file) in named {
            let read_to = places.get(&split.id).and_then(|place| place.read_to);
            let place = Place { path: file.path, label: file.label, read_to };
            places.insert(split.id.clone(), place);
            splits.push(split);
        }
        Ok(Discovery { splits, complete: !self.config.watch })
    }

    async fn changed(&mut self) -> Result<Changes, SourceError> {
        if !self.config.watch {
            return std::future::pending().await;
        }
        self.start_watching();
        loop {
            let found = self.scan()?;
            let now = summary(&found);
            let discover = self.seen.as_ref().is_none_or(|seen| {
                let names = |list: &[(PathBuf, String, u64)]| {
                    list.iter().map(|file| (file.0.clone(), file.1.clone())).collect::<Vec<_>>()
                };
                names(seen) != names(&now)
            });
            let readable: Vec<SplitId> = {
                let places = self.shared.places.lock().expect("no panic while held");
                let more = places.iter().filter(|(_, place)| {
                    place.read_to.is_some_and(|read_to| {
                        now.iter().any(|file| file.0 == place.path && file.2 != read_to)
                    })
                });
                more.map(|(id, _)| id.clone()).collect()
            };
            let grown = self.seen.as_ref() != Some(&now);
            self.seen = Some(now);
            // A partial line makes a file longer than it was read: it is told of once for each size.
            if discover || (grown && !readable.is_empty()) {
                return Ok(Changes { discover, readable });
            }
            let poll = Duration::from_millis(self.config.poll_interval.0);
            let told = tokio::time::timeout(poll, self.told.notified()).await;
            if told.is_ok() {
                // A burst of events is one look.
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
    }

    async fn open(
        &mut self,
        split: &SplitId,
        from: Option<&Position>,
        _state: Vec<StateEntry>,
    ) -> Result<Box<dyn SplitReader>, SourceError> {
        let reader = self.reader(split, from)?;
        if let Some(place) = self.shared.places.lock().expect("no panic while held").get_mut(split) {
            place.read_to = None;
        }
        Ok(Box::new(reader))
    }

    async fn position_behind(
        &mut self,
        split: &SplitId,
        from: Option<&Position>,
        record: RecordEnd,
    ) -> Result<Option<Position>, SourceError> {
        self.reader(split, from)?.position_behind(record)
    }
}

fn summary(found: &[found::Found]) -> Vec<(PathBuf, String, u64)> {
    found.iter().map(|file| (file.path.clone(), file.head.clone(), file.size)).collect()
}
