//! Kafka's request `AlterClientQuotasRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AlterClientQuotasRequest`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterClientQuotasRequest {
    /// `Entries`.
    pub entries: Vec<EntryData>,
    /// `ValidateOnly`.
    pub validate_only: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterClientQuotasRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterClientQuotasRequest, DecodeError> {
        crate::error::check_decode_version("AlterClientQuotasRequest", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = AlterClientQuotasRequest::default();
        m.entries = r.array(flexible, 3, "entries", version, EntryData::decode)?;
        m.validate_only = r.bool("validate_only")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AlterClientQuotasRequest", version, 0, 1)?;
        let flexible = version == 1;
        w.array_len(flexible, self.entries.len(), "entries")?;
        for v in &self.entries {
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

/// `EntryData` of [`AlterClientQuotasRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EntryData {
    /// `Entity`.
    pub entity: Vec<EntityData>,
    /// `Ops`.
    pub ops: Vec<OpData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl EntryData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EntryData, DecodeError> {
        let flexible = version == 1;
        let mut m = EntryData::default();
        m.entity = r.array(flexible, 3, "entity", version, EntityData::decode)?;
        m.ops = r.array(flexible, 11, "ops", version, OpData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.array_len(flexible, self.entity.len(), "entity")?;
        for v in &self.entity {
            v.encode(w, version)?;
        }
        w.array_len(flexible, self.ops.len(), "ops")?;
        for v in &self.ops {
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

/// `EntityData` of [`AlterClientQuotasRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityData {
    /// `EntityType`.
    pub entity_type: String,
    /// `EntityName`, may be null.
    pub entity_name: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for EntityData {
    fn default() -> EntityData {
        EntityData {
            entity_type: String::new(),
            entity_name: Some(String::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl EntityData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EntityData, DecodeError> {
        let flexible = version == 1;
        let mut m = EntityData::default();
        m.entity_type = r.string(flexible, "entity_type")?;
        m.entity_name = r.nullable_string(flexible, true, "entity_name")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.string(flexible, &self.entity_type, "entity_type")?;
        w.nullable_string(flexible, self.entity_name.as_deref(), true, "entity_name")?;
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}

/// `OpData` of [`AlterClientQuotasRequest`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct OpData {
    /// `Key`.
    pub key: String,
    /// `Value`.
    pub value: f64,
    /// `Remove`.
    pub remove: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl OpData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OpData, DecodeError> {
        let flexible = version == 1;
        let mut m = OpData::default();
        m.key = r.string(flexible, "key")?;
        m.value = r.f64("value")?;
        m.remove = r.bool("remove")?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.string(flexible, &self.key, "key")?;
        w.f64(self.value);
        w.bool(self.remove);
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
