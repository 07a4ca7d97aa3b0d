//! A stream joined with a table: each row meets the table as it is when the row comes. The table is handed in whole
//! and indexed by the join's key; handing it in again replaces it, and single rows are replaced by what tells them apart.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion_physical_expr::PhysicalExpr;

use super::Step;
use super::chunk::{Chunk, retain};
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
    pub(crate) loaded: Option<TableRows>,
}

impl TableJoin {
    /// Replaces the table.
    pub(crate) fn load(&mut self, table: &RecordBatch) -> Result<(), StageError> {
        let before = self.loaded.take();
        let loaded = self.change(table, &[], &[]);
        if loaded.is_err() {
            self.loaded = before;
        }
        loaded
    }

    /// Takes rows away and adds others, which take the place of those with their ids; the ids differ.
    pub(crate) fn change(
        &mut self,
        table: &RecordBatch,
        ids: &[Bytes],
        gone: &[Bytes],
    ) -> Result<(), StageError> {
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
        let rows = table.num_rows();
        let mut chunk = Chunk::made(table.clone(), UInt32Array::from(vec![0; rows]));
        chunk.origin = (0..rows as u32).collect();
        for step in &self.table_steps {
            chunk = step.run(chunk, &mut Vec::new())?;
        }
        let keys = evaluate(&self.table_keys, &chunk.batch)?;
        let loaded = self.loaded.get_or_insert_with(|| TableRows::new(chunk.batch.schema()));
        gone.iter().for_each(|id| loaded.remove(id));
        // A row that the query's conditions take away takes the place of an earlier one all the same.
        let mut kept = vec![false; rows];
        chunk.origin.values().iter().for_each(|row| kept[*row as usize] = true);
        let dropped = ids.iter().zip(&kept).filter(|(_, kept)| !**kept);
        dropped.for_each(|(id, _)| loaded.remove(id));
        let ids: Vec<Bytes> = match ids {
            [] => Vec::new(),
            ids => chunk.origin.values().iter().map(|row| ids[*row as usize].clone()).collect(),
        };
        loaded.add(chunk.batch, keys, &ids)
    }

    pub(crate) fn run(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        let table = self.loaded.as_ref().ok_or_else(|| StageError::TableMissing {
            operator: self.operator.clone(),
            table: self.table.clone(),
        })?;
        let keys = evaluate(&self.stream_keys, &chunk.batch)?;
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
            let found = filter.evaluate(&both)?.into_array(both.num_rows())?;
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
