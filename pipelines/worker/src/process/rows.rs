//! The rows of a commit into topics, as columns or as records, and how far they have come. Never enters: when to commit.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use millstream_engine::batch_ipc;
use millstream_engine::state::RECORD_BYTES_MAX;
use millstream_spec::catalog::Delivery;

use super::aside::Unwritable;
use super::{Driver, Form, ProcessOutput};
use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::records::{self, Records};

/// Rows that are mixed so that a run has fewer than this many are sorted, unless there are few.
const RUN_ROWS: usize = 16;
const RUNS_FEW: usize = 64;

/// Rows that are cut into runs of one partition, sorted by it first where they are mixed.
fn in_runs(
    batch: RecordBatch,
    groups: UInt32Array,
    partitions: u32,
) -> Result<(RecordBatch, UInt32Array), WorkerError> {
    let runs = groups.values().chunk_by(|a, b| a % partitions == b % partitions).count();
    if runs <= RUNS_FEW.max(batch.num_rows() / RUN_ROWS) {
        return Ok((batch, groups));
    }
    // Stable: rows of one partition keep their order.
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by_key(|row| groups.value(*row as usize) % partitions);
    let sorted = UInt32Array::from_iter_values(order.iter().map(|row| groups.value(*row as usize)));
    Ok((take_record_batch(&batch, &UInt32Array::from(order))?, sorted))
}

impl Driver {
    /// Rows into the topics of sinks, of all or of those of which this is promised, each key group's in its partition; those
    /// that a format has no form for are given back. Rows that were polled come in runs of one key group and are copied once,
    /// run by run; those of windows come mixed, and are gathered one by one.
    pub(super) fn put_rows(
        &mut self,
        outbox: &mut Outbox,
        now: i64,
        levels: &[i64],
        delivery: Option<Delivery>,
    ) -> Result<Vec<Unwritable>, WorkerError> {
        let mut encoded = Vec::new();
        let (ends, stage) = (&self.context.ends, &self.context.stage);
        let outputs = self.setup.outputs.iter().zip(&self.encoders).zip(&mut self.rows).zip(levels);
        let mut unwritable = Vec::new();
        for (at, (((to, encoder), waiting), level)) in outputs.enumerate() {
            if delivery.is_some_and(|delivery| to.delivery != delivery) {
                continue;
            }
            // Rows that go to several topics count once.
            let counts = !self.setup.outputs[..at].iter().any(|other| other.from == to.from);
            let waiting = std::mem::take(waiting);
            let Some((first, _)) = waiting.first() else { continue };
            if let (Form::Records { key, levels, .. }, Some(encoder)) = (&to.form, encoder) {
                let others = ends.level_of_others(stage, &self.owned).unwrap_or(i64::MAX);
                let level = Some(others.min(*level)).filter(|level| *levels && *level < i64::MAX);
                let mut rows = waiting.iter().map(|(batch, _)| batch.num_rows() as u64).sum::<u64>();
                let how = Records { encoder, key: key.as_deref(), level, now };
                for (batch, _) in &waiting {
                    for (row, why) in records::put(outbox, (&to.topic, to.partitions), &how, batch)? {
                        unwritable.push(Unwritable { output: at, row: batch.slice(row, 1), why });
                        rows -= 1;
                    }
                }
                if counts {
                    *self.counts.entry(format!("written.{}", to.from)).or_default() += rows;
                }
                continue;
            }
            let schema = first.schema();
            let mut parts: Vec<Vec<RecordBatch>> = vec![Vec::new(); to.partitions as usize];
            let rows: usize = waiting.iter().map(|(batch, _)| batch.num_rows()).sum();
            for (batch, groups) in waiting {
                let (batch, groups) = in_runs(batch, groups, to.partitions)?;
                let mut at = 0;
                for run in groups.values().chunk_by(|a, b| a % to.partitions == b % to.partitions) {
                    parts[(run[0] % to.partitions) as usize].push(batch.slice(at, run.len()));
                    at += run.len();
                }
            }
            if counts {
                *self.counts.entry(format!("written.{}", to.from)).or_default() += rows as u64;
            }
            for (partition, runs) in parts.into_iter().enumerate().filter(|(_, runs)| !runs.is_empty()) {
                let part = match runs.as_slice() {
                    // Of a slice, arrow does not know what its own bytes are, and would encode it in tiny records.
                    [run] => {
                        take_record_batch(run, &UInt32Array::from_iter_values(0..run.num_rows() as u32))?
                    }
                    runs => concat_batches(&schema, runs)?,
                };
                batch_ipc::encode_each(&part, RECORD_BYTES_MAX, &mut encoded, |record| {
                    outbox.append_value(&to.topic, partition as u32, now, record)
                })?;
            }
        }
        Ok(unwritable)
    }

    /// How far the rows of each output have come. Of all that write one topic, the one that is furthest behind counts.
    pub(super) fn levels(&self) -> Vec<i64> {
        let outputs = &self.setup.outputs;
        let level = |topic: &Arc<str>| {
            let writers = outputs.iter().filter(|to| to.topic == *topic);
            writers.map(|to| self.stage.level_of(&to.from)).min().unwrap_or(i64::MAX)
        };
        outputs.iter().map(|to| level(&to.topic)).collect()
    }

    /// How far the rows that this worker writes have come, for records of others; nothing where nobody wants to know.
    pub(super) fn level_to_say(&self) -> Option<i64> {
        let wants = |to: &&ProcessOutput| matches!(to.form, Form::Records { levels: true, .. });
        let wanted = self.setup.outputs.iter().filter(wants);
        wanted.map(|to| self.stage.level_of(&to.from)).min()
    }
}
