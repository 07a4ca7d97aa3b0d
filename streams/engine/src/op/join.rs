//! A stream joined with a table: each row meets the table as it is when the row comes. The table is handed in whole
//! and indexed by the join's key; handing it in again replaces it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use hashbrown::HashMap;

use super::Step;
use super::chunk::Chunk;
use super::row_key::RowKeys;
use crate::error::{StageError, columns};

/// What becomes of a stream row that no table row matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmatched {
    /// It is dropped (inner join).
    Drop,
    /// It goes on with nulls (outer join).
    Keep,
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
    pub(crate) schema: SchemaRef,
    pub(crate) loaded: Option<Loaded>,
}

/// A table with its index: the first row of each key, and for each row the next of the same key.
pub(crate) struct Loaded {
    batch: RecordBatch,
    first: HashMap<Box<[u8]>, u32>,
    next: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl TableJoin {
    /// Replaces the table.
    pub(crate) fn load(&mut self, table: &RecordBatch) -> Result<(), StageError> {
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
        for step in &self.table_steps {
            chunk = step.run(chunk, &mut Vec::new())?;
        }
        let batch = chunk.batch;
        let keys = evaluate(&self.table_keys, &batch)?;
        let keys = RowKeys::new(&keys);
        let mut first: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(batch.num_rows());
        let mut next = vec![NONE; batch.num_rows()];
        let mut key = Vec::new();
        // From the last row on, so that the matches of a key come out in the table's order.
        for row in (0..batch.num_rows()).rev().filter(|row| !keys.any_null(*row)) {
            keys.write(row, &mut key);
            match first.get_mut(key.as_slice()) {
                Some(head) => next[row] = std::mem::replace(head, row as u32),
                None => drop(first.insert(key.as_slice().into(), row as u32)),
            }
        }
        self.loaded = Some(Loaded { batch, first, next });
        Ok(())
    }

    pub(crate) fn run(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        let table = self.loaded.as_ref().ok_or_else(|| StageError::TableMissing {
            operator: self.operator.clone(),
            table: self.table.clone(),
        })?;
        let keys = evaluate(&self.stream_keys, &chunk.batch)?;
        let keys = RowKeys::new(&keys);
        let mut key = Vec::new();
        let mut stream_rows: Vec<u32> = Vec::with_capacity(chunk.rows());
        let mut table_rows: Vec<Option<u32>> = Vec::with_capacity(chunk.rows());
        for row in 0..chunk.rows() {
            keys.write(row, &mut key);
            let mut found =
                if keys.any_null(row) { NONE } else { *table.first.get(key.as_slice()).unwrap_or(&NONE) };
            if found == NONE && self.unmatched == Unmatched::Keep {
                stream_rows.push(row as u32);
                table_rows.push(None);
            }
            while found != NONE {
                stream_rows.push(row as u32);
                table_rows.push(Some(found));
                found = table.next[found as usize];
            }
        }
        let every_row_once = stream_rows.len() == chunk.rows()
            && stream_rows.iter().enumerate().all(|(i, r)| i == *r as usize);
        let chunk = if every_row_once { chunk } else { chunk.take(&UInt32Array::from(stream_rows))? };
        let table_rows = UInt32Array::from(table_rows);
        let table_columns: Result<Vec<ArrayRef>, _> =
            table.batch.columns().iter().map(|column| take(column, &table_rows, None)).collect();
        let stream_columns = chunk.batch.columns().to_vec();
        let columns = match self.side {
            StreamSide::Left => [stream_columns, table_columns?].concat(),
            StreamSide::Right => [table_columns?, stream_columns].concat(),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Chunk { batch, ..chunk })
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
