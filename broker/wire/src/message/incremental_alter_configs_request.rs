//! Kafka's request `IncrementalAlterConfigsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `IncrementalAlterConfigsRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct IncrementalAlterConfigsRequest {
    /// `Resources`.
    pub resources: Vec<AlterConfigsResource>,
    /// `ValidateOnly`.
    pub validate_only: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl IncrementalAlterConfigsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<IncrementalAlterConfigsRequest, DecodeError> {
        crate::error::check_decode_version("IncrementalAlterConfigsRequest", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = IncrementalAlterConfigsRequest::default();
        m.resources = r.array(flexible, 4, "resources", version, AlterConfigsResource::decode)?;
        m.validate_only = r.bool("validate_only")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("IncrementalAlterConfigsRequest", version, 0, 1)?;
        let flexible = version == 1;
        w.array_len(flexible, self.resources.len(), "resources")?;
        for v in &self.resources {
            v.encode(w, version)?;
        }
        w.bool(self.validate_only);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `AlterConfigsResource` of [`IncrementalAlterConfigsRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterConfigsResource {
    /// `ResourceType`.
    pub resource_type: i8,
    /// `ResourceName`.
    pub resource_name: String,
    /// `Configs`.
    pub configs: Vec<AlterableConfig>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterConfigsResource {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterConfigsResource, DecodeError> {
        let flexible = version == 1;
        let mut m = AlterConfigsResource::default();
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(flexible, "resource_name")?;
        m.configs = r.array(flexible, 4, "configs", version, AlterableConfig::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.i8(self.resource_type);
        w.string(flexible, &self.resource_name, "resource_name")?;
        w.array_len(flexible, self.configs.len(), "configs")?;
        for v in &self.configs {
            v.encode(w, version)?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `AlterableConfig` of [`IncrementalAlterConfigsRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AlterableConfig {
    /// `Name`.
    pub name: String,
    /// `ConfigOperation`.
    pub config_operation: i8,
    /// `Value`, may be null.
    pub value: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for AlterableConfig {
    fn default() -> AlterableConfig {
        AlterableConfig {
            name: String::new(),
            config_operation: 0,
            value: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl AlterableConfig {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterableConfig, DecodeError> {
        let flexible = version == 1;
        let mut m = AlterableConfig::default();
        m.name = r.string(flexible, "name")?;
        m.config_operation = r.i8("config_operation")?;
        m.value = r.nullable_string(flexible, true, "value")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.string(flexible, &self.name, "name")?;
        w.i8(self.config_operation);
        w.nullable_string(flexible, self.value.as_deref(), true, "value")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
