//! Functions OVER the rows of a window that is over: ranks, running sums, neighbours. What fires holds all rows of a
//! window for its key group, so a partition of them is whole, and DataFusion's own functions run on it as on a batch.
//!
//! Rows that the query's order leaves equal are ordered by their other columns, so that a row number does not depend on how
//! rows were cut into batches (SM-3).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, concat, partition, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::window::WindowExpr;

use super::chunk::Chunk;
use crate::error::StageError;

pub(crate) struct OverStep {
    pub(crate) functions: Vec<Function>,
    /// The input's columns, then one for each function.
    pub(crate) schema: SchemaRef,
}

pub(crate) struct Function {
    pub(crate) call: Arc<dyn WindowExpr>,
    /// Whether rows that the order leaves equal have the same value, so that nothing has to tell them apart.
    pub(crate) equals_share: bool,
}

impl OverStep {
    pub(crate) fn run(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        if chunk.rows() == 0 {
            return Ok(Chunk { batch: RecordBatch::new_empty(Arc::clone(&self.schema)), ..chunk });
        }
        let mut columns = chunk.batch.columns().to_vec();
        for function in &self.functions {
            columns.push(over(function, &chunk.batch)?);
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Chunk { batch, ..chunk })
    }
}

/// The function's value for each row.
fn over(
    Function { call: function, equals_share }: &Function,
    batch: &RecordBatch,
) -> Result<ArrayRef, StageError> {
    let rows = batch.num_rows();
    let value = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef, StageError> {
        Ok(expr.evaluate(batch)?.into_array(rows)?)
    };
    let by: Result<Vec<ArrayRef>, StageError> = function.partition_by().iter().map(value).collect();
    let by = by?;
    let mut keys: Vec<(ArrayRef, SortOptions)> =
        by.iter().map(|column| (Arc::clone(column), SortOptions::default())).collect();
    for sort in function.order_by() {
        keys.push((value(&sort.expr)?, sort.options));
    }
    if !equals_share {
        keys.extend(batch.columns().iter().map(|column| (Arc::clone(column), SortOptions::default())));
    }
    let order = sorted(&keys)?;
    let batch = take_record_batch(batch, &order)?;
    let by: Result<Vec<ArrayRef>, _> = by.iter().map(|column| take(column, &order, None)).collect();
    let mut parts: Vec<ArrayRef> = Vec::new();
    for range in partition(&by?)?.ranges() {
        parts.push(function.evaluate(&batch.slice(range.start, range.len()))?);
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    // Back into the order in which rows came.
    let mut places = vec![0u32; rows];
    for (place, row) in order.values().iter().enumerate() {
        places[*row as usize] = place as u32;
    }
    Ok(take(&concat(&parts)?, &UInt32Array::from(places), None)?)
}

fn sorted(keys: &[(ArrayRef, SortOptions)]) -> Result<UInt32Array, StageError> {
    let fields =
        keys.iter().map(|(key, options)| SortField::new_with_options(key.data_type().clone(), *options));
    let converter = RowConverter::new(fields.collect())?;
    let columns: Vec<ArrayRef> = keys.iter().map(|(key, _)| Arc::clone(key)).collect();
    let rows = converter.convert_columns(&columns)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_unstable_by_key(|row| rows.row(*row as usize));
    Ok(UInt32Array::from(order))
}
