//! Kafka's request `HeartbeatRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `HeartbeatRequest`, versions 0 to 4.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct HeartbeatRequest {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `GenerationId`.
    pub generation_id: i32,
    /// `MemberId`.
    pub member_id: String,
    /// `GroupInstanceId`, versions 3 to 4, may be null.
    pub group_instance_id: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl HeartbeatRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<HeartbeatRequest, DecodeError> {
        crate::error::check_decode_version("HeartbeatRequest", version, 0, 4)?;
        let flexible = version == 4;
        let mut m = HeartbeatRequest::default();
        m.group_id = r.string(flexible, "group_id")?;
        m.generation_id = r.i32("generation_id")?;
        m.member_id = r.string(flexible, "member_id")?;
        if version >= 3 {
            m.group_instance_id = r.nullable_string(flexible, true, "group_instance_id")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("HeartbeatRequest", version, 0, 4)?;
        let flexible = version == 4;
        w.string(flexible, &self.group_id, "group_id")?;
        w.i32(self.generation_id);
        w.string(flexible, &self.member_id, "member_id")?;
        if version >= 3 {
            w.nullable_string(flexible, self.group_instance_id.as_deref(), true, "group_instance_id")?;
        } else if self.group_instance_id.is_some() {
            return Err(EncodeError::absent("group_instance_id", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
