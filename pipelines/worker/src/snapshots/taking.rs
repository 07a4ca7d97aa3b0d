//! Taking snapshots: what a commit has left of some key groups is copied in it, written to the store beside the work when the commit has
//! succeeded (SS-2), and named by a later commit when all of it is there (SS-1). What fails is tried again later, while the changelog
//! grows. Key groups that have not changed since the snapshot that has them are named again where they lie. Never enters: when a snapshot is
//! due (`changelog.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Admin, Cluster};
use millstream_engine::stage::Stage;
use millstream_engine::stage::copy::Copied;
use millstream_engine::state::held::Held;
use millstream_engine::state::snapshots::{SnapshotMark, Stored};
use millstream_engine::state::{ChangelogEntry, ChangelogRecord};
use millstream_model::KeyGroup;
use millstream_types::{MemoryClaim, TopicPartition};
use tokio::task::JoinSet;

use super::object::{Content, Manifest, Part, is_worn, pack, together};
use super::sweep::{named, split, sweep};
use super::{Snapshots, Unread, folder};
use crate::error::WorkerError;
use crate::failpoint;
use crate::outbox::Outbox;
use crate::positions::{self, COUNTS_PARTITION};
use crate::progress::Progress;
use crate::restore;

/// About how many bytes of state one snapshot has: it is in memory until it is written.
const PART_BYTES: u64 = 64 << 20;
/// How many snapshots are written at once.
const AT_ONCE: usize = 2;
/// How many objects of one are.
const OBJECTS_AT_ONCE: usize = 4;
/// How long nothing is taken after a failure, at first and at most.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// A place: an operator by its id, and a partition of its changelog.
pub type Place = (String, u32);

/// What a worker takes for a stage.
pub struct Taking {
    snapshots: Arc<Snapshots>,
    positions: Arc<str>,
    stage: String,
    progress: Arc<Progress>,
    memory: MemoryClaim,
    /// Where the key groups lie that have not changed since.
    held: Held<Arc<Vec<Part>>>,
    /// The broker's ids of changelogs, by topic.
    topic_ids: BTreeMap<Arc<str>, String>,
    /// What is being written, and what is there and not named yet. Each place has one of them at most.
    writing: JoinSet<(Place, Result<Written, WorkerError>)>,
    under_way: BTreeMap<Place, UnderWay>,
    written: Vec<Written>,
    /// Nothing is taken before, and how long it was waited.
    not_before: Option<(Instant, Duration)>,
}

struct UnderWay {
    groups: BTreeSet<u32>,
    bytes: u64,
    /// A key group of it has gone, so it will not be named.
    is_void: bool,
}

/// What a commit has copied, until it has succeeded.
pub struct Taken {
    place: Place,
    at: TopicPartition,
    folder: String,
    /// All key groups, and how often each had changed.
    changes: BTreeMap<u32, u64>,
    marks: Vec<ChangelogEntry>,
    copied: Copied,
    /// Where those lie that had not changed.
    again: Vec<Part>,
    now_ms: i64,
    last: bool,
}

/// What is there.
pub struct Written {
    /// The place.
    pub place: Place,
    /// The changelog's partition.
    pub at: TopicPartition,
    /// Its key groups.
    pub groups: Vec<u32>,
    /// How many bytes of rows it names, before they are compressed, and how many were written.
    pub bytes: u64,
    /// Whether it has all that the worker owns there, with those before it.
    pub last: bool,
    written_bytes: u64,
    folder: String,
    mark: SnapshotMark,
    changes: BTreeMap<u32, u64>,
    parts: Vec<Part>,
    /// It is named before this, or never (SS-4).
    until: Instant,
}

impl Written {
    /// The offset that it covers.
    pub fn covers(&self) -> i64 {
        self.mark.offset
    }
}

impl Taking {
    /// For a stage, which has taken nothing yet.
    pub fn new(
        snapshots: Arc<Snapshots>,
        positions: Arc<str>,
        stage: &str,
        progress: Arc<Progress>,
        memory: MemoryClaim,
    ) -> Taking {
        Taking {
            snapshots,
            positions,
            stage: stage.to_owned(),
            progress,
            memory,
            held: Held::default(),
            topic_ids: BTreeMap::new(),
            writing: JoinSet::new(),
            under_way: BTreeMap::new(),
            written: Vec::new(),
            not_before: None,
        }
    }

