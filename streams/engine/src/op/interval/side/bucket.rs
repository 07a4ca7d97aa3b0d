//! The rows of one side of a join by time whose times lie in one bucket: batches as they came, in memory or in a scratch, and an
//! index by key, which is in memory as are key groups, times, numbers and what has matched. A row that is let go of stays where
//! it is and counts no more, until little else is left there: so what is in a scratch is seldom written anew. Never enters:
//! watermarks, changelogs.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use millstream_model::EventTime;

use super::{SidePlan, keys};
use crate::error::StageError;
use crate::op::row_key::RowKeys;
use crate::op::stored_rows::{Standing, StoredRows, going, merging};
use crate::state::scratch::Spill;

/// The key group of a row that was let go of, and the place of one that is nowhere.
const GONE: u32 = u32::MAX;

/// What is known of rows besides their columns.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) groups: Vec<u32>,
    pub(super) times: Vec<i64>,
    pub(super) numbers: Vec<i64>,
    pub(super) matched: Vec<bool>,
}

impl Facts {
    /// Those of some rows.
    pub(super) fn of(&self, rows: &[u32]) -> Facts {
        fn pick<T: Copy>(from: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|row| from[*row as usize]).collect()
        }
        Facts {
            groups: pick(&self.groups, rows),
            times: pick(&self.times, rows),
            numbers: pick(&self.numbers, rows),
            matched: pick(&self.matched, rows),
        }
    }

    fn extend(&mut self, more: Facts) {
        self.groups.extend(more.groups);
        self.times.extend(more.times);
        self.numbers.extend(more.numbers);
        self.matched.extend(more.matched);
    }

    /// Whether a row is needed still.
    fn counts(&self, row: usize, plan: &SidePlan) -> bool {
        self.groups[row] != GONE && !(plan.once && self.matched[row])
    }
}

/// Rows that came together, or were made one.
pub(super) struct Kept {
    pub(super) rows: StoredRows,
    pub(super) facts: Facts,
    /// How many rows count.
    live: usize,
    /// About how many bytes each has.
    pub(super) row_bytes: usize,
    /// In no changelog yet.
    pub(super) is_new: bool,
}

impl Kept {
    pub(super) fn new(rows: StoredRows, facts: Facts, is_new: bool, plan: &SidePlan) -> Kept {
        let live = (0..facts.groups.len()).filter(|row| facts.counts(*row, plan)).count();
        Kept { row_bytes: rows.row_bytes(), rows, facts, live, is_new }
    }

    fn standing(&self) -> Standing {
        let is_sparse = self.rows.is_sparse(self.live, self.facts.groups.len());
        let on_disk = self.rows.is_on_disk();
        Standing { is_new: self.is_new, on_disk, counting: self.live, is_sparse }
    }

    /// Notes that a row has found a match; whether it is its first.
    pub(super) fn was_matched(&mut self, row: usize, plan: &SidePlan) -> bool {
        let counted = self.facts.counts(row, plan);
        let is_first = !std::mem::replace(&mut self.facts.matched[row], true);
        self.live -= usize::from(counted && !self.facts.counts(row, plan));
        is_first
    }

    /// The rows that are there and have found no match.
    pub(super) fn unmatched(&self) -> impl Iterator<Item = usize> + '_ {
        let Facts { groups, matched, .. } = &self.facts;
        (0..groups.len()).filter(|row| groups[*row] != GONE && !matched[*row])
    }

    /// Gives the rows that are needed, some at a time, with their facts.
    pub(super) fn each(
        &self,
        plan: &SidePlan,
        wanted: impl Fn(u32) -> bool,
        mut give: impl FnMut(Facts, &RecordBatch) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let is_wanted = |row| self.facts.counts(row, plan) && wanted(self.facts.groups[row]);
        self.rows.each(is_wanted, |numbers, rows| give(self.facts.of(numbers), rows))
    }
}

/// A row in the index of its bucket: time, batch and row.
type Entry = (EventTime, u32, u32);

