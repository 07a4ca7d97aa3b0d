//! Kafka's response `FindCoordinatorResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `FindCoordinatorResponse`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct FindCoordinatorResponse {
    /// `ThrottleTimeMs`, versions 1 to 6, ignorable.
    pub throttle_time_ms: i32,
    /// `ErrorCode`, versions 0 to 3.
    pub error_code: i16,
    /// `ErrorMessage`, versions 1 to 3, may be null, ignorable.
    pub error_message: Option<String>,
    /// `NodeId`, versions 0 to 3; a broker id.
    pub node_id: i32,
    /// `Host`, versions 0 to 3.
    pub host: String,
    /// `Port`, versions 0 to 3.
    pub port: i32,
    /// `Coordinators`, versions 4 to 6.
    pub coordinators: Vec<Coordinator>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for FindCoordinatorResponse {
    fn default() -> FindCoordinatorResponse {
        FindCoordinatorResponse {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(String::new()),
            node_id: 0,
            host: String::new(),
            port: 0,
            coordinators: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl FindCoordinatorResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FindCoordinatorResponse, DecodeError> {
        crate::error::check_decode_version("FindCoordinatorResponse", version, 0, 6)?;
        let flexible = version >= 3;
        let mut m = FindCoordinatorResponse::default();
        if version >= 1 {
            m.throttle_time_ms = r.i32("throttle_time_ms")?;
        }
        if version <= 3 {
            m.error_code = r.i16("error_code")?;
        }
        if (1..=3).contains(&version) {
            m.error_message = r.nullable_string(flexible, true, "error_message")?;
        }
        if version <= 3 {
            m.node_id = r.i32("node_id")?;
        }
        if version <= 3 {
            m.host = r.string(flexible, "host")?;
        }
        if version <= 3 {
            m.port = r.i32("port")?;
        }
        if version >= 4 {
            m.coordinators = r.array(true, 14, "coordinators", version, Coordinator::decode)?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FindCoordinatorResponse", version, 0, 6)?;
        let flexible = version >= 3;
        if version >= 1 {
            w.i32(self.throttle_time_ms);
        }
        if version <= 3 {
            w.i16(self.error_code);
        } else if self.error_code != 0 {
            return Err(EncodeError::absent("error_code", version));
        }
        if (1..=3).contains(&version) {
            w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        }
        if version <= 3 {
            w.i32(self.node_id);
        } else if self.node_id != 0 {
            return Err(EncodeError::absent("node_id", version));
        }
        if version <= 3 {
            w.string(flexible, &self.host, "host")?;
        } else if !self.host.is_empty() {
            return Err(EncodeError::absent("host", version));
        }
        if version <= 3 {
            w.i32(self.port);
        } else if self.port != 0 {
            return Err(EncodeError::absent("port", version));
        }
        if version >= 4 {
            w.array_len(true, self.coordinators.len(), "coordinators")?;
            for v in &self.coordinators {
                v.encode(w, version)?;
            }
        } else if !self.coordinators.is_empty() {
            return Err(EncodeError::absent("coordinators", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `Coordinator` of [`FindCoordinatorResponse`], versions 4 to 6.
#[derive(Clone, Debug, PartialEq)]
pub struct Coordinator {
    /// `Key`.
    pub key: String,
    /// `NodeId`; a broker id.
    pub node_id: i32,
    /// `Host`.
    pub host: String,
    /// `Port`.
    pub port: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null, ignorable.
    pub error_message: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for Coordinator {
    fn default() -> Coordinator {
        Coordinator {
            key: String::new(),
            node_id: 0,
            host: String::new(),
            port: 0,
            error_code: 0,
            error_message: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl Coordinator {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<Coordinator, DecodeError> {
        let mut m = Coordinator::default();
        m.key = r.string(true, "key")?;
        m.node_id = r.i32("node_id")?;
        m.host = r.string(true, "host")?;
        m.port = r.i32("port")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(true, true, "error_message")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.key, "key")?;
        w.i32(self.node_id);
        w.string(true, &self.host, "host")?;
        w.i32(self.port);
        w.i16(self.error_code);
        w.nullable_string(true, self.error_message.as_deref(), true, "error_message")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
