//! Snapshots outside of the changelog, in the worlds of `tests.rs`: what a commit left is taken, written elsewhere while the worker goes
//! on, and counts from the commit that names it; a crash at any step loses it. The changelog is cut below it, what no mark names any more is
//! deleted from the store, and a restore reads both as one order of records. Key groups without change are named again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use millstream_model::KeyGroup;
use millstream_types::{Rng, SeededRng};

use super::{Changelog, OPERATORS, Worker, World};
use crate::state::ChangelogEntry;
use crate::state::held::Held;
use crate::state::layers::{layers, live};
use crate::state::snapshots::{SnapshotMark, Stored, deletable_below};

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static PUBLISHED: AtomicUsize = AtomicUsize::new(0);
static NAMED_AGAIN: AtomicUsize = AtomicUsize::new(0);
static CUT: AtomicUsize = AtomicUsize::new(0);
static READ: AtomicUsize = AtomicUsize::new(0);
static SWEPT: AtomicUsize = AtomicUsize::new(0);

/// Whether the worlds did all of it often enough to show anything.
pub(super) fn is_wild() {
    let counts = [&TAKEN, &PUBLISHED, &NAMED_AGAIN, &CUT, &READ, &SWEPT].map(|n| n.load(Ordering::Relaxed));
    assert!(
        counts.iter().all(|n| *n > 7) && counts[0] > counts[1],
        "the worlds store too little: {counts:?}"
    );
}

/// A manifest: watermarks, and the object that each key group is in.
#[derive(Clone, Debug)]
struct Manifest {
    operator: String,
    watermarks: Vec<Bytes>,
    groups: BTreeMap<u32, String>,
}

/// What is kept of one partition of a changelog outside of it.
#[derive(Debug, Default)]
pub(super) struct Store {
    manifests: BTreeMap<String, Manifest>,
    /// By name, the values of key groups.
    objects: BTreeMap<String, BTreeMap<u32, Vec<Bytes>>>,
    next: usize,
}

/// A snapshot that is written and not named yet.
struct Written {
    partition: u32,
    offset: i64,
    manifest: Manifest,
    objects: BTreeMap<String, BTreeMap<u32, Vec<Bytes>>>,
    /// How often its key groups had changed.
    changes: BTreeMap<u32, u64>,
}

/// What a worker is at.
#[derive(Default)]
pub(super) struct Taking {
    pub(super) held: Held<String>,
    under_way: Vec<Written>,
}

impl Taking {
    /// A key group goes; what was taken with it is given up.
    pub(super) fn revoke(&mut self, group: u32) {
        self.held.forget(group);
        self.under_way.retain(|written| !written.manifest.groups.contains_key(&group));
    }
}

impl Changelog {
    /// Where the reading of some of its key groups begins, and what comes among the records: before which of them.
    pub(super) fn layered(
        &self,
        groups: impl IntoIterator<Item = u32>,
    ) -> (usize, VecDeque<(usize, Vec<Bytes>)>) {
        let layers = layers(&self.marks, groups);
        let from = if layers.inserts.is_empty() { self.cut } else { layers.from as usize };
        assert!(from >= self.cut, "records from {from} on are read, and were deleted below {}", self.cut);
        let values = layers.inserts.into_iter().map(|insert| {
            READ.fetch_add(1, Ordering::Relaxed);
            let manifest = &self.store.manifests[&insert.stored.manifest];
            let groups = insert.groups.iter().map(|group| KeyGroup(*group)).collect();
            let reset = ChangelogEntry::Reset { operator: manifest.operator.clone(), groups }.encode();
            let rows = insert.groups.iter().flat_map(|group| {
                let object = &self.store.objects[&manifest.groups[group]];
                object.get(group).into_iter().flatten().cloned()
            });
            let head = [reset].into_iter().chain(manifest.watermarks.iter().cloned());
            (insert.at as usize, head.chain(rows).collect())
        });
        (from, values.collect())
    }

    /// What there is of some of its key groups, in order.
    pub(super) fn read(&self, groups: impl IntoIterator<Item = u32>) -> Vec<Bytes> {
        let (from, mut inserts) = self.layered(groups);
        let mut values = Vec::new();
        for at in from..=self.records.len() {
            while inserts.front().is_some_and(|(before, _)| *before <= at) {
                values.extend(inserts.pop_front().into_iter().flat_map(|(_, values)| values));
            }
            values.extend(self.records.get(at).cloned());
        }
        values
    }

