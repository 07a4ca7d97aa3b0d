//! Kafka's response `JoinGroupResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `JoinGroupResponse`, versions 0 to 9.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinGroupResponse {
    /// `ThrottleTimeMs`, versions 2 to 9, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `GenerationId`.
    pub generation_id: i32,
    /// `ProtocolType`, versions 7 to 9, may be null, ignorable.
    pub protocol_type: Option<String>,
    /// `ProtocolName`, may be null in versions 7 to 9.
    pub protocol_name: Option<String>,
    /// `Leader`.
    pub leader: String,
    /// `SkipAssignment`, version 9.
    pub skip_assignment: bool,
    /// `MemberId`.
    pub member_id: String,
    /// `Members`.
    pub members: Vec<JoinGroupResponseMember>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for JoinGroupResponse {
    fn default() -> JoinGroupResponse {
        JoinGroupResponse {
            throttle_time_ms: 0,
            error_code: 0,
            generation_id: -1,
            protocol_type: None,
            protocol_name: Some(String::new()),
            leader: String::new(),
            skip_assignment: false,
            member_id: String::new(),
            members: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl JoinGroupResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<JoinGroupResponse, DecodeError> {
        crate::error::check_decode_version("JoinGroupResponse", version, 0, 9)?;
        let flexible = version >= 6;
        let mut m = JoinGroupResponse::default();
        if version >= 2 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        m.error_code = r.i16("error_code")?;
        m.generation_id = r.i32("generation_id")?;
        if version >= 7 {
            m.protocol_type = r.nullable_string(true, true, "protocol_type")?;
        }
        m.protocol_name = r.nullable_string(flexible, version >= 7, "protocol_name")?;
        m.leader = r.string(flexible, "leader")?;
        if version == 9 {
            m.skip_assignment = r.bool("skip_assignment")?;
        }
        m.member_id = r.string(flexible, "member_id")?;
        m.members = r.array(flexible, 4, "members", version, JoinGroupResponseMember::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("JoinGroupResponse", version, 0, 9)?;
        let flexible = version >= 6;
        if version >= 2 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        w.i32(self.generation_id);
        if version >= 7 {
            w.nullable_string(true, self.protocol_type.as_deref(), true, "protocol_type")?;
        }
        w.nullable_string(flexible, self.protocol_name.as_deref(), version >= 7, "protocol_name")?;
        w.string(flexible, &self.leader, "leader")?;
        if version == 9 {
            w.bool(self.skip_assignment);
        } else if self.skip_assignment {
            return Err(EncodeError::absent("skip_assignment", version));
        }
        w.string(flexible, &self.member_id, "member_id")?;
        w.array_len(flexible, self.members.len(), "members")?;
        for v in &self.members {
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

/// `JoinGroupResponseMember` of [`JoinGroupResponse`], versions 0 to 9.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct JoinGroupResponseMember {
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, versions 5 to 9, may be null, ignorable.
    pub group_instance_id: Option<String>,
    /// `Metadata`.
    pub metadata: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl JoinGroupResponseMember {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<JoinGroupResponseMember, DecodeError> {
        let flexible = version >= 6;
        let mut m = JoinGroupResponseMember::default();
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 5 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        m.metadata = r.bytes(flexible, "metadata")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 5 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        }
        w.bytes(flexible, &self.metadata, "metadata")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
