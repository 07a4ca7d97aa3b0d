//! Kafka's record `ShareGroupCurrentMemberAssignmentValue`.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/group.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use crate::error::{DecodeError, EncodeError};
use crate::reader::Reader;
use crate::tagged::TaggedFields;
use crate::writer::Writer;
use millstream_types::Uuid;

/// Kafka's `ShareGroupCurrentMemberAssignmentValue`, version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ShareGroupCurrentMemberAssignmentValue {
    /// `MemberEpoch`.
    pub member_epoch: i32,
    /// `PreviousMemberEpoch`.
    pub previous_member_epoch: i32,
    /// `State`.
    pub state: i8,
    /// `AssignedPartitions`.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl ShareGroupCurrentMemberAssignmentValue {
    /// Reads it in the form of `version`.
    pub fn decode(
        r: &mut Reader,
        version: i16,
    ) -> Result<ShareGroupCurrentMemberAssignmentValue, DecodeError> {
        crate::error::check_decode_version("ShareGroupCurrentMemberAssignmentValue", version, 0, 0)?;
        let mut m = ShareGroupCurrentMemberAssignmentValue::default();
        m.member_epoch = r.i32("member_epoch")?;
        m.previous_member_epoch = r.i32("previous_member_epoch")?;
        m.state = r.i8("state")?;
        m.assigned_partitions = r.array(true, 18, "assigned_partitions", version, TopicPartitions::decode)?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        crate::error::check_encode_version("ShareGroupCurrentMemberAssignmentValue", version, 0, 0)?;
        w.i32(self.member_epoch);
        w.i32(self.previous_member_epoch);
        w.i8(self.state);
        w.array_len(true, self.assigned_partitions.len(), "assigned_partitions")?;
        for v in &self.assigned_partitions {
            v.encode(w, version)?;
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}

/// `TopicPartitions` of [`ShareGroupCurrentMemberAssignmentValue`], version 0.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TopicPartitions {
    /// `TopicId`.
    pub topic_id: Uuid,
    /// `Partitions`.
    pub partitions: Vec<i32>,
    /// Tagged fields that this schema does not name, kept as they came.
    pub unknown_tagged_fields: TaggedFields,
}

impl TopicPartitions {
    /// Reads it in the form of `version`.
    pub fn decode(r: &mut Reader, _version: i16) -> Result<TopicPartitions, DecodeError> {
        let mut m = TopicPartitions::default();
        m.topic_id = r.uuid("topic_id")?;
        m.partitions = r.array(true, 4, "partitions", 0, |r, _| r.i32("partitions"))?;
        m.unknown_tagged_fields = r.unknown_tagged_fields()?;
        Ok(m)
    }

    /// Writes it in the form of `version`.
    pub fn encode(&self, w: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        w.uuid(self.topic_id);
        w.array_len(true, self.partitions.len(), "partitions")?;
        for v in &self.partitions {
            w.i32(*v);
        }
        w.unknown_tagged_fields(&self.unknown_tagged_fields)?;
        Ok(())
    }
}
