//! Kafka's response `SaslHandshakeResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `SaslHandshakeResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SaslHandshakeResponse {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `Mechanisms`.
    pub mechanisms: Vec<String>,
}

impl SaslHandshakeResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SaslHandshakeResponse, DecodeError> {
        crate::error::check_decode_version("SaslHandshakeResponse", version, 0, 1)?;
        let mut m = SaslHandshakeResponse::default();
        m.error_code = r.i16("error_code")?;
        m.mechanisms = r.array(false, 2, "mechanisms", 0, |r, _| r.string(false, "mechanisms"))?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SaslHandshakeResponse", version, 0, 1)?;
        w.i16(self.error_code);
        w.array_len(false, self.mechanisms.len(), "mechanisms")?;
        for v in &self.mechanisms {
            w.string(false, v, "mechanisms")?;
        }
        Ok(())
    }
}
