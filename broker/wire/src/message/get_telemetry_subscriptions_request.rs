//! Kafka's request `GetTelemetrySubscriptionsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `GetTelemetrySubscriptionsRequest`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct GetTelemetrySubscriptionsRequest {
    /// `ClientInstanceId`.
    pub client_instance_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl GetTelemetrySubscriptionsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<GetTelemetrySubscriptionsRequest, DecodeError> {
        crate::error::check_decode_version("GetTelemetrySubscriptionsRequest", version, 0, 0)?;
        let mut m = GetTelemetrySubscriptionsRequest::default();
        m.client_instance_id = r.uuid("client_instance_id")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("GetTelemetrySubscriptionsRequest", version, 0, 0)?;
        w.uuid(self.client_instance_id);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
