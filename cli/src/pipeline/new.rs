//! `millstream new`: a folder with a pipeline that runs as it is, has tests that hold, and is meant to be changed. Never
//! enters: anything about a pipeline that the pipeline file does not say itself.

use std::path::Path;

use millstream_spec::catalog::standard;
use millstream_spec::{Capabilities, NoReader, Policy, Request};

use super::{failed, usage};
use crate::args::{New, NewFrom, NewTo};
use crate::exit::Failure;

const TEMPLATE: &str = include_str!("new/pipeline.template");

const FROM_FILE: &str = "  shop:                               # each line of each file is an order
    type: file
    path: input/*.jsonl
    watch: false                      # true: wait for more lines and files, instead of ending with what is there
    schema: order
";

const FROM_HTTP: &str = "  shop:                               # answers when the order is committed; asked again, it answers the same
    type: http_server
    listen: 127.0.0.1:8080
    path: /orders
    id_fields: [customer, order_id]   # what names an order where a request has no Idempotency-Key header
    schema: order
";

const TO_PARQUET: &str = "  lake:                               # Parquet files by day
    type: object_store
    inputs: [priced]
    url: out/orders                   # a folder; s3://bucket/prefix is a bucket
    format: { type: parquet, compression: zstd }
    partition_by: [\"day(at)\"]
    roll: { interval: 10s, idle: 2s } # small files soon; for large ones say size: 128MiB, interval: 10m
    writers: 2
";

const TO_SQLITE: &str = "  database:
    type: sqlite                      # postgres takes the same settings, with dsn in place of path
    inputs: [priced]
    path: out/orders.db
    table: orders
    mode: upsert
    key: [customer, order_id]
    writers: 2
";

const ORDERS: &str = r#"{"order_id":"1001","customer":"ada","at":"2026-03-02T10:15:30Z","item":"tea 250 g","quantity":2,"price":3.50}
{"order_id":"1002","customer":"bob","at":"2026-03-02T10:15:41Z","item":"cup","quantity":1,"price":8.00}
{"order_id":"1001","customer":"ada","at":"2026-03-02T10:15:30Z","item":"tea 250 g","quantity":2,"price":3.50}
{"order_id":"1003","customer":"eve","at":"2026-03-02T15:46:02+05:30","item":"pot","quantity":1,"price":24.90}
{"order_id":"1004","customer":"bob","at":"2026-03-02T10:16:20Z","item":"tea 1 kg","quantity":3,"price":11.25}
"#;

const IGNORED: &str = "/.millstream/\n/out/\n";

/// Writes the folder and says what to do next.
pub fn command(options: &New) -> Result<(), Failure> {
    let folder = &options.name;
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = pipeline(name, options);
    refuse_bad_name(name, &text)?;
    let making = |path: &Path, error: std::io::Error| {
        let path = path.display();
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => usage(format!(
                "making {path}: it is there already; choose another name, nothing is overwritten"
            )),
            std::io::ErrorKind::NotFound => {
                usage(format!("making {path}: the folder that it would be in is not there; make that first"))
            }
            _ => failed(format!("making {path}: {error}")),
        }
    };
    std::fs::create_dir(folder).map_err(|error| making(folder, error))?;
    let mut files = vec![("pipeline.yaml", text.as_str()), (".gitignore", IGNORED)];
    if options.from == NewFrom::File {
        let input = folder.join("input");
        std::fs::create_dir(&input).map_err(|error| making(&input, error))?;
        files.push(("input/orders.jsonl", ORDERS));
    }
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| making(&path, error))?;
    }
    let shown = folder.display();
    println!("millstream test {shown}/pipeline.yaml");
    println!("millstream run {shown}/pipeline.yaml");
    Ok(())
}

/// The pipeline's text.
fn pipeline(name: &str, options: &New) -> String {
    let (source, from) = match options.from {
        NewFrom::File => (FROM_FILE, "from files"),
        NewFrom::HttpServer => (FROM_HTTP, "by HTTP"),
    };
    let (sink, target, to) = match options.to {
        NewTo::Parquet => (TO_PARQUET, "lake", "to Parquet files"),
        NewTo::Sqlite => (TO_SQLITE, "database", "to a SQLite table"),
    };
    let how = match options.from {
        NewFrom::File => ", and ends when the files are read",
        NewFrom::HttpServer => {
            "; then send it an order:\n#   curl -d '{\"order_id\":\"1\",\"customer\":\"ada\",\"at\":\"2026-01-01T10:00:00Z\",\"item\":\"tea\",\"quantity\":2,\"price\":3.5}' http://127.0.0.1:8080/orders"
        }
    };
    [
        ("{intent}", format!("{from} {to}")),
        ("{how}", how.to_owned()),
        ("{folder}", options.name.display().to_string()),
        ("{name}", name.to_owned()),
        ("{source}", source.to_owned()),
        ("{sink}", sink.to_owned()),
        ("{target}", target.to_owned()),
    ]
    .into_iter()
    .fold(TEMPLATE.to_owned(), |text, (mark, value)| text.replace(mark, &value))
}

/// A folder's name is its pipeline's, which has rules.
fn refuse_bad_name(name: &str, text: &str) -> Result<(), Failure> {
    let outcome = millstream_spec::load(&Request {
        file: "pipeline.yaml",
        text,
        overrides: &[],
        catalog: &standard::catalog(),
        capabilities: &Capabilities::this_version(),
        reader: &NoReader,
        policy: &Policy::local(),
    });
    match outcome.diagnostics.items().iter().find(|_| outcome.pipeline.is_none()) {
        Some(fault) => Err(usage(format!("naming a pipeline after its folder, {name:?}: {}", fault.message))),
        None => Ok(()),
    }
}
