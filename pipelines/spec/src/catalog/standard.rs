//! The connectors that come with Millstream, as a pipeline file names them, for those who lint without linking them. The
//! owner of each setting is the connector's own config struct; a test of the worker, which knows both, holds them
//! together.
//!
//! Never enters: connectors of others; a caller adds theirs to the list.

use super::{ByScheme, ComponentSchema, Delivery, ListCatalog, Scheme};
use crate::shape::core::{S3, WATERMARK};
use crate::shape::{Field, Kind, Section, Shape};

static PARQUET: Shape = Shape {
    what: "a file format",
    fields: &[
        Field::optional("type", Kind::Word(&["parquet"]), "parquet", "The format of the files."),
        Field::optional(
            "compression",
            Kind::Word(&["zstd", "snappy", "none"]),
            "zstd",
            "How pages are compressed.",
        ),
        Field::optional(
            "row_group_rows",
            Kind::Int(1_024, 16_777_216),
            "1048576",
            "Rows of a row group at most.",
        ),
    ],
};

static ROLL: Shape = Shape {
    what: "when a file is closed",
    fields: &[
        Field::optional("size", Kind::Size(1_024, 5 << 30), "128MiB", "At this size."),
        Field::optional("interval", Kind::Duration(100, 86_400_000), "10m", "At this age."),
        Field::optional(
            "idle",
            Kind::Duration(100, 86_400_000),
            "2m",
            "When nothing has come for this long.",
        ),
    ],
};

static FILE_SOURCE: &[Field] = &[
    Field::required(
        "path",
        Kind::Text,
        "Which files: a path with *, ?, [a-z] and **, from the pipeline's folder.",
    ),
    Field::optional(
        "watch",
        Kind::Bool,
        "false",
        "Whether to wait for more lines and files; else the input ends.",
    ),
    Field::optional(
        "max_line",
        Kind::Size(64, 64 << 20),
        "1MiB",
        "The longest line; a longer one is a bad record.",
    ),
    Field::optional(
        "read_size",
        Kind::Size(64, 64 << 20),
        "1MiB",
        "How many bytes are read from a file at once.",
    ),
    Field::optional("poll_interval", Kind::Duration(10, 3_600_000), "1s", "How often to look for changes."),
    Field::optional(
        "max_open_files",
        Kind::Int(1, 65_536),
        "256",
        "How many files are kept open between reads.",
    ),
    Field::optional(
        "on_rewrite",
        Kind::Word(&["restart", "stop"]),
        "restart",
        "When a file was rewritten under its reader.",
    ),
];

static HTTP_SOURCE: &[Field] = &[
    Field::required("listen", Kind::Text, "The address, as 0.0.0.0:8085."),
    Field::required("path", Kind::Text, "The path that records are posted to."),
    Field::optional("ack", Kind::Word(&["on_commit"]), "on_commit", "When a request is answered."),
    Field::optional(
        "remember",
        Kind::Duration(60_000, 2_592_000_000),
        "48h",
        "How long idempotency keys are remembered.",
    ),
    Field::optional(
        "remember_max",
        Kind::Int(1, 1_000_000_000),
        "1000000",
        "How many keys are remembered at most.",
    ),
    Field::optional("idempotency_header", Kind::Text, "Idempotency-Key", "The header that names a request."),
    Field::optional(
        "id_fields",
        Kind::List(&Kind::Name, 0),
        "[]",
        "Top-level fields of a record that name it together, where the request has no such header.",
    ),
    Field::optional("max_body", Kind::Size(64, 64 << 20), "1MiB", "The longest body."),
    Field::optional(
        "max_in_flight",
        Kind::Size(64, 16 << 30),
        "64MiB",
        "Bytes that wait for their commit at most.",
    ),
    Field::optional("max_connections", Kind::Int(1, 1_000_000), "1024", "Connections at once at most."),
    Field::optional(
        "read_timeout",
        Kind::Duration(100, 3_600_000),
        "30s",
        "How long a request may take to come in.",
    ),
    Field::optional(
        "answer_timeout",
        Kind::Duration(100, 3_600_000),
        "30s",
        "How long a commit may take before the peer is told to ask again.",
    ),
    Field::optional(
        "retry_after",
        Kind::Duration(1_000, 3_600_000),
        "1s",
        "When a peer that is turned away shall ask again.",
    ),
    Field::optional("token", Kind::Secret, "", "The bearer token that requests must have."),
];

static FILE_TABLE: &[Field] = &[
    Field::required("path", Kind::Text, "The CSV file, from the pipeline's folder; it has a header line."),
    Field::required("key", Kind::List(&Kind::Name, 1), "The columns that tell rows apart."),
    Field::optional("delimiter", Kind::Text, ",", "What stands between columns."),
    Field::optional("max_size", Kind::Size(1, 4 << 30), "256MiB", "The greatest file that is taken."),
    Field::optional(
        "poll_interval",
        Kind::Duration(10, 3_600_000),
        "5s",
        "How often to look whether it has changed.",
    ),
];

