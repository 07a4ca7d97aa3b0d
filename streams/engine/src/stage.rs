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
pub mod lookups;
mod restore;
mod source;
mod spec;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef, UInt32Type};
use bytes::Bytes;
use millstream_model::watermark::CaughtUp;
use millstream_model::{EventTime, KeyGroup, LateThen, Watermark};
use millstream_types::Millis;

use crate::error::{StageError, columns};
use crate::op::chunk::Chunk;
use crate::op::dedupe::Dedupe;
use crate::op::join::TableJoin;
use crate::sql::{Query, query};
use crate::state::Owned;
use crate::state::scratch::Spill;
pub use build::StageProblem;
use lookups::Lookups;
use millstream_format::BadRecord;
pub use restore::Restore;
use source::Source;
pub use spec::{OperatorKind, OperatorSpec, SourceSpec, StageSpec};

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
}

impl OutputBatch {
    /// Rows that an operator made itself, out of no single row of the input.
    fn made(output: Arc<str>, chunk: &Chunk) -> OutputBatch {
        let (batch, groups) = (chunk.batch.clone(), chunk.groups.clone());
        OutputBatch { output, source: None, batch, groups, offsets: None }
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
}

impl Stage {
    /// The columns of a node: a source's, or an operator's main output.
    pub fn schema(&self, name: &str) -> Option<SchemaRef> {
        let sources = self.sources.iter().map(|s| &s.name);
        let at = sources.chain(self.operators.iter().map(|o| &o.name)).position(|n| n.as_ref() == name)?;
        Some(self.node_schema(at))
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
        self.each_join(name, |join| join.load(table))
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
        self.each_join(name, |join| join.change(rows, ids, gone))
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
        self.sources.iter_mut().for_each(|source| source.assign(group, now));
    }

    /// Stops reading key groups, and lets go of their state. Call it right after a commit: what came since is lost here.
    pub fn revoke(&mut self, groups: impl IntoIterator<Item = KeyGroup>) -> Result<(), StageError> {
        let mut gone = Owned::default();
        for group in groups {
            self.sources.iter_mut().for_each(|source| source.revoke(group));
            gone.add(group);
        }
        for operator in &mut self.operators {
            operator.running.forget(&gone)?;
        }
        Ok(())
    }

    /// Takes a record's value of a source, by its place in the spec; none where it has none. A bad one is put among the
    /// rejected.
    pub fn push_record(
        &mut self,
        source: usize,
        (group, offset): (KeyGroup, i64),
        value: Option<&[u8]>,
        bounds: TimeBounds,
    ) -> Result<(), StageError> {
        let rejected = self.sources[source].push_record(group, offset, value, bounds)?;
        self.out.rejected.extend(rejected);
        Ok(())
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

    /// Whether enough rows wait for a turn.
    pub fn is_full(&self) -> bool {
        let rows: usize = self.sources.iter().map(|source| source.groups.len()).sum();
        let bytes: usize = self.sources.iter().map(|source| source.decoder.input_bytes()).sum();
        rows >= self.batch_rows || bytes >= INPUT_BYTES_MAX
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

    /// A key group's watermark: the least of its sources'.
    pub fn watermark(&self, group: KeyGroup) -> Watermark {
        self.sources.iter().map(|source| source.clocks.of(group)).min().unwrap_or(Watermark::NONE)
    }

    /// The least watermark of the partitions that hold it back, for people. It falls when one comes that is behind.
    pub fn least_watermark(&self) -> Watermark {
        self.sources.iter().map(|source| source.clocks.least()).min().unwrap_or(Watermark::NONE)
    }

    /// The same of one source: how far it has been read in event time.
    pub fn least_watermark_of(&self, source: usize) -> Watermark {
        self.sources[source].clocks.least()
    }

    /// The event time that the rows of a node have come to as of the last commit: windows that end later had not fired, and
    /// rows that are in time come at or behind it. Partitions that hold nothing back, since they are idle, empty or have
    /// ended, do not count, unless they have come further since. `i64::MIN` while nothing is known, `i64::MAX` when there is
    /// nothing to wait for.
    pub fn level_of(&self, name: &str) -> i64 {
        let operator = self.operators.iter().find(|o| o.name.as_ref() == name);
        let own: Vec<usize> = self.source_of(name).into_iter().collect();
        let sources = operator.map_or(own.as_slice(), |o| o.sources.as_slice());
        let least = source::level(&sources.iter().map(|at| &self.sources[*at]).collect::<Vec<_>>());
        if least == i64::MAX { i64::MAX } else { least.saturating_sub(self.allowance(name)) }
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
                self.pass(at, chunk, &offsets)?;
            }
        }
        Ok(())
    }

