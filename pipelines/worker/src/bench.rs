//! A pipeline on the bench: the same stages, functions and queries, with stand-ins for what lies outside them. A test
//! case's rows stand in for sources and tables, a folder for every target. Nothing here dials, listens or writes beyond
//! that folder.
//!
//! ```text
//! source -> the case's rows, in their order      object_store         -> FOLDER/sinks/<id>, Parquet as it writes it
//! table  -> FOLDER/tables/<id>.csv, or its own   sqlite and postgres  -> FOLDER/sinks/<id>.db, a SQLite database
//! topic  -> the case's recording, where it has one   http                 -> FOLDER/sinks/<id>.jsonl, the bodies
//! ```
//! Never enters: starting brokers and processes (the caller's), how what came out is compared (`bench/judge.rs`).

pub mod check;
pub mod found;
pub mod judge;
pub mod observe;
pub mod recorded;
mod requests;
mod rows_source;
mod stand_in;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{Cluster, HeaderView, Producer, ProducerConfig, RecordRef};
use millstream_plan::{
    Encoding, Job, OperatorInput, Output, Partitioner, StageKind, TopicPlan, TopicRole, names,
};
use millstream_spec::ast::{Broker, Given, Pipeline, TestCase};
use millstream_spec::catalog::{Delivery, standard};
use millstream_spec::flow::section_of;
use millstream_spec::recording::Record;
use millstream_spec::shape::Section;
use millstream_spec::value::Value;
use millstream_types::TopicPartition;
use millstream_types::hash::partition_for_key;

use crate::error::WorkerError;
use crate::json_key;
use crate::outbox::Outbox;
use crate::restore;
pub(crate) use stand_in::NoStandIn;

/// Where rows take the place of each other: the column of a test's row that is gone, which holds what it is known by.
pub(crate) const GONE: &str = "gone";

/// What stands in for a pipeline's surroundings.
#[derive(Clone, Debug)]
pub struct Bench {
    folder: PathBuf,
    /// Records by source; a source that is not here has none.
    sources: BTreeMap<String, Arc<[Bytes]>>,
    /// Records by topic, by its name on the broker, of a recording in the order of its replay.
    recorded: BTreeMap<String, Arc<[Record]>>,
    /// The tables that have a file in the folder.
    tables: BTreeSet<String>,
    /// Where event time stands when the input has ended; at the end of time without.
    event_time_at_end: Option<i64>,
}

/// A test case, ready to run on a broker of its own.
pub struct Prepared {
    /// The pipeline, with a broker in this process.
    pub pipeline: Pipeline,
    /// Its job, with a topic for every transform that the case looks at.
    pub job: Job,
    /// The stand-ins.
    pub bench: Arc<Bench>,
}

impl Bench {
    /// Where event time stands when the input has ended; nothing for the end of time.
    pub fn event_time_at_end(&self) -> Option<i64> {
        self.event_time_at_end
    }

    /// The topics, by their names on the broker, that hold a recording.
    pub(crate) fn recorded_topics(&self) -> impl Iterator<Item = &str> {
        self.recorded.keys().map(String::as_str)
    }

    /// Writes the rows of sources that are topics to those topics, by their keys, and recordings as they were, where nothing
    /// is in them yet: all in one transaction, so that a run after a crash finds all or none.
    pub(crate) async fn fill_topics(
        &self,
        pipeline: &Pipeline,
        job: &Job,
        cluster: &Arc<Cluster>,
    ) -> Result<(), WorkerError> {
        let mut outbox = Outbox::default();
        for (name, records) in &self.recorded {
            let partitions = job.topics.get(name).map_or(1, |t| t.partitions);
            let name: Arc<str> = name.as_str().into();
            if !is_empty(cluster, &name, partitions).await? {
                continue;
            }
            for record in records.iter() {
                let headers: Vec<HeaderView<'_>> = record
                    .headers
                    .iter()
                    .map(|(key, value)| HeaderView { key: &key.0, value: value.as_ref().map(|v| &v.0[..]) })
                    .collect();
                let sent = RecordRef {
                    timestamp: record.timestamp,
                    key: record.key.as_ref().map(|key| &key.0[..]),
                    value: record.value.as_ref().map(|value| &value.0[..]),
                    headers: &headers,
                };
                outbox.append(&name, record.partition as u32, &sent)?;
            }
        }
        for (id, source) in &pipeline.sources {
            let Some(topic) = source.topic.as_ref().and_then(|t| pipeline.topics.get(&t.topic.value)) else {
                continue;
            };
            let name: Arc<str> = topic.name.value.as_str().into();
            let partitions = job.topics.get(name.as_ref()).map_or(1, |t| t.partitions);
            if !is_empty(cluster, &name, partitions).await? {
                continue;
            }
            for row in self.sources.get(id).iter().flat_map(|rows| rows.iter()) {
                let column = topic.key.first().map_or("", |key| &key.value);
                let gone =
                    source.topic.as_ref().and_then(|read| read.upsert).and_then(|_| gone_key(row, column));
                let value = if gone.is_some() { None } else { Some(&row[..]) };
                let key = gone.as_deref().map(str::as_bytes).or_else(|| json_key::field(row, column));
                let partition = partition_for_key(key.unwrap_or_default(), partitions as i32) as u32;
                outbox.append(&name, partition, &RecordRef { key, value, ..RecordRef::default() })?;
            }
        }
        if outbox.is_empty() {
            return Ok(());
        }
        let config = ProducerConfig {
            transactional_id: Some(format!("{}-rows", pipeline.name.value)),
            linger: std::time::Duration::ZERO,
            ..ProducerConfig::default()
        };
        let producer = Producer::new(cluster, config)?;
        producer.init_transactions().await?;
        producer.begin_transaction()?;
        for sent in outbox.send(&producer).await? {
            sent.wait().await?;
        }
        producer.commit_transaction().await?;
        Ok(())
    }

