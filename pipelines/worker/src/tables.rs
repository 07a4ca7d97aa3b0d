//! Tables, in the two forms in which they are used: as columns for joins, and as rows by key for functions' lookups (the key's
//! text, the row as JSON). A file is read whole, and again when it has changed; a topic is followed. Never enters: joins,
//! functions.

pub mod topic;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;

use millstream_client::Cluster;
use millstream_connector::TableSnapshot;
use millstream_plan::Job;
use millstream_spec::ast::Operator;
use millstream_spec::{Diagnostic, Pipeline, ast, code};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connectors::Maker;
use crate::error::WorkerError;
use crate::progress::Progress;
use crate::schema::arrow_schema;
use topic::{Changes, TopicTable};

/// How long a follower waits after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two changes of what functions look up.
const LOOKUP_EVERY: Duration = Duration::from_millis(100);

/// A table.
pub struct Opened {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, for joins.
    pub rows: TableRows,
    /// Rows by key, shared with functions; empty where none looks them up.
    pub lookup: Arc<millstream_wasm::Table>,
}

/// Where a stage gets a table's rows from.
#[derive(Clone)]
pub enum TableRows {
    /// All of them, anew whenever they have changed.
    Whole(watch::Receiver<Arc<RecordBatch>>),
    /// A topic that the stage follows itself.
    Topic(TopicTable),
}

/// What keeps tables as they are outside; ends with this.
#[derive(Default)]
pub struct Followers(Vec<JoinHandle<()>>);

impl Drop for Followers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// The columns of a table: as it is, or as declared where it cannot be read now, since it may be made later.
pub async fn columns(
    pipeline: &Pipeline,
    table: &ast::Table,
    maker: &Maker<'_>,
) -> Result<SchemaRef, Box<Diagnostic>> {
    let declared = table.schema.as_ref().and_then(|s| pipeline.schemas.get(&s.value));
    if table.topic.is_some()
        && let Some(schema) = declared
    {
        return Ok(arrow_schema(schema));
    }
    match (maker.table(table)?.load().await, declared) {
        (Ok(snapshot), _) => Ok(snapshot.schema),
        (Err(_), Some(schema)) => Ok(arrow_schema(schema)),
        (Err(error), None) => {
            let help = "declare its columns with `schema`, or make the file first";
            Err(Box::new(Diagnostic::new(&code::SAMPLE, table.id.span, error.to_string()).help(help)))
        }
    }
}

/// Opens every table of the pipeline. What functions look up is filled when this returns.
pub async fn open_all(
    (pipeline, job): (&Pipeline, &Job),
    maker: &Maker<'_>,
    cluster: &Arc<Cluster>,
    progress: &Arc<Progress>,
) -> Result<(BTreeMap<String, Opened>, Followers), WorkerError> {
    let functions = pipeline.transforms.values().filter_map(|t| match &t.op {
        Operator::Wasm(wasm) => Some(&wasm.lookup),
        _ => None,
    });
    let looked_up: BTreeSet<&str> = functions.flatten().map(|name| name.value.as_str()).collect();
    let (mut tables, mut followers) = (BTreeMap::new(), Followers::default());
    for (id, table) in &pipeline.tables {
        let keys: Vec<String> = table.key.iter().map(|k| k.value.clone()).collect();
        let looked_up = looked_up.contains(id.as_str());
        let topic = job.followed.get(id).filter(|_| !maker.gives(id));
        let opened = match topic {
            Some(topic) => {
                let schema = columns(pipeline, table, maker).await;
                let followed = TopicTable {
                    id: id.as_str().into(),
                    topic: topic.as_str().into(),
                    partitions: job.topics.get(topic).map_or(1, |t| t.partitions),
                    schema: schema.map_err(|d| WorkerError::Setup(d.message))?,
                    key: keys,
                };
                let lookup = Arc::new(millstream_wasm::Table::new([]));
                if looked_up {
                    let mut rows = LookupRows::new(followed.clone(), Arc::clone(&lookup));
                    rows.begin(cluster, progress).await?;
                    let (cluster, progress) = (Arc::clone(cluster), Arc::clone(progress));
                    followers.0.push(tokio::spawn(async move { rows.follow(&cluster, &progress).await }));
                }
                Opened { schema: Arc::clone(&followed.schema), rows: TableRows::Topic(followed), lookup }
            }
            None => {
                let mut reader = maker.table(table).map_err(|d| WorkerError::Setup(d.message))?;
                let snapshot = reader.load().await?;
                let batch = concat_batches(&snapshot.schema, &snapshot.batches)?;
                let lookup = Arc::new(millstream_wasm::Table::new(lookup_rows(&batch, &keys, looked_up)?));
                let (send, rows) = watch::channel(Arc::new(batch));
                if !maker.is_on_bench() {
                    let file =
                        FileRows { id: id.clone(), keys, looked_up, lookup: Arc::clone(&lookup), send };
                    followers.0.push(tokio::spawn(async move { file.follow(reader).await }));
                }
                Opened { schema: snapshot.schema, rows: TableRows::Whole(rows), lookup }
            }
        };
        tables.insert(id.clone(), opened);
    }
    Ok((tables, followers))
}

