//! Sinks. The target keeps, beside the rows, the next offset of each input partition, and moves both in one step of its
//! own, by compare-and-set on the offset that this owner last saw. So a restart asks the target where to go on, and an
//! owner that was replaced without knowing it loses the race and is told (CN-1).
//!
//! The life of a sink, each arrow the worker's:
//! `open -> stage* -> commit -> stage* …`; `open` again after [`SinkError::Transient`] or [`SinkError::Data`] from a
//! commit, or after [`SinkError::Fenced`] by an owner that the group still names; `close` at a revocation. `open`
//! drops whatever was staged for its partitions. No broker transaction is open meanwhile.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use millstream_types::{Millis, Offset, TopicPartition};

use crate::{Delivery, SinkError, async_trait};

/// A next offset for each partition.
pub type Offsets = BTreeMap<TopicPartition, Offset>;
/// What the target keeps; `None` where it has never heard of the partition (start at the group's committed offset, or
/// the log's start).
pub type NextOffsets = BTreeMap<TopicPartition, Option<Offset>>;

/// What a sink is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkCapabilities {
    /// What it can promise.
    pub delivery: Delivery,
    /// Whether it takes [`Change::Delete`].
    pub deletes: bool,
    /// Whether the target keeps the next offsets. Where it does not, the consumer group's are all there is: they are committed
    /// right after each commit, `open` answers `None`, and what lies between is repeated after a crash.
    pub keeps_offsets: bool,
    /// The places between the steps of `stage` and `commit` at which a test may let it die, in order.
    pub crash_points: &'static [&'static str],
}

/// What the rows of a batch do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are inserted, or take the place of the row with their key where the sink has a key.
    Upsert,
    /// The rows with their keys go; other columns mean nothing.
    Delete,
}

/// Consecutive rows of a batch that came from one input record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The record's offset.
    pub offset: Offset,
    /// The first row's index within the record's own rows; above 0 where earlier ones were taken out.
    pub first_row: u32,
    /// How many rows.
    pub rows: u32,
}

/// A row by where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    /// The input record's offset.
    pub offset: Offset,
    /// The row's index within that record.
    pub row: u32,
}

/// A row that can never be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Whose.
    pub partition: TopicPartition,
    /// Which row.
    pub row: RowId,
    /// Why, as the dead letter's reason.
    pub reason: String,
}

/// Rows of one partition, in offset order.
#[derive(Clone, Debug)]
pub struct SinkBatch {
    rows: RecordBatch,
    change: Change,
    runs: Vec<Run>,
}

impl SinkBatch {
    /// Rows and where they came from. `runs` are in offset order and cover the rows exactly: a caller's own arithmetic,
    /// so anything else panics.
    pub fn new(rows: RecordBatch, change: Change, runs: Vec<Run>) -> SinkBatch {
        let covered: usize = runs.iter().map(|run| run.rows as usize).sum();
        assert_eq!(covered, rows.num_rows(), "CN-1: the runs of a sink batch cover its rows exactly");
        assert!(
            runs.windows(2)
                .all(|pair| (pair[0].offset, pair[0].first_row) < (pair[1].offset, pair[1].first_row)),
            "CN-1: the runs of a sink batch are in offset order"
        );
        SinkBatch { rows, change, runs }
    }

    /// One row for each record, at `first_offset` and up.
    pub fn one_row_each(rows: RecordBatch, change: Change, first_offset: Offset) -> SinkBatch {
        let runs = (0..rows.num_rows() as Offset)
            .map(|i| Run { offset: first_offset + i, first_row: 0, rows: 1 })
            .collect();
        SinkBatch::new(rows, change, runs)
    }

    /// The rows.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// What they do.
    pub fn change(&self) -> Change {
        self.change
    }

    /// Where they came from.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The smallest offset, where there are rows.
    pub fn first_offset(&self) -> Option<Offset> {
        self.runs.first().map(|run| run.offset)
    }

    /// The greatest offset, where there are rows.
    pub fn last_offset(&self) -> Option<Offset> {
        self.runs.last().map(|run| run.offset)
    }

    /// Where row `index` of the batch came from. Panics beyond the last row.
    pub fn locate(&self, index: usize) -> RowId {
        let mut left = index as u64;
        for run in &self.runs {
            if left < u64::from(run.rows) {
                return RowId { offset: run.offset, row: run.first_row + left as u32 };
            }
            left -= u64::from(run.rows);
        }
        panic!("row {index} of a sink batch of {} rows", self.rows.num_rows());
    }
}

/// A foreign system that is written.
#[async_trait]
pub trait Sink: Send {
    /// What it is like.
    fn capabilities(&self) -> SinkCapabilities;

    /// Whether it takes rows of these columns; what is wrong with them where not. Asked before anything runs: it connects to nothing.
    fn check(&self, columns: &Schema) -> Result<(), SinkError>;

    /// Takes over `partitions` (besides those it has), finishes what a dead owner had committed but not carried out,
    /// drops what is staged for them, and tells the next offsets that the target keeps.
    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<NextOffsets, SinkError>;

    /// Takes rows in, in offset order for each partition, to be seen by nobody before the commit. May already write
    /// them aside. A commit does with each key of a partition what the last batch that has it says. A partition that was not opened is a bug of the caller and panics.
    async fn stage(&mut self, partition: &TopicPartition, batch: SinkBatch) -> Result<(), SinkError>;

    /// The partitions that ask for a commit at `now` (wall time): files that are full or old, rows that waited long
    /// enough. A worker may commit others too, at any time; at the end of input it commits all.
    fn due(&mut self, now: Millis) -> Vec<TopicPartition>;

    /// Makes everything staged for the partitions of `next` visible and durable, together with their next offsets,
    /// each at least one above the last staged offset. Other partitions stay as they are.
    async fn commit(&mut self, next: &Offsets) -> Result<(), SinkError>;

    /// Drops what is staged for `partitions`; their offsets stay. They must be opened again before staging.
    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), SinkError>;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn rows(n: usize) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![7; n]))]).unwrap()
    }

    #[test]
    fn a_row_is_found_by_its_run() {
        let runs = vec![
            Run { offset: 10, first_row: 0, rows: 2 },
            Run { offset: 10, first_row: 3, rows: 1 },
            Run { offset: 12, first_row: 0, rows: 3 },
        ];
        let batch = SinkBatch::new(rows(6), Change::Upsert, runs);
        let found: Vec<_> = (0..6).map(|i| (batch.locate(i).offset, batch.locate(i).row)).collect();
        assert_eq!(found, [(10, 0), (10, 1), (10, 3), (12, 0), (12, 1), (12, 2)]);
        assert_eq!((batch.first_offset(), batch.last_offset()), (Some(10), Some(12)));
    }

    #[test]
    #[should_panic(expected = "CN-1")]
    fn runs_that_do_not_cover_the_rows_are_refused() {
        SinkBatch::new(rows(2), Change::Upsert, vec![Run { offset: 1, first_row: 0, rows: 3 }]);
    }
}
