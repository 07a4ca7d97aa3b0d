//! Kafka's response `EnvelopeResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `EnvelopeResponse`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EnvelopeResponse {
    /// `ResponseData`, may be null.
    pub response_data: Option<Bytes>,
    /// `ErrorCode`.
    pub error_code: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl EnvelopeResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EnvelopeResponse, DecodeError> {
        crate::error::check_decode_version("EnvelopeResponse", version, 0, 0)?;
        let mut m = EnvelopeResponse::default();
        m.response_data = r.nullable_bytes(true, true, "response_data")?;
        m.error_code = r.i16("error_code")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("EnvelopeResponse", version, 0, 0)?;
        w.nullable_bytes(true, self.response_data.as_ref(), true, "response_data")?;
        w.i16(self.error_code);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
