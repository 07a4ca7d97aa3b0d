//! Kafka's response `DescribeClusterResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeClusterResponse`, versions 0 to 2.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeClusterResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `EndpointType`, versions 1 to 2.
    pub endpoint_type: i8,
    /// `ClusterId`.
    pub cluster_id: String,
    /// `ControllerId`; a broker id.
    pub controller_id: i32,
    /// `Brokers`.
    pub brokers: Vec<DescribeClusterBroker>,
    /// `ClusterAuthorizedOperations`.
    pub cluster_authorized_operations: i32,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeClusterResponse {
    fn default() -> DescribeClusterResponse {
        DescribeClusterResponse {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: None,
            endpoint_type: 1,
            cluster_id: String::new(),
            controller_id: -1,
            brokers: Vec::new(),
            cluster_authorized_operations: -2_147_483_648,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeClusterResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeClusterResponse, DecodeError> {
        crate::error::check_decode_version("DescribeClusterResponse", version, 0, 2)?;
        let mut m = DescribeClusterResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        if version >= 1 {
            m.endpoint_type = r.i8("endpoint_type")?;
        }
        m.cluster_id = r.string(true, "cluster_id")?;
        m.controller_id = r.i32("controller_id")?;
        m.brokers = r.array(true, 11, "brokers", version, DescribeClusterBroker::decode)?;
        m.cluster_authorized_operations = r.i32("cluster_authorized_operations")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeClusterResponse", version, 0, 2)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        if version >= 1 {
            w.i8(self.endpoint_type);
        } else if self.endpoint_type != 1 {
            return Err(EncodeError::absent("endpoint_type", version));
        }
        w.string(true, &self.cluster_id, "cluster_id")?;
        w.i32(self.controller_id);
        w.array_len(true, self.brokers.len(), "brokers")?;
        for v in &self.brokers {
            v.encode(w, version)?;
        }
        w.i32(self.cluster_authorized_operations);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `DescribeClusterBroker` of [`DescribeClusterResponse`], versions 0 to 2.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeClusterBroker {
    /// `BrokerId`; a broker id.
    pub broker_id: i32,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: i32,
    /// `Rack`, may be null.
    pub rack: Option<String>,
    /// `IsFenced`, version 2.
    pub is_fenced: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeClusterBroker {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeClusterBroker, DecodeError> {
        let mut m = DescribeClusterBroker::default();
        m.broker_id = r.i32("broker_id")?;
        m.host = r.string(true, "host")?;
        m.port = r.i32("port")?;
        m.rack = r.nullable_string(true, true, "rack")?;
        if version == 2 {
            m.is_fenced = r.bool("is_fenced")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i32(self.broker_id);
        w.string(true, &self.host, "host")?;
        w.i32(self.port);
        w.nullable_string(true, self.rack.as_deref(), true, "rack")?;
        if version == 2 {
            w.bool(self.is_fenced);
        } else if self.is_fenced {
            return Err(EncodeError::absent("is_fenced", version));
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