static OBJECT_STORE: &[Field] = &[
    Field::required(
        "url",
        Kind::Text,
        "Where: s3://bucket/folder, file:///folder, or a folder from the pipeline's own.",
    ),
    Field::optional("format", Kind::Struct(&PARQUET), "", "How files are written."),
    Field::optional(
        "partition_by",
        Kind::List(&Kind::Text, 0),
        "[]",
        "Folders: a column, or year, month, day, hour of a time column.",
    ),
    Field::optional("roll", Kind::Struct(&ROLL), "", "When files are closed and committed."),
    Field::optional("max_open_files", Kind::Int(1, 4_096), "64", "How many files are being encoded at once."),
    Field::optional(
        "encode_memory",
        Kind::Size(1 << 20, 64 << 30),
        "64MiB",
        "How much memory encoding may take.",
    ),
    Field::optional("part_size", Kind::Size(5 << 20, 512 << 20), "8MiB", "The size of uploaded parts."),
    Field::optional("s3", Kind::Struct(&S3), "", "Access to an S3 store."),
];

const TABLE: Field = Field::required("table", Kind::Text, "The table; made where it is not there.");
const MODE: Field = Field::optional(
    "mode",
    Kind::Word(&["upsert", "insert"]),
    "upsert",
    "Whether a row takes the place of the one with its key, or is added.",
);
const KEY: Field =
    Field::optional("key", Kind::List(&Kind::Name, 0), "[]", "The columns that tell rows apart.");
const CREATE: Field =
    Field::optional("create", Kind::Bool, "true", "Whether to make the table when it is not there.");
const COMMIT_INTERVAL: Field =
    Field::optional("commit_interval", Kind::Duration(10, 600_000), "1s", "How often rows are committed.");
const MAX_STAGED: Field = Field::optional(
    "max_staged",
    Kind::Size(1 << 16, 4 << 30),
    "64MiB",
    "A commit comes early when this much is waiting.",
);

static SQLITE: &[Field] = &[
    Field::required("path", Kind::Text, "The database file; made when it is not there."),
    TABLE,
    MODE,
    KEY,
    CREATE,
    Field::optional(
        "decimals",
        Kind::Word(&["text", "scaled_integer"]),
        "text",
        "How exact decimals are kept.",
    ),
    COMMIT_INTERVAL,
    MAX_STAGED,
    Field::optional(
        "busy_timeout",
        Kind::Duration(0, 600_000),
        "5s",
        "How long to wait for another program's lock.",
    ),
    Field::optional(
        "synchronous",
        Kind::Word(&["full", "normal"]),
        "full",
        "Whether each commit is flushed.",
    ),
];

static POSTGRES: &[Field] = &[
    Field::required("dsn", Kind::Secret, "postgres://user:password@host/database."),
    TABLE,
    MODE,
    KEY,
    CREATE,
    COMMIT_INTERVAL,
    MAX_STAGED,
];

/// What every database sink has; settings of one alone are set under its own type.
static SQL_DATABASE: &[Field] = &[
    Field::required(
        "dsn",
        Kind::Secret,
        "sqlite:path or postgres://user:password@host/database; the scheme chooses.",
    ),
    TABLE,
    MODE,
    KEY,
    CREATE,
    COMMIT_INTERVAL,
    MAX_STAGED,
];

static HTTP_SINK: &[Field] = &[
    Field::required("url", Kind::Text, "Where each row is sent, as a JSON object."),
    Field::optional("method", Kind::Word(&["POST", "PUT"]), "POST", "The method."),
    Field::optional("headers", Kind::Map(&Kind::Secret), "", "Headers of every request."),
    Field::optional("timeout", Kind::Duration(10, 3_600_000), "10s", "How long an answer may take."),
    Field::optional(
        "idempotency_header",
        Kind::Text,
        "Idempotency-Key",
        "The header that names a request, the same each time that it is sent.",
    ),
    Field::optional(
        "id_fields",
        Kind::List(&Kind::Name, 0),
        "[]",
        "The columns whose values are that name; without, it is where the row lies in its topic.",
    ),
    Field::optional(
        "retry_on",
        Kind::List(&Kind::Int(400, 499), 0),
        "[408, 425, 429]",
        "Statuses at which a request is sent again, beside those from 500 on.",
    ),
];

const fn exactly_once(
    section: Section,
    type_name: &'static str,
    doc: &'static str,
    fields: &'static [Field],
) -> ComponentSchema {
    ComponentSchema {
        section,
        type_name,
        doc,
        fields,
        delivery: (Delivery::ExactlyOnce, ""),
        writers: 4,
        by_scheme: None,
    }
}

