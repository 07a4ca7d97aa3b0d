//! Kafka's request `JoinGroupRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `JoinGroupRequest`, versions 0 to 9.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinGroupRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `SessionTimeoutMs`.
    pub session_timeout_ms: i32,
    /// `RebalanceTimeoutMs`, versions 1 to 9, ignorable.
    pub rebalance_timeout_ms: i32,
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, versions 5 to 9, may be null.
    pub group_instance_id: Option<String>,
    /// `ProtocolType`.
    pub protocol_type: String,
    /// `Protocols`.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// `Reason`, versions 8 to 9, may be null, ignorable.
    pub reason: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for JoinGroupRequest {
    fn default() -> JoinGroupRequest {
        JoinGroupRequest {
            group_id: String::new(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: -1,
            member_id: String::new(),
            group_instance_id: None,
            protocol_type: String::new(),
            protocols: Vec::new(),
            reason: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl JoinGroupRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<JoinGroupRequest, DecodeError> {
        crate::error::check_decode_version("JoinGroupRequest", version, 0, 9)?;
        let flexible = version >= 6;
        let mut m = JoinGroupRequest::default();
        m.group_id = r.string(flexible, "group_id")?;
        m.session_timeout_ms = r.i32("session_timeout_ms")?;
        if version >= 1 {
            m.rebalance_timeout_ms = r.i32("rebalance_timeout_ms")?;
        }
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 5 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        m.protocol_type = r.string(flexible, "protocol_type")?;
        m.protocols = r.array(flexible, 3, "protocols", version, JoinGroupRequestProtocol::decode)?;
        if version >= 8 {
            m.reason = r.nullable_string(true, true, "reason")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("JoinGroupRequest", version, 0, 9)?;
        let flexible = version >= 6;
        w.string(flexible, &self.group_id, "group_id")?;
        w.i32(self.session_timeout_ms);
        if version >= 1 {
            w.i32(self.rebalance_timeout_ms);
        }
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 5 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        } else if self.group_instance_id.is_some() {
            return Err(EncodeError::absent("group_instance_id", version));
        }
        w.string(flexible, &self.protocol_type, "protocol_type")?;
        w.array_len(flexible, self.protocols.len(), "protocols")?;
        for v in &self.protocols {
            v.encode(w, version)?;
        }
        if version >= 8 {
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

/// `JoinGroupRequestProtocol` of [`JoinGroupRequest`], versions 0 to 9.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct JoinGroupRequestProtocol {
    /// `Name`.
    pub name: String,
    /// `Metadata`.
    pub metadata: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl JoinGroupRequestProtocol {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<JoinGroupRequestProtocol, DecodeError> {
        let flexible = version >= 6;
        let mut m = JoinGroupRequestProtocol::default();
        m.name = r.string(flexible, "name")?;
        m.metadata = r.bytes(flexible, "metadata")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 6;
        w.string(flexible, &self.name, "name")?;
        w.bytes(flexible, &self.metadata, "metadata")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