    /// Notes which key groups a commit's record changes.
    pub fn changed(&mut self, record: &ChangelogRecord) {
        if let ChangelogEntry::State { operator, .. } = &record.entry {
            record.groups.iter().for_each(|group| self.held.changed(operator, group.0));
        }
    }

    /// Key groups go: what was copied of them will not be named here.
    pub fn revoked(&mut self, groups: &[KeyGroup]) {
        for group in groups {
            self.held.forget(group.0);
            for of in self.under_way.values_mut() {
                of.is_void |= of.groups.contains(&group.0);
            }
        }
    }

    /// Whether something of a place may be copied now.
    pub fn may_take(&self, place: &Place) -> bool {
        let may = self.not_before.is_none_or(|(at, _)| Instant::now() >= at);
        may && self.under_way.len() < AT_ONCE && !self.under_way.contains_key(place)
    }

    /// How many snapshots are there and wait to be named.
    pub fn waiting(&mut self) -> usize {
        while let Some(done) = self.writing.try_join_next() {
            self.take_in(done.ok());
        }
        self.written.len()
    }

    /// Waits until one more is written, or has failed; false where none is being written.
    pub async fn wait(&mut self) -> bool {
        let Some(done) = self.writing.join_next().await else { return false };
        self.take_in(done.ok());
        true
    }

    fn take_in(&mut self, done: Option<(Place, Result<Written, WorkerError>)>) {
        let Some((place, result)) = done else {
            // It panicked, which is told where it did. What it was of is not known; all is taken again.
            self.under_way.clear();
            return;
        };
        let is_void = self.under_way.get(&place).is_none_or(|of| of.is_void);
        match result {
            Ok(written) if !is_void => {
                self.not_before = None;
                self.written.push(written);
                return;
            }
            Ok(_) => {}
            Err(error) => self.failed(&place, &error),
        }
        self.done(&place);
    }

    fn failed(&mut self, place: &Place, error: &WorkerError) {
        let waited = self.not_before.map_or(RETRY, |(_, waited)| (waited * 2).min(RETRY_MAX));
        self.not_before = Some((Instant::now() + waited, waited));
        tracing::warn!(
            stage = %self.stage, operator = %place.0, partition = place.1, %error, again_in_s = waited.as_secs(),
            "a snapshot of state could not be written to {}; work goes on and the changelog grows meanwhile",
            self.snapshots.url()
        );
        self.progress.update(&self.stage, |figures| figures.snapshots.failures += 1);
    }

    fn done(&mut self, place: &Place) {
        self.under_way.remove(place);
        self.memory.set(self.under_way.values().map(|of| of.bytes).sum());
    }

    /// Copies what the commit just before has left of some key groups of a place, or of as many of them as make up a snapshot.
    /// `each` is about how many bytes a key group has.
    pub async fn take(
        &mut self,
        cluster: &Arc<Cluster>,
        stage: &mut Stage,
        (place, at): (&Place, &TopicPartition),
        groups: Vec<KeyGroup>,
        (each, now_ms): (u64, i64),
    ) -> Result<Option<Taken>, WorkerError> {
        if groups.is_empty() {
            return Ok(None);
        }
        let folder = self.folder(cluster, at).await?;
        let operator = place.0.as_str();
        // What has not changed is named again, but for objects of which little is left; by rising key groups, as they were written.
        let mut groups = groups;
        groups.sort_unstable();
        let unchanged = groups.iter().filter_map(|group| self.held.of(operator, group.0));
        let unchanged: Vec<Part> = unchanged.flat_map(|parts| parts.iter().cloned()).collect();
        let again: Vec<Part> = together(unchanged).into_iter().filter(|part| !is_worn(part)).collect();
        let lies = |group: u32, object: &str| {
            again.iter().any(|part| part.object == object && part.groups.contains_key(&group))
        };
        let is_again = |group: &KeyGroup| {
            let parts = self.held.of(operator, group.0);
            parts.is_some_and(|parts| parts.iter().all(|part| lies(group.0, &part.object)))
        };
        let (same, mut changed): (Vec<KeyGroup>, Vec<KeyGroup>) = groups.into_iter().partition(is_again);
        // One that lies in a worn object too is written whole.
        let again = again.into_iter().filter_map(|mut part| {
            part.groups.retain(|group, _| same.iter().any(|of| of.0 == *group));
            (!part.groups.is_empty()).then_some(part)
        });
        let again: Vec<Part> = again.collect();
        let most = usize::try_from(PART_BYTES / each.max(1)).unwrap_or(usize::MAX).max(1);
        let last = changed.len() <= most;
        changed.truncate(most);
        let Some(copied) = stage.copy(operator, &changed)? else { return Ok(None) };
        let mut all: Vec<KeyGroup> = same.into_iter().chain(changed).collect();
        all.sort_unstable();
        let changes = all.iter().map(|group| (group.0, self.held.changes(operator, group.0))).collect();
        let marks = stage.committed_marks(operator, &all);
        let (place, at) = (place.clone(), at.clone());
        Ok(Some(Taken { place, at, folder, changes, marks, copied, again, now_ms, last }))
    }

