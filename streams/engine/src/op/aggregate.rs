//! Aggregates over windows: rows are sorted into panes, and a window fires once for each key group, when that group's
//! watermark reaches the window's end plus the allowance (SM-2). Late rows have been taken out by the window step
//! before.
//!
//! A pane holds a slice of time, or the rows of one window alone. A window's result is the sum of its slices and of its
//! own pane: what came after some windows over its slice had fired, and so could not go into the slice. That a slice is
//! never added to after a window over it has fired is what makes results independent of when a commit comes (SM-3).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Int64Type, SchemaRef, UInt32Type};
use datafusion_common::Result as DataFusionResult;
use datafusion_expr::GroupsAccumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use millstream_model::{EventTime, LateRule, Watermark, Window, Windows};

use super::chunk::Chunk;
use super::pane::{Fired, Pane, members_of};
use super::slices::SliceSums;
use crate::error::StageError;
use crate::state::Owned;

/// Columns of a state row before the keys: key group and pane.
pub(crate) const KEY_COLUMNS: usize = 2;

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
    fn last_window(self, windows: Windows) -> Window {
        match self {
            PaneKey::Slice(start) => windows.last_of(start),
            PaneKey::Whole(end) => windows.ending_at(end),
        }
    }
}

/// One aggregate of a query.
pub(crate) struct AggregateColumn {
    pub(crate) function: Arc<AggregateFunctionExpr>,
    pub(crate) arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) state_columns: usize,
}

impl AggregateColumn {
    pub(crate) fn accumulator(&self) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }
}

/// Where an output column comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputColumn {
    WindowStart,
    WindowEnd,
    Key(usize),
    Aggregate(usize),
}

/// What an aggregation computes; fixed by the query.
pub(crate) struct AggregatePlan {
    pub(crate) windows: Windows,
    pub(crate) late: LateRule,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) aggregates: Vec<AggregateColumn>,
    /// Key group and keys.
    pub(crate) group_schema: SchemaRef,
    /// Key group, pane, keys, and the state of each aggregate.
    pub(crate) state_schema: SchemaRef,
    pub(crate) output: Vec<OutputColumn>,
    pub(crate) schema: SchemaRef,
    pub(crate) key_groups: u32,
}

impl AggregatePlan {
    /// The columns of state rows that name the group.
    pub(crate) fn group_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let keys = &rows.columns()[KEY_COLUMNS..KEY_COLUMNS + self.keys.len()];
        std::iter::once(rows.column(0)).chain(keys).map(Arc::clone).collect()
    }
}

/// A running aggregation.
pub(crate) struct WindowAggregate {
    pub(crate) plan: AggregatePlan,
    panes: BTreeMap<i64, Pane>,
    sums: SliceSums,
}

impl WindowAggregate {
    pub(crate) fn new(plan: AggregatePlan) -> WindowAggregate {
        WindowAggregate { plan, panes: BTreeMap::new(), sums: SliceSums::default() }
    }

    /// Adds rows to their panes.
    pub(crate) fn update(&mut self, chunk: &Chunk) -> Result<(), StageError> {
        let rows = chunk.rows();
        if rows == 0 {
            return Ok(());
        }
        let value = |e: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef, StageError> {
            Ok(e.evaluate(&chunk.batch)?.into_array(rows)?)
        };
        let mut groups: Vec<ArrayRef> = vec![Arc::new(chunk.groups.clone())];
        for key in &self.plan.keys {
            groups.push(value(key)?);
        }
        let mut arguments = Vec::with_capacity(self.plan.aggregates.len());
        for aggregate in &self.plan.aggregates {
            let values: Result<Vec<ArrayRef>, StageError> = aggregate.arguments.iter().map(value).collect();
            let filter = match &aggregate.filter {
                Some(filter) => Some(value(filter)?.as_boolean().clone()),
                None => None,
            };
            arguments.push((values?, filter));
        }
        let panes = chunk.panes.as_ref().expect("an aggregate has a window before it").values();
        let first = panes[0];
        if panes.iter().all(|pane| *pane == first) {
            return self.pane(first)?.update(&groups, &arguments);
        }
        // Rows of several panes: brought into the order of their panes once, then cut without copying.
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_by_key(|row| panes[*row as usize]);
        let sorted = UInt32Array::from(order);
        let pick = |column: &dyn Array| -> Result<ArrayRef, StageError> { Ok(take(column, &sorted, None)?) };
        let groups: Result<Vec<ArrayRef>, StageError> = groups.iter().map(|c| pick(c)).collect();
        let groups = groups?;
        let mut sorted_arguments = Vec::with_capacity(arguments.len());
        for (values, filter) in &arguments {
            let values: Result<Vec<ArrayRef>, StageError> = values.iter().map(|c| pick(c)).collect();
            let filter = match filter {
                Some(filter) => Some(pick(filter)?.as_boolean().clone()),
                None => None,
            };
            sorted_arguments.push((values?, filter));
        }
        let mut from = 0;
        while from < rows {
            let pane = panes[sorted.value(from) as usize];
            let len = sorted.values()[from..].iter().take_while(|row| panes[**row as usize] == pane).count();
            let cut: Vec<ArrayRef> = groups.iter().map(|c| c.slice(from, len)).collect();
            let arguments: Vec<(Vec<ArrayRef>, Option<BooleanArray>)> = sorted_arguments
                .iter()
                .map(|(values, filter)| {
                    let values = values.iter().map(|c| c.slice(from, len)).collect();
                    (values, filter.as_ref().map(|f| f.slice(from, len)))
                })
                .collect();
            self.pane(pane)?.update(&cut, &arguments)?;
            from += len;
        }
        Ok(())
    }

