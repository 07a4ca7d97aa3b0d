//! Kafka's record `NoOpRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `NoOpRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NoOpRecord {
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl NoOpRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<NoOpRecord, DecodeError> {
        crate::error::check_decode_version("NoOpRecord", version, 0, 0)?;
        let mut m = NoOpRecord::default();
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("NoOpRecord", version, 0, 0)?;
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
