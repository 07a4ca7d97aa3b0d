//! Operators: what is done to rows once they are columns. Each works on chunks that hold rows of many partitions, and
//! keeps its state tagged by key group, so that a group can move to another worker. Never enters: topics, clocks.

pub(crate) mod again;
pub(crate) mod aggregate;
pub(crate) mod as_of;
pub(crate) mod chunk;
pub(crate) mod committed;
pub(crate) mod dedupe;
pub(crate) mod divide;
pub(crate) mod faults;
pub(crate) mod gone;
pub(crate) mod group_index;
pub(crate) mod group_sieve;
pub(crate) mod grouping;
pub(crate) mod interval;
pub(crate) mod join;
pub(crate) mod join_kind;
pub(crate) mod latest;
pub(crate) mod over;
pub(crate) mod over_time;
pub(crate) mod pane;
pub(crate) mod row_index;
pub(crate) mod row_key;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod slices;
pub(crate) mod stored_rows;
pub(crate) mod sum;
pub(crate) mod table_rows;
pub(crate) mod unnest;
pub(crate) mod update_join;
pub(crate) mod window;
pub(crate) mod window_join;
pub(crate) mod windowed;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use datafusion_physical_expr::PhysicalExpr;

use crate::error::StageError;
use chunk::Chunk;
use faults::{Fault, Faults, by_parts};

/// One stateless step of a query. Windows and joins with tables are stateless too: a window splits off late rows, a
/// table is handed in.
pub(crate) enum Step {
    /// Takes columns, by their place: a query's first step.
    Scan { columns: Vec<usize>, schema: SchemaRef },
    /// Keeps rows for which the expression is true. Of rows that take the place of each other, others are gone.
    Filter(Arc<dyn PhysicalExpr>),
    /// Computes the columns of a new schema.
    Project { exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
    /// Adds each row's window.
    Window(window::WindowStep),
    /// Adds the columns of a session.
    Session(window::SessionStep),
    /// Notes the rows' event times, which stand in this column, for groups that are let go of.
    Timed(usize),
    /// Adds the values of functions over rows, of which those of a partition are together.
    Over(over::OverStep),
    /// Gives a row for each item of lists.
    Unnest(unnest::UnnestStep),
    /// Adds the columns of matching table rows.
    Join(Box<join::TableJoin>),
}

impl Step {
    /// What is left of the chunk, and the places in the stage's input of rows that were late.
    pub(crate) fn run(&self, chunk: Chunk, late: &mut Vec<u32>) -> Result<Chunk, StageError> {
        match self {
            Step::Scan { columns, schema } => {
                let columns = columns.iter().map(|i| Arc::clone(chunk.batch.column(*i))).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows()));
                let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
                Ok(Chunk { batch, ..chunk })
            }
            // Of no rows nothing fails, whatever the expression.
            Step::Filter(_) if chunk.rows() == 0 => Ok(chunk),
            Step::Filter(predicate) => {
                if let Some(gone) = &chunk.gone {
                    let gone = gone::condition(&chunk.batch, gone, predicate)?;
                    return Ok(Chunk { gone: Some(gone), ..chunk });
                }
                let keep = predicate.evaluate(&chunk.batch).and_then(|keep| keep.into_array(chunk.rows()));
                let keep =
                    keep.map_err(|e| StageError::from(e).computing(|| format!("the condition {predicate}")))?;
                chunk.filter(keep.as_boolean())
            }
            Step::Project { schema, .. } if chunk.rows() == 0 => {
                Ok(Chunk { batch: RecordBatch::new_empty(Arc::clone(schema)), ..chunk })
            }
            Step::Project { exprs, schema } => {
                let batch = match &chunk.gone {
                    Some(gone) => gone::projected(&chunk.batch, gone, exprs, schema)?,
                    None => project(&chunk.batch, exprs, schema)?,
                };
                Ok(Chunk { batch, ..chunk })
            }
            Step::Window(step) => step.run(chunk, late),
            Step::Session(step) => step.run(chunk),
            Step::Timed(column) => {
                let times = chunk.batch.column(*column).as_primitive::<TimestampMillisecondType>();
                let panes = Int64Array::new(times.values().clone(), None);
                Ok(Chunk { panes: Some(panes), ..chunk })
            }
            Step::Over(step) => step.run(chunk, &mut Vec::new()),
            Step::Unnest(step) => step.run(chunk),
            Step::Join(join) => match chunk.gone.clone() {
                Some(gone) if gone.has_true() => {
                    // Of what is gone nothing is looked up.
                    let here = join.run(chunk.clone().filter(&arrow::compute::not(&gone)?)?)?;
                    let away = join.run_gone(chunk.filter(&gone)?, &here.batch.schema())?;
                    Ok(Chunk::together(&[away, here])?.unwrap_or_else(|| unreachable!("two chunks make one")))
                }
                _ => join.run(chunk),
            },
        }
    }
}

impl Step {
    /// The same without the rows for which it cannot be computed, which are put among the faults; in several chunks where there are
    /// some. One of rows that take the place of each other goes on as one that is gone.
    pub(crate) fn run_fit(&self, chunk: &Chunk, faults: &mut Faults) -> Result<Vec<Chunk>, StageError> {
        if let Step::Over(step) = self {
            return Ok(vec![step.run(chunk.clone(), faults)?]);
        }
        let (mut given, mut told) = (Vec::new(), Vec::new());
        let rows = chunk.rows();
        let mut attempt = |part: Range<usize>| {
            let first = part.start;
            let part = if part.len() == rows { chunk.clone() } else { chunk.slice(part) };
            gone::run_or_gone(part, |part| self.run(part, &mut Vec::new()), |error| told.push((first, error)))
        };
        let mut bad = |row, error| faults.push(Fault { row: chunk.batch.slice(row, 1), error });
        by_parts(0..rows, &mut attempt, &mut bad, &mut given)?;
        told.into_iter().for_each(|(row, error)| bad(row, error));
        Ok(given)
    }
}

/// Takes rows that come out of state, some at a time, so that not all of them are in memory at once.
pub(crate) type Give<'a> = &'a mut dyn FnMut(Chunk, &mut Faults) -> Result<(), StageError>;

/// Runs rows that come from state through steps; those for which one cannot be computed are put among the faults.
pub(crate) fn run_behind(
    steps: &[Step],
    mut chunks: Vec<Chunk>,
    faults: &mut Faults,
) -> Result<Vec<Chunk>, StageError> {
    for step in steps {
        if matches!(step, Step::Over(_)) {
            // It wants all rows of a window together.
            chunks = Chunk::joined(chunks)?;
        }
        let mut given = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            given.extend(step.run_fit(chunk, faults)?);
        }
        chunks = given;
    }
    chunks.retain(|chunk| chunk.rows() > 0);
    Ok(chunks)
}

/// The batch of `schema` whose columns are `exprs` over `batch`.
pub(crate) fn project(
    batch: &RecordBatch,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch, StageError> {
    let rows = batch.num_rows();
    let column = |(at, expr): (usize, &Arc<dyn PhysicalExpr>)| {
        let values = expr.evaluate(batch).and_then(|values| values.into_array(rows));
        values.map_err(|e| StageError::from(e).computing(|| format!("column {}", schema.field(at).name())))
    };
    let columns: Result<Vec<_>, _> = exprs.iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options)?)
}
