//! How rows that came out differ from those that come out now, by what they are known by. Never enters: where they come from.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::interleave_record_batch;
use hashbrown::HashMap;

use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::op::row_key::{RowKeys, check_type};

/// Rows that came out, and have not come again.
pub(super) struct Before<'a> {
    chunks: &'a [Chunk],
    identity: &'a [usize],
    /// The columns of each chunk's rows; nothing where some cannot be compared, and so all are taken for others.
    contents: Option<Vec<RowKeys<'a>>>,
    /// By key group and identity: the chunk, and the row in it.
    known: HashMap<Box<[u8]>, (u32, u32)>,
}

impl<'a> Before<'a> {
    pub(super) fn new(chunks: &'a [Chunk], identity: &'a [usize]) -> Before<'a> {
        let comparable = chunks.first().is_none_or(|chunk| {
            chunk.batch.schema_ref().fields().iter().all(|field| check_type(field).is_ok())
        });
        let contents =
            comparable.then(|| chunks.iter().map(|chunk| RowKeys::new(chunk.batch.columns())).collect());
        let mut known = HashMap::new();
        let mut id = Vec::new();
        for (chunk, number) in chunks.iter().zip(0u32..) {
            let columns = identity_of(chunk, identity);
            let columns = RowKeys::new(&columns);
            for row in 0..chunk.rows() as u32 {
                columns.write(row as usize, &mut id);
                known.insert(id.as_slice().into(), (number, row));
            }
        }
        Before { chunks, identity, contents, known }
    }

    /// The rows that did not come out before, or as others; all of them, where that is asked for.
    pub(super) fn differs(&mut self, chunk: Chunk, all: bool) -> Result<Option<Chunk>, StageError> {
        let columns = identity_of(&chunk, self.identity);
        let columns = RowKeys::new(&columns);
        let contents = self.contents.as_ref().map(|_| RowKeys::new(chunk.batch.columns()));
        let (mut id, mut was, mut is) = (Vec::new(), Vec::new(), Vec::new());
        let mut keep = Vec::with_capacity(chunk.rows());
        for row in 0..chunk.rows() {
            columns.write(row, &mut id);
            let same = match (self.known.remove(id.as_slice()), &self.contents, &contents) {
                (Some((number, at)), Some(before), Some(now)) => {
                    before[number as usize].write(at as usize, &mut was);
                    now.write(row, &mut is);
                    was == is
                }
                _ => false,
            };
            keep.push(all || !same);
        }
        let mut chunk = chunk.filter(&BooleanArray::from(keep))?;
        chunk.gone = Some(vec![false; chunk.rows()].into());
        Ok(Some(chunk).filter(|chunk| chunk.rows() > 0))
    }

    /// The rows that have not come again.
    pub(super) fn gone(self) -> Result<Option<Chunk>, StageError> {
        let mut places: Vec<(usize, usize)> =
            self.known.into_values().map(|(chunk, row)| (chunk as usize, row as usize)).collect();
        if places.is_empty() {
            return Ok(None);
        }
        places.sort_unstable();
        let batches: Vec<_> = self.chunks.iter().map(|chunk| &chunk.batch).collect();
        let groups = places.iter().map(|(chunk, row)| self.chunks[*chunk].groups.value(*row));
        let groups = UInt32Array::from_iter_values(groups);
        let mut chunk = Chunk::made(interleave_record_batch(&batches, &places)?, groups);
        chunk.gone = Some(vec![true; chunk.rows()].into());
        Ok(Some(chunk))
    }
}

fn identity_of(chunk: &Chunk, columns: &[usize]) -> Vec<ArrayRef> {
    let columns = columns.iter().map(|at| Arc::clone(chunk.batch.column(*at)));
    std::iter::once(Arc::new(chunk.groups.clone()) as ArrayRef).chain(columns).collect()
}
