//! What the records of a pipeline's topics are written in: schema files read, decoders and encoders made, the registry
//! asked for what records name and told what is written. Never enters: the formats themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use millstream_connect::egress::Guard;
use millstream_connect::registry::{Registry, RegistryConfig, RegistryError};
use millstream_connect::retry::{Backoff, BackoffConfig};
use millstream_connector::Period;
use millstream_format::avro::AvroForm;
use millstream_format::csv::CsvForm;
use millstream_format::protobuf::{ProtobufForm, ProtobufSchema};
use millstream_format::{Encoder, Format, Registered, SchemaType, Schemas, frame_id};
use millstream_spec::ast::{FormatKind, Topic, TopicFormat};
use millstream_spec::{Diagnostic, Pipeline, code};
use millstream_types::SeededRng;

use crate::error::WorkerError;

/// How often a registry that gives no answer is asked again, some 5 s in all.
const TRIES_MAX: u32 = 6;
/// The longest schema file, in bytes.
const SCHEMA_BYTES_MAX: u64 = 4 << 20;

impl From<RegistryError> for WorkerError {
    fn from(error: RegistryError) -> WorkerError {
        match error {
            RegistryError::Transient(text) => WorkerError::Transient(text),
            RegistryError::Refused(text) | RegistryError::Unusable(text) => WorkerError::Setup(text),
        }
    }
}

/// The faults of a run that begins, though its file was checked.
pub fn refused(faults: Vec<Diagnostic>) -> WorkerError {
    WorkerError::Setup(faults.into_iter().map(|d| d.message).collect::<Vec<_>>().join("; "))
}

/// The formats of a pipeline's topics.
pub struct Formats {
    /// Of the topics that are not JSON, by their names on the broker.
    formats: BTreeMap<String, TopicForm>,
    fetcher: Option<Arc<Fetcher>>,
}

struct TopicForm {
    format: Format,
    /// What what is derived from columns is called.
    name: String,
    subject: String,
}

impl Formats {
    /// The formats of the pipeline in the folder `root`; what is at fault is told at its place in the file.
    pub fn new(pipeline: &Pipeline, root: &Path, egress: &Arc<Guard>) -> Result<Formats, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let mut fetcher = None;
        if let Some(at) = &pipeline.schema_registry {
            let config = RegistryConfig {
                url: at.url.value.clone(),
                username: at.username.clone(),
                password: at.password.clone(),
                timeout: Duration::from_millis(at.timeout_ms),
            };
            match Registry::new(config, Arc::clone(egress)) {
                Ok(registry) => fetcher = Some(Arc::new(Fetcher { registry, schemas: Arc::default() })),
                Err(error) => {
                    faults.push(Diagnostic::new(&code::CONFIG_REFUSED, at.url.span, error.to_string()))
                }
            }
        }
        let schemas = fetcher.as_ref().map(|fetcher: &Arc<Fetcher>| Arc::clone(&fetcher.schemas));
        let formats = forms(pipeline.topics.values(), root, schemas.as_ref(), &mut faults);
        if faults.is_empty() { Ok(Formats { formats, fetcher }) } else { Err(faults) }
    }

    /// JSON for all: in a test rows are given and compared as JSON, whatever a topic is written in. But those of `recorded`,
    /// by their names on the broker, hold what they held; no registry is asked.
    pub fn on_bench<'a>(
        pipeline: &Pipeline,
        root: &Path,
        recorded: impl Iterator<Item = &'a str>,
    ) -> Result<Formats, Vec<Diagnostic>> {
        let recorded: BTreeSet<&str> = recorded.collect();
        let topics = pipeline.topics.values().filter(|topic| recorded.contains(topic.name.value.as_str()));
        let mut faults = Vec::new();
        let formats = forms(topics, root, None, &mut faults);
        if faults.is_empty() { Ok(Formats { formats, fetcher: None }) } else { Err(faults) }
    }

    /// The format of a topic, by its name on the broker.
    pub fn of(&self, topic: &str) -> Format {
        self.formats.get(topic).map_or(Format::Json, |form| form.format.clone())
    }

    /// What asks for the schemas that records of a topic name; nothing where they name none.
    pub fn fetcher(&self, topic: &str) -> Option<Arc<Fetcher>> {
        // JSON is read without its schema.
        let format = self.of(topic);
        let asks = format.is_registered() && !matches!(format, Format::RegisteredJson);
        self.fetcher.clone().filter(|_| asks)
    }

    /// How rows with these columns are written to a topic.
    pub fn written(&self, topic: &str, columns: &SchemaRef) -> Written {
        let form = self.formats.get(topic);
        Written {
            format: self.of(topic),
            name: form.map_or(String::new(), |form| form.name.clone()),
            subject: form.map_or(String::new(), |form| form.subject.clone()),
            columns: Arc::clone(columns),
            fetcher: self.fetcher.clone(),
        }
    }
}

/// The forms of the topics that are not JSON, by their names on the broker.
fn forms<'a>(
    topics: impl Iterator<Item = &'a Topic>,
    root: &Path,
    schemas: Option<&Arc<Schemas>>,
    faults: &mut Vec<Diagnostic>,
) -> BTreeMap<String, TopicForm> {
    let mut formats = BTreeMap::new();
    for topic in topics {
        match format_of(&topic.format, root, schemas) {
            Ok(Format::Json) => {}
            Ok(format) => {
                let (name, subject) = (topic.id.value.clone(), subject_of(topic));
                formats.insert(topic.name.value.clone(), TopicForm { format, name, subject });
            }
            Err(text) => {
                let at = topic.format.schema.as_ref().map_or(topic.format.kind.span, |file| file.span);
                faults.push(Diagnostic::new(&code::CONFIG_REFUSED, at, text));
            }
        }
    }
    formats
}

