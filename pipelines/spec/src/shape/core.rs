//! Millstream's own tables: the top of the file, topics, schemas, operators, errors, tests.
//!
//! Never enters: a connector's settings, which are its own (`catalog.rs`).

use super::{DURATION, DURATION_OR_ZERO, Field, Kind, Section, Shape};

const GUARANTEES: Kind = Kind::Word(&["exactly_once", "at_least_once"]);
const SINK_GUARANTEES: Kind = Kind::Word(&["exactly_once", "at_least_once", "at_most_once"]);
const NAMES: Kind = Kind::List(&Kind::Name, 1);
const PARTITIONS: Kind = Kind::Int(1, 100_000);
const REPLICATION: Kind = Kind::Either(&[Kind::Int(1, 32), Kind::Word(&["auto"])]);

/// The whole file.
pub static PIPELINE: Shape = Shape {
    what: "a pipeline",
    fields: &[
        Field::required("version", Kind::Int(0, i64::MAX), "The version of this file's format: 1."),
        Field::required(
            "name",
            Kind::Name,
            "The pipeline's name; groups, transactions and internal topics start with it.",
        ),
        Field::optional(
            "broker",
            Kind::Either(&[Kind::Text, Kind::Struct(&BROKER)]),
            "embedded",
            "`embedded`, or an existing Kafka cluster: its brokers as host:port, parted by commas, or a mapping.",
        ),
        Field::optional(
            "defaults",
            Kind::Struct(&DEFAULTS),
            "",
            "What holds where a component says nothing.",
        ),
        Field::optional(
            "limits",
            Kind::Struct(&LIMITS),
            "",
            "What the pipeline may hold and compute in each process that runs it, so that others beside it go on.",
        ),
        Field::optional(
            "secrets",
            Kind::Map(&Kind::Secret),
            "",
            "Named secrets, used as ${secret:name}; never printed.",
        ),
        Field::optional(
            "egress",
            Kind::Struct(&EGRESS),
            "",
            "Hosts that may be dialled although they come from a variable or a record.",
        ),
        Field::optional(
            "schemas",
            Kind::Ids(&Kind::Struct(&SCHEMA)),
            "",
            "The columns of what flows through.",
        ),
        Field::optional(
            "schema_registry",
            Kind::Struct(&SCHEMA_REGISTRY),
            "",
            "The schema registry of topics whose `format` says `registry: true`.",
        ),
        Field::optional(
            "topics",
            Kind::Ids(&Kind::Struct(&TOPIC)),
            "",
            "Topics that the pipeline creates or uses.",
        ),
        Field::required("sources", Kind::Ids(&Kind::Component(Section::Sources)), "What the pipeline reads."),
        Field::optional(
            "tables",
            Kind::Ids(&Kind::Component(Section::Tables)),
            "",
            "What it joins and looks up.",
        ),
        Field::optional(
            "functions",
            Kind::Ids(&Kind::Struct(&FUNCTION)),
            "",
            "Functions in WebAssembly that the SQL of its transforms calls by their names.",
        ),
        Field::optional("transforms", Kind::Ids(&Kind::Component(Section::Transforms)), "", "What it does."),
        Field::optional("sinks", Kind::Ids(&Kind::Component(Section::Sinks)), "", "What it writes."),
        Field::optional(
            "errors",
            Kind::Struct(&ERRORS),
            "",
            "What happens to bad records and to failures that pass.",
        ),
        Field::optional(
            "tests",
            Kind::List(&Kind::Struct(&TEST), 0),
            "",
            "Inputs and what they must become; run by `millstream test`.",
        ),
    ],
};

static BROKER: Shape = Shape {
    what: "a Kafka cluster",
    fields: &[
        Field::required("bootstrap", Kind::List(&Kind::Text, 1), "Brokers as host:port."),
        Field::optional("tls", Kind::Struct(&TLS), "", "TLS to the brokers."),
        Field::optional("sasl", Kind::Struct(&SASL), "", "Who we are."),
    ],
};

static TLS: Shape = Shape {
    what: "TLS settings",
    fields: &[
        Field::optional("ca", Kind::Text, "the system's", "A file of certificates to trust, in PEM."),
        Field::optional("cert", Kind::Text, "", "Our certificate, in PEM."),
        Field::optional("key", Kind::Text, "", "The file of our private key, in PEM."),
    ],
};

