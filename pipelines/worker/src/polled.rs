//! A record among those of one poll, by its place: what a dead letter takes of a row that an operator put aside. Never
//! enters: polling.

use bytes::Bytes;
use millstream_client::ConsumerRecords;

/// A record's key and value among those that were polled.
pub fn find(records: &ConsumerRecords, partition: i32, offset: i64) -> Option<(Option<Bytes>, Bytes)> {
    let part = records.partitions.iter().find(|p| p.partition.partition == partition)?;
    let batch = part.batches.iter().find(|b| (b.first_offset()..b.next_offset()).contains(&offset))?;
    let record = batch.records().flatten().find(|r| r.offset == offset)?;
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    Some((record.key.map(copy), copy(record.value.unwrap_or_default())))
}
