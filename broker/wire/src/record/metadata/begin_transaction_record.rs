//! Kafka's record `BeginTransactionRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `BeginTransactionRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct BeginTransactionRecord {
    /// `Name`, may be null, tag 0.
    pub name: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl BeginTransactionRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<BeginTransactionRecord, DecodeError> {
        crate::error::check_decode_version("BeginTransactionRecord", version, 0, 0)?;
        let mut m = BeginTransactionRecord::default();
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.name = r.nullable_string(true, true, "name")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("BeginTransactionRecord", version, 0, 0)?;
        let mut tags = crate::tagged::TagSet::new();
        if self.name.is_some() {
            tags.add(0, |w| {
                w.nullable_string(true, self.name.as_deref(), true, "name")?;
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}