    async fn folder(&mut self, cluster: &Arc<Cluster>, at: &TopicPartition) -> Result<String, WorkerError> {
        if !self.topic_ids.contains_key(&at.topic) {
            let found = Admin::new(cluster).list_topics().await?;
            let topic = found.get(&at.topic).ok_or_else(|| {
                WorkerError::Transient(format!("asking for the id of topic {}: it is not there", at.topic))
            })?;
            self.topic_ids.insert(Arc::clone(&at.topic), topic.id.to_string());
        }
        Ok(folder(at, &self.topic_ids[&at.topic]))
    }

    /// The commit with a copy has succeeded: it is written beside the work.
    pub async fn was_committed(&mut self, cluster: &Arc<Cluster>, taken: Taken) {
        // All of the commit lies before this, and nothing that these key groups write behind it.
        let covers = restore::ends(cluster, std::slice::from_ref(&taken.at)).await;
        let place = taken.place.clone();
        let covers = match covers.map(|ends| ends.get(&taken.at).copied()) {
            Ok(Some(covers)) => covers,
            Ok(None) => return,
            Err(error) => return self.failed(&place, &error),
        };
        let bytes = taken.copied.bytes() as u64;
        let groups = taken.changes.keys().copied().collect();
        self.under_way.insert(place.clone(), UnderWay { groups, bytes, is_void: false });
        self.memory.set(self.under_way.values().map(|of| of.bytes).sum());
        let until = Instant::now() + self.snapshots.grace / 2;
        let (snapshots, cluster, positions) =
            (Arc::clone(&self.snapshots), Arc::clone(cluster), Arc::clone(&self.positions));
        let stage = self.stage.clone();
        self.writing.spawn(async move {
            let written = write(&snapshots, &cluster, &positions, taken, (covers, until)).await;
            if written.is_ok() {
                failpoint::reach(&stage, "snapshot_written");
            }
            (place, written)
        });
    }

    /// Names what is there, in the commit that is being put together.
    pub fn publish(&mut self, outbox: &mut Outbox, now: i64) -> Result<Vec<Written>, WorkerError> {
        self.waiting();
        let mut named = Vec::new();
        for written in std::mem::take(&mut self.written) {
            let is_void = self.under_way.get(&written.place).is_none_or(|of| of.is_void);
            self.done(&written.place);
            if is_void {
                continue;
            }
            if Instant::now() >= written.until {
                let text = "it took longer than half of `defaults.snapshots.grace`: raise that".to_owned();
                self.failed(&written.place, &WorkerError::Transient(text));
                continue;
            }
            positions::write_snapshot(outbox, &self.positions, now, &written.at, "", &written.mark)?;
            named.push(written);
        }
        if !named.is_empty() {
            failpoint::reach(&self.stage, "snapshot_before_publish");
        }
        Ok(named)
    }

    /// The commit that names it has succeeded. What is to be done beside the work then: the changelog is cut by `cut`, and the store is swept.
    pub fn was_named(
        &mut self,
        cluster: &Arc<Cluster>,
        written: Written,
        now_ms: i64,
    ) -> impl Future<Output = Result<usize, WorkerError>> + Send + use<> {
        failpoint::reach(&self.stage, "snapshot_after_publish");
        for (group, changes) in &written.changes {
            let of = written.parts.iter().filter_map(|part| {
                let bytes = part.groups.get(group)?;
                Some(Part { groups: BTreeMap::from([(*group, *bytes)]), ..part.clone() })
            });
            self.held.holds(&written.place.0, *group, *changes, Arc::new(of.collect()));
        }
        self.progress.update(&self.stage, |figures| {
            figures.snapshots.taken += 1;
            figures.snapshots.bytes += written.written_bytes;
            figures.snapshots.last_at_ms = Some(now_ms);
        });
        let (snapshots, cluster, positions) =
            (Arc::clone(&self.snapshots), Arc::clone(cluster), Arc::clone(&self.positions));
        let stage = self.stage.clone();
        async move {
            failpoint::reach(&stage, "snapshot_before_sweep");
            sweep(&snapshots, &cluster, &positions, (&written.at, &written.folder), now_ms).await
        }
    }
}

