//! Kafka's response `TxnOffsetCommitResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `TxnOffsetCommitResponse`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `Topics`.
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TxnOffsetCommitResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TxnOffsetCommitResponse, DecodeError> {
        crate::error::check_decode_version("TxnOffsetCommitResponse", version, 0, 6)?;
        let flexible = version >= 3;
        let mut m = TxnOffsetCommitResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.topics = r.array(flexible, 3, "topics", version, TxnOffsetCommitResponseTopic::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("TxnOffsetCommitResponse", version, 0, 6)?;
        let flexible = version >= 3;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
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

/// `TxnOffsetCommitResponseTopic` of [`TxnOffsetCommitResponse`], versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitResponseTopic {
    /// `Name`, versions 0 to 5, ignorable; a topic name.
    pub name: String,
    /// `TopicId`, version 6, ignorable.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TxnOffsetCommitResponseTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TxnOffsetCommitResponseTopic, DecodeError> {
        let flexible = version >= 3;
        let mut m = TxnOffsetCommitResponseTopic::default();
        if version <= 5 {
            m.name = r.string(flexible, "name")?;
        }
        if version == 6 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.partitions =
            r.array(flexible, 6, "partitions", version, TxnOffsetCommitResponsePartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        if version <= 5 {
            w.string(flexible, &self.name, "name")?;
        }
        if version == 6 {
            w.uuid(self.topic_id);
        }
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

/// `TxnOffsetCommitResponsePartition` of [`TxnOffsetCommitResponse`], versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TxnOffsetCommitResponsePartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TxnOffsetCommitResponsePartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<TxnOffsetCommitResponsePartition, DecodeError> {
        let flexible = version >= 3;
        let mut m = TxnOffsetCommitResponsePartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.error_code = r.i16("error_code")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        w.i32(self.partition_index);
        w.i16(self.error_code);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
