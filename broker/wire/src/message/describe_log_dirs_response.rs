//! Kafka's response `DescribeLogDirsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeLogDirsResponse`, versions 1 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeLogDirsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`, versions 3 to 5, ignorable.
    pub error_code: i16,
    /// `Results`.
    pub results: Vec<DescribeLogDirsResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeLogDirsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeLogDirsResponse, DecodeError> {
        crate::error::check_decode_version("DescribeLogDirsResponse", version, 1, 5)?;
        let flexible = version >= 2;
        let mut m = DescribeLogDirsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if version >= 3 {
            m.error_code = r.i16("error_code")?;
        }
        m.results = r.array(flexible, 5, "results", version, DescribeLogDirsResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeLogDirsResponse", version, 1, 5)?;
        let flexible = version >= 2;
        w.i32(self.throttle_time_ms);
        if version >= 3 {
            w.i16(self.error_code);
        }
        w.array_len(flexible, self.results.len(), "results")?;
        for v in &self.results {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribeLogDirsResult` of [`DescribeLogDirsResponse`], versions 1 to 5.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeLogDirsResult {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `LogDir`.
    pub log_dir: String,
    /// `Topics`.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// `TotalBytes`, versions 4 to 5, ignorable.
    pub total_bytes: i64,
    /// `UsableBytes`, versions 4 to 5, ignorable.
    pub usable_bytes: i64,
    /// `IsCordoned`, version 5, ignorable.
    pub is_cordoned: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeLogDirsResult {
    fn default() -> DescribeLogDirsResult {
        DescribeLogDirsResult {
            error_code: 0,
            log_dir: String::new(),
            topics: Vec::new(),
            total_bytes: -1,
            usable_bytes: -1,
            is_cordoned: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeLogDirsResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeLogDirsResult, DecodeError> {
        let flexible = version >= 2;
        let mut m = DescribeLogDirsResult::default();
        m.error_code = r.i16("error_code")?;
        m.log_dir = r.string(flexible, "log_dir")?;
        m.topics = r.array(flexible, 3, "topics", version, DescribeLogDirsTopic::decode)?;
        if version >= 4 {
            m.total_bytes = r.i64("total_bytes")?;
        }
        if version >= 4 {
            m.usable_bytes = r.i64("usable_bytes")?;
        }
        if version == 5 {
            m.is_cordoned = r.bool("is_cordoned")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.i16(self.error_code);
        w.string(flexible, &self.log_dir, "log_dir")?;
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if version >= 4 {
            w.i64(self.total_bytes);
        }
        if version >= 4 {
            w.i64(self.usable_bytes);
        }
        if version == 5 {
            w.bool(self.is_cordoned);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribeLogDirsTopic` of [`DescribeLogDirsResponse`], versions 1 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeLogDirsTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<DescribeLogDirsPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeLogDirsTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeLogDirsTopic, DecodeError> {
        let flexible = version >= 2;
        let mut m = DescribeLogDirsTopic::default();
        m.name = r.string(flexible, "name")?;
        m.partitions = r.array(flexible, 21, "partitions", version, DescribeLogDirsPartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.string(flexible, &self.name, "name")?;
        w.array_len(flexible, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribeLogDirsPartition` of [`DescribeLogDirsResponse`], versions 1 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeLogDirsPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `PartitionSize`.
    pub partition_size: i64,
    /// `OffsetLag`.
    pub offset_lag: i64,
    /// `IsFutureKey`.
    pub is_future_key: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeLogDirsPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeLogDirsPartition, DecodeError> {
        let flexible = version >= 2;
        let mut m = DescribeLogDirsPartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.partition_size = r.i64("partition_size")?;
        m.offset_lag = r.i64("offset_lag")?;
        m.is_future_key = r.bool("is_future_key")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.i32(self.partition_index);
        w.i64(self.partition_size);
        w.i64(self.offset_lag);
        w.bool(self.is_future_key);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
