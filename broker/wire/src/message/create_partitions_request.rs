//! Kafka's request `CreatePartitionsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `CreatePartitionsRequest`, versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatePartitionsRequest {
    /// `Topics`.
    pub topics: Vec<CreatePartitionsTopic>,
    /// `TimeoutMs`.
    pub timeout_ms: i32,
    /// `ValidateOnly`.
    pub validate_only: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreatePartitionsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatePartitionsRequest, DecodeError> {
        crate::error::check_decode_version("CreatePartitionsRequest", version, 0, 3)?;
        let flexible = version >= 2;
        let mut m = CreatePartitionsRequest::default();
        m.topics = r.array(flexible, 7, "topics", version, CreatePartitionsTopic::decode)?;
        m.timeout_ms = r.i32("timeout_ms")?;
        m.validate_only = r.bool("validate_only")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("CreatePartitionsRequest", version, 0, 3)?;
        let flexible = version >= 2;
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

/// `CreatePartitionsTopic` of [`CreatePartitionsRequest`], versions 0 to 3.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatePartitionsTopic {
    /// `Name`; a topic name.
    pub name: String,
    /// `Count`.
    pub count: i32,
    /// `Assignments`, may be null.
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for CreatePartitionsTopic {
    fn default() -> CreatePartitionsTopic {
        CreatePartitionsTopic {
            name: String::new(),
            count: 0,
            assignments: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl CreatePartitionsTopic {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatePartitionsTopic, DecodeError> {
        let flexible = version >= 2;
        let mut m = CreatePartitionsTopic::default();
        m.name = r.string(flexible, "name")?;
        m.count = r.i32("count")?;
        m.assignments =
            r.nullable_array(flexible, true, 2, "assignments", version, CreatePartitionsAssignment::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.string(flexible, &self.name, "name")?;
        w.i32(self.count);
        w.nullable_array_len(flexible, self.assignments.as_ref().map(Vec::len), true, "assignments")?;
        for v in self.assignments.iter().flatten() {
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

/// `CreatePartitionsAssignment` of [`CreatePartitionsRequest`], versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct CreatePartitionsAssignment {
    /// `BrokerIds`; a broker id.
    pub broker_ids: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl CreatePartitionsAssignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<CreatePartitionsAssignment, DecodeError> {
        let flexible = version >= 2;
        let mut m = CreatePartitionsAssignment::default();
        m.broker_ids = r.array(flexible, 4, "broker_ids", 0, |r, _| r.i32("broker_ids"))?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
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