    /// Runs rows of a source through the operators.
    fn pass(&mut self, source: usize, chunk: Chunk, offsets: &Int64Array) -> Result<(), StageError> {
        let from = &self.sources[source];
        let (batch, groups) = (&chunk.batch.clone(), &chunk.groups.clone());
        let input = Input { source: &from.name, batch, groups, offsets };
        if from.wanted {
            self.out.batches.push(input.output(Arc::clone(&from.name), &chunk)?);
        }
        let mut nodes: Vec<Vec<Chunk>> = vec![Vec::new(); self.sources.len()];
        nodes[source].push(chunk);
        for operator in &mut self.operators {
            let of = |(branch, node): (usize, &usize)| -> Vec<(usize, Chunk)> {
                let chunks = nodes[*node].iter().filter(|chunk| chunk.rows() > 0);
                chunks.map(|chunk| (branch, chunk.clone())).collect()
            };
            let mut given: Vec<(usize, Chunk)> = operator.inputs.iter().enumerate().flat_map(of).collect();
            if operator.sources.len() > 1 {
                given.iter_mut().for_each(|(_, chunk)| chunk.raise_watermarks(&from.followed));
            }
            let result = operator.run(given, &input, &mut self.out)?;
            nodes.push(result);
        }
        Ok(())
    }

    /// What an operator goes by, of each source: watermarks of its own, or for what joins several also how far the others had
    /// come while it was idle.
    fn progress<'a>(operator: &Operator, own: &'a [Vec<i64>], joined: &'a [Vec<i64>]) -> &'a [Vec<i64>] {
        if operator.sources.len() > 1 { joined } else { own }
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

/// The stage's input of one turn, for rows that an operator puts aside.
struct Input<'a> {
    source: &'a Arc<str>,
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
            source: Some(Arc::clone(self.source)),
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
            source: Some(Arc::clone(self.source)),
            batch: take_record_batch(self.batch, &rows)?,
            groups: part(self.groups)?.as_primitive::<UInt32Type>().clone(),
            offsets: Some(part(self.offsets)?.as_primitive::<Int64Type>().clone()),
        })
    }
}

impl Operator {
    /// Runs what its inputs gave; what comes out goes to the outputs, if wanted, and on to the operators behind.
    fn run(
        &mut self,
        given: Vec<(usize, Chunk)>,
        input: &Input<'_>,
        out: &mut Outputs,
    ) -> Result<Vec<Chunk>, StageError> {
        let (mut late, mut results) = (Vec::new(), Vec::new());
        for (branch, chunk) in given {
            self.counts.rows_in += chunk.rows() as u64;
            match &mut self.running {
                Running::Dedupe(dedupe) => {
                    let mut deduped = dedupe.run(chunk)?;
                    // Items of one record's list.
                    deduped.conflicting.sort_unstable();
                    deduped.conflicting.dedup();
                    self.counts.repeated += deduped.repeated;
                    self.counts.conflicting += deduped.conflicting.len() as u64;
                    if !deduped.conflicting.is_empty() {
                        let name = format!("{}.conflicting", self.name);
                        out.batches.push(input.rows(name, deduped.conflicting)?);
                    }
                    late.extend(deduped.late);
                    results.push(deduped.unique);
                }
                Running::Sql { query, .. } => results.extend(query.run(branch, chunk, &mut late)?),
            }
        }
        // A row that is late for one side of a join with itself is so for the other; and one may have become several, by its list
        // or a table.
        late.sort_unstable();
        late.dedup();
        self.counts.late += late.len() as u64;
        let dropped = matches!(&self.running, Running::Sql { late: LateThen::Drop, .. });
        if !late.is_empty() && !dropped {
            out.batches.push(input.rows(format!("{}.late", self.name), late)?);
        }
        let joined = matches!(&self.running, Running::Sql { query, .. } if query.is_windowed());
        for chunk in &results {
            self.counts.rows_out += chunk.rows() as u64;
            if self.wanted && chunk.rows() > 0 {
                out.batches.push(match joined {
                    true => OutputBatch::made(Arc::clone(&self.name), chunk),
                    false => input.output(Arc::clone(&self.name), chunk)?,
                });
            }
        }
        Ok(results)
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
