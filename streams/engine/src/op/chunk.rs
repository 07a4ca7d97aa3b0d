//! A chunk: rows on their way through operators, with what is known of each row besides its columns.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{FilterBuilder, concat_batches, not, prep_null_mask_filter, take, take_record_batch};
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
    /// Of rows that take the place of each other: which of them are gone, of which only what they are known by means anything.
    /// Nothing where rows stand for themselves.
    pub(crate) gone: Option<BooleanArray>,
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
            gone: match &self.gone {
                Some(gone) => Some(part(gone)?.as_boolean().clone()),
                None => None,
            },
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
            gone: match &self.gone {
                Some(gone) => Some(part(gone)?.as_boolean().clone()),
                None => None,
            },
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

    /// The same rows, all of which are gone; nothing of rows that stand for themselves, and of those that are gone already.
    pub(crate) fn gone_instead(&self) -> Option<Chunk> {
        let gone = self.gone.as_ref().filter(|gone| gone.has_false())?;
        Some(Chunk { gone: Some(vec![true; gone.len()].into()), ..self.clone() })
    }

    /// The rows that are not gone, as rows that stand for themselves.
    pub(crate) fn here(mut self) -> Result<Chunk, StageError> {
        match self.gone.take() {
            Some(gone) if gone.has_true() => self.filter(&not(&gone)?),
            _ => Ok(self),
        }
    }

    /// Some neighbours among the rows.
    pub(crate) fn slice(&self, rows: Range<usize>) -> Chunk {
        let (from, count) = (rows.start, rows.len());
        Chunk {
            batch: self.batch.slice(from, count),
            groups: self.groups.slice(from, count),
            watermarks: self.watermarks.slice(from, count),
            origin: self.origin.slice(from, count),
            panes: self.panes.as_ref().map(|panes| panes.slice(from, count)),
            gone: self.gone.as_ref().map(|gone| gone.slice(from, count)),
        }
    }

    /// Parts of one chunk as one again; nothing where there are none.
    pub(crate) fn together(parts: &[Chunk]) -> Result<Option<Chunk>, StageError> {
        let (Some(first), [_, _, ..]) = (parts.first(), parts) else { return Ok(parts.first().cloned()) };
        let groups = parts.iter().flat_map(|part| part.groups.values()).copied();
        let panes = parts.iter().flat_map(|part| part.panes.iter().flat_map(|panes| panes.values())).copied();
        Ok(Some(Chunk {
            batch: concat_batches(&first.batch.schema(), parts.iter().map(|part| &part.batch))?,
            groups: groups.collect(),
            watermarks: parts.iter().flat_map(|part| part.watermarks.values()).copied().collect(),
            origin: parts.iter().flat_map(|part| part.origin.values()).copied().collect(),
            panes: first.panes.is_some().then(|| panes.collect()),
            gone: gone_of(parts),
        }))
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
        Ok(vec![Chunk { gone: gone_of(&chunks), ..Chunk::made(batch, groups.collect()) }])
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
            gone: None,
        }
    }
}

/// Which rows of several chunks are gone, where rows of one of them take the place of each other.
fn gone_of(chunks: &[Chunk]) -> Option<BooleanArray> {
    chunks.iter().any(|chunk| chunk.gone.is_some()).then(|| {
        let of = |chunk: &Chunk| match &chunk.gone {
            Some(gone) => gone.values().iter().collect::<Vec<_>>(),
            None => vec![false; chunk.rows()],
        };
        chunks.iter().flat_map(of).collect::<Vec<bool>>().into()
    })
}

/// A column of equal values.
pub(crate) fn constant_i64(value: i64, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value; rows]))
}

/// Keeps the values for which `keep` is true, one for each in their order.
pub(crate) fn retain<T>(values: &mut Vec<T>, mut keep: impl Iterator<Item = bool>) {
    values.retain(|_| keep.next().unwrap_or(false));
}
