//! Kafka's record `LegacyOffsetCommitKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `LegacyOffsetCommitKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LegacyOffsetCommitKey {
    /// `group`.
    pub group: String,
    /// `topic`.
    pub topic: String,
    /// `partition`.
    pub partition: i32,
}

impl LegacyOffsetCommitKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<LegacyOffsetCommitKey, DecodeError> {
        crate::error::check_decode_version("LegacyOffsetCommitKey", version, 0, 0)?;
        let mut m = LegacyOffsetCommitKey::default();
        m.group = r.string(false, "group")?;
        m.topic = r.string(false, "topic")?;
        m.partition = r.i32("partition")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("LegacyOffsetCommitKey", version, 0, 0)?;
        w.string(false, &self.group, "group")?;
        w.string(false, &self.topic, "topic")?;
        w.i32(self.partition);
        Ok(())
    }
}
