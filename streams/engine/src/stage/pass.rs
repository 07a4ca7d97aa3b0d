//! Rows of a source through the operators: what is done to them before state, for all, and then state takes them. Where something
//! cannot be computed they are run in parts, down to the records that fail (ADR 0067). Never enters: commits, and what comes of
//! state with them.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{Int64Type, UInt32Type};
use millstream_model::{KeyGroup, LateThen};

use super::leaving::{Giver, Leaving, Take};
use super::{
    FAILED_EXPRESSION, Failed, FailedAt, LOOKUP_FAILED, Operator, OperatorCounts, OutputBatch, Running, Stage,
};
use crate::error::StageError;
use crate::op::chunk::Chunk;
use crate::op::faults::{Faults, parts};
use crate::sql::query::{Held, Prepared};

/// What an operator made of some rows, before any of it counts.
#[derive(Default)]
struct Tried {
    counts: OperatorCounts,
    late: Vec<u32>,
    held: Vec<Held>,
}

/// What all made of them.
#[derive(Default)]
struct Trial {
    outputs: Vec<OutputBatch>,
    operators: Vec<Tried>,
}

impl Stage {
    /// Runs rows of a source through the operators: what is done to them before state, for all; then state takes them. Where
    /// something cannot be computed they are run in parts, in their order, down to the records that fail, of which nothing is
    /// taken and nothing comes out: it is as if each had been run alone.
    pub(super) fn pass(
        &mut self,
        input: &Input,
        chunk: Chunk,
        take: &mut Option<Take<'_>>,
    ) -> Result<(), StageError> {
        match self.try_rows(input, chunk.clone()) {
            Ok(trial) => self.accept(input, trial, take),
            Err((step, error)) => {
                for operator in &mut self.operators {
                    if let Running::Dedupe(dedupe) = &mut operator.running {
                        dedupe.undo();
                    }
                }
                if !error.is_of_rows() {
                    return Err(error);
                }
                if chunk.rows() == 1 {
                    self.out.failed.push(input.failed(&chunk, step, &error));
                    return Ok(());
                }
                parts(0..chunk.rows()).try_for_each(|part| self.pass(input, chunk.slice(part), take))
            }
        }
    }

    /// What operators make of rows before state has them; what dedupes have noted of them can be undone. The error is of a step.
    fn try_rows(&mut self, input: &Input, chunk: Chunk) -> Result<Trial, (Arc<str>, StageError)> {
        let mut trial = Trial::default();
        let from = &self.sources[input.at];
        if from.wanted {
            let output = input.output(Arc::clone(&from.name), &chunk);
            trial.outputs.push(output.map_err(|error| (Arc::clone(&from.name), error))?);
        }
        let mut nodes: Vec<Vec<Chunk>> = vec![Vec::new(); self.sources.len()];
        nodes[input.at].push(chunk);
        for operator in &mut self.operators {
            let of = |(branch, node): (usize, &usize)| -> Vec<(usize, Chunk)> {
                let chunks = nodes[*node].iter().filter(|chunk| chunk.rows() > 0);
                chunks.map(|chunk| (branch, chunk.clone())).collect()
            };
            let mut given: Vec<(usize, Chunk)> = operator.inputs.iter().enumerate().flat_map(of).collect();
            if operator.sources.len() > 1 {
                given.iter_mut().for_each(|(_, chunk)| chunk.raise_watermarks(&from.followed));
            }
            // What fires keeps its rows: none goes on with these.
            if let Some(fired) = operator.fired.of(input.at) {
                given.iter_mut().for_each(|(_, chunk)| chunk.raise_watermarks(fired));
            }
            let name = Arc::clone(&operator.name);
            let began = Instant::now();
            let tried = operator.try_rows(given, input, &mut trial.outputs);
            let (mut tried, results) = tried.map_err(|error| (name, error))?;
            tried.counts.busy = began.elapsed();
            trial.operators.push(tried);
            nodes.push(results);
        }
        Ok(trial)
    }

