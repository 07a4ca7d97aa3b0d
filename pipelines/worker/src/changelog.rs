//! The changelogs of a process stage: which have grown so much that their state is to be written anew, and the deletion
//! of what such a snapshot voids. A snapshot is part of a commit, and so is its mark in the positions topic; records are
//! deleted afterwards, below the marks of all workers (SM-4). Where the pipeline has a store for them, snapshots go there instead
//! ([`crate::snapshots`]), and a commit has their marks alone. Never enters: what a snapshot holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::{Admin, Cluster};
use millstream_engine::stage::Stage;
use millstream_engine::state::layers::live;
use millstream_engine::state::snapshots::{Growth, SnapshotMark, deletable_below};
use millstream_engine::state::{ChangelogEntry, ChangelogRecord};
use millstream_model::KeyGroup;
use millstream_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::WorkerError;
use crate::failpoint;
use crate::outbox::Outbox;
use crate::positions::{self, COUNTS_PARTITION};
use crate::restore;
use crate::snapshots::Snapshots;
use crate::snapshots::reading::Marked;
use crate::snapshots::taking::{self, Taking, Written};

/// About how many bytes of state one commit writes anew: what a transaction can carry well within its time-out.
const PART_BYTES: u64 = 16 << 20;
/// How often the ends of changelogs are looked at, for what other workers write.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A worker makes a snapshot of what it has in a partition when so many records have come there since its last one, though
/// it wrote few of them: without its mark nobody can delete any.
const RECORDS_MAX: i64 = 4_096;

/// How long what a snapshot voids stays: whoever follows the changelog then reads on, and need not begin again.
const CUT_AFTER: Duration = Duration::from_secs(10);
/// How long a store may take to be swept: the end of a run waits for it.
const SWEEP_MAX: Duration = Duration::from_secs(30);

/// The changelogs of a stage, as this worker has written them.
pub struct Changelogs {
    /// By operator id: topics with their partitions.
    topics: BTreeMap<String, (Arc<str>, u32)>,
    positions: Arc<str>,
    instance: String,
    key_groups: u32,
    /// No snapshot before this many bytes of changes.
    least: u64,
    growth: BTreeMap<(String, u32), Growth>,
    /// Where each partition ended when this worker last made a snapshot of what it has there, or first looked.
    ends: BTreeMap<TopicPartition, i64>,
    /// About how many offsets it has taken there itself since.
    own: BTreeMap<(String, u32), i64>,
    looked: Instant,
    /// No snapshot before, where the stage had to begin again: one that cannot be committed must not hold up the rest.
    not_before: Option<Instant>,
    /// Deletions under way, and those that wait until it is time, or the run ends.
    deletions: JoinSet<()>,
    cuts: Arc<Cuts>,
    /// The store, where there is one, and what takes snapshots into it.
    snapshots: Option<Arc<Snapshots>>,
    taking: Option<Taking>,
    /// Key groups whose state lies in a store that takes no more.
    left: BTreeMap<(String, u32), BTreeSet<u32>>,
    /// The stage, for failpoints.
    stage: String,
}

/// What a commit has of snapshots.
#[derive(Default)]
pub struct Taken {
    anew: Option<Anew>,
    copied: Option<taking::Taken>,
    named: Vec<Written>,
    now: i64,
}

/// A part of a snapshot in the changelog itself.
struct Anew {
    place: (String, u32),
    at: TopicPartition,
    end: i64,
    groups: Vec<u32>,
    bytes: u64,
    /// It has all that the worker owns there.
    last: bool,
}

impl Changelogs {
    /// Changelogs by operator id, of a stage of so many key groups, which may begin again after a failure.
    pub fn new(
        topics: BTreeMap<String, (Arc<str>, u32)>,
        positions: Arc<str>,
        instance: &str,
        key_groups: u32,
        least: u64,
        begins_again: bool,
    ) -> Changelogs {
        Changelogs {
            topics,
            positions,
            instance: instance.to_owned(),
            key_groups,
            least,
            growth: BTreeMap::new(),
            ends: BTreeMap::new(),
            own: BTreeMap::new(),
            looked: Instant::now(),
            not_before: begins_again.then(|| Instant::now() + LOOK_EVERY),
            deletions: JoinSet::new(),
            cuts: Arc::new(Cuts { is_closing: watch::channel(false).0, known: Mutex::default() }),
            snapshots: None,
            taking: None,
            left: BTreeMap::new(),
            stage: String::new(),
        }
    }

