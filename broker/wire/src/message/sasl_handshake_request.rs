//! Kafka's request `SaslHandshakeRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `SaslHandshakeRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SaslHandshakeRequest {
    /// `Mechanism`.
    pub mechanism: String,
}

impl SaslHandshakeRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SaslHandshakeRequest, DecodeError> {
        crate::error::check_decode_version("SaslHandshakeRequest", version, 0, 1)?;
        let mut m = SaslHandshakeRequest::default();
        m.mechanism = r.string(false, "mechanism")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SaslHandshakeRequest", version, 0, 1)?;
        w.string(false, &self.mechanism, "mechanism")?;
        Ok(())
    }
}
