//! A stream joined with a table: each row meets the table as it is when the row comes. The table is handed in whole
//! and indexed by the join's key; handing it in again replaces it, and single rows are replaced by what tells them apart.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, SchemaRef};
use bytes::Bytes;
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::Step;
use super::chunk::{Chunk, retain};
use super::faults::by_parts;
use super::gone::blank;
use super::row_key::RowKeys;
use super::table_rows::TableRows;
use crate::error::{StageError, columns};

/// How many pairs are looked at at once.
const PAIRS_MAX: usize = 65_536;

/// What becomes of a stream row that no table row matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmatched {
    /// It is dropped (inner join).
    Drop,
    /// It goes on with nulls (outer join).
    Keep,
    /// It is dropped, and one that a row matches goes on once, as it is (semi join).
    DropOrPass,
    /// It goes on as it is, and one that a row matches is dropped (anti join).
    PassOrDrop,
}

/// On which side of the output the stream's columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamSide {
    Left,
    Right,
}

pub(crate) struct TableJoin {
    pub(crate) operator: String,
    pub(crate) table: String,
    /// The table's columns as they are handed in.
    pub(crate) table_schema: SchemaRef,
    /// What the query does to the table before it joins.
    pub(crate) table_steps: Vec<Step>,
    pub(crate) table_keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) stream_keys: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) unmatched: Unmatched,
    pub(crate) side: StreamSide,
    /// What rows of equal keys have to fulfil too to match, over the columns of both.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of both.
    pub(crate) both: SchemaRef,
    /// Of the columns by which the table's rows are told apart, those that are not compared: where there are some, several rows of it
    /// may match one of the stream.
    pub(crate) not_compared: Vec<String>,
    /// How many columns of the table stand before those of the stream.
    pub(crate) columns_before: usize,
    pub(crate) loaded: Option<TableRows>,
    /// Of a table that is asked: which of the keys those are that it is asked by.
    pub(crate) asked_by: Vec<usize>,
    /// And the keys whose rows cannot be used, with the reason: rows that ask for one of these fail.
    pub(crate) refused: HashMap<Bytes, Arc<str>>,
}

/// Rows of a table that cannot be joined, by their place among those that were handed in.
pub(crate) type UnfitRows = Vec<(usize, StageError)>;

impl TableJoin {
    /// Replaces the table, with those of its rows that can be joined; gives the others.
    pub(crate) fn load(&mut self, table: &RecordBatch) -> Result<UnfitRows, StageError> {
        let before = self.loaded.take();
        let loaded = self.change(table, &[], &[]);
        if loaded.is_err() {
            self.loaded = before;
        }
        loaded
    }

