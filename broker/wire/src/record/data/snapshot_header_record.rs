//! Kafka's record `SnapshotHeaderRecord`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `SnapshotHeaderRecord`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SnapshotHeaderRecord {
    /// `Version`.
    pub version: i16,
    /// `LastContainedLogTimestamp`.
    pub last_contained_log_timestamp: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl SnapshotHeaderRecord {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<SnapshotHeaderRecord, DecodeError> {
        crate::error::check_decode_version("SnapshotHeaderRecord", version, 0, 0)?;
        let mut m = SnapshotHeaderRecord::default();
        m.version = r.i16("version")?;
        m.last_contained_log_timestamp = r.i64("last_contained_log_timestamp")?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("SnapshotHeaderRecord", version, 0, 0)?;
        w.i16(self.version);
        w.i64(self.last_contained_log_timestamp);
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
