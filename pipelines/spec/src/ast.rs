//! The typed spec: what a pipeline file says, with positions, defaults filled in, secrets hidden. Made by `lower/`,
//! checked by `check/`, read by the plan and the worker.
//!
//! Never enters: what follows from it (stages, internal topics: `millstream-plan`).

mod function;

use std::collections::BTreeMap;

use millstream_types::Secret;
use serde::de::DeserializeOwned;

use crate::catalog::{Delivery, Scheme};
use crate::diagnostic::Diagnostic;
use crate::load;
use crate::node::{Data, Node, Origin, Text};
use crate::scalar::Rate;
use crate::span::{Span, Spanned};
use crate::sql::{SqlText, WindowCall};
use crate::value::Value;

pub use function::{ARGUMENTS_MAX, FUNCTIONS_MAX, Function};

/// A pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: Spanned<String>,
    /// Where its topics are.
    pub broker: Broker,
    /// What holds where a component says nothing.
    pub defaults: Defaults,
    /// What it may hold and compute.
    pub limits: Limits,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Spanned<Secret>>,
    /// Hosts that may be dialled although they come from a variable or a record.
    pub egress_allow: Vec<Spanned<String>>,
    /// Schemas by id.
    pub schemas: BTreeMap<String, Schema>,
    /// The schema registry of topics whose records name their schemas.
    pub schema_registry: Option<SchemaRegistry>,
    /// Topics by id.
    pub topics: BTreeMap<String, Topic>,
    /// Sources by id.
    pub sources: BTreeMap<String, Source>,
    /// Tables by id.
    pub tables: BTreeMap<String, Table>,
    /// Functions that SQL calls, by name.
    pub functions: BTreeMap<String, Function>,
    /// Transforms by id.
    pub transforms: BTreeMap<String, Transform>,
    /// Sinks by id.
    pub sinks: BTreeMap<String, Sink>,
    /// What happens to bad records and to failures that pass.
    pub errors: Errors,
    /// Tests in the order written.
    pub tests: Vec<TestCase>,
}

/// How a file says [`Broker::Embedded`].
pub const EMBEDDED: &str = "embedded";

/// Where topics are.
#[derive(Clone, Debug)]
pub enum Broker {
    /// In this process.
    Embedded,
    /// A Kafka cluster.
    Cluster(Cluster),
}

/// A Kafka cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Brokers as host:port.
    pub bootstrap: Vec<Spanned<String>>,
    /// TLS, where it is used.
    pub tls: Option<Tls>,
    /// Who we are, where the cluster asks.
    pub sasl: Option<Sasl>,
}

/// TLS to a cluster: PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates to trust; the system's without.
    pub ca: Option<String>,
    /// Our certificate.
    pub cert: Option<String>,
    /// The file of our key.
    pub key: Option<String>,
}

/// SASL to a cluster.
#[derive(Clone, Debug)]
pub struct Sasl {
    /// `plain`, `scram-sha-256` or `scram-sha-512`.
    pub mechanism: String,
    /// The user's name.
    pub username: Secret,
    /// The password.
    pub password: Secret,
}

/// What holds where a component says nothing.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// The promise of every path.
    pub delivery: Delivery,
    /// The longest time between two commits of a worker, in milliseconds.
    pub commit_interval_ms: u64,
    /// How often rows that every sink has written are deleted from the topics that bring them, in milliseconds.
    pub trim_interval_ms: u64,
    /// The bytes of changes in a changelog's partition before its state is written anew.
    pub snapshot_after_bytes: u64,
    /// Where snapshots of state go, unless they go into the changelogs themselves.
    pub snapshots: Option<Snapshots>,
    /// How many workers beside its owner keep a copy of a key group's state.
    pub standby: u32,
    /// Whether a worker that comes to others reads state before it takes any over.
    pub warm_start: bool,
}

