//! A record among those of one poll, by its place: what a dead letter takes of a row that an operator put aside. Never
//! enters: polling.

use bytes::Bytes;
use millstream_client::ConsumerRecords;
use millstream_types::TopicPartition;

/// A record's key and value among those that were polled.
pub fn find(
    records: &ConsumerRecords,
    (topic, partition): (&str, i32),
    offset: i64,
) -> Option<(Option<Bytes>, Bytes)> {
    let is_it = |p: &TopicPartition| p.partition == partition && p.topic.as_ref() == topic;
    let part = records.partitions.iter().find(|p| is_it(&p.partition))?;
    let batch = part.batches.iter().find(|b| (b.first_offset()..b.next_offset()).contains(&offset))?;
    let record = batch.records().flatten().find(|r| r.offset == offset)?;
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    Some((record.key.map(copy), copy(record.value.unwrap_or_default())))
}
