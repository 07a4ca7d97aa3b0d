//! What a changelog partition says where snapshots of it are kept elsewhere. One that covers the partition up to an offset counts as
//! if it lay in the partition there: a `Reset` of its key groups and their whole state, before the record at that offset. So whoever
//! reads a changelog reads one order of records, wherever each of them is kept. Pure. Never enters: where snapshots are kept.
//!
//! Invariant SM-6: of a key group's marks the one with the greatest offset counts, for what is read, for what is deleted of the
//! changelog, and for what is kept of objects: all three see the same one. At the same offset both are right, and the choice has only to be
//! the same everywhere.

use std::collections::BTreeMap;

use super::snapshots::{SnapshotMark, Stored};

/// A snapshot that is kept elsewhere, where it comes among a partition's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// It comes before the record at this offset.
    pub at: i64,
    /// The key groups that it counts for; it may hold others.
    pub groups: Vec<u32>,
    /// Which one.
    pub stored: Stored,
}

/// What is read of a partition for some key groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The records before this offset are not needed; 0 while a key group has no mark.
    pub from: i64,
    /// What comes among those behind, in order.
    pub inserts: Vec<Insert>,
}

/// The mark that counts for each key group (SM-6).
pub fn live(marks: &[SnapshotMark]) -> BTreeMap<u32, &SnapshotMark> {
    // What lies in the changelog goes before what is elsewhere: leaving a store ends by it.
    let rank = |mark: &SnapshotMark| {
        (mark.offset, mark.stored.is_none(), mark.stored.as_ref().map(|stored| stored.manifest.clone()))
    };
    let mut live: BTreeMap<u32, &SnapshotMark> = BTreeMap::new();
    for mark in marks {
        for group in &mark.groups {
            let known = live.entry(*group).or_insert(mark);
            if rank(mark) > rank(known) {
                *known = mark;
            }
        }
    }
    live
}

/// What is read for these key groups, all of one partition.
pub fn layers(marks: &[SnapshotMark], wanted: impl IntoIterator<Item = u32>) -> Layers {
    let live = live(marks);
    let mut found: BTreeMap<(i64, &str), Insert> = BTreeMap::new();
    let mut from = i64::MAX;
    for group in wanted {
        let mark = live.get(&group);
        from = from.min(mark.map_or(0, |mark| mark.offset));
        let Some((mark, stored)) = mark.and_then(|mark| Some((mark, mark.stored.as_ref()?))) else {
            continue;
        };
        let new = || Insert { at: mark.offset, groups: Vec::new(), stored: stored.clone() };
        found.entry((mark.offset, &stored.manifest)).or_insert_with(new).groups.push(group);
    }
    let from = if from == i64::MAX { 0 } else { from };
    Layers { from, inserts: found.into_values().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: i64, groups: &[u32], manifest: Option<&str>) -> SnapshotMark {
        let stored = manifest.map(|name| Stored { manifest: name.to_owned(), location: "here".to_owned() });
        SnapshotMark { offset, groups: groups.to_vec(), stored }
    }

    fn shown(marks: &[SnapshotMark], wanted: &[u32]) -> (i64, Vec<(i64, Vec<u32>, String)>) {
        let Layers { from, inserts } = layers(marks, wanted.iter().copied());
        (from, inserts.into_iter().map(|i| (i.at, i.groups, i.stored.manifest)).collect())
    }

    #[test]
    fn the_mark_with_the_greatest_offset_counts_for_each_key_group() {
        let insert = |at, groups: &[u32], name: &str| (at, groups.to_vec(), name.to_owned());
        assert_eq!(shown(&[], &[0, 4]), (0, vec![]));
        let marks = [mark(10, &[0, 4, 8], Some("a")), mark(20, &[4], Some("b")), mark(15, &[8], None)];
        assert_eq!(shown(&marks, &[0, 4, 8]), (10, vec![insert(10, &[0], "a"), insert(20, &[4], "b")]));
        // Only what is wanted says from where on it is read, in any order of the marks.
        let marks = [marks[2].clone(), marks[1].clone(), marks[0].clone()];
        assert_eq!(shown(&marks, &[4, 8]), (15, vec![insert(20, &[4], "b")]));
        // A key group without a mark is read from the beginning.
        assert_eq!(shown(&marks, &[4, 12]), (0, vec![insert(20, &[4], "b")]));
    }

    #[test]
    fn at_one_offset_the_choice_is_the_same_in_any_order() {
        let marks = [mark(10, &[0], Some("a")), mark(10, &[0], Some("b")), mark(10, &[0], None)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let all: Vec<SnapshotMark> = order.iter().map(|at| marks[*at].clone()).collect();
            assert_eq!(shown(&all, &[0]), (10, vec![]));
            let stored: Vec<SnapshotMark> = all.into_iter().filter(|mark| mark.stored.is_some()).collect();
            assert_eq!(shown(&stored, &[0]), (10, vec![(10, vec![0], "b".to_owned())]));
        }
    }
}
