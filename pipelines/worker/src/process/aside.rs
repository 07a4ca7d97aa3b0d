//! What goes on no further: rows that operators put aside and records that are bad, to the dead letters or to the topic that
//! a query names for its late rows. Never enters: who put them aside, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use millstream_client::{ConsumerRecords, RecordRef};
use millstream_connect::dead_letter::{DeadLetter, Origin};
use millstream_engine::stage::{Failed, FailedAt, OutputBatch};
use millstream_format::json::{self, JsonRows};
use millstream_types::hash::partition_for_key;

use super::outgoing::Outgoing;
use crate::error::WorkerError;
use crate::polled::find;

/// A row that cannot be a record of an output's topic.
pub(super) struct Unwritable {
    /// The place of the output.
    pub(super) output: usize,
    /// The row alone.
    pub(super) row: RecordBatch,
    /// Why, as one word, and in full.
    pub(super) reason: &'static str,
    pub(super) why: String,
}

/// A row with the columns that it can show in JSON: others as text, or not at all.
fn in_json(row: &RecordBatch) -> Result<RecordBatch, WorkerError> {
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = Default::default();
    for (field, column) in row.schema().fields().iter().zip(row.columns()) {
        let has_form = json::check(&Schema::new(vec![field.as_ref().clone()])).is_ok();
        let shown = if has_form { Ok(Arc::clone(column)) } else { cast(column, &DataType::Utf8) };
        let Ok(shown) = shown else { continue };
        fields.push(Field::new(field.name(), shown.data_type().clone(), true));
        columns.push(shown);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(row.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

impl Outgoing {
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
                self.outbox.append(topic, partition, &record)?;
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
        if !self.told.insert((place, step.to_owned(), reason.clone())) {
            return Ok(());
        }
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
        self.outbox.append_dead_letter(to, &letter)
    }

    /// What could not be computed: the record as it came, or a row that operators made.
    pub(super) fn failed(
        &mut self,
        records: Option<&ConsumerRecords>,
        found: Failed,
    ) -> Result<(), WorkerError> {
        let Failed { step, what, reason, error } = found;
        match what {
            FailedAt::Record { source, group, offset } => {
                self.count_bad(&format!("rejected.{reason}"));
                let place = (self.source_of(Some(&source))?, group.0, offset);
                self.letter(records, place, &step, (reason.to_owned(), error))
            }
            FailedAt::Row(row) => {
                // No record: what was read and what was rejected are held against each other.
                self.count_bad(&format!("unfit.{reason}"));
                self.made += 1;
                let origin = Origin::Source(format!("a row of {step}"));
                self.row_letter(&row, (&step, origin), (reason, error))
            }
        }
    }

    /// A row that cannot be a record of an output's topic.
    pub(super) fn unwritable(&mut self, found: Unwritable) -> Result<(), WorkerError> {
        let Unwritable { output, row, reason, why } = found;
        let setup = Arc::clone(&self.setup);
        let to = &setup.outputs[output];
        // What a dedupe lets through is the record.
        let kind = if self.deduped.contains(&to.from) { "rejected" } else { "unfit" };
        self.count_bad(&format!("{kind}.{reason}"));
        self.made += 1;
        let origin = Origin::Source(format!("a row of {} for topic {}", to.from, to.topic));
        self.row_letter(&row, (&to.from, origin), (reason, why))
    }

    /// Counts a record, or a row, that goes no further.
    pub(super) fn count_bad(&mut self, what: &str) {
        self.bad += 1;
        match self.counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(what.to_owned(), 1)),
        }
    }

    /// A dead letter whose payload is a row as JSON.
    fn row_letter(
        &mut self,
        row: &RecordBatch,
        (step, origin): (&str, Origin),
        (reason, error): (&str, String),
    ) -> Result<(), WorkerError> {
        self.stop_on_bad(reason, &error, &origin)?;
        let Some(letters) = &self.setup.dead_letters else { return Ok(()) };
        let mut payload = Vec::new();
        JsonRows::new(&in_json(row)?).write(0, &mut payload);
        let letter = DeadLetter {
            reason: reason.to_owned(),
            error,
            step: step.to_owned(),
            pipeline: self.setup.pipeline.clone(),
            origin,
            at_ms: self.context.clock.wall_ms(),
            key: None,
            payload: payload.into(),
            headers: Vec::new(),
        };
        self.outbox.append_dead_letter(letters, &letter)
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
