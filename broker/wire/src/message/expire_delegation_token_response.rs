//! Kafka's response `ExpireDelegationTokenResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ExpireDelegationTokenResponse`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ExpireDelegationTokenResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ExpiryTimestampMs`.
    pub expiry_timestamp_ms: i64,
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ExpireDelegationTokenResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ExpireDelegationTokenResponse, DecodeError> {
        crate::error::check_decode_version("ExpireDelegationTokenResponse", version, 1, 2)?;
        let flexible = version == 2;
        let mut m = ExpireDelegationTokenResponse::default();
        m.error_code = r.i16("error_code")?;
        m.expiry_timestamp_ms = r.i64("expiry_timestamp_ms")?;
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ExpireDelegationTokenResponse", version, 1, 2)?;
        let flexible = version == 2;
        w.i16(self.error_code);
        w.i64(self.expiry_timestamp_ms);
        w.i32(self.throttle_time_ms);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
