//! The rows of a commit into topics, as columns or as records, and how far they have come. Never enters: when to commit.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter, filter_record_batch, not, take, take_record_batch};
use arrow::datatypes::{SchemaRef, UInt32Type};
use millstream_client::RecordRef;
use millstream_engine::batch_ipc::{self, bytes_of};
use millstream_engine::state::RECORD_BYTES_MAX;
use millstream_format::Encoder;

use super::aside::Unwritable;
use super::outgoing::{Levels, Outgoing};
use super::{Driver, Form, ProcessOutput};
use crate::error::WorkerError;
use crate::gone;
use crate::levels::Came;
use crate::outbox::{Fits, Outbox};
use crate::records::{self, NoRecord, Records};

/// Rows that are mixed so that a run has fewer than this many are sorted, unless there are few.
const RUN_ROWS: usize = 16;
const RUNS_FEW: usize = 64;

/// Rows of an output that wait for the commit.
pub(super) struct Waiting {
    pub(super) batch: RecordBatch,
    /// Their key groups.
    pub(super) groups: UInt32Array,
    /// Which are gone, where some may be.
    pub(super) gone: Option<BooleanArray>,
}

/// All rows of an output that wait.
#[derive(Default)]
pub(super) struct WaitingRows {
    rows: Vec<Waiting>,
    /// About how many bytes they take.
    pub(super) bytes: usize,
}

impl WaitingRows {
    pub(super) fn push(&mut self, rows: Waiting) {
        self.bytes += bytes_of(&rows.batch);
        self.rows.push(rows);
    }
}

impl Waiting {
    /// The rows that are not gone.
    pub(super) fn here(self) -> Result<Waiting, WorkerError> {
        let Some(gone) = self.gone.as_ref().filter(|gone| gone.has_true()) else { return Ok(self) };
        let here = not(gone)?;
        Ok(Waiting {
            batch: filter_record_batch(&self.batch, &here)?,
            groups: filter(&self.groups, &here)?.as_primitive::<UInt32Type>().clone(),
            gone: None,
        })
    }

    /// The same rows in another order.
    fn take(&self, order: &UInt32Array) -> Result<Waiting, WorkerError> {
        let gone = self
            .gone
            .as_ref()
            .map(|gone| Ok::<_, WorkerError>(take(gone, order, None)?.as_boolean().clone()));
        Ok(Waiting {
            batch: take_record_batch(&self.batch, order)?,
            groups: take(&self.groups, order, None)?.as_primitive::<UInt32Type>().clone(),
            gone: gone.transpose()?,
        })
    }
}

/// Rows that are cut into runs of one partition, sorted by it first where they are mixed.
fn in_runs(rows: Waiting, partitions: u32) -> Result<Waiting, WorkerError> {
    let runs = rows.groups.values().chunk_by(|a, b| a % partitions == b % partitions).count();
    if runs <= RUNS_FEW.max(rows.batch.num_rows() / RUN_ROWS) {
        return Ok(rows);
    }
    // Stable: rows of one partition keep their order.
    let mut order: Vec<u32> = (0..rows.batch.num_rows() as u32).collect();
    order.sort_by_key(|row| rows.groups.value(*row as usize) % partitions);
    rows.take(&UInt32Array::from(order))
}

/// The rows of one partition, put together out of runs: as they came, or those that are gone apart from others. Of each part, whether
/// its rows are gone.
fn together(
    schema: &SchemaRef,
    runs: &[(RecordBatch, Option<BooleanArray>)],
    to: &ProcessOutput,
) -> Result<Vec<(bool, RecordBatch)>, WorkerError> {
    let batch = match runs {
        // Of a slice, arrow does not know what its own bytes are, and would encode it in tiny records.
        [(run, _)] => take_record_batch(run, &UInt32Array::from_iter_values(0..run.num_rows() as u32))?,
        runs => concat_batches(schema, runs.iter().map(|(run, _)| run))?,
    };
    if runs.iter().all(|(_, gone)| gone.as_ref().is_none_or(|gone| gone.true_count() == 0)) {
        return Ok(vec![(false, batch)]);
    }
    let gone = runs.iter().flat_map(|(run, gone)| match gone {
        Some(gone) => gone.values().iter().collect::<Vec<bool>>(),
        None => vec![false; run.num_rows()],
    });
    let gone: BooleanArray = gone.collect::<Vec<bool>>().into();
    let known_by = to.known_by.as_ref().ok_or_else(|| {
        WorkerError::Fatal(format!("rows of {} are gone, and what they are known by is not known", to.from))
    })?;
    let parts = gone::apart(&batch, &gone, known_by)?.into_iter();
    parts.map(|(is_gone, rows)| Ok((is_gone, take_record_batch(&batch, &rows)?))).collect()
}

