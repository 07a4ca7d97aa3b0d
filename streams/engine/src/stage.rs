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
pub mod copy;
pub mod describe;
mod fired;
mod leaving;
pub mod lookups;
mod pass;
mod restore;
mod source;
mod spec;
pub mod view;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use millstream_model::watermark::CaughtUp;
use millstream_model::{EventTime, KeyGroup, LateThen, Watermark};
use millstream_types::Millis;

use crate::batch_ipc::bytes_of;
use crate::error::{StageError, columns};
use crate::op::chunk::Chunk;
use crate::op::dedupe::Dedupe;
use crate::op::join::TableJoin;
use crate::sql::{Query, query};
use crate::state::Owned;
use crate::state::scratch::Spill;
pub use build::StageProblem;
use fired::Fired;
use leaving::Take;
use lookups::Lookups;
use millstream_format::BadRecord;
use pass::Input;
pub use restore::Restore;
use source::Source;
pub use spec::{OperatorKind, OperatorSpec, SourceSpec, StageSpec, TableSpec};

/// The most bytes of records that are decoded into one batch.
const INPUT_BYTES_MAX: usize = 32 << 20;

/// Rows that come out of a stage.
#[derive(Clone, Debug)]
pub struct OutputBatch {
    /// The operator's name; behind it `.late` or `.conflicting` for rows that it put aside.
    pub output: Arc<str>,
    /// The source that they are rows of, where they are rows of one.
    pub source: Option<Arc<str>>,
    /// The rows. Those put aside have the columns of the stage's input, as far as it decodes them.
    pub batch: RecordBatch,
    /// Each row's key group.
    pub groups: UInt32Array,
    /// Each row's offset in its partition of the input, where it is one of its rows: with the key group, its origin.
    pub offsets: Option<Int64Array>,
    /// Of rows that take the place of each other: which of them are gone, of which only the columns that they are known by mean
    /// anything ([`Stage::latest_by`]). Nothing where rows stand for themselves.
    pub gone: Option<BooleanArray>,
}

impl OutputBatch {
    /// Rows that an operator made itself, out of no single row of the input.
    fn made(output: Arc<str>, chunk: &Chunk) -> OutputBatch {
        let (batch, groups) = (chunk.batch.clone(), chunk.groups.clone());
        OutputBatch { output, source: None, batch, groups, offsets: None, gone: chunk.gone.clone() }
    }
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// The source that it was read from.
    pub source: Arc<str>,
    /// Its partition.
    pub group: KeyGroup,
    /// Its offset.
    pub offset: i64,
    /// Why.
    pub why: Rejection,
}

/// Why a record is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It could not be decoded.
    Bad(BadRecord),
    /// Its event time is later than it may be; in milliseconds since 1970.
    TooFarAhead {
        /// Its event time.
        time: EventTime,
        /// The latest.
        latest: EventTime,
    },
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rejection::Bad(bad) => bad.fmt(f),
            Rejection::TooFarAhead { time, latest } => write!(
                f,
                "its event time, {time} ms since 1970, is {} ms later than it may be, and would close the windows of others; where it is right, raise `ahead` of the watermark",
                time.saturating_sub(*latest)
            ),
        }
    }
}

/// What is known of a record's event time from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeBounds {
    /// What the partition's other writers had come to when it was written, where it has others: it raises the watermark no
    /// further than that.
    pub others_at: Option<EventTime>,
    /// The latest that it may have, where there is one: a later one is rejected.
    pub latest: Option<EventTime>,
}

/// Something that could not be computed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The operator, or the source, by name.
    pub step: Arc<str>,
    /// For what.
    pub what: FailedAt,
    /// In which way, as one word.
    pub reason: &'static str,
    /// What, and why not.
    pub error: String,
}