/// What a pipeline may hold and compute, in each process that runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; without, as much as the process may hold.
    pub memory_bytes: Option<u64>,
    /// Thousandths of a core, over time.
    pub millicores: Option<u64>,
}

/// Snapshots of state in an object store.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// `s3://bucket/folder`, `file:///folder`, or a folder from the pipeline's own.
    pub url: Spanned<String>,
    /// Whether they are taken; else those that are there are only read.
    pub take: bool,
    /// How long what nothing names any more is left for those who read it, in milliseconds.
    pub grace_ms: u64,
    /// Access to an S3 store.
    pub s3: S3,
}

/// Access to an S3 store.
#[derive(Clone, Debug, Default)]
pub struct S3 {
    /// The region.
    pub region: Option<String>,
    /// The server, for stores that are not Amazon's.
    pub endpoint: Option<String>,
    /// The access key's id.
    pub access_key_id: Option<Secret>,
    /// The access key.
    pub secret_access_key: Option<Secret>,
    /// The session's token, for temporary keys.
    pub session_token: Option<Secret>,
    /// Whether the endpoint may be spoken to without TLS.
    pub allow_http: bool,
}

/// The columns of what flows somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its id.
    pub id: Spanned<String>,
    /// Whether records with a field that it does not name are bad.
    pub frozen: bool,
    /// The columns in the order written.
    pub fields: Vec<SchemaField>,
}

impl Schema {
    /// The column of a name.
    pub fn field(&self, name: &str) -> Option<&SchemaField> {
        self.fields.iter().find(|f| f.name.value == name)
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaField {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type.
    pub data_type: FieldType,
    /// Whether it is always there.
    pub required: bool,
}

/// A column's type. All timestamps are UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// UTF-8.
    String,
    /// True or false.
    Bool,
    /// A signed integer of this many bits.
    Int(u8),
    /// A float of this many bits.
    Float(u8),
    /// An exact number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Milliseconds since 1970.
    TimestampMs,
    /// Microseconds since 1970.
    TimestampUs,
    /// Days since 1970.
    Date,
    /// Bytes.
    Bytes,
    /// A list.
    List(Box<SchemaField>),
    /// A struct.
    Struct(Vec<SchemaField>),
}

impl FieldType {
    /// In one line, for fingerprints and `explain`.
    pub fn describe(&self) -> String {
        match self {
            FieldType::String => "string".to_owned(),
            FieldType::Bool => "bool".to_owned(),
            FieldType::Int(bits) => format!("int{bits}"),
            FieldType::Float(bits) => format!("float{bits}"),
            FieldType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            FieldType::TimestampMs => "timestamp_ms".to_owned(),
            FieldType::TimestampUs => "timestamp_us".to_owned(),
            FieldType::Date => "date".to_owned(),
            FieldType::Bytes => "bytes".to_owned(),
            FieldType::List(item) => format!("list({})", item.data_type.describe()),
            FieldType::Struct(fields) => {
                let parts: Vec<String> =
                    fields.iter().map(|f| format!("{} {}", f.name.value, f.data_type.describe())).collect();
                format!("struct({})", parts.join(", "))
            }
        }
    }
}

/// A topic that the pipeline declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: Spanned<String>,
    /// Its name on the broker.
    pub name: Spanned<String>,
    /// How many partitions.
    pub partitions: Spanned<u32>,
    /// How many replicas; nothing for the broker's default.
    pub replication: Option<u16>,
    /// The columns that choose the partition; empty for none.
    pub key: Vec<Spanned<String>>,
    /// Whether the latest record of each key is kept, for ever, and no other.
    pub compacted: bool,
    /// How long records are kept, in milliseconds from their append; nothing for ever.
    pub retention_ms: Option<u64>,
    /// How many bytes a partition keeps.
    pub retention_bytes: Option<u64>,
    /// What its values are written in.
    pub format: TopicFormat,
}

