//! Kafka's record `ShareGroupMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ShareGroupMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupMetadataValue {
    /// `Epoch`.
    pub epoch: i32,
    /// `MetadataHash`.
    pub metadata_hash: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareGroupMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ShareGroupMetadataValue, DecodeError> {
        crate::error::check_decode_version("ShareGroupMetadataValue", version, 0, 0)?;
        let mut m = ShareGroupMetadataValue::default();
        m.epoch = r.i32("epoch")?;
        m.metadata_hash = r.i64("metadata_hash")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupMetadataValue", version, 0, 0)?;
        w.i32(self.epoch);
        w.i64(self.metadata_hash);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
