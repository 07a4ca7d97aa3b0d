//! Kafka's response `LeaveGroupResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `LeaveGroupResponse`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaveGroupResponse {
    /// `ThrottleTimeMs`, versions 1 to 5, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Members`, versions 3 to 5.
    pub members: Vec<MemberResponse>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LeaveGroupResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<LeaveGroupResponse, DecodeError> {
        crate::error::check_decode_version("LeaveGroupResponse", version, 0, 5)?;
        let flexible = version >= 4;
        let mut m = LeaveGroupResponse::default();
        if version >= 1 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        m.error_code = r.i16("error_code")?;
        if version >= 3 {
            m.members = r.array(flexible, 5, "members", version, MemberResponse::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("LeaveGroupResponse", version, 0, 5)?;
        let flexible = version >= 4;
        if version >= 1 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        if version >= 3 {
            w.array_len(flexible, self.members.len(), "members")?;
            for v in &self.members {
                v.encode(w, version)?;
            }
        } else if !self.members.is_empty() {
            return Err(EncodeError::absent("members", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `MemberResponse` of [`LeaveGroupResponse`], versions 3 to 5.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberResponse {
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, may be null.
    pub group_instance_id: Option<String>,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MemberResponse {
    fn default() -> MemberResponse {
        MemberResponse {
            member_id: String::new(),
            group_instance_id: Some(String::new()),
            error_code: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl MemberResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MemberResponse, DecodeError> {
        let flexible = version >= 4;
        let mut m = MemberResponse::default();
        m.member_id = r.string(flexible, "member_id")?;
        m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        m.error_code = r.i16("error_code")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 4;
        w.string(flexible, &self.member_id, "member_id")?;
        w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        w.i16(self.error_code);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