/// What a topic's values are written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFormat {
    /// The format, where the file says it or at the topic's id.
    pub kind: Spanned<FormatKind>,
    /// The file of the schema.
    pub schema: Option<Spanned<String>>,
    /// The message in it.
    pub message: Option<Spanned<String>>,
    /// Whether records begin with the id of their schema in the registry.
    pub registry: bool,
    /// The subject of written records' schema, where the file says it.
    pub subject: Option<Spanned<String>>,
    /// What stands between columns.
    pub delimiter: u8,
    /// How a null is written.
    pub null: String,
}

impl TopicFormat {
    /// In one line, for `plan` and `explain`.
    pub fn describe(&self) -> String {
        let mut text = self.kind.value.title().to_owned();
        if let Some(schema) = &self.schema {
            text.push_str(&format!(" by {}", schema.value));
        }
        if let Some(message) = &self.message {
            text.push_str(&format!(", message {}", message.value));
        }
        if self.registry {
            text.push_str(" with the schema registry");
        }
        if self.delimiter != b',' {
            text.push_str(&format!(" parted by {:?}", char::from(self.delimiter)));
        }
        text
    }
}

/// Formats of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatKind {
    /// JSON objects.
    Json,
    /// Lines of CSV.
    Csv,
    /// Avro records.
    Avro,
    /// Protobuf messages.
    Protobuf,
    /// Bytes.
    Raw,
    /// IPC streams of Arrow, each of many rows.
    Arrow,
}

impl FormatKind {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            FormatKind::Json => "JSON",
            FormatKind::Csv => "CSV",
            FormatKind::Avro => "Avro",
            FormatKind::Protobuf => "Protobuf",
            FormatKind::Raw => "raw",
            FormatKind::Arrow => "Arrow",
        }
    }

    /// Its name in a file.
    pub fn word(self) -> &'static str {
        match self {
            FormatKind::Json => "json",
            FormatKind::Csv => "csv",
            FormatKind::Avro => "avro",
            FormatKind::Protobuf => "protobuf",
            FormatKind::Raw => "raw",
            FormatKind::Arrow => "arrow",
        }
    }
}

/// A schema registry with Confluent's interface.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    /// Where it is.
    pub url: Spanned<String>,
    /// Whether its host was written in the file itself; one that was not is dialled only where `egress` allows it.
    pub url_origin: Origin,
    /// The user's name.
    pub username: Option<Secret>,
    /// The password.
    pub password: Option<Secret>,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
}

/// A component's own settings: checked against its schema, `${…}` filled in. Durations and sizes are
/// text in their written form, which the connector's own types parse.
#[derive(Clone, Debug)]
pub struct Config {
    node: Node,
}

impl Config {
    pub(crate) fn new(node: Node) -> Config {
        Config { node }
    }

    /// The settings as the connector that a scheme chose reads them: the DSN under its key, without the scheme if it
    /// wants only the rest.
    pub(crate) fn for_scheme(mut self, field: &str, scheme: &Scheme) -> Config {
        let Data::Map(entries) = &mut self.node.data else { return self };
        for entry in entries.iter_mut().filter(|e| e.key.value == field) {
            scheme.field.clone_into(&mut entry.key.value);
            if let (true, Data::Scalar(scalar)) = (scheme.rest, &mut entry.value.data) {
                let rest = scalar.expose().split_once(':').map_or("", |(_, rest)| rest);
                let rest = rest.strip_prefix("//").unwrap_or(rest).to_owned();
                scalar.text = Text::Hidden(Secret::new(rest));
            }
        }
        self
    }

