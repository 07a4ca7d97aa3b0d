//! The rows of two windows that are over, joined. Both sides fire at the same commit, since both go by the least of their
//! watermarks, so what fires holds all that can match. Rows meet within their key group: which worker has it changes no
//! result.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt32Builder};
use arrow::compute::{concat, concat_batches, take};
use arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::chunk::Chunk;
use super::join::evaluate;
use super::row_key::RowKeys;
use crate::error::StageError;

const NONE: u32 = u32::MAX;
/// How many pairs are looked at, and given, at once.
const PAIRS_MAX: usize = 65_536;

/// One side of a join.
pub(crate) struct Side {
    pub(crate) schema: SchemaRef,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Whether rows without a match go on, with nulls for the other side.
    pub(crate) outer: bool,
}

/// See the module.
pub(crate) struct WindowJoin {
    pub(crate) left: Side,
    pub(crate) right: Side,
    /// What rows of equal keys have to fulfil too, over the columns of both.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of both.
    pub(crate) schema: SchemaRef,
}

/// Rows of one side with their key groups.
struct Rows {
    batch: RecordBatch,
    groups: UInt32Array,
}

impl Rows {
    fn of(chunks: &[Chunk], schema: &SchemaRef) -> Result<Rows, StageError> {
        let batch = concat_batches(schema, chunks.iter().map(|chunk| &chunk.batch))?;
        let groups: Vec<&dyn Array> = chunks.iter().map(|chunk| &chunk.groups as &dyn Array).collect();
        let groups = match groups.is_empty() {
            true => UInt32Array::from(Vec::<u32>::new()),
            false => concat(&groups)?.as_primitive::<UInt32Type>().clone(),
        };
        Ok(Rows { batch, groups })
    }
}

/// Places of rows that belong together; null where a side has none.
#[derive(Default)]
struct Pairs {
    left: Vec<Option<u32>>,
    right: Vec<Option<u32>>,
}

/// Some of them.
type Slice<'a> = (&'a [Option<u32>], &'a [Option<u32>]);

impl Pairs {
    /// All of them, so many at once.
    fn slices(&self, at_once: usize) -> impl Iterator<Item = Slice<'_>> {
        self.left.chunks(at_once).zip(self.right.chunks(at_once))
    }

    fn push(&mut self, left: Option<u32>, right: Option<u32>) {
        self.left.push(left);
        self.right.push(right);
    }
}

impl WindowJoin {
    /// Joins what fired; `whole`: as one chunk.
    pub(crate) fn run(&self, left: &[Chunk], right: &[Chunk], whole: bool) -> Result<Vec<Chunk>, StageError> {
        if left.is_empty() && right.is_empty() {
            return Ok(Vec::new());
        }
        let (left, right) = (Rows::of(left, &self.left.schema)?, Rows::of(right, &self.right.schema)?);
        let mut pairs = self.equal(&left, &right)?;
        if let Some(filter) = &self.filter {
            let mut keep = Vec::with_capacity(pairs.left.len());
            for slice in pairs.slices(PAIRS_MAX) {
                let both = self.rows(&left, &right, slice)?;
                let found = filter.evaluate(&both.batch)?.into_array(both.rows())?;
                keep.extend(found.as_boolean().iter().map(|keep| keep == Some(true)));
            }
            keep_pairs(&mut pairs, &keep);
        }
        let left_alone: Vec<u32> = match self.left.outer {
            true => unmatched(&pairs.left, left.batch.num_rows()).collect(),
            false => Vec::new(),
        };
        if self.right.outer {
            unmatched(&pairs.right, right.batch.num_rows()).for_each(|row| pairs.push(None, Some(row)));
        }
        left_alone.into_iter().for_each(|row| pairs.push(Some(row), None));
        let at_once = if whole { pairs.left.len().max(1) } else { PAIRS_MAX };
        let chunks = pairs.slices(at_once).map(|slice| self.rows(&left, &right, slice));
        chunks.filter(|chunk| chunk.as_ref().map_or(true, |chunk| chunk.rows() > 0)).collect()
    }

    /// The rows of both sides that have the same key and key group. A null equals nothing.
    fn equal(&self, left: &Rows, right: &Rows) -> Result<Pairs, StageError> {
        let mut pairs = Pairs::default();
        let right_keys = keys(&self.right, right)?;
        let right_keys = RowKeys::new(&right_keys);
        let rows = right.batch.num_rows();
        let mut first: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(rows);
        let mut next = vec![NONE; rows];
        let mut key = Vec::new();
        // From the last row on, so that the matches of a key come out in their order.
        for row in (0..rows).rev().filter(|row| !right_keys.any_null(*row)) {
            right_keys.write(row, &mut key);
            match first.get_mut(key.as_slice()) {
                Some(head) => next[row] = std::mem::replace(head, row as u32),
                None => drop(first.insert(key.as_slice().into(), row as u32)),
            }
        }
        let left_keys = keys(&self.left, left)?;
        let left_keys = RowKeys::new(&left_keys);
        for row in (0..left.batch.num_rows()).filter(|row| !left_keys.any_null(*row)) {
            left_keys.write(row, &mut key);
            let mut found = *first.get(key.as_slice()).unwrap_or(&NONE);
            while found != NONE {
                pairs.push(Some(row as u32), Some(found));
                found = next[found as usize];
            }
        }
        Ok(pairs)
    }

    /// The columns of both sides for pairs of rows.
    fn rows(&self, left: &Rows, right: &Rows, pairs: Slice<'_>) -> Result<Chunk, StageError> {
        let mut groups = UInt32Builder::with_capacity(pairs.0.len());
        for pair in pairs.0.iter().zip(pairs.1) {
            groups.append_value(match pair {
                (Some(row), _) => left.groups.value(*row as usize),
                (None, row) => right.groups.value(row.expect("a row of one side") as usize),
            });
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (side, places) in [(left, pairs.0), (right, pairs.1)] {
            let places: UInt32Array = places.iter().copied().collect();
            for column in side.batch.columns() {
                columns.push(take(column, &places, None)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.0.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Chunk::made(batch, groups.finish()))
    }
}

/// The columns of a side's key, the key group with them.
fn keys(side: &Side, rows: &Rows) -> Result<Vec<ArrayRef>, StageError> {
    let mut keys: Vec<ArrayRef> = vec![Arc::new(rows.groups.clone())];
    keys.extend(evaluate(&side.keys, &rows.batch)?);
    Ok(keys)
}

fn keep_pairs(pairs: &mut Pairs, keep: &[bool]) {
    for rows in [&mut pairs.left, &mut pairs.right] {
        let mut keep = keep.iter();
        rows.retain(|_| keep.next().copied().unwrap_or(false));
    }
}

/// The rows of a side that are in no pair.
fn unmatched(matched: &[Option<u32>], rows: usize) -> impl Iterator<Item = u32> + use<> {
    let mut has_match = vec![false; rows];
    matched.iter().flatten().for_each(|row| has_match[*row as usize] = true);
    (0..rows as u32).filter(move |row| !has_match[*row as usize])
}
