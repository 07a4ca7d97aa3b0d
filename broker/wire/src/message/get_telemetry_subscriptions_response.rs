//! Kafka's response `GetTelemetrySubscriptionsResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `GetTelemetrySubscriptionsResponse`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct GetTelemetrySubscriptionsResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ClientInstanceId`.
    pub client_instance_id: Uuid,
    /// `SubscriptionId`.
    pub subscription_id: i32,
    /// `AcceptedCompressionTypes`.
    pub accepted_compression_types: Vec<i8>,
    /// `PushIntervalMs`.
    pub push_interval_ms: i32,
    /// `TelemetryMaxBytes`.
    pub telemetry_max_bytes: i32,
    /// `DeltaTemporality`.
    pub delta_temporality: bool,
    /// `RequestedMetrics`.
    pub requested_metrics: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl GetTelemetrySubscriptionsResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<GetTelemetrySubscriptionsResponse, DecodeError> {
        crate::error::check_decode_version("GetTelemetrySubscriptionsResponse", version, 0, 0)?;
        let mut m = GetTelemetrySubscriptionsResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.client_instance_id = r.uuid("client_instance_id")?;
        m.subscription_id = r.i32("subscription_id")?;
        m.accepted_compression_types =
            r.array(true, 1, "accepted_compression_types", 0, |r, _| r.i8("accepted_compression_types"))?;
        m.push_interval_ms = r.i32("push_interval_ms")?;
        m.telemetry_max_bytes = r.i32("telemetry_max_bytes")?;
        m.delta_temporality = r.bool("delta_temporality")?;
        m.requested_metrics =
            r.array(true, 1, "requested_metrics", 0, |r, _| r.string(true, "requested_metrics"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("GetTelemetrySubscriptionsResponse", version, 0, 0)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.uuid(self.client_instance_id);
        w.i32(self.subscription_id);
        w.array_len(true, self.accepted_compression_types.len(), "accepted_compression_types")?;
        for v in &self.accepted_compression_types {
            w.i8(*v);
        }
        w.i32(self.push_interval_ms);
        w.i32(self.telemetry_max_bytes);
        w.bool(self.delta_temporality);
        w.array_len(true, self.requested_metrics.len(), "requested_metrics")?;
        for v in &self.requested_metrics {
            w.string(true, v, "requested_metrics")?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
