//! What a case left behind: rows of a topic as the broker gives them to any reader, rows of a sink as its target holds
//! them. Never enters: what was wanted of them.

use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{Cluster, RecordView};
use millstream_connect::dead_letter::{DeadLetter, LetterRecord};
use millstream_connector::sink::Change;
use millstream_engine::batch_ipc;
use millstream_plan::{Encoding, Job};
use millstream_spec::DEAD_LETTERS;
use millstream_spec::ast::{self, Operator, Pipeline, Target};
use millstream_spec::flow::section_of;
use millstream_spec::shape::Section;
use millstream_types::TopicPartition;

use super::found::{Found, Row, row_of_json, rows_of};
use super::{GONE, Prepared, own_output, requests};
use crate::error::WorkerError;
use crate::gone;
use crate::restore::read_records;

/// The most rows that are read of one place.
const ROWS_MAX: usize = 100_000;

/// Where the rows of an expectation are.
pub(crate) enum Shown<'a> {
    /// A topic whose records are JSON.
    Json(&'a str),
    /// A topic whose records are batches of columns.
    Columns(&'a str),
    /// A topic of dead letters.
    DeadLetters(&'a str),
    /// A transform that gets a topic of its own once a case asks for it.
    Hidden,
    /// A sink's target.
    Sink(&'a ast::Sink),
}

/// Where the rows of a transform, a sink or a topic are; in this order, where a name is of several. Nothing where no
/// part of the job writes them.
pub(crate) fn shown<'a>(pipeline: &'a Pipeline, job: &'a Job, id: &str) -> Option<Shown<'a>> {
    match section_of(pipeline, id) {
        Some(Section::Transforms) => match &pipeline.transforms[id].op {
            Operator::Topic(op) => topic(pipeline, job, &op.topic.value),
            _ => match own_output(job, id) {
                Some(output) if output.encoding == Encoding::Arrow => Some(Shown::Columns(&output.topic)),
                Some(output) => Some(Shown::Json(&output.topic)),
                None => job.operator(id).map(|_| Shown::Hidden),
            },
        },
        Some(Section::Sinks) => match &pipeline.sinks[id].target {
            Target::Topic(written) => topic(pipeline, job, &written.value),
            Target::Blackhole => None,
            Target::Foreign => Some(Shown::Sink(&pipeline.sinks[id])),
        },
        _ => topic(pipeline, job, id),
    }
}

fn topic<'a>(pipeline: &'a Pipeline, job: &'a Job, id: &str) -> Option<Shown<'a>> {
    let letters = job.dead_letters.as_deref();
    match pipeline.topics.get(id) {
        Some(topic) if letters == Some(&topic.name.value) => letters.map(Shown::DeadLetters),
        Some(topic) => job.topics.get(&topic.name.value).map(|topic| Shown::Json(&topic.name)),
        None if id == DEAD_LETTERS => letters.map(Shown::DeadLetters),
        None => None,
    }
}

impl Prepared {
    /// The rows of a transform, a sink or a topic, after the case has run on `cluster`.
    pub async fn rows_of(&self, id: &str, cluster: &Arc<Cluster>) -> Result<Vec<Row>, WorkerError> {
        match shown(&self.pipeline, &self.job, id) {
            Some(Shown::Json(topic)) => {
                let key = self.pipeline.topics.values().find(|t| t.name.value == topic);
                let key = key.and_then(|topic| topic.key.first()).map(|key| key.value.as_str());
                self.topic(cluster, topic, |record| Ok(vec![row_of_record(record, key)])).await
            }
            Some(Shown::Columns(topic)) => self.topic(cluster, topic, rows_of_columns).await,
            Some(Shown::DeadLetters(topic)) => {
                self.topic(cluster, topic, |record| Ok(vec![letter(record)])).await
            }
            Some(Shown::Sink(sink)) => self.sink(sink),
            Some(Shown::Hidden) | None => {
                Err(WorkerError::Fatal(format!("looking at {id:?}: nothing in the pipeline writes its rows")))
            }
        }
    }

    async fn topic(
        &self,
        cluster: &Arc<Cluster>,
        name: &str,
        mut rows_of_record: impl FnMut(&RecordView<'_>) -> Result<Vec<Row>, WorkerError>,
    ) -> Result<Vec<Row>, WorkerError> {
        let name: Arc<str> = name.into();
        let partitions = self.job.topics.get(name.as_ref()).map_or(0, |topic| topic.partitions);
        let partitions: Vec<TopicPartition> =
            (0..partitions as i32).map(|p| TopicPartition::new(Arc::clone(&name), p)).collect();
        let mut rows = Vec::new();
        read_records(cluster, &partitions, |_, record| {
            rows.extend(rows_of_record(&record)?);
            bounded(&name, rows.len())
        })
        .await?;
        Ok(rows)
    }

    fn sink(&self, sink: &ast::Sink) -> Result<Vec<Row>, WorkerError> {
        let id = &sink.id.value;
        let failed = |why: String| WorkerError::Fatal(format!("looking at the sink {id:?}: {why}"));
        let rows: Vec<Row> = if sink.connector == "object_store" {
            let folder = self.bench.sink_folder(id);
            let batches = millstream_object_store::read_folder(&folder).map_err(|e| failed(e.to_string()))?;
            batches.iter().flat_map(rows_of).collect()
        } else if sink.connector == "http" {
            let bodies = requests::bodies(&self.bench.sink_requests(id)).map_err(failed)?;
            bodies.iter().map(|body| row_of_json(body.as_bytes())).collect()
        } else {
            let config = self.bench.rows_config(sink).map_err(|d| failed(d.message))?;
            let path = self.bench.sink_database(id);
            let rows = millstream_sqlite::read_table(&path, &config.table);
            let rows = rows.map_err(|e| failed(e.to_string()))?.into_iter();
            rows.map(|row| row.into_iter().map(|(name, value)| (name, Found::of_sql(value))).collect())
                .collect()
        };
        bounded(id, rows.len())?;
        Ok(rows)
    }
}

fn bounded(what: &str, rows: usize) -> Result<(), WorkerError> {
    match rows > ROWS_MAX {
        true => Err(WorkerError::Fatal(format!(
            "looking at {what:?}: it has more than the {ROWS_MAX} rows that a test reads; give the case less input"
        ))),
        false => Ok(()),
    }
}

/// The row of a record of JSON. One without a value says which row is gone, by its header or by its key.
fn row_of_record(record: &RecordView<'_>, key: Option<&str>) -> Row {
    let told = record.headers.find_last(gone::ROW).and_then(|header| header.value);
    match (record.value, told, key.zip(record.key)) {
        (None, Some(told), _) => gone_row(row_of_json(told)),
        (None, None, Some((column, key))) => {
            gone_row(vec![(column.to_owned(), Found::SqlText(String::from_utf8_lossy(key).into_owned()))])
        }
        (value, ..) => row_of_json(value.unwrap_or_default()),
    }
}

/// The rows of a record of columns.
fn rows_of_columns(record: &RecordView<'_>) -> Result<Vec<Row>, WorkerError> {
    let rows = batch_ipc::decode(record.value.unwrap_or_default())?;
    Ok(match gone::change_of(record)? {
        Change::Upsert => rows_of(&rows),
        Change::Delete => rows_of(&gone::known(record, &rows)?).into_iter().map(gone_row).collect(),
    })
}

/// A row that is gone, by what it is known by.
fn gone_row(known: Row) -> Row {
    vec![(GONE.to_owned(), Found::Map(known))]
}

/// A dead letter as a row. What differs from run to run, when it failed, is left out.
fn letter(record: &RecordView<'_>) -> Row {
    let bytes = |bytes: Option<&[u8]>| Bytes::copy_from_slice(bytes.unwrap_or_default());
    let headers = record.headers;
    let headers =
        headers.map(|header| (String::from_utf8_lossy(header.key).into_owned(), bytes(header.value)));
    let record = &LetterRecord { key: None, value: bytes(record.value), headers: headers.collect() };
    let text = |text: &str| Found::Text(text.to_owned());
    let payload = text(&String::from_utf8_lossy(&record.value));
    let Some(letter) = DeadLetter::from_record(record) else { return vec![("payload".to_owned(), payload)] };
    let error = if letter.error.is_empty() { Found::Null } else { text(&letter.error) };
    let columns = [
        ("reason", text(&letter.reason)),
        ("error", error),
        ("step", text(&letter.step)),
        ("pipeline", text(&letter.pipeline)),
        ("origin", text(&letter.origin.to_string())),
        ("payload", payload),
    ];
    columns.map(|(name, value)| (name.to_owned(), value)).into()
}
