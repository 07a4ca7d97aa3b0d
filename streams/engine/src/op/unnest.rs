//! Rows whose lists become rows: `unnest(lines)` gives a row for each item, with the other columns beside it. Never enters: SQL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::chunk::Chunk;
use crate::error::StageError;

/// Where an output column comes from, by the number of the input column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnnestColumn {
    /// The value, beside each item.
    Beside(usize),
    /// The items of the list.
    Items(usize),
    /// This field of the struct.
    Field(usize, usize),
}

pub(crate) struct UnnestStep {
    pub(crate) columns: Vec<UnnestColumn>,
    /// Whether a row whose lists are null gives one row all the same.
    pub(crate) keeps_null: bool,
    pub(crate) schema: SchemaRef,
}

impl UnnestStep {
    pub(crate) fn run(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        let lists: Vec<&ListArray> = self
            .columns
            .iter()
            .filter_map(|column| match column {
                UnnestColumn::Items(at) => Some(chunk.batch.column(*at).as_list::<i32>()),
                _ => None,
            })
            .collect();
        // Of each row that comes out, the row that it is of, and its place among that row's items.
        let (mut of, mut places) = (Vec::new(), Vec::new());
        for row in 0..chunk.rows() {
            // What lies under a null is no item.
            let lengths = lists.iter().filter(|list| list.is_valid(row)).map(|list| list.value_length(row));
            let items = match lengths.max() {
                Some(items) => items as u32,
                None => u32::from(self.keeps_null || lists.is_empty()),
            };
            of.extend(std::iter::repeat_n(row as u32, items as usize));
            places.extend(0..items);
        }
        let is_same = of.len() == chunk.rows() && of.iter().zip(0..).all(|(row, at)| *row == at);
        let source = chunk.batch.clone();
        let rows = UInt32Array::from(of);
        let chunk = if is_same { chunk } else { chunk.take(&rows)? };
        let items = |list: &ListArray| -> Result<ArrayRef, StageError> {
            let offsets = list.value_offsets();
            let place = |(row, place): (&u32, &u32)| {
                let row = *row as usize;
                // A shorter list beside a longer one has nulls behind its end.
                let is_there = list.is_valid(row) && (*place as i32) < list.value_length(row);
                is_there.then(|| offsets[row] as u32 + place)
            };
            let at: UInt32Array = rows.values().iter().zip(&places).map(place).collect();
            Ok(take(list.values(), &at, None)?)
        };
        let columns = self.columns.iter().map(|column| match column {
            UnnestColumn::Beside(at) => Ok(Arc::clone(chunk.batch.column(*at))),
            UnnestColumn::Items(at) => items(source.column(*at).as_list::<i32>()),
            UnnestColumn::Field(at, field) => {
                let of = chunk.batch.column(*at).as_struct();
                // A field of a null is null.
                let (_, fields, nulls) = of.clone().into_parts();
                match nulls {
                    None => Ok(Arc::clone(&fields[*field])),
                    Some(nulls) => {
                        let at: UInt32Array = (0..of.len() as u32)
                            .map(|row| nulls.is_valid(row as usize).then_some(row))
                            .collect();
                        Ok(take(&fields[*field], &at, None)?)
                    }
                }
            }
        });
        let columns = columns.collect::<Result<Vec<_>, StageError>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        Ok(Chunk { batch, ..chunk })
    }
}
