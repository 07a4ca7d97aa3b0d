//! What an aggregation computes, however it groups time: keys, aggregates, state rows and output columns. The rest is in
//! `windowed` and `session`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{not, take};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_common::Result as DataFusionResult;
use datafusion_expr::GroupsAccumulator;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use millstream_model::{EventTime, LateRule};

use super::Give;
use super::again::Updates;
use super::as_of::Versions;
use super::chunk::Chunk;
use super::divide::Divide;
use super::faults::{Faults, tell};
use super::gone;
use super::grouping::{Bound, GroupingSets};
use super::interval::Side;
use super::join::evaluate;
use super::latest::LatestGroups;
use super::over_time::OverTime;
use super::pane::Fired;
use super::row_key::check_type;
use super::rows::WindowRows;
use super::session::SessionAggregate;
use super::sum;
use super::update_join::UpdateSide;
use super::windowed::WindowAggregate;
use crate::error::StageError;
use crate::state::Owned;
use crate::state::scratch::Spill;

/// Columns of a state row before the keys: key group and pane.
pub(crate) const KEY_COLUMNS: usize = 2;

/// One aggregate of a query.
#[derive(Clone)]
pub(crate) struct AggregateColumn {
    pub(crate) function: Arc<AggregateFunctionExpr>,
    pub(crate) arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) state_columns: usize,
}

impl AggregateColumn {
    pub(crate) fn accumulator(&self) -> DataFusionResult<Box<dyn GroupsAccumulator>> {
        if let Some(sum) = sum::accumulator(&self.function) {
            return Ok(sum);
        }
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }

    /// The type of its results.
    pub(crate) fn kind(&self) -> DataType {
        self.function.field().data_type().clone()
    }

    /// Whether it may have no result although it took every row: an average with more digits than its type holds.
    pub(crate) fn may_fail(&self) -> bool {
        self.function.fun().name() == "avg"
            && matches!(self.kind(), DataType::Decimal128(38, _) | DataType::Decimal256(..))
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
#[derive(Clone)]
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
            let values = e.evaluate(&chunk.batch).and_then(|values| values.into_array(chunk.rows()));
            values.map_err(|error| StageError::from(error).computing(|| e.to_string()))
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

    /// The query's columns of a result, given each row's window. Groups that have none are put among the faults, and are rows that are
    /// gone.
    pub(crate) fn output(
        &self,
        mut results: Fired,
        (starts, ends): (Vec<EventTime>, Vec<EventTime>),
        faults: &mut Faults,
    ) -> Result<Chunk, StageError> {
        let unfit = std::mem::take(&mut results.unfit);
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
        if unfit.is_empty() {
            let batch = RecordBatch::try_new(self.schema.clone(), columns?)?;
            return Ok(Chunk::made(batch, results.groups));
        }
        // A result that is missing is null, whatever the schema says.
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let with_nulls = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let all = RecordBatch::try_new(with_nulls, columns?)?;
        let keep = tell(&all, unfit, faults);
        let columns = all.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            if field.is_nullable() || column.null_count() == 0 {
                return Ok(Arc::clone(column));
            }
            Ok(zip(&keep, column, &gone::blank(field, column.len())?)?)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, StageError>>()?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(Chunk { gone: Some(not(&keep)?), ..Chunk::made(batch, results.groups) })
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
    /// Of rows that take the place of earlier ones.
    Latest(Box<LatestGroups>),
    /// Functions over the rows of a key, in the order of their times.
    Over(Box<OverTime>),
    /// Nothing is computed: of rows that take the place of earlier ones the latest are kept, for those of another stream.
    Updating(Box<UpdateSide>),
    /// Nothing is computed: where rows lie that take the place of each other.
    Divide(Box<Divide>),
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
            Aggregation::Latest(latest) => Some(&latest.plan),
            Aggregation::Rows(_)
            | Aggregation::Near(_)
            | Aggregation::Versions(_)
            | Aggregation::Over(_)
            | Aggregation::Divide(_)
            | Aggregation::Updating(_) => None,
        }
    }

    pub(crate) fn late(&self) -> &LateRule {
        match self {
            Aggregation::Windows(windows) => &windows.plan.late,
            Aggregation::Sessions(sessions) => &sessions.plan.late,
            Aggregation::Rows(rows) => &rows.plan.late,
            Aggregation::Near(side) => &side.plan.late,
            Aggregation::Versions(versions) => &versions.plan.late,
            Aggregation::Latest(latest) => &latest.plan.late,
            Aggregation::Over(over) => &over.plan.late,
            Aggregation::Updating(side) => &side.plan.late,
            Aggregation::Divide(divide) => &divide.late,
        }
    }

