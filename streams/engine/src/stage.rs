//! A stage: the operators between two topics, run over all the partitions that a worker owns of its input, together.
//! Rows of many partitions share a batch, each tagged with its key group and with the watermark just before it, so that
//! 600 partitions cost what one does, and how rows were cut into batches changes no result (SM-3).
//!
//! Pure of I/O. The worker's turn is:
//! 1. `assign` a partition, or restore it from the changelog ([`Restore`]);
//! 2. `push_record` or `push_batch` what it read, `turn` when [`Stage::is_full`] or nothing is left to read;
//! 3. `commit`, and write in one transaction what `take_outputs` and the commit gave, and its input offsets; if that
//!    transaction does not commit, throw the stage away and restore it: it has gone on as if it had;
//! 4. `revoke` a partition, right after a commit.

mod build;
mod commit;
pub mod describe;
mod restore;
mod spec;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef, TimestampMillisecondType, UInt32Type};
use millstream_model::watermark::CaughtUp;
use millstream_model::{EventTime, KeyGroup, LateThen, SourceWatermarks, Watermark};
use millstream_types::Millis;

use crate::decode::BadRecord;
use crate::decode::json::JsonDecoder;
use crate::error::{StageError, columns};
use crate::op::chunk::Chunk;
use crate::op::dedupe::Dedupe;
use crate::sql::Query;
pub use build::StageProblem;
pub use restore::Restore;
pub use spec::{OperatorKind, OperatorSpec, SourceSpec, StageSpec};

/// The most bytes of records that are decoded into one batch.
const INPUT_BYTES_MAX: usize = 32 << 20;

/// Rows that come out of a stage.
#[derive(Clone, Debug)]
pub struct OutputBatch {
    /// The operator's name; behind it `.late` or `.conflicting` for rows that it put aside.
    pub output: Arc<str>,
    /// The rows. Those put aside have the columns of the stage's input, as far as it decodes them.
    pub batch: RecordBatch,
    /// Each row's key group.
    pub groups: UInt32Array,
    /// Each row's offset in its partition of the input, where it is one of its rows: with the key group, its origin.
    pub offsets: Option<Int64Array>,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Its partition.
    pub group: KeyGroup,
    /// Its offset.
    pub offset: i64,
    /// Why.
    pub why: BadRecord,
}

/// What came out of a stage since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Rows, in the order in which operators gave them.
    pub batches: Vec<OutputBatch>,
    /// Records that are not rows.
    pub rejected: Vec<RejectedRecord>,
}

/// Counts of an operator since the stage was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorCounts {
    /// Rows that went in.
    pub rows_in: u64,
    /// Rows that came out.
    pub rows_out: u64,
    /// Rows that were late, wherever they went.
    pub late: u64,
    /// Repeats that were dropped.
    pub repeated: u64,
    /// Repeats with other content.
    pub conflicting: u64,
}

/// How large an operator's state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Bytes in memory, about.
    pub bytes: usize,
    /// Keys remembered (dedupe) or windows open (SQL).
    pub entries: usize,
}

struct Operator {
    id: String,
    name: Arc<str>,
    /// The node that feeds it: 0 is the source, `i` the operator `i - 1`.
    input: usize,
    running: Running,
    wanted: bool,
    counts: OperatorCounts,
}

enum Running {
    Dedupe(Dedupe),
    Sql { query: Box<Query>, late: LateThen },
}

impl Running {
    /// Lets go of a key group.
    fn forget(&mut self, group: KeyGroup) -> Result<(), StageError> {
        match self {
            Running::Dedupe(dedupe) => dedupe.forget(group.0),
            Running::Sql { query, .. } => {
                if let Some(aggregate) = query.aggregate_mut() {
                    aggregate.forget(group.0)?;
                }
            }
        }
        Ok(())
    }
}

