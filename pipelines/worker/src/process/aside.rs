//! What goes on no further: rows that operators put aside and records that are bad, to the dead letters or to the topic that
//! a query names for its late rows. Never enters: who put them aside, and why.

use arrow::array::RecordBatch;
use bytes::Bytes;
use millstream_client::{ConsumerRecords, RecordRef};
use millstream_connect::dead_letter::{DeadLetter, Origin};
use millstream_engine::stage::OutputBatch;
use millstream_format::json::JsonRows;
use millstream_types::hash::partition_for_key;

use super::Driver;
use crate::error::WorkerError;
use crate::outbox::Outbox;
use crate::polled::find;

/// A row that an output's format has no form for.
pub(super) struct Unwritable {
    /// The place of the output.
    pub(super) output: usize,
    /// The row alone.
    pub(super) row: RecordBatch,
    /// What it has no form for.
    pub(super) why: String,
}

impl Driver {
    /// Rows that an operator put aside, to the dead letters.
    pub(super) fn aside(
        &mut self,
        records: Option<&ConsumerRecords>,
        output: &OutputBatch,
        step: &str,
        reason: &str,
    ) -> Result<(), WorkerError> {
        let Some(offsets) = &output.offsets else {
            return Err(WorkerError::Fatal(format!("rows that {step} put aside have no origin")));
        };
        let input = self.source_of(output.source.as_deref())?;
        for row in 0..output.batch.num_rows() {
            let place = (input, output.groups.value(row), offsets.value(row));
            if let Some((topic, partitions)) = self.setup.late_topics.get(step).filter(|_| reason == "late") {
                // The record as it came, for a query of its own.
                let found = records.and_then(|r| self.find(r, place));
                let (key, payload) = found.unwrap_or_default();
                let partition = match &key {
                    Some(key) => partition_for_key(key, *partitions as i32) as u32,
                    None => place.1 % partitions,
                };
                let record = RecordRef {
                    timestamp: self.context.clock.wall_ms(),
                    key: key.as_deref(),
                    value: Some(&payload),
                    headers: &[],
                };
                self.letters.append(topic, partition, &record)?;
                continue;
            }
            self.letter(records, place, step, (reason.to_owned(), String::new()))?;
        }
        Ok(())
    }

    /// The input that a source of the engine is.
    pub(super) fn source_of(&self, name: Option<&str>) -> Result<usize, WorkerError> {
        let place = |name: &str| self.setup.spec.sources.iter().position(|source| source.name == name);
        name.and_then(place).ok_or_else(|| {
            WorkerError::Fatal(format!("rows of {name:?}, which is no topic of this stage, were put aside"))
        })
    }

    /// A record among those of one poll, by input, key group and offset.
    fn find(
        &self,
        records: &ConsumerRecords,
        (input, group, offset): (usize, u32, i64),
    ) -> Option<(Option<Bytes>, Bytes)> {
        find(records, (&self.setup.inputs[input].topic, group as i32), offset)
    }

    pub(super) fn letter(
        &mut self,
        records: Option<&ConsumerRecords>,
        place: (usize, u32, i64),
        step: &str,
        (reason, error): (String, String),
    ) -> Result<(), WorkerError> {
        let (input, group, offset) = place;
        let topic = self.setup.inputs[input].topic.to_string();
        let origin = Origin::Record { topic, partition: group as i32, offset, row: None };
        self.stop_on_bad(&reason, &error, &origin)?;
        let Some(to) = &self.setup.dead_letters else { return Ok(()) };
        let (key, payload) = records.and_then(|r| self.find(r, place)).unwrap_or_default();
        let letter = DeadLetter {
            reason,
            error,
            step: step.to_owned(),
            pipeline: self.setup.pipeline.clone(),
            origin,
            at_ms: self.context.clock.wall_ms(),
            key,
            payload,
            headers: Vec::new(),
        };
        self.letters.append_dead_letter(to, &letter)
    }

    /// A row that an output's format has no form for; its payload is the row as JSON.
    pub(super) fn unwritable(&mut self, outbox: &mut Outbox, found: Unwritable) -> Result<(), WorkerError> {
        let Unwritable { output, row, why } = found;
        let to = &self.setup.outputs[output];
        let reason = "unwritable";
        *self.counts.entry(format!("rejected.{reason}")).or_default() += 1;
        let origin = Origin::Source(format!("a row of {} for topic {}", to.from, to.topic));
        self.stop_on_bad(reason, &why, &origin)?;
        let Some(letters) = &self.setup.dead_letters else { return Ok(()) };
        let mut payload = Vec::new();
        JsonRows::new(&row).write(0, &mut payload);
        let letter = DeadLetter {
            reason: reason.to_owned(),
            error: why,
            step: to.from.clone(),
            pipeline: self.setup.pipeline.clone(),
            origin,
            at_ms: self.context.clock.wall_ms(),
            key: None,
            payload: payload.into(),
            headers: Vec::new(),
        };
        outbox.append_dead_letter(letters, &letter)
    }

    /// Where bad records stop the pipeline, what would be a dead letter does. (Late rows of windows are none there: the file
    /// has to say another rule for them, MS0405.)
    fn stop_on_bad(&self, reason: &str, error: &str, origin: &Origin) -> Result<(), WorkerError> {
        match self.setup.stop_on_bad {
            true => Err(WorkerError::Fatal(format!(
                "{origin}: {reason}: {error}; `errors: data: action: stop` says to stop"
            ))),
            false => Ok(()),
        }
    }
}