    pub(crate) fn state_schema(&self) -> &SchemaRef {
        match self {
            Aggregation::Windows(windows) => &windows.plan.state_schema,
            Aggregation::Sessions(sessions) => &sessions.plan.state_schema,
            Aggregation::Rows(rows) => &rows.plan.state_schema,
            Aggregation::Near(side) => &side.plan.state_schema,
            Aggregation::Versions(versions) => &versions.plan.state_schema,
            Aggregation::Latest(latest) => &latest.state_schema,
            Aggregation::Over(over) => over.state_schema(),
            Aggregation::Updating(side) => &side.plan.state_schema,
            Aggregation::Divide(divide) => &divide.state_schema,
        }
    }

    /// Everything that is computed for rows before they are added; nothing fails for them afterwards.
    pub(crate) fn prepare(&self, chunk: &Chunk) -> Result<Option<Values>, StageError> {
        match self {
            _ if chunk.rows() == 0 => Ok(None),
            Aggregation::Windows(windows) => windows.plan.values(chunk).map(Some),
            Aggregation::Sessions(sessions) => sessions.plan.values(chunk).map(Some),
            Aggregation::Rows(_) => Ok(None),
            Aggregation::Near(side) => evaluate(&side.plan.keys, &chunk.batch).map(|_| None),
            Aggregation::Versions(versions) => evaluate(&versions.plan.keys, &chunk.batch).map(|_| None),
            Aggregation::Latest(latest) => latest.prepare(chunk).map(|()| None),
            // What functions are computed from are columns by now.
            Aggregation::Over(_) | Aggregation::Divide(_) => Ok(None),
            Aggregation::Updating(side) => side.prepare(chunk).map(|()| None),
        }
    }

    /// Adds rows, with what was prepared of them.
    pub(crate) fn update(
        &mut self,
        chunk: &Chunk,
        values: Option<Values>,
        late: &mut Vec<u32>,
    ) -> Result<(), StageError> {
        match (self, values) {
            (Aggregation::Rows(rows), _) => rows.update(chunk),
            (Aggregation::Latest(latest), _) => latest.update(chunk),
            (Aggregation::Over(over), _) => over.update(chunk, late),
            (Aggregation::Updating(side), _) => side.update(chunk),
            (Aggregation::Near(_) | Aggregation::Versions(_) | Aggregation::Divide(_), _) => {
                Err(unfit("is added to"))
            }
            (Aggregation::Windows(windows), Some(values)) => windows.update(chunk, values),
            (Aggregation::Sessions(sessions), Some(values)) => sessions.update(chunk, values, late),
            // No rows.
            (_, None) => Ok(()),
        }
    }