/// A table that is read whole, and again when it has changed.
struct FileRows {
    id: String,
    keys: Vec<String>,
    looked_up: bool,
    lookup: Arc<millstream_wasm::Table>,
    send: watch::Sender<Arc<RecordBatch>>,
}

impl FileRows {
    async fn follow(self, mut reader: Box<dyn millstream_connector::Table>) {
        let mut told = String::new();
        loop {
            let loaded = match reader.changed().await {
                Ok(()) => reader.load().await,
                Err(error) => Err(error),
            };
            let taken = match loaded {
                Ok(snapshot) => self.take(snapshot),
                Err(error) => Err(WorkerError::from(error)),
            };
            match taken {
                Ok(rows) => {
                    told.clear();
                    tracing::info!(table = %self.id, rows, "the table has changed and was read again");
                }
                Err(error) => {
                    // Once for each thing that is wrong: it is tried until it is right.
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(table = %self.id, "the table has changed and is kept as it was before: {error}");
                        told = error;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&self, snapshot: TableSnapshot) -> Result<usize, WorkerError> {
        let known = self.send.borrow().schema();
        let columns = |schema: &SchemaRef| -> Vec<String> {
            schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect()
        };
        let (known, found) = (columns(&known), columns(&snapshot.schema));
        if known != found {
            let (known, found) = (known.join(", "), found.join(", "));
            let text = format!(
                "it has the columns {found}, and had {known} when the run began; start the run again for those"
            );
            return Err(WorkerError::Setup(text));
        }
        let known = self.send.borrow().schema();
        let batch = concat_batches(
            &known,
            &snapshot.batches.iter().map(|b| with_schema(b, &known)).collect::<Result<Vec<_>, _>>()?,
        )?;
        self.lookup.replace(lookup_rows(&batch, &self.keys, self.looked_up)?);
        let rows = batch.num_rows();
        self.send.send_replace(Arc::new(batch));
        Ok(rows)
    }
}

/// Rows under a schema of the same columns; refused where one has no value and must have one.
fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())
}

/// What functions look up of a table that follows a topic.
struct LookupRows {
    table: TopicTable,
    lookup: Arc<millstream_wasm::Table>,
    /// By id, the key under which functions find the row.
    keys: HashMap<Bytes, Bytes>,
    /// By that key, the id whose row it is.
    owners: HashMap<Bytes, Bytes>,
    reader: Option<topic::Reader>,
}

impl LookupRows {
    fn new(table: TopicTable, lookup: Arc<millstream_wasm::Table>) -> LookupRows {
        LookupRows { table, lookup, keys: HashMap::new(), owners: HashMap::new(), reader: None }
    }

    /// Fills it with what the topic holds now.
    async fn begin(&mut self, cluster: &Arc<Cluster>, progress: &Progress) -> Result<(), WorkerError> {
        let mut reader = self.table.open(cluster).await?;
        self.keys.clear();
        self.owners.clear();
        let mut rows: HashMap<Bytes, Bytes> = HashMap::new();
        reader
            .read_to_end(|changes| {
                self.show(&changes, progress);
                for (key, row) in self.changed(&changes)? {
                    match row {
                        Some(row) => drop(rows.insert(key, row)),
                        None => drop(rows.remove(&key)),
                    }
                }
                Ok(())
            })
            .await?;
        if rows.is_empty() {
            tracing::warn!(table = %self.table.id, topic = %self.table.topic, "the table's topic holds no row");
        }
        self.lookup.replace(rows);
        self.reader = Some(reader);
        Ok(())
    }

