//! Kafka's request `EnvelopeRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use bytes::Bytes;

/// Kafka's `EnvelopeRequest`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvelopeRequest {
    /// `RequestData`.
    pub request_data: Bytes,
    /// `RequestPrincipal`, may be null.
    pub request_principal: Option<Bytes>,
    /// `ClientHostAddress`.
    pub client_host_address: Bytes,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for EnvelopeRequest {
    fn default() -> EnvelopeRequest {
        EnvelopeRequest {
            request_data: Bytes::new(),
            request_principal: Some(Bytes::new()),
            client_host_address: Bytes::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl EnvelopeRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EnvelopeRequest, DecodeError> {
        crate::error::check_decode_version("EnvelopeRequest", version, 0, 0)?;
        let mut m = EnvelopeRequest::default();
        m.request_data = r.bytes(true, "request_data")?;
        m.request_principal = r.nullable_bytes(true, true, "request_principal")?;
        m.client_host_address = r.bytes(true, "client_host_address")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("EnvelopeRequest", version, 0, 0)?;
        w.bytes(true, &self.request_data, "request_data")?;
        w.nullable_bytes(true, self.request_principal.as_ref(), true, "request_principal")?;
        w.bytes(true, &self.client_host_address, "client_host_address")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
