//! From components of a pipeline to connectors: the one place that names them all. Never enters: what they do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_connect::egress::{EgressPolicy, Guard};
use millstream_connector::{
    Changes, Context, CrashPoints, Delivery, Discovery, Egress, Lookup, Position, Sink, Source,
    SourceCapabilities, SourceError, SplitId, SplitReader, StateEntry, Table, async_trait,
};
use millstream_engine::stage::lookups::LookupSpec;
use millstream_file::{FileSource, FileSourceConfig, FileTable, FileTableConfig};
use millstream_http::{HttpSink, HttpSinkConfig, HttpSource, HttpSourceConfig};
use millstream_object_store::store::Store;
use millstream_object_store::{ObjectStoreSink, ObjectStoreSinkConfig};
use millstream_postgres::{PostgresLookup, PostgresSink, PostgresSinkConfig, PostgresTableConfig};
use millstream_spec::ast::{self, Pipeline};
use millstream_spec::node::Origin;
use millstream_spec::{Diagnostic, code};
use millstream_sqlite::{SqliteSink, SqliteSinkConfig};
use millstream_types::{Clock, MemoryBudget, Millis};

use crate::bench::{Bench, NoStandIn};
use crate::error::WorkerError;
use crate::failpoint;
use crate::formats::Formats;
use crate::schema::arrow_schema;

/// The machine's clock.
#[derive(Debug)]
pub struct WallClock {
    started: std::time::Instant,
}

impl WallClock {
    /// A clock that starts now.
    pub fn new() -> WallClock {
        WallClock { started: std::time::Instant::now() }
    }
}

impl Clock for WallClock {
    fn wall_ms(&self) -> Millis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| d.as_millis() as Millis)
    }

    fn monotonic_ms(&self) -> Millis {
        self.started.elapsed().as_millis() as Millis
    }
}

/// A source that is switched off (`listen: off`): bounded, and empty.
struct NoSource;

#[async_trait]
impl Source for NoSource {
    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities { delivery: Delivery::ExactlyOnce, bounded: true }
    }

    async fn discover(&mut self, _: &BTreeMap<SplitId, Position>) -> Result<Discovery, SourceError> {
        Ok(Discovery { splits: Vec::new(), complete: true })
    }

    async fn changed(&mut self) -> Result<Changes, SourceError> {
        std::future::pending().await
    }

    async fn open(
        &mut self,
        split: &SplitId,
        _: Option<&Position>,
        _: Vec<StateEntry>,
    ) -> Result<Box<dyn SplitReader>, SourceError> {
        Err(SourceError::Setup(format!("opening {split}: the source is switched off")))
    }
}

/// What connectors are made with.
pub struct Maker<'a> {
    pipeline: &'a Pipeline,
    root: &'a Path,
    policy: EgressPolicy,
    egress: Arc<Guard>,
    clock: Arc<dyn Clock>,
    instance: u64,
    bench: Option<Arc<Bench>>,
    memory: MemoryBudget,
}

/// The host of a URL or DSN.
fn host_of(text: &str) -> Option<String> {
    url::Url::parse(text).ok()?.host_str().map(str::to_owned)
}

