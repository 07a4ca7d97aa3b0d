//! Kafka's request `SyncGroupRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `SyncGroupRequest`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SyncGroupRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `GenerationId`.
    pub generation_id: i32,
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, versions 3 to 5, may be null.
    pub group_instance_id: Option<String>,
    /// `ProtocolType`, version 5, may be null, ignorable.
    pub protocol_type: Option<String>,
    /// `ProtocolName`, version 5, may be null, ignorable.
    pub protocol_name: Option<String>,
    /// `Assignments`.
    pub assignments: Vec<SyncGroupRequestAssignment>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SyncGroupRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SyncGroupRequest, DecodeError> {
        crate::error::check_decode_version("SyncGroupRequest", version, 0, 5)?;
        let flexible = version >= 4;
        let mut m = SyncGroupRequest::default();
        m.group_id = r.string(flexible, "group_id")?;
        m.generation_id = r.i32("generation_id")?;
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 3 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        if version == 5 {
            m.protocol_type = r.nullable_string(true, true, "protocol_type")?;
        }
        if version == 5 {
            m.protocol_name = r.nullable_string(true, true, "protocol_name")?;
        }
        m.assignments = r.array(flexible, 3, "assignments", version, SyncGroupRequestAssignment::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SyncGroupRequest", version, 0, 5)?;
        let flexible = version >= 4;
        w.string(flexible, &self.group_id, "group_id")?;
        w.i32(self.generation_id);
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 3 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        } else if self.group_instance_id.is_some() {
            return Err(EncodeError::absent("group_instance_id", version));
        }
        if version == 5 {
            w.nullable_string(true, self.protocol_type.as_deref(), true, "protocol_type")?;
        }
        if version == 5 {
            w.nullable_string(true, self.protocol_name.as_deref(), true, "protocol_name")?;
        }
        w.array_len(flexible, self.assignments.len(), "assignments")?;
        for v in &self.assignments {
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

/// `SyncGroupRequestAssignment` of [`SyncGroupRequest`], versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SyncGroupRequestAssignment {
    /// `MemberId`.
    pub member_id: String,
    /// `Assignment`.
    pub assignment: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SyncGroupRequestAssignment {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SyncGroupRequestAssignment, DecodeError> {
        let flexible = version >= 4;
        let mut m = SyncGroupRequestAssignment::default();
        m.member_id = r.string(flexible, "member_id")?;
        m.assignment = r.bytes(flexible, "assignment")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 4;
        w.string(flexible, &self.member_id, "member_id")?;
        w.bytes(flexible, &self.assignment, "assignment")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
