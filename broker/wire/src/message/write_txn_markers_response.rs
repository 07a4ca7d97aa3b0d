//! Kafka's response `WriteTxnMarkersResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `WriteTxnMarkersResponse`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WriteTxnMarkersResponse {
    /// `Markers`.
    pub markers: Vec<WritableTxnMarkerResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WriteTxnMarkersResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WriteTxnMarkersResponse, DecodeError> {
        crate::error::check_decode_version("WriteTxnMarkersResponse", version, 1, 2)?;
        let mut m = WriteTxnMarkersResponse::default();
        m.markers = r.array(true, 10, "markers", version, WritableTxnMarkerResult::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("WriteTxnMarkersResponse", version, 1, 2)?;
        w.array_len(true, self.markers.len(), "markers")?;
        for v in &self.markers {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `WritableTxnMarkerResult` of [`WriteTxnMarkersResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WritableTxnMarkerResult {
    /// `ProducerId`; a producer id.
    pub producer_id: i64,
    /// `Topics`.
    pub topics: Vec<WritableTxnMarkerTopicResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WritableTxnMarkerResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WritableTxnMarkerResult, DecodeError> {
        let mut m = WritableTxnMarkerResult::default();
        m.producer_id = r.i64("producer_id")?;
        m.topics = r.array(true, 3, "topics", version, WritableTxnMarkerTopicResult::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i64(self.producer_id);
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `WritableTxnMarkerTopicResult` of [`WriteTxnMarkersResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WritableTxnMarkerTopicResult {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<WritableTxnMarkerPartitionResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WritableTxnMarkerTopicResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<WritableTxnMarkerTopicResult, DecodeError> {
        let mut m = WritableTxnMarkerTopicResult::default();
        m.name = r.string(true, "name")?;
        m.partitions = r.array(true, 7, "partitions", version, WritableTxnMarkerPartitionResult::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.name, "name")?;
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `WritableTxnMarkerPartitionResult` of [`WriteTxnMarkersResponse`], versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WritableTxnMarkerPartitionResult {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl WritableTxnMarkerPartitionResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<WritableTxnMarkerPartitionResult, DecodeError> {
        let mut m = WritableTxnMarkerPartitionResult::default();
        m.partition_index = r.i32("partition_index")?;
        m.error_code = r.i16("error_code")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