impl Outgoing {
    /// Rows into the topics of sinks, of all or of some, each key group's in its partition; those
    /// that a format has no form for are given back. Rows that were polled come in runs of one key group and are copied once,
    /// run by run; those of windows come mixed, and are gathered one by one.
    pub(super) fn put_rows(
        &mut self,
        outbox: &mut Outbox,
        now: i64,
        come_to: &Levels,
        which: impl Fn(&ProcessOutput) -> bool,
    ) -> Result<Vec<Unwritable>, WorkerError> {
        let mut encoded = Vec::new();
        let outputs = self.setup.outputs.iter().zip(&self.encoders).zip(&mut self.rows).zip(&come_to.own);
        let mut unwritable = Vec::new();
        for (at, (((to, encoder), waiting), level)) in outputs.enumerate() {
            if !which(to) {
                continue;
            }
            // Rows that go to several topics count once.
            let counts = !self.setup.outputs[..at].iter().any(|other| other.from == to.from);
            let mut waiting = std::mem::take(waiting).rows;
            let Some(first) = waiting.first() else { continue };
            if encoder.as_ref().is_some_and(Encoder::is_of_many) && waiting.len() > 1 {
                // What leaves together shares records.
                let batch = concat_batches(&first.batch.schema(), waiting.iter().map(|rows| &rows.batch))?;
                waiting = vec![Waiting { batch, groups: UInt32Array::from(Vec::<u32>::new()), gone: None }];
            }
            let Some(first) = waiting.first() else { continue };
            if let (Form::Records { key, levels, .. }, Some(encoder)) = (&to.form, encoder) {
                let level = Some(come_to.others.min(*level)).filter(|level| *levels && *level < i64::MAX);
                let mut rows = waiting.iter().map(|rows| rows.batch.num_rows() as u64).sum::<u64>();
                let takes = self.takes[at];
                let known_by = to.known_by.as_deref();
                let how = Records { encoder, key: key.as_deref(), level, now, takes, known_by };
                for Waiting { batch, gone, .. } in &waiting {
                    let place = (&to.topic, to.partitions);
                    let bad = records::put(outbox, place, &how, (batch, gone.as_ref()))?;
                    rows -= bad.len() as u64;
                    unwritable.extend(bad.into_iter().map(|NoRecord { row, reason, why }| Unwritable {
                        output: at,
                        row: batch.slice(row, 1),
                        reason,
                        why,
                    }));
                }
                if counts {
                    *self.counts.entry(format!("written.{}", to.from)).or_default() += rows;
                }
                continue;
            }
            let schema = first.batch.schema();
            let mut parts: Vec<Vec<(RecordBatch, Option<BooleanArray>)>> =
                vec![Vec::new(); to.partitions as usize];
            let mut rows: usize = waiting.iter().map(|rows| rows.batch.num_rows()).sum();
            for rows in waiting {
                let Waiting { batch, groups, gone } = in_runs(rows, to.partitions)?;
                let mut at = 0;
                for run in groups.values().chunk_by(|a, b| a % to.partitions == b % to.partitions) {
                    let gone = gone.as_ref().map(|gone| gone.slice(at, run.len()));
                    parts[(run[0] % to.partitions) as usize].push((batch.slice(at, run.len()), gone));
                    at += run.len();
                }
            }
            for (partition, runs) in parts.into_iter().enumerate().filter(|(_, runs)| !runs.is_empty()) {
                let names = gone::names(to.known_by.as_deref().unwrap_or_default());
                let gone = gone::headers(&names);
                for (is_gone, part) in together(&schema, &runs, to)? {
                    let headers = if is_gone { &gone[..] } else { &[] };
                    batch_ipc::encode_each(&part, RECORD_BYTES_MAX, &mut encoded, |value, _| {
                        let record =
                            RecordRef { timestamp: now, value: Some(value), headers, ..RecordRef::default() };
                        let place = (&to.topic, partition as u32);
                        if let Fits::No { bytes, most } =
                            outbox.append_fitting(place, &record, self.takes[at].bytes_max)?
                        {
                            // One row alone: others are divided.
                            let row = batch_ipc::decode(value)?;
                            rows -= row.num_rows();
                            let why = records::too_large(&to.topic, bytes, most);
                            unwritable.push(Unwritable { output: at, row, reason: records::TOO_LARGE, why });
                        }
                        Ok::<(), WorkerError>(())
                    })?;
                }
            }
            if counts {
                *self.counts.entry(format!("written.{}", to.from)).or_default() += rows as u64;
            }
        }
        Ok(unwritable)
    }
}

impl Driver {
    /// How far the rows of each output have come. Of all that write one topic, the one that is furthest behind counts.
    pub(super) fn levels(&self) -> Levels {
        let outputs = &self.setup.outputs;
        let level = |topic: &Arc<str>| {
            let writers = outputs.iter().filter(|to| to.topic == *topic);
            writers.map(|to| self.stage.level_of(&to.from)).min().unwrap_or(i64::MAX)
        };
        let own = outputs.iter().map(|to| level(&to.topic)).collect();
        let others = self.context.ends.level_of_others(&self.context.stage, &self.owned).unwrap_or(i64::MAX);
        Levels { own, others }
    }

    /// How far the rows that this worker writes have come, for who writes beside it and who reads them; nothing where nobody wants to
    /// know.
    pub(super) fn level_to_say(&self) -> Option<Came> {
        let wants = |to: &&ProcessOutput| matches!(to.form, Form::Records { levels: true, .. });
        let wanted = self.setup.outputs.iter().filter(wants);
        let came = wanted.map(|to| (self.stage.level_of(&to.from), self.stage.reached_by(&to.from)));
        let (level, reached) = came.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)))?;
        Some(Came { level, reached })
    }
}
