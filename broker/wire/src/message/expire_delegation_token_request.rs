//! Kafka's request `ExpireDelegationTokenRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `ExpireDelegationTokenRequest`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ExpireDelegationTokenRequest {
    /// `Hmac`.
    pub hmac: Bytes,
    /// `ExpiryTimePeriodMs`.
    pub expiry_time_period_ms: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ExpireDelegationTokenRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ExpireDelegationTokenRequest, DecodeError> {
        crate::error::check_decode_version("ExpireDelegationTokenRequest", version, 1, 2)?;
        let flexible = version == 2;
        let mut m = ExpireDelegationTokenRequest::default();
        m.hmac = r.bytes(flexible, "hmac")?;
        m.expiry_time_period_ms = r.i64("expiry_time_period_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ExpireDelegationTokenRequest", version, 1, 2)?;
        let flexible = version == 2;
        w.bytes(flexible, &self.hmac, "hmac")?;
        w.i64(self.expiry_time_period_ms);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