/// What something could not be computed for.
#[derive(Clone, Debug)]
pub enum FailedAt {
    /// A record: the stage has nothing of it, and gave nothing of it.
    Record {
        /// The source that it was read from.
        source: Arc<str>,
        /// Its partition.
        group: KeyGroup,
        /// Its offset.
        offset: i64,
    },
    /// A row that operators made, alone, with the columns that it had by then.
    Row(RecordBatch),
}

/// The reason of a row for which an expression could not be computed.
pub const FAILED_EXPRESSION: &str = "failed_expression";
/// And of one that asked a table for a key whose rows cannot be used.
pub const LOOKUP_FAILED: &str = "lookup_failed";

/// A row of a table that cannot be joined, since what a query asks of it cannot be computed; what was there before it stays.
#[derive(Clone, Debug)]
pub struct UnfitRow {
    /// The table.
    pub table: String,
    /// Its place among the rows that were handed in.
    pub row: usize,
    /// Why.
    pub error: String,
}

/// What came out of a stage since it was last asked.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// Rows, in the order in which operators gave them.
    pub batches: Vec<OutputBatch>,
    /// Records that are not rows.
    pub rejected: Vec<RejectedRecord>,
    /// What could not be computed.
    pub failed: Vec<Failed>,
}

impl Outputs {
    /// Adds what came out later.
    pub fn extend(&mut self, more: Outputs) {
        let Outputs { batches, rejected, failed } = more;
        self.batches.extend(batches);
        self.rejected.extend(rejected);
        self.failed.extend(failed);
    }
}

/// Counts of an operator since the stage was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorCounts {
    /// Rows that went in.
    pub rows_in: u64,
    /// In how many batches.
    pub batches_in: u64,
    /// Bytes of their columns, about.
    pub bytes_in: u64,
    /// How long the operator has worked, by the clock on the wall.
    pub busy: Duration,
    /// Rows that came out.
    pub rows_out: u64,
    /// Rows that were late, wherever they went.
    pub late: u64,
    /// Repeats that were dropped.
    pub repeated: u64,
    /// Repeats with other content.
    pub conflicting: u64,
}

impl OperatorCounts {
    /// Rows came.
    fn take(&mut self, chunk: &Chunk) {
        self.rows_in += chunk.rows() as u64;
        self.batches_in += 1;
        self.bytes_in += bytes_of(&chunk.batch) as u64;
    }

    fn add(&mut self, more: OperatorCounts) {
        let OperatorCounts { rows_in, batches_in, bytes_in, busy, rows_out, late, repeated, conflicting } =
            more;
        self.rows_in += rows_in;
        self.batches_in += batches_in;
        self.bytes_in += bytes_in;
        self.busy += busy;
        self.rows_out += rows_out;
        self.late += late;
        self.repeated += repeated;
        self.conflicting += conflicting;
    }
}

/// How large an operator's state is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Bytes in memory, about.
    pub bytes: usize,
    /// Bytes in the scratch.
    pub disk_bytes: u64,
    /// Keys remembered (dedupe) or windows open (SQL).
    pub entries: usize,
}

struct Operator {
    id: String,
    name: Arc<str>,
    /// The nodes that feed it: the sources come first, then the operators. A query has one for each of its branches.
    inputs: Vec<usize>,
    /// The sources whose rows reach it, rising: it goes by the least of their watermarks.
    sources: Vec<usize>,
    /// Those of each of its inputs.
    branches: Vec<Vec<usize>>,
    running: Running,
    /// How far it has fired at the end of bounded input.
    fired: Fired,
    wanted: bool,
    counts: OperatorCounts,
}

enum Running {
    Dedupe(Dedupe),
    Sql { query: Box<Query>, late: LateThen },
}

impl Running {
    /// Lets go of key groups.
    fn forget(&mut self, groups: &Owned) -> Result<(), StageError> {
        match self {
            Running::Dedupe(dedupe) => groups.iter().for_each(|group| dedupe.forget(group.0)),
            Running::Sql { query, .. } => {
                query.aggregates_mut().try_for_each(|aggregate| aggregate.forget(groups))?;
            }
        }
        Ok(())
    }
}

