//! Kafka's request `DescribeClientQuotasRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeClientQuotasRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DescribeClientQuotasRequest {
    /// `Components`.
    pub components: Vec<ComponentData>,
    /// `Strict`.
    pub strict: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl DescribeClientQuotasRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeClientQuotasRequest, DecodeError> {
        crate::error::check_decode_version("DescribeClientQuotasRequest", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = DescribeClientQuotasRequest::default();
        m.components = r.array(flexible, 4, "components", version, ComponentData::decode)?;
        m.strict = r.bool("strict")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeClientQuotasRequest", version, 0, 1)?;
        let flexible = version == 1;
        w.array_len(flexible, self.components.len(), "components")?;
        for v in &self.components {
            v.encode(w, version)?;
        }
        w.bool(self.strict);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `ComponentData` of [`DescribeClientQuotasRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentData {
    /// `EntityType`.
    pub entity_type: String,
    /// `MatchType`.
    pub match_type: i8,
    /// `Match`, may be null.
    pub match_: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for ComponentData {
    fn default() -> ComponentData {
        ComponentData {
            entity_type: String::new(),
            match_type: 0,
            match_: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl ComponentData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ComponentData, DecodeError> {
        let flexible = version == 1;
        let mut m = ComponentData::default();
        m.entity_type = r.string(flexible, "entity_type")?;
        m.match_type = r.i8("match_type")?;
        m.match_ = r.nullable_string(flexible, true, "match")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.string(flexible, &self.entity_type, "entity_type")?;
        w.i8(self.match_type);
        w.nullable_string(flexible, self.match_.as_deref(), true, "match")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
