//! Kafka's response `DescribeClientQuotasResponse`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/response.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `DescribeClientQuotasResponse`, versions 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribeClientQuotasResponse {
    /// `ThrottleTimeMs`.
    pub throttle_time_ms: i32,
    /// `ErrorCode`.
    pub error_code: i16,
    /// `ErrorMessage`, may be null.
    pub error_message: Option<String>,
    /// `Entries`, may be null.
    pub entries: Option<Vec<EntryData>>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for DescribeClientQuotasResponse {
    fn default() -> DescribeClientQuotasResponse {
        DescribeClientQuotasResponse {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(String::new()),
            entries: Some(Vec::new()),
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl DescribeClientQuotasResponse {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<DescribeClientQuotasResponse, DecodeError> {
        crate::error::check_decode_version("DescribeClientQuotasResponse", version, 0, 1)?;
        let flexible = version == 1;
        let mut m = DescribeClientQuotasResponse::default();
        m.throttle_time_ms = r.i32("throttle_time_ms")?;
        m.error_code = r.i16("error_code")?;
        m.error_message = r.nullable_string(flexible, true, "error_message")?;
        m.entries = r.nullable_array(flexible, true, 3, "entries", version, EntryData::decode)?;
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("DescribeClientQuotasResponse", version, 0, 1)?;
        let flexible = version == 1;
        w.i32(self.throttle_time_ms);
        w.i16(self.error_code);
        w.nullable_string(flexible, self.error_message.as_deref(), true, "error_message")?;
        w.nullable_array_len(flexible, self.entries.as_ref().map(Vec::len), true, "entries")?;
        for v in self.entries.iter().flatten() {
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

/// `EntryData` of [`DescribeClientQuotasResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct EntryData {
    /// `Entity`.
    pub entity: Vec<EntityData>,
    /// `Values`.
    pub values: Vec<ValueData>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl EntryData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<EntryData, DecodeError> {
        let flexible = version == 1;
        let mut m = EntryData::default();
        m.entity = r.array(flexible, 3, "entity", version, EntityData::decode)?;
        m.values = r.array(flexible, 10, "values", version, ValueData::decode)?;
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
        w.array_len(flexible, self.values.len(), "values")?;
        for v in &self.values {
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

/// `EntityData` of [`DescribeClientQuotasResponse`], versions 0 to 1.
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

/// `ValueData` of [`DescribeClientQuotasResponse`], versions 0 to 1.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ValueData {
    /// `Key`.
    pub key: String,
    /// `Value`.
    pub value: f64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ValueData {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ValueData, DecodeError> {
        let flexible = version == 1;
        let mut m = ValueData::default();
        m.key = r.string(flexible, "key")?;
        m.value = r.f64("value")?;
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
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