    /// With a store for snapshots, if there is one; `taking` makes what takes them into it.
    #[must_use]
    pub fn stored(
        mut self,
        stage: &str,
        snapshots: Option<&Arc<Snapshots>>,
        taking: impl FnOnce(Arc<Snapshots>) -> Taking,
    ) -> Changelogs {
        self.stage = stage.to_owned();
        self.snapshots = snapshots.cloned();
        self.taking = snapshots.filter(|of| of.takes).cloned().map(taking);
        self
    }

    /// The marks of snapshots, to be read for what has been assigned by now.
    pub fn marked(&self) -> Marked {
        Marked::new(Arc::clone(&self.positions), self.snapshots.clone())
    }

    /// The topics by operator id, with their partitions.
    pub fn topics(&self) -> &BTreeMap<String, (Arc<str>, u32)> {
        &self.topics
    }

    /// Notes changes that are written.
    pub fn wrote(&mut self, operator: &str, partition: u32, bytes: usize) {
        self.read(operator, partition, bytes);
        // The record, and at most one marker.
        *self.own.entry((operator.to_owned(), partition)).or_default() += 2;
    }

    /// Notes changes that a restore has read.
    pub fn read(&mut self, operator: &str, partition: u32, bytes: usize) {
        self.growth.entry((operator.to_owned(), partition)).or_default().add(bytes as u64);
    }

    /// Notes what a restore has read of a store.
    pub fn read_stored(&mut self, operator: &str, partition: u32, (bytes, groups): (u64, BTreeSet<u32>)) {
        let place = (operator.to_owned(), partition);
        let growth = self.growth.entry(place.clone()).or_default();
        growth.restored(bytes);
        if self.taking.is_none() && !groups.is_empty() {
            // The store is left: what lies there is written into the changelog.
            growth.want();
            self.left.entry(place).or_default().extend(groups);
        }
    }

    /// Notes what a commit's record changes.
    pub fn changed(&mut self, record: &ChangelogRecord) {
        if let Some(taking) = &mut self.taking {
            taking.changed(record);
        }
    }

    /// Key groups go.
    pub fn revoked(&mut self, groups: &[KeyGroup]) {
        if let Some(taking) = &mut self.taking {
            taking.revoked(groups);
        }
        self.left.values_mut().for_each(|of| of.retain(|of| !groups.contains(&KeyGroup(*of))));
    }

    /// How much is to be done about snapshots by the next commits.
    pub fn due(&mut self) -> usize {
        let waiting = self.taking.as_mut().map_or(0, Taking::waiting);
        waiting + self.overdue().count()
    }

    /// The places of which a snapshot is to be made now, and how far each is beyond its due.
    fn overdue(&self) -> impl Iterator<Item = (u64, &(String, u32))> {
        let may = self.not_before.is_none_or(|at| Instant::now() >= at);
        let may_take = move |place: &(String, u32)| {
            may && self.taking.as_ref().is_none_or(|taking| taking.may_take(place))
        };
        self.growth.iter().filter_map(move |(place, growth)| {
            Some((growth.overdue(self.least)?, place)).filter(|(_, place)| may_take(place))
        })
    }

    /// Whether commits have more to do about snapshots: waits for one that is being written, where there is nothing else.
    pub async fn has_more(&mut self) -> bool {
        loop {
            if self.due() > 0 {
                return true;
            }
            let Some(taking) = &mut self.taking else { return false };
            if !taking.wait().await {
                return false;
            }
        }
    }