impl<'a> Maker<'a> {
    /// Makes connectors of `pipeline`, whose folder is `root`. `instance` is a number that no other process has.
    pub fn new(
        pipeline: &'a Pipeline,
        root: &'a Path,
        clock: Arc<dyn Clock>,
        instance: u64,
    ) -> Result<Maker<'a>, Box<Diagnostic>> {
        let mut policy = EgressPolicy { local_sockets: true, ..EgressPolicy::default() };
        for entry in &pipeline.egress_allow {
            let refused = |text: String| {
                let message = format!("{text:?} is neither a host nor a range of addresses");
                Box::new(Diagnostic::new(&code::CONFIG_REFUSED, entry.span, message))
            };
            policy.allow(std::slice::from_ref(&entry.value)).map_err(refused)?;
        }
        if let Some(registry) = &pipeline.schema_registry
            && registry.url_origin == Origin::Literal
            && let Some(host) = host_of(&registry.url.value)
        {
            policy.literal(&host);
        }
        let tables = pipeline.tables.values().map(|table| &table.config);
        for config in pipeline.sinks.values().map(|sink| &sink.config).chain(tables) {
            for key in ["url", "dsn"] {
                let literal = config.origin(key) == Some(Origin::Literal);
                let text = config.text(key).filter(|_| literal);
                if let Some(host) = text.and_then(|text| host_of(&text.value)) {
                    policy.literal(&host);
                }
            }
        }
        Ok(Maker {
            pipeline,
            root,
            egress: Arc::new(Guard::new(policy.clone())),
            policy,
            clock,
            instance,
            bench: None,
            memory: MemoryBudget::unlimited(),
        })
    }

    /// Whose connectors claim what they hold of a budget.
    pub fn within(self, memory: &MemoryBudget) -> Maker<'a> {
        Maker { memory: memory.clone(), ..self }
    }

    /// With stand-ins in place of sources, tables and targets.
    pub fn on_bench(self, bench: Option<Arc<Bench>>) -> Maker<'a> {
        Maker { bench, ..self }
    }

    /// Whether rows are judged where they lie.
    pub fn is_on_bench(&self) -> bool {
        self.bench.is_some()
    }

    /// The formats of the topics.
    pub fn formats(&self) -> Result<Formats, Vec<Diagnostic>> {
        match &self.bench {
            Some(bench) => Formats::on_bench(self.pipeline, self.root, bench.recorded_topics()),
            None => Formats::new(self.pipeline, self.root, &self.egress),
        }
    }

    /// Whether a case's rows stand in for a table.
    pub fn gives(&self, table: &str) -> bool {
        self.bench.as_ref().is_some_and(|bench| bench.gives(table))
    }

    /// Where event time stands when a bounded input has ended; nothing for the end of time.
    pub fn event_time_at_end(&self) -> Option<Millis> {
        self.bench.as_ref()?.event_time_at_end()
    }

    /// The clock that connectors get.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn context(&self, component: &str) -> Context {
        let name: Arc<str> = component.into();
        let crash = if failpoint::is_armed() {
            let name = Arc::clone(&name);
            CrashPoints::when(move |point| {
                failpoint::reach(&name, point);
                false
            })
        } else {
            CrashPoints::none()
        };
        Context {
            pipeline: self.pipeline.name.value.as_str().into(),
            component: name,
            instance: self.instance,
            clock: self.clock(),
            egress: Arc::clone(&self.egress) as Arc<dyn Egress>,
            crash,
            memory: self.memory.clone(),
        }
    }

    /// A source.
    pub fn source(&self, source: &ast::Source) -> Result<Box<dyn Source>, Box<Diagnostic>> {
        if let Some(bench) = &self.bench {
            return Ok(bench.source(&source.id));
        }
        match source.type_name.value.as_str() {
            "file" => {
                let config: FileSourceConfig = source.config.decode()?;
                Ok(Box::new(FileSource::new(config, self.root.to_owned(), self.context(&source.id.value))))
            }
            "http_server" if source.config.text("listen").is_some_and(|t| t.value == "off") => {
                Ok(Box::new(NoSource))
            }
            "http_server" => {
                let config: HttpSourceConfig = source.config.decode()?;
                let made = HttpSource::new(config, self.context(&source.id.value));
                Ok(Box::new(made.map_err(|error| refused(&source.type_name, error.to_string()))?))
            }
            other => Err(refused(
                &source.type_name,
                format!("sources of type {other} do not run in this version yet"),
            )),
        }
    }

    /// A table.
    pub fn table(&self, table: &ast::Table) -> Result<Box<dyn Table>, Box<Diagnostic>> {
        let schema = table.schema.as_ref().and_then(|s| self.pipeline.schemas.get(&s.value));
        let context = self.context(&table.id.value);
        let given = self.bench.as_ref().and_then(|bench| bench.table(table, schema, context.clone()));
        if let Some(made) = given {
            return made.map_err(|error| refused(&table.type_name, error.to_string()));
        }
        match table.type_name.value.as_str() {
            "file" => {
                let config: FileTableConfig = table.config.decode()?;
                let made = FileTable::new(config, self.root.to_owned(), schema.map(arrow_schema), context);
                Ok(Box::new(made.map_err(|error| refused(&table.type_name, error.to_string()))?))
            }
            _ if table.is_asked() => Err(refused(
                &table.type_name,
                format!(
                    "the table {:?} is in a database, which tests do not ask; give the case rows of it: `inputs: {{ {}: [ … ] }}`",
                    table.id.value, table.id.value
                ),
            )),
            other => Err(refused(
                &table.type_name,
                format!("tables of type {other} do not run in this version yet"),
            )),
        }
    }

    /// Where a table that is not read, but asked for the rows of keys, is asked; its rows have these columns.
    pub fn lookup(
        &self,
        table: &ast::Table,
        columns: &SchemaRef,
    ) -> Result<Box<dyn Lookup>, Box<Diagnostic>> {
        let config: PostgresTableConfig = table.config.decode()?;
        let made = PostgresLookup::new(config, columns, self.context(&table.id.value));
        Ok(Box::new(made.map_err(|error| refused(&table.type_name, error.to_string()))?))
    }

    /// How the rows of a table that is asked are kept; nothing of a table that is read. On the bench all are read.
    pub fn asks(&self, table: &ast::Table) -> Result<Option<LookupSpec>, Box<Diagnostic>> {
        if self.gives(&table.id.value) || self.is_on_bench() || !table.is_asked() {
            return Ok(None);
        }
        let config: PostgresTableConfig = table.config.decode()?;
        let keys_max = usize::try_from(config.keep_max).unwrap_or(usize::MAX);
        let keep_ms = i64::try_from(config.keep.0).unwrap_or(i64::MAX);
        Ok(Some(LookupSpec { key: config.key, keep_ms, keys_max }))
    }

    /// A store of objects that is no sink's: at a URL of the command line or of `defaults`, with an S3 store's access by the names of its
    /// tools. `what` it is for is for errors.
    pub fn store(
        &self,
        what: &str,
        url: &str,
        setting: impl Fn(&str) -> Option<String>,
    ) -> Result<Arc<dyn Store>, WorkerError> {
        let endpoint = setting("AWS_ENDPOINT_URL_S3").or_else(|| setting("AWS_ENDPOINT_URL"));
        let mut s3 = serde_json::Map::new();
        for (key, value) in [
            ("region", setting("AWS_REGION").or_else(|| setting("AWS_DEFAULT_REGION"))),
            ("endpoint", endpoint.clone()),
            ("access_key_id", setting("AWS_ACCESS_KEY_ID")),
            ("secret_access_key", setting("AWS_SECRET_ACCESS_KEY")),
            ("session_token", setting("AWS_SESSION_TOKEN")),
        ] {
            s3.extend(value.map(|value| (key.to_owned(), value.into())));
        }
        let plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        s3.insert("allow_http".to_owned(), plain.into());
        let config = serde_json::json!({ "url": url, "s3": s3 });
        let config: ObjectStoreSinkConfig = serde_json::from_value(config).map_err(|error| {
            WorkerError::Setup(format!("reading the URL {url} and the access to it: {error}"))
        })?;
        let mut policy = self.policy.clone();
        // Whoever typed the command, wrote the file, or set its environment, named them.
        for host in [Some(url), endpoint.as_deref()].into_iter().flatten().filter_map(host_of) {
            policy.literal(&host);
        }
        let egress = Arc::new(Guard::new(policy)) as Arc<dyn Egress>;
        let context = Context { egress, ..self.context(what) };
        Ok(millstream_object_store::store::connect(&config, self.root, &context)?)
    }

    /// A sink.
    pub fn sink(&self, sink: &ast::Sink) -> Result<Box<dyn Sink>, Box<Diagnostic>> {
        let context = self.context(&sink.id.value);
        let bad = |error: millstream_connector::SinkError| refused(&sink.type_name, error.to_string());
        if let Some(bench) = &self.bench {
            return bench.sink(sink, context).map_err(|why| match why {
                NoStandIn::Refused(diagnostic) => diagnostic,
                NoStandIn::Setup(error) => bad(error),
                NoStandIn::Unknown => refused(
                    &sink.type_name,
                    format!("sinks of type {} do not run in tests yet", sink.connector),
                ),
            });
        }
        match sink.connector.as_str() {
            "object_store" => {
                let config: ObjectStoreSinkConfig = sink.config.decode()?;
                Ok(Box::new(ObjectStoreSink::new(config, self.root, context).map_err(bad)?))
            }
            "sqlite" => {
                let mut config: SqliteSinkConfig = sink.config.decode()?;
                config.path = self.root.join(&config.path).display().to_string();
                Ok(Box::new(SqliteSink::new(config, context).map_err(bad)?))
            }
            "postgres" => {
                let config: PostgresSinkConfig = sink.config.decode()?;
                Ok(Box::new(PostgresSink::new(config, context).map_err(bad)?))
            }
            "http" => {
                let config: HttpSinkConfig = sink.config.decode()?;
                Ok(Box::new(HttpSink::new(config, context).map_err(bad)?))
            }
            other => {
                Err(refused(&sink.type_name, format!("sinks of type {other} do not run in this version yet")))
            }
        }
    }

    /// Makes the folders that a local database file wants to be in.
    pub fn prepare_sink(&self, sink: &ast::Sink) -> std::io::Result<()> {
        if self.bench.is_none()
            && sink.connector == "sqlite"
            && let Ok(config) = sink.config.decode::<SqliteSinkConfig>()
            && let Some(folder) = self.root.join(&config.path).parent()
        {
            std::fs::create_dir_all(folder)?;
        }
        Ok(())
    }
}

fn refused(at: &millstream_spec::Spanned<String>, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(&code::CONFIG_REFUSED, at.span, message))
}