    /// Takes rows away and adds others, which take the place of those with their ids; the ids differ. A row for which what the query
    /// asks of it cannot be computed changes nothing, and is given back.
    pub(crate) fn change(
        &mut self,
        table: &RecordBatch,
        ids: &[Bytes],
        gone: &[Bytes],
    ) -> Result<UnfitRows, StageError> {
        let same = table.num_columns() == self.table_schema.fields().len()
            && table
                .schema()
                .fields()
                .iter()
                .zip(self.table_schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !same {
            return Err(StageError::Schema {
                what: format!("table {}", self.table),
                expected: columns(&self.table_schema),
                found: columns(&table.schema()),
            });
        }
        gone.iter().chain(ids).for_each(|id| drop(self.refused.remove(id)));
        let rows = table.num_rows();
        let mut whole = Chunk::made(table.clone(), UInt32Array::from(vec![0; rows]));
        whole.origin = (0..rows as u32).collect();
        let mut unfit = Vec::new();
        let (chunk, keys) = match self.prepared(whole.clone()) {
            Err(error) if error.is_of_rows() => {
                let mut attempt = |rows: Range<usize>| self.prepared(whole.slice(rows)).map(drop);
                let mut note = |row, error| unfit.push((row, error));
                by_parts(0..rows, &mut attempt, &mut note, &mut Vec::new())?;
                let mut fit = vec![true; rows];
                unfit.iter().for_each(|(row, _)| fit[*row] = false);
                self.prepared(whole.filter(&BooleanArray::from(fit))?)?
            }
            prepared => prepared?,
        };
        let loaded = self.loaded.get_or_insert_with(|| TableRows::new(chunk.batch.schema()));
        gone.iter().for_each(|id| loaded.remove(id));
        // A row that the query's conditions take away takes the place of an earlier one all the same.
        let mut kept = vec![false; rows];
        unfit.iter().for_each(|(row, _)| kept[*row] = true);
        chunk.origin.values().iter().for_each(|row| kept[*row as usize] = true);
        let dropped = ids.iter().zip(&kept).filter(|(_, kept)| !**kept);
        dropped.for_each(|(id, _)| loaded.remove(id));
        let ids: Vec<Bytes> = match ids {
            [] => Vec::new(),
            ids => chunk.origin.values().iter().map(|row| ids[*row as usize].clone()).collect(),
        };
        loaded.add(chunk.batch, keys, &ids)?;
        Ok(unfit)
    }

    /// What is joined of a table's rows, and what it is joined on.
    fn prepared(&self, mut chunk: Chunk) -> Result<(Chunk, Vec<ArrayRef>), StageError> {
        for step in &self.table_steps {
            chunk = step.run(chunk, &mut Vec::new())?;
        }
        let keys = evaluate(&self.table_keys, &chunk.batch)?;
        Ok((chunk, keys))
    }

    /// The first row that asks for a key whose rows cannot be used.
    fn check_refused(&self, keys: &[ArrayRef], rows: usize) -> Result<(), StageError> {
        let columns: Vec<ArrayRef> = self.asked_by.iter().map(|at| Arc::clone(&keys[*at])).collect();
        let (of_rows, mut key) = (RowKeys::new(&columns), Vec::new());
        for row in (0..rows).filter(|row| !of_rows.any_null(*row)) {
            of_rows.write(row, &mut key);
            if let Some(why) = self.refused.get(key.as_slice()) {
                return Err(StageError::LookedUp { table: self.table.clone(), why: Arc::clone(why) });
            }
        }
        Ok(())
    }

    /// Rows that are gone, with blanks for the columns of the table.
    pub(crate) fn run_gone(&self, chunk: Chunk, schema: &SchemaRef) -> Result<Chunk, StageError> {
        let (rows, own) = (chunk.rows(), chunk.batch.num_columns());
        let first = self.columns_before;
        let column = |(at, field): (usize, &Arc<Field>)| match at.checked_sub(first).filter(|at| *at < own) {
            Some(at) => Ok(Arc::clone(chunk.batch.column(at))),
            None => blank(field, rows),
        };
        let columns = schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        Ok(Chunk { batch, ..chunk })
    }

    pub(crate) fn run(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        let table = self.loaded.as_ref().ok_or_else(|| StageError::TableMissing {
            operator: self.operator.clone(),
            table: self.table.clone(),
        })?;
        let keys = evaluate(&self.stream_keys, &chunk.batch)
            .map_err(|error| error.computing(|| format!("what table {} is joined on", self.table)))?;
        if !self.refused.is_empty() {
            self.check_refused(&keys, chunk.rows())?;
        }
        if let Unmatched::DropOrPass | Unmatched::PassOrDrop = self.unmatched {
            let mut keep = vec![self.unmatched == Unmatched::PassOrDrop; chunk.rows()];
            let mut note = |row: u32| keep[row as usize] = self.unmatched == Unmatched::DropOrPass;
            match &self.filter {
                None => table.meet_first(&keys, |row, found| {
                    if found.is_some() {
                        note(row);
                    }
                }),
                Some(filter) => {
                    let mut pairs = Pairs::default();
                    table.meet(&keys, |row, found| pairs.push_found(row, found));
                    self.keep_true(filter.as_ref(), table, &chunk, &mut pairs)?;
                    pairs.stream.into_iter().for_each(note);
                }
            }
            return chunk.filter(&BooleanArray::from(keep));
        }
        let mut pairs = Pairs::default();
        let keeps_all = self.unmatched == Unmatched::Keep;
        match &self.filter {
            None => table.meet(&keys, |row, found| match found {
                None if keeps_all => pairs.push(row, None),
                _ => pairs.push_found(row, found),
            }),
            Some(filter) => {
                table.meet(&keys, |row, found| pairs.push_found(row, found));
                self.keep_true(filter.as_ref(), table, &chunk, &mut pairs)?;
                if keeps_all {
                    pairs = pairs.with_all(chunk.rows());
                }
            }
        }
        let every_row_once = pairs.stream.len() == chunk.rows()
            && pairs.stream.iter().enumerate().all(|(i, r)| i == *r as usize);
        let chunk = if every_row_once { chunk } else { chunk.take(&UInt32Array::from(pairs.stream))? };
        let batch = self.columns(table, &chunk.batch, &pairs.table)?;
        Ok(Chunk { batch, ..chunk })
    }

    /// Keeps the pairs for which the condition is true.
    fn keep_true(
        &self,
        filter: &dyn PhysicalExpr,
        table: &TableRows,
        chunk: &Chunk,
        pairs: &mut Pairs,
    ) -> Result<(), StageError> {
        let mut keep = Vec::with_capacity(pairs.stream.len());
        for (stream, rows) in pairs.stream.chunks(PAIRS_MAX).zip(pairs.table.chunks(PAIRS_MAX)) {
            let stream = take_record_batch(&chunk.batch, &UInt32Array::from(stream.to_vec()))?;
            let both = self.columns(table, &stream, rows)?;
            let found = filter.evaluate(&both).and_then(|found| found.into_array(both.num_rows()));
            let found =
                found.map_err(|e| StageError::from(e).computing(|| format!("the condition {filter}")))?;
            keep.extend(found.as_boolean().iter().map(|keep| keep == Some(true)));
        }
        retain(&mut pairs.stream, keep.iter().copied());
        retain(&mut pairs.table, keep.iter().copied());
        Ok(())
    }

    /// The columns of both, of stream rows and of the table rows beside them.
    fn columns(
        &self,
        table: &TableRows,
        stream: &RecordBatch,
        rows: &[Option<u32>],
    ) -> Result<RecordBatch, StageError> {
        let table_columns = table.columns(rows)?;
        let stream_columns = stream.columns().to_vec();
        let columns = match self.side {
            StreamSide::Left => [stream_columns, table_columns].concat(),
            StreamSide::Right => [table_columns, stream_columns].concat(),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(stream.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.both), columns, &options)?)
    }
}

