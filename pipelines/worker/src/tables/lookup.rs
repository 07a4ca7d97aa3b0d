//! What functions look up: rows by key, as the key's text and the row as JSON. Never enters: functions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use millstream_client::Cluster;

use super::PAUSE;
use super::topic::{Changes, Reader, TopicTable};
use crate::error::WorkerError;
use crate::progress::Progress;

/// The shortest time between two changes of what functions look up.
const EVERY: Duration = Duration::from_millis(100);

/// What functions look up of a table that follows a topic.
pub(super) struct LookupRows {
    table: TopicTable,
    lookup: Arc<millstream_wasm::Table>,
    /// By id, the key under which functions find the row.
    keys: HashMap<Bytes, Bytes>,
    /// By that key, the id whose row it is.
    owners: HashMap<Bytes, Bytes>,
    reader: Option<Reader>,
}

impl LookupRows {
    pub(super) fn new(table: TopicTable, lookup: Arc<millstream_wasm::Table>) -> LookupRows {
        LookupRows { table, lookup, keys: HashMap::new(), owners: HashMap::new(), reader: None }
    }

    /// Fills it with what the topic holds now.
    pub(super) async fn begin(
        &mut self,
        cluster: &Arc<Cluster>,
        progress: &Progress,
    ) -> Result<(), WorkerError> {
        let mut reader = self.table.open(cluster).await?;
        self.keys.clear();
        self.owners.clear();
        let mut rows: HashMap<Bytes, Bytes> = HashMap::new();
        reader
            .read_to_end(|changes| {
                self.show(&changes, progress);
                for (key, row) in self.changed(&changes)? {
                    match row {
                        Some(row) => drop(rows.insert(key, row)),
                        None => drop(rows.remove(&key)),
                    }
                }
                Ok(())
            })
            .await?;
        if rows.is_empty() {
            tracing::warn!(table = %self.table.id, topic = %self.table.topic, "the table's topic holds no row");
        }
        self.lookup.replace(rows);
        self.reader = Some(reader);
        Ok(())
    }

    fn show(&self, changes: &Changes, progress: &Progress) {
        progress.table("lookup", &self.table.id, |figures| {
            figures.changes += (changes.ids.len() + changes.gone.len()) as u64;
            figures.bad += changes.bad;
            figures.rows = self.keys.len() as u64;
        });
    }

    /// What changes of what functions see.
    fn changed(&mut self, changes: &Changes) -> Result<Vec<(Bytes, Option<Bytes>)>, WorkerError> {
        let mut changed = Vec::with_capacity(changes.ids.len() + changes.gone.len());
        // What goes first: a row may take the key of another that goes.
        for id in changes.gone.iter().chain(&changes.ids) {
            if let Some(key) = self.keys.remove(id)
                && self.owners.get(&key) == Some(id)
            {
                self.owners.remove(&key);
                changed.push((key, None));
            }
        }
        for (id, (key, row)) in changes.ids.iter().zip(rows(&changes.rows, &self.table.key)?) {
            self.keys.insert(id.clone(), key.clone());
            self.owners.insert(key.clone(), id.clone());
            changed.push((key, Some(row)));
        }
        Ok(changed)
    }

    pub(super) async fn follow(mut self, cluster: &Arc<Cluster>, progress: &Progress) {
        loop {
            let followed = match &mut self.reader {
                Some(reader) => reader.follow().await,
                None => match self.begin(cluster, progress).await {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
            };
            let changed = followed.and_then(|changes| {
                let changed = self.changed(&changes);
                self.show(&changes, progress);
                changed
            });
            match changed {
                Ok(changed) if changed.is_empty() => {}
                Ok(changed) => {
                    let began = Instant::now();
                    self.lookup.update(changed);
                    // Where calls hold the version before, all rows are copied: not more than a tenth of the time.
                    tokio::time::sleep(EVERY.max(began.elapsed() * 10)).await;
                }
                Err(error) => {
                    tracing::warn!(table = %self.table.id, "following the table's topic: {error}; it is read again");
                    self.reader = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The rows that functions see, where one looks them up.
pub(super) fn lookup_rows(
    batch: &RecordBatch,
    keys: &[String],
    looked_up: bool,
) -> Result<Vec<(Bytes, Bytes)>, WorkerError> {
    if looked_up { rows(batch, keys) } else { Ok(Vec::new()) }
}

/// The text of each row's key; the parts of a key of several columns are parted by a zero byte.
pub(super) fn key_texts(batch: &RecordBatch, keys: &[String]) -> Result<Vec<Bytes>, WorkerError> {
    let options = FormatOptions::default();
    let mut columns = Vec::new();
    for key in keys {
        columns
            .push(ArrayFormatter::try_new(batch.column(batch.schema().index_of(key)?).as_ref(), &options)?);
    }
    let text = |row: usize| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("\0");
    Ok((0..batch.num_rows()).map(|row| Bytes::from(text(row))).collect())
}

/// Rows by the text of their key.
fn rows(batch: &RecordBatch, keys: &[String]) -> Result<Vec<(Bytes, Bytes)>, WorkerError> {
    let options = FormatOptions::default();
    let columns: Result<Vec<ArrayFormatter<'_>>, _> =
        batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options)).collect();
    let columns = columns?;
    let schema = batch.schema();
    let mut rows = Vec::with_capacity(batch.num_rows());
    for (row, key) in key_texts(batch, keys)?.into_iter().enumerate() {
        let mut object = serde_json::Map::new();
        for (field, (column, values)) in schema.fields().iter().zip(columns.iter().zip(batch.columns())) {
            if !values.is_null(row) {
                object.insert(field.name().clone(), column.value(row).to_string().into());
            }
        }
        let value = serde_json::Value::Object(object).to_string();
        rows.push((key, Bytes::from(value)));
    }
    Ok(rows)
}
