//! Aggregates over tumbling windows: rows are sorted into panes, one for each open window, and a pane fires once for
//! each key group, when that group's watermark reaches the window's end plus the allowance (SM-2). Late rows have been
//! taken out by the window step before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMillisecondType, UInt32Type};
use datafusion_common::Result as DataFusionResult;
use datafusion_expr::GroupsAccumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use millstream_model::{LateRule, Tumbling, Watermark};

use super::chunk::Chunk;
use super::pane::Pane;
use crate::error::StageError;
use crate::state::Owned;

/// Columns of a state row before the keys: key group and window start.
pub(crate) const KEY_COLUMNS: usize = 2;

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
    pub(crate) windows: Tumbling,
    pub(crate) late: LateRule,
    /// The input's `window_start` column.
    pub(crate) start: usize,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) aggregates: Vec<AggregateColumn>,
    /// Key group and keys.
    pub(crate) group_schema: SchemaRef,
    /// Key group, window start, keys, and the state of each aggregate.
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
}

impl WindowAggregate {
    pub(crate) fn new(plan: AggregatePlan) -> WindowAggregate {
        WindowAggregate { plan, panes: BTreeMap::new() }
    }

    /// Adds rows to their windows.
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
        let starts =
            chunk.batch.column(self.plan.start).as_primitive::<TimestampMillisecondType>().values().clone();
        let first = starts[0];
        if starts.iter().all(|start| *start == first) {
            return self.pane(first)?.update(&groups, &arguments);
        }
        // Rows of several windows: brought into the order of their windows once, then cut without copying.
        let mut order: Vec<u32> = (0..rows as u32).collect();
        order.sort_by_key(|row| starts[*row as usize]);
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
            let start = starts[sorted.value(from) as usize];
            let len =
                sorted.values()[from..].iter().take_while(|row| starts[**row as usize] == start).count();
            let cut: Vec<ArrayRef> = groups.iter().map(|c| c.slice(from, len)).collect();
            let arguments: Vec<(Vec<ArrayRef>, Option<BooleanArray>)> = sorted_arguments
                .iter()
                .map(|(values, filter)| {
                    let values = values.iter().map(|c| c.slice(from, len)).collect();
                    (values, filter.as_ref().map(|f| f.slice(from, len)))
                })
                .collect();
            self.pane(start)?.update(&cut, &arguments)?;
            from += len;
        }
        Ok(())
    }

    fn pane(&mut self, start: i64) -> Result<&mut Pane, StageError> {
        use std::collections::btree_map::Entry;
        match self.panes.entry(start) {
            Entry::Occupied(pane) => Ok(pane.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Pane::new(&self.plan, start)?)),
        }
    }

    /// The results of every window that is over for its key group at these watermarks (one for each key group), by
    /// rising window. `fired_at` is raised to the watermark at which the last of them is over.
    pub(crate) fn fire(
        &mut self,
        watermarks: &[i64],
        fired_at: &mut [i64],
    ) -> Result<Vec<Chunk>, StageError> {
        let mut fired = Vec::new();
        for (start, pane) in &mut self.panes {
            let end = self.plan.windows.end_of(*start);
            let over =
                |group: &u32| self.plan.late.fired(end, Watermark::from_raw(watermarks[*group as usize]));
            let due: Vec<u32> = pane.members().filter(over).collect();
            if due.is_empty() {
                continue;
            }
            for group in &due {
                let at = &mut fired_at[*group as usize];
                *at = self.plan.late.fires_at(end).max(*at);
            }
            let results = pane.fire(&self.plan, &due)?;
            let rows = results.groups.len();
            let instant = |at: i64| -> ArrayRef {
                Arc::new(TimestampMillisecondArray::from(vec![at; rows]).with_timezone("UTC"))
            };
            let columns = self.plan.output.iter().map(|column| match column {
                OutputColumn::WindowStart => instant(*start),
                OutputColumn::WindowEnd => instant(end),
                OutputColumn::Key(i) => Arc::clone(&results.keys[*i]),
                OutputColumn::Aggregate(i) => Arc::clone(&results.values[*i]),
            });
            let batch = RecordBatch::try_new(self.plan.schema.clone(), columns.collect())?;
            fired.push(Chunk::made(batch, results.groups));
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        Ok(fired)
    }

    /// What changed since the last call, as state rows.
    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        let mut rows = Vec::new();
        for pane in self.panes.values_mut() {
            rows.extend(pane.delta(&self.plan)?);
        }
        Ok(concat_batches(&self.plan.state_schema, &rows)?)
    }

    /// Every open window of these key groups, as state rows.
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
        let starts = batch.column(1).as_primitive::<Int64Type>();
        let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for row in (0..batch.num_rows()).filter(|row| owned.has(groups.value(*row))) {
            places.entry(starts.value(row)).or_default().push(row as u32);
        }
        for (start, rows) in places {
            let rows = arrow::compute::take_record_batch(batch, &UInt32Array::from(rows))?;
            self.pane(start)?.restore(rows);
        }
        Ok(())
    }

    /// After a restore: drops windows that had fired for the restored key groups at these watermarks, whose state rows
    /// are still in the changelog.
    pub(crate) fn drop_fired(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
        for (start, pane) in &mut self.panes {
            let end = self.plan.windows.end_of(*start);
            let over = |group: &u32| {
                restored.has(*group)
                    && self.plan.late.fired(end, Watermark::from_raw(watermarks[*group as usize]))
            };
            let gone: Vec<u32> = pane.members().filter(over).collect();
            if !gone.is_empty() {
                pane.forget(&self.plan, &gone)?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        Ok(())
    }

    /// Lets go of a key group.
    pub(crate) fn forget(&mut self, group: u32) -> Result<(), StageError> {
        for pane in self.panes.values_mut() {
            if pane.members().any(|member| member == group) {
                pane.forget(&self.plan, &[group])?;
            }
        }
        self.panes.retain(|_, pane| !pane.is_empty());
        Ok(())
    }

    pub(crate) fn size(&self) -> usize {
        self.panes.values().map(Pane::size).sum()
    }

    /// Open windows.
    pub(crate) fn windows(&self) -> usize {
        self.panes.len()
    }
}
