//! Gives each row its windows, and takes out those that are late. The verdict is by the watermark just before the row
//! in its partition, so that batches do not matter (SM-3).
//!
//! Behind a window every row has a pane. Where windows overlap and an aggregate follows, a row comes out once, with the
//! pane of its slice; a row that some of its windows no longer take comes out once for each of the others. Where the
//! window's bounds themselves are computed with, every row comes out once for each of its windows.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use millstream_model::{EventTime, LateRule, Verdict, Watermark, Window, Windows};

use super::chunk::{Chunk, retain};
use super::windowed::PaneKey;
use crate::error::StageError;

pub(crate) struct WindowStep {
    /// The event time's column; it is not nullable.
    pub(crate) time: usize,
    pub(crate) windows: Windows,
    /// Set when an aggregate follows: without one no window ever closes, and no row is late.
    pub(crate) late: Option<LateRule>,
    /// Whether a row comes out for each of its windows, with that window's bounds, rather than once for its slice.
    pub(crate) spread: bool,
    /// The input's columns, then `window_start` and `window_end`.
    pub(crate) schema: SchemaRef,
}

/// Adds the columns of a session's bounds, which nothing reads until the session is over, and hands on each row's time
/// as its pane's number.
pub(crate) struct SessionStep {
    /// The event time's column; it is not nullable.
    pub(crate) time: usize,
    /// The input's columns, then `window_start` and `window_end`.
    pub(crate) schema: SchemaRef,
}

impl SessionStep {
    pub(crate) fn run(&self, chunk: Chunk) -> Result<Chunk, StageError> {
        let times = Arc::clone(chunk.batch.column(self.time));
        let panes = Int64Array::new(times.as_primitive::<TimestampMillisecondType>().values().clone(), None);
        let mut columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
        columns.extend([Arc::clone(&times), times]);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Chunk { batch, panes: Some(panes), ..chunk })
    }
}

/// Rows as they come out: which of the input's, in which pane, with which bounds.
#[derive(Default)]
struct Placed {
    rows: Vec<u32>,
    panes: Vec<i64>,
    starts: Vec<EventTime>,
    ends: Vec<EventTime>,
}

impl Placed {
    fn push(&mut self, row: usize, pane: i64, window: Window) {
        self.rows.push(row as u32);
        self.panes.push(pane);
        self.starts.push(window.start);
        self.ends.push(window.end);
    }
}

impl WindowStep {
    pub(crate) fn run(&self, chunk: Chunk, late: &mut Vec<u32>) -> Result<Chunk, StageError> {
        if self.windows.is_tumbling() {
            let (chunk, starts) = self.tumbling(chunk, late)?;
            let ends = starts.iter().map(|start| start + self.windows.size_ms()).collect();
            let panes = Int64Array::from(starts.clone());
            return self.with_bounds(chunk, starts, ends, panes);
        }
        let times = chunk.batch.column(self.time).as_primitive::<TimestampMillisecondType>();
        let mut placed = Placed::default();
        for (row, (time, watermark)) in times.values().iter().zip(chunk.watermarks.values()).enumerate() {
            let watermark = Watermark::from_raw(*watermark);
            let verdict = match &self.late {
                Some(rule) => rule.verdict(self.windows, *time, watermark),
                None => Verdict::OnTime,
            };
            let slice = self.windows.slice_of(*time);
            match verdict {
                Verdict::Late => late.push(chunk.origin.value(row)),
                Verdict::OnTime if !self.spread => {
                    // The bounds are the slice's: nothing reads them.
                    let bounds = Window { start: slice, end: slice + self.windows.slice_ms() };
                    placed.push(row, PaneKey::Slice(slice).to_raw(self.windows), bounds);
                }
                Verdict::OnTime | Verdict::Partly => {
                    let open = |window: &Window| match &self.late {
                        Some(rule) => !rule.closed(window.end, watermark),
                        None => true,
                    };
                    for window in self.windows.of_slice(slice, EventTime::MIN).filter(open) {
                        placed.push(row, PaneKey::Whole(window.end).to_raw(self.windows), window);
                    }
                }
            }
        }
        let every_row_once = placed.rows.len() == chunk.rows()
            && placed.rows.iter().enumerate().all(|(place, row)| place == *row as usize);
        let chunk = if every_row_once { chunk } else { chunk.take(&UInt32Array::from(placed.rows))? };
        self.with_bounds(chunk, placed.starts, placed.ends, Int64Array::from(placed.panes))
    }

    fn with_bounds(
        &self,
        chunk: Chunk,
        starts: Vec<EventTime>,
        ends: Vec<EventTime>,
        panes: Int64Array,
    ) -> Result<Chunk, StageError> {
        let mut columns: Vec<ArrayRef> = chunk.batch.columns().to_vec();
        for bounds in [starts, ends] {
            columns.push(Arc::new(TimestampMillisecondArray::from(bounds).with_timezone("UTC")));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(Chunk { batch, panes: Some(panes), ..chunk })
    }

    /// The rows of tumbling windows that are not late, and where the window of each starts.
    fn tumbling(&self, chunk: Chunk, late: &mut Vec<u32>) -> Result<(Chunk, Vec<EventTime>), StageError> {
        let times = chunk.batch.column(self.time).as_primitive::<TimestampMillisecondType>().values();
        let (mut last, size) = (None, self.windows.size_ms());
        let start_of = |time: &EventTime| {
            // Neighbours are mostly of one window: that spares the division.
            let start = last.filter(|start: &EventTime| (0..size).contains(&time.wrapping_sub(*start)));
            let start = start.unwrap_or_else(|| self.windows.slice_of(*time));
            last = Some(start);
            start
        };
        let mut starts: Vec<EventTime> = times.iter().map(start_of).collect();
        let Some(rule) = &self.late else { return Ok((chunk, starts)) };
        let is_late = |(start, watermark): (&EventTime, &i64)| {
            rule.closed(start + size, Watermark::from_raw(*watermark))
        };
        let rows = starts.iter().zip(chunk.watermarks.values());
        if !rows.clone().any(is_late) {
            return Ok((chunk, starts));
        }
        let keep: Vec<bool> = rows.map(|row| !is_late(row)).collect();
        let out = keep.iter().zip(chunk.origin.values()).filter(|(keep, _)| !**keep);
        late.extend(out.map(|(_, origin)| *origin));
        retain(&mut starts, keep.iter().copied());
        Ok((chunk.filter(&BooleanArray::from(keep))?, starts))
    }
}