    /// Reads the settings into the component's own struct. A refusal points at the setting.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Box<Diagnostic>> {
        load::decode(&self.node)
    }

    /// A setting's text, where it is one and no secret.
    pub fn text(&self, key: &str) -> Option<Spanned<String>> {
        let node = self.node.get(key)?;
        Some(Spanned::new(node.scalar()?.clear()?.to_owned(), node.span))
    }

    /// A setting's text, secret or not.
    pub fn secret(&self, key: &str) -> Option<Spanned<Secret>> {
        let node = self.node.get(key)?;
        Some(Spanned::new(Secret::new(node.scalar()?.expose()), node.span))
    }

    /// The texts of a setting that is a list.
    pub fn texts(&self, key: &str) -> Vec<Spanned<String>> {
        let items = self.node.get(key).map_or(&[][..], Node::items);
        items.iter().filter_map(|n| Some(Spanned::new(n.scalar()?.clear()?.to_owned(), n.span))).collect()
    }

    /// Where a setting's value came from: a host that is not [`Origin::Literal`] needs `egress`.
    pub fn origin(&self, key: &str) -> Option<Origin> {
        Some(self.node.get(key)?.scalar()?.origin)
    }

    /// Where a setting is; the component's own place where it is not set.
    pub fn span(&self, key: &str) -> Span {
        self.node.get(key).map_or(self.node.span, |n| n.span)
    }

    /// The settings in one line each, secrets as `***`, for `explain` and `diff`.
    pub fn describe(&self) -> String {
        crate::value::describe(&self.node)
    }
}

/// What the pipeline reads.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub id: Spanned<String>,
    /// The connector.
    pub type_name: Spanned<String>,
    /// The columns of its records.
    pub schema: Option<Spanned<String>>,
    /// The promise of paths from here, where it says one.
    pub delivery: Option<Spanned<Delivery>>,
    /// The topic that it is, where it is one that others write.
    pub topic: Option<TopicSource>,
    /// The connector's settings.
    pub config: Config,
}

/// A topic that others write.
#[derive(Clone, Debug)]
pub struct TopicSource {
    /// The topic's id.
    pub topic: Spanned<String>,
    /// Event time for what follows.
    pub watermark: Option<Watermark>,
    /// Whether it is read to where it ends when the run begins, and no further.
    pub until_end: bool,
    /// Where it is so that each record takes the place of the one before it with its key, and one without a value takes that away:
    /// where the file says it.
    pub upsert: Option<Span>,
}

/// What it joins and looks up.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its id.
    pub id: Spanned<String>,
    /// The connector.
    pub type_name: Spanned<String>,
    /// The columns that name a row.
    pub key: Vec<Spanned<String>>,
    /// The columns of its rows.
    pub schema: Option<Spanned<String>>,
    /// The topic that it follows, where it does.
    pub topic: Option<Spanned<String>>,
    /// The connector's settings.
    pub config: Config,
}

impl Table {
    /// Whether it is not read, but asked for the rows of the keys that come.
    pub fn is_asked(&self) -> bool {
        self.type_name.value == "postgres"
    }
}

/// What it does.
#[derive(Clone, Debug)]
pub struct Transform {
    /// Its id.
    pub id: Spanned<String>,
    /// The word after `type:`.
    pub type_name: Spanned<String>,
    /// What it reads: streams, and tables where it joins.
    pub inputs: Vec<Spanned<String>>,
    /// Whether it, with what reads it, reads its topics from their beginning as a reader of its own; where the file says so, with the
    /// number that fills it anew when it is another (0 for `true`).
    pub backfill: Option<Spanned<u64>>,
    /// What it does with them.
    pub op: Operator,
}

/// An operator.
#[derive(Clone, Debug)]
pub enum Operator {
    /// A query.
    Sql(Sql),
    /// A function.
    Wasm(Wasm),
    /// A topic, written here and read by what follows.
    Topic(TopicOp),
    /// Repeats dropped.
    Dedupe(Dedupe),
    /// Rows for which a condition holds.
    Filter(SqlText),
    /// Columns by expression, in the order written.
    Map(Vec<(Spanned<String>, SqlText)>),
    /// Outputs by condition, and the one for the rest.
    Route(Vec<(Spanned<String>, SqlText)>, Option<Spanned<String>>),
    /// All inputs as one.
    Union,
}

