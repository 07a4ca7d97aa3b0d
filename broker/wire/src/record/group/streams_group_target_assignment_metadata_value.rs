//! Kafka's record `StreamsGroupTargetAssignmentMetadataValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;

/// Kafka's `StreamsGroupTargetAssignmentMetadataValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct StreamsGroupTargetAssignmentMetadataValue {
    /// `AssignmentEpoch`.
    pub assignment_epoch: i32,
    /// `AssignmentTimestamp`, tag 0, ignorable.
    pub assignment_timestamp: i64,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl StreamsGroupTargetAssignmentMetadataValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<StreamsGroupTargetAssignmentMetadataValue, DecodeError> {
        crate::error::check_decode_version("StreamsGroupTargetAssignmentMetadataValue", version, 0, 0)?;
        let mut m = StreamsGroupTargetAssignmentMetadataValue::default();
        m.assignment_epoch = r.i32("assignment_epoch")?;
        m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
            match tag {
                0 => m.assignment_timestamp = r.i64("assignment_timestamp")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("StreamsGroupTargetAssignmentMetadataValue", version, 0, 0)?;
        w.i32(self.assignment_epoch);
        let mut tags = crate::tagged::TagSet::new();
        if self.assignment_timestamp != 0 {
            tags.add(0, |w| {
                w.i64(self.assignment_timestamp);
                Ok(())
            })?;
        }
        w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        Ok(())
    }
}
