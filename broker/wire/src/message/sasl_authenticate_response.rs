//! Kafka's response `SaslAuthenticateResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `SaslAuthenticateResponse`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct SaslAuthenticateResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `AuthBytes`.
    pub auth_bytes: Bytes,
    /// `SessionLifetimeMs`, versions 1 to 2, ignorable.
    pub session_lifetime_ms: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for SaslAuthenticateResponse {
    fn default() -> SaslAuthenticateResponse {
        SaslAuthenticateResponse {
            error_code: 0,
            error_message: Some(String::new()),
            auth_bytes: Bytes::new(),
            session_lifetime_ms: 0,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl SaslAuthenticateResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SaslAuthenticateResponse, DecodeError> {
        crate::error::check_decode_version("SaslAuthenticateResponse", version, 0, 2)?;
        let flexible = version == 2;
        let mut m = SaslAuthenticateResponse::default();
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        m.auth_bytes = r.bytes(flexible, "auth_bytes")?;
        if version >= 1 {
            m.session_lifetime_ms = r.i64("session_lifetime_ms")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SaslAuthenticateResponse", version, 0, 2)?;
        let flexible = version == 2;
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        w.bytes(flexible, &self.auth_bytes, "auth_bytes")?;
        if version >= 1 {
            w.i64(self.session_lifetime_ms);
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