/// A query.
#[derive(Clone, Debug)]
pub struct Sql {
    /// The text, with its places in the file.
    pub sql: SqlText,
    /// Its window functions.
    pub windows: Vec<WindowCall>,
    /// Whether it has functions OVER rows, and no windows: over the stream itself, whose rows wait for those before them.
    pub over_stream: bool,
    /// When a window's row is sent, where the file says so.
    pub emit: Option<Spanned<Emit>>,
    /// Late rows, where the file says so; [`Late::default_rule`] otherwise.
    pub late: Option<Spanned<Late>>,
    /// How long rows wait for matches that the query does not bound in time, where the file says so.
    pub keep: Option<Spanned<Keep>>,
}

/// How long rows wait for matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many milliseconds of event time.
    For(u64),
    /// For ever.
    ForEver,
}

impl Sql {
    /// Whether it keeps groups up to date: it aggregates without windows.
    pub fn keeps_groups(&self) -> bool {
        self.windows.is_empty() && matches!(self.emit.as_ref().map(|e| e.value), Some(Emit::OnUpdate(_)))
    }

    /// Whether those groups are let go of when nothing has come for them for a time.
    pub fn lets_go(&self) -> bool {
        self.keeps_groups() && matches!(self.keep.as_ref().map(|keep| keep.value), Some(Keep::For(_)))
    }
}

/// When a window's row is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// When the watermark has passed the window's end, and the allowance where it is not sent again.
    OnClose,
    /// Before that too, at most this often in milliseconds; groups without windows as well.
    OnUpdate(u64),
    /// The same of windows alone.
    Early(u64),
}

impl Emit {
    /// How often rows that are not final are sent at most, in milliseconds; nothing where they are not.
    pub fn every_ms(self) -> Option<u64> {
        match self {
            Emit::OnClose => None,
            Emit::OnUpdate(every) | Emit::Early(every) => Some(every),
        }
    }
}

/// Late rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// How long after its end a window stays open, in milliseconds.
    pub allow_ms: u64,
    /// `then: update`: a window's row is sent at its end, and again for rows that come within the allowance.
    pub updates: bool,
    /// What happens to rows that come later still.
    pub then: LateThen,
}

impl Late {
    /// What holds where the file says nothing: no allowance, to the dead letters, since a silent loss is the worst.
    pub fn default_rule() -> Late {
        Late { allow_ms: 0, updates: false, then: LateThen::DeadLetter }
    }
}

/// What happens to a late row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LateThen {
    /// Dropped and counted.
    Drop,
    /// To the dead letters.
    DeadLetter,
    /// To a topic, by its id.
    Topic(Option<Spanned<String>>),
}

/// A function.
#[derive(Clone, Debug)]
pub struct Wasm {
    /// The component's file, relative to the pipeline's.
    pub module: Spanned<String>,
    /// SHA-256 of that file in hexadecimal digits; nothing where it could not be read.
    pub digest: Option<String>,
    /// Tables that it looks up.
    pub lookup: Vec<Spanned<String>>,
    /// The schema of what it returns.
    pub output: Option<Spanned<String>>,
    /// Memory of one instance, in bytes.
    pub memory_bytes: u64,
    /// Instructions of one call.
    pub fuel: u64,
    /// Values that it may ask for.
    pub config: BTreeMap<String, String>,
}

/// A topic in the middle of a pipeline.
#[derive(Clone, Debug)]
pub struct TopicOp {
    /// The topic's id.
    pub topic: Spanned<String>,
    /// Event time for what follows.
    pub watermark: Option<Watermark>,
}

/// How far event time has come, from the records of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The column.
    pub column: Spanned<String>,
    /// How far records may be out of order, in milliseconds.
    pub delay_ms: u64,
    /// After how long a partition read to its end holds nothing back, in milliseconds.
    pub idle_ms: u64,
    /// How far event time may lie ahead of the time at which its record was written, in milliseconds; nothing where the file
    /// does not say.
    pub ahead_ms: Option<u64>,
}

