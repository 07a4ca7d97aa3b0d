//! Kafka's request `OffsetDeleteRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `OffsetDeleteRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetDeleteRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `Topics`.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

impl OffsetDeleteRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetDeleteRequest, DecodeError> {
        crate::error::check_decode_version("OffsetDeleteRequest", version, 0, 0)?;
        let mut m = OffsetDeleteRequest::default();
        m.group_id = r.string(false, "group_id")?;
        m.topics = r.array(false, 6, "topics", version, OffsetDeleteRequestTopic::decode)?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("OffsetDeleteRequest", version, 0, 0)?;
        w.string(false, &self.group_id, "group_id")?;
        w.array_len(false, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        Ok(())
    }
}

/// `OffsetDeleteRequestTopic` of [`OffsetDeleteRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetDeleteRequestTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

impl OffsetDeleteRequestTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetDeleteRequestTopic, DecodeError> {
        let mut m = OffsetDeleteRequestTopic::default();
        m.name = r.string(false, "name")?;
        m.partitions = r.array(false, 4, "partitions", version, OffsetDeleteRequestPartition::decode)?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(false, &self.name, "name")?;
        w.array_len(false, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        Ok(())
    }
}

/// `OffsetDeleteRequestPartition` of [`OffsetDeleteRequest`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetDeleteRequestPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
}

impl OffsetDeleteRequestPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<OffsetDeleteRequestPartition, DecodeError> {
        let mut m = OffsetDeleteRequestPartition::default();
        m.partition_index = r.i32("partition_index")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        Ok(())
    }
}
