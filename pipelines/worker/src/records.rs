//! Rows as records of a topic that anybody may read: a key by Kafka's partitioner, and for the pipeline's own stages how
//! far rows have come; rows of one partition together where the format has records of many. Never enters: the form of values,
//! which is the topic's format.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use millstream_client::{HeaderView, RecordRef};
use millstream_engine::batch_ipc;
use millstream_format::Encoder;
use millstream_format::json::JsonRows;
use millstream_types::hash::partition_for_key;

use crate::error::WorkerError;
use crate::gone;
use crate::levels;
use crate::outbox::{Fits, Outbox, Takes};

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
    /// What the topic takes.
    pub takes: Takes,
    /// The columns that rows are known by, where they take the place of each other.
    pub known_by: Option<&'a [String]>,
}

impl Records<'_> {
    /// What says of a row that is gone which it is, and whether a record's key does.
    fn names(&self, topic: &str, batch: &RecordBatch) -> Result<(JsonRows, bool), WorkerError> {
        let known_by = self.known_by.ok_or_else(|| {
            WorkerError::Fatal(format!(
                "rows for topic {topic} are gone, and what they are known by is not known"
            ))
        })?;
        let is_key = self.key.is_some_and(|key| known_by == [key]);
        gone::check(batch.schema_ref(), known_by)
            .map_err(|why| WorkerError::Setup(format!("rows for topic {topic} that are gone: {why}")))?;
        let places: Result<Vec<usize>, _> =
            known_by.iter().map(|name| batch.schema_ref().index_of(name)).collect();
        Ok((JsonRows::new(&batch.project(&places?)?), is_key))
    }
}

/// A row that cannot be a record of a topic.
pub struct NoRecord {
    /// Its place in its batch.
    pub row: usize,
    /// Why, as one word.
    pub reason: &'static str,
    /// And in full.
    pub why: String,
}

/// The reason of a row that the format has no form for.
pub const UNWRITABLE: &str = "unwritable";
/// Of one without a key, for a topic whose records all have one.
pub const NO_KEY: &str = "no_key";
/// And of one that is larger than a record of the topic may be.
pub const TOO_LARGE: &str = "too_large";

/// What is said of a record that is in no batch.
pub fn too_large(topic: &str, bytes: usize, most: usize) -> String {
    format!(
        "it would be a record of {bytes} bytes, and topic {topic} takes batches of {most}; raise `max.message.bytes` of the topic, which counts compressed bytes (more than 16 MiB uncompressed are read by nobody), or leave such rows out"
    )
}

/// The most rows of a record.
const TOGETHER_ROWS: usize = 8_192;
/// And about how many bytes: a quarter less than a topic takes unless its settings say another.
const TOGETHER_BYTES: usize = 768 << 10;

