//! Gives each row its window, and takes out those that are late. The verdict is by the watermark just before the row
//! in its partition, so that batches do not matter (SM-3).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{FieldRef, Schema, SchemaRef, TimestampMillisecondType};
use millstream_model::{LateRule, Tumbling, Verdict, Watermark};

use super::chunk::Chunk;
use crate::error::StageError;

pub(crate) struct WindowStep {
    /// The event time's column; it is not nullable.
    pub(crate) time: usize,
    pub(crate) windows: Tumbling,
    /// Set when an aggregate follows: without one no window ever closes, and no row is late.
    pub(crate) late: Option<LateRule>,
    /// The input's columns, then `window_start` and `window_end`.
    pub(crate) schema: SchemaRef,
}

impl WindowStep {
    pub(crate) fn run(&self, chunk: Chunk, late: &mut Vec<u32>) -> Result<Chunk, StageError> {
        let chunk = match &self.late {
            Some(rule) => self.on_time(chunk, rule, late)?,
            None => chunk,
        };
        let times = chunk.batch.column(self.time).as_primitive::<TimestampMillisecondType>();
        let starts: Vec<i64> = times.values().iter().map(|time| self.windows.start_of(*time)).collect();
        let ends: Vec<i64> = starts.iter().map(|start| self.windows.end_of(*start)).collect();
        let mut columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
        for bounds in [starts, ends] {
            columns.push(Arc::new(TimestampMillisecondArray::from(bounds).with_timezone("UTC")));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Chunk { batch, ..chunk })
    }

    fn on_time(&self, chunk: Chunk, rule: &LateRule, late: &mut Vec<u32>) -> Result<Chunk, StageError> {
        let times = chunk.batch.column(self.time).as_primitive::<TimestampMillisecondType>();
        let before = late.len();
        let mut keep = vec![true; chunk.rows()];
        for (row, (time, watermark)) in times.values().iter().zip(chunk.watermarks.values()).enumerate() {
            if rule.verdict(self.windows, *time, Watermark::from_raw(*watermark)) == Verdict::Late {
                keep[row] = false;
                late.push(chunk.origin.value(row));
            }
        }
        if late.len() == before { Ok(chunk) } else { chunk.filter(&BooleanArray::from(keep)) }
    }
}

/// Adds each row's window start behind its other columns, from its window's end.
pub(crate) fn start_from_end(chunk: Chunk, end: usize, windows: Tumbling) -> Result<Chunk, StageError> {
    let ends = chunk.batch.column(end).as_primitive::<TimestampMillisecondType>();
    let starts: TimestampMillisecondArray = ends.unary(|end| end - windows.size_ms());
    let mut columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
    columns.push(Arc::new(starts.with_timezone("UTC")));
    let mut fields: Vec<FieldRef> = chunk.batch.schema().fields().to_vec();
    fields.push(Arc::new(fields[end].as_ref().clone().with_name("window_start")));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(Chunk { batch, ..chunk })
}