/// A running stage.
pub struct Stage {
    id: String,
    sources: Vec<Source>,
    batch_rows: usize,
    key_groups: u32,
    changelog_partitions: u32,
    operators: Vec<Operator>,
    declared_tables: BTreeSet<String>,
    lookups: Lookups,
    out: Outputs,
    unfit: Vec<UnfitRow>,
    /// Key groups that are not read any more, and whose state is still here.
    closed: Owned,
}

impl Stage {
    /// The columns of a node: a source's, or an operator's main output.
    pub fn schema(&self, name: &str) -> Option<SchemaRef> {
        let sources = self.sources.iter().map(|s| &s.name);
        let at = sources.chain(self.operators.iter().map(|o| &o.name)).position(|n| n.as_ref() == name)?;
        Some(self.node_schema(at))
    }

    /// Of an operator that keeps groups up to date: the columns that a row of its is known by, where all of them come out.
    pub fn latest_by(&self, name: &str) -> Option<Vec<String>> {
        let operator = self.operators.iter().find(|operator| operator.name.as_ref() == name)?;
        match &operator.running {
            Running::Sql { query, .. } => query.latest_by(),
            Running::Dedupe(_) => None,
        }
    }

    fn node_schema(&self, node: usize) -> SchemaRef {
        match self.operator_of(node) {
            None => Arc::clone(&self.sources[node].schema),
            Some(Operator { running: Running::Sql { query, .. }, .. }) => query.schema(),
            Some(Operator { inputs, .. }) => self.node_schema(inputs[0]),
        }
    }

    /// The operator that is a node; nothing of a source.
    fn operator_of(&self, node: usize) -> Option<&Operator> {
        node.checked_sub(self.sources.len()).map(|at| &self.operators[at])
    }

