//! Functions OVER the rows of a window that is over: ranks, running sums, neighbours. What fires holds all rows of a
//! window for its key group, so a partition of them is whole, and DataFusion's own functions run on it as on a batch.
//!
//! Rows that the query's order leaves equal are ordered by their other columns, so that a row number does not depend on how
//! rows were cut into batches (SM-3).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, concat, partition, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::window::WindowExpr;

use super::chunk::Chunk;
use super::faults::{Fault, Faults, evaluate_fit};
use super::sum;
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
    /// Of a sum: the same in a wider type, where it does not go round.
    pub(crate) wide: Option<Arc<dyn WindowExpr>>,
}

impl OverStep {
    /// Rows for which a function cannot be computed are put among the faults, and the functions computed over the others: the row,
    /// where its own values are to blame, or all rows of its partition.
    pub(crate) fn run(&self, mut chunk: Chunk, faults: &mut Faults) -> Result<Chunk, StageError> {
        // Each time round there are fewer rows.
        while chunk.rows() > 0 {
            let mut columns = chunk.batch.columns().to_vec();
            let mut unfit = Vec::new();
            for function in &self.functions {
                match over(function, &chunk.batch)? {
                    Ok(values) => columns.push(values),
                    Err(rows) => {
                        unfit = rows;
                        break;
                    }
                }
            }
            if unfit.is_empty() {
                let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
                return Ok(Chunk { batch, ..chunk });
            }
            let mut keep = vec![true; chunk.rows()];
            for (row, error) in unfit {
                keep[row] = false;
                faults.push(Fault { row: chunk.batch.slice(row, 1), error });
            }
            chunk = chunk.filter(&BooleanArray::from(keep))?;
        }
        Ok(Chunk { batch: RecordBatch::new_empty(Arc::clone(&self.schema)), ..chunk })
    }
}

/// Rows for which there is no value, and why.
type Unfit = Vec<(usize, StageError)>;

/// The function's value for each row, or the rows that are to be left out first.
fn over(
    Function { call: function, equals_share, wide }: &Function,
    batch: &RecordBatch,
) -> Result<Result<ArrayRef, Unfit>, StageError> {
    let rows = batch.num_rows();
    let name = || format!("{} OVER rows", function.name());
    let mut unfit: Unfit = Vec::new();
    let mut exprs: Vec<Arc<dyn PhysicalExpr>> = function.partition_by().to_vec();
    exprs.extend(function.order_by().iter().map(|sort| Arc::clone(&sort.expr)));
    let (mut by, _) = evaluate_fit(&exprs, batch, |row, error| unfit.push((row, error.computing(name))))?;
    if !unfit.is_empty() {
        return Ok(Err(unfit));
    }
    let order_by = by.split_off(function.partition_by().len());
    let mut keys: Vec<(ArrayRef, SortOptions)> =
        by.iter().map(|column| (Arc::clone(column), SortOptions::default())).collect();
    keys.extend(order_by.into_iter().zip(function.order_by().iter().map(|sort| sort.options)));
    if !equals_share {
        keys.extend(batch.columns().iter().map(|column| (Arc::clone(column), SortOptions::default())));
    }
    let order = sorted(&keys)?;
    let batch = take_record_batch(batch, &order)?;
    let by: Result<Vec<ArrayRef>, _> = by.iter().map(|column| take(column, &order, None)).collect();
    let mut parts: Vec<ArrayRef> = Vec::new();
    let place = |at: usize| order.value(at) as usize;
    let by = by?;
    let ranges = match by.is_empty() {
        true => std::iter::once(0..rows).filter(|range| !range.is_empty()).collect(),
        false => partition(&by)?.ranges(),
    };
    for range in ranges {
        let rows = batch.slice(range.start, range.len());
        match function.evaluate(&rows).map_err(StageError::from) {
            Ok(values) => {
                if let Some(wide) = wide
                    && !sum::fits_in_all(&function.expressions(), &rows)?
                    && !sum::is_same(&values, &wide.evaluate(&rows)?)?
                {
                    let (what, kind) = (name(), values.data_type().to_string());
                    let too_large = || StageError::TooLarge { what: what.clone(), kind: kind.clone() };
                    unfit.extend(range.clone().map(|at| (place(at), too_large())));
                }
                parts.push(values);
            }
            Err(error) if !error.is_of_rows() => return Err(error),
            Err(error) => {
                let known = unfit.len();
                let note = |row: usize, error: StageError| {
                    unfit.push((place(range.start + row), error.computing(name)));
                };
                evaluate_fit(&function.expressions(), &rows, note)?;
                if unfit.len() == known {
                    // No row's own values: what they give together.
                    let text = error.computing(name).to_string();
                    let again = || StageError::Compute(DataFusionError::Execution(text.clone()));
                    unfit.extend(range.map(|at| (place(at), again())));
                }
            }
        }
    }
    if !unfit.is_empty() {
        return Ok(Err(unfit));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    // Back into the order in which rows came.
    let mut places = vec![0u32; rows];
    for (place, row) in order.values().iter().enumerate() {
        places[*row as usize] = place as u32;
    }
    Ok(Ok(take(&concat(&parts)?, &UInt32Array::from(places), None)?))
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