    fn pane(&mut self, key: i64) -> Result<&mut Pane, StageError> {
        use std::collections::btree_map::Entry;
        match self.panes.entry(key) {
            Entry::Occupied(pane) => Ok(pane.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Pane::new(&self.plan, key)?)),
        }
    }

    /// The key groups that have rows in some pane.
    fn members(&self) -> Vec<u32> {
        let mut members = vec![0; self.plan.key_groups.div_ceil(64) as usize];
        self.panes.values().for_each(|pane| pane.mark_members(&mut members));
        members_of(&members).collect()
    }

    /// The windows over some pane that are over for some of these key groups at these watermarks and were not at those
    /// before, by rising end.
    fn over(&self, members: &[u32], before: &[i64], watermarks: &[i64]) -> BTreeSet<Window> {
        let (late, windows) = (&self.plan.late, self.plan.windows);
        let least = members.iter().map(|group| before[*group as usize]).min();
        let most = members.iter().map(|group| watermarks[*group as usize]).max();
        let (Some(least), Some(most)) = (least, most) else { return BTreeSet::new() };
        let is_over = |window: &Window| late.fired(window.end, Watermark::from_raw(most));
        let mut over = BTreeSet::new();
        // The windows over a slice end where those over the slice before do, or later: each is looked at once.
        let mut after = least.saturating_sub(late.allow_ms);
        for raw in self.panes.keys() {
            match PaneKey::from_raw(*raw, windows) {
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

    /// The sum of a window for these key groups: of its slices, and of its own pane.
    fn sum(&mut self, window: Window, due: &[u32]) -> Result<Fired, StageError> {
        let mut sum = Pane::sum(&self.plan)?;
        self.sums.add_window(&self.plan, &mut self.panes, window, due, &mut sum)?;
        if let Some(own) = self.panes.get_mut(&PaneKey::Whole(window.end).to_raw(self.plan.windows)) {
            own.add_to(&self.plan, due, &mut sum)?;
        }
        sum.into_results()
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
        for window in self.over(&members, before, watermarks) {
            let Window { start, end } = window;
            let is_due = |group: &u32| {
                let (was, is) = (before[*group as usize], watermarks[*group as usize]);
                !self.plan.late.fired(end, Watermark::from_raw(was))
                    && self.plan.late.fired(end, Watermark::from_raw(is))
            };
            let mut due: Vec<u32> = members.iter().copied().filter(is_due).collect();
            let results = match self.plan.windows.is_tumbling() {
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
            for group in results.groups.values() {
                let at = &mut fired_at[*group as usize];
                *at = self.plan.late.fires_at(end).max(*at);
            }
            if results.groups.is_empty() {
                continue;
            }
            let rows = results.groups.len();
            let instant = |at: i64| -> ArrayRef {
                Arc::new(TimestampMillisecondArray::from(vec![at; rows]).with_timezone("UTC"))
            };
            let columns = self.plan.output.iter().map(|column| match column {
                OutputColumn::WindowStart => instant(start),
                OutputColumn::WindowEnd => instant(end),
                OutputColumn::Key(i) => Arc::clone(&results.keys[*i]),
                OutputColumn::Aggregate(i) => Arc::clone(&results.values[*i]),
            });
            let batch = RecordBatch::try_new(self.plan.schema.clone(), columns.collect())?;
            fired.push(Chunk::made(batch, results.groups));
        }
        self.forget_over(watermarks, |_| true)?;
        Ok(fired)
    }

    /// Lets go of what no window needs any more at these watermarks, of some key groups.
    fn forget_over(&mut self, watermarks: &[i64], of: impl Fn(u32) -> bool) -> Result<(), StageError> {
        for (raw, pane) in &mut self.panes {
            let last = PaneKey::from_raw(*raw, self.plan.windows).last_window(self.plan.windows);
            let over = |group: &u32| {
                of(*group) && self.plan.late.fired(last.end, Watermark::from_raw(watermarks[*group as usize]))
            };
            let gone: Vec<u32> = pane.members().filter(over).collect();
            if !gone.is_empty() {
                pane.forget(&self.plan, &gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        let late = &self.plan.late;
        self.sums.forget_over(self.plan.windows, |window, group| {
            late.fired(window.end, Watermark::from_raw(watermarks[group as usize]))
        });
        Ok(())
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
            let rows = arrow::compute::take_record_batch(batch, &UInt32Array::from(rows))?;
            self.pane(pane)?.restore(rows);
        }
        Ok(())
    }

    /// After a restore: drops windows that had fired for the restored key groups at these watermarks, whose state rows
    /// are still in the changelog.
    pub(crate) fn drop_fired(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
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

    pub(crate) fn size(&self) -> usize {
        self.panes.values().map(Pane::size).sum::<usize>() + self.sums.size()
    }

    /// Open windows, or slices of them.
    pub(crate) fn windows(&self) -> usize {
        self.panes.len()
    }
}