/// Confluent's default: by the topic's name.
fn subject_of(topic: &Topic) -> String {
    match &topic.format.subject {
        Some(subject) => subject.value.clone(),
        None => format!("{}-value", topic.name.value),
    }
}

fn format_of(said: &TopicFormat, root: &Path, schemas: Option<&Arc<Schemas>>) -> Result<Format, String> {
    let registry = schemas.filter(|_| said.registry).cloned();
    let text = |file: &str| read_schema(root, file);
    Ok(match said.kind.value {
        FormatKind::Json if said.registry => Format::RegisteredJson,
        FormatKind::Json => Format::Json,
        FormatKind::Csv => Format::Csv(CsvForm { delimiter: said.delimiter, null: said.null.clone() }),
        FormatKind::Raw => Format::Raw,
        FormatKind::Arrow => Format::Arrow,
        FormatKind::Avro => {
            let schema = said.schema.as_ref().map(|file| text(&file.value)).transpose()?;
            Format::Avro(AvroForm { schema: schema.map(Arc::from), registry })
        }
        FormatKind::Protobuf => {
            let message = said.message.as_ref().map(|message| message.value.as_str());
            let compile = |file: &str| {
                let import = |name: &str| text(name).ok();
                let schema = ProtobufSchema::compile(file, &text(file)?, message, &import);
                schema.map(Arc::new).map_err(|error| error.to_string())
            };
            let schema = said.schema.as_ref().map(|file| compile(&file.value)).transpose()?;
            if let (Some(schema), true) = (&schema, registry.is_some())
                && let Some(import) = schema.imports().find(|name| !name.starts_with("google/protobuf/"))
            {
                return Err(format!(
                    "the schema imports {import}, and only one without imports of its own is registered; put both into one \
                     file, or leave `schema` out"
                ));
            }
            Format::Protobuf(ProtobufForm { schema, registry })
        }
    })
}

fn read_schema(root: &Path, file: &str) -> Result<String, String> {
    let path = root.join(file);
    let size = std::fs::metadata(&path).map_err(|error| format!("reading the schema {file}: {error}"))?.len();
    if size > SCHEMA_BYTES_MAX {
        return Err(format!("the schema {file} has {size} bytes: the most is {SCHEMA_BYTES_MAX}"));
    }
    std::fs::read_to_string(&path).map_err(|error| format!("reading the schema {file}: {error}"))
}

/// How a topic's rows are written.
#[derive(Clone)]
pub struct Written {
    format: Format,
    name: String,
    subject: String,
    columns: SchemaRef,
    fetcher: Option<Arc<Fetcher>>,
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} for {}", self.format, self.name)
    }
}

impl Written {
    /// What is at fault between the format and the columns, before anything runs.
    pub fn check(&self) -> Result<(), String> {
        self.make().map(drop)
    }

    fn make(&self) -> Result<Encoder, String> {
        Encoder::new(&self.format, &self.name, &self.columns).map_err(|error| error.to_string())
    }

    /// What tells whether a row can be written.
    pub fn judge(&self) -> Result<Encoder, WorkerError> {
        let mut encoder = self.make().map_err(WorkerError::Setup)?;
        // What it writes goes nowhere.
        encoder.set_id(0);
        Ok(encoder)
    }

    /// The encoder, its schema registered where records name it.
    pub async fn open(&self) -> Result<Encoder, WorkerError> {
        let mut encoder =
            self.make().map_err(|text| WorkerError::Setup(format!("writing {}: {text}", self.name)))?;
        if let (Some((kind, text)), Some(fetcher)) = (encoder.to_register(), &self.fetcher) {
            let id = fetcher.registry.register(&self.subject, kind.name(), text).await?;
            encoder.set_id(id);
        }
        Ok(encoder)
    }
}

/// Fetches the schemas that records name, each once.
pub struct Fetcher {
    registry: Registry,
    schemas: Arc<Schemas>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fetcher({:?})", self.schemas)
    }
}

impl Fetcher {
    /// Fetches what these records name and was not fetched before.
    pub async fn fetch<'a>(&self, records: impl Iterator<Item = &'a [u8]>) -> Result<(), WorkerError> {
        let mut last = None;
        for id in records.filter_map(frame_id) {
            if last == Some(id) || self.schemas.has(id) {
                last = Some(id);
                continue;
            }
            self.schemas.put(id, self.ask(id).await?);
            last = Some(id);
        }
        Ok(())
    }

    async fn ask(&self, id: u32) -> Result<Result<Registered, String>, WorkerError> {
        let mut backoff = Backoff::new(BackoffConfig { initial: Period(100), max: Period(2_000) });
        let mut rng = SeededRng::new(u64::from(id));
        let mut tries = 0;
        let found = loop {
            match self.registry.schema(id).await {
                Ok(Some(found)) => break found,
                Ok(None) => return Ok(Err("the schema registry does not know it".to_owned())),
                Err(RegistryError::Unusable(why)) => return Ok(Err(why)),
                // A short absence is waited for here; a longer one where the stage begins again.
                Err(RegistryError::Transient(text)) if tries < TRIES_MAX => {
                    tries += 1;
                    let wait = backoff.failed(None, &mut rng);
                    tracing::warn!(wait_ms = wait, "{text}; asking again");
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let all = [SchemaType::Avro, SchemaType::Protobuf, SchemaType::Json];
        Ok(match all.into_iter().find(|kind| kind.name() == found.kind) {
            Some(kind) => Ok(Registered { kind, text: found.text, references: found.references }),
            None => Err(format!("its type {:?} is not known", found.kind)),
        })
    }
}
