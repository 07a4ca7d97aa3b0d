//! What stands before each request and response.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/header.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `RequestHeader`, versions 1 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestHeader {
    /// `RequestApiKey`.
    pub request_api_key: i16,
    /// `RequestApiVersion`.
    pub request_api_version: i16,
    /// `CorrelationId`.
    pub correlation_id: i32,
    /// `ClientId`, may be null.
    pub client_id: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for RequestHeader {
    fn default() -> RequestHeader {
        RequestHeader {
            request_api_key: 0,
            request_api_version: 0,
            correlation_id: 0,
            client_id: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl RequestHeader {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<RequestHeader, DecodeError> {
        crate::error::check_decode_version("RequestHeader", version, 1, 2)?;
        let flexible = version == 2;
        let mut m = RequestHeader::default();
        m.request_api_key = r.i16("request_api_key")?;
        m.request_api_version = r.i16("request_api_version")?;
        m.correlation_id = r.i32("correlation_id")?;
        m.client_id = r.nullable_string(false, true, "client_id")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("RequestHeader", version, 1, 2)?;
        let flexible = version == 2;
        w.i16(self.request_api_key);
        w.i16(self.request_api_version);
        w.i32(self.correlation_id);
        w.nullable_string(false, self.client_id.as_deref(), true, "client_id")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// Kafka's `ResponseHeader`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResponseHeader {
    /// `CorrelationId`.
    pub correlation_id: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ResponseHeader {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ResponseHeader, DecodeError> {
        crate::error::check_decode_version("ResponseHeader", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = ResponseHeader::default();
        m.correlation_id = r.i32("correlation_id")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ResponseHeader", version, 0, 1)?;
        let flexible = version == 1;
        w.i32(self.correlation_id);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
