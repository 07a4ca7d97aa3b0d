//! Rows that are sent again: which groups have changed since they were sent, and which windows send them with a commit. Two rules
//! say so, alone or together: windows that have fired and not closed send (`late: then: update`), and windows that have not fired
//! (`emit: on_update`, `early`). Never enters: what the rows are, which `windowed` sums up.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::UInt32Type;
use millstream_model::{EventTime, LateRule, Watermark, Window, Windows};

use super::aggregate::AggregatePlan;
use super::group_index::GroupIndex;
use super::run::{Place, places};
use super::windowed::PaneKey;
use crate::error::StageError;

/// How many more entries a list of groups may have than twice what it had when each group stood there once; few in tests.
const REPEATS_MAX: usize = if cfg!(test) { 8 } else { 65_536 };

/// As how many entries a part of such a list counts at least: a small one takes some kilobytes.
const PART_ENTRIES: usize = if cfg!(test) { 1 } else { 256 };

/// Groups, by their columns; some more than once.
#[derive(Clone, Default)]
pub(crate) struct Groups {
    parts: Vec<Vec<ArrayRef>>,
    rows: usize,
    /// The same, as far as they take memory.
    weight: usize,
    /// How many they were when each was there once.
    once: usize,
}

impl Groups {
    /// Adds groups; when there are many, each is left once.
    pub(crate) fn add(&mut self, plan: &AggregatePlan, columns: Vec<ArrayRef>) -> Result<(), StageError> {
        self.rows += columns[0].len();
        self.weight += columns[0].len().max(PART_ENTRIES);
        self.parts.push(columns);
        if self.weight > 2 * self.once + REPEATS_MAX { self.compact(plan) } else { Ok(()) }
    }

    /// Leaves each group once, in memory of its own: the columns of a record of a changelog keep all of it.
    pub(crate) fn compact(&mut self, plan: &AggregatePlan) -> Result<(), StageError> {
        if self.parts.len() < 2 && self.rows == self.once {
            return Ok(());
        }
        let mut index = GroupIndex::new(&plan.group_schema);
        let mut numbers = Vec::new();
        self.parts.iter().try_for_each(|columns| index.intern(columns, &mut numbers))?;
        self.rows = index.len();
        self.weight = self.rows;
        (self.parts, self.once) = (vec![index.take(0)?], self.rows);
        Ok(())
    }

    /// Adds those of others.
    pub(crate) fn extend(&mut self, others: &Groups) {
        self.parts.extend(others.parts.iter().cloned());
        self.rows += others.rows;
        self.weight += others.weight;
    }

    /// How many they are, repeats too.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Their columns.
    pub(crate) fn parts(&self) -> &[Vec<ArrayRef>] {
        &self.parts
    }

    /// The key group of each.
    pub(crate) fn key_groups(&self) -> impl Iterator<Item = &[u32]> {
        self.parts.iter().map(|columns| &columns[0].as_primitive::<UInt32Type>().values()[..])
    }

    /// Their places, rising.
    pub(crate) fn places(&self, plan: &AggregatePlan) -> Vec<Place> {
        let mut all = Vec::with_capacity(self.rows);
        for columns in &self.parts {
            // State rows have the pane behind the key group.
            let keys: Vec<ArrayRef> = plan.placed_by.iter().map(|at| columns[at - 1].clone()).collect();
            all.extend(places(columns[0].as_primitive::<UInt32Type>(), &keys));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Bytes in memory, about; state rows may share them.
    pub(crate) fn size(&self) -> usize {
        self.parts.iter().flatten().map(|column| column.get_array_memory_size()).sum()
    }
}

/// The groups that have changed since they were sent, by pane.
#[derive(Default)]
pub(crate) struct Changed(pub(crate) BTreeMap<i64, Groups>);

impl Changed {
    /// Notes the groups of state rows of a pane.
    pub(crate) fn note(
        &mut self,
        plan: &AggregatePlan,
        pane: i64,
        rows: &RecordBatch,
    ) -> Result<(), StageError> {
        self.0.entry(pane).or_default().add(plan, plan.group_columns(rows))
    }

    pub(crate) fn size(&self) -> usize {
        self.0.values().map(Groups::size).sum()
    }
}

/// Whether rows that have changed are sent with this commit, or wait for a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    Due,
    Wait,
}

/// Which windows send the rows of a commit again, by how far a key group had come before it and has come now.
pub(crate) struct Again<'a> {
    pub(crate) late: &'a LateRule,
    /// Whether windows that have not fired send.
    pub(crate) early: bool,
    pub(crate) updates: Updates,
    pub(crate) before: &'a [i64],
    pub(crate) watermarks: &'a [i64],
}

impl Again<'_> {
    /// Whether a window that ends at `end` sends what has changed of a key group. One that fires with this commit sends all.
    pub(crate) fn sends(&self, end: EventTime, group: u32) -> bool {
        let before = Watermark::from_raw(self.before[group as usize]);
        let now = Watermark::from_raw(self.watermarks[group as usize]);
        let due = self.updates == Updates::Due;
        match self.late.fired(end, before) {
            true => !self.late.closed(end, before) && (due || self.late.closed(end, now)),
            false => self.early && due && !self.late.fired(end, now),
        }
    }

    /// The windows over a pane of which some may send for these key groups.
    pub(crate) fn windows(&self, pane: PaneKey, windows: Windows, members: &[u32]) -> Vec<Window> {
        // At the end of bounded input nothing closes that is sent again.
        let marks = |of: &[i64]| -> Vec<i64> {
            members
                .iter()
                .map(|group| of[*group as usize])
                .filter(|at| *at != Watermark::END.to_raw())
                .collect()
        };
        let (before, now) = (marks(self.before), marks(self.watermarks));
        let any_ended = before.len() < members.len();
        let after = match before.iter().min() {
            Some(least) if !any_ended => least.saturating_sub(self.late.allow_ms),
            _ => EventTime::MIN,
        };
        let may = |window: &Window| match self.updates {
            Updates::Due if self.early || any_ended => true,
            Updates::Due => before
                .iter()
                .max()
                .is_some_and(|most| self.late.fired(window.end, Watermark::from_raw(*most))),
            Updates::Wait => {
                now.iter().max().is_some_and(|most| self.late.closed(window.end, Watermark::from_raw(*most)))
            }
        };
        match pane {
            PaneKey::Slice(start) => windows.of_slice(start, after).take_while(may).collect(),
            PaneKey::Whole(end) => Some(windows.ending_at(end)).filter(may).into_iter().collect(),
        }
    }
}
