//! Kafka's request `DescribeConfigsRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeConfigsRequest`, versions 1 to 4.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeConfigsRequest {
    /// `Resources`.
    pub resources: Vec<DescribeConfigsResource>,
    /// `IncludeSynonyms`.
    pub include_synonyms: bool,
    /// `IncludeDocumentation`, versions 3 to 4.
    pub include_documentation: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeConfigsRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeConfigsRequest, DecodeError> {
        crate::error::check_decode_version("DescribeConfigsRequest", version, 1, 4)?;
        let flexible = version == 4;
        let mut m = DescribeConfigsRequest::default();
        m.resources = r.array(flexible, 4, "resources", version, DescribeConfigsResource::decode)?;
        m.include_synonyms = r.bool("include_synonyms")?;
        if version >= 3 {
            m.include_documentation = r.bool("include_documentation")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeConfigsRequest", version, 1, 4)?;
        let flexible = version == 4;
        w.array_len(flexible, self.resources.len(), "resources")?;
        for v in &self.resources {
            v.encode(w, version)?;
        }
        w.bool(self.include_synonyms);
        if version >= 3 {
            w.bool(self.include_documentation);
        } else if self.include_documentation {
            return Err(EncodeError::absent("include_documentation", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `DescribeConfigsResource` of [`DescribeConfigsRequest`], versions 1 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeConfigsResource {
    /// `ResourceType`.
    pub resource_type: i8,
    /// `ResourceName`.
    pub resource_name: String,
    /// `ConfigurationKeys`, may be null.
    pub configuration_keys: Option<Vec<String>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeConfigsResource {
    fn default() -> DescribeConfigsResource {
        DescribeConfigsResource {
            resource_type: 0,
            resource_name: String::new(),
            configuration_keys: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeConfigsResource {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeConfigsResource, DecodeError> {
        let flexible = version == 4;
        let mut m = DescribeConfigsResource::default();
        m.resource_type = r.i8("resource_type")?;
        m.resource_name = r.string(flexible, "resource_name")?;
        m.configuration_keys =
            r.nullable_array(flexible, true, 1, "configuration_keys", i16::from(flexible), |r, f| {
                r.string(f != 0, "configuration_keys")
            })?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 4;
        w.i8(self.resource_type);
        w.string(flexible, &self.resource_name, "resource_name")?;
        w.nullable_array_len(
            flexible,
            self.configuration_keys.as_ref().map(Vec::len),
            true,
            "configuration_keys",
        )?;
        for v in self.configuration_keys.iter().flatten() {
            w.string(flexible, v, "configuration_keys")?;
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
