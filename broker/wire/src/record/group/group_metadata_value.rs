//! Kafka's record `GroupMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `GroupMetadataValue`, versions 0 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMetadataValue {
    /// `protocolType`.
    pub protocol_type: String,
    /// `generation`.
    pub generation: i32,
    /// `protocol`, may be null.
    pub protocol: Option<String>,
    /// `leader`, may be null.
    pub leader: Option<String>,
    /// `currentStateTimestamp`, versions 2 to 4, ignorable.
    pub current_state_timestamp: i64,
    /// `members`.
    pub members: Vec<MemberMetadata>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for GroupMetadataValue {
    fn default() -> GroupMetadataValue {
        GroupMetadataValue {
            protocol_type: String::new(),
            generation: 0,
            protocol: Some(String::new()),
            leader: Some(String::new()),
            current_state_timestamp: -1,
            members: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl GroupMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<GroupMetadataValue, DecodeError> {
        crate::error::check_decode_version("GroupMetadataValue", version, 0, 4)?;
        let flexible = version == 4;
        let mut m = GroupMetadataValue::default();
        m.protocol_type = r.string(flexible, "protocol_type")?;
        m.generation = r.i32("generation")?;
        m.protocol = r.nullable_string(flexible, true, "protocol")?;
        m.leader = r.nullable_string(flexible, true, "leader")?;
        if version >= 2 {
            m.current_state_timestamp = r.i64("current_state_timestamp")?;
        }
        m.members = r.array(flexible, 15, "members", version, MemberMetadata::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("GroupMetadataValue", version, 0, 4)?;
        let flexible = version == 4;
        w.string(flexible, &self.protocol_type, "protocol_type")?;
        w.i32(self.generation);
        w.nullable_string(flexible, self.protocol.as_deref(), true, "protocol")?;
        w.nullable_string(flexible, self.leader.as_deref(), true, "leader")?;
        if version >= 2 {
            w.i64(self.current_state_timestamp);
        }
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

/// `MemberMetadata` of [`GroupMetadataValue`], versions 0 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberMetadata {
    /// `memberId`.
    pub member_id: String,
    /// `groupInstanceId`, versions 3 to 4, may be null, ignorable.
    pub group_instance_id: Option<String>,
    /// `clientId`.
    pub client_id: String,
    /// `clientHost`.
    pub client_host: String,
    /// `rebalanceTimeout`, versions 1 to 4, ignorable.
    pub rebalance_timeout: i32,
    /// `sessionTimeout`.
    pub session_timeout: i32,
    /// `subscription`.
    pub subscription: Bytes,
    /// `assignment`.
    pub assignment: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for MemberMetadata {
    fn default() -> MemberMetadata {
        MemberMetadata {
            member_id: String::new(),
            group_instance_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout: -1,
            session_timeout: 0,
            subscription: Bytes::new(),
            assignment: Bytes::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl MemberMetadata {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<MemberMetadata, DecodeError> {
        let flexible = version == 4;
        let mut m = MemberMetadata::default();
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 3 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        m.client_id = r.string(flexible, "client_id")?;
        m.client_host = r.string(flexible, "client_host")?;
        if version >= 1 {
            m.rebalance_timeout = r.i32("rebalance_timeout")?;
        }
        m.session_timeout = r.i32("session_timeout")?;
        m.subscription = r.bytes(flexible, "subscription")?;
        m.assignment = r.bytes(flexible, "assignment")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 4;
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 3 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        }
        w.string(flexible, &self.client_id, "client_id")?;
        w.string(flexible, &self.client_host, "client_host")?;
        if version >= 1 {
            w.i32(self.rebalance_timeout);
        }
        w.i32(self.session_timeout);
        w.bytes(flexible, &self.subscription, "subscription")?;
        w.bytes(flexible, &self.assignment, "assignment")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