/// `type: sql_database`: the DSN's scheme chooses among the database sinks (docs/adr/0021).
pub const SQL_DATABASE_SINK: ComponentSchema = ComponentSchema {
    by_scheme: Some(ByScheme {
        field: "dsn",
        schemes: &[
            Scheme { scheme: "sqlite", connector: "sqlite", field: "path", rest: true },
            Scheme { scheme: "postgres", connector: "postgres", field: "dsn", rest: false },
            Scheme { scheme: "postgresql", connector: "postgres", field: "dsn", rest: false },
        ],
    }),
    ..exactly_once(
        Section::Sinks,
        "sql_database",
        "A table of whichever database the DSN names.",
        SQL_DATABASE,
    )
};

static TOPIC_SOURCE: &[Field] = &[
    Field::required("topic", Kind::Name, "The topic that is read, by its id in `topics`."),
    Field::optional("watermark", Kind::Struct(&WATERMARK), "", "Event time for what follows."),
    Field::optional(
        "until",
        Kind::Word(&["end"]),
        "for ever",
        "`end`: what the topic holds when the run begins, and no more.",
    ),
    Field::optional(
        "upsert",
        Kind::Bool,
        "false",
        "Whether each record takes the place of the one before it with its key, and one without a value takes that away.",
    ),
];

static POSTGRES_TABLE: &[Field] = &[
    Field::required("dsn", Kind::Secret, "postgres://user:password@host/database."),
    Field::required("table", Kind::Text, "The table or view."),
    Field::required(
        "key",
        Kind::List(&Kind::Name, 1),
        "The columns that it is asked by; an index over them makes that cheap.",
    ),
    Field::optional(
        "keep",
        Kind::Duration(1, 2_592_000_000),
        "5m",
        "For how long what was found of a key counts, also that there was nothing.",
    ),
    Field::optional("keep_max", Kind::Int(1, 100_000_000), "100000", "How many keys are kept at most."),
    Field::optional("connect_timeout", Kind::Duration(100, 600_000), "10s", "How long connecting may take."),
    Field::optional(
        "statement_timeout",
        Kind::Duration(100, 3_600_000),
        "30s",
        "How long one question may take before it is given up and asked again.",
    ),
    Field::optional(
        "ca_file",
        Kind::Text,
        "",
        "A file of certificates, in PEM, that are trusted besides the system's.",
    ),
];

static TOPIC_TABLE: &[Field] = &[
    Field::required("topic", Kind::Name, "The topic that it follows, by its id in `topics`."),
    Field::required("key", Kind::List(&Kind::Name, 1), "The columns that tell rows apart: the topic's key."),
];

static TOPIC_SINK: &[Field] =
    &[Field::required("topic", Kind::Name, "The topic that is written, by its id in `topics`.")];

/// The list.
pub static CONNECTORS: &[ComponentSchema] = &[
    exactly_once(Section::Sources, "file", "Lines of files, watched if wanted.", FILE_SOURCE),
    exactly_once(
        Section::Sources,
        "http_server",
        "Records posted over HTTP, answered when committed.",
        HTTP_SOURCE,
    ),
    exactly_once(Section::Sources, "topic", "Records of JSON in a topic that others write.", TOPIC_SOURCE),
    exactly_once(
        Section::Tables,
        "file",
        "A table in a CSV file, read at start and again when it changes.",
        FILE_TABLE,
    ),
    exactly_once(
        Section::Tables,
        "topic",
        "Of each key the row of its latest record in a topic, read whole at start and followed.",
        TOPIC_TABLE,
    ),
    exactly_once(
        Section::Tables,
        "postgres",
        "A table in PostgreSQL, asked for the rows of the keys that come.",
        POSTGRES_TABLE,
    ),
    ComponentSchema {
        writers: 16,
        ..exactly_once(Section::Sinks, "object_store", "Parquet files in a folder or a bucket.", OBJECT_STORE)
    },
    exactly_once(Section::Sinks, "topic", "Records of JSON in a topic, for anybody to read.", TOPIC_SINK),
    exactly_once(Section::Sinks, "blackhole", "Nowhere: rows are counted and forgotten.", &[]),
    SQL_DATABASE_SINK,
    exactly_once(Section::Sinks, "sqlite", "A table in a SQLite file.", SQLITE),
    exactly_once(Section::Sinks, "postgres", "A table in PostgreSQL.", POSTGRES),
    ComponentSchema {
        delivery: (Delivery::AtLeastOnce, "an HTTP server may have taken a request whose answer was lost"),
        ..exactly_once(
            Section::Sinks,
            "http",
            "Each row a request, sent until it is answered, with an idempotency key.",
            HTTP_SINK,
        )
    },
];

/// The catalog of the connectors that come with Millstream.
pub fn catalog() -> ListCatalog {
    ListCatalog(CONNECTORS.to_vec())
}
