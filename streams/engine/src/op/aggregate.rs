//! What an aggregation computes, however it groups time: keys, aggregates, state rows and output columns. The rest is in
//! `windowed` and `session`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion_common::Result as DataFusionResult;
use datafusion_expr::GroupsAccumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use millstream_model::{EventTime, LateRule};

use super::again::Updates;
use super::as_of::Versions;
use super::chunk::Chunk;
use super::grouping::{Bound, GroupingSets};
use super::interval::Side;
use super::pane::Fired;
use super::row_key::check_type;
use super::rows::WindowRows;
use super::session::SessionAggregate;
use super::windowed::WindowAggregate;
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// Columns of a state row before the keys: key group and pane.
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
    pub(crate) late: LateRule,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The sets of keys that rows are grouped by, where there are several.
    pub(crate) sets: Arc<GroupingSets>,
    pub(crate) aggregates: Vec<AggregateColumn>,
    /// Aggregates of the operator's own, behind those of the query: they are in state rows and in no output.
    pub(crate) hidden: Vec<AggregateColumn>,
    /// Key group and keys, and behind them the number of the set and the operator's own key columns.
    pub(crate) group_schema: SchemaRef,
    /// Key group, pane, the rest of the group schema, and the state of each aggregate.
    pub(crate) state_schema: SchemaRef,
    pub(crate) output: Vec<OutputColumn>,
    pub(crate) schema: SchemaRef,
    pub(crate) key_groups: u32,
    /// The columns of state rows that a group's place in a run goes by.
    pub(crate) placed_by: Vec<usize>,
}

impl AggregatePlan {
    /// Places groups by these columns of state rows, as far as their types can be written as bytes: by the others less evenly.
    pub(crate) fn place_by(&mut self, columns: Vec<usize>) {
        let fields = self.state_schema.fields();
        self.placed_by = columns.into_iter().filter(|at| check_type(&fields[*at]).is_ok()).collect();
    }

    /// Where the accumulators' state begins in state rows.
    pub(crate) fn state_from(&self) -> usize {
        KEY_COLUMNS + self.group_schema.fields().len() - 1
    }

    /// The columns of state rows that name the group.
    pub(crate) fn group_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        let keys = &rows.columns()[KEY_COLUMNS..self.state_from()];
        std::iter::once(rows.column(0)).chain(keys).map(Arc::clone).collect()
    }

    /// The aggregates, the operator's own last.
    pub(crate) fn all_aggregates(&self) -> impl Iterator<Item = &AggregateColumn> {
        self.aggregates.iter().chain(&self.hidden)
    }

    /// What the query's keys and aggregates are computed from, for every row.
    pub(crate) fn values(&self, chunk: &Chunk) -> Result<Values, StageError> {
        let value = |e: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef, StageError> {
            Ok(e.evaluate(&chunk.batch)?.into_array(chunk.rows())?)
        };
        let mut groups: Vec<ArrayRef> = vec![Arc::new(chunk.groups.clone())];
        for key in &self.keys {
            groups.push(value(key)?);
        }
        let mut arguments = Vec::with_capacity(self.aggregates.len());
        for aggregate in &self.aggregates {
            let values: Result<Vec<ArrayRef>, StageError> = aggregate.arguments.iter().map(value).collect();
            let filter = match &aggregate.filter {
                Some(filter) => Some(value(filter)?.as_boolean().clone()),
                None => None,
            };
            arguments.push((values?, filter));
        }
        Ok(Values { groups, sets: Arc::clone(&self.sets), arguments })
    }

    /// The query's columns of a result, given each row's window.
    pub(crate) fn output(
        &self,
        results: Fired,
        starts: Vec<EventTime>,
        ends: Vec<EventTime>,
    ) -> Result<Chunk, StageError> {
        let instants = |at: Vec<EventTime>| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from(at).with_timezone("UTC"))
        };
        let (starts, ends) = (instants(starts), instants(ends));
        let bound = |bound, at: &ArrayRef| self.sets.bound(bound, Arc::clone(at), &results.keys);
        let columns = self.output.iter().map(|column| match column {
            OutputColumn::WindowStart => bound(Bound::Start, &starts),
            OutputColumn::WindowEnd => bound(Bound::End, &ends),
            OutputColumn::Key(i) => Ok(Arc::clone(&results.keys[*i])),
            OutputColumn::Aggregate(i) => Ok(Arc::clone(&results.values[*i])),
        });
        let columns: DataFusionResult<Vec<ArrayRef>> = columns.collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns?)?;
        Ok(Chunk::made(batch, results.groups))
    }
}

