//! Kafka's request `CreateTopicsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `CreateTopicsRequest`, versions 2 to 7.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopicsRequest {
    /// `Topics`.
    pub topics: Vec<CreatableTopic>,
    /// `timeoutMs`.
    pub timeout_ms: i32,
    /// `validateOnly`.
    pub validate_only: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for CreateTopicsRequest {
    fn default() -> CreateTopicsRequest {
        CreateTopicsRequest {
            topics: Vec::new(),
            timeout_ms: 60000,
            validate_only: false,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl CreateTopicsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreateTopicsRequest, DecodeError> {
        crate::error::check_decode_version("CreateTopicsRequest", version, 2, 7)?;
        let flexible = version >= 5;
        let mut m = CreateTopicsRequest::default();
        m.topics = r.array(flexible, 10, "topics", version, CreatableTopic::decode)?;
        m.timeout_ms = r.i32("timeout_ms")?;
        m.validate_only = r.bool("validate_only")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("CreateTopicsRequest", version, 2, 7)?;
        let flexible = version >= 5;
        w.array_len(flexible, self.topics.len(), "topics")?;
        for v in &self.topics {
            v.encode(w, version)?;
        }
        w.i32(self.timeout_ms);
        w.bool(self.validate_only);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `CreatableTopic` of [`CreateTopicsRequest`], versions 2 to 7.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatableTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `NumPartitions`.
    pub num_partitions: i32,
    /// `ReplicationFactor`.
    pub replication_factor: i16,
    /// `Assignments`.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// `Configs`.
    pub configs: Vec<CreatableTopicConfig>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreatableTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatableTopic, DecodeError> {
        let flexible = version >= 5;
        let mut m = CreatableTopic::default();
        m.name = r.string(flexible, "name")?;
        m.num_partitions = r.i32("num_partitions")?;
        m.replication_factor = r.i16("replication_factor")?;
        m.assignments = r.array(flexible, 6, "assignments", version, CreatableReplicaAssignment::decode)?;
        m.configs = r.array(flexible, 3, "configs", version, CreatableTopicConfig::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 5;
        w.string(flexible, &self.name, "name")?;
        w.i32(self.num_partitions);
        w.i16(self.replication_factor);
        w.array_len(flexible, self.assignments.len(), "assignments")?;
        for v in &self.assignments {
            v.encode(w, version)?;
        }
        w.array_len(flexible, self.configs.len(), "configs")?;
        for v in &self.configs {
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

/// `CreatableReplicaAssignment` of [`CreateTopicsRequest`], versions 2 to 7.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatableReplicaAssignment {
    /// `PartitionIndex`.
    pub partition_index: i32,
    /// `BrokerIds`; a broker id.
    pub broker_ids: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreatableReplicaAssignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatableReplicaAssignment, DecodeError> {
        let flexible = version >= 5;
        let mut m = CreatableReplicaAssignment::default();
        m.partition_index = r.i32("partition_index")?;
        m.broker_ids = r.array(flexible, 4, "broker_ids", 0, |r, _| r.i32("broker_ids"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 5;
        w.i32(self.partition_index);
        w.array_len(flexible, self.broker_ids.len(), "broker_ids")?;
        for v in &self.broker_ids {
            w.i32(*v);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `CreatableTopicConfig` of [`CreateTopicsRequest`], versions 2 to 7.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatableTopicConfig {
    /// `Name`.
    pub name: String,
    /// `Value`, may be null.
    pub value: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for CreatableTopicConfig {
    fn default() -> CreatableTopicConfig {
        CreatableTopicConfig {
            name: String::new(),
            value: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl CreatableTopicConfig {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatableTopicConfig, DecodeError> {
        let flexible = version >= 5;
        let mut m = CreatableTopicConfig::default();
        m.name = r.string(flexible, "name")?;
        m.value = r.nullable_string(flexible, true, "value")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 5;
        w.string(flexible, &self.name, "name")?;
        w.nullable_string(flexible, self.value.as_deref(), true, "value")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
