//! Kafka's record `ConsumerGroupPartitionMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ConsumerGroupPartitionMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupPartitionMetadataValue {
    /// `Topics`.
    pub topics: Vec<TopicMetadata>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupPartitionMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupPartitionMetadataValue, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupPartitionMetadataValue", version, 0, 0)?;
        let mut m = ConsumerGroupPartitionMetadataValue::default();
        m.topics = r.array(true, 23, "topics", version, TopicMetadata::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupPartitionMetadataValue", version, 0, 0)?;
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicMetadata` of [`ConsumerGroupPartitionMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicMetadata {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `TopicName`.
    pub topic_name: String,
    /// `NumPartitions`.
    pub num_partitions: i32,
    /// `PartitionMetadata`.
    pub partition_metadata: Vec<PartitionMetadata>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicMetadata {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TopicMetadata, DecodeError> {
        let mut m = TopicMetadata::default();
        m.topic_id = r.uuid("topic_id")?;
        m.topic_name = r.string(true, "topic_name")?;
        m.num_partitions = r.i32("num_partitions")?;
        m.partition_metadata = r.array(true, 6, "partition_metadata", version, PartitionMetadata::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.string(true, &self.topic_name, "topic_name")?;
        w.i32(self.num_partitions);
        w.array_len(true, self.partition_metadata.len(), "partition_metadata")?;
        for v in &self.partition_metadata {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `PartitionMetadata` of [`ConsumerGroupPartitionMetadataValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PartitionMetadata {
    /// `Partition`.
    pub partition: i32,
    /// `Racks`.
    pub racks: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl PartitionMetadata {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<PartitionMetadata, DecodeError> {
        let mut m = PartitionMetadata::default();
        m.partition = r.i32("partition")?;
        m.racks = r.array(true, 1, "racks", 0, |r, _| r.string(true, "racks"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition);
        w.array_len(true, self.racks.len(), "racks")?;
        for v in &self.racks {
            w.string(true, v, "racks")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
