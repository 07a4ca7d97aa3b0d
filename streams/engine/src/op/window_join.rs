//! The rows of two windows that are over, joined. Both sides fire at the same commit, since both go by the least of their
//! watermarks, so what fires holds all that can match, and so what has no match is known too. Rows meet within their key
//! group: which worker has it changes no result.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt32Builder,
};
use arrow::compute::{concat, concat_batches, filter, filter_record_batch, take};
use arrow::datatypes::{SchemaRef, UInt32Type};
use datafusion_physical_expr::PhysicalExpr;

use super::chunk::{Chunk, retain};
use super::faults::{Fault, Faults, evaluate_fit, true_of};
use super::join_kind::{JoinKind, JoinSide};
use super::row_index::RowIndex;
use super::stored_rows::{Portion, row_bytes};
use crate::error::StageError;

/// How many rows of the left side are looked at together at least.
const PART_ROWS: usize = 8_192;

/// One side of a join.
pub(crate) struct Side {
    pub(crate) schema: SchemaRef,
    pub(crate) keys: Vec<Arc<dyn PhysicalExpr>>,
}

/// See the module.
pub(crate) struct WindowJoin {
    pub(crate) kind: JoinKind,
    pub(crate) left: Side,
    pub(crate) right: Side,
    /// What rows of equal keys have to fulfil too, over the columns of both.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of both, as pairs have them.
    pub(crate) both: SchemaRef,
}

/// Rows of one side with their key groups.
struct Rows {
    batch: RecordBatch,
    groups: UInt32Array,
}

impl Rows {
    fn of(chunks: &[Chunk], schema: &SchemaRef) -> Result<Rows, StageError> {
        if let [chunk] = chunks {
            return Ok(Rows { batch: chunk.batch.clone(), groups: chunk.groups.clone() });
        }
        let batch = concat_batches(schema, chunks.iter().map(|chunk| &chunk.batch))?;
        let groups: Vec<&dyn Array> = chunks.iter().map(|chunk| &chunk.groups as &dyn Array).collect();
        let groups = match groups.is_empty() {
            true => UInt32Array::from(Vec::<u32>::new()),
            false => concat(&groups)?.as_primitive::<UInt32Type>().clone(),
        };
        Ok(Rows { batch, groups })
    }

    /// Those for which `keep` is true, as they are.
    fn part(&self, keep: impl Iterator<Item = bool>) -> Result<Option<Chunk>, StageError> {
        let keep: BooleanArray = keep.map(Some).collect();
        if keep.true_count() == 0 {
            return Ok(None);
        }
        let groups = filter(&self.groups, &keep)?.as_primitive::<UInt32Type>().clone();
        Ok(Some(Chunk::made(filter_record_batch(&self.batch, &keep)?, groups)))
    }
}