    pub(crate) fn fire(
        &mut self,
        before: &[i64],
        watermarks: &[i64],
        fired_at: &mut [i64],
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => {
                windows.fire((before, watermarks), fired_at, updates, faults, give)
            }
            Aggregation::Sessions(sessions) => sessions.fire(watermarks, fired_at, updates, faults, give),
            Aggregation::Rows(rows) => rows.fire(before, watermarks, fired_at, faults, give),
            Aggregation::Latest(latest) => latest.fire(updates, faults, give),
            Aggregation::Over(over) => over.fire(watermarks, fired_at, faults, give),
            // What it gives, it has given.
            Aggregation::Divide(_) => Ok(()),
            Aggregation::Near(_) | Aggregation::Versions(_) | Aggregation::Updating(_) => Err(unfit("fires")),
        }
    }

    pub(crate) fn delta(&mut self) -> Result<RecordBatch, StageError> {
        match self {
            Aggregation::Windows(windows) => windows.delta(),
            Aggregation::Sessions(sessions) => sessions.delta(),
            Aggregation::Rows(rows) => rows.delta(),
            Aggregation::Near(side) => side.delta(),
            Aggregation::Versions(versions) => versions.delta(),
            Aggregation::Latest(latest) => latest.delta(),
            Aggregation::Over(over) => over.delta(),
            Aggregation::Updating(side) => side.delta(),
            Aggregation::Divide(divide) => divide.delta(),
        }
    }

    pub(crate) fn all(&mut self, wanted: &Owned) -> Result<RecordBatch, StageError> {
        match self {
            Aggregation::Windows(windows) => windows.all(wanted),
            Aggregation::Sessions(sessions) => sessions.all(wanted),
            Aggregation::Rows(rows) => rows.all(wanted),
            Aggregation::Near(side) => side.all(wanted),
            Aggregation::Versions(versions) => versions.all(wanted),
            Aggregation::Latest(latest) => latest.all(wanted),
            Aggregation::Over(over) => over.all(wanted),
            Aggregation::Updating(side) => side.all(wanted),
            Aggregation::Divide(divide) => divide.all(wanted),
        }
    }

    pub(crate) fn restore(&mut self, batch: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.restore(batch, owned),
            Aggregation::Sessions(sessions) => sessions.restore(batch, owned),
            Aggregation::Rows(rows) => rows.restore(batch, owned),
            Aggregation::Near(side) => side.restore(batch, owned),
            Aggregation::Versions(versions) => versions.restore(batch, owned),
            Aggregation::Latest(latest) => latest.restore(batch, owned),
            Aggregation::Over(over) => over.restore(batch, owned),
            Aggregation::Updating(side) => side.restore(batch, owned),
            Aggregation::Divide(divide) => divide.restore(batch, owned),
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
            Aggregation::Versions(_)
            | Aggregation::Latest(_)
            | Aggregation::Divide(_)
            | Aggregation::Updating(_) => Ok(()),
            Aggregation::Over(over) => over.finish_restore(watermarks, restored),
        }
    }

    /// For what is read and never run.
    pub(crate) fn only_read(&mut self) {
        if let Aggregation::Windows(windows) = self {
            windows.only_read();
        }
    }

    /// More records of the changelog come to what has been restored.
    pub(crate) fn reopen(&mut self) -> Result<(), StageError> {
        match self {
            Aggregation::Sessions(sessions) => sessions.reopen(),
            _ => Ok(()),
        }
    }

    pub(crate) fn settle(&mut self) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.settle(),
            Aggregation::Sessions(sessions) => sessions.settle(),
            Aggregation::Rows(_)
            | Aggregation::Near(_)
            | Aggregation::Versions(_)
            | Aggregation::Latest(_)
            | Aggregation::Divide(_)
            | Aggregation::Updating(_)
            | Aggregation::Over(_) => Ok(()),
        }
    }

    pub(crate) fn open(
        &mut self,
        watermarks: &[i64],
        give: impl FnMut(Chunk) -> Result<(), StageError>,
        faults: &mut Faults,
    ) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.open(watermarks, give, faults),
            Aggregation::Sessions(sessions) => sessions.open(give, faults),
            Aggregation::Latest(latest) => latest.open(give, faults),
            Aggregation::Rows(_)
            | Aggregation::Near(_)
            | Aggregation::Versions(_)
            | Aggregation::Over(_)
            | Aggregation::Divide(_)
            | Aggregation::Updating(_) => Err(unfit("is read")),
        }
    }

    /// Lets go of key groups.
    pub(crate) fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.forget(groups),
            Aggregation::Sessions(sessions) => sessions.forget(groups),
            Aggregation::Rows(rows) => rows.forget(groups),
            Aggregation::Near(side) => side.forget(groups),
            Aggregation::Versions(versions) => versions.forget(groups),
            Aggregation::Latest(latest) => latest.forget(groups),
            Aggregation::Over(over) => over.forget(groups),
            Aggregation::Updating(side) => side.forget(groups),
            Aggregation::Divide(divide) => {
                divide.forget(groups);
                Ok(())
            }
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Aggregation::Windows(windows) => windows.size(),
            Aggregation::Sessions(sessions) => sessions.size(),
            Aggregation::Rows(rows) => rows.size(),
            Aggregation::Near(side) => side.size(),
            Aggregation::Versions(versions) => versions.size(),
            Aggregation::Latest(latest) => latest.size(),
            Aggregation::Over(over) => over.size(),
            Aggregation::Updating(side) => side.size(),
            Aggregation::Divide(divide) => divide.size(),
        }
    }

    /// Moves what is committed to a scratch, until so many bytes of memory are free. Past rows of functions OVER, and where rows lie
    /// that are divided anew, stay in memory.
    pub(crate) fn spill(&mut self, spill: &Spill, bytes: &mut usize) -> Result<(), StageError> {
        match self {
            Aggregation::Windows(windows) => windows.spill(spill, bytes),
            Aggregation::Sessions(sessions) => sessions.spill(spill, bytes),
            Aggregation::Rows(rows) => rows.spill(spill, bytes),
            Aggregation::Near(side) => side.spill(spill, bytes),
            Aggregation::Versions(versions) => versions.spill(spill, bytes),
            Aggregation::Updating(side) => side.spill(spill, bytes),
            Aggregation::Over(over) => over.spill(spill, bytes),
            Aggregation::Latest(latest) => latest.spill(spill, bytes),
            Aggregation::Divide(_) => Ok(()),
        }
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        match self {
            Aggregation::Windows(windows) => windows.disk_size(),
            Aggregation::Sessions(sessions) => sessions.disk_size(),
            Aggregation::Rows(rows) => rows.disk_size(),
            Aggregation::Near(side) => side.disk_size(),
            Aggregation::Versions(versions) => versions.disk_size(),
            Aggregation::Updating(side) => side.disk_size(),
            Aggregation::Over(over) => over.disk_size(),
            Aggregation::Latest(latest) => latest.disk_size(),
            Aggregation::Divide(_) => 0,
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
            Aggregation::Latest(latest) => latest.entries(),
            Aggregation::Over(over) => over.entries(),
            Aggregation::Updating(side) => side.entries(),
            Aggregation::Divide(divide) => divide.entries(),
        }
    }
}
