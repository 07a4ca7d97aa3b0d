//! Kafka's record `ShareUpdateValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/share.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ShareUpdateValue`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareUpdateValue {
    /// `SnapshotEpoch`.
    pub snapshot_epoch: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `StartOffset`.
    pub start_offset: i64,
    /// `DeliveryCompleteCount`, tag 0.
    pub delivery_complete_count: i32,
    /// `StateBatches`.
    pub state_batches: Vec<StateBatch>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ShareUpdateValue {
    fn default() -> ShareUpdateValue {
        ShareUpdateValue {
            snapshot_epoch: 0,
            leader_epoch: 0,
            start_offset: 0,
            delivery_complete_count: -1,
            state_batches: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ShareUpdateValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareUpdateValue, DecodeError> {
        crate::error::check_decode_version("ShareUpdateValue", version, 0, 0)?;
        let mut m = ShareUpdateValue::default();
        m.snapshot_epoch = r.i32("snapshot_epoch")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.start_offset = r.i64("start_offset")?;
        m.state_batches = r.array(true, 20, "state_batches", version, StateBatch::decode)?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.delivery_complete_count = r.i32("delivery_complete_count")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareUpdateValue", version, 0, 0)?;
        w.i32(self.snapshot_epoch);
        w.i32(self.leader_epoch);
        w.i64(self.start_offset);
        w.array_len(true, self.state_batches.len(), "state_batches")?;
        for v in &self.state_batches {
            v.encode(w, version)?;
        }
        let mut tags = crate::tagged::TagSet::new();
        if self.delivery_complete_count != -1 {
            tags.add(0, |w| {
                w.i32(self.delivery_complete_count);
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `StateBatch` of [`ShareUpdateValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StateBatch {
    /// `FirstOffset`.
    pub first_offset: i64,
    /// `LastOffset`.
    pub last_offset: i64,
    /// `DeliveryState`.
    pub delivery_state: i8,
    /// `DeliveryCount`.
    pub delivery_count: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StateBatch {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<StateBatch, DecodeError> {
        let mut m = StateBatch::default();
        m.first_offset = r.i64("first_offset")?;
        m.last_offset = r.i64("last_offset")?;
        m.delivery_state = r.i8("delivery_state")?;
        m.delivery_count = r.i16("delivery_count")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i64(self.first_offset);
        w.i64(self.last_offset);
        w.i8(self.delivery_state);
        w.i16(self.delivery_count);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