/// Rows as accumulators take them.
pub(crate) struct Values {
    /// The key group and the keys, and behind them the operator's own key columns.
    pub(crate) groups: Vec<ArrayRef>,
    /// By which of the keys rows are grouped.
    sets: Arc<GroupingSets>,
    /// Each aggregate's arguments, and which rows it takes.
    pub(crate) arguments: Vec<(Vec<ArrayRef>, Option<BooleanArray>)>,
}

impl Values {
    fn map(&self, part: impl Fn(&dyn Array) -> Result<ArrayRef, StageError>) -> Result<Values, StageError> {
        let parts = |columns: &[ArrayRef]| columns.iter().map(|c| part(c)).collect::<Result<Vec<_>, _>>();
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for (values, filter) in &self.arguments {
            let filter = match filter {
                Some(filter) => Some(part(filter)?.as_boolean().clone()),
                None => None,
            };
            arguments.push((parts(values)?, filter));
        }
        Ok(Values { groups: parts(&self.groups)?, sets: Arc::clone(&self.sets), arguments })
    }

    /// The columns that name the rows' groups, once for each set of keys: a row is in one group of each.
    pub(crate) fn by_set(&self) -> Result<Vec<Vec<ArrayRef>>, StageError> {
        Ok(self.sets.groups_of(&self.groups)?)
    }

    /// The rows at these places, in this order.
    pub(crate) fn take(&self, rows: &UInt32Array) -> Result<Values, StageError> {
        self.map(|column| Ok(take(column, rows, None)?))
    }

    /// Gives the rows of each pane, whose number each row has in `panes`.
    pub(crate) fn by_pane(
        self,
        panes: &[i64],
        mut give: impl FnMut(i64, Values) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let Some(first) = panes.first() else { return Ok(()) };
        if panes.iter().all(|pane| pane == first) {
            return give(*first, self);
        }
        // Rows of several panes: brought into the order of their panes once, then cut without copying.
        let mut order: Vec<u32> = (0..panes.len() as u32).collect();
        order.sort_by_key(|row| panes[*row as usize]);
        let order = UInt32Array::from(order);
        let sorted = self.take(&order)?;
        let mut from = 0;
        for run in order.values().chunk_by(|a, b| panes[*a as usize] == panes[*b as usize]) {
            give(panes[run[0] as usize], sorted.map(|column| Ok(column.slice(from, run.len())))?)?;
            from += run.len();
        }
        Ok(())
    }
}

/// A query's aggregation, by how it groups time.
pub(crate) enum Aggregation {
    Windows(WindowAggregate),
    Sessions(SessionAggregate),
    /// Nothing is computed: rows are kept as they are.
    Rows(WindowRows),
    /// Nothing is computed, and nothing waits: rows are kept for those of another stream that are near them in time.
    Near(Side),
    /// Nothing is computed: what was said last of each key is kept for rows of another stream that ask for it.
    Versions(Box<Versions>),
}

/// What is kept for another stream is looked at together with it: `interval` does that.
fn unfit(what: &str) -> StageError {
    StageError::Unsupported {
        operator: "join".to_owned(),
        what: format!("one side of a join {what} as windows are; this is a fault of the engine"),
    }
}

/// Each of these does what the function of its name in `windowed` and `session` says.
impl Aggregation {
    /// What it computes; nothing where rows are kept as they are.
    pub(crate) fn plan(&self) -> Option<&AggregatePlan> {
        match self {
            Aggregation::Windows(windows) => Some(&windows.plan),
            Aggregation::Sessions(sessions) => Some(&sessions.plan),
            Aggregation::Rows(_) | Aggregation::Near(_) | Aggregation::Versions(_) => None,
        }
    }

    pub(crate) fn late(&self) -> &LateRule {
        match self {
            Aggregation::Windows(windows) => &windows.plan.late,
            Aggregation::Sessions(sessions) => &sessions.plan.late,
            Aggregation::Rows(rows) => &rows.plan.late,
            Aggregation::Near(side) => &side.plan.late,
            Aggregation::Versions(versions) => &versions.plan.late,
        }
    }

    pub(crate) fn state_schema(&self) -> &SchemaRef {
        match self {
            Aggregation::Windows(windows) => &windows.plan.state_schema,
            Aggregation::Sessions(sessions) => &sessions.plan.state_schema,
            Aggregation::Rows(rows) => &rows.plan.state_schema,
            Aggregation::Near(side) => &side.plan.state_schema,
            Aggregation::Versions(versions) => &versions.plan.state_schema,
        }
    }

