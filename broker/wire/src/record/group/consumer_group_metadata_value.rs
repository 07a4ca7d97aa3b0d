//! Kafka's record `ConsumerGroupMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `ConsumerGroupMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConsumerGroupMetadataValue {
    /// `Epoch`.
    pub epoch: i32,
    /// `MetadataHash`, tag 0.
    pub metadata_hash: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerGroupMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<ConsumerGroupMetadataValue, DecodeError> {
        crate::error::check_decode_version("ConsumerGroupMetadataValue", version, 0, 0)?;
        let mut m = ConsumerGroupMetadataValue::default();
        m.epoch = r.i32("epoch")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.metadata_hash = r.i64("metadata_hash")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ConsumerGroupMetadataValue", version, 0, 0)?;
        w.i32(self.epoch);
        let mut tags = crate::tagged::TagSet::new();
        if self.metadata_hash != 0 {
            tags.add(0, |w| {
                w.i64(self.metadata_hash);
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}
