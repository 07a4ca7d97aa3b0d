//! Kafka's record `ProducerSnapshot`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `ProducerSnapshot`, version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProducerSnapshot {
    /// `Crc`.
    pub crc: u32,
    /// `ProducerEntries`.
    pub producer_entries: Vec<ProducerEntry>,
}

impl ProducerSnapshot {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ProducerSnapshot, DecodeError> {
        crate::error::check_decode_version("ProducerSnapshot", version, 1, 1)?;
        let mut m = ProducerSnapshot::default();
        m.crc = r.u32("crc")?;
        m.producer_entries = r.array(false, 46, "producer_entries", version, ProducerEntry::decode)?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ProducerSnapshot", version, 1, 1)?;
        w.u32(self.crc);
        w.array_len(false, self.producer_entries.len(), "producer_entries")?;
        for v in &self.producer_entries {
            v.encode(w, version)?;
        }
        Ok(())
    }
}

/// `ProducerEntry` of [`ProducerSnapshot`], version 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ProducerEntry {
    /// `ProducerId`.
    pub producer_id: i64,
    /// `Epoch`.
    pub epoch: i16,
    /// `LastSequence`.
    pub last_sequence: i32,
    /// `LastOffset`.
    pub last_offset: i64,
    /// `OffsetDelta`.
    pub offset_delta: i32,
    /// `Timestamp`.
    pub timestamp: i64,
    /// `CoordinatorEpoch`.
    pub coordinator_epoch: i32,
    /// `CurrentTxnFirstOffset`.
    pub current_txn_first_offset: i64,
}

impl ProducerEntry {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ProducerEntry, DecodeError> {
        let mut m = ProducerEntry::default();
        m.producer_id = r.i64("producer_id")?;
        m.epoch = r.i16("epoch")?;
        m.last_sequence = r.i32("last_sequence")?;
        m.last_offset = r.i64("last_offset")?;
        m.offset_delta = r.i32("offset_delta")?;
        m.timestamp = r.i64("timestamp")?;
        m.coordinator_epoch = r.i32("coordinator_epoch")?;
        m.current_txn_first_offset = r.i64("current_txn_first_offset")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i64(self.producer_id);
        w.i16(self.epoch);
        w.i32(self.last_sequence);
        w.i64(self.last_offset);
        w.i32(self.offset_delta);
        w.i64(self.timestamp);
        w.i32(self.coordinator_epoch);
        w.i64(self.current_txn_first_offset);
        Ok(())
    }
}
