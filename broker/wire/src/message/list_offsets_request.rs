//! Kafka's request `ListOffsetsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListOffsetsRequest`, versions 1 to 11.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListOffsetsRequest {
    /// `ReplicaId`; a broker id.
    pub replica_id: i32,
    /// `IsolationLevel`, versions 2 to 11.
    pub isolation_level: i8,
    /// `Topics`.
    pub topics: Vec<ListOffsetsTopic>,
    /// `TimeoutMs`, versions 10 to 11, ignorable.
    pub timeout_ms: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListOffsetsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListOffsetsRequest, DecodeError> {
        crate::error::check_decode_version("ListOffsetsRequest", version, 1, 11)?;
        let flexible = version >= 6;
        let mut m = ListOffsetsRequest::default();
        m.replica_id = r.i32("replica_id")?;
        if version >= 2 {
            m.isolation_level = r.i8("isolation_level")?;
        }
        m.topics = r.array(flexible, 3, "topics", version, ListOffsetsTopic::decode)?;
        if version >= 10 {
            m.timeout_ms = r.i32("timeout_ms")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListOffsetsRequest", version, 1, 11)?;
        let flexible = version >= 6;
        w.i32(self.replica_id);
        if version >= 2 {
            w.i8(self.isolation_level);
        } else if self.isolation_level != 0 {
            return Err(EncodeError::absent("isolation_level", version));
        }
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        if version >= 10 {
            w.i32(self.timeout_ms);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `ListOffsetsTopic` of [`ListOffsetsRequest`], versions 1 to 11.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListOffsetsTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<ListOffsetsPartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListOffsetsTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListOffsetsTopic, DecodeError> {
        let flexible = version >= 6;
        let mut m = ListOffsetsTopic::default();
        m.name = r.string(flexible, "name")?;
        m.partitions = r.array(flexible, 12, "partitions", version, ListOffsetsPartition::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
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

/// `ListOffsetsPartition` of [`ListOffsetsRequest`], versions 1 to 11.
#[derive(Clone, Debug, PartialEq)]
pub struct ListOffsetsPartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `CurrentLeaderEpoch`, versions 4 to 11, ignorable.
    pub current_leader_epoch: i32,
    /// `Timestamp`.
    pub timestamp: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ListOffsetsPartition {
    fn default() -> ListOffsetsPartition {
        ListOffsetsPartition {
            partition_index: 0,
            current_leader_epoch: -1,
            timestamp: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ListOffsetsPartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListOffsetsPartition, DecodeError> {
        let flexible = version >= 6;
        let mut m = ListOffsetsPartition::default();
        m.partition_index = r.i32("partition_index")?;
        if version >= 4 {
            m.current_leader_epoch = r.i32("current_leader_epoch")?;
        }
        m.timestamp = r.i64("timestamp")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
        w.i32(self.partition_index);
        if version >= 4 {
            w.i32(self.current_leader_epoch);
        }
        w.i64(self.timestamp);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