    fn show(&self, changes: &Changes, progress: &Progress) {
        progress.table("lookup", &self.table.id, |figures| {
            figures.changes += (changes.ids.len() + changes.gone.len()) as u64;
            figures.bad += changes.bad;
            figures.rows = self.keys.len() as u64;
        });
    }

    /// What changes of what functions see.
    fn changed(&mut self, changes: &Changes) -> Result<Vec<(Bytes, Option<Bytes>)>, WorkerError> {
        let mut changed = Vec::with_capacity(changes.ids.len() + changes.gone.len());
        // What goes first: a row may take the key of another that goes.
        for id in changes.gone.iter().chain(&changes.ids) {
            if let Some(key) = self.keys.remove(id)
                && self.owners.get(&key) == Some(id)
            {
                self.owners.remove(&key);
                changed.push((key, None));
            }
        }
        for (id, (key, row)) in changes.ids.iter().zip(rows(&changes.rows, &self.table.key)?) {
            self.keys.insert(id.clone(), key.clone());
            self.owners.insert(key.clone(), id.clone());
            changed.push((key, Some(row)));
        }
        Ok(changed)
    }

    async fn follow(mut self, cluster: &Arc<Cluster>, progress: &Progress) {
        loop {
            let followed = match &mut self.reader {
                Some(reader) => reader.follow().await,
                None => match self.begin(cluster, progress).await {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            let changed = followed.and_then(|changes| {
                let changed = self.changed(&changes);
                self.show(&changes, progress);
                changed
            });
            match changed {
                Ok(changed) if changed.is_empty() => {}
                Ok(changed) => {
                    let began = std::time::Instant::now();
                    self.lookup.update(changed);
                    // Where calls hold the version before, all rows are copied: not more than a tenth of the time.
                    tokio::time::sleep(LOOKUP_EVERY.max(began.elapsed() * 10)).await;
                }
                Err(error) => {
                    tracing::warn!(table = %self.table.id, "following the table's topic: {error}; it is read again");
                    self.reader = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The rows that functions see, where one looks them up.
fn lookup_rows(
    batch: &RecordBatch,
    keys: &[String],
    looked_up: bool,
) -> Result<Vec<(Bytes, Bytes)>, WorkerError> {
    if looked_up { rows(batch, keys) } else { Ok(Vec::new()) }
}

/// The text of each row's key; the parts of a key of several columns are parted by a zero byte.
fn key_texts(batch: &RecordBatch, keys: &[String]) -> Result<Vec<Bytes>, WorkerError> {
    let options = FormatOptions::default();
    let mut columns = Vec::new();
    for key in keys {
        columns
            .push(ArrayFormatter::try_new(batch.column(batch.schema().index_of(key)?).as_ref(), &options)?);
    }
    let text = |row: usize| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("\0");
    Ok((0..batch.num_rows()).map(|row| Bytes::from(text(row))).collect())
}

/// Rows by the text of their key.
fn rows(batch: &RecordBatch, keys: &[String]) -> Result<Vec<(Bytes, Bytes)>, WorkerError> {
    let options = FormatOptions::default();
    let columns: Result<Vec<ArrayFormatter<'_>>, _> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect();
    let columns = columns?;
    let schema = batch.schema();
    let mut rows = Vec::with_capacity(batch.num_rows());
    for (row, key) in key_texts(batch, keys)?.into_iter().enumerate() {
        let mut object = serde_json::Map::new();
        for (field, (column, values)) in schema.fields().iter().zip(columns.iter().zip(batch.columns())) {
            if !values.is_null(row) {
                object.insert(field.name().clone(), column.value(row).to_string().into());
            }
        }
        let value = serde_json::Value::Object(object).to_string();
        rows.push((key, Bytes::from(value)));
    }
    Ok(rows)
}