static SASL: Shape = Shape {
    what: "SASL settings",
    fields: &[
        Field::required(
            "mechanism",
            Kind::Word(&["plain", "scram-sha-256", "scram-sha-512"]),
            "How to prove it.",
        ),
        Field::required("username", Kind::Secret, "The user's name."),
        Field::required("password", Kind::Secret, "The password."),
    ],
};

static DEFAULTS: Shape = Shape {
    what: "defaults",
    fields: &[
        Field::optional(
            "delivery",
            GUARANTEES,
            "exactly_once",
            "The promise of every path from a source to a sink.",
        ),
        Field::optional(
            "commit_interval",
            Kind::Duration(10, 60_000),
            "1s",
            "The longest time between two commits of a worker under load; early when idle.",
        ),
        Field::optional(
            "trim_interval",
            Kind::Duration(100, 86_400_000),
            "30s",
            "How often rows that every sink has written are deleted from the topics that bring them.",
        ),
        Field::optional(
            "snapshot_after",
            Kind::Size(1_024, 1 << 40),
            "4MiB",
            "How much must have changed in a partition of a changelog before its state is written anew, and what was \
             there is deleted.",
        ),
        Field::optional(
            "snapshots",
            Kind::Struct(&SNAPSHOTS),
            "",
            "An object store, or a folder, that state is written anew to, instead of into the changelogs.",
        ),
        Field::optional(
            "standby",
            Kind::Int(0, 16),
            "0",
            "How many workers beside its owner keep a copy of a key group's state, so that it is taken over without being read anew.",
        ),
        Field::optional(
            "warm_start",
            Kind::Bool,
            "true",
            "Whether a worker that comes to others reads state before it takes any over, as far as it has memory.",
        ),
    ],
};

static LIMITS: Shape = Shape {
    what: "limits of a pipeline",
    fields: &[
        Field::optional(
            "memory",
            Kind::Size(16 << 20, 1 << 50),
            "what the process may hold",
            "Above it the pipeline commits earlier, fetches nothing ahead and moves state to the local disk.",
        ),
        Field::optional(
            "cpu",
            Kind::Cores,
            "no limit",
            "Cores, over time, such as 0.5: a pipeline that has used more takes nothing in until it has made up for that.",
        ),
    ],
};

static SNAPSHOTS: Shape = Shape {
    what: "snapshots of state",
    fields: &[
        Field::required(
            "url",
            Kind::Text,
            "Where: `s3://bucket/folder`, `file:///folder`, or a folder from the pipeline's own. All workers must reach it.",
        ),
        Field::optional(
            "take",
            Kind::Bool,
            "true",
            "Whether they are taken. With `false` those that are there are read, and state is written into the changelogs anew: \
             how a pipeline leaves a store.",
        ),
        Field::optional(
            "grace",
            Kind::Duration(1_000, 30 * 86_400_000),
            "1h",
            "How long what no snapshot names any more is left there, for those who read it: longer than reading all state takes, and \
             than clocks of workers differ.",
        ),
        Field::optional("s3", Kind::Struct(&S3), "", "Access to an S3 store."),
    ],
};

/// How an S3 store is reached, by sinks and for state.
pub(crate) static S3: Shape = Shape {
    what: "access to an S3 store",
    fields: &[
        Field::optional("region", Kind::Text, "us-east-1", "The region."),
        Field::optional("endpoint", Kind::Text, "", "The server, for stores that are not Amazon's."),
        Field::optional(
            "access_key_id",
            Kind::Secret,
            "",
            "The access key's id; left out, the machine's own role is asked, which needs `egress` to allow it.",
        ),
        Field::optional("secret_access_key", Kind::Secret, "", "The access key."),
        Field::optional("session_token", Kind::Secret, "", "The session's token, for temporary keys."),
        Field::optional(
            "allow_http",
            Kind::Bool,
            "false",
            "Whether the endpoint may be spoken to without TLS.",
        ),
    ],
};

static EGRESS: Shape = Shape {
    what: "egress rules",
    fields: &[Field::required(
        "allow",
        Kind::List(&Kind::Text, 1),
        "Hosts, as name, name:port, or a network as 10.0.0.0/8.",
    )],
};

