//! Kafka's record `ClientQuotaRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ClientQuotaRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClientQuotaRecord {
    /// `Entity`.
    pub entity: Vec<EntityData>,
    /// `Key`.
    pub key: String,
    /// `Value`.
    pub value: f64,
    /// `Remove`.
    pub remove: bool,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ClientQuotaRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ClientQuotaRecord, DecodeError> {
        crate::error::check_decode_version("ClientQuotaRecord", version, 0, 0)?;
        let mut m = ClientQuotaRecord::default();
        m.entity = r.array(true, 3, "entity", version, EntityData::decode)?;
        m.key = r.string(true, "key")?;
        m.value = r.f64("value")?;
        m.remove = r.bool("remove")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ClientQuotaRecord", version, 0, 0)?;
        w.array_len(true, self.entity.len(), "entity")?;
        for v in &self.entity {
            v.encode(w, version)?;
        }
        w.string(true, &self.key, "key")?;
        w.f64(self.value);
        w.bool(self.remove);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `EntityData` of [`ClientQuotaRecord`], version 0.
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
    pub fn decode(r: &mut Reader, _version: i16) -> Result<EntityData, DecodeError> {
        let mut m = EntityData::default();
        m.entity_type = r.string(true, "entity_type")?;
        m.entity_name = r.nullable_string(true, true, "entity_name")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.string(true, &self.entity_type, "entity_type")?;
        w.nullable_string(true, self.entity_name.as_deref(), true, "entity_name")?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