/// Appends the rows of a batch; those that the format has no form for, or that are too large, are given back. Rows whose key is null have no key, and are in one partition all the same: a stage that groups by the key
/// finds them together. Without a key column, rows of a batch are in one partition, which changes from commit to commit. A row that is gone is a
/// record without a value.
pub fn put(
    outbox: &mut Outbox,
    (topic, partitions): (&Arc<str>, u32),
    how: &Records<'_>,
    (batch, gone): (&RecordBatch, Option<&BooleanArray>),
) -> Result<Vec<NoRecord>, WorkerError> {
    let keys = how.key.map(|key| {
        let column = batch.schema().index_of(key).map_err(|_| {
            WorkerError::Setup(format!("rows for topic {topic} have no column {key}, which is its key"))
        })?;
        Ok::<_, WorkerError>(JsonRows::new(&batch.project(&[column])?))
    });
    let keys = keys.transpose()?;
    let level = how.level.map(i64::to_be_bytes);
    let level = level.as_ref().map(|at| HeaderView { key: levels::HEADER.as_bytes(), value: Some(at) });
    let names = match gone.is_some_and(|gone| gone.true_count() > 0) {
        true => Some(how.names(topic, batch)?),
        false => None,
    };
    let spread = (how.now.unsigned_abs() % u64::from(partitions)) as u32;
    if how.encoder.is_of_many() {
        let now = how.now;
        if names.is_some() {
            return Err(WorkerError::Fatal(format!(
                "rows for topic {topic} are gone, and no record of Arrow says so"
            )));
        }
        if how.takes.keyed {
            return Err(WorkerError::Setup(format!(
                "topic {topic} is compacted, and records of Arrow have no key; give it another format, or `cleanup.policy=delete`"
            )));
        }
        let mut parts = vec![Vec::new(); partitions as usize];
        let mut text = Vec::new();
        for row in 0..batch.num_rows() {
            let partition = match &keys {
                Some(keys) => {
                    text.clear();
                    keys.write_plain(0, row, &mut text);
                    partition_for_key(&text, partitions as i32) as u32
                }
                None => spread,
            };
            parts[partition as usize].push(row as u32);
        }
        let how = Together { bytes_max: how.takes.bytes_max, headers: level.as_slice() };
        return put_together(outbox, topic, &how, batch, &parts, |_| now);
    }
    let rows = how.encoder.rows(batch);
    let mut unwritable = Vec::new();
    let (mut value, mut text, mut name) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        value.clear();
        let is_gone = gone.is_some_and(|gone| gone.value(row));
        let written = match is_gone {
            true => None,
            false => match rows.write(row, &mut value) {
                Ok(written) => written,
                Err(why) => {
                    unwritable.push(NoRecord { row, reason: UNWRITABLE, why });
                    continue;
                }
            },
        };
        text.clear();
        let has_key = keys.as_ref().is_some_and(|keys| keys.write_plain(0, row, &mut text));
        if is_gone && how.takes.keyed && !has_key {
            // Nor was it ever there.
            continue;
        }
        if how.takes.keyed && !has_key {
            let key = how.key.unwrap_or("a key");
            let why = format!(
                "{key} is null, and topic {topic} is compacted: of it the latest record of each key stays, and this has none. Filter such rows out, or give them a value with COALESCE"
            );
            unwritable.push(NoRecord { row, reason: NO_KEY, why });
            continue;
        }
        let partition = match &keys {
            Some(_) => partition_for_key(&text, partitions as i32) as u32,
            None => spread,
        };
        let mut named = Vec::new();
        // Of a null there is no key.
        if let Some((names, _)) = names.as_ref().filter(|(_, is_key)| is_gone && !(*is_key && has_key)) {
            name.clear();
            names.write(row, &mut name);
            named.push(HeaderView { key: gone::ROW.as_bytes(), value: Some(&name) });
            named.extend(level);
        }
        let record = RecordRef {
            timestamp: how.now,
            key: has_key.then_some(text.as_slice()),
            value: written.map(|()| value.as_slice()),
            headers: if named.is_empty() { level.as_slice() } else { &named },
        };
        if let Fits::No { bytes, most } =
            outbox.append_fitting((topic, partition), &record, how.takes.bytes_max)?
        {
            let why = too_large(topic, bytes, most);
            unwritable.push(NoRecord { row, reason: TOO_LARGE, why });
        }
    }
    Ok(unwritable)
}

/// What goes for all records of many rows.
pub struct Together<'a> {
    /// The most bytes that a batch of the topic has.
    pub bytes_max: usize,
    /// Their headers.
    pub headers: &'a [HeaderView<'a>],
}

/// Appends rows of a batch as records of many, without keys: of each partition those whose places are given, and the records' times
/// by their rows. Rows that are too large alone are given back.
pub fn put_together(
    outbox: &mut Outbox,
    topic: &Arc<str>,
    how: &Together<'_>,
    batch: &RecordBatch,
    parts: &[Vec<u32>],
    timestamp: impl Fn(&[u32]) -> i64,
) -> Result<Vec<NoRecord>, WorkerError> {
    let (mut encoded, mut too_large_rows) = (Vec::new(), Vec::new());
    let record_bytes_max = TOGETHER_BYTES.min(how.bytes_max / 4 * 3);
    for (partition, rows) in parts.iter().enumerate() {
        for rows in rows.chunks(TOGETHER_ROWS) {
            let part = take_record_batch(batch, &UInt32Array::from(rows.to_vec()))?;
            let mut left = rows;
            batch_ipc::encode_each(&part, record_bytes_max, &mut encoded, |value, count| {
                let (these, behind) = left.split_at(count);
                left = behind;
                let record = RecordRef {
                    timestamp: timestamp(these),
                    value: Some(value),
                    headers: how.headers,
                    ..RecordRef::default()
                };
                let place = (topic, partition as u32);
                if let Fits::No { bytes, most } = outbox.append_fitting(place, &record, how.bytes_max)? {
                    let why = too_large(topic, bytes, most);
                    let no = |row: &u32| NoRecord { row: *row as usize, reason: TOO_LARGE, why: why.clone() };
                    too_large_rows.extend(these.iter().map(no));
                }
                Ok::<(), WorkerError>(())
            })?;
        }
    }
    Ok(too_large_rows)
}
