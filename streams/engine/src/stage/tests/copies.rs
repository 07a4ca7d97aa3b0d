//! State that comes from a copy instead of a restore: in every rig workers take up what a copy has by now, as well as they restore. Here
//! is the copy of a world, which follows its changelogs at random, falls behind what was deleted, gives key groups away and begins
//! again; and what a stage refuses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use millstream_model::KeyGroup;
use millstream_types::{Rng, SeededRng};

use super::super::{Restore, Stage};
use super::Broker;
use super::groups::spec;
use crate::error::StageError;
use crate::state::ChangelogEntry;
use crate::state::copy::StateCopy;

/// How many key groups the rigs of this process have taken from copies.
pub(super) static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// How often a copy began with what is stored outside of a changelog.
pub(super) static FROM_STORE: AtomicUsize = AtomicUsize::new(0);

/// A standby's copy of some key groups.
#[derive(Default)]
pub(super) struct Follower {
    copy: StateCopy,
    at: BTreeMap<(String, u32), Reading>,
}

/// Where a copy is in a changelog, and what of a store comes among the records that follow.
struct Reading {
    at: usize,
    inserts: VecDeque<(usize, Vec<Bytes>)>,
}

impl Follower {
    /// Reads on in some changelogs, or in all of them. What it missed of one that was cut beneath it, it does not go on from: it begins
    /// as a restore does, with what is stored elsewhere.
    pub(super) fn follow(&mut self, broker: &Broker, mut goes_on: impl FnMut() -> bool) {
        for (place, changelog) in &broker.changelog {
            let of = (place.0.as_str(), place.1);
            if self.at.get(place).is_none_or(|reading| reading.at < changelog.cut) {
                self.copy.begin_anew(of);
                let groups = self.copy.groups().iter().copied();
                let groups = groups.filter(|group| group % broker.changelog_partitions == place.1);
                let (at, inserts) = changelog.layered(groups);
                FROM_STORE.fetch_add(usize::from(!inserts.is_empty()), Ordering::Relaxed);
                self.at.insert(place.clone(), Reading { at, inserts });
            }
            let Some(Reading { at, inserts }) = self.at.get_mut(place) else { continue };
            let mut apply = |value: &Bytes| self.copy.apply(of, value).expect("a record of ours");
            loop {
                while inserts.front().is_some_and(|(before, _)| before <= at) {
                    inserts.pop_front().into_iter().flat_map(|(_, values)| values).for_each(|v| apply(&v));
                }
                if *at == changelog.records.len() || !goes_on() {
                    break;
                }
                apply(&changelog.records[*at]);
                *at += 1;
            }
        }
    }

    /// Now and then a copy begins anew, of other key groups.
    pub(super) fn change(&mut self, key_groups: u32, rng: &mut SeededRng) {
        if self.copy.groups().is_empty() || rng.chance(1, 10) {
            let groups = (0..key_groups).filter(|_| rng.chance(2, 3)).collect();
            *self = Follower { copy: StateCopy::new(groups), at: BTreeMap::new() };
        }
        if rng.chance(1, 20) {
            let fewer: BTreeSet<u32> =
                self.copy.groups().iter().copied().filter(|_| rng.chance(1, 2)).collect();
            self.copy.keep(&fewer).expect("fewer key groups");
        }
    }

    /// Gives a stage those of these key groups that are here, as they are in the changelogs by now; the others are left.
    pub(super) fn give(&mut self, stage: &mut Stage, groups: &[u32], broker: &Broker, now: i64) -> Vec<u32> {
        self.follow(broker, || true);
        let part = self.copy.take(&groups.iter().copied().collect()).expect("a part");
        let given = part.groups().clone();
        TAKEN.fetch_add(given.len(), Ordering::Relaxed);
        stage.take_up(part, now).expect("key groups that are not open");
        groups.iter().copied().filter(|group| !given.contains(group)).collect()
    }
}

/// Gives key groups to a stage by a changelog that all operators share: restored, taken from a copy, or some so and some so.
pub(super) fn give<'a>(
    stage: &mut Stage,
    groups: &[u32],
    changelog: impl Iterator<Item = &'a Bytes> + Clone,
    now: i64,
) {
    let (copied, restored): (Vec<u32>, Vec<u32>) = match changelog.clone().count() % 3 {
        0 => (Vec::new(), groups.to_vec()),
        1 => (groups.to_vec(), Vec::new()),
        _ => groups.iter().partition(|group| **group % 2 == 0),
    };
    let mut copy = StateCopy::new(copied.into_iter().collect());
    for value in changelog.clone() {
        let entry = ChangelogEntry::decode(value).expect("a record of ours");
        copy.apply((entry.operator().unwrap_or("any"), 0), value).expect("a record of ours");
    }
    let all = copy.groups().clone();
    TAKEN.fetch_add(all.len(), Ordering::Relaxed);
    stage.take_up(copy.take(&all).expect("a part"), now).expect("key groups that are not open");
    let mut restore = Restore::new(restored.into_iter().map(KeyGroup));
    changelog.for_each(|value| restore.apply(stage, value).expect("a record of ours"));
    restore.finish(stage, now).expect("a restore");
}

/// State goes to key groups that are closed alone, from a copy and from records: in one that is open it would be there twice.
#[test]
fn key_groups_that_are_open_are_given_nothing() {
    let mut stage = Stage::build(spec("SELECT store_id, COUNT(*) AS n FROM sales GROUP BY store_id", 2, 1))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    stage.assign(KeyGroup(1), 0);
    let part = |groups: &[u32]| {
        let groups: BTreeSet<u32> = groups.iter().copied().collect();
        StateCopy::new(groups.clone()).take(&groups).expect("a part")
    };
    let refused = |result: Result<(), StageError>| {
        let error = result.expect_err("an open key group").to_string();
        assert!(error.contains("key group 1 is open"), "{error}");
    };
    refused(stage.take_up(part(&[0, 1]), 0));
    refused(Restore::new([KeyGroup(1)]).finish(&mut stage, 0));
    let watermarks = ChangelogEntry::Watermarks { source: None, pairs: Vec::new() }.encode();
    refused(Restore::new([KeyGroup(1)]).apply(&mut stage, &watermarks));
    stage.take_up(part(&[0]), 0).expect("a closed one");
    assert!(stage.take_up(part(&[0]), 0).is_err(), "it is open now");
    stage.revoke([KeyGroup(1)]).expect("a revocation");
    stage.take_up(part(&[1]), 0).expect("it was given up");
}
