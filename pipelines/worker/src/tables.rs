//! Tables, in the two forms in which they are used: as columns for joins, and as rows by key for functions' lookups. A file is read
//! whole, and again when it has changed; a topic is followed; a database is asked for the rows of keys. Never enters: joins,
//! functions.

pub(crate) mod asked;
pub(crate) mod lookup;
pub mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use millstream_client::Cluster;
use millstream_connector::TableSnapshot;
use millstream_plan::Job;
use millstream_spec::ast::Operator;
use millstream_spec::{Diagnostic, Pipeline, ast, code};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connectors::Maker;
use crate::error::WorkerError;
use crate::formats::Formats;
use crate::progress::Progress;
use crate::schema::arrow_schema;
use asked::AskedTable;
use lookup::{LookupRows, lookup_rows};
use topic::TopicTable;

/// How long a follower waits after a failure.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

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
    /// None, but those of the keys that it is asked for.
    Asked(AskedTable),
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
    let asked = maker.asks(table)?.is_some();
    if let Some(schema) = declared.filter(|_| asked || table.topic.is_some()) {
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

/// Whether records that have other fields than its columns are no rows of a table.
pub fn is_frozen(pipeline: &Pipeline, table: &ast::Table) -> bool {
    let schema = table.schema.as_ref().and_then(|schema| pipeline.schemas.get(&schema.value));
    schema.is_some_and(|schema| schema.frozen)
}

/// Opens every table of the pipeline. What functions look up is filled when this returns.
pub async fn open_all(
    (pipeline, job): (&Pipeline, &Job),
    maker: &Maker<'_>,
    formats: &Formats,
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
        let setup = |diagnostic: Box<Diagnostic>| WorkerError::Setup(diagnostic.message);
        if let Some(spec) = maker.asks(table).map_err(setup)? {
            let schema = columns(pipeline, table, maker).await.map_err(setup)?;
            let lookup = maker.lookup(table, &schema).map_err(setup)?;
            let asked = AskedTable::new(id, &schema, spec, lookup)?;
            let opened = Opened { schema, rows: TableRows::Asked(asked), lookup: Arc::default() };
            tables.insert(id.clone(), opened);
            continue;
        }
        let opened = match topic {
            Some(topic) => {
                let schema = columns(pipeline, table, maker).await;
                let followed = TopicTable {
                    id: id.as_str().into(),
                    topic: topic.as_str().into(),
                    partitions: job.topics.get(topic).map_or(1, |t| t.partitions),
                    schema: schema.map_err(|d| WorkerError::Setup(d.message))?,
                    key: keys,
                    frozen: is_frozen(pipeline, table),
                    format: formats.of(topic),
                    fetcher: formats.fetcher(topic),
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
        let schema = self.send.borrow().schema();
        let columns = |schema: &SchemaRef| -> Vec<String> {
            schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect()
        };
        let (known, found) = (columns(&schema), columns(&snapshot.schema));
        if known != found {
            let (known, found) = (known.join(", "), found.join(", "));
            let text = format!(
                "it has the columns {found}, and had {known} when the run began; start the run again for those"
            );
            return Err(WorkerError::Setup(text));
        }
        // Refused where a row has no value and must have one.
        let known = |batch: &RecordBatch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
        let batches: Vec<RecordBatch> = snapshot.batches.iter().map(known).collect::<Result<_, _>>()?;
        let batch = concat_batches(&schema, &batches)?;
        self.lookup.replace(lookup_rows(&batch, &self.keys, self.looked_up)?);
        let rows = batch.num_rows();
        self.send.send_replace(Arc::new(batch));
        Ok(rows)
    }
}