    /// Looks, now and then, at what other workers have written to the partitions that this one has key groups in.
    pub async fn look(&mut self, cluster: &Arc<Cluster>, owned: &BTreeSet<u32>) {
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        let place = |at: &TopicPartition| {
            let (operator, _) = self.topics.iter().find(|(_, (topic, _))| *topic == at.topic)?;
            Some((operator.clone(), at.partition as u32))
        };
        let all = self.topics.values().flat_map(|(topic, partitions)| {
            let of: BTreeSet<u32> = owned.iter().map(|group| group % partitions).collect();
            of.into_iter().map(|partition| TopicPartition::new(Arc::clone(topic), partition as i32))
        });
        let all: Vec<TopicPartition> = all.collect();
        let ends = match restore::ends(cluster, &all).await {
            Ok(ends) => ends,
            Err(error) => {
                return tracing::warn!(%error, "the ends of changelogs are not known; asked again later");
            }
        };
        let mut wanted = Vec::new();
        for (at, end) in ends {
            let since = *self.ends.entry(at.clone()).or_insert(end);
            let Some(place) = place(&at) else { continue };
            let own = self.own.get(&place).copied().unwrap_or(0);
            if end - since - own > RECORDS_MAX {
                wanted.push(place);
            }
        }
        for place in wanted {
            self.growth.entry(place).or_default().want();
        }
    }

    /// Puts what there is to do about snapshots into a commit, behind what it has there: a part of one of the partition that is most
    /// overdue, in the changelog or as a copy for the store, and the marks of those that the store has by now.
    pub async fn snapshot(
        &mut self,
        cluster: &Arc<Cluster>,
        stage: &mut Stage,
        outbox: &mut Outbox,
        now: i64,
    ) -> Result<Taken, WorkerError> {
        let mut taken = Taken { now, ..Taken::default() };
        let Some(taking) = &mut self.taking else {
            taken.anew = self.anew(cluster, stage, outbox, now).await?;
            return Ok(taken);
        };
        taken.named = taking.publish(outbox, now)?;
        let Some((_, place)) = self.overdue().max() else { return Ok(taken) };
        let place = place.clone();
        let (operator, partition) = &place;
        let each = each_bytes(stage);
        let mut growth = self.growth[&place].clone();
        for written in taken.named.iter().filter(|written| written.place == place) {
            growth.was_taken(&written.groups, written.bytes, written.last);
        }
        if growth.overdue(self.least).is_none() {
            // The commit has it.
            return Ok(taken);
        }
        let owned = stage.groups_of(*partition);
        let groups = growth.lacks(&owned);
        let Some((topic, _)) = self.topics.get(operator).filter(|_| !owned.is_empty()) else {
            // This worker has nothing there any more.
            self.growth.remove(&place);
            return Ok(taken);
        };
        if groups.is_empty() {
            // What was left of one that was begun has gone to others.
            self.growth.entry(place).or_default().was_taken(&[], 0, true);
            return Ok(taken);
        }
        let at = TopicPartition::new(Arc::clone(topic), *partition as i32);
        let Some(taking) = &mut self.taking else { return Ok(taken) };
        taken.copied = taking.take(cluster, stage, (&place, &at), groups, (each, now)).await?;
        Ok(taken)
    }

    /// Writes a part of a state anew into the changelog itself.
    async fn anew(
        &mut self,
        cluster: &Arc<Cluster>,
        stage: &mut Stage,
        outbox: &mut Outbox,
        now: i64,
    ) -> Result<Option<Anew>, WorkerError> {
        let Some((_, place)) = self.overdue().max() else { return Ok(None) };
        let place = place.clone();
        let (operator, partition) = &place;
        let mut groups = self.growth[&place].lacks(&stage.groups_of(*partition));
        // As many key groups as make up a part, by what the operator keeps for each on average.
        let most = usize::try_from(PART_BYTES / each_bytes(stage)).unwrap_or(usize::MAX).max(1);
        let last = groups.len() <= most;
        groups.truncate(most);
        let records = stage.snapshot(operator, *partition, groups)?;
        let reset = match (self.topics.get(operator), records.first().map(|r| &r.entry)) {
            (Some((topic, _)), Some(ChangelogEntry::Reset { groups, .. })) => Some((topic, groups)),
            _ => None,
        };
        let Some((topic, groups)) = reset else {
            // This worker has nothing there any more.
            self.growth.remove(&place);
            return Ok(None);
        };
        let groups: Vec<u32> = groups.iter().map(|group| group.0).collect();
        let at = TopicPartition::new(Arc::clone(topic), *partition as i32);
        let ends = restore::ends(cluster, std::slice::from_ref(&at)).await?;
        let Some(end) = ends.get(&at).copied() else { return Ok(None) };
        let mut bytes = 0;
        for record in &records {
            let value = record.entry.encode();
            bytes += value.len() as u64;
            outbox.append_value(topic, *partition, now, &value)?;
        }
        let mark = SnapshotMark { offset: end, groups: groups.clone(), stored: None };
        positions::write_snapshot(outbox, &self.positions, now, &at, &self.instance, &mark)?;
        if let Some(left) = self.left.get_mut(&place) {
            // Their marks in the store go with it: the file may name no store next time.
            let gone: Vec<u32> = groups.iter().copied().filter(|group| left.remove(group)).collect();
            positions::write_left(outbox, &self.positions, now, &at, gone)?;
        }
        Ok(Some(Anew { place, at, end, groups, bytes, last }))
    }

