//! Kafka's response `SyncGroupResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `SyncGroupResponse`, versions 0 to 5.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SyncGroupResponse {
    /// `ThrottleTimeMs`, versions 1 to 5, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ProtocolType`, version 5, may be null, ignorable.
    pub protocol_type: Option<String>,
    /// `ProtocolName`, version 5, may be null, ignorable.
    pub protocol_name: Option<String>,
    /// `Assignment`.
    pub assignment: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SyncGroupResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SyncGroupResponse, DecodeError> {
        crate::error::check_decode_version("SyncGroupResponse", version, 0, 5)?;
        let flexible = version >= 4;
        let mut m = SyncGroupResponse::default();
        if version >= 1 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        m.error_code = r.i16("error_code")?;
        if version == 5 {
            m.protocol_type = r.nullable_string(true, true, "protocol_type")?;
        }
        if version == 5 {
            m.protocol_name = r.nullable_string(true, true, "protocol_name")?;
        }
        m.assignment = r.bytes(flexible, "assignment")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SyncGroupResponse", version, 0, 5)?;
        let flexible = version >= 4;
        if version >= 1 {
            w.i32(self.throttle_time_ms);
        }
        w.i16(self.error_code);
        if version == 5 {
            w.nullable_string(true, self.protocol_type.as_deref(), true, "protocol_type")?;
        }
        if version == 5 {
            w.nullable_string(true, self.protocol_name.as_deref(), true, "protocol_name")?;
        }
        w.bytes(flexible, &self.assignment, "assignment")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
