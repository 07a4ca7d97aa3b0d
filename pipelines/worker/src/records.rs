//! Rows as records of a topic that anybody may read: a key by Kafka's partitioner, and for the pipeline's own stages how
//! far rows have come. Never enters: the form of values, which is the topic's format.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_client::{HeaderView, RecordRef};
use millstream_format::Encoder;
use millstream_format::json::JsonRows;
use millstream_types::hash::partition_for_key;

use crate::error::WorkerError;
use crate::levels;
use crate::outbox::Outbox;

/// How rows become records.
pub struct Records<'a> {
    /// Writes values.
    pub encoder: &'a Encoder,
    /// The column that is the key.
    pub key: Option<&'a str>,
    /// How far rows have come, where it is to be said.
    pub level: Option<i64>,
    /// The time of the records.
    pub now: i64,
}

/// Appends the rows of a batch; those that the format has no form for are given back, by their place in the batch, with
/// the reason. Rows whose key is null have no key, and are in one partition all the same: a stage that groups by the key
/// finds them together. Without a key column, rows of a batch are in one partition, which changes from commit to commit.
pub fn put(
    outbox: &mut Outbox,
    (topic, partitions): (&Arc<str>, u32),
    how: &Records<'_>,
    batch: &RecordBatch,
) -> Result<Vec<(usize, String)>, WorkerError> {
    let keys = how.key.map(|key| {
        let column = batch.schema().index_of(key).map_err(|_| {
            WorkerError::Setup(format!("rows for topic {topic} have no column {key}, which is its key"))
        })?;
        Ok::<_, WorkerError>(JsonRows::new(&batch.project(&[column])?))
    });
    let keys = keys.transpose()?;
    let level = how.level.map(i64::to_be_bytes);
    let level = level.as_ref().map(|at| HeaderView { key: levels::HEADER.as_bytes(), value: Some(at) });
    let rows = how.encoder.rows(batch);
    let spread = (how.now.unsigned_abs() % u64::from(partitions)) as u32;
    let mut unwritable = Vec::new();
    let (mut value, mut text) = (Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        value.clear();
        let written = match rows.write(row, &mut value) {
            Ok(written) => written,
            Err(why) => {
                unwritable.push((row, why));
                continue;
            }
        };
        text.clear();
        let has_key = keys.as_ref().is_some_and(|keys| keys.write_plain(0, row, &mut text));
        let partition = match &keys {
            Some(_) => partition_for_key(&text, partitions as i32) as u32,
            None => spread,
        };
        let record = RecordRef {
            timestamp: how.now,
            key: has_key.then_some(text.as_slice()),
            value: written.map(|()| value.as_slice()),
            headers: level.as_slice(),
        };
        outbox.append(topic, partition, &record)?;
    }
    Ok(unwritable)
}
