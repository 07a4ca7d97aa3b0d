//! Kafka's response `DescribeGroupsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `DescribeGroupsResponse`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeGroupsResponse {
    /// `ThrottleTimeMs`, versions 1 to 6, ignorable.
    pub throttle_time_ms: i32,
    /// `Groups`.
    pub groups: Vec<DescribedGroup>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeGroupsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeGroupsResponse, DecodeError> {
        crate::error::check_decode_version("DescribeGroupsResponse", version, 0, 6)?;
        let flexible = version >= 5;
        let mut m = DescribeGroupsResponse::default();
        if version >= 1 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        m.groups = r.array(flexible, 12, "groups", version, DescribedGroup::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeGroupsResponse", version, 0, 6)?;
        let flexible = version >= 5;
        if version >= 1 {
            w.i32(self.throttle_time_ms);
        }
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

/// `DescribedGroup` of [`DescribeGroupsResponse`], versions 0 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedGroup {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, version 6, may be null.
    pub error_message: Option<String>,
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `GroupState`.
    pub group_state: String,
    /// `ProtocolType`.
    pub protocol_type: String,
    /// `ProtocolData`.
    pub protocol_data: String,
    /// `Members`.
    pub members: Vec<DescribedGroupMember>,
    /// `AuthorizedOperations`, versions 3 to 6.
    pub authorized_operations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribedGroup {
    fn default() -> DescribedGroup {
        DescribedGroup {
            error_code: 0,
            error_message: None,
            group_id: String::new(),
            group_state: String::new(),
            protocol_type: String::new(),
            protocol_data: String::new(),
            members: Vec::new(),
            authorized_operations: -2_147_483_648,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribedGroup {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribedGroup, DecodeError> {
        let flexible = version >= 5;
        let mut m = DescribedGroup::default();
        m.error_code = r.i16("error_code")?;
        if version == 6 {
            m.error_message = r.nullable_string(true, true, "error_message")?;
        }
        m.group_id = r.string(flexible, "group_id")?;
        m.group_state = r.string(flexible, "group_state")?;
        m.protocol_type = r.string(flexible, "protocol_type")?;
        m.protocol_data = r.string(flexible, "protocol_data")?;
        m.members = r.array(flexible, 7, "members", version, DescribedGroupMember::decode)?;
        if version >= 3 {
            m.authorized_operations = r.i32("authorized_operations")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 5;
        w.i16(self.error_code);
        if version == 6 {
            w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        } else if self.error_message.is_some() {
            return Err(EncodeError::absent("error_message", version));
        }
        w.string(flexible, &self.group_id, "group_id")?;
        w.string(flexible, &self.group_state, "group_state")?;
        w.string(flexible, &self.protocol_type, "protocol_type")?;
        w.string(flexible, &self.protocol_data, "protocol_data")?;
        w.array_len(flexible, self.members.len(), "members")?;
        for v in &self.members {
            v.encode(w, version)?;
        }
        if version >= 3 {
            w.i32(self.authorized_operations);
        } else if self.authorized_operations != -2_147_483_648 {
            return Err(EncodeError::absent("authorized_operations", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribedGroupMember` of [`DescribeGroupsResponse`], versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribedGroupMember {
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, versions 4 to 6, may be null, ignorable.
    pub group_instance_id: Option<String>,
    /// `ClientId`.
    pub client_id: String,
    /// `ClientHost`.
    pub client_host: String,
    /// `MemberMetadata`.
    pub member_metadata: Bytes,
    /// `MemberAssignment`.
    pub member_assignment: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribedGroupMember {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribedGroupMember, DecodeError> {
        let flexible = version >= 5;
        let mut m = DescribedGroupMember::default();
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 4 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        m.client_id = r.string(flexible, "client_id")?;
        m.client_host = r.string(flexible, "client_host")?;
        m.member_metadata = r.bytes(flexible, "member_metadata")?;
        m.member_assignment = r.bytes(flexible, "member_assignment")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 5;
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 4 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        }
        w.string(flexible, &self.client_id, "client_id")?;
        w.string(flexible, &self.client_host, "client_host")?;
        w.bytes(flexible, &self.member_metadata, "member_metadata")?;
        w.bytes(flexible, &self.member_assignment, "member_assignment")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
