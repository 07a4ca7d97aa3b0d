//! Kafka's record `ShareGroupTargetAssignmentMetadataKey`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::writer::Writer;

/// Kafka's `ShareGroupTargetAssignmentMetadataKey`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupTargetAssignmentMetadataKey {
    /// `GroupId`.
    pub group_id: String,
}

impl ShareGroupTargetAssignmentMetadataKey {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<ShareGroupTargetAssignmentMetadataKey, DecodeError> {
        crate::error::check_decode_version("ShareGroupTargetAssignmentMetadataKey", version, 0, 0)?;
        let mut m = ShareGroupTargetAssignmentMetadataKey::default();
        m.group_id = r.string(false, "group_id")?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupTargetAssignmentMetadataKey", version, 0, 0)?;
        w.string(false, &self.group_id, "group_id")?;
        Ok(())
    }
}
