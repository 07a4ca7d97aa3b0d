//! Kafka's response `ListConfigResourcesResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ListConfigResourcesResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListConfigResourcesResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ConfigResources`.
    pub config_resources: Vec<ConfigResource>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ListConfigResourcesResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ListConfigResourcesResponse, DecodeError> {
        crate::error::check_decode_version("ListConfigResourcesResponse", version, 0, 1)?;
        let mut m = ListConfigResourcesResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.config_resources = r.array(true, 2, "config_resources", version, ConfigResource::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ListConfigResourcesResponse", version, 0, 1)?;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.array_len(true, self.config_resources.len(), "config_resources")?;
        for v in &self.config_resources {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `ConfigResource` of [`ListConfigResourcesResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigResource {
    /// `ResourceName`.
    pub resource_name: String,
    /// `ResourceType`, version 1, ignorable.
    pub resource_type: i8,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ConfigResource {
    fn default() -> ConfigResource {
        ConfigResource {
            resource_name: String::new(),
            resource_type: 16,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ConfigResource {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConfigResource, DecodeError> {
        let mut m = ConfigResource::default();
        m.resource_name = r.string(true, "resource_name")?;
        if version == 1 {
            m.resource_type = r.i8("resource_type")?;
        }
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.resource_name, "resource_name")?;
        if version == 1 {
            w.i8(self.resource_type);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
