//! Producer snapshots, `<offset>.snapshot`: Kafka's schema ProducerSnapshot, version 1 (version i16, CRC-32C of all that
//! follows it, then an entry of 46 bytes for each producer). Only the last batch of a producer is in it, as in Kafka, so
//! after a restart the older four are found again only if they lie behind the snapshot. Never enters: when one is
//! written.

use std::collections::VecDeque;

use millstream_batch::crc::crc32c;

use super::{BatchEntry, ProducerEntry, ProducerStates};

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const CRC_END: usize = 6;
const ENTRY_BYTES: usize = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8;

/// The bytes of a snapshot.
pub fn encode(states: &ProducerStates) -> Vec<u8> {
    let producers = states.entries();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + producers.len() * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(0u32.to_be_bytes());
    bytes.extend((producers.len() as i32).to_be_bytes());
    for (id, producer) in producers {
        let last = producer.batches.back();
        bytes.extend(id.to_be_bytes());
        bytes.extend(producer.epoch.to_be_bytes());
        bytes.extend(producer.last_sequence().to_be_bytes());
        bytes.extend(producer.last_offset().to_be_bytes());
        bytes.extend(last.map_or(0, |b| b.offset_delta).to_be_bytes());
        bytes.extend(producer.last_timestamp.to_be_bytes());
        bytes.extend(producer.coordinator_epoch.to_be_bytes());
        bytes.extend(producer.txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let crc = crc32c(&bytes[CRC_END..]);
    bytes[2..CRC_END].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A reader of big-endian fields that cannot pass the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }
    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }
    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }
}

/// The producers of a snapshot, or `None` where it is damaged.
pub fn decode(bytes: &[u8]) -> Option<ProducerStates> {
    let mut fields = Fields(bytes);
    let version = fields.i16()?;
    let crc = u32::from_be_bytes(fields.take()?);
    if version != VERSION || crc32c(bytes.get(CRC_END..)?) != crc {
        return None;
    }
    let count = usize::try_from(fields.i32()?).ok()?;
    if fields.0.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let mut states = ProducerStates::new();
    for _ in 0..count {
        let producer_id = fields.i64()?;
        let epoch = fields.i16()?;
        let last_sequence = fields.i32()?;
        let last_offset = fields.i64()?;
        let offset_delta = fields.i32()?;
        let last_timestamp = fields.i64()?;
        let coordinator_epoch = fields.i32()?;
        let txn_first = fields.i64()?;
        let mut batches = VecDeque::with_capacity(super::BATCHES_KEPT);
        if last_offset >= 0 && last_sequence >= 0 && offset_delta >= 0 {
            batches.push_back(BatchEntry {
                last_sequence,
                last_offset,
                offset_delta,
                timestamp: last_timestamp,
            });
        }
        let txn_first_offset = (txn_first >= 0).then_some(txn_first);
        let txn_started_ms = txn_first_offset.map(|_| last_timestamp);
        let entry = ProducerEntry {
            epoch,
            batches,
            coordinator_epoch,
            last_timestamp,
            txn_first_offset,
            txn_started_ms,
        };
        states.restore(producer_id, entry);
    }
    Some(states)
}
