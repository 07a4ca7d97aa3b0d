//! Aggregates over windows: rows are sorted into panes, and a window fires once for each key group, when that group's
//! watermark reaches the window's end plus the allowance (SM-2). Late rows have been taken out by the window step
//! before.
//!
//! A pane holds a slice of time, or the rows of one window alone. A window's result is the sum of its slices and of its
//! own pane: what came after some windows over its slice had fired, and so could not go into the slice. That a slice is
//! never added to after a window over it has fired is what makes results independent of when a commit comes (SM-3).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, UInt32Type};
use millstream_model::{EventTime, LateRule, Watermark, Window, Windows};

use super::aggregate::{AggregatePlan, KEY_COLUMNS};
use super::chunk::Chunk;
use super::pane::{Fired, Groups, Pane, Sum, members_of, results_of};
use super::run::Place;
use super::slices::{SliceSums, Slices};
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// What a pane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PaneKey {
    /// The rows of the slice that starts here.
    Slice(EventTime),
    /// Rows of the window that ends here, and of no other.
    Whole(EventTime),
}

impl PaneKey {
    /// The number that stands for it in chunks and state rows. Of tumbling windows, the start: they have slices only.
    pub(crate) fn to_raw(self, windows: Windows) -> i64 {
        match self {
            PaneKey::Slice(start) if windows.is_tumbling() => start,
            PaneKey::Slice(start) => start * 2,
            PaneKey::Whole(end) => end * 2 + 1,
        }
    }

    pub(crate) fn from_raw(raw: i64, windows: Windows) -> PaneKey {
        match raw {
            start if windows.is_tumbling() => PaneKey::Slice(start),
            slice if slice % 2 == 0 => PaneKey::Slice(slice / 2),
            whole => PaneKey::Whole(whole.div_euclid(2)),
        }
    }

    /// The last window over it.
    pub(crate) fn last_window(self, windows: Windows) -> Window {
        match self {
            PaneKey::Slice(start) => windows.last_of(start),
            PaneKey::Whole(end) => windows.ending_at(end),
        }
    }
}

/// The windows over some of these panes, which rise, that are over for some of these key groups at these watermarks and were
/// not at those before, by rising end.
pub(crate) fn windows_over(
    panes: impl Iterator<Item = i64>,
    (windows, late): (Windows, &LateRule),
    members: &[u32],
    before: &[i64],
    watermarks: &[i64],
) -> BTreeSet<Window> {
    let least = members.iter().map(|group| before[*group as usize]).min();
    let most = members.iter().map(|group| watermarks[*group as usize]).max();
    let (Some(least), Some(most)) = (least, most) else { return BTreeSet::new() };
    let is_over = |window: &Window| late.fired(window.end, Watermark::from_raw(most));
    let mut over = BTreeSet::new();
    // The windows over a slice end where those over the slice before do, or later: each is looked at once.
    let mut after = least.saturating_sub(late.allow_ms);
    for raw in panes {
        match PaneKey::from_raw(raw, windows) {
            PaneKey::Slice(start) => {
                for window in windows.of_slice(start, after).take_while(is_over) {
                    after = after.max(window.end);
                    over.insert(window);
                }
            }
            PaneKey::Whole(end) => {
                over.extend(Some(windows.ending_at(end)).filter(is_over));
            }
        }
    }
    over
}

/// Notes that groups of a pane have changed, by their state rows.
fn note(
    changed: &mut BTreeMap<i64, Groups>,
    plan: &AggregatePlan,
    pane: i64,
    rows: &RecordBatch,
) -> Result<(), StageError> {
    let groups = match changed.entry(pane) {
        Entry::Occupied(groups) => groups.into_mut(),
        Entry::Vacant(place) => place.insert(Groups::new(plan)?),
    };
    groups.add(&plan.group_columns(rows))
}

/// A running aggregation over windows.
pub(crate) struct WindowAggregate {
    pub(crate) plan: AggregatePlan,
    pub(crate) windows: Windows,
    panes: BTreeMap<i64, Pane>,
    sums: SliceSums,
    /// Of queries that send open windows: the groups that have changed since, by pane.
    changed: Option<BTreeMap<i64, Groups>>,
}

impl WindowAggregate {
    /// `notes_changes`: for [`WindowAggregate::changed`].
    pub(crate) fn new(mut plan: AggregatePlan, windows: Windows, notes_changes: bool) -> WindowAggregate {
        let changed = notes_changes.then(BTreeMap::new);
        let keys: Vec<usize> = (KEY_COLUMNS..plan.state_from()).collect();
        plan.place_by(keys);
        WindowAggregate { plan, windows, panes: BTreeMap::new(), sums: SliceSums::default(), changed }
    }