/// Rows of a stream, rising, and of each the number of a table row beside it.
#[derive(Default)]
struct Pairs {
    stream: Vec<u32>,
    table: Vec<Option<u32>>,
}

impl Pairs {
    fn push(&mut self, stream: u32, table: Option<u32>) {
        self.stream.push(stream);
        self.table.push(table);
    }

    fn push_found(&mut self, stream: u32, table: Option<u32>) {
        if table.is_some() {
            self.push(stream, table);
        }
    }

    /// With the stream's rows that are in none, each in its place.
    fn with_all(self, rows: usize) -> Pairs {
        let mut all = Pairs::default();
        let mut pairs = self.stream.into_iter().zip(self.table).peekable();
        for row in 0..rows as u32 {
            if pairs.peek().is_none_or(|(of, _)| *of != row) {
                all.push(row, None);
            }
            while let Some((_, table)) = pairs.next_if(|(of, _)| *of == row) {
                all.push(row, table);
            }
        }
        all
    }
}

/// The values of expressions over a batch.
pub(crate) fn evaluate(
    exprs: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
) -> Result<Vec<ArrayRef>, StageError> {
    // The schema is not looked at; only the columns are wanted.
    let rows = batch.num_rows();
    exprs.iter().map(|e| Ok(e.evaluate(batch)?.into_array(rows)?)).collect()
}
