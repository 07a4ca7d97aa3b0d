//! Kafka's response `OffsetDeleteResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `OffsetDeleteResponse`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetDeleteResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `Topics`.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

impl OffsetDeleteResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetDeleteResponse, DecodeError> {
        crate::error::check_decode_version("OffsetDeleteResponse", version, 0, 0)?;
        let mut m = OffsetDeleteResponse::default();
        m.error_code = r.i16("error_code")?;
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.topics = r.array(false, 6, "topics", version, OffsetDeleteResponseTopic::decode)?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("OffsetDeleteResponse", version, 0, 0)?;
        w.i16(self.error_code);
        w.i32(self.throttle_time_ms);
        w.array_len(false, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        Ok(())
    }
}

/// `OffsetDeleteResponseTopic` of [`OffsetDeleteResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetDeleteResponseTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

impl OffsetDeleteResponseTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetDeleteResponseTopic, DecodeError> {
        let mut m = OffsetDeleteResponseTopic::default();
        m.name = r.string(false, "name")?;
        m.partitions = r.array(false, 6, "partitions", version, OffsetDeleteResponsePartition::decode)?;
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

/// `OffsetDeleteResponsePartition` of [`OffsetDeleteResponse`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OffsetDeleteResponsePartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
}

impl OffsetDeleteResponsePartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<OffsetDeleteResponsePartition, DecodeError> {
        let mut m = OffsetDeleteResponsePartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.error_code = r.i16("error_code")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.i16(self.error_code);
        Ok(())
    }
}
