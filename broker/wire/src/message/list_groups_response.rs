//! Kafka's response `ListGroupsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListGroupsResponse`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListGroupsResponse {
    /// `ThrottleTimeMs`, versions 1 to 5, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Groups`.
    pub groups: Vec<ListedGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListGroupsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListGroupsResponse, DecodeError> {
        crate::error::check_decode_version("ListGroupsResponse", version, 0, 5)?;
        let flexible = version >= 3;
        let mut m = ListGroupsResponse::default();
        if version >= 1 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        m.error_code = r.i16("error_code")?;
        m.groups = r.array(flexible, 3, "groups", version, ListedGroup::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListGroupsResponse", version, 0, 5)?;
        let flexible = version >= 3;
        if version >= 1 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        w.array_len(flexible, self.groups.len(), "groups")?;
        for v in &self.groups {
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

/// `ListedGroup` of [`ListGroupsResponse`], versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListedGroup {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `ProtocolType`.
    pub protocol_type: String,
    /// `GroupState`, versions 4 to 5, ignorable.
    pub group_state: String,
    /// `GroupType`, version 5, ignorable.
    pub group_type: String,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListedGroup {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListedGroup, DecodeError> {
        let flexible = version >= 3;
        let mut m = ListedGroup::default();
        m.group_id = r.string(flexible, "group_id")?;
        m.protocol_type = r.string(flexible, "protocol_type")?;
        if version >= 4 {
            m.group_state = r.string(true, "group_state")?;
        }
        if version == 5 {
            m.group_type = r.string(true, "group_type")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 3;
        w.string(flexible, &self.group_id, "group_id")?;
        w.string(flexible, &self.protocol_type, "protocol_type")?;
        if version >= 4 {
            w.string(true, &self.group_state, "group_state")?;
        }
        if version == 5 {
            w.string(true, &self.group_type, "group_type")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
