//! Rows as records of JSON, for a topic that anybody may read: a key by Kafka's partitioner, and for the pipeline's own
//! stages how far rows have come. Never enters: the form of values, which is the engine's.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_client::{HeaderView, RecordRef};
use millstream_engine::encode::JsonRows;
use millstream_types::hash::partition_for_key;

use crate::error::WorkerError;
use crate::levels;
use crate::outbox::Outbox;

/// Appends the rows of a batch. Rows whose key is null have no key, and are in one partition all the same: a stage that
/// groups by the key finds them together. Without a key column, rows of a batch are in one partition, which changes from
/// commit to commit.
pub fn put(
    outbox: &mut Outbox,
    (topic, partitions): (&Arc<str>, u32),
    key: Option<&str>,
    level: Option<i64>,
    now: i64,
    batch: &RecordBatch,
) -> Result<(), WorkerError> {
    let column = key.map(|key| {
        batch.schema().index_of(key).map_err(|_| {
            WorkerError::Setup(format!("rows for topic {topic} have no column {key}, which is its key"))
        })
    });
    let column = column.transpose()?;
    let level = level.map(i64::to_be_bytes);
    let level = level.as_ref().map(|at| HeaderView { key: levels::HEADER.as_bytes(), value: Some(at) });
    let rows = JsonRows::new(batch);
    let spread = (now.unsigned_abs() % u64::from(partitions)) as u32;
    let (mut value, mut text) = (Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        value.clear();
        rows.write(row, &mut value);
        text.clear();
        let has_key = column.is_some_and(|column| rows.write_key(column, row, &mut text));
        let partition = match column {
            Some(_) => partition_for_key(&text, partitions as i32) as u32,
            None => spread,
        };
        let record = RecordRef {
            timestamp: now,
            key: has_key.then_some(text.as_slice()),
            value: Some(&value),
            headers: level.as_slice(),
        };
        outbox.append(topic, partition, &record)?;
    }
    Ok(())
}
