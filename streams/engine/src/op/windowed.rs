//! Aggregates over windows: rows are sorted into panes, and a window fires once for each key group, when that group's
//! watermark reaches the window's end plus the allowance (SM-2). Late rows have been taken out by the window step
//! before.
//!
//! A pane holds a slice of time, or the rows of one window alone. A window's result is the sum of its slices and of its
//! own pane: what came after some windows over its slice had closed, and so could not go into the slice. That a slice is
//! never added to after a window over it has closed is what makes results independent of when a commit comes (SM-3).
//!
//! Where results are sent again, a window fires at its end and stays until the allowance is over. Which groups of which pane
//! have changed is noted with each commit, and their rows are sent again: of windows that have fired and not closed
//! (`late: then: update`), of those that have not fired (`emit: on_update`, `early`), or of both. A window that closes sends
//! what has changed before it goes, whatever the interval (ADR 0058).

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, UInt32Type};
use millstream_model::{EventTime, LateRule, Watermark, Window, Windows};

use super::Give;
use super::again::{Again, Changed, Groups, Updates};
use super::aggregate::{AggregatePlan, KEY_COLUMNS, Values};
use super::chunk::Chunk;
use super::faults::Faults;
use super::pane::{Fired, Pane, Sum, each_result, members_of, part};
use super::run::Run;
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

/// The windows over some of these panes, which rise, that have fired for some of these key groups at these watermarks and were
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
    let has_fired = |window: &Window| late.fired(window.end, Watermark::from_raw(most));
    let mut over = BTreeSet::new();
    // The windows over a slice end where those over the slice before do, or later: each is looked at once.
    let mut after = least.saturating_sub(late.waits_ms());
    for raw in panes {
        match PaneKey::from_raw(raw, windows) {
            PaneKey::Slice(start) => {
                for window in windows.of_slice(start, after).take_while(has_fired) {
                    after = after.max(window.end);
                    over.insert(window);
                }
            }
            PaneKey::Whole(end) => {
                over.extend(Some(windows.ending_at(end)).filter(has_fired));
            }
        }
    }
    over
}

/// A running aggregation over windows.
pub(crate) struct WindowAggregate {
    pub(crate) plan: AggregatePlan,
    pub(crate) windows: Windows,
    /// Whether windows that have not fired send their rows too.
    early: bool,
    panes: BTreeMap<i64, Pane>,
    sums: SliceSums,
    /// Of queries that send rows again: the groups that have changed since they were sent, by pane.
    changed: Option<Changed>,
    /// The watermarks by which windows fired last: beyond those of the last commit where input has ended, since what is kept is
    /// how far it had come before its end.
    reached: Vec<i64>,
}

impl WindowAggregate {
    /// `early`: whether windows that have not fired send their rows too.
    pub(crate) fn new(mut plan: AggregatePlan, windows: Windows, early: bool) -> WindowAggregate {
        let changed = (early || plan.late.updates).then(Changed::default);
        let reached = vec![Watermark::NONE.to_raw(); plan.key_groups as usize];
        let (panes, sums) = (BTreeMap::new(), SliceSums::default());
        plan.place_by((KEY_COLUMNS..plan.state_from()).collect());
        WindowAggregate { plan, windows, early, panes, sums, changed, reached }
    }

