//! Operators: what is done to rows once they are columns. Each works on chunks that hold rows of many partitions, and
//! keeps its state tagged by key group, so that a group can move to another worker. Never enters: topics, clocks.

pub(crate) mod again;
pub(crate) mod aggregate;
pub(crate) mod as_of;
pub(crate) mod chunk;
pub(crate) mod dedupe;
pub(crate) mod grouping;
pub(crate) mod interval;
pub(crate) mod join;
pub(crate) mod join_kind;
pub(crate) mod over;
pub(crate) mod pane;
pub(crate) mod row_index;
pub(crate) mod row_key;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod slices;
pub(crate) mod table_rows;
pub(crate) mod unnest;
pub(crate) mod window;
pub(crate) mod window_join;
pub(crate) mod windowed;

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use crate::error::StageError;
use chunk::Chunk;

/// One stateless step of a query. Windows and joins with tables are stateless too: a window splits off late rows, a
/// table is handed in.
pub(crate) enum Step {
    /// Takes columns, by their place: a query's first step.
    Scan { columns: Vec<usize>, schema: SchemaRef },
    /// Keeps rows for which the expression is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Computes the columns of a new schema.
    Project { exprs: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
    /// Adds each row's window.
    Window(window::WindowStep),
    /// Adds the columns of a session.
    Session(window::SessionStep),
    /// Adds the values of functions over the rows of a window that is over.
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
            Step::Filter(predicate) => {
                let keep = predicate.evaluate(&chunk.batch)?.into_array(chunk.rows())?;
                chunk.filter(keep.as_boolean())
            }
            Step::Project { exprs, schema } => {
                let batch = project(&chunk.batch, exprs, schema)?;
                Ok(Chunk { batch, ..chunk })
            }
            Step::Window(step) => step.run(chunk, late),
            Step::Session(step) => step.run(chunk),
            Step::Over(step) => step.run(chunk),
            Step::Unnest(step) => step.run(chunk),
            Step::Join(join) => join.run(chunk),
        }
    }
}

/// The batch of `schema` whose columns are `exprs` over `batch`.
pub(crate) fn project(
    batch: &RecordBatch,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch, StageError> {
    let rows = batch.num_rows();
    let columns: Result<Vec<_>, _> =
        exprs.iter().map(|e| e.evaluate(batch).and_then(|v| v.into_array(rows))).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns?, &options)?)
}