static SCHEMA: Shape = Shape {
    what: "a schema",
    fields: &[
        Field::optional("contract", Kind::Struct(&CONTRACT), "", "What happens to data that does not fit."),
        Field::required("fields", Kind::Map(&Kind::SchemaField), "The columns."),
    ],
};

static CONTRACT: Shape = Shape {
    what: "a schema's contract",
    fields: &[Field::optional(
        "columns",
        Kind::Word(&["discard_value", "freeze"]),
        "discard_value",
        "A field of a JSON record that the schema does not name: passed over, or its record refused to the dead letters.",
    )],
};

/// The names of field types.
pub const FIELD_TYPES: &[&str] = &[
    "string",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "float32",
    "float64",
    "decimal",
    "timestamp_ms",
    "timestamp_us",
    "date",
    "bytes",
    "list",
    "struct",
];

/// A field of a schema.
pub static SCHEMA_FIELD: Shape = Shape {
    what: "a field of a schema",
    fields: &[
        Field::required("type", Kind::Word(FIELD_TYPES), "The type."),
        Field::optional("required", Kind::Bool, "false", "Whether it is always there."),
        Field::optional("precision", Kind::Int(1, 38), "", "Digits of a decimal in all."),
        Field::optional("scale", Kind::Int(0, 38), "0", "Digits of a decimal after the point."),
        Field::optional("items", Kind::SchemaField, "", "What a list holds."),
        Field::optional("fields", Kind::Map(&Kind::SchemaField), "", "What a struct holds."),
        Field::optional("doc", Kind::Text, "", "What it means."),
    ],
};

/// A type of a value, as a word or with its settings.
const VALUE_TYPE: Kind = Kind::Either(&[Kind::Word(FIELD_TYPES), Kind::Struct(&VALUE)]);

static VALUE: Shape = Shape {
    what: "a type",
    fields: &[
        Field::required("type", Kind::Word(FIELD_TYPES), "The type."),
        Field::optional("precision", Kind::Int(1, 38), "", "Digits of a decimal in all."),
        Field::optional("scale", Kind::Int(0, 38), "0", "Digits of a decimal after the point."),
        Field::optional("items", Kind::SchemaField, "", "What a list holds."),
        Field::optional("fields", Kind::Map(&Kind::SchemaField), "", "What a struct holds."),
    ],
};

static FUNCTION: Shape = Shape {
    what: "a function",
    fields: &[
        Field::required("module", Kind::Text, MODULE),
        Field::required(
            "arguments",
            Kind::List(&VALUE_TYPE, 1),
            "The types of its arguments, in their order.",
        ),
        Field::required("returns", VALUE_TYPE, "The type of what it gives for each row."),
        Field::optional("limits", Kind::Struct(&FUNCTION_LIMITS), "", "Memory and fuel."),
        Field::optional("config", Kind::Map(&Kind::Text), "", "Values that the function may ask for."),
    ],
};

const MODULE: &str = "The component's file, relative to this one.";

static TOPIC: Shape = Shape {
    what: "a topic",
    fields: &[
        Field::optional("name", Kind::Name, "the id", "Its name on the broker, where that is not the id."),
        Field::required("partitions", PARTITIONS, "How many partitions."),
        Field::optional(
            "replication",
            REPLICATION,
            "auto",
            "How many replicas; auto is the broker's default.",
        ),
        Field::optional(
            "key",
            Kind::Either(&[Kind::Name, NAMES]),
            "",
            "The columns that choose the partition, by murmur2 as Java's client.",
        ),
        Field::optional(
            "retention",
            Kind::Either(&[DURATION, Kind::Word(&["forever"])]),
            "7d",
            "How long records are kept, from when they are appended.",
        ),
        Field::optional("retention_size", super::SIZE, "", "How many bytes a partition keeps."),
        Field::optional(
            "cleanup",
            Kind::Word(&["delete", "compact"]),
            "delete",
            "What goes: old records, or those that a later record of their key has replaced.",
        ),
        Field::optional(
            "format",
            Kind::Either(&[Kind::Word(FORMATS), Kind::Struct(&FORMAT)]),
            "json",
            "What its values are written in.",
        ),
    ],
};

