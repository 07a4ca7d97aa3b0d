//! Kafka's record `FeatureLevelRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `FeatureLevelRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FeatureLevelRecord {
    /// `Name`.
    pub name: String,
    /// `FeatureLevel`.
    pub feature_level: i16,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl FeatureLevelRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<FeatureLevelRecord, DecodeError> {
        crate::error::check_decode_version("FeatureLevelRecord", version, 0, 0)?;
        let mut m = FeatureLevelRecord::default();
        m.name = r.string(true, "name")?;
        m.feature_level = r.i16("feature_level")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("FeatureLevelRecord", version, 0, 0)?;
        w.string(true, &self.name, "name")?;
        w.i16(self.feature_level);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