/// A running stage.
pub struct Stage {
    source: Arc<str>,
    source_wanted: bool,
    decoder: JsonDecoder,
    schema: SchemaRef,
    /// The event time's column in the decoded batches.
    time: Option<usize>,
    batch_rows: usize,
    clocks: SourceWatermarks,
    key_groups: u32,
    changelog_partitions: u32,
    operators: Vec<Operator>,
    declared_tables: BTreeSet<String>,
    /// Of the rows waiting: key group and offset.
    groups: Vec<u32>,
    offsets: Vec<i64>,
    /// How far a row may raise its partition's watermark at most.
    bounds: Vec<i64>,
    waiting: Vec<RecordBatch>,
    /// Watermarks as of the last commit, raw.
    committed: Vec<i64>,
    /// The same, but the end of time where input has ended.
    promised: Vec<i64>,
    out: Outputs,
}

impl Stage {
    /// The columns of a node: the source's, or an operator's main output.
    pub fn schema(&self, name: &str) -> Option<SchemaRef> {
        if name == self.source.as_ref() {
            return Some(Arc::clone(&self.schema));
        }
        let at = self.operators.iter().position(|o| o.name.as_ref() == name)?;
        Some(self.node_schema(at + 1))
    }

    fn node_schema(&self, node: usize) -> SchemaRef {
        match node.checked_sub(1).map(|i| &self.operators[i]) {
            None => Arc::clone(&self.schema),
            Some(Operator { running: Running::Sql { query, .. }, .. }) => query.schema(),
            Some(Operator { input, .. }) => self.node_schema(*input),
        }
    }

