//! Kafka's request `SaslAuthenticateRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `SaslAuthenticateRequest`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SaslAuthenticateRequest {
    /// `AuthBytes`.
    pub auth_bytes: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SaslAuthenticateRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SaslAuthenticateRequest, DecodeError> {
        crate::error::check_decode_version("SaslAuthenticateRequest", version, 0, 2)?;
        let flexible = version == 2;
        let mut m = SaslAuthenticateRequest::default();
        m.auth_bytes = r.bytes(flexible, "auth_bytes")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SaslAuthenticateRequest", version, 0, 2)?;
        let flexible = version == 2;
        w.bytes(flexible, &self.auth_bytes, "auth_bytes")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
