//! Kafka's request `WriteShareGroupStateRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `WriteShareGroupStateRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WriteShareGroupStateRequest {
    /// `GroupId`.
    pub group_id: String,
    /// `Topics`.
    pub topics: Vec<WriteStateData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WriteShareGroupStateRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WriteShareGroupStateRequest, DecodeError> {
        crate::error::check_decode_version("WriteShareGroupStateRequest", version, 0, 1)?;
        let mut m = WriteShareGroupStateRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.topics = r.array(true, 18, "topics", version, WriteStateData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("WriteShareGroupStateRequest", version, 0, 1)?;
        w.string(true, &self.group_id, "group_id")?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `WriteStateData` of [`WriteShareGroupStateRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WriteStateData {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<PartitionData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WriteStateData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WriteStateData, DecodeError> {
        let mut m = WriteStateData::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 22, "partitions", version, PartitionData::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `PartitionData` of [`WriteShareGroupStateRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionData {
    /// `Partition`.
    pub partition: i32,
    /// `StateEpoch`.
    pub state_epoch: i32,
    /// `LeaderEpoch`.
    pub leader_epoch: i32,
    /// `StartOffset`.
    pub start_offset: i64,
    /// `DeliveryCompleteCount`, version 1, ignorable.
    pub delivery_complete_count: i32,
    /// `StateBatches`.
    pub state_batches: Vec<StateBatch>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for PartitionData {
    fn default() -> PartitionData {
        PartitionData {
            partition: 0,
            state_epoch: 0,
            leader_epoch: 0,
            start_offset: 0,
            delivery_complete_count: -1,
            state_batches: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl PartitionData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<PartitionData, DecodeError> {
        let mut m = PartitionData::default();
        m.partition = r.i32("partition")?;
        m.state_epoch = r.i32("state_epoch")?;
        m.leader_epoch = r.i32("leader_epoch")?;
        m.start_offset = r.i64("start_offset")?;
        if version == 1 {
            m.delivery_complete_count = r.i32("delivery_complete_count")?;
        }
        m.state_batches = r.array(true, 20, "state_batches", version, StateBatch::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition);
        w.i32(self.state_epoch);
        w.i32(self.leader_epoch);
        w.i64(self.start_offset);
        if version == 1 {
            w.i32(self.delivery_complete_count);
        }
        w.array_len(true, self.state_batches.len(), "state_batches")?;
        for v in &self.state_batches {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `StateBatch` of [`WriteShareGroupStateRequest`], versions 0 to 1.
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
