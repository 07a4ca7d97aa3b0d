//! The connectors that come with Millstream, as a pipeline file names them. Each connector's config struct takes
//! exactly these keys; durations reach it as integers of milliseconds and sizes as integers of bytes.
//!
//! Never enters: connectors of others; a caller adds theirs to the list.

use super::{ByScheme, ComponentSchema, Delivery, ListCatalog};
use crate::shape::{DURATION, Field, Kind, SIZE, Section, Shape};

const FORMAT: Kind = Kind::Word(&["json", "csv", "raw"]);

static PARQUET: Shape = Shape {
    what: "a file format",
    fields: &[
        Field::required("type", Kind::Word(&["parquet"]), "The format of the files."),
        Field::optional(
            "compression",
            Kind::Word(&["none", "snappy", "zstd"]),
            "zstd",
            "How pages are compressed.",
        ),
        Field::optional(
            "row_group_rows",
            Kind::Int(1, 16_777_216),
            "1048576",
            "Rows of a row group at most.",
        ),
    ],
};

static ROLL: Shape = Shape {
    what: "when a file is closed",
    fields: &[
        Field::optional("size", SIZE, "128MiB", "At this size."),
        Field::optional("interval", DURATION, "10m", "At this age."),
        Field::optional("idle", DURATION, "2m", "When nothing has come for this long."),
    ],
};

static FILE_SOURCE: &[Field] = &[
    Field::required("path", Kind::Text, "A path or a glob, relative to the pipeline file."),
    Field::optional(
        "format",
        FORMAT,
        "json",
        "How records are cut: json by lines (checked later, by what reads them), csv by rows, raw by files.",
    ),
    Field::optional("watch", Kind::Bool, "false", "Whether to wait for more files; without, the input ends."),
    Field::optional(
        "max_record",
        Kind::Size(1, 16 << 20),
        "1MiB",
        "The longest record; a longer one is a bad record.",
    ),
];

static HTTP_SOURCE: &[Field] = &[
    Field::required("listen", Kind::Text, "The address, as 0.0.0.0:8085."),
    Field::required("path", Kind::Text, "The path that records are posted to."),
    Field::optional("ack", Kind::Word(&["on_commit"]), "on_commit", "When a request is answered."),
    Field::optional("remember", DURATION, "48h", "How long idempotency keys are remembered."),
    Field::optional(
        "idempotency_field",
        Kind::Text,
        "",
        "The field that stands for the key where the request has no Idempotency-Key header.",
    ),
    Field::optional("max_body", Kind::Size(1, 64 << 20), "1MiB", "The longest body."),
];

static FILE_TABLE: &[Field] = &[
    Field::required("path", Kind::Text, "The file, relative to the pipeline file."),
    Field::optional(
        "format",
        Kind::Word(&["csv", "json"]),
        "csv",
        "csv with a header line, or json by lines.",
    ),
];

static OBJECT_STORE: &[Field] = &[
    Field::required("url", Kind::Text, "Where the files go: file:///path or a path, s3://bucket/prefix."),
    Field::required("format", Kind::Struct(&PARQUET), "The files' format."),
    Field::optional(
        "partition_by",
        Kind::List(&Kind::Text, 1),
        "",
        "Folders: a column, or day(column), hour(column).",
    ),
    Field::optional("roll", Kind::Struct(&ROLL), "", "When a file is closed."),
    Field::optional("max_open_files", Kind::Int(1, 4_096), "64", "Open files of one worker at most."),
    Field::optional("region", Kind::Text, "", "The region of the bucket."),
    Field::optional("endpoint", Kind::Text, "", "Another server than the provider's."),
    Field::optional("access_key_id", Kind::Secret, "", "The access key; without, the environment's."),
    Field::optional("secret_access_key", Kind::Secret, "", "Its secret."),
];

macro_rules! database_fields {
    ($dsn:literal) => {
        &[
            Field::required("dsn", Kind::Secret, $dsn),
            Field::required("table", Kind::Text, "The table; made where it is not there."),
            Field::optional(
                "mode",
                Kind::Word(&["append", "upsert"]),
                "append",
                "Rows are added, or replace those of the same key.",
            ),
            Field::optional("key", Kind::List(&Kind::Name, 1), "", "The columns of the primary key."),
            Field::optional(
                "batch_rows",
                Kind::Int(1, 100_000),
                "5000",
                "Rows of one database transaction at most.",
            ),
        ]
    };
}

static SQLITE: &[Field] = database_fields!("sqlite:path, relative to the pipeline file.");
static POSTGRES: &[Field] = database_fields!("postgres://user:password@host/database.");
static SQL_DATABASE: &[Field] = database_fields!(
    "sqlite:path or postgres://user:password@host/database; the scheme chooses the connector."
);

static HTTP_SINK: &[Field] = &[
    Field::required("url", Kind::Text, "Where each row is posted."),
    Field::optional("method", Kind::Word(&["POST", "PUT"]), "POST", "The method."),
    Field::optional("headers", Kind::Map(&Kind::Secret), "", "Headers of every request."),
    Field::optional("timeout", DURATION, "10s", "How long an answer may take."),
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
        upserts: false,
        by_scheme: None,
    }
}

/// The list.
pub static CONNECTORS: &[ComponentSchema] = &[
    exactly_once(
        Section::Sources,
        "file",
        "Files of a folder, read by lines, watched if wanted.",
        FILE_SOURCE,
    ),
    exactly_once(
        Section::Sources,
        "http_server",
        "Records posted over HTTP, answered when committed.",
        HTTP_SOURCE,
    ),
    exactly_once(
        Section::Tables,
        "file",
        "A table in a file, read at start and again when it changes.",
        FILE_TABLE,
    ),
    ComponentSchema {
        writers: 16,
        ..exactly_once(Section::Sinks, "object_store", "Parquet files in a folder or a bucket.", OBJECT_STORE)
    },
    ComponentSchema {
        upserts: true,
        by_scheme: Some(ByScheme {
            field: "dsn",
            schemes: &[("sqlite", "sqlite"), ("postgres", "postgres"), ("postgresql", "postgres")],
        }),
        ..exactly_once(
            Section::Sinks,
            "sql_database",
            "A table of whichever database the DSN names.",
            SQL_DATABASE,
        )
    },
    ComponentSchema {
        upserts: true,
        ..exactly_once(Section::Sinks, "sqlite", "A table in a SQLite file.", SQLITE)
    },
    ComponentSchema {
        upserts: true,
        ..exactly_once(Section::Sinks, "postgres", "A table in PostgreSQL.", POSTGRES)
    },
    ComponentSchema {
        delivery: (Delivery::AtLeastOnce, "an HTTP server may have taken a request whose answer was lost"),
        ..exactly_once(Section::Sinks, "http", "Rows posted to a URL, with an idempotency key.", HTTP_SINK)
    },
];

/// The catalog of the connectors that come with Millstream.
pub fn catalog() -> ListCatalog {
    ListCatalog(CONNECTORS.to_vec())
}
