//! Kafka's request `FindCoordinatorRequest`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/request.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `FindCoordinatorRequest`, versions 0 to 6.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FindCoordinatorRequest {
    /// `Key`, versions 0 to 3.
    pub key: String,
    /// `KeyType`, versions 1 to 6.
    pub key_type: i8,
    /// `CoordinatorKeys`, versions 4 to 6.
    pub coordinator_keys: Vec<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FindCoordinatorRequest {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FindCoordinatorRequest, DecodeError> {
        crate::error::check_decode_version("FindCoordinatorRequest", version, 0, 6)?;
        let flexible = version >= 3;
        let mut m = FindCoordinatorRequest::default();
        if version <= 3 {
            m.key = r.string(flexible, "key")?;
        }
        if version >= 1 {
            m.key_type = r.i8("key_type")?;
        }
        if version >= 4 {
            m.coordinator_keys =
                r.array(true, 1, "coordinator_keys", 0, |r, _| r.string(true, "coordinator_keys"))?;
        }
        if flexible {
            m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FindCoordinatorRequest", version, 0, 6)?;
        let flexible = version >= 3;
        if version <= 3 {
            w.string(flexible, &self.key, "key")?;
        } else if !self.key.is_empty() {
            return Err(EncodeError::absent("key", version));
        }
        if version >= 1 {
            w.i8(self.key_type);
        } else if self.key_type != 0 {
            return Err(EncodeError::absent("key_type", version));
        }
        if version >= 4 {
            w.array_len(true, self.coordinator_keys.len(), "coordinator_keys")?;
            for v in &self.coordinator_keys {
                w.string(true, v, "coordinator_keys")?;
            }
        } else if !self.coordinator_keys.is_empty() {
            return Err(EncodeError::absent("coordinator_keys", version));
        }
        if flexible {
            w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