    /// Deletes what no mark names any more.
    fn sweep(&mut self) {
        let live = live(&self.marks);
        let named: BTreeSet<&str> =
            live.values().filter_map(|mark| Some(mark.stored.as_ref()?.manifest.as_str())).collect();
        let before = self.store.objects.len();
        self.store.manifests.retain(|name, _| named.contains(name.as_str()));
        let objects: BTreeSet<&String> =
            self.store.manifests.values().flat_map(|manifest| manifest.groups.values()).collect();
        self.store.objects.retain(|name, _| objects.contains(name));
        SWEPT.fetch_add(before - self.store.objects.len(), Ordering::Relaxed);
    }
}

impl World {
    /// Takes what a commit has left of some key groups, to be written elsewhere.
    pub(super) fn store(&mut self, worker: &mut Worker, rng: &mut SeededRng) {
        let partition = rng.below(u64::from(self.broker.changelog_partitions)) as u32;
        let operator = OPERATORS[rng.below(2) as usize];
        let mut groups = worker.stage.groups_of(partition);
        groups.retain(|_| rng.chance(7, 8));
        if groups.is_empty() {
            return;
        }
        let changelog = self.changelog(operator, partition);
        let next = changelog.store.next;
        changelog.store.next += 2;
        // What follows in the transaction is watermarks and positions, so the commit ends here.
        let offset = changelog.records.len() as i64;
        let taking = &mut worker.stored;
        let changes = groups.iter().map(|g| (g.0, taking.held.changes(operator, g.0))).collect();
        let mut named: BTreeMap<u32, String> = groups
            .iter()
            .filter_map(|group| Some((group.0, taking.held.of(operator, group.0)?.clone())))
            .collect();
        NAMED_AGAIN.fetch_add(named.len(), Ordering::Relaxed);
        let changed: Vec<KeyGroup> = groups.iter().copied().filter(|g| !named.contains_key(&g.0)).collect();
        let copied = worker.stage.copy(operator, &changed).expect("a copy").expect("the operator");
        let mut objects = BTreeMap::new();
        // Two objects, so that some of one are named again and others are not.
        for (at, half) in changed.chunks(changed.len().div_ceil(2).max(1)).enumerate() {
            let name = format!("{operator}-{partition}-{}", next + at);
            named.extend(half.iter().map(|group| (group.0, name.clone())));
            let mut rows = copied.by_group().expect("rows");
            rows.retain(|group, _| half.iter().any(|of| of.0 == *group));
            objects.insert(name, rows);
        }
        let watermarks = worker.stage.committed_marks(operator, &groups);
        let manifest = Manifest {
            operator: operator.to_owned(),
            watermarks: watermarks.iter().map(ChangelogEntry::encode).collect(),
            groups: named,
        };
        taking.under_way.push(Written { partition, offset, manifest, objects, changes });
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }

    /// Names some of what was written, with a commit; then the changelog is cut, and the store swept.
    pub(super) fn publish(&mut self, worker: &mut Worker, rng: &mut SeededRng) {
        let (partitions, key_groups) = (self.broker.changelog_partitions, self.logs.len() as u32);
        let (ready, left) =
            std::mem::take(&mut worker.stored.under_way).into_iter().partition(|_| rng.chance(3, 4));
        worker.stored.under_way = left;
        let ready: Vec<Written> = ready;
        for Written { partition, offset, manifest, objects, changes } in ready {
            let operator = manifest.operator.clone();
            for (group, object) in &manifest.groups {
                worker.stored.held.holds(&operator, *group, changes[group], object.clone());
            }
            let changelog = self.changelog(&operator, partition);
            let name = format!("m{}", changelog.store.next);
            changelog.store.next += 1;
            let groups = manifest.groups.keys().copied().collect();
            changelog.store.manifests.insert(name.clone(), manifest);
            changelog.store.objects.extend(objects);
            let stored = Some(Stored { manifest: name, location: String::new() });
            changelog.marks.push(SnapshotMark { offset, groups, stored });
            let cut = deletable_below(changelog.marks.clone(), (partition, partitions), key_groups) as usize;
            if cut > changelog.cut {
                changelog.cut = cut;
                CUT.fetch_add(1, Ordering::Relaxed);
            }
            if rng.chance(3, 4) {
                changelog.sweep();
            }
            PUBLISHED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