    /// The commit with a part of a snapshot has succeeded. With the last one what no key group needs any more is deleted,
    /// beside the work. A failure does no harm: the next snapshot deletes it too.
    pub async fn was_committed(&mut self, cluster: &Arc<Cluster>, taken: Taken) {
        let Taken { anew, copied, named, now } = taken;
        if let Some(Anew { place, at, end, groups, bytes, last }) = anew {
            let is_left = self.left.get(&place).is_some_and(BTreeSet::is_empty);
            self.growth.entry(place.clone()).or_default().was_taken(&groups, bytes, last);
            if last {
                self.own.remove(&place);
                self.ends.insert(at.clone(), end);
                self.cut(cluster, &place, at);
            }
            if is_left {
                self.left.remove(&place);
                self.tell_left(cluster);
            }
        }
        for written in named {
            let (place, at, end) = (written.place.clone(), written.at.clone(), written.covers());
            self.growth.entry(place.clone()).or_default().was_taken(
                &written.groups,
                written.bytes,
                written.last,
            );
            if written.last {
                self.own.remove(&place);
                self.ends.insert(at.clone(), end);
            }
            let Some(taking) = &mut self.taking else { continue };
            let sweeping = taking.was_named(cluster, written, now);
            self.sweep(at.clone(), sweeping);
            self.cut(cluster, &place, at);
        }
        if let (Some(taking), Some(copied)) = (&mut self.taking, copied) {
            taking.was_committed(cluster, copied).await;
        }
    }

    /// Deletes what is void of a changelog's partition by now, in a while.
    fn cut(&mut self, cluster: &Arc<Cluster>, place: &(String, u32), at: TopicPartition) {
        let partitions = self.topics.get(&place.0).map_or(1, |(_, partitions)| *partitions);
        let (cluster, positions, key_groups) =
            (Arc::clone(cluster), Arc::clone(&self.positions), self.key_groups);
        let (stage, cuts) = (self.stage.clone(), Arc::clone(&self.cuts));
        while self.deletions.try_join_next().is_some() {}
        self.deletions.spawn(async move {
            failpoint::reach(&stage, "snapshot_before_delete");
            match cut(&cluster, &positions, &at, (partitions, key_groups), &cuts).await {
                Ok(below) => tracing::debug!(%at, below, "state was written anew"),
                Err(error) => tracing::warn!(
                    %at, %error, "what a snapshot of its state voids could not be deleted; the next one does it"
                ),
            }
        });
    }

    /// Deletes what no snapshot of a partition's state in the store names any more.
    fn sweep(
        &mut self,
        at: TopicPartition,
        then: impl Future<Output = Result<usize, WorkerError>> + Send + 'static,
    ) {
        self.deletions.spawn(async move {
            let late = || WorkerError::Transient(format!("it took longer than {} s", SWEEP_MAX.as_secs()));
            match tokio::time::timeout(SWEEP_MAX, then).await.unwrap_or_else(|_| Err(late())) {
                Ok(0) => {}
                Ok(objects) => tracing::debug!(%at, objects, "deleted what no snapshot names any more"),
                Err(error) => tracing::warn!(
                    %at, %error, "what no snapshot of its state names any more could not be deleted from the store; the next one does it"
                ),
            }
        });
    }