/// Where the rows of a batch that was made one with others have gone.
struct Gone {
    to: usize,
    rows: Vec<u32>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) batches: Vec<Kept>,
    /// How many rows each key group has here, or had before they found their match.
    pub(super) counts: BTreeMap<u32, usize>,
    /// By key group and key.
    index: HashMap<Box<[u8]>, Vec<Entry>>,
}

impl Bucket {
    /// Adds rows, which are in memory, those without a null in their key to the index.
    pub(super) fn add(
        &mut self,
        rows: RecordBatch,
        facts: Facts,
        is_new: bool,
        plan: &SidePlan,
    ) -> Result<(), StageError> {
        if plan.is_looked_up {
            self.add_to_index(&rows, &facts, plan)?;
        }
        for run in facts.groups.chunk_by(|a, b| a == b) {
            *self.counts.entry(run[0]).or_default() += run.len();
        }
        self.batches.push(Kept::new(StoredRows::Memory(rows), facts, is_new, plan));
        Ok(())
    }

    fn add_to_index(&mut self, rows: &RecordBatch, facts: &Facts, plan: &SidePlan) -> Result<(), StageError> {
        let batch = self.batches.len() as u32;
        let keys = keys(plan, rows, &facts.groups)?;
        let keys = RowKeys::new(&keys);
        let mut key = Vec::new();
        for (row, time) in facts.times.iter().enumerate().filter(|(row, _)| !keys.any_null(*row)) {
            keys.write(row, &mut key);
            let place = (*time, batch, row as u32);
            match self.index.get_mut(key.as_slice()) {
                Some(places) => places.push(place),
                None => drop(self.index.insert(key.as_slice().into(), vec![place])),
            }
        }
        Ok(())
    }

    /// Gives batch and row of each row of a key whose time is in a range and that is needed.
    pub(super) fn find(
        &mut self,
        key: &[u8],
        (from, to): (EventTime, EventTime),
        plan: &SidePlan,
        mut give: impl FnMut(u32, u32),
    ) {
        let Bucket { batches, index, .. } = self;
        let Some(places) = index.get_mut(key) else { return };
        if plan.once {
            // Each is passed over once.
            places.retain(|(_, batch, row)| !batches[*batch as usize].facts.matched[*row as usize]);
        }
        for (time, batch, row) in places {
            if (from..=to).contains(time) {
                give(*batch, *row);
            }
        }
    }

    /// Whether a row of a key has its time in a range.
    pub(super) fn has(&self, key: &[u8], (from, to): (EventTime, EventTime)) -> bool {
        let places = self.index.get(key);
        places.is_some_and(|places| places.iter().any(|(time, ..)| (from..=to).contains(time)))
    }

    /// How many rows there are, or were before they found their match.
    pub(super) fn rows(&self) -> usize {
        self.counts.values().sum()
    }

    /// Lets go of key groups: their rows count no more. Places stay.
    pub(super) fn let_go(&mut self, plan: &SidePlan, is_gone: impl Fn(u32) -> bool) {
        for kept in &mut self.batches {
            let (mut any, before) = (false, kept.live);
            for row in 0..kept.facts.groups.len() {
                let group = kept.facts.groups[row];
                if group != GONE && is_gone(group) {
                    kept.live -= usize::from(kept.facts.counts(row, plan));
                    kept.facts.groups[row] = GONE;
                    any = true;
                }
            }
            if any && kept.live < before {
                kept.rows.let_go(|row| kept.facts.counts(row, plan));
            }
        }
        self.counts.retain(|group, _| !is_gone(*group));
        let Bucket { batches, index, .. } = self;
        index.retain(|_, places| {
            places.retain(|(_, batch, row)| batches[*batch as usize].facts.groups[*row as usize] != GONE);
            !places.is_empty()
        });
    }

    /// Makes batches fewer where there are many, each row copied as often as its batch doubles, and writes those anew of which
    /// little counts. Whether places have changed.
    pub(super) fn tidy(&mut self, plan: &SidePlan) -> Result<bool, StageError> {
        let sets = merging(self.batches.iter().map(Kept::standing).enumerate());
        self.merge(plan, sets.into_iter().map(|merging| merging.set).collect())
    }

