//! What a process stage gives until its commit has it: rows of each output, dead letters, and what is counted of both. Where much
//! comes out before a commit, rows become records early, which are packed. Never enters: when to commit, what the engine does.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use millstream_client::ConsumerRecords;
use millstream_engine::error::StageError;
use millstream_engine::stage::{Outputs, Rejection, Stage};
use millstream_format::Encoder;
use millstream_spec::catalog::Delivery;

use super::rows::{Waiting, WaitingRows};
use super::{Form, ProcessOutput, ProcessStage, StageContext};
use crate::error::WorkerError;
use crate::outbox::{self, Away, Outbox};

/// About how many bytes of rows wait as columns before they become records; for each partition that they go to, where that is more:
/// each has a record of columns of its own.
const WAITING_BYTES: usize = 8 << 20;
const WAITING_BYTES_EACH: usize = 64 << 10;

/// How far rows have come, for whoever reads them: by output, and those of other workers.
pub(super) struct Levels {
    pub(super) own: Vec<i64>,
    pub(super) others: i64,
}

/// See the module.
pub(super) struct Outgoing {
    pub(super) setup: Arc<ProcessStage>,
    pub(super) context: StageContext,
    /// What writes rows as records, by output.
    pub(super) encoders: Vec<Option<Encoder>>,
    /// What the topic of each output takes.
    pub(super) takes: Vec<outbox::Takes>,
    /// Rows that are no records yet, by output.
    pub(super) rows: Vec<WaitingRows>,
    /// Dead letters, and rows that became records before the commit has all of them.
    pub(super) outbox: Outbox,
    pub(super) away: Option<Arc<Away>>,
    /// Rows of operators' own that failed since the last commit, and all that was bad.
    pub(super) made: u64,
    pub(super) bad: u64,
    /// Results that take the place of earlier ones, since the last commit: what those that failed are held against.
    pub(super) results: u64,
    pub(super) counts: BTreeMap<String, u64>,
    /// The operators that drop repeats of all that the stage reads.
    pub(super) deduped: BTreeSet<String>,
    /// The records that went to the dead letters since the last commit, by their places, and by which step for what: one whose rows
    /// are many goes there once.
    pub(super) told: HashSet<((usize, u32, i64), String, String)>,
}

impl Outgoing {
    /// Takes what the engine gave; bad records find their payload among these.
    pub(super) fn take_in(
        &mut self,
        records: Option<&ConsumerRecords>,
        outputs: Outputs,
    ) -> Result<(), WorkerError> {
        for rejected in outputs.rejected {
            let step = rejected.source.to_string();
            let input = self.source_of(Some(&step))?;
            let reason = match &rejected.why {
                Rejection::Bad(bad) => bad.word(self.setup.spec.sources[input].format.name()),
                Rejection::TooFarAhead { .. } => "too_far_ahead".to_owned(),
            };
            self.count_bad(&format!("rejected.{reason}"));
            let why = (reason, rejected.why.to_string());
            self.letter(records, (input, rejected.group.0, rejected.offset), &step, why)?;
        }
        outputs.failed.into_iter().try_for_each(|failed| self.failed(records, failed))?;
        for output in outputs.batches {
            match output.output.rsplit_once('.') {
                Some((step, "late")) => self.aside(records, &output, step, "late")?,
                Some((step, "conflicting")) => self.aside(records, &output, step, "conflicting_repeat")?,
                _ => {
                    // A worker that starts gives all of them again, those that fail with the others.
                    self.results += output.gone.as_ref().map_or(0, |gone| gone.len() as u64);
                    for (at, to) in self.setup.outputs.iter().enumerate() {
                        if to.from == output.output.as_ref() {
                            let (batch, groups) = (output.batch.clone(), output.groups.clone());
                            let rows = Waiting { batch, groups, gone: output.gone.clone() };
                            let rows = if to.lets_go { rows } else { rows.here()? };
                            self.rows[at].push(rows);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what the engine gave; where much waits for some outputs, it becomes records.
    pub(super) fn take_some(
        &mut self,
        records: Option<&ConsumerRecords>,
        outputs: Outputs,
        (now, levels): (i64, &Levels),
        which: fn(&ProcessOutput) -> bool,
    ) -> Result<(), WorkerError> {
        self.take_in(records, outputs)?;
        if self.has_much(which) { self.write(now, levels, which) } else { Ok(()) }
    }

    /// Makes records of the rows that wait for some outputs, for the commit.
    pub(super) fn write(
        &mut self,
        now: i64,
        levels: &Levels,
        which: impl Fn(&ProcessOutput) -> bool,
    ) -> Result<(), WorkerError> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let unwritable = self.put_rows(&mut outbox, now, levels, which);
        self.outbox = outbox;
        unwritable?.into_iter().try_for_each(|found| self.unwritable(found))
    }

    /// Whether many rows wait for some outputs.
    pub(super) fn has_much(&self, which: impl Fn(&ProcessOutput) -> bool) -> bool {
        let waiting = self.setup.outputs.iter().zip(&self.rows).filter(|(to, _)| which(to));
        let bytes: usize = waiting.clone().map(|(_, rows)| rows.bytes).sum();
        let partitions = waiting.map(|(to, _)| to.partitions as usize).max().unwrap_or(0);
        bytes >= WAITING_BYTES.max(partitions * WAITING_BYTES_EACH)
    }

    /// Rows of which this is promised, as records that do not wait for the commit. What becomes a dead letter does.
    pub(super) fn records_of(
        &mut self,
        now: i64,
        levels: &Levels,
        delivery: Delivery,
    ) -> Result<Outbox, WorkerError> {
        let mut outbox = Outbox::default();
        let unwritable = self.put_rows(&mut outbox, now, levels, |to| to.delivery == delivery)?;
        unwritable.into_iter().try_for_each(|found| self.unwritable(found))?;
        Ok(outbox)
    }

    /// All that goes with the commit.
    pub(super) fn take_outbox(&mut self) -> Outbox {
        self.told.clear();
        let empty = Outbox::new(self.away.clone());
        std::mem::replace(&mut self.outbox, empty)
    }
}

/// Lets a stage work, and takes what it gives on the way and in the end.
pub(super) fn giving<T>(
    stage: &mut Stage,
    work: impl FnOnce(&mut Stage, &mut dyn FnMut(Outputs) -> Result<(), StageError>) -> Result<T, StageError>,
    mut take: impl FnMut(Outputs) -> Result<(), WorkerError>,
) -> Result<T, WorkerError> {
    let mut refused = None;
    let done = work(stage, &mut |given| {
        take(given).map_err(|error| {
            refused = Some(error);
            StageError::NotTaken
        })
    });
    // Why it was not taken says more than that it was not.
    if let Some(error) = refused {
        return Err(error);
    }
    let done = done?;
    take(stage.take_outputs())?;
    Ok(done)
}

/// Whether rows of an output may become records before the commit: they are in it, and nobody goes by how far they had come when it
/// was made.
pub(super) fn may_be_early(to: &ProcessOutput) -> bool {
    to.delivery == Delivery::ExactlyOnce && !matches!(to.form, Form::Records { levels: true, .. })
}
