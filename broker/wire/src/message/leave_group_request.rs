//! Kafka's request `LeaveGroupRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `LeaveGroupRequest`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LeaveGroupRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `MemberId`, versions 0 to 2.
    pub member_id: String,
    /// `Members`, versions 3 to 5.
    pub members: Vec<MemberIdentity>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl LeaveGroupRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<LeaveGroupRequest, DecodeError> {
        crate::error::check_decode_version("LeaveGroupRequest", version, 0, 5)?;
        let flexible = version >= 4;
        let mut m = LeaveGroupRequest::default();
        m.group_id = r.string(flexible, "group_id")?;
        if version <= 2 {
            m.member_id = r.string(false, "member_id")?;
        }
        if version >= 3 {
            m.members = r.array(flexible, 3, "members", version, MemberIdentity::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("LeaveGroupRequest", version, 0, 5)?;
        let flexible = version >= 4;
        w.string(flexible, &self.group_id, "group_id")?;
        if version <= 2 {
            w.string(false, &self.member_id, "member_id")?;
        } else if !self.member_id.is_empty() {
            return Err(EncodeError::absent("member_id", version));
        }
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

/// `MemberIdentity` of [`LeaveGroupRequest`], versions 3 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MemberIdentity {
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, may be null.
    pub group_instance_id: Option<String>,
    /// `Reason`, version 5, may be null, ignorable.
    pub reason: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl MemberIdentity {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MemberIdentity, DecodeError> {
        let flexible = version >= 4;
        let mut m = MemberIdentity::default();
        m.member_id = r.string(flexible, "member_id")?;
        m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        if version == 5 {
            m.reason = r.nullable_string(true, true, "reason")?;
        }
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
        if version == 5 {
            w.nullable_string(true, self.reason.as_deref(), true, "reason")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