    /// The tables that have to be loaded before the first turn.
    pub fn tables(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .operators
            .iter()
            .filter_map(|o| match &o.running {
                Running::Sql { query, .. } => Some(query.tables().iter().map(String::as_str)),
                Running::Dedupe(_) => None,
            })
            .flatten()
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Loads a table, or replaces it from the next turn on. One that no query reads is passed over.
    pub fn load_table(&mut self, name: &str, table: &RecordBatch) -> Result<(), StageError> {
        if !self.declared_tables.contains(name) {
            let known = self.declared_tables.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(StageError::Unknown { kind: "table", name: name.to_owned(), known });
        }
        for operator in &mut self.operators {
            if let Running::Sql { query, .. } = &mut operator.running {
                query.load_table(name, table)?;
            }
        }
        Ok(())
    }

    /// Starts to read a partition that has no state, or has been restored already.
    pub fn assign(&mut self, group: KeyGroup, now: Millis) {
        assert!(group.0 < self.key_groups, "key group {group}: the stage has {}", self.key_groups);
        let restored = Watermark::from_raw(self.committed[group.0 as usize]);
        self.promised[group.0 as usize] = restored.to_raw();
        self.clocks.assign(group, restored, now);
    }

    /// Stops reading a partition, and lets go of its state. Call it right after a commit: what came since is lost here.
    pub fn revoke(&mut self, group: KeyGroup) -> Result<(), StageError> {
        self.clocks.revoke(group);
        self.committed[group.0 as usize] = Watermark::NONE.to_raw();
        self.promised[group.0 as usize] = Watermark::NONE.to_raw();
        for operator in &mut self.operators {
            operator.running.forget(group)?;
        }
        Ok(())
    }

    /// Takes a record of JSON. A bad one is put among the rejected. `others_at` is the event time that the partition's
    /// other writers had come to when it was written, where it has others: it raises the watermark no further than that.
    pub fn push_record(
        &mut self,
        group: KeyGroup,
        offset: i64,
        value: &[u8],
        others_at: Option<EventTime>,
    ) -> Result<(), StageError> {
        if !self.clocks.has(group) {
            return Err(StageError::NotAssigned(group));
        }
        match self.decoder.push(value) {
            Ok(()) => {
                self.groups.push(group.0);
                self.offsets.push(offset);
                self.bounds.push(others_at.unwrap_or(EventTime::MAX));
            }
            Err(why) => self.out.rejected.push(RejectedRecord { group, offset, why }),
        }
        Ok(())
    }

    /// Takes rows that are columns already, with the columns of [`Stage::read_schema`]. All have the offset of the
    /// record that brought them.
    pub fn push_batch(
        &mut self,
        group: KeyGroup,
        offset: i64,
        batch: &RecordBatch,
    ) -> Result<(), StageError> {
        if !self.clocks.has(group) {
            return Err(StageError::NotAssigned(group));
        }
        let found = batch.schema();
        let same = found.fields().len() == self.schema.fields().len()
            && found
                .fields()
                .iter()
                .zip(self.schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !same {
            let what = format!("a batch of {}", self.source);
            return Err(StageError::Schema { what, expected: columns(&self.schema), found: columns(&found) });
        }
        // Records that wait in the decoder came first.
        if self.decoder.rows() > 0 {
            let decoded = self.decoder.finish();
            self.waiting.push(decoded);
        }
        self.groups.extend(std::iter::repeat_n(group.0, batch.num_rows()));
        self.offsets.extend(std::iter::repeat_n(offset, batch.num_rows()));
        self.bounds.extend(std::iter::repeat_n(EventTime::MAX, batch.num_rows()));
        self.waiting.push(batch.clone());
        Ok(())
    }

    /// The columns that are decoded of the input.
    pub fn read_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Whether enough rows wait for a turn.
    pub fn is_full(&self) -> bool {
        self.groups.len() >= self.batch_rows || self.decoder.input_bytes() >= INPUT_BYTES_MAX
    }

    /// Whether everything in a partition has been read, as far as the last fetch told.
    pub fn caught_up(&mut self, group: KeyGroup, yes: CaughtUp) {
        self.clocks.caught_up(group, yes);
    }

    /// Bounded input: this partition has been read to its final end. Rows that wait are run first.
    pub fn finish(&mut self, group: KeyGroup, now: Millis) -> Result<(), StageError> {
        self.turn(now)?;
        self.clocks.finish(group);
        Ok(())
    }

    /// A control record: the upstream stage promises that nothing earlier than `to` comes in this partition any more.
    /// Rows that wait are run first.
    pub fn raise_watermark(&mut self, group: KeyGroup, to: Watermark, now: Millis) -> Result<(), StageError> {
        self.turn(now)?;
        self.clocks.raise(group, to);
        Ok(())
    }

    /// A partition's watermark.
    pub fn watermark(&self, group: KeyGroup) -> Watermark {
        self.clocks.of(group)
    }

    /// The least watermark of the partitions that hold it back, for control records and for people.
    pub fn least_watermark(&self) -> Watermark {
        self.clocks.least()
    }

    /// The event time that the rows of a node have come to as of the last commit: windows that end later had not fired, and
    /// rows that are in time come at or behind it. Partitions that hold nothing back, since they are idle, empty or have
    /// ended, do not count, unless they have come further since. `i64::MIN` while nothing is known, `i64::MAX` when there is
    /// nothing to wait for.
    pub fn level_of(&self, name: &str) -> i64 {
        let promised = |group: KeyGroup| self.promised[group.0 as usize];
        let came_on = |group: &KeyGroup| self.clocks.of(*group).to_raw() > promised(*group);
        let waited_for = self.clocks.holding().chain(self.clocks.partitions().filter(came_on));
        let least = waited_for.map(promised).min().unwrap_or(i64::MAX);
        if least == i64::MAX { i64::MAX } else { least.saturating_sub(self.allowance(name)) }
    }

    /// How long windows wait before the rows of a node come, of all windows on the way to it.
    fn allowance(&self, name: &str) -> i64 {
        let Some(at) = self.operators.iter().position(|o| o.name.as_ref() == name) else { return 0 };
        let (mut node, mut sum) = (at + 1, 0);
        while let Some(operator) = node.checked_sub(1).map(|at| &self.operators[at]) {
            if let Running::Sql { query, .. } = &operator.running {
                sum += query.aggregate().map_or(0, |a| a.plan().late.allow_ms);
            }
            node = operator.input;
        }
        sum
    }

    /// Whether every assigned partition of bounded input has been read to its end.
    pub fn all_finished(&self) -> bool {
        self.clocks.all_finished()
    }

    /// Runs the rows that wait through the operators. `now` is from one monotonic clock.
    pub fn turn(&mut self, now: Millis) -> Result<(), StageError> {
        let chunk = self.gather(now)?;
        self.clocks.tick(now);
        let Some(chunk) = chunk else {
            return Ok(());
        };
        let offsets = Int64Array::from(std::mem::take(&mut self.offsets));
        let input = Input { batch: &chunk.batch.clone(), groups: &chunk.groups.clone(), offsets: &offsets };
        if self.source_wanted {
            self.out.batches.push(input.output(Arc::clone(&self.source), &chunk)?);
        }
        let mut nodes: Vec<Option<Chunk>> = vec![Some(chunk)];
        for operator in &mut self.operators {
            let Some(chunk) = nodes[operator.input].clone().filter(|c| c.rows() > 0) else {
                nodes.push(None);
                continue;
            };
            let result = operator.run(chunk, &input, &mut self.out)?;
            nodes.push(result);
        }
        Ok(())
    }

    /// The rows that wait, as one chunk.
    fn gather(&mut self, now: Millis) -> Result<Option<Chunk>, StageError> {
        if self.groups.is_empty() {
            return Ok(None);
        }
        if self.decoder.rows() > 0 {
            let decoded = self.decoder.finish();
            self.waiting.push(decoded);
        }
        let batch = match self.waiting.len() {
            1 => self.waiting.remove(0),
            _ => concat_batches(&self.schema, &std::mem::take(&mut self.waiting))?,
        };
        let groups = std::mem::take(&mut self.groups);
        let bounds = std::mem::take(&mut self.bounds);
        let watermarks = self.observe((&groups, &bounds), &batch, now);
        let rows = groups.len() as u32;
        Ok(Some(Chunk {
            batch,
            groups: UInt32Array::from(groups),
            watermarks: Int64Array::from(watermarks),
            origin: UInt32Array::from_iter_values(0..rows),
            panes: None,
        }))
    }

    /// The watermark before each row, raw; the partitions' clocks go on.
    fn observe(&mut self, (groups, bounds): (&[u32], &[i64]), batch: &RecordBatch, now: Millis) -> Vec<i64> {
        let mut watermarks = Vec::with_capacity(groups.len());
        let times =
            self.time.map(|i| batch.column(i).as_primitive::<TimestampMillisecondType>().values().clone());
        let mut row = 0;
        for run in groups.chunk_by(|a, b| a == b) {
            let clock = self.clocks.reading(KeyGroup(run[0]), now);
            match &times {
                Some(times) => {
                    let rows = row..row + run.len();
                    for (time, bound) in times[rows.clone()].iter().zip(&bounds[rows]) {
                        watermarks.push(clock.watermark().to_raw());
                        clock.observe(*time.min(bound));
                    }
                }
                None => watermarks.extend(std::iter::repeat_n(clock.watermark().to_raw(), run.len())),
            }
            row += run.len();
        }
        watermarks
    }

    /// Every key group's watermark, raw.
    fn watermarks(&self) -> Vec<i64> {
        let mut watermarks = vec![Watermark::NONE.to_raw(); self.key_groups as usize];
        for group in self.clocks.partitions() {
            watermarks[group.0 as usize] = self.clocks.of(group).to_raw();
        }
        watermarks
    }

    /// What came out since the last call.
    pub fn take_outputs(&mut self) -> Outputs {
        std::mem::take(&mut self.out)
    }

    /// Each operator's counts, by name.
    pub fn counts(&self) -> Vec<(&str, OperatorCounts)> {
        self.operators.iter().map(|o| (o.name.as_ref(), o.counts)).collect()
    }

    /// Each operator's state, by name.
    pub fn state_sizes(&self) -> Vec<(&str, StateSize)> {
        let size = |o: &Operator| match &o.running {
            Running::Dedupe(dedupe) => StateSize { bytes: dedupe.size(), entries: dedupe.rows() },
            Running::Sql { query, .. } => query
                .aggregate()
                .map_or_else(StateSize::default, |a| StateSize { bytes: a.size(), entries: a.entries() }),
        };
        self.operators.iter().map(|o| (o.name.as_ref(), size(o))).collect()
    }
}

/// The stage's input of one turn, for rows that an operator puts aside.
struct Input<'a> {
    batch: &'a RecordBatch,
    groups: &'a UInt32Array,
    offsets: &'a Int64Array,
}

impl Input<'_> {
    /// A chunk whose rows are rows of the input, as an output.
    fn output(&self, output: Arc<str>, chunk: &Chunk) -> Result<OutputBatch, StageError> {
        let offsets = take(self.offsets, &chunk.origin, None)?;
        Ok(OutputBatch {
            output,
            batch: chunk.batch.clone(),
            groups: chunk.groups.clone(),
            offsets: Some(offsets.as_primitive::<Int64Type>().clone()),
        })
    }

