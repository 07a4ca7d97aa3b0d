//! Kafka's response `DeleteGroupsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DeleteGroupsResponse`, versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteGroupsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `Results`.
    pub results: Vec<DeletableGroupResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteGroupsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteGroupsResponse, DecodeError> {
        crate::error::check_decode_version("DeleteGroupsResponse", version, 0, 3)?;
        let flexible = version >= 2;
        let mut m = DeleteGroupsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.results = r.array(flexible, 4, "results", version, DeletableGroupResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteGroupsResponse", version, 0, 3)?;
        let flexible = version >= 2;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.results.len(), "results")?;
        for v in &self.results {
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

/// `DeletableGroupResult` of [`DeleteGroupsResponse`], versions 0 to 3.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeletableGroupResult {
    /// `GroupId`; a group id.
    pub group_id: String,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, version 3, may be null, ignorable.
    pub error_message: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeletableGroupResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeletableGroupResult, DecodeError> {
        let flexible = version >= 2;
        let mut m = DeletableGroupResult::default();
        m.group_id = r.string(flexible, "group_id")?;
        m.error_code = r.i16("error_code")?;
        if version == 3 {
            m.error_message = r.nullable_string(true, true, "error_message")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 2;
        w.string(flexible, &self.group_id, "group_id")?;
        w.i16(self.error_code);
        if version == 3 {
            w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
