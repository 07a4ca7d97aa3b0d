//! Kafka's record `GroupMetadataKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `GroupMetadataKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct GroupMetadataKey {
    /// `group`.
    pub group: String,
}

impl GroupMetadataKey {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<GroupMetadataKey, DecodeError> {
        crate::error::check_decode_version("GroupMetadataKey", version, 0, 0)?;
        let mut m = GroupMetadataKey::default();
        m.group = r.string(false, "group")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("GroupMetadataKey", version, 0, 0)?;
        w.string(false, &self.group, "group")?;
        Ok(())
    }
}