/// The names of formats.
pub const FORMATS: &[&str] = &["json", "csv", "avro", "protobuf", "raw", "arrow"];

static FORMAT: Shape = Shape {
    what: "the format of a topic",
    fields: &[
        Field::required("type", Kind::Word(FORMATS), "The format."),
        Field::optional(
            "schema",
            Kind::Text,
            "made of the columns",
            "avro, protobuf: a file with the schema (.avsc, .proto), from the pipeline's folder. With a registry it is what \
             is registered and written; records are read by the schemas that they name.",
        ),
        Field::optional(
            "message",
            Kind::Text,
            "the only one",
            "protobuf: which message of the file, by its full name.",
        ),
        Field::optional(
            "registry",
            Kind::Bool,
            "false",
            "json, avro, protobuf: whether records begin with the id of their schema in `schema_registry`.",
        ),
        Field::optional(
            "subject",
            Kind::Text,
            "the topic's name and -value",
            "Under which subject of the registry the schema of written records is.",
        ),
        Field::optional("delimiter", Kind::Verbatim, ",", "csv: what stands between columns, one character."),
        Field::optional("null_text", Kind::Verbatim, "nothing", "csv: how a null is written."),
    ],
};

static SCHEMA_REGISTRY: Shape = Shape {
    what: "a schema registry",
    fields: &[
        Field::required(
            "url",
            Kind::Text,
            "Where it is, as https://registry.example; Confluent's interface.",
        ),
        Field::optional("username", Kind::Secret, "", "The user's name, where it asks for one."),
        Field::optional("password", Kind::Secret, "", "The password."),
        Field::optional("timeout", DURATION, "10s", "How long an answer may take."),
    ],
};

pub(crate) static WATERMARK: Shape = Shape {
    what: "a watermark",
    fields: &[
        Field::required("column", Kind::Name, "The column of event time."),
        Field::optional(
            "delay",
            DURATION_OR_ZERO,
            "0s",
            "How far records may be out of order within a partition.",
        ),
        Field::optional(
            "idle",
            DURATION,
            "1m",
            "After how long a partition that is read to its end holds nothing back.",
        ),
        Field::optional(
            "ahead",
            DURATION,
            "1d, of what comes from outside",
            "How far event time may lie ahead of when its record was written; one further ahead is a dead letter.",
        ),
    ],
};

/// Keys of every source.
pub static SOURCE: Shape = Shape {
    what: "a source",
    fields: &[
        Field::required("type", Kind::Name, "The connector."),
        Field::optional("schema", Kind::Name, "", "The columns of its records."),
        Field::optional("delivery", GUARANTEES, "defaults.delivery", "The promise of the paths from here."),
    ],
};

/// Keys of every table.
pub static TABLE: Shape = Shape {
    what: "a table",
    fields: &[
        Field::required("type", Kind::Name, "The connector."),
        Field::required("key", NAMES, "The columns that name a row."),
        Field::optional("schema", Kind::Name, "", "The columns of its rows."),
    ],
};

/// Of a transform that may be filled from what topics hold.
const BACKFILL: Field = Field::optional(
    "backfill",
    Kind::Either(&[Kind::Bool, Kind::Int(1, 1_000_000_000)]),
    "false",
    "Whether it reads its topics from their beginning, as a reader of its own, and again whenever it is edited, so that its results are of all \
     that they hold; a number is `true`, and another number fills it anew.",
);

/// Keys of every transform.
pub static TRANSFORM: Shape = Shape {
    what: "a transform",
    fields: &[
        Field::required("type", Kind::Name, "The operator."),
        Field::required("inputs", NAMES, "What it reads."),
    ],
};

/// Keys of every sink.
pub static SINK: Shape = Shape {
    what: "a sink",
    fields: &[
        Field::required("type", Kind::Name, "The connector."),
        Field::required("inputs", NAMES, "What it writes."),
        Field::optional("where", Kind::Sql, "", "Which rows, as an SQL condition."),
        Field::optional(
            "delivery",
            SINK_GUARANTEES,
            "defaults.delivery",
            "The promise of the paths that end here.",
        ),
        Field::optional(
            "writers",
            Kind::Int(1, 256),
            "the connector's",
            "How many writers at most: the partitions of the topic that it reads.",
        ),
        Field::optional(
            "on_gap",
            Kind::Word(&["stop", "skip"]),
            "stop",
            "Where records that the target does not have were deleted from the topic: the run stops, or they are skipped.",
        ),
    ],
};

