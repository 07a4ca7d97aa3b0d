//! A chunk: rows on their way through operators, with what is known of each row besides its columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{FilterBuilder, concat_batches, prep_null_mask_filter, take, take_record_batch};
use arrow::datatypes::{Int64Type, UInt32Type};

use crate::error::StageError;

/// Rows of any number of partitions, in the order in which each partition has them.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) batch: RecordBatch,
    /// Each row's key group.
    pub(crate) groups: UInt32Array,
    /// The watermark of the row's partition just before the row: what its lateness is judged by (SM-3).
    pub(crate) watermarks: Int64Array,
    /// The row's place in the stage's input of this turn.
    pub(crate) origin: UInt32Array,
    /// Behind a window: the pane that each row is added to ([`super::windowed::PaneKey`]); of a session, the row's time.
    pub(crate) panes: Option<Int64Array>,
}

impl Chunk {
    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The rows for which `keep` is true.
    pub(crate) fn filter(self, keep: &BooleanArray) -> Result<Chunk, StageError> {
        let keep = if keep.null_count() > 0 { &prep_null_mask_filter(keep) } else { keep };
        if keep.true_count() == self.rows() {
            return Ok(self);
        }
        let filter = FilterBuilder::new(keep).optimize().build();
        let part = |column: &dyn Array| filter.filter(column);
        Ok(Chunk {
            batch: filter.filter_record_batch(&self.batch)?,
            groups: part(&self.groups)?.as_primitive::<UInt32Type>().clone(),
            watermarks: part(&self.watermarks)?.as_primitive::<Int64Type>().clone(),
            origin: part(&self.origin)?.as_primitive::<UInt32Type>().clone(),
            panes: match &self.panes {
                Some(panes) => Some(part(panes)?.as_primitive::<Int64Type>().clone()),
                None => None,
            },
        })
    }

    /// The rows at these places, in this order.
    pub(crate) fn take(&self, rows: &UInt32Array) -> Result<Chunk, StageError> {
        let part = |column: &dyn Array| -> Result<ArrayRef, StageError> { Ok(take(column, rows, None)?) };
        Ok(Chunk {
            batch: take_record_batch(&self.batch, rows)?,
            groups: part(&self.groups)?.as_primitive::<UInt32Type>().clone(),
            watermarks: part(&self.watermarks)?.as_primitive::<Int64Type>().clone(),
            origin: part(&self.origin)?.as_primitive::<UInt32Type>().clone(),
            panes: match &self.panes {
                Some(panes) => Some(part(panes)?.as_primitive::<Int64Type>().clone()),
                None => None,
            },
        })
    }

    /// Raises the watermark before each row to that of its key group, where that is higher.
    pub(crate) fn raise_watermarks(&mut self, to: &[i64]) {
        let pairs = self.groups.values().iter().zip(self.watermarks.values());
        if pairs.clone().all(|(group, at)| to[*group as usize] <= *at) {
            return;
        }
        self.watermarks = pairs.map(|(group, at)| to[*group as usize].max(*at)).collect();
    }

    /// Rows that an operator made itself, in several chunks, as one at most.
    pub(crate) fn joined(chunks: Vec<Chunk>) -> Result<Vec<Chunk>, StageError> {
        let [first, _, ..] = chunks.as_slice() else { return Ok(chunks) };
        let batch = concat_batches(&first.batch.schema(), chunks.iter().map(|chunk| &chunk.batch))?;
        let groups = chunks.iter().flat_map(|chunk| chunk.groups.values()).copied();
        Ok(vec![Chunk::made(batch, groups.collect())])
    }

    /// Rows that an operator made itself, out of no single row of the input.
    pub(crate) fn made(batch: RecordBatch, groups: UInt32Array) -> Chunk {
        let rows = batch.num_rows();
        Chunk {
            batch,
            groups,
            watermarks: Int64Array::from(vec![0; rows]),
            origin: UInt32Array::from(vec![0; rows]),
            panes: None,
        }
    }
}

/// A column of equal values.
pub(crate) fn constant_i64(value: i64, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value; rows]))
}

/// Keeps the values for which `keep` is true, one for each in their order.
pub(crate) fn retain<T>(values: &mut Vec<T>, mut keep: impl Iterator<Item = bool>) {
    values.retain(|_| keep.next().unwrap_or(false));
}