    /// Lets state take what was tried, and what was made of it go out.
    fn accept(&mut self, input: &Input, trial: Trial, take: &mut Option<Take<'_>>) -> Result<(), StageError> {
        self.out.batches.extend(trial.outputs);
        for (at, tried) in trial.operators.into_iter().enumerate() {
            let Tried { counts: tried, mut late, held } = tried;
            let mut leaving = Leaving::new(&mut self.out, take.as_mut().map(|take| &mut **take as Take<'_>));
            let Some((operator, behind)) = self.operators[at..].split_first_mut() else { continue };
            let Operator { running, name, wanted, counts, .. } = operator;
            counts.add(tried);
            let node = self.sources.len() + at;
            let mut giver = Giver { name, wanted: *wanted, counts, node, behind };
            let mut faults = Faults::new();
            match running {
                Running::Dedupe(dedupe) => dedupe.accept(),
                Running::Sql { query, .. } => giver.timed(&mut leaving, |give| {
                    held.into_iter().try_for_each(|held| query.hold(held, &mut late, &mut faults, give))
                })?,
            }
            leaving.fail_rows(name, &mut faults)?;
            let operator = &mut self.operators[at];
            // A row that is late for one side of a join with itself is so for the other; and one may have become several, by its list
            // or a table.
            late.sort_unstable();
            late.dedup();
            operator.counts.late += late.len() as u64;
            let dropped = matches!(&operator.running, Running::Sql { late: LateThen::Drop, .. });
            if !late.is_empty() && !dropped {
                let name = format!("{}.late", operator.name);
                self.out.batches.push(input.rows(name, late)?);
            }
        }
        Ok(())
    }
}

/// A source's rows of one turn, for those that an operator puts aside.
pub(super) struct Input {
    /// The source, by its place and its name.
    pub(super) at: usize,
    pub(super) source: Arc<str>,
    pub(super) batch: RecordBatch,
    pub(super) groups: UInt32Array,
    pub(super) offsets: Int64Array,
}

impl Input {
    /// A chunk whose rows are rows of the input, as an output.
    fn output(&self, output: Arc<str>, chunk: &Chunk) -> Result<OutputBatch, StageError> {
        let offsets = take(&self.offsets, &chunk.origin, None)?;
        Ok(OutputBatch {
            output,
            source: Some(Arc::clone(&self.source)),
            batch: chunk.batch.clone(),
            groups: chunk.groups.clone(),
            offsets: Some(offsets.as_primitive::<Int64Type>().clone()),
            gone: chunk.gone.clone(),
        })
    }

    /// Rows of the input, by their places.
    fn rows(&self, output: String, rows: Vec<u32>) -> Result<OutputBatch, StageError> {
        let rows = UInt32Array::from(rows);
        let part = |column: &dyn Array| take(column, &rows, None);
        Ok(OutputBatch {
            output: output.into(),
            source: Some(Arc::clone(&self.source)),
            batch: take_record_batch(&self.batch, &rows)?,
            groups: part(&self.groups)?.as_primitive::<UInt32Type>().clone(),
            offsets: Some(part(&self.offsets)?.as_primitive::<Int64Type>().clone()),
            gone: None,
        })
    }

    /// The record that the one row of a chunk is.
    fn failed(&self, chunk: &Chunk, step: Arc<str>, error: &StageError) -> Failed {
        let place = chunk.origin.value(0) as usize;
        let (group, offset) = (KeyGroup(self.groups.value(place)), self.offsets.value(place));
        let what = FailedAt::Record { source: Arc::clone(&self.source), group, offset };
        Failed { step, what, reason: reason_of(error), error: error.to_string() }
    }
}

impl Operator {
    /// Runs what its inputs gave up to state; what comes out goes to the outputs, if wanted, and on to the operators behind.
    fn try_rows(
        &mut self,
        given: Vec<(usize, Chunk)>,
        input: &Input,
        outputs: &mut Vec<OutputBatch>,
    ) -> Result<(Tried, Vec<Chunk>), StageError> {
        let (mut tried, mut results) = (Tried::default(), Vec::new());
        for (branch, chunk) in given {
            tried.counts.take(&chunk);
            match &mut self.running {
                Running::Dedupe(dedupe) => {
                    let mut deduped = dedupe.run(chunk)?;
                    // Items of one record's list.
                    deduped.conflicting.sort_unstable();
                    deduped.conflicting.dedup();
                    tried.counts.repeated += deduped.repeated;
                    tried.counts.conflicting += deduped.conflicting.len() as u64;
                    if !deduped.conflicting.is_empty() {
                        let name = format!("{}.conflicting", self.name);
                        outputs.push(input.rows(name, deduped.conflicting)?);
                    }
                    tried.late.extend(deduped.late);
                    results.push(deduped.unique);
                }
                Running::Sql { query, .. } => match query.prepare(branch, chunk, &mut tried.late)? {
                    Prepared::Rows(chunk) => results.push(chunk),
                    Prepared::Held(held) => tried.held.push(held),
                },
            }
        }
        for chunk in &results {
            tried.counts.rows_out += chunk.rows() as u64;
            if self.wanted && chunk.rows() > 0 {
                outputs.push(input.output(Arc::clone(&self.name), chunk)?);
            }
        }
        Ok((tried, results))
    }
}

pub(super) fn reason_of(error: &StageError) -> &'static str {
    match error {
        StageError::LookedUp { .. } => LOOKUP_FAILED,
        _ => FAILED_EXPRESSION,
    }
}