static FUNCTION_LIMITS: Shape = Shape {
    what: "a function's limits",
    fields: &[
        Field::optional("memory", Kind::Size(1 << 16, 4 << 30), "64MiB", "The memory of one instance."),
        Field::optional(
            "fuel",
            Kind::Int(10_000, i64::MAX),
            "100000000",
            "Instructions for one call; a record that spends it alone is a bad record.",
        ),
    ],
};

static LATE: Shape = Shape {
    what: "a rule for late rows",
    fields: &[
        Field::optional("allow", DURATION_OR_ZERO, "0s", "How long after its end a window stays open."),
        Field::required(
            "then",
            Kind::Word(&["drop", "dead_letter", "topic", "update"]),
            "What happens to rows that come later still; `update` sends a window's row at its end, and again for rows that come within `allow`.",
        ),
        Field::optional(
            "beyond",
            Kind::Word(&["drop", "dead_letter", "topic"]),
            "drop",
            "With `then: update`: what happens to rows that come later still.",
        ),
        Field::optional("topic", Kind::Name, "", "Where `topic` puts them."),
    ],
};

static NOT_FINAL: Shape = Shape {
    what: "when a window's row is sent",
    fields: &[
        Field::optional(
            "on_update",
            DURATION,
            "",
            "Also before the window's end, at most this often; groups without windows too.",
        ),
        Field::optional("early", DURATION, "", "The same of windows alone."),
    ],
};

/// An operator: its name and its keys beside those of every transform.
pub static OPERATORS: &[(&str, Shape)] = &[
    (
        "sql",
        Shape {
            what: "a sql transform",
            fields: &[
                Field::required("sql", Kind::Sql, "One SELECT over the inputs, by their ids."),
                Field::optional(
                    "emit",
                    Kind::Either(&[Kind::Word(&["on_close"]), Kind::Struct(&NOT_FINAL)]),
                    "on_close",
                    "When a window's row is sent.",
                ),
                Field::optional(
                    "late",
                    Kind::Struct(&LATE),
                    "{ allow: 0s, then: dead_letter }",
                    "Rows that come after their window.",
                ),
                Field::optional(
                    "keep",
                    Kind::Either(&[DURATION, Kind::Word(&["forever"])]),
                    "",
                    "How long, in event time, rows of streams that are joined wait for a match that the query does not bound in time, or groups without windows for another row.",
                ),
                BACKFILL,
            ],
        },
    ),
    (
        "wasm",
        Shape {
            what: "a wasm transform",
            fields: &[
                Field::required("module", Kind::Text, MODULE),
                Field::optional("lookup", NAMES, "", "Tables that the function may look up."),
                Field::optional("output", Kind::Name, "", "The schema of what it returns."),
                Field::optional("limits", Kind::Struct(&FUNCTION_LIMITS), "", "Memory and fuel."),
                Field::optional(
                    "config",
                    Kind::Map(&Kind::Text),
                    "",
                    "Values that the function may ask for.",
                ),
                BACKFILL,
            ],
        },
    ),
    (
        "topic",
        Shape {
            what: "a topic transform",
            fields: &[
                Field::required("topic", Kind::Name, "The topic that is written, and read by what follows."),
                Field::optional("watermark", Kind::Struct(&WATERMARK), "", "Event time for what follows."),
            ],
        },
    ),
    (
        "dedupe",
        Shape {
            what: "a dedupe transform",
            fields: &[
                Field::required("key", NAMES, "The columns that make two records the same."),
                Field::required("within", DURATION, "How far apart in event time repeats are known."),
                BACKFILL,
            ],
        },
    ),
    (
        "filter",
        Shape {
            what: "a filter transform",
            fields: &[Field::required("where", Kind::Sql, "Which rows go on."), BACKFILL],
        },
    ),
    (
        "map",
        Shape {
            what: "a map transform",
            fields: &[
                Field::required(
                    "columns",
                    Kind::Map(&Kind::Sql),
                    "The columns of the result, each an expression.",
                ),
                BACKFILL,
            ],
        },
    ),
    (
        "route",
        Shape {
            what: "a route transform",
            fields: &[
                Field::required(
                    "routes",
                    Kind::Ids(&Kind::Sql),
                    "Outputs by name, each with its condition; the first that holds.",
                ),
                Field::optional("otherwise", Kind::Name, "", "The output of rows for which none holds."),
                BACKFILL,
            ],
        },
    ),
    ("union", Shape { what: "a union transform", fields: &[] }),
];