    pub(crate) fn update(&mut self, chunk: &Chunk, late: &mut Vec<u32>) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.update(chunk),
            Aggregation::Rows(rows) => rows.update(chunk),
            Aggregation::Near(_) | Aggregation::Versions(_) => Err(unfit("is added to")),
            Aggregation::Sessions(sessions) => sessions.update(chunk, late),
        }
    }

    pub(crate) fn fire(
        &mut self,
        before: &[i64],
        watermarks: &[i64],
        fired_at: &mut [i64],
        updates: Updates,
    ) -> Result<Vec<Chunk>, StageError> {
        match self {
            Aggregation::Windows(windows) => windows.fire(before, watermarks, fired_at, updates),
            Aggregation::Sessions(sessions) => sessions.fire(watermarks, fired_at),
            Aggregation::Rows(rows) => rows.fire(before, watermarks, fired_at),
            Aggregation::Near(_) | Aggregation::Versions(_) => Err(unfit("fires")),
        }
    }

    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        match self {
            Aggregation::Windows(windows) => windows.delta(),
            Aggregation::Sessions(sessions) => sessions.delta(),
            Aggregation::Rows(rows) => rows.delta(),
            Aggregation::Near(side) => side.delta(),
            Aggregation::Versions(versions) => versions.delta(),
        }
    }

    pub(crate) fn all(&mut self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        match self {
            Aggregation::Windows(windows) => windows.all(wanted),
            Aggregation::Sessions(sessions) => sessions.all(wanted),
            Aggregation::Rows(rows) => rows.all(wanted),
            Aggregation::Near(side) => side.all(wanted),
            Aggregation::Versions(versions) => versions.all(wanted),
        }
    }

    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.restore(batch, owned),
            Aggregation::Sessions(sessions) => sessions.restore(batch, owned),
            Aggregation::Rows(rows) => rows.restore(batch, owned),
            Aggregation::Near(side) => side.restore(batch, owned),
            Aggregation::Versions(versions) => versions.restore(batch, owned),
        }
    }

    pub(crate) fn finish_restore(&mut self, watermarks: &[i64], restored: &Owned) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.finish_restore(watermarks, restored),
            Aggregation::Sessions(sessions) => sessions.finish_restore(watermarks),
            Aggregation::Rows(rows) => rows.finish_restore(watermarks, restored),
            Aggregation::Near(side) => {
                side.finish_restore();
                Ok(())
            }
            // What nothing asks for any more goes with the next commit.
            Aggregation::Versions(_) => Ok(()),
        }
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        let mut each = groups.iter().map(|group| group.0);
        match self {
            Aggregation::Windows(windows) => each.try_for_each(|group| windows.forget(group)),
            Aggregation::Sessions(sessions) => each.try_for_each(|group| sessions.forget(group)),
            Aggregation::Rows(rows) => rows.forget(groups),
            Aggregation::Near(side) => side.forget(groups),
            Aggregation::Versions(versions) => versions.forget(groups),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Aggregation::Windows(windows) => windows.size(),
            Aggregation::Sessions(sessions) => sessions.size(),
            Aggregation::Rows(rows) => rows.size(),
            Aggregation::Near(side) => side.size(),
            Aggregation::Versions(versions) => versions.size(),
        }
    }

    /// What is kept for other streams, row by row, stays in memory.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.spill(spill, bytes),
            Aggregation::Sessions(sessions) => sessions.spill(spill, bytes),
            Aggregation::Rows(rows) => rows.spill(spill, bytes),
            Aggregation::Near(_) | Aggregation::Versions(_) => Ok(()),
        }
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        match self {
            Aggregation::Windows(windows) => windows.disk_size(),
            Aggregation::Sessions(sessions) => sessions.disk_size(),
            Aggregation::Rows(rows) => rows.disk_size(),
            Aggregation::Near(_) | Aggregation::Versions(_) => 0,
        }
    }

    /// Open windows, slices of them, or sessions.
    pub(crate) fn entries(&self) -> usize {
        match self {
            Aggregation::Windows(windows) => windows.entries(),
            Aggregation::Sessions(sessions) => sessions.entries(),
            Aggregation::Rows(rows) => rows.entries(),
            Aggregation::Near(side) => side.entries(),
            Aggregation::Versions(versions) => versions.entries(),
        }
    }
}
