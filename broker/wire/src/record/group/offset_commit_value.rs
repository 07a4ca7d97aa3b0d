//! Kafka's record `OffsetCommitValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `OffsetCommitValue`, versions 0 to 4.
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetCommitValue {
    /// `offset`.
    pub offset: i64,
    /// `leaderEpoch`, versions 3 to 4, ignorable.
    pub leader_epoch: i32,
    /// `metadata`.
    pub metadata: String,
    /// `commitTimestamp`.
    pub commit_timestamp: i64,
    /// `expireTimestamp`, version 1, ignorable.
    pub expire_timestamp: i64,
    /// `topicId`, version 4, tag 0, ignorable.
    pub topic_id: Uuid,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl Default for OffsetCommitValue {
    fn default() -> OffsetCommitValue {
        OffsetCommitValue {
            offset: 0,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp: 0,
            expire_timestamp: -1,
            topic_id: Uuid::ZERO,
            unknown_tagged_fields: TaggedFields::default(),
        }
    }
}

impl OffsetCommitValue {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, version: i16) -> Result<OffsetCommitValue, DecodeError> {
        crate::error::check_decode_version("OffsetCommitValue", version, 0, 4)?;
        let flexible = version == 4;
        let mut m = OffsetCommitValue::default();
        m.offset = r.i64("offset")?;
        if version >= 3 {
            m.leader_epoch = r.i32("leader_epoch")?;
        }
        m.metadata = r.string(flexible, "metadata")?;
        m.commit_timestamp = r.i64("commit_timestamp")?;
        if version == 1 {
            m.expire_timestamp = r.i64("expire_timestamp")?;
        }
        if flexible {
            m.unknown_tagged_fields = r.tagged_fields(&mut |r, tag| {
                match tag {
                    0 => m.topic_id = r.uuid("topic_id")?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("OffsetCommitValue", version, 0, 4)?;
        let flexible = version == 4;
        w.i64(self.offset);
        if version >= 3 {
            w.i32(self.leader_epoch);
        }
        w.string(flexible, &self.metadata, "metadata")?;
        w.i64(self.commit_timestamp);
        if version == 1 {
            w.i64(self.expire_timestamp);
        }
        if flexible {
            let mut tags = crate::tagged::TagSet::new();
            if self.topic_id != Uuid::ZERO {
                tags.add(0, |w| {
                    w.uuid(self.topic_id);
                    Ok(())
                })?;
            }
            w.tagged_fields(tags, &self.unknown_tagged_fields)?;
        } else if !self.unknown_tagged_fields.is_empty() {
            return Err(EncodeError::absent("unknown_tagged_fields", version));
        }
        Ok(())
    }
}