static ERRORS: Shape = Shape {
    what: "error rules",
    fields: &[
        Field::optional("data", Kind::Struct(&DATA_ERRORS), "", "Records that cannot be processed."),
        Field::optional("transient", Kind::Struct(&TRANSIENT_ERRORS), "", "Failures that pass."),
    ],
};

static DATA_ERRORS: Shape = Shape {
    what: "the rule for bad records",
    fields: &[
        Field::required(
            "action",
            Kind::Word(&["dead_letter", "drop", "stop"]),
            "What happens to a bad record; drop counts it.",
        ),
        Field::optional("topic", Kind::Name, "", "Where dead letters go."),
        Field::optional("max_rate", Kind::Rate, "5%/1m", "Above this share the pipeline does `on_exceed`."),
        Field::optional(
            "on_exceed",
            Kind::Word(&["pause", "stop", "continue"]),
            "pause",
            "What happens above `max_rate`.",
        ),
    ],
};

static TRANSIENT_ERRORS: Shape = Shape {
    what: "the rule for failures that pass",
    fields: &[
        Field::optional(
            "action",
            Kind::Word(&["retry"]),
            "retry",
            "Retried with back-pressure for as long as it takes.",
        ),
        Field::optional("backoff", Kind::Struct(&BACKOFF), "", "The pauses between tries."),
    ],
};

static BACKOFF: Shape = Shape {
    what: "a backoff",
    fields: &[
        Field::optional("initial", Kind::Duration(1, 3_600_000), "200ms", "The first pause."),
        Field::optional("max", Kind::Duration(1, 86_400_000), "30s", "The longest."),
    ],
};

static TEST: Shape = Shape {
    what: "a test",
    fields: &[
        Field::required("name", Kind::Text, "What it shows."),
        Field::required(
            "inputs",
            Kind::Map(&Kind::Either(&[Kind::List(&Kind::Any, 0), Kind::Struct(&RECORDING)])),
            "Rows by source and table; or a recording by source or topic.",
        ),
        Field::optional(
            "advance_watermark",
            Kind::Instant,
            "the end of time",
            "Where event time stands after the inputs.",
        ),
        Field::optional("scenario", Kind::Struct(&SCENARIO), "", "What goes wrong on the way."),
        Field::required("expect", Kind::Map(&Kind::Struct(&EXPECT)), "Rows by transform, sink or topic."),
    ],
};

static RECORDING: Shape = Shape {
    what: "a recording",
    fields: &[
        Field::required(
            "recording",
            Kind::Name,
            "The file that `millstream record` wrote, from the pipeline's folder.",
        ),
        Field::optional("from", Kind::Instant, "the first", "Records of this time or later."),
        Field::optional("to", Kind::Instant, "the last", "Records before this time."),
        Field::optional("limit", Kind::Int(0, i64::MAX), "all", "How many records at most."),
    ],
};

static SCENARIO: Shape = Shape {
    what: "a scenario",
    fields: &[
        Field::required("fail_at", Kind::Name, "Where the worker dies, as lake.before_commit."),
        Field::optional("restart", Kind::Bool, "true", "Whether it comes back."),
    ],
};

static EXPECT: Shape = Shape {
    what: "an expectation",
    fields: &[
        Field::optional("rows", Kind::List(&Kind::Any, 0), "", "Rows, in any order."),
        Field::optional(
            "match",
            Kind::Word(&["exact", "subset"]),
            "exact",
            "Whether other rows and columns may be there.",
        ),
        Field::optional("count", Kind::Int(0, i64::MAX), "", "How many rows."),
        Field::optional("unique_by", NAMES, "", "Columns in which no two rows are the same."),
    ],
};

/// Points at which `fail_at` can stop a component.
pub const FAIL_POINTS: &[&str] = &["before_stage", "after_stage", "before_commit", "after_commit"];
