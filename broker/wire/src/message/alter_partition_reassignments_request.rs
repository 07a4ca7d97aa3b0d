//! Kafka's request `AlterPartitionReassignmentsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AlterPartitionReassignmentsRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterPartitionReassignmentsRequest {
    /// `TimeoutMs`.
    pub timeout_ms: i32,
    /// `AllowReplicationFactorChange`, version 1.
    pub allow_replication_factor_change: bool,
    /// `Topics`.
    pub topics: Vec<ReassignableTopic>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for AlterPartitionReassignmentsRequest {
    fn default() -> AlterPartitionReassignmentsRequest {
        AlterPartitionReassignmentsRequest {
            timeout_ms: 60000,
            allow_replication_factor_change: true,
            topics: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl AlterPartitionReassignmentsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterPartitionReassignmentsRequest, DecodeError> {
        crate::error::check_decode_version("AlterPartitionReassignmentsRequest", version, 0, 1)?;
        let mut m = AlterPartitionReassignmentsRequest::default();
        m.timeout_ms = r.i32("timeout_ms")?;
        if version == 1 {
            m.allow_replication_factor_change = r.bool("allow_replication_factor_change")?;
        }
        m.topics = r.array(true, 3, "topics", version, ReassignableTopic::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AlterPartitionReassignmentsRequest", version, 0, 1)?;
        w.i32(self.timeout_ms);
        if version == 1 {
            w.bool(self.allow_replication_factor_change);
        } else if !self.allow_replication_factor_change {
            return Err(EncodeError::absent("allow_replication_factor_change", version));
        }
        w.array_len(true, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ReassignableTopic` of [`AlterPartitionReassignmentsRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReassignableTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Partitions`.
    pub partitions: Vec<ReassignablePartition>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ReassignableTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ReassignableTopic, DecodeError> {
        let mut m = ReassignableTopic::default();
        m.name = r.string(true, "name")?;
        m.partitions = r.array(true, 6, "partitions", version, ReassignablePartition::decode)?;
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

/// `ReassignablePartition` of [`AlterPartitionReassignmentsRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ReassignablePartition {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `Replicas`, may be null; a broker id.
    pub replicas: Option<Vec<i32>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ReassignablePartition {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<ReassignablePartition, DecodeError> {
        let mut m = ReassignablePartition::default();
        m.partition_index = r.i32("partition_index")?;
        m.replicas = r.nullable_array(true, true, 4, "replicas", 0, |r, _| r.i32("replicas"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.i32(self.partition_index);
        w.nullable_array_len(true, self.replicas.as_ref().map(Vec::len), true, "replicas")?;
        for v in self.replicas.iter().flatten() {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
