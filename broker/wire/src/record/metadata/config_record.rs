//! Kafka's record `ConfigRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ConfigRecord`, version 0.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigRecord {
    /// `ResourceType`.
    pub resource_type: i8,
    /// `ResourceName`.
    pub resource_name: String,
    /// `Name`.
    pub name: String,
    /// `Value`, may be null.
    pub value: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ConfigRecord {
    fn default() -> ConfigRecord {
        ConfigRecord {
            resource_type: 0,
            resource_name: String::new(),
            name: String::new(),
            value: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ConfigRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConfigRecord, DecodeError> {
        crate::error::check_decode_version("ConfigRecord", version, 0, 0)?;
        let mut m = ConfigRecord::default();
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(true, "resource_name")?;
        m.name = r.string(true, "name")?;
        m.value = r.nullable_string(true, true, "value")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConfigRecord", version, 0, 0)?;
        w.i8(self.resource_type);
        w.string(true, &self.resource_name, "resource_name")?;
        w.string(true, &self.name, "name")?;
        w.nullable_string(true, self.value.as_deref(), true, "value")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