    /// Adds rows to their panes.
    pub(crate) fn update(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        let values = self.plan.values(chunk)?;
        let (plan, open) = (&self.plan, &mut self.panes);
        if self.windows.is_endless() {
            return Pane::at(open, plan, self.windows.slice_of(0))?.update(&values);
        }
        let panes = chunk.panes.as_ref().expect("an aggregate has a window before it").values();
        values.by_pane(panes, |key, values| Pane::at(open, plan, key)?.update(&values))
    }

    /// The key groups that have rows in some pane.
    fn members(&self) -> Vec<u32> {
        let mut members = vec![0; self.plan.key_groups.div_ceil(64) as usize];
        self.panes.values().for_each(|pane| pane.mark_members(&mut members));
        members_of(&members).collect()
    }

    /// The sum of a window for these key groups: of its slices, and of its own pane.
    fn sum(&mut self, window: Window, due: &[u32]) -> Result<Vec<Fired>, StageError> {
        let mut runs = Vec::new();
        let from = Slices { plan: &self.plan, windows: self.windows, panes: &mut self.panes };
        self.sums.add_window(from, window, due, &mut runs)?;
        if let Some(own) = self.panes.get_mut(&PaneKey::Whole(window.end).to_raw(self.windows)) {
            runs.extend(own.runs(&self.plan)?);
        }
        results_of(&self.plan, &runs, |group| due.binary_search(&group).is_ok())
    }

    /// The results of every window that is over for its key group at these watermarks (one for each key group) and was
    /// not at those before, by rising window. `fired_at` is raised to the watermark at which the last of them is over.
    pub(crate) fn fire(
        &mut self,
        before: &[i64],
        watermarks: &[i64],
        fired_at: &mut [i64],
    ) -> Result<Vec<Chunk>, StageError> {
        let mut fired = Vec::new();
        let members = self.members();
        let keys = self.panes.keys().copied();
        for window in windows_over(keys, (self.windows, &self.plan.late), &members, before, watermarks) {
            let Window { start, end } = window;
            let is_due = |group: &u32| {
                let at = |of: &[i64]| Watermark::from_raw(of[*group as usize]);
                self.plan.late.fires_between(end, at(before), at(watermarks))
            };
            let mut due: Vec<u32> = members.iter().copied().filter(is_due).collect();
            let results = match self.windows.is_tumbling() {
                true => {
                    let pane = self.panes.get_mut(&start).expect("a tumbling window is found by its pane");
                    due.retain(|group| pane.has_member(*group));
                    if due.is_empty() {
                        continue;
                    }
                    pane.fire(&self.plan, &due)?
                }
                false if due.is_empty() => continue,
                false => self.sum(window, &due)?,
            };
            for results in results.into_iter().filter(|results| !results.groups.is_empty()) {
                for group in results.groups.values() {
                    let at = &mut fired_at[*group as usize];
                    *at = self.plan.late.fires_at(end).max(*at);
                }
                let rows = results.groups.len();
                fired.push(self.plan.output(results, vec![start; rows], vec![end; rows])?);
            }
        }
        self.forget_over(watermarks, |_| true)?;
        Ok(fired)
    }