/// Repeats dropped.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// The columns that make two records the same.
    pub key: Vec<Spanned<String>>,
    /// How far apart in event time, in milliseconds.
    pub within_ms: u64,
}

/// Where a sink's rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A connector writes them, in a stage of its own.
    Foreign,
    /// To a topic, by its id, in the transaction of the stage that gives them.
    Topic(Spanned<String>),
    /// Nowhere.
    Blackhole,
}

/// What the pipeline writes.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Its id.
    pub id: Spanned<String>,
    /// The word after `type:`.
    pub type_name: Spanned<String>,
    /// The connector: the type, or what the scheme of its DSN chose.
    pub connector: String,
    /// Where it is no foreign system: a topic of the cluster, or nothing.
    pub target: Target,
    /// What it writes.
    pub inputs: Vec<Spanned<String>>,
    /// Which rows.
    pub condition: Option<SqlText>,
    /// The promise of paths that end here, where it says one.
    pub delivery: Option<Spanned<Delivery>>,
    /// How many writers at most.
    pub writers: u32,
    /// Whether a row takes the place of the one with its key (`mode: upsert`).
    pub upserts: bool,
    /// Whether it goes on where records that its target does not have were deleted (`on_gap: skip`).
    pub skips_gaps: bool,
    /// The connector's settings.
    pub config: Config,
}

/// What happens to bad records and to failures that pass.
#[derive(Clone, Debug)]
pub struct Errors {
    /// What happens to a bad record.
    pub action: DataAction,
    /// The dead-letter topic's id; `<pipeline>-dead_letters` is made without one.
    pub topic: Option<Spanned<String>>,
    /// Above this share `on_exceed` happens.
    pub max_rate: Rate,
    /// What happens above `max_rate`.
    pub on_exceed: OnExceed,
    /// The first pause between tries, in milliseconds.
    pub backoff_initial_ms: u64,
    /// The longest pause, in milliseconds.
    pub backoff_max_ms: u64,
}

/// What happens to a bad record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAction {
    /// To the dead letters.
    DeadLetter,
    /// Dropped and counted.
    Drop,
    /// The pipeline stops.
    Stop,
}

/// What happens when too many records are bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExceed {
    /// The pipeline waits for a person.
    Pause,
    /// It ends with an error.
    Stop,
    /// Nothing.
    Continue,
}

/// A test of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCase {
    /// What it shows.
    pub name: Spanned<String>,
    /// What comes in, by source, table and topic.
    pub inputs: Vec<(Spanned<String>, Given)>,
    /// Where event time stands after the inputs, in milliseconds; the end of time without.
    pub advance_watermark_ms: Option<i64>,
    /// What goes wrong.
    pub scenario: Option<Scenario>,
    /// Rows by transform, sink or topic.
    pub expect: Vec<(Spanned<String>, Expect)>,
}

/// What a test gives to a source, a table or a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// Rows, written in the file.
    Rows(Vec<Spanned<Value>>),
    /// What a topic held.
    Recording(Recording),
}

/// A file of records that a topic held ([`crate::recording`]), and which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The file, from the pipeline's folder.
    pub path: Spanned<String>,
    /// The first timestamp that is taken, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// The first that is not taken any more.
    pub to_ms: Option<i64>,
    /// How many records are taken at most.
    pub limit: Option<u64>,
}

/// What goes wrong in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The component.
    pub component: Spanned<String>,
    /// The point, one of [`crate::shape::core::FAIL_POINTS`].
    pub point: String,
    /// Whether the worker comes back.
    pub restart: bool,
}

/// What a test wants of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Rows in any order.
    pub rows: Option<Vec<Spanned<Value>>>,
    /// Whether other rows and columns may be there.
    pub subset: bool,
    /// How many rows.
    pub count: Option<u64>,
    /// Columns in which no two rows are the same.
    pub unique_by: Vec<Spanned<String>>,
}
