//! Kafka's record `AbortTransactionRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `AbortTransactionRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AbortTransactionRecord {
    /// `Reason`, may be null, tag 0.
    pub reason: Option<String>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl AbortTransactionRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<AbortTransactionRecord, DecodeError> {
        crate::error::check_decode_version("AbortTransactionRecord", version, 0, 0)?;
        let mut m = AbortTransactionRecord::default();
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.reason = r.nullable_string(true, true, "reason")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("AbortTransactionRecord", version, 0, 0)?;
        let mut tags = crate::tagged::TagSet::new();
        if self.reason.is_some() {
            tags.add(0, |w| {
                w.nullable_string(true, self.reason.as_deref(), true, "reason")?;
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}