    /// Adds rows to their panes.
    pub(crate) fn update(&mut self, chunk: &Chunk, values: Values) -> Result<(), StageError> {
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

    /// What sums up to a window for these key groups: its slices, and its own pane. What else is in it is of other key groups.
    fn runs(&mut self, window: Window, due: &[u32]) -> Result<Vec<Run>, StageError> {
        if self.windows.is_tumbling() {
            let pane = PaneKey::Slice(self.windows.slice_of(window.start)).to_raw(self.windows);
            return self.panes.get_mut(&pane).map_or(Ok(Vec::new()), |pane| pane.runs(&self.plan));
        }
        let mut runs = Vec::new();
        let from = Slices { plan: &self.plan, windows: self.windows, panes: &mut self.panes };
        self.sums.add_window(from, window, due, &mut runs)?;
        if let Some(own) = self.panes.get_mut(&PaneKey::Whole(window.end).to_raw(self.windows)) {
            runs.extend(own.runs(&self.plan)?);
        }
        Ok(runs)
    }

    /// Gives the results of every window that fires for its key group at these watermarks (one for each key group) and had not at
    /// those before, by rising window; and of those that send rows again, what has changed. `fired_at` is raised to the watermark
    /// at which the last of them is over, where windows do not go on after the end of bounded input.
    pub(crate) fn fire(
        &mut self,
        (before, watermarks): (&[i64], &[i64]),
        fired_at: &mut [i64],
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let before: &[i64] =
            &before.iter().zip(&self.reached).map(|(at, reached)| *at.max(reached)).collect::<Vec<_>>();
        let members = self.members();
        self.note_fresh(before, &members)?;
        let keys = self.panes.keys().copied();
        let goes_on = self.plan.late.updates;
        for window in windows_over(keys, (self.windows, &self.plan.late), &members, before, watermarks) {
            let Window { start, end } = window;
            let is_due = |group: &u32| {
                let at = |of: &[i64]| Watermark::from_raw(of[*group as usize]);
                self.plan.late.fires_between(end, at(before), at(watermarks))
            };
            let mut due: Vec<u32> = members.iter().copied().filter(is_due).collect();
            if self.windows.is_tumbling() {
                let pane = self.panes.get_mut(&start).expect("a tumbling window is found by its pane");
                due.retain(|group| pane.has_member(*group));
                if let Some(changed) = &mut self.changed
                    && pane.members().eq(due.iter().copied())
                {
                    // All that has changed is sent now.
                    changed.0.remove(&start);
                }
            }
            if due.is_empty() {
                continue;
            }
            let ends_now = self.windows.is_tumbling() && !goes_on;
            let runs = if ends_now { Vec::new() } else { self.runs(window, &due)? };
            let plan = &self.plan;
            let given = |results: Fired| -> Result<(), StageError> {
                if results.groups.is_empty() {
                    return Ok(());
                }
                if !goes_on {
                    for group in results.groups.values() {
                        let at = &mut fired_at[*group as usize];
                        *at = plan.late.fires_at(end).max(*at);
                    }
                }
                let rows = results.groups.len();
                give(plan.output(results, (vec![start; rows], vec![end; rows]), faults)?, faults)
            };
            match ends_now {
                true => self.panes.get_mut(&start).expect("as above").fire(plan, &due, given)?,
                false => each_result(plan, &runs, |group| due.binary_search(&group).is_ok(), given)?,
            }
        }
        self.again((before, watermarks), &members, updates, faults, give)?;
        self.forget_over(watermarks, |_| true)?;
        self.reached.copy_from_slice(watermarks);
        Ok(())
    }

    /// Notes the groups that rows have come for since the last commit, where some window may have sent them before.
    fn note_fresh(&mut self, before: &[i64], members: &[u32]) -> Result<(), StageError> {
        let (Some(changed), Some(most)) =
            (&mut self.changed, members.iter().map(|group| before[*group as usize]).max())
        else {
            return Ok(());
        };
        let windows = self.windows;
        for (key, pane) in &mut self.panes {
            let slice = match PaneKey::from_raw(*key, windows) {
                PaneKey::Slice(start) => Some(start),
                PaneKey::Whole(_) => None,
            };
            let first = slice.map(|start| windows.first_of(start).end);
            let has_fired = |end| self.plan.late.fired(end, Watermark::from_raw(most));
            if !self.early && first.is_some_and(|end| !has_fired(end)) {
                continue;
            }
            let rows = pane.fresh(&self.plan)?;
            rows.iter().try_for_each(|rows| changed.note(&self.plan, *key, rows))?;
            if let Some(start) = slice.filter(|_| !windows.is_tumbling()) {
                let groups =
                    rows.iter().flat_map(|rows| rows.column(0).as_primitive::<UInt32Type>().values());
                let groups: BTreeSet<u32> = groups.copied().collect();
                self.sums.touch(windows, start, &groups.into_iter().collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    /// Lets go of what no window needs any more at these watermarks, of some key groups.
    fn forget_over(&mut self, watermarks: &[i64], of: impl Fn(u32) -> bool) -> Result<(), StageError> {
        for (raw, pane) in &mut self.panes {
            let last = PaneKey::from_raw(*raw, self.windows).last_window(self.windows);
            let over = |group: &u32| {
                of(*group)
                    && self.plan.late.closed(last.end, Watermark::from_raw(watermarks[*group as usize]))
            };
            let gone: Vec<u32> = pane.members().filter(over).collect();
            if !gone.is_empty() {
                pane.forget(&self.plan, &gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        if let Some(changed) = &mut self.changed {
            changed.0.retain(|key, _| self.panes.contains_key(key));
        }
        let late = &self.plan.late;
        self.sums.forget_over(self.windows, |window, group| {
            late.closed(window.end, Watermark::from_raw(watermarks[group as usize]))
        });
        Ok(())
    }

    /// Gives the rows of groups that have changed, of the windows that send again.
    fn again(
        &mut self,
        (before, watermarks): (&[i64], &[i64]),
        members: &[u32],
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let Some(changed) = &mut self.changed else { return Ok(()) };
        let (late, early) = (self.plan.late.clone(), self.early);
        let again = Again { late: &late, early, updates, before, watermarks };
        // By window: the groups, and the key groups that send.
        let mut by_window: BTreeMap<Window, (Groups, BTreeSet<u32>)> = BTreeMap::new();
        for (raw, groups) in std::mem::take(&mut changed.0) {
            for window in again.windows(PaneKey::from_raw(raw, self.windows), self.windows, members) {
                let (all, of) = by_window.entry(window).or_default();
                all.extend(&groups);
                for run in groups.key_groups().flat_map(|of| of.chunk_by(|a, b| a == b)) {
                    of.extend(Some(run[0]).filter(|group| again.sends(window.end, *group)));
                }
            }
            if updates == Updates::Wait {
                // Windows that close send it now, those behind them later.
                changed.0.insert(raw, groups);
            }
        }
        for (window, (groups, of)) in by_window {
            let of: Vec<u32> = of.into_iter().collect();
            let fired = self.sum_groups(window, &groups, &of)?.into_results(&self.plan)?;
            let rows = fired.groups.len();
            if rows > 0 {
                let bounds = (vec![window.start; rows], vec![window.end; rows]);
                give(self.plan.output(fired, bounds, faults)?, faults)?;
            }
        }
        Ok(())
    }

    /// The sum of a window for some groups, of these key groups.
    fn sum_groups(&mut self, window: Window, groups: &Groups, of: &[u32]) -> Result<Sum, StageError> {
        if of.is_empty() {
            return Sum::new(&self.plan);
        }
        let mut sum = Sum::of(&self.plan, groups)?;
        let is_wanted = |group: u32| of.binary_search(&group).is_ok();
        let runs = self.runs(window, of)?;
        let plan = &self.plan;
        // What is in memory is looked through whole.
        let in_scratch = runs.iter().any(|run| run.spilled().is_some());
        let places = if in_scratch { groups.places(plan) } else { Vec::new() };
        for run in runs {
            run.each_at(&places, |rows| sum.merge(plan, &part(rows, is_wanted)?))?;
        }
        Ok(sum)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for pane in self.panes.values_mut() {
            rows.extend(pane.delta(&self.plan)?);
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
            let rows = match rows.len() == batch.num_rows() {
                // All of one pane, as windows that stay open for long have it.
                true => batch.clone(),
                false => arrow::compute::take_record_batch(batch, &UInt32Array::from(rows))?,
            };
            if let (Some(changed), true) = (&mut self.changed, self.early) {
                // What was sent of it by an earlier owner, nobody knows. What changes in windows that have fired goes with the
                // commit in which it does, unless an interval is kept.
                changed.note(&self.plan, pane, &rows)?;
            }
            Pane::at(&mut self.panes, &self.plan, pane)?.restore(rows);
        }
        Ok(())
    }

    /// After a restore: drops windows that had closed for the restored key groups at these watermarks, whose state rows
    /// are still in the changelog.
    pub(crate) fn finish_restore(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
        if let Some(changed) = &mut self.changed {
            changed.0.values_mut().try_for_each(|groups| groups.compact(&self.plan))?;
        }
        self.forget_over(watermarks, |group| restored.has(group))
    }

    /// For what is read and never run: which groups have changed is not kept.
    pub(crate) fn only_read(&mut self) {
        self.changed = None;
    }

    /// Makes few runs of the many that the records of a changelog were.
    pub(crate) fn settle(&mut self) -> Result<(), StageError> {
        self.panes.values_mut().try_for_each(|pane| pane.settle_runs(&self.plan))
    }

    /// What every window holds that has not closed for its key group at these watermarks, by rising window: what it would give if
    /// it were sent now. Changes nothing.
    pub(crate) fn open(
        &mut self,
        watermarks: &[i64],
        mut give: impl FnMut(Chunk) -> Result<(), StageError>,
        faults: &mut Faults,
    ) -> Result<(), StageError> {
        let members = self.members();
        let Some(least) = members.iter().map(|group| watermarks[*group as usize]).min() else {
            return Ok(());
        };
        let late = self.plan.late.clone();
        let is_open = |window: &Window, group: &u32| {
            !late.closed(window.end, Watermark::from_raw(watermarks[*group as usize]))
        };
        let after = least.saturating_sub(late.allow_ms).saturating_sub(1);
        let mut windows = BTreeSet::new();
        for raw in self.panes.keys() {
            match PaneKey::from_raw(*raw, self.windows) {
                PaneKey::Slice(start) => windows.extend(self.windows.of_slice(start, after)),
                PaneKey::Whole(end) => drop(windows.insert(self.windows.ending_at(end))),
            }
        }
        for window in windows {
            let due: Vec<u32> = members.iter().copied().filter(|group| is_open(&window, group)).collect();
            if due.is_empty() {
                continue;
            }
            let runs = self.runs(window, &due)?;
            let wanted = |group: u32| due.binary_search(&group).is_ok();
            each_result(&self.plan, &runs, wanted, |results| {
                let rows = results.groups.len();
                let bounds = (vec![window.start; rows], vec![window.end; rows]);
                if rows == 0 { Ok(()) } else { give(self.plan.output(results, bounds, faults)?) }
            })?;
        }
        // They would go stale with the next records.
        self.sums = SliceSums::default();
        Ok(())
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        for pane in self.panes.values_mut() {
            let gone: Vec<u32> = pane.members().filter(|member| groups.has(*member)).collect();
            if !gone.is_empty() {
                pane.forget(&self.plan, &gone)?;
            }
        }
        for group in groups.iter().map(|group| group.0) {
            self.sums.forget(group);
            self.reached[group as usize] = Watermark::NONE.to_raw();
        }
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
        let changed = self.changed.as_ref().map_or(0, Changed::size);
        self.panes.values().map(Pane::size).sum::<usize>() + self.sums.size() + changed
    }

    /// Open windows, or slices of them.
    pub(crate) fn entries(&self) -> usize {
        self.panes.len()
    }
}