/// Writes a snapshot's objects, then its manifest.
async fn write(
    snapshots: &Arc<Snapshots>,
    cluster: &Arc<Cluster>,
    positions: &Arc<str>,
    taken: Taken,
    (covers, until): (i64, Instant),
) -> Result<Written, WorkerError> {
    let Taken { place, at, folder, changes, marks, copied, again, now_ms, last } = taken;
    // Off the stage's thread and those of the runtime: it is encoded, compressed and summed up.
    let packed =
        tokio::task::spawn_blocking(move || copied.by_group().map(|groups| pack(groups, now_ms))).await;
    let packed = packed.map_err(|error| WorkerError::Fatal(format!("packing state: {error}")))??;
    let mut parts = again;
    let mut written_bytes = 0;
    let mut objects = JoinSet::new();
    for object in packed {
        if objects.len() >= OBJECTS_AT_ONCE {
            joined(objects.join_next().await)?;
        }
        written_bytes += object.content.len() as u64;
        let (snapshots, folder, name) = (Arc::clone(snapshots), folder.clone(), object.part.object.clone());
        parts.push(object.part);
        objects.spawn(async move { snapshots.write(&folder, &name, object.content).await });
    }
    while let Some(done) = objects.join_next().await {
        joined(Some(done))?;
    }
    let groups: Vec<u32> = changes.keys().copied().collect();
    let retired = retired(snapshots, cluster, positions, (&at, &folder), (&groups, &parts), now_ms).await?;
    let manifest = Manifest::of(Content {
        operator: &place.0,
        topic: &at.topic,
        partition: place.1,
        covers,
        made_at_ms: now_ms,
        groups: groups.clone(),
        marks: &marks,
        parts: parts.clone(),
        retired,
    });
    let (name, content) = manifest.encode();
    written_bytes += content.len() as u64;
    snapshots.write(&folder, &name, content).await?;
    let stored = Some(Stored { manifest: format!("{folder}/{name}"), location: snapshots.url().to_owned() });
    let mark = SnapshotMark { offset: covers, groups: groups.clone(), stored };
    let bytes = manifest.bytes();
    Ok(Written { place, at, groups, bytes, last, written_bytes, folder, mark, changes, parts, until })
}

type Joined = Result<Result<(), millstream_connector::SinkError>, tokio::task::JoinError>;

fn joined(done: Option<Joined>) -> Result<(), WorkerError> {
    match done {
        Some(Ok(result)) => Ok(result?),
        Some(Err(error)) => Err(WorkerError::Transient(format!("writing an object: {error}"))),
        None => Ok(()),
    }
}

/// What the snapshots before name of these key groups, and this one does not: left for those who read them.
async fn retired(
    snapshots: &Snapshots,
    cluster: &Arc<Cluster>,
    positions: &Arc<str>,
    (at, folder): (&TopicPartition, &str),
    (groups, parts): (&[u32], &[Part]),
    now_ms: i64,
) -> Result<BTreeMap<String, i64>, WorkerError> {
    let mut marks = positions::load(cluster, positions, &[COUNTS_PARTITION]).await?.marks_of(at);
    marks.retain(|mark| mark.groups.iter().any(|group| groups.contains(group)));
    let grace_ms = i64::try_from(snapshots.grace.as_millis()).unwrap_or(i64::MAX);
    let mut retired: BTreeMap<String, i64> = BTreeMap::new();
    for path in named(&marks) {
        let (of, name) = split(path);
        if of != folder {
            continue;
        }
        let before = match snapshots.manifest(folder, name).await {
            Ok(before) => before,
            // Nothing of it is named again that was not seen.
            Err(Unread::Wrong(wrong)) => {
                tracing::warn!(
                    "{}: the snapshot before this one, {folder}/{name}, {}",
                    snapshots.url(),
                    wrong.what
                );
                continue;
            }
            Err(Unread::Store(error)) => return Err(error.into()),
        };
        retired.insert(name.to_owned(), now_ms);
        retired.extend(before.objects().map(|object| (object.to_owned(), now_ms)));
        for (object, since) in before.retired {
            retired.entry(object).or_insert(since);
        }
    }
    let is_named = |object: &String| parts.iter().any(|part| part.object == *object);
    retired.retain(|object, since| !is_named(object) && since.saturating_add(grace_ms) > now_ms);
    Ok(retired)
}
