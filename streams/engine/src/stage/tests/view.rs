//! What is read of committed state: rows that were given and those that are read of windows and sessions that are open are
//! together the batch answer over the rows so far, at any commit; and a reader who follows a changelog has what one has who reads
//! it anew.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::reference::{batch_answer, reference};
use super::{Asked, Logs, World, lines, stores};
use crate::stage::view::{Kept, View};

/// How many rows were read of what was open.
pub(super) static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A reader who goes on from where it was.
pub(super) struct Following {
    view: View,
    /// How much of each changelog was read.
    at: BTreeMap<(String, u32), usize>,
}

impl Following {
    pub(super) fn new(world: &World) -> Following {
        let spec = world.spec(20);
        let mut view = View::new(spec).unwrap_or_else(|problems| panic!("{problems:?}"));
        view.load_table("stores", &stores()).expect("the table");
        Following { view, at: BTreeMap::new() }
    }

    fn read(&mut self, world: &World) {
        let changelogs = &world.broker.changelog;
        if self.at.iter().any(|(place, at)| *at < changelogs[place].cut) {
            // What was deleted may be in a store alone.
            *self = Following::new(world);
        }
        for (place, changelog) in changelogs {
            let all = (0..world.logs.len() as u32)
                .filter(|group| group % world.broker.changelog_partitions == place.1);
            let values = match self.at.get(place) {
                Some(at) => changelog.records[*at..].to_vec(),
                None => changelog.read(all),
            };
            for value in values {
                self.view.apply(&value).expect("a record of ours");
            }
            self.at.insert(place.clone(), changelog.records.len());
        }
    }

    fn rows(&mut self, name: &str) -> Vec<String> {
        let rows = self.view.rows(name, 64 << 20).expect("rows");
        let mut lines: Vec<String> = rows.iter().flat_map(lines).collect();
        lines.sort_unstable();
        lines
    }
}

/// Looks at what is committed.
pub(super) fn look(seed: u64, asked: &Asked, logs: &Logs, world: &World, following: &mut Following) {
    let kept =
        following.view.readable().into_iter().find(|found| found.name == "revenue").expect("the query");
    if !asked.fires() {
        assert!(kept.kept.is_err(), "seed {seed}: {asked:?} keeps nothing");
        return;
    }
    assert!(matches!(kept.kept, Ok(Kept::Windows | Kept::Sessions)), "seed {seed}: {:?}", kept.kept);
    let mut anew = Following::new(world);
    for reader in [&mut *following, &mut anew] {
        reader.read(world);
    }
    assert_eq!(following.rows("unique"), anew.rows("unique"), "seed {seed}: keys, read on and anew");
    let open = following.rows("revenue");
    assert_eq!(open, anew.rows("revenue"), "seed {seed}: read on and anew, {asked:?}");
    // It is read again and stays.
    assert_eq!(open, following.rows("revenue"), "seed {seed}");
    OPEN.fetch_add(open.len(), Ordering::Relaxed);
    let of = |group: usize| world.broker.offsets.get(&(group as u32)).copied().unwrap_or(0);
    let so_far: Logs = logs.iter().enumerate().map(|(group, log)| log[..of(group)].to_vec()).collect();
    let given = world.broker.revenue.iter().cloned().chain(open);
    let mut all: Vec<String> = match asked.keys {
        // Each row takes the place of the one before it.
        Some(keys) => {
            let key = |line: &String| line.split('|').take(keys).map(str::to_owned).collect::<Vec<_>>();
            given.map(|line| (key(&line), line)).collect::<BTreeMap<_, _>>().into_values().collect()
        }
        None => given.collect(),
    };
    all.sort_unstable();
    let wanted = batch_answer(asked, &reference(&so_far, &world.runs, asked).on_time);
    assert_eq!(all, wanted, "seed {seed}: given and open, as of a commit, {asked:?}");
}
