//! A CSV file as a table: read whole, its columns typed as declared or inferred, its key checked. Never enters: the join.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_csv::ReaderBuilder;
use arrow_schema::{Field, Schema, SchemaRef};
use millstream_connector::{Context, SourceError, Table, TableSnapshot, async_trait};

use crate::config::FileTableConfig;
use crate::error::source_error;
use crate::fingerprint;
use crate::infer::Column;

/// A CSV file with a header line.
pub struct FileTable {
    config: FileTableConfig,
    path: PathBuf,
    declared: Option<SchemaRef>,
    /// Length and time of modification at the last load.
    seen: Option<(u64, std::time::SystemTime)>,
}

impl FileTable {
    /// A table over a file, from `root`, the pipeline's folder. The columns of `declared` have the types that it says;
    /// others are inferred.
    pub fn new(
        config: FileTableConfig,
        root: PathBuf,
        declared: Option<SchemaRef>,
        _context: Context,
    ) -> Result<FileTable, SourceError> {
        if !config.delimiter.is_ascii() {
            return Err(SourceError::Setup(format!(
                "`delimiter: {}` is not an ASCII character",
                config.delimiter
            )));
        }
        let path = root.join(&config.path);
        Ok(FileTable { config, path, declared, seen: None })
    }

    fn stamp(&self) -> std::io::Result<(u64, std::time::SystemTime)> {
        let meta = std::fs::metadata(&self.path)?;
        Ok((meta.len(), meta.modified()?))
    }

    fn fault(&self, line: u64, what: impl std::fmt::Display) -> SourceError {
        SourceError::Setup(format!("reading the table {}, line {line}: {what}", self.config.path))
    }

    fn read(&self) -> Result<Vec<u8>, SourceError> {
        let doing = |error: &std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                SourceError::Setup(format!("reading the table {}: there is no such file", self.config.path))
            }
            _ => source_error("reading the table", &self.path, error),
        };
        let file = std::fs::File::open(&self.path).map_err(|error| doing(&error))?;
        let max = self.config.max_size.0;
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes).map_err(|error| doing(&error))?;
        if bytes.len() as u64 > max {
            return Err(
                self.fault(0, format_args!("it has more than {}; raise `max_size`", self.config.max_size))
            );
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        Ok(bytes)
    }

    /// One pass over the text: the header, the inferred types, and the key's uniqueness.
    fn inspect(&self, bytes: &[u8]) -> Result<Schema, SourceError> {
        let mut reader =
            csv::ReaderBuilder::new().delimiter(self.config.delimiter.as_bytes()[0]).from_reader(bytes);
        let header = reader.headers().map_err(|error| self.fault(1, error))?.clone();
        let mut places = BTreeMap::new();
        for (index, name) in header.iter().enumerate() {
            if name.is_empty() || places.insert(name, index).is_some() {
                return Err(self.fault(
                    1,
                    format_args!("the header's column {} (\"{name}\") has no name of its own", index + 1),
                ));
            }
        }
        let declared =
            |name: &str| self.declared.as_ref().and_then(|schema| schema.field_with_name(name).ok());
        let missing = self
            .declared
            .iter()
            .flat_map(|schema| schema.fields())
            .find(|field| !places.contains_key(field.name().as_str()));
        if let Some(field) = missing {
            return Err(self
                .fault(1, format_args!("the header has no column \"{}\", which is declared", field.name())));
        }
        let mut key = Vec::with_capacity(self.config.key.len());
        for name in &self.config.key {
            let index = places.get(name.as_str());
            key.push(*index.ok_or_else(|| {
                self.fault(1, format_args!("the header has no column \"{name}\", which `key` names"))
            })?);
        }
        let mut columns = vec![Column::default(); header.len()];
        let mut keys: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut record = csv::StringRecord::new();
        loop {
            let more = reader
                .read_record(&mut record)
                .map_err(|error| self.fault(error.position().map_or(0, csv::Position::line), &error))?;
            if !more {
                break;
            }
            for (column, value) in columns.iter_mut().zip(&record) {
                column.see(value);
            }
            let line = record.position().map_or(0, csv::Position::line);
            if !key.is_empty() {
                // A separator that no UTF-8 has, so that ("a", "b") is not ("ab", "").
                let joined = key.iter().flat_map(|index| record[*index].bytes().chain([0xff])).collect();
                if let Some(before) = keys.insert(joined, line) {
                    return Err(self.fault(line, format_args!("the key is that of line {before} already")));
                }
            }
        }
        let fields: Vec<Field> = header
            .iter()
            .zip(&columns)
            .map(|(name, column)| match declared(name) {
                Some(field) => field.clone(),
                // What is there now says nothing of what the file holds later.
                None => {
                    let is_key = self.config.key.iter().any(|key| key == name);
                    Field::new(name, column.data_type(), !is_key || column.has_nulls())
                }
            })
            .collect();
        Ok(Schema::new(fields))
    }
}

#[async_trait]
impl Table for FileTable {
    async fn load(&mut self) -> Result<TableSnapshot, SourceError> {
        // Before the read: a change meanwhile is seen as one afterwards.
        let stamp = self.stamp().ok();
        let bytes = self.read()?;
        let schema = Arc::new(self.inspect(&bytes)?);
        let version = format!("{:032x}", fingerprint::hash(&bytes));
        let reader = ReaderBuilder::new(Arc::clone(&schema))
            .with_header(true)
            .with_delimiter(self.config.delimiter.as_bytes()[0])
            .with_batch_size(8_192)
            .build(Cursor::new(bytes))
            .map_err(|error| self.fault(1, error))?;
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| self.fault(0, error))?;
        self.seen = stamp;
        Ok(TableSnapshot { schema, batches, version })
    }

    async fn changed(&mut self) -> Result<(), SourceError> {
        loop {
            if self.stamp().ok() != self.seen {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(self.config.poll_interval.0)).await;
        }
    }
}