    /// Rows of the input, by their places.
    fn rows(&self, output: String, rows: Vec<u32>) -> Result<OutputBatch, StageError> {
        let rows = UInt32Array::from(rows);
        let part = |column: &dyn Array| take(column, &rows, None);
        Ok(OutputBatch {
            output: output.into(),
            batch: take_record_batch(self.batch, &rows)?,
            groups: part(self.groups)?.as_primitive::<UInt32Type>().clone(),
            offsets: Some(part(self.offsets)?.as_primitive::<Int64Type>().clone()),
        })
    }
}

impl Operator {
    /// Runs a chunk; what comes out goes to the outputs, if wanted, and on to the operators behind.
    fn run(
        &mut self,
        chunk: Chunk,
        input: &Input<'_>,
        out: &mut Outputs,
    ) -> Result<Option<Chunk>, StageError> {
        self.counts.rows_in += chunk.rows() as u64;
        let mut late = Vec::new();
        let result = match &mut self.running {
            Running::Dedupe(dedupe) => {
                let deduped = dedupe.run(chunk)?;
                self.counts.repeated += deduped.repeated;
                self.counts.conflicting += deduped.conflicting.len() as u64;
                if !deduped.conflicting.is_empty() {
                    out.batches.push(input.rows(format!("{}.conflicting", self.name), deduped.conflicting)?);
                }
                late = deduped.late;
                Some(deduped.unique)
            }
            Running::Sql { query, .. } => query.run(chunk, &mut late)?,
        };
        self.counts.late += late.len() as u64;
        let dropped = matches!(&self.running, Running::Sql { late: LateThen::Drop, .. });
        if !late.is_empty() && !dropped {
            out.batches.push(input.rows(format!("{}.late", self.name), late)?);
        }
        if let Some(chunk) = &result {
            self.counts.rows_out += chunk.rows() as u64;
            if self.wanted && chunk.rows() > 0 {
                out.batches.push(input.output(Arc::clone(&self.name), chunk)?);
            }
        }
        Ok(result)
    }
}

/// Refuses state rows that have other columns than the operator's.
pub(crate) fn same_state(operator: &str, wanted: &Schema, found: &Schema) -> Result<(), StageError> {
    let same = wanted.fields().len() == found.fields().len()
        && wanted
            .fields()
            .iter()
            .zip(found.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if same {
        return Ok(());
    }
    let what = format!(
        "the changelog has the columns {}, the operator wants {}; a changed query needs a new id",
        columns(found),
        columns(wanted)
    );
    Err(StageError::State { operator: operator.to_owned(), what })
}
