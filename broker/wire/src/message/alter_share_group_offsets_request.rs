//! Kafka's request `AlterShareGroupOffsetsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AlterShareGroupOffsetsRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterShareGroupOffsetsRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `Topics`.
    pub topics: Vec<AlterShareGroupOffsetsRequestTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterShareGroupOffsetsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterShareGroupOffsetsRequest, DecodeError> {
        crate::error::check_decode_version("AlterShareGroupOffsetsRequest", version, 0, 0)?;
        let mut m = AlterShareGroupOffsetsRequest::default();
        m.group_id = r.string(true, "group_id")?;
        m.topics = r.array(true, 3, "topics", version, AlterShareGroupOffsetsRequestTopic::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AlterShareGroupOffsetsRequest", version, 0, 0)?;
        w.string(true, &self.group_id, "group_id")?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `AlterShareGroupOffsetsRequestTopic` of [`AlterShareGroupOffsetsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterShareGroupOffsetsRequestTopic {
    /// `TopicName`; a topic name.
    pub topic_name: String,
    /// `Partitions`.
    pub partitions: Vec<AlterShareGroupOffsetsRequestPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterShareGroupOffsetsRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterShareGroupOffsetsRequestTopic, DecodeError> {
        let mut m = AlterShareGroupOffsetsRequestTopic::default();
        m.topic_name = r.string(true, "topic_name")?;
        m.partitions =
            r.array(true, 13, "partitions", version, AlterShareGroupOffsetsRequestPartition::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.topic_name, "topic_name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `AlterShareGroupOffsetsRequestPartition` of [`AlterShareGroupOffsetsRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterShareGroupOffsetsRequestPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `StartOffset`.
    pub start_offset: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterShareGroupOffsetsRequestPartition {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        _version: i16,
    ) -> Result<AlterShareGroupOffsetsRequestPartition, DecodeError> {
        let mut m = AlterShareGroupOffsetsRequestPartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.start_offset = r.i64("start_offset")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i64(self.start_offset);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