/// How many pairs are looked at, and given, at once.
fn pairs_at_once(left: &Rows, right: &Rows) -> usize {
    Portion::rows_of(row_bytes(&left.batch) + row_bytes(&right.batch))
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

/// Chunks that are looked at together, so that many small ones cost no more than a large one.
fn parts(chunks: &[Chunk]) -> impl Iterator<Item = &[Chunk]> {
    let mut left = chunks;
    std::iter::from_fn(move || {
        let mut rows = 0;
        let enough = left.iter().position(|chunk| {
            rows += chunk.rows();
            rows >= PART_ROWS
        });
        let (part, rest) = left.split_at(enough.map_or(left.len(), |at| at + 1));
        left = rest;
        (!part.is_empty()).then_some(part)
    })
}

impl WindowJoin {
    /// Joins what fired; `whole`: as one chunk. The right side is held in an index; the left one passes by, as it came. Rows whose
    /// key cannot be computed, and pairs whose condition cannot, are put among the faults.
    pub(crate) fn run(
        &self,
        left: &[Chunk],
        right: &[Chunk],
        whole: bool,
        faults: &mut Faults,
    ) -> Result<Vec<Chunk>, StageError> {
        if left.is_empty() && right.is_empty() {
            return Ok(Vec::new());
        }
        let (right, keys) = keys(&self.right, Rows::of(right, &self.right.schema)?, faults)?;
        let index = RowIndex::new(&keys);
        let given = match self.kind.given() {
            None => self.pairs(left, &right, &index, faults)?,
            Some(side) => self.rows_of(side, left, &right, &index, faults)?,
        };
        if whole { Chunk::joined(given) } else { Ok(given) }
    }

    /// Pairs, and rows without one where their side is outer.
    fn pairs(
        &self,
        left: &[Chunk],
        right: &Rows,
        index: &RowIndex,
        faults: &mut Faults,
    ) -> Result<Vec<Chunk>, StageError> {
        let mut has_match = vec![false; right.batch.num_rows()];
        let mut given = Vec::new();
        for part in parts(left) {
            let (left, keys) = keys(&self.left, Rows::of(part, &self.left.schema)?, faults)?;
            let (mut pairs, unknown) = self.found((&left, &keys), right, index, faults)?;
            let with_match = pairs.right.iter().chain(&unknown.right);
            with_match.flatten().for_each(|row| has_match[*row as usize] = true);
            if self.kind.gives_unmatched(JoinSide::Left) {
                let with_match = pairs.left.iter().chain(&unknown.left);
                let alone = unmatched(with_match, left.batch.num_rows());
                alone.into_iter().for_each(|row| pairs.push(Some(row), None));
            }
            for slice in pairs.slices(pairs_at_once(&left, right)) {
                given.push(self.rows(&left, right, slice)?);
            }
        }
        if self.kind.gives_unmatched(JoinSide::Right) {
            let left = Rows::of(&[], &self.left.schema)?;
            let mut pairs = Pairs::default();
            let alone = (0..right.batch.num_rows() as u32).filter(|row| !has_match[*row as usize]);
            alone.for_each(|row| pairs.push(None, Some(row)));
            for slice in pairs.slices(pairs_at_once(&left, right)) {
                given.push(self.rows(&left, right, slice)?);
            }
        }
        Ok(given)
    }

    /// The pairs that fulfil the condition, and those of which that is not known.
    fn found(
        &self,
        (left, keys): (&Rows, &[ArrayRef]),
        right: &Rows,
        index: &RowIndex,
        faults: &mut Faults,
    ) -> Result<(Pairs, Pairs), StageError> {
        let (mut pairs, mut unknown) = (Pairs::default(), Pairs::default());
        index.meet(keys, |row, found| {
            if found.is_some() {
                pairs.push(Some(row), found);
            }
        });
        let Some(filter) = &self.filter else { return Ok((pairs, unknown)) };
        let mut keep = Vec::with_capacity(pairs.left.len());
        for slice in pairs.slices(pairs_at_once(left, right)) {
            let both = self.rows(left, right, slice)?;
            let found = true_of(filter, &both.batch, |pair, error| {
                let error = error.computing(|| format!("the condition {filter}"));
                faults.push(Fault { row: both.batch.slice(pair, 1), error });
                unknown.push(slice.0[pair], slice.1[pair]);
            })?;
            keep.extend(found.values().iter());
        }
        retain(&mut pairs.left, keep.iter().copied());
        retain(&mut pairs.right, keep.iter().copied());
        Ok((pairs, unknown))
    }

    /// The rows of one side that match something, or those that match nothing. Without a condition no pair is made: a row of the
    /// left side asks for the first of its key, which then stands for all of them.
    fn rows_of(
        &self,
        side: JoinSide,
        left: &[Chunk],
        right: &Rows,
        index: &RowIndex,
        faults: &mut Faults,
    ) -> Result<Vec<Chunk>, StageError> {
        let wanted = !self.kind.gives_unmatched(side);
        let mut right_matched = vec![false; right.batch.num_rows()];
        let mut given = Vec::new();
        for part in parts(left) {
            let (left, keys) = keys(&self.left, Rows::of(part, &self.left.schema)?, faults)?;
            let mut left_matched = vec![false; left.batch.num_rows()];
            let mut note = |row: u32, found: Option<u32>| {
                if let Some(found) = found {
                    left_matched[row as usize] = true;
                    right_matched[found as usize] = true;
                }
            };
            match &self.filter {
                None => index.meet_first(&keys, note),
                Some(_) => {
                    let (mut pairs, unknown) = self.found((&left, &keys), right, index, faults)?;
                    if !wanted {
                        // Of rows whose match is not known it is not said that they have none.
                        pairs.left.extend(unknown.left);
                        pairs.right.extend(unknown.right);
                    }
                    let pairs = pairs.left.iter().flatten().zip(&pairs.right);
                    pairs.for_each(|(row, found)| note(*row, *found));
                }
            }
            if side == JoinSide::Left {
                given.extend(left.part(left_matched.iter().map(|matched| *matched == wanted))?);
            }
        }
        if side == JoinSide::Right {
            if self.filter.is_none() {
                let first: Vec<u32> =
                    (0..).zip(&right_matched).filter(|(_, found)| **found).map(|(row, _)| row).collect();
                for row in first.into_iter().flat_map(|first| index.rows_from(first)) {
                    right_matched[row as usize] = true;
                }
            }
            given.extend(right.part(right_matched.iter().map(|matched| *matched == wanted))?);
        }
        Ok(given)
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
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.both.fields().len());
        for (side, places) in [(left, pairs.0), (right, pairs.1)] {
            let places: UInt32Array = places.iter().copied().collect();
            for column in side.batch.columns() {
                columns.push(take(column, &places, None)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.0.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.both), columns, &options)?;
        Ok(Chunk::made(batch, groups.finish()))
    }
}

/// The rows of a side that have a key, and its columns, the key group with them.
fn keys(side: &Side, mut rows: Rows, faults: &mut Faults) -> Result<(Rows, Vec<ArrayRef>), StageError> {
    let (columns, fit) = evaluate_fit(&side.keys, &rows.batch, |row, error| {
        let error = error.computing(|| "a key".to_owned());
        faults.push(Fault { row: rows.batch.slice(row, 1), error });
    })?;
    if let Some(fit) = fit {
        rows.groups = filter(&rows.groups, &fit)?.as_primitive::<UInt32Type>().clone();
        rows.batch = filter_record_batch(&rows.batch, &fit)?;
    }
    let mut keys: Vec<ArrayRef> = vec![Arc::new(rows.groups.clone())];
    keys.extend(columns);
    Ok((rows, keys))
}

/// The rows of a side that are in no pair.
fn unmatched<'a>(matched: impl Iterator<Item = &'a Option<u32>>, rows: usize) -> Vec<u32> {
    let mut has_match = vec![false; rows];
    matched.flatten().for_each(|row| has_match[*row as usize] = true);
    (0..rows as u32).filter(|row| !has_match[*row as usize]).collect()
}
