//! What a source, a table and a sink become on the bench. Never enters: the pipeline's real targets; whatever a
//! component's settings say of hosts, folders and keys is replaced before a connector sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_connector::{ByteSize, Context, Period, Sink, SinkError, Source, SourceError, Table};
use millstream_file::{FileTable, FileTableConfig};
use millstream_http::HttpSinkConfig;
use millstream_object_store::{ObjectStoreSink, ObjectStoreSinkConfig};
use millstream_postgres::PostgresSinkConfig;
use millstream_postgres::config::Mode as PostgresMode;
use millstream_spec::ast::{self, Schema};
use millstream_spec::value::Value;
use millstream_spec::{Diagnostic, Spanned};
use millstream_sqlite::config::{Decimals, Mode, Synchronous};
use millstream_sqlite::{SqliteSink, SqliteSinkConfig};

use super::Bench;
use super::requests::RequestsSink;
use super::rows_source::RowsSource;
use crate::schema::arrow_schema;

/// Why a sink has no stand-in.
pub enum NoStandIn {
    /// Its settings are refused.
    Refused(Box<Diagnostic>),
    /// Its settings contradict each other.
    Setup(SinkError),
    /// There is none for its connector.
    Unknown,
}

impl Bench {
    /// The rows of a source.
    pub(crate) fn source(&self, id: &str) -> Box<dyn Source> {
        let rows = self.sources.get(id).cloned().unwrap_or_default();
        Box::new(RowsSource { id: id.into(), rows })
    }

    pub(super) fn table_file(&self, id: &str) -> PathBuf {
        self.folder.join("tables").join(format!("{id}.csv"))
    }

    /// Whether a case gives rows of a table.
    pub(crate) fn gives(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    /// The table that a case gives; nothing where it gives none.
    pub(crate) fn table(
        &self,
        table: &ast::Table,
        schema: Option<&Schema>,
        context: Context,
    ) -> Option<Result<Box<dyn Table>, SourceError>> {
        let id = &table.id.value;
        self.tables.contains(id).then(|| {
            let config = FileTableConfig {
                path: self.table_file(id).display().to_string(),
                key: table.key.iter().map(|key| key.value.clone()).collect(),
                delimiter: ",".to_owned(),
                max_size: ByteSize(256 << 20),
                poll_interval: Period(5_000),
            };
            let made = FileTable::new(config, self.folder.clone(), schema.map(arrow_schema), context)?;
            Ok(Box::new(made) as Box<dyn Table>)
        })
    }

    /// A sink that writes what the real one would, into the bench's folder.
    pub(crate) fn sink(&self, sink: &ast::Sink, context: Context) -> Result<Box<dyn Sink>, NoStandIn> {
        let refused = NoStandIn::Refused;
        match sink.connector.as_str() {
            "object_store" => {
                let mut config: ObjectStoreSinkConfig = sink.config.decode().map_err(refused)?;
                config.url = self.sink_folder(&sink.id).display().to_string();
                let made = ObjectStoreSink::new(config, &self.folder, context).map_err(NoStandIn::Setup)?;
                Ok(Box::new(made))
            }
            "sqlite" | "postgres" => {
                let config = self.rows_config(sink).map_err(refused)?;
                Ok(Box::new(SqliteSink::new(config, context).map_err(NoStandIn::Setup)?))
            }
            "http" => {
                let _: HttpSinkConfig = sink.config.decode().map_err(refused)?;
                Ok(Box::new(RequestsSink::new(self.sink_requests(&sink.id), context)))
            }
            _ => Err(NoStandIn::Unknown),
        }
    }

    /// The settings of a database file in place of a sink's own database.
    pub(super) fn rows_config(&self, sink: &ast::Sink) -> Result<SqliteSinkConfig, Box<Diagnostic>> {
        let path = self.sink_database(&sink.id).display().to_string();
        if sink.connector == "sqlite" {
            let config: SqliteSinkConfig = sink.config.decode()?;
            return Ok(SqliteSinkConfig { path, create: true, ..config });
        }
        let config: PostgresSinkConfig = sink.config.decode()?;
        Ok(SqliteSinkConfig {
            path,
            table: config.table,
            mode: match config.mode {
                PostgresMode::Upsert => Mode::Upsert,
                PostgresMode::Insert => Mode::Insert,
            },
            key: config.key,
            create: true,
            decimals: Decimals::Text,
            commit_interval: config.commit_interval,
            max_staged: config.max_staged,
            busy_timeout: Period(5_000),
            synchronous: Synchronous::Full,
        })
    }
}

/// A case's rows as the file of a table: the declared columns first, then the key's, then others as they come.
pub fn table_text(table: &ast::Table, schema: Option<&Schema>, rows: &[Spanned<Value>]) -> String {
    let mut columns: Vec<&str> = Vec::new();
    let declared = schema.into_iter().flat_map(|s| &s.fields).map(|field| field.name.value.as_str());
    let key = table.key.iter().map(|key| key.value.as_str());
    let named = rows.iter().flat_map(|row| entries(&row.value)).map(|(name, _)| name.as_str());
    for name in declared.chain(key).chain(named) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    let mut text = line(columns.iter().map(|name| quoted(name)).collect());
    for row in rows {
        let cells: BTreeMap<&str, &Value> =
            entries(&row.value).iter().map(|(name, value)| (name.as_str(), value)).collect();
        text +=
            &line(columns.iter().map(|name| cells.get(name).map_or(String::new(), |v| cell(v))).collect());
    }
    text
}

fn entries(row: &Value) -> &[(String, Value)] {
    match row {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text) => text.clone(),
        Value::Text(text) => quoted(text),
        // Refused before a case runs.
        Value::List(_) | Value::Map(_) => quoted(&value.to_json()),
    }
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}
