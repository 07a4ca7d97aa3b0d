//! Rows that take the place of each other, on their way: one that no longer fulfils a condition is gone, and so is a result for which
//! something cannot be computed, since what it was before does not hold any more (ADR 0075). Of one that is gone nothing is computed but
//! what it is known by. Never enters: what is kept of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{filter, filter_record_batch, interleave, not, or, prep_null_mask_filter};
use arrow::datatypes::{Field, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use super::chunk::Chunk;
use super::project;
use crate::error::StageError;

/// Which rows are gone behind a condition: those that were, and those that do not fulfil it.
pub(crate) fn condition(
    batch: &RecordBatch,
    gone: &BooleanArray,
    predicate: &Arc<dyn PhysicalExpr>,
) -> Result<BooleanArray, StageError> {
    let evaluate = |batch: &RecordBatch| -> Result<BooleanArray, StageError> {
        let keep = predicate.evaluate(batch).and_then(|keep| keep.into_array(batch.num_rows()));
        let keep =
            keep.map_err(|e| StageError::from(e).computing(|| format!("the condition {predicate}")))?;
        let keep = keep.as_boolean();
        Ok(if keep.null_count() > 0 { prep_null_mask_filter(keep) } else { keep.clone() })
    };
    if !gone.has_true() {
        return Ok(not(&evaluate(batch)?)?);
    }
    let kept = evaluate(&filter_record_batch(batch, &not(gone)?)?)?;
    let mut kept = kept.values().iter();
    let fails = gone.values().iter().map(|gone| !gone && !kept.next().unwrap_or(false));
    Ok(or(gone, &fails.collect::<Vec<bool>>().into())?)
}

/// The columns of `schema`, computed of rows of which some are gone: those have what is a column of theirs, and blanks.
pub(crate) fn projected(
    batch: &RecordBatch,
    gone: &BooleanArray,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch, StageError> {
    if !gone.has_true() {
        return project(batch, exprs, schema);
    }
    let here = project(&filter_record_batch(batch, &not(gone)?)?, exprs, schema)?;
    // Each row's place: among those that are here, or those that are gone.
    let mut next = [0, 0];
    let places = gone.values().iter().map(|gone| {
        let of = usize::from(gone);
        next[of] += 1;
        (of, next[of] - 1)
    });
    let places: Vec<(usize, usize)> = places.collect();
    let count = batch.num_rows() - here.num_rows();
    let columns = exprs.iter().zip(schema.fields()).zip(here.columns()).map(|((expr, field), here)| {
        let away = match expr.downcast_ref::<Column>() {
            Some(column) => filter(batch.column(column.index()), gone)?,
            None => blank(field, count)?,
        };
        Ok(interleave(&[here.as_ref(), away.as_ref()], &places)?)
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, StageError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Runs rows that come from state. Where a row alone fails that takes the place of an earlier one, it runs as one that is gone, and why is
/// noted.
pub(crate) fn run_or_gone<T>(
    chunk: Chunk,
    mut run: impl FnMut(Chunk) -> Result<T, StageError>,
    note: impl FnOnce(StageError),
) -> Result<T, StageError> {
    let away = if chunk.rows() == 1 { chunk.gone_instead() } else { None };
    match (run(chunk), away) {
        (Err(error), Some(away)) if error.is_of_rows() => match run(away) {
            Ok(given) => {
                note(error);
                Ok(given)
            }
            // Nor can it be said that it is gone: the row before it stays.
            Err(_) => Err(error),
        },
        (given, _) => given,
    }
}

/// Values that mean nothing.
pub(crate) fn blank(field: &Field, rows: usize) -> Result<ArrayRef, StageError> {
    if field.is_nullable() {
        return Ok(new_null_array(field.data_type(), rows));
    }
    Ok(ScalarValue::new_default(field.data_type())?.to_array_of_size(rows)?)
}

/// As many rows, none of which is gone.
pub(crate) fn none(rows: usize) -> BooleanArray {
    vec![false; rows].into()
}
