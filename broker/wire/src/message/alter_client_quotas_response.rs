//! Kafka's response `AlterClientQuotasResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AlterClientQuotasResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AlterClientQuotasResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `Entries`.
    pub entries: Vec<EntryData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AlterClientQuotasResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AlterClientQuotasResponse, DecodeError> {
        crate::error::check_decode_version("AlterClientQuotasResponse", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = AlterClientQuotasResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.entries = r.array(flexible, 5, "entries", version, EntryData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AlterClientQuotasResponse", version, 0, 1)?;
        let flexible = version == 1;
        w.i32(self.throttle_time_ms);
        w.array_len(flexible, self.entries.len(), "entries")?;
        for v in &self.entries {
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

/// `EntryData` of [`AlterClientQuotasResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryData {
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `Entity`.
    pub entity: Vec<EntityData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for EntryData {
    fn default() -> EntryData {
        EntryData {
            error_code: 0,
            error_message: Some(String::new()),
            entity: Vec::new(),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl EntryData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EntryData, DecodeError> {
        let flexible = version == 1;
        let mut m = EntryData::default();
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        m.entity = r.array(flexible, 3, "entity", version, EntityData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let flexible = version == 1;
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        w.array_len(flexible, self.entity.len(), "entity")?;
        for v in &self.entity {
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

/// `EntityData` of [`AlterClientQuotasResponse`], versions 0 to 1.
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