    /// Says when the store may be taken out of the file.
    fn tell_left(&mut self, cluster: &Arc<Cluster>) {
        let (cluster, positions) = (Arc::clone(cluster), Arc::clone(&self.positions));
        let url = self.snapshots.as_ref().map(|of| of.url().to_owned()).unwrap_or_default();
        self.deletions.spawn(async move {
            match positions::load(&cluster, &positions, &[COUNTS_PARTITION]).await {
                // A person waits for it.
                Ok(stored) if stored.snapshots.keys().all(|at| !is_stored(&stored.marks_of(at))) => tracing::warn!(
                    "no state of the pipeline is kept at {url} any more: `defaults.snapshots` may be taken out of the file, and what is left \
                     there be removed"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "whether state is left at {url} is not known"),
            }
        });
    }

    /// Waits for the deletions that are under way: a run that ends leaves what it has voided to nobody.
    pub async fn close(&mut self) {
        self.cuts.is_closing.send_replace(true);
        while self.deletions.join_next().await.is_some() {}
    }
}

impl Drop for Changelogs {
    /// Where the stage begins again, what is void is deleted all the same.
    fn drop(&mut self) {
        self.deletions.detach_all();
    }
}

/// About how many bytes an operator keeps for each key group.
fn each_bytes(stage: &Stage) -> u64 {
    let kept: u64 = stage.state_sizes().iter().map(|(_, size)| size.bytes as u64 + size.disk_bytes).sum();
    (kept / stage.key_groups_assigned().max(1) as u64).max(1)
}

/// Whether a mark that counts names a store.
fn is_stored(marks: &[SnapshotMark]) -> bool {
    live(marks).values().any(|mark| mark.stored.is_some())
}

/// What is to be deleted of changelogs, and when.
struct Cuts {
    /// The run ends, and nothing waits any more.
    is_closing: watch::Sender<bool>,
    /// Of each partition: below which offset it is void, and below which it is deleted.
    known: Mutex<BTreeMap<TopicPartition, (i64, i64)>>,
}

impl Cuts {
    /// Waits until what lies below an offset is to be deleted; then below which it is, if others have not done it.
    async fn due(&self, at: &TopicPartition, below: i64) -> Option<i64> {
        let rises = |known: &mut (i64, i64)| known.0 = below.max(known.0);
        self.known.lock().entry(at.clone()).and_modify(rises).or_insert((below, 0));
        let mut closing = self.is_closing.subscribe();
        let is_closing = tokio::time::timeout(CUT_AFTER, closing.wait_for(|closing| *closing)).await.is_ok();
        let (void, deleted) = self.known.lock().get(at).copied()?;
        // One request for all that waits.
        let below = if is_closing { void } else { below };
        (below > deleted).then_some(below)
    }

    fn done(&self, at: &TopicPartition, below: i64) {
        self.known.lock().entry(at.clone()).and_modify(|(_, deleted)| *deleted = below.max(*deleted));
    }
}

/// Deletes what is not needed any more; below which offset.
async fn cut(
    cluster: &Arc<Cluster>,
    positions: &Arc<str>,
    at: &TopicPartition,
    (partitions, key_groups): (u32, u32),
    cuts: &Cuts,
) -> Result<i64, WorkerError> {
    let void = async || {
        let mut stored = positions::load(cluster, positions, &[COUNTS_PARTITION]).await?;
        let marks = stored.snapshots.remove(at).unwrap_or_default();
        Ok::<i64, WorkerError>(deletable_below(
            marks.into_values(),
            (at.partition as u32, partitions),
            key_groups,
        ))
    };
    let Some(below) = cuts.due(at, void().await?).await else { return Ok(0) };
    // The changelog may have been made anew meanwhile.
    let below = void().await?.min(below);
    if below > 0 {
        Admin::new(cluster).delete_records(&BTreeMap::from([(at.clone(), below)])).await?;
        cuts.done(at, below);
    }
    Ok(below)
}
