//! Rows that are sent again: which groups have changed since they were sent, and which windows send them with a commit. Two rules
//! say so, alone or together: windows that have fired and not closed send (`late: then: update`), and windows that have not fired
//! (`emit: on_update`, `early`). Never enters: what the rows are, which `windowed` sums up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arrow::array::{ArrayRef, RecordBatch};
use millstream_model::{EventTime, LateRule, Watermark, Window, Windows};

use super::aggregate::AggregatePlan;
use super::pane::Groups;
use super::windowed::PaneKey;
use crate::error::StageError;

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
        self.note_columns(plan, pane, &plan.group_columns(rows))
    }

    /// Notes groups by their columns.
    pub(crate) fn note_columns(
        &mut self,
        plan: &AggregatePlan,
        pane: i64,
        columns: &[ArrayRef],
    ) -> Result<(), StageError> {
        let groups = match self.0.entry(pane) {
            Entry::Occupied(groups) => groups.into_mut(),
            Entry::Vacant(place) => place.insert(Groups::new(plan)?),
        };
        groups.add(columns)
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
