//! Reads a table of a database file whole: what a test of a pipeline holds its expectations against. The file is opened
//! for reading only. Never enters: large tables, writing.

use std::path::Path;

use millstream_connector::SinkError;
pub use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::sink_error;
use crate::statements::quoted;

/// A row: its columns in the table's order.
pub type Row = Vec<(String, SqlValue)>;

/// Every row of a table; none where the file or the table is not there: nothing was written.
pub fn read_table(path: &Path, table: &str) -> Result<Vec<Row>, SinkError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let doing = || format!("reading the table {table} of {}", path.display());
    read(path, table).map_err(|error| sink_error(&doing(), &error))
}

fn read(path: &Path, table: &str) -> rusqlite::Result<Vec<Row>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let there: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", [table], |row| {
            row.get(0)
        })
        .optional()?;
    if there.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(&format!("SELECT * FROM {}", quoted(table)))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| {
        names.iter().enumerate().map(|(at, name)| Ok((name.clone(), row.get(at)?))).collect()
    })?;
    rows.collect()
}