    fn source_of(&self, name: &str) -> Option<usize> {
        self.sources.iter().position(|source| source.name.as_ref() == name)
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

    /// The operators that keep state, by name.
    pub fn stateful(&self) -> impl Iterator<Item = &str> {
        let keeps = |operator: &&Operator| match &operator.running {
            Running::Dedupe(_) => true,
            Running::Sql { query, .. } => query.is_windowed(),
        };
        self.operators.iter().filter(keeps).map(|operator| operator.name.as_ref())
    }

    /// Loads a table, or replaces it from the next turn on. One that no query reads is passed over.
    pub fn load_table(&mut self, name: &str, table: &RecordBatch) -> Result<(), StageError> {
        let mut unfit = BTreeMap::new();
        self.each_join(name, |join| {
            unfit.extend(join.load(table)?);
            Ok(())
        })?;
        self.note_unfit(name, unfit);
        Ok(())
    }

    /// Changes a loaded table from the next turn on: takes the rows in `gone` away, and adds rows, each in the place of the one that
    /// was added with its id before. The ids, one for each row, differ. Rows that were loaded have none, and stay.
    pub fn change_table(
        &mut self,
        name: &str,
        rows: &RecordBatch,
        ids: &[Bytes],
        gone: &[Bytes],
    ) -> Result<(), StageError> {
        let mut unfit = BTreeMap::new();
        self.each_join(name, |join| {
            unfit.extend(join.change(rows, ids, gone)?);
            Ok(())
        })?;
        self.note_unfit(name, unfit);
        Ok(())
    }

    fn note_unfit(&mut self, table: &str, unfit: BTreeMap<usize, StageError>) {
        let noted = unfit.into_iter();
        self.unfit.extend(noted.map(|(row, error)| UnfitRow {
            table: table.to_owned(),
            row,
            error: error.to_string(),
        }));
    }

    /// The rows of tables that could not be joined since the last call.
    pub fn take_unfit(&mut self) -> Vec<UnfitRow> {
        std::mem::take(&mut self.unfit)
    }

    /// How many rows of a table are joined: the most that a query has of it.
    pub fn table_rows(&self, name: &str) -> usize {
        let queries = self.operators.iter().filter_map(|operator| match &operator.running {
            Running::Sql { query, .. } => Some(query.table_rows(name)),
            Running::Dedupe(_) => None,
        });
        queries.max().unwrap_or(0)
    }

    fn each_join(
        &mut self,
        name: &str,
        mut change: impl FnMut(&mut TableJoin) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        if !self.declared_tables.contains(name) {
            let known = self.declared_tables.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(StageError::Unknown { kind: "table", name: name.to_owned(), known });
        }
        for operator in &mut self.operators {
            if let Running::Sql { query, .. } = &mut operator.running {
                query.each_join(name, &mut change)?;
            }
        }
        Ok(())
    }

    /// Starts to read a partition that has no state, or has been restored already.
    pub fn assign(&mut self, group: KeyGroup, now: Millis) {
        assert!(group.0 < self.key_groups, "key group {group}: the stage has {}", self.key_groups);
        assert!(!self.closed.has(group.0), "key group {group}: what is left of it has not been let go of");
        self.sources.iter_mut().for_each(|source| source.assign(group, now));
    }

    /// Stops reading key groups, and lets go of their state. Call it right after a commit: what came since is lost here.
    pub fn revoke(&mut self, groups: impl IntoIterator<Item = KeyGroup>) -> Result<(), StageError> {
        self.close(groups);
        self.let_go()
    }

    /// Stops reading key groups at once, as [`Stage::revoke`] does; their state, which may be large, goes with [`Stage::let_go`], or before
    /// anything else is done here.
    pub fn close(&mut self, groups: impl IntoIterator<Item = KeyGroup>) {
        for group in groups {
            self.sources.iter_mut().for_each(|source| source.revoke(group));
            self.closed.add(group);
        }
    }

    /// Lets go of the state of key groups that were closed.
    pub fn let_go(&mut self) -> Result<(), StageError> {
        let gone = std::mem::take(&mut self.closed);
        if gone.iter().next().is_none() {
            return Ok(());
        }
        for operator in &mut self.operators {
            operator.running.forget(&gone)?;
            gone.iter().for_each(|group| operator.fired.forget(group));
        }
        Ok(())
    }

    /// Takes a record's value of a source, by its place in the spec; none where it has none. A bad one is put among the
    /// rejected. Of a format whose records have many rows, all have the record's offset, and each is judged alone.
    pub fn push_record(
        &mut self,
        source: usize,
        (group, offset): (KeyGroup, i64),
        value: Option<&[u8]>,
        bounds: TimeBounds,
    ) -> Result<(), StageError> {
        if let Some(rejected) = self.sources[source].push_record(group, offset, value, bounds)? {
            self.out.rejected.push(rejected);
        }
        Ok(())
    }

    /// Takes word that a row of a source is gone, whose rows take the place of each other: the columns that it is known by
    /// ([`SourceSpec::latest_by`]), as a JSON object. Gives what is wrong with it, where it names no row; then nothing is taken.
    pub fn push_gone(
        &mut self,
        source: usize,
        (group, offset): (KeyGroup, i64),
        known: &[u8],
    ) -> Result<Option<BadRecord>, StageError> {
        self.sources[source].push_gone(group, offset, known)
    }

    /// Takes rows that are columns already, with the columns of [`Stage::read_schema`]. All have the offset of the
    /// record that brought them.
    pub fn push_batch(
        &mut self,
        source: usize,
        (group, offset): (KeyGroup, i64),
        batch: &RecordBatch,
    ) -> Result<(), StageError> {
        self.sources[source].push_batch(group, offset, batch)
    }

    /// The columns that are decoded of a source.
    pub fn read_schema(&self, source: usize) -> SchemaRef {
        Arc::clone(&self.sources[source].schema)
    }

    /// How many rows wait for a turn.
    #[inline]
    pub fn rows_waiting(&self) -> usize {
        self.sources.iter().map(|source| source.groups.len()).sum()
    }

    /// Whether enough rows wait for a turn.
    #[inline]
    pub fn is_full(&self) -> bool {
        let bytes: usize = self.sources.iter().map(Source::input_bytes).sum();
        self.rows_waiting() >= self.batch_rows || bytes >= INPUT_BYTES_MAX
    }

    /// Whether everything in a source's partition has been read, as far as the last fetch told.
    pub fn caught_up(&mut self, source: usize, group: KeyGroup, yes: CaughtUp) {
        self.sources[source].clocks.caught_up(group, yes);
    }

    /// Bounded input: this partition of a source has been read to its final end. Rows that wait are run first.
    pub fn finish(&mut self, source: usize, group: KeyGroup, now: Millis) -> Result<(), StageError> {
        self.turn(now)?;
        self.sources[source].clocks.finish(group);
        Ok(())
    }

    /// A control record: the upstream stage promises that nothing earlier than `to` comes in this partition of a source any
    /// more. Rows that wait are run first.
    pub fn raise_watermark(
        &mut self,
        source: usize,
        group: KeyGroup,
        to: Watermark,
        now: Millis,
    ) -> Result<(), StageError> {
        self.turn(now)?;
        self.sources[source].clocks.raise(group, to);
        Ok(())
    }

    /// Whoever writes these partitions of a source has nothing left before their levels, and they have been read up to where that was said:
    /// rows that raised their watermarks no further than their writers had come raise them now. Rows that wait are run first.
    pub fn lift_watermarks(
        &mut self,
        source: usize,
        levels: impl IntoIterator<Item = (KeyGroup, EventTime)>,
        now: Millis,
    ) -> Result<(), StageError> {
        self.turn(now)?;
        levels.into_iter().for_each(|(group, level)| self.sources[source].clocks.lift(group, level));
        Ok(())
    }

    /// What is to be kept of a partition of a source where no state is: its watermark as of the last commit, and the event time that is
    /// held back.
    pub fn committed_of(&self, source: usize, group: KeyGroup) -> (Watermark, EventTime) {
        let source = &self.sources[source];
        let at = group.0 as usize;
        (Watermark::from_raw(source.committed[at]), source.held_committed[at])
    }

    /// Takes that up for a partition that is assigned here and of which nothing has been read.
    pub fn resume(&mut self, source: usize, group: KeyGroup, kept: (Watermark, EventTime), now: Millis) {
        let source = &mut self.sources[source];
        let at = group.0 as usize;
        source.committed[at] = source.committed[at].max(kept.0.to_raw());
        source.held_committed[at] = source.held_committed[at].max(kept.1);
        source.assign(group, now);
    }

    /// Whether [`Stage::lift_watermarks`] would raise one, as far as rows have been run.
    pub fn can_lift(&self, source: usize, group: KeyGroup, level: EventTime) -> bool {
        self.sources[source].clocks.can_lift(group, level)
    }

    /// A key group's watermark: the least of its sources'.
    pub fn watermark(&self, group: KeyGroup) -> Watermark {
        self.sources.iter().map(|source| source.clocks.of(group)).min().unwrap_or(Watermark::NONE)
    }

    /// The least watermark of the partitions that hold it back, for people. It falls when one comes that is behind.
    pub fn least_watermark(&self) -> Watermark {
        self.sources.iter().map(|source| source.clocks.least()).min().unwrap_or(Watermark::NONE)
    }

    /// The same of the sources whose rows reach each operator, in the order of [`Stage::counts`].
    pub fn operator_watermarks(&self) -> Vec<Watermark> {
        let least = |operator: &Operator| {
            let of = operator.sources.iter().map(|source| self.sources[*source].clocks.least());
            of.min().unwrap_or(Watermark::NONE)
        };
        self.operators.iter().map(least).collect()
    }

    /// The watermark of one partition of a source.
    pub fn watermark_of(&self, source: usize, group: KeyGroup) -> Watermark {
        self.sources[source].clocks.of(group)
    }

    /// The event time that the rows of a node have come to as of the last commit: windows that end later had not fired, and
    /// rows that are in time come at or behind it. Partitions that hold nothing back, since they are idle, empty or have
    /// ended, do not count, unless they have come further since. `i64::MIN` while nothing is known, `i64::MAX` when there is
    /// nothing to wait for.
    pub fn level_of(&self, name: &str) -> i64 {
        self.as_of(name, source::level)
    }

    /// How far the furthest partition had come for the rows of a node as of the last commit. It is the level where that says that there
    /// is nothing to wait for, while more may come: what is idle has been read to its end, and follows.
    pub fn reached_by(&self, name: &str) -> i64 {
        self.as_of(name, source::reached)
    }

    fn as_of(&self, name: &str, of: impl Fn(&[&Source]) -> i64) -> i64 {
        let operator = self.operators.iter().find(|o| o.name.as_ref() == name);
        let own: Vec<usize> = self.source_of(name).into_iter().collect();
        let sources = operator.map_or(own.as_slice(), |o| o.sources.as_slice());
        let at = of(&sources.iter().map(|at| &self.sources[*at]).collect::<Vec<_>>());
        if at == i64::MAX { i64::MAX } else { at.saturating_sub(self.allowance(name)) }
    }

    /// How long windows wait before the rows of a node come, of all windows on the way to it.
    fn allowance(&self, name: &str) -> i64 {
        let Some(at) = self.operators.iter().position(|o| o.name.as_ref() == name) else { return 0 };
        let (mut node, mut sum) = (self.sources.len() + at, 0);
        while let Some(operator) = self.operator_of(node) {
            if let Running::Sql { query, .. } = &operator.running {
                sum += query.allowance_ms();
            }
            // What is joined has no windows before it.
            node = operator.inputs[0];
        }
        sum
    }

    /// Whether every assigned partition of bounded input has been read to its end.
    pub fn all_finished(&self) -> bool {
        self.sources.iter().all(|source| source.clocks.all_finished())
    }

    /// Runs the rows that wait through the operators. `now` is from one monotonic clock. Where tables are asked, everything that
    /// [`Stage::wanted`] says is known.
    pub fn turn(&mut self, now: Millis) -> Result<(), StageError> {
        self.run(now, &mut None)
    }

    /// The same, and hands out what comes out while it does where it is much, some at a time: rows of one key may meet very many.
    /// The rest is in [`Stage::take_outputs`].
    pub fn turn_giving(
        &mut self,
        now: Millis,
        mut take: impl FnMut(Outputs) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        self.run(now, &mut Some(&mut take))
    }

    fn run(&mut self, now: Millis, take: &mut Option<Take<'_>>) -> Result<(), StageError> {
        self.let_go()?;
        let mut read = self.lookups.take().unwrap_or_default();
        if read.is_empty() || !self.lookups.is_empty() {
            let mut more = Vec::with_capacity(self.sources.len());
            for source in &mut self.sources {
                more.push(source.gather(now, &mut self.out.rejected)?);
            }
            let is_known = self.lookups.is_empty() || more.iter().all(Option::is_none);
            if !is_known || !self.lookups.gathered.is_empty() {
                return Err(StageError::NotAsked);
            }
            if read.is_empty() {
                read = more;
            }
        }
        source::tick(&mut self.sources, now);
        for (at, read) in read.into_iter().enumerate() {
            if let Some((chunk, offsets)) = read {
                let source = Arc::clone(&self.sources[at].name);
                let (batch, groups) = (chunk.batch.clone(), chunk.groups.clone());
                self.pass(&Input { at, source, batch, groups, offsets }, chunk, take)?;
            }
        }
        self.note_read();
        Ok(())
    }

    /// Tells joins of streams how far each has come, when all that was gathered of it has been run.
    fn note_read(&mut self) {
        let is_joined = |operator: &&mut Operator| matches!(&operator.running, Running::Sql { query, .. } if query.is_joined());
        let mut joins = self.operators.iter_mut().filter(is_joined).peekable();
        if joins.peek().is_none() {
            return;
        }
        let at = |source: &Source| source.before_ends(&source.watermarks());
        let watermarks: Vec<Vec<i64>> = self.sources.iter().map(at).collect();
        for operator in joins {
            if let Running::Sql { query, .. } = &mut operator.running {
                let of = |of: &Vec<usize>| Stage::least(of, |at| &watermarks[at]);
                query.note_read(&operator.branches.iter().map(of).collect::<Vec<_>>());
            }
        }
    }

    /// What an operator goes by, of each source: watermarks of its own, or for what joins several also how far the others had
    /// come while it was idle; and how far it has itself fired at the end of input.
    fn progress<'a>(operator: &Operator, own: &'a [Vec<i64>], joined: &'a [Vec<i64>]) -> Vec<Cow<'a, [i64]>> {
        operator.fired.beside(if operator.sources.len() > 1 { joined } else { own })
    }

    /// Every source's watermarks as of the last commit, its own and for joins.
    fn committed(&self) -> (Vec<Vec<i64>>, Vec<Vec<i64>>) {
        let own = self.sources.iter().map(|source| source.committed.clone());
        let joined = self.sources.iter();
        let joined = joined.map(|source| source::greater(&source.committed, &source.followed_committed));
        (own.collect(), joined.collect())
    }

    /// The least of some sources' watermarks for each key group.
    fn least<'a>(sources: &[usize], of: impl Fn(usize) -> &'a [i64]) -> Cow<'a, [i64]> {
        let all: Vec<Cow<'a, [i64]>> = sources.iter().map(|at| Cow::Borrowed(of(*at))).collect();
        query::least(&all)
    }

    /// What came out since the last call.
    pub fn take_outputs(&mut self) -> Outputs {
        std::mem::take(&mut self.out)
    }

    /// Each operator's counts, by name.
    pub fn counts(&self) -> Vec<(&str, OperatorCounts)> {
        self.operators.iter().map(|o| (o.name.as_ref(), o.counts)).collect()
    }

    /// Moves committed state to a scratch, until so many bytes of memory are free or nothing is left that can go; large parts
    /// first. After an error of the scratch nothing is lost, and the stage goes on in memory. Call it right after a commit.
    pub fn spill(&mut self, spill: &Spill, bytes: usize) -> Result<(), StageError> {
        self.let_go()?;
        let mut left = bytes;
        // What is small is not worth a block, unless nothing else is left.
        for part_bytes_min in [64, 8, 1].map(|times| spill.part_bytes_min * times) {
            let spill = Spill { part_bytes_min, ..spill.clone() };
            for operator in &mut self.operators {
                if let Running::Sql { query, .. } = &mut operator.running {
                    query.aggregates_mut().try_for_each(|aggregate| aggregate.spill(&spill, &mut left))?;
                }
            }
        }
        Ok(())
    }

    /// Each operator's state, by name.
    pub fn state_sizes(&self) -> Vec<(&str, StateSize)> {
        let size = |o: &Operator| match &o.running {
            Running::Dedupe(dedupe) => {
                StateSize { bytes: dedupe.size(), disk_bytes: 0, entries: dedupe.rows() }
            }
            Running::Sql { query, .. } => query.aggregates().fold(StateSize::default(), |sum, a| StateSize {
                bytes: sum.bytes + a.size(),
                disk_bytes: sum.disk_bytes + a.disk_size(),
                entries: sum.entries + a.entries(),
            }),
        };
        self.operators.iter().map(|o| (o.name.as_ref(), size(o))).collect()
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