    /// Makes one of the batches of each set, which lie in one place, with what counts of them. Whether places have changed.
    fn merge(&mut self, plan: &SidePlan, sets: Vec<Vec<usize>>) -> Result<bool, StageError> {
        let mut gone: Vec<Option<Gone>> = self.batches.iter().map(|_| None).collect();
        let mut made = Vec::new();
        for set in sets.into_iter().filter(|set| !set.is_empty()) {
            let compacted = set.iter().map(|at| {
                let Kept { rows, facts, .. } = &self.batches[*at];
                rows.compacted(|row| facts.counts(row, plan))
            });
            let compacted: Vec<(StoredRows, Vec<u32>)> = match compacted.collect() {
                // A scratch without room: another time, and blocks of which nothing counts make some. One that cannot be read is told
                // by who needs its rows.
                Err(StageError::Scratch(_)) => {
                    for at in set {
                        let Kept { rows, facts, .. } = &mut self.batches[at];
                        rows.let_go(|row| facts.counts(row, plan));
                    }
                    continue;
                }
                compacted => compacted?,
            };
            let (mut facts, mut parts) = (Facts::default(), Vec::new());
            for (at, (rows, numbers)) in set.iter().zip(compacted) {
                let of = &self.batches[*at].facts;
                let mut places = vec![GONE; of.groups.len()];
                for (number, to) in numbers.iter().zip(facts.groups.len() as u32..) {
                    places[*number as usize] = to;
                }
                facts.extend(of.of(&numbers));
                gone[*at] = Some(Gone { to: made.len(), rows: places });
                parts.push(rows);
            }
            let rows = StoredRows::together(&plan.schema, parts)?;
            made.push(Kept::new(rows, facts, self.batches[set[0]].is_new, plan));
        }
        if made.is_empty() {
            return Ok(false);
        }
        let mut stay = vec![GONE; gone.len()];
        for (at, kept) in std::mem::take(&mut self.batches).into_iter().enumerate() {
            if gone[at].is_none() {
                stay[at] = self.batches.len() as u32;
                self.batches.push(kept);
            }
        }
        let mut made_at = Vec::with_capacity(made.len());
        for kept in made {
            let is_empty = kept.facts.groups.is_empty();
            made_at.push(if is_empty { GONE } else { self.batches.len() as u32 });
            self.batches.extend((!is_empty).then_some(kept));
        }
        self.index.retain(|_, places| {
            places.retain_mut(|(_, batch, row)| match &gone[*batch as usize] {
                None => {
                    *batch = stay[*batch as usize];
                    true
                }
                Some(Gone { to, rows }) => {
                    (*batch, *row) = (made_at[*to], rows[*row as usize]);
                    *row != GONE
                }
            });
            !places.is_empty()
        });
        Ok(true)
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free: large batches first. Small ones are made one
    /// for it, so places change.
    pub(super) fn spill(
        &mut self,
        plan: &SidePlan,
        spill: &Spill,
        bytes: &mut usize,
    ) -> Result<(), StageError> {
        let can_go = |kept: &Kept| !kept.is_new && !kept.rows.is_on_disk();
        let batches = self.batches.iter().enumerate().filter(|(_, kept)| can_go(kept));
        let (large, small) = going(batches.map(|(at, kept)| (kept.rows.size(), at)), spill, *bytes);
        for at in large {
            if *bytes == 0 {
                return Ok(());
            }
            *bytes = bytes.saturating_sub(self.batches[at].rows.spill(spill)?);
        }
        if self.merge(plan, vec![small])?
            && let Some(made) = self.batches.last_mut().filter(|kept| can_go(kept))
        {
            *bytes = bytes.saturating_sub(made.rows.spill(spill)?);
        }
        Ok(())
    }

    /// Bytes in the scratch.
    pub(super) fn disk_size(&self) -> u64 {
        self.batches.iter().map(|kept| kept.rows.disk_size()).sum()
    }

    /// Bytes in memory, about.
    pub(super) fn size(&self) -> usize {
        let of = |kept: &Kept| kept.rows.size() + kept.facts.groups.len() * 21;
        let rows: usize = self.batches.iter().map(of).sum();
        rows + self.index.len() * 64 + self.rows() * 16
    }
}
