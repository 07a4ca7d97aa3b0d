//! A table that follows a topic: of each key the row of its latest record, read committed; a record without a value takes the row
//! away. Read from the topic's beginning to where it ends, and followed from there. Never enters: what rows are used for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use millstream_client::{Cluster, Consumer, ConsumerRecords, OutOfRange};
use millstream_format::{Decoder, Format};
use millstream_types::TopicPartition;

use super::lookup::key_texts;
use crate::error::WorkerError;
use crate::formats::Fetcher;
use crate::restore::{self, ToEnds};

/// How long a poll waits for changes.
const POLL_WAIT: Duration = Duration::from_millis(500);

/// Where a table's rows are.
#[derive(Clone, Debug)]
pub struct TopicTable {
    /// The table's id.
    pub id: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: u32,
    /// The table's columns.
    pub schema: SchemaRef,
    /// Whether records with other fields are no rows.
    pub frozen: bool,
    /// The columns that tell rows apart, for records that have no key.
    pub key: Vec<String>,
    /// What its records are written in.
    pub format: Format,
    /// What fetches the schemas that its records name, where they do.
    pub fetcher: Option<Arc<Fetcher>>,
}

/// What became of rows, by what tells them apart. An id is here once.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Rows that are new, or take the place of others.
    pub rows: RecordBatch,
    /// Their ids.
    pub ids: Vec<Bytes>,
    /// The ids of rows that are gone.
    pub gone: Vec<Bytes>,
    /// Records that are no rows; the rows that they would have replaced stay.
    pub bad: u64,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.gone.is_empty() && self.bad == 0
    }
}

/// Reads a table's topic.
pub struct Reader {
    table: TopicTable,
    cluster: Arc<Cluster>,
    consumer: Consumer,
    decoder: Decoder,
}

impl TopicTable {
    /// A reader at the topic's beginning.
    pub async fn open(&self, cluster: &Arc<Cluster>) -> Result<Reader, WorkerError> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let decoder = Decoder::new(&self.format, &self.schema, &all).and_then(|all| all.freeze(self.frozen));
        let decoder = decoder.map_err(|error| WorkerError::Setup(format!("table {}: {error}", self.id)))?;
        // A topic that was made anew, or lost what is not read yet, is read from its beginning, by another reader.
        let mut consumer = restore::consumer(cluster, OutOfRange::Fail)?;
        consumer.assign(self.all_partitions()).await?;
        Ok(Reader { table: self.clone(), cluster: Arc::clone(cluster), consumer, decoder })
    }

    fn all_partitions(&self) -> Vec<TopicPartition> {
        (0..self.partitions).map(|p| TopicPartition::new(Arc::clone(&self.topic), p as i32)).collect()
    }
}

impl Reader {
    /// Reads on to where the topic ends now.
    pub async fn read_to_end(
        &mut self,
        mut take: impl FnMut(Changes) -> Result<(), WorkerError>,
    ) -> Result<(), WorkerError> {
        let ends = restore::stable_ends(&self.cluster, &self.table.all_partitions()).await?;
        let Reader { table, consumer, decoder, .. } = self;
        let mut reading = ToEnds::new(&ends);
        while let Some(records) = reading.next(consumer).await? {
            fetch(table, &records).await?;
            take(changes(table, decoder, &records)?)?;
        }
        Ok(())
    }

    /// What changed since; nothing where nothing did for a while.
    pub async fn follow(&mut self) -> Result<Changes, WorkerError> {
        let records = self.consumer.poll(POLL_WAIT).await?;
        fetch(&self.table, &records).await?;
        changes(&self.table, &mut self.decoder, &records)
    }
}

/// Fetches the schemas that records name.
async fn fetch(table: &TopicTable, records: &ConsumerRecords) -> Result<(), WorkerError> {
    let Some(fetcher) = &table.fetcher else { return Ok(()) };
    let records = records.partitions.iter().flat_map(|part| part.records());
    fetcher.fetch(records.filter_map(|record| record.ok()?.value)).await
}

fn changes(
    table: &TopicTable,
    decoder: &mut Decoder,
    records: &ConsumerRecords,
) -> Result<Changes, WorkerError> {
    // Of each record its key, and its row where it has one.
    let mut found: Vec<(Option<Bytes>, Option<u32>)> = Vec::new();
    let mut bad = 0;
    let mut refuse = |partition: &TopicPartition, offset: i64, why: String| {
        bad += 1;
        tracing::warn!(table = %table.id, %partition, offset, "a record is no row of the table, which stays as it was: {why}");
    };
    for part in &records.partitions {
        for record in part.records() {
            let record = record?;
            let key = record.key.map(Bytes::copy_from_slice);
            match record.value {
                None if key.is_none() => {
                    refuse(&part.partition, record.offset, "it has neither key nor value".to_owned());
                }
                None => found.push((key, None)),
                Some(value) => match decoder.push(value) {
                    Ok(()) => found.push((key, Some(decoder.rows() as u32 - 1))),
                    Err(error) => refuse(&part.partition, record.offset, error.to_string()),
                },
            }
        }
    }
    let rows = decoder.finish();
    let mut texts = None;
    // In the order of their last records.
    let mut last: HashMap<Bytes, usize> = HashMap::new();
    let mut order: Vec<(Bytes, Option<u32>)> = Vec::new();
    for (key, row) in found {
        let id = match (key, row) {
            (Some(key), _) => key,
            (None, Some(row)) => {
                if texts.is_none() {
                    texts = Some(key_texts(&rows, &table.key)?);
                }
                texts.as_ref().map(|texts| texts[row as usize].clone()).unwrap_or_default()
            }
            (None, None) => continue,
        };
        last.insert(id.clone(), order.len());
        order.push((id, row));
    }
    let (mut ids, mut places, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (id, row)) in order.into_iter().enumerate() {
        if last[&id] != at {
            continue;
        }
        match row {
            Some(row) => {
                ids.push(id);
                places.push(row);
            }
            None => gone.push(id),
        }
    }
    let rows = take_record_batch(&rows, &UInt32Array::from(places))?;
    Ok(Changes { rows, ids, gone, bad })
}
