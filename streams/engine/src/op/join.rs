//! A stream joined with a table: each row meets the table as it is when the row comes. The table is handed in whole
//! and indexed by the join's key; handing it in again replaces it, and single rows are replaced by what tells them apart.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion_physical_expr::PhysicalExpr;

use super::Step;
use super::chunk::Chunk;
use super::table_rows::TableRows;
use crate::error::{StageError, columns};

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
    pub(crate) schema: SchemaRef,
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
        if let Unmatched::DropOrPass | Unmatched::PassOrDrop = self.unmatched {
            let mut keep = vec![self.unmatched == Unmatched::PassOrDrop; chunk.rows()];
            table.meet(&evaluate(&self.stream_keys, &chunk.batch)?, |row, found| {
                if found.is_some() {
                    keep[row as usize] = self.unmatched == Unmatched::DropOrPass;
                }
            });
            return chunk.filter(&BooleanArray::from(keep));
        }
        let mut stream_rows: Vec<u32> = Vec::with_capacity(chunk.rows());
        let mut table_rows: Vec<Option<u32>> = Vec::with_capacity(chunk.rows());
        let keeps_all = self.unmatched == Unmatched::Keep;
        table.meet(&evaluate(&self.stream_keys, &chunk.batch)?, |row, found| {
            if keeps_all || found.is_some() {
                stream_rows.push(row);
                table_rows.push(found);
            }
        });
        let every_row_once = stream_rows.len() == chunk.rows()
            && stream_rows.iter().enumerate().all(|(i, r)| i == *r as usize);
        let chunk = if every_row_once { chunk } else { chunk.take(&UInt32Array::from(stream_rows))? };
        let table_columns = table.columns(&table_rows)?;
        let stream_columns = chunk.batch.columns().to_vec();
        let columns = match self.side {
            StreamSide::Left => [stream_columns, table_columns].concat(),
            StreamSide::Right => [table_columns, stream_columns].concat(),
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
