//! Kafka's response `DeleteTopicsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `DeleteTopicsResponse`, versions 1 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DeleteTopicsResponse {
    /// `ThrottleTimeMs`, ignorable.
    pub throttle_time_ms: i32,
    /// `Responses`.
    pub responses: Vec<DeletableTopicResult>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DeleteTopicsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeleteTopicsResponse, DecodeError> {
        crate::error::check_decode_version("DeleteTopicsResponse", version, 1, 6)?;
        let flexible = version >= 4;
        let mut m = DeleteTopicsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.responses = r.array(flexible, 4, "responses", version, DeletableTopicResult::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DeleteTopicsResponse", version, 1, 6)?;
        let flexible = version >= 4;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.responses.len(), "responses")?;
        for v in &self.responses {
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

/// `DeletableTopicResult` of [`DeleteTopicsResponse`], versions 1 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletableTopicResult {
    /// `Name`, may be null in version 6; a topic name.
    pub name: Option<String>,
    /// `TopicId`, version 6, ignorable.
    pub topic_id: Uuid,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, versions 5 to 6, may be null, ignorable.
    pub error_message: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DeletableTopicResult {
    fn default() -> DeletableTopicResult {
        DeletableTopicResult {
            name: Some(String::new()),
            topic_id: Uuid::ZERO,
            error_code: 0,
            error_message: None,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DeletableTopicResult {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DeletableTopicResult, DecodeError> {
        let flexible = version >= 4;
        let mut m = DeletableTopicResult::default();
        m.name = r.nullable_string(flexible, version == 6, "name")?;
        if version == 6 {
            m.topic_id = r.uuid("topic_id")?;
        }
        m.error_code = r.i16("error_code")?;
        if version >= 5 {
            m.error_message = r.nullable_string(true, true, "error_message")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version >= 4;
        w.nullable_string(flexible, self.name.as_deref(), version == 6, "name")?;
        if version == 6 {
            w.uuid(self.topic_id);
        }
        w.i16(self.error_code);
        if version >= 5 {
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
