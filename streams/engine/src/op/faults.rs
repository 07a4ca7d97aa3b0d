//! Rows for which something cannot be computed, found among others by halves: a division by zero, a text that is no number, a sum
//! that is too large. What is computed is computed over whole batches; only where that fails is it done in parts, down to the rows
//! that fail, and the others go on. Never enters: where such rows go.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, prep_null_mask_filter};
use datafusion_physical_expr::PhysicalExpr;

use super::join::evaluate;
use crate::error::StageError;

/// Parts of so few rows are looked at row by row.
const ROWS_FEW: usize = 8;

/// A row behind state for which something could not be computed.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The row alone, with the columns that it had until then.
    pub(crate) row: RecordBatch,
    /// What could not be computed, and why.
    pub(crate) error: StageError,
}

/// Rows that were found.
pub(crate) type Faults = Vec<Fault>;

/// The parts in which rows are tried that fail together.
pub(crate) fn parts(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let size = if rows.len() <= ROWS_FEW { 1 } else { rows.len().div_ceil(2) };
    rows.clone().step_by(size).map(move |from| from..(from + size).min(rows.end))
}

/// Tries so many rows, and where that fails parts of them: gives what came out of the parts that do not fail, in their order, and
/// each row that fails to `bad`. Of a failure that no row is to blame for nothing is tried again.
pub(crate) fn by_parts<T>(
    rows: Range<usize>,
    attempt: &mut dyn FnMut(Range<usize>) -> Result<T, StageError>,
    bad: &mut dyn FnMut(usize, StageError),
    given: &mut Vec<T>,
) -> Result<(), StageError> {
    match attempt(rows.clone()) {
        Ok(done) => given.push(done),
        Err(error) if !error.is_of_rows() => return Err(error),
        Err(error) if rows.len() == 1 => bad(rows.start, error),
        Err(_) => parts(rows).try_for_each(|part| by_parts(part, attempt, bad, given))?,
    }
    Ok(())
}

/// The values of expressions over the rows for which there are some, and which of the rows those are; nothing where all are.
pub(crate) fn evaluate_fit(
    exprs: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
    mut bad: impl FnMut(usize, StageError),
) -> Result<(Vec<ArrayRef>, Option<BooleanArray>), StageError> {
    match evaluate(exprs, batch) {
        Err(error) if error.is_of_rows() => {}
        values => return Ok((values?, None)),
    }
    let mut keep = vec![true; batch.num_rows()];
    let mut attempt = |rows: Range<usize>| evaluate(exprs, &batch.slice(rows.start, rows.len())).map(drop);
    let mut note = |row: usize, error| {
        keep[row] = false;
        bad(row, error);
    };
    by_parts(0..batch.num_rows(), &mut attempt, &mut note, &mut Vec::new())?;
    let keep = BooleanArray::from(keep);
    Ok((evaluate(exprs, &filter_record_batch(batch, &keep)?)?, Some(keep)))
}

/// The rows for which a condition is true; it is not where it cannot be computed.
pub(crate) fn true_of(
    condition: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    bad: impl FnMut(usize, StageError),
) -> Result<BooleanArray, StageError> {
    let (values, fit) = evaluate_fit(std::slice::from_ref(condition), batch, bad)?;
    let found = values[0].as_boolean();
    let found = if found.null_count() > 0 { prep_null_mask_filter(found) } else { found.clone() };
    let Some(fit) = fit else { return Ok(found) };
    let mut found = found.values().iter();
    Ok(fit.values().iter().map(|fit| Some(fit && found.next().unwrap_or(false))).collect())
}

/// Puts the rows of a batch that have no result among the faults, each once; which rows are left.
pub(crate) fn tell(
    batch: &RecordBatch,
    unfit: Vec<(usize, StageError)>,
    faults: &mut Faults,
) -> BooleanArray {
    let mut keep = vec![true; batch.num_rows()];
    for (row, error) in unfit {
        // One that lacks several is one fault.
        if std::mem::replace(&mut keep[row], false) {
            faults.push(Fault { row: batch.slice(row, 1), error });
        }
    }
    BooleanArray::from(keep)
}
