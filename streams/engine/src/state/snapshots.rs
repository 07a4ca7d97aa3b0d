//! When a changelog partition is due for a snapshot, and how far it may then be deleted. A snapshot is made by the owner
//! of key groups, of those that it has, some of them in each commit; a partition serves the key groups of several owners,
//! so what may be deleted is known only from all their marks together. Pure. Never enters: where marks are kept, how
//! records are deleted.
//!
//! Invariant SM-4: what is deleted of a changelog partition lies before the last committed snapshot of every key group
//! that writes to it. A transaction that is still open began behind its own groups' last snapshot, so it lies behind
//! the bound too.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::KeyGroup;

/// What was written to one changelog partition, for one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Bytes that a restore would read besides the last snapshot.
    since: u64,
    /// Bytes of the last snapshot.
    snapshot: u64,
    /// The snapshot that is being made, one part in each commit: its key groups so far, and their bytes.
    begun: Option<(BTreeSet<u32>, u64)>,
    /// Due whatever has grown.
    wanted: bool,
}

impl Growth {
    /// Notes bytes of changes; or of a restore, of which nobody knows how much a snapshot would take.
    pub fn add(&mut self, bytes: u64) {
        self.since += bytes;
    }

    /// Notes how much a restore has read of a snapshot that is kept outside of the changelog.
    pub fn restored(&mut self, bytes: u64) {
        self.snapshot += bytes;
    }

    /// A snapshot is due: others have written much here, and wait for it.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Of the key groups that the owner has, those that the snapshot lacks.
    pub fn lacks(&self, owned: &[KeyGroup]) -> Vec<KeyGroup> {
        let has = |group: &KeyGroup| self.begun.as_ref().is_some_and(|(groups, _)| groups.contains(&group.0));
        owned.iter().copied().filter(|group| !has(group)).collect()
    }

    /// Notes that a part of a snapshot was committed; whether that was the last one.
    pub fn was_taken(&mut self, groups: &[u32], bytes: u64, last: bool) {
        let (had, before) = self.begun.take().unwrap_or_default();
        if last {
            *self = Growth { snapshot: before + bytes, ..Growth::default() };
        } else {
            let all = had.into_iter().chain(groups.iter().copied()).collect();
            self.begun = Some((all, before + bytes));
        }
    }

    /// How far it is beyond its due, in bytes: nothing where no snapshot is due. One is after `least` bytes of changes,
    /// and when a restore reads more than three times the state, so that snapshots add at most half to what changes
    /// write. One that was begun is ended.
    pub fn overdue(&self, least: u64) -> Option<u64> {
        if self.begun.is_some() || self.wanted {
            return Some(self.since);
        }
        self.since.checked_sub(least.max(2 * self.snapshot))
    }
}

/// A committed snapshot. The changelog partition's end just before it, and whose state it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMark {
    /// An offset at or before its first record.
    pub offset: i64,
    /// Its key groups.
    pub groups: Vec<u32>,
    /// Where it is kept, unless it lies in the changelog behind the offset: one that is kept elsewhere has all that lies before it.
    pub stored: Option<Stored>,
}

/// A snapshot outside of the changelog.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Its manifest's name there.
    pub manifest: String,
    /// The location, as the pipeline that made it named it.
    pub location: String,
}

/// The offset below which a changelog partition is not needed any more, by the marks of all owners: 0 while a key group
/// has none (SM-4). Of a key group's marks the latest counts, so that marks which were never replaced do no harm.
pub fn deletable_below(
    marks: impl IntoIterator<Item = SnapshotMark>,
    (partition, partitions): (u32, u32),
    key_groups: u32,
) -> i64 {
    let mut last: BTreeMap<u32, i64> = BTreeMap::new();
    for mark in marks {
        for group in mark.groups {
            let known = last.entry(group).or_insert(mark.offset);
            *known = mark.offset.max(*known);
        }
    }
    let of = |group| last.get(&group).copied().unwrap_or(0);
    (partition..key_groups).step_by(partitions.max(1) as usize).map(of).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_deleted_that_some_key_group_needs() {
        let mark = |offset, groups: &[u32]| SnapshotMark { offset, groups: groups.to_vec(), stored: None };
        let below = |marks: &[SnapshotMark]| deletable_below(marks.to_vec(), (1, 4), 10);
        // Key groups 1, 5 and 9 write to partition 1 of 4.
        assert_eq!(below(&[]), 0);
        assert_eq!(below(&[mark(50, &[1, 5])]), 0);
        assert_eq!(below(&[mark(50, &[1, 5, 9])]), 50);
        // Of two owners the one that is behind counts; a group that moved has the later of its marks.
        assert_eq!(below(&[mark(50, &[1, 5]), mark(70, &[9])]), 50);
        assert_eq!(below(&[mark(50, &[1, 5]), mark(70, &[5, 9])]), 50);
        assert_eq!(below(&[mark(50, &[1, 5]), mark(70, &[1, 9])]), 50);
        assert_eq!(below(&[mark(50, &[1, 5]), mark(70, &[1, 5, 9])]), 70);
        assert_eq!(deletable_below([mark(7, &[0])], (0, 1), 1), 7);
    }

    #[test]
    fn a_snapshot_is_due_when_changes_outweigh_it() {
        let mut growth = Growth::default();
        growth.add(99);
        assert_eq!(growth.overdue(100), None);
        growth.add(11);
        assert_eq!(growth.overdue(100), Some(10));
        growth.was_taken(&[1], 1_000, true);
        growth.add(1_999);
        assert_eq!(growth.overdue(100), None);
        growth.add(1);
        assert_eq!(growth.overdue(100), Some(0));
        growth.was_taken(&[1], 10, true);
        assert_eq!(growth.overdue(100), None);
        growth.want();
        assert_eq!(growth.overdue(100), Some(0));
    }

    #[test]
    fn a_snapshot_in_parts_is_due_until_it_is_whole() {
        let owned = [1, 5, 9].map(KeyGroup);
        let mut growth = Growth::default();
        growth.add(200);
        assert_eq!(growth.lacks(&owned), owned);
        growth.was_taken(&[1, 5], 30, false);
        // Nothing has come since, and it goes on all the same.
        assert!(growth.overdue(1_000_000).is_some());
        assert_eq!(growth.lacks(&owned), [KeyGroup(9)]);
        growth.was_taken(&[9], 20, true);
        assert_eq!((growth.overdue(100), growth.lacks(&owned)), (None, owned.to_vec()));
        growth.add(100);
        assert_eq!(growth.overdue(10), Some(0));
    }
}