    /// Lets go of what no window needs any more at these watermarks, of some key groups.
    fn forget_over(&mut self, watermarks: &[i64], of: impl Fn(u32) -> bool) -> Result<(), StageError> {
        for (raw, pane) in &mut self.panes {
            let last = PaneKey::from_raw(*raw, self.windows).last_window(self.windows);
            let over = |group: &u32| {
                of(*group) && self.plan.late.fired(last.end, Watermark::from_raw(watermarks[*group as usize]))
            };
            let gone: Vec<u32> = pane.members().filter(over).collect();
            if !gone.is_empty() {
                pane.forget(&self.plan, &gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        if let Some(changed) = &mut self.changed {
            changed.retain(|key, _| self.panes.contains_key(key));
        }
        let late = &self.plan.late;
        self.sums.forget_over(self.windows, |window, group| {
            late.fired(window.end, Watermark::from_raw(watermarks[group as usize]))
        });
        Ok(())
    }

    /// The results so far of the windows that have changed since the last call and have not fired at these watermarks: of
    /// their groups that have changed. Call it when what changed has been taken as state rows.
    pub(crate) fn changed(&mut self, watermarks: &[i64]) -> Result<Vec<Chunk>, StageError> {
        let Some(changed) = &mut self.changed else { return Ok(Vec::new()) };
        let (late, windows) = (&self.plan.late, self.windows);
        let mut by_window: BTreeMap<Window, (Groups, Vec<Place>)> = BTreeMap::new();
        for (raw, groups) in std::mem::take(changed) {
            let over: Vec<Window> = match PaneKey::from_raw(raw, windows) {
                PaneKey::Slice(start) => windows.of_slice(start, EventTime::MIN).collect(),
                PaneKey::Whole(end) => vec![windows.ending_at(end)],
            };
            let columns = groups.into_columns()?;
            let at = Groups::places(&self.plan, &columns);
            for window in over {
                let (groups, places) = match by_window.entry(window) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => place.insert((Groups::new(&self.plan)?, Vec::new())),
                };
                groups.add(&columns)?;
                places.extend(&at);
            }
        }
        let mut results = Vec::new();
        for (window, (mut groups, mut places)) in by_window {
            places.sort_unstable();
            let is_open =
                |group: u32| !late.fired(window.end, Watermark::from_raw(watermarks[group as usize]));
            let mut sum = Sum::new(&self.plan)?;
            let slice = windows.slice_ms();
            let keys: Vec<PaneKey> = match windows.is_tumbling() {
                true => vec![PaneKey::Slice(windows.slice_of(window.start))],
                false => (window.start..window.end)
                    .step_by(slice as usize)
                    .map(PaneKey::Slice)
                    .chain([PaneKey::Whole(window.end)])
                    .collect(),
            };
            for key in keys {
                if let Some(pane) = self.panes.get_mut(&key.to_raw(windows)) {
                    pane.add_groups(&self.plan, (&mut groups, &places), is_open, &mut sum)?;
                }
            }
            if sum.is_empty() {
                continue;
            }
            let fired = sum.into_results()?;
            let rows = fired.groups.len();
            results.push(self.plan.output(fired, vec![window.start; rows], vec![window.end; rows])?);
        }
        Ok(results)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for (key, pane) in &mut self.panes {
            let delta = pane.delta(&self.plan)?;
            if let Some(changed) = &mut self.changed {
                delta.iter().try_for_each(|rows| note(changed, &self.plan, *key, rows))?;
            }
            rows.extend(delta);
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Every pane of these key groups, as state rows.
    pub(crate) fn all(&mut self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for pane in self.panes.values_mut() {
            rows.push(pane.all(&self.plan, wanted)?);
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Takes up state rows of the key groups that are owned here.
    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let groups = batch.column(0).as_primitive::<UInt32Type>();
        let panes = batch.column(1).as_primitive::<Int64Type>();
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for row in (0..batch.num_rows()).filter(|row| owned.has(groups.value(*row))) {
            places.entry(panes.value(row)).or_default().push(row as u32);
        }
        for (pane, rows) in places {
            let rows = arrow::compute::take_record_batch(batch, &UInt32Array::from(rows))?;
            if let Some(changed) = &mut self.changed {
                // What was sent of it by an earlier owner, nobody knows.
                note(changed, &self.plan, pane, &rows)?;
            }
            Pane::at(&mut self.panes, &self.plan, pane)?.restore(rows);
        }
        Ok(())
    }

    /// After a restore: drops windows that had fired for the restored key groups at these watermarks, whose state rows
    /// are still in the changelog.
    pub(crate) fn finish_restore(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
        self.forget_over(watermarks, |group| restored.has(group))
    }

    /// Lets go of a key group.
    pub(crate) fn forget(&mut self, group: u32) -> Result<(), StageError> {
        for pane in self.panes.values_mut() {
            if pane.members().any(|member| member == group) {
                pane.forget(&self.plan, &[group])?;
            }
        }
        self.sums.forget(group);
        self.panes.retain(|_, pane| !pane.is_empty());
        Ok(())
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free: first what is asked for last.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        self.panes.values_mut().rev().try_for_each(|pane| pane.spill(&self.plan, spill, bytes))?;
        self.sums.spill(&self.plan, spill, bytes)
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.panes.values().map(Pane::disk_size).sum::<u64>() + self.sums.disk_size()
    }

    pub(crate) fn size(&self) -> usize {
        let changed = self.changed.iter().flat_map(|changed| changed.values()).map(Groups::size);
        self.panes.values().map(Pane::size).sum::<usize>() + self.sums.size() + changed.sum::<usize>()
    }

    /// Open windows, or slices of them.
    pub(crate) fn entries(&self) -> usize {
        self.panes.len()
    }
}
