//! Kafka's record `LegacyOffsetCommitValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `LegacyOffsetCommitValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LegacyOffsetCommitValue {
    /// `offset`.
    pub offset: i64,
    /// `metadata`.
    pub metadata: String,
    /// `commitTimestamp`.
    pub commit_timestamp: i64,
}

impl LegacyOffsetCommitValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<LegacyOffsetCommitValue, DecodeError> {
        crate::error::check_decode_version("LegacyOffsetCommitValue", version, 0, 0)?;
        let mut m = LegacyOffsetCommitValue::default();
        m.offset = r.i64("offset")?;
        m.metadata = r.string(false, "metadata")?;
        m.commit_timestamp = r.i64("commit_timestamp")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("LegacyOffsetCommitValue", version, 0, 0)?;
        w.i64(self.offset);
        w.string(false, &self.metadata, "metadata")?;
        w.i64(self.commit_timestamp);
        Ok(())
    }
}
