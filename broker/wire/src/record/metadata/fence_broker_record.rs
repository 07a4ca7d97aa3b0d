//! Kafka's record `FenceBrokerRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `FenceBrokerRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FenceBrokerRecord {
    /// `Id`; a broker id.
    pub id: i32,
    /// `Epoch`.
    pub epoch: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FenceBrokerRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FenceBrokerRecord, DecodeError> {
        crate::error::check_decode_version("FenceBrokerRecord", version, 0, 0)?;
        let mut m = FenceBrokerRecord::default();
        m.id = r.i32("id")?;
        m.epoch = r.i64("epoch")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FenceBrokerRecord", version, 0, 0)?;
        w.i32(self.id);
        w.i64(self.epoch);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