    /// The folder of a sink that writes files.
    pub(crate) fn sink_folder(&self, sink: &str) -> PathBuf {
        self.folder.join("sinks").join(sink)
    }

    /// The file of a sink that sends requests.
    pub(crate) fn sink_requests(&self, sink: &str) -> PathBuf {
        self.folder.join("sinks").join(format!("{sink}.jsonl"))
    }

    /// The database file of a sink that writes rows.
    pub(crate) fn sink_database(&self, sink: &str) -> PathBuf {
        self.folder.join("sinks").join(format!("{sink}.db"))
    }
}

/// The key of a row that a case takes away, as `{ gone: { id: p1 } }`; nothing of other rows.
fn gone_key(row: &[u8], column: &str) -> Option<String> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(row).ok()?;
    let known = object.get(GONE).filter(|_| object.len() == 1)?;
    Some(match known.get(column)? {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

async fn is_empty(cluster: &Arc<Cluster>, topic: &Arc<str>, partitions: u32) -> Result<bool, WorkerError> {
    let all = (0..partitions as i32).map(|p| TopicPartition::new(Arc::clone(topic), p));
    let ends = restore::ends(cluster, &all.collect::<Vec<_>>()).await?;
    Ok(ends.values().all(|end| *end == 0))
}

/// Prepares a case of the pipeline in `root` in `folder`, which is there and holds nothing but what an earlier run of the same
/// case left. The same case gives the same preparation, so that a run after a crash goes on where the first one stopped.
pub fn prepare(
    pipeline: &Pipeline,
    root: &Path,
    case: &TestCase,
    folder: &Path,
) -> Result<Prepared, WorkerError> {
    let mut pipeline = pipeline.clone();
    pipeline.broker = Broker::Embedded;
    let planned = millstream_plan::plan(&pipeline, &standard::catalog());
    let mut job = planned.map_err(|found| {
        let texts: Vec<&str> = found.items().iter().map(|d| d.message.as_str()).collect();
        WorkerError::Setup(texts.join("; "))
    })?;
    // One broker keeps one copy.
    job.topics.values_mut().for_each(|topic| topic.replication = None);
    for (id, _) in &case.expect {
        show_rows_of(&pipeline, &mut job, &id.value);
    }
    let making = |what: &Path, error: std::io::Error| {
        WorkerError::Setup(format!("making {} for a test: {error}", what.display()))
    };
    for part in ["sinks", "tables"] {
        let part = folder.join(part);
        std::fs::create_dir_all(&part).map_err(|error| making(&part, error))?;
    }
    let mut bench = Bench {
        folder: folder.to_owned(),
        sources: BTreeMap::new(),
        recorded: BTreeMap::new(),
        tables: BTreeSet::new(),
        event_time_at_end: case.advance_watermark_ms,
    };
    for (id, given) in &case.inputs {
        let rows = match given {
            Given::Rows(rows) => rows,
            Given::Recording(said) => {
                let (topic, records) = recorded::load(&pipeline, &job, root, id, said)?;
                bench.recorded.insert(topic, records.into());
                continue;
            }
        };
        match pipeline.tables.get(&id.value) {
            Some(table) => {
                let schema = table.schema.as_ref().and_then(|s| pipeline.schemas.get(&s.value));
                let path = bench.table_file(&id.value);
                let text = stand_in::table_text(table, schema, rows);
                std::fs::write(&path, text).map_err(|error| making(&path, error))?;
                bench.tables.insert(id.value.clone());
            }
            None => {
                let rows = rows.iter().map(|row| match &row.value {
                    Value::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                    other => Bytes::from(other.to_json()),
                });
                // No connector gives a record without bytes.
                let rows: Vec<Bytes> = rows.filter(|row| !row.is_empty()).collect();
                bench.sources.insert(id.value.clone(), rows.into());
            }
        }
    }
    Ok(Prepared { pipeline, job, bench: Arc::new(bench) })
}

/// The output that carries a transform's rows and nothing else.
pub(crate) fn own_output<'a>(job: &'a Job, id: &str) -> Option<&'a Output> {
    let from = OperatorInput::Operator(id.to_owned());
    let outputs = || job.stages.iter().flat_map(|stage| &stage.outputs);
    outputs().find(|o| o.from == from && outputs().filter(|other| other.topic == o.topic).count() == 1)
}

/// Gives a transform whose rows reach no topic of their own one to be seen by.
fn show_rows_of(pipeline: &Pipeline, job: &mut Job, id: &str) {
    if section_of(pipeline, id) != Some(Section::Transforms) || own_output(job, id).is_some() {
        return;
    }
    let Some(stage) = job.stages.iter_mut().find(|s| s.operators.iter().any(|o| o.id.name == id)) else {
        // A topic transform: its topic shows its rows.
        return;
    };
    let (encoding, partitioner) = match stage.kind {
        StageKind::Process => (Encoding::Arrow, Partitioner::KeyGroup),
        _ => (Encoding::Records, Partitioner::Sticky),
    };
    let topic = names::sink_topic(&pipeline.name, id);
    let from = OperatorInput::Operator(id.to_owned());
    let delivery = Delivery::ExactlyOnce;
    stage.outputs.push(Output { from, topic: topic.clone(), encoding, partitioner, delivery });
    let configs = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let plan = TopicPlan {
        name: topic.clone(),
        role: TopicRole::Sink,
        partitions: 1,
        replication: None,
        format: None,
        configs,
    };
    job.topics.insert(topic, plan);
}
